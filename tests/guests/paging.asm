; SPDX-License-Identifier: GPL-2.0
; No paging, and paging with two, three and four levels: pages of all sizes to memory and devices, rights, NX, SMEP, SMAP,
; reserved bits, pages that change, and the accessed and dirty bits, of accesses that the processor makes and of those (string
; I/O) that others make.
%define GUEST_NAME "paging"
%define GUEST_REAL_MODE
%include "guest.inc"

HPET_COUNTER	equ PC_HPET + 0xf0
HPET_CONFIG	equ PC_HPET + 0x10
DEBUG_READS	equ 0xe9
HIGH_PORT	equ 0x5658
MEMORY		equ 0x400000
DEVICES		equ PC_IOAPIC			; 4 MiB with the IO APIC, the HPET and the local APIC
; Linear addresses: small pages, and two large ones.
WINDOW		equ 0x40000000
PAGE_MISSING	equ WINDOW + 0x1000
PAGE_READ	equ WINDOW + 0x2000
PAGE_DEVICE	equ WINDOW + 0x3000		; the HPET
PAGE_FREE	equ WINDOW + 0x4000		; as a test wants it
PAGE_PROGRAM	equ WINDOW + 0x5000		; the user's
LARGE		equ 0x40800000
LARGE_DEVICES	equ 0x40c00000
GIB_ALIAS	equ 0x100000000			; the first GiB once more, by one page
GIB_DEVICES	equ 0x140000000			; the fourth
TABLE		equ 0x60000			; of the window
DIRECTORY32	equ 0x61000			; of PSE and of PAE: one, or four, and the pointers to them
POINTERS	equ 0x65000
IDT32		equ 0x66000
STACK32_TOP	equ 0x70000

PAGE_ACCESSED	equ 0x20
PAGE_DIRTY	equ 0x40
PAGE_USED	equ PAGE_ACCESSED | PAGE_DIRTY
PAGE_GLOBAL	equ 0x100
PROGRAM		equ MEMORY + 0x5000
CODE_PRESENT	equ 1
CODE_WRITE	equ 2
CODE_USER	equ 4
CODE_RESERVED	equ 8
CODE_FETCH	equ 16
FLAGS_IOPL	equ 0x3002
SEL_CODE16	equ 0x28
SEL_DATA16	equ 0x30
SEL_USER_DATA	equ 0x33
SEL_USER_CODE	equ 0x3b
MAX_FAILURES	equ 32

align 8
gdt32:	dq 0
	dq 0x00cf9b000000ffff
	dq 0x00cf93000000ffff
	dq 0
	dq 0
	dq 0x00009b0f0000ffff			; code at 0xf0000, 16-bit
	dq 0x000093000000ffff
gdt32_end:
gdt32_pointer:
	dw gdt32_end - gdt32 - 1
	dd gdt32
idt32_pointer:
	dw 32 * 8 - 1
	dd IDT32
idt16_pointer:
	dw 0x3ff
	dd 0

bits 16
real_mode:
	mov [REAL(real_sp)], sp
	mov bx, REAL(gdt32_pointer)
	o32 lgdt [bx]
	mov eax, cr0
	and eax, ~(CR0_CD | CR0_NW)
	or al, CR0_PE
	mov cr0, eax
	jmp dword SEL_CODE32:protected
back16:	mov ax, SEL_DATA16
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov eax, cr0
	and al, ~CR0_PE
	mov cr0, eax
	jmp 0xf000:REAL(.real)
.real:	mov ax, cs
	mov ds, ax
	xor ax, ax
	mov es, ax
	mov ss, ax
	mov sp, [REAL(real_sp)]
	mov bx, REAL(idt16_pointer)
	o32 lidt [bx]
	ret

bits 32
; EXPECT32 condition, text: remembers the failure, to be told later.
%macro EXPECT32 2+
	j%1 %%good
	[section .rodata]
%%text:	db %2, 0
	__?SECT?__
	mov eax, %%text
	call remember
%%good:
%endmacro

remember:
	push ecx
	mov ecx, [remembered]
	cmp ecx, MAX_FAILURES
	jae .done
	mov [list + ecx * 4], eax
	inc dword [remembered]
.done:	pop ecx
	ret

; TRY32 instruction: [code32] = its page fault's error code, or -1.
%macro TRY32 1+
	mov dword [code32], -1
	mov dword [recover32], %%after
	mov [recover32_esp], esp
	%1
	mov dword [recover32], bad_fault32
%%after:
%endmacro

page_fault32:
	pop dword [code32]
	mov eax, cr2
	mov [address32], eax
	mov esp, [recover32_esp]
	mov eax, bad_fault32
	xchg eax, [recover32]
	jmp eax

