/* SPDX-License-Identifier: GPL-2.0 */
/* The one kind of instruction of the control domain that Keel carries out: a 32-bit store to the local APIC. */
#ifndef ARCH_CONTROL_DECODE_H
#define ARCH_CONTROL_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "percpu.h"

struct control_store {
	uint32_t value;
	uint64_t next_rip;
};

struct hv_control_state;
/*
 * Its memory at this linear address, by its own tables of 64-bit mode. NULL: not mapped, or not its own. To the end
 * of the page.
 */
const void *control_translate(const struct hv_control_state *state, uint64_t va);

/* The store at the control domain's RIP. False: not one of the forms known, or its bytes cannot be read. */
bool control_decode_store(struct cpu *cpu, struct control_store *store);

/*
 * The address that the MOV r64, m64 at the control domain's RIP reads, in its ring 0. False: another instruction, or
 * relative to RIP or to nothing.
 */
bool control_decode_load(struct cpu *cpu, uint64_t *address);
bool control_decode_load_bytes(const uint8_t *bytes, unsigned int count, const struct keel_regs *regs, uint64_t *address);

/* The decoding alone: bytes, their number, the registers; store->next_rip becomes the length. */
bool control_decode_bytes(const uint8_t *bytes, unsigned int count, const struct keel_regs *regs,
			  struct control_store *store);

#endif
