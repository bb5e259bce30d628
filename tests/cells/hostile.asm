; SPDX-License-Identifier: GPL-2.0
; A cell that misbehaves: one action of actions.def, which the channel selects, each time it is entered by a vCPU.
;
; The channel's first page: dword 0: number of the action, dword 1: seed. An action ends by "ret", which answers "wait", or never.
bits 64

%include "names.inc"

CELL_IMAGE	equ 0x400000
CELL_CONTEXTS	equ 0x1000000
CELL_CHANNEL	equ 0x40000000
CELL_STACKS	equ 0x800000
CELL_STRIDE	equ 0x8000
CELL_GUEST	equ 0x1000000000
CELL_MAGIC	equ 0x6c6c65634c45454b
CELL_GATE	equ 31
PAGE		equ 4096
KEEL_TEXT	equ 0xffffffff80200000
KEEL_MAP	equ 0xffff800000000000
CONTEXT_EVENT	equ 64
CHANNEL_BYTES	equ 0x30000			; as tests/integration makes it

; struct keel_context (keel/cell.h); integration/cells.c checks these numbers
EXIT_CONTEXT	equ 4
EXIT_FLAGS	equ 8
EXIT_NEXT_RIP	equ 16
EXIT_PORT	equ 32
EXIT_REFUSED	equ 88
REGS		equ 96
REGS_RDX	equ REGS + 16
REGS_RBX	equ REGS + 24
REGS_RIP	equ REGS + 128
REGS_RFLAGS	equ REGS + 136
ANSWER		equ REGS + 144
ANSWER_FLAGS	equ ANSWER + 4
ANSWER_INJECT	equ ANSWER + 8
ANSWER_ERROR	equ ANSWER + 12
ANSWER_TPR	equ ANSWER + 16
ANSWER_END	equ ANSWER + 20
ANSWER_DETAIL	equ ANSWER + 24
ANSWER_KICK	equ ANSWER + 32
ANSWER_DEADLINE	equ ANSWER + 40
ANSWER_APERTURES equ ANSWER + 56
ANSWER_STATE	equ ANSWER + 64
ANSWER_BYTES	equ 72
SREGS		equ ANSWER + ANSWER_BYTES
SREGS_BYTES	equ 352
SREGS_SEGMENT	equ 16			; bytes: selector, attributes, limit, base
SREGS_CS	equ SREGS + 1 * SREGS_SEGMENT
SREGS_LDTR	equ SREGS + 6 * SREGS_SEGMENT
SREGS_TR	equ SREGS + 7 * SREGS_SEGMENT
SREGS_CR0	equ SREGS + 152
SREGS_EFER	equ SREGS + 184
SREGS_DR6	equ SREGS + 192
SREGS_DR7	equ SREGS + 200
SREGS_CPL	equ SREGS + 208
VECTORS		equ SREGS + SREGS_BYTES
VECTORS_BYTES	equ 528
APERTURES	equ VECTORS + VECTORS_BYTES
APERTURE_GPA	equ 0				; struct keel_aperture
APERTURE_PAGE	equ 8
APERTURE_PAGES	equ 12
APERTURE_FLAGS	equ 16
APERTURE_BYTES	equ 24

STATE_BYTES	equ 2 * PAGE		; struct keel_vcpu_state
STATE_RIP	equ 128

EXIT_IO		equ 1
F_STATE		equ 0x20

ACTION_RESUME	equ 0
ACTION_WAIT	equ 1
ACTION_END	equ 2
FLAG_REGS	equ 1
FLAG_RIP	equ 2
FLAG_SREGS	equ 8
FLAG_NMI	equ 0x40
FLAG_WANT_VECTORS equ 0x400
FLAG_VECTORS	equ 0x800
FLAG_STATE_OUT	equ 0x1000
FLAG_STATE_IN	equ 0x2000
END_REFUSED	equ 6
INJECT_VALID	equ 1 << 31
INJECT_EXCEPTION equ 3 << 8

RFLAGS_IOPL	equ 0x3000

org CELL_IMAGE
section .text
	dq CELL_MAGIC, entry
	dd TEXT_PAGES, RODATA_PAGES, DATA_PAGES, 0

