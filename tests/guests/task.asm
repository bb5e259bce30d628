; SPDX-License-Identifier: GPL-2.0
; Hardware task switches (SDM vol. 3, chapter 8) in protected mode, once with 32-bit and once with PAE paging: by JMP, CALL,
; IRET and task gates, in both sizes of TSS, into user and virtual-8086 mode, and those that fault. With END_TRIPLE it ends
; with one that faults in a double fault's task.
%define GUEST_NAME "task"
%include "guest.inc"

; Memory, above 1 MiB.
PD		equ 0x100000			; 32-bit paging: one to one in pages of 4 MiB
PD_B		equ 0x101000			; likewise, but for WINDOW
PDPT_PAE	equ 0x102000			; over the directories of long mode
PDPT_PAE_B	equ 0x103000
PD_PAE_B	equ 0x104000
GDT32		equ 0x105000
IDT32		equ 0x106000
TSSES		equ 0x107000			; TSS_STRIDE each
TSS_STRIDE	equ 0x100
STACKS		equ 0x110000			; STACK_STRIDE each
STACK_STRIDE	equ 0x1000
WINDOW		equ 0xc00000			; where PD_B has the memory of WINDOW_B
WINDOW_B	equ 0x800000
NOWHERE		equ 0x40000000			; mapped in neither
ROUNDS		equ 2

SEL_CODE16	equ 0x20			; based at ORIGIN
SEL_USER_CODE	equ 0x28 | 3
SEL_USER_DATA	equ 0x30 | 3
SEL_ABSENT	equ 0x38
SEL_LDT		equ 0x40
SEL_TASKS	equ 0x48

TASK_FREE	equ 0x89
TASK_BUSY	equ 0x8b
GATE_INTERRUPT	equ 0x8e
GATE_TASK	equ 0x85

VECTOR_SOFT	equ 0x40
VECTOR_IRQ	equ 0x50

ICR		equ PC_LAPIC + APIC_REG_ICR_LOW
ICR_DESTINATION	equ PC_LAPIC + APIC_REG_ICR_HIGH

; Fields of a 32-bit TSS.
LINK		equ 0
TSS_CR3		equ 0x1c
TSS_EIP		equ 0x20
TSS_FLAGS	equ 0x24
TSS_EAX		equ 0x28
TSS_ECX		equ 0x2c
TSS_EDX		equ 0x30
TSS_EBX		equ 0x34
TSS_ESP		equ 0x38
TSS_EBP		equ 0x3c
TSS_ESI		equ 0x40
TSS_EDI		equ 0x44
TSS_ES		equ 0x48
TSS_CS		equ 0x4c
TSS_SS		equ 0x50
TSS_DS		equ 0x54
FIELD_LDT	equ 0x60
FIELD_TRAP	equ 0x64
; And of a 16-bit one.
TSS16_IP	equ 0x0e
TSS16_AX	equ 0x12
TSS16_SP	equ 0x1a
TSS16_ES	equ 0x22

; TASK NAME, entry [, EFLAGS, CS, SS]: number, selector and address of a task, and its line in the table.
%assign tasks 0
%macro TASK 2-5 2, SEL_CODE32, SEL_DATA
T_%1	equ SEL_TASKS + tasks * 8
TSS_%1	equ TSSES + tasks * TSS_STRIDE
STACK_%1 equ STACKS + (tasks + 1) * STACK_STRIDE
	dd %2, %3
	dw %4, %5
%assign tasks tasks + 1
%endmacro

align 8
task_table:
	TASK MAIN, 0
	TASK B, task_b
	TASK SOFT, task_soft
	TASK PF, task_pf
	TASK DF, task_df
	TASK 16, 0
	TASK ABSENT, 0
	TASK SHORT, 0
	TASK BAD_SS, 0, 2, SEL_CODE32, SEL_USER_DATA & ~3
	TASK BAD_DS, 0
	TASK BAD_CS, 0, 2, SEL_DATA, SEL_DATA
	TASK FAULT, task_fault
	TASK USER, task_user, 2, SEL_USER_CODE, SEL_USER_DATA
	TASK VM86, REAL(task_vm86), RFLAGS_VM | 2, ORIGIN >> 4, 0x1000
	TASK NMI, task_nmi
	TASK IRQ, task_irq
	TASK TRAP, task_trap
	TASK LDT, task_ldt, 2, SEL_CODE32, 0x0c
