// SPDX-License-Identifier: GPL-2.0
// Intel VMX (SDM vol. 3, chapters 24 to 31): the control domain's side and what both sides share. Guests: vmx_vcpu.c.

#include "vmx.h"

#include <keel/macros.h>

#include "apic.h"
#include "cell_frame.h"
#include "console.h"
#include "control.h"
#include "control_msr.h"
#include "cpu.h"
#include "guest_state.h"
#include "image.h"
#include "memory.h"
#include "mtrr.h"
#include "string.h"
#include "trap.h"
#include "xstate.h"

#define CPUID_VMX		(1u << 5)	/* ECX */

#define CONTROL_VPID		1u
#define BITMAP_PART		(MSR_BITMAP_RANGE / 8)		/* bytes for each of two ranges */
#define BITMAP_WRITES		(2 * BITMAP_PART)

#define SEGMENT_LONG		(1u << 9)

#define XSS_TRACE	(1u << 8)
#define XSS_LBR		(1u << 15)
#define PAE_TABLE		0xffffffe0u	/* CR3 (4.4.1) */

struct vmx_features vmx_features;

uint8_t vmx_guest_bitmap[VMX_BITMAP_BYTES] __attribute__((aligned(4096)));
uint8_t vmx_x2apic_bitmap[VMX_BITMAP_BYTES] __attribute__((aligned(4096)));	/* while MSRs are the APIC page's */
static uint8_t control_bitmap[VMX_BITMAP_BYTES] __attribute__((aligned(4096)));
static uint8_t control_io_bitmap[2][VMX_BITMAP_BYTES] __attribute__((aligned(4096)));	/* a half of the ports each */
static struct mtrr mtrr;

void vmx_instruction_failed(const char *instruction, uint64_t error)
{
	print("Keel: %s: %s\n", instruction, vmx_failure(VMX_DETAIL_INSTRUCTION | error));
	panic(instruction);
}

