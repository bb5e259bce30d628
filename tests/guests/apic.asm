; SPDX-License-Identifier: GPL-2.0
; The local APIC as xAPIC, as x2APIC and as xAPIC again: level-triggered interrupts of the HPET through the IO APIC, which come again while
; the line is high; TPR, priorities, errors. Which of it exits is the processor's affair and must make no difference.
%define GUEST_NAME "apic"
%include "guest.inc"
%include "apic.inc"

VECTOR_LEVEL	equ 0x51
VECTOR_LOW	equ 0x41
VECTOR_HIGH	equ 0x61
LEVEL_BIT	equ VECTOR_LEVEL % 32		; in the third register of ISR, TMR, IRR
PIN		equ 16
ROUNDS		equ 20
DELAY		equ 100000			; ticks of the HPET, more than it takes to set it as a rule
PATIENCE	equ 1000000

REG_ISR_LEVEL	equ 0x100 + VECTOR_LEVEL / 32 * 16
REG_TMR_LEVEL	equ 0x180 + VECTOR_LEVEL / 32 * 16
REG_IRR_LEVEL	equ 0x200 + VECTOR_LEVEL / 32 * 16

TIMER_ROUTE	equ PIN << 9

REDIRECTION	equ 0x10 + 2 * PIN

; RAX: vector. What is wrong stays in [wrong], for a handler cannot stop the guest well.
hook:	cmp eax, 2
	je .done
	mov ecx, [abs logged]
	and ecx, 7
	mov [log + rcx], al
	inc dword [abs logged]
	cmp eax, VECTOR_LEVEL
	jne .end
	READ REG_ISR_LEVEL
	bt eax, LEVEL_BIT
	jc .in_service
	mov byte [abs wrong], 1
.in_service:
	READ REG_TMR_LEVEL
	bt eax, LEVEL_BIT
	jc .level
	mov byte [abs wrong], 2
.level:	READ REG_PPR
	cmp eax, VECTOR_LEVEL & 0xf0
	je .priority
	mov byte [abs wrong], 3
.priority:
	dec dword [abs keep]
	jns .end				; the line stays high
	mov edx, HPET_STATUS
	mov dword [rdx], 1
.end:	WRITE REG_EOI, 0
.done:	ret

; The line goes high after a while. A comparator that the counter has passed before it was set would wait for the counter's wrap: a
; guest that shares its CPU may have been off it that long.
arm:	mov r8d, DELAY
.again:	mov edx, HPET_COUNTER
	mov rax, [rdx]
	add rax, r8
	mov edx, HPET_COMPARATOR
	mov [rdx], rax
	mov edx, HPET_COUNTER
	cmp [rdx], rax
	jb .done
	mov edx, HPET_STATUS
	test dword [rdx], 1
	jnz .done
	add r8, r8
	jmp .again
.done:	ret

; Sleeps until the level-triggered vector has come RBP times.
wait_level:
	cli
	cmp [COUNTS + VECTOR_LEVEL * 8], rbp
	jae .done
	sti
	hlt
	jmp wait_level
.done:	ret

check_level:
	mov rbp, [COUNTS + VECTOR_LEVEL * 8]
	mov r14d, ROUNDS
.round:	mov dword [abs keep], 1			; twice each time
	add rbp, 2
	call arm
	call wait_level
	dec r14d
	jnz .round
	sti
	in al, 0x80
	nop
	cli
	cmp [COUNTS + VECTOR_LEVEL * 8], rbp
	CHECK e, "a level-triggered interrupt came once too often"
	mov eax, REDIRECTION
	call ioapic_read
	test eax, PIN_REMOTE_IRR
	CHECK z, "the IO APIC has not heard of the end of the interrupt"
	cmp byte [abs wrong], 1
	CHECK ne, "a vector was delivered and is not in service"
	cmp byte [abs wrong], 2
	CHECK ne, "a level-triggered vector is not in TMR"
	cmp byte [abs wrong], 3
	CHECK ne, "PPR is not the vector's class"
	ret

; TPR in all its bits; what it holds back waits in IRR and comes when CR8 falls.
check_tpr:
	WRITE REG_TPR, 0x63
	READ REG_TPR
	cmp eax, 0x63
	CHECK e, "TPR has lost bits"
	mov rax, cr8
	cmp eax, 6
	CHECK e, "TPR does not show in CR8"
	READ REG_PPR
	cmp eax, 0x63
	CHECK e, "PPR is not TPR"
	mov rbp, [COUNTS + VECTOR_LEVEL * 8]
	mov dword [abs keep], 0
	call arm
	sti
	mov r14d, PATIENCE
