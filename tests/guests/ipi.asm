; SPDX-License-Identifier: GPL-2.0
; Interrupts between four processors: physical and logical destinations in the flat, the cluster and the x2APIC model, lowest priority,
; shorthands; and the IO APIC's, edge and level, to processors by either kind of destination. Who must take it takes it once, nobody else.
%define GUEST_NAME "ipi"
%include "guest.inc"
%include "cpus.inc"
%include "apic.inc"

CPUS		equ 4
VECTOR_TEST	equ 0x71
VECTOR_MODE	equ 0x72			; come and change the mode
VECTOR_PIN	equ 0x73
NMI		equ 2
DELIVER_LOWEST	equ 1 << 8
DELIVER_NMI	equ 4 << 8
LOGICAL		equ 1 << 11
ICR_LEVEL	equ 1 << 15
TO_SELF		equ 1 << 18
TO_ALL		equ 2 << 18
TO_OTHERS	equ 3 << 18
REG_ICR_HIGH	equ 0x310

MODE_FLAT	equ 0
MODE_CLUSTER	equ 1
MODE_X2APIC	equ 2

PIN		equ 16
REDIRECTION	equ 0x10 + 2 * PIN
PIN_LOGICAL	equ 1 << 11
PIN_MASKED	equ 1 << 16
DELAY		equ 100000			; ticks of the HPET

; Logical identifiers of xAPIC mode, by model and processor.
logical_ids:
	db 0x01, 0x02, 0x04, 0x08
	db 0x01, 0x02, 0x11, 0x12

; EDX: this processor's number. The boot processor's stack is above those of the others.
this_cpu:
	mov rdx, rsp
	sub rdx, CPU_STACKS
	shr rdx, 12
	cmp edx, CPUS
	jb .done
	xor edx, edx
.done:	ret

cpu_main:
	sti
	hlt
	cli
	jmp cpu_main

; Puts this processor's local APIC into the mode of [mode]. The way from x2APIC mode back is by way of the APIC off.
enter_mode:
	push rbx
	call this_cpu
	mov ebx, edx
	mov ecx, MSR_APIC_BASE
	rdmsr
	cmp dword [abs mode], MODE_X2APIC
	je .x2apic
	mov edx, LAPIC
	mov ecx, [abs mode]
	mov dword [rdx + REG_DFR], 0xffffffff
	test ecx, ecx
	jz .flat
	mov dword [rdx + REG_DFR], 0x0fffffff
.flat:	lea ecx, [rbx + rcx * CPUS]
	movzx eax, byte [logical_ids + rcx]
	shl eax, 24
	mov [rdx + REG_LDR], eax
	jmp .done
.x2apic:
	or eax, APIC_X2
	wrmsr
.done:	lock inc dword [abs ready]
	pop rbx
	ret

; RAX: vector.
hook:	cmp eax, VECTOR_MODE
	je .mode
	call this_cpu
	lock inc dword [hits + rdx * 4]
	lock inc dword [total]
	cmp eax, NMI
	je .done
	cmp eax, VECTOR_PIN
	jne .end
	mov edx, HPET_STATUS			; the line of a level goes low
	mov dword [rdx], 1
.end:	mov ecx, MSR_APIC_BASE
	rdmsr
	test eax, APIC_X2
	jnz .x2apic
	mov edx, LAPIC
	mov dword [rdx + REG_EOI], 0
.done:	ret
.x2apic:
	mov ecx, MSR_X2APIC + REG_EOI / 16
	xor eax, eax
	xor edx, edx
	wrmsr
	ret
.mode:	mov edx, LAPIC
	mov dword [rdx + REG_EOI], 0
	jmp enter_mode

; EAX: mode. All processors go there; not out of x2APIC mode.
set_mode_of_all:
	mov [abs mode], eax
	mov dword [abs ready], 0
	mov edx, LAPIC
	mov dword [rdx + REG_ICR], VECTOR_MODE | ICR_ASSERT | TO_OTHERS
	mov r12d, CPUS - 1
	AWAIT ready, r12d, "a processor does not change its local APIC's mode"
	jmp enter_mode

clear_hits:
	mov dword [abs total], 0
	mov qword [abs hits], 0
	mov qword [abs hits + 8], 0
	ret

