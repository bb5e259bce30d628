/* SPDX-License-Identifier: GPL-2.0 */
/* Motorola MC146818A real-time clock. */
#include "chip/mc146818.h"

#include <keel/macros.h>

#include "core/string.h"
#include "shared/pc_map.h"

enum mc146818_register {
	REG_SECONDS,
	REG_SECONDS_ALARM,
	REG_MINUTES,
	REG_MINUTES_ALARM,
	REG_HOURS,
	REG_HOURS_ALARM,
	REG_WEEKDAY,		/* 1 is Sunday */
	REG_DAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_CENTURY = PC_RTC_CENTURY,
	REG_MASK = MC146818_BYTES - 1,
};

enum mc146818_bits {
	A_UIP = 1 << 7,
	A_DIVIDER_RESET = 0x60,		/* 11x */
	A_DIVIDER_32K = 0x20,
	A_RATE = 0x0f,
	A_RATE_1024HZ = 6,

	B_SET = 1 << 7,
	B_BINARY = 1 << 2,
	B_24H = 1 << 1,

	/* The enables in B are where the flags in C are. */
	C_IRQF = 1 << 7,
	C_PERIODIC = 1 << 6,
	C_ALARM = 1 << 5,
	C_UPDATE = 1 << 4,
	C_FLAGS = C_PERIODIC | C_ALARM | C_UPDATE,
	B_SQUARE_WAVE = 1 << 3,

	D_VALID = 1 << 7,

	ALARM_ANY = 0xc0,		/* these bits set: don't care */
	HOUR_PM = 1 << 7,
};

#define DIVIDER_HZ		32768u
#define UPDATE_NS		(244000u + 1984000u)	/* from the rise of UIP to the end of the update */
#define FIRST_UPDATE_NS		(NSEC_PER_SEC / 2)	/* after the divider's reset */
#define SECONDS_PER_DAY		86400u
#define EPOCH_YEAR		1970u
#define OPEN_BUS		0xff
#define INDEX_OFFSET		0u

static const struct state_field mc146818_fields[] = {
	STATE_FIELD(struct mc146818_state, next_update),
	STATE_FIELD(struct mc146818_state, divider_start),
	STATE_FIELD(struct mc146818_state, divider_seen),
	STATE_FIELD(struct mc146818_state, latest),
	STATE_FIELD(struct mc146818_state, ready),
	STATE_FIELD_MOST(struct mc146818_state, owed, MC146818_BACKLOG),
	STATE_FIELD_MOST(struct mc146818_state, index, REG_MASK),
	STATE_ARRAY(struct mc146818_state, ram),
};

const struct state_table mc146818_state_table = {
	.name = "mc146818",
	.version = 1,
	.fields = mc146818_fields,
	.count = ARRAY_SIZE(mc146818_fields),
};

