/* SPDX-License-Identifier: GPL-2.0 */
/* The machine of a cell with four vCPUs: exits in, answers out, with the channel's other end played by the test. */
#ifndef KEEL_TEST_PC_RIG_H
#define KEEL_TEST_PC_RIG_H

#include <check.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <x86/apic.h>
#include <x86/msr.h>
#include <x86/registers.h>

#include "host/board.h"
#include "shared/pc_map.h"
#include "vcpu/entry.h"

#define TSC_KHZ		2000000ull	/* two ticks a nanosecond */
#define TSC_START	123456789ull
#define VCPUS		4u
#define LOW_MEMORY	0x2000000ull
#define GUEST_BYTES	0x100000000ull
#define FIRMWARE_BYTES	0x40000u
#define DISK_BYTES	0x100000u
#define STREAM_BYTES	KEEL_PAGE_SIZE
#define EVENT		KEEL_CONTEXT_EVENT
#define NEVER		UINT64_MAX
#define IF		0x200u
/* Pages for APICs: a test may have more vCPUs. */
#ifndef RIG_APICS
#define RIG_APICS	(2 * VCPUS)
#endif

struct test_channel {
	struct keel_channel c;
	uint8_t firmware[FIRMWARE_BYTES];
	uint8_t item[64];
	/* For a device that a test may add. */
	struct {
		_Alignas(KEEL_PAGE_SIZE) uint8_t ring[KEEL_PAGE_SIZE];
		uint8_t arena[2 * KEEL_PAGE_SIZE];
	} more;
	struct {
		_Alignas(KEEL_PAGE_SIZE) uint8_t ring[KEEL_PAGE_SIZE];
		uint8_t arena[KEEL_BLOCK_ARENA];
	} queue[2];
	/* Console in, console out, debug port. */
	struct {
		_Alignas(KEEL_PAGE_SIZE) uint8_t ring[7 * KEEL_PAGE_SIZE];
		uint8_t arena[STREAM_BYTES];
	} stream[3];
	/* To and from CD-ROM drive and panel. */
	struct {
		_Alignas(KEEL_PAGE_SIZE) uint8_t ring[KEEL_PAGE_SIZE];
		uint8_t arena[KEEL_PAGE_SIZE];
	} message[4];
	_Alignas(KEEL_PAGE_SIZE) struct keel_statistics statistics;
};

#define RIG_DEVICES	5u
#define RIG_QUEUES	9u

#define TEST_QUEUE_OF(member, count) (struct keel_queue){ \
	.ring = offsetof(struct test_channel, member.ring), .entries = (count), \
	.arena = offsetof(struct test_channel, member.arena), .arena_bytes = sizeof(((struct test_channel *)0)->member.arena), \
}
#define TEST_QUEUE(n) { \
	.ring = offsetof(struct test_channel, queue[n].ring), .entries = KEEL_BLOCK_ENTRIES, \
	.arena = offsetof(struct test_channel, queue[n].arena), .arena_bytes = KEEL_BLOCK_ARENA, \
}

static struct test_channel *channel;
static uint8_t *channel_block;		/* the block that has it */
static struct board host;		/* the resource half's end of it */
static uint8_t *guest;
static struct pc *pc;
static struct keel_context ctx[EVENT + 1];
static struct lapic_page apics[RIG_APICS];
static uint64_t tsc;

/* Driving it */

static inline struct keel_answer *enter(unsigned int context, unsigned int kind)
{
	struct keel_exit *exit = &ctx[context].exit;
	struct entry_place place = {
		.channel = channel, .guest = guest, .apics = apics, .contexts = { (uint8_t *)ctx, sizeof(ctx[0]) },
	};

	exit->kind = kind;
	exit->context = context;
	exit->flags |= KEEL_EXIT_F_SREGS;
	exit->flags &= ~KEEL_EXIT_F_INTERRUPTIBLE;
	if (ctx[context].regs.rflags & IF)
		exit->flags |= KEEL_EXIT_F_INTERRUPTIBLE;
	exit->next_rip = ctx[context].regs.rip + 2;
	tsc += 100;
	entry_run(pc, &place, &ctx[context], tsc);
	return &ctx[context].answer;
}