; RDI = the context.
entry:
	mov eax, ACTION_WAIT
	mov [rdi + ANSWER], eax
	xor eax, eax
	mov [rdi + ANSWER_FLAGS], eax
	mov [rdi + ANSWER_INJECT], eax
	mov [rdi + ANSWER_TPR], eax
	mov [rdi + ANSWER_KICK], rax
	mov [rdi + ANSWER_APERTURES], eax
	dec rax
	mov [rdi + ANSWER_DEADLINE], rax
	mov esi, CELL_CHANNEL
	mov eax, [rsi]
	mov ebx, [rsi + 4]
	or rbx, 1
	cmp dword [rdi + EXIT_CONTEXT], CONTEXT_EVENT
	je event
	cmp eax, ACTIONS
	jae answer
	call [actions + rax * 8]
answer:	int CELL_GATE
	ud2

event:
	mov dword [rdi + ANSWER], ACTION_RESUME
	cmp eax, SPIN_EVENT
	je action_spin
	cmp eax, EVENT_FAULT
	je action_write_null
	int CELL_GATE
	ud2

action_wait:
action_spin_event:
	ret
action_event_fault:
	ret

action_read_null:
	mov eax, [abs 0]
	ret
action_write_null:
	mov [abs 8], eax
	ret
action_read_keel:
	mov rax, KEEL_TEXT
	mov eax, [rax]
	ret
action_write_keel:
	mov rax, KEEL_TEXT
	mov [rax], eax
	ret
; Every 2 MiB of the upper half: whatever is mapped there, it is not for reading.
action_read_keel_data:
	mov rax, 0xffffffff80000000
.next:	prefetcht0 [rax]
	add rax, 0x200000
	jnc .next
	sub rsp, 16
	sidt [rsp]			; where UMIP allows it, a real address of Keel's
	mov rax, [rsp + 2]
	mov rax, [rax]
	ret
action_read_vcpu_record:
	mov rax, KEEL_MAP
	mov rax, [rax]
	ret
action_read_above_guest:
	mov rax, CELL_GUEST + 0x8000000000
	mov eax, [rax]
	ret
action_write_above_channel:
	mov [abs CELL_CHANNEL + CHANNEL_BYTES], eax
	ret
action_write_text:
	mov [abs entry], eax
	ret
action_write_rodata:
	mov [abs constant], eax
	ret
action_read_between_stacks:
	mov eax, [abs CELL_STACKS + CELL_STRIDE / 2 - 8]
	ret
action_read_other_context:
	mov eax, [abs CELL_CONTEXTS + 5 * PAGE]
	ret
action_read_not_canonical:
	mov rax, 0x8000000000000000
	mov eax, [rax]
	ret
action_jump_null:
	xor eax, eax
	jmp rax
action_jump_keel:
	mov rax, KEEL_TEXT
	jmp rax
action_jump_data:
	mov eax, data
	jmp rax
action_jump_stack:
	sub rsp, 64
	mov dword [rsp], 0xc3c3c3c3
	call rsp
	add rsp, 64
	ret
action_jump_guest:
	mov rax, CELL_GUEST
	mov byte [rax], 0xc3
	jmp rax
action_jump_channel:
	mov eax, CELL_CHANNEL + PAGE
	mov byte [rax], 0xc3
	jmp rax
action_jump_not_canonical:
	mov rax, 0x8000000000000000
	jmp rax

action_cli:	cli
	ret
action_sti:	sti
	ret
action_hlt:	hlt
	ret
action_in:	in al, 0x80
	ret
action_out:	out 0x80, al
	ret
action_rep_outsb:
	mov esi, entry
	mov ecx, 16
	mov edx, PC_PORT_SERIAL
	rep outsb
	ret
action_rdmsr:	mov ecx, MSR_EFER
	rdmsr
	ret
action_wrmsr:	mov ecx, MSR_EFER
	xor eax, eax
	xor edx, edx
	wrmsr
	ret
action_read_cr0:	mov rax, cr0
	ret
action_write_cr3:	mov cr3, rbx
	ret
action_write_cr4:	mov cr4, rbx
	ret
action_write_cr8:	mov cr8, rbx
	ret
action_read_dr7:	mov rax, dr7
	ret
action_write_dr0:	mov dr0, rbx
	ret
action_lgdt:	lgdt [abs table]
	ret
action_lidt:	lidt [abs table]
	ret
action_sidt:	sub rsp, 16
	sidt [rsp]
	sgdt [rsp]
	add rsp, 16
	ret
action_lldt:	xor eax, eax
	lldt ax
	ret
action_ltr:	mov eax, 0x28
	ltr ax
	ret
action_lmsw:	lmsw bx
	ret
action_clts:	clts
	ret
action_invlpg:	invlpg [abs entry]
	ret
