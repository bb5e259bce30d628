; SPDX-License-Identifier: GPL-2.0
; Segments of 32-bit code: what can be loaded, limits and types. Of accesses that the processor makes by itself, and of those that
; it leaves to others: string I/O and device memory. With LIMITS it cannot run on QEMU, whose processors check neither limits nor
; types when memory is accessed.
%define GUEST_NAME "segment"
%include "guest.inc"

DEBUG_READS	equ 0xe9
HPET_COUNTER	equ PC_HPET + 0xf0
MEMORY		equ 0x400000
LIMIT		equ 0x1ff

; The table of this guest, over the one that all have. Descriptors: base, limit, access, flags.
%macro DESCRIPTOR 4
	dw (%2) & 0xffff, (%1) & 0xffff
	db ((%1) >> 16) & 0xff, %3, ((%2) >> 16) & 0xf | (%4) << 4, (%1) >> 24
%endmacro

FLAG_32		equ 4
FLAG_PAGES	equ 8
DATA		equ 0x92
DATA_READ	equ 0x90
DATA_DOWN	equ 0x96
CODE		equ 0x9a
CODE_EXECUTE	equ 0x98
CODE_CONFORMING	equ 0x9e
PRESENT		equ 0x80
RING3		equ 0x60

align 8
table:	dq 0
	dq 0x00cf9b000000ffff
	dq 0x00cf93000000ffff
	dq 0x00af9b000000ffff
	dw 0x67, TSS & 0xffff
	db (TSS >> 16) & 0xff, 0x8b, 0, TSS >> 24
	dq 0
SEL_SMALL	equ $ - table
	DESCRIPTOR MEMORY, LIMIT, DATA, FLAG_32
SEL_READ	equ $ - table
	DESCRIPTOR MEMORY, LIMIT, DATA_READ, FLAG_32
SEL_DOWN	equ $ - table
	DESCRIPTOR MEMORY, LIMIT, DATA_DOWN, FLAG_32
SEL_PAGES	equ $ - table
	DESCRIPTOR MEMORY, 1, DATA, FLAG_32 | FLAG_PAGES
SEL_ABSENT	equ $ - table
	DESCRIPTOR MEMORY, LIMIT, DATA & ~PRESENT, FLAG_32
SEL_CODE	equ $ - table
	DESCRIPTOR 0, 0xfffff, CODE, FLAG_32 | FLAG_PAGES
SEL_EXECUTE	equ $ - table
	DESCRIPTOR 0, 0xfffff, CODE_EXECUTE, FLAG_32 | FLAG_PAGES
SEL_CONFORMING	equ $ - table
	DESCRIPTOR 0, 0xfffff, CODE_CONFORMING, FLAG_32 | FLAG_PAGES
SEL_DATA3	equ $ - table
	DESCRIPTOR MEMORY, LIMIT, DATA | RING3, FLAG_32
SEL_DEVICE	equ $ - table
	DESCRIPTOR PC_HPET, 0xff, DATA, FLAG_32
SEL_SYSTEM	equ $ - table
	DESCRIPTOR MEMORY, LIMIT, 0x89, 0
table_end:
SEL_BEYOND	equ table_end - table
table_pointer:
	dw table_end - table - 1
	dq table

; IN32 instructions: in 32-bit code; what they raise is AL, as after TRY. ES is the segment of the test.
%macro IN32 1+
	call %%go
	jmp %%done
bits 32
%%in:	%1
	jmp SEL_CODE64:back64
bits 64
%%go:	lea rax, [rel %%in]
	jmp in32
%%done:
%endmacro

; EAX: the code. A fault comes back at recover_rip, behind all of it.
in32:	mov [abs far_pointer], eax
	mov [abs recover_rsp], rsp
	lea rax, [rel back64]
	mov [abs recover_rip], rax
	mov byte [abs fault_vector], NO_FAULT
	mov rax, [abs try_rax]
	jmp far dword [abs far_pointer]

back64:	mov qword [abs recover_rip], 0
	mov rsp, [abs recover_rsp]
	cld
	mov al, [abs fault_vector]
	ret

; LOADS text, selector, vector, error code
%macro LOADS 4
	mov r12d, %2
	TRY mov es, r12d
	cmp al, %3
	VERIFY e, "loading ES: ", %1