/* Instructions with a physical address, and those with a type and a descriptor. */
#define VMX_INSTRUCTION(name, error) \
	void vmx_##name(uint64_t pa) \
	{ \
		bool failed; \
		__asm__ volatile(#name " %1" : "=@ccna"(failed) : "m"(pa) : "memory"); \
		if (failed) \
			vmx_instruction_failed(#name, error); \
	}
VMX_INSTRUCTION(vmxon, 0)
VMX_INSTRUCTION(vmclear, vmread(VMCS_INSTRUCTION_ERROR))
VMX_INSTRUCTION(vmptrld, vmread(VMCS_INSTRUCTION_ERROR))

#define VMX_INVALIDATION(name, single, there) \
	void vmx_##name(uint64_t context) \
	{ \
		uint64_t descriptor[2] = { context, 0 }; \
		uint64_t type = vmx_features.ept_vpid & (single) ? INVALIDATE_SINGLE : INVALIDATE_ALL; \
		bool failed = false; \
		if (vmx_features.ept_vpid & (there)) \
			__asm__ volatile(#name " %2, %1" : "=@ccna"(failed) : "r"(type), "m"(descriptor) : "memory"); \
		if (failed) \
			vmx_instruction_failed(#name, vmread(VMCS_INSTRUCTION_ERROR)); \
	}
/* Translations of one EPT pointer, with all that was combined from them; of one VPID. Without VPIDs entries drop all. */
VMX_INVALIDATION(invept, VMX_EPT_INVEPT_SINGLE, VMX_EPT_INVEPT)
VMX_INVALIDATION(invvpid, VMX_VPID_SINGLE, VMX_VPID_INVVPID)

static bool vmx_has_dirty(void)
{
	return vmx_features.ept_vpid & VMX_EPT_ACCESSED_DIRTY;
}

uint64_t vmx_eptp(uint64_t table_root)
{
	return table_root | EPTP_WB | EPTP_FOUR_LEVELS | (vmx_has_dirty() ? EPTP_ACCESSED_DIRTY : 0);
}

void vmx_drop_own(void)
{
	if (vmread(VMCS_SECONDARY_CONTROLS) & SECONDARY_VPID)
		vmx_invvpid(vmread(VMCS_VPID));
}

/* One bit an MSR; reads of two ranges, then writes of them (25.6.9). */
void vmx_msr_permit(uint8_t *bitmap, uint32_t msr, bool read, bool write)
{
	uint8_t *byte = bitmap + msr % MSR_BITMAP_RANGE / 8 + (msr >= MSR_EXTENDED_FIRST ? BITMAP_PART : 0);
	uint8_t bit = (uint8_t)(1u << msr % 8);

	byte[0] = (uint8_t)((byte[0] & ~bit) | (read ? 0 : bit));
	byte[BITMAP_WRITES] = (uint8_t)((byte[BITMAP_WRITES] & ~bit) | (write ? 0 : bit));
}

void vmx_primary(struct vmx_context *context, uint32_t bits, bool on)
{
	uint32_t value = on ? context->primary | bits : context->primary & ~bits;

	if (value != context->primary)
		vmwrite(VMCS_PRIMARY_CONTROLS, value);
	context->primary = value;
}

static const char *vmx_probe(void)
{
	const char *missing;
	uint64_t basic;
	unsigned int group;

	if (!(cpuid(CPUID_FEATURES, 0).ecx & CPUID_VMX))
		return "this Intel processor shows no VMX (VT-x). Switch VT-x on in the firmware setup, or use another machine.";
	missing = vmx_locked_off(rdmsr(MSR_FEATURE_CONTROL));
	if (missing)
		return missing;
	basic = rdmsr(MSR_VMX_BASIC);
	for (group = 0; group < VMX_CONTROLS; group++) {
		/* The MSR of the secondary controls exists only where the primary ones can switch them on. */
		missing = vmx_missing(group, rdmsr(vmx_control_msr(group, basic)));
		if (missing)
			return missing;
	}
	return vmx_ept_missing(rdmsr(MSR_VMX_EPT_VPID));
}

static bool vmx_has_1g(void)
{
	return rdmsr(MSR_VMX_EPT_VPID) & VMX_EPT_1G;
}

static void vmx_describe(void)
{
	uint32_t secondary = vmx_adjust(vmx_features.capability[VMX_SECONDARY], SECONDARY_VPID | SECONDARY_PAUSE_LOOP);

	print("%s%s%s%s%s\n", vmx_has_dirty() ? " dirty-bits" : "", secondary & SECONDARY_VPID ? " VPIDs" : "",
	      vmx_features.apic ? " virtual-interrupt-delivery" : "", vmx_features.timer ? " preemption-timer" : "",
	      secondary & SECONDARY_PAUSE_LOOP ? " PAUSE-loop-exits" : "");
}

static enum pt_caching vmx_caching(uint64_t hpa, uint64_t bytes)
{
	if (!mtrr.read)
		mtrr_read(&mtrr);
	return mtrr_caching(&mtrr, hpa, bytes);
}

static void bitmaps_init(void)
{
	static const uint32_t passed[] = { HV_GUEST_MSRS, MSR_EFER, MSR_PAT };	/* in the VMCS, and checked by the processor */
	/* x2APIC registers from 800H on: all that can be read but ICR and the current count; TPR, EOI and self-IPI. */
	const uint64_t x2apic_reads = 0x41fc81ffffffa50cull;
	const uint64_t x2apic_writes = 1ull << 0x08 | 1ull << 0x0b | 1ull << 0x3f;
	unsigned int i;

	memset(vmx_guest_bitmap, 0xff, sizeof(vmx_guest_bitmap));
	for (i = 0; i < ARRAY_SIZE(passed); i++)
		vmx_msr_permit(vmx_guest_bitmap, passed[i], true, true);
	memcpy(vmx_x2apic_bitmap, vmx_guest_bitmap, sizeof(vmx_x2apic_bitmap));
	for (i = 0; i < 64; i++)
		vmx_msr_permit(vmx_x2apic_bitmap, KEEL_MSR_X2APIC_FIRST + i, x2apic_reads >> i & 1, x2apic_writes >> i & 1);
	memset(control_bitmap, 0xff, sizeof(control_bitmap));
	control_msr_permit(&control_msrs_intel, control_bitmap, vmx_msr_permit);
}

static void features_init(void)
{
	struct vmx_features *f = &vmx_features;
	unsigned int group;

	f->basic = rdmsr(MSR_VMX_BASIC);
	f->ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
	for (group = 0; group < VMX_CONTROLS; group++)
		f->capability[group] = rdmsr(vmx_control_msr(group, f->basic));
	f->apic = !(~vmx_adjust(f->capability[VMX_SECONDARY], VMX_APIC_CONTROLS | VMX_APIC_MODES) &
		    (VMX_APIC_CONTROLS | VMX_APIC_MODES));
	f->timer = vmx_adjust(f->capability[VMX_PIN], PIN_PREEMPTION_TIMER) & PIN_PREEMPTION_TIMER;
	f->timer_shift = (unsigned int)rdmsr(MSR_VMX_MISC) & VMX_MISC_TIMER_SHIFT;
	/* An unrestricted guest need not have protection and paging on (24.8). */
	f->cr0_fixed = rdmsr(MSR_VMX_CR0_FIXED0) & ~(CR0_PE | CR0_PG);
	f->cr4_fixed = rdmsr(MSR_VMX_CR4_FIXED0);
	f->known = true;
	bitmaps_init();
}

static void vmx_cpu_init(struct cpu *cpu)
{
	struct vmx_cpu *vmx = cpu->vendor;
	uint32_t *vmxon = (uint32_t *)((uint8_t *)vmx + PAGE_SIZE);
	uint64_t feature = rdmsr(MSR_FEATURE_CONTROL);

	if (!vmx_features.known)
		features_init();
	vmx->control.vmcs_pa = cpu->vendor_pa + 2 * PAGE_SIZE;
	if (vmx_switched_on(feature) != feature)
		wrmsr(MSR_FEATURE_CONTROL, vmx_switched_on(feature));
	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
	write_cr4((read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0)) & rdmsr(MSR_VMX_CR4_FIXED1));
	*vmxon = vmx_features.basic & VMX_BASIC_REVISION;
	vmx_vmxon(cpu->vendor_pa + PAGE_SIZE);
}

/* Fields that are 0 in every VMCS. */
static const uint16_t zero_fields[] = {
	VMCS_PAGE_FAULT_MASK,
	VMCS_PAGE_FAULT_MATCH,
	VMCS_CR3_TARGETS,
	VMCS_EXIT_MSR_STORES,
	VMCS_EXIT_MSR_LOADS,
	VMCS_ENTRY_MSR_LOADS,
	VMCS_ENTRY_EVENT,
	VMCS_EXCEPTION_BITMAP,
	VMCS_TSC_OFFSET,
	VMCS_GUEST_DEBUGCTL,
	VMCS_GUEST_ACTIVITY,
	VMCS_GUEST_INTERRUPTIBILITY,
	VMCS_GUEST_PENDING_DEBUG,
	VMCS_GUEST_SYSENTER_CS,
	VMCS_GUEST_SYSENTER_ESP,
	VMCS_GUEST_SYSENTER_EIP,
	VMCS_GUEST_CR3,
	VMCS_HOST_FS_SELECTOR,
	VMCS_HOST_GS_SELECTOR,
	VMCS_HOST_FS_BASE,
	VMCS_HOST_GS_BASE,
	VMCS_HOST_SYSENTER_CS,
	VMCS_HOST_SYSENTER_ESP,
	VMCS_HOST_SYSENTER_EIP,
};

void vmx_vmcs_init(const struct vmx_setup *setup)
{
	static const uint16_t control_fields[VMX_CONTROLS] = {
		[VMX_PIN] = VMCS_PIN_CONTROLS,
		[VMX_PRIMARY] = VMCS_PRIMARY_CONTROLS,
		[VMX_SECONDARY] = VMCS_SECONDARY_CONTROLS,
		[VMX_EXIT] = VMCS_EXIT_CONTROLS,
		[VMX_ENTRY] = VMCS_ENTRY_CONTROLS,
	};
	static const uint32_t common[VMX_CONTROLS] = {
		[VMX_PRIMARY] = PRIMARY_MSR_BITMAP | PRIMARY_SECONDARY,
		[VMX_SECONDARY] = SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED | SECONDARY_RDTSCP |
			SECONDARY_INVPCID,
		[VMX_EXIT] = EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_PAT | EXIT_LOAD_PAT | EXIT_SAVE_EFER |
			EXIT_LOAD_EFER,
		[VMX_ENTRY] = ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER,
	};
	unsigned int i;

	*(uint32_t *)phys_to_virt(setup->vmcs_pa) = vmx_features.basic & VMX_BASIC_REVISION;
	vmx_vmclear(setup->vmcs_pa);
	vmx_vmptrld(setup->vmcs_pa);
	for (i = 0; i < VMX_CONTROLS; i++)
		vmwrite(control_fields[i], vmx_adjust(vmx_features.capability[i], common[i] | setup->want[i]));
	for (i = 0; i < ARRAY_SIZE(zero_fields); i++)
		vmwrite(zero_fields[i], 0);
	if (vmread(VMCS_SECONDARY_CONTROLS) & SECONDARY_VPID)
		vmwrite(VMCS_VPID, setup->vpid);
	if (vmread(VMCS_SECONDARY_CONTROLS) & SECONDARY_XSAVES)
		vmwrite(VMCS_XSS_EXITING, XSS_TRACE | XSS_LBR);		/* those MSRs by another way: #UD */
	vmwrite(VMCS_LINK_POINTER, VMCS_NO_LINK);
	vmwrite(VMCS_MSR_BITMAP, setup->bitmap_pa);
	if (setup->io_bitmap_pa[0]) {
		vmwrite(VMCS_IO_BITMAP_A, setup->io_bitmap_pa[0]);
		vmwrite(VMCS_IO_BITMAP_B, setup->io_bitmap_pa[1]);
	}
	vmwrite(VMCS_EPT_POINTER, setup->eptp);
	vmwrite(VMCS_CR0_MASK, setup->cr0_mask | vmx_features.cr0_fixed);
	vmwrite(VMCS_CR4_MASK, setup->cr4_mask | vmx_features.cr4_fixed);
	vmwrite(VMCS_HOST_CR0, read_cr0() | CR0_TS);
	vmwrite(VMCS_HOST_CR3, setup->host_cr3);
	vmwrite(VMCS_HOST_CR4, read_cr4());
	vmwrite(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(VMCS_HOST_CS_SELECTOR, SEL_KERNEL_CODE);
	vmwrite(VMCS_HOST_SS_SELECTOR, SEL_KERNEL_DATA);
	vmwrite(VMCS_HOST_DS_SELECTOR, SEL_KERNEL_DATA);
	vmwrite(VMCS_HOST_ES_SELECTOR, SEL_KERNEL_DATA);
	vmwrite(VMCS_HOST_TR_SELECTOR, SEL_TSS);
	vmwrite(VMCS_HOST_IDTR_BASE, trap_idt());
	vmwrite(VMCS_HOST_RIP, (uint64_t)(uintptr_t)vmx_exit);
}

void vmx_host_init(struct cpu *cpu)
{
	vmwrite(VMCS_HOST_TR_BASE, (uint64_t)(uintptr_t)&cpu->tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (uint64_t)(uintptr_t)cpu->gdt);
}

static void vmx_control_init(struct cpu *cpu, uint64_t table_root)
{
	struct vmx_cpu *vmx = cpu->vendor;
	struct vmx_setup setup = {
		.vmcs_pa = vmx->control.vmcs_pa,
		.eptp = vmx_eptp(table_root),
		.bitmap_pa = image_to_phys(control_bitmap),
		.host_cr3 = cpu->main_cr3,
		.vpid = CONTROL_VPID,
		.cr4_mask = ~(uint64_t)VMX_CONTROL_CR4,
		.io_bitmap_pa = { image_to_phys(control_io_bitmap[0]), image_to_phys(control_io_bitmap[1]) },
		.want = {
			[VMX_PIN] = PIN_NMI | PIN_VIRTUAL_NMI,
			[VMX_PRIMARY] = PRIMARY_IO_BITMAPS,
			/* Instructions that only the control domain's CPUID shows. */
			[VMX_SECONDARY] = SECONDARY_XSAVES | SECONDARY_USER_WAIT,
		},
	};

	vmx->eptp = setup.eptp;
	vmx_vmcs_init(&setup);
	vmx_host_init(cpu);
	vmwrite(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
	vmx->control.primary = (uint32_t)vmread(VMCS_PRIMARY_CONTROLS);
	/* What an earlier user of VMX may have left. */
	vmx_invept(vmx->eptp);
	vmx_invvpid(CONTROL_VPID);
}

uint64_t vmx_cr0(void)
{
	uint64_t mask = vmread(VMCS_CR0_MASK);

	return (vmread(VMCS_GUEST_CR0) & ~mask) | (vmread(VMCS_CR0_SHADOW) & mask);
}

uint64_t vmx_cr4(void)
{
	uint64_t mask = vmread(VMCS_CR4_MASK);

	return (vmread(VMCS_GUEST_CR4) & ~mask) | (vmread(VMCS_CR4_SHADOW) & mask);
}

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

/* Only CR0 and CR4 have bits that are Keel's; of CR4's no value but 0 is allowed, except of MCE. False: #GP. */
static bool write_cr(struct keel_regs *regs, const struct page_table *memory)
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

static void vmx_control_set(struct cpu *cpu, const struct keel_sregs *sregs)
{
	struct vmx_cpu *vmx = cpu->vendor;

	vmx_set_segments(sregs);
	vmx_set_control(sregs);
	vmx_set_debug(sregs);
	write_cr2(sregs->cr2);
	write_dr6(sregs->dr6);
	vmwrite(VMCS_GUEST_ACTIVITY, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_GUEST_RSP, 0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmx->control.event = 0;
	vmx->nmi_pending = false;
}

unsigned int vmx_cpl(void)
{
	return (unsigned int)vmread(VMCS_GUEST_SS_RIGHTS) >> RIGHTS_DPL_SHIFT & RIGHTS_DPL;
}

static void vmx_control_get(struct cpu *cpu, struct hv_control_state *state)
{
	(void)cpu;
	*state = (struct hv_control_state){
		.cr3 = vmread(VMCS_GUEST_CR3),
		.cr4 = vmx_cr4(),
		.efer = vmread(VMCS_GUEST_EFER),
		.rflags = vmread(VMCS_GUEST_RFLAGS),
		.cpl = vmx_cpl(),
	};
}

static void vmx_control_advance(struct cpu *cpu, uint64_t next_rip)
{
	vmx_advance(&cpu->control, next_rip);
}

/* The forms agree but for the reserved bits, which are another's to write. */
void vmx_inject(struct vmx_context *context, uint32_t inject, uint32_t error_code)
{
	context->event = EVENT_VALID | (inject & KEEL_INJECT_VECTOR) |
			 (inject & KEEL_INJECT_EXCEPTION ? EVENT_EXCEPTION : EVENT_INTERRUPT);
	if (inject & KEEL_INJECT_EXCEPTION && inject & KEEL_INJECT_ERROR_CODE)
		context->event |= EVENT_ERROR_CODE;
	context->error_code = error_code;
}

/* INT n, INT1, INT3 and INTO are simply executed again. */
static void requeue(struct vmx_context *context, uint32_t info)
{
	uint32_t type = info & EVENT_TYPE;

	if (type >= EVENT_SOFTWARE_INT)
		return;
	context->event = info & (EVENT_VALID | EVENT_ERROR_CODE | EVENT_TYPE | EVENT_VECTOR);
	if (info & EVENT_ERROR_CODE)
		context->error_code = (uint32_t)vmread(VMCS_IDT_ERROR_CODE);
	/* The delivery that was broken off has blocked NMIs; in a shadow, which it has ended, the entry would fail (27.3.1.5). */
	if (type == EVENT_NMI)
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)(SHADOW_NMI | SHADOW_INSTRUCTION));
}

void vmx_end_instruction(struct keel_regs *regs, uint64_t rflags)
{
	if (rflags & RFLAGS_RF) {
		regs->rflags &= ~RFLAGS_RF;
		vmwrite(VMCS_GUEST_RFLAGS, rflags & ~RFLAGS_RF);
	}
	/* With BTF only branches have traps, and none is completed here. */
	if (rflags & RFLAGS_TF && !(vmread(VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF))
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_SINGLE_STEP);
}

void vmx_deliver_nmi(struct vmx_context *context, bool *pending)
{
	uint64_t state = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (*pending && !context->event && !(state & (SHADOW_INSTRUCTION | SHADOW_NMI)) && !vmx_trap_pending()) {
		*pending = false;
		context->event = EVENT_VALID | EVENT_NMI | EXC_NMI;
	} else if (*pending && !context->event && state & SHADOW_STI) {
		/* Some processors' windows do not wait for the end of STI's shadow (26.2), all wait for that of MOV SS. */
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, state ^ SHADOW_INSTRUCTION);
	}
	vmx_primary(context, PRIMARY_NMI_WINDOW, *pending);
}

/* In real mode exceptions have no error code (27.2.1.3). */
void vmx_write_event(struct vmx_context *context)
{
	if (context->event & EVENT_ERROR_CODE && !(vmread(VMCS_GUEST_CR0) & CR0_PE))
		context->event &= ~EVENT_ERROR_CODE;
	if (context->event & EVENT_ERROR_CODE)
		vmwrite(VMCS_ENTRY_ERROR_CODE, context->error_code);
	vmwrite(VMCS_ENTRY_EVENT, context->event);
}

void vmx_block_nmi_again(void)
{
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, vmread(VMCS_GUEST_INTERRUPTIBILITY) | SHADOW_NMI);
}

static void memory_exit(struct hv_exit *exit)
{
	struct keel_exit *record = exit->record;
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	bool walk = qualification & QUAL_EPT_LINEAR && !(qualification & QUAL_EPT_TRANSLATED);

	exit->reason = HV_EXIT_MEMORY;
	record->gpa = vmread(VMCS_GUEST_PHYSICAL_ADDRESS);
	record->access = (uint8_t)((qualification & QUAL_EPT_WRITE ? KEEL_ACCESS_WRITE : 0) |
				   (qualification & QUAL_EPT_FETCH ? KEEL_ACCESS_FETCH : 0) |
				   (walk ? KEEL_ACCESS_WALK : 0));
	if (qualification & QUAL_EPT_NMI_UNBLOCKED && !(vmread(VMCS_IDT_EVENT) & EVENT_VALID))
		vmx_block_nmi_again();
}

void vmx_io_exit(struct hv_exit *exit)
{
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_QUALIFICATION);
	struct keel_exit *record = exit->record;

	exit->reason = HV_EXIT_IO;
	record->next_rip = vmx_next_rip();
	record->port = (uint16_t)(info >> QUAL_IO_PORT_SHIFT);
	record->size = (uint8_t)((info & QUAL_IO_SIZE) + 1);
	record->io = (uint8_t)((info & QUAL_IO_IN ? KEEL_IO_IN : 0) | (info & QUAL_IO_STRING ? KEEL_IO_STRING : 0) |
			       (info & QUAL_IO_REP ? KEEL_IO_REP : 0));
}

/* Where one of them comes while an event is being delivered, as a triple fault may, the event is of no interest any more. */
const uint8_t vmx_plain_exits[VMX_PLAIN_EXITS] = {
	[VMX_EXIT_INTERRUPT] = HV_EXIT_INTERRUPT,
	[VMX_EXIT_TRIPLE_FAULT] = HV_EXIT_TRIPLE_FAULT,
	[VMX_EXIT_INIT] = HV_EXIT_INIT,
	[VMX_EXIT_CPUID] = HV_EXIT_CPUID,
	[VMX_EXIT_GETSEC] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_HLT] = HV_EXIT_HLT,
	[VMX_EXIT_RDPMC] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_VMCALL] = HV_EXIT_HYPERCALL,
	[VMX_EXIT_VMCLEAR ... VMX_EXIT_VMXON] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_RDMSR] = HV_EXIT_RDMSR,
	[VMX_EXIT_WRMSR] = HV_EXIT_WRMSR,
	[VMX_EXIT_MWAIT] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_MONITOR] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_PAUSE] = HV_EXIT_PAUSE,
	[VMX_EXIT_INVEPT] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_INVVPID] = HV_EXIT_UNDEFINED,
	/* Instructions that no CPUID here shows, some of which exit whatever the controls say. */
	[VMX_EXIT_VMFUNC] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_ENCLS] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_XSAVES ... VMX_EXIT_PCONFIG] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_UMWAIT ... VMX_EXIT_ENCLV] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_ENQCMD ... VMX_EXIT_ENQCMDS] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_SEAMCALL ... VMX_EXIT_WRMSRLIST] = HV_EXIT_UNDEFINED,
	[VMX_EXIT_RDMSR_IMMEDIATE ... VMX_EXIT_WRMSR_IMMEDIATE] = HV_EXIT_UNDEFINED,
};

