// SPDX-License-Identifier: GPL-2.0
/*
 * dirty: whether the log of written pages has every page that guests/dirty.c writes, and no other. With --gibibyte the guest
 * writes to a block of 1 GiB, above 4 GiB, before the log splits it as well as after that. One line for each check on standard
 * output.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <keel/cell.h>
#include <keel/hypercall.h>
#include <keel/macros.h>

#define MIB		(1ull << 20)
#define GIB		(1ull << 30)
#define MEMORY		(16 * MIB)
#define MEMORY_PAGES	(MEMORY / KEEL_PAGE_SIZE)
#define GIB_PAGES	(GIB / KEEL_PAGE_SIZE)
#define PAGES		(MEMORY_PAGES + GIB_PAGES)	/* a page's number here: those of the block follow the memory's */
#define WORDS		(PAGES / 64)
#define FIRMWARE	(0x100000000ull - MIB)	/* the MiB that it is in */
#define ROM_PAGES	(MACHINE_FIRMWARE_BYTES / KEEL_PAGE_SIZE)
#define PATIENCE_MS	(20000u * machine_patience())
/* To its last character: one that came later would look like the next run's end. */
#define DONE		"dirty: done\r\n"
#define EMPTY_CALLS	5u
#define EMPTY_US	5000u
#define RUN_CALLS	3u		/* one after the other, and then the guest's turn */
#define RUN_US		100u
#define RUNS_MS		5000u
#define RUNS_LEAST	2u
/* guests/dirty.c: page numbers, counted from DATA. */
#define DATA_PAGES	2048u
#define HASH		0x9e3779b1u
#define INS_PAGE	0x77u
#define DMA_PAGE	0x99u
#define OLD		0u
#define MARK		0x100u
#define RUN_PAGES	256u

/* What the guest writes without being told, beside what it may write: see guests/lib/map.h. */
#define COUNTS		0x22u
#define STACK		0x8fu
static const struct { unsigned int first, last; const char *what; } own_pages[] = {
	{ 0x10, 0x15, "page tables, which processors write to" },
	{ 0x20, COUNTS, "interrupt table, TSS, counts of interrupts" },
	{ 0x30, 0x30, "scratch" },
	{ STACK, STACK, "stack" },
	{ 0xf0, 0xff, "variables" },
};

struct bitmap {
	uint64_t word[WORDS];
};

/* Without and with a block of 1 GiB. */
static const struct layout {
	const char *name;
	unsigned int data, fill_pages;	/* the number of DATA's first page */
	uint64_t data_gpa, block_bytes;
	unsigned int runs;		/* at most */
} small = { "dirty", 0x400, DATA_PAGES, 0x400000, 0, 10 },
large = { "dirty, 1 GiB", MEMORY_PAGES, GIB_PAGES, MACHINE_HIGH_MEMORY, GIB, RUNS_LEAST };

static const struct layout *layout = &small;
static unsigned int passed, failed;

static void report(bool good, const char *name, const char *why)
{
	if (good)
		printf("ok - %s: %s\n", layout->name, name);
	else
		printf("not ok - %s: %s: %s\n", layout->name, name, why);
	passed += good;
	failed += !good;
	fflush(stdout);
}

static bool has(const struct bitmap *map, unsigned int page)
{
	return map->word[page / 64] >> page % 64 & 1;
}

static void add(struct bitmap *map, unsigned int page)
{
	map->word[page / 64] |= 1ull << page % 64;
}

static unsigned int count(const struct bitmap *map)
{
	unsigned int i, bits = 0;

	for (i = 0; i < WORDS; i++)
		bits += (unsigned int)__builtin_popcountll(map->word[i]);
	return bits;
}

static int call(const struct machine *m, uint64_t gpa, uint64_t bytes, void *bitmap, uint32_t flags)
{
	struct keel_vm_dirty dirty = { .gpa = gpa, .bytes = bytes, .bitmap = (uintptr_t)bitmap, .flags = flags };

	return ioctl(m->fd, KEEL_VM_DIRTY, &dirty);
}

