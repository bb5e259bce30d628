/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The whole machine as a stream of bytes, and back.
 *
 * A stream is sections of core/state.h. The first one says that it is a machine, which one, and when by the host's TSC it
 * was saved. Then come the devices, in any order: of each a section with its name and instance, and one for each of its
 * parts. The machine's own state is the device "pc", a vCPU's local APIC the device "vcpu". A virtio device has its slot for
 * an instance. Guest memory and the registers of the processors are not in it.
 *
 * Times are the machine's (core/time.h). The machine that loads goes on from the time that was saved, by its own TSC.
 *
 * What is read may come from anybody. All of it is read into memory of its own and looked at before the machine changes; from
 * then on nothing can fail.
 */
#ifndef KEEL_SAVE_H
#define KEEL_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/pc_map.h"

struct pc;

#define MACHINE_REVISION	PC_MACHINE
#define MACHINE_NAME_BYTES	16u
#define MACHINE_DEVICES_MOST	63u		/* in the list */

enum machine_failure {
	MACHINE_ENDED = 1,	/* the guest has switched off or reset its machine, or there is none yet */
	MACHINE_BUSY,		/* a device waits for the resource half, or it was not settled: once it is, again */
	MACHINE_NO_ROOM,	/* in the memory that was given */
	MACHINE_NO_STREAM,	/* it does not begin as one, or is of a later version */
	MACHINE_OTHER_REVISION,
	MACHINE_UNKNOWN_SECTION,
	MACHINE_SECTION_TWICE,
	MACHINE_SECTION_MISSING,
	MACHINE_SECTION_BROKEN,	/* cut short, too long, of a later version, or not the one that belongs there */
	MACHINE_WRONG_VALUE,	/* no machine like this one could have it */
	MACHINE_OTHER_RECORD,	/* than the one whose turn it is */
	MACHINE_HAS_RUN,	/* and so none is loaded into it */
	MACHINE_OTHER_MACHINE,	/* it was saved by one with other memory, processors or drives */
};

/* What is wrong, and as far as it is known with what. */
struct machine_error {
	enum machine_failure why;
	char section[MACHINE_NAME_BYTES];	/* of a stream's, characters that cannot be printed are '?' */
	unsigned int instance;
	const char *part, *field;		/* or NULL */
	unsigned int part_instance;
};

/*
 * While no vCPU runs: whether no device waits for the resource half any more. Then what a guest waits for and cannot be given,
 * because it does not let its device reach memory, say, is given up: its driver is told that the device needs a reset.
 */
bool machine_settle(struct pc *pc);

/* Bytes that a stream has at most; and that machine_load needs for itself. */
size_t machine_save_bytes(struct pc *pc);
size_t machine_load_bytes(struct pc *pc);

/*
 * At the end of an entry, while no vCPU runs, of a machine that is settled: all pieces, one behind the other. Returns the
 * stream's length, or 0, and why. The machine stays as it is.
 */
size_t machine_save(struct pc *pc, uint8_t *stream, size_t room, struct machine_error *error);

/* How far a stream is written that is made in pieces; all zeros: nothing of it is. */
struct machine_cursor {
	bool begun;
	unsigned int section, part;
};

bool machine_is_saved(const struct pc *pc, const struct machine_cursor *at);
/*
 * The next piece of the stream that machine_save writes, no longer than a part of a device. From the first one to the last
 * nothing of the machine changes.
 */
size_t machine_save_next(struct pc *pc, struct machine_cursor *at, uint8_t *piece, size_t room, struct machine_error *error);

/*
 * Into a machine that no vCPU has entered or that was stopped as for a save, of the same revision, at this host TSC. Nobody
 * else may write to the stream or to the memory, which is aligned as a uint64_t. False: the machine is as it was. After true
 * every vCPU polls first, and pc_event is called: what a guest has told its devices of is looked at.
 * *tsc_shift: to be added to the TSC offset that each vCPU had when it was saved.
 */
bool machine_load(struct pc *pc, const uint8_t *stream, size_t bytes, uint64_t tsc, uint8_t *memory, size_t room,
		  uint64_t *tsc_shift, struct machine_error *error);

/*
 * A machine that stood still goes on at this host TSC from the time that it had, as one that was loaded. Returns what is to be
 * added to the TSC offset of each vCPU.
 */
uint64_t machine_go_on(struct pc *pc, uint64_t tsc);

/* What is wrong as a sentence, ended by a 0; as much as there is room for. */
void machine_error_text(const struct machine_error *error, char *text, size_t room);

#endif
