/* SPDX-License-Identifier: GPL-2.0 */
/* Intel 8254 interval timer and system control port B. */
#include "chip/i8254.h"

#include <keel/macros.h>

#include "core/string.h"

enum i8254_mode {
	MODE_TERMINAL_COUNT,
	MODE_ONE_SHOT,
	MODE_RATE,
	MODE_SQUARE,
	MODE_SOFTWARE_STROBE,
	MODE_HARDWARE_STROBE,
};

enum i8254_bits {
	CONTROL_OFFSET = 3,
	CONTROL_BCD = 1 << 0,
	CONTROL_MODE_SHIFT = 1,
	CONTROL_ACCESS_SHIFT = 4,
	CONTROL_SELECT_SHIFT = 6,
	CONTROL_READ_BACK = 3,		/* in the place of a counter */
	READ_BACK_NO_COUNT = 1 << 5,
	READ_BACK_NO_STATUS = 1 << 4,
	READ_BACK_COUNTER0 = 1 << 1,
	STATUS_OUT = 1 << 7,
	STATUS_NULL_COUNT = 1 << 6,

	ACCESS_LATCH = 0,
	ACCESS_LOW = 1,
	ACCESS_HIGH = 2,
	ACCESS_WORD = 3,

	PORT61_GATE2 = 1 << 0,
	PORT61_STORED = 0x0f,		/* gate 2, speaker data, parity and channel check enables */
	PORT61_REFRESH_SHIFT = 4,
	PORT61_OUT2_SHIFT = 5,
};

#define BINARY_COUNTS		65536u
#define BCD_COUNTS		10000u
#define REFRESH_TICKS		18u	/* counter 1 of the PC/AT asks for a refresh every 15 us */
#define MINIMUM_SPACING		60u	/* ticks: 50 us */
#define OPEN_BUS		0xff
#define LATCHED_MOST		2u	/* bytes */

static const struct state_field counter_fields[] = {
	STATE_FIELD(struct i8254_counter, start),
	STATE_FIELD(struct i8254_counter, reload_at),
	STATE_FIELD_MOST(struct i8254_counter, count, BINARY_COUNTS),
	STATE_FIELD_MOST(struct i8254_counter, base, BINARY_COUNTS),
	STATE_FIELD(struct i8254_counter, edges),
	STATE_FIELD(struct i8254_counter, held),
	STATE_FIELD(struct i8254_counter, latch),
	STATE_FIELD_MOST(struct i8254_counter, latched, LATCHED_MOST),
	STATE_FIELD(struct i8254_counter, status),
	STATE_FLAG(struct i8254_counter, status_latched),
	STATE_FIELD_MOST(struct i8254_counter, mode, MODE_HARDWARE_STROBE),
	STATE_FLAG(struct i8254_counter, bcd),
	STATE_FIELD_MOST(struct i8254_counter, access, ACCESS_WORD),
	STATE_FIELD(struct i8254_counter, write_low),
	STATE_FLAG(struct i8254_counter, write_high),
	STATE_FLAG(struct i8254_counter, read_high),
	STATE_FLAG(struct i8254_counter, gate),
	STATE_FLAG(struct i8254_counter, loaded),
	STATE_FLAG(struct i8254_counter, running),
	STATE_FLAG(struct i8254_counter, done),
	STATE_FLAG(struct i8254_counter, pending),
};

static const struct state_field i8254_fields[] = {
	STATE_STRUCTS(struct i8254_state, counter, counter_fields),
	STATE_FIELD(struct i8254_state, ready),
	STATE_FIELD(struct i8254_state, tick),
	STATE_FIELD_MOST(struct i8254_state, owed, I8254_BACKLOG),
	STATE_FLAG(struct i8254_state, out0),
	STATE_FIELD_MOST(struct i8254_state, port61, PORT61_STORED),
};

const struct state_table i8254_state_table = {
	.name = "i8254",
	.version = 1,
	.fields = i8254_fields,
	.count = ARRAY_SIZE(i8254_fields),
};

