// SPDX-License-Identifier: GPL-2.0
// Intel VMX: the control domain.

#include "vmx.h"

#include "apic.h"
#include "console.h"
#include "control_msr.h"
#include "cpu.h"
#include "image.h"
#include "string.h"
#include "trap.h"
#include "xstate.h"

#define CONTROL_VPID	1u

static uint8_t control_bitmap[VMX_BITMAP_BYTES] __attribute__((aligned(4096)));
static uint8_t control_io_bitmap[2][VMX_BITMAP_BYTES] __attribute__((aligned(4096)));	/* a half of the ports each */

/* All that the lists do not pass exits. */
void vmx_control_bitmap_init(void)
{
	memset(control_bitmap, 0xff, sizeof(control_bitmap));
	control_msr_permit(&control_msrs_intel, control_bitmap, vmx_msr_permit);
}

void vmx_control_init(struct cpu *cpu, const struct page_table *table)
{
	struct vmx_cpu *vmx = cpu->vendor;
	struct vmx_setup setup = {
		.vmcs_pa = vmx->control.vmcs_pa,
		.eptp = vmx_eptp(table->root),
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

	vmx->table = table;
	vmx->control.writes_back = true;
	vmx->eptp = setup.eptp;
	vmx_vmcs_init(&setup);
	vmx_host_init(cpu);
	vmwrite(VMCS_GUEST_PAT, rdmsr(MSR_PAT));
	vmx->control.primary = (uint32_t)vmread(VMCS_PRIMARY_CONTROLS);
	/* What an earlier user of VMX may have left. */
	vmx_invept(vmx->eptp);
	vmx_invvpid(CONTROL_VPID);
}

void vmx_control_set(struct cpu *cpu, const struct keel_sregs *sregs)
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

void vmx_control_get(struct cpu *cpu, struct hv_control_state *state)
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

void vmx_control_advance(struct cpu *cpu, uint64_t next_rip)
{
	vmx_advance(&cpu->control, next_rip);
}

void vmx_control_inject(struct cpu *cpu, uint32_t inject, uint32_t error_code)
{
	struct vmx_cpu *vmx = cpu->vendor;

	/* The trap of the call goes in first. */
	if (!(inject & KEEL_INJECT_EXCEPTION) && vmx_trap_pending())
		vmx->again = (uint8_t)inject;
	else
		vmx_inject(&vmx->control, inject, error_code);
}

void vmx_control_inject_nmi(struct cpu *cpu)
{
	((struct vmx_cpu *)cpu->vendor)->nmi_pending = true;
}

void vmx_control_set_cr2(struct cpu *cpu, uint64_t cr2)
{
	(void)cpu;
	write_cr2(cr2);
}

void vmx_control_flush(struct cpu *cpu)
{
	((struct vmx_cpu *)cpu->vendor)->flush = true;
}

void vmx_control_watch_port(uint16_t port)
{
	control_io_bitmap[port >> 15][(port & 0x7fff) / 8] |= (uint8_t)(1u << port % 8);
}

void vmx_control_hlt(struct cpu *cpu, bool on)
{
	vmx_primary(&((struct vmx_cpu *)cpu->vendor)->control, PRIMARY_HLT, on);
}

bool vmx_control_rdmsr(struct cpu *cpu, uint32_t msr, uint64_t *value)
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

void vmx_control_enter(struct cpu *cpu, struct hv_exit *exit)
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
		reason = vmx_run(&vmx->control, &cpu->control, &vmx->nmi_pending, vmx->table, exit);
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