; EAX: command, EBX: destination.
send_any:
	cmp dword [abs mode], MODE_X2APIC
	je .x2apic
	mov edx, LAPIC
	shl ebx, 24
	mov [rdx + REG_ICR_HIGH], ebx
	mov [rdx + REG_ICR], eax
	ret
.x2apic:
	mov ecx, MSR_X2APIC + REG_ICR / 16
	mov edx, ebx
	wrmsr
	ret

; R14D: mask of the processors of which each, or if R15D is 1 any one, takes what was sent, R13: what it is. Waits for the right number, and
; then long enough for one too many to come.
check_hits:
	mov r12d, 1
	test r15d, r15d
	jnz .any
	popcnt r12d, r14d
.any:	mov ecx, MANY / 64
.wait:	sti
	nop
	pause
	cli
	cmp [abs total], r12d
	jae .came
	dec ecx
	jnz .wait
.came:	sti
	call delay
	cli
	xor eax, eax				; the mask of who took it
	xor ecx, ecx
.look:	cmp dword [hits + rcx * 4], 0
	je .next
	bts eax, ecx
.next:	inc ecx
	cmp ecx, CPUS
	jb .look
	cmp [abs total], r12d
	jne .wrong
	test r15d, r15d
	jnz .some
	cmp eax, r14d
	jne .wrong
	ret
.some:	test eax, r14d
	jz .wrong
	ret
.wrong:	mov rsi, r13
	call fail_and_go_on
	PUTS "ipi: taken by (mask): "
	xor eax, eax
	xor ecx, ecx
.tell:	mov edx, [hits + rcx * 4]
	shl eax, 8
	or eax, edx
	inc ecx
	cmp ecx, CPUS
	jb .tell
	call puthex
	PUTS 13, 10
	ret

; SEND text, what is added to the command of a plain interrupt, destination, mask of those who take it, 1: one of them does
%macro SEND 4-5 0
	[section .rodata]
%%text:	db %1, 0
	__?SECT?__
	lea r13, [rel %%text]
	mov r14d, %4
	mov r15d, %5
	call clear_hits
	mov eax, VECTOR_TEST + ICR_ASSERT + (%2)
	mov ebx, %3
	call send_any
	call check_hits
%endmacro

check_everywhere:
	SEND "physical: 0", 0, 0, 1
	SEND "physical: 1", 0, 1, 2
	SEND "physical: 2", 0, 2, 4
	SEND "physical: 3", 0, 3, 8
	SEND "physical: nobody", 0, 9, 0
	SEND "self", TO_SELF, 0, 1
	SEND "self, with a destination", TO_SELF, 3, 1
	SEND "all", TO_ALL, 0, 15
	SEND "all others", TO_OTHERS, 0, 14
	SEND "an NMI to all others", DELIVER_NMI - VECTOR_TEST + TO_OTHERS, 0, 14
	SEND "an NMI to 2", DELIVER_NMI - VECTOR_TEST, 2, 4
	SEND "an illegal vector", 15 - VECTOR_TEST, 1, 0
	; What is nothing to a processor that runs.
	SEND "a SIPI to one that runs", ICR_SIPI | SIPI_VECTOR - VECTOR_TEST, 1, 0
	SEND "the end of an INIT", ICR_INIT - ICR_ASSERT + ICR_LEVEL - VECTOR_TEST + TO_ALL, 0, 0
	cmp dword [abs started], CPUS - 1
	VERIFY e, "a processor has started again"
	SEND "all others after that", TO_OTHERS, 0, 14
	ret

check_flat:
	SEND "physical: all", 0, 0xff, 15
	SEND "flat: 1", LOGICAL, 2, 2
	SEND "flat: 0 and 3", LOGICAL, 9, 9
	SEND "flat: all", LOGICAL, 0xff, 15
	SEND "flat: nobody", LOGICAL, 0x30, 0
	SEND "flat: others beside 2", LOGICAL, 0xf4, 4
	SEND "flat: an NMI to 1 and 2", LOGICAL | DELIVER_NMI - VECTOR_TEST, 6, 6
	SEND "flat: one of all", LOGICAL | DELIVER_LOWEST, 0xf, 15, 1
	SEND "flat: one of 2 and 3", LOGICAL | DELIVER_LOWEST, 0xc, 12, 1
	SEND "flat: one of 1", LOGICAL | DELIVER_LOWEST, 2, 2, 1
	ret

