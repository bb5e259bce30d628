; SPDX-License-Identifier: GPL-2.0
; Fills 8 MiB of its memory with a pattern that nobody outside may ever see, then sleeps until it is ended.
%define GUEST_NAME "secret"
%include "guest.inc"

SECRET_FIRST	equ 0x400000
SECRET_BYTES	equ 0x800000
; What is looked for is the sum, so that neither this image nor the searcher holds the pattern itself.
SECRET_HALF	equ 0x2b1e5c3a4d6f7091
SECRET_OTHER	equ 0x3141592653589793

guest_main:
	mov rax, SECRET_HALF
	mov rcx, SECRET_OTHER
	add rax, rcx
	mov edi, SECRET_FIRST
	mov ecx, SECRET_BYTES / 8
	rep stosq
	PUTS "secret: hidden", 13, 10
	; Looks now and then whether anybody has changed it.
.watch:	mov edi, SECRET_FIRST
	mov ecx, SECRET_BYTES / 8
	mov rax, SECRET_HALF
	mov rdx, SECRET_OTHER
	add rax, rdx
	repe scasq
	CHECK e, "somebody wrote to my memory"
	call arm_timer
	sti
	hlt
	cli
	jmp .watch

arm_timer:
	lea rax, [rel hook_eoi_xapic]
	mov [interrupt_hook], rax
	mov edx, LAPIC
	mov dword [rdx + 0xf0], 0x1ff
	mov dword [rdx + 0x3e0], 0xb
	mov dword [rdx + 0x320], 0x40
	mov dword [rdx + 0x380], 100000000
	ret

GUEST_END