; One that no test expects: nothing can be told from here.
bad_fault32:
	mov al, '!'
	mov dx, PC_PORT_SERIAL
	out dx, al
	cli
	hlt
	jmp bad_fault32

; FAULTS32 text, code, address
%macro FAULTS32 3
	cmp dword [code32], %2
	EXPECT32 e, MODE, %1, ": error code"
	cmp dword [address32], %3
	EXPECT32 e, MODE, %1, ": CR2"
%endmacro

%macro WORKS32 1
	cmp dword [code32], -1
	EXPECT32 e, MODE, %1, ": a page fault"
%endmacro

; BITS32 text, entry, bits: of PAGE_USED those that are set, which are cleared then.
%macro BITS32 3
	mov eax, [%2]
	and eax, PAGE_USED
	cmp eax, %3
	EXPECT32 e, MODE, %1, ": accessed and dirty bits"
	and dword [%2], ~PAGE_USED
	mov eax, cr3
	mov cr3, eax
%endmacro

; The same for both kinds of table. ENTRY is the size of an entry, LARGE_ENTRY the place of that of LARGE.
%macro CHECK32 0
	mov edi, PAGE_DEVICE + (HPET_COUNTER & 0xfff)
	mov dword [edi], 0x12345678
	cmp dword [HPET_COUNTER], 0x12345678
	EXPECT32 e, MODE, "a small page of a device"
	mov dword [LARGE_DEVICES + HPET_COUNTER - DEVICES], 0x87654321
	cmp dword [edi], 0x87654321
	EXPECT32 e, MODE, "a large page of devices"
	BITS32 "a small page of a device", TABLE + 3 * ENTRY, PAGE_USED
	mov byte [WINDOW], 1
	BITS32 "MOV to a page", TABLE, PAGE_USED
	mov al, [WINDOW]
	BITS32 "MOV from a page", TABLE, PAGE_ACCESSED
	mov dx, PC_PORT_DEBUG
	mov edi, WINDOW
	TRY32 insb
	WORKS32 "INSB"
	cmp byte [MEMORY], DEBUG_READS
	EXPECT32 e, MODE, "INSB to a page"
	BITS32 "INSB to a page", TABLE, PAGE_USED
	mov esi, WINDOW
	mov dx, 0x80
	TRY32 outsb
	WORKS32 "OUTSB"
	BITS32 "OUTSB from a page", TABLE, PAGE_ACCESSED
	mov esi, PC_VGA_HOLE
	mov edi, WINDOW
	TRY32 movsd
	WORKS32 "MOVSD from a device"
	BITS32 "MOVSD from a device", TABLE, PAGE_USED
	and dword [LARGE_ENTRY], ~PAGE_USED
	mov eax, cr3
	mov cr3, eax
	mov dx, 0x80
	mov esi, LARGE
	outsb
	BITS32 "OUTSB from a large page", LARGE_ENTRY, PAGE_ACCESSED
	mov dx, PC_PORT_DEBUG
	mov edi, LARGE + 0x1234
	insb
	cmp byte [MEMORY + 0x1234], DEBUG_READS
	EXPECT32 e, MODE, "INSB to a large page"
	BITS32 "INSB to a large page", LARGE_ENTRY, PAGE_USED
	TRY32 mov al, [PAGE_MISSING]
	FAULTS32 "a read of a missing page", 0, PAGE_MISSING
	TRY32 mov [PAGE_READ], al
	FAULTS32 "a write that is forbidden", CODE_PRESENT | CODE_WRITE, PAGE_READ
	mov dx, PC_PORT_DEBUG
	mov edi, PAGE_MISSING - 2
	mov ecx, 4
	TRY32 rep insb
	FAULTS32 "REP INSB", CODE_WRITE, PAGE_MISSING
	cmp ecx, 2
	EXPECT32 e, MODE, "ECX of REP INSB"
	mov edi, PAGE_READ
	TRY32 insb
	FAULTS32 "INSB that is forbidden", CODE_PRESENT | CODE_WRITE, PAGE_READ
	BITS32 "INSB that is forbidden", TABLE + 2 * ENTRY, 0
	mov esi, PC_VGA_HOLE
	mov edi, PAGE_READ
	TRY32 movsd
	FAULTS32 "MOVSD from a device that is forbidden", CODE_PRESENT | CODE_WRITE, PAGE_READ
%endmacro

%macro SMALL32 2
	mov dword [TABLE + %1 * ENTRY], %2
%endmacro

%macro TABLE32 0
	mov edi, TABLE
	mov ecx, 0x6000 / 4
	xor eax, eax
	rep stosd
	SMALL32 0, MEMORY | PAGE_PRESENT | PAGE_WRITE
	SMALL32 2, MEMORY + 0x2000 + PAGE_PRESENT
	SMALL32 3, PC_HPET + (PAGE_PRESENT | PAGE_WRITE)
