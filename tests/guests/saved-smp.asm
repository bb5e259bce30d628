; SPDX-License-Identifier: GPL-2.0
; What a machine of several processors must keep when it is saved: each counts in memory and in a register, or halts, and has a
; timer of its own; interrupts go round all of them, so that some are under way at any time. One that is lost breaks its ring.
%define GUEST_NAME "saved"
%include "guest.inc"
%include "cpus.inc"

VECTOR_TIMER	equ 0x50
VECTOR_RING	equ 0x60		; and following: one a ring
RINGS		equ 4
LAPIC_ID	equ 0x20
LAPIC_EOI	equ 0xb0
LAPIC_ICR	equ 0x300
LAPIC_ICR_HIGH	equ 0x310
LAPIC_TIMER	equ 0x320
LAPIC_COUNT	equ 0x380
LAPIC_DIVIDE	equ 0x3e0
PERIODIC	equ 1 << 17
DIVIDE_BY_1	equ 0xb
PERIOD		equ 5000000		; counts of a nanosecond
COM1_RECEIVED	equ 1
MORE		equ 20			; of everything, after something was typed
CPUS_MOST	equ 16
; 8 bytes a processor, or a ring; the host looks at the first one, too.
COUNT		equ SCRATCH
TIMERS		equ SCRATCH + 0x200
LAPS		equ SCRATCH + 0x400

; RAX: vector.
hook:	push rbx
	mov edx, LAPIC
	mov ebx, [rdx + LAPIC_ID]
	shr ebx, 24
	cmp eax, VECTOR_TIMER
	jne .ring
	inc qword [TIMERS + rbx * 8]
	jmp .end
.ring:	inc ebx
	cmp ebx, [abs cpus]
	jb .send
	xor ebx, ebx
	inc qword [LAPS + (rax - VECTOR_RING) * 8]
.send:	shl ebx, 24
	mov [rdx + LAPIC_ICR_HIGH], ebx
	or eax, ICR_ASSERT
	mov [rdx + LAPIC_ICR], eax
.end:	mov dword [rdx + LAPIC_EOI], 0
	pop rbx
	ret

; R14: this processor, R12: its count, R8: its TSC.
begin:	mov edx, LAPIC
	mov r14d, [rdx + LAPIC_ID]
	shr r14d, 24
	mov dword [rdx + LAPIC_DIVIDE], DIVIDE_BY_1
	mov dword [rdx + LAPIC_TIMER], VECTOR_TIMER | PERIODIC
	mov dword [rdx + LAPIC_COUNT], PERIOD
	xor r12d, r12d
	xor r8d, r8d
	ret

count_one:
	inc r12
	inc qword [COUNT + r14 * 8]
	cmp [COUNT + r14 * 8], r12
	CHECK e, "the counts in memory and in a register differ"
	rdtsc
	shl rdx, 32
	or rax, rdx
	cmp rax, r8
	CHECK a, "the TSC has gone back"
	mov r8, rax
	ret

; Those with an odd number halt from interrupt to interrupt.
cpu_main:
	call begin
.count:	sti
	test r14d, 1
	jz .on
	hlt
.on:	nop
	cli
	call count_one
	jmp .count

; Waits until all ECX words at RBX are as far on as they are to be.
await_more:
	mov r9, [rbx]
	add r9, MORE
	mov r10, MANY
.wait:	sti
	nop
	pause
	cli
	cmp [rbx], r9
	jae .next
	dec r10
	jnz .wait
	mov rsi, r13
	jmp fail
.next:	add rbx, 8
	dec ecx
	jnz await_more
	ret

; AWAIT_MORE first, how many, text
%macro AWAIT_MORE 3
	[section .rodata]
%%text:	db %3, 0
	__?SECT?__
	lea r13, [rel %%text]
	mov ebx, %1
	mov ecx, %2
	call await_more
%endmacro

guest_main:
	mov edi, SCRATCH
	mov ecx, 0x600 / 8
	xor eax, eax
	rep stosq
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	call start_all
	cmp dword [abs cpus], CPUS_MOST
	CHECK be, "too many processors"
	call begin
	mov ebp, VECTOR_RING
.ring:	lea eax, [rbp + ICR_ASSERT]
	mov ebx, 1
	call send
	inc ebp
	cmp ebp, VECTOR_RING + RINGS
	jb .ring
	PUTS "saved: counting", 13, 10
.count:	sti
	nop
	nop
	cli
	call count_one
	mov dx, COM1_STATUS
	in al, dx
	test al, COM1_RECEIVED
	jz .count
	AWAIT_MORE LAPS, RINGS, "an interrupt was lost on its way round"
	AWAIT_MORE TIMERS, [abs cpus], "a timer goes off no more"
	mov eax, [abs cpus]
	dec eax
	AWAIT_MORE COUNT + 8, eax, "a processor counts no more"
	PUTS "saved: typed at "
	mov rax, r12
	call puthex
	PUTS 13, 10
	ret

GUEST_END
