; SPDX-License-Identifier: GPL-2.0
; Several processors: INIT and SIPI, interrupts between all of them, shared memory, a processor that is started again.
%define GUEST_NAME "smp"
%include "guest.inc"
%include "cpus.inc"

ICR_OTHERS	equ 3 << 18
VECTOR_PING	equ 0x60
VECTOR_PONG	equ 0x61
VECTOR_RING	equ 0x62
VECTOR_ALL	equ 0x63
ROUNDS		equ 100
LAPS		equ 50
ADDS		equ 20000

align 8
adders:		dd 0				; processors that have added
go:		dd 0
sum:		dq 0
pongs:		dq 0
laps:		dq 0
calls:		dq 0

cpu_main:
	xor r15d, r15d
.idle:	sti
	hlt
	cli
	cmp dword [go], 0
	je .idle
	test r15d, r15d				; once only
	jnz .idle
	inc r15d
	call add_many
	jmp .idle

add_many:
	mov ecx, ADDS
.again:	lock inc qword [sum]
	loop .again
	lock inc dword [adders]
	ret

; RAX = vector, interrupts off.
hook:
	mov edx, LAPIC
	cmp eax, VECTOR_PING
	je .ping
	cmp eax, VECTOR_PONG
	je .pong
	cmp eax, VECTOR_RING
	je .ring
	lock inc qword [calls]
	jmp .eoi
.ping:	mov dword [rdx + 0x310], 0
	mov dword [rdx + 0x300], VECTOR_PONG | ICR_ASSERT
	jmp .eoi
.pong:	lock inc qword [pongs]
	jmp .eoi
.ring:	mov eax, [rdx + 0x20]
	shr eax, 24
	inc eax
	cmp eax, [cpus]
	jb .next
	lock inc qword [laps]
	jmp .eoi
.next:	shl eax, 24
	mov [rdx + 0x310], eax
	mov dword [rdx + 0x300], VECTOR_RING | ICR_ASSERT
.eoi:	mov dword [rdx + 0xb0], 0
	ret

ping_all:
	mov r12d, ROUNDS
.round:	mov ebx, 1
.cpu:	mov eax, VECTOR_PING | ICR_ASSERT
	call send
	inc qword [expected]
	mov r13, [expected]
	AWAIT pongs, r13, "no answer to an interrupt"
	inc ebx
	cmp ebx, [cpus]
	jne .cpu
	dec r12d
	jnz .round
	ret
align 8
expected:	dq 0

guest_main:
	lea rax, [rel hook]
	mov [interrupt_hook], rax
	call start_all
	PUTS "smp: all started", 13, 10

	call ping_all
	PUTS "smp: ping", 13, 10

	xor r12d, r12d
.lap:	mov ebx, 1
	mov eax, VECTOR_RING | ICR_ASSERT
	call send
	inc r12
	AWAIT laps, r12, "a ring of interrupts broke"
	cmp r12d, LAPS
	jne .lap

	mov dword [go], 1
	mov r13d, [cpus]
	dec r13d
	mov edx, LAPIC
	mov dword [rdx + 0x300], VECTOR_ALL | ICR_ASSERT | ICR_OTHERS
	call add_many
	mov r12d, [cpus]
	AWAIT adders, r12d, "a processor did not add"
	AWAIT calls, r13, "an interrupt to all others did not reach all"
	imul rax, r12, ADDS
	cmp [sum], rax
	CHECK e, "the sum is wrong"

	; The last one starts again.
	mov ebx, [cpus]
	dec ebx
	call start_cpu
	mov r12d, [cpus]
	mov dword [go], 0
	AWAIT started, r12d, "a processor did not start a second time"
	mov eax, VECTOR_PING | ICR_ASSERT
	call send
	mov r13, [expected]
	inc r13
	AWAIT pongs, r13, "a processor that started again does not answer"
	ret

GUEST_END
