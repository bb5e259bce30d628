// SPDX-License-Identifier: GPL-2.0
/*
 * String instructions and single accesses over borders: of pages that are not there or cannot be written, and between memory, a
 * device's registers and the hole behind. What has been done before a fault stays done, and the registers tell how far it came.
 */
#include "apic.h"

#define HOLE		((uint64_t)PC_VGA_HOLE)		/* memory below, nobody from here on */
#define DEBUG_READS	0xe9u
#define PATTERN		0x8877665544332211u
#define PCI_PATTERN	0x80001234u
#define PAGE_BYTES	0x1000u
/* A table of 4 KiB pages for the 2 MiB from WINDOW on, and what is there. */
#define TABLE		0x60000u
#define WINDOW		0x40000000u
#define MEMORY		0x400000u			/* physical, four pages */
#define MEMORY_BYTES	(4 * PAGE_BYTES)
#define SECOND		((uint64_t)WINDOW + PAGE_BYTES)	/* the page that changes, behind one that is memory; */
#define THIRD		((uint64_t)WINDOW + 2 * PAGE_BYTES)	/* and a page of memory once more */
#define DEVICE_PAGE	((uint64_t)WINDOW + 3 * PAGE_BYTES)	/* the HPET; memory is in front */
#define FAULT_PRESENT	1u				/* error codes of #PF */
#define FAULT_WRITE	2u

static volatile uint64_t *const table = (volatile uint64_t *)TABLE;

/* What an instruction begins with, and how it has left it. */
static struct {
	uint64_t rax, rcx, rdx, rsi, rdi;
} r;

#define REGISTERS "+a"(r.rax), "+c"(r.rcx), "+d"(r.rdx), "+S"(r.rsi), "+D"(r.rdi)
#define RUN(instruction)	asm volatile(instruction : REGISTERS : : "memory", "cc")
#define TRY_IT(instruction)	TRY(instruction, : REGISTERS :)
/* And back: a fault has ended it with the flag cleared. */
#define BACKWARDS(instruction)	"std\n\t" instruction "\n\tcld"

static void moves(uint64_t from, uint64_t to, uint64_t count)
{
	r.rsi = from;
	r.rdi = to;
	r.rcx = count;
}

static void inputs(uint16_t port, uint64_t to, uint64_t count)
{
	r.rdx = port;
	r.rdi = to;
	r.rcx = count;
}

static void outputs(uint16_t port, uint64_t from, uint64_t count)
{
	r.rdx = port;
	r.rsi = from;
	r.rcx = count;
}

static uint8_t byte_at(uint64_t address)
{
	return *(volatile uint8_t *)address;
}

static uint16_t word_at(uint64_t address)
{
	return *(volatile uint16_t *)address;
}

static void check_fault(const char *text, uint64_t code, uint64_t address)
{
	check(fault_vector == EXC_PF, "no page fault: %s", text);
	check(fault_address == address, "CR2: %s", text);
	check(fault_code == code, "error code: %s", text);
}

static void check_rsi(const char *text, uint64_t value)
{
	check(r.rsi == value, "RSI: %s", text);
}

static void check_rdi(const char *text, uint64_t value)
{
	check(r.rdi == value, "RDI: %s", text);
}

static void check_rcx(const char *text, uint64_t value)
{
	check(r.rcx == value, "RCX: %s", text);
}

static void map_second(uint64_t entry)
{
	table[1] = entry;
	invalidate_page(SECOND);
}

static void make_window(void)
{
	unsigned int i;

	for (i = 0; i < 512; i++)
		table[i] = 0;
	table[0] = MEMORY | PAGE_PRESENT | PAGE_WRITE;
	table[2] = (MEMORY + 2 * PAGE_BYTES) | PAGE_PRESENT | PAGE_WRITE;
	table[3] = PC_HPET | PAGE_PRESENT | PAGE_WRITE;
	((volatile uint64_t *)DIRECTORY)[512] = TABLE | PAGE_PRESENT | PAGE_WRITE;
	invalidate_page(WINDOW);
}

