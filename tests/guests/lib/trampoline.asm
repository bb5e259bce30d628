; SPDX-License-Identifier: GPL-2.0
; From a SIPI to 64-bit mode and cpu_start(), with a stack by the processor's number.
%include "names.inc"
%include "enter.inc"

global trampoline, trampoline_end
extern gdt_pointer, long_mode_registers, idt_pointer, cpu_start

section .text
; Copied to TRAMPOLINE.
bits 16
trampoline:
	cli
	ENTER_32 cpu_start32
trampoline_end:

bits 32
cpu_start32:
	LOAD_SEGMENTS
	mov eax, CPUID_FEATURES
	cpuid
	shr ebx, 24
	imul ebx, CPU_STACK_BYTES
	lea esp, [ebx + CPU_STACKS + CPU_STACK_BYTES]
	call long_mode_registers
	jmp SEL_CODE64:cpu_start64

bits 64
cpu_start64:
	lidt [rel idt_pointer]
	call cpu_start
	ud2
