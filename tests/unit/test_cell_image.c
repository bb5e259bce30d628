/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cell's image as it is, at its own addresses in a process: mapped as its header says, entered as the hypervisor does,
 * answering by the gate, which a process sees as SIGSEGV. Not for sanitizers: they keep their own things at these addresses.
 * What exits cost is counted in single steps; CK_VERBOSITY=verbose prints it.
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include <keel/cell.h>
#include <keel/channel.h>
#include <keel/macros.h>
#include <x86/apic.h>
#include <x86/msr.h>
#include <x86/registers.h>

#include "machine/link.h"
#include "shared/pc_map.h"
#include "suite.h"

#define FIRMWARE_BYTES	0x10000u
#define GUEST_BYTES	0x100000000ull
#define ROUNDS		3
#define FLAGS		0x202ull
#define FLAGS_STEP	0x100ull
#define CODE		0x100000u
#define CODE_LOAD	(CODE + 0x40)
#define CODE_STORE	(CODE + 0x50)
#define CODE_STRING	(CODE + 0x60)
#define INSN_BYTES	2
#define OPCODE_LOAD	0x8b		/* MOV between a register and memory */
#define OPCODE_STORE	0x89
#define OPCODE_MOVSB	0xa4
#define OPCODE_STOSB	0xaa
#define NOBODY		0xa0000u	/* device memory with no device: the display's */
#define REPEATED	1024u		/* elements that one entry does */
#define TABLES		0x200000u
#define PAGE_ENTRY	0x67u		/* present, writable, user's, accessed, dirty */
#define PAGE_LARGE	0x80u
#define SECTOR		512u
#define DISK_SECTORS	1000u

struct test_channel {
	struct keel_channel c;
	uint8_t firmware[FIRMWARE_BYTES];
	_Alignas(KEEL_PAGE_SIZE) uint8_t ring[KEEL_PAGE_SIZE];
	uint8_t arena[KEEL_BLOCK_ARENA];
};

static const char *image_file;
static struct test_channel *channel = (struct test_channel *)KEEL_CELL_CHANNEL;
static ucontext_t back;
static volatile uint64_t answered_at;
static volatile int stray;
static volatile unsigned int steps;

/* The gate: INT 31 (CD 1F) is not allowed in a process. Anything else is a fault of the cell's. */
static void on_fault(int signal, siginfo_t *info, void *ucontext)
{
	const ucontext_t *uc = ucontext;
	const uint8_t *rip = (const uint8_t *)uc->uc_mcontext.gregs[REG_RIP];

	(void)info;
	stray = signal != SIGSEGV || rip[0] != 0xcd || rip[1] != KEEL_CELL_GATE;
	answered_at = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
	setcontext(&back);
}

static void on_step(int signal)
{
	(void)signal;
	steps++;
}

static void *map(uint64_t address, uint64_t bytes, int protection)
{
	void *at = mmap((void *)address, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
			-1, 0);

	ck_assert_ptr_eq(at, (void *)address);
	return at;
}

static void load_image(void)
{
	struct keel_cell_header header;
	int fd = open(image_file, O_RDONLY);
	struct stat stat;
	uint64_t pages[4], at = KEEL_CELL_IMAGE, all;
	static const int protections[] = { PROT_READ | PROT_EXEC, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE };

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &stat), 0);
	ck_assert_int_eq(pread(fd, &header, sizeof(header), 0), sizeof(header));
	ck_assert_uint_eq(header.magic, KEEL_CELL_MAGIC);
	memcpy(pages, (uint64_t[]){ header.text_pages, header.rodata_pages, header.data_pages, header.bss_pages },
	       sizeof(pages));
	ck_assert_uint_eq((uint64_t)stat.st_size, (pages[0] + pages[1] + pages[2]) * KEEL_PAGE_SIZE);
	all = (uint64_t)stat.st_size + pages[3] * KEEL_PAGE_SIZE;
	ck_assert_uint_le(all, KEEL_CELL_IMAGE_MAX);
	ck_assert_uint_lt(header.entry - KEEL_CELL_IMAGE, pages[0] * KEEL_PAGE_SIZE);

	map(KEEL_CELL_IMAGE, all, PROT_READ | PROT_WRITE);
	ck_assert_int_eq(pread(fd, (void *)KEEL_CELL_IMAGE, (size_t)stat.st_size, 0), stat.st_size);
	for (unsigned int i = 0; i < 4; i++) {
		if (pages[i])
			ck_assert_int_eq(mprotect((void *)at, pages[i] * KEEL_PAGE_SIZE, protections[i]), 0);
		at += pages[i] * KEEL_PAGE_SIZE;
	}
	close(fd);
}