check_cluster:
	SEND "cluster: 0", LOGICAL, 0x01, 1
	SEND "cluster: 0 and 1", LOGICAL, 0x03, 3
	SEND "cluster: 2 and 3", LOGICAL, 0x13, 12
	SEND "cluster: 3", LOGICAL, 0x12, 8
	SEND "cluster: nobody in it", LOGICAL, 0x1c, 0
	SEND "cluster: an empty one", LOGICAL, 0x23, 0
	SEND "cluster: all", LOGICAL, 0xff, 15
	SEND "cluster: one of 2 and 3", LOGICAL | DELIVER_LOWEST, 0x13, 12, 1
	ret

check_x2apic:
	SEND "x2APIC: all", 0, 0xffffffff, 15
	SEND "x2APIC: 255 is nobody", 0, 0xff, 0
	SEND "x2APIC: nobody far away", 0, 0x10001, 0
	SEND "x2APIC logical: 2", LOGICAL, 4, 4
	SEND "x2APIC logical: 1 and 3", LOGICAL, 10, 10
	SEND "x2APIC logical: all of the cluster", LOGICAL, 0xffff, 15
	SEND "x2APIC logical: another cluster", LOGICAL, 0x1000f, 0
	SEND "x2APIC logical: all", LOGICAL, 0xffffffff, 15
	SEND "x2APIC logical: one of all", LOGICAL | DELIVER_LOWEST, 0xf, 15, 1
	SEND "x2APIC logical: one of 1 and 2", LOGICAL | DELIVER_LOWEST, 6, 6, 1
	call clear_hits
	mov ecx, MSR_X2APIC + REG_SELF_IPI / 16
	mov eax, VECTOR_TEST
	xor edx, edx
	wrmsr
	lea r13, [rel .self]
	mov r14d, 1
	xor r15d, r15d
	jmp check_hits
.self:	db "x2APIC: the self-IPI register", 0

; A local APIC that its software has switched off takes no interrupts but NMIs.
check_disabled:
	mov edx, LAPIC
	mov dword [rdx + REG_SVR], 0xff
	SEND "to a local APIC that is off", 0, 0, 0
	SEND "an NMI to a local APIC that is off", DELIVER_NMI - VECTOR_TEST, 0, 1
	mov edx, LAPIC
	mov dword [rdx + REG_SVR], 0x1ff
	ret

; The entry of the pin: EAX low, EBX destination. The line goes high once.
pull_pin:
	mov edx, IOAPIC
	mov dword [rdx], REDIRECTION
	mov dword [rdx + 0x10], PIN_MASKED
	mov dword [rdx], REDIRECTION + 1
	shl ebx, 24
	mov [rdx + 0x10], ebx
	mov dword [rdx], REDIRECTION
	mov [rdx + 0x10], eax
	xor ecx, ecx
	test eax, PIN_LEVEL
	jz .edge
	mov ecx, TIMER_LEVEL
.edge:	or ecx, TIMER_ON | PIN << 9
	mov edx, HPET_STATUS
	mov dword [rdx], 1
	mov edx, HPET_TIMER
	mov [rdx], ecx
	; The counter stands still meanwhile: a comparator that it has passed waits for its wrap.
	mov edx, HPET_CONFIG
	mov ecx, [rdx]
	and ecx, ~1
	mov [rdx], ecx
	mov edx, HPET_COUNTER
	mov rax, [rdx]
	add rax, DELAY
	mov edx, HPET_COMPARATOR
	mov [rdx], rax
	mov edx, HPET_CONFIG
	or ecx, 1
	mov [rdx], ecx
	ret

; PULL text, entry, destination, mask, 1: one of them
%macro PULL 4-5 0
	[section .rodata]
%%text:	db %1, 0
	__?SECT?__
	lea r13, [rel %%text]
	mov r14d, %4
	mov r15d, %5
	call clear_hits
	mov eax, VECTOR_PIN | (%2)
	mov ebx, %3
	call pull_pin
	call check_hits
%endmacro

check_pin_physical:
	PULL "a pin, edge: 0", 0, 0, 1
	PULL "a pin, edge: 2", 0, 2, 4
	PULL "a pin, edge: 3", 0, 3, 8
	PULL "a pin, level: 1", PIN_LEVEL, 1, 2
	PULL "a pin, level: 3", PIN_LEVEL, 3, 8
	mov edx, IOAPIC
	mov dword [rdx], REDIRECTION
	test dword [rdx + 0x10], PIN_REMOTE_IRR
	VERIFY z, "a pin, level: its end at another processor is not heard of"
	ret

