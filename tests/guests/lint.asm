; SPDX-License-Identifier: GPL-2.0
; NMIs by the local APIC's pin LINT0, which the 8254 pulls by way of the 8259, end the HLT of a processor with interrupts off; masked ones
; do not come, and an edge that was masked is lost.
%define GUEST_NAME "lint"
%include "guest.inc"
%include "pic.inc"

VECTOR_NMI	equ 2
LVT_NMI		equ 4 << 8
LVT_EXTINT	equ 7 << 8
LVT_MASKED	equ 1 << 16
REG_LVT_LINT0	equ 0x350
OCW3_POLL	equ 0x0c
OCW3_READ_IRR	equ 0x0a
OCW2_EOI	equ 0x20
PATIENCE	equ 1000000
SLEEPS		equ 10
COUNTED		equ 5000			; of the 8254, 4 ms

; RAX: vector. An NMI that comes right before the HLT ends it too.
hook:	mov rax, [rsp + 48]
	lea rdx, [rel sleep.before]
	cmp rax, rdx
	jb .done
	lea rdx, [rel sleep.behind]
	cmp rax, rdx
	ja .done
	mov [rsp + 48], rdx
	mov byte [abs woken], 1
.done:	ret

; The 8254 raises its output once, after a while.
pull:	mov al, 0x30
	out 0x43, al
	mov al, COUNTED & 0xff
	out 0x40, al
	mov al, COUNTED >> 8
	out 0x40, al
	ret

; The 8259 lets go of its own output.
acknowledge:
	mov al, OCW3_POLL
	out PIC_MASTER, al
	in al, PIC_MASTER
	mov [abs polled], al
	mov al, OCW2_EOI
	out PIC_MASTER, al
	ret

sleep:	call pull
	mov byte [abs woken], 0
.before:
	cmp byte [abs woken], 0
	jne .behind
	hlt
.behind:
	ret

; Until the 8259 has a request.
await_request:
	mov ecx, PATIENCE
.again:	mov al, OCW3_READ_IRR
	out PIC_MASTER, al
	in al, PIC_MASTER
	test al, 1
	jnz .done
	dec ecx
	jnz .again
	FAIL "the 8254 does not raise its output"
.done:	ret

; EAX: LINT0's entry.
set_lint0:
	mov edx, LAPIC
	mov [rdx + REG_LVT_LINT0], eax
	ret

; NMIS number, text
%macro NMIS 2
	cmp qword [abs COUNTS + VECTOR_NMI * 8], %1
	VERIFY e, %2
%endmacro

guest_main:
	call pic_init
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov eax, LVT_NMI | LVT_MASKED
	call set_lint0
	call pull
	call await_request
	NMIS 0, "an NMI by a masked pin"
	mov eax, LVT_NMI
	call set_lint0
	NMIS 0, "an NMI by an edge that was masked"
	call acknowledge
	cmp byte [abs polled], 0x80
	VERIFY e, "what the 8259 says when it is polled"
	mov ebp, SLEEPS
	xor r12d, r12d
.sleep:	call sleep
	inc r12
	cmp [abs COUNTS + VECTOR_NMI * 8], r12
	VERIFY e, "HLT ended without an NMI, or with two"
	call acknowledge
	dec ebp
	jnz .sleep
	; The line stays high until the request is acknowledged: no second edge.
	call sleep
	inc r12
	call pull
	call await_request
	cmp [abs COUNTS + VECTOR_NMI * 8], r12
	VERIFY e, "an NMI without an edge"
	call acknowledge
	cmp qword [abs COUNTS + PIC_BASE * 8], 0
	VERIFY e, "an interrupt with interrupts off"
	; The same pin as ExtINT.
	mov eax, LVT_EXTINT
	call set_lint0
	call pull
	call await_request
	sti
	in al, 0x80
	nop
	cli
	cmp qword [abs COUNTS + PIC_BASE * 8], 1
	VERIFY e, "an interrupt of the 8259 by way of LINT0"
	cmp [abs COUNTS + VECTOR_NMI * 8], r12
	VERIFY e, "an NMI by a pin that is ExtINT"
	ret

woken:	db 0
polled:	db 0

GUEST_END
