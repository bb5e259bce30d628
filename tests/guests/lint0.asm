; SPDX-License-Identifier: GPL-2.0
; NMIs by the local APIC's pin LINT0, which the 8254 pulls by way of the 8259, end the HLT of a processor with interrupts off; masked ones
; do not come, and an edge that was masked is lost. The same pin as ExtINT and with a vector of its own.
%define GUEST_NAME "lint0"
%include "guest.inc"
%include "pic.inc"

VECTOR_NMI	equ 2
LVT_NMI		equ 4 << 8
LVT_EXTINT	equ 7 << 8
LVT_MASKED	equ 1 << 16
LVT_LEVEL	equ 1 << 15
LVT_REMOTE_IRR	equ 1 << 14
APIC_ON		equ 1 << 11
VECTOR_FIXED	equ 0x61
REG_EOI		equ 0xb0
REG_LVT_LINT0	equ 0x350
OCW3_POLL	equ 0x0c
READ_BACK_STATUS equ 0xe2			; of counter 0
OCW3_READ_IRR	equ 0x0a
OCW2_EOI	equ 0x20
PATIENCE	equ 1000000
SLEEPS		equ 10
COUNTED		equ 5000			; of the 8254, 4 ms

; RAX: vector. An NMI that comes right before the HLT ends it too.
hook:	cmp eax, VECTOR_FIXED
	jne .nmi
	dec dword [abs keep]
	jns .kept
	call acknowledge
.kept:	mov edx, LAPIC
	mov dword [rdx + REG_EOI], 0
	ret
.nmi:	cmp eax, VECTOR_NMI
	jne .done
	mov byte [abs woken], 1
	mov rax, [rsp + 48]
	lea rdx, [rel sleep.before]
	cmp rax, rdx
	jb .done
	lea rdx, [rel sleep.behind]
	cmp rax, rdx
	ja .done
	mov [rsp + 48], rdx
.done:	ret

; The 8254 raises its output once, after a while.
pull:	mov al, 0x30
	out 0x43, al
	mov al, COUNTED & 0xff
	out 0x40, al
	mov al, COUNTED >> 8
	out 0x40, al
	ret

; Of the request that the processor has acknowledged.
end:	mov al, OCW2_EOI
	out PIC_MASTER, al
	ret

window:	sti
	in al, 0x80
	nop
	cli
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

sleep:	mov byte [abs woken], 0
	call pull
.before:
	cmp byte [abs woken], 0
	jne .behind
	hlt
.behind:
	ret

; Until the 8254's output is high, and with it the 8259's.
await_request:
	mov ecx, PATIENCE
.again:	mov al, READ_BACK_STATUS
	out 0x43, al
	in al, 0x40
	test al, 0x80
	jnz .done
	dec ecx
	jnz .again
	FAIL "the 8254 does not raise its output"
.done:	mov al, OCW3_READ_IRR
	out PIC_MASTER, al
	in al, PIC_MASTER
	test al, 1
	VERIFY nz, "the 8259 has no request"
	ret

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
	PUTS "lint0: NMI", 13, 10
	; The same pin as ExtINT.
	mov eax, LVT_EXTINT
	call set_lint0
	call pull
	call await_request
	call window
	cmp qword [abs COUNTS + PIC_BASE * 8], 1
	VERIFY e, "an interrupt of the 8259 by way of LINT0"
	cmp [abs COUNTS + VECTOR_NMI * 8], r12
	VERIFY e, "an NMI by a pin that is ExtINT"
	call end
	; Priorities of the local APIC are none of the 8259's.
	mov eax, 15
	mov cr8, rax
	call pull
	call await_request
	call window
	cmp qword [abs COUNTS + PIC_BASE * 8], 2
	VERIFY e, "CR8 holds an interrupt of the 8259 back"
	call end
	call pull
	call await_request
	sti
	hlt
	cli
	cmp qword [abs COUNTS + PIC_BASE * 8], 3
	VERIFY e, "CR8 holds an interrupt of the 8259 back from HLT"
	call end
	xor eax, eax
	mov cr8, rax
	PUTS "lint0: ExtINT", 13, 10
	; A pin that is masked lets none through, and what waits comes when it no longer is.
	mov eax, LVT_EXTINT | LVT_MASKED
	call set_lint0
	call pull
	call await_request
	call window
	cmp qword [abs COUNTS + PIC_BASE * 8], 3
	VERIFY e, "an interrupt of the 8259 by a masked pin"
	mov eax, LVT_EXTINT
	call set_lint0
	call window
	cmp qword [abs COUNTS + PIC_BASE * 8], 4
	VERIFY e, "an interrupt of the 8259 by a pin that was masked"
	call end
	; An interrupt of the local APIC's own, of an edge.
	mov eax, VECTOR_FIXED
	call set_lint0
	call pull
	call await_request
	call window
	cmp qword [abs COUNTS + VECTOR_FIXED * 8], 1
	VERIFY e, "a vector of LINT0's"
	; Of a level, which comes again until the 8259 is asked.
	mov dword [abs keep], 2
	mov eax, VECTOR_FIXED | LVT_LEVEL
	call set_lint0
	call pull
	call await_request
	mov edx, LAPIC
	test dword [rdx + REG_LVT_LINT0], LVT_REMOTE_IRR
	VERIFY nz, "a level does not set LINT0's remote IRR"
	call window
	call window
	cmp qword [abs COUNTS + VECTOR_FIXED * 8], 4
	VERIFY e, "a level of LINT0's that stays high over two ends"
	mov edx, LAPIC
	test dword [rdx + REG_LVT_LINT0], LVT_REMOTE_IRR
	VERIFY z, "the end of a level leaves LINT0's remote IRR"
	cmp qword [abs COUNTS + PIC_BASE * 8], 4
	VERIFY e, "an interrupt of the 8259 by a pin that is not ExtINT"
	PUTS "lint0: fixed", 13, 10
	; Without a local APIC the 8259's line is the processor's.
	mov ecx, MSR_APIC_BASE
	rdmsr
	and eax, ~APIC_ON
	wrmsr
	call pull
	call await_request
	call window
	cmp qword [abs COUNTS + PIC_BASE * 8], 5
	VERIFY e, "an interrupt of the 8259 without a local APIC"
	ret

align 4
keep:	dd 0
woken:	db 0
polled:	db 0

GUEST_END