TASKS	equ tasks

align 8
gdt32:	dq 0
	dq 0x00cf9b000000ffff			; as in guest.inc
	dq 0x00cf93000000ffff
	dq 0x00af9b000000ffff
	dq 0x00009b0f0000ffff			; 16-bit code
	dq 0x00cffb000000ffff			; user code
	dq 0x00cff2000000ffff			; user data, not accessed
	dq 0x00cf13000000ffff			; data, not present
	dw 15, ldt - ORIGIN			; LDT: its second entry is data, not accessed
	db ORIGIN >> 16, 0x82, 0, 0
GDT32_BYTES	equ $ - gdt32
align 8
ldt:	dq 0
	dq 0x00cf92000000ffff

gdt32_pointer:
	dw SEL_TASKS + TASKS * 8 - 1
	dd GDT32
idt32_pointer:
	dw 256 * 8 - 1
	dd IDT32

align 8
round:		dd 0
cr3_main:	dd 0
cr3_b:		dd 0
recover_eip32:	dd 0
recover_esp32:	dd 0
vector32:	dd 0
code32:		dd 0
expect_code:	dd 0				; what task_fault is to find
expect_link:	dd 0
visits:		dd 0
flags:		dd 0
trap:		dd 0

bits 32

; CHECK32 condition, text
%macro CHECK32 2+
	j%1 %%good
	[section .rodata]
%%text:	db %2, 0
	__?SECT?__
	mov esi, %%text
	jmp fail32
%%good:
%endmacro

; DONE text: a line of the output.
%macro DONE 1+
	[section .rodata]
%%text:	db "task: ", %1, 13, 10, 0
	__?SECT?__
	mov esi, %%text
	call puts32
%endmacro

; FAULTS vector, error code, instruction: it faults, and nothing of it is done.
%macro FAULTS 3+
	mov dword [recover_eip32], %%after
	mov [recover_esp32], esp
	mov dword [vector32], NO_FAULT
	%3
%%after:
	mov dword [recover_eip32], 0
	cmp dword [vector32], %1
	CHECK32 e, `the vector of %3`
	cmp dword [code32], %2
	CHECK32 e, `the error code of %3`
	str ax
	cmp ax, T_MAIN
	CHECK32 e, `the task register after %3`
%endmacro

; Whether a task's descriptor is free or busy.
%macro IS 2
	cmp byte [GDT32 + T_%1 + 5], %2
	CHECK32 e, `the descriptor of %1 is not %2`
%endmacro

; SET_GATE vector, type, selector, offset
%macro SET_GATE 4
	mov dword [IDT32 + %1 * 8], (%3) << 16 | ((%4) & 0xffff)
	mov dword [IDT32 + %1 * 8 + 4], ((%4) & 0xffff0000) | (%2) << 8
%endmacro

; A gate of the ordinary kind, set again after it was another.
%macro PLAIN_GATE 1
	mov ecx, %1
	call plain_gate
%endmacro

puts32:	lodsb
	test al, al
	jz .done
	mov ah, al
	mov ecx, 1000000
	mov dx, SERIAL_STATUS
.wait:	in al, dx
	test al, SERIAL_EMPTY
	loopz .wait
	mov al, ah
	mov dx, PC_PORT_SERIAL
	out dx, al
	mov dx, PC_PORT_DEBUG
	out dx, al
	jmp puts32
.done:	ret

; From any task: ESI = text. Back to long mode to tell it.
fail32:	cli
	mov ebx, esi
	mov ebp, fail64
	jmp leave32

; EBP: where to in long mode.
leave32:
	mov ax, SEL_DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK_TOP - 0x1000
	push dword 2
	popfd
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	call long_mode_registers
	lgdt [gdt_pointer]
	jmp SEL_CODE64:.in64
bits 64
.in64:	lidt [abs idt_pointer]
	and byte [abs gdt + SEL_TSS + 5], ~2
	mov ax, SEL_TSS
	ltr ax
	mov ebp, ebp
	jmp rbp
fail64:	mov esi, ebx
	jmp fail

bits 32

; Stubs of 32 exceptions: the vector, below an error code.
align 16
stubs32:
%assign vector 0
%rep 32
	align 16
%if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
	nop
	nop
%else
	push byte 0
