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

; What vmx_enter() calls, with its arguments and its result where C has them; of Keel's registers RBX, RBP and RDI are kept. RSP,
; RIP and RFLAGS are the VMCS's, whose host RIP is vmx_exit.
; NMIs come at any time here: trap.asm moves on to vmx_called_off for one that comes between the last look and the entry.
global vmx_switch, vmx_window, vmx_called_off
vmx_switch:
	PUSHES rbx, rbp, rdi
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
	mov eax, ENTRY_NMI
	jmp vmx_leave
vmx_failed:
	mov eax, ENTRY_FAILED
	jmp vmx_leave

global vmx_exit
vmx_exit:
	push rdi
	mov rdi, [rsp + 8]
	STORES rax, 0, rcx, 1, rdx, 2, rbx, 3, rbp, 5, rsi, 6
	STORES r8, 8, r9, 9, r10, 10, r11, 11, r12, 12, r13, 13, r14, 14, r15, 15
	pop qword [rdi + 8 * 7]
	mov eax, ENTRY_EXIT
vmx_leave:
	POPS rdi, rbp, rbx
	ret
