; SPDX-License-Identifier: GPL-2.0
; Exceptions that are raised while another event is delivered: on a stack that is not there, through gates that are not there or
; beyond the table (SDM vol. 3, 6.15, table 6-5); and events whose delivery is tried again once the stack is there.
%define GUEST_NAME "delivery"
%include "guest.inc"

VECTOR_TEST	equ 0x90
NO_MSR		equ 0x12345678
ERROR_EXT	equ 1
ERROR_IDT	equ 2
FAULT_WRITE	equ 2
GATE_PRESENT	equ 0x80
; Two MiB that are mapped only now and then, and a stack that ends there.
WINDOW		equ 0x40000000
WINDOW_ENTRY	equ DIRECTORY + 0x1000
BAD_STACK	equ WINDOW + 0x8000
NOTHING		equ WINDOW + 0x100000
IST1		equ 1

; RAISED text, vector, error code.
%macro RAISED 3
	cmp al, %2
	VERIFY e, "vector: ", %1
	cmp qword [abs fault_code], %3
	VERIFY e, "error code: ", %1
%endmacro

; The same of a gate: QEMU counts it as 16 bytes in the error code, and leaves EXT out.
; RAISED_BY_GATE text, vector, the gate's vector, EXT
%macro RAISED_BY_GATE 4
	cmp al, %2
	VERIFY e, "vector: ", %1
	BUT_QEMU %%good
	mov rcx, [abs fault_code]
	cmp rcx, %3 * 8 + ERROR_IDT + %4
	VERIFY e, "error code: ", %1
%%good:
%endmacro

%macro GATE_OFF 1
	and byte [abs IDT + %1 * 16 + 5], ~GATE_PRESENT
%endmacro

%macro GATE_ON 1
	or byte [abs IDT + %1 * 16 + 5], GATE_PRESENT
%endmacro

on_bad_stack:
.undefined:
	mov rsp, BAD_STACK
.ud2:	ud2
.protection:
	mov rsp, BAD_STACK
	mov rbx, 0x8000000000000000
	mov eax, [rbx]
.page:	mov rsp, BAD_STACK
	mov eax, [abs NOTHING]
.wrmsr:	mov rsp, BAD_STACK
	mov ecx, NO_MSR
.wrmsr_at:
	wrmsr
.insb:	mov rsp, BAD_STACK
	mov edi, NOTHING
	mov dx, 0x80
	insb
.int3:	mov rsp, BAD_STACK
.int3_at:
	int3
.int_n:	mov rsp, BAD_STACK
.int_n_at:
	int VECTOR_TEST
.nmi:	mov edx, PC_LAPIC
	mov rsp, BAD_STACK
	mov dword [rdx + APIC_REG_ICR_LOW], ICR_MODE_NMI
.nmi_wait:
	nop
	jmp .nmi_wait
.interrupt:
	mov rsp, BAD_STACK
	sti
.interrupt_at:
	nop
	nop
	jmp .interrupt_at

