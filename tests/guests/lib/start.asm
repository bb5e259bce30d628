; SPDX-License-Identifier: GPL-2.0
; From the reset vector to 64-bit mode and guest_start(); gates of all vectors.
%include "names.inc"
%include "enter.inc"

GDT_LIMIT	equ gdt_end - gdt - 1
STUB_BYTES	equ 16
GATE_INTERRUPT	equ 0x8e00
EXC_VC		equ 29				; which no guest here gets
PAGES		equ PAGE_PRESENT | PAGE_WRITE | PAGE_USER

global idt_pointer
global start16, gdt_pointer, long_mode_registers
extern guest_start, guest_interrupt
extern real_mode		; the guest's, or real_mode_none

section .reset progbits alloc exec nowrite
bits 16
	jmp 0xf000:REAL(start16)
	times 16 - ($ - $$) db 0

section .text
start16:
	cli
	cld
	mov ax, cs
	mov ds, ax
	xor ax, ax
	mov ss, ax
	mov sp, REAL_STACK_TOP
	call real_mode
	cli
	ENTER_32 start32

global real_mode_none
real_mode_none:
	ret

bits 32
start32:
	LOAD_SEGMENTS
	mov esp, STACK_TOP
	mov edi, TABLES
	mov ecx, TABLES_BYTES / 4
	xor eax, eax
	rep stosd
	mov dword [PML4], PDPT + PAGES
	mov eax, DIRECTORY + PAGES
	mov edi, PDPT
.pdpt:	mov [edi], eax
	add eax, 0x1000
	add edi, 8
	cmp edi, PDPT + 4 * 8
	jne .pdpt
	mov eax, PAGES | PAGE_LARGE
	mov edi, DIRECTORY
.pd:	mov [edi], eax
	add eax, 0x200000
	add edi, 8
	cmp edi, DIRECTORY + 4 * 0x1000
	jne .pd
	call long_mode_registers
	jmp SEL_CODE64:start64

; Used by every processor, with or without a stack of its own: the caller's return address is all that is pushed.
long_mode_registers:
	mov eax, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT
	mov cr4, eax
	mov eax, PML4
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, cr0
	and eax, ~(CR0_EM | CR0_TS)
	or eax, CR0_PG | CR0_WP | CR0_MP
	mov cr0, eax
	ret

bits 64
start64:
	mov rsp, STACK_TOP
	mov edi, IDT
	mov ecx, (COUNTS + 0x1000 - IDT) / 8
	xor eax, eax
	rep stosq
	mov edi, IDT
	lea rdx, [rel stubs]
	xor ecx, ecx
.gate:	mov eax, edx
	mov [rdi], ax
	mov word [rdi + 2], SEL_CODE64
	mov word [rdi + 4], GATE_INTERRUPT
	shr eax, 16
	mov [rdi + 6], ax
	add edi, 16
	add edx, STUB_BYTES
	inc ecx
	cmp ecx, 256
	jne .gate
	mov byte [IDT + EXC_DF * 16 + 4], IST_FAULT
	mov qword [TSS + 0x24], FAULT_STACK_TOP		; IST1
	mov qword [TSS + 4], FAULT_STACK_TOP - 0x2000	; RSP0
	lidt [rel idt_pointer]
	mov ax, SEL_TSS
	ltr ax
	call guest_start
	ud2

align STUB_BYTES
stubs:
%assign vector 0
%rep 256
	align STUB_BYTES
%if vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC || vector == EXC_CP || vector == EXC_VC \
		|| vector == EXC_SX
	db 0x66, 0x90				; the processor pushed an error code
%else
	push byte 0
%endif
	push strict dword vector
	jmp strict near interrupt
%assign vector vector + 1
%endrep

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

section .data
align 8
gdt:	dq 0
	dq 0x00cf9b000000ffff			; 32-bit code
	dq 0x00cf93000000ffff			; data
	dq 0x00af9b000000ffff			; 64-bit code
	dw 0x67, TSS & 0xffff
	db (TSS >> 16) & 0xff, 0x89, 0, TSS >> 24
	dq 0
gdt_end:
gdt_pointer:
	dw GDT_LIMIT
	dd gdt
align 8
idt_pointer:
	dw 256 * 16 - 1
	dq IDT
