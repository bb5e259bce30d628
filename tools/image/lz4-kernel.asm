; SPDX-License-Identifier: GPL-2.0
; Stands before a kernel in a bzImage instead of Linux' own decompressor, and unpacks LZ4: blocks, each behind its packed size,
; and a size of 0. Both entries of the Linux boot protocol (Documentation/x86/boot.rst) end in the kernel's own with
; RSI = boot_params and an identity map.
; Wants KERNEL, how far behind its own start the kernel is to lie, MEMORY_BYTES, what the kernel takes, and ENTRY, where in that
; it is entered.
ENTRY_64	equ 0x200
BP_SCRATCH	equ 0x1e4			; room for a stack in boot_params
PAGE		equ 0x1000
TABLES		equ PAGE			; PML4, PDPT, page directories; zero in the image
DIRECTORIES	equ 4				; 1 GiB each
PACKED		equ TABLES + (2 + DIRECTORIES) * PAGE
LARGE_PAGE	equ 0x200000
PRESENT_WRITE	equ 0x3
PRESENT_LARGE	equ 0x83
CR4_PAE		equ 1 << 5
MSR_EFER	equ 0xc0000080
EFER_LME	equ 1 << 8
CR0_PG		equ 1 << 31
SELECTOR_CODE	equ 0x10			; what boot.rst asks for, __BOOT_CS and __BOOT_DS
LENGTH_MORE	equ 15				; a length that goes on in the next bytes
MATCH_LEAST	equ 4

; MORE register: adds the bytes at RSI that a length of LENGTH_MORE goes on with. Uses RAX.
%macro MORE 1
	cmp %1, LENGTH_MORE
	jne %%end
%%next:	movzx eax, byte [rsi]
	inc rsi
	add %1, eax
	cmp al, 255
	je %%next
%%end:
%endmacro

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
	add eax, LARGE_PAGE
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
	dq 0x00cf92000000ffff			; the data selector
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dd 0

	times ENTRY_64 - ($ - $$) db 0
	bits 64
start_64:
	cli
	cld
	mov r15, rsi
	lea r14, [rel start_32 + KERNEL]
	lea rsi, [rel start_32 + PACKED]
	mov rdi, r14
.block:	lodsd
	test eax, eax
	jz .end
	lea r8, [rsi + rax]
.sequence:
	movzx edx, byte [rsi]
	inc rsi
	mov ecx, edx
	shr ecx, 4
	MORE ecx
	rep movsb
	cmp rsi, r8				; the last sequence of a block has literals only
	jae .block
	movzx eax, word [rsi]
	add rsi, 2
	mov rbx, rdi
	sub rbx, rax
	mov ecx, edx
	and ecx, 15
	MORE ecx
	add ecx, MATCH_LEAST
	xchg rsi, rbx
	rep movsb				; may overlap, forwards
	mov rsi, rbx
	jmp .sequence

.end:	lea rcx, [r14 + MEMORY_BYTES]
	sub rcx, rdi
	xor eax, eax
	rep stosb
	mov rsi, r15
	add r14, ENTRY
	jmp r14

	times PACKED - ($ - $$) db 0
