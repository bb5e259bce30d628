; SPDX-License-Identifier: GPL-2.0
; The world switch.

; struct keel_regs: gpr[16] in encoding order
REG_RAX	equ 0
REG_RCX	equ 8
REG_RDX	equ 16
REG_RBX	equ 24
REG_RBP	equ 40
REG_RSI	equ 48
REG_RDI	equ 56
REG_R8	equ 64

section .text

; void svm_enter(struct keel_regs *regs, uint64_t vmcb_pa). RAX and RSP are the VMCB's. IF is set and GIF
; clear all along in Keel's ring 0, so that an interrupt ends a guest that masks interrupts virtually.
global svm_enter
svm_enter:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdi
	mov rax, rsi
	mov rcx, [rdi + REG_RCX]
	mov rdx, [rdi + REG_RDX]
	mov rbx, [rdi + REG_RBX]
	mov rbp, [rdi + REG_RBP]
	mov rsi, [rdi + REG_RSI]
	mov r8, [rdi + REG_R8]
	mov r9, [rdi + REG_R8 + 8]
	mov r10, [rdi + REG_R8 + 16]
	mov r11, [rdi + REG_R8 + 24]
	mov r12, [rdi + REG_R8 + 32]
	mov r13, [rdi + REG_R8 + 40]
	mov r14, [rdi + REG_R8 + 48]
	mov r15, [rdi + REG_R8 + 56]
	mov rdi, [rdi + REG_RDI]
	vmrun
	; only RAX, RSP and RFLAGS are Keel's again
	xchg rdi, [rsp]
	mov [rdi + REG_RCX], rcx
	mov [rdi + REG_RDX], rdx
	mov [rdi + REG_RBX], rbx
	mov [rdi + REG_RBP], rbp
	mov [rdi + REG_RSI], rsi
	mov [rdi + REG_R8], r8
	mov [rdi + REG_R8 + 8], r9
	mov [rdi + REG_R8 + 16], r10
	mov [rdi + REG_R8 + 24], r11
	mov [rdi + REG_R8 + 32], r12
	mov [rdi + REG_R8 + 40], r13
	mov [rdi + REG_R8 + 48], r14
	mov [rdi + REG_R8 + 56], r15
	pop rcx
	mov [rdi + REG_RDI], rcx
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