%endif
	push strict dword vector
	jmp strict near exception32
%assign vector vector + 1
%endrep

exception32:
	cmp dword [esp], EXC_DB
	je .debug
	cmp dword [recover_eip32], 0
	je .unexpected
	pop dword [vector32]
	pop dword [code32]
	mov esp, [recover_esp32]
	push dword 2
	popfd
	jmp [recover_eip32]
.debug:	mov eax, dr6
	mov [trap], eax
	add esp, 8
	iretd
.unexpected:
	mov eax, [esp]
	mov ecx, 10
	xor edx, edx
	div ecx
	add al, '0'
	add dl, '0'
	mov [.digits], al
	mov [.digits + 1], dl
	mov esi, .text
	jmp fail32
.text:	db "unexpected exception "
.digits: db "00", 0

; ECX: vector.
plain_gate:
	mov eax, ecx
	shl eax, 4
	add eax, stubs32
	mov edx, eax
	and eax, 0xffff
	or eax, SEL_CODE32 << 16
	and edx, 0xffff0000
	or edx, GATE_INTERRUPT << 8
	mov [IDT32 + ecx * 8], eax
	mov [IDT32 + ecx * 8 + 4], edx
	ret

build_tables:
	; 32-bit paging.
	mov edi, PD
	mov eax, PAGE_PRESENT | PAGE_WRITE | PAGE_USER | PAGE_LARGE
.pd:	mov [edi], eax
	mov [edi + PD_B - PD], eax
	add edi, 4
	add eax, 0x400000
	jnc .pd
	mov dword [PD + (NOWHERE >> 22) * 4], 0
	mov dword [PD_B + (WINDOW >> 22) * 4], WINDOW_B | PAGE_PRESENT | PAGE_WRITE | PAGE_USER | PAGE_LARGE
	; PAE: PDPTEs have no rights.
	mov edi, PDPT_PAE
	mov eax, DIRECTORY | PAGE_PRESENT
	mov ecx, 4
.pdpt:	mov [edi], eax
	mov dword [edi + 4], 0
	mov [edi + PDPT_PAE_B - PDPT_PAE], eax
	mov dword [edi + PDPT_PAE_B - PDPT_PAE + 4], 0
	add eax, 0x1000
	add edi, 8
	loop .pdpt
	mov dword [PDPT_PAE_B], PD_PAE_B | PAGE_PRESENT
	mov esi, DIRECTORY
	mov edi, PD_PAE_B
	mov ecx, 1024
	rep movsd
	mov dword [DIRECTORY + (NOWHERE >> 21) * 8], 0
	mov dword [PD_PAE_B + (WINDOW >> 21) * 8], WINDOW_B | PAGE_PRESENT | PAGE_WRITE | PAGE_USER | PAGE_LARGE
	mov dword [WINDOW], 'main'
	mov dword [WINDOW_B], 'b'
	ret

build_tasks:
	mov esi, gdt32
	mov edi, GDT32
	mov ecx, GDT32_BYTES
	rep movsb
	mov edi, TSSES
	mov ecx, TASKS * TSS_STRIDE / 4
	xor eax, eax
	rep stosd
	mov esi, task_table
	mov edi, TSSES
	mov ebx, GDT32 + SEL_TASKS
	mov edx, STACKS + STACK_STRIDE
.task:	mov eax, edi
	shl eax, 16
	or eax, 0x67
	mov [ebx], eax
	mov eax, edi
	shr eax, 16
	or eax, TASK_FREE << 8
	mov [ebx + 4], eax
	mov eax, [cr3_main]
	mov [edi + TSS_CR3], eax
	lodsd
	mov [edi + TSS_EIP], eax
	lodsd
	mov [edi + TSS_FLAGS], eax
	lodsw
	mov [edi + TSS_CS], ax
	lodsw
	mov [edi + TSS_SS], ax
	mov ecx, SEL_USER_DATA
	test ax, 3
	jnz .data
	mov ecx, SEL_DATA