static inline struct keel_answer *event(void)
{
	return enter(EVENT, KEEL_EXIT_EVENT);
}

static inline struct keel_answer *poll(unsigned int vcpu)
{
	return enter(vcpu, KEEL_EXIT_POLL);
}

static inline uint32_t in_by(unsigned int vcpu, uint16_t port, uint8_t size)
{
	ctx[vcpu].exit.port = port;
	ctx[vcpu].exit.size = size;
	ctx[vcpu].exit.io = KEEL_IO_IN;
	ctx[vcpu].regs.gpr[KEEL_RAX] = 0x5555555555555555ull;
	enter(vcpu, KEEL_EXIT_IO);
	return (uint32_t)ctx[vcpu].regs.gpr[KEEL_RAX] & (uint32_t)((1ull << (8 * size)) - 1);
}

static inline uint32_t in(uint16_t port, uint8_t size)
{
	return in_by(0, port, size);
}

static inline struct keel_answer *out_by(unsigned int vcpu, uint16_t port, uint8_t size, uint32_t value)
{
	ctx[vcpu].exit.port = port;
	ctx[vcpu].exit.size = size;
	ctx[vcpu].exit.io = 0;
	ctx[vcpu].regs.gpr[KEEL_RAX] = value;
	return enter(vcpu, KEEL_EXIT_IO);
}

static inline struct keel_answer *out(uint16_t port, uint8_t value)
{
	return out_by(0, port, 1, value);
}

static inline void wrmsr_record(unsigned int vcpu, uint32_t msr, uint64_t value)
{
	ctx[vcpu].exit.msr = msr;
	ctx[vcpu].regs.gpr[KEEL_RAX] = (uint32_t)value;
	ctx[vcpu].regs.gpr[KEEL_RDX] = value >> 32;
}

static inline struct keel_answer *wrmsr(unsigned int vcpu, uint32_t msr, uint64_t value)
{
	wrmsr_record(vcpu, msr, value);
	return enter(vcpu, KEEL_EXIT_WRMSR);
}

static inline uint64_t rdmsr(unsigned int vcpu, uint32_t msr)
{
	ctx[vcpu].exit.msr = msr;
	enter(vcpu, KEEL_EXIT_RDMSR);
	return ctx[vcpu].regs.gpr[KEEL_RDX] << 32 | (uint32_t)ctx[vcpu].regs.gpr[KEEL_RAX];
}

/* What follows is done in the entry of none of the vCPUs. */
static inline void nobody(void)
{
	pc->bus.current = NULL;
}

/* Flat protected mode without paging. */
static inline void flat(unsigned int vcpu)
{
	struct keel_sregs *s = &ctx[vcpu].sregs;

	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		s->seg[i] = (struct keel_segment_register){ 0x10, 0xc93, UINT32_MAX, 0 };
	s->seg[KEEL_SEG_CS] = (struct keel_segment_register){ 8, 0xc9b, UINT32_MAX, 0 };
	s->cr0 = CR0_ET | CR0_PE;
	ctx[vcpu].regs.rip = 0x100000;
	ctx[vcpu].regs.rflags = 2;
}

/* MOV between EAX and an absolute address. */
static inline void mmio_record(unsigned int vcpu, uint8_t opcode, uint32_t address)
{
	struct keel_exit *exit = &ctx[vcpu].exit;

	exit->insn[0] = opcode;
	memcpy(exit->insn + 1, &address, sizeof(address));
	exit->insn_length = 15;
	exit->gpa = address;
	exit->access = opcode == 0xa3 ? KEEL_ACCESS_WRITE : 0;
}

static inline struct keel_answer *mmio(unsigned int vcpu, uint8_t opcode, uint32_t address)
{
	mmio_record(vcpu, opcode, address);
	return enter(vcpu, KEEL_EXIT_MMIO);
}