check_stacks:
	; Page faults have a stack of their own.
	mov byte [abs IDT + EXC_PF * 16 + 4], IST1
	TRY jmp on_bad_stack.undefined
	RAISED "#UD on a missing stack", EXC_PF, FAULT_WRITE
	mov rax, BAD_STACK - 8
	cmp [abs fault_address], rax
	VERIFY e, "CR2: #UD on a missing stack"
	lea rax, [rel on_bad_stack.ud2]
	cmp [abs fault_rip], rax
	VERIFY e, "RIP: #UD on a missing stack"
	TRY jmp on_bad_stack.protection
	RAISED "#GP on a missing stack", EXC_PF, FAULT_WRITE
	; One that the hypervisor raises.
	TRY jmp on_bad_stack.wrmsr
	RAISED "#GP of WRMSR on a missing stack", EXC_PF, FAULT_WRITE
	mov rax, BAD_STACK - 8
	cmp [abs fault_address], rax
	VERIFY e, "CR2: #GP of WRMSR on a missing stack"
	lea rax, [rel on_bad_stack.wrmsr_at]
	cmp [abs fault_rip], rax
	VERIFY e, "RIP: #GP of WRMSR on a missing stack"
	TRY jmp on_bad_stack.int3
	RAISED "INT3 on a missing stack", EXC_PF, FAULT_WRITE
	lea rax, [rel on_bad_stack.int3_at]
	cmp [abs fault_rip], rax
	VERIFY e, "RIP: INT3 on a missing stack"
	TRY jmp on_bad_stack.int_n
	RAISED "INT n on a missing stack", EXC_PF, FAULT_WRITE
	lea rax, [rel on_bad_stack.int_n_at]
	cmp [abs fault_rip], rax
	VERIFY e, "RIP: INT n on a missing stack"
	; An interrupt is in service by then, and does not come a second time.
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_LOW], VECTOR_TEST | ICR_SELF
	TRY jmp on_bad_stack.interrupt
	RAISED "an interrupt on a missing stack", EXC_PF, FAULT_WRITE
	lea rax, [rel on_bad_stack.interrupt_at]
	cmp [abs fault_rip], rax
	VERIFY ae, "RIP: an interrupt on a missing stack"
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_EOI], 0
	sti
	in al, 0x80
	cli
	; QEMU takes a virtual interrupt back only once it is delivered.
	BUT_QEMU .again
	cmp qword [abs COUNTS + VECTOR_TEST * 8], 0
	VERIFY e, "an interrupt whose delivery failed came again"
.again:
	; An NMI has come as well, and the fault's IRET lets the next one in.
	TRY jmp on_bad_stack.nmi
	RAISED "an NMI on a missing stack", EXC_PF, FAULT_WRITE
	cmp qword [abs COUNTS + EXC_NMI * 8], 0
	VERIFY e, "an NMI whose delivery failed came again"
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_LOW], ICR_MODE_NMI
	mov ecx, 1000
.nmi:	pause
	loop .nmi
	cmp qword [abs COUNTS + EXC_NMI * 8], 1
	VERIFY e, "an NMI after one whose delivery failed"
	; A second page fault, then a gate that is not there, make it a double fault.
	mov byte [abs IDT + EXC_PF * 16 + 4], 0
	TRY jmp on_bad_stack.page
	RAISED "#PF on a missing stack", EXC_DF, 0
	TRY jmp on_bad_stack.insb
	RAISED "#PF of INSB on a missing stack", EXC_DF, 0
	mov rax, BAD_STACK - 8
	cmp [abs fault_address], rax
	VERIFY e, "CR2: #PF of INSB on a missing stack"
	ret

check_gates:
	GATE_OFF EXC_PF
	TRY mov eax, [abs NOTHING]
	RAISED "#PF without a gate", EXC_DF, 0
	; QEMU makes no double fault of a fault that is injected and another.
	BUT_QEMU .page_fault
	mov edi, NOTHING
	mov dx, 0x80
	TRY insb
	RAISED "#PF of INSB without a gate", EXC_DF, 0
.page_fault:
	GATE_ON EXC_PF
	GATE_OFF EXC_GP
	mov rbx, 0x8000000000000000
	TRY mov eax, [rbx]
	RAISED "#GP without a gate", EXC_DF, 0
	BUT_QEMU .protection
	mov ecx, NO_MSR
	TRY wrmsr
	RAISED "#GP of WRMSR without a gate", EXC_DF, 0
