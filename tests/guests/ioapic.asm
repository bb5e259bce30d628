; SPDX-License-Identifier: GPL-2.0
; The IO APIC, with the local APIC as xAPIC and as x2APIC: edges and levels, masks, remote IRR and ends of interrupts, destinations,
; delivery modes. The HPET's timer holds the line high until its status is cleared, whatever the pin makes of it.
%define GUEST_NAME "ioapic"
%include "guest.inc"
%include "apic.inc"

VECTOR_NMI	equ 2
VECTOR_PIN	equ 0x51
VECTOR_OTHER	equ 0x61
VECTOR_BIT	equ VECTOR_PIN % 32
REG_VERSION	equ 0x30
REG_ISR_PIN	equ 0x100 + VECTOR_PIN / 32 * 16
REG_TMR_PIN	equ 0x180 + VECTOR_PIN / 32 * 16
REG_IRR_PIN	equ 0x200 + VECTOR_PIN / 32 * 16
ESR_RECEIVE	equ 1 << 6
VERSION_NO_BROADCAST equ 24			; bit of the local APIC's version, and of SVR:
SVR_NO_BROADCAST equ 1 << 12
PIN		equ 16
REDIRECTION	equ 0x10 + 2 * PIN
IOAPIC_EOI	equ IOAPIC + 0x40
PIN_LOWEST	equ 1 << 8
PIN_NMI		equ 4 << 8
PIN_LOGICAL	equ 1 << 11
PIN_PENDING	equ 1 << 12
PIN_LOW		equ 1 << 13
PIN_MASKED	equ 1 << 16
LEVEL		equ PIN_LEVEL | VECTOR_PIN
EDGE		equ VECTOR_PIN
DELAY		equ 1000			; ticks of the HPET
PATIENCE	equ 100000
WINDOWS		equ 30
FOREVER		equ 1000

; RAX: vector. While [keep] lasts the line stays high over the end of the interrupt.
hook:	inc dword [abs taken]
	cmp eax, VECTOR_NMI
	je .done
	READ REG_TMR_PIN
	mov [abs tmr], eax
	READ REG_ISR_PIN
	mov [abs isr], eax
	dec dword [abs keep]
	jns .kept
	call lower
.kept:	cmp byte [abs mask_it], 0
	je .end
	mov eax, LEVEL | PIN_MASKED
	call entry_low
.end:	WRITE REG_EOI, 0
.done:	ret

lower:	mov edx, HPET_STATUS
	mov dword [rdx], 1
	ret

; The line goes high, and is so when this is done. A comparator that the counter has passed before it was set would wait long.
raise:	mov r8d, DELAY
.again:	mov edx, HPET_COUNTER
	mov rax, [rdx]
	add rax, r8
	mov edx, HPET_COMPARATOR
	mov [rdx], rax
	mov ecx, PATIENCE
.wait:	mov edx, HPET_STATUS
	test dword [rdx], 1
	jnz .done
	mov edx, HPET_COUNTER
	cmp [rdx], rax
	ja .late
	dec ecx
	jnz .wait
	FAIL "the HPET's line does not go high"
.late:	mov edx, HPET_STATUS
	test dword [rdx], 1
	jnz .done
	add r8, r8
	jmp .again
.done:	ret

; EAX: low half of the entry.
entry_low:
	mov edx, IOAPIC
	mov dword [rdx], REDIRECTION
	mov [rdx + 0x10], eax
	ret

; EAX: low half, EBX: destination. By way of an edge, masked, and the line low: no history is left.
entry:	push rax
	mov eax, PIN_MASKED
	call entry_low
	call lower
	mov edx, IOAPIC
	mov dword [rdx], REDIRECTION + 1
	shl ebx, 24
	mov [rdx + 0x10], ebx
	mov dword [abs taken], 0
	mov dword [abs keep], 0
	mov byte [abs mask_it], 0
	pop rax
	jmp entry_low

%macro ENTRY 1-2 0
	mov eax, %1
	mov ebx, %2
	call entry
%endmacro

; Interrupts on, a few times.
windows:
	mov ecx, WINDOWS
.again:	sti
	in al, 0x80
	nop
	cli
	dec ecx
	jnz .again
	ret

; TAKEN number, text: so many interrupts since the entry was set.
%macro TAKEN 2+
	call windows
	cmp dword [abs taken], %1
	VERIFY e, %2
%endmacro

%macro REMOTE 2+
	mov eax, REDIRECTION
	call ioapic_read
	test eax, PIN_REMOTE_IRR
	VERIFY %1, %2
%endmacro

%macro BIT 3+
	READ %1
	bt eax, VECTOR_BIT
	VERIFY %2, %3
%endmacro

