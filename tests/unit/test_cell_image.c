/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cell's image as it is, at its own addresses in a process: mapped as its header says, entered as the hypervisor does,
 * answering by the gate, which a process sees as SIGSEGV. Not for sanitizers: they keep their own things at these addresses.
 */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include <keel/cell.h>
#include <keel/channel.h>

#include "machine/link.h"
#include "suite.h"

#define FIRMWARE_BYTES	0x10000u
#define GUEST_BYTES	0x100000000ull
#define ROUNDS		3

struct test_channel {
	struct keel_channel c;
	uint8_t firmware[FIRMWARE_BYTES];
};

static const char *image_file;
static struct test_channel *channel = (struct test_channel *)KEEL_CELL_CHANNEL;
static ucontext_t back;
static volatile uint64_t answered_at;
static volatile int stray;

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
	sigaltstack(&own, NULL);
	for (unsigned int i = 0; i < 3; i++)
		sigaction((int[]){ SIGSEGV, SIGILL, SIGBUS }[i], &action, NULL);
}

static const struct keel_answer *enter(unsigned int context, unsigned int kind)
{
	const struct keel_cell_header *header = (const void *)KEEL_CELL_IMAGE;
	struct keel_context *ctx = context_page(context);
	volatile bool entered = false;

	ctx->exit.kind = kind;
	ctx->exit.context = context;
	getcontext(&back);
	if (!entered) {
		entered = true;
		__asm__ volatile("movq %0, %%rsp\n\tjmp *%1"
				 : : "r"(stack_end(context)), "r"(header->entry), "D"(ctx) : "memory");
		__builtin_unreachable();
	}
	ck_assert_int_eq(stray, 0);
	ck_assert_uint_eq(answered_at, stack_end(context));
	return &ctx->answer;
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

int main(int argc, char **argv)
{
	Suite *suite = suite_create("cell_image");
	TCase *tests = tcase_create("cell_image");

	if (argc != 2)
		return 2;
	image_file = argv[1];
	tcase_add_checked_fixture(tests, setup, NULL);
	tcase_add_test(tests, answers_by_the_gate);
	suite_add_tcase(suite, tests);
	return run_suite(suite);
}
