// SPDX-License-Identifier: GPL-2.0
/*
 * loops NAME...: loads for tools/bench, each in several passes, and a pass between two lines on standard output: "BENCH NAME
 * start" and "BENCH NAME end NANOSECONDS UNITS", with what else is worth knowing at the end of the second one. Before all of
 * them the time-stamp counter: "BENCH counter TICKS". Those whose exits are counted write to a port of their own, where nothing
 * is, at both ends of a pass: the emulator's log of exits has them in their place.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>

#define PASSES		5u
#define PAGE		4096u
#define LARGE_PAGE	(2u << 20)
#define CHASE_BYTES	(256u << 20)
#define LINE		64u
#define CHASE_STEPS	1200000u
#define FAULT_BYTES	(32u << 20)
#define FAULT_ROUNDS	8u
#define FORKS		600u
#define SYSCALLS	1000000u
#define SPINS		300000000u
#define WAKES		100u
#define WAKE_NS		4000000
#define DISK		"/dev/sda"
#define DISK_BYTES	(32u << 20)	/* of it, from the beginning, again and again */
#define SMALL_BYTES	4096u
#define SMALL_READS	200u
#define LARGE_BYTES	(1u << 20)
#define LARGE_READS	24u

static char note[128];

static unsigned long loop_spin(void)
{
	uint64_t x = 1;

	for (uint64_t i = 0; i < SPINS; i++) {
		x = x * 6364136223846793005u + i;
		__asm__ volatile("" : "+r" (x));
	}
	return SPINS;
}

static unsigned long loop_syscall(void)
{
	for (unsigned long i = 0; i < SYSCALLS; i++)
		syscall(SYS_getppid);
	return SYSCALLS;
}

static void *map(size_t bytes, int advice)
{
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "mmap");
	madvise(memory, bytes, advice);
	return memory;
}

static unsigned long loop_fault(void)
{
	for (unsigned int round = 0; round < FAULT_ROUNDS; round++) {
		char *memory = map(FAULT_BYTES, MADV_NOHUGEPAGE);

		for (size_t i = 0; i < FAULT_BYTES; i += PAGE)
			memory[i] = 1;
		munmap(memory, FAULT_BYTES);
	}
	return FAULT_ROUNDS * (FAULT_BYTES / PAGE);
}

static unsigned long loop_fork(void)
{
	for (unsigned int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (child < 0)
			err(1, "fork");
		if (child == 0)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	return FORKS;
}

/* Sattolo's shuffle: one cycle through all lines. Its own generator, so that every run walks the same way. */
static void **chain(char *memory)
{
	uint32_t count = CHASE_BYTES / LINE, i, j, swap;
	uint32_t *order = map(count * sizeof(*order), MADV_NORMAL);
	uint64_t random = 88172645463325252u;

	for (i = 0; i < count; i++)
		order[i] = i;
	for (i = count - 1; i > 0; i--) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		j = (uint32_t)(random % i);
		swap = order[i];
		order[i] = order[j];
		order[j] = swap;
	}
	for (i = 0; i < count; i++)
		*(void **)(memory + (size_t)order[i] * LINE) = memory + (size_t)order[(i + 1) % count] * LINE;
	munmap(order, count * sizeof(*order));
	return (void **)memory;
}

