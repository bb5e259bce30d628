; SPDX-License-Identifier: GPL-2.0
; What an exit costs, in ticks of the time-stamp counter: "EXIT name ticks rounds" for each kind, where ticks is the median
; over the samples of what all rounds of a sample took. Under an emulator that counts instructions a tick is an instruction.
; With RATES then long runs of some kinds, for those who look at the machine from outside: "RATE name start", "RATE name end
; exits".
; With TRIPS nothing but writes to the serial port, with and without a character for the control domain; then it halts for good.
%define GUEST_NAME "exits"
%include "guest.inc"

SAMPLES		equ 101				; odd: the median is one of them
ROUNDS		equ 32
RATE_EXITS	equ 200000
TICKS		equ SCRATCH			; of the samples, 8 bytes each

VECTOR_SELF	equ 0x50
VECTOR_TIMER	equ 0x51
XAPIC_SPURIOUS	equ PC_LAPIC + APIC_REG_SPURIOUS
XAPIC_EOI	equ PC_LAPIC + APIC_REG_EOI
XAPIC_COMMAND	equ PC_LAPIC + APIC_REG_ICR_LOW
X2APIC_ENABLE	equ APIC_BASE_ENABLE | APIC_BASE_X2APIC
PIC_MASK	equ PC_PORT_PIC_MASTER + 1
SERIAL_SCRATCH	equ PC_PORT_SERIAL + 7
PCI_PAM0	equ 0x80000058			; of the i440FX, with PAM0 in its second byte
PAM0_MEMORY	equ 0x30			; reads and writes from 0xf0000 on are memory's
ROM		equ 0xffff0000
ROM_BYTES	equ 0x10000
SLEEP_TICKS	equ 1000000
%ifdef TRIPS
SERVE_TICKS	equ 1 << 23			; time in which the characters of a sample are taken
%endif
QUIET_TICKS	equ 1 << 26			; time in which what was printed comes out

; MEASURE name, body: the body may use RAX, RBX, RCX, RDX, R8.
%macro MEASURE 2
	[section .rodata]
%%text:	db %1, 0
	__?SECT?__
	lea rsi, [rel %%text]
	lea r12, [rel %2]
	call measure
%endmacro

%macro READ_CLOCK 0
	rdtsc
	shl rdx, 32
	or rax, rdx
%endmacro

; RSI: name, R12: body. A body that times but a part of itself adds that to [part].
measure:
	push rsi
	xor r15d, r15d
.sample:
	mov qword [part], 0
	READ_CLOCK
	mov r14, rax
	mov ebp, ROUNDS
.round:	call r12
	dec ebp
	jnz .round
	READ_CLOCK
	sub rax, r14
	cmp qword [part], 0
	cmovne rax, [part]
	mov [TICKS + r15 * 8], rax
%ifdef TRIPS
	mov eax, SERVE_TICKS
	call sleep
%endif
	inc r15d
	cmp r15d, SAMPLES
	jne .sample
	call sort
	PUTS "EXIT "
	pop rsi
	call puts
	mov al, ' '
	call putc
	mov rax, [TICKS + SAMPLES / 2 * 8]
	call putdec
	mov al, ' '
	call putc
	mov eax, ROUNDS
	call putdec
	PUTS 13, 10
	ret

; RATE name, body: the body may use all registers but RBP and RSP.
%macro RATE 2
	PUTS "RATE ", %1, " start", 13, 10
	mov eax, QUIET_TICKS
	call sleep
	mov ebp, RATE_EXITS
%%next:	call %2
	dec ebp
	jnz %%next
	PUTS "RATE ", %1, " end "
	mov eax, RATE_EXITS
	call putdec
	PUTS 13, 10
	mov eax, QUIET_TICKS
	call sleep
%endmacro

; By insertion.
sort:
	mov ecx, 1
.next:	mov rax, [TICKS + rcx * 8]
	mov edx, ecx
.shift:	mov rbx, [TICKS + rdx * 8 - 8]
	cmp rbx, rax
	jbe .put
	mov [TICKS + rdx * 8], rbx
	dec edx
	jnz .shift
.put:	mov [TICKS + rdx * 8], rax
	inc ecx
	cmp ecx, SAMPLES
	jne .next
	ret

; RAX: number.
putdec:
	mov ecx, 10
	push rbx
	xor ebx, ebx
.divide:
	xor edx, edx
	div rcx
	push rdx
	inc ebx
	test rax, rax
	jnz .divide
.put:	pop rax
	add al, '0'
	call putc
	dec ebx
	jnz .put
	pop rbx
	ret

body_empty:
	ret

body_cpuid:
	xor eax, eax
	cpuid
	ret

body_rdmsr:
	mov ecx, MSR_MTRR_CAP
	rdmsr
	ret

body_port:
	in al, PIC_MASK
	ret

body_mmio:
	mov edx, PC_HPET
	mov eax, [rdx]
	ret

; Sent, taken and ended.
body_self:
	mov ecx, MSR_X2APIC_SELF_IPI
	mov eax, VECTOR_SELF
	xor edx, edx
	wrmsr
	nop
	ret