action_wbinvd:	wbinvd
	ret
action_invd:	invd
	ret
action_xsetbv:	xor ecx, ecx
	mov eax, 1
	xor edx, edx
	xsetbv
	ret
action_rdpmc:	xor ecx, ecx
	rdpmc
	ret
action_swapgs:	swapgs
	ret
action_wrfsbase: wrfsbase rbx
	ret
action_stac:	stac
	ret
action_syscall:	syscall
	ret
action_sysret:	o64 sysret
	ret
action_sysenter: sysenter
	ret
action_vmmcall:	xor eax, eax
	vmmcall
	ret
action_vmcall:	xor eax, eax
	vmcall
	ret
action_vmrun:	mov eax, data
	vmrun
	ret
action_vmload:	mov eax, data
	vmload
	ret
action_stgi:	stgi
	ret
action_clgi:	clgi
	ret
action_invlpga:	invlpga
	ret
action_monitor:	mov eax, data
	xor ecx, ecx
	xor edx, edx
	monitor
	ret
action_mwait:	xor eax, eax
	xor ecx, ecx
	mwait
	ret
action_ud2:	ud2
action_int_0:	int 0
	ret
action_int_2:	int 2
	ret
action_int_3:	int3
	ret
action_int1:	db 0xf1
	ret
action_int_14:	int 14
	ret
action_int_32:	int 32
	ret
action_int_80:	int 0x80
	ret
action_int_255:	int 255
	ret

; IRET with a frame that asks for more than a cell has. %1: CS, %2: flags, %3: SS.
%macro RETURN 3
	mov rax, rsp
	push %3
	push rax
	push %2
	push %1
	push %%there
	iretq
%%there:
%endmacro
action_iret_ring0:
	RETURN 0x08, 2, 0x10
	ret
action_iret_iopl:
	mov ecx, ss
	mov edx, cs
	RETURN rdx, RFLAGS_IOPL | RFLAGS_IF | 2, rcx
	cli
	ret
action_iret_nt:
	pushfq
	or dword [rsp], RFLAGS_NT
	popfq
	mov ecx, ss
	mov edx, cs
	RETURN rdx, 2, rcx
	ret
action_iret_vm:
	mov ecx, ss
	mov edx, cs
	RETURN rdx, RFLAGS_VM | 2, rcx
	ret
; Any other selector with ring 3's rights: null, LDT, off the table.
action_iret_compat:
	mov ecx, ss
	RETURN 3, 2, rcx
	ret
action_load_kernel_ds:
	mov eax, 0x10
	mov ds, ax
	ret
action_load_kernel_ss:
	mov eax, 0x10
	mov ss, ax
	ret
action_load_null_segments:
	xor eax, eax
	mov ds, ax
	mov es, ax
	mov fs, ax
	mov gs, ax
	ret
action_far_jump_kernel:
	push 0x08
	push .there
	o64 retf
.there:	ret
action_far_call_tss:
	mov rax, rsp
	push 0x28
	push 0
	mov rax, rsp
	o64 call far [rax]
	ret
action_sse:	movaps xmm0, xmm1
	ret
action_x87:	fninit
	ret
action_avx:	vxorps ymm0, ymm0, ymm0
	ret
action_xsave:	mov eax, -1
	mov edx, -1
	xsave [abs data]
	ret
action_divide:	xor ecx, ecx
	mov eax, 1
	xor edx, edx
	div ecx
	ret
action_stack_overflow:
	push rax
	jmp action_stack_overflow
action_stack_not_canonical:
	mov rsp, 0x8000000000000000
	push rax
action_stack_in_keel:
	mov rsp, KEEL_TEXT + 0x1000
	push rax
action_gate_with_bad_stack:
	mov rsp, 0x8000000000000008
	int CELL_GATE
action_gate_with_flags:
	mov rbp, rdi
	pushfq
	or dword [rsp], RFLAGS_DF | RFLAGS_AC | RFLAGS_NT | RFLAGS_IOPL
	popfq
	int CELL_GATE
action_trap_flag:
	pushfq
	or dword [rsp], RFLAGS_TF
	popfq
	nop
	nop
	ret
action_alignment:
	pushfq
	or dword [rsp], RFLAGS_AC
	popfq
	mov eax, [abs data + 1]
	ret
action_write_channel:
	mov edi, CELL_CHANNEL + 8
	mov ecx, (CHANNEL_BYTES - 8) / 8
	mov rax, -1
	rep stosq
	ret