check_edge:
	ENTRY EDGE
	call raise
	BIT REG_IRR_PIN, c, "an edge is not in IRR"
	REMOTE z, "an edge sets remote IRR"
	mov dword [abs keep], FOREVER
	TAKEN 1, "an edge is not one interrupt"
	BIT REG_TMR_PIN, nc, "an edge is in TMR"
	bt dword [abs isr], VECTOR_BIT
	VERIFY c, "an edge's vector is not in service"
	call lower
	TAKEN 1, "an interrupt of the falling line"
	call raise
	TAKEN 2, "a second edge is not a second interrupt"
	ENTRY EDGE
	call raise
	call lower
	TAKEN 1, "an edge that is over"
	ENTRY EDGE
	call raise
	call lower
	call raise
	TAKEN 1, "two edges with interrupts off are not one interrupt"
	ENTRY EDGE | PIN_MASKED
	call raise
	TAKEN 0, "a masked edge"
	mov eax, EDGE
	call entry_low
	TAKEN 0, "an edge that came while it was masked"
	call lower
	call raise
	TAKEN 1, "an edge after the mask"
	WRITE REG_ESR, 0
	ENTRY 5
	call raise
	TAKEN 0, "an illegal vector"
	WRITE REG_ESR, 0
	READ REG_ESR
	cmp eax, ESR_RECEIVE
	VERIFY e, "ESR after an illegal vector"
	ENTRY EDGE | PIN_LOWEST
	call raise
	TAKEN 1, "an edge by lowest priority"
	ENTRY PIN_NMI
	mov r14, [COUNTS + VECTOR_NMI * 8]
	call raise
	call lower
	nop
	inc r14
	cmp [COUNTS + VECTOR_NMI * 8], r14
	VERIFY e, "a pin that brings an NMI"
	ret

check_level:
	ENTRY LEVEL
	TAKEN 0, "an interrupt of a low line"
	call raise
	REMOTE nz, "a level does not set remote IRR"
	BIT REG_IRR_PIN, c, "a level is not in IRR"
	TAKEN 1, "a level is not one interrupt"
	bt dword [abs tmr], VECTOR_BIT
	VERIFY c, "a level is not in TMR"
	REMOTE z, "the end of a level leaves remote IRR"
	BIT REG_ISR_PIN, nc, "an interrupt is still in service after its end"
	ENTRY LEVEL
	mov dword [abs keep], 5
	call raise
	TAKEN 6, "a line that stays high over five ends"
	REMOTE z, "remote IRR after five ends"
	; A level that falls before it is taken is taken all the same.
	ENTRY LEVEL
	call raise
	call lower
	REMOTE nz, "remote IRR falls with the line"
	TAKEN 1, "a level that fell before it was taken"
	REMOTE z, "remote IRR after a level that fell"
	ENTRY LEVEL
	call raise
	call lower
	call raise
	TAKEN 1, "a level that fell and rose"
	; Polarity is not looked at: the line that is asserted is high here.
	ENTRY LEVEL | PIN_MASKED
	call raise
	REMOTE z, "a masked level sets remote IRR"
	TAKEN 0, "a masked level"
	mov eax, LEVEL
	call entry_low
	TAKEN 1, "a level after the mask"
	; Masked by its handler, as drivers do it that cannot clear the cause there.
	ENTRY LEVEL
	mov dword [abs keep], FOREVER
	mov byte [abs mask_it], 1
	call raise
	TAKEN 1, "a level that its handler masks"
	REMOTE z, "remote IRR of a level that its handler masked"
	mov byte [abs mask_it], 0
	mov dword [abs keep], 1
	mov eax, LEVEL
	call entry_low
	TAKEN 3, "a level that its handler had masked"
	ENTRY LEVEL | PIN_MASKED
	call raise
	call lower
	mov eax, LEVEL
	call entry_low
	TAKEN 0, "a level that was over before the mask was"
	ENTRY LEVEL | PIN_LOWEST
	call raise
	TAKEN 1, "a level by lowest priority"
	REMOTE z, "remote IRR of a level by lowest priority"
	; The same vector as an edge is none of TMR's.
	ENTRY EDGE
	call raise
	TAKEN 1, "an edge after levels"
	bt dword [abs tmr], VECTOR_BIT
	VERIFY nc, "an edge after levels is in TMR"
	ret

; Remote IRR waits for the end of its own vector.
check_ends:
	ENTRY LEVEL
	call raise
	call lower
	mov edx, IOAPIC_EOI
	mov dword [rdx], VECTOR_OTHER
	REMOTE nz, "the end of another vector clears remote IRR"
	mov eax, VECTOR_OTHER
	call self_ipi
	TAKEN 2, "a level and an interrupt of another vector"
	; The IO APIC's own EOI register.
	ENTRY LEVEL
	call raise
	call lower
	mov edx, IOAPIC_EOI
	mov dword [rdx], VECTOR_PIN
	REMOTE z, "the EOI register leaves remote IRR"
	TAKEN 1, "a level that the EOI register ended"
	; An entry that becomes an edge loses it too.
	ENTRY LEVEL
	call raise
	call lower
	mov eax, EDGE | PIN_MASKED
	call entry_low
	mov eax, LEVEL
	call entry_low
	REMOTE z, "remote IRR of an entry that was an edge"
	TAKEN 1, "a level whose entry was an edge"
	; Ends that are not told to the IO APIC, where the local APIC can do that.
	READ REG_VERSION
	bt eax, VERSION_NO_BROADCAST
	jnc .done
	WRITE REG_SVR, 0x1ff | SVR_NO_BROADCAST
	ENTRY LEVEL
	mov dword [abs keep], FOREVER
	call raise
	TAKEN 1, "a level whose end is not told"
	REMOTE nz, "an end that is not to be told"
	mov edx, IOAPIC_EOI
	mov dword [rdx], VECTOR_PIN
	TAKEN 2, "a level whose end the EOI register tells"
	call lower
	mov edx, IOAPIC_EOI
	mov dword [rdx], VECTOR_PIN
	REMOTE z, "the EOI register leaves remote IRR, the line being low"
	TAKEN 2, "a level after its last end"
	WRITE REG_SVR, 0x1ff
