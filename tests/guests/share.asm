; SPDX-License-Identifier: GPL-2.0
; Registers that each processor has for itself, which all have other values in while they take turns, on one CPU at best: control, debug
; and model-specific registers, x87 and SSE. Each has a breakpoint of its own, and writes where the others have theirs.
%define GUEST_NAME "share"
%include "guest.inc"
%include "cpus.inc"

MOST_CPUS	equ 8
ROUNDS		equ 200
SPINS		equ 50
VECTOR_DB	equ 1
DR7_WRITE0	equ 0x402 | 0xd << 16
DR6_NONE	equ 0xffff0ff0
MSR_TSC_AUX	equ 0xc0000103
MSR_PAT		equ 0x277
PATTERN		equ 0x0000101010101000		; times the processor's number and 1: an address

; MSRs with 64 bits and those with fewer, of which QEMU has 16. They hold the pattern and their place in the list.
align 4
msrs64:	dd 0xc0000081, 0xc0000082, 0xc0000083	; STAR, LSTAR, CSTAR
	dd 0xc0000100, 0xc0000101, 0xc0000102	; FS, GS, GS of the kernel
	dd 0x175, 0x176				; SYSENTER's ESP and EIP
MSRS64		equ ($ - msrs64) / 4
msrs32:	dd 0xc0000084, 0x174			; SFMASK, SYSENTER's CS
MSRS32		equ ($ - msrs32) / 4

; RAX = vector. The stack tells the processors apart.
hook:	cmp eax, VECTOR_DB
	jne .done
	call this_cpu
	inc dword [hits + rdx * 4]
	mov eax, DR6_NONE
	mov dr6, rax
.done:	ret

; EDX: this processor's number.
this_cpu:
	mov rdx, rsp
	sub rdx, CPU_STACKS
	shr rdx, 12
	cmp edx, MOST_CPUS
	jb .done
	xor edx, edx
.done:	ret

; OWN condition, text
%macro OWN 2
	VERIFY %1, "not this processor's own: ", %2
%endmacro

; For each MSR: R8 = address in the list, R9D = its place, R14 = pattern, R15 = number.
write_msrs:
	xor r9d, r9d
.next64:
	mov ecx, [msrs64 + r9 * 4]
	lea rax, [r14 + r9]
	mov rdx, rax
	shr rdx, 32
	wrmsr
	inc r9d
	cmp r9d, MSRS64
	jb .next64
	xor r9d, r9d
.next32:
	mov ecx, [msrs32 + r9 * 4]
	lea eax, [r14d + r9d]
	movzx eax, ax
	xor edx, edx
	wrmsr
	inc r9d
	cmp r9d, MSRS32
	jb .next32
	mov ecx, MSR_PAT
	mov eax, 0x00070406
	mov edx, r15d
	and edx, 3
	add edx, 0x00070404			; the lowest of the upper half: 4 to 7
	wrmsr
	cmp byte [abs tsc_aux], 0
	je .done
	mov ecx, MSR_TSC_AUX
	mov eax, r14d
	xor edx, edx
	wrmsr
.done:	ret

check_msrs:
	xor r9d, r9d
.next64:
	mov ecx, [msrs64 + r9 * 4]
	rdmsr
	shl rdx, 32
	or rax, rdx
	lea rdx, [r14 + r9]
	cmp rax, rdx
	OWN e, "an MSR of 64 bits"
	inc r9d
	cmp r9d, MSRS64
	jb .next64
	xor r9d, r9d
.next32:
	mov ecx, [msrs32 + r9 * 4]
	rdmsr
	lea edx, [r14d + r9d]
	movzx edx, dx
	cmp eax, edx
	OWN e, "an MSR of few bits"
	inc r9d
	cmp r9d, MSRS32
	jb .next32
	mov ecx, MSR_PAT
	rdmsr
	mov eax, r15d
	and eax, 3
	add eax, 0x00070404
	cmp eax, edx
	OWN e, "PAT"
	cmp byte [abs tsc_aux], 0
	je .done
	rdtscp
	cmp ecx, r14d
	OWN e, "TSC_AUX"
.done:	ret

%macro FILL 1-*
%rep %0
	movq xmm%1, rax
	inc rax
%rotate 1
%endrep
%endmacro

%macro COMPARE 1-*
%rep %0
	movq rdx, xmm%1
	cmp rax, rdx
	OWN e, "XMM%1"
	inc rax
%rotate 1
%endrep
%endmacro