static struct keel_context *context_page(unsigned int context)
{
	return (struct keel_context *)(KEEL_CELL_CONTEXTS + context * KEEL_PAGE_SIZE);
}

static uint64_t stack_end(unsigned int context)
{
	return KEEL_CELL_STACKS + (context + 1) * KEEL_CELL_STACK_STRIDE;
}

static void map_context(unsigned int context)
{
	uint64_t bytes = KEEL_CELL_STACK_PAGES * KEEL_PAGE_SIZE;

	map((uint64_t)context_page(context), KEEL_PAGE_SIZE, PROT_READ | PROT_WRITE);
	map(stack_end(context) - bytes, bytes, PROT_READ | PROT_WRITE);
}

static void add_disk(struct keel_machine *m)
{
	static const struct keel_block_config config = { .sectors = DISK_SECTORS };

	m->queues = m->devices = 1;
	m->queue[0] = (struct keel_queue){
		.ring = offsetof(struct test_channel, ring), .entries = KEEL_BLOCK_ENTRIES,
		.arena = offsetof(struct test_channel, arena), .arena_bytes = KEEL_BLOCK_ARENA,
	};
	m->device[0] = (struct keel_device){ .type = KEEL_DEVICE_IDE_DISK, .queues = 1, .config_bytes = sizeof(config) };
	memcpy(m->device[0].config, &config, sizeof(config));
}

static void setup(void)
{
	struct keel_machine *m;
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t own = { .ss_sp = malloc(1 << 16), .ss_size = 1 << 16 };

	load_image();
	map(KEEL_CELL_GUEST, GUEST_BYTES, PROT_READ | PROT_WRITE);
	map(KEEL_CELL_CHANNEL, (sizeof(*channel) + KEEL_PAGE_SIZE - 1) & ~(KEEL_PAGE_SIZE - 1), PROT_READ | PROT_WRITE);
	map(KEEL_CELL_APICS, KEEL_PAGE_SIZE, PROT_READ | PROT_WRITE);
	map_context(0);
	map_context(KEEL_CONTEXT_EVENT);
	channel->c.magic = KEEL_CHANNEL_MAGIC;
	channel->c.version = KEEL_CHANNEL_VERSION;
	channel->c.bytes = sizeof(*channel);
	m = &channel->c.machine;
	m->vcpus = 1;
	m->low_memory = 0x1000000;
	m->tsc_khz = 1000000;
	m->firmware = offsetof(struct test_channel, firmware);
	m->firmware_bytes = FIRMWARE_BYTES;
	memset(channel->firmware, 0xea, FIRMWARE_BYTES);
	add_disk(m);
	sigaltstack(&own, NULL);
	for (unsigned int i = 0; i < 3; i++)
		sigaction((int[]){ SIGSEGV, SIGILL, SIGBUS }[i], &action, NULL);
	sigaction(SIGTRAP, &(struct sigaction){ .sa_handler = on_step, .sa_flags = SA_ONSTACK }, NULL);
}

static const struct keel_answer *enter_with(unsigned int context, unsigned int kind, uint64_t flags)
{
	const struct keel_cell_header *header = (const void *)KEEL_CELL_IMAGE;
	struct keel_context *ctx = context_page(context);
	volatile bool entered = false;

	ctx->exit.kind = kind;
	ctx->exit.context = context;
	getcontext(&back);
	if (!entered) {
		entered = true;
		__asm__ volatile("movq %0, %%rsp\n\tpushq %2\n\tpopfq\n\tjmp *%1"
				 : : "r"(stack_end(context)), "r"(header->entry), "r"(flags), "D"(ctx) : "memory");
		__builtin_unreachable();
	}
	ck_assert_int_eq(stray, 0);
	ck_assert_uint_eq(answered_at, stack_end(context));
	return &ctx->answer;
}

static const struct keel_answer *enter(unsigned int context, unsigned int kind)
{
	return enter_with(context, kind, FLAGS);
}