.data:	mov [edi + TSS_DS], cx
	mov [edi + TSS_ES], cx
	mov [edi + TSS_ESP], edx
	add edi, TSS_STRIDE
	add ebx, 8
	add edx, STACK_STRIDE
	cmp edi, TSSES + TASKS * TSS_STRIDE
	jne .task
	; Those that are different.
	mov eax, [cr3_b]
	mov [TSS_B + TSS_CR3], eax
	mov word [TSS_BAD_DS + TSS_DS], SEL_ABSENT
	and byte [GDT32 + T_ABSENT + 5], 0x7f
	dec byte [GDT32 + T_SHORT]
	mov byte [TSS_TRAP + FIELD_TRAP], 1
	mov word [TSS_LDT + FIELD_LDT], SEL_LDT
	mov dword [TSS_VM86 + TSS_ESP], 0x1000
	and byte [GDT32 + T_16 + 5], ~8
	mov byte [GDT32 + T_16], 0x2b
	mov edi, TSS_16
	xor eax, eax
	mov ecx, TSS_STRIDE / 4
	rep stosd
	mov word [TSS_16 + TSS16_IP], REAL(task_16)
	mov word [TSS_16 + TSS16_IP + 2], 2
	mov word [TSS_16 + TSS16_AX], 0x1616
	mov word [TSS_16 + TSS16_SP], 0x8000
	mov word [TSS_16 + TSS16_ES], SEL_DATA
	mov word [TSS_16 + TSS16_ES + 2], SEL_CODE16
	mov word [TSS_16 + TSS16_ES + 4], SEL_DATA
	mov word [TSS_16 + TSS16_ES + 6], SEL_DATA
	; Gates.
	xor ecx, ecx
.gate:	call plain_gate
	inc ecx
	cmp ecx, 32
	jne .gate
	SET_GATE VECTOR_SOFT, GATE_TASK, T_SOFT, 0
	SET_GATE EXC_NMI, GATE_TASK, T_NMI, 0
	SET_GATE VECTOR_IRQ, GATE_TASK, T_IRQ, 0
	ret

; The other tasks. Each finds itself behind its last instruction when it is entered again.

task_b:	pushfd
	pop dword [flags]
	cmp eax, 0xa0a0a0a0
	CHECK32 e, "EAX of the new task"
	cmp ecx, 0xc0c0c0c0
	CHECK32 e, "ECX of the new task"
	cmp edx, 0xd0d0d0d0
	CHECK32 e, "EDX of the new task"
	cmp ebx, 0xb0b0b0b0
	CHECK32 e, "EBX of the new task"
	cmp ebp, 0xbbbbbbbb
	CHECK32 e, "EBP of the new task"
	cmp esi, 0x51515151
	CHECK32 e, "ESI of the new task"
	cmp edi, 0xd1d1d1d1
	CHECK32 e, "EDI of the new task"
	cmp esp, STACK_B
	CHECK32 e, "ESP of the new task"
	cmp dword [flags], 2
	CHECK32 e, "EFLAGS after JMP"
	mov eax, cr3
	cmp eax, [cr3_b]
	CHECK32 e, "CR3 of the new task"
	cmp dword [WINDOW], 'b'
	CHECK32 e, "the memory of the new task"
	cmp dword [TSS_MAIN + TSS_EIP], main.after_jmp
	CHECK32 e, "EIP saved by JMP"
	cmp dword [TSS_MAIN + TSS_EBX], 0x12345678
	CHECK32 e, "EBX saved by JMP"
	cmp dword [TSS_MAIN + TSS_EDI], 0x9abcdef0
	CHECK32 e, "EDI saved by JMP"
	cmp word [TSS_MAIN + TSS_CS], SEL_CODE32
	CHECK32 e, "CS saved by JMP"
	cmp word [TSS_MAIN + TSS_SS], SEL_DATA
	CHECK32 e, "SS saved by JMP"
	str ax
	cmp ax, T_B
	CHECK32 e, "TR of the new task"
	IS MAIN, TASK_FREE
	IS B, TASK_BUSY
	inc dword [visits]
	jmp T_MAIN:0
.call:	pushfd
	pop eax
	test eax, RFLAGS_NT
	CHECK32 nz, "NT after CALL"
	cmp word [TSS_B + LINK], T_MAIN
	CHECK32 e, "link after CALL"
	cmp dword [TSS_MAIN + TSS_EIP], main.after_call
	CHECK32 e, "EIP saved by CALL"
	IS MAIN, TASK_BUSY
	IS B, TASK_BUSY
	inc dword [visits]
	iretd
	inc dword [visits]
	iretd
	jmp fail32

