/* SPDX-License-Identifier: GPL-2.0 */
/* National Semiconductor PC16550D serial port. */
#include "chip/ns16550.h"

#include <keel/macros.h>

#include "core/string.h"

enum ns16550_register {
	REG_DATA,		/* RBR, THR; DLL with DLAB */
	REG_IER,		/* DLM with DLAB */
	REG_IIR,		/* FCR on write */
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCR,
};

enum ns16550_bits {
	IER_RDA = 1 << 0,
	IER_THRE = 1 << 1,
	IER_RLS = 1 << 2,
	IER_MS = 1 << 3,
	IER_ALL = IER_RDA | IER_THRE | IER_RLS | IER_MS,

	IIR_NONE = 0x01,
	IIR_MS = 0x00,
	IIR_THRE = 0x02,
	IIR_RDA = 0x04,
	IIR_RLS = 0x06,
	IIR_TIMEOUT = 0x0c,
	IIR_FIFO = 0xc0,

	FCR_ENABLE = 1 << 0,
	FCR_CLEAR_RX = 1 << 1,
	FCR_CLEAR_TX = 1 << 2,
	FCR_DMA = 1 << 3,
	FCR_TRIGGER = 0xc0,
	FCR_TRIGGER_SHIFT = 6,

	LCR_DLAB = 1 << 7,

	MCR_DTR = 1 << 0,
	MCR_RTS = 1 << 1,
	MCR_OUT1 = 1 << 2,
	MCR_OUT2 = 1 << 3,
	MCR_LOOP = 1 << 4,
	MCR_ALL = 0x1f,

	LSR_DR = 1 << 0,
	LSR_OE = 1 << 1,
	LSR_THRE = 1 << 5,
	LSR_TEMT = 1 << 6,

	MSR_DCTS = 1 << 0,
	MSR_DDSR = 1 << 1,
	MSR_TERI = 1 << 2,
	MSR_DDCD = 1 << 3,
	MSR_DELTAS = 0x0f,
	MSR_CTS = 1 << 4,
	MSR_DSR = 1 << 5,
	MSR_RI = 1 << 6,
	MSR_DCD = 1 << 7,
};

static const uint8_t trigger_levels[] = { 1, 4, 8, 14 };

static const struct state_field ns16550_fields[] = {
	STATE_ARRAY(struct ns16550_state, rx),
	STATE_FIELD_MOST(struct ns16550_state, rx_first, NS16550_FIFO - 1),
	STATE_FIELD_MOST(struct ns16550_state, rx_count, NS16550_FIFO),
	STATE_ARRAY(struct ns16550_state, tx),
	STATE_FIELD_MOST(struct ns16550_state, tx_first, NS16550_FIFO - 1),
	STATE_FIELD_MOST(struct ns16550_state, tx_count, NS16550_FIFO),
	STATE_FIELD_MOST(struct ns16550_state, ier, IER_ALL),
	STATE_FIELD(struct ns16550_state, fcr),
	STATE_FIELD(struct ns16550_state, lcr),
	STATE_FIELD_MOST(struct ns16550_state, mcr, MCR_ALL),
	STATE_FIELD(struct ns16550_state, scr),
	STATE_FIELD(struct ns16550_state, dll),
	STATE_FIELD(struct ns16550_state, dlm),
	STATE_FIELD(struct ns16550_state, lsr_errors),
	STATE_FIELD(struct ns16550_state, msr),
	STATE_FLAG(struct ns16550_state, thre_pending),
};

const struct state_table ns16550_state_table = {
	.name = "ns16550",
	.version = 1,
	.fields = ns16550_fields,
	.count = ARRAY_SIZE(ns16550_fields),
};

static unsigned int depth_by(uint8_t fcr)
{
	return fcr & FCR_ENABLE ? NS16550_FIFO : 1;
}

static unsigned int depth(const struct ns16550 *chip)
{
	return depth_by(chip->s.fcr);
}

static void fifo_put(uint8_t *fifo, uint8_t first, uint8_t *count, uint8_t byte)
{
	fifo[(first + *count) % NS16550_FIFO] = byte;
	(*count)++;
}

static uint8_t fifo_get(const uint8_t *fifo, uint8_t *first, uint8_t *count)
{
	uint8_t byte = fifo[*first % NS16550_FIFO];

	*first = (*first + 1) % NS16550_FIFO;
	(*count)--;
	return byte;
}

static uint8_t receive_source(const struct ns16550 *chip)
{
	if (!chip->s.rx_count)
		return IIR_NONE;
	if (!(chip->s.fcr & FCR_ENABLE))
		return IIR_RDA;
	return chip->s.rx_count >= trigger_levels[chip->s.fcr >> FCR_TRIGGER_SHIFT] ? IIR_RDA : IIR_TIMEOUT;
}