static void refuse(const char *name, int result, int expected)
{
	char why[80];

	snprintf(why, sizeof(why), "result %d, errno %d, expected errno %d", result, errno, expected);
	report(result < 0 && errno == expected, name, why);
}

/* Of all memory. */
static struct bitmap take(const struct machine *m, uint32_t flags)
{
	struct bitmap map = { 0 };

	memset(map.word, 0xa5, MEMORY_PAGES / 8);
	memset(map.word + MEMORY_PAGES / 64, 0xa5, layout->block_bytes / KEEL_PAGE_SIZE / 8);
	if (call(m, 0, MEMORY, &map, flags) || (layout->block_bytes &&
	    call(m, MACHINE_HIGH_MEMORY, layout->block_bytes, map.word + MEMORY_PAGES / 64, flags)))
		err(2, "KEEL_VM_DIRTY");
	return map;
}

/* Until the guest is at rest. */
static struct bitmap take_all(const struct machine *m)
{
	uint64_t end = machine_milliseconds() + PATIENCE_MS;
	struct bitmap all = { 0 }, map;
	unsigned int empty = 0;

	while (empty < EMPTY_CALLS && machine_milliseconds() < end) {
		map = take(m, 0);
		for (unsigned int i = 0; i < WORDS; i++)
			all.word[i] |= map.word[i];
		empty = count(&map) ? 0 : empty + 1;
		usleep(EMPTY_US);
	}
	return all;
}

static bool tell(struct machine *m, char character)
{
	machine_type(m, character);
	machine_serve(m, DONE, PATIENCE_MS);
	return strstr(m->output, DONE);
}

static bool is_own(unsigned int page)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_pages); i++)
		if (page >= own_pages[i].first && page <= own_pages[i].last)
			return true;
	return false;
}

/* All that was expected, and beside it nothing but the guest's own pages. */
static void compare(const char *name, const struct bitmap *found, const struct bitmap *expected)
{
	unsigned int missing = 0, extra = 0, first = 0;
	char why[100];

	for (unsigned int page = 0; page < PAGES; page++) {
		bool bad = has(expected, page) ? !has(found, page) : has(found, page) && !is_own(page);

		if (bad && !missing && !extra)
			first = page;
		missing += bad && has(expected, page);
		extra += bad && !has(expected, page);
	}
	snprintf(why, sizeof(why), "of %u, %u are missing, %u too many, the first is %#x",
		 count(expected), missing, extra, first);
	report(!missing && !extra, name, why);
}

static void check_arguments(const struct machine *m)
{
	struct keel_vm_dirty dirty = { .bytes = MIB };
	struct bitmap map;

	refuse("bad pointer", ioctl(m->fd, KEEL_VM_DIRTY, 8), EFAULT);
	refuse("nothing", call(m, 0, 0, &map, 0), EINVAL);
	refuse("half a MiB", call(m, 0, MIB / 2, &map, 0), EINVAL);
	refuse("from a page", call(m, KEEL_PAGE_SIZE, MIB, &map, 0), EINVAL);
	refuse("bitmap not aligned", call(m, 0, MIB, (uint8_t *)&map + 4, 0), EINVAL);
	refuse("flags", call(m, 0, MIB, &map, 2), EINVAL);
	refuse("above all addresses", call(m, KEEL_CELL_GUEST_MAX, MIB, &map, 0), EINVAL);
	refuse("across the end", call(m, KEEL_CELL_GUEST_MAX - MIB, 2 * MIB, &map, 0), EINVAL);
	refuse("wraps around", call(m, MIB, ~(MIB - 1), &map, 0), EINVAL);
	dirty.reserved = 1;
	refuse("reserved is not zero", ioctl(m->fd, KEEL_VM_DIRTY, &dirty), EINVAL);
	dirty.reserved = 0;
	dirty.spare[1] = 1;
	refuse("spare room is not zero", ioctl(m->fd, KEEL_VM_DIRTY, &dirty), EINVAL);
}

