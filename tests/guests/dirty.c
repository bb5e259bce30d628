// SPDX-License-Identifier: GPL-2.0
/*
 * Writes to pages as it is told: waits for a character, halted, obeys, prints "dirty: done", waits. tests/integration/dirty.c
 * knows which pages these are.
 *   a to o: those of the DATA_PAGES whose number, hashed, ends in the character's lower four bits
 *   I: the device model writes, by string input, across the end of a page
 *   D: the device model writes, by DMA
 *   F: every page from DATA on gets its own number, and all of them keep it
 *   R: one page after the other, MARK and OLD in turn, for a while and without a reason to leave the guest
 *   Q: switches off
 */
#include "pic.h"
#include "serial.h"

#define PAGE_BYTES	0x1000ull
#define LARGE_BYTES	0x200000ull
#define GIB		0x40000000ull
#define DATA_PAGES	2048u
/* With GIBIBYTE it is the memory above 4 GiB, to be found where the second one is by number. */
#ifdef GIBIBYTE
#define DATA		GIB
#define DATA_GPA	PC_HIGH_MEMORY
#define FILL_PAGES	0x40000u
#else
#define DATA		0x400000ull
#define DATA_GPA	DATA
#define FILL_PAGES	DATA_PAGES
#endif
#define HASH		0x9e3779b1u
#define HASHED		0x7f8u				/* places in a page: of a to o, */
#define FILLED		0x10u				/* and of F */
#define INS_PAGE	0x77000ull			/* from DATA on */
#define DMA_PAGE	0x99000ull
#define OLD		DATA				/* written before, over and over */
#define MARK		(DATA + 0x100000)		/* written once */
#define RUN_BYTES	(256 * PAGE_BYTES)
#define AHEAD		8u
#define STEP_TICKS	200000u
#define SIGNATURE	('Q' | 'E' << 8 | 'M' << 16 | 'U' << 24)	/* fw_cfg's item 0 */
#define FW_CFG_READ	0x0au				/* read, select: of a descriptor, which is big-endian */

static volatile struct {
	uint32_t control, bytes;
	uint64_t address;
} *const dma = (void *)SCRATCH;

static void add_one(uint64_t address)
{
	asm volatile("incq (%0)" : : "r"(address) : "memory");
}

static char await_character(void)
{
	while (!serial_has_input())
		halt_once();
	return (char)inb(PC_PORT_SERIAL);
}

static void write_hashed(uint32_t residue)
{
	uint32_t page;

	for (page = 0; page < DATA_PAGES; page++)
		if ((page * HASH >> 24 & 15) == residue)
			add_one(DATA + page * PAGE_BYTES + HASHED);
}

static void fill(void)
{
	uint32_t page;

	for (page = 0; page < FILL_PAGES; page++)
		mmio_write(DATA + page * PAGE_BYTES + FILLED, page);
	for (page = 0; page < FILL_PAGES; page++)
		require(mmio_read(DATA + page * PAGE_BYTES + FILLED) == page, "a page has not what was written to it");
}

static void input_by_device(void)
{
	uint64_t to = DATA + INS_PAGE + PAGE_BYTES - 2, count = 4;

	outw(PC_PORT_FW_CFG, 0);
	asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(PC_PORT_FW_CFG + 1) : "memory");
	require(mmio_read(DATA + INS_PAGE + PAGE_BYTES - 2) == SIGNATURE, "string input of fw_cfg's signature");
}

static void dma_by_device(void)
{
	dma->control = FW_CFG_READ << 24;
	dma->bytes = __builtin_bswap32(4);
	dma->address = __builtin_bswap64(DATA_GPA + DMA_PAGE);
	outl(PC_PORT_FW_CFG_DMA, 0);
	outl(PC_PORT_FW_CFG_DMA + 4, __builtin_bswap32(SCRATCH));
	require(!dma->control, "DMA of fw_cfg's signature is refused");
	require(mmio_read(DATA + DMA_PAGE) == SIGNATURE, "DMA of fw_cfg's signature");
}

/* To the pages of OLD behind this one, whose translations the processor keeps. */
static void write_ahead(uint64_t offset)
{
	uint64_t end = offset + AHEAD * PAGE_BYTES;

	while (offset < end) {
		offset += PAGE_BYTES;
		if (offset >= RUN_BYTES)
			return;
		add_one(OLD + offset);
	}
}

/* A step writes a page of MARK, which the processor has no translation for, that of OLD, and then those that follow. */
static void run(void)
{
	uint64_t offset;
	uint32_t begin;

	interrupts_on();
	for (offset = 0; offset < RUN_BYTES; offset += PAGE_BYTES) {
		add_one(MARK + offset);
		add_one(OLD + offset);
		begin = (uint32_t)rdtsc();
		do
			write_ahead(offset);
		while ((uint32_t)rdtsc() - begin < STEP_TICKS);
	}
	interrupts_off();
}

static void obey(char order)
{
	switch (order) {
	case 'I':
		input_by_device();
		break;
	case 'D':
		dma_by_device();
		break;
	case 'F':
		fill();
		break;
	case 'R':
		run();
		break;
	default:
		write_hashed((uint8_t)order & 15);
	}
}

static void map_data(void)
{
	uint64_t *directory = (uint64_t *)DIRECTORY + DATA / LARGE_BYTES, i;

	for (i = 0; i < GIB / LARGE_BYTES; i++)
		directory[i] = (DATA_GPA + i * LARGE_BYTES) | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE;
	write_cr3(read_cr3());
}

GUEST("dirty")
{
	char order;

	if (DATA_GPA != DATA)
		map_data();
	pic_init();
	outb(PIC_MASTER_MASK, (uint8_t)~(1u << PC_IRQ_SERIAL));
	outb(SERIAL_CONTROL, SERIAL_READY | SERIAL_OUT2);
	outb(SERIAL_INTERRUPTS, SERIAL_RECEIVED);
	print("dirty: ready\n");
	while ((order = await_character()) != 'Q') {
		obey(order);
		print("dirty: done\n");
	}
}
