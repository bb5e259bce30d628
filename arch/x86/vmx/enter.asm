; SPDX-License-Identifier: GPL-2.0
; The world switch.

%include "percpu.inc"
%include "registers.inc"

VMCS_HOST_RSP	equ 0x6c14

; enum vmx_entry
ENTRY_FAILED	equ 0
ENTRY_EXIT	equ 1
ENTRY_NMI	equ 2

section .text

; enum vmx_entry vmx_enter(struct keel_regs *regs, bool launched). RSP, RIP and RFLAGS are the VMCS's, whose host RIP is vmx_exit.
; NMIs come at any time here: trap.asm moves on to vmx_called_off for one that comes between the last look and the entry.
global vmx_enter, vmx_window, vmx_called_off
vmx_enter:
	PUSHES rbx, rbp, r12, r13, r14, r15, rdi
	mov eax, VMCS_HOST_RSP
	vmwrite rax, rsp
	mov rax, rsp
	and rax, PERCPU_MASK
vmx_window:
	cmp dword [rax + PERCPU_DATA + CPU_NMI_SEEN], 0
	jne vmx_called_off
	test sil, sil			; the loads leave the flags alone
	LOADS rax, 0, rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	LOADS r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15, rdi, 7
	jnz .resume
	vmlaunch
	jmp vmx_failed
.resume:
	vmresume
	jmp vmx_failed
vmx_called_off:
	pop rdi
	mov eax, ENTRY_NMI
	jmp vmx_leave
vmx_failed:
	pop rdi
	mov eax, ENTRY_FAILED
	jmp vmx_leave

global vmx_exit
vmx_exit:
	xchg rdi, [rsp]
	STORES rax, 0, rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	STORES r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15
	pop rcx
	STORES rcx, 7
	mov eax, ENTRY_EXIT
vmx_leave:
	POPS r15, r14, r13, r12, rbp, rbx
	ret
