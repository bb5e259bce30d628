/* SPDX-License-Identifier: GPL-2.0 */
/* High precision event timer. Section numbers are those of the IA-PC HPET Specification 1.0a. */
#include "chip/hpet.h"

#include <keel/macros.h>

#include "core/time.h"

/* Registers (2.3.1), 64 bits each. */
#define REG_CAPABILITIES	0x000u
#define REG_GENERAL		0x010u
#define REG_STATUS		0x020u
#define REG_COUNTER		0x0f0u
#define REG_TIMERS		0x100u
#define TIMER_STRIDE		0x20u
#define TIMER_CONFIG		0x00u
#define TIMER_COMPARATOR	0x08u
#define REG_BYTES		8u
#define HALF_BYTES		4u
#define LOW_HALF		0xffffffffull
#define HIGH_HALF		(LOW_HALF << 32)

#define FS_PER_NS		1000000ull
#define CAPABILITIES		((HPET_TICK_NS * FS_PER_NS) << 32 | PC_HPET_ID)

#define GENERAL_ENABLE		(1u << 0)
#define GENERAL_LEGACY		(1u << 1)

/* Timer configuration (2.3.8) */
#define LEVEL			(1ull << 1)
#define INTERRUPT_ENABLE	(1ull << 2)
#define PERIODIC		(1ull << 3)
#define PERIODIC_CAPABLE	(1ull << 4)
#define SIZE_CAPABLE		(1ull << 5)
#define VALUE_SET		(1ull << 6)
#define MODE_32BIT		(1ull << 8)
#define ROUTE_SHIFT		9
#define ROUTE			(0x1full << ROUTE_SHIFT)
#define ROUTE_CAP_SHIFT		32
#define CONFIG_WRITABLE		(LEVEL | INTERRUPT_ENABLE | PERIODIC | VALUE_SET | MODE_32BIT | ROUTE)

/* Outputs: 0 to 31 are pins; then the two of legacy replacement. */
#define OUTPUT_LEGACY		32u
#define LEGACY_TIMERS		2u
#define OUTPUTS			(OUTPUT_LEGACY + LEGACY_TIMERS)
#define OUTPUT_NONE		OUTPUTS

/* Short periods are passed over until this far ahead. */
#define AHEAD_TICKS		2000u
/* A match farther away never comes. */
#define HORIZON_TICKS		(INT64_MAX / HPET_TICK_NS)
#define WRAP_32BIT_NS		((LOW_HALF + 1) * HPET_TICK_NS)

static const struct state_field fields[] = {
	STATE_FIELD_MOST(struct hpet_state, general, GENERAL_ENABLE | GENERAL_LEGACY),
	STATE_FIELD(struct hpet_state, counter),
	STATE_FIELD(struct hpet_state, base),
	STATE_FIELD(struct hpet_state, asserted),
	STATE_ARRAY(struct hpet_state, config),
	STATE_ARRAY(struct hpet_state, comparator),
	STATE_ARRAY(struct hpet_state, period),
	STATE_ARRAY(struct hpet_state, deadline),
	STATE_ARRAY_MOST(struct hpet_state, high_follows, 1),
	STATE_FIELD_MOST(struct hpet_state, status, (1u << HPET_TIMERS) - 1),
};

