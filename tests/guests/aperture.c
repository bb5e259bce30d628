// SPDX-License-Identifier: GPL-2.0
/*
 * A BAR with memory behind it, cells/aperture.c's, which moves while the other processors write through it: behind the move they
 * reach it no more by the old address, and what is in it is at the new one. Where it cannot be mapped it is there all the same.
 */
#include "cpus.h"

#define CARD		(0x80000000u | 7 << 11)		/* PCI device 7 */
#define COMMAND		0x04u
#define COMMAND_MEMORY	2u
#define BAR		0x10u
#define BAR_READONLY	0x18u				/* the first four pages once more */
#define PAGE_BYTES	0x1000ull
#define PAGE(number)	((number) * PAGE_BYTES)
#define WINDOW_PAGES	8u
#define PATTERN		0x5a000000u			/* and the page's number: integration/apertures.c has filled it */
#define READONLY	0xe8000000u
#define MEMORY		0x400000u
#define SILENCE		30000
#define MOST_CPUS	4u
/* Places in it: in the page of a processor's number, */
#define WRITTEN		8u
/* in the first page, */
#define MARK		0x20u
#define MARK_READONLY	0x24u
#define ROUNDS_DONE	0x30u				/* integration/apertures.c looks there, */
#define ROUNDS_WANTED	0x34u				/* and has said so here */
/* and whole pages. */
#define CODE_PAGE	5u
#define TABLES_PAGE	6u
#define READ_REGISTER	0xc310468bu			/* MOV EAX, [RSI + 0x10]; RET */
#define IOAPIC_IS	0x20u				/* the version's lowest byte */

/* Each after the one before: beside it, in other tables, in the table that memory has. */
static const uint32_t places[] = { 0xc0000000, 0xc0008000, 0xe0200000, 0x000a0000, 0xfd000000, 0xbfff8000 };

static volatile uint64_t writers_at;
static volatile bool ended;
static uint64_t window;					/* where it is */

static void move_to(uint64_t address)
{
	pci_write(CARD | BAR, (uint32_t)address);
}

static uint64_t written_by(uint64_t number)
{
	return PAGE(number) + WRITTEN;
}

/* The others write without an exit, unless nobody is there. */
void cpu_main(void)
{
	uint64_t own = written_by(this_cpu());
	uint32_t count = 0;

	while (!ended)
		mmio_write(writers_at + own, ++count);
}

static void await_writer(uint64_t number)
{
	uint64_t place = window + written_by(number);
	uint32_t before = mmio_read(place), patience = MANY;

	do {
		require(patience--, "a processor does not write");
		asm volatile("pause");
	} while (mmio_read(place) == before);
}

/* Until each of them has come to where it is. */
static void await_writers(void)
{
	uint32_t number;

	writers_at = window;
	for (number = 1; number < cpus; number++)
		await_writer(number);
}

static bool is_silent(uint64_t at)
{
	uint32_t before[MOST_CPUS], number, again;

	for (number = 1; number < MOST_CPUS; number++)
		before[number] = mmio_read(at + written_by(number));
	for (again = 0; again < SILENCE; again++)
		for (number = 1; number < MOST_CPUS; number++)
			if (mmio_read(at + written_by(number)) != before[number])
				return false;
	return true;
}

/* The pages are those of the host. */
static void check_pattern(void)
{
	uint32_t page;

	for (page = 0; page < WINDOW_PAGES; page++)
		check(mmio_read(window + PAGE(page)) == (PATTERN | page), "it is not what the host has put there");
}

/* To the next place, where nothing changes though they go on: they write by the old address. */
static void move(uint64_t next, uint32_t mark)
{
	uint64_t old = window;

	await_writers();
	mmio_write(old + MARK, mark);
	move_to(next);
	check(mmio_read(next + MARK) == mark, "what was written is not at the new address");
	check(is_silent(next), "a write by the old address has come through");
	check(mmio_read(old + MARK) == ~0u, "something is at the old address");
	mmio_write(old + MARK, 0);
	check(mmio_read(next + MARK) == mark, "a write to the old address has come through");
	window = next;
}