%endmacro

paging_on:
	mov eax, cr0
	or eax, CR0_PG | CR0_WP
	mov cr0, eax
	ret

paging_off:
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	ret

protected:
	mov ax, SEL_DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, STACK32_TOP
	mov edi, IDT32
	mov ecx, 32 * 2
	xor eax, eax
	rep stosd
	mov eax, page_fault32
	mov [IDT32 + EXC_PF * 8], ax
	mov word [IDT32 + EXC_PF * 8 + 2], SEL_CODE32
	mov word [IDT32 + EXC_PF * 8 + 4], 0x8e00
	shr eax, 16
	mov [IDT32 + EXC_PF * 8 + 6], ax
	lidt [idt32_pointer]
	mov dword [HPET_CONFIG], 0

%define MODE "no paging: "
	mov dword [HPET_COUNTER], 0x12345678
	cmp dword [HPET_COUNTER], 0x12345678
	EXPECT32 e, MODE, "a device"
	mov byte [MEMORY], 0
	mov dx, PC_PORT_DEBUG
	mov edi, MEMORY
	insb
	cmp byte [MEMORY], DEBUG_READS
	EXPECT32 e, MODE, "INSB"
	mov esi, HPET_COUNTER
	movsd
	cmp dword [MEMORY + 1], 0x12345678
	EXPECT32 e, MODE, "MOVSD from a device"

%define MODE "two levels: "
%assign ENTRY 4
%define LARGE_ENTRY DIRECTORY32 + (LARGE >> 22) * 4
	TABLE32
	mov dword [DIRECTORY32], PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (MEMORY >> 22) * 4], MEMORY | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (DEVICES >> 22) * 4], DEVICES | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (WINDOW >> 22) * 4], TABLE | PAGE_PRESENT | PAGE_WRITE
	mov dword [LARGE_ENTRY], MEMORY | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [LARGE_ENTRY + 4], DEVICES | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov eax, DIRECTORY32
	mov cr3, eax
	mov eax, cr4
	or eax, CR4_PSE
	mov cr4, eax
	call paging_on
	CHECK32
	call paging_off

%define MODE "three levels: "
%assign ENTRY 8
%define LARGE_ENTRY DIRECTORY32 + (LARGE >> 21) * 8
	TABLE32
	mov eax, DIRECTORY32 + PAGE_PRESENT
	mov edi, POINTERS
.pointer:
	mov [edi], eax
	add eax, 0x1000
	add edi, 8
	cmp edi, POINTERS + 4 * 8
	jb .pointer
	mov dword [DIRECTORY32], PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (MEMORY >> 21) * 8], MEMORY | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (DEVICES >> 21) * 8], DEVICES | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (DEVICES >> 21) * 8 + 8], DEVICES + 0x200000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE)
	mov dword [DIRECTORY32 + (WINDOW >> 21) * 8], TABLE | PAGE_PRESENT | PAGE_WRITE
	mov dword [LARGE_ENTRY], MEMORY | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov dword [DIRECTORY32 + (LARGE_DEVICES >> 21) * 8], DEVICES | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov eax, POINTERS
	mov cr3, eax
	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	call paging_on
	CHECK32
	call paging_off
	mov eax, cr4
	and eax, ~(CR4_PAE | CR4_PSE)
	mov cr4, eax
	jmp SEL_CODE16:REAL(back16)

bits 64
align 8
gdt64:	dq 0
	dq 0x00cf9b000000ffff
	dq 0x00cf93000000ffff
	dq 0x00af9b000000ffff
	dq 0, 0
	dq 0x00cff3000000ffff
	dq 0x00affb000000ffff
gdt64_end:
gdt64_pointer:
	dw gdt64_end - gdt64 - 1
	dq gdt64

; FAULTS text, code, address
%macro FAULTS 3
	cmp al, EXC_PF
	VERIFY e, "no page fault: ", %1
	mov rax, [abs fault_code]
	or al, [abs forgotten]
	cmp rax, (%2)
	VERIFY e, "error code: ", %1
	mov rax, %3
	cmp [abs fault_address], rax
	VERIFY e, "CR2: ", %1
%endmacro

%macro WORKS 1
	cmp al, NO_FAULT
	VERIFY e, "a fault: ", %1
%endmacro

; USER text, instruction: as FAULTS and WORKS want it. HLT is a fault of the user's, and says that he came that far.
%macro USER 1+
	lea rsi, [rel %%code]
	[section .rodata]
%%code:	%1
	hlt
	times 16 - ($ - %%code) db 0x90
	__?SECT?__
	call load_program
	TRY jmp run_program
