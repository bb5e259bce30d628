; SPDX-License-Identifier: GPL-2.0
; One processor through its modes: state that must survive exits, device memory, string I/O, timers, interrupts, faults.
%define GUEST_NAME "modes"
%define GUEST_REAL_MODE
%include "guest.inc"
%include "pic.inc"

FW_CFG_DATA	equ PC_PORT_FW_CFG + 1
DEBUG_READS	equ 0xe9
HPET_CONFIG	equ PC_HPET + 0x10
HPET_COUNTER	equ PC_HPET + 0xf0		; storage of 64 bits while the counter stands
IOAPIC_WINDOW	equ PC_IOAPIC + 0x10

VECTOR_SHOT	equ 0x40
VECTOR_PERIODIC	equ 0x41
VECTOR_DEADLINE	equ 0x42
VECTOR_LOW	equ 0x50
VECTOR_SELF	equ 0x80
VECTOR_SOFT	equ 0x90

; Results of real mode, looked at later.
real_cpuid:	dd 0
real_ints:	dw 0
real_fw_cfg:	dd 0
real_vga:	dd 0

bits 16
real_mode:
	xor eax, eax
	cpuid
	mov [REAL(real_cpuid)], ebx
	; INT through the vector table.
	xor ax, ax
	mov es, ax
	mov word [es:0x80 * 4], REAL(.handler)
	mov [es:0x80 * 4 + 2], cs
	mov cx, 100
.again:	int 0x80
	loop .again
	; String input with 16-bit addresses.
	mov dx, PC_PORT_FW_CFG
	xor ax, ax
	out dx, ax
	mov ax, 0xf000
	mov es, ax
	mov di, REAL(real_fw_cfg)
	mov dx, FW_CFG_DATA
	mov cx, 4
	rep insb
	; String output with a segment override.
	push ds
	xor ax, ax
	mov ds, ax
	mov si, REAL(.text)
	mov dx, PC_PORT_DEBUG
	mov cx, .text_end - .text
	cs rep outsb
	pop ds
	; The display's hole: nobody answers.
	mov ax, PC_VGA_HOLE >> 4
	mov es, ax
	mov dword [es:0x1234], 0
	mov eax, [es:0x1234]
	mov [REAL(real_vga)], eax
	ret
.handler:
	inc word [cs:REAL(real_ints)]
	iret
.text:	db "modes: real mode", 10
.text_end:

bits 64
check_real_mode:
	xor eax, eax
	cpuid
	cmp ebx, [real_cpuid]
	CHECK e, "CPUID in real mode"
	cmp word [real_ints], 100
	CHECK e, "INT in real mode"
	cmp dword [real_fw_cfg], 'QEMU'
	CHECK e, "REP INSB in real mode"
	cmp dword [real_vga], -1
	CHECK e, "the VGA hole does not read as ones in real mode"
	ret

check_tsc:
	rdtsc
	shl rdx, 32
	lea rbx, [rdx + rax]
	mov ecx, 1000
.again:	rdtsc
	shl rdx, 32
	or rax, rdx
	cmp rax, rbx
	CHECK ae, "RDTSC ran backwards"
	mov rbx, rax
	test cl, 15
	jnz .next
	in al, 0x80			; an exit between
.next:	loop .again
	ret

check_cpuid:
	mov eax, 1
	cpuid
	bt ecx, 31
	CHECK c, "CPUID does not show a hypervisor"
	bt ecx, 5
	CHECK nc, "CPUID shows VMX"
	bt edx, 9
	CHECK c, "CPUID shows no local APIC"
	mov eax, 0x80000001
	cpuid
	bt ecx, 2
	CHECK nc, "CPUID shows SVM"
	bt edx, 29
	CHECK c, "CPUID shows no long mode"
	mov eax, 0x40000000
	cpuid
	cmp ebx, 'KVMK'
	CHECK e, "CPUID 0x40000000 is not the paravirtual leaf"
	mov eax, 0x8000000a
	xor ecx, ecx
	cpuid
	or eax, ebx
	or eax, edx
	CHECK z, "CPUID shows SVM's leaf"
	ret

; MSRs that are storage: the pattern of each must survive exits.
msr_storage:
	dd MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK
	dd MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP
msr_count	equ ($ - msr_storage) / 4

; R8: index. ECX: MSR, EDX:EAX: pattern, a low canonical address.
msr_pattern:
	mov ecx, [msr_storage + r8 * 4]
	lea eax, [rcx * 5 + 0x1230]
	mov edx, 0x12
	cmp ecx, MSR_EXTENDED_FIRST
	jae .done
	xor edx, edx