START_TEST(answers_by_the_gate)
{
	struct keel_context *ctx = context_page(0);
	const struct keel_answer *answer = enter(0, KEEL_EXIT_POLL);

	ck_assert_uint_eq(answer->action, KEEL_ACTION_END);
	ck_assert_uint_eq(answer->detail, CELL_REFUSED_CONTEXT);
	ck_assert_uint_eq(enter(KEEL_CONTEXT_EVENT, KEEL_EXIT_EVENT)->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(*(const uint8_t *)(KEEL_CELL_GUEST + GUEST_BYTES - 1), 0xea);
	ck_assert_uint_eq(enter(0, KEEL_EXIT_POLL)->flags, KEEL_ANSWER_SREGS);
	ck_assert_uint_eq(ctx->sregs.seg[KEEL_SEG_CS].base, 0xffff0000);

	for (unsigned int i = 0; i < ROUNDS; i++) {
		ctx->exit.port = 0xcf8;
		ctx->exit.size = 4;
		ctx->exit.io = 0;
		ctx->regs.gpr[KEEL_RAX] = 0x80000000;
		enter(0, KEEL_EXIT_IO);
		ctx->exit.port = 0xcfc;
		ctx->exit.io = KEEL_IO_IN;
		ctx->exit.next_rip = 0x1234;
		ck_assert_uint_eq(enter(0, KEEL_EXIT_IO)->flags, KEEL_ANSWER_REGS | KEEL_ANSWER_RIP);
		ck_assert_uint_eq(ctx->regs.gpr[KEEL_RAX], 0x12378086);
		ck_assert_uint_eq(ctx->regs.rip, 0x1234);
	}
	ck_assert_uint_eq(enter(0, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
}
END_TEST

/* Exits in turn, with the most instructions that each may take: about twice what it does. */

static void access_port(struct keel_context *ctx, uint16_t port, uint8_t io)
{
	ctx->exit.port = port;
	ctx->exit.size = 1;
	ctx->exit.io = io;
}

static void read_port(struct keel_context *ctx)
{
	access_port(ctx, 0x21, KEEL_IO_IN);
}

static void write_port(struct keel_context *ctx)
{
	access_port(ctx, 0x80, 0);
}

static void identify_disk(struct keel_context *ctx)
{
	access_port(ctx, 0x1f7, 0);
	ctx->regs.gpr[KEEL_RAX] = 0xec;
}

static void read_sector(struct keel_context *ctx)
{
	access_port(ctx, 0x1f0, KEEL_IO_IN | KEEL_IO_STRING | KEEL_IO_REP);
	ctx->exit.size = 2;
	ctx->exit.segment = KEEL_SEG_ES;
	ctx->exit.address_size = 8;
	ctx->regs.gpr[KEEL_RCX] = SECTOR / 2;
	ctx->regs.gpr[KEEL_RDI] = CODE + 0x1000;
}

/* MOV between EAX and [RDX]; loads and stores are at different places. */
static void access_memory(struct keel_context *ctx, uint8_t opcode, uint64_t address, uint32_t value, uint8_t given)
{
	uint64_t rip = opcode == OPCODE_STORE ? CODE_STORE : CODE_LOAD;
	uint8_t *code = given ? ctx->exit.insn : (uint8_t *)KEEL_CELL_GUEST + rip;

	code[0] = opcode;
	code[1] = 0x02;
	ctx->exit.insn_length = given;
	ctx->exit.flags |= KEEL_EXIT_F_SREGS;
	ctx->exit.gpa = address;
	ctx->exit.access = opcode == OPCODE_STORE ? KEEL_ACCESS_WRITE : 0;
	ctx->regs.gpr[KEEL_RDX] = address;
	ctx->regs.gpr[KEEL_RAX] = value;
	ctx->regs.rip = rip;
}

static void read_hpet(struct keel_context *ctx)
{
	access_memory(ctx, OPCODE_LOAD, PC_HPET, 0, 0);
}

static void read_hpet_given(struct keel_context *ctx)
{
	access_memory(ctx, OPCODE_LOAD, PC_HPET, 0, 15);
}

static void enable_xapic(struct keel_context *ctx)
{
	access_memory(ctx, OPCODE_STORE, KEEL_APIC_BASE + APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET, 0);
}

static void send_by_xapic(struct keel_context *ctx)
{
	access_memory(ctx, OPCODE_STORE, KEEL_APIC_BASE + APIC_REG_ICR_LOW, ICR_SELF | 0x50, 0);
}

static void end_by_xapic(struct keel_context *ctx)
{
	access_memory(ctx, OPCODE_STORE, KEEL_APIC_BASE + APIC_REG_EOI, 0, 0);
}

static void write_msr(struct keel_context *ctx, uint32_t msr, uint32_t value)
{
	ctx->exit.flags &= ~KEEL_EXIT_F_SREGS;
	ctx->exit.msr = msr;
	ctx->regs.gpr[KEEL_RAX] = value;
	ctx->regs.gpr[KEEL_RDX] = 0;
}

static void enter_x2apic(struct keel_context *ctx)
{
	write_msr(ctx, MSR_APIC_BASE, KEEL_APIC_BASE | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

static void send_by_x2apic(struct keel_context *ctx)
{
	write_msr(ctx, MSR_X2APIC_SELF_IPI, 0x50);
}

static void end_by_x2apic(struct keel_context *ctx)
{
	write_msr(ctx, MSR_X2APIC_EOI, 0);
}

/* F3 and the opcode: as many elements as one entry does. */
static void repeat_bytes(struct keel_context *ctx, uint8_t opcode, uint64_t to, uint64_t from)
{
	uint8_t *code = (uint8_t *)KEEL_CELL_GUEST + CODE_STRING;

	code[0] = 0xf3;
	code[1] = opcode;
	ctx->exit.insn_length = 0;
	ctx->exit.flags |= KEEL_EXIT_F_SREGS;
	ctx->exit.gpa = NOBODY;
	ctx->exit.access = to == NOBODY ? KEEL_ACCESS_WRITE : 0;
	ctx->regs.gpr[KEEL_RCX] = REPEATED;
	ctx->regs.gpr[KEEL_RDI] = to;
	ctx->regs.gpr[KEEL_RSI] = from;
	ctx->regs.rip = CODE_STRING;
}

static void fill_nobody(struct keel_context *ctx)
{
	repeat_bytes(ctx, OPCODE_STOSB, NOBODY, 0);
}

static void copy_to_nobody(struct keel_context *ctx)
{
	repeat_bytes(ctx, OPCODE_MOVSB, NOBODY, CODE + 0x1000);
}

static void copy_from_nobody(struct keel_context *ctx)
{
	repeat_bytes(ctx, OPCODE_MOVSB, CODE + 0x2000, NOBODY);
}

static void do_nothing(struct keel_context *ctx)
{
	(void)ctx;
}

static const struct {
	const char *what;
	void (*prepare)(struct keel_context *ctx);
	unsigned int kind, most;	/* 0: any number, for it is only done for what comes behind it */
} costs[] = {
	{ "port read", read_port, KEEL_EXIT_IO, 250 },
	{ "port write", write_port, KEEL_EXIT_IO, 230 },
	{ "MMIO read, fetched, the first", read_hpet, KEEL_EXIT_MMIO, 1800 },
	{ "MMIO read, fetched", read_hpet, KEEL_EXIT_MMIO, 1200 },
	{ "MMIO read, bytes given", read_hpet_given, KEEL_EXIT_MMIO, 850 },
	{ "xAPIC: switched on", enable_xapic, KEEL_EXIT_MMIO, 0 },
	{ "xAPIC: sent to itself", send_by_xapic, KEEL_EXIT_MMIO, 1600 },
	{ "xAPIC: EOI", end_by_xapic, KEEL_EXIT_MMIO, 1300 },
	{ "x2APIC: mode", enter_x2apic, KEEL_EXIT_WRMSR, 0 },
	{ "x2APIC: sent to itself", send_by_x2apic, KEEL_EXIT_WRMSR, 240 },
	{ "x2APIC: EOI", end_by_x2apic, KEEL_EXIT_WRMSR, 140 },
	{ "IDE: IDENTIFY DEVICE", identify_disk, KEEL_EXIT_IO, 0 },
	{ "IDE: REP INSW, a sector", read_sector, KEEL_EXIT_IO, 3000 },
	{ "REP STOSB, 1 KiB to nobody", fill_nobody, KEEL_EXIT_MMIO, 2800 },
	{ "REP MOVSB, 1 KiB to nobody", copy_to_nobody, KEEL_EXIT_MMIO, 3800 },
	{ "REP MOVSB, 1 KiB from nobody", copy_from_nobody, KEEL_EXIT_MMIO, 3800 },
	{ "HLT", do_nothing, KEEL_EXIT_HLT, 600 },
	{ "poll", do_nothing, KEEL_EXIT_POLL, 600 },
	{ "event, the first", do_nothing, KEEL_EXIT_EVENT, 0 },
	{ "event", do_nothing, KEEL_EXIT_EVENT, 380 },
};

static void enter_long_mode(struct keel_context *ctx)
{
	uint64_t *tables = (uint64_t *)(KEEL_CELL_GUEST + TABLES);
	struct keel_sregs *s = &ctx->sregs;

	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		s->seg[i] = (struct keel_segment_register){ 0x10, 0xc93, UINT32_MAX, 0 };
	s->seg[KEEL_SEG_CS] = (struct keel_segment_register){ 8, 0xa9b, UINT32_MAX, 0 };
	s->cr0 = CR0_PG | CR0_ET | CR0_PE;
	s->cr3 = TABLES;
	s->cr4 = CR4_PAE;
	s->efer = EFER_NXE | EFER_LMA | EFER_LME;
	tables[0] = (TABLES + 0x1000) | PAGE_ENTRY;
	for (uint64_t i = 0; i < 4; i++)
		tables[512 + i] = (TABLES + 0x2000 + i * 0x1000) | PAGE_ENTRY;
	for (uint64_t i = 0; i < 4 * 512; i++)
		tables[1024 + i] = i << 21 | PAGE_ENTRY | PAGE_LARGE;
	ctx->regs.rflags = FLAGS;
	ctx->exit.flags = KEEL_EXIT_F_INTERRUPTIBLE;
}

START_TEST(exits_stay_short)
{
	struct keel_context *ctx = context_page(0);

	enter(KEEL_CONTEXT_EVENT, KEEL_EXIT_EVENT);
	enter(0, KEEL_EXIT_POLL);
	enter_long_mode(ctx);
	for (unsigned int i = 0; i < ARRAY_SIZE(costs); i++) {
		const struct keel_answer *answer;
		bool event = costs[i].kind == KEEL_EXIT_EVENT;

		uint64_t next;

		ctx->regs.rip = CODE;
		costs[i].prepare(ctx);
		ctx->exit.next_rip = next = ctx->regs.rip + INSN_BYTES;
		steps = 0;
		answer = enter_with(event ? KEEL_CONTEXT_EVENT : 0, costs[i].kind, FLAGS | FLAGS_STEP);
		ck_assert_uint_eq(answer->action, costs[i].kind == KEEL_EXIT_HLT || costs[i].kind == KEEL_EXIT_POLL);
		if (!event && costs[i].kind != KEEL_EXIT_POLL)
			ck_assert_uint_eq(ctx->regs.rip, next);
		if (getenv("CK_VERBOSITY"))
			printf("%-32s %5u\n", costs[i].what, steps);
		ck_assert_msg(steps > 0 && (!costs[i].most || steps <= costs[i].most), "%s: %u instructions, over %u",
			      costs[i].what, steps, costs[i].most);
	}
	/* What was read is the drive's: words 60 and 61 are its sectors. */
	ck_assert_uint_eq(((const uint16_t *)(KEEL_CELL_GUEST + CODE + 0x1000))[60], DISK_SECTORS);
	for (unsigned int i = 0; i < REPEATED; i++)
		ck_assert_uint_eq(((const uint8_t *)(KEEL_CELL_GUEST + CODE + 0x2000))[i], UINT8_MAX);
	ck_assert_uint_eq(((const uint8_t *)(KEEL_CELL_GUEST + CODE + 0x2000))[REPEATED], 0);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("cell_image");
	TCase *tests = tcase_create("cell_image");

	if (argc != 2)
		return 2;
	image_file = argv[1];
	tcase_set_timeout(tests, 60);		/* steps are signals: what takes a thousand times as many shall be told as that */
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, answers_by_the_gate);
	tcase_add_test(tests, exits_stay_short);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