%if %3 != NO_FAULT
	cmp qword [abs fault_code], %4
	VERIFY e, "error code, loading ES: ", %1
%endif
%endmacro

%macro LOADS_STACK 4
	mov r12d, %2
	TRY mov ss, r12d
	cmp al, %3
	VERIFY e, "loading SS: ", %1
	cmp qword [abs fault_code], %4
	VERIFY e, "error code, loading SS: ", %1
%endmacro

check_loads:
	LOADS "null", 0, NO_FAULT, 0
	LOADS "null, ring 3", 3, NO_FAULT, 0
	LOADS "a data segment", SEL_SMALL, NO_FAULT, 0
	LOADS "a data segment of ring 3", SEL_DATA3 | 3, NO_FAULT, 0
	LOADS "a data segment of ring 0 as ring 3", SEL_SMALL | 3, EXC_GP, SEL_SMALL
	LOADS "a code segment", SEL_CODE, NO_FAULT, 0
	LOADS "code that can only be executed", SEL_EXECUTE, EXC_GP, SEL_EXECUTE
	LOADS "conforming code", SEL_CONFORMING | 3, NO_FAULT, 0
	LOADS "a system segment", SEL_SYSTEM, EXC_GP, SEL_SYSTEM
	LOADS "one that is not present", SEL_ABSENT, EXC_NP, SEL_ABSENT
	LOADS "one beyond the table", SEL_BEYOND, EXC_GP, SEL_BEYOND
	LOADS "one of a table that is not there", SEL_SMALL | 4, EXC_GP, SEL_SMALL | 4
	LOADS_STACK "one that cannot be written", SEL_READ, EXC_GP, SEL_READ
	LOADS_STACK "code", SEL_CODE, EXC_GP, SEL_CODE
	LOADS_STACK "one of ring 3", SEL_DATA3 | 3, EXC_GP, SEL_DATA3
	ret

; What LAR, LSL, VERR and VERW tell, and what an exit must leave alone.
check_queries:
	mov ecx, SEL_PAGES
	lsl eax, ecx
	VERIFY z, "LSL"
	cmp eax, 0x1fff
	VERIFY e, "the limit by LSL"
	mov ecx, SEL_ABSENT
	lar eax, ecx
	VERIFY z, "LAR"
	cmp eax, (FLAG_32 << 20) | (DATA & ~PRESENT) << 8
	VERIFY e, "the rights by LAR"
	mov ecx, SEL_EXECUTE
	verr cx
	VERIFY nz, "VERR of code that can only be executed"
	mov ecx, SEL_READ
	verw cx
	VERIFY nz, "VERW of a segment that cannot be written"
	mov ecx, SEL_SMALL
	verw cx
	VERIFY z, "VERW"
	ret

; OK32 text, instructions; FAULT32 text, vector, instructions
%macro OK32 2+
	IN32 %2
	cmp al, NO_FAULT
	VERIFY e, "a fault: ", %1
%endmacro

%macro FAULT32 3+
	IN32 %3
	cmp al, %2
	VERIFY e, "no fault, or another: ", %1
	cmp qword [abs fault_code], 0
	VERIFY e, "error code: ", %1
%endmacro

%macro USE 1
	mov eax, %1
	mov es, eax
%endmacro