const struct state_table hpet_state_table = {
	.name = "hpet",
	.version = 1,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

static bool running(const struct hpet *hpet)
{
	return hpet->s.general & GENERAL_ENABLE;
}

bool hpet_legacy_active(const struct hpet *hpet)
{
	return running(hpet) && hpet->s.general & GENERAL_LEGACY;
}

static uint64_t counter(const struct hpet *hpet, uint64_t now)
{
	return hpet->s.counter + (running(hpet) ? (now - hpet->s.base) / HPET_TICK_NS : 0);
}

static uint64_t width(const struct hpet *hpet, unsigned int n)
{
	return hpet->s.config[n] & MODE_32BIT ? LOW_HALF : UINT64_MAX;
}

/* A route that the hardware does not have leads nowhere: that of reset may be one. */
static unsigned int output(const struct hpet *hpet, unsigned int n)
{
	unsigned int route = (hpet->s.config[n] & ROUTE) >> ROUTE_SHIFT;

	if (n < LEGACY_TIMERS && hpet_legacy_active(hpet))
		return OUTPUT_LEGACY + n;
	return hpet->route_cap >> route & 1 ? route : OUTPUT_NONE;
}

static void drive(const struct hpet *hpet, unsigned int out, bool level)
{
	struct line line = hpet->pins;

	if (out == OUTPUT_LEGACY)
		line = hpet->legacy_irq0;
	else if (out > OUTPUT_LEGACY)
		line = hpet->legacy_irq8;
	else
		line.pin += out;
	line_set(&line, level);
}

/* The level-triggered outputs that are high by the status. Timers may share one. */
static uint64_t asserted_outputs(const struct hpet *hpet)
{
	const struct hpet_state *s = &hpet->s;
	uint64_t asserted = 0;

	for (unsigned int n = 0; n < HPET_TIMERS; n++) {
		if (s->status >> n & 1 && s->config[n] & INTERRUPT_ENABLE && running(hpet) &&
		    output(hpet, n) != OUTPUT_NONE)
			asserted |= 1ull << output(hpet, n);
	}
	return asserted;
}

static void update_outputs(struct hpet *hpet)
{
	struct hpet_state *s = &hpet->s;
	uint64_t asserted = asserted_outputs(hpet), changed = asserted ^ s->asserted;

	s->asserted = asserted;
	for (unsigned int out = 0; changed >> out && out < OUTPUTS; out++) {
		if (changed >> out & 1)
			drive(hpet, out, asserted >> out & 1);
	}
}

static void interrupt(struct hpet *hpet, unsigned int n)
{
	struct hpet_state *s = &hpet->s;
	unsigned int out = output(hpet, n);

	if (!(s->config[n] & INTERRUPT_ENABLE))
		return;
	if (s->config[n] & LEVEL) {
		s->status |= 1u << n;
		update_outputs(hpet);
	} else if (out != OUTPUT_NONE && !(s->asserted >> out & 1)) {
		drive(hpet, out, true);
		drive(hpet, out, false);
	}
}

/* The comparator matches when the counter is equal to it: a value that has gone by waits for the counter's wrap. */
static void arm(struct hpet *hpet, unsigned int n, uint64_t now)
{
	struct hpet_state *s = &hpet->s;
	uint64_t ticks = (s->comparator[n] - counter(hpet, now)) & width(hpet, n);

	if (!running(hpet) || ticks >= HORIZON_TICKS)
		s->deadline[n] = TIME_NEVER;
	else
		s->deadline[n] = now - (now - s->base) % HPET_TICK_NS + ticks * HPET_TICK_NS;
}

static void next_period(struct hpet *hpet, unsigned int n, uint64_t now)
{
	struct hpet_state *s = &hpet->s;
	uint64_t period = s->period[n];
	uint64_t late = (counter(hpet, now) - s->comparator[n]) & width(hpet, n);

	if (period < AHEAD_TICKS)
		late += AHEAD_TICKS;
	s->comparator[n] = (s->comparator[n] + (late / period + 1) * period) & width(hpet, n);
	arm(hpet, n, now);
}

/* However many matches have passed, the guest gets one interrupt and the phase stays. */
static void match(struct hpet *hpet, unsigned int n, uint64_t now)
{
	struct hpet_state *s = &hpet->s;

	if (s->config[n] & PERIODIC && s->period[n])
		next_period(hpet, n, now);
	else if (s->config[n] & MODE_32BIT)
		s->deadline[n] += ((now - s->deadline[n]) / WRAP_32BIT_NS + 1) * WRAP_32BIT_NS;
	else
		s->deadline[n] = TIME_NEVER;
	interrupt(hpet, n);
}

static void advance(void *device)
{
	struct hpet *hpet = device;
	uint64_t now = *hpet->now;

	for (unsigned int n = 0; n < HPET_TIMERS; n++) {
		if (now >= hpet->s.deadline[n])
			match(hpet, n, now);
	}
}

static uint64_t deadline(const void *device)
{
	const struct hpet *hpet = device;
	uint64_t first = TIME_NEVER;

	for (unsigned int n = 0; n < HPET_TIMERS; n++) {
		if (hpet->s.config[n] & INTERRUPT_ENABLE && hpet->s.deadline[n] < first)
			first = hpet->s.deadline[n];
	}
	return first;
}

static void init(void *device)
{
	struct hpet *hpet = device;

	hpet->s = (struct hpet_state){ 0 };
	for (unsigned int n = 0; n < HPET_TIMERS; n++) {
		hpet->s.comparator[n] = UINT64_MAX;
		hpet->s.deadline[n] = TIME_NEVER;
	}
	line_set(&hpet->legacy_active, false);
}

static void set_counter(struct hpet *hpet, uint64_t value, uint64_t now)
{
	hpet->s.counter = value;
	hpet->s.base = now;
	for (unsigned int n = 0; n < HPET_TIMERS; n++)
		arm(hpet, n, now);
}

static void write_general(struct hpet *hpet, uint64_t value, uint64_t now)
{
	struct hpet_state *s = &hpet->s;
	uint64_t count = counter(hpet, now);
	bool legacy = hpet_legacy_active(hpet);
	bool ran = running(hpet);

	s->general = value & (GENERAL_ENABLE | GENERAL_LEGACY);
	if (ran != running(hpet))
		set_counter(hpet, count, now);
	/* A route that ends must fall before the 8254 and the RTC take its place. */
	update_outputs(hpet);
	if (legacy != hpet_legacy_active(hpet))
		line_set(&hpet->legacy_active, !legacy);
}

static void write_config(struct hpet *hpet, unsigned int n, uint64_t value, uint64_t now)
{
	struct hpet_state *s = &hpet->s;
	uint64_t old = s->config[n];

	/* Software finds the routes it may use by reading back (2.3.8). */
	if (!(hpet->route_cap >> ((value & ROUTE) >> ROUTE_SHIFT) & 1))
		value = (value & ~ROUTE) | (old & ROUTE);
	s->config[n] = value & CONFIG_WRITABLE;
	if (!(value & LEVEL))
		s->status &= ~(1u << n);
	if ((old ^ value) & (MODE_32BIT | PERIODIC)) {
		s->comparator[n] &= width(hpet, n);
		s->period[n] &= width(hpet, n);
		arm(hpet, n, now);
	}
	update_outputs(hpet);
}

static uint64_t merge(uint64_t old, uint64_t value, uint64_t mask)
{
	return (old & ~mask) | (value & mask);
}

/*
 * 2.3.9.2.2: a write sets the period of a periodic timer, and the comparator too while VALUE_SET is on, which the
 * write turns off. A 64-bit write in two halves, low one first, is one write.
 */
static void write_comparator(struct hpet *hpet, unsigned int n, uint64_t value, uint64_t mask, uint64_t now)
{
	struct hpet_state *s = &hpet->s;
	bool periodic = s->config[n] & PERIODIC;
	bool direct = !periodic || s->config[n] & VALUE_SET || (mask == HIGH_HALF && s->high_follows[n]);

	s->high_follows[n] = mask == LOW_HALF && periodic && s->config[n] & VALUE_SET;
	if (mask & LOW_HALF)
		s->config[n] &= ~VALUE_SET;
	mask &= width(hpet, n);
	if (periodic)
		s->period[n] = merge(s->period[n], value, mask);
	if (direct)
		s->comparator[n] = merge(s->comparator[n], value, mask);
	arm(hpet, n, now);
}

static uint64_t read_timer(const struct hpet *hpet, unsigned int n, unsigned int reg)
{
	switch (reg) {
	case TIMER_CONFIG:
		return hpet->s.config[n] | PERIODIC_CAPABLE | SIZE_CAPABLE |
		       (uint64_t)hpet->route_cap << ROUTE_CAP_SHIFT;
	case TIMER_COMPARATOR:
		return hpet->s.comparator[n];
	default:
		return 0;
	}
}

static uint64_t read_register(const struct hpet *hpet, unsigned int reg, uint64_t now)
{
	unsigned int n = (reg - REG_TIMERS) / TIMER_STRIDE;

	switch (reg) {
	case REG_CAPABILITIES:
		return CAPABILITIES;
	case REG_GENERAL:
		return hpet->s.general;
	case REG_STATUS:
		return hpet->s.status;
	case REG_COUNTER:
		return counter(hpet, now);
	default:
		return reg >= REG_TIMERS && n < HPET_TIMERS ? read_timer(hpet, n, reg % TIMER_STRIDE) : 0;
	}
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct hpet *hpet = device;
	unsigned int within = offset % REG_BYTES;

	(void)bytes;
	advance(hpet);
	return read_register(hpet, (unsigned int)offset - within, *hpet->now) >> within * 8;
}

static void write_timer(struct hpet *hpet, unsigned int n, unsigned int reg, uint64_t value, uint64_t mask,
			uint64_t now)
{
	switch (reg) {
	case TIMER_CONFIG:
		write_config(hpet, n, merge(hpet->s.config[n], value, mask), now);
		break;
	case TIMER_COMPARATOR:
		write_comparator(hpet, n, value, mask, now);
		break;
	default:
		break;		/* message-signalled interrupts are not there */
	}
}

static void write_register(struct hpet *hpet, unsigned int reg, uint64_t value, uint64_t mask, uint64_t now)
{
	unsigned int n = (reg - REG_TIMERS) / TIMER_STRIDE;

	switch (reg) {
	case REG_GENERAL:
		write_general(hpet, merge(hpet->s.general, value, mask), now);
		break;
	case REG_STATUS:
		hpet->s.status &= ~(value & mask);
		update_outputs(hpet);
		break;
	case REG_COUNTER:
		set_counter(hpet, merge(counter(hpet, now), value, mask), now);
		break;
	default:
		if (reg >= REG_TIMERS && n < HPET_TIMERS)
			write_timer(hpet, n, reg % TIMER_STRIDE, value, mask, now);
		break;
	}
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct hpet *hpet = device;
	unsigned int within = offset % REG_BYTES, reg = (unsigned int)offset - within;

	advance(hpet);
	if (bytes == REG_BYTES && !within)
		write_register(hpet, reg, value, UINT64_MAX, *hpet->now);
	else if (bytes == HALF_BYTES && within % HALF_BYTES == 0)
		write_register(hpet, reg, value << within * 8, LOW_HALF << within * 8, *hpet->now);
}

static const char *invalid_timer(const struct hpet *hpet, unsigned int n, uint64_t now)
{
	const struct hpet_state *s = &hpet->s;

	if (s->config[n] & ~CONFIG_WRITABLE)
		return "config";
	if (s->comparator[n] & ~width(hpet, n))
		return "comparator";
	if (s->period[n] & ~width(hpet, n))
		return "period";
	if (s->deadline[n] != TIME_NEVER && s->deadline[n] > now + INT64_MAX)
		return "deadline";
	return NULL;
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	struct hpet hpet = *(const struct hpet *)device;
	const char *field = NULL;

	hpet.s = *(const struct hpet_state *)states[0];
	if (hpet.s.base > now)
		return "base";
	for (unsigned int n = 0; !field && n < HPET_TIMERS; n++)
		field = invalid_timer(&hpet, n, now);
	return !field && hpet.s.asserted != asserted_outputs(&hpet) ? "asserted" : field;
}

static const struct device_part parts[] = {
	DEVICE_PART(hpet_state_table, 0, struct hpet, s),
};

const struct device_ops hpet_device = {
	.init = init, .advance = advance, .deadline = deadline, DEVICE_PARTS(parts), .valid = valid,
};
const struct io_ops hpet_io = { .read = io_read, .write = io_write, .widest = REG_BYTES, .timed = true };