task_soft:
	cmp esp, STACK_SOFT
	CHECK32 e, "stack after INT"
	cmp word [TSS_SOFT + LINK], T_MAIN
	CHECK32 e, "link after INT"
	cmp dword [TSS_MAIN + TSS_EIP], main.after_int
	CHECK32 e, "EIP saved by INT"
	inc dword [visits]
	iretd
	jmp task_soft

task_pf:
	cmp esp, STACK_PF - 4
	CHECK32 e, "stack after a page fault"
	pop eax
	cmp eax, 2
	CHECK32 e, "error code of a page fault"
	mov eax, cr2
	cmp eax, NOWHERE + 0x123
	CHECK32 e, "CR2"
	cmp dword [TSS_MAIN + TSS_EIP], main.fault
	CHECK32 e, "EIP saved by a page fault"
	mov dword [TSS_MAIN + TSS_EIP], main.after_fault
	inc dword [visits]
	iretd
	jmp task_pf

task_df:
	pop eax
	test eax, eax
	CHECK32 z, "error code of a double fault"
	cmp esp, STACK_DF
	CHECK32 e, "stack after a double fault"
	cmp word [TSS_DF + LINK], T_MAIN
	CHECK32 e, "link after a double fault"
	mov dword [TSS_MAIN + TSS_EIP], main.after_df
	inc dword [visits]
	iretd
	jmp task_df

bits 16
task_16:
	cmp ax, 0x1616
	jne .bad
	cmp sp, 0x8000
	jne .bad
	mov ebx, visits
	inc dword [ebx]
.bad:	iret
	jmp task_16
bits 32

; Of the faults of new tasks: back to the first one, which is not nested.
task_fault:
	pop eax
	cmp eax, [expect_code]
	CHECK32 e, "error code of a new task's fault"
	movzx eax, word [TSS_FAULT + LINK]
	cmp eax, [expect_link]
	CHECK32 e, "task of a new task's fault"
	cmp esp, STACK_FAULT
	CHECK32 e, "stack after a new task's fault"
	inc dword [visits]
	jmp T_MAIN:0
	jmp task_fault

task_user:
	mov eax, cs
	cmp eax, SEL_USER_CODE
	jne .bad
	inc dword [visits]
.bad:	iretd
	jmp task_user

bits 16
task_vm86:
	inc word [cs:REAL(visits)]
.fault:	hlt
bits 32

; Sends the second one itself: it comes when IRET has ended the first.
task_nmi:
	cmp esp, STACK_NMI
	CHECK32 e, "stack after an NMI"
	inc dword [visits]
	cmp dword [visits], 1
	jne .second
	mov dword [ICR], ICR_ASSERT | ICR_MODE_NMI
	mov ecx, 10
.wait:	in al, 0x80
	loop .wait
	cmp dword [visits], 1
	CHECK32 e, "an NMI in an NMI's task"
.second:
	iretd
	jmp task_nmi

task_irq:
	pushfd
	pop eax
	test eax, RFLAGS_IF
	CHECK32 z, "IF of an interrupt's task"
	test dword [TSS_MAIN + TSS_FLAGS], RFLAGS_IF
	CHECK32 nz, "IF of the interrupted task"
	inc dword [visits]
	mov dword [PC_LAPIC + APIC_REG_EOI], 0
	iretd
	jmp task_irq

task_trap:
	inc dword [visits]
	jmp T_MAIN:0
	jmp task_trap

task_ldt:
	mov ax, ss
	cmp ax, 0x0c
	CHECK32 e, "SS of the LDT"
	sldt ax
	cmp ax, SEL_LDT
	CHECK32 e, "LDTR of the new task"
	inc dword [visits]
	push eax
	pop eax
	iretd
	jmp task_ldt

; One round, with the paging that is on.
main:	mov ax, T_MAIN
	ltr ax
	clts
	mov dword [visits], 0
	mov dword [TSS_B + TSS_EAX], 0xa0a0a0a0
	mov dword [TSS_B + TSS_ECX], 0xc0c0c0c0
	mov dword [TSS_B + TSS_EDX], 0xd0d0d0d0
	mov dword [TSS_B + TSS_EBX], 0xb0b0b0b0
	mov dword [TSS_B + TSS_EBP], 0xbbbbbbbb
	mov dword [TSS_B + TSS_ESI], 0x51515151
	mov dword [TSS_B + TSS_EDI], 0xd1d1d1d1
	mov ebx, 0x12345678
	mov edi, 0x9abcdef0
	jmp T_B:0