action_write_guest:
	mov rdi, CELL_GUEST
	mov ecx, PAGE / 8
	mov rax, -1
	rep stosq
	ret
action_write_event_context:
	mov edi, CELL_CONTEXTS + CONTEXT_EVENT * PAGE
	mov ecx, PAGE / 8
	mov rax, -1
	rep stosq
	ret
action_spin:
	jmp action_spin
action_spin_flags:
	pushfq
	or dword [rsp], RFLAGS_DF | RFLAGS_AC | RFLAGS_NT
	popfq
.loop:	push rax
	pop rax
	prefetcht0 [abs 0]
	jmp .loop

action_answer_nothing:
	mov dword [rdi + ANSWER], ACTION_RESUME
	ret
action_answer_action:
	mov dword [rdi + ANSWER], 0x12345678
	ret
action_answer_ones:
	lea rdi, [rdi + ANSWER]
	mov ecx, ANSWER_BYTES
	mov al, 0xff
	rep stosb
	ret
; An end that only Keel itself can find.
action_answer_end:
	mov dword [rdi + ANSWER], ACTION_END
	mov dword [rdi + ANSWER_END], 3
	mov qword [rdi + ANSWER_DETAIL], -1
	ret
action_answer_kick:
	mov qword [rdi + ANSWER_KICK], -1
	ret
action_answer_deadline_past:
	mov qword [rdi + ANSWER_DEADLINE], 0
	ret
action_answer_interrupt:
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_INJECT], INJECT_VALID | 0x20
	ret
action_answer_exception:
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_INJECT], INJECT_VALID | INJECT_EXCEPTION | 0xff
	ret
action_answer_nmi:
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_FLAGS], FLAG_NMI
	ret
action_answer_rip:
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_FLAGS], FLAG_RIP
	mov rax, 0x8000000000000000
	mov [rdi + REGS_RIP], rax
	ret
; Registers that it was not given, and to be given them again and again.
action_answer_vectors:
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_FLAGS], FLAG_VECTORS
	ret
action_answer_vectors_for_ever:
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_FLAGS], FLAG_WANT_VECTORS
	ret

; A vCPU's state to where it has no business, or more than once for one POLL.
%macro STATE_MOVE 2
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_FLAGS], %1
	mov rax, %2
	mov [rdi + ANSWER_STATE], rax
%endmacro
action_answer_state_channel:
	STATE_MOVE FLAG_STATE_OUT, CELL_CHANNEL
	ret
action_answer_state_text:
	STATE_MOVE FLAG_STATE_OUT, CELL_IMAGE
	ret
; The second page of the structure is behind the image.
action_answer_state_last:
	STATE_MOVE FLAG_STATE_OUT, data_end - PAGE
	ret
action_answer_state_keel:
	STATE_MOVE FLAG_STATE_IN, KEEL_TEXT
	ret
action_answer_state_for_ever:
	STATE_MOVE FLAG_STATE_OUT, state_a
	ret

; States that no guest can have. What is not refused shows as #UD.
%macro STATE_REFUSED 1
	test dword [rdi + EXIT_FLAGS], F_STATE
	jnz .asked
	push rdi
	mov edi, state_a
	mov ecx, STATE_BYTES / 8
	%1
	pop rdi
	STATE_MOVE FLAG_STATE_IN, state_a
	ret
.asked:	cmp dword [rdi + EXIT_REFUSED], 0
	jne .refused
	ud2
.refused:
	ret
%endmacro
%macro ONES 0
	mov rax, -1
	rep stosq
%endmacro
action_answer_state_ones:
	STATE_REFUSED ONES
action_answer_state_random:
	STATE_REFUSED call fill_random

; A guest's state is saved at one port, the guest sent elsewhere, where it loses its registers, and at the next port put back
; where it was: it goes on, and shows at a third port what it has. The steps:
STEP_START	equ 0
STEP_SAVE	equ 1
STEP_SAVED	equ 2
STEP_LEAD_AWAY	equ 3
STEP_AWAY	equ 4
STEP_BACK	equ 5
STEP_IS_BACK	equ 6
STEP_GUEST	equ 7				; it runs: no POLL is waited for
PORT_FIRST	equ 0x10
PORT_AWAY	equ 0x11
PORT_AGAIN	equ 0x12
GUEST_CODE	equ 0x1000
GUEST_VECTOR	equ 0x12345678
GUEST_RBX	equ 0x55aa33cc
action_state_moves:
	mov dword [rdi + ANSWER], ACTION_RESUME
	cmp dword [rdi], EXIT_IO
	je .port
	mov eax, [step]
	test dword [rdi + EXIT_FLAGS], F_STATE
	jnz .moved
	cmp eax, STEP_START
	je .start
	cmp eax, STEP_SAVE
	je .save
	cmp eax, STEP_LEAD_AWAY
	je .lead_away
	cmp eax, STEP_BACK
	je .back
	ret

