; SPDX-License-Identifier: GPL-2.0
; The world switch.

%include "registers.inc"

section .text

; What svm_enter() calls, with its arguments where C has them; of Keel's registers RBX, RBP and RDI are kept. RAX and RSP are the
; VMCB's. IF is set and GIF clear all along in Keel's ring 0, so that an interrupt ends a guest that masks interrupts virtually.
; What VMRUN leaves alone (APM vol. 2, 15.5.2) changes hands here too, above all TR: a fault of Keel's that needs a stack of its
; own finds it in the task state, and so does an interrupt in ring 3.
; QEMU does not look at the VMCB's interrupt shadow, but lets that of an STI before VMRUN pass into the guest. So a shadow that
; the guest is in is made in this way too; else an interrupt could slip between a guest's STI and HLT, which would not end then.
global svm_switch
svm_switch:
	PUSHES rbx, rbp, rdi, rdx
	mov rax, rsi
	vmload
	test cl, 1			; the loads leave the flags alone
	LOADS rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	LOADS r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15, rdi, 7
	jz .enter
	sti
.enter:
	vmrun
	; only RAX, RSP and RFLAGS are Keel's again
	vmsave
	pop rax
	vmload
	push rdi
	mov rdi, [rsp + 8]
	STORES rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	STORES r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15
	pop qword [rdi + 8 * 7]
	POPS rdi, rbp, rbx
	ret