%endmacro

%macro USER_UD 1
	cmp al, EXC_UD
	VERIFY e, %1
%endmacro

%macro USER_WORKS 1
	cmp al, EXC_GP
	VERIFY e, "a fault: ", %1
%endmacro

; BITS_ARE text, entry, bits
%macro BITS_ARE 3
	mov rax, [abs %2]
	and eax, PAGE_USED
	cmp eax, %3
	VERIFY e, "accessed and dirty bits: ", %1
	and qword [abs %2], ~PAGE_USED
	mov rax, cr3
	mov cr3, rax
%endmacro

; The free page's entry becomes RAX.
%macro FREE_PAGE 1
	mov rax, %1
	mov [abs TABLE + 4 * 8], rax
	mov eax, PAGE_FREE
	invlpg [rax]
%endmacro

make_tables:
	mov edi, TABLE
	mov ecx, 512
	xor eax, eax
	rep stosq
	mov qword [abs TABLE], MEMORY | PAGE_PRESENT | PAGE_WRITE
	mov qword [abs TABLE + 2 * 8], MEMORY + 0x2000 + PAGE_PRESENT
	mov eax, PC_HPET + (PAGE_PRESENT | PAGE_WRITE)
	mov [abs TABLE + 3 * 8], rax
	mov qword [abs TABLE + 5 * 8], PROGRAM | PAGE_PRESENT | PAGE_USER
	lgdt [rel gdt64_pointer]
	mov qword [abs DIRECTORY + 0x1000], TABLE | PAGE_PRESENT | PAGE_WRITE | PAGE_USER
	mov eax, 0x80000001
	cpuid
	bt edx, 26
	jnc .no_gib
	mov qword [abs PDPT + 4 * 8], PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov eax, 0xc0000000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE)
	mov [abs PDPT + 5 * 8], rax
	mov byte [abs gib], 1
.no_gib:
	mov rax, cr3
	mov cr3, rax
	ret

check_bits:
	mov byte [abs WINDOW], 1
	BITS_ARE "MOV to a page", TABLE, PAGE_USED
	mov al, [abs WINDOW]
	BITS_ARE "MOV from a page", TABLE, PAGE_ACCESSED
	BITS_ARE "the table of a page", DIRECTORY + 0x1000, PAGE_ACCESSED
	mov qword [abs DIRECTORY + 0x1000 + 4 * 8], MEMORY | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov al, [abs LARGE]
	BITS_ARE "MOV from a large page", DIRECTORY + 0x1000 + 4 * 8, PAGE_ACCESSED
	mov [abs LARGE], al
	BITS_ARE "MOV to a large page", DIRECTORY + 0x1000 + 4 * 8, PAGE_USED
	mov al, [abs LARGE]
	mov [abs LARGE], al
	BITS_ARE "MOV from and to a large page", DIRECTORY + 0x1000 + 4 * 8, PAGE_USED
	mov dx, PC_PORT_DEBUG
	mov edi, WINDOW
	TRY insb
	WORKS "INSB"
	BITS_ARE "INSB", TABLE, PAGE_USED
	BITS_ARE "the table of INSB's page", DIRECTORY + 0x1000, PAGE_ACCESSED
	mov dx, 0x80
	mov esi, WINDOW
	TRY outsb
	WORKS "OUTSB"
	BITS_ARE "OUTSB", TABLE, PAGE_ACCESSED
	mov dx, PC_PORT_DEBUG
	mov edi, PAGE_MISSING - 2
	mov ecx, 4
	TRY rep insb
	FAULTS "REP INSB", CODE_WRITE, PAGE_MISSING
	mov edi, PAGE_READ
	TRY insb
	FAULTS "INSB that is forbidden", CODE_PRESENT | CODE_WRITE, PAGE_READ
	mov esi, PC_VGA_HOLE
	mov edi, WINDOW
	movsd
	BITS_ARE "MOVSD from a device", TABLE, PAGE_USED
	cmp byte [abs gib], 0
	je .done
	mov rsi, GIB_DEVICES + PC_HPET - 0xc0000000 + 0xf0
	mov edi, HPET_COUNTER
	mov dword [rdi], 0x600d600d
	lodsd
	cmp eax, 0x600d600d
	VERIFY e, "a page of 1 GiB with devices"
	and qword [abs PDPT + 4 * 8], ~PAGE_USED
	mov rax, cr3
	mov cr3, rax
	mov rsi, GIB_ALIAS + MEMORY
	mov dx, 0x80
	outsb
	BITS_ARE "OUTSB from a page of 1 GiB", PDPT + 4 * 8, PAGE_ACCESSED
	mov rdi, GIB_ALIAS + MEMORY + 0x345
	mov dx, PC_PORT_DEBUG
	insb
	cmp byte [abs MEMORY + 0x345], DEBUG_READS
	VERIFY e, "INSB to a page of 1 GiB"
	BITS_ARE "INSB to a page of 1 GiB", PDPT + 4 * 8, PAGE_USED