static void check_readonly(void)
{
	check(mmio_read(READONLY + PAGE(3)) == (PATTERN | 3), "the part for reading is not there");
	mmio_write(window + MARK_READONLY, 0x12345678);
	check(mmio_read(READONLY + MARK_READONLY) == 0x12345678, "the part for reading is another");
	mmio_write(READONLY + MARK_READONLY, 1);
	check(mmio_read(READONLY + MARK_READONLY) == 0x12345678, "the part for reading was written");
	check(mmio_read(window + MARK_READONLY) == 0x12345678, "the part for reading was written");
}

/* Memory is in front of it, and stays what it is. */
static void check_memory(void)
{
	mmio_write(MEMORY, 0x11223344);
	move_to(MEMORY);
	check(mmio_read(MEMORY) == 0x11223344, "memory has become something else");
	mmio_write(MEMORY, 0x55667788);
	move_to(window);
	check(mmio_read(MEMORY) == 0x55667788, "memory has become something else");
	check_pattern();
}

/* The I/O APIC is in front of its first page, and the rest is there. */
static void check_registers(void)
{
	move_to(PC_IOAPIC);
	check(mmio_read(PC_IOAPIC + PAGE(3)) == (PATTERN | 3), "behind other registers it is not there");
	mmio_write(PC_IOAPIC + PAGE(3) + MARK, 0x87654321);
	check((uint8_t)ioapic_read(IOAPIC_VERSION) == IOAPIC_IS, "registers in front of it are not there");
	move_to(window);
	check(mmio_read(window + PAGE(3) + MARK) == 0x87654321, "behind other registers it was not written");
}

static uint64_t code(void)
{
	return window + PAGE(CODE_PAGE);
}

static void put_back(uint32_t page)
{
	mmio_write(window + PAGE(page), PATTERN | page);
}

/* RSI has the IO APIC's address there. */
static uint32_t call_code(void)
{
	uint32_t value;

	asm volatile("call *%1" : "=a"(value) : "r"(code()), "S"(PC_IOAPIC) : "memory", "cc");
	return value;
}

/* MOV EAX, number; RET */
static void check_code(void)
{
	volatile uint8_t *to = (volatile uint8_t *)code();

	to[0] = 0xb8;
	mmio_write(code() + 1, 0x0badcafe);
	to[5] = 0xc3;
	check(call_code() == 0x0badcafe, "what it executes is something else");
	put_back(CODE_PAGE);
}

/* An instruction there that reads a register, and page tables there by which one is read: the cell looks for both. */
static void check_emulated(void)
{
	volatile uint64_t *tables = (volatile uint64_t *)(window + PAGE(TABLES_PAGE));
	const volatile uint64_t *from = (const volatile uint64_t *)PML4;
	uint32_t i, value;

	mmio_write(PC_IOAPIC, IOAPIC_VERSION);
	mmio_write(code(), READ_REGISTER);
	check((uint8_t)call_code() == IOAPIC_IS, "an instruction there does not read a register");
	put_back(CODE_PAGE);
	for (i = 0; i < PAGE_BYTES / 8; i++)
		tables[i] = from[i];
	write_cr3((uint64_t)tables);
	value = mmio_read(IOAPIC_WINDOW);
	write_cr3(PML4);
	check((uint8_t)value == IOAPIC_IS, "by page tables there a register is not read");
	for (i = 0; i < PAGE_BYTES / 8; i++)
		tables[i] = 0;
	put_back(TABLES_PAGE);
}

GUEST("aperture")
{
	uint32_t place = 0, round, rounds;

	window = places[0];
	pci_write(CARD | BAR_READONLY, READONLY);
	move_to(window);
	check(mmio_read(window) == ~0u, "it is there while it is off");
	pci_write(CARD | COMMAND, COMMAND_MEMORY);
	check_pattern();
	check_readonly();
	check_memory();
	check_registers();
	check_code();
	check_emulated();
	writers_at = window;
	start_all();
	require(cpus <= MOST_CPUS, "more processors than pages");
	rounds = mmio_read(window + ROUNDS_WANTED);
	check(rounds >= 2 * ARRAY_SIZE(places), "too few rounds are wanted");
	for (round = rounds; round && !failures; round--) {
		place = (place + 1) % ARRAY_SIZE(places);
		move(places[place], round);
	}
	mmio_write(window + ROUNDS_DONE, rounds);
	check_pattern();
	ended = true;
}
