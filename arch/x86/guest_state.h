/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a guest's state may be that comes from outside. The processor checks much of it at the entry, where it ends the guest; but
 * not all, not the same on both sides, and what Keel itself writes to an MSR would fault in ring 0.
 */
#ifndef ARCH_GUEST_STATE_H
#define ARCH_GUEST_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

/* HV_STATE_SREGS of a cell's answer, which the entry checks further: nothing that is Keel's. */
bool guest_state_may_answer(const struct keel_sregs *sregs);
/* Top entries of PAE paging that are loaded: of one that is present no reserved bit is set (SDM vol. 3, 4.4.1). */
bool guest_state_pdptes_ok(const uint64_t pdpte[4]);
/* A whole state. at: which of them, of a segment or an MSR. */
enum keel_state_part guest_state_check(const struct keel_state *state, uint32_t *at);

#endif
