; SPDX-License-Identifier: GPL-2.0
; Interrupts held back by CR8 and by the local APIC's TPR, and let through when these fall.
%define GUEST_NAME "tpr"
%include "guest.inc"

VECTOR_LOW	equ 0x50
ICR_SELF	equ 1 << 18

check_tpr:
	lea rax, [rel hook_eoi_xapic]
	mov [interrupt_hook], rax
	mov edx, LAPIC
	mov dword [rdx + 0xf0], 0x1ff
	mov eax, 5
	mov cr8, rax
	mov edx, LAPIC
	cmp dword [rdx + 0x80], 0x50
	CHECK e, "CR8 does not show in TPR"
	mov dword [rdx + 0x300], VECTOR_LOW | ICR_SELF
	sti
	in al, 0x80
	nop
	cmp qword [COUNTS + VECTOR_LOW * 8], 0
	CHECK e, "CR8 does not hold an interrupt back"
	mov eax, 4
	mov cr8, rax
	nop
	in al, 0x80
	nop
	cli
	cmp qword [COUNTS + VECTOR_LOW * 8], 1
	CHECK e, "an interrupt stayed behind when CR8 fell"
	mov edx, LAPIC
	mov dword [rdx + 0x80], 0x30
	mov rax, cr8
	cmp eax, 3
	CHECK e, "TPR does not show in CR8"
	; Up and down while an interrupt waits, without an exit of the guest's own making.
	mov ebp, 100
.waves:	mov eax, 6
	mov cr8, rax
	mov edx, LAPIC
	mov dword [rdx + 0x300], VECTOR_LOW | ICR_SELF
	sti
	nop
	xor eax, eax
	mov cr8, rax
	nop
	nop
	cli
	dec ebp
	jnz .waves
	cmp qword [COUNTS + VECTOR_LOW * 8], 101
	CHECK e, "interrupts were lost while CR8 rose and fell"
	ret

guest_main:
	call check_tpr
	ret

GUEST_END
