/* SPDX-License-Identifier: GPL-2.0 */
/* I/O APIC: redirection, triggers, remote IRR, masks, end of interrupt, against the 82093AA data sheet. */
#include <check.h>
#include <string.h>

#include "chip/ioapic.h"
#include "roundtrip.h"
#include "suite.h"

#define CPUS 2u
#define SVR 0xf0u
#define EOI 0xb0u
#define LDR 0xd0u

#define MASKED 0x10000u
#define LEVEL 0x8000u
#define REMOTE_IRR 0x4000u
#define LOGICAL 0x800u

static struct lapic cpu[CPUS];
static struct lapic_page pages[CPUS];
static struct lapic_bus bus;
static struct ioapic chip;

/* An entry of this one's. */
static struct lapic *at(unsigned int i)
{
	lapic_begin(&cpu[i], 0, false);
	return &cpu[i];
}

static int pending(unsigned int i)
{
	return lapic_pending(at(i));
}

/* What it takes into service, or -1. */
static int acknowledge(unsigned int i)
{
	int vector = pending(i);

	if (vector >= 0)
		lapic_acknowledge(&cpu[i], (uint8_t)vector);
	return vector;
}

static void pass_eoi(void *owner, uint8_t vector)
{
	ioapic_eoi(owner, vector);
}

static uint32_t get(unsigned int offset)
{
	return (uint32_t)ioapic_io.read(&chip, offset, 4);
}

static void set(unsigned int offset, uint32_t value)
{
	ioapic_io.write(&chip, offset, 4, value);
}

static uint32_t read_reg(unsigned int reg)
{
	set(0x00, reg);
	return get(0x10);
}

static void write_reg(unsigned int reg, uint32_t value)
{
	set(0x00, reg);
	set(0x10, value);
}

static uint32_t low(unsigned int pin)
{
	return read_reg(0x10 + 2 * pin);
}

static void route(unsigned int pin, uint8_t dest, uint32_t value)
{
	write_reg(0x11 + 2 * pin, (uint32_t)dest << 24);
	write_reg(0x10 + 2 * pin, value);
}

static void setup(void)
{
	memset(cpu, 0, sizeof(cpu));
	memset(&chip, 0, sizeof(chip));
	bus = (struct lapic_bus){ .count = CPUS, .eoi = pass_eoi, .owner = &chip };
	chip.bus = &bus;
	for (unsigned int i = 0; i < CPUS; i++) {
		cpu[i] = (struct lapic){
			.bus = &bus, .index = i, .id = i, .bsp = i == 0,
			.address_bits = 40, .tsc_khz = 1000000, .page = &pages[i],
		};
		bus.cpu[i] = &cpu[i];
		lapic_init(&cpu[i]);
		lapic_write(at(i), SVR, 0x1ff, 0);
	}
	ioapic_device.init(&chip);
	bus.current = NULL;
}

static void end(unsigned int i)
{
	lapic_write(at(i), EOI, 0, 0);
}

START_TEST(registers)
{
	ck_assert_uint_eq(read_reg(0x01), 0x00170020);
	write_reg(0x00, 0xffffffff);
	ck_assert_uint_eq(read_reg(0x00), 0x0f000000);
	ck_assert_uint_eq(read_reg(0x02), 0x0f000000);
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		ck_assert_uint_eq(low(pin), MASKED);
		ck_assert_uint_eq(read_reg(0x11 + 2 * pin), 0);
	}
	write_reg(0x3e, 0xffffffff);
	write_reg(0x3f, 0xffffffff);
	ck_assert_uint_eq(low(23), 0x1afff);
	ck_assert_uint_eq(read_reg(0x3f), 0xff000000);
	/* There is nothing behind the last entry, nor between the registers. */
	write_reg(0x40, 0xffffffff);
	write_reg(0xff, 0xffffffff);
	write_reg(0x03, 0xffffffff);
	ck_assert_uint_eq(read_reg(0x40) | read_reg(0xff) | read_reg(0x03), 0);
	ck_assert_uint_eq(get(0x14), 0);
	set(0x00, 0x112);
	ck_assert_uint_eq(get(0x00), 0x12);
}
END_TEST