static uint8_t encode(const struct mc146818 *chip, unsigned int value)
{
	return (uint8_t)(chip->s.ram[REG_B] & B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}

static unsigned int decode(const struct mc146818 *chip, uint8_t byte)
{
	return chip->s.ram[REG_B] & B_BINARY ? byte : (byte >> 4) * 10u + (byte & 15u);
}

static uint8_t encode_hour(const struct mc146818 *chip, unsigned int hour)
{
	if (chip->s.ram[REG_B] & B_24H)
		return encode(chip, hour);
	return encode(chip, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned int decode_hour(const struct mc146818 *chip, uint8_t byte)
{
	if (chip->s.ram[REG_B] & B_24H)
		return decode(chip, byte);
	return decode(chip, byte & ~HOUR_PM) % 12 + (byte & HOUR_PM ? 12 : 0);
}

static bool is_leap(unsigned int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned int month_days(unsigned int month, unsigned int year)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (month == 2 && is_leap(year))
		return 29;
	return days[(month - 1) % 12];
}

/* Lets days pass in the date registers. Whole cycles of 400 years are set apart: time that jumps costs little. */
static void add_days(struct mc146818 *chip, uint64_t days)
{
	const uint64_t cycle_days = 400 * 365 + 97;
	uint8_t *ram = chip->s.ram;
	unsigned int year = decode(chip, ram[REG_CENTURY]) * 100 + decode(chip, ram[REG_YEAR]);
	unsigned int month = decode(chip, ram[REG_MONTH]);
	unsigned int weekday = decode(chip, ram[REG_WEEKDAY]);
	uint64_t day = decode(chip, ram[REG_DAY]) + days % cycle_days;

	/* A month that the guest set wrong counts as January. */
	if (month < 1 || month > 12)
		month = 1;
	while (day > month_days(month, year)) {
		day -= month_days(month, year);
		if (++month > 12) {
			month = 1;
			year++;
		}
	}
	year += (unsigned int)(days / cycle_days % 25 * 400);
	ram[REG_WEEKDAY] = encode(chip, (unsigned int)((weekday + 6 + days) % 7 + 1));
	ram[REG_DAY] = encode(chip, (unsigned int)day);
	ram[REG_MONTH] = encode(chip, month);
	ram[REG_YEAR] = encode(chip, year % 100);
	ram[REG_CENTURY] = encode(chip, year / 100 % 100);
}

static uint32_t second_of_day(const struct mc146818 *chip)
{
	const uint8_t *ram = chip->s.ram;
	uint32_t seconds = decode_hour(chip, ram[REG_HOURS]) * 3600u + decode(chip, ram[REG_MINUTES]) * 60u +
			   decode(chip, ram[REG_SECONDS]);

	return seconds % SECONDS_PER_DAY;
}

static void add_seconds(struct mc146818 *chip, uint64_t seconds)
{
	uint64_t sum = second_of_day(chip) + seconds % SECONDS_PER_DAY;
	uint64_t days = seconds / SECONDS_PER_DAY + sum / SECONDS_PER_DAY;
	unsigned int rest = (unsigned int)(sum % SECONDS_PER_DAY);

	chip->s.ram[REG_SECONDS] = encode(chip, rest % 60);
	chip->s.ram[REG_MINUTES] = encode(chip, rest / 60 % 60);
	chip->s.ram[REG_HOURS] = encode_hour(chip, rest / 3600);
	/* Guests set the date field by field: one that does not exist stays as written until midnight. */
	if (days)
		add_days(chip, days);
}

static bool alarm_matches(uint8_t alarm, uint8_t time)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || alarm == time;
}

static bool alarm_is_possible(const struct mc146818 *chip)
{
	const uint8_t *ram = chip->s.ram;
	bool seconds = false, minutes = false, hours = false;

	for (unsigned int i = 0; i < 60; i++) {
		seconds |= alarm_matches(ram[REG_SECONDS_ALARM], encode(chip, i));
		minutes |= alarm_matches(ram[REG_MINUTES_ALARM], encode(chip, i));
		hours |= alarm_matches(ram[REG_HOURS_ALARM], encode_hour(chip, i % 24));
	}
	return seconds && minutes && hours;
}

/* Updates until the alarm strikes, 1 to 86400, or 0 if it never does. The search is short if it finds. */
static uint32_t updates_to_alarm(const struct mc146818 *chip)
{
	const uint8_t *ram = chip->s.ram;
	uint32_t start = second_of_day(chip), passed = 1;

	if (!alarm_is_possible(chip))
		return 0;
	while (passed <= SECONDS_PER_DAY) {
		uint32_t second = (start + passed) % SECONDS_PER_DAY;

		if (!alarm_matches(ram[REG_HOURS_ALARM], encode_hour(chip, second / 3600)))
			passed += 3600 - second % 3600;
		else if (!alarm_matches(ram[REG_MINUTES_ALARM], encode(chip, second / 60 % 60)))
			passed += 60 - second % 60;
		else if (!alarm_matches(ram[REG_SECONDS_ALARM], encode(chip, second % 60)))
			passed++;
		else
			return passed;
	}
	return 0;
}

static bool divider_runs(const struct mc146818 *chip)
{
	return (chip->s.ram[REG_A] & A_DIVIDER_RESET) != A_DIVIDER_RESET;
}

static bool updates_run(const struct mc146818 *chip)
{
	return divider_runs(chip) && !(chip->s.ram[REG_B] & B_SET);
}

static void sync_updates(struct mc146818 *chip, uint64_t now)
{
	uint64_t updates;
	uint32_t alarm;

	if (!divider_runs(chip) || now < chip->s.next_update)
		return;
	updates = (now - chip->s.next_update) / NSEC_PER_SEC + 1;
	chip->s.next_update += updates * NSEC_PER_SEC;
	if (!updates_run(chip))
		return;
	alarm = chip->s.ram[REG_C] & C_ALARM ? 0 : updates_to_alarm(chip);
	if (alarm && alarm <= updates)
		chip->s.ram[REG_C] |= C_ALARM;
	add_seconds(chip, updates);
	chip->s.ram[REG_C] |= C_UPDATE;
}

/* Divider ticks between periodic interrupts: data sheet, table 5. Rates 1 and 2 are 256 and 128 Hz again. */
static uint32_t periodic_ticks(const struct mc146818 *chip)
{
	unsigned int rate = chip->s.ram[REG_A] & A_RATE;

	if (!rate || !divider_runs(chip))
		return 0;
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

static uint64_t divider_ticks(const struct mc146818 *chip, uint64_t now)
{
	return time_scale(now - chip->s.divider_start, DIVIDER_HZ, NSEC_PER_SEC);
}

static void owe_periodic(struct mc146818 *chip, uint64_t count)
{
	uint64_t owed = chip->s.owed + count;

	chip->s.owed = owed < MC146818_BACKLOG ? (uint32_t)owed : MC146818_BACKLOG;
}

static void sync_periodic(struct mc146818 *chip, uint64_t now)
{
	uint32_t period = periodic_ticks(chip);
	uint64_t ticks = divider_ticks(chip, now), count;

	if (!period)
		return;
	count = ticks / period - chip->s.divider_seen / period;
	chip->s.divider_seen = ticks;
	if (!(chip->s.ram[REG_B] & C_PERIODIC)) {
		chip->s.ram[REG_C] |= count ? C_PERIODIC : 0;
		return;
	}
	owe_periodic(chip, count);
	if (chip->s.owed && now >= chip->s.ready && !(chip->s.ram[REG_C] & C_PERIODIC)) {
		chip->s.owed--;
		chip->s.ram[REG_C] |= C_PERIODIC;
	}
}

static void update_irq(struct mc146818 *chip)
{
	uint8_t *ram = chip->s.ram;

	ram[REG_C] &= ~C_IRQF;
	if (ram[REG_B] & ram[REG_C] & C_FLAGS)
		ram[REG_C] |= C_IRQF;
	line_set(&chip->irq, ram[REG_C] & C_IRQF);
}

/* Returns the time to use: it does not run backwards. */
static uint64_t sync(struct mc146818 *chip)
{
	uint64_t now = *chip->now;

	if (now < chip->s.latest)
		now = chip->s.latest;
	chip->s.latest = now;
	sync_updates(chip, now);
	sync_periodic(chip, now);
	return now;
}

/* The second's boundary is a tick of the divider. */
static void start_divider(struct mc146818 *chip, uint64_t next_update)
{
	chip->s.next_update = next_update;
	chip->s.divider_start = next_update - NSEC_PER_SEC;
	chip->s.divider_seen = divider_ticks(chip, chip->s.latest);
}

static void drop_backlog(struct mc146818 *chip)
{
	chip->s.owed = 0;
	chip->s.ready = 0;
}

static void write_a(struct mc146818 *chip, uint8_t value, uint64_t now)
{
	bool ran = divider_runs(chip);

	chip->s.ram[REG_A] = value & ~A_UIP;
	if (!ran && divider_runs(chip))
		start_divider(chip, now + FIRST_UPDATE_NS);
	chip->s.divider_seen = divider_ticks(chip, now);
	drop_backlog(chip);
}

static void write_b(struct mc146818 *chip, uint8_t value)
{
	/* Setting the clock switches the update-ended interrupt off. */
	if (value & B_SET)
		value &= ~C_UPDATE;
	if ((value ^ chip->s.ram[REG_B]) & C_PERIODIC)
		drop_backlog(chip);
	chip->s.ram[REG_B] = value;
}

static uint8_t read_a(const struct mc146818 *chip, uint64_t now)
{
	bool busy = updates_run(chip) && chip->s.next_update - now <= UPDATE_NS;

	return chip->s.ram[REG_A] | (busy ? A_UIP : 0);
}

static uint8_t read_c(struct mc146818 *chip, uint64_t now)
{
	uint8_t value;

	update_irq(chip);
	value = chip->s.ram[REG_C];
	chip->s.ram[REG_C] = 0;
	if (value & C_PERIODIC)
		chip->s.ready = now + periodic_ticks(chip) * NSEC_PER_SEC / DIVIDER_HZ / 2;
	return value;
}

static uint64_t next_periodic(const struct mc146818 *chip)
{
	uint32_t period = periodic_ticks(chip);
	uint64_t tick;

	if (!period)
		return TIME_NEVER;
	if (chip->s.owed)
		return chip->s.ready;
	tick = (chip->s.divider_seen / period + 1) * period;
	/* The first nanosecond that divider_ticks counts as this tick. */
	tick = chip->s.divider_start + tick / DIVIDER_HZ * NSEC_PER_SEC +
	       (tick % DIVIDER_HZ * NSEC_PER_SEC + DIVIDER_HZ - 1) / DIVIDER_HZ;
	return tick > chip->s.ready ? tick : chip->s.ready;
}

void mc146818_reset(struct mc146818 *chip)
{
	chip->s.ram[REG_B] &= ~(C_FLAGS | B_SQUARE_WAVE);
	chip->s.ram[REG_C] = 0;
	drop_backlog(chip);
	update_irq(chip);
}

void mc146818_set_wall(struct mc146818 *chip, int64_t wall_ns)
{
	uint64_t ns = wall_ns < 0 ? 0 : (uint64_t)wall_ns;
	uint8_t *ram = chip->s.ram;

	ram[REG_SECONDS] = ram[REG_MINUTES] = 0;
	ram[REG_HOURS] = encode_hour(chip, 0);
	ram[REG_WEEKDAY] = encode(chip, 5);		/* 1 January 1970 was a Thursday */
	ram[REG_DAY] = encode(chip, 1);
	ram[REG_MONTH] = encode(chip, 1);
	ram[REG_YEAR] = encode(chip, EPOCH_YEAR % 100);
	ram[REG_CENTURY] = encode(chip, EPOCH_YEAR / 100);
	add_seconds(chip, ns / NSEC_PER_SEC);
	start_divider(chip, NSEC_PER_SEC - ns % NSEC_PER_SEC);
}

void mc146818_poke(struct mc146818 *chip, unsigned int index, uint8_t value)
{
	chip->s.ram[index & REG_MASK] = value;
}

static void init(void *device)
{
	struct mc146818 *chip = device;

	memset(&chip->s, 0, sizeof(chip->s));
	chip->s.ram[REG_A] = A_DIVIDER_32K | A_RATE_1024HZ;
	chip->s.ram[REG_B] = B_24H;
	mc146818_set_wall(chip, 0);
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct mc146818 *chip = device;
	uint8_t index = chip->s.index & REG_MASK, value;
	uint64_t now;

	(void)bytes;
	/* The index cannot be read back. */
	if (offset == INDEX_OFFSET)
		return OPEN_BUS;
	now = sync(chip);
	switch (index) {
	case REG_A:
		value = read_a(chip, now);
		break;
	case REG_C:
		value = read_c(chip, now);
		break;
	case REG_D:
		value = D_VALID;
		break;
	default:
		value = chip->s.ram[index];
		break;
	}
	update_irq(chip);
	return value;
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct mc146818 *chip = device;
	uint8_t index = chip->s.index & REG_MASK, byte = (uint8_t)value;
	uint64_t now;

	(void)bytes;
	if (offset == INDEX_OFFSET) {
		chip->s.index = byte & REG_MASK;
		return;
	}
	now = sync(chip);
	switch (index) {
	case REG_A:
		write_a(chip, byte, now);
		break;
	case REG_B:
		write_b(chip, byte);
		break;
	case REG_C:
	case REG_D:
		break;
	default:
		chip->s.ram[index] = byte;
		break;
	}
	update_irq(chip);
}

static uint64_t deadline(const void *device)
{
	const struct mc146818 *chip = device;
	const struct mc146818_state *s = &chip->s;
	uint64_t first = TIME_NEVER, at;
	uint32_t alarm;

	if (s->ram[REG_B] & s->ram[REG_C] & C_FLAGS)
		return TIME_NEVER;
	if (s->ram[REG_B] & C_PERIODIC)
		first = next_periodic(chip);
	if (!updates_run(chip))
		return first;
	if ((s->ram[REG_B] & C_UPDATE) && s->next_update < first)
		first = s->next_update;
	alarm = s->ram[REG_B] & C_ALARM ? updates_to_alarm(chip) : 0;
	at = s->next_update + (alarm - 1) * NSEC_PER_SEC;
	if (alarm && at < first)
		first = at;
	return first;
}

static void advance(void *device)
{
	sync(device);
	update_irq(device);
}

void mc146818_pass(struct mc146818 *chip, uint64_t seconds)
{
	if (updates_run(chip))
		add_seconds(chip, seconds);
}

/* Times lie behind it by any span, and before it by a second at most. */
static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct mc146818_state *s = states[0];

	(void)device;
	if (s->latest > now)
		return "latest";
	if (s->next_update > s->latest + NSEC_PER_SEC)
		return "next_update";
	if ((int64_t)(s->divider_start - s->latest) > 0)
		return "divider_start";
	if (s->divider_seen > time_scale(s->latest - s->divider_start, DIVIDER_HZ, NSEC_PER_SEC))
		return "divider_seen";
	return s->ready > s->latest + NSEC_PER_SEC ? "ready" : NULL;
}

static const struct device_part parts[] = {
	DEVICE_PART(mc146818_state_table, 0, struct mc146818, s),
};

const struct device_ops mc146818_device = {
	.init = init, .advance = advance, .deadline = deadline, DEVICE_PARTS(parts), .valid = valid,
};
/* Reading register C lets the next interrupt come. */
const struct io_ops mc146818_io = { .read = io_read, .write = io_write, .widest = 1, .timed = true, .timed_reads = true };
