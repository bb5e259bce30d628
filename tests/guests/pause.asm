; SPDX-License-Identifier: GPL-2.0
; Two processors hand a token to each other and wait for it in a loop: without PAUSE, and with it. On one CPU of the host the
; second way must be much faster, for the loop's exits let the other one run.
%define GUEST_NAME "pause"
%include "guest.inc"
%include "cpus.inc"

TICKS		equ 24000000			; that each way is tried for
FASTER		equ 8				; times, at least

align 8
holder:		dd 0
pausing:	dd 0

; TAKE number: waits for the token.
%macro TAKE 1
%%wait:	cmp dword [holder], %1
	je %%taken
	cmp dword [pausing], 0
	je %%wait
	pause
	jmp %%wait
%%taken:
%endmacro

cpu_main:
	sti
.next:	TAKE 1
	mov dword [holder], 0
	jmp .next

; RAX: time.
now:
	rdtsc
	shl rdx, 32
	or rax, rdx
	ret

; RAX: how often the token went there and came back.
count_hands:
	xor ebx, ebx
	call now
	mov r8, rax
.next:	mov dword [holder], 1
	TAKE 0
	inc rbx
	call now
	sub rax, r8
	cmp rax, TICKS
	jb .next
	mov rax, rbx
	ret

guest_main:
	call start_all
	sti
	call count_hands
	mov r12, rax
	mov dword [pausing], 1
	call count_hands
	cli
	mov r13, rax
	PUTS "pause: hands without, with: "
	mov rax, r12
	call puthex
	mov al, ' '
	call putc
	mov rax, r13
	call puthex
	PUTS 13, 10
	imul r12, FASTER
	cmp r13, r12
	CHECK ae, "loops of PAUSE do not let the other processor run"
	ret

GUEST_END
