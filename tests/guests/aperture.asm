; SPDX-License-Identifier: GPL-2.0
; A BAR with memory behind it, cells/aperture.c's, which moves while the other processors write through it: behind the move they
; reach it no more by the old address, and what is in it is at the new one. Where it cannot be mapped it is there all the same.
%define GUEST_NAME "aperture"
%include "guest.inc"
%include "cpus.inc"

CARD		equ 0x80003800			; device 7
COMMAND		equ 0x04
BAR		equ 0x10
BAR_READONLY	equ 0x18			; the first four pages once more
WINDOW_PAGES	equ 8
PATTERN		equ 0x5a000000			; integration/apertures.c has filled it
READONLY	equ 0xe8000000
MEMORY		equ 0x400000
ROUNDS		equ 60
SILENCE		equ 30000
MOST_CPUS	equ 4
WRITTEN		equ 8				; in the page of a processor's number
MARK		equ 0x20
MARK_READONLY	equ 0x24
ROUNDS_DONE	equ 0x30
CODE		equ 0x5000
CARD_TABLES	equ 0x6000
READ_REGISTER	equ 0xc310468b			; MOV EAX, [RSI + 0x10]; RET

; Each after the one before: beside it, in other tables, in the table that memory has.
align 4
places:	dd 0xc0000000, 0xc0008000, 0xe0200000, 0x000a0000, 0xfd000000, 0xbfff8000
PLACES	equ ($ - places) / 4

; EBX: address.
move_to:
	mov eax, CARD | BAR
	mov ecx, ebx
	jmp pci_write

; The others write without an exit, unless nobody is there.
cpu_main:
	lea r15, [rsp - CPU_STACKS - 1]		; the stack is empty
	shr r15, 12
	shl r15, 12
	xor eax, eax
.next:	mov rdi, [abs writers_at]
	inc eax
	mov [rdi + r15 + WRITTEN], eax
	cmp dword [abs stop], 0
	je .next
.stay:	hlt
	jmp .stay

; Waits until each of them has come to R13.
await_writers:
	mov [abs writers_at], r13
	mov ebp, 1
.cpu:	mov edi, ebp
	shl edi, 12
	mov eax, [r13 + rdi + WRITTEN]
	mov ecx, MANY
.wait:	pause
	cmp [r13 + rdi + WRITTEN], eax
	jne .heard
	dec ecx
	jnz .wait
	FAIL "a processor does not write"
.heard:	inc ebp
	cmp ebp, [abs cpus]
	jb .cpu
	ret

; At R14 nothing changes, though they go on.
check_silence:
	mov eax, [r14 + 0x1000 + WRITTEN]
	mov edx, [r14 + 0x2000 + WRITTEN]
	mov edi, [r14 + 0x3000 + WRITTEN]
	mov ecx, SILENCE
.again:	cmp [r14 + 0x1000 + WRITTEN], eax
	jne .heard
	cmp [r14 + 0x2000 + WRITTEN], edx
	jne .heard
	cmp [r14 + 0x3000 + WRITTEN], edi
	jne .heard
	loop .again
.heard:	VERIFY e, "a write by the old address has come through"
	ret

; R13: the pages are those of the host.
check_pattern:
	xor ecx, ecx
.page:	mov eax, ecx
	shl eax, 12
	mov edx, [r13 + rax]
	mov eax, ecx
	or eax, PATTERN
	cmp edx, eax
	VERIFY e, "it is not what the host has put there"
	inc ecx
	cmp ecx, WINDOW_PAGES
	jb .page
	ret

; From R13 on to the next place, R14.
round:	call await_writers
	inc r15d
	cmp r15d, PLACES
	jb .inside
	xor r15d, r15d
.inside:
	mov r14d, [places + r15 * 4]
	mov [r13 + MARK], r12d
	mov ebx, r14d
	call move_to
	cmp [r14 + MARK], r12d
	VERIFY e, "what was written is not at the new address"
	call check_silence
	cmp dword [r13 + MARK], 0xffffffff
	VERIFY e, "something is at the old address"
	mov dword [r13 + MARK], 0
	cmp [r14 + MARK], r12d
	VERIFY e, "a write to the old address has come through"
	mov r13d, r14d
	ret