.done:	ret

check_msrs:
	xor r8d, r8d
.write:	call msr_pattern
	wrmsr
	inc r8d
	cmp r8d, msr_count
	jne .write
	in al, 0x80
	xor eax, eax
	cpuid
	xor r8d, r8d
.read:	call msr_pattern
	mov r9d, eax
	mov r10d, edx
	rdmsr
	cmp ecx, MSR_SFMASK
	je .next			; the upper half of SFMASK need not be storage
	cmp edx, r10d
	CHECK e, "an MSR lost its upper half"
.next:	cmp eax, r9d
	CHECK e, "an MSR lost its lower half"
	inc r8d
	cmp r8d, msr_count
	jne .read
	mov ecx, 0xdeadbeef
	TRY rdmsr
	cmp al, EXC_GP
	CHECK e, "RDMSR of an MSR that is not there"
	mov ecx, 0xdeadbeef
	TRY wrmsr
	cmp al, EXC_GP
	CHECK e, "WRMSR of an MSR that is not there"
	mov ecx, MSR_PAT		; a type that is not one
	mov edx, 0x02020202
	mov dword [try_rax], 0x02020202
	TRY wrmsr
	cmp al, EXC_GP
	CHECK e, "WRMSR of a bad PAT"
	mov ecx, MSR_PAT
	mov eax, 0x00070106
	mov edx, 0x00070406
	wrmsr
	in al, 0x80
	rdmsr
	cmp eax, 0x00070106
	CHECK e, "PAT's lower half"
	cmp edx, 0x00070406
	CHECK e, "PAT's upper half"
	mov ecx, MSR_EFER
	rdmsr
	bt eax, 10
	CHECK c, "EFER.LMA is not set in long mode"
	bt eax, 12
	CHECK nc, "EFER.SVME shows"
	mov edx, 1
	mov [try_rax], rax
	TRY wrmsr
	cmp al, EXC_GP
	CHECK e, "WRMSR of EFER with a reserved bit"
	mov ecx, MSR_FS_BASE		; FS base back
	xor eax, eax
	xor edx, edx
	wrmsr
	ret

; What is written is read, the machine-check bit among it.
check_cr4:
	mov rbx, cr4
	mov rcx, rbx
	xor rcx, CR4_MCE
	mov cr4, rcx
	mov rdx, cr4
	cmp rdx, rcx
	CHECK e, "CR4.MCE does not change"
	xor rcx, CR4_MCE | CR4_PGE
	mov cr4, rcx
	mov rdx, cr4
	cmp rdx, rcx
	CHECK e, "CR4.MCE and PGE do not change"
	mov cr4, rbx
	mov rdx, cr4
	cmp rdx, rbx
	CHECK e, "CR4 does not come back"
	ret

check_debug_registers:
	mov r12, 0x1111222233334440
	mov dr0, r12
	lea rax, [r12 * 2]
	mov dr1, rax
	lea rax, [r12 * 2 + 8]
	mov dr2, rax
	lea rax, [r12 + 24]
	mov dr3, rax
	mov ebp, 20
.exits:	in al, 0x80
	xor eax, eax
	cpuid
	dec ebp
	jnz .exits
	mov rax, dr0
	cmp rax, r12
	CHECK e, "DR0"
	mov rax, dr1
	lea rdx, [r12 * 2]
	cmp rax, rdx
	CHECK e, "DR1"
	mov rax, dr2
	lea rdx, [r12 * 2 + 8]
	cmp rax, rdx
	CHECK e, "DR2"
	mov rax, dr3
	lea rdx, [r12 + 24]
	cmp rax, rdx
	CHECK e, "DR3"
	mov rax, dr7
	cmp eax, DR7_RESET
	CHECK e, "DR7"
	; A single step.
	mov byte [count_faults], 1
	lea rax, [rel clear_step]
	mov [interrupt_hook], rax
	pushfq
	or dword [rsp], RFLAGS_TF
	popfq
	nop
	nop
	mov byte [count_faults], 0
	mov qword [interrupt_hook], 0
	cmp qword [COUNTS + EXC_DB * 8], 1
	CHECK e, "single step"
	mov rax, dr6
	bt eax, 14
	CHECK c, "DR6.BS after a single step"
	ret

; Hook: stack is return address, RDX, RCX, RAX, vector, error code, RIP, CS, RFLAGS.
clear_step:
	and dword [rsp + 64], ~RFLAGS_TF
	ret