static inline struct keel_answer *mmio_write(unsigned int vcpu, uint32_t address, uint32_t value)
{
	struct keel_answer *answer;

	ctx[vcpu].regs.gpr[KEEL_RAX] = value;
	answer = mmio(vcpu, 0xa3, address);
	ck_assert_uint_eq(answer->flags & KEEL_ANSWER_RIP, KEEL_ANSWER_RIP);
	return answer;
}

static inline uint32_t mmio_read(unsigned int vcpu, uint32_t address)
{
	struct keel_answer *answer = mmio(vcpu, 0xa1, address);

	ck_assert_uint_eq(answer->flags & KEEL_ANSWER_RIP, KEEL_ANSWER_RIP);
	return (uint32_t)ctx[vcpu].regs.gpr[KEEL_RAX];
}

static inline void pci_put(unsigned int slot, unsigned int function, unsigned int offset, uint8_t size, uint32_t value)
{
	out_by(0, 0xcf8, 4, 0x80000000u | slot << 11 | function << 8 | (offset & ~3u));
	out_by(0, (uint16_t)(0xcfc + offset % 4), size, value);
}

static inline uint32_t pci_get(unsigned int slot, unsigned int function, unsigned int offset)
{
	out_by(0, 0xcf8, 4, 0x80000000u | slot << 11 | function << 8 | offset);
	return in(0xcfc, 4);
}

#define INJECTED(v)	(KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | (v))

/* What firmware does: 8259 pair at 0x20 and 0x28, all masked but for 'mask'; LINT0 lets them through. */
static inline void pics(uint16_t open)
{
	static const uint8_t icw[2][3] = { { 0x20, 4, 1 }, { 0x28, 2, 1 } };

	for (unsigned int i = 0; i < 2; i++) {
		uint16_t port = i ? 0xa0 : 0x20;

		out(port, 0x11);
		for (unsigned int n = 0; n < 3; n++)
			out(port + 1, icw[i][n]);
		out(port + 1, (uint8_t)~(open >> (8 * i)));
	}
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x350, 0x8700);
}

static inline void redirect(unsigned int pin, uint32_t low, uint32_t high)
{
	mmio_write(0, PC_IOAPIC, 0x11 + 2 * pin);
	mmio_write(0, PC_IOAPIC + 0x10, high);
	mmio_write(0, PC_IOAPIC, 0x10 + 2 * pin);
	mmio_write(0, PC_IOAPIC + 0x10, low);
}

/* Counter 0, rate generator. */
static inline void pit_rate(uint16_t count)
{
	out(0x43, 0x34);
	out(0x40, (uint8_t)count);
	out(0x40, (uint8_t)(count >> 8));
}

static inline void set_sectors(unsigned int device, uint64_t sectors)
{
	memcpy(channel->c.machine.device[device].config, &sectors, sizeof(sectors));
}

