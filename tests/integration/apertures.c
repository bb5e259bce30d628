// SPDX-License-Identifier: GPL-2.0
/*
 * apertures: what the driver says of bounds, and a guest that moves an aperture, guests/aperture.c, by a hypervisor with the
 * cell of cells/aperture.c. One line for each check on standard output.
 */
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB		(1ull << 20)
#define MEMORY		(16 * MIB)
#define WINDOW		0x24000u	/* in the channel, behind the firmware */
#define WINDOW_PAGES	8u
#define WINDOW_BYTES	(WINDOW_PAGES * (uint32_t)KEEL_PAGE_SIZE)
#define CHANNEL_PAGES	(MACHINE_CHANNEL_BYTES / (uint32_t)KEEL_PAGE_SIZE)
#define FREE		0x20000u	/* from here on there is nothing else in it */
#define FILLER		0xa5
#define PATIENCE_MS	(60000u * machine_patience())
/* guests/aperture.c */
#define PATTERN		0x5a000000u
#define ROUNDS_DONE	0x30u
#define ROUNDS_WANTED	0x34u

static unsigned int passed, failed;
static unsigned int vcpus;
static uint32_t rounds;

static void report(bool good, const char *name, const char *why)
{
	if (good)
		printf("ok - apertures, %u vCPUs: %s\n", vcpus, name);
	else
		printf("not ok - apertures, %u vCPUs: %s: %s\n", vcpus, name, why);
	passed += good;
	failed += !good;
	fflush(stdout);
}

static int bound(const struct machine *m, uint32_t number, uint32_t page, uint32_t pages)
{
	struct keel_vm_aperture aperture = { .number = number, .page = page, .pages = pages };

	return ioctl(m->fd, KEEL_VM_APERTURE, &aperture);
}

static void refuse(const char *name, int result, int expected)
{
	char why[80];

	snprintf(why, sizeof(why), "result %d, errno %d, expected errno %d", result, errno, expected);
	report(result < 0 && errno == expected, name, why);
}

static void check_arguments(const struct machine *m)
{
	struct keel_vm_aperture aperture = { .pages = 1, .reserved = 1 };

	refuse("bad pointer", ioctl(m->fd, KEEL_VM_APERTURE, 8), EFAULT);
	refuse("no such aperture", bound(m, KEEL_APERTURES, 0, 1), EINVAL);
	refuse("behind the channel", bound(m, 0, CHANNEL_PAGES, 1), EINVAL);
	refuse("more than the channel", bound(m, 0, 1, CHANNEL_PAGES), EINVAL);
	refuse("wraps around", bound(m, 0, 1, ~0u), EINVAL);
	refuse("reserved is not zero", ioctl(m->fd, KEEL_VM_APERTURE, &aperture), EINVAL);
	aperture.reserved = 0;
	aperture.spare[1] = 1;
	refuse("spare room is not zero", ioctl(m->fd, KEEL_VM_APERTURE, &aperture), EINVAL);
}

/* The second one shows the first one's pages, for reading. */
static void show(struct machine *m)
{
	uint8_t *channel = (uint8_t *)m->channel;

	memset(channel + FREE, FILLER, MACHINE_CHANNEL_BYTES - FREE);
	memset(channel + WINDOW, 0, WINDOW_BYTES);
	for (uint32_t i = 0; i < WINDOW_PAGES; i++)
		*(uint32_t *)(void *)(channel + WINDOW + i * KEEL_PAGE_SIZE) = PATTERN | i;
	memcpy(channel + WINDOW + ROUNDS_WANTED, &rounds, sizeof(rounds));
	for (unsigned int i = 0; i < 2; i++) {
		m->channel->machine.aperture[i] = (struct keel_aperture_bound){ WINDOW, WINDOW_BYTES };
		if (bound(m, i, WINDOW / KEEL_PAGE_SIZE, WINDOW_PAGES))
			err(2, "KEEL_VM_APERTURE");
	}
}

static bool is_filler(const struct machine *m, uint32_t from, uint32_t to)
{
	const uint8_t *channel = (const uint8_t *)m->channel;

	for (; from < to; from++)
		if (channel[from] != FILLER)
			return false;
	return true;
}

static void check_channel(const struct machine *m)
{
	const uint8_t *window = (const uint8_t *)m->channel + WINDOW;
	char why[80];
	uint32_t done;

	report(is_filler(m, FREE, WINDOW) && is_filler(m, WINDOW + WINDOW_BYTES, MACHINE_CHANNEL_BYTES),
	       "what is beside it in the channel", "it has changed");
	memcpy(&done, window + ROUNDS_DONE, sizeof(done));
	snprintf(why, sizeof(why), "%#x instead of %#x", done, rounds);
	report(done == rounds, "what the guest has left for the host", why);
}

int main(int argc, char **argv)
{
	struct keel_vm_status status;
	struct machine machine;
	void *firmware;
	size_t bytes;

	if (argc != 4 || atoi(argv[1]) < 2 || atoi(argv[3]) < 1)
		errx(2, "usage: apertures VCPUS APERTURE-GUEST ROUNDS");
	vcpus = (unsigned int)atoi(argv[1]);
	rounds = (uint32_t)atoi(argv[3]);
	firmware = machine_read_file(argv[2], &bytes);
	machine_make(&machine, vcpus, MEMORY, firmware, bytes);
	machine.quiet = true;
	check_arguments(&machine);
	show(&machine);
	machine_start(&machine, true);
	refuse("after the start", bound(&machine, 0, 0, 1), EBUSY);
	status = machine_serve(&machine, NULL, PATIENCE_MS);
	report(status.end == KEEL_END_POWEROFF && strstr(machine.output, "aperture: ok"), machine_end_name(status.end),
	       machine.output);
	check_channel(&machine);
	ioctl(machine.fd, KEEL_VM_KILL);
	refuse("a VM that was killed", bound(&machine, 0, 0, 1), ESHUTDOWN);
	machine_close(&machine);
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