check_pin_logical:
	PULL "a pin, flat: 1", PIN_LOGICAL, 2, 2
	PULL "a pin, flat: 1 and 2", PIN_LOGICAL, 6, 6
	PULL "a pin, flat: one of 2 and 3", PIN_LOGICAL | DELIVER_LOWEST, 12, 12, 1
	PULL "a pin, flat, level: 2", PIN_LOGICAL | PIN_LEVEL, 4, 4
	ret

; What IA32_APIC_BASE takes (SDM vol. 3, 10.12.5): x2APIC mode is left by way of the APIC off alone, which takes it back to what it was at
; power-on, and begins in xAPIC mode alone.
check_modes:
	mov ecx, MSR_APIC_BASE
	rdmsr
	or eax, APIC_ON
	and eax, ~APIC_X2
	mov [abs try_rax], rax
	xor edx, edx
	TRY wrmsr
	cmp al, VECTOR_GP
	VERIFY e, "from x2APIC to xAPIC mode: no #GP"
	mov rax, [abs try_rax]
	and eax, ~APIC_ON
	or eax, APIC_X2
	mov [abs try_rax], rax
	TRY wrmsr
	cmp al, VECTOR_GP
	VERIFY e, "x2APIC mode of an APIC that is off: no #GP"
	rdmsr
	and eax, APIC_ON | APIC_X2
	cmp eax, APIC_ON | APIC_X2
	VERIFY e, "the mode after two faults"
	xor eax, eax
	call set_mode
	TRY rdmsr
	cmp al, NO_FAULT
	VERIFY e, "IA32_APIC_BASE of an APIC that is off"
	mov ecx, MSR_X2APIC + REG_ID / 16
	TRY rdmsr
	cmp al, VECTOR_GP
	VERIFY e, "an x2APIC register of an APIC that is off: no #GP"
	mov eax, APIC_ON
	call set_mode
	mov ecx, MSR_X2APIC + REG_ID / 16
	TRY rdmsr
	cmp al, VECTOR_GP
	VERIFY e, "an x2APIC register in xAPIC mode: no #GP"
	mov edx, LAPIC
	cmp dword [rdx + REG_SVR], 0xff
	VERIFY e, "SVR of an APIC that was off"
	cmp dword [rdx + REG_DFR], 0xffffffff
	VERIFY e, "DFR of an APIC that was off"
	cmp dword [rdx + REG_LDR], 0
	VERIFY e, "LDR of an APIC that was off"
	mov dword [rdx + REG_SVR], 0x1ff
	; This processor is in xAPIC mode again, the others are not.
	mov dword [abs mode], MODE_FLAT
	SEND "self, in xAPIC mode again", TO_SELF, 0, 1
	SEND "xAPIC to x2APIC: 2", 0, 2, 4
	SEND "xAPIC to x2APIC: all others", TO_OTHERS, 0, 14
	mov eax, APIC_ON | APIC_X2
	call set_mode
	mov dword [abs mode], MODE_X2APIC
	SEND "x2APIC again: all", 0, 0xffffffff, 15
	ret

guest_main:
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov edx, HPET_CONFIG
	mov dword [rdx], 1
	call start_all
	cmp dword [abs cpus], CPUS
	CHECK e, "not four processors"
	mov eax, MODE_FLAT
	call set_mode_of_all
	call check_everywhere
	call check_flat
	call check_disabled
	PUTS "ipi: flat", 13, 10
	call check_pin_physical
	call check_pin_logical
	PUTS "ipi: IO APIC", 13, 10
	mov eax, MODE_CLUSTER
	call set_mode_of_all
	call check_everywhere
	call check_cluster
	PUTS "ipi: cluster", 13, 10
	mov eax, MODE_X2APIC
	call set_mode_of_all
	call check_everywhere
	call check_x2apic
	call check_pin_physical
	PUTS "ipi: x2APIC", 13, 10
	jmp check_modes

align 8
hits:	times CPUS dd 0
total:	dd 0
mode:	dd 0
ready:	dd 0

GUEST_END