.wait:	READ REG_IRR_LEVEL
	bt eax, LEVEL_BIT
	jc .waiting
	dec r14d
	jnz .wait
	FAIL "an interrupt that TPR holds back is not in IRR"
.waiting:
	cmp [COUNTS + VECTOR_LEVEL * 8], rbp
	CHECK e, "TPR does not hold an interrupt back"
	xor eax, eax
	mov cr8, rax
	inc rbp
	call wait_level
	READ REG_IRR_LEVEL
	bt eax, LEVEL_BIT
	CHECK nc, "a delivered vector is still in IRR"
	ret

; Of two requests the higher one comes first, and both come once.
check_order:
	mov dword [abs logged], 0
	mov eax, VECTOR_LOW
	call self_ipi
	mov eax, VECTOR_HIGH
	call self_ipi
	mov eax, VECTOR_LOW			; merges with the first
	call self_ipi
	sti
	in al, 0x80
	nop
	cli
	cmp dword [abs logged], 2
	CHECK e, "two requests did not make two interrupts"
	cmp word [abs log], VECTOR_LOW << 8 | VECTOR_HIGH
	CHECK e, "the lower vector came first"
	; The error's interrupt is masked, so its status is all.
	WRITE REG_ESR, 0
	mov eax, 5
	call self_ipi
	WRITE REG_ESR, 0
	READ REG_ESR
	cmp eax, ESR_SEND
	CHECK e, "an illegal vector was sent"
	ret

%macro EXPECT_GP 2
	mov ecx, MSR_X2APIC + %1 / 16
	xor edx, edx
	TRY %2
	cmp al, VECTOR_GP
	CHECK e, `%2 of x2APIC register %1: no #GP`
%endmacro

; Registers that are not there, cannot be written, or not so; and those that only look different.
check_x2apic:
	mov qword [abs try_rax], 1
	EXPECT_GP REG_EOI, wrmsr
	EXPECT_GP REG_EOI, rdmsr
	EXPECT_GP REG_DFR, rdmsr
	EXPECT_GP REG_ID, wrmsr
	EXPECT_GP REG_PPR, wrmsr
	EXPECT_GP REG_SELF_IPI, rdmsr
	EXPECT_GP REG_ICR + 16, rdmsr
	EXPECT_GP REG_LVT_ERROR + 0x100, rdmsr
	mov qword [abs try_rax], 0x100
	EXPECT_GP REG_TPR, wrmsr
	EXPECT_GP REG_SELF_IPI, wrmsr
	READ REG_ID
	or eax, edx
	CHECK z, "x2APIC ID"
	READ REG_LDR
	cmp eax, 1
	CHECK e, "x2APIC logical ID"
	ret

check_all:
	WRITE REG_SVR, 0x1ff
	call check_level
	call check_tpr
	call check_order
	ret

guest_main:
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov edx, IOAPIC
	mov dword [rdx], REDIRECTION + 1
	mov dword [rdx + 0x10], 0
	mov dword [rdx], REDIRECTION
	mov dword [rdx + 0x10], PIN_LEVEL | VECTOR_LEVEL
	mov edx, HPET_TIMER
	mov dword [rdx], TIMER_LEVEL | TIMER_ON | TIMER_ROUTE
	mov edx, HPET_CONFIG
	mov dword [rdx], 1
	call check_all
	PUTS "apic: xAPIC", 13, 10
	mov eax, APIC_ON | APIC_X2
	call set_mode
	READ REG_SVR
	cmp eax, 0x1ff
	CHECK e, "a register changed on the way to x2APIC mode"
	call check_all
	call check_x2apic
	PUTS "apic: x2APIC", 13, 10
	xor eax, eax
	call set_mode
	mov eax, 1
	cpuid
	bt edx, CPUID_APIC
	CHECK nc, "CPUID shows a local APIC that is off"
	mov eax, APIC_ON
	call set_mode
	mov eax, 1
	cpuid
	bt edx, CPUID_APIC
	CHECK c, "CPUID does not show a local APIC that is on"
	READ REG_SVR
	cmp eax, 0xff
	CHECK e, "the local APIC was off and is not as after power-on"
	call check_all
	ret

align 8
logged:	dd 0
keep:	dd 0
log:	dq 0
wrong:	db 0

GUEST_END