.done:	ret

; RSI: 16 bytes of program. Keeps RDX and RDI.
load_program:
	push rdi
	mov edi, PROGRAM
	movsq
	movsq
	pop rdi
	mov esi, PC_VGA_HOLE
	ret

run_program:
	push qword SEL_USER_DATA
	push qword 0
	push qword FLAGS_IOPL
	push qword SEL_USER_CODE
	push qword PAGE_PROGRAM
	iretq

check_rights:
	mov dx, PC_PORT_DEBUG
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE)
	USER mov al, [abs PAGE_FREE]
	FAULTS "a user's read of a supervisor's page", CODE_PRESENT | CODE_USER, PAGE_FREE
	mov edi, PAGE_FREE
	USER insb
	FAULTS "a user's INSB to a supervisor's page", CODE_PRESENT | CODE_WRITE | CODE_USER, PAGE_FREE
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_USER)
	USER mov al, [abs PAGE_FREE]
	USER_WORKS "a user's read of his page"
	USER mov [abs PAGE_FREE], al
	FAULTS "a user's write of a page that is read only", CODE_PRESENT | CODE_WRITE | CODE_USER, PAGE_FREE
	USER insb
	FAULTS "a user's INSB to a page that is read only", CODE_PRESENT | CODE_WRITE | CODE_USER, PAGE_FREE
	BITS_ARE "a page that was read and could not be written", TABLE + 4 * 8, PAGE_ACCESSED
	TRY mov [abs PAGE_FREE], al
	FAULTS "CR0.WP: a write", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	TRY insb
	FAULTS "CR0.WP: INSB", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	mov rax, cr0
	and eax, ~CR0_WP
	mov cr0, rax
	TRY mov [abs PAGE_FREE], al
	WORKS "no CR0.WP: a write"
	BITS_ARE "no CR0.WP: a write", TABLE + 4 * 8, PAGE_USED
	TRY insb
	WORKS "no CR0.WP: INSB"
	BITS_ARE "no CR0.WP: INSB", TABLE + 4 * 8, PAGE_USED
	mov edi, PAGE_FREE
	USER mov [abs PAGE_FREE], al
	FAULTS "no CR0.WP: a user's write", CODE_PRESENT | CODE_WRITE | CODE_USER, PAGE_FREE
	USER insb
	FAULTS "no CR0.WP: a user's INSB", CODE_PRESENT | CODE_WRITE | CODE_USER, PAGE_FREE
	mov rax, cr0
	or eax, CR0_WP
	mov cr0, rax
	TRY mov [abs PAGE_FREE], al
	FAULTS "CR0.WP again: a write", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
	USER mov [abs PAGE_FREE], al
	USER_WORKS "a user's write of his page"
	USER insb
	USER_WORKS "a user's INSB to his page"
	mov edi, PAGE_FREE
	USER movsd
	FAULTS "a user's read of a supervisor's device", CODE_PRESENT | CODE_USER, PC_VGA_HOLE
	; The stack of an event that comes from the user is the supervisor's.
	mov byte [abs IDT + EXC_PF * 16 + 4], 1
	mov qword [abs TSS + 4], PAGE_MISSING + 0x800
	USER ud2
	FAULTS "#UD of the user's on a missing stack", CODE_WRITE, PAGE_MISSING + 0x7f8
	mov qword [abs TSS + 4], PAGE_FREE + 0x800
	USER ud2
	USER_UD "#UD of the user's on a stack that he can reach"
	mov qword [abs TSS + 4], FAULT_STACK_TOP - 0x2000
	mov byte [abs IDT + EXC_PF * 16 + 4], 0
	; Both levels have a say.
	and dword [abs DIRECTORY + 0x1000], ~PAGE_USER
	call drop_all
	USER nop
	FAULTS "a user's program in a table's page of the supervisor's", CODE_PRESENT | CODE_USER, PAGE_PROGRAM
	or dword [abs DIRECTORY + 0x1000], PAGE_USER
	and dword [abs DIRECTORY + 0x1000], ~PAGE_WRITE
	call drop_all
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
	TRY mov [abs PAGE_FREE], al
	FAULTS "a write to a table's page that is read only", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	TRY insb
	FAULTS "INSB to a table's page that is read only", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	or dword [abs DIRECTORY + 0x1000], PAGE_WRITE
drop_all:
	mov rax, cr3
	mov cr3, rax
	ret