static uint64_t tick_of(const struct i8254 *chip)
{
	uint64_t tick = time_scale(*chip->now, I8254_HZ, NSEC_PER_SEC);

	return tick > chip->s.tick ? tick : chip->s.tick;
}

/* The first nanosecond of a tick; the inverse of tick_of. */
static uint64_t tick_ns(uint64_t tick)
{
	uint64_t seconds = tick / I8254_HZ;

	if (seconds >= TIME_NEVER / NSEC_PER_SEC)
		return TIME_NEVER;
	return seconds * NSEC_PER_SEC + (tick % I8254_HZ * NSEC_PER_SEC + I8254_HZ - 1) / I8254_HZ;
}

static bool is_periodic(const struct i8254_counter *c)
{
	return c->mode == MODE_RATE || c->mode == MODE_SQUARE;
}

static bool is_triggered(const struct i8254_counter *c)
{
	return c->mode == MODE_ONE_SHOT || c->mode == MODE_HARDWARE_STROBE;
}

/* Ticks of one run; never zero, not even in a state that was loaded from a file. */
static uint32_t period_of(const struct i8254_counter *c)
{
	return c->base ? c->base : BINARY_COUNTS;
}

static uint32_t modulus_of(const struct i8254_counter *c)
{
	return c->bcd ? BCD_COUNTS : BINARY_COUNTS;
}

/* The half of a square wave in which OUT is high. */
static uint32_t high_half(uint32_t count)
{
	return (count + 1) / 2;
}

/* Ticks since the load; a count is loaded one clock after it was written. */
static uint64_t elapsed(const struct i8254_counter *c, uint64_t tick)
{
	return (int64_t)(tick - c->start) > 0 ? tick - c->start : 0;
}

/* Ticks from the load to the last rising edge of OUT in a mode that ends. */
static uint32_t terminal(const struct i8254_counter *c)
{
	bool strobe = c->mode == MODE_SOFTWARE_STROBE || c->mode == MODE_HARDWARE_STROBE;

	return period_of(c) + strobe;
}

