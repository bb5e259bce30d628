/* SPDX-License-Identifier: GPL-2.0 */
/* A processor's state after INIT: the answer replaces all of it. */
#ifndef KEEL_RESET_H
#define KEEL_RESET_H

#include <stdint.h>

#include <keel/cell.h>

/* At the reset vector. */
void reset_to_vector(struct keel_context *ctx);
/* At the page that a SIPI names (SDM vol. 3, 9.4.3). */
void reset_to_sipi(struct keel_context *ctx, uint8_t page);

/* The registers of a vCPU that waits for its SIPI, in a state of its own; MSRs and what is left of the state stay. */
void reset_state(struct keel_regs *regs, struct keel_sregs *sregs);

#endif
