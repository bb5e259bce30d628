; SPDX-License-Identifier: GPL-2.0
; Misuse of the processor. Built once as it stands, which must survive, and once for each END_*: these end their own machine.
;   END_WALK    a page table that lies in a hole      END_FETCH  a jump to device memory
;   END_TABLE   an interrupt table in a hole          END_STACK  a fault whose stack is device memory
;   END_CR3     a random CR3                          END_REAL   garbage state on the way back to real mode
;   END_STATE   control and debug registers that a processor refuses, but not every emulator of one
%ifdef END_WALK
%define GUEST_NAME "hostile-walk"
%elifdef END_FETCH
%define GUEST_NAME "hostile-fetch"
%elifdef END_TABLE
%define GUEST_NAME "hostile-table"
%elifdef END_STACK
%define GUEST_NAME "hostile-stack"
%elifdef END_CR3
%define GUEST_NAME "hostile-cr3"
%elifdef END_REAL
%define GUEST_NAME "hostile-real"
%elifdef END_STATE
%define GUEST_NAME "hostile-state"
%else
%define GUEST_NAME "hostile-cpu"
%endif
%include "guest.inc"

HOLE		equ 0xa0000
ROUNDS		equ 3000
VECTOR_SOFT	equ 0x80
STORM		equ 20000
CR0_BITS	equ 0x4005003f			; all but NW, which needs CD, so that CD alone may change
CR4_BITS	equ 0x507df			; what takes nothing away from this guest: no SMEP, SMAP, PCIDE
DR7_DISABLE	equ 0xffffdf00			; no breakpoint, no general detect
CR0_KEEP	equ 0x80000001			; PG, PE
CR4_KEEP	equ 0x20			; PAE
EFER_KEEP	equ 0x500			; LME, LMA

%macro EXPECT_UD 1+
	TRY %1
	cmp al, VECTOR_UD
	CHECK e, `%1 did not raise #UD`
%endmacro

; Instructions of virtualisation and monitoring, and those that the policy refuses.
check_undefined:
	mov qword [try_rax], SCRATCH
	EXPECT_UD vmmcall
	EXPECT_UD vmcall
	EXPECT_UD vmrun
	EXPECT_UD vmload
	EXPECT_UD vmsave
	EXPECT_UD stgi
	EXPECT_UD clgi
	EXPECT_UD invlpga
	EXPECT_UD skinit
	EXPECT_UD vmlaunch
	EXPECT_UD vmresume
	EXPECT_UD vmxoff
	EXPECT_UD ud2
	mov qword [try_rax], SCRATCH
	xor ecx, ecx
	xor edx, edx
	EXPECT_UD monitor
	xor ecx, ecx
	mov qword [try_rax], 0
	EXPECT_UD mwait
	TRY rsm
	cmp al, NO_FAULT
	CHECK ne, "RSM outside of SMM"
	TRY invd
	cmp al, NO_FAULT
	CHECK e, "INVD"
	TRY wbinvd
	cmp al, NO_FAULT
	CHECK e, "WBINVD"
	mov ecx, 7
	TRY rdpmc
	cmp al, NO_FAULT
	CHECK ne, "RDPMC of a counter that is not there"
	ret

; Whatever is written, the machine goes on with what it had before.
random_control:
	mov r14d, ROUNDS
	mov r12, cr0
	mov r13, cr4
	mov ecx, MSR_EFER
	rdmsr
	mov r15d, eax
.round:	call random
	or rax, CR4_KEEP
	mov rcx, rax
	call random
	and rax, rcx
	test ah, 1
	jnz .few4
	mov rax, rcx
.few4:
%ifndef END_STATE
	and eax, CR4_BITS
%endif
	or rax, CR4_KEEP
	mov [try_rax], rax
	TRY mov cr4, rax
	mov cr4, r13
	call random
	test al, 1
	jz .wide
	mov eax, eax
.wide:	mov ecx, CR0_KEEP
%ifndef END_STATE
	and eax, CR0_BITS
%endif
	or rax, rcx
	mov [try_rax], rax
	TRY mov cr0, rax
	mov cr0, r12
	call random
	mov rdx, rax
	shr rdx, 32
	test al, 1
	jz .efer
	xor edx, edx
	and eax, 0xfff
.efer:	or eax, EFER_KEEP
	mov [try_rax], rax
	mov ecx, MSR_EFER
	TRY wrmsr
	mov eax, r15d
	xor edx, edx
	mov ecx, MSR_EFER
	wrmsr
	call random
	mov [try_rax], rax
	TRY mov cr8, rax
	call random
