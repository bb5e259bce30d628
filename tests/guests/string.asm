; SPDX-License-Identifier: GPL-2.0
; String instructions and single accesses over borders: of pages that are not there or cannot be written, and between memory, a
; device's registers and the hole behind. What has been done before a fault stays done, and the registers tell how far it came.
%define GUEST_NAME "string"
%include "guest.inc"

HOLE		equ 0xa0000		; memory below, nobody from here on
HPET_CONFIG	equ HPET + 0x10
HPET_COUNTER	equ HPET + 0xf0		; 8 bytes of storage while the counter stands
DEBUG_READS	equ 0xe9
CR0_WP		equ 1 << 16
; A table of 4 KiB pages for the 2 MiB from WINDOW on, and what is there.
TABLE		equ 0x60000
WINDOW		equ 0x40000000
MEMORY		equ 0x400000		; physical, two pages
PAGE_FIRST	equ WINDOW		; memory
PAGE_SECOND	equ WINDOW + 0x1000	; changes
DEVICE_PAGE	equ WINDOW + 0x3000	; the HPET; memory is in front
FAULT_WRITE	equ 2
FAULT_PRESENT	equ 1

; AT text, register, value: the register has this value.
%macro AT 3
	mov rdx, %3
	cmp %2, rdx
	VERIFY e, %1
%endmacro

; FAULTS text, code, address: what TRY has found.
%macro FAULTS 3
	cmp al, VECTOR_PF
	VERIFY e, "no page fault: ", %1
	mov rax, %3
	cmp [abs fault_address], rax
	VERIFY e, "CR2: ", %1
	cmp qword [abs fault_code], %2
	VERIFY e, "error code: ", %1
%endmacro

; The second page of the window: RAX.
map_second:
	mov [abs TABLE + 8], rax
	mov eax, PAGE_SECOND
	invlpg [rax]
	ret

make_window:
	mov edi, TABLE
	mov ecx, 512
	xor eax, eax
	rep stosq
	mov qword [abs TABLE], MEMORY | PAGE_PRESENT | PAGE_WRITE
	mov qword [abs TABLE + 2 * 8], MEMORY + 0x2000 | PAGE_PRESENT | PAGE_WRITE
	mov eax, HPET + (PAGE_PRESENT | PAGE_WRITE)
	mov [abs TABLE + 3 * 8], rax
	mov qword [abs DIRECTORY + 0x1000], TABLE | PAGE_PRESENT | PAGE_WRITE
	mov eax, WINDOW
	invlpg [rax]
	ret

; Each byte of memory is the end of its address.
fill:	mov edi, MEMORY
	mov ecx, 0x4000
.next:	mov eax, edi
	stosb
	loop .next
	mov rax, 0x8877665544332211
	mov edx, HPET_COUNTER
	mov [rdx], rax
	ret

; Memory that ends, to and from ports and devices, which the processor does not do by itself.
check_missing:
	xor eax, eax
	call map_second
	call fill
	mov dx, DEBUG_PORT
	mov edi, PAGE_SECOND - 3
	mov ecx, 8
	TRY rep insb
	FAULTS "REP INSB to a page that is not there", FAULT_WRITE, PAGE_SECOND
	AT "RDI: REP INSB to a page that is not there", rdi, PAGE_SECOND
	AT "RCX: REP INSB to a page that is not there", rcx, 5
	cmp byte [abs MEMORY + 0xfff], DEBUG_READS
	VERIFY e, "what REP INSB did before its fault is lost"
	call fill
	mov dx, PCI_ADDRESS
	mov edi, PAGE_SECOND - 6
	mov ecx, 4
	TRY rep insd
	FAULTS "REP INSD over the border", FAULT_WRITE, PAGE_SECOND
	AT "RDI: REP INSD over the border", rdi, PAGE_SECOND - 2
	AT "RCX: REP INSD over the border", rcx, 3
	cmp word [abs MEMORY + 0xffe], 0xfffe
	VERIFY e, "REP INSD has written a part"
	mov dx, 0x80
	mov esi, PAGE_SECOND - 2
	mov ecx, 4
	TRY rep outsb
	FAULTS "REP OUTSB from a page that is not there", 0, PAGE_SECOND
	AT "RSI: REP OUTSB from a page that is not there", rsi, PAGE_SECOND
	AT "RCX: REP OUTSB from a page that is not there", rcx, 2
	mov esi, HOLE
	mov edi, PAGE_SECOND - 8
	mov ecx, 4
	TRY rep movsd
	FAULTS "REP MOVSD from a device to a page that is not there", FAULT_WRITE, PAGE_SECOND
	AT "RSI: REP MOVSD from a device to a page that is not there", rsi, HOLE + 8
	AT "RDI: REP MOVSD from a device to a page that is not there", rdi, PAGE_SECOND
	AT "RCX: REP MOVSD from a device to a page that is not there", rcx, 2
	cmp dword [abs MEMORY + 0xffc], -1
	VERIFY e, "what REP MOVSD did before its fault is lost"
	mov esi, PAGE_SECOND - 8
	mov edi, HOLE
	mov ecx, 2
	xor eax, eax
	TRY rep movsq
	FAULTS "REP MOVSQ from a page that is not there to a device", 0, PAGE_SECOND
	AT "RCX: REP MOVSQ from a page that is not there to a device", rcx, 1
	; Backwards, to the page before the window.
	std
	mov dx, DEBUG_PORT
	mov edi, WINDOW + 0x2001
	mov ecx, 4
	TRY rep insb
	FAULTS "REP INSB backwards", FAULT_WRITE, WINDOW + 0x1fff
	AT "RDI: REP INSB backwards", rdi, WINDOW + 0x1fff
	AT "RCX: REP INSB backwards", rcx, 2
	cld
	ret

