; SPDX-License-Identifier: GPL-2.0
; Takes the place of the decompressor in a bzImage whose kernel lies there unpacked, KERNEL bytes behind this code. Both entries of
; the Linux boot protocol (Documentation/x86/boot.rst) end in the kernel's own entry with RSI = boot_params and an identity map.
; Wants FILE_BYTES, what the image holds of the kernel, and MEMORY_BYTES, what the kernel takes; the rest is zeroed here.
KERNEL		equ 0x200000			; the kernel wants to be aligned to this
ENTRY_64	equ 0x200
BP_SCRATCH	equ 0x1e4			; room for a stack in boot_params
TABLES		equ 0x1000			; PML4, PDPT, four page directories; zero in the image
PAGE		equ 0x1000
DIRECTORIES	equ 4				; 1 GiB each
PRESENT_WRITE	equ 0x3
PRESENT_LARGE	equ 0x83
CR4_PAE		equ 1 << 5
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8
CR0_PG		equ 1 << 31
SELECTOR_CODE	equ 0x10			; what boot.rst asks for, __BOOT_CS and __BOOT_DS
SELECTOR_DATA	equ 0x18

	org 0
	bits 32
start_32:
	cli
	cld
	lea esp, [esi + BP_SCRATCH + 4]
	call .here
.here:	pop ebp
	sub ebp, .here - start_32

	lea edi, [ebp + TABLES + 2 * PAGE]
	mov eax, PRESENT_LARGE
	mov ecx, DIRECTORIES * 512
.large:	mov [edi], eax
	add edi, 8
	add eax, 0x200000
	loop .large

	lea edi, [ebp + TABLES + PAGE]
	lea eax, [ebp + TABLES + 2 * PAGE + PRESENT_WRITE]
	mov ecx, DIRECTORIES
.table:	mov [edi], eax
	add edi, 8
	add eax, PAGE
	loop .table
	lea eax, [ebp + TABLES + PAGE + PRESENT_WRITE]
	mov [ebp + TABLES], eax

	lea eax, [ebp + gdt]
	mov [ebp + gdt_pointer + 2], eax
	lgdt [ebp + gdt_pointer]
	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	lea eax, [ebp + TABLES]
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	lea eax, [ebp + start_64]
	push dword SELECTOR_CODE
	push eax
	mov eax, cr0
	or eax, CR0_PG
	mov cr0, eax
	retf

gdt:	dq 0, 0
	dq 0x00af9a000000ffff			; SELECTOR_CODE: 64 bits
	dq 0x00cf92000000ffff			; SELECTOR_DATA
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd 0

	times ENTRY_64 - ($ - $$) db 0
	bits 64
start_64:
	cli
	cld
	lea rbx, [rel start_32 + KERNEL]
	lea rdi, [rbx + FILE_BYTES]
	mov ecx, (MEMORY_BYTES - FILE_BYTES) / 8
	xor eax, eax
	rep stosq
	jmp rbx

	times KERNEL - ($ - $$) db 0