%ifndef END_STATE
	mov eax, eax
	and eax, DR7_DISABLE			; the addresses are anybody's
%endif
	mov [try_rax], rax
	TRY mov dr7, rax
	TRY mov dr6, rax
	xor eax, eax
	mov cr8, rax
	mov eax, 0x400
	mov dr7, rax
	dec r14d
	jnz .round
%ifdef END_STATE
	; Away from paging in 64-bit mode: #GP, but for an emulated processor, which goes astray.
	mov eax, 1
	mov [try_rax], rax
	TRY mov cr0, rax
	cmp al, VECTOR_GP
	CHECK e, "CR0.PG cleared in 64-bit mode"
%endif
	mov qword [try_rax], 0
	xor edx, edx
	mov ecx, MSR_EFER
	TRY wrmsr
	cmp al, VECTOR_GP
	CHECK e, "EFER.LME cleared with paging on"
	ret

random_xcr0:
	mov eax, 1
	cpuid
	bt ecx, 26
	jnc .done
	mov rax, cr4
	or eax, 1 << 18
	mov cr4, rax
	mov r14d, ROUNDS
.round:	call random
	mov rdx, rax
	shr rdx, 32
	test al, 0x40
	jz .write
	xor edx, edx
	and eax, 0xff
.write:	mov [try_rax], rax
	mov ecx, eax
	shr ecx, 9
	and ecx, 1
	TRY xsetbv
	dec r14d
	jnz .round
	mov eax, 1
	xor ecx, ecx
	xor edx, edx
	xsetbv
.done:	ret

interrupt_storm:
	mov ecx, STORM
.again:	int VECTOR_SOFT
	loop .again
	cmp qword [COUNTS + VECTOR_SOFT * 8], STORM
	CHECK e, "INT n lost or doubled"
	ret

; A stack that cannot be used makes a double fault, which has a stack of its own.
nested_faults:
	mov r14d, 200
.again:	mov rax, .back
	mov [recover_rip], rax
	mov [recover_rsp], rsp
	mov rsp, 0x8000000000000000
	ud2
.back:	cmp byte [fault_vector], VECTOR_DF
	CHECK e, "no double fault"
	TRY mov rax, [abs 0x7fffffff0000]
	cmp al, VECTOR_PF
	CHECK e, "no page fault"
	dec r14d
	jnz .again
	ret

; Device memory as page table: all reads are ones, which are reserved bits, if the machine goes on at all.
end_walk:
	mov qword [PDPT + 3 * 8], HOLE + (PAGE_PRESENT | PAGE_WRITE)
	mov rax, cr3
	mov cr3, rax
	mov ecx, 0xd0000000
	TRY mov rax, [rcx]
	cmp al, VECTOR_PF
	CHECK e, "a walk through a hole gave no page fault"
	ret

end_fetch:
	mov ecx, HOLE
	TRY call rcx
	mov ecx, LAPIC
	TRY call rcx
	ret

end_table:
	mov word [abs SCRATCH], 0xfff
	mov qword [abs SCRATCH + 2], HOLE
	lidt [abs SCRATCH]
	int VECTOR_SOFT
	FAIL "still running"

end_stack:
	mov esp, LAPIC + 0x800
	ud2
	FAIL "still running"

end_cr3:
	mov rbx, 0x6b65656c63723333
	call random
	mov rcx, 0xfffffff000
	and rax, rcx
	mov cr3, rax
	FAIL "still running"

; Paging off in compatibility mode with a stack and tables that are not there.
end_real:
	lidt [rel .none]
	push SEL_CODE32
	push .compat
	retfq
bits 32
.compat:
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	mov esp, 0xfffffffe
	mov eax, cr0
	and eax, ~1
	mov cr0, eax
	int 3
	jmp 0xffff:0xffff
bits 64
.none:	dw 0
	dq 0

guest_main:
	mov rbx, 0x6b65656c63707530
%ifdef END_WALK
	call end_walk
%elifdef END_FETCH
	call end_fetch
%elifdef END_TABLE
	call end_table
%elifdef END_STACK
	call end_stack
%elifdef END_CR3
	call end_cr3
%elifdef END_REAL
	call end_real
%elifdef END_STATE
	call random_control
%else
	call check_undefined
	call random_control
	PUTS "hostile-cpu: control registers", 13, 10
	call random_xcr0
	call interrupt_storm
	call nested_faults
%endif
	ret

GUEST_END
