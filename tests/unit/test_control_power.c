/* SPDX-License-Identifier: GPL-2.0 */
/* The control domain's sleep, power-off and reset at the ports: what is refused, and that guests' memory is scrubbed before. */
#include <check.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#include <keel/macros.h>

#include "cpu.h"

#include "acpi.h"
#include "percpu.h"

#define CPUS	4u

static struct cpu cpu_memory[CPUS];
#define this_cpu() (&cpu_memory[0])

#include "../../vmm/control_power.c"
#include "../../arch/x86/power_ports.c"
#include "suite.h"

#define STATUS_A	0xb000u
#define CONTROL_A	0xb004u
#define STATUS_B	0xb100u
#define CONTROL_B	0xb104u
#define SLEEP_PORT	0xb200u
#define RESET_AT	0x64f0u
#define RESET_TO	0x5au
#define OFF_A		5u
#define OFF_B		6u
#define RIP		0x1234u
#define ENABLE		(1u << 13)

uint8_t *memory_test_arena;
struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count = CPUS;
const struct hv_ops *hv;

static struct acpi_power machine;
static bool watched[0x10000];
static bool guests, others_stop;
static jmp_buf out;

/* What happened, in order. */
static struct {
	unsigned int writes, ended, scrubbed, stops, advanced, lines;
	unsigned int scrubbed_before, running_at_scrub, written_back;
	uint16_t port;
	uint32_t value;
	unsigned int size;
} seen;

static uint32_t port_value;

static void write_seen(uint16_t port, uint32_t value, unsigned int size)
{
	seen.writes++;
	seen.port = port;
	seen.value = value;
	seen.size = size;
	seen.scrubbed_before = seen.scrubbed;
	/* A reset throws away what has not come to memory. */
	if (seen.scrubbed)
		ck_assert_uint_eq(seen.written_back, seen.scrubbed + 1);
}

void outb(uint16_t port, uint8_t value)
{
	write_seen(port, value, 1);
}

void outw(uint16_t port, uint16_t value)
{
	write_seen(port, value, 2);
}

void outl(uint16_t port, uint32_t value)
{
	write_seen(port, value, 4);
}

uint8_t inb(uint16_t port)
{
	(void)port;
	return (uint8_t)port_value;
}

uint16_t inw(uint16_t port)
{
	(void)port;
	return (uint16_t)port_value;
}

uint32_t inl(uint16_t port)
{
	(void)port;
	return port_value;
}

bool vm_end_all(void)
{
	seen.ended++;
	return guests;
}

void cpu_write_back(void)
{
	seen.written_back = seen.scrubbed + 1;
}

void vm_scrub_all(void)
{
	ck_assert_uint_gt(seen.ended, 0);
	for (unsigned int i = 1; i < CPUS; i++)
		seen.running_at_scrub += cpus[i]->online && !cpus[i]->parked;
	seen.scrubbed++;
}

void apic_send(uint32_t destination, uint32_t icr)
{
	ck_assert_uint_eq(icr, ICR_MODE_NMI | ICR_ASSERT);
	ck_assert(cpu_memory[destination].request & CPU_REQUEST_STOP);
	ck_assert_uint_ne(destination, 0);
	seen.stops++;
	if (others_stop)
		cpu_memory[destination].online = 0;
}

void smp_delay(uint32_t milliseconds)
{
	ck_assert_uint_le(milliseconds, 50);
}

void panic(const char *message)
{
	(void)message;
	longjmp(out, 1);
}

void cpu_rest(void)
{
	longjmp(out, 2);
}

void print(const char *format, ...)
{
	(void)format;
	seen.lines++;
}

static void watch_port(uint16_t port)
{
	watched[port] = true;
}

static void advance(struct cpu *cpu, uint64_t rip)
{
	ck_assert(cpu == &cpu_memory[0] && rip == RIP);
	seen.advanced++;
}

static const struct hv_ops ops = { .control.watch_port = watch_port, .control.advance = advance };

static void set_up(void)
{
	memset(cpu_memory, 0, sizeof(cpu_memory));
	for (unsigned int i = 0; i < CPUS; i++) {
		cpus[i] = &cpu_memory[i];
		cpu_memory[i].apic_id = i;
		cpu_memory[i].online = i < 3;
	}
	cpu_memory[2].parked = 1;
	hv = &ops;
	machine = (struct acpi_power){
		.status = { STATUS_A, STATUS_B }, .control = { CONTROL_A, CONTROL_B }, .sleep = SLEEP_PORT,
		.reset = RESET_AT, .reset_value = RESET_TO, .off = { OFF_A, OFF_B },
	};
	memset(watched, 0, sizeof(watched));
	memset(&seen, 0, sizeof(seen));
	leaving = NULL;
	woken = false;
	power_ports_init(&machine);
	guests = others_stop = true;
	port_value = 0;
}