/* Each byte of memory is the end of its address. */
static void fill(void)
{
	volatile uint8_t *byte = (volatile uint8_t *)MEMORY;
	unsigned int i;

	for (i = 0; i < MEMORY_BYTES; i++)
		byte[i] = (uint8_t)i;
	mmio_write64(HPET_COUNTER, PATTERN);
}

/* Memory that ends, to and from ports, which the processor does not do by itself; */
static void check_missing_ports(void)
{
	const char *text = "REP INSB to a page that is not there";

	map_second(0);
	fill();
	inputs(PC_PORT_DEBUG, SECOND - 3, 8);
	TRY_IT("rep insb");
	check_fault(text, FAULT_WRITE, SECOND);
	check_rdi(text, SECOND);
	check_rcx(text, 5);
	check(byte_at(MEMORY + PAGE_BYTES - 1) == DEBUG_READS, "what REP INSB did before its fault is lost");

	text = "REP INSD over the border";
	fill();
	inputs(PC_PORT_PCI, SECOND - 6, 4);
	TRY_IT("rep insl");
	check_fault(text, FAULT_WRITE, SECOND);
	check_rdi(text, SECOND - 2);
	check_rcx(text, 3);
	check(word_at(MEMORY + PAGE_BYTES - 2) == 0xfffe, "REP INSD has written a part");

	text = "REP OUTSB from a page that is not there";
	outputs(PC_PORT_POST, SECOND - 2, 4);
	TRY_IT("rep outsb");
	check_fault(text, 0, SECOND);
	check_rsi(text, SECOND);
	check_rcx(text, 2);

	/* To the page before, of which there is one. */
	text = "REP INSB backwards";
	inputs(PC_PORT_DEBUG, THIRD + 1, 4);
	TRY_IT(BACKWARDS("rep insb"));
	check_fault(text, FAULT_WRITE, THIRD - 1);
	check_rdi(text, THIRD - 1);
	check_rcx(text, 2);
}

/* and to and from devices. */
static void check_missing_devices(void)
{
	const char *text = "REP MOVSD from a device to a page that is not there";

	fill();
	moves(HOLE, SECOND - 8, 4);
	TRY_IT("rep movsl");
	check_fault(text, FAULT_WRITE, SECOND);
	check_rsi(text, HOLE + 8);
	check_rdi(text, SECOND);
	check_rcx(text, 2);
	check(mmio_read(MEMORY + PAGE_BYTES - 4) == ~0u, "what REP MOVSD did before its fault is lost");

	text = "REP MOVSQ from a page that is not there to a device";
	moves(SECOND - 8, HOLE, 2);
	TRY_IT("rep movsq");
	check_fault(text, 0, SECOND);
	check_rcx(text, 1);
}

/* A second page that can be read only. */
static void check_read_only(void)
{
	const char *text = "REP MOVSD from a device to a page that cannot be written";
	uint64_t cr0 = read_cr0();

	map_second((MEMORY + PAGE_BYTES) | PAGE_PRESENT);
	fill();
	moves(HOLE, SECOND - 4, 2);
	TRY_IT("rep movsl");
	check_fault(text, FAULT_WRITE | FAULT_PRESENT, SECOND);
	check_rcx(text, 1);
	inputs(PC_PORT_DEBUG, SECOND, 0);
	TRY_IT("insb");
	check_fault("INSB to a page that cannot be written", FAULT_WRITE | FAULT_PRESENT, SECOND);
	write_cr0(cr0 & ~CR0_WP);
	RUN("insb");
	write_cr0(cr0);
	check(byte_at(MEMORY + PAGE_BYTES) == DEBUG_READS, "INSB without CR0.WP to a page that cannot be written");
	outputs(PC_PORT_POST, SECOND - 2, 4);
	RUN("rep outsb");
	check_rsi("REP OUTSB from a page that cannot be written", SECOND + 2);
}

