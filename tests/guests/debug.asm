; SPDX-License-Identifier: GPL-2.0
; Debug exceptions in the shadow of MOV SS and of STI, and a single step over each of them. With INT1 it cannot run on QEMU, which
; takes that instruction for a breakpoint of its own.
%define GUEST_NAME "debug"
%include "guest.inc"
%include "pic.inc"

ROUNDS		equ 50

%ifdef WITH_INT1
%define NEXT	int1
%else
%define NEXT	nop
%endif

; STEP text, instruction: with TF set, which the handler clears. At least one #DB comes of it, at most three.
%macro STEP 2+
	mov qword [COUNTS + EXC_DB * 8], 0
	mov eax, SEL_DATA
	pushfq
	or qword [rsp], RFLAGS_TF
	popfq
	%2
	NEXT
	nop
	cli
	cmp qword [COUNTS + EXC_DB * 8], 1
	CHECK ae, "no debug exception", %1
	cmp qword [COUNTS + EXC_DB * 8], 3
	CHECK be, "too many debug exceptions", %1
	pushfq
	pop rax
	test eax, RFLAGS_TF
	CHECK z, "TF is still set", %1
%endmacro

; The flags are behind the return address, three registers, vector, error code, RIP and CS.
hook:
	and qword [rsp + 64], ~RFLAGS_TF
	ret

guest_main:
	call pic_init
	mov al, 0xff
	out PC_PORT_PIC_MASTER + 1, al
	lea rax, [rel hook]
	mov [interrupt_hook], rax
	mov byte [count_faults], 1
	mov ebx, ROUNDS
.again:	STEP " behind MOV SS", mov ss, ax
	STEP " behind STI", sti
	STEP " behind NOP", nop
	dec ebx
	jnz .again
	ret

GUEST_END