; The same instruction on memory and on a device's 64-bit register: results and flags must agree.
%macro TWIN 2
	mov rax, 0x80f0a55a7fff8001
	mov [abs SCRATCH], rax
	mov edi, HPET_COUNTER
	mov [rdi], rax
	mov rax, 0x123456789abcdef0
	mov rbx, 0xfedcba9876543210
	mov ecx, 9
	mov edx, 0x55aa1234
	mov esi, SCRATCH
	push rax
	push rbx
	stc
	%1 [rsi] %2
	pushfq
	pop r8
	mov r10, rax
	mov r11, rbx
	pop rbx
	pop rax
	stc
	%1 [rdi] %2
	pushfq
	pop r9
	xor r8d, r9d
	and r8d, TWIN_FLAGS
	CHECK z, `flags of %1 %2`
	cmp rax, r10
	CHECK e, `RAX of %1 %2`
	cmp rbx, r11
	CHECK e, `RBX of %1 %2`
	mov rax, [abs SCRATCH]
	cmp rax, [rdi]
	CHECK e, `result of %1 %2`
%endmacro

; As TWIN, for instructions that read: the destination is RBX.
%macro TWIN_READ 2
	mov rax, 0x80f0a55a7fff8001
	mov [abs SCRATCH], rax
	mov edi, HPET_COUNTER
	mov [rdi], rax
	mov esi, SCRATCH
	mov rbx, 0xfedcba9876543210
	clc
	%1 %2, [rsi]
	pushfq
	pop r8
	mov r10, rbx
	mov rbx, 0xfedcba9876543210
	clc
	%1 %2, [rdi]
	pushfq
	pop r9
	xor r8d, r9d
	and r8d, TWIN_FLAGS
	CHECK z, `flags of %1 %2`
	cmp rbx, r10
	CHECK e, `result of %1 %2`
%endmacro

%define TWIN_FLAGS 0x8d5
check_mmio_instructions:
	mov eax, HPET_CONFIG
	mov qword [rax], 0
	TWIN mov qword, {, rax}
	TWIN mov dword, {, eax}
	TWIN mov dword, {, 0x76543210}
	TWIN mov qword, {, -2}
	TWIN add qword, {, rax}
	TWIN add dword, {, 0x7f}
	TWIN adc qword, {, rbx}
	TWIN sub dword, {, eax}
	TWIN sbb qword, {, 17}
	TWIN cmp qword, {, rax}
	TWIN inc dword, {}
	TWIN dec qword, {}
	TWIN neg dword, {}
	TWIN not qword, {}
	TWIN {xchg rbx,}, {}
	TWIN lock xadd, {, rax}
	TWIN lock cmpxchg, {, rbx}
	TWIN lock cmpxchg, {, ebx}
	TWIN lock btc dword, {, 5}
	TWIN_READ mov, rbx
	TWIN_READ mov, ebx
	TWIN_READ add, rbx
	TWIN_READ sub, ebx
	TWIN_READ cmp, rbx
	TWIN_READ movsxd, rbx
%define TWIN_FLAGS 0x8c5			; AF is undefined
	TWIN and qword, {, rax}
	TWIN or dword, {, ebx}
	TWIN xor qword, {, 0x1234}
	TWIN test qword, {, rax}
	TWIN test dword, {, 0x8000}
	TWIN_READ xor, rbx
	TWIN_READ and, ebx
	TWIN_READ or, rbx
%define TWIN_FLAGS 1				; CF alone is defined
	TWIN bt dword, {, 15}
	TWIN bts qword, {, rcx}
	TWIN lock bts dword, {, 1}
	TWIN btr dword, {, 0}
	ret

