; SPDX-License-Identifier: GPL-2.0
; STI; HLT: an interrupt that comes at any moment around them ends the halt. One that slips in between the two, in the shadow
; of STI, would be lost to it.
%define GUEST_NAME "halt"
%include "guest.inc"

ROUNDS		equ 3000
VECTOR		equ 0x50
LAPIC_EOI	equ 0xb0
LAPIC_SPURIOUS	equ 0xf0
LAPIC_TIMER	equ 0x320
LAPIC_COUNT	equ 0x380
LAPIC_DIVIDE	equ 0x3e0
SOFTWARE_ENABLE	equ 1 << 8
DIVIDE_BY_1	equ 0xb
LEAST		equ 2000			; counts
SPREAD		equ 0x3ffff

hook_eoi:
	mov edx, LAPIC
	mov dword [rdx + LAPIC_EOI], 0
	ret

guest_main:
	lea rax, [rel hook_eoi]
	mov [interrupt_hook], rax
	mov edx, LAPIC
	mov dword [rdx + LAPIC_SPURIOUS], SOFTWARE_ENABLE | 0xff
	mov dword [rdx + LAPIC_DIVIDE], DIVIDE_BY_1
	mov dword [rdx + LAPIC_TIMER], VECTOR
	mov r12d, 1				; rounds, and so interrupts
	mov r13d, 12345
.round:
	imul r13d, r13d, 1103515245
	add r13d, 12345
	mov eax, r13d
	shr eax, 8
	and eax, SPREAD
	add eax, LEAST
	mov edx, LAPIC
	mov [rdx + LAPIC_COUNT], eax
	; some part of the time
	mov ecx, r13d
	shr ecx, 20
.spin:	dec ecx
	jns .spin
.wait:	sti
	hlt
	cli
	cmp [COUNTS + VECTOR * 8], r12
	jb .wait
	CHECK e, "more interrupts than were asked for"
	inc r12d
	cmp r12d, ROUNDS
	jbe .round
	ret

GUEST_END
