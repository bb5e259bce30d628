; SPDX-License-Identifier: GPL-2.0
; Interrupt entry, and ring 3: cell_switch leaves to it, the entry stubs come back from it.

%include "names.inc"
%include "percpu.inc"
%include "registers.inc"
%include "vendor.inc"

VECTORS		equ 256
STUB_BYTES	equ 16
ANSWER		equ 31			; KEEL_CELL_GATE
SEL_KERNEL_CODE	equ 0x08

; struct cell_frame
FRAME_VECTOR	equ 15 * 8
FRAME_RIP	equ 17 * 8
FRAME_BYTES	equ 22 * 8

SAFE_PLACES	equ 4			; safe_place1 to 4: instructions whose #GP is an answer

extern trap_kernel, trap_nmi, apic_end_of_interrupt, trap_init_signal, vmx_window, vmx_called_off

%macro POP_REGISTERS 0
	POPS r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
%endmacro

; Goes on at a label by IRET, which ends the blocking of NMIs. Uses RAX and RCX.
%macro IRET_TO 1
	mov rax, ss
	mov rcx, rsp
	push rax
	push rcx
	pushfq
	push SEL_KERNEL_CODE
	lea rax, [rel %1]
	push rax
	iretq
%endmacro

section .text

; What cell_run() calls, with its argument where C has it; of Keel's registers RBX, RBP and RDI are kept. The processor puts the
; frame of what ends ring 3 below all of this, on the next boundary of 16 bytes.
global cell_switch
cell_switch:
	PUSHES rbx, rbp, rdi
	mov rax, rsp
	and rax, PERCPU_MASK
	mov [rax + PERCPU_DATA + CPU_TSS_RSP0], rsp
	; SS, RSP, RFLAGS, CS, RIP
	PUSHES qword [rdi + FRAME_RIP + 32], qword [rdi + FRAME_RIP + 24], qword [rdi + FRAME_RIP + 16]
	PUSHES qword [rdi + FRAME_RIP + 8], qword [rdi + FRAME_RIP]
	; in the order of struct cell_frame
	LOADS r15, 0, r14, 1, r13, 2, r12, 3, r11, 4, r10, 5, r9, 6, r8, 7
	LOADS rbp, 8, rsi, 10, rdx, 11, rcx, 12, rbx, 13, rax, 14, rdi, 9
	cli
	EVENTS_ON
cell_enter_window:
	iretq
cell_enter_window_end:

; The cell's answer: nothing of its registers is wanted. Its stack pointer still tells the CPU's area.
align 16
global trap_answer
trap_answer:
	EVENTS_OFF
	mov rax, rsp
	and rax, PERCPU_MASK
	mov rsp, [rax + PERCPU_DATA + CPU_TSS_RSP0]
	mov rdi, [rsp]
	mov qword [rdi + FRAME_VECTOR], ANSWER
	push 2
	popfq
	jmp cell_return

; Every other vector: error code (or 0) and vector, then the common part.
align 16
global trap_stubs
trap_stubs:
%assign vector 0
%rep VECTORS
align 16
%if vector == EXC_DF || (vector >= EXC_TS && vector <= EXC_PF) || vector == EXC_AC || vector == EXC_CP || vector == EXC_VC \
		|| vector == EXC_SX
	EVENTS_OFF
%else
	EVENTS_OFF
	push qword 0
%endif
	push qword vector
	jmp trap_common
%assign vector vector + 1
%endrep

; Interrupts come to ring 0 in one place only: where they are let in to be dropped, with a table of their own.
; Whatever their vector, they push no error code.
align 16
global trap_drained, trap_drained_security
trap_drained_security:
	; An INIT, if an error code is there.
	push rax
	lea rax, [rel drain_window]
	cmp [rsp + 8], rax
	pop rax
	jb trap_stubs + EXC_SX * STUB_BYTES
trap_drained:
	EVENTS_OFF
	PUSHES rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11
	call apic_end_of_interrupt
	POPS r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax
	EVENTS_ON
	iretq

trap_common:
	PUSHES rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
	push 2
	popfq				; interrupt gates keep DF and AC
	test byte [rsp + FRAME_RIP + 8], 3
	jz trap_from_kernel

	; From ring 3: keep the frame, go back to the caller of cell_switch.
	mov rax, rsp
	and rax, PERCPU_MASK
	mov rbx, [rax + PERCPU_DATA + CPU_TSS_RSP0]
	mov rdi, [rbx]
	mov rsi, rsp
	mov ecx, FRAME_BYTES / 8
	rep movsq
	mov rsp, rbx
	mov rdi, [rsp]
	cmp qword [rdi + FRAME_VECTOR], EXC_NMI
	jne cell_return
	; An NMI blocks the next one until an IRET.
	IRET_TO cell_return
cell_return:
	POPS rdi, rbp, rbx
	IF_BACK_ON
	ret

trap_from_kernel:
	mov rdi, rsp
	cmp qword [rsp + FRAME_VECTOR], EXC_NMI
	je trap_kernel_nmi
	cmp qword [rsp + FRAME_VECTOR], EXC_GP
	je trap_kernel_gp
	; On SVM an INIT comes where NMIs do, as a security exception.
	cmp qword [rsp + FRAME_VECTOR], EXC_SX
	jne trap_kernel_fault
	mov rdi, rsp
	call trap_init_signal
	jmp trap_resume
