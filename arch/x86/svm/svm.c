// SPDX-License-Identifier: GPL-2.0
// AMD SVM (APM vol. 2, chapter 15): the processor and its VMCBs, and the list of what there is. Beside it, as on VMX's side:
// svm_control.c, the control domain; svm_vcpu.c, guests; and of both svm_event.c and svm_exit.c.

#include "svm.h"

#include <keel/macros.h>

#include "console.h"
#include "control_msr.h"
#include "cpu.h"
#include "memory.h"
#include "pt_format.h"
#include "string.h"

#define CPUID_SVM_NPT		(1u << 0)
#define CPUID_SVM_NRIPS		(1u << 3)
#define CPUID_SVM_FLUSH_ASID	(1u << 6)
#define CPUID_SVM_DECODE	(1u << 7)
#define CPUID_SVM_PAUSE		(1u << 10)
#define CPUID_XSTATE_XSAVES	(1u << 3)

#define MSRPM_PART		(MSR_BITMAP_RANGE * 2 / 8)	/* bytes for each of three ranges */

struct svm_features svm_features;

uint8_t svm_guest_msrpm[SVM_MSRPM_BYTES] __attribute__((aligned(4096)));
uint8_t svm_guest_iopm[SVM_IOPM_BYTES] __attribute__((aligned(4096)));

void svm_intercept(struct vmcb *vmcb, unsigned int bit, bool on)
{
	uint32_t mask = 1u << bit % 32;

	if (on)
		vmcb->intercept[bit / 32] |= mask;
	else
		vmcb->intercept[bit / 32] &= ~mask;
}

/* Two bits an MSR, read and write, in three ranges (15.11). */
void svm_msr_permit(uint8_t *msrpm, uint32_t msr, bool read, bool write)
{
	uint32_t bit = msr % MSR_BITMAP_RANGE * 2;
	uint8_t *byte = msrpm + bit / 8;

	if (msr >= MSR_AMD_FIRST)
		byte += 2 * MSRPM_PART;
	else if (msr >= MSR_EXTENDED_FIRST)
		byte += MSRPM_PART;
	*byte = (uint8_t)((*byte & ~(3u << bit % 8)) | (unsigned int)((read ? 0 : 1) | (write ? 0 : 2)) << bit % 8);
}

static const char *svm_probe(void)
{
	struct cpuid r;

	if (cpuid(CPUID_EXTENDED, 0).eax < CPUID_SVM || !(cpuid(CPUID_EXTENDED_FEATURES, 0).ecx & ECXE_SVM))
		return "this AMD processor shows no SVM (AMD-V). Switch SVM on in the firmware setup, or use another machine.";
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return "SVM (AMD-V) is disabled by the firmware. Switch it on in the firmware setup.";
	r = cpuid(CPUID_SVM, 0);
	if (!(r.edx & CPUID_SVM_NPT))
		return "this processor has SVM without nested paging (NPT), which Keel needs. Use a newer processor.";
	if (r.ebx < 4)
		return "this processor offers too few address-space identifiers (ASIDs) for guests. Use a newer processor.";
	return NULL;
}

static void svm_enable(void)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
}

static void svm_describe(void)
{
	print("%s%s%s%s\n", svm_features.nrips ? " NRIPS" : "", svm_features.decode ? " decode-assists" : "",
	      svm_features.flush_asid ? " flush-by-ASID" : "", svm_features.pause ? " PAUSE-filter" : "");
}

static void bitmaps_init(void)
{
	static const uint32_t passed[] = { HV_GUEST_MSRS };
	unsigned int i;

	memset(svm_guest_iopm, 0xff, sizeof(svm_guest_iopm));
	memset(svm_guest_msrpm, 0xff, sizeof(svm_guest_msrpm));
	for (i = 0; i < ARRAY_SIZE(passed); i++)
		svm_msr_permit(svm_guest_msrpm, passed[i], true, true);
	svm_control_bitmap_init();
}