static inline void fill_machine(struct keel_machine *m)
{
	m->vcpus = VCPUS;
	m->low_memory = LOW_MEMORY;
	m->tsc_khz = TSC_KHZ;
	m->wall_tsc = TSC_START;
	m->wall_ns = 86400ll * 365 * 1000000000ll;	/* 1 January 1971 */
	m->firmware = offsetof(struct test_channel, firmware);
	m->firmware_bytes = FIRMWARE_BYTES;
	m->devices = RIG_DEVICES;
	m->queues = RIG_QUEUES;
	m->queue[0] = (struct keel_queue)TEST_QUEUE(0);
	m->queue[1] = (struct keel_queue)TEST_QUEUE(1);
	m->device[0] = (struct keel_device){
		.type = KEEL_DEVICE_IDE_DISK, .slot = 0, .first_queue = 0, .queues = 1, .id = "K1", .config_bytes = 8,
	};
	set_sectors(0, DISK_BYTES / KEEL_SECTOR);
	m->device[1] = (struct keel_device){
		.type = KEEL_DEVICE_IDE_CDROM, .slot = 2, .first_queue = 1, .queues = 3, .config_bytes = 8,
	};
	m->queue[2] = TEST_QUEUE_OF(message[0], KEEL_MESSAGE_ENTRIES);
	m->queue[3] = TEST_QUEUE_OF(message[1], KEEL_MESSAGE_ENTRIES);
	m->device[2] = (struct keel_device){ .type = KEEL_DEVICE_CONSOLE, .first_queue = 4, .queues = 2 };
	m->queue[4] = TEST_QUEUE_OF(stream[0], STREAM_BUFFERS);
	m->queue[5] = TEST_QUEUE_OF(stream[1], KEEL_STREAM_ENTRIES_MOST);
	m->device[3] = (struct keel_device){ .type = KEEL_DEVICE_DEBUG, .first_queue = 6, .queues = 1 };
	m->queue[6] = TEST_QUEUE_OF(stream[2], KEEL_STREAM_ENTRIES_MOST);
	m->device[4] = (struct keel_device){ .type = KEEL_DEVICE_PANEL, .first_queue = 7, .queues = 2 };
	m->queue[7] = TEST_QUEUE_OF(message[2], KEEL_MESSAGE_ENTRIES);
	m->queue[8] = TEST_QUEUE_OF(message[3], KEEL_MESSAGE_ENTRIES);
	m->statistics = offsetof(struct test_channel, statistics);
	m->items = 2;
	m->item[0] = (struct keel_item){ .name = "etc/e820", .size = 20, .offset = offsetof(struct test_channel, item) };
	m->item[1] = (struct keel_item){ .key = 0x8003, .size = 4, .offset = offsetof(struct test_channel, item) };
}

/* The queues of a channel that is new, or that has moved. */
static inline void open_host(void)
{
	const struct keel_machine *m = &channel->c.machine;

	board_init(&host, &channel->c, m->device, RIG_DEVICES, m->queue);
}

/* Types on the serial console. */
static inline void type_in(const char *text)
{
	ck_assert_uint_le(strlen(text), board_input_room(&host));
	board_put_input(&host, (const uint8_t *)text, strlen(text));
}

/*
 * Page-aligned, all zero as it comes: most of its pages are never touched, and clearing them takes longer than most tests do.
 * What is beside it in its block may not be touched either.
 */
static inline void *make_room(size_t bytes)
{
	const size_t align = KEEL_PAGE_SIZE;
	size_t before;

	channel_block = calloc(1, bytes + align);
	ck_assert_ptr_ne(channel_block, NULL);
	before = -(uintptr_t)channel_block % align;
	ASAN_POISON_MEMORY_REGION(channel_block, before);
	ASAN_POISON_MEMORY_REGION(channel_block + before + bytes, align - before);
	return channel_block + before;
}

static inline void make(void)
{
	channel = make_room(sizeof(*channel));
	pc = calloc(1, sizeof(*pc));
	guest = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(guest, MAP_FAILED);
	memset(ctx, 0, sizeof(ctx));
	memset(apics, 0, sizeof(apics));
	tsc = TSC_START;
	channel->c.magic = KEEL_CHANNEL_MAGIC;
	channel->c.version = KEEL_CHANNEL_VERSION;
	channel->c.bytes = sizeof(*channel);
	for (unsigned int i = 0; i < FIRMWARE_BYTES; i++)
		channel->firmware[i] = (uint8_t)(i * 7 + i / 256);
	for (unsigned int i = 0; i < sizeof(channel->item); i++)
		channel->item[i] = (uint8_t)('a' + i);
	fill_machine(&channel->c.machine);
	open_host();
}

static inline void destroy(void)
{
	munmap(guest, GUEST_BYTES);
	free(pc);
	free(channel_block);
}

static inline void start(void)
{
	make();
	ck_assert_uint_eq(event()->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(poll(0)->flags & KEEL_ANSWER_SREGS, KEEL_ANSWER_SREGS);
	flat(0);
}

#endif
