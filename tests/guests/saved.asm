; SPDX-License-Identifier: GPL-2.0
; What a machine that is saved and loaded must keep: a count in memory and in a register, vector registers, a periodic interrupt,
; a TSC that goes on. It counts until something is typed. Then the timer must still go off, here or wherever it goes on.
%define GUEST_NAME "saved"
%include "guest.inc"

VECTOR		equ 0x50
LAPIC_EOI	equ 0xb0
LAPIC_SPURIOUS	equ 0xf0
LAPIC_TIMER	equ 0x320
LAPIC_COUNT	equ 0x380
LAPIC_DIVIDE	equ 0x3e0
SOFTWARE_ENABLE	equ 1 << 8
PERIODIC	equ 1 << 17
DIVIDE_BY_1	equ 0xb
PERIOD		equ 2000000		; counts of a nanosecond
COM1_RECEIVED	equ 1
MORE		equ 20			; interrupts after something was typed
COUNT		equ SCRATCH		; 8 bytes; the host looks at it, too
PATTERN		equ SCRATCH + 0x1000
FOUND		equ SCRATCH + 0x2000

hook_eoi:
	mov edx, LAPIC
	mov dword [rdx + LAPIC_EOI], 0
	ret

; R8: the TSC of the time before.
check_time:
	rdtsc
	shl rdx, 32
	or rax, rdx
	cmp rax, r8
	CHECK a, "the TSC has gone back"
	mov r8, rax
	ret

fill_vectors:
	mov rax, cr4
	or eax, 1 << 18			; OSXSAVE
	mov cr4, rax
	mov eax, 7
	xor ecx, ecx
	xor edx, edx
	xsetbv
	mov edi, PATTERN
	mov ecx, 16 * 32 / 8
	mov rbx, 0x123456789abcdef1
.fill:	call random
	stosq
	loop .fill
%assign i 0
%rep 16
	vmovdqu ymm%[i], [PATTERN + i * 32]
%assign i i + 1
%endrep
	ret

check_vectors:
%assign i 0
%rep 16
	vmovdqu [FOUND + i * 32], ymm%[i]
%assign i i + 1
%endrep
	mov esi, PATTERN
	mov edi, FOUND
	mov ecx, 16 * 32 / 8
	repe cmpsq
	CHECK e, "a vector register changed"
	ret

start_timer:
	lea rax, [rel hook_eoi]
	mov [interrupt_hook], rax
	mov edx, LAPIC
	mov dword [rdx + LAPIC_SPURIOUS], SOFTWARE_ENABLE | 0xff
	mov dword [rdx + LAPIC_DIVIDE], DIVIDE_BY_1
	mov dword [rdx + LAPIC_TIMER], VECTOR | PERIODIC
	mov dword [rdx + LAPIC_COUNT], PERIOD
	ret

guest_main:
	call fill_vectors
	call start_timer
	mov rbx, 0x5566778899aabbcc
	xor r12d, r12d
	xor r8d, r8d
	mov [COUNT], r12
	sti
	PUTS "saved: counting", 13, 10
.count:	inc r12
	inc qword [COUNT]
	cmp [COUNT], r12
	CHECK e, "the counts in memory and in a register differ"
	call check_time
	call check_vectors
	mov dx, COM1_STATUS
	in al, dx
	test al, COM1_RECEIVED
	jz .count
	mov rax, 0x5566778899aabbcc
	cmp rbx, rax
	CHECK e, "RBX changed"
	mov r13, [COUNTS + VECTOR * 8]
	test r13, r13
	CHECK nz, "the timer never went off"
	add r13, MORE
.more:	sti
	hlt
	cli
	cmp [COUNTS + VECTOR * 8], r13
	jb .more
	PUTS "saved: typed at "
	mov rax, r12
	call puthex
	PUTS 13, 10
	ret

GUEST_END
