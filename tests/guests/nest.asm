; SPDX-License-Identifier: GPL-2.0
; Interrupts within interrupts, with the local APIC as xAPIC and as x2APIC: by their priority and by CR8, in their order, each once.
%define GUEST_NAME "nest"
%include "guest.inc"
%include "apic.inc"

VECTOR_31	equ 0x31
VECTOR_41	equ 0x41
VECTOR_4F	equ 0x4f
VECTOR_61	equ 0x61
VECTOR_71	equ 0x71
REG_ISR		equ 0x100
REG_IRR		equ 0x200
WINDOWS		equ 5
MARK_END	equ 0xe0			; what stands in the log besides vectors: a handler goes on, or main code does
MARK_MAIN	equ 0xe1

; RAX: vector. What is done in the handler of VECTOR_41 is [action]'s affair, and so is its end.
hook:	cmp eax, 2
	je .done
	push rbx
	mov ebx, eax
	call log
	READ REG_PPR
	mov ecx, ebx
	and ecx, 0xf0
	mov edx, [abs cr8_class]
	cmp ecx, edx
	cmovb ecx, edx
	cmp eax, ecx
	je .priority
	mov byte [abs wrong], 1
.priority:
	cmp ebx, VECTOR_41
	jne .end
	cmp qword [abs action], 0
	je .end
	mov rax, [abs action]
	mov qword [abs action], 0
	call rax
	pop rbx
	ret
.end:	WRITE REG_EOI, 0
	pop rbx
.done:	ret

; EAX: a vector or a mark.
log:	mov ecx, [abs logged]
	and ecx, 15
	mov [list + rcx], al
	inc dword [abs logged]
	ret

windows:
	mov ecx, WINDOWS
.again:	sti
	in al, 0x80
	nop
	cli
	dec ecx
	jnz .again
	ret

%macro SEND 1
	mov eax, %1
	call self_ipi
%endmacro

%macro LOG 1
	mov eax, %1
	call log
%endmacro

; START handler's action: VECTOR_41 comes, and all that follows from it.
%macro START 1
	lea rax, [rel %1]
	mov [abs action], rax
	mov dword [abs logged], 0
	mov qword [abs list], 0
	mov qword [abs list + 8], 0
	SEND VECTOR_41
	call windows
	LOG MARK_MAIN
%endmacro

; LOGGED text, bytes: what came, in its order.
%macro LOGGED 2+
	[section .rodata]
%%list:	db %2
%%end:
	__?SECT?__
	cmp dword [abs logged], %%end - %%list
	VERIFY e, "number of events: ", %1
	lea rsi, [rel %%list]
	mov edi, list
	mov ecx, %%end - %%list
	repe cmpsb
	VERIFY e, "order: ", %1
%endmacro

; IN_SERVICE vector, condition
%macro IN_SERVICE 3
	READ REG_ISR + %1 / 32 * 16
	bt eax, %1 % 32
	VERIFY %2, %3
%endmacro

preempt:
	SEND VECTOR_31
	SEND VECTOR_4F
	SEND VECTOR_61
	call windows
	IN_SERVICE VECTOR_61, nc, "an interrupt within another is in service after its end"
	IN_SERVICE VECTOR_41, c, "an interrupt is not in service after the end of one within it"
	LOG MARK_END
	WRITE REG_EOI, 0
	jmp windows

priorities:
	mov eax, 6
	mov cr8, rax
	mov dword [abs cr8_class], 0x60
	SEND VECTOR_61
	SEND VECTOR_71
	call windows
	LOG MARK_END
	mov dword [abs cr8_class], 0
	xor eax, eax
	mov cr8, rax
	call windows
	WRITE REG_EOI, 0
	ret

; The same vector twice while it is in service is one more.
again:	SEND VECTOR_41
	SEND VECTOR_41
	call windows
	LOG MARK_END
	WRITE REG_EOI, 0
	ret

; Goes back without having ended it.
endless:
	ret

check_all:
	mov byte [abs wrong], 0
	WRITE REG_SVR, 0x1ff
	WRITE REG_EOI, 0			; of nothing
	START preempt
	LOGGED "within another", VECTOR_41, VECTOR_61, MARK_END, VECTOR_4F, VECTOR_31, MARK_MAIN
	START priorities
	LOGGED "within another, by CR8", VECTOR_41, VECTOR_71, MARK_END, VECTOR_61, MARK_MAIN
	START again
	LOGGED "the same once more", VECTOR_41, MARK_END, VECTOR_41, MARK_MAIN
	START endless
	SEND VECTOR_31
	SEND VECTOR_4F
	call windows
	READ REG_PPR
	cmp eax, VECTOR_41 & 0xf0
	VERIFY e, "PPR in main code while an interrupt is in service"
	READ REG_IRR + VECTOR_4F / 32 * 16
	bt eax, VECTOR_4F % 32
	VERIFY c, "what waits for an end is not in IRR"
	SEND VECTOR_61
	call windows
	LOG MARK_MAIN
	; A halt does not end for what waits, but for what comes over it.
	SEND VECTOR_71
	sti
	hlt
	cli
	LOG MARK_MAIN
	WRITE REG_EOI, 0
	call windows
	LOGGED "before an end that comes late", VECTOR_41, MARK_MAIN, VECTOR_61, MARK_MAIN, VECTOR_71, MARK_MAIN, \
		VECTOR_4F, VECTOR_31
	READ REG_PPR
	test eax, eax
	VERIFY z, "PPR after all"
	cmp byte [abs wrong], 0
	VERIFY e, "PPR in a handler"
	ret

guest_main:
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	call check_all
	PUTS "nest: xAPIC", 13, 10
	mov eax, APIC_ON | APIC_X2
	call set_mode
	jmp check_all

align 8
action:		dq 0
list:		times 16 db 0
logged:		dd 0
cr8_class:	dd 0
wrong:		db 0

GUEST_END