; String I/O and device memory: an element beyond the limit is not done, those before it are.
check_left_to_others:
	mov dx, PC_PORT_DEBUG
	USE SEL_SMALL
	mov edi, LIMIT - 2
	mov ecx, 3
	mov byte [abs MEMORY + LIMIT], 0
	OK32 "REP INSB up to the limit", rep insb
	cmp byte [abs MEMORY + LIMIT], DEBUG_READS
	VERIFY e, "REP INSB up to the limit"
	cmp edi, LIMIT + 1
	VERIFY e, "EDI: REP INSB up to the limit"
	mov dword [abs MEMORY + LIMIT - 1], 0
	mov edi, LIMIT - 1
	mov ecx, 5
	FAULT32 "REP INSB beyond the limit", EXC_GP, rep insb
	cmp edi, LIMIT + 1
	VERIFY e, "EDI: REP INSB beyond the limit"
	cmp ecx, 3
	VERIFY e, "ECX: REP INSB beyond the limit"
	cmp dword [abs MEMORY + LIMIT - 1], DEBUG_READS << 8 | DEBUG_READS
	VERIFY e, "REP INSB wrote beyond the limit, or not up to it"
	mov dx, PC_PORT_PCI
	mov edi, LIMIT - 2
	FAULT32 "INSD over the limit", EXC_GP, insd
	USE SEL_READ
	mov dx, PC_PORT_DEBUG
	xor edi, edi
	FAULT32 "INSB to a segment that cannot be written", EXC_GP, insb
	mov dx, 0x80
	mov esi, LIMIT
	OK32 "OUTSB from a segment that cannot be written", es outsb
	USE SEL_DOWN
	mov esi, LIMIT
	FAULT32 "OUTSB below an expand-down segment", EXC_GP, es outsb
	mov esi, LIMIT + 1
	OK32 "OUTSB at the bottom of an expand-down segment", es outsb
	mov dx, PC_PORT_DEBUG
	mov edi, LIMIT + 1
	mov ecx, 2
	std
	FAULT32 "REP INSB down out of an expand-down segment", EXC_GP, rep insb
	cmp ecx, 1
	VERIFY e, "ECX: REP INSB down out of an expand-down segment"
	USE SEL_PAGES
	mov edi, 0x1fff
	OK32 "INSB at the end of a limit in pages", insb
	mov edi, 0x2000
	FAULT32 "INSB beyond a limit in pages", EXC_GP, insb
	USE 0
	xor edi, edi
	FAULT32 "INSB to a null segment", EXC_GP, insb
	USE SEL_DEVICE
	mov edi, HPET_COUNTER - PC_HPET
	OK32 "device memory by a segment with a base", {mov eax, [es:edi]}
	mov edi, 0xf8
	mov esi, MEMORY
	mov ecx, 4
	; The limit ends the device's part in the middle.
	FAULT32 "REP MOVSD to device memory beyond the limit", EXC_GP, rep movsd
	cmp ecx, 2
	VERIFY e, "ECX: REP MOVSD to device memory beyond the limit"
	ret

%ifdef LIMITS
check_limits:
	USE SEL_SMALL
	in al, 0x80
	xor eax, eax
	cpuid
	OK32 "a byte at the limit", mov al, [es:LIMIT]
	FAULT32 "a byte beyond the limit", EXC_GP, mov al, [es:LIMIT + 1]
	FAULT32 "a word over the limit", EXC_GP, mov ax, [es:LIMIT]
	FAULT32 "a write beyond the limit", EXC_GP, mov [es:LIMIT + 1], al
	FAULT32 "an access at the end of all", EXC_GP, mov eax, [es:0xfffffffe]
	USE SEL_READ
	FAULT32 "a write that the segment forbids", EXC_GP, mov [es:0], al
	USE SEL_DOWN
	FAULT32 "a read below an expand-down segment", EXC_GP, mov al, [es:LIMIT]
	OK32 "a read at the bottom of an expand-down segment", mov al, [es:LIMIT + 1]
	USE SEL_PAGES
	OK32 "the end of a limit in pages", mov al, [es:0x1fff]
	FAULT32 "beyond a limit in pages", EXC_GP, mov al, [es:0x2000]
	USE 0
	FAULT32 "a null segment", EXC_GP, mov al, [es:0]
	USE SEL_CODE
	FAULT32 "a write of code", EXC_GP, mov [es:MEMORY], al
	; A stack that ends, before and after exits.
	FAULT32 "a push below a stack", EXC_SS, jmp push_below
	FAULT32 "a pop above a stack", EXC_SS, jmp pop_above
	ret

bits 32
push_below:
	mov ax, SEL_SMALL
	mov ss, ax
	mov esp, 2
	in al, 0x80
	push eax
pop_above:
	mov ax, SEL_SMALL
	mov ss, ax
	mov esp, LIMIT - 2
	in al, 0x80
	pop eax
bits 64
%endif

guest_main:
	lgdt [rel table_pointer]
	call check_loads
	call check_queries
	PUTS "segment: loads", 13, 10
	call check_left_to_others
	PUTS "segment: string I/O and devices", 13, 10
%ifdef LIMITS
	call check_limits
%endif
	ret

align 8
far_pointer:	dd 0
		dw SEL_CODE
GUEST_END
