; SPDX-License-Identifier: GPL-2.0
; Breakpoints on code, of instructions that the processor completes by itself and of others, and on data; RF, the general detect
; bit; what the debug registers keep; single steps over string instructions.
%define GUEST_NAME "breakpoint"
%include "guest.inc"

DR6_BD		equ 1 << 13
; Of breakpoint 0, and of breakpoint 1.
DR7_CODE0	equ DR7_RESET | 2
DR7_WRITE1	equ DR7_RESET | 8 | 0xd << 20	; 4 bytes
DR7_ACCESS1	equ DR7_RESET | 8 | 0xf << 20
DR7_LOCAL1	equ DR7_RESET | 4 | 0xd << 20
DR7_WRITE1_1	equ DR7_RESET | 8 | 0x1 << 20
DR7_WRITE1_2	equ DR7_RESET | 8 | 0x5 << 20
DR7_WRITE1_8	equ DR7_RESET | 8 | 0x9 << 20
HPET_CONFIG	equ PC_HPET + 0x10
HPET_COUNTER	equ PC_HPET + 0xf0		; storage while the counter stands
NO_PORT		equ 0x5658
MANY		equ 16

; The stack in a hook: return address, RDX, RCX, RAX, vector, error code, RIP, CS, RFLAGS.
HOOK_RIP	equ 48
HOOK_FLAGS	equ 64

; Counts the steps up to [stop_at], where it switches TF off.
hook_step:
	mov rdx, [rsp + HOOK_RIP]
	mov ecx, [abs steps]
	inc dword [abs steps]
	mov rax, dr6
	mov [abs status], rax
	mov eax, DR6_RESET
	mov dr6, rax
	cmp rdx, [abs stop_at]
	je .stop
	cmp ecx, MANY
	jae .stop
	cmp rdx, [abs start_at]
	je .done
	inc dword [abs strays]
.done:	ret
.stop:	and qword [rsp + HOOK_FLAGS], ~RFLAGS_TF
	ret

; STEP steps, text, instruction: so many debug exceptions, all but the last at the instruction itself, the last one behind it.
%macro STEP 3+
	mov dword [abs steps], 0
	mov dword [abs strays], 0
	push rax
	lea rax, [rel %%at]
	mov [abs start_at], rax
	lea rax, [rel %%after]
	mov [abs stop_at], rax
	pop rax
	pushfq
	or qword [rsp], RFLAGS_TF
	popfq
%%at:	%3
%%after:
	nop
	nop
	call check_stepped
	push rsi
	push rdx
	lea rsi, [rel %%text]
	mov edx, %1
	call verdict
	pop rdx
	pop rsi
	[section .rodata]
%%text:	db "a step over ", %2, 0
	__?SECT?__
%endmacro

; TF must be off behind every step. Keeps all.
check_stepped:
	push rax
	pushfq
	pop rax
	test eax, RFLAGS_TF
	jz .off
	inc dword [abs strays]
	push rax
	and qword [rsp], ~RFLAGS_TF
	popfq
.off:	pop rax
	ret

; RSI: text, EDX: the steps that there must be.
verdict:
	cmp [abs steps], edx
	jne fail_and_go_on
	cmp dword [abs strays], 0
	jne fail_and_go_on
	mov rax, [abs status]
	and eax, DR6_BS | 0xf
	cmp eax, DR6_BS
	jne fail_and_go_on
	ret

check_steps:
	lea rax, [rel hook_step]
	mov [abs interrupt_hook], rax
	mov eax, HPET_CONFIG
	mov dword [rax], 0
	mov r14d, HPET_COUNTER
	mov r15d, PC_VGA_HOLE
	; The debug exception comes after each iteration (SDM vol. 3, 18.3.1.4).
	mov ecx, 3
	mov esi, SCRATCH
	mov edi, SCRATCH + 64
	STEP 3, "REP MOVSB", rep movsb
	mov ecx, 3
	mov esi, PC_VGA_HOLE
	mov edi, SCRATCH
	STEP 3, "REP MOVSB from device memory", rep movsb
	test ecx, ecx
	VERIFY z, "RCX after steps over REP MOVSB"
	mov ecx, 3
	mov edi, PC_VGA_HOLE
	STEP 3, "REP STOSD to device memory", rep stosd
	mov ecx, 3
	mov dx, 0x80
	mov esi, SCRATCH
	STEP 3, "REP OUTSB", rep outsb
	mov ecx, 3
	mov dx, NO_PORT
	mov edi, SCRATCH
	STEP 3, "REP INSB", rep insb
	cmp edi, SCRATCH + 3
	VERIFY e, "RDI after steps over REP INSB"
	mov edi, SCRATCH
	STEP 1, "INSB", insb
	xor ecx, ecx
	mov edi, SCRATCH
	STEP 1, "REP INSB of nothing", rep insb
	ret