.done:	ret

%macro TO 4
	ENTRY %1, %2
	call raise
	TAKEN %3, "destination: ", %4
%endmacro

check_destinations:
	TO EDGE, 0, 1, "this one"
	TO EDGE, 0xff, 1, "all"
	TO EDGE, 5, 0, "nobody"
	TO LEVEL, 0, 1, "this one, level"
	TO LEVEL, 0xff, 1, "all, level"
	TO LEVEL, 5, 0, "nobody, level"
	cmp byte [abs x2], 0
	jne .x2apic
	WRITE REG_DFR, 0xffffffff
	WRITE REG_LDR, 0x04000000
	TO EDGE | PIN_LOGICAL, 4, 1, "flat"
	TO EDGE | PIN_LOGICAL, 6, 1, "flat, one of two"
	TO EDGE | PIN_LOGICAL, 0xff, 1, "flat, all"
	TO EDGE | PIN_LOGICAL, 0xfb, 0, "flat, all others"
	TO LEVEL | PIN_LOGICAL, 4, 1, "flat, level"
	TO LEVEL | PIN_LOGICAL | PIN_LOWEST, 0x0c, 1, "flat, level, lowest priority"
	WRITE REG_DFR, 0x0fffffff
	WRITE REG_LDR, 0x24000000
	TO EDGE | PIN_LOGICAL, 0x24, 1, "cluster"
	TO EDGE | PIN_LOGICAL, 0x2f, 1, "cluster, one of four"
	TO EDGE | PIN_LOGICAL, 0x2b, 0, "cluster, all others"
	TO EDGE | PIN_LOGICAL, 0x34, 0, "another cluster"
	TO EDGE | PIN_LOGICAL, 0xff, 1, "cluster, all"
	TO LEVEL | PIN_LOGICAL, 0x24, 1, "cluster, level"
	WRITE REG_DFR, 0xffffffff
	ret
.x2apic:
	TO EDGE | PIN_LOGICAL, 1, 1, "x2APIC, logical"
	TO EDGE | PIN_LOGICAL, 3, 1, "x2APIC, logical, one of two"
	TO EDGE | PIN_LOGICAL, 2, 0, "x2APIC, logical, another"
	TO LEVEL | PIN_LOGICAL, 1, 1, "x2APIC, logical, level"
	ret

%macro REGISTER 4+
	mov edx, IOAPIC
	mov dword [rdx], %1
	mov dword [rdx + 0x10], %2
	mov eax, [rdx + 0x10]
	cmp eax, %3
	VERIFY e, "register: ", %4
%endmacro

check_registers:
	mov eax, 1
	call ioapic_read
	and eax, 0xff00ff
	cmp eax, 23 << 16 | 0x20
	VERIFY e, "register: version"
	REGISTER 0, 0xffffffff, 0x0f000000, "identifier"
	REGISTER 0, 0, 0, "identifier of zero"
	REGISTER REDIRECTION, PIN_MASKED | PIN_PENDING | PIN_REMOTE_IRR, PIN_MASKED, "what is only read"
	REGISTER REDIRECTION, 0xffff0000 | PIN_LOW | 0x41, PIN_MASKED | PIN_LOW | 0x41, "reserved bits"
	REGISTER REDIRECTION + 1, 0x5a000000, 0x5a000000, "destination"
	REGISTER 0x10 + 2 * 24, 0x41, 0, "behind the last pin"
	REGISTER 0x0f, 0x41, 0, "before the first pin"
	mov edx, IOAPIC
	mov dword [rdx], REDIRECTION
	cmp dword [rdx], REDIRECTION
	VERIFY e, "register: the selector"
	ret

check_all:
	WRITE REG_SVR, 0x1ff
	call check_edge
	call check_level
	call check_ends
	call check_destinations
	ENTRY PIN_MASKED
	ret

guest_main:
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	call check_registers
	mov edx, HPET_TIMER
	mov dword [rdx], TIMER_LEVEL | TIMER_ON | PIN << 9
	mov edx, HPET_CONFIG
	mov dword [rdx], 1
	call check_all
	PUTS "ioapic: xAPIC", 13, 10
	mov eax, APIC_ON | APIC_X2
	call set_mode
	jmp check_all

align 8
taken:		dd 0
keep:		dd 0
tmr:		dd 0
isr:		dd 0
mask_it:	db 0

GUEST_END