static void svm_cpu_init(struct cpu *cpu)
{
	struct svm_cpu *svm = cpu->vendor;
	struct cpuid r = cpuid(CPUID_SVM, 0);

	if (!svm_features.asids) {
		svm_features.asids = r.ebx;
		svm_features.nrips = r.edx & CPUID_SVM_NRIPS;
		svm_features.decode = r.edx & CPUID_SVM_DECODE;
		svm_features.flush_asid = r.edx & CPUID_SVM_FLUSH_ASID;
		svm_features.pause = r.edx & CPUID_SVM_PAUSE;
		svm_features.xsaves = cpuid(CPUID_XSTATE, 1).eax & CPUID_XSTATE_XSAVES;
		bitmaps_init();
	}
	svm->hsave_pa = cpu->vendor_pa + PAGE_SIZE;
	svm->control = (struct vmcb *)((uint8_t *)svm + 2 * PAGE_SIZE);
	svm->control_pa = cpu->vendor_pa + 2 * PAGE_SIZE;
	svm->host_pa = cpu->vendor_pa + 3 * PAGE_SIZE;
	svm->asid_generation = 1;
	svm->next_asid = SVM_CONTROL_ASID + 1;
	wrmsr(MSR_VM_HSAVE_PA, svm->hsave_pa);
	wrmsr(MSR_VM_CR, rdmsr(MSR_VM_CR) | VM_CR_R_INIT);
	__asm__ volatile("clgi" : : : "memory");
	__asm__ volatile("sti" : : : "memory");
	__asm__ volatile("vmsave" : : "a"(svm->host_pa) : "memory");
}

void svm_set_segments(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	unsigned int i;

	for (i = 0; i < SVM_SEGMENTS; i++)
		vmcb->seg[i] = sregs->seg[i];
	vmcb->ldtr = sregs->seg[KEEL_SEG_LDTR];
	vmcb->tr = sregs->seg[KEEL_SEG_TR];
	vmcb->gdtr = (struct keel_segment_register){ 0, 0, sregs->gdt_limit, sregs->gdt_base };
	vmcb->idtr = (struct keel_segment_register){ 0, 0, sregs->idt_limit, sregs->idt_base };
}

void svm_set_control(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	vmcb->cr0 = sregs->cr0;
	vmcb->cr3 = sregs->cr3;
	vmcb->cr4 = sregs->cr4;
	vmcb->efer = sregs->efer | EFER_SVME;
	vmcb->cpl = (uint8_t)sregs->cpl;
}

void svm_set_debug(struct vmcb *vmcb, const struct keel_sregs *sregs)
{
	vmcb->dr6 = sregs->dr6;
	vmcb->dr7 = sregs->dr7;
}

const struct hv_ops svm_ops = {
	.name = "AMD SVM",
	.second_level = &pt_format_npt,
	.holds_nmis = true,
	.cpu = {
		.probe = svm_probe,
		.enable = svm_enable,
		.describe = svm_describe,
		.init = svm_cpu_init,
	},
	.control = {
		.init = svm_control_init,
		.set = svm_control_set,
		.get = svm_control_get,
		.advance = svm_control_advance,
		.inject = svm_control_inject,
		.inject_nmi = svm_control_inject_nmi,
		.set_cr2 = svm_control_set_cr2,
		.flush = svm_control_flush,
		.watch_port = svm_control_watch_port,
		.hlt = svm_control_hlt,
		.msrs = &control_msrs_amd,
		.rdmsr = svm_control_rdmsr,
		.wrmsr = svm_control_wrmsr,
		.enter = svm_control_enter,
	},
	.vcpu = {
		.init = svm_vcpu_init,
		.load = svm_vcpu_load,
		.put = svm_vcpu_put,
		.enter = svm_vcpu_enter,
		.advance = svm_vcpu_advance,
		.interruptible = svm_vcpu_interruptible,
		.inject = svm_vcpu_inject,
		.window = svm_vcpu_window,
		.state_out = svm_vcpu_state_out,
		.state_in = svm_vcpu_state_in,
		.tsc_moved = svm_vcpu_tsc_moved,
		.rdmsr = svm_vcpu_rdmsr,
		.wrmsr = svm_vcpu_wrmsr,
	},
};