void vmx_decode_exit(struct vmx_context *context, struct keel_regs *regs, const struct page_table *memory,
		     uint32_t reason, struct hv_exit *exit)
{
	uint32_t info;

	exit->reason = (reason & VMX_EXIT_REASON) == VMX_EXIT_ENTRY_MCE ? HV_EXIT_MACHINE_CHECK : HV_EXIT_ENTRY_FAILED;
	if (reason & VMX_EXIT_ENTRY_FAILED) {
		/* Which then does not clear the field (27.8): the event is still to come. */
		info = (uint32_t)vmread(VMCS_ENTRY_EVENT);
		context->event = info & EVENT_VALID ? info : 0;
		vmwrite(VMCS_ENTRY_EVENT, 0);
		exit->detail |= vmread(VMCS_EXIT_QUALIFICATION) << VMX_DETAIL_QUALIFICATION_SHIFT;
		return;
	}
	info = (uint32_t)vmread(VMCS_IDT_EVENT);
	/* What came to a task gate is delivered by the switch. */
	if (info & EVENT_VALID && reason != VMX_EXIT_TASK_SWITCH)
		requeue(context, info);
	exit->reason = HV_EXIT_NONE;
	switch (reason) {
	case VMX_EXIT_EPT_VIOLATION:
		memory_exit(exit);
		break;
	case VMX_EXIT_NMI_WINDOW:
		break;
	case VMX_EXIT_CR:
		if (!write_cr(regs, memory))
			vmx_inject(context, KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_GP, 0);
		break;
	case VMX_EXIT_WBINVD:
	case VMX_EXIT_INVD:
		/*
		 * Writing back is a legal way to invalidate, and nobody may throw other people's lines away. What a
		 * guest can reach is coherent, and it may not empty caches that it shares.
		 */
		if (memory == &control_table)
			cpu_write_back();
		vmx_advance(regs, vmx_next_rip());
		break;
	case VMX_EXIT_XSETBV:
		/*
		 * All other instructions whose exit asks for it fault first (26.1.1), and so does this one, but not
		 * under Bochs.
		 */
		exit->cpl = vmx_cpl();
		exit->record->next_rip = vmx_next_rip();
		exit->reason = HV_EXIT_XSETBV;
		break;
	default:
		exit->reason = HV_EXIT_UNKNOWN;
		break;
	}
}