; Across a border, of which the page behind is missing: nothing is done, and CR2 has the first byte that is missing.
check_borders:
	FREE_PAGE 0
	mov r14d, PAGE_FREE - 2
	mov dword [abs MEMORY + 0x6ffe], 0x11111111
	mov qword [abs TABLE + 6 * 8], MEMORY + 0x6000 + (PAGE_PRESENT | PAGE_WRITE)
	mov r15d, WINDOW + 0x7000 - 2
	TRY mov eax, [r15]
	FAULTS "MOV from two pages", 0, WINDOW + 0x7000
	TRY mov [r15], eax
	FAULTS "MOV to two pages", CODE_WRITE, WINDOW + 0x7000
	mov rdi, r15
	mov dx, 0x80
	TRY insd
	FAULTS "INSD to two pages", CODE_WRITE, WINDOW + 0x7000
	mov rsi, r15
	TRY outsd
	FAULTS "OUTSD from two pages", 0, WINDOW + 0x7000
	mov esi, PC_VGA_HOLE
	mov rdi, r15
	TRY movsd
	FAULTS "MOVSD from a device to two pages", CODE_WRITE, WINDOW + 0x7000
	cmp word [abs MEMORY + 0x6ffe], 0x1111
	VERIFY e, "half of what could not be written"
	TRY mov eax, [r14]
	FAULTS "MOV from a device's page and another", 0, PAGE_FREE
	TRY mov [r14], eax
	FAULTS "MOV to a device's page and another", CODE_WRITE, PAGE_FREE
	; The page in front of it is missing.
	mov qword [abs TABLE + 8 * 8], MEMORY + 0x7000 + (PAGE_PRESENT | PAGE_WRITE)
	mov edi, WINDOW + 0x8000 - 3
	TRY insd
	FAULTS "INSD to a missing page and another", CODE_WRITE, WINDOW + 0x8000 - 3
	; Both are there, and far from each other.
	mov qword [abs TABLE + 7 * 8], MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE)
	mov rdi, r15
	mov dx, HIGH_PORT
	TRY insd
	WORKS "INSD to two pages"
	cmp word [abs MEMORY + 0x6ffe], 0xffff
	VERIFY e, "INSD to two pages: the first half"
	cmp word [abs MEMORY + 0x1000], 0xffff
	VERIFY e, "INSD to two pages: the second half"
	BITS_ARE "INSD to two pages: the second", TABLE + 7 * 8, PAGE_USED
	ret

; Tables' own accessed bits, by INSB alone: nothing else is in this part of the address space.
check_tables:
	and dword [abs PDPT + 8], ~PAGE_USED
	and dword [abs DIRECTORY + 0x1000], ~PAGE_USED
	mov rax, cr3
	mov cr3, rax
	mov edi, WINDOW
	mov dx, PC_PORT_DEBUG
	insb
	BITS_ARE "INSB: the directory", PDPT + 8, PAGE_ACCESSED
	BITS_ARE "INSB: the table", DIRECTORY + 0x1000, PAGE_ACCESSED
	ret

; Address spaces with identifiers, where CPUID has them.
check_pcid:
	mov eax, 1
	cpuid
	bt ecx, 17
	jnc .none
	mov rax, cr4
	or eax, CR4_PCIDE
	mov cr4, rax
	mov rbp, cr3
	lea rax, [rbp + 1]
	mov cr3, rax
	FREE_PAGE MEMORY + 0x6000 + (PAGE_PRESENT | PAGE_WRITE)
	cmp byte [abs PAGE_FREE], 6
	VERIFY e, "PCID: a page"
	mov edi, WINDOW
	mov dx, PC_PORT_DEBUG
	TRY insb
	WORKS "PCID: INSB"
	lea rax, [rbp + 2]
	bts rax, 63				; nothing is dropped
	mov cr3, rax
	cmp byte [abs PAGE_FREE], 6
	VERIFY e, "PCID: a page of another address space"
	mov edi, WINDOW
	mov dx, PC_PORT_DEBUG
	TRY insb
	WORKS "PCID: INSB in another address space"
	mov rax, cr3
	lea rcx, [rbp + 2]
	cmp rax, rcx
	VERIFY e, "PCID: CR3"
	mov qword [abs TABLE + 4 * 8], MEMORY + 0x7000 + (PAGE_PRESENT | PAGE_WRITE)
	call features
	bt ebx, 10
	jnc .no_invpcid
	mov qword [abs SCRATCH], 2
	mov qword [abs SCRATCH + 8], PAGE_FREE
	xor eax, eax
	invpcid rax, [abs SCRATCH]
	cmp byte [abs PAGE_FREE], 7
	VERIFY e, "INVPCID of an address"
	mov qword [abs TABLE + 4 * 8], MEMORY + 0x6000 + (PAGE_PRESENT | PAGE_WRITE)
	mov eax, 1
	invpcid rax, [abs SCRATCH]
	cmp byte [abs PAGE_FREE], 6
	VERIFY e, "INVPCID of an address space"
	mov qword [abs TABLE + 4 * 8], MEMORY + 0x7000 + (PAGE_PRESENT | PAGE_WRITE)
	mov eax, 2
	mov qword [abs SCRATCH], 0
	invpcid rax, [abs SCRATCH]
	cmp byte [abs PAGE_FREE], 7
	VERIFY e, "INVPCID of everything"
	mov eax, 4
	mov [abs try_rax], rax
	TRY invpcid rax, [abs SCRATCH]
	cmp al, EXC_GP
	VERIFY e, "INVPCID of a type that there is not: no #GP"