; A second page that can be read only.
check_read_only:
	mov eax, MEMORY + 0x1000 + PAGE_PRESENT
	call map_second
	call fill
	mov esi, HOLE
	mov edi, PAGE_SECOND - 4
	mov ecx, 2
	TRY rep movsd
	FAULTS "REP MOVSD from a device to a page that cannot be written", FAULT_WRITE | FAULT_PRESENT, PAGE_SECOND
	AT "RCX: REP MOVSD from a device to a page that cannot be written", rcx, 1
	mov dx, DEBUG_PORT
	mov edi, PAGE_SECOND
	TRY insb
	FAULTS "INSB to a page that cannot be written", FAULT_WRITE | FAULT_PRESENT, PAGE_SECOND
	mov rax, cr0
	and eax, ~CR0_WP
	mov cr0, rax
	insb
	mov rax, cr0
	or eax, CR0_WP
	mov cr0, rax
	cmp byte [abs MEMORY + 0x1000], DEBUG_READS
	VERIFY e, "INSB without CR0.WP to a page that cannot be written"
	mov dx, 0x80
	mov esi, PAGE_SECOND - 2
	mov ecx, 4
	rep outsb
	AT "RSI: REP OUTSB from a page that cannot be written", rsi, PAGE_SECOND + 2
	ret

; Pages that are not neighbours in memory: an element over their border is in two places.
check_apart:
	mov eax, MEMORY + 0x3000 + (PAGE_PRESENT | PAGE_WRITE)
	call map_second
	call fill
	mov dx, PCI_ADDRESS
	mov eax, 0x80001234
	out dx, eax
	mov edi, PAGE_SECOND - 1
	insd
	cmp byte [abs MEMORY + 0xfff], 0x34
	VERIFY e, "INSD over a border: the first page"
	cmp word [abs MEMORY + 0x3000], 0x0012
	VERIFY e, "INSD over a border: the second page"
	cmp byte [abs MEMORY + 0x3002], 0x80
	VERIFY e, "INSD over a border: its end"
	cmp word [abs MEMORY + 0x1000], 0x0100
	VERIFY e, "INSD over a border has written behind the first page"
	mov esi, PAGE_SECOND - 1
	outsd
	in eax, dx
	cmp eax, 0x80001234
	VERIFY e, "OUTSD over a border"
	mov esi, HPET_COUNTER
	mov edi, PAGE_SECOND - 3
	movsq
	mov rax, [abs PAGE_SECOND - 3]
	mov rdx, 0x8877665544332211
	cmp rax, rdx
	VERIFY e, "MOVSQ from a device over a border"
	cmp dword [abs MEMORY + 0x3000], 0x77665544
	VERIFY e, "MOVSQ from a device over a border: the second page"
	mov eax, 0x01020304
	mov edx, HPET_COUNTER
	mov [rdx], eax
	mov esi, PAGE_SECOND - 3
	mov edi, HPET_COUNTER
	movsq
	mov edx, HPET_COUNTER
	mov rax, 0x8877665544332211
	cmp [rdx], rax
	VERIFY e, "MOVSQ over a border to a device"
	ret