/* Pages that are not neighbours in memory: an element over their border is in two places. */
static void check_apart_ports(void)
{
	map_second((MEMORY + 3 * PAGE_BYTES) | PAGE_PRESENT | PAGE_WRITE);
	fill();
	outl(PC_PORT_PCI, PCI_PATTERN);
	inputs(PC_PORT_PCI, SECOND - 1, 0);
	RUN("insl");
	check(byte_at(MEMORY + PAGE_BYTES - 1) == 0x34, "INSD over a border: the first page");
	check(word_at(MEMORY + 3 * PAGE_BYTES) == 0x0012, "INSD over a border: the second page");
	check(byte_at(MEMORY + 3 * PAGE_BYTES + 2) == 0x80, "INSD over a border: its end");
	check(word_at(MEMORY + PAGE_BYTES) == 0x0100, "INSD over a border has written behind the first page");
	outputs(PC_PORT_PCI, SECOND - 1, 0);
	RUN("outsl");
	check(inl(PC_PORT_PCI) == PCI_PATTERN, "OUTSD over a border");
}

static void check_apart_devices(void)
{
	moves(HPET_COUNTER, SECOND - 3, 0);
	RUN("movsq");
	check(mmio_read64(SECOND - 3) == PATTERN, "MOVSQ from a device over a border");
	check(mmio_read(MEMORY + 3 * PAGE_BYTES) == 0x77665544, "MOVSQ from a device over a border: the second page");
	mmio_write(HPET_COUNTER, 0x01020304);
	moves(SECOND - 3, HPET_COUNTER, 0);
	RUN("movsq");
	check(mmio_read64(HPET_COUNTER) == PATTERN, "MOVSQ over a border to a device");
}

/* Memory in front, a hole behind. What goes to the hole is lost, what comes from there is ones. */
static void check_hole_single(void)
{
	mmio_write64(HOLE - 8, PATTERN);
	check(mmio_read(HOLE - 2) == 0xffff8877, "MOV from memory and a hole");
	check(mmio_read64(HOLE - 7) == 0xff88776655443322, "a MOV of 8 bytes from memory and a hole");
	mmio_write(HOLE - 3, 0xddccbbaa);
	check(mmio_read(HOLE - 4) == 0xccbbaa55, "MOV to memory and a hole");
	asm volatile("addw $1, (%0)" : : "r"(HOLE - 1) : "memory", "cc");
	check(byte_at(HOLE - 1) == 0xcd, "ADD in memory and a hole");
}

static void check_hole_moves(void)
{
	mmio_write(HOLE - 4, 0x44332211);
	moves(HOLE - 4, SCRATCH, 8);
	RUN("rep movsb");
	check_rsi("REP MOVSB over the border of a hole", HOLE + 4);
	check(mmio_read64(SCRATCH) == 0xffffffff44332211, "REP MOVSB over the border of a hole");
	moves(HOLE - 6, SCRATCH, 3);
	RUN("rep movsl");
	check(word_at(SCRATCH + 4) == 0x4433, "REP MOVSD over the border of a hole");
	check(word_at(SCRATCH + 6) == 0xffff, "REP MOVSD over the border of a hole: the element between");
	check(mmio_read(SCRATCH + 8) == ~0u, "REP MOVSD over the border of a hole: behind");
	r.rax = 0x0807060504030201;
	moves(0, HOLE - 12, 4);
	RUN("rep stosq");
	check_rdi("REP STOSQ over the border of a hole", HOLE + 20);
	check(mmio_read(HOLE - 4) == 0x04030201, "REP STOSQ over the border of a hole");
	moves(HOLE + 3, SCRATCH + 7, 8);
	RUN(BACKWARDS("rep movsb"));
	check_rsi("REP MOVSB back over the border of a hole", HOLE - 5);
	check(mmio_read64(SCRATCH) == 0xffffffff04030201, "REP MOVSB back over the border of a hole");
}

