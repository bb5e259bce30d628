; SPDX-License-Identifier: GPL-2.0
; What the guest is told of time, and how it moves its TSC: TSC_ADJUST, the paravirtual clock that follows it; and ends of
; interrupts by memory.
%define GUEST_NAME "clock"
%include "guest.inc"

MSR_TSC		equ 0x10
MSR_TSC_ADJUST	equ 0x3b
MSR_CORES	equ 0x35
MSR_BANK	equ 0x400
MSR_WALL_CLOCK	equ 0x4b564d00
MSR_SYSTEM_TIME	equ 0x4b564d01
MSR_PV_EOI	equ 0x4b564d04
FEATURE_CLOCK	equ 1 << 3
FEATURE_PV_EOI	equ 1 << 6

CLOCK		equ SCRATCH			; version, padding, TSC, time, multiplier, shift, flags
CLOCK_TSC	equ CLOCK + 8
CLOCK_FLAGS	equ CLOCK + 29
WALL		equ SCRATCH + 0x40
EOI_WORD	equ SCRATCH + 0x80
FAR_AWAY	equ 0xfec00000			; no memory
VECTOR_SELF	equ 0x51
ICR_SELF	equ 1 << 18 | 1 << 14
ROUNDS		equ 100

; RAX: vector.
hook:	cmp eax, 2
	je .done
	lock btr dword [abs EOI_WORD], 0
	jnc .register
	inc dword [abs by_memory]
	ret
.register:
	mov edx, LAPIC
	mov dword [rdx + 0xb0], 0
.done:	ret

; RAX: value of MSR ECX.
read_msr:
	rdmsr
	shl rdx, 32
	or rax, rdx
	ret

; RAX into MSR ECX.
write_msr:
	mov rdx, rax
	shr rdx, 32
	wrmsr
	ret

%macro WRITE_GP 3
	mov ecx, %1
	xor edx, edx
	mov qword [abs try_rax], %2
	TRY wrmsr
	cmp al, VECTOR_GP
	CHECK e, %3
%endmacro

check_told:
	mov eax, 0x40000000
	cpuid
	cmp eax, 0x40000010
	CHECK ae, "no leaf with the frequency of the TSC"
	mov eax, 0x40000010
	cpuid
	cmp eax, 100000
	CHECK ae, "the frequency of the TSC is none"
	cmp ebx, 1000000
	CHECK e, "the frequency of the local APIC's timer"
	mov eax, 0x40000001
	cpuid
	mov [abs features], eax
	test eax, FEATURE_CLOCK
	CHECK nz, "no paravirtual clock"
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ebx, 1
	CHECK c, "no TSC_ADJUST"
	mov ecx, MSR_CORES
	call read_msr
	cmp eax, 1 << 16 | 1
	CHECK e, "not one core with one thread"
	mov ecx, MSR_BANK
	TRY rdmsr
	cmp al, VECTOR_GP
	CHECK e, "a bank of machine checks answers"
	ret

check_tsc:
	mov ecx, MSR_TSC_ADJUST
	call read_msr
	test rax, rax
	CHECK z, "TSC_ADJUST is not 0 at first"
	mov ecx, MSR_SYSTEM_TIME
	mov eax, CLOCK | 1
	call write_msr
	mov eax, [abs CLOCK]
	test eax, eax
	CHECK nz, "the clock was not written"
	test eax, 1
	CHECK z, "the clock's version stays odd"
	cmp byte [abs CLOCK_FLAGS], 1
	CHECK e, "the clock is not said to be stable"
	mov r12, [abs CLOCK_TSC]
	; Forward by 2^40 ticks ...
	mov r13, 1 << 40
	mov ecx, MSR_TSC_ADJUST
	mov rax, r13
	call write_msr
	mov rax, [abs CLOCK_TSC]
	sub rax, r12
	cmp rax, r13
	CHECK e, "the clock does not follow TSC_ADJUST"
	rdtsc
	cmp edx, 0x100
	CHECK ae, "the TSC does not follow TSC_ADJUST"
	; ... and back to 0, before where it began.
	mov ecx, MSR_TSC
	xor eax, eax
	call write_msr
	rdtsc
	cmp edx, 0x80
	CHECK b, "the TSC is not what was written"
	mov ecx, MSR_TSC_ADJUST
	call read_msr
	mov r13, [abs CLOCK_TSC]
	sub r13, r12
	cmp rax, r13
	CHECK e, "TSC_ADJUST and the clock do not follow the TSC"
	test rax, rax
	CHECK s, "TSC_ADJUST is not negative"
	mov ecx, MSR_WALL_CLOCK
	mov eax, WALL
	call write_msr
	mov eax, [abs WALL]
	test eax, 1
	CHECK z, "the wall clock's version stays odd"
	cmp dword [abs WALL + 4], 1600000000
	CHECK ae, "the wall clock is wrong by years"
	WRITE_GP MSR_SYSTEM_TIME, FAR_AWAY | 1, "a clock where there is no memory"
	WRITE_GP MSR_WALL_CLOCK, FAR_AWAY, "a wall clock where there is no memory"
	ret

check_ends:
	test dword [abs features], FEATURE_PV_EOI
	jnz .offered
	WRITE_GP MSR_PV_EOI, EOI_WORD | 1, "ends of interrupts by memory are not announced, and there"
	ret
.offered:
	WRITE_GP MSR_PV_EOI, FAR_AWAY | 1, "ends of interrupts where there is no memory"
	lea rax, [rel hook]
	mov [abs interrupt_hook], rax
	mov edx, LAPIC
	mov dword [rdx + 0xf0], 0x1ff
	mov ecx, MSR_PV_EOI
	mov eax, EOI_WORD | 1
	call write_msr
	mov r14d, ROUNDS
.round:	mov edx, LAPIC
	mov dword [rdx + 0x300], ICR_SELF | VECTOR_SELF
	sti
	nop
	nop
	cli
	dec r14d
	jnz .round
	cmp qword [abs COUNTS + VECTOR_SELF * 8], ROUNDS
	CHECK e, "an interrupt did not come, or came twice"
	cmp dword [abs by_memory], ROUNDS
	CHECK e, "an interrupt could not be ended by memory"
	mov edx, LAPIC
	cmp dword [rdx + 0x100 + VECTOR_SELF / 32 * 16], 0
	CHECK e, "an interrupt that was ended is in service"
	ret

guest_main:
	call check_told
	call check_tsc
	call check_ends
	ret

align 8
features:	dd 0
by_memory:	dd 0

GUEST_END