.protection:
	GATE_ON EXC_GP
	GATE_OFF VECTOR_TEST
	TRY int VECTOR_TEST
	RAISED_BY_GATE "INT n without a gate", EXC_NP, VECTOR_TEST, 0
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_LOW], VECTOR_TEST | ICR_SELF
	TRY call interrupts_on
	RAISED_BY_GATE "an interrupt without a gate", EXC_NP, VECTOR_TEST, ERROR_EXT
	cli
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_EOI], 0
	GATE_ON VECTOR_TEST
	GATE_OFF EXC_UD
	TRY ud2
	RAISED_BY_GATE "#UD without a gate", EXC_NP, EXC_UD, ERROR_EXT
	GATE_ON EXC_UD
	; A table that ends before the vector.
	mov word [abs SCRATCH], VECTOR_TEST * 16 + 14
	mov qword [abs SCRATCH + 2], IDT
	lidt [abs SCRATCH]
	TRY int VECTOR_TEST
	RAISED_BY_GATE "INT n beyond the table", EXC_GP, VECTOR_TEST, 0
	mov word [abs SCRATCH], VECTOR_TEST * 16 + 15
	lidt [abs SCRATCH]
	mov qword [abs COUNTS + VECTOR_TEST * 8], 0
	int VECTOR_TEST
	lidt [rel idt_pointer]
	cmp qword [abs COUNTS + VECTOR_TEST * 8], 1
	VERIFY e, "INT n at the end of the table"
	; A gate of a type that there is not in 64-bit mode.
	mov byte [abs IDT + VECTOR_TEST * 16 + 5], 0x85
	TRY int VECTOR_TEST
	RAISED_BY_GATE "INT n through a task gate", EXC_GP, VECTOR_TEST, 0
	mov byte [abs IDT + VECTOR_TEST * 16 + 5], 0x8e
	ret

interrupts_on:
	sti
	nop
	in al, 0x80
	nop
	cli
	ret

; Each event's delivery faults; the page fault's handler mends the stack; the event is delivered then, once.
check_again:
	mov byte [abs IDT + EXC_PF * 16 + 4], IST1
	mov byte [abs count_faults], 1
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov qword [abs COUNTS + EXC_BP * 8], 0
	mov qword [abs COUNTS + VECTOR_TEST * 8], 0
	mov qword [abs COUNTS + EXC_UD * 8], 0
	mov r12, rsp
	mov ebp, 10
.round:	call unmap
	mov rsp, BAD_STACK
	int3
.behind_int3:
	call unmap_on_bad_stack
	int VECTOR_TEST
	call unmap_on_bad_stack
	ud2
	mov rsp, r12
	dec ebp
	jnz .round
	mov qword [abs interrupt_hook], 0
	mov byte [abs count_faults], 0
	call unmap
	cmp qword [abs COUNTS + EXC_BP * 8], 10
	VERIFY e, "INT3 after its delivery had faulted"
	cmp qword [abs COUNTS + VECTOR_TEST * 8], 10
	VERIFY e, "INT n after its delivery had faulted"
	cmp qword [abs COUNTS + EXC_UD * 8], 10
	VERIFY e, "#UD after its delivery had faulted"
	cmp qword [abs COUNTS + EXC_PF * 8], 30
	VERIFY e, "page faults in delivery"
	lea rax, [rel .behind_int3]
	cmp [abs int3_rip], rax
	VERIFY e, "RIP of INT3 after its delivery had faulted"
	ret

; The caller's return address is on the stack that goes.
unmap_on_bad_stack:
	pop rax
	call unmap_in_place
	jmp rax

unmap_in_place:
	pop rcx
	mov qword [abs WINDOW_ENTRY], 0
	mov edx, WINDOW
	invlpg [rdx]
	jmp rcx

unmap:	mov qword [abs WINDOW_ENTRY], 0
	mov edx, WINDOW
	invlpg [rdx]
	ret

; The stack: return address, RDX, RCX, RAX, vector, error code, RIP.
hook:	cmp eax, EXC_PF
	je .map
	cmp eax, EXC_UD
	je .skip
	cmp eax, EXC_BP
	jne .done
	mov rax, [rsp + 48]
	mov [abs int3_rip], rax
.done:	ret
.map:	mov qword [abs WINDOW_ENTRY], 0x400000 | PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	ret
.skip:	add qword [rsp + 48], 2
	ret

guest_main:
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_SPURIOUS], SPURIOUS_ENABLE | SPURIOUS_RESET
	call unmap
	call check_stacks
	PUTS "delivery: stacks", 13, 10
	call check_gates
	PUTS "delivery: gates", 13, 10
	call check_again
	ret

align 8
int3_rip:	dq 0

GUEST_END