.start:
	push rdi
	mov esi, guest_code
	mov rdi, CELL_GUEST + GUEST_CODE
	mov ecx, guest_code_end - guest_code
	rep movsb
	pop rdi
	mov dword [rdi + ANSWER_FLAGS], FLAG_SREGS
	mov qword [rdi + REGS_RIP], GUEST_CODE
	mov qword [rdi + REGS_RFLAGS], RFLAGS_FIXED
	mov rdx, rdi
	lea rdi, [rdi + SREGS]
	mov ecx, SREGS_BYTES
	xor eax, eax
	rep stosb
	mov ecx, 8
	mov rax, 0x0000ffff00930000		; data, present, 64 KiB
	lea rdi, [rdx + SREGS]
.segment:
	mov [rdi], rax
	add rdi, SREGS_SEGMENT
	loop .segment
	mov byte [rdx + SREGS_CS + 2], 0x9b
	mov byte [rdx + SREGS_LDTR + 2], 0x82
	mov byte [rdx + SREGS_TR + 2], 0x8b
	mov dword [rdx + SREGS_CR0], CR0_RESET
	mov dword [rdx + SREGS_DR6], DR6_RESET
	mov dword [rdx + SREGS_DR7], DR7_RESET
	mov dword [step], STEP_GUEST
	ret

.save:
	STATE_MOVE FLAG_STATE_OUT, state_a
	mov dword [step], STEP_SAVED
	ret
.lead_away:
	STATE_MOVE FLAG_STATE_IN, state_b
	mov dword [step], STEP_AWAY
	ret
.back:
	STATE_MOVE FLAG_STATE_IN, state_a
	mov dword [step], STEP_IS_BACK
	ret

.moved:
	cmp dword [rdi + EXIT_REFUSED], 0
	jne .wrong
	mov dword [step], STEP_GUEST
	cmp eax, STEP_SAVED
	jne .went_in
	push rdi
	mov esi, state_a
	mov edi, state_b
	mov ecx, STATE_BYTES
	rep movsb
	mov qword [state_b + STATE_RIP], GUEST_CODE + guest_away - guest_code
	pop rdi
	mov dword [step], STEP_LEAD_AWAY
	mov qword [rdi + ANSWER_DEADLINE], 0	; a POLL, please
.went_in:
	ret

.port:
	mov rax, [rdi + EXIT_NEXT_RIP]
	mov [rdi + REGS_RIP], rax
	mov dword [rdi + ANSWER_FLAGS], FLAG_RIP
	mov qword [rdi + ANSWER_DEADLINE], 0
	mov dword [step], STEP_SAVE
	cmp word [rdi + EXIT_PORT], PORT_FIRST
	je .went_in
	mov dword [step], STEP_BACK
	cmp word [rdi + EXIT_PORT], PORT_AWAY
	je .went_in
	cmp dword [rdi + REGS_RDX], GUEST_VECTOR
	jne .wrong
	cmp dword [rdi + REGS_RBX], GUEST_RBX
	jne .wrong
	mov dword [rdi + ANSWER], ACTION_END
	mov dword [rdi + ANSWER_END], END_REFUSED
	ret
.wrong:
	ud2

%macro SREGS_FILL 1
	mov dword [rdi + ANSWER], ACTION_RESUME
	mov dword [rdi + ANSWER_FLAGS], FLAG_SREGS
	mov rdx, rdi
	lea rdi, [rdi + SREGS]
	mov ecx, SREGS_BYTES
	mov al, %1
	rep stosb
%endmacro
action_answer_sregs_ones:
	SREGS_FILL 0xff
	ret
action_answer_sregs_zero:
	SREGS_FILL 0
	ret
action_answer_sregs_cpl:
	SREGS_FILL 0
	mov dword [rdx + SREGS_CPL], 0xffffffff
	ret
action_answer_sregs_efer:
	SREGS_FILL 0
	mov qword [rdx + SREGS_EFER], EFER_SVME
	ret
