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

VMCS_HOST_RSP equ 0x6c14

section .text

; bool vmx_enter(struct keel_regs *regs, bool launched). RSP, RIP and RFLAGS are the VMCS's. False: VMLAUNCH or VMRESUME failed
; at once, and nothing has changed. The VMCS's host RIP is vmx_exit.
global vmx_enter
vmx_enter:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	push rdi
	mov eax, VMCS_HOST_RSP
	vmwrite rax, rsp
	test sil, sil			; the loads leave the flags alone
	mov rax, [rdi + REG_RAX]
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
	jnz .resume
	vmlaunch
	jmp .failed
.resume:
	vmresume
.failed:
	pop rdi
	xor eax, eax
	jmp vmx_leave

global vmx_exit
vmx_exit:
	xchg rdi, [rsp]
	mov [rdi + REG_RAX], rax
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
	mov eax, 1
vmx_leave:
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret
