; SPDX-License-Identifier: GPL-2.0
; NMIs: one that comes in the handler of another waits for its IRET and is taken right behind it, whatever flags it brings back,
; whether interrupts wait, whether the handler is single-stepped, and whether the IRET faults first.
%define GUEST_NAME "nmi"
%include "guest.inc"

VECTOR_IPI	equ 0x51
ICR		equ PC_LAPIC + APIC_REG_ICR_LOW
APIC_SVR	equ PC_LAPIC + APIC_REG_SPURIOUS
APIC_EOI	equ PC_LAPIC + APIC_REG_EOI
FLAG_CF		equ 1
FLAGS		equ 0x244ed7			; what IRET may bring back at CPL 0 and is looked at, without IF and TF
BAD_SELECTOR	equ 0x1230
MANY		equ 1000000

; GATE vector, label
%macro GATE 2
	lea rax, [rel %2]
	mov [IDT + %1 * 16], ax
	shr rax, 16
	mov [IDT + %1 * 16 + 6], ax
%endmacro

%macro SEND_NMI 0
	mov edx, ICR
	mov dword [rdx + 0x10], 0
	mov dword [rdx], ICR_MODE_NMI
%endmacro

; LOG character: what came, in its order.
%macro LOG 1
	push rcx
	mov ecx, [abs logged]
	mov byte [abs log + rcx], %1
	inc dword [abs logged]
	pop rcx
%endmacro

; The first one does what [action] says, and its IRET goes where it came from. Each notes where it came.
nmi:	push rax
	push rcx
	push rdx
	LOG 'N'
	mov ecx, [abs taken]
	mov rax, [rsp + 24]
	mov [abs rips + rcx * 8], rax
	mov rax, [rsp + 40]
	mov [abs flags + rcx * 8], rax
	inc dword [abs taken]
	inc dword [abs depth]
	cmp dword [abs depth], 1
	je .alone
	mov byte [abs nested], 1
.alone:	test ecx, ecx
	jnz .out
	SEND_NMI
	SEND_NMI				; becomes one with the one that waits
	call [abs action]
.out:	dec dword [abs depth]
	LOG 'n'
	pop rdx
	pop rcx
	pop rax
	test byte [abs step], 1
	jnz .stepped
	cmp byte [abs break], 0
	jne .broken
	iretq
.stepped:
	mov byte [abs step], 0
	pushfq
	or qword [rsp], RFLAGS_TF
	popfq
	iretq
; With a stack segment that is not there.
.broken:
	mov byte [abs break], 0
	mov [abs saved_ss], rax
	mov rax, [rsp + 32]
	mov qword [rsp + 32], BAD_SELECTOR
	xchg rax, [abs saved_ss]
.iret_broken:
	iretq

; #GP of the IRET: mends it.
general_protection:
	LOG 'G'
	push rax
	mov rax, [rsp + 16]
	mov [abs fault_at], rax
	mov rax, [rsp + 32]
	mov [abs fault_flags], rax
	; behind RAX, error code, RIP, CS, flags: the stack pointer of before, and there the IRET's frame
	mov rax, [rsp + 40]
	push rcx
	mov rcx, [abs saved_ss]
	mov [rax + 32], rcx
	pop rcx
	pop rax
	add rsp, 8
	iretq

debug:	LOG 'D'
	push rax
	mov rax, [rsp + 8]
	mov [abs trap_at], rax
	mov rax, dr6
	mov [abs trap_dr6], rax
	pop rax
	and qword [rsp + 16], ~RFLAGS_TF
	iretq

ipi:	LOG 'I'
	push rdx
	mov edx, APIC_EOI
	mov dword [rdx], 0
	pop rdx
	iretq

nothing:
	ret

; The flags of the first NMI's frame, above this return address and three registers.
set_tf:	or qword [rsp + 48], RFLAGS_TF
	ret

send_ipi:
	mov edx, ICR
	mov dword [rdx], ICR_SELF | VECTOR_IPI
	ret

; EXPECT log, text
%macro EXPECT 2
	[section .rodata]
%%log:	db %1, 0
	__?SECT?__
	lea rsi, [rel %%log]
	call log_is
	CHECK e, %2
%endmacro

log_is:	mov edi, log
	mov ecx, [abs logged]
	mov byte [abs log + rcx], 0
	inc ecx
	repe cmpsb
	ret

; R8: flags under which the NMI is taken. Both come between the store that sends it and the instruction behind it.
round:	mov dword [abs logged], 0
	mov dword [abs taken], 0
	mov dword [abs depth], 0
	mov byte [abs nested], 0
	mov edx, ICR
	mov dword [rdx + 0x10], 0
	mov r9d, ICR_MODE_NMI
	push r8
	popfq
	mov [rdx], r9d
.behind:
	pushfq
	pop r9
	cld
	; On a processor that is slower at it, it comes a little later.
	mov ecx, MANY
