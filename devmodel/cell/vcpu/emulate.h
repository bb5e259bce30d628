/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Carries out one guest instruction that touched memory-mapped registers, a string I/O instruction, or MOV to CR8.
 * Works on a vCPU's register image (struct keel_context) and reaches memory by guest page walks with
 * the access rights of the guest's privilege level. No state between calls; of the processor it asks what BSF and BSR are.
 */
#ifndef KEEL_EMULATE_H
#define KEEL_EMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>

#include "core/bus.h"
#include "core/gmem.h"
#include "vcpu/decode.h"
#include "vcpu/fault.h"
#include "vcpu/walk.h"

enum emulate_result {
	EMULATE_DONE,		/* regs hold the result, rip is past the instruction (or on it: a REP to go on with) */
	EMULATE_AGAIN,		/* nothing is done, for another vCPU came between: the guest begins the instruction anew */
	EMULATE_EXCEPTION,	/* regs untouched; *fault tells what the guest gets */
	EMULATE_VECTORS,	/* nothing is done: call again with ctx->vectors (KEEL_EXIT_F_VECTORS) */
	EMULATE_UNKNOWN,	/* an instruction outside the table: the caller stops the guest and says so */
};

/* Of any vCPU, for all of them. All zeros: nothing yet. */
struct emulate_known {
	struct decode_known insns;
	struct walk_known fetches;
};

/*
 * One instruction at CS:RIP of ctx (KEEL_EXIT_F_SREGS must be set), for KEEL_EXIT_MMIO.
 * ctx->exit.insn is used if insn_length is not 0, else the bytes are fetched; ctx->exit.gpa and access are what the processor's
 * access came to. A REP does at most 'most' elements.
 * On EMULATE_DONE ctx->regs is updated (gpr, rip, the arithmetic flags in rflags), and ctx->vectors where it says so.
 */
enum emulate_result emulate_mmio(struct keel_context *ctx, const struct gmem *mem, struct bus *bus,
				 struct emulate_known *known, unsigned int most, struct emulate_fault *fault);

/*
 * INS/OUTS with all its REPs (at most 'most' elements), for KEEL_EXIT_IO with KEEL_IO_STRING. Port, size and next_rip are
 * the exit record's; segment and address size too where the hardware gave them, else from the instruction's bytes.
 */
enum emulate_result emulate_string_io(struct keel_context *ctx, const struct gmem *mem, struct bus *bus,
				      unsigned int most, struct emulate_fault *fault);

/*
 * MOV to CR8, fetched at CS:RIP, for KEEL_EXIT_TPR with KEEL_EXIT_F_CR8. EMULATE_DONE: *value, 0 to 15, is what the
 * guest writes, and of ctx->regs rip alone has changed.
 */
enum emulate_result emulate_cr8_write(struct keel_context *ctx, const struct gmem *mem, uint64_t *value,
				      struct emulate_fault *fault);

#endif
