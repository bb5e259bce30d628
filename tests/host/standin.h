/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of the stand-in for /dev/keel share; standin.c says what it is. */
#ifndef KEEL_STANDIN_H
#define KEEL_STANDIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>
#include <keel/ioctl.h>

#define STANDIN_POLL_NS		5000000

/* The program that it is loaded into has names of its own. */
#pragma GCC visibility push(hidden)

/* standin.c */
extern int orders;			/* the file that they are in */
extern int kept;			/* what was read to be kept */
extern unsigned int scrub_seconds;	/* that the end of the VM takes */
extern struct keel_vm_status status;	/* end: the run is over */
extern struct keel_channel *channel;	/* of the VM */
extern volatile bool killed;		/* the VM is gone */
/* A line of what reaches the guest. */
__attribute__((format(printf, 1, 2)))
void note(const char *format, ...);
/* Wakes the resource half, if it sleeps. */
void ring(void);
/* Waits for a moment. */
void nap(void);

/* standin_orders.c: what there is to do, if there is something. */
void orders_obey(void);

/*
 * standin_drives.c. byte: that a write writes; of a range its flags; of a read whether it is kept. flood: a bad request.
 * take: the answers.
 */
void drives_open(void);
void drives_note(void);
void drives_request(unsigned int drive, enum keel_block_op op, uint64_t offset, uint32_t count, unsigned int byte);
void drives_flood(void);
void drives_take(void);

/* standin_streams.c. take: input and messages for the guest. */
void streams_open(void);
void streams_say(const char *bytes, size_t count);
void streams_debug(const char *bytes, size_t count);
void streams_flood(void);
void streams_door(unsigned int drive, bool locked, bool ejected);
void streams_take_button(void);
void streams_take(void);

/* standin_entropy.c. take: the answers. */
void entropy_open(void);
void entropy_ask(uint32_t count);
void entropy_take(void);

/* standin_network.c. send: frames of so many bytes, all of them this. take: frames, and whether the link is up. */
void network_open(void);
void network_send(unsigned int count, unsigned int size, unsigned int byte);
void network_take(void);

/* standin_statistics.c. take: what is to be told; count: an exit of the guest. */
void statistics_take(void);
void statistics_count(unsigned int kind, const char *device, uint32_t instance, uint64_t count);
void statistics_lie(void);

/* standin_process.c. find: while its descriptors may still be asked for. */
void process_find(void);
void process_babble(void);
/* Does not return. */
void process_scribble(void);

#pragma GCC visibility pop

#endif