START_TEST(edge)
{
	route(4, 1, 0x34);
	ioapic_set_pin(&chip, 4, true);
	ck_assert_uint_eq(bus.kick, 2);
	ck_assert_int_eq(acknowledge(1), 0x34);
	ck_assert_uint_eq(low(4), 0x34);
	end(1);
	ioapic_set_pin(&chip, 4, true);
	ck_assert_int_eq(pending(1), -1);
	ioapic_set_pin(&chip, 4, false);
	ioapic_set_pin(&chip, 4, true);
	ck_assert_int_eq(pending(1), 0x34);
}
END_TEST

START_TEST(masked_edge_is_lost)
{
	route(4, 0, MASKED | 0x34);
	ioapic_set_pin(&chip, 4, true);
	route(4, 0, 0x34);
	ck_assert_int_eq(pending(0), -1);
	ioapic_set_pin(&chip, 4, false);
	ck_assert_int_eq(pending(0), -1);
	ioapic_set_pin(&chip, 4, true);
	ck_assert_int_eq(pending(0), 0x34);
}
END_TEST

START_TEST(level)
{
	route(10, 0, LEVEL | 0x45);
	ioapic_set_pin(&chip, 10, true);
	ck_assert_uint_eq(low(10), REMOTE_IRR | LEVEL | 0x45);
	ck_assert_int_eq(acknowledge(0), 0x45);
	/* Not again before its end, then again while the pin is asserted. */
	ioapic_set_pin(&chip, 10, false);
	ioapic_set_pin(&chip, 10, true);
	ck_assert_int_eq(pending(0), -1);
	end(0);
	ck_assert_int_eq(acknowledge(0), 0x45);
	ck_assert_uint_eq(low(10), REMOTE_IRR | LEVEL | 0x45);
	ioapic_set_pin(&chip, 10, false);
	end(0);
	ck_assert_uint_eq(low(10), LEVEL | 0x45);
	ck_assert_int_eq(pending(0), -1);
}
END_TEST

START_TEST(masked_level_waits)
{
	route(10, 0, MASKED | LEVEL | 0x45);
	ioapic_set_pin(&chip, 10, true);
	ck_assert_int_eq(pending(0), -1);
	route(10, 0, LEVEL | 0x45);
	ck_assert_int_eq(acknowledge(0), 0x45);
	/* Masked in service: the end clears remote IRR, delivery waits for the mask. */
	route(10, 0, MASKED | LEVEL | 0x45);
	end(0);
	ck_assert_uint_eq(low(10), MASKED | LEVEL | 0x45);
	ck_assert_int_eq(pending(0), -1);
	route(10, 0, LEVEL | 0x45);
	ck_assert_int_eq(pending(0), 0x45);
}
END_TEST

START_TEST(polarity_is_only_kept)
{
	route(10, 0, LEVEL | 0x2000 | 0x45);
	ck_assert_int_eq(pending(0), -1);
	ioapic_set_pin(&chip, 10, true);
	ck_assert_int_eq(pending(0), 0x45);
	ck_assert_uint_eq(low(10) & 0x2000, 0x2000);
}
END_TEST

START_TEST(eoi_register_and_edge_drop_remote_irr)
{
	route(10, 0, LEVEL | 0x45);
	ioapic_set_pin(&chip, 10, true);
	ioapic_set_pin(&chip, 10, false);
	set(0x40, 0x46);
	ck_assert_uint_eq(low(10) & REMOTE_IRR, REMOTE_IRR);
	set(0x40, 0x45);
	ck_assert_uint_eq(low(10) & REMOTE_IRR, 0);
	ioapic_set_pin(&chip, 10, true);
	ck_assert_uint_eq(low(10) & REMOTE_IRR, REMOTE_IRR);
	route(10, 0, MASKED | 0x45);
	route(10, 0, MASKED | LEVEL | 0x45);
	ck_assert_uint_eq(low(10) & REMOTE_IRR, 0);
}
END_TEST

START_TEST(logical_and_lowest)
{
	lapic_write(at(0), LDR, 1u << 24, 0);
	lapic_write(at(1), LDR, 2u << 24, 0);
	route(5, 3, LOGICAL | 0x50);
	ioapic_set_pin(&chip, 5, true);
	ck_assert_int_eq(acknowledge(0), 0x50);
	ck_assert_int_eq(pending(1), 0x50);
	route(6, 3, LOGICAL | 0x160);
	ioapic_set_pin(&chip, 6, true);
	ck_assert_int_eq(pending(0), -1);
	ck_assert_int_eq(pending(1), 0x60);
}
END_TEST