static bool access_port(uint16_t port, unsigned int size, unsigned int io, uint32_t value)
{
	struct keel_exit exit = { .port = port, .size = (uint8_t)size, .io = (uint8_t)io, .next_rip = RIP };

	cpu_memory[0].control.gpr[KEEL_RAX] = 0xabcdef0000000000ull | value;
	return control_io(&cpu_memory[0], &exit);
}

static bool write(uint16_t port, unsigned int size, uint32_t value)
{
	memset(&seen, 0, sizeof(seen));
	ck_assert(access_port(port, size, 0, value));
	ck_assert_uint_eq(seen.advanced, 1);
	return seen.writes != 0;
}

/* All types of sleep at both registers, by bytes, words and wider, and from the register before. */
START_TEST(sleeping_states)
{
	for (uint32_t type = 0; type < 8; type++) {
		for (unsigned int b = 0; b < 2; b++) {
			uint16_t control = b ? CONTROL_B : CONTROL_A;
			bool off = type == (b ? OFF_B : OFF_A);

			set_up();
			ck_assert_int_eq(write(control, 2, ENABLE | type << 10 | 1), off);
			ck_assert_uint_eq(seen.scrubbed, off);
			ck_assert_uint_eq(seen.lines, !off);
			set_up();
			ck_assert_int_eq(write(control + 1, 1, (ENABLE | type << 10) >> 8), off);
			ck_assert_uint_eq(seen.scrubbed_before, off);
			set_up();
			ck_assert_int_eq(write(control, 4, ENABLE | type << 10), off);
			set_up();
			ck_assert_int_eq(write(control - 1, 4, (ENABLE | type << 10) << 8), off);
			/* Without the enable bit nothing happens but the write. */
			set_up();
			ck_assert(write(control, 2, type << 10 | 1) && !seen.ended &&
				  seen.value == (type << 10 | 1) && seen.size == 2);
			ck_assert(write(control, 1, 0xff) && !seen.ended);
		}
		set_up();
		ck_assert_int_eq(write(SLEEP_PORT, 1, 1u << 5 | type << 2), type == OFF_A);
	}
	/* Where the firmware does not say what off is, everything is refused. */
	set_up();
	machine.off[0] = machine.off[1] = -1;
	seen.lines = 0;
	power_ports_init(&machine);
	ck_assert_uint_eq(seen.lines, 1);
	for (uint32_t type = 0; type < 8; type++)
		ck_assert(!write(CONTROL_A, 2, ENABLE | type << 10) && !write(CONTROL_B, 2, ENABLE | type << 10));
}
END_TEST

/* After a refusal the status says that the machine woke up, until that is acknowledged. */
START_TEST(wake_up)
{
	uint64_t *rax = &cpu_memory[0].control.gpr[KEEL_RAX];

	port_value = 0x11223344;
	ck_assert(access_port(STATUS_A, 2, KEEL_IO_IN, 0x99999999));
	ck_assert_uint_eq(*rax, 0xabcdef0099993344ull);
	write(CONTROL_A, 2, ENABLE | 1 << 10);
	access_port(STATUS_A, 2, KEEL_IO_IN, 0);
	ck_assert_uint_eq(*rax, 0xabcdef000000b344ull);
	access_port(STATUS_B + 1, 1, KEEL_IO_IN, 0);
	ck_assert_uint_eq(*rax, 0xabcdef00000000c4ull);
	/* 32 bits take the upper half along. */
	access_port(STATUS_A, 4, KEEL_IO_IN, 0);
	ck_assert_uint_eq(*rax, 0x1122b344);
	write(STATUS_A, 2, 0x0001);
	access_port(STATUS_A, 2, KEEL_IO_IN, 0);
	ck_assert_uint_eq(*rax, 0xabcdef000000b344ull);
	ck_assert(write(STATUS_A, 2, 0x8000));
	access_port(STATUS_A, 2, KEEL_IO_IN, 0);
	ck_assert_uint_eq(*rax, 0xabcdef0000003344ull);
}
END_TEST

