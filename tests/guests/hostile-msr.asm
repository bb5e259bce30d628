; SPDX-License-Identifier: GPL-2.0
; Reads and writes MSRs at random, known ranges and unknown: each gives a value or #GP.
%define GUEST_NAME "hostile-msr"
%include "guest.inc"

ROUNDS		equ 6000
X2APIC_ICR	equ 0x830
ICR_HARMLESS	equ 0x0008f0ff		; no INIT, SIPI or NMI: those are other guests' business

; First and mask of the offset.
ranges:	dd 0, 0x1fff
	dd 0x10, 0xf
	dd 0x1b, 0
	dd 0x174, 3
	dd 0x1d8, 7
	dd 0x200, 0x7f
	dd 0x277, 0
	dd 0x400, 0x3f
	dd 0x480, 0x1f
	dd 0x6e0, 0
	dd 0x800, 0xff
	dd 0xc80, 0xff
	dd 0x40000000, 0x1ff
	dd 0x4b564d00, 0xf
	dd 0xc0000080, 0xff
	dd 0xc0000100, 7
	dd 0xc0010000, 0xfff
	dd 0xc0010110, 0xf
	dd 0xc0011000, 0xfff
	dd 0, 0xffffffff
	dd 0xfffff000, 0xfff
range_count	equ ($ - ranges) / 8

; R12D: MSR.
choose:	call random
	xor edx, edx
	mov ecx, range_count
	div rcx
	mov r12d, edx
	call random
	and eax, [ranges + r12 * 8 + 4]
	add eax, [ranges + r12 * 8]
	mov r12d, eax
	ret

; R13: what is written: random bits, few bits, what is there with one bit changed, or none.
choose_value:
	call random
	mov r13, rax
	call random
	test al, 3
	jz .any
	test al, 1
	jz .one
	xor r13d, r13d
	test al, 2
	jz .any
	mov r13d, 0x1000			; a canonical address
	ret
.one:	mov ecx, r12d
	TRY rdmsr
	cmp al, NO_FAULT
	jne .any
	rdmsr
	shl rdx, 32
	or rax, rdx
	btc rax, r13
	mov r13, rax
.any:	cmp r12d, X2APIC_ICR
	jne .done
	and r13d, ICR_HARMLESS
.done:	ret

expect_value_or_fault:
	cmp al, NO_FAULT
	je .good
	cmp al, VECTOR_GP
	CHECK e, "a fault that is not #GP"
.good:	ret

guest_main:
	mov rbx, 0x6b65656c6d737201
	mov r14d, ROUNDS
.round:	call choose
	mov ecx, r12d
	TRY rdmsr
	call expect_value_or_fault
	call choose_value
	mov ecx, r12d
	mov rdx, r13
	shr rdx, 32
	mov [try_rax], r13
	TRY wrmsr
	call expect_value_or_fault
	; EFER, FS and GS are not used here, but a cleared NXE or SCE must not matter either.
	dec r14d
	jnz .round
	ret

GUEST_END