check_readonly:
	mov esi, READONLY
	cmp dword [rsi + 0x3000], PATTERN | 3
	VERIFY e, "the part for reading is not there"
	mov dword [r13 + MARK_READONLY], 0x12345678
	cmp dword [rsi + MARK_READONLY], 0x12345678
	VERIFY e, "the part for reading is another"
	mov dword [rsi + MARK_READONLY], 1
	cmp dword [rsi + MARK_READONLY], 0x12345678
	VERIFY e, "the part for reading was written"
	cmp dword [r13 + MARK_READONLY], 0x12345678
	VERIFY e, "the part for reading was written"
	ret

; Memory is in front of it, and stays what it is.
check_memory:
	mov dword [abs MEMORY], 0x11223344
	mov ebx, MEMORY
	call move_to
	cmp dword [abs MEMORY], 0x11223344
	VERIFY e, "memory has become something else"
	mov dword [abs MEMORY], 0x55667788
	mov ebx, r13d
	call move_to
	cmp dword [abs MEMORY], 0x55667788
	VERIFY e, "memory has become something else"
	jmp check_pattern

; The I/O APIC is in front of its first page, and the rest is there.
check_registers:
	mov ebx, IOAPIC
	call move_to
	mov esi, IOAPIC
	cmp dword [rsi + 0x3000], PATTERN | 3
	VERIFY e, "behind other registers it is not there"
	mov dword [rsi + 0x3000 + MARK], 0x87654321
	mov dword [rsi], 1
	cmp byte [rsi + 0x10], 0x20
	VERIFY e, "registers in front of it are not there"
	mov ebx, r13d
	call move_to
	cmp dword [r13 + 0x3000 + MARK], 0x87654321
	VERIFY e, "behind other registers it was not written"
	ret

; MOV EAX, number; RET
check_code:
	mov byte [r13 + CODE], 0xb8
	mov dword [r13 + CODE + 1], 0x0badcafe
	mov byte [r13 + CODE + 5], 0xc3
	lea rax, [r13 + CODE]
	call rax
	cmp eax, 0x0badcafe
	VERIFY e, "what it executes is something else"
	mov dword [r13 + CODE], PATTERN | CODE >> 12
	ret

; An instruction there that reads a register, and page tables there by which one is read: the cell looks for both.
check_emulated:
	mov esi, IOAPIC
	mov dword [rsi], 1
	mov dword [r13 + CODE], READ_REGISTER
	lea rax, [r13 + CODE]
	call rax
	cmp al, 0x20
	VERIFY e, "an instruction there does not read a register"
	mov dword [r13 + CODE], PATTERN | CODE >> 12
	mov rbx, cr3
	mov rsi, rbx
	lea rdi, [r13 + CARD_TABLES]
	mov ecx, 0x1000 / 8
	cld
	rep movsq
	lea rax, [r13 + CARD_TABLES]
	mov cr3, rax
	mov esi, IOAPIC
	mov eax, [rsi + 0x10]
	mov cr3, rbx
	cmp al, 0x20
	VERIFY e, "by page tables there a register is not read"
	lea rdi, [r13 + CARD_TABLES]
	mov ecx, 0x1000 / 8
	xor eax, eax
	rep stosq
	mov dword [r13 + CARD_TABLES], PATTERN | CARD_TABLES >> 12
	ret

guest_main:
	mov r13d, [places]
	mov eax, CARD | BAR_READONLY
	mov ecx, READONLY
	call pci_write
	mov ebx, r13d
	call move_to
	cmp dword [r13], 0xffffffff
	VERIFY e, "it is there while it is off"
	mov eax, CARD | COMMAND
	mov ecx, 2
	call pci_write
	call check_pattern
	call check_readonly
	call check_memory
	call check_registers
	call check_code
	call check_emulated
	mov [abs writers_at], r13
	call start_all
	cmp dword [abs cpus], MOST_CPUS
	CHECK be, "more processors than pages"
	xor r15d, r15d
	mov r12d, ROUNDS
.round:	call round
	cmp dword [abs failures], 0
	jne .done
	dec r12d
	jnz .round
.done:	mov dword [r13 + ROUNDS_DONE], ROUNDS
	call check_pattern
	mov dword [abs stop], 1
	ret

align 8
writers_at:	dq 0
stop:		dd 0

GUEST_END
