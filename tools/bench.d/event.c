// SPDX-License-Identifier: GPL-2.0
/*
 * event FIRMWARE: what a guest and the control domain need of each other, in ticks of the time-stamp counter, for tools/bench.
 * Runs exits.asm, made with TRIPS, with nobody who waits for its doorbell, and passes its figures on; then, while the guest
 * halts, times calls to /dev/keel of its own: "EXIT name ticks rounds", the median of the samples. For a host of one processor.
 */
#include "../../tests/integration/machine.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY		(16ull << 20)
#define SAMPLES		101u		/* odd: the median is one of them */
#define ROUNDS		32u
#define SERVE_US	2000		/* the guest halts for longer than that between its samples */
#define PATIENCE_MS	300000u
#define NO_CALL		_IO(KEEL_IOC, 0)
#define GUEST_DONE	"EXIT doorbell "

/* What rings is a NUL, and no output. */
static void take(struct machine *m, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!bytes[i] || bytes[i] == '\r')
			continue;
		putchar(bytes[i]);
		if (m->output_bytes < sizeof(m->output) - 1)
			m->output[m->output_bytes++] = (char)bytes[i];
	}
}

/* Looks by the clock: a thread that waited for the doorbell would be woken in the midst of what is measured. */
static void serve(struct machine *m)
{
	uint64_t end = machine_milliseconds() + PATIENCE_MS;
	const char *last;
	uint8_t bytes[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	do {
		take(m, bytes, board_take_output(&m->board, bytes, sizeof(bytes)));
		if (board_event_wanted(&m->board) && ioctl(m->fd, KEEL_VM_EVENT))
			err(1, "KEEL_VM_EVENT");
		last = strstr(m->output, GUEST_DONE);
		if (last && strchr(last, '\n'))
			return;
		usleep(SERVE_US);
	} while (!machine_status(m).end && machine_milliseconds() < end);
	errx(1, "the guest ended or was too slow");
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(const char *name, int fd, unsigned long request)
{
	uint64_t ticks[SAMPLES];

	for (unsigned int i = 0; i < SAMPLES; i++) {
		uint64_t start = __builtin_ia32_rdtsc();

		for (unsigned int j = 0; j < ROUNDS; j++)
			ioctl(fd, request);
		ticks[i] = __builtin_ia32_rdtsc() - start;
	}
	qsort(ticks, SAMPLES, sizeof(ticks[0]), compare);
	printf("EXIT %s %llu %u\n", name, (unsigned long long)ticks[SAMPLES / 2], ROUNDS);
}

int main(int argc, char **argv)
{
	struct machine machine;
	void *firmware;
	size_t bytes;

	if (argc != 2)
		errx(2, "usage: event FIRMWARE");
	firmware = machine_read_file(argv[1], &bytes);
	if (bytes != MACHINE_FIRMWARE_BYTES)
		errx(2, "%s: not %u bytes", argv[1], MACHINE_FIRMWARE_BYTES);
	machine_make(&machine, 1, MEMORY, firmware, bytes);
	machine_start(&machine, true);
	serve(&machine);
	/* The guest comes to its halt. */
	usleep(100 * SERVE_US);
	if (ioctl(machine.fd, KEEL_VM_EVENT))
		err(1, "KEEL_VM_EVENT");
	measure("call", machine.fd, NO_CALL);
	measure("event", machine.fd, KEEL_VM_EVENT);
	if (machine_status(&machine).end)
		errx(1, "the guest ended meanwhile");
	machine_close(&machine);
	free(firmware);
	return 0;
}
