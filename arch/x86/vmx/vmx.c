// SPDX-License-Identifier: GPL-2.0
// Intel VMX (SDM vol. 3, chapters 24 to 31): the processor and its VMCSs, and the list of what there is. Beside it, as on SVM's
// side: vmx_control.c, the control domain; vmx_vcpu.c, guests; and of both vmx_event.c, vmx_exit.c, vmx_state.c.

#include "vmx.h"

#include <keel/macros.h>

#include "console.h"
#include "control_msr.h"
#include "cpu.h"
#include "memory.h"
#include "mtrr.h"
#include "pt_format.h"
#include "string.h"
#include "trap.h"

#define BITMAP_PART		(MSR_BITMAP_RANGE / 8)		/* bytes for each of two ranges */
#define BITMAP_WRITES		(2 * BITMAP_PART)

#define XSS_TRACE	(1u << 8)
#define XSS_LBR		(1u << 15)

struct vmx_features vmx_features;

uint8_t vmx_guest_bitmap[VMX_BITMAP_BYTES] __attribute__((aligned(4096)));
uint8_t vmx_x2apic_bitmap[VMX_BITMAP_BYTES] __attribute__((aligned(4096)));	/* while MSRs are the APIC page's */
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

static bool vmx_has_1g(void)
{
	return rdmsr(MSR_VMX_EPT_VPID) & VMX_EPT_1G;
}

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

static enum pt_caching vmx_caching(uint64_t hpa, uint64_t bytes)
{
	if (!mtrr.read)
		mtrr_read(&mtrr);
	return mtrr_caching(&mtrr, hpa, bytes);
}

static const char *vmx_probe(void)
{
	const char *missing;
	uint64_t basic;
	unsigned int group;

	if (!(cpuid(CPUID_FEATURES, 0).ecx & ECX1_VMX))
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

static void vmx_describe(void)
{
	uint32_t secondary = vmx_adjust(vmx_features.capability[VMX_SECONDARY], SECONDARY_VPID | SECONDARY_PAUSE_LOOP);

	print("%s%s%s%s%s\n", vmx_has_dirty() ? " dirty-bits" : "", secondary & SECONDARY_VPID ? " VPIDs" : "",
	      vmx_features.apic ? " virtual-interrupt-delivery" : "", vmx_features.timer ? " preemption-timer" : "",
	      secondary & SECONDARY_PAUSE_LOOP ? " PAUSE-loop-exits" : "");
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
		vmx_msr_permit(vmx_x2apic_bitmap, MSR_X2APIC_FIRST + i, x2apic_reads >> i & 1, x2apic_writes >> i & 1);
	vmx_control_bitmap_init();
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
		.enter = vmx_control_enter,
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