; Forms that read narrow, by moffs, with segment overrides, and string instructions.
check_mmio_forms:
	mov ebx, PC_LAPIC
	mov eax, [rbx + APIC_REG_VERSION]
	mov r8d, eax
	movzx eax, byte [rbx + APIC_REG_VERSION]
	cmp al, r8b
	CHECK e, "MOVZX byte of the APIC's version"
	movzx eax, word [rbx + APIC_REG_VERSION]
	cmp ax, r8w
	CHECK e, "MOVZX word of the APIC's version"
	mov eax, [qword abs PC_LAPIC + APIC_REG_VERSION]
	cmp eax, r8d
	CHECK e, "MOV with a 64-bit offset"
	mov ecx, APIC_REG_VERSION / 4
	mov eax, [rbx + rcx * 4]
	cmp eax, r8d
	CHECK e, "MOV with a scaled index"
	mov ecx, MSR_GS_BASE
	mov eax, PC_LAPIC
	xor edx, edx
	wrmsr
	mov eax, [gs:APIC_REG_VERSION]
	cmp eax, r8d
	CHECK e, "MOV with GS"
	; IO APIC: the redirection entry of pin 20, upper half, keeps its destination.
	mov edx, PC_IOAPIC
	mov dword [rdx], 0x10 + 20 * 2 + 1
	mov dword [rdx + 0x10], 0x5a000000
	mov dword [rdx], 0
	mov dword [rdx], 0x10 + 20 * 2 + 1
	cmp dword [rdx + 0x10], 0x5a000000
	CHECK e, "the IO APIC lost a destination"
	; Strings: from the device, to the device, and a fill that nobody takes.
	mov rax, 0x0123456789abcdef
	mov [abs SCRATCH], rax
	mov esi, SCRATCH
	mov edi, HPET_COUNTER
	movsq
	cmp edi, HPET_COUNTER + 8
	CHECK e, "RDI after MOVSQ"
	mov esi, HPET_COUNTER
	mov edi, SCRATCH + 8
	mov ecx, 2
	rep movsd
	cmp [abs SCRATCH + 8], rax
	CHECK e, "REP MOVSD from a device"
	mov esi, HPET_COUNTER
	xor eax, eax
	lodsq
	cmp rax, [abs SCRATCH]
	CHECK e, "LODSQ from a device"
	mov edi, HPET_COUNTER
	scasq
	CHECK e, "SCASQ of a device"
	mov edi, PC_VGA_HOLE
	mov ecx, 3000
	xor eax, eax
	rep stosd
	test rcx, rcx
	CHECK z, "RCX after REP STOSD"
	cmp edi, PC_VGA_HOLE + 12000
	CHECK e, "RDI after REP STOSD"
	std
	mov esi, PC_VGA_HOLE + 100
	mov edi, SCRATCH + 100
	mov ecx, 26
	rep movsd
	cld
	cmp dword [abs SCRATCH], -1
	CHECK e, "REP MOVSD downwards from the VGA hole"
	; The firmware below 4 GiB is read-only.
	mov ebx, 0xffff0000
	mov eax, [rbx]
	mov dword [rbx], 0x12345678
	not dword [rbx]
	cmp eax, [rbx]
	CHECK e, "the firmware took a write"
	ret

check_port_strings:
	mov esi, .text
	mov ecx, .text_end - .text
	mov dx, PC_PORT_DEBUG
	rep outsb
	cmp esi, .text_end
	CHECK e, "RSI after REP OUTSB"
	mov edi, SCRATCH
	mov qword [rdi + 8], 0
	mov ecx, 10
	rep insb
	test rcx, rcx
	CHECK z, "RCX after REP INSB"
	cmp byte [abs SCRATCH], DEBUG_READS
	CHECK e, "INSB from the debug port"
	cmp byte [abs SCRATCH + 9], DEBUG_READS
	CHECK e, "REP INSB from the debug port"
	cmp byte [abs SCRATCH + 10], 0
	CHECK e, "REP INSB wrote too far"
	mov dx, PC_PORT_FW_CFG
	xor eax, eax
	out dx, ax
	mov edi, SCRATCH
	mov ecx, 4
	mov dx, FW_CFG_DATA
	rep insb
	cmp dword [abs SCRATCH], 'QEMU'
	CHECK e, "the signature of fw_cfg"
	; More elements than one exit handles.
	mov edi, SCRATCH
	mov ecx, 5000
	mov dx, PC_PORT_DEBUG
	rep insb
	cmp edi, SCRATCH + 5000
	CHECK e, "a long REP INSB"
	cmp byte [abs SCRATCH + 4999], DEBUG_READS
	CHECK e, "the end of a long REP INSB"
	; A fault in the middle: the page after 4 GiB is not mapped.
	mov dx, PC_PORT_DEBUG
	mov edi, 1
	shl rdi, 32
	mov ecx, 4
	TRY rep insb
	cmp al, EXC_PF
	CHECK e, "REP INSB to a page that is not there"
	mov eax, 1
	shl rax, 32
	cmp [fault_address], rax
	CHECK e, "CR2 of REP INSB"
	; 16 and 32 bits wide, all ones where nobody is.
	mov dx, 0x5658
	in eax, dx
	cmp eax, -1
	CHECK e, "a 32-bit port that is not there"
	mov rax, -1
	in ax, dx
	cmp rax, -1
	CHECK e, "IN AX changed the upper part"
	ret