.wait:	cmp dword [abs taken], 2
	jae .came
	dec ecx
	jnz .wait
	cli
	FAIL "an NMI is lost"
.came:	cli
	cmp dword [abs taken], 2
	CHECK e, "an NMI too many"
	cmp byte [abs nested], 0
	CHECK e, "an NMI came in the handler of another"
	lea rax, [rel .behind]
	cmp [abs rips], rax
	CHECK e, "the first NMI did not come at once"
	ret

; Both NMIs came at the same instruction with the same flags.
check_same:
	mov rax, [abs rips]
	cmp [abs rips + 8], rax
	CHECK e, "a blocked NMI did not come right behind the IRET"
	mov rax, [abs flags]
	xor rax, [abs flags + 8]
	test eax, FLAGS | RFLAGS_IF | RFLAGS_TF
	CHECK z, "the IRET brought other flags back"
	xor r9, r8
	test r9d, FLAGS | RFLAGS_IF | RFLAGS_TF
	CHECK z, "the flags are others behind two NMIs"
	ret

guest_main:
	GATE EXC_NMI, nmi
	GATE EXC_GP, general_protection
	GATE EXC_DB, debug
	GATE VECTOR_IPI, ipi
	mov edx, APIC_SVR
	mov dword [rdx], SPURIOUS_ENABLE | SPURIOUS_RESET
	lea rax, [rel nothing]
	mov [abs action], rax
	mov r8d, 2
	call round
	call check_same
	EXPECT "NnNn", "NMIs with interrupts off"
	mov r8d, 2 | RFLAGS_IF | FLAG_CF | RFLAGS_DF
	call round
	call check_same
	EXPECT "NnNn", "NMIs with interrupts on"

	; An interrupt that waits comes behind the second one.
	lea rax, [rel send_ipi]
	mov [abs action], rax
	mov r8d, 2 | RFLAGS_IF
	call round
	call check_same
	EXPECT "NnNnI", "an NMI and an interrupt behind an IRET"
	mov r8d, 2
	call round
	call check_same
	EXPECT "NnNn", "an interrupt came with interrupts off"
	sti
	nop
	nop
	cli
	EXPECT "NnNnI", "an interrupt behind STI"
	lea rax, [rel nothing]
	mov [abs action], rax

	; The handler's own single step over its IRET.
	mov byte [abs step], 1
	xor eax, eax
	mov dr6, rax
	mov r8d, 2
	call round
	mov rax, [abs rips]
	cmp [abs trap_at], rax
	CHECK e, "the trap of a single step over IRET is elsewhere"
	mov rax, [abs trap_dr6]
	test eax, 1 << 14
	CHECK nz, "DR6.BS is not set behind a single step over IRET"

	; An IRET that goes back to a single step: the trap is behind the instruction there.
	lea rax, [rel set_tf]
	mov [abs action], rax
	mov r8d, 2
	call round
	lea rax, [rel nothing]
	mov [abs action], rax
	EXPECT "NnNnD", "NMIs and an IRET that brings TF"
	mov rax, [abs rips]
	cmp [abs rips + 8], rax
	CHECK e, "a blocked NMI did not come right behind the IRET that brings TF"
	inc rax
	cmp [abs trap_at], rax
	CHECK e, "the trap behind an IRET that brings TF is elsewhere"
	test r9d, RFLAGS_TF
	CHECK nz, "TF is lost"

	; An IRET that faults has the flags of before in the fault's frame. Intel's has unblocked NMIs by then (SDM vol. 3,
	; 6.7.1): the second one comes before the fault's handler does anything. AMD's has not: it comes behind that handler's
	; IRET.
	mov byte [abs break], 1
	mov r8d, 2
	call round
	lea rax, [rel nmi.iret_broken]
	cmp [abs fault_at], rax
	CHECK e, "the fault of an IRET is elsewhere"
	mov rax, [abs fault_flags]
	test eax, RFLAGS_TF | RFLAGS_IF
	CHECK z, "the fault of an IRET has other flags"
	cmp dword [abs log], 'NnGN'
	je .faulted
	EXPECT "NnNnG", "NMIs and an IRET that faults"
.faulted:
	xor eax, eax
	mov dr6, rax
	mov r8d, 2
	call round
	call check_same
	mov rax, dr6
	test eax, 1 << 14
	CHECK z, "DR6.BS is set by an NMI"
	ret

align 8
rips:		times 4 dq 0
flags:		times 4 dq 0
action:		dq 0
saved_ss:	dq 0
fault_at:	dq 0
fault_flags:	dq 0
trap_at:	dq 0
trap_dr6:	dq 0
logged:		dd 0
taken:		dd 0
depth:		dd 0
log:		times 32 db 0
nested:		db 0
step:		db 0
break:		db 0

GUEST_END