action_answer_random:
	lea rdx, [rdi + ANSWER_APERTURES]
	lea rdi, [rdi + ANSWER]
	mov ecx, ANSWER_BYTES / 8
	call fill_random
	mov dword [rdx], 0		; which would end it before anything else is looked at
	ret
; The action is to go on, the rest is anything.
action_answer_random_sregs:
	lea rdx, [rdi + ANSWER]
	lea rdi, [rdi + REGS]
	mov ecx, (SREGS + SREGS_BYTES - REGS) / 8
	call fill_random
	mov dword [rdx], ACTION_RESUME
	or dword [rdx + 4], FLAG_SREGS
	mov dword [rdx + ANSWER_APERTURES - ANSWER], 0
	ret

; Of aperture 0 the test has bound the channel's page 1.
; APERTURE number, address, page, pages
%macro APERTURE 4
	mov dword [rdi + ANSWER_APERTURES], 1 << %1
	mov rax, %2
	mov [rdi + APERTURES + %1 * APERTURE_BYTES + APERTURE_GPA], rax
	mov dword [rdi + APERTURES + %1 * APERTURE_BYTES + APERTURE_PAGE], %3
	mov dword [rdi + APERTURES + %1 * APERTURE_BYTES + APERTURE_PAGES], %4
%endmacro
action_answer_aperture_unknown:
	mov dword [rdi + ANSWER_APERTURES], 1 << 8
	ret
action_answer_aperture_unbound:
	APERTURE 7, 0x40000000, 1, 1
	ret
action_answer_aperture_before:
	APERTURE 0, 0x40000000, 0, 1
	ret
action_answer_aperture_behind:
	APERTURE 0, 0x40000000, 1, 2
	ret
action_answer_aperture_memory:
	APERTURE 0, 0x8000, 1, 1
	ret
action_answer_aperture_apic:
	APERTURE 0, PC_LAPIC, 1, 1
	ret
action_answer_aperture_address:
	APERTURE 0, 0x10000000000, 1, 1
	ret
action_answer_aperture_flags:
	APERTURE 0, 0x40000000, 1, 1
	mov dword [rdi + APERTURES + APERTURE_FLAGS], 0x80000000
	ret
; To and fro, without end.
action_answer_aperture_moves:
	mov qword [rdi + ANSWER_DEADLINE], 0
	mov rdx, [rdi + APERTURES + APERTURE_GPA]
	APERTURE 0, 0x40000000, 1, 1
	or edx, 0x40000000
	xor edx, 0x3fe01000		; in another table
	mov [rdi + APERTURES + APERTURE_GPA], rdx
	ret
fill_random:
	mov rax, rbx
	shl rax, 13
	xor rbx, rax
	mov rax, rbx
	shr rax, 7
	xor rbx, rax
	mov rax, rbx
	shl rax, 17
	xor rbx, rax
	mov rax, rbx
	stosq
	loop fill_random
	ret

	align PAGE
TEXT_PAGES	equ ($ - $$) / PAGE

section .rodata align=4096 follows=.text
rodata:
constant: dq 0
bits 16
guest_code:
	mov eax, cr4
	or eax, 0x600				; OSFXSR, OSXMMEXCPT
	mov cr4, eax
	mov eax, GUEST_VECTOR
	movd xmm3, eax
	mov ebx, GUEST_RBX
	out PORT_FIRST, al
	movd edx, xmm3
	out PORT_AGAIN, al
	jmp $
guest_away:
	xorps xmm3, xmm3
	xor ebx, ebx
	out PORT_AWAY, al
	jmp $
guest_code_end:
bits 64
	align 8
table:	dw 0
	dq 0
	align 8
%define ACTION(name, ends, vector) dq action_ %+ name
actions:
%include "actions.def"
ACTIONS	equ ($ - actions) / 8
	align PAGE
RODATA_PAGES equ ($ - rodata) / PAGE

; Numbers of the two actions that the event context has a part in.
%assign number 0
%undef ACTION
%define ACTION(name, ends, vector) NUMBER name
%macro NUMBER 1
%ifidn %1, spin_event
SPIN_EVENT equ number
%elifidn %1, event_fault
EVENT_FAULT equ number
%endif
%assign number number + 1
%endmacro
%include "actions.def"

section .data align=4096 follows=.rodata
data:	times PAGE db 0xc3
state_a: times STATE_BYTES db 0
state_b: times STATE_BYTES db 0
step:	dd STEP_START
	align PAGE, db 0
data_end:
DATA_PAGES	equ (data_end - data) / PAGE