/* The interrupt of highest priority: data sheet, table IV. */
static uint8_t interrupt_source(const struct ns16550 *chip)
{
	const struct ns16550_state *s = &chip->s;

	if ((s->ier & IER_RLS) && s->lsr_errors)
		return IIR_RLS;
	if ((s->ier & IER_RDA) && s->rx_count)
		return receive_source(chip);
	if ((s->ier & IER_THRE) && s->thre_pending)
		return IIR_THRE;
	if ((s->ier & IER_MS) && (s->msr & MSR_DELTAS))
		return IIR_MS;
	return IIR_NONE;
}

static void update(struct ns16550 *chip)
{
	line_set(&chip->irq, interrupt_source(chip) != IIR_NONE);
}

static void receive(struct ns16550 *chip, uint8_t byte)
{
	struct ns16550_state *s = &chip->s;

	if (s->rx_count < depth(chip)) {
		fifo_put(s->rx, s->rx_first, &s->rx_count, byte);
		return;
	}
	s->lsr_errors |= LSR_OE;
	/* An overrun loses the new character, but without FIFOs the one that was there. */
	if (!(s->fcr & FCR_ENABLE))
		s->rx[s->rx_first % NS16550_FIFO] = byte;
}

static bool send(struct ns16550 *chip, uint8_t byte)
{
	if (chip->s.mcr & MCR_LOOP) {
		receive(chip, byte);
		return true;
	}
	return !chip->transmit || chip->transmit(chip->owner, byte);
}

static void empty_transmitter(struct ns16550 *chip)
{
	struct ns16550_state *s = &chip->s;

	while (s->tx_count && send(chip, s->tx[s->tx_first % NS16550_FIFO]))
		fifo_get(s->tx, &s->tx_first, &s->tx_count);
	if (!s->tx_count)
		s->thre_pending = 1;
}

static void write_data(struct ns16550 *chip, uint8_t value)
{
	struct ns16550_state *s = &chip->s;

	/* INTR falls with the write and rises when the character is gone: whoever senses it wants an edge. */
	s->thre_pending = 0;
	update(chip);
	if (s->tx_count < depth(chip))
		fifo_put(s->tx, s->tx_first, &s->tx_count, value);
	empty_transmitter(chip);
}

static void write_ier(struct ns16550 *chip, uint8_t value)
{
	uint8_t enabled = value & ~chip->s.ier;

	chip->s.ier = value & IER_ALL;
	/* Enabling the interrupt while the THR is empty raises it at once: drivers start their output so. */
	if ((enabled & IER_THRE) && !chip->s.tx_count)
		chip->s.thre_pending = 1;
}

static void write_fcr(struct ns16550 *chip, uint8_t value)
{
	struct ns16550_state *s = &chip->s;
	bool switched = (value ^ s->fcr) & FCR_ENABLE;

	/* The other bits are not programmed unless the FIFOs are enabled by the same write. */
	s->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_DMA | FCR_TRIGGER) : 0;
	if (switched || (value & FCR_CLEAR_RX))
		s->rx_count = 0;
	if (s->tx_count && (switched || (value & FCR_CLEAR_TX))) {
		s->tx_count = 0;
		s->thre_pending = 1;
	}
}

