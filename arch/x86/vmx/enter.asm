; SPDX-License-Identifier: GPL-2.0
; The world switch.

%include "registers.inc"

VMCS_HOST_RSP	equ 0x6c14

section .text

; bool vmx_enter(struct keel_regs *regs, bool launched). RSP, RIP and RFLAGS are the VMCS's, whose host RIP is vmx_exit.
; False: VMLAUNCH or VMRESUME failed at once, and nothing has changed.
global vmx_enter
vmx_enter:
	PUSHES rbx, rbp, r12, r13, r14, r15, rdi
	mov eax, VMCS_HOST_RSP
	vmwrite rax, rsp
	test sil, sil			; the loads leave the flags alone
	LOADS rax, 0, rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	LOADS r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15, rdi, 7
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
	STORES rax, 0, rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	STORES r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15
	pop rcx
	STORES rcx, 7
	mov eax, 1
vmx_leave:
	POPS r15, r14, r13, r12, rbp, rbx
	ret