static uint16_t encode(const struct i8254_counter *c, uint64_t value)
{
	if (!c->bcd)
		return (uint16_t)value;
	return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

static uint32_t decode(const struct i8254_counter *c, uint16_t count)
{
	uint32_t value = count;

	if (c->bcd)
		value = (count & 15u) + (count >> 4 & 15u) * 10 + (count >> 8 & 15u) * 100 + (count >> 12) * 1000;
	return value ? value : modulus_of(c);
}

static uint64_t contents(const struct i8254_counter *c, uint64_t tick)
{
	uint64_t e = elapsed(c, tick), modulus = modulus_of(c);
	uint32_t period = period_of(c);

	if (!c->running)
		return c->held;
	if (c->mode == MODE_RATE)
		return period - e % period;
	if (c->mode == MODE_SQUARE) {
		/* Counts by twos from an even value, once for each half. */
		e %= period;
		if (e >= high_half(period))
			e -= high_half(period);
		return (period & ~1u) - 2 * e;
	}
	return (period + modulus - e % modulus) % modulus;
}

static bool output(const struct i8254_counter *c, uint64_t tick)
{
	uint64_t e = elapsed(c, tick);

	switch (c->mode) {
	case MODE_TERMINAL_COUNT:
		return c->done;
	case MODE_ONE_SHOT:
		return c->done || !c->running;
	case MODE_RATE:
		return !c->running || e != period_of(c) - 1;
	case MODE_SQUARE:
		return !c->running || e < high_half(period_of(c));
	default:
		return c->done || !c->running || e != period_of(c);
	}
}

static void load(struct i8254_counter *c, uint64_t tick)
{
	c->base = c->count;
	c->start = tick;
	c->pending = 0;
	c->done = 0;
	c->running = 1;
}

/* The count written during a period of modes 2 and 3 takes over where the period, or half period, ends. */
static void reload(struct i8254_counter *c)
{
	uint64_t at = c->reload_at;
	bool ends_period = at - c->start >= period_of(c);

	c->edges += ends_period;
	load(c, ends_period ? at : at - high_half(c->count));
}

/* Brings a counter up to the tick: start moves on by whole periods, edges collects what OUT did. */
static void sync(struct i8254_counter *c, uint64_t tick)
{
	uint64_t periods;

	if (!c->running)
		return;
	if (!is_periodic(c)) {
		if (!c->done && elapsed(c, tick) >= terminal(c)) {
			c->done = 1;
			c->edges++;
		}
		return;
	}
	if (c->pending && tick >= c->reload_at)
		reload(c);
	periods = elapsed(c, tick) / period_of(c);
	c->start += periods * period_of(c);
	c->edges += periods < I8254_BACKLOG ? (uint32_t)periods : I8254_BACKLOG;
}

static void stop(struct i8254_counter *c, uint64_t tick)
{
	c->held = (uint16_t)contents(c, tick);
	c->running = 0;
}

static void show_out0(struct i8254 *chip, bool level)
{
	if (chip->s.out0 == level)
		return;
	chip->s.out0 = level;
	line_set(&chip->out0, level);
}

/* Delivers one of the edges that are due, then shows the level of OUT 0. */
static void drive_out0(struct i8254 *chip, uint64_t tick)
{
	struct i8254_state *s = &chip->s;
	struct i8254_counter *c = &s->counter[0];
	uint32_t spacing = period_of(c) / 2;
	bool level = output(c, tick);

	s->owed = s->owed + c->edges < I8254_BACKLOG ? s->owed + c->edges : I8254_BACKLOG;
	c->edges = 0;
	if (s->owed && tick >= s->ready) {
		show_out0(chip, false);
		show_out0(chip, true);
		s->owed--;
		s->ready = tick + (spacing > MINIMUM_SPACING ? spacing : MINIMUM_SPACING);
		show_out0(chip, level);
	} else if (!level || !s->owed) {
		/* A high level with an edge owed waits: it would be seen as that edge. */
		show_out0(chip, level);
	}
}

static uint64_t advance_counters(struct i8254 *chip)
{
	uint64_t tick = tick_of(chip);

	chip->s.tick = tick;
	for (unsigned int i = 0; i < I8254_COUNTERS; i++)
		sync(&chip->s.counter[i], tick);
	return tick;
}

static void latch_count(struct i8254_counter *c, uint64_t tick)
{
	if (c->latched)
		return;
	c->latch = encode(c, contents(c, tick));
	c->latched = c->access == ACCESS_WORD ? 2 : 1;
}

static void latch_status(struct i8254_counter *c, uint64_t tick)
{
	bool null_count = !c->loaded || c->pending || (int64_t)(tick - c->start) < 0;

	if (c->status_latched)
		return;
	c->status = (output(c, tick) ? STATUS_OUT : 0) | (null_count ? STATUS_NULL_COUNT : 0) |
		    c->access << CONTROL_ACCESS_SHIFT | c->mode << CONTROL_MODE_SHIFT |
		    (c->bcd ? CONTROL_BCD : 0);
	c->status_latched = 1;
}

static void read_back(struct i8254 *chip, uint8_t value, uint64_t tick)
{
	for (unsigned int i = 0; i < I8254_COUNTERS; i++) {
		if (!(value & READ_BACK_COUNTER0 << i))
			continue;
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(&chip->s.counter[i], tick);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(&chip->s.counter[i], tick);
	}
}

static void write_control(struct i8254 *chip, uint8_t value, uint64_t tick)
{
	unsigned int select = value >> CONTROL_SELECT_SHIFT;
	struct i8254_counter *c;
	uint8_t mode = value >> CONTROL_MODE_SHIFT & 7;

	if (select == CONTROL_READ_BACK) {
		read_back(chip, value, tick);
		return;
	}
	c = &chip->s.counter[select];
	if ((value >> CONTROL_ACCESS_SHIFT & 3) == ACCESS_LATCH) {
		latch_count(c, tick);
		return;
	}
	stop(c, tick);
	c->access = value >> CONTROL_ACCESS_SHIFT & 3;
	/* The top bit of modes 2 and 3 is a "don't care". */
	c->mode = mode > MODE_HARDWARE_STROBE ? mode & 3 : mode;
	c->bcd = value & CONTROL_BCD;
	c->loaded = c->pending = c->done = 0;
	c->latched = c->status_latched = 0;
	c->write_high = c->read_high = 0;
	if (select == 0)
		chip->s.owed = 0;
}

static void set_count(struct i8254_counter *c, uint16_t value, uint64_t tick)
{
	bool first = !c->loaded;

	c->count = decode(c, value);
	c->loaded = 1;
	c->pending = 1;
	if (is_triggered(c))
		return;
	if (is_periodic(c) && c->running && !first) {
		bool high = c->mode == MODE_SQUARE && elapsed(c, tick) < high_half(period_of(c));

		c->reload_at = c->start + (high ? high_half(period_of(c)) : period_of(c));
		return;
	}
	load(c, tick + 1);
	if (!c->gate) {
		c->held = (uint16_t)c->base;
		c->running = 0;
	}
}

static void write_count(struct i8254_counter *c, uint8_t value, uint64_t tick)
{
	if (c->access == ACCESS_LOW) {
		set_count(c, value, tick);
	} else if (c->access == ACCESS_HIGH) {
		set_count(c, (uint16_t)(value << 8), tick);
	} else if (c->write_high) {
		c->write_high = 0;
		set_count(c, (uint16_t)(value << 8 | c->write_low), tick);
	} else {
		c->write_high = 1;
		c->write_low = value;
		/* The first byte stops mode 0 and sets OUT low; the other modes go on with the old count. */
		if (c->mode == MODE_TERMINAL_COUNT) {
			stop(c, tick);
			c->done = 0;
		}
	}
}

static uint8_t read_count(struct i8254_counter *c, uint64_t tick)
{
	bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_WORD && c->read_high);
	uint16_t value;

	if (c->status_latched) {
		c->status_latched = 0;
		return c->status;
	}
	if (c->latched) {
		value = c->latch;
		c->latched--;
	} else {
		value = encode(c, contents(c, tick));
	}
	if (c->access == ACCESS_WORD)
		c->read_high = !c->read_high;
	return (uint8_t)(high ? value >> 8 : value);
}

static void rise_gate(struct i8254_counter *c, uint64_t tick)
{
	if (!c->loaded)
		return;
	if (is_triggered(c) || is_periodic(c)) {
		load(c, tick + 1);
	} else if (!c->running && !c->write_high) {
		/* Goes on where it stood; what a high gate would load at once was loaded when it was written. */
		c->base = c->held ? c->held : modulus_of(c);
		c->start = tick;
		c->running = 1;
	}
}

static void fall_gate(struct i8254_counter *c, uint64_t tick)
{
	/* The hardware-triggered modes have no use for the level. */
	if (!is_triggered(c) && c->running)
		stop(c, tick);
}

static void set_gate(struct i8254_counter *c, bool gate, uint64_t tick)
{
	if (c->gate == gate)
		return;
	c->gate = gate;
	if (gate)
		rise_gate(c, tick);
	else
		fall_gate(c, tick);
}

static void init(void *device)
{
	struct i8254 *chip = device;

	memset(&chip->s, 0, sizeof(chip->s));
	for (unsigned int i = 0; i < I8254_COUNTERS; i++) {
		chip->s.counter[i].access = ACCESS_WORD;
		chip->s.counter[i].base = BINARY_COUNTS;
		chip->s.counter[i].gate = i != 2;
	}
}

static void advance(void *device)
{
	drive_out0(device, advance_counters(device));
}