.no_invpcid:
	mov cr3, rbp
	mov rax, cr4
	and eax, ~CR4_PCIDE
	mov cr4, rax
	ret
.none:	PUTS "paging: no PCID here", 13, 10
	ret

; What a page shows after it was changed and the old translation dropped, in each of the ways to do that.
check_changes:
	mov byte [abs MEMORY + 0x6000], 6
	mov byte [abs MEMORY + 0x7000], 7
	mov rax, cr4
	or eax, CR4_PGE
	mov cr4, rax
	mov ebp, 20
.round:	FREE_PAGE MEMORY + 0x6000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_GLOBAL)
	cmp byte [abs PAGE_FREE], 6
	VERIFY e, "a page that INVLPG changed"
	FREE_PAGE MEMORY + 0x7000 + (PAGE_PRESENT | PAGE_WRITE)
	cmp byte [abs PAGE_FREE], 7
	VERIFY e, "a global page that INVLPG changed"
	mov qword [abs TABLE + 4 * 8], MEMORY + 0x6000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_GLOBAL)
	mov rax, cr3
	mov cr3, rax
	cmp byte [abs PAGE_FREE], 6
	VERIFY e, "a page that a load of CR3 changed"
	mov qword [abs TABLE + 4 * 8], MEMORY + 0x7000 + (PAGE_PRESENT | PAGE_WRITE)
	mov rax, cr4
	and eax, ~CR4_PGE
	mov cr4, rax
	or eax, CR4_PGE
	mov cr4, rax
	cmp byte [abs PAGE_FREE], 7
	VERIFY e, "a global page that CR4.PGE changed"
	; No invalidation is needed for a page that was not there.
	FREE_PAGE 0
	TRY mov al, [abs PAGE_FREE]
	FAULTS "a page that is there no more", 0, PAGE_FREE
	mov qword [abs TABLE + 4 * 8], MEMORY + 0x6000 + (PAGE_PRESENT | PAGE_WRITE)
	cmp byte [abs PAGE_FREE], 6
	VERIFY e, "a page that came"
	dec ebp
	jnz .round
	mov rax, cr4
	and eax, ~CR4_PGE
	mov cr4, rax
	ret

; Bits that must be zero, for whoever walks the tables.
check_reserved:
	; QEMU's error code forgets that the page is there.
	mov byte [abs forgotten], CODE_PRESENT
	BUT_QEMU .forgotten
	mov byte [abs forgotten], 0
.forgotten:
	FREE_PAGE 1 << 51 | MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE)
	TRY mov al, [abs PAGE_FREE]
	FAULTS "an address that is too high", CODE_PRESENT | CODE_RESERVED, PAGE_FREE
	mov dword [abs DIRECTORY + 0x1000 + 4 * 8], MEMORY | 1 << 13 | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	TRY mov al, [abs LARGE]
	FAULTS "a reserved bit of a large page", CODE_PRESENT | CODE_RESERVED, LARGE
	mov dx, PC_PORT_DEBUG
	mov edi, LARGE
	TRY insb
	FAULTS "INSB, a reserved bit of a large page", CODE_PRESENT | CODE_WRITE | CODE_RESERVED, LARGE
	FREE_PAGE 1 << 63 | MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE)
	TRY mov al, [abs PAGE_FREE]
	FAULTS "NX without EFER.NXE", CODE_PRESENT | CODE_RESERVED, PAGE_FREE
	mov dx, PC_PORT_DEBUG
	mov edi, PAGE_FREE
	TRY insb
	FAULTS "INSB, NX without EFER.NXE", CODE_PRESENT | CODE_WRITE | CODE_RESERVED, PAGE_FREE
	mov byte [abs forgotten], 0
	ret