/* The first call finds all memory, the next ones nothing. */
static void check_begin(struct machine *m)
{
	struct bitmap map = { 0 }, expected = { 0 };
	unsigned int bits = 0;
	uint64_t rom[4];

	if (layout->block_bytes)
		refuse("a block of 1 GiB that was not split", call(m, MACHINE_HIGH_MEMORY, MIB, &map, 0), EBUSY);
	else if (machine_status(m).pages_2m)
		refuse("blocks that were not split", call(m, 8 * MIB, MIB, &map, 0), EBUSY);
	map = take(m, KEEL_DIRTY_SPLIT);
	for (unsigned int page = 0; page < MEMORY_PAGES; page++)
		if (page < 0xa0 || page >= 0xc0)
			add(&expected, page);
	for (unsigned int page = 0; page < layout->block_bytes / KEEL_PAGE_SIZE; page++)
		add(&expected, MEMORY_PAGES + page);
	report(!memcmp(&map, &expected, sizeof(map)), "the first call has all memory", "it has not");
	if (call(m, FIRMWARE, MIB, rom, KEEL_DIRTY_SPLIT))
		err(2, "KEEL_VM_DIRTY");
	report(!rom[0] && !rom[1] && !rom[2] && rom[3] == ~0ull << (64 - ROM_PAGES), "and the firmware", "it has not");
	take_all(m);
	for (unsigned int i = 0; i < EMPTY_CALLS; i++) {
		usleep(EMPTY_US);
		map = take(m, 0);
		bits += count(&map);
	}
	report(!bits, "nothing is written while the guest is halted", "something was");
	report(!call(m, FIRMWARE, MIB, rom, 0) && !(rom[0] | rom[1] | rom[2] | rom[3]), "nor is the firmware", "it was");
}

static struct bitmap written_by_interrupt(void)
{
	struct bitmap map = { 0 };

	add(&map, COUNTS);
	add(&map, STACK);
	return map;
}

static void check_fill(struct machine *m)
{
	struct bitmap expected = written_by_interrupt(), found;

	for (unsigned int i = 0; i < layout->fill_pages; i++)
		add(&expected, layout->data + i);
	if (!tell(m, 'F'))
		report(false, "all pages", m->output);
	found = take_all(m);
	compare("all pages", &found, &expected);
}

/* As long as there is no log, the guest has its memory in one block. */
static void check_block(struct machine *m)
{
	report(machine_status(m).pages_1g == 1, "a block of 1 GiB", "there is none: no such piece of the host's memory is free");
	report(tell(m, 'F'), "every page of it is another", m->output);
	report(tell(m, 'I'), "string input into it", m->output);
	report(tell(m, 'D'), "DMA into it", m->output);
}

static void check_patterns(struct machine *m)
{
	static const char patterns[] = "aabiobc";
	char name[80];

	for (const char *c = patterns; *c; c++) {
		struct bitmap expected = written_by_interrupt(), found;

		for (uint32_t i = 0; i < DATA_PAGES; i++)
			if ((i * HASH >> 24 & 15) == (*c & 15u))
				add(&expected, layout->data + i);
		snprintf(name, sizeof(name), "pattern %c, %u pages", *c, count(&expected));
		if (!tell(m, *c))
			report(false, name, m->output);
		found = take_all(m);
		compare(name, &found, &expected);
	}
}

static void check_devices(struct machine *m)
{
	struct bitmap expected = written_by_interrupt(), found;

	add(&expected, layout->data + INS_PAGE);
	add(&expected, layout->data + INS_PAGE + 1);
	if (!tell(m, 'I'))
		report(false, "string input", m->output);
	found = take_all(m);
	compare("string input by the device model", &found, &expected);
	expected = written_by_interrupt();
	add(&expected, layout->data + DMA_PAGE);
	if (!tell(m, 'D'))
		report(false, "DMA", m->output);
	found = take_all(m);
	compare("DMA by the device model", &found, &expected);
}

/* The number of the last call that found each page. */
struct run {
	unsigned int calls, old[RUN_PAGES], mark[RUN_PAGES];
};

static void run_take(struct machine *m, struct run *run)
{
	uint64_t bits[2 * MIB / KEEL_PAGE_SIZE / 64];

	if (call(m, layout->data_gpa + OLD * KEEL_PAGE_SIZE, 2 * MIB, bits, 0))
		err(2, "KEEL_VM_DIRTY");
	run->calls++;
	for (unsigned int i = 0; i < RUN_PAGES; i++) {
		if (bits[i / 64] >> i % 64 & 1)
			run->old[i] = run->calls;
		if (bits[(RUN_PAGES + i) / 64] >> i % 64 & 1)
			run->mark[i] = run->calls;
	}
}