static uint64_t deadline(const void *device)
{
	const struct i8254 *chip = device;
	const struct i8254_counter *c = &chip->s.counter[0];
	uint64_t next;

	if (chip->s.owed || c->edges)
		return tick_ns(chip->s.ready);
	if (!c->running || (!is_periodic(c) && c->done))
		return TIME_NEVER;
	next = c->start + (is_periodic(c) ? period_of(c) : terminal(c));
	/* A count that takes over at half a period moves the edge. */
	if (is_periodic(c) && c->pending && c->reload_at < next)
		next = c->reload_at;
	return tick_ns(next > chip->s.ready ? next : chip->s.ready);
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct i8254 *chip = device;
	uint64_t tick = advance_counters(chip);

	(void)bytes;
	if (offset == CONTROL_OFFSET)
		return OPEN_BUS;
	return read_count(&chip->s.counter[offset], tick);
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct i8254 *chip = device;
	uint64_t tick = advance_counters(chip);

	(void)bytes;
	if (offset == CONTROL_OFFSET)
		write_control(chip, (uint8_t)value, tick);
	else
		write_count(&chip->s.counter[offset], (uint8_t)value, tick);
	drive_out0(chip, tick);
}

static uint64_t port61_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct i8254 *chip = device;
	uint64_t tick = advance_counters(chip);
	bool refresh = tick / REFRESH_TICKS & 1;
	bool out2 = output(&chip->s.counter[2], tick);

	(void)offset;
	(void)bytes;
	return (uint8_t)(chip->s.port61 | refresh << PORT61_REFRESH_SHIFT | out2 << PORT61_OUT2_SHIFT);
}

static void port61_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct i8254 *chip = device;

	(void)offset;
	(void)bytes;
	chip->s.port61 = value & PORT61_STORED;
	i8254_set_gate2(chip, value & PORT61_GATE2);
}

bool i8254_output(const struct i8254 *chip, unsigned int channel)
{
	uint64_t tick = tick_of(chip);
	struct i8254_counter c = chip->s.counter[channel % I8254_COUNTERS];

	sync(&c, tick);
	return output(&c, tick);
}

void i8254_set_gate2(struct i8254 *chip, bool gate)
{
	set_gate(&chip->s.counter[2], gate, advance_counters(chip));
}

/*
 * A count is loaded one clock after it was written, and taken over at the end of a period. Gates of counters 0 and 1
 * are tied high.
 */
static const char *invalid_counter(const struct i8254_counter *c, uint64_t tick, bool gated)
{
	if (c->access == ACCESS_LATCH)
		return "access";
	if (!gated && !c->gate)
		return "gate";
	if (c->running && !c->base)
		return "base";
	if (c->running && (int64_t)(c->start - tick) > 1)
		return "start";
	if (c->running && c->pending && is_periodic(c) && (int64_t)(c->reload_at - c->start) > (int64_t)BINARY_COUNTS)
		return "reload_at";
	return NULL;
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct i8254_state *s = states[0];
	const char *field = NULL;

	(void)device;
	if (s->tick > time_scale(now, I8254_HZ, NSEC_PER_SEC))
		return "tick";
	if (s->ready > s->tick + BINARY_COUNTS)
		return "ready";
	for (unsigned int i = 0; !field && i < I8254_COUNTERS; i++)
		field = invalid_counter(&s->counter[i], s->tick, i == 2);
	return field;
}

static const struct device_part parts[] = {
	DEVICE_PART(i8254_state_table, 0, struct i8254, s),
};

const struct device_ops i8254_device = {
	.init = init, .advance = advance, .deadline = deadline, DEVICE_PARTS(parts), .valid = valid,
};
const struct io_ops i8254_io = { .read = io_read, .write = io_write, .widest = 1, .timed = true };
const struct io_ops i8254_port61_io = { .read = port61_read, .write = port61_write, .widest = 1, .timed = true };
