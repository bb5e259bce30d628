; SPDX-License-Identifier: GPL-2.0
; Single steps (RFLAGS.TF) over instructions that do not end in the processor but in the hypervisor or the device model: the trap
; comes behind each, once, before anything else.
%define GUEST_NAME "step"
%include "guest.inc"

HPET_ID		equ PC_HPET
APIC_VERSION	equ PC_LAPIC + APIC_REG_VERSION
APIC_TPR	equ PC_LAPIC + APIC_REG_TPR

; STEP text, instruction: TF is set before it, and cleared by the handler.
%macro STEP 2+
	xor eax, eax
	mov dr6, rax
	mov qword [COUNTS + EXC_DB * 8], 0
	pushfq
	or qword [rsp], RFLAGS_TF
	mov rax, [abs value]
	popfq
	%2
%%next:	pushfq
	pop rax
	test eax, RFLAGS_TF
	CHECK z, "no trap: ", %1
	cmp qword [COUNTS + EXC_DB * 8], 1
	CHECK e, "not one trap: ", %1
	lea rax, [rel %%next]
	cmp rax, [abs trap_rip]
	CHECK e, "the trap is elsewhere: ", %1
	mov rax, dr6
	test eax, DR6_BS
	CHECK nz, "DR6.BS is not set: ", %1
%endmacro

; Stack: return address, three registers, vector, error code, RIP, CS, flags.
hook:	mov rax, [rsp + 48]
	mov [abs trap_rip], rax
	and qword [rsp + 64], ~RFLAGS_TF
	ret

guest_main:
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov byte [abs count_faults], 1
	STEP "NOP", nop
	STEP "CPUID", cpuid
	mov ecx, MSR_PAT
	STEP "RDMSR of PAT", rdmsr
	rdmsr
	mov [abs value], rax
	STEP "WRMSR of PAT", wrmsr
	mov ecx, MSR_MISC_ENABLE
	STEP "RDMSR", rdmsr
	mov ecx, MSR_APIC_BASE
	STEP "RDMSR of the device model", rdmsr
	STEP "WBINVD", wbinvd
	STEP "IN", in al, 0x80
	STEP "OUT", out 0x80, al
	mov edx, HPET_ID
	STEP "load from a device", mov eax, [rdx]
	mov edx, APIC_VERSION
	STEP "load from the local APIC", mov eax, [rdx]
	mov edx, APIC_TPR
	STEP "store to the local APIC", mov [rdx], eax
	STEP "HLT", hlt
	mov rcx, cr0
	STEP "MOV to CR0", mov cr0, rcx
	mov rcx, cr4
	STEP "MOV to CR4", mov cr4, rcx
	xor ecx, ecx
	STEP "MOV to CR8", mov cr8, rcx
	mov eax, 1
	cpuid
	bt ecx, 26
	jnc .no_xsave
	mov rax, cr4
	or eax, CR4_OSXSAVE
	mov cr4, rax
	xor ecx, ecx
	xor edx, edx
	mov qword [abs value], 1
	STEP "XSETBV", xsetbv
.no_xsave:
	call check_string
	call check_shadow
	ret

; Each iteration of a repeated instruction is an instruction.
check_string:
	mov edi, SCRATCH
	mov edx, 0x80
	mov ecx, 3
	mov qword [COUNTS + EXC_DB * 8], 0
	pushfq
	or qword [rsp], RFLAGS_TF
	popfq
.ins:	rep insb
.next:	cmp qword [COUNTS + EXC_DB * 8], 1
	CHECK e, "not one trap: REP INS"
	lea rax, [rel .ins]
	cmp rax, [abs trap_rip]
	CHECK e, "the trap does not come behind the first iteration of REP INS"
	ret

; With interrupts on. STI itself is not stepped over: QEMU has no trap behind it, nor behind PAUSE.
check_shadow:
	sti
	STEP "CPUID with interrupts on", cpuid
	cli
	ret

align 8
trap_rip:	dq 0
value:		dq 0

GUEST_END
