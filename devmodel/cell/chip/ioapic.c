/* SPDX-License-Identifier: GPL-2.0 */
/* I/O APIC. Section numbers are those of the Intel 82093AA data sheet (290566-001). */
#include <keel/macros.h>

#include "chip/ioapic.h"

/* The window (3.1) and the EOI register. */
#define IOREGSEL	0x00u
#define IOWIN		0x10u
#define IOEOI		0x40u

/* Behind the window (3.2). Each entry is two registers, the low half first. */
#define REG_ID		0x00u
#define REG_VERSION	0x01u
#define REG_ARBITRATION	0x02u
#define REG_ENTRY	0x10u

#define ID_MASK		(0xfu << 24)
#define VERSION		0x20u
#define VERSION_PINS_SHIFT 16

/* A redirection entry (3.2.4). */
#define VECTOR_MASK	0xffull
#define MODE_SHIFT	8
#define MODE_MASK	7u
#define LOGICAL		(1ull << 11)
#define REMOTE_IRR	(1ull << 14)
#define LEVEL		(1ull << 15)
#define MASKED		(1ull << 16)
#define DEST_SHIFT	56
#define HIGH_SHIFT	32
#define LOW_WRITABLE	0x1afffull	/* all but delivery status and remote IRR */
#define HIGH_WRITABLE	0xff000000ull

static const struct state_field fields[] = {
	STATE_ARRAY(struct ioapic_state, entry),
	STATE_FIELD_MOST(struct ioapic_state, pins, (1u << IOAPIC_PINS) - 1),
	STATE_FIELD_MOST(struct ioapic_state, id, ID_MASK),
	STATE_FIELD(struct ioapic_state, select),
};

const struct state_table ioapic_state_table = {
	.name = "ioapic",
	.version = 1,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

static void init(void *device)
{
	struct ioapic *chip = device;

	chip->s = (struct ioapic_state){ .pins = chip->s.pins };
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		chip->s.entry[pin] = MASKED;
}

static enum lapic_delivery delivery_mode(uint64_t entry)
{
	return (enum lapic_delivery)(entry >> MODE_SHIFT & MODE_MASK);
}

/* NMI, INIT and SMI are edges even where the entry says level (3.2.4). */
static bool is_level(uint64_t entry)
{
	return entry & LEVEL && (delivery_mode(entry) == LAPIC_FIXED || delivery_mode(entry) == LAPIC_LOWEST);
}

static bool send(struct ioapic *chip, uint64_t entry)
{
	return lapic_deliver(chip->bus, entry >> DEST_SHIFT, entry & LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
			     delivery_mode(entry), entry & VECTOR_MASK, true, is_level(entry) ? LAPIC_LEVEL : LAPIC_EDGE);
}

/* An edge on a masked pin is lost, a level waits for the mask (3.2.4, interrupt mask). */
static void send_edge(struct ioapic *chip, unsigned int pin)
{
	uint64_t entry = chip->s.entry[pin];

	if (!(entry & MASKED) && !is_level(entry))
		send(chip, entry);
}

static void send_level(struct ioapic *chip, unsigned int pin)
{
	uint64_t *entry = &chip->s.entry[pin];

	if (*entry & (MASKED | REMOTE_IRR) || !is_level(*entry) || !(chip->s.pins >> pin & 1))
		return;
	if (send(chip, *entry))
		*entry |= REMOTE_IRR;
}

void ioapic_set_pin(void *sink, unsigned int pin, bool level)
{
	struct ioapic *chip = sink;
	bool was;

	if (pin >= IOAPIC_PINS)
		return;
	was = chip->s.pins >> pin & 1;
	if (was == level)
		return;
	chip->s.pins ^= 1u << pin;
	if (!level)
		return;
	send_edge(chip, pin);
	send_level(chip, pin);
}

void ioapic_eoi(struct ioapic *chip, uint8_t vector)
{
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *entry = &chip->s.entry[pin];

		if (!(*entry & REMOTE_IRR) || (*entry & VECTOR_MASK) != vector)
			continue;
		*entry &= ~REMOTE_IRR;
		send_level(chip, pin);
	}
}

static uint32_t read_window(const struct ioapic *chip)
{
	unsigned int index = chip->s.select - REG_ENTRY;

	switch (chip->s.select) {
	case REG_ID:
	case REG_ARBITRATION:
		return chip->s.id;
	case REG_VERSION:
		return VERSION | (IOAPIC_PINS - 1) << VERSION_PINS_SHIFT;
	default:
		if (chip->s.select < REG_ENTRY || index / 2 >= IOAPIC_PINS)
			return 0;
		return chip->s.entry[index / 2] >> (index % 2 ? HIGH_SHIFT : 0);
	}
}

/* Turning an entry to edge and back is how system software drops a stuck remote IRR of older versions. */
static void write_entry(struct ioapic *chip, unsigned int index, uint32_t value)
{
	unsigned int pin = index / 2;
	uint64_t *entry = &chip->s.entry[pin];

	if (index % 2)
		*entry = (uint32_t)*entry | (value & HIGH_WRITABLE) << HIGH_SHIFT;
	else
		*entry = (*entry & ~LOW_WRITABLE) | (value & LOW_WRITABLE);
	if (!is_level(*entry))
		*entry &= ~REMOTE_IRR;
	send_level(chip, pin);
}

static void write_window(struct ioapic *chip, uint32_t value)
{
	unsigned int index = chip->s.select - REG_ENTRY;

	if (chip->s.select == REG_ID)
		chip->s.id = value & ID_MASK;
	else if (chip->s.select >= REG_ENTRY && index / 2 < IOAPIC_PINS)
		write_entry(chip, index, value);
}

static uint32_t read_register(const struct ioapic *chip, uint64_t offset)
{
	switch (offset) {
	case IOREGSEL:
		return chip->s.select;
	case IOWIN:
		return read_window(chip);
	default:
		return 0;
	}
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	uint64_t within = offset % sizeof(uint32_t);

	(void)bytes;
	return read_register(device, offset - within) >> 8 * within;
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct ioapic *chip = device;

	if (bytes < sizeof(uint32_t))
		return;
	switch (offset) {
	case IOREGSEL:
		chip->s.select = (uint8_t)value;
		break;
	case IOWIN:
		write_window(chip, (uint32_t)value);
		break;
	case IOEOI:
		ioapic_eoi(chip, (uint8_t)value);
		break;
	default:
		break;		/* reserved */
	}
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct ioapic_state *s = states[0];

	(void)device;
	(void)now;
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t may = LOW_WRITABLE | HIGH_WRITABLE << HIGH_SHIFT | (is_level(s->entry[pin]) ? REMOTE_IRR : 0);

		if (s->entry[pin] & ~may)
			return "entry";
	}
	return s->id & ~ID_MASK ? "id" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(ioapic_state_table, 0, struct ioapic, s),
};

const struct device_ops ioapic_device = { .init = init, DEVICE_PARTS(parts), .valid = valid };
const struct io_ops ioapic_io = { .read = io_read, .write = io_write, .widest = sizeof(uint64_t) };
