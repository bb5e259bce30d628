/* SPDX-License-Identifier: GPL-2.0 */
/* Intel 8259A interrupt controller. */
#include "chip/i8259.h"

#include <keel/macros.h>

#include "core/string.h"

enum i8259_bits {
	/* A0 = 0 */
	ICW1 = 1 << 4,
	ICW1_IC4 = 1 << 0,
	ICW1_SNGL = 1 << 1,
	OCW3 = 1 << 3,
	OCW3_RIS = 1 << 0,
	OCW3_RR = 1 << 1,
	OCW3_POLL = 1 << 2,
	OCW3_SMM = 1 << 5,
	OCW3_ESMM = 1 << 6,
	OCW2_PIN = 7,
	OCW2_COMMAND_SHIFT = 5,
	/* A0 = 1 */
	ICW2_BASE = 0xf8,
	ICW4_AEOI = 1 << 1,
	ICW4_SFNM = 1 << 4,

	POLL_REQUEST = 1 << 7,
};

#define DATA_OFFSET	1u	/* A0 = 1 */

enum ocw2_command {
	OCW2_AEOI_ROTATE_CLEAR,
	OCW2_EOI,
	OCW2_NOTHING,
	OCW2_SPECIFIC_EOI,
	OCW2_AEOI_ROTATE_SET,
	OCW2_ROTATE_EOI,
	OCW2_SET_PRIORITY,
	OCW2_ROTATE_SPECIFIC_EOI,
};

#define SPURIOUS_PIN	7u
#define NO_PIN		(-1)

static const struct state_field i8259_fields[] = {
	STATE_FIELD(struct i8259_state, lines),
	STATE_FIELD(struct i8259_state, latch),
	STATE_FIELD(struct i8259_state, isr),
	STATE_FIELD(struct i8259_state, imr),
	STATE_FIELD(struct i8259_state, elcr),
	STATE_FIELD(struct i8259_state, vector_base),
	STATE_FIELD_MOST(struct i8259_state, lowest, I8259_PINS - 1),
	STATE_FIELD_MOST(struct i8259_state, init_step, 4),
	STATE_FIELD(struct i8259_state, icw1),
	STATE_FIELD(struct i8259_state, icw4),
	STATE_FLAG(struct i8259_state, read_isr),
	STATE_FLAG(struct i8259_state, poll),
	STATE_FLAG(struct i8259_state, special_mask),
	STATE_FLAG(struct i8259_state, rotate_on_aeoi),
};

const struct state_table i8259_state_table = {
	.name = "i8259",
	.version = 1,
	.fields = i8259_fields,
	.count = ARRAY_SIZE(i8259_fields),
};

static uint8_t cascade_mask(const struct i8259 *chip)
{
	return chip->master ? 1u << I8259_CASCADE : 0;
}

static uint8_t requests(const struct i8259 *chip)
{
	uint8_t level = chip->s.elcr | cascade_mask(chip);

	return (chip->s.latch & ~level) | (chip->s.lines & level);
}

/* The set pin of highest priority. Priorities fall from the pin after the lowest one, round to it. */
static int first_pin(const struct i8259 *chip, uint8_t pins)
{
	for (unsigned int i = 1; i <= I8259_PINS; i++) {
		unsigned int pin = (chip->s.lowest + i) % I8259_PINS;

		if (pins & (1u << pin))
			return (int)pin;
	}
	return NO_PIN;
}

/* The in-service levels that hold others back. */
static uint8_t blockers(const struct i8259 *chip)
{
	return chip->s.special_mask ? chip->s.isr & ~chip->s.imr : chip->s.isr;
}

static unsigned int rank(const struct i8259 *chip, int pin)
{
	return ((unsigned int)pin - chip->s.lowest - 1) % I8259_PINS;
}

/* Special fully nested mode: the slave may interrupt its own service, it knows its own priorities. */
static bool may_nest(const struct i8259 *chip, int pin)
{
	return (chip->s.icw4 & ICW4_SFNM) && ((1u << pin) & cascade_mask(chip));
}

static int pending_pin(const struct i8259 *chip)
{
	int request = first_pin(chip, requests(chip) & ~chip->s.imr);
	int blocker = first_pin(chip, blockers(chip));

	if (request == NO_PIN || chip->s.init_step)
		return NO_PIN;
	if (blocker == NO_PIN || rank(chip, request) < rank(chip, blocker))
		return request;
	return request == blocker && may_nest(chip, request) ? request : NO_PIN;
}

static void update(struct i8259 *chip)
{
	line_set(&chip->out, i8259_pending(chip));
}

static void end_of_interrupt(struct i8259 *chip, int pin, bool rotate)
{
	if (pin == NO_PIN)
		return;
	chip->s.isr &= ~(1u << pin);
	if (rotate)
		chip->s.lowest = (uint8_t)pin;
}

/* Moves the first request into service. Returns its pin or NO_PIN. */
static int take_request(struct i8259 *chip)
{
	int pin = pending_pin(chip);

	if (pin == NO_PIN)
		return NO_PIN;
	chip->s.latch &= ~(1u << pin);
	chip->s.isr |= 1u << pin;
	if (chip->s.icw4 & ICW4_AEOI)
		end_of_interrupt(chip, pin, chip->s.rotate_on_aeoi);
	/* INT falls during INTA even if there is another request: whoever senses it by edge must see one. */
	line_set(&chip->out, false);
	update(chip);
	return pin;
}

static uint8_t vector_of(const struct i8259 *chip, int pin)
{
	return chip->s.vector_base | (pin == NO_PIN ? SPURIOUS_PIN : (unsigned int)pin);
}

