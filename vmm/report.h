/* SPDX-License-Identifier: GPL-2.0 */
/* An exit goes before the cell: what is the same whoever reports it. */
#ifndef VMM_REPORT_H
#define VMM_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

#include "vcpu.h"

/*
 * The rest of the record: what the exit was is in it already, and with KEEL_EXIT_F_SREGS so is the state. completes: the
 * answer ends the guest's instruction.
 */
static inline void report_exit(struct vcpu *vcpu, enum keel_exit_kind kind, uint32_t flags, bool completes)
{
	struct keel_exit *record = &vcpu->cell.page->exit;

	vcpu->vectors_given = false;
	vcpu->state_moves = false;
	vcpu->exit_completes = completes;
	record->kind = kind;
	record->context = vcpu->index;
	record->flags = flags | vcpu->exit_flags;
	record->tsc_offset = vcpu->tsc_offset;
	vcpu->cell.pending = true;
}

#endif