check_nx:
	mov eax, 0x80000001
	cpuid
	bt edx, 20
	CHECK c, "CPUID shows no NX"
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_NXE
	wrmsr
	mov byte [abs MEMORY + 0x1000], 0xc3	; RET
	FREE_PAGE 1 << 63 | MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE)
	mov ebx, PAGE_FREE
	TRY call rbx
	FAULTS "a call to a page of data", CODE_PRESENT | CODE_FETCH, PAGE_FREE
	mov dx, PC_PORT_DEBUG
	mov edi, PAGE_FREE + 1
	TRY insb
	WORKS "INSB to a page of data"
	TRY mov al, [abs PAGE_FREE]
	WORKS "a read of a page of data"
	FREE_PAGE 0
	TRY call rbx
	FAULTS "a call to a missing page", CODE_FETCH, PAGE_FREE
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE)
	mov byte [abs MEMORY + 0x1000], 0xc3
	TRY call rbx
	WORKS "a call to a page of code"
	ret

; CPUID leaf 7, EBX.
features:
	mov eax, 7
	xor ecx, ecx
	cpuid
	ret

check_smep:
	call features
	bt ebx, 7
	jnc .none
	mov rax, cr4
	or eax, CR4_SMEP
	mov cr4, rax
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
	mov ebx, PAGE_FREE
	TRY call rbx
	mov rcx, cr4
	and ecx, ~CR4_SMEP
	mov cr4, rcx
	FAULTS "SMEP: a call to a page of the user's", CODE_PRESENT | CODE_FETCH, PAGE_FREE
	TRY call rbx
	WORKS "no SMEP: a call to a page of the user's"
	ret
.none:	PUTS "paging: no SMEP here", 13, 10
	ret

check_smap:
	call features
	bt ebx, 20
	jnc .none
	FREE_PAGE MEMORY + 0x1000 + (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
	mov rax, cr4
	or eax, CR4_SMAP
	mov cr4, rax
	clac
	TRY mov al, [abs PAGE_FREE]
	FAULTS "SMAP: a read", CODE_PRESENT, PAGE_FREE
	mov dx, PC_PORT_DEBUG
	mov edi, PAGE_FREE
	TRY insb
	FAULTS "SMAP: INSB", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	mov dx, 0x80
	mov esi, PAGE_FREE
	TRY outsb
	FAULTS "SMAP: OUTSB", CODE_PRESENT, PAGE_FREE
	mov esi, PC_VGA_HOLE
	mov edi, PAGE_FREE
	TRY movsd
	FAULTS "SMAP: MOVSD from a device", CODE_PRESENT | CODE_WRITE, PAGE_FREE
	stac
	TRY mov al, [abs PAGE_FREE]
	WORKS "SMAP with AC: a read"
	mov dx, PC_PORT_DEBUG
	mov edi, PAGE_FREE
	stac
	TRY insb
	WORKS "SMAP with AC: INSB"
	stac
	mov esi, PC_VGA_HOLE
	mov edi, PAGE_FREE
	TRY movsd
	WORKS "SMAP with AC: MOVSD from a device"
	clac
	mov rax, cr4
	and eax, ~CR4_SMAP
	mov cr4, rax
	ret
.none:	PUTS "paging: no SMAP here", 13, 10
	ret

; This guest's own pages: none of them is the user's.
own_pages:
	and dword [abs PML4], ~PAGE_USER
	mov edi, PDPT
	mov ecx, 4
.pdpt:	and dword [rdi], ~PAGE_USER
	add edi, 8
	loop .pdpt
	mov edi, DIRECTORY
	mov ecx, 4 * 512
.page:	and dword [rdi], ~PAGE_USER
	add edi, 8
	loop .page
	; On the way to the free page there must not be one without.
	or dword [abs PML4], PAGE_USER
	or dword [abs PDPT + 8], PAGE_USER
	or dword [abs DIRECTORY + 0x1000], PAGE_USER
	mov rax, cr3
	mov cr3, rax
	ret

guest_main:
	xor ebx, ebx
.tell:	cmp ebx, [abs remembered]
	jae .told
	mov esi, [list + rbx * 4]
	call fail_and_go_on
	inc ebx
	jmp .tell
.told:	PUTS "paging: two and three levels", 13, 10
	call make_tables
	call own_pages
	call check_bits
	PUTS "paging: four levels", 13, 10
	call check_rights
	call check_tables
	call check_borders
	call check_changes
	call check_pcid
	call check_reserved
	call check_nx
	call check_smep
	call check_smap
	ret

align 8
list:		times MAX_FAILURES dd 0
remembered:	dd 0
code32:		dd 0
address32:	dd 0
recover32:	dd bad_fault32
recover32_esp:	dd 0
real_sp:	dw 0
gib:		db 0
forgotten:	db 0

GUEST_END
