/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The least resource half: a VM of /dev/keel whose firmware is a bare guest, and its console. For tests.
 * Functions end the process with a message when the driver does not do what it must.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>
#include <keel/ioctl.h>

#include "host/board.h"

#define MACHINE_HIGH_MEMORY	0x100000000ull
#define MACHINE_FIRMWARE_BYTES	0x10000u
#define MACHINE_CHANNEL_BYTES	(64u * 1024u + 2u * MACHINE_FIRMWARE_BYTES)

struct machine {
	int device, fd, doorbell;
	unsigned int vcpus, threads;
	int vcpu[KEEL_MAX_VCPUS];
	pthread_t thread[KEEL_MAX_VCPUS], event;
	bool poked;
	struct keel_channel *channel;
	struct board board;
	bool quiet;			/* the guest's output is not passed on */
	char output[8192];		/* what the guest printed, the first part of it */
	size_t output_bytes;
};

int machine_device(void);
struct keel_info machine_info(int device);

/* Everything up to KEEL_VM_START. firmware may be NULL: none, and no machine description either. */
void machine_make(struct machine *m, unsigned int vcpus, uint64_t memory, const void *firmware, size_t bytes);
/* Memory from MACHINE_HIGH_MEMORY on, before the start. 0 bytes: none. */
void machine_add_high(struct machine *m, uint64_t bytes);
/* Starts it and a thread for each vCPU. event: lets the cell look at the channel first, as the device model needs. */
void machine_start(struct machine *m, bool event);
/*
 * Serves the console until the VM has ended, the guest has printed text (may be NULL), or the time is over.
 * Returns how the VM ended, KEEL_END_NONE while it has not.
 */
struct keel_vm_status machine_serve(struct machine *m, const char *text, unsigned int milliseconds);
/* Types a character on the guest's console, and forgets what the guest has printed. */
void machine_type(struct machine *m, char character);
/* Whether the guest has printed something that is not served yet. */
bool machine_printed(const struct machine *m);
/* Waits until the VM has ended, or the time is over, and leaves the channel alone. */
struct keel_vm_status machine_wait(struct machine *m, unsigned int milliseconds);
/* Lets the cell look at the channel, from a thread of its own: the call does not return while the cell spins. */
void machine_poke(struct machine *m);
struct keel_vm_status machine_status(const struct machine *m);
/* Ends the VM, joins the threads, closes everything. */
void machine_close(struct machine *m);

void *machine_read_file(const char *path, size_t *bytes);
const char *machine_end_name(uint32_t end);
/* KEEL_END_* of a name as machine_end_name prints it; -1: none. */
int machine_end_of_name(const char *name);
uint64_t machine_milliseconds(void);
/*
 * By what a time is to be multiplied after which something is given up: KEEL_PATIENCE, 1 without it. The clock of an emulated
 * machine goes on while its emulator waits for a processor.
 */
unsigned int machine_patience(void);

#endif
