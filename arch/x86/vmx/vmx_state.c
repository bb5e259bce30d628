// SPDX-License-Identifier: GPL-2.0
// Intel VMX: registers in the VMCS, some with bits of Keel's, and top entries of PAE paging (SDM vol. 3, 25.4, 25.6.6).

#include "vmx.h"

#include "guest_state.h"
#include "memory.h"
#include "string.h"

#define SEGMENT_LONG	(1u << 9)
#define PAE_TABLE	0xffffffe0u	/* CR3 (4.4.1) */

static void set_cr0(uint64_t value)
{
	vmwrite(VMCS_CR0_SHADOW, value);
	vmwrite(VMCS_GUEST_CR0, (value & ~vmread(VMCS_CR0_MASK)) | vmx_features.cr0_fixed);
}

static void set_cr4(uint64_t value)
{
	uint64_t mask = vmread(VMCS_CR4_MASK), on = vmx_features.cr4_fixed | CR4_MCE;

	vmwrite(VMCS_CR4_SHADOW, value);
	vmwrite(VMCS_GUEST_CR4, (value & ~mask) | (on & mask));
}

static void set_efer(uint64_t value)
{
	uint64_t entry = vmread(VMCS_ENTRY_CONTROLS);

	vmwrite(VMCS_GUEST_EFER, value);
	vmwrite(VMCS_ENTRY_CONTROLS, value & EFER_LMA ? entry | ENTRY_LONG_MODE : entry & ~(uint64_t)ENTRY_LONG_MODE);
}

struct keel_segment_register vmx_segment(enum keel_segment segment)
{
	uint64_t rights = vmread(vmx_segment_field(VMCS_GUEST_ES_RIGHTS, segment));
	uint64_t attributes = (rights & RIGHTS_TYPE_AND_P) | (rights & RIGHTS_HIGH) >> RIGHTS_HIGH_SHIFT;

	if (rights & RIGHTS_UNUSABLE)
		attributes &= ~(uint64_t)RIGHTS_P;
	return (struct keel_segment_register){
		.selector = (uint16_t)vmread(vmx_segment_field(VMCS_GUEST_ES_SELECTOR, segment)),
		.attributes = (uint16_t)attributes,
		.limit = (uint32_t)vmread(vmx_segment_field(VMCS_GUEST_ES_LIMIT, segment)),
		.base = vmread(vmx_segment_field(VMCS_GUEST_ES_BASE, segment)),
	};
}

static void set_segment(enum keel_segment segment, struct keel_segment_register s)
{
	uint64_t rights = (s.attributes & RIGHTS_TYPE_AND_P) |
			  ((uint64_t)s.attributes << RIGHTS_HIGH_SHIFT & RIGHTS_HIGH);

	if (!(rights & RIGHTS_P))
		rights |= RIGHTS_UNUSABLE;
	vmwrite(vmx_segment_field(VMCS_GUEST_ES_SELECTOR, segment), s.selector);
	vmwrite(vmx_segment_field(VMCS_GUEST_ES_RIGHTS, segment), rights);
	vmwrite(vmx_segment_field(VMCS_GUEST_ES_LIMIT, segment), s.limit);
	vmwrite(vmx_segment_field(VMCS_GUEST_ES_BASE, segment), s.base);
}

bool vmx_load_pdptes(const struct page_table *memory)
{
	uint64_t at = vmread(VMCS_GUEST_CR3) & PAE_TABLE, host = read_cr3(), entry[4];
	struct pt_place place;
	bool found;
	unsigned int i;

	/* A guest's memory is in the main address space alone. */
	write_cr3(this_cpu()->main_cr3);
	found = pt_lookup(memory, at, &place);
	if (found)
		memcpy(entry, phys_to_virt(pt_leaf_address(memory->format, &place, at)), sizeof(entry));
	write_cr3(host);
	found = found && guest_state_pdptes_ok(entry);
	for (i = 0; found && i < 4; i++)
		vmwrite(vmx_pdpte_field(i), entry[i]);
	return found;
}

/* CR0.PG is new: long mode begins or ends with it (SDM vol. 3, 10.8.5). False: #GP. */
static bool switch_paging(bool on, uint64_t cr4)
{
	uint64_t efer = vmread(VMCS_GUEST_EFER);
	bool code64 = vmx_segment(KEEL_SEG_CS).attributes & SEGMENT_LONG;

	if (!(efer & EFER_LME))
		return true;
	if (code64 || (on ? !(cr4 & CR4_PAE) : cr4 & CR4_PCIDE))
		return false;
	set_efer(on ? efer | EFER_LMA : efer & ~EFER_LMA);
	return true;
}

static bool guest_cr0(uint64_t value, const struct page_table *memory)
{
	uint64_t changed = value ^ vmx_cr0(), cr4 = vmx_cr4();
	bool long_mode = vmread(VMCS_GUEST_EFER) & EFER_LME;

	if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
		return false;
	if (value & CR0_PG && changed & (CR0_PG | CR0_CD | CR0_NW) && cr4 & CR4_PAE && !long_mode &&
	    !vmx_load_pdptes(memory))
		return false;
	if (changed & CR0_PG && !switch_paging(value & CR0_PG, cr4))
		return false;
	set_cr0(value);
	/* What the processor would have dropped by itself. */
	if (changed & CR0_PG)
		vmx_drop_own();
	return true;
}

/* Only CR0 and CR4 have bits that are Keel's; of CR4's no value but 0 is allowed, except of MCE. */
bool vmx_write_cr(struct keel_regs *regs, const struct page_table *memory)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	uint64_t value = regs->gpr[qualification >> QUAL_CR_GPR_SHIFT & QUAL_CR_GPR];
	bool code64 = vmx_segment(KEEL_SEG_CS).attributes & SEGMENT_LONG && vmread(VMCS_GUEST_EFER) & EFER_LMA;
	uint64_t zero = (vmx_features.cr4_fixed | vmread(VMCS_CR4_MASK)) & ~CR4_MCE;

	if (qualification >> QUAL_CR_ACCESS_SHIFT & QUAL_CR_ACCESS)
		return false;
	if ((qualification & QUAL_CR_NUMBER) == 4 && !(value & zero)) {
		/* Of MCE. Executed again, the instruction finds what it writes in the shadow, and does not exit. */
		vmwrite(VMCS_CR4_SHADOW, value);
		return true;
	}
	if (qualification & QUAL_CR_NUMBER || !guest_cr0(code64 ? value : (uint32_t)value, memory))
		return false;
	vmx_advance(regs, vmx_next_rip());
	return true;
}

void vmx_set_segments(const struct keel_sregs *sregs)
{
	unsigned int i;

	for (i = 0; i < KEEL_SEG_COUNT; i++)
		set_segment(i, sregs->seg[i]);
	vmwrite(VMCS_GUEST_GDTR_BASE, sregs->gdt_base);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, sregs->gdt_limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, sregs->idt_base);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, sregs->idt_limit);
}

void vmx_set_control(const struct keel_sregs *sregs)
{
	set_cr0(sregs->cr0);
	set_cr4(sregs->cr4);
	set_efer(sregs->efer);
	vmwrite(VMCS_GUEST_CR3, sregs->cr3);
}

void vmx_set_debug(const struct keel_sregs *sregs)
{
	vmwrite(VMCS_GUEST_DR7, (uint32_t)sregs->dr7);
}
