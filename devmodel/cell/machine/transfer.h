/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A whole guest through the channel (keel/channel.h, struct keel_transfer): out of this cell, or into it before it runs.
 *
 * The stream is records, each a struct record and its bytes, in an order that both ends know: the machine as machine/save.h
 * has it, the vCPUs' states, guest memory page by page upwards, the end. Each event moves a bounded part of it.
 *
 * From the stop on, or the begin of the load, time stands still: no chip acts, and nothing but records and vCPUs' states moves.
 * It goes on where it stood, for the machine and for the TSCs of its vCPUs.
 *
 * vCPUs hand their states over one at a time, each in its own context, by a POLL that an event asks for: so one buffer will do.
 * What comes in may be anybody's work. A machine whose load has failed keeps still for good.
 */
#ifndef KEEL_TRANSFER_H
#define KEEL_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>
#include <keel/channel.h>

#include "machine/save.h"

struct pc;

/* Bytes of the machine with all that the channel can describe, of its states while it is loaded, and of a piece of it. */
#define TRANSFER_MACHINE_MOST	0x1a000u
#define TRANSFER_STAGED_MOST	0x22000u
#define TRANSFER_PIECE_MOST	0x2200u

enum record_kind {
	RECORD_MACHINE = 1,	/* where: 0 */
	RECORD_VCPU,		/* where: its number; a struct keel_vcpu_state */
	RECORD_PAGE,		/* where: its guest-physical address; no bytes at all: they are zeros */
	RECORD_END,
};

/* Little-endian. */
struct record {
	uint32_t kind;
	uint32_t bytes;		/* that follow */
	uint64_t where;
};

/*
 * What a transfer needs beside the machine; a vCPU's state has to lie on pages. A machine is saved piece by piece. While one is
 * loaded nothing is in its guest's memory yet, which has room for all of it.
 */
struct transfer_memory {
	struct keel_vcpu_state vcpu;
	uint8_t piece[TRANSFER_PIECE_MOST];
};

struct transfer {
	struct transfer_memory *memory;	/* NULL: there is no transfer */
	struct keel_transfer *shared;
	uint8_t *ring;
	uint32_t ring_bytes;
	uint32_t index;			/* this end's of the ring; never read back */

	enum keel_transfer_state state;
	bool entered;			/* a vCPU has been in its guest, or was about to */
	bool loads;
	bool still;			/* time stands still */
	bool failed;			/* nothing came of the load */
	uint64_t stopped;		/* vCPUs */
	uint64_t shift;			/* to be added to TSC offsets */

	struct record at;		/* whose turn it is; */
	struct record header;		/* in the ring */
	uint32_t header_left, left;	/* bytes of header and record that are still to be moved */
	uint8_t *bytes;			/* the record's. NULL: what it has is not known yet */
	struct machine_cursor piece;	/* of a machine that is saved: behind the piece at hand, */
	uint32_t piece_bytes, piece_left;	/* of which these are still to be moved */

	uint32_t asked;			/* KEEL_ANSWER_STATE_*: of the vCPU of the record at hand; */
	uint32_t answered;		/* what was asked before: it has been done, or */
	uint32_t refused;		/* enum keel_state_part */
};

/* When the machine has been made. memory may be NULL. */
void transfer_init(struct pc *pc, struct transfer_memory *memory);

/* An event: takes commands and does its part of what they have begun. */
void transfer_event(struct pc *pc, uint64_t tsc);

/*
 * A vCPU is about to enter its guest, at or above pc->running. True: not now, and the answer says what is wanted of it. False: it
 * stops, now that its entry has begun: transfer_stopped, and its answer is to wait.
 */
bool transfer_holds(struct pc *pc, struct keel_context *ctx);
void transfer_stopped(struct pc *pc, struct keel_context *ctx);

#endif
