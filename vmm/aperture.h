/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Apertures (keel/cell.h): the guest's mappings that change after the start. Their pages are the channel's, shared with the
 * VM (own.h), and stay that: the guest's table has them with a mark. Their page tables are set aside at the start, as many as the
 * bounds can ever need at once, so that a move cannot fail.
 *
 * A move takes what was there out of the table, waits until no vCPU can have a translation of it or walk its tables, and then
 * puts in what is new. It goes on step by step, for it is done between a cell's answer and the release of that cell: there is
 * one at a time in a VM.
 *
 * aperture_bound, aperture_frames and aperture_start are called under vm_lock, before the start; the others by whoever has the
 * cell, but for aperture_left.
 */
#ifndef VMM_APERTURE_H
#define VMM_APERTURE_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

#include "cell.h"
#include "pagetable.h"

struct cpu;

struct aperture {
	uint32_t first, count;		/* pages of the channel that it may show */
	struct keel_aperture now;	/* what is mapped; on the way of a move so many of its first pages */
	struct keel_aperture next;
};

enum aperture_phase {
	APERTURE_UNMAP,
	APERTURE_DRAIN,			/* vCPUs may be using what was unmapped */
	APERTURE_MAP,
};

struct apertures {
	struct aperture of[KEEL_APERTURES];
	uint32_t moving;		/* bit mask; 0: no move is under way */
	enum aperture_phase phase;
	struct frame_pool tables;	/* for the guest's table */
	struct frame_pool stale;	/* out of it; vCPUs may still be walking them */
	uint64_t late;			/* vCPUs that have been in the guest ever since, or may have; bit mask */
};

void aperture_bound(struct apertures *apertures, unsigned int number, uint32_t page, uint32_t pages);
/* Page tables that all of them may need at once. */
unsigned int aperture_frames(const struct apertures *apertures);
/* Sets them aside; the pool has so many. */
void aperture_start(struct apertures *apertures, struct frame_pool *pool);

/* The answer at hand of this context moves these. False: it breaks the contract, and nothing has moved. */
bool aperture_begin(struct cpu *cpu, struct cell_context *context, uint32_t mask);
/*
 * CELL_ANSWERED: done. CELL_WAITS: when the vCPUs of aperture_late() have left the guest, again. CELL_INTERRUPTED: there is
 * more to do than interrupts should wait for.
 */
enum cell_result aperture_move(struct cpu *cpu, struct cell_context *context);

/* For the context that moves apertures, or any other: whom CELL_WAITS is for. */
static inline uint64_t aperture_late(const struct apertures *apertures)
{
	return __atomic_load_n(&apertures->late, __ATOMIC_RELAXED);
}

/* This vCPU is out of the guest, and drops its translations when it enters that again, if there is a move. */
static inline void aperture_left(struct apertures *apertures, unsigned int vcpu)
{
	if (aperture_late(apertures) >> vcpu & 1)
		__atomic_fetch_and(&apertures->late, ~(1ull << vcpu), __ATOMIC_ACQ_REL);
}

#endif