.text:	db "modes: rep outsb", 10
.text_end:

; Waits by HLT until the counter of vector %1 is %2 or more.
%macro AWAIT 2
%%wait:	sti
	hlt
	cli
	cmp qword [COUNTS + %1 * 8], %2
	jb %%wait
%endmacro

check_pit:
	call pic_init
	call timer_periodic
	AWAIT PIC_BASE, 10
	call timer_stop
	; The interrupt was on its way when the line was masked.
	sti
	in al, 0x80
	cli
	mov rbx, [COUNTS + PIC_BASE * 8]
	mov ebp, 100
.quiet:	sti
	in al, 0x80
	cli
	dec ebp
	jnz .quiet
	cmp rbx, [COUNTS + PIC_BASE * 8]
	CHECK e, "a masked interrupt came"
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_LVT_LINT0], LVT_MASKED | LVT_EXTINT
	ret

check_apic_timer:
	lea rax, [rel hook_eoi_xapic]
	mov [interrupt_hook], rax
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_SPURIOUS], SPURIOUS_ENABLE | SPURIOUS_RESET
	mov dword [rdx + APIC_REG_TIMER_DIVIDE], TIMER_DIVIDE_BY_1
	mov dword [rdx + APIC_REG_LVT_TIMER], VECTOR_SHOT
	mov dword [rdx + APIC_REG_TIMER_COUNT], 100000
	AWAIT VECTOR_SHOT, 1
	mov edx, PC_LAPIC
	cmp dword [rdx + APIC_REG_TIMER_CURRENT], 0
	CHECK e, "the count after a one-shot"
	mov dword [rdx + APIC_REG_LVT_TIMER], VECTOR_PERIODIC | LVT_TIMER_PERIODIC
	mov dword [rdx + APIC_REG_TIMER_COUNT], 1000000
	AWAIT VECTOR_PERIODIC, 5
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_TIMER_COUNT], 0
	mov eax, 1
	cpuid
	bt ecx, 24
	CHECK c, "CPUID shows no TSC deadline"
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_LVT_TIMER], VECTOR_DEADLINE | LVT_TIMER_DEADLINE
	mfence
	call arm_deadline
	mov r8, rax
	AWAIT VECTOR_DEADLINE, 1
	rdtsc
	shl rdx, 32
	or rax, rdx
	cmp rax, r8
	CHECK ae, "the deadline's interrupt came too early"
	mov ecx, MSR_TSC_DEADLINE
	rdmsr
	or eax, edx
	CHECK z, "the deadline stays set"
	cmp qword [COUNTS + VECTOR_SHOT * 8], 1
	CHECK e, "the one-shot came twice"
	ret

; RAX: the deadline, 2 million cycles from now.
arm_deadline:
	rdtsc
	shl rdx, 32
	or rax, rdx
	add rax, 2000000
	push rax
	mov rdx, rax
	shr rdx, 32
	mov ecx, MSR_TSC_DEADLINE
	wrmsr
	pop rax
	ret

check_self_ipi:
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_LOW], VECTOR_SELF | ICR_SELF
	AWAIT VECTOR_SELF, 1
	; Two priorities at once: both come.
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_LOW], VECTOR_LOW | ICR_SELF
	mov dword [rdx + APIC_REG_ICR_LOW], VECTOR_SELF | ICR_SELF
	sti
	in al, 0x80
	nop
	cli
	cmp qword [COUNTS + VECTOR_LOW * 8], 1
	CHECK e, "the interrupt of low priority"
	cmp qword [COUNTS + VECTOR_SELF * 8], 2
	CHECK e, "the interrupt of high priority"
	ret

check_nmi:
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_HIGH], 0
	mov dword [rdx + APIC_REG_ICR_LOW], ICR_MODE_NMI
	in al, 0x80
	in al, 0x80
	cmp qword [COUNTS + 2 * 8], 1
	CHECK e, "an NMI to self"
	mov ebp, 20
.again:
	mov edx, PC_LAPIC
	mov dword [rdx + APIC_REG_ICR_LOW], ICR_MODE_NMI
	in al, 0x80
	in al, 0x80
	dec ebp
	jnz .again
	cmp qword [COUNTS + 2 * 8], 21
	CHECK e, "21 NMIs to self"
	ret