/*
 * Call m finds page i of MARK: it was written after call m - 1 began, so after call m - 2 was done with. Page i of OLD was
 * written yet later; if no translation from before the end of call m - 2 was used for it, call m - 1 or a later one has it.
 */
static unsigned int run_once(struct machine *m, struct run *run)
{
	uint64_t end = machine_milliseconds() + PATIENCE_MS;
	unsigned int lost = 0;

	*run = (struct run){ 0 };
	machine_type(m, 'R');
	while (!machine_printed(m) && machine_milliseconds() < end) {
		for (unsigned int i = 0; i < RUN_CALLS; i++)
			run_take(m, run);
		usleep(RUN_US);
	}
	machine_serve(m, DONE, PATIENCE_MS);
	run_take(m, run);
	run_take(m, run);
	for (unsigned int i = 0; i < RUN_PAGES; i++)
		lost += !run->mark[i] || !run->old[i] || run->old[i] + 1 < run->mark[i];
	return lost;
}

static void pin(pthread_t thread, unsigned int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

static void check_run(struct machine *m)
{
	uint64_t end = machine_milliseconds() + RUNS_MS;
	unsigned int lost = 0, calls = 0, between = 0, runs;
	struct run run;
	char text[100];

	prctl(PR_SET_TIMERSLACK, 1);
	pin(pthread_self(), 0);
	pin(m->thread[0], 1);
	for (runs = 0; runs < layout->runs && (runs < RUNS_LEAST || machine_milliseconds() < end); runs++) {
		lost += run_once(m, &run);
		calls += run.calls;
		for (unsigned int i = 0; i < RUN_PAGES; i++)
			between += run.mark[i] > 3;
	}
	snprintf(text, sizeof(text), "%u of %u pages lost, %u calls, %u runs", lost, runs * RUN_PAGES, calls, runs);
	report(!lost && between > RUN_PAGES / 2, "no write of a running guest is lost", text);
	printf("%s: %s\n", layout->name, text);
}

static void check_end(struct machine *m)
{
	struct keel_vm_status status;
	struct bitmap map;

	refuse("bad bitmap", call(m, 0, MIB, (void *)4096, 0), EFAULT);
	machine_type(m, 'Q');
	status = machine_serve(m, NULL, PATIENCE_MS);
	report(status.end == KEEL_END_POWEROFF && strstr(m->output, "dirty: ok"), "the guest is content", m->output);
	report(!call(m, 0, MEMORY, &map, 0) && has(&map, STACK), "a guest that has ended", "its last page is not there");
	ioctl(m->fd, KEEL_VM_KILL);
	refuse("a VM that was killed", call(m, 0, MIB, &map, 0), ESHUTDOWN);
}

int main(int argc, char **argv)
{
	struct machine machine;
	struct bitmap map;
	size_t bytes;
	void *firmware;

	if (argc == 3 && !strcmp(argv[1], "--gibibyte"))
		layout = &large;
	else if (argc != 2)
		errx(2, "usage: dirty DIRTY-GUEST, or dirty --gibibyte DIRTY-GIB-GUEST");
	firmware = machine_read_file(argv[argc - 1], &bytes);
	machine_make(&machine, 1, MEMORY, firmware, bytes);
	machine.quiet = true;
	refuse("before the start", call(&machine, 0, MIB, &map, 0), EINVAL);
	machine_add_high(&machine, layout->block_bytes);
	machine_start(&machine, true);
	machine_serve(&machine, "dirty: ready", PATIENCE_MS);
	report(strstr(machine.output, "dirty: ready"), "a guest", machine.output);
	if (layout->block_bytes)
		check_block(&machine);
	else
		check_arguments(&machine);
	check_begin(&machine);
	check_fill(&machine);
	check_patterns(&machine);
	check_devices(&machine);
	check_run(&machine);
	check_end(&machine);
	machine_close(&machine);
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
