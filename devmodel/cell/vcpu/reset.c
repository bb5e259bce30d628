// SPDX-License-Identifier: GPL-2.0
/* Reset state: Intel SDM vol. 3, table 10-1, as INIT leaves it. */
#include "vcpu/reset.h"

#include <stddef.h>

#include <x86/registers.h>

#include "core/string.h"

#define RIP_RESET		0xfff0u
#define CS_RESET		0xf000u
#define CS_BASE_RESET		0xffff0000u
#define LIMIT_RESET		0xffffu
#define RDX_RESET		0x600u		/* family 6 */

#define ATTRIBUTES_CODE		0x9bu		/* present, accessed, readable */
#define ATTRIBUTES_DATA		0x93u		/* present, accessed, writable */
#define ATTRIBUTES_LDT		0x82u
#define ATTRIBUTES_TSS		0x8bu		/* busy, which is what TR must be */

#define SIPI_SELECTOR_SHIFT	8
#define SIPI_BASE_SHIFT		12

static void set_registers(struct keel_regs *regs, struct keel_sregs *s, uint16_t selector, uint64_t base, uint64_t rip)
{
	memset(regs, 0, sizeof(*regs));
	memset(s, 0, sizeof(*s));
	regs->rip = rip;
	regs->rflags = RFLAGS_RESET;
	regs->gpr[KEEL_RDX] = RDX_RESET;

	for (unsigned int i = 0; i < KEEL_SEG_COUNT; i++)
		s->seg[i] = (struct keel_segment_register){ .attributes = ATTRIBUTES_DATA, .limit = LIMIT_RESET };
	s->seg[KEEL_SEG_CS].selector = selector;
	s->seg[KEEL_SEG_CS].base = base;
	s->seg[KEEL_SEG_CS].attributes = ATTRIBUTES_CODE;
	s->seg[KEEL_SEG_LDTR].attributes = ATTRIBUTES_LDT;
	s->seg[KEEL_SEG_TR].attributes = ATTRIBUTES_TSS;
	s->gdt_limit = LIMIT_RESET;
	s->idt_limit = LIMIT_RESET;
	s->cr0 = CR0_RESET;
	s->dr6 = DR6_RESET;
	s->dr7 = DR7_RESET;
}

static void reset(struct keel_context *ctx, uint16_t selector, uint64_t base, uint64_t rip)
{
	set_registers(&ctx->regs, &ctx->sregs, selector, base, rip);
	/* CR8 is not in sregs. */
	ctx->answer.flags = KEEL_ANSWER_SREGS | (ctx->answer.flags & KEEL_ANSWER_TPR);
}

void reset_state(struct keel_regs *regs, struct keel_sregs *s)
{
	struct keel_sregs kept = *s;

	set_registers(regs, s, CS_RESET, CS_BASE_RESET, RIP_RESET);
	memcpy(&s->star, &kept.star, offsetof(struct keel_sregs, pdpte) - offsetof(struct keel_sregs, star));
}

void reset_to_vector(struct keel_context *ctx)
{
	reset(ctx, CS_RESET, CS_BASE_RESET, RIP_RESET);
}

void reset_to_sipi(struct keel_context *ctx, uint8_t page)
{
	reset(ctx, (uint16_t)(page << SIPI_SELECTOR_SHIFT), (uint64_t)page << SIPI_BASE_SHIFT, 0);
}