hook_break:
	inc dword [abs steps]
	mov rax, dr6
	mov [abs status], rax
	mov rax, [rsp + HOOK_RIP]
	mov [abs stop_at], rax
	mov eax, DR6_RESET
	mov dr6, rax
	or qword [rsp + HOOK_FLAGS], RFLAGS_RF
	ret

; BREAK_ON text, instruction: two rounds over an instruction with a breakpoint, each of which stops there once.
%macro BREAK_ON 2+
	mov dword [abs steps], 0
	lea rax, [rel %%at]
	mov dr0, rax
	mov eax, DR7_CODE0
	mov dr7, rax
	mov ebp, 2
	xor eax, eax
%%again:
%%at:	%2
	dec ebp
	jnz %%again
	mov eax, DR7_RESET
	mov dr7, rax
	cmp dword [abs steps], 2
	VERIFY e, "breakpoint on ", %1
	lea rax, [rel %%at]
	cmp [abs stop_at], rax
	VERIFY e, "RIP of the breakpoint on ", %1
	mov rax, [abs status]
	and eax, DR6_BS | 0xf
	cmp eax, 1
	VERIFY e, "DR6 of the breakpoint on ", %1
%endmacro

; WATCH DR7, offset, hits, text: a write of a byte there, with breakpoint 1 at SCRATCH.
%macro WATCH 4
	mov dword [abs steps], 0
	mov eax, %1
	mov dr7, rax
	mov byte [abs SCRATCH + %2], 1
	nop
	mov eax, DR7_RESET
	mov dr7, rax
	cmp dword [abs steps], %3
	VERIFY e, "a write at a breakpoint: ", %4
%endmacro

check_breakpoints:
	lea rax, [rel hook_break]
	mov [abs interrupt_hook], rax
	BREAK_ON "NOP", nop
	BREAK_ON "CPUID", cpuid
	mov dx, NO_PORT
	BREAK_ON "IN", in al, dx
	mov ecx, MSR_PAT
	BREAK_ON "RDMSR", rdmsr
	BREAK_ON "a read of a hole", mov eax, [r15]
	; RF of the flags that IRETQ loads holds for one instruction.
	mov dword [abs steps], 0
	lea rax, [rel .there]
	mov dr0, rax
	mov ecx, DR7_CODE0
	mov dr7, rcx
	mov rcx, rsp
	push qword SEL_DATA
	push rcx
	pushfq
	or qword [rsp], RFLAGS_RF
	push qword SEL_CODE64
	push rax
	iretq
.there:	nop
	mov eax, DR7_RESET
	mov dr7, rax
	cmp dword [abs steps], 0
	VERIFY e, "a breakpoint with RF set"

	; Data: a write, then reads, by either kind of breakpoint. They are traps.
	mov eax, SCRATCH
	mov dr1, rax
	mov dword [abs steps], 0
	mov eax, DR7_WRITE1
	mov dr7, rax
	mov eax, [abs SCRATCH]
	mov [abs SCRATCH + 4], eax
	cmp dword [abs steps], 0
	VERIFY e, "a read at a breakpoint on writes, or a write beside it"
	mov byte [abs SCRATCH + 3], 1
.wrote:	nop
	cmp dword [abs steps], 1
	VERIFY e, "a write at a breakpoint on writes"
	lea rax, [rel .wrote]
	cmp [abs stop_at], rax
	VERIFY e, "RIP of the breakpoint on a write"
	mov rax, [abs status]
	and eax, DR6_BS | 0xf
	cmp eax, 2
	VERIFY e, "DR6 of the breakpoint on a write"
	in al, 0x80
	xor eax, eax
	cpuid
	mov dword [abs steps], 0
	mov byte [abs SCRATCH], 1
	nop
	cmp dword [abs steps], 1
	VERIFY e, "a breakpoint on writes after exits"
	mov eax, DR7_ACCESS1
	mov dr7, rax
	mov dword [abs steps], 0
	mov eax, [abs SCRATCH]
	nop
	cmp dword [abs steps], 1
	VERIFY e, "a read at a breakpoint on accesses"
	WATCH DR7_LOCAL1, 3, 1, "a breakpoint that is local"
	WATCH DR7_WRITE1_1, 0, 1, "one byte"
	WATCH DR7_WRITE1_1, 1, 0, "beside one byte"
	WATCH DR7_WRITE1_2, 1, 1, "two bytes"
	WATCH DR7_WRITE1_2, 2, 0, "beside two bytes"
	WATCH DR7_WRITE1_8, 7, 1, "eight bytes"
	WATCH DR7_WRITE1_8, 8, 0, "beside eight bytes"
	WATCH DR7_RESET, 0, 0, "a breakpoint that is off"
	; A string that runs into it stops behind that iteration.
	mov dword [abs steps], 0
	mov eax, DR7_WRITE1_1
	mov dr7, rax
	mov edi, SCRATCH - 4
	mov ecx, 10
	rep stosb
	mov eax, DR7_RESET
	mov dr7, rax
	cmp dword [abs steps], 1
	VERIFY e, "a string over a breakpoint"
	cmp edi, SCRATCH + 6
	VERIFY e, "RDI of a string over a breakpoint"
	ret