static void vmx_control_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code)
{
	struct vmx_cpu *vmx = cpu->vendor;

	/* The trap of the call goes in first. */
	if (!(inject & KEEL_INJECT_EXCEPTION) && vmx_trap_pending())
		vmx->again = (uint8_t)inject;
	else
		vmx_inject(&vmx->control, inject, error_code);
}

static void vmx_control_inject_nmi(struct cpu *cpu)
{
	((struct vmx_cpu *)cpu->vendor)->nmi_pending = true;
}

static void vmx_control_set_cr2(struct cpu *cpu, uint64_t cr2)
{
	(void)cpu;
	write_cr2(cr2);
}

static void vmx_control_flush(struct cpu *cpu)
{
	((struct vmx_cpu *)cpu->vendor)->flush = true;
}

static void vmx_control_watch_port(uint16_t port)
{
	control_io_bitmap[port >> 15][(port & 0x7fff) / 8] |= (uint8_t)(1u << port % 8);
}

static void vmx_control_hlt(struct cpu *cpu, bool on)
{
	vmx_primary(&((struct vmx_cpu *)cpu->vendor)->control, PRIMARY_HLT, on);
}

static bool vmx_control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value)
{
	(void)cpu;
	if (msr != MSR_FEATURE_CONTROL)
		return false;
	*value = (rdmsr(msr) & ~(uint64_t)(FEATURE_CONTROL_VMX | FEATURE_CONTROL_VMX_SMX)) | FEATURE_CONTROL_LOCK;
	return true;
}