/* What check_hole_moves() has left is looked for there. */
static void check_hole_searches(void)
{
	uint8_t different;

	r.rax = 0xff;
	moves(0, HOLE - 4, 64);
	RUN("repne scasb");
	check_rdi("REPNE SCASB into a hole", HOLE + 1);
	check_rcx("REPNE SCASB into a hole", 59);
	mmio_write64(SCRATCH, 0xff00ffff04030201);
	moves(SCRATCH, HOLE - 4, 8);
	asm volatile("repe cmpsb\n\tsetne %0" : "=q"(different), "+c"(r.rcx), "+S"(r.rsi), "+D"(r.rdi) : : "memory", "cc");
	check(different, "REPE CMPSB into a hole: flags");
	check_rcx("REPE CMPSB into a hole", 1);
	check_rsi("REPE CMPSB into a hole", SCRATCH + 7);
	moves(HOLE - 4, 0, 0);
	RUN("lodsq");
	check(r.rax == 0xffffffff04030201, "LODSQ over the border of a hole");
}

static void check_hole_ports(void)
{
	outputs(PC_PORT_POST, HOLE - 2, 4);
	RUN("rep outsb");
	check_rsi("REP OUTSB into a hole", HOLE + 2);
	inputs(PC_PORT_DEBUG, HOLE - 2, 4);
	RUN("rep insb");
	check_rdi("REP INSB into a hole", HOLE + 2);
	check(word_at(HOLE - 2) == (DEBUG_READS << 8 | DEBUG_READS), "REP INSB into a hole");
}

/* A page of memory in front of a page of a device's, and a device's registers over the border of two of them. */
static void check_device(void)
{
	uint64_t before;
	uint8_t equal;

	fill();
	moves(DEVICE_PAGE - 4, SCRATCH, 2);
	RUN("rep movsl");
	check(mmio_read(SCRATCH + 4) == mmio_read(PC_HPET), "REP MOVSD from memory on to a device");
	check(mmio_read(SCRATCH) == 0xfffefdfc, "REP MOVSD from memory on to a device: the memory");
	before = mmio_read64(HPET_COUNTER);
	moves(HPET_COUNTER, HPET_COUNTER, 2);
	RUN("rep movsl");
	check(mmio_read64(HPET_COUNTER) == before, "REP MOVSD from a device to itself");
	moves(HPET_COUNTER, HPET_COUNTER, 0);
	asm volatile("cmpsq\n\tsete %0" : "=q"(equal), "+S"(r.rsi), "+D"(r.rdi) : : "memory", "cc");
	check(equal, "CMPSQ of a device with itself");
}

/* The count is 32 bits wide with 32-bit addresses, and so are the registers that come out. */
static void check_narrow(void)
{
	const uint64_t above = 1ull << 32;

	moves(above | HOLE, SCRATCH, above | 2);
	RUN("addr32 rep movsb");
	check_rsi("REP MOVSB with 32-bit addresses", HOLE + 2);
	check_rcx("REP MOVSB with 32-bit addresses", 0);
	moves(above | HOLE, SCRATCH + 2, above);
	RUN("addr32 rep movsb");
	check((uint32_t)r.rcx == 0, "RCX: REP MOVSB with 32-bit addresses and no count");
	check_rdi("REP MOVSB with 32-bit addresses and no count", SCRATCH + 2);
}

GUEST("string")
{
	mmio_write64(HPET_CONFIG, 0);
	make_window();
	check_missing_ports();
	check_missing_devices();
	print("string: pages that are not there\n");
	check_read_only();
	check_apart_ports();
	check_apart_devices();
	print("string: pages\n");
	check_hole_single();
	check_hole_moves();
	check_hole_searches();
	check_hole_ports();
	print("string: a hole\n");
	check_device();
	check_narrow();
}