; KEEPS register, value
%macro KEEPS 2
	mov rax, %1
	mov rcx, %2
	cmp rax, rcx
	VERIFY e, %str(%1), " after exits"
%endmacro

; Addresses of breakpoints, none of which is on, are the guest's whatever runs in between.
check_addresses:
	mov rax, 0xffff800012345678
	mov dr0, rax
	not rax
	mov dr1, rax
	mov eax, 0xfedcba98
	mov dr2, rax
	mov eax, 1
	mov dr3, rax
	mov eax, 0xffff0ff5
	mov dr6, rax
	in al, 0x80
	mov eax, 1
	cpuid
	mov eax, [r15]
	mov ecx, MSR_APIC_BASE
	rdmsr
	mov r14d, 50
.exit:	in al, 0x80
	dec r14d
	jnz .exit
	KEEPS dr0, 0xffff800012345678
	KEEPS dr1, 0x00007fffedcba987
	KEEPS dr2, 0xfedcba98
	KEEPS dr3, 1
	KEEPS dr6, 0xffff0ff5
	KEEPS dr7, DR7_RESET
	ret

; DR6 keeps what was written; DR4 and DR5 are its and DR7's names unless CR4.DE is set. Upper halves must be zero.
check_registers:
	mov eax, DR6_RESET
	mov dr6, rax
	mov rax, dr6
	mov ecx, DR6_RESET
	cmp rax, rcx
	VERIFY e, "DR6 as after reset"
	mov eax, DR6_BS | 0xf
	mov dr6, rax
	mov rax, dr6
	and eax, DR6_BS | DR6_BD | 0xf
	cmp eax, DR6_BS | 0xf
	VERIFY e, "DR6 does not keep what was written"
	xor eax, eax
	bts rax, 32
	mov [abs try_rax], rax
	TRY mov dr6, rax
	cmp al, EXC_GP
	VERIFY e, "the upper half of DR6: no #GP"
	TRY mov dr7, rax
	cmp al, EXC_GP
	VERIFY e, "the upper half of DR7: no #GP"
	mov rax, cr4
	or eax, 1 << 3				; DE
	mov cr4, rax
	TRY {db 0x0f, 0x21, 0xe1}		; mov rcx, dr4
	cmp al, EXC_UD
	VERIFY e, "DR4 with CR4.DE: no #UD"
	mov rax, cr4
	and eax, ~(1 << 3)
	mov cr4, rax
	mov eax, DR6_RESET
	mov dr6, rax
	ret

hook_detect:
	inc dword [abs steps]
	mov rax, [rsp + HOOK_RIP]
	mov [abs stop_at], rax
	mov rax, dr7				; the exception has switched it off
	test eax, DR7_GD
	jnz .done
	mov rax, dr6
	mov [abs status], rax
.done:	ret

check_general_detect:
	lea rax, [rel hook_detect]
	mov [abs interrupt_hook], rax
	mov dword [abs steps], 0
	mov eax, DR7_RESET | DR7_GD
	mov dr7, rax
	in al, 0x80
.at:	mov rax, dr3
	lea rax, [rel .at]
	cmp dword [abs steps], 1
	VERIFY e, "the general detect bit"
	cmp [abs stop_at], rax
	VERIFY e, "RIP of the general detect fault"
	test dword [abs status], DR6_BD
	VERIFY nz, "DR6.BD"
	ret

guest_main:
	mov byte [abs count_faults], 1
	call check_steps
	call check_breakpoints
	BUT_QEMU .no_detect			; whose processors do not have it
	call check_general_detect
.no_detect:
	call check_addresses
	call check_registers
	ret

align 8
start_at:	dq 0
stop_at:	dq 0
status:		dq 0
steps:		dd 0
strays:		dd 0

GUEST_END