/* XSETBV exits whatever the controls say. */
static void control_xsetbv(struct cpu *cpu, struct hv_exit *exit)
{
	uint64_t value = cpu->control.gpr[KEEL_RDX] << 32 | (uint32_t)cpu->control.gpr[KEEL_RAX];

	exit->reason = HV_EXIT_NONE;
	if (exit->cpl || (uint32_t)cpu->control.gpr[KEEL_RCX] || value & ~XCR0_CONTROL || !xsetbv_safe(value)) {
		vmx_control_inject(cpu, KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | EXC_GP, 0);
		return;
	}
	vmx_control_advance(cpu, exit->record->next_rip);
}

static void vmx_control_enter(struct cpu *cpu, struct hv_exit *exit)
{
	struct vmx_cpu *vmx = cpu->vendor;
	uint32_t reason;

	do {
		if (vmx->again)
			apic_raise_again(cpu->apic_id, vmx->again);
		vmx->again = 0;
		if (vmx->flush)
			vmx_invept(vmx->eptp);
		vmx->flush = false;
		reason = vmx_run(&vmx->control, &cpu->control, &vmx->nmi_pending, &control_table, exit);
		/* What Keel has set up is its own fault; the state of the control domain is not. */
		if (exit->reason == HV_EXIT_ENTRY_FAILED && exit->detail & VMX_DETAIL_INSTRUCTION)
			panic(vmx_failure(exit->detail));
		if (reason == VMX_EXIT_EPT_MISCONFIGURATION)
			panic("the control domain's second-level table is damaged");
		if (exit->reason == HV_EXIT_ENTRY_FAILED)
			print("Keel: the control domain: %s\n", vmx_failure(exit->detail));
		if (reason == VMX_EXIT_EXCEPTION) {	/* no exception exits, so it is an NMI */
			exit->reason = HV_EXIT_NMI;
			cpu_unblock_nmi();
		}
		if (exit->reason == HV_EXIT_XSETBV)
			control_xsetbv(cpu, exit);
		if (reason == VMX_EXIT_IO)
			vmx_io_exit(exit);
	} while (exit->reason == HV_EXIT_NONE);
}