static unsigned long large_kib(void)
{
	unsigned long kib = 0, sum = 0;
	char line[256];
	FILE *file = fopen("/proc/self/smaps", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			sum += kib;
	if (file)
		fclose(file);
	return sum;
}

static void **chase_start;
static void *chase_memory;

static void chase_prepare(int advice)
{
	if (chase_memory)
		munmap(chase_memory, CHASE_BYTES);
	chase_memory = map(CHASE_BYTES, advice);
	chase_start = chain(chase_memory);
	snprintf(note, sizeof(note), "%lu MiB of %u in pages of 2 MiB", large_kib() >> 10, CHASE_BYTES >> 20);
}

static void prepare_small(void)
{
	chase_prepare(MADV_NOHUGEPAGE);
}

static void prepare_large(void)
{
	chase_prepare(MADV_HUGEPAGE);
}

static unsigned long loop_chase(void)
{
	void **p = chase_start;

	for (unsigned int i = 0; i < CHASE_STEPS; i++)
		p = *p;
	chase_start = p;
	return CHASE_STEPS;
}

/* A timer ends a halt, and nothing else goes on. */
static unsigned long loop_wake(void)
{
	struct timespec pause = { .tv_nsec = WAKE_NS };

	for (unsigned int i = 0; i < WAKES; i++)
		nanosleep(&pause, NULL);
	return WAKES;
}

static char *buffer;

/* In one piece where the kernel has large pages, which it wants 512 MiB for: else its pages' places decide on the commands. */
static void prepare_buffer(void)
{
	char *memory = map(2 * LARGE_PAGE, MADV_HUGEPAGE);

	buffer = memory + (-(uintptr_t)memory & (LARGE_PAGE - 1));
	memset(buffer, 0, LARGE_BYTES);
	snprintf(note, sizeof(note), "%lu MiB in pages of 2 MiB", large_kib() >> 10);
}

/* One request at a time, past the cache. */
static unsigned long read_disk(size_t bytes, unsigned int count)
{
	int fd = open(DISK, O_RDONLY | O_DIRECT);

	if (fd < 0)
		err(1, DISK);
	for (size_t i = 0; i < count; i++)
		if (pread(fd, buffer, bytes, (off_t)(i * bytes % DISK_BYTES)) != (ssize_t)bytes)
			err(1, "read of " DISK);
	close(fd);
	return count;
}

static unsigned long loop_read_small(void)
{
	return read_disk(SMALL_BYTES, SMALL_READS);
}

static unsigned long loop_read_large(void)
{
	return read_disk(LARGE_BYTES, LARGE_READS);
}

static const struct loop {
	const char *name;
	void (*prepare)(void);
	unsigned long (*run)(void);
	uint16_t port;
} loops[] = {
	{ "spin", NULL, loop_spin, 0 },
	{ "syscall", NULL, loop_syscall, 0 },
	{ "fault", NULL, loop_fault, 0 },
	{ "fork", NULL, loop_fork, 0 },
	{ "chase-4k", prepare_small, loop_chase, 0 },
	{ "chase-2m", prepare_large, loop_chase, 0 },
	{ "wake", NULL, loop_wake, 0x2d0 },
	{ "read-4k", prepare_buffer, loop_read_small, 0x2d1 },
	{ "read-1m", prepare_buffer, loop_read_large, 0x2d2 },
};

static uint64_t nanoseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* write(2) to a serial console may return before the line is out; the wait brings both ends alike to the wire. */
static void say(const char *text)
{
	struct timespec pause = { .tv_nsec = 30000000 };

	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		err(1, "write");
	nanosleep(&pause, NULL);
}

static void mark(uint16_t port)
{
	int fd;

	if (!port)
		return;
	fd = open("/dev/port", O_WRONLY);
	if (fd < 0 || pwrite(fd, "", 1, port) != 1)
		err(1, "/dev/port");
	close(fd);
}

static void run_pass(const struct loop *loop)
{
	unsigned long units;
	uint64_t start, passed;
	char text[256];

	snprintf(text, sizeof(text), "BENCH %s start\n", loop->name);
	say(text);
	mark(loop->port);
	start = nanoseconds();
	units = loop->run();
	passed = nanoseconds() - start;
	mark(loop->port);
	snprintf(text, sizeof(text), "BENCH %s end %llu %lu %s\n", loop->name, (unsigned long long)passed, units, note);
	say(text);
}

static void run(const struct loop *loop)
{
	note[0] = '\0';
	if (loop->prepare)
		loop->prepare();
	for (unsigned int i = 0; i < PASSES; i++)
		run_pass(loop);
}

/* From power-on: where the counter counts instructions, how many there have been. */
static void say_counter(void)
{
	char text[64];

	snprintf(text, sizeof(text), "BENCH counter %llu\n", __builtin_ia32_rdtsc());
	say(text);
}

int main(int argc, char **argv)
{
	say_counter();
	for (int i = 1; i < argc; i++) {
		const struct loop *loop = loops, *end = loops + ARRAY_SIZE(loops);

		while (loop < end && strcmp(loop->name, argv[i]))
			loop++;
		if (loop == end)
			errx(2, "unknown loop: %s", argv[i]);
		run(loop);
	}
	return 0;
}