.after_jmp:
	cmp ebx, 0x12345678
	CHECK32 e, "EBX after JMP and JMP"
	cmp edi, 0x9abcdef0
	CHECK32 e, "EDI after JMP and JMP"
	cmp dword [visits], 1
	CHECK32 e, "JMP did not switch"
	mov eax, cr0
	test eax, CR0_TS
	CHECK32 nz, "CR0.TS after a switch"
	cmp dword [WINDOW], 'main'
	CHECK32 e, "memory after JMP and JMP"
	IS MAIN, TASK_BUSY
	IS B, TASK_FREE
	DONE "JMP"

	call T_B:0
.after_call:
	cmp dword [visits], 2
	CHECK32 e, "CALL did not switch"
	pushfd
	pop eax
	test eax, RFLAGS_NT
	CHECK32 z, "NT after IRET"
	test dword [TSS_B + TSS_FLAGS], RFLAGS_NT
	CHECK32 z, "NT saved by IRET"
	IS MAIN, TASK_BUSY
	IS B, TASK_FREE
	call T_B:0
	cmp dword [visits], 3
	CHECK32 e, "the second CALL did not switch"
	DONE "CALL and IRET"

	mov ebp, 2
.int:	int VECTOR_SOFT
.after_int:
	dec ebp
	jnz .int
	cmp dword [visits], 5
	CHECK32 e, "INT did not switch"
	DONE "INT"

	SET_GATE EXC_PF, GATE_TASK, T_PF, 0
	mov dword [visits], 0
.fault:	mov dword [NOWHERE + 0x123], eax
.after_fault:
	cmp dword [visits], 1
	CHECK32 e, "page fault"
	PLAIN_GATE EXC_PF
	DONE "page fault"

	; A general protection whose gate is not present.
	SET_GATE EXC_DF, GATE_TASK, T_DF, 0
	mov dword [IDT32 + EXC_GP * 8 + 4], 0
	SET_GATE EXC_NP, 0, 0, 0
	xor eax, eax
	mov ss, ax
.after_df:
	cmp dword [visits], 2
	CHECK32 e, "double fault"
	PLAIN_GATE EXC_DF
	PLAIN_GATE EXC_NP
	PLAIN_GATE EXC_GP
	DONE "double fault"

	mov ebx, 0x12345678
	call T_16:0
	cmp dword [visits], 3
	CHECK32 e, "TSS of 16 bits"
	cmp word [TSS_16 + LINK], T_MAIN
	CHECK32 e, "link in a TSS of 16 bits"
	cmp word [TSS_16 + TSS16_IP], REAL(task_16.bad) + 1
	CHECK32 e, "IP saved in a TSS of 16 bits"
	cmp ebx, 0x12345678
	CHECK32 e, "EBX after a TSS of 16 bits"
	DONE "16 bits"

	FAULTS EXC_NP, T_ABSENT, jmp T_ABSENT:0
	FAULTS EXC_NP, T_ABSENT, call T_ABSENT:0
	FAULTS EXC_TS, T_SHORT, jmp T_SHORT:0
	FAULTS EXC_GP, T_MAIN, call T_MAIN:0
	FAULTS EXC_GP, SEL_TASKS + TASKS * 8, jmp SEL_TASKS + TASKS * 8:0
	pushfd
	or dword [esp], RFLAGS_NT
	popfd
	FAULTS EXC_TS, 0, iretd
	mov word [TSS_MAIN + LINK], T_B
	pushfd
	or dword [esp], RFLAGS_NT
	popfd
	FAULTS EXC_TS, T_B, iretd
	DONE "faults of the old task"

	SET_GATE EXC_NP, GATE_TASK, T_FAULT, 0
	SET_GATE EXC_TS, GATE_TASK, T_FAULT, 0
	SET_GATE EXC_GP, GATE_TASK, T_FAULT, 0
	mov dword [visits], 0
	mov dword [expect_code], SEL_USER_DATA & ~3
	mov dword [expect_link], T_BAD_SS
	jmp T_BAD_SS:0
	cmp dword [visits], 1
	CHECK32 e, "stack segment of another privilege"
	mov dword [expect_code], SEL_DATA
	mov dword [expect_link], T_BAD_CS
	jmp T_BAD_CS:0
	cmp dword [visits], 2
	CHECK32 e, "code segment that is data"
	IS BAD_CS, TASK_BUSY
	mov dword [expect_code], SEL_ABSENT
	mov dword [expect_link], T_BAD_DS
	jmp T_BAD_DS:0
	cmp dword [visits], 3
	CHECK32 e, "data segment that is not present"
	DONE "faults of the new task"

	mov dword [expect_code], 0
	mov dword [expect_link], T_VM86
	jmp T_VM86:0
	cmp dword [visits], 5
	CHECK32 e, "virtual-8086 mode"
	test dword [TSS_VM86 + TSS_FLAGS], RFLAGS_VM
	CHECK32 nz, "VM saved"
	cmp word [TSS_VM86 + TSS_CS], ORIGIN >> 4
	CHECK32 e, "CS of virtual-8086 mode saved"
	cmp dword [TSS_VM86 + TSS_EIP], REAL(task_vm86.fault)
	CHECK32 e, "EIP of virtual-8086 mode saved"
	PLAIN_GATE EXC_NP
	PLAIN_GATE EXC_TS
	PLAIN_GATE EXC_GP
	DONE "virtual-8086 mode"

	call T_USER:0
	cmp dword [visits], 6
	CHECK32 e, "user mode"
	call T_LDT:0
	cmp dword [visits], 7
	CHECK32 e, "LDT"
	sldt ax
	test ax, ax
	CHECK32 z, "LDTR after IRET"
	DONE "user mode, LDT"

	jmp T_TRAP:0
	cmp dword [visits], 8
	CHECK32 e, "T flag"
	; Not every emulator knows it.
	cmp dword [trap], 0
	je .no_trap
	test dword [trap], DR6_BT
	CHECK32 nz, "DR6.BT"
	mov dword [trap], 0
	xor eax, eax
	mov dr6, eax
	DONE "debug trap"