/* What resets, and what does not. */
START_TEST(resets)
{
	static const struct {
		uint16_t port;
		uint32_t value;
		unsigned int size;
		bool ends;
	} cases[] = {
		{ 0xcf9, 0x06, 1, true }, { 0xcf9, 0x0e, 1, true }, { 0xcf9, 0x04, 1, true }, { 0xcf9, 0x02, 1, false },
		{ 0xcf8, 0x80000600, 4, false }, { 0xcf8, 0x0600, 2, true }, { 0xcf8, 0x0200, 2, false },
		{ 0x64, 0xfe, 1, true }, { 0x64, 0xf0, 1, true }, { 0x64, 0xff, 1, false }, { 0x64, 0xae, 1, false },
		{ 0x92, 0x01, 1, true }, { 0x92, 0x02, 1, false },
		{ RESET_AT, RESET_TO, 1, true }, { RESET_AT, RESET_TO + 1, 1, false },
		{ RESET_AT - 1, RESET_TO << 8, 2, true },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		set_up();
		ck_assert(write(cases[i].port, cases[i].size, cases[i].value));
		ck_assert_msg(seen.ended == cases[i].ends && seen.scrubbed_before == cases[i].ends, "case %u", i);
		ck_assert(seen.port == cases[i].port && seen.value == cases[i].value && seen.size == cases[i].size);
		/* Nobody else runs then; those that wait and that are not there are left alone. */
		ck_assert_uint_eq(seen.stops, cases[i].ends);
		ck_assert_uint_eq(seen.running_at_scrub, 0);
	}
	/* One that does not stop is not waited for for ever; without guests there is nothing to be done. */
	set_up();
	others_stop = false;
	write(0xcf9, 1, 6);
	ck_assert_uint_eq(seen.scrubbed_before, 1);
	set_up();
	guests = false;
	write(0xcf9, 1, 6);
	ck_assert(seen.scrubbed == 0 && seen.stops == 0 && seen.written_back == 1);
}
END_TEST

/* One that the machine does not obey is followed by the next, from the same CPU: two PM1 blocks, or another way to reset. */
START_TEST(again)
{
	int came = setjmp(out);

	if (!came) {
		access_port(CONTROL_A, 2, 0, ENABLE | OFF_A << 10);
		access_port(CONTROL_B, 2, 0, ENABLE | OFF_B << 10);
		ck_assert_uint_eq(seen.port, CONTROL_B);
		access_port(0xcf9, 1, 0, 6);
	}
	ck_assert_int_eq(came, 0);
	ck_assert(seen.writes == 3 && seen.scrubbed == 1 && seen.port == 0xcf9);
}
END_TEST

/* Of two that reset at once, one stops. */
START_TEST(two_at_once)
{
	int came = setjmp(out);

	if (!came) {
		leaving = &cpu_memory[1];
		write(0xcf9, 1, 6);
	}
	ck_assert_int_eq(came, 2);
	ck_assert_uint_eq(cpu_memory[0].online, 0);
	ck_assert_uint_eq(seen.writes, 0);
}
END_TEST

START_TEST(triple_fault)
{
	int came = setjmp(out);

	if (!came)
		control_reset("by a test");
	ck_assert_int_eq(came, 1);
	ck_assert(seen.scrubbed == 1 && seen.writes > 1 && seen.lines == 1);
}
END_TEST

START_TEST(ports)
{
	static const uint16_t there[] = {
		STATUS_A + 1, STATUS_B + 1, CONTROL_A, CONTROL_A + 1, CONTROL_B, CONTROL_B + 1, SLEEP_PORT, RESET_AT, 0x64, 0x92,
		0xcf9,
	};
	unsigned int count = 0;

	for (unsigned int i = 0; i < 0x10000; i++)
		count += watched[i];
	for (unsigned int i = 0; i < ARRAY_SIZE(there); i++)
		ck_assert(watched[there[i]]);
	ck_assert_uint_eq(count, ARRAY_SIZE(there));
	/* A machine without any of it. */
	memset(watched, 0, sizeof(watched));
	power_ports_init(&(struct acpi_power){ .off = { -1, -1 } });
	ck_assert(!watched[0] && !watched[1] && watched[0x64]);
	ck_assert(write(0, 4, UINT32_MAX) && !seen.ended);
	/* Strings of bytes are nobody's way to do this. */
	ck_assert(!access_port(CONTROL_A, 2, KEEL_IO_STRING, 0));
	ck_assert(!access_port(CONTROL_A, 3, 0, 0));
}
END_TEST

SUITE("control_power", tests)
{
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_test(tests, sleeping_states);
	tcase_add_test(tests, wake_up);
	tcase_add_test(tests, resets);
	tcase_add_test(tests, again);
	tcase_add_test(tests, two_at_once);
	tcase_add_test(tests, triple_fault);
	tcase_add_test(tests, ports);
}