START_TEST(nmi_is_an_edge)
{
	route(7, 0, LEVEL | 0x400);
	ioapic_set_pin(&chip, 7, true);
	ck_assert_uint_eq(cpu[0].s.nmi_pending, 1);
	ck_assert_uint_eq(low(7) & REMOTE_IRR, 0);
	cpu[0].s.nmi_pending = 0;
	route(7, 0, LEVEL | 0x400);
	ck_assert_uint_eq(cpu[0].s.nmi_pending, 0);
}
END_TEST

START_TEST(nobody_there)
{
	route(10, 9, LEVEL | 0x45);
	ioapic_set_pin(&chip, 10, true);
	ck_assert_uint_eq(low(10), LEVEL | 0x45);
	route(10, 0, LEVEL | 0x45);
	ck_assert_int_eq(pending(0), 0x45);
	route(11, 9, LEVEL | 0x46);
	ioapic_set_pin(&chip, 11, true);
	write_reg(0x11 + 2 * 11, 0);
	ck_assert_int_eq(pending(0), 0x46);
	ioapic_set_pin(&chip, IOAPIC_PINS, true);
	ioapic_set_pin(&chip, 4000, true);
	ck_assert_uint_eq(chip.s.pins, 3u << 10);
}
END_TEST

START_TEST(save_load_save)
{
	struct ioapic copy = { .bus = &bus };

	route(10, 0, LEVEL | 0x45);
	ioapic_set_pin(&chip, 10, true);
	write_reg(0, 0x05000000);
	roundtrip(&ioapic_state_table, 0, &chip.s, &copy.s);
	ck_assert_uint_eq(copy.s.entry[10], REMOTE_IRR | LEVEL | 0x45);
	ck_assert_uint_eq(copy.s.pins, 1u << 10);
	ck_assert_uint_eq(copy.s.id, 0x05000000);
}
END_TEST

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static bool read_enabled(unsigned int i)
{
	return lapic_read(at(i), SVR, 0) & 0x100;
}

static bool entries_sound(void)
{
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t entry = chip.s.entry[pin];
		bool due = chip.s.pins >> pin & 1 && (entry & (MASKED | LEVEL | LOGICAL | 0x600)) == LEVEL &&
			   entry >> 56 == 0 && (entry & 0xff) >= 16 && read_enabled(0);

		if (entry & 0x00fffffffffe1000 || (due && !(entry & REMOTE_IRR)))
			return false;
	}
	return true;
}

/* Whatever is written: an asserted, unmasked level pin with somebody to take it is never forgotten. */
START_TEST(random_accesses)
{
	uint64_t seed = 0x696f61;

	for (unsigned int step = 0; step < 50000; step++) {
		uint64_t value = next_random(&seed);

		switch (value >> 60 & 3) {
		case 0:
			ioapic_set_pin(&chip, value % 26, value >> 8 & 1);
			break;
		case 1:
			set(value >> 32 & 0x7f, value);
			break;
		case 2:
			write_reg(value >> 32 & 0x4f, value >> 32 & 1 ? (value & 1) << 24 : value & ~0x700ull);
			break;
		default:
			acknowledge(value & 1);
			end(value & 1);
			break;
		}
		get(value >> 40 & 0x1f);
		ck_assert(entries_sound());
		if (step % 5000 == 4999)
			setup();
	}
}
END_TEST

SUITE("ioapic", tcase)
{
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, registers);
	tcase_add_test(tcase, edge);
	tcase_add_test(tcase, masked_edge_is_lost);
	tcase_add_test(tcase, level);
	tcase_add_test(tcase, masked_level_waits);
	tcase_add_test(tcase, polarity_is_only_kept);
	tcase_add_test(tcase, eoi_register_and_edge_drop_remote_irr);
	tcase_add_test(tcase, logical_and_lowest);
	tcase_add_test(tcase, nmi_is_an_edge);
	tcase_add_test(tcase, nobody_there);
	tcase_add_test(tcase, save_load_save);
	tcase_add_test(tcase, random_accesses);
}