; The same by the page.
body_self_xapic:
	mov edx, XAPIC_COMMAND
	mov dword [rdx], ICR_SELF | VECTOR_SELF
	nop
	ret

; Until the timer; what counts is how late the handler runs.
body_sleep:
	mov eax, SLEEP_TICKS

; RAX: ticks.
sleep:
	cli
	mov r8, rax
	READ_CLOCK
	add rax, r8
	mov [deadline], rax
	mov rdx, rax
	shr rdx, 32
	mov ecx, MSR_TSC_DEADLINE
	wrmsr
	sti
	hlt
	ret

; The end of an interrupt that is in service. RAX: vector, which has no further use.
hook_end:
	mov ecx, MSR_X2APIC_EOI
	xor eax, eax
	xor edx, edx
	wrmsr
	ret

hook_timed_end:
	rdtsc
	mov r8d, eax
	mov ecx, MSR_X2APIC_EOI
	xor eax, eax
	xor edx, edx
	wrmsr
	rdtsc
	sub eax, r8d
	add [part], rax
	ret

hook_end_xapic:
	mov edx, XAPIC_EOI
	mov dword [rdx], 0
	ret

hook_wake:
	READ_CLOCK
	sub rax, [deadline]
	add [part], rax
	jmp hook_end

hook_timed_end_xapic:
	rdtsc
	mov r8d, eax
	mov edx, XAPIC_EOI
	mov dword [rdx], 0
	rdtsc
	sub eax, r8d
	add [part], rax
	ret

; ECX: register, EAX: value below 4 Gi.
write_msr:
	xor edx, edx
	wrmsr
	ret

xapic_init:
	mov edx, XAPIC_SPURIOUS
	mov dword [rdx], SPURIOUS_ENABLE | SPURIOUS_RESET
	ret

x2apic_init:
	mov ecx, MSR_APIC_BASE
	rdmsr
	or eax, X2APIC_ENABLE
	wrmsr
	mov ecx, MSR_X2APIC(APIC_REG_SPURIOUS)
	mov eax, SPURIOUS_ENABLE | SPURIOUS_RESET
	call write_msr
	mov ecx, MSR_X2APIC(APIC_REG_LVT_TIMER)
	mov eax, LVT_TIMER_DEADLINE | VECTOR_TIMER
	jmp write_msr

%macro HOOK 1
	lea rax, [rel %1]
	mov [interrupt_hook], rax
%endmacro

; What runs below 1 MiB is memory with Keel, and in QEMU the ROM itself, until the bridge is told otherwise. That comes empty.
make_writable:
	mov al, [probe]
	not byte [probe]
	cmp [probe], al
	jne .end
	lea rsi, [rel show_memory]
	mov edi, SCRATCH
	mov ecx, show_memory_end - show_memory
	rep movsb
	mov eax, SCRATCH
	call rax
.end:	ret

; At another place than its own.
show_memory:
	mov eax, PCI_PAM0
	mov edx, PC_PORT_PCI
	out dx, eax
	mov edx, PCI_DATA + 1
	mov al, PAM0_MEMORY
	out dx, al
	mov esi, ROM
	mov edi, ORIGIN
	mov ecx, ROM_BYTES / 8
	rep movsq
	ret
show_memory_end:

%ifdef TRIPS
body_write:
	mov edx, SERIAL_SCRATCH
	xor eax, eax
	out dx, al
	ret

; A character that was put out is told to the control domain.
body_doorbell:
	mov edx, PC_PORT_SERIAL
	xor eax, eax
	out dx, al
	ret

guest_main:
	call make_writable
	call x2apic_init
	HOOK hook_end
	MEASURE "write", body_write
	MEASURE "doorbell", body_doorbell
	cli
.halt:	hlt
	jmp .halt
%else
guest_main:
	call make_writable
	MEASURE "empty", body_empty
	MEASURE "cpuid", body_cpuid
	MEASURE "rdmsr", body_rdmsr
	MEASURE "port", body_port
	MEASURE "mmio", body_mmio
	call xapic_init
	sti
	HOOK hook_end_xapic
	MEASURE "self-xapic", body_self_xapic
	HOOK hook_timed_end_xapic
	MEASURE "eoi-xapic", body_self_xapic
	cli
	call x2apic_init
	sti
	HOOK hook_end
	MEASURE "self", body_self
	HOOK hook_timed_end
	MEASURE "eoi", body_self
	cmp qword [COUNTS + VECTOR_SELF * 8], 4 * SAMPLES * ROUNDS
	CHECK e, "interrupts were lost"
	HOOK hook_wake
	MEASURE "sleep", body_sleep
	cmp qword [COUNTS + VECTOR_TIMER * 8], SAMPLES * ROUNDS
	CHECK e, "timer interrupts were lost"
%ifdef RATES
	RATE "cpuid", body_cpuid
	RATE "port", body_port
%endif
	cli
	ret
%endif

align 8
part:		dq 0
deadline:	dq 0
probe:		db 0

GUEST_END