check_x2apic:
	mov eax, 1
	cpuid
	bt ecx, 21
	CHECK c, "CPUID shows no x2APIC"
	mov ecx, MSR_APIC_BASE
	rdmsr
	or eax, APIC_BASE_X2APIC
	wrmsr
	lea rax, [rel hook_eoi_x2apic]
	mov [interrupt_hook], rax
	mov ecx, MSR_X2APIC(APIC_REG_ID)
	rdmsr
	or eax, edx
	CHECK z, "the x2APIC's identifier"
	mov ecx, MSR_X2APIC(APIC_REG_TPR)
	xor eax, eax
	xor edx, edx
	wrmsr
	mov ebx, 100
.again:	mov ecx, MSR_X2APIC_SELF_IPI
	mov eax, VECTOR_SELF
	xor edx, edx
	wrmsr
	sti
	nop
	nop
	cli
	dec ebx
	jnz .again
	cmp qword [COUNTS + VECTOR_SELF * 8], 102
	CHECK e, "self-IPIs by x2APIC"
	mov ecx, MSR_X2APIC_ICR
	mov eax, VECTOR_LOW
	xor edx, edx
	wrmsr
	sti
	nop
	nop
	cli
	cmp qword [COUNTS + VECTOR_LOW * 8], 2
	CHECK e, "the ICR of x2APIC"
	mov ecx, MSR_X2APIC(APIC_REG_TIMER_DIVIDE)
	mov eax, TIMER_DIVIDE_BY_1
	wrmsr
	mov ecx, MSR_X2APIC(APIC_REG_LVT_TIMER)
	mov eax, VECTOR_SHOT
	wrmsr
	mov ecx, MSR_X2APIC(APIC_REG_TIMER_COUNT)
	mov eax, 200000
	wrmsr
	AWAIT VECTOR_SHOT, 2
	mov ecx, MSR_X2APIC(APIC_REG_ID)
	TRY wrmsr
	cmp al, EXC_GP
	CHECK e, "the x2APIC's identifier can be written"
	mov ecx, MSR_X2APIC_LAST
	TRY rdmsr
	cmp al, EXC_GP
	CHECK e, "an x2APIC register that is not there"
	ret

; The half of the interrupt table with vectors from 0x80 on is not mapped: delivery of one faults, and the fault is delivered.
SPLIT_IDT	equ 0x3ff800
check_fault_in_delivery:
	mov esi, IDT
	mov edi, SPLIT_IDT
	mov ecx, 0x80 * 16 / 8
	rep movsq
	mov word [abs SCRATCH], 256 * 16 - 1
	mov qword [abs SCRATCH + 2], SPLIT_IDT
	lidt [abs SCRATCH]
	mov r8, [DIRECTORY + 2 * 8]
	mov qword [DIRECTORY + 2 * 8], 0
	invlpg [abs 0x400000]
	xor edx, edx
	mov ecx, MSR_X2APIC_SELF_IPI
	mov qword [try_rax], VECTOR_SOFT
	TRY call .ipi
	mov r9b, al
	TRY int VECTOR_SOFT
	mov r10b, al
	mov [DIRECTORY + 2 * 8], r8
	lidt [rel idt_pointer]
	cmp r9b, EXC_PF
	CHECK e, "a page fault in the delivery of an interrupt"
	cmp r10b, EXC_PF
	CHECK e, "a page fault in the delivery of INT n"
	mov eax, SPLIT_IDT + VECTOR_SOFT * 16
	sub rax, [fault_address]
	neg rax
	cmp rax, 16
	CHECK b, "CR2 of a fault in delivery"
	; Accepted and in service, but not delivered: it must be ended.
	mov ecx, MSR_X2APIC_EOI
	xor eax, eax
	xor edx, edx
	wrmsr
	ret
.ipi:	wrmsr
	sti
	nop
	in al, 0x80
	cli
	ret

guest_main:
	call check_real_mode
	call check_tsc
	call check_cpuid
	call check_msrs
	call check_cr4
	call check_debug_registers
	PUTS "modes: state", 13, 10
	call check_mmio_instructions
	call check_mmio_forms
	call check_port_strings
	PUTS "modes: devices", 13, 10
	call check_pit
	PUTS "modes: 8259 and 8254", 13, 10
	call check_apic_timer
	PUTS "modes: local APIC timer", 13, 10
	call check_self_ipi
	PUTS "modes: self-IPI", 13, 10
	call check_nmi
	PUTS "modes: NMI", 13, 10
	call check_x2apic
	PUTS "modes: x2APIC", 13, 10
	call check_fault_in_delivery
	ret

GUEST_END
