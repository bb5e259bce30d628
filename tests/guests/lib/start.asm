; SPDX-License-Identifier: GPL-2.0
; The start of guests in C, and where their interrupts come in.
%include "names.inc"
%include "enter.inc"

global idt_pointer
global start16, gdt_pointer, long_mode_registers
extern guest_start, guest_interrupt
extern real_mode		; the guest's, or real_mode_none

section .reset progbits alloc exec nowrite
bits 16
	jmp 0xf000:REAL(start16)
	times 16 - ($ - $$) db 0

section .text
%include "start.inc"

bits 16
global real_mode_none
real_mode_none:
	ret

bits 64
; The stack is a struct frame then.
interrupt:
	push rax
	push rbx
	push rcx
	push rdx
	push rsi
	push rdi
	push rbp
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	cld
	mov rdi, rsp
	mov rbx, rsp
	and rsp, -16
	call guest_interrupt
	mov rsp, rbx
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rbp
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rbx
	pop rax
	add rsp, 16				; vector, error code
	iretq