static void write_icw1(struct i8259 *chip, uint8_t value)
{
	struct i8259_state *s = &chip->s;

	s->icw1 = value;
	s->latch = 0;
	s->isr = 0;
	s->imr = 0;
	s->icw4 = 0;
	s->lowest = I8259_PINS - 1;
	s->read_isr = 0;
	s->poll = 0;
	s->special_mask = 0;
	s->rotate_on_aeoi = 0;
	s->init_step = 2;
}

/* ICW2 to ICW4. ICW3 names the cascade, which is wired. */
static void write_icw(struct i8259 *chip, uint8_t value)
{
	struct i8259_state *s = &chip->s;
	uint8_t icw4_step = s->icw1 & ICW1_IC4 ? 4 : 0;

	switch (s->init_step) {
	case 2:
		s->vector_base = value & ICW2_BASE;
		s->init_step = s->icw1 & ICW1_SNGL ? icw4_step : 3;
		break;
	case 3:
		s->init_step = icw4_step;
		break;
	default:
		s->icw4 = value;
		s->init_step = 0;
		break;
	}
}

static void write_ocw2(struct i8259 *chip, uint8_t value)
{
	struct i8259_state *s = &chip->s;
	uint8_t served = s->special_mask ? s->isr & ~s->imr : s->isr;
	int pin = value & OCW2_PIN;

	switch ((enum ocw2_command)(value >> OCW2_COMMAND_SHIFT)) {
	case OCW2_AEOI_ROTATE_CLEAR:
	case OCW2_AEOI_ROTATE_SET:
		s->rotate_on_aeoi = value >> OCW2_COMMAND_SHIFT == OCW2_AEOI_ROTATE_SET;
		break;
	case OCW2_EOI:
		end_of_interrupt(chip, first_pin(chip, served), false);
		break;
	case OCW2_ROTATE_EOI:
		end_of_interrupt(chip, first_pin(chip, served), true);
		break;
	case OCW2_SPECIFIC_EOI:
		end_of_interrupt(chip, pin, false);
		break;
	case OCW2_ROTATE_SPECIFIC_EOI:
		end_of_interrupt(chip, pin, true);
		break;
	case OCW2_SET_PRIORITY:
		s->lowest = (uint8_t)pin;
		break;
	case OCW2_NOTHING:
		break;
	}
}

static void write_ocw3(struct i8259 *chip, uint8_t value)
{
	if (value & OCW3_ESMM)
		chip->s.special_mask = !!(value & OCW3_SMM);
	/* Poll overrides a register read command in the same word. */
	if (value & OCW3_POLL)
		chip->s.poll = 1;
	else if (value & OCW3_RR)
		chip->s.read_isr = value & OCW3_RIS;
}

static void init(void *device)
{
	struct i8259 *chip = device;

	memset(&chip->s, 0, sizeof(chip->s));
	chip->s.lowest = I8259_PINS - 1;
	/* The part is undefined until ICW1; expecting it keeps INT low. */
	chip->s.init_step = 2;
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct i8259 *chip = device;
	int pin;

	(void)bytes;
	if (chip->s.poll) {
		chip->s.poll = 0;
		pin = take_request(chip);
		return pin == NO_PIN ? 0 : (uint8_t)(POLL_REQUEST | pin);
	}
	if (offset == DATA_OFFSET)
		return chip->s.imr;
	return chip->s.read_isr ? chip->s.isr : requests(chip);
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct i8259 *chip = device;
	uint8_t byte = (uint8_t)value;

	(void)bytes;
	if (offset == DATA_OFFSET) {
		if (chip->s.init_step)
			write_icw(chip, byte);
		else
			chip->s.imr = byte;
	} else if (byte & ICW1) {
		write_icw1(chip, byte);
	} else if (byte & OCW3) {
		write_ocw3(chip, byte);
	} else {
		write_ocw2(chip, byte);
	}
	update(chip);
}

static uint64_t elcr_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct i8259 *chip = device;

	(void)offset;
	(void)bytes;
	return chip->s.elcr;
}

static void elcr_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct i8259 *chip = device;

	(void)offset;
	(void)bytes;
	chip->s.elcr = (uint8_t)value & chip->elcr_mask;
	update(chip);
}

void i8259_set_pin(void *sink, unsigned int pin, bool level)
{
	struct i8259 *chip = sink;
	uint8_t mask = (uint8_t)(1u << (pin % I8259_PINS));

	if (level) {
		chip->s.latch |= mask & ~chip->s.lines;
		chip->s.lines |= mask;
	} else {
		chip->s.lines &= ~mask;
	}
	update(chip);
}

bool i8259_pending(const struct i8259 *chip)
{
	return pending_pin(chip) != NO_PIN;
}

int i8259_acknowledge(struct i8259 *chip)
{
	return vector_of(chip, take_request(chip));
}

uint8_t i8259_pair_acknowledge(struct i8259 *master, struct i8259 *slave)
{
	int pin = take_request(master);

	if (pin == (int)I8259_CASCADE)
		return (uint8_t)i8259_acknowledge(slave);
	return vector_of(master, pin);
}

/* The master's cascade pin is the slave's output, and for the machine to look at. */
static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct i8259 *chip = device;
	const struct i8259_state *s = states[0];

	(void)now;
	if (s->elcr & ~chip->elcr_mask)
		return "elcr";
	if (s->vector_base & ~ICW2_BASE)
		return "vector_base";
	return s->init_step == 1 ? "init_step" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(i8259_state_table, 0, struct i8259, s),
};

const struct device_ops i8259_device = { .init = init, DEVICE_PARTS(parts), .valid = valid };
const struct io_ops i8259_io = { .read = io_read, .write = io_write, .widest = 1 };
const struct io_ops i8259_elcr_io = { .read = elcr_read, .write = elcr_write, .widest = 1 };