write_others:
	mov cr2, r14
	lea rax, [r15 + 1]
	mov cr8, rax
	lea rax, [watched + r15 * 8]
	mov dr0, rax
	lea rax, [r14 + 1]
	mov dr1, rax
	inc rax
	mov dr2, rax
	not rax
	mov dr3, rax
	mov eax, DR6_NONE
	mov dr6, rax
	mov eax, [abs dr7_value]
	mov dr7, rax
	mov eax, r15d
	and eax, 3
	shl eax, 13
	or eax, 0x1f80
	mov [spare + r15 * 8], eax
	ldmxcsr [spare + r15 * 8]
	mov eax, r15d
	and eax, 3
	shl eax, 10
	or eax, 0x37f
	mov [spare + r15 * 8], ax
	fninit
	fldcw [spare + r15 * 8]
	mov rax, r14
	FILL 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	ret

check_others:
	mov rax, cr2
	cmp rax, r14
	OWN e, "CR2"
	mov rax, cr8
	lea edx, [r15d + 1]
	cmp eax, edx
	OWN e, "CR8"
	mov rax, dr0
	lea rdx, [watched + r15 * 8]
	cmp rax, rdx
	OWN e, "DR0"
	mov rax, dr1
	lea rdx, [r14 + 1]
	cmp rax, rdx
	OWN e, "DR1"
	mov rax, dr2
	inc rdx
	cmp rax, rdx
	OWN e, "DR2"
	mov rax, dr3
	not rdx
	cmp rax, rdx
	OWN e, "DR3"
	mov rax, dr6
	mov edx, DR6_NONE
	cmp rax, rdx
	OWN e, "DR6"
	mov rax, dr7
	mov edx, [abs dr7_value]
	cmp rax, rdx
	OWN e, "DR7"
	stmxcsr [spare + r15 * 8]
	mov eax, r15d
	and eax, 3
	shl eax, 13
	or eax, 0x1f80
	cmp [spare + r15 * 8], eax
	OWN e, "MXCSR"
	fnstcw [spare + r15 * 8]
	mov eax, r15d
	and eax, 3
	shl eax, 10
	or eax, 0x37f
	cmp [spare + r15 * 8], ax
	OWN e, "the x87's control word"
	mov rax, r14
	COMPARE 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	ret

; Something that exits, in turn.
exits:	mov eax, ebp
	and eax, 3
	jz .io
	dec eax
	jz .cpuid
	dec eax
	jz .msr
	mov ecx, SPINS
.spin:	pause
	loop .spin
	ret
.io:	in al, 0x80
	ret
.cpuid:	cpuid
	ret
.msr:	mov ecx, MSR_APIC_BASE
	rdmsr
	ret

; R15: number. Keeps nothing.
run:	mov r14, PATTERN
	lea rax, [r15 + 1]
	imul r14, rax
	call write_msrs
	call write_others
	mov ebp, ROUNDS
.round:	call exits
	; Where the others look, and not.
	xor ecx, ecx
.write:	cmp ecx, r15d
	je .next
	mov [watched + rcx * 8], ebp
.next:	inc ecx
	cmp ecx, MOST_CPUS
	jb .write
	test ebp, 7
	jnz .quiet
	mov [watched + r15 * 8], ebp
.quiet:	call check_others
	test ebp, 15
	jnz .rare
	call check_msrs
.rare:	cmp dword [abs failures], 0
	jne .done
	dec ebp
	jnz .round
	mov eax, [abs hits_wanted]
	cmp [hits + r15 * 4], eax
	VERIFY e, "hits of a processor's own breakpoint"
.done:	mov eax, 0x400
	mov dr7, rax
	xor eax, eax
	mov cr8, rax
	lock inc dword [abs done]
	ret

cpu_main:
	call this_cpu
	mov r15d, edx
.wait:	pause
	cmp dword [abs go], 0
	je .wait
	call run
.stay:	hlt
	jmp .stay

guest_main:
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov byte [abs count_faults], 1
	mov eax, 0x80000001
	cpuid
	bt edx, 27
	setc [abs tsc_aux]
	; On QEMU a breakpoint stays on past the exit, and its owner's place stops whoever else writes there, for good.
	BUT_QEMU .start
	mov dword [abs dr7_value], DR7_WRITE0
	mov dword [abs hits_wanted], ROUNDS / 8
.start:	call start_all
	mov dword [abs go], 1
	xor r15d, r15d
	call run
	mov r12d, [abs cpus]
	AWAIT done, r12d, "a processor has not come to its end"
	ret

align 8
watched:	times MOST_CPUS dq 0
spare:		times MOST_CPUS dq 0
hits:		times MOST_CPUS dd 0
dr7_value:	dd 0x400
hits_wanted:	dd 0
go:		dd 0
done:		dd 0
tsc_aux:	db 0

GUEST_END