; Memory in front, a hole behind. What goes to the hole is lost, what comes from there is ones.
check_hole:
	mov qword [abs HOLE - 8], 0x44332211
	mov dword [abs HOLE - 4], 0x88776655
	mov eax, [abs HOLE - 2]
	cmp eax, 0xffff8877
	VERIFY e, "MOV from memory and a hole"
	mov rax, [abs HOLE - 7]
	mov rdx, 0xff88776655443322
	cmp rax, rdx
	VERIFY e, "a MOV of 8 bytes from memory and a hole"
	mov dword [abs HOLE - 3], 0xddccbbaa
	cmp dword [abs HOLE - 4], 0xccbbaa55
	VERIFY e, "MOV to memory and a hole"
	add word [abs HOLE - 1], 1
	cmp byte [abs HOLE - 1], 0xcd
	VERIFY e, "ADD in memory and a hole"
	mov dword [abs HOLE - 4], 0x44332211
	mov esi, HOLE - 4
	mov edi, SCRATCH
	mov ecx, 8
	rep movsb
	AT "RSI: REP MOVSB over the border of a hole", rsi, HOLE + 4
	mov rax, [abs SCRATCH]
	mov rdx, 0xffffffff44332211
	cmp rax, rdx
	VERIFY e, "REP MOVSB over the border of a hole"
	mov esi, HOLE - 6
	mov edi, SCRATCH
	mov ecx, 3
	rep movsd
	cmp word [abs SCRATCH + 4], 0x4433
	VERIFY e, "REP MOVSD over the border of a hole"
	cmp word [abs SCRATCH + 6], -1
	VERIFY e, "REP MOVSD over the border of a hole: the element between"
	cmp dword [abs SCRATCH + 8], -1
	VERIFY e, "REP MOVSD over the border of a hole: behind"
	mov rax, 0x0807060504030201
	mov edi, HOLE - 12
	mov ecx, 4
	rep stosq
	AT "RDI: REP STOSQ over the border of a hole", rdi, HOLE + 20
	cmp dword [abs HOLE - 4], 0x04030201
	VERIFY e, "REP STOSQ over the border of a hole"
	std
	mov esi, HOLE + 3
	mov edi, SCRATCH + 7
	mov ecx, 8
	rep movsb
	cld
	AT "RSI: REP MOVSB back over the border of a hole", rsi, HOLE - 5
	mov rax, [abs SCRATCH]
	mov rdx, 0xffffffff04030201
	cmp rax, rdx
	VERIFY e, "REP MOVSB back over the border of a hole"
	mov edi, HOLE - 4
	mov ecx, 64
	mov al, -1
	repne scasb
	AT "RDI: REPNE SCASB into a hole", rdi, HOLE + 1
	AT "RCX: REPNE SCASB into a hole", rcx, 59
	mov qword [abs SCRATCH], -1
	mov dword [abs SCRATCH], 0x04030201
	mov byte [abs SCRATCH + 6], 0
	mov esi, SCRATCH
	mov edi, HOLE - 4
	mov ecx, 8
	repe cmpsb
	VERIFY ne, "REPE CMPSB into a hole: flags"
	AT "RCX: REPE CMPSB into a hole", rcx, 1
	AT "RSI: REPE CMPSB into a hole", rsi, SCRATCH + 7
	mov esi, HOLE - 4
	lodsq
	mov rdx, 0xffffffff04030201
	cmp rax, rdx
	VERIFY e, "LODSQ over the border of a hole"
	mov dx, 0x80
	mov esi, HOLE - 2
	mov ecx, 4
	rep outsb
	AT "RSI: REP OUTSB into a hole", rsi, HOLE + 2
	mov dx, DEBUG_PORT
	mov edi, HOLE - 2
	mov ecx, 4
	rep insb
	AT "RDI: REP INSB into a hole", rdi, HOLE + 2
	cmp word [abs HOLE - 2], DEBUG_READS << 8 | DEBUG_READS
	VERIFY e, "REP INSB into a hole"
	ret

; A page of memory in front of a page of a device's, and a device's registers over the border of two of them.
check_device:
	call fill
	mov esi, DEVICE_PAGE - 4
	mov edi, SCRATCH
	mov ecx, 2
	rep movsd
	mov edx, HPET
	mov eax, [rdx]
	cmp [abs SCRATCH + 4], eax
	VERIFY e, "REP MOVSD from memory on to a device"
	cmp dword [abs SCRATCH], 0xfffefdfc
	VERIFY e, "REP MOVSD from memory on to a device: the memory"
	mov esi, HPET_COUNTER
	mov rax, [rsi]
	mov edi, HPET_COUNTER
	mov ecx, 2
	rep movsd
	mov edx, HPET_COUNTER
	cmp [rdx], rax
	VERIFY e, "REP MOVSD from a device to itself"
	mov esi, HPET_COUNTER
	mov edi, HPET_COUNTER
	cmpsq
	VERIFY e, "CMPSQ of a device with itself"
	; The count is 32 bits wide with 32-bit addresses, and so are the registers that come out.
	mov rcx, 0x100000002
	mov rsi, 0x1000a0000
	mov edi, SCRATCH
	a32 rep movsb
	AT "RSI: REP MOVSB with 32-bit addresses", rsi, HOLE + 2
	AT "RCX: REP MOVSB with 32-bit addresses", rcx, 0
	mov rcx, 0x100000000
	mov rsi, 0x1000a0000
	a32 rep movsb
	test ecx, ecx
	VERIFY z, "RCX: REP MOVSB with 32-bit addresses and no count"
	AT "RDI: REP MOVSB with 32-bit addresses and no count", rdi, SCRATCH + 2
	ret

guest_main:
	mov eax, HPET_CONFIG
	mov qword [rax], 0
	call make_window
	call check_missing
	PUTS "string: pages that are not there", 13, 10
	call check_read_only
	call check_apart
	PUTS "string: pages", 13, 10
	call check_hole
	PUTS "string: a hole", 13, 10
	call check_device
	ret

GUEST_END