trap_kernel_fault:
	call trap_kernel		; does not return
trap_kernel_gp:
	; One of the instructions that may fault: go on where false is returned, with events held off or let in as they were.
	mov rax, [rsp + FRAME_RIP]
%assign place 1
%rep SAFE_PLACES
	lea rcx, [rel safe_place %+ place]
	cmp rax, rcx
	je trap_refused
%assign place place + 1
%endrep
	jmp trap_kernel_fault
trap_refused:
	lea rax, [rel safe_refused]
	mov [rsp + FRAME_RIP], rax
	POP_REGISTERS
	add rsp, 16
	iretq
trap_kernel_nmi:
	; On SVM an NMI comes to ring 0 only where it was let in: in a window, or between ring 3 and this file's first
	; instructions. On VMX it comes anywhere.
	lea rax, [rel cell_enter_window]
	cmp [rsp + FRAME_RIP], rax
	je trap_abort
	lea rax, [rel park_window]
	cmp [rsp + FRAME_RIP], rax
	jb trap_count
	lea rax, [rel park_window_end]
	cmp [rsp + FRAME_RIP], rax
	ja trap_count
	mov [rsp + FRAME_RIP], rax	; the wake-up call of cpu_park_wait: do not halt after it
	jmp trap_resume
trap_count:
	call trap_nmi
	; One that comes behind the last look but before the entry, on VMX, calls the entry off.
	lea rax, [rel vmx_window]
	cmp [rsp + FRAME_RIP], rax
	jb trap_resume
	lea rax, [rel vmx_called_off]
	cmp [rsp + FRAME_RIP], rax
	jae trap_resume
	mov [rsp + FRAME_RIP], rax
trap_resume:
	POP_REGISTERS
	add rsp, 16
	; stay as it was: interrupted with events let in, so let them in again
	EVENTS_ON
	iretq
trap_abort:
	; Ring 3 was not reached yet: its frame is as it was, but for the reason.
	mov rax, rsp
	and rax, PERCPU_MASK
	mov rsp, [rax + PERCPU_DATA + CPU_TSS_RSP0]
	mov rdi, [rsp]
	mov qword [rdi + FRAME_VECTOR], EXC_NMI
	IRET_TO cell_return

; void cpu_open_window(void): takes an NMI that holding events off has kept waiting, through the IDT.
global cpu_open_window
cpu_open_window:
	cli
	EVENTS_ON
	nop
	EVENTS_OFF
	IF_BACK_ON
	ret

; void cpu_unblock_nmi(void): ends the blocking of NMIs that the exit by one of them has brought.
global cpu_unblock_nmi
cpu_unblock_nmi:
	IRET_TO .unblocked
.unblocked:
	ret

; void trap_drain_window(void): takes the interrupts that are pending. RFLAGS.IF is as everywhere in ring 0.
global trap_drain_window
trap_drain_window:
	EVENTS_ON
drain_window:
	sti
%rep 16				; some processors take one interrupt an instruction, none of them in STI's shadow
	nop
%endrep
	cli
	EVENTS_OFF
	IF_BACK_ON
	ret

; void cpu_rest(void): runs nothing more, but lets in what the machine's firmware wants of every CPU (SMI).
global cpu_rest
cpu_rest:
	cli
	EVENTS_ON
.rest:
	hlt
	jmp .rest

; void cpu_park_wait(const uint32_t *request): halts until *request is not 0; woken by NMI.
global cpu_park_wait
cpu_park_wait:
	cli
	; The NMI that led here may block the one that is waited for.
	IRET_TO park_window
park_window:
	cmp dword [rdi], 0
	jne park_out
	EVENTS_ON
	hlt
park_window_end:
	EVENTS_OFF
	jmp cpu_park_wait
park_out:
	IF_BACK_ON
	ret

; bool rdmsr_safe(uint32_t msr, uint64_t *value)
global rdmsr_safe
rdmsr_safe:
	mov ecx, edi
safe_place1:
	rdmsr
	shl rdx, 32
	or rax, rdx
	mov [rsi], rax
	mov eax, 1
	ret

; bool wrmsr_safe(uint32_t msr, uint64_t value)
global wrmsr_safe
wrmsr_safe:
	mov ecx, edi
	mov rax, rsi
	mov rdx, rsi
	shr rdx, 32
safe_place2:
	wrmsr
	mov eax, 1
	ret

; bool xsetbv_safe(uint64_t value): XCR0
global xsetbv_safe
xsetbv_safe:
	xor ecx, ecx
	mov rax, rdi
	mov rdx, rdi
	shr rdx, 32
safe_place3:
	xsetbv
	mov eax, 1
	ret

; bool xrstor_safe(const void *area, uint64_t mask)
global xrstor_safe
xrstor_safe:
	mov rax, rsi
	mov rdx, rsi
	shr rdx, 32
safe_place4:
	xrstor64 [rdi]
	mov eax, 1
	ret
safe_refused:
	xor eax, eax
	ret