/* Modem inputs; in loopback the outputs come back: data sheet, 8.6. */
static uint8_t modem_inputs(uint8_t mcr)
{
	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (mcr & MCR_RTS ? MSR_CTS : 0) | (mcr & MCR_DTR ? MSR_DSR : 0) | (mcr & MCR_OUT1 ? MSR_RI : 0) |
	       (mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void write_mcr(struct ns16550 *chip, uint8_t value)
{
	uint8_t was = chip->s.msr, is = modem_inputs(value), changed = was ^ is;

	chip->s.mcr = value & MCR_ALL;
	chip->s.msr = is | (was & MSR_DELTAS) | (changed & MSR_CTS ? MSR_DCTS : 0) |
		      (changed & MSR_DSR ? MSR_DDSR : 0) | (changed & was & MSR_RI ? MSR_TERI : 0) |
		      (changed & MSR_DCD ? MSR_DDCD : 0);
	/* A character that waited for the owner goes round now, if the loop was closed. */
	if (chip->s.tx_count)
		empty_transmitter(chip);
}

static uint8_t read_data(struct ns16550 *chip)
{
	struct ns16550_state *s = &chip->s;

	/* The RBR keeps the last character. */
	if (!s->rx_count)
		return s->rx[(s->rx_first + NS16550_FIFO - 1) % NS16550_FIFO];
	return fifo_get(s->rx, &s->rx_first, &s->rx_count);
}

static uint8_t read_iir(struct ns16550 *chip)
{
	uint8_t source = interrupt_source(chip);

	if (source == IIR_THRE)
		chip->s.thre_pending = 0;
	return source | (chip->s.fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr(struct ns16550 *chip)
{
	uint8_t value = chip->s.lsr_errors | (chip->s.rx_count ? LSR_DR : 0);

	chip->s.lsr_errors = 0;
	return chip->s.tx_count ? value : value | LSR_THRE | LSR_TEMT;
}

static uint8_t read_msr(struct ns16550 *chip)
{
	uint8_t value = chip->s.msr;

	chip->s.msr &= ~MSR_DELTAS;
	return value;
}

static uint8_t read_register(struct ns16550 *chip, enum ns16550_register reg)
{
	bool dlab = chip->s.lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return dlab ? chip->s.dll : read_data(chip);
	case REG_IER:
		return dlab ? chip->s.dlm : chip->s.ier;
	case REG_IIR:
		return read_iir(chip);
	case REG_LCR:
		return chip->s.lcr;
	case REG_MCR:
		return chip->s.mcr;
	case REG_LSR:
		return read_lsr(chip);
	case REG_MSR:
		return read_msr(chip);
	default:
		return chip->s.scr;
	}
}

static void init(void *device)
{
	struct ns16550 *chip = device;

	memset(&chip->s, 0, sizeof(chip->s));
	chip->s.msr = modem_inputs(0);
}

static void ask_for_characters(struct ns16550 *chip)
{
	if (chip->receive)
		chip->receive(chip->owner);
}

/* Room that the other end has made shows at the guest's next look, not only at an event. */
static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct ns16550 *chip = device;
	uint8_t value;

	(void)bytes;
	if (chip->s.tx_count)
		ns16550_drain(chip);
	value = read_register(chip, (enum ns16550_register)offset);
	update(chip);
	if (offset == REG_DATA)
		ask_for_characters(chip);
	return value;
}

static void write_register(struct ns16550 *chip, enum ns16550_register reg, uint8_t value)
{
	bool dlab = chip->s.lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (dlab)
			chip->s.dll = value;
		else
			write_data(chip, value);
		break;
	case REG_IER:
		if (dlab)
			chip->s.dlm = value;
		else
			write_ier(chip, value);
		break;
	case REG_IIR:
		write_fcr(chip, value);
		break;
	case REG_LCR:
		chip->s.lcr = value;
		break;
	case REG_MCR:
		write_mcr(chip, value);
		break;
	case REG_SCR:
		chip->s.scr = value;
		break;
	default:
		/* LSR and MSR: writes are for factory tests, says the data sheet. */
		break;
	}
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct ns16550 *chip = device;

	(void)bytes;
	write_register(chip, (enum ns16550_register)offset, (uint8_t)value);
	update(chip);
	if (offset != REG_DATA)
		ask_for_characters(chip);
}

void ns16550_drain(struct ns16550 *chip)
{
	if (!chip->s.tx_count)
		return;
	empty_transmitter(chip);
	update(chip);
}

unsigned int ns16550_receive_room(const struct ns16550 *chip)
{
	if ((chip->s.mcr & MCR_LOOP) || chip->s.rx_count >= depth(chip))
		return 0;
	return depth(chip) - chip->s.rx_count;
}

void ns16550_receive(struct ns16550 *chip, uint8_t byte)
{
	if (chip->s.mcr & MCR_LOOP)
		return;
	receive(chip, byte);
	update(chip);
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct ns16550_state *s = states[0];

	(void)device;
	(void)now;
	if (s->fcr & ~(FCR_ENABLE | FCR_DMA | FCR_TRIGGER) || (s->fcr && !(s->fcr & FCR_ENABLE)))
		return "fcr";
	if (s->rx_count > depth_by(s->fcr))
		return "rx_count";
	if (s->tx_count > depth_by(s->fcr))
		return "tx_count";
	if (s->lsr_errors & ~LSR_OE)
		return "lsr_errors";
	return (s->msr & ~MSR_DELTAS) != modem_inputs(s->mcr) ? "msr" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(ns16550_state_table, 0, struct ns16550, s),
};

const struct device_ops ns16550_device = { .init = init, DEVICE_PARTS(parts), .valid = valid };
const struct io_ops ns16550_io = { .read = io_read, .write = io_write, .widest = 1 };