const struct hv_ops vmx_ops = {
	.name = "Intel VMX",
	.second_level = &pt_format_ept,
	.cpu = {
		.has_1g = vmx_has_1g,
		.has_dirty = vmx_has_dirty,
		.caching = vmx_caching,
		.probe = vmx_probe,
		.describe = vmx_describe,
		.init = vmx_cpu_init,
		/* An exit leaves the descriptor tables' limits wide open (28.5.2); ring 3 shall find the real ones. */
		.cell_prepare = trap_reload,
	},
	.control = {
		.init = vmx_control_init,
		.set = vmx_control_set,
		.enter = vmx_control_enter,
		.get = vmx_control_get,
		.advance = vmx_control_advance,
		.inject = vmx_control_inject,
		.inject_nmi = vmx_control_inject_nmi,
		.set_cr2 = vmx_control_set_cr2,
		.flush = vmx_control_flush,
		.watch_port = vmx_control_watch_port,
		.hlt = vmx_control_hlt,
		.msrs = &control_msrs_intel,
		.rdmsr = vmx_control_rdmsr,
	},
	.vcpu = {
		.init = vmx_vcpu_init,
		.load = vmx_vcpu_load,
		.put = vmx_vcpu_put,
		.enter = vmx_vcpu_enter,
		.advance = vmx_vcpu_advance,
		.interruptible = vmx_vcpu_interruptible,
		.inject = vmx_vcpu_inject,
		.window = vmx_vcpu_window,
		.set_apic = vmx_vcpu_set_apic,
		.state_out = vmx_vcpu_state_out,
		.state_in = vmx_vcpu_state_in,
		.tsc_moved = vmx_vcpu_tsc_moved,
	},
};
