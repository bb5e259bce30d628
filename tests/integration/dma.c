// SPDX-License-Identifier: GPL-2.0
/*
 * dma: lets QEMU's device "edu" read or write 64 bytes of physical memory. What it has read is printed; what it writes is a
 * pattern. Or it reads page after page, and the secret of tests/guests/secret.c is looked for in what it brings.
 * Registers: QEMU, docs/specs/edu.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES		64u
#define PAGE		4096u
#define MOST		(PAGE - 8)	/* at once: older ones do not take a whole page */
#define BUFFER		0x40000u	/* the device's own memory, as it calls it */
#define REG_IDENTITY	0x00u
#define REG_SOURCE	0x80u
#define REG_TARGET	0x88u
#define REG_COUNT	0x90u
#define REG_COMMAND	0x98u
#define COMMAND_START	1u
#define COMMAND_TO_MEMORY 2u
#define IDENTITY	0xedu		/* lowest byte */
#define COMMAND_WORD	4u		/* PCI configuration space */
#define MEMORY_AND_MASTER 6u

static const char usage[] =
	"usage: dma FOLDER self         FOLDER is the device's in sysfs: own memory is copied by the device, and compared\n"
	"       dma FOLDER read HEX     prints what is at that physical address\n"
	"       dma FOLDER write HEX\n"
	"       dma FOLDER hammer HEX PAGES  reads pages from that address on, until it is ended, "
	"and prints the number of pieces read\n";

static uint8_t *registers;

static void store(unsigned int at, uint64_t value)
{
	*(volatile uint64_t *)(registers + at) = value;
}

static int open_in(const char *folder, const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		err(2, "%s", path);
	return fd;
}

static void open_device(const char *folder)
{
	int enable = open_in(folder, "enable", O_WRONLY), config = open_in(folder, "config", O_RDWR);
	uint16_t command;

	if (write(enable, "1", 1) != 1 || pread(config, &command, 2, COMMAND_WORD) != 2)
		err(2, "%s", folder);
	command |= MEMORY_AND_MASTER;
	if (pwrite(config, &command, 2, COMMAND_WORD) != 2)
		err(2, "%s", folder);
	registers = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, open_in(folder, "resource0", O_RDWR | O_SYNC), 0);
	if (registers == MAP_FAILED)
		err(2, "%s/resource0", folder);
	if ((*(volatile uint32_t *)(registers + REG_IDENTITY) & 0xff) != IDENTITY)
		errx(2, "%s is no edu", folder);
}

static void transfer_bytes(uint64_t source, uint64_t target, uint64_t bytes, bool to_memory)
{
	store(REG_SOURCE, source);
	store(REG_TARGET, target);
	store(REG_COUNT, bytes);
	store(REG_COMMAND, COMMAND_START | (to_memory ? COMMAND_TO_MEMORY : 0));
	for (int i = 0; *(volatile uint64_t *)(registers + REG_COMMAND) & COMMAND_START; i++) {
		if (i == 10000)
			errx(2, "the device does not come to an end");
		usleep(1000);
	}
}

static void transfer(uint64_t source, uint64_t target, bool to_memory)
{
	transfer_bytes(source, target, BYTES, to_memory);
}

static uint64_t physical(const void *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;

	if (fd < 0 || pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * sizeof(entry))) != sizeof(entry))
		err(2, "/proc/self/pagemap");
	close(fd);
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

/* The sum is looked for, so that this program does not hold it. */
static volatile uint64_t secret_half = 0x2b1e5c3a4d6f7091;
#define SECRET_OTHER	0x3141592653589793ull

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static int hammer(uint8_t *page, uint64_t address, unsigned int pages)
{
	uint64_t secret = secret_half + SECRET_OTHER, own = physical(page), at;
	unsigned int pieces = 0;

	signal(SIGTERM, end);
	while (!ended) {
		at = address + (uint64_t)random() % pages * PAGE;
		transfer_bytes(at, BUFFER, MOST, false);
		transfer_bytes(BUFFER, own, MOST, true);
		pieces++;
		for (unsigned int i = 0; i < MOST; i += sizeof(secret))
			if (*(volatile uint64_t *)(page + i) == secret)
				printf("secret at %llx\n", (unsigned long long)at + i);
	}
	printf("%u pieces\n", pieces);
	return 0;
}

int main(int argc, char **argv)
{
	uint8_t *own = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	uint64_t address = argc >= 4 ? strtoull(argv[3], NULL, 16) : 0;

	if (argc < 3) {
		fputs(usage, stderr);
		return 2;
	}
	if (own == MAP_FAILED || mlock(own, 2 * PAGE))
		err(2, "memory");
	memset(own, 0x5a, PAGE);
	memset(own + PAGE, 0xa5, PAGE);
	open_device(argv[1]);
	if (!strcmp(argv[2], "hammer") && argc == 5)
		return hammer(own + PAGE, address, (unsigned int)atoi(argv[4]));
	if (!strcmp(argv[2], "read")) {
		transfer(address, BUFFER, false);
	} else {
		transfer(physical(own), BUFFER, false);
		if (!strcmp(argv[2], "write")) {
			transfer(BUFFER, address, true);
			return 0;
		}
	}
	transfer(BUFFER, physical(own + PAGE), true);
	for (unsigned int i = 0; i < BYTES; i++)
		printf("%02x", own[PAGE + i]);
	putchar('\n');
	return !strcmp(argv[2], "self") && memcmp(own, own + PAGE, BYTES);
}