.no_trap:

	mov dword [visits], 0
	mov dword [ICR_DESTINATION], 0
	mov dword [ICR], ICR_ASSERT | ICR_MODE_NMI
	mov ecx, 10000
.nmi:	in al, 0x80
	cmp dword [visits], 2
	loopne .nmi
	CHECK32 e, "two NMIs"
	DONE "NMI"

	mov dword [visits], 0
	mov dword [PC_LAPIC + APIC_REG_SPURIOUS], SPURIOUS_ENABLE | SPURIOUS_RESET
	mov dword [ICR], ICR_ASSERT | VECTOR_IRQ
	sti
	mov ecx, 10000
.irq:	in al, 0x80
	cmp dword [visits], 1
	loopne .irq
	cli
	CHECK32 e, "an interrupt"
	DONE "interrupt"
%ifdef END_TRIPLE
	SET_GATE EXC_DF, GATE_TASK, T_BAD_CS, 0
	and byte [GDT32 + T_BAD_CS + 5], ~2
	mov dword [IDT32 + EXC_GP * 8 + 4], 0
	xor eax, eax
	mov ss, ax
%endif
	ret

start_rounds:
	mov ax, SEL_DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK_MAIN
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov ecx, MSR_EFER
	rdmsr
	and eax, ~EFER_LME
	wrmsr
	call build_tables
	lgdt [gdt32_pointer]
	lidt [idt32_pointer]
.round:	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov eax, CR4_PSE
	mov dword [cr3_main], PD
	mov dword [cr3_b], PD_B
	cmp dword [round], 0
	je .paging
	mov eax, CR4_PAE
	mov dword [cr3_main], PDPT_PAE
	mov dword [cr3_b], PDPT_PAE_B
.paging:
	mov cr4, eax
	mov eax, [cr3_main]
	mov cr3, eax
	call build_tasks
	mov eax, cr0
	or eax, CR0_PG | CR0_WP
	mov cr0, eax
	call main
	inc dword [round]
	cmp dword [round], ROUNDS
	jne .round
	mov ebp, done64
	jmp leave32

bits 64
guest_main:
	mov eax, SEL_CODE32
	push rax
	lea rax, [rel start_rounds]
	push rax
	retfq
done64:	mov rsp, STACK_TOP - 8			; on which is where to return to
	ret

GUEST_END
