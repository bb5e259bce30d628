; SPDX-License-Identifier: GPL-2.0
; Loads and stores of vector registers on a device's registers, and other instructions that work on memory: the HPET's main
; counter and its first comparator, which keep what they are given while the counter stands still.
%define GUEST_NAME "vector"
%include "guest.inc"

HPET_CONFIG	equ PC_HPET + 0x10
HPET_COUNTER	equ PC_HPET + 0xf0
HPET_TIMER	equ PC_HPET + 0x100		; configuration, then the comparator
COMPARATOR	equ 8
ROUNDS		equ 200
PATTERN		equ 0x1122334455667788

%macro SAME 3					; register, value, text
	mov r9, %2
	cmp %1, r9
	CHECK e, %3
%endmacro

; What is in the other registers stays there.
guard:	mov rax, PATTERN
	movq xmm14, rax
	punpcklqdq xmm14, xmm14
	movdqa xmm15, xmm14
	movdqa xmm0, xmm14
	ret

guarded:
	movq rax, xmm14
	SAME rax, PATTERN, "a register changed that was not named"
	movhlps xmm13, xmm15
	movq rax, xmm13
	SAME rax, PATTERN, "the upper half of a register changed that was not named"
	ret

sse:	mov rbx, HPET_TIMER
	mov rax, 0x0123456789abcdef
	movq xmm1, rax
	movq [rbx + COMPARATOR], xmm1		; 8 bytes
	mov rcx, [rbx + COMPARATOR]
	SAME rcx, 0x0123456789abcdef, "MOVQ to a device"
	movups xmm2, [rbx]
	movhlps xmm3, xmm2
	movq rcx, xmm3
	SAME rcx, 0x0123456789abcdef, "the upper half of MOVUPS from a device"
	movq rdx, xmm2
	cmp rdx, [rbx]
	CHECK e, "the lower half of MOVUPS from a device"
	movaps xmm4, [rbx]
	pcmpeqb xmm4, xmm2
	pmovmskb ecx, xmm4
	cmp ecx, 0xffff
	CHECK e, "MOVAPS and MOVUPS differ"
	mov rax, 0x7766554433221100
	movq xmm3, rax
	punpcklqdq xmm2, xmm3
	movdqa [rbx], xmm2			; 16 bytes
	mov rcx, [rbx + COMPARATOR]
	SAME rcx, 0x7766554433221100, "MOVDQA to a device"
	movntdq [rbx], xmm2
	movlps xmm0, [rbx + COMPARATOR]		; keeps the other half
	movq rcx, xmm0
	SAME rcx, 0x7766554433221100, "MOVLPS from a device"
	movhlps xmm3, xmm0
	movq rcx, xmm3
	SAME rcx, PATTERN, "MOVLPS changed the other half"
	movd xmm3, [rbx + COMPARATOR + 4]
	movq rcx, xmm3
	SAME rcx, 0x77665544, "MOVD from a device"
	mov qword [try_rax], 0
	TRY movaps xmm3, [rbx + COMPARATOR]
	cmp al, EXC_GP
	CHECK e, "MOVAPS that is not aligned"
	movdqu xmm3, [rbx + 0x18]		; the FSB route of a device, and the next one's configuration
	ret

avx:	mov eax, 1
	cpuid
	and ecx, 0x14000000			; XSAVE, AVX
	cmp ecx, 0x14000000
	jne .none
	mov rax, cr4
	or eax, CR4_OSXSAVE
	mov cr4, rax
	mov eax, 7
	xor ecx, ecx
	xor edx, edx
	xsetbv
	mov rbx, HPET_TIMER
	vmovdqu ymm5, [rbx]			; 32 bytes
	vmovhlps xmm6, xmm5, xmm5
	vmovq rcx, xmm6
	SAME rcx, 0x7766554433221100, "VMOVDQU of 32 bytes from a device"
	vextractf128 xmm6, ymm5, 1
	vmovq rcx, xmm6
	cmp rcx, [rbx + 16]
	CHECK e, "the upper half of VMOVDQU from a device"
	mov rax, 0xfedcba9876543210
	vmovq xmm6, rax
	vpunpcklqdq xmm6, xmm6, xmm6
	vinsertf128 ymm6, ymm6, xmm6, 1
	vmovntdq [r12 + HPET_COUNTER - PC_HPET - 0x10], ymm6	; the counter is the third word of the four
	mov rcx, [r12 + HPET_COUNTER - PC_HPET]
	SAME rcx, 0xfedcba9876543210, "VMOVNTDQ of 32 bytes to a device"
	vmovq xmm6, [r12 + HPET_COUNTER - PC_HPET]		; and zeros above
	vextractf128 xmm7, ymm6, 1
	vptest xmm7, xmm7
	CHECK z, "VMOVQ left the upper half of its register"
	vzeroupper
	ret
.none:	PUTS "vector: no AVX here", 13, 10
	ret

others:	mov rbx, HPET_TIMER
	mov eax, 0x55667788
	movnti [rbx + COMPARATOR], eax
	mov rcx, [rbx + COMPARATOR]
	SAME rcx, 0x7766554455667788, "MOVNTI to a device"
	mov eax, 1
	cpuid
	bt ecx, 22
	jnc .no_movbe
	mov rbx, HPET_TIMER
	movbe rax, [rbx + COMPARATOR]
	SAME rax, 0x8877665544556677, "MOVBE from a device"
.no_movbe:
	mov eax, 1
	cpuid
	bt ecx, 13
	jnc .no_cmpxchg16b
	mov rdi, HPET_TIMER
	mov rax, [rdi]
	mov rdx, [rdi + COMPARATOR]
	mov rbx, rax
	mov rcx, 0x1000
	lock cmpxchg16b [rdi]
	CHECK z, "CMPXCHG16B of what is there"
	mov rcx, [rdi + COMPARATOR]
	SAME rcx, 0x1000, "CMPXCHG16B to a device"
	mov qword [try_rax], 0
	TRY cmpxchg16b [rdi + COMPARATOR]
	cmp al, EXC_GP
	CHECK e, "CMPXCHG16B that is not aligned"
.no_cmpxchg16b:
	mov rdi, HPET_TIMER
	mov qword [rdi + COMPARATOR], 7
	mov eax, 100
	xor edx, edx
	div dword [rdi + COMPARATOR]
	cmp eax, 14
	CHECK e, "DIV by a device"
	cmp edx, 2
	CHECK e, "the rest of DIV by a device"
	imul eax, [rdi + COMPARATOR], 9
	cmp eax, 63
	CHECK e, "IMUL of a device"
	bsf eax, [rdi + COMPARATOR + 4]
	CHECK z, "BSF of nothing"
	xor eax, eax
	xor edx, edx
	mov qword [try_rax], 0
	TRY div dword [rdi + COMPARATOR + 4]
	cmp al, 0
	CHECK e, "DIV by 0 in a device"
	smsw [r12 + HPET_COUNTER - PC_HPET]			; two bytes, which the HPET passes over
	sldt [r12 + HPET_COUNTER - PC_HPET]
	str [r12 + HPET_COUNTER - PC_HPET]
	sgdt [r12 + HPET_COUNTER - PC_HPET]
	mov rax, [r12 + HPET_COUNTER - PC_HPET]
	sgdt [SCRATCH]
	cmp rax, [SCRATCH]
	CHECK e, "SGDT to a device"
	sidt [r12 + HPET_COUNTER - PC_HPET]
	mov rax, [r12 + HPET_COUNTER - PC_HPET]
	sidt [SCRATCH]
	cmp rax, [SCRATCH]
	CHECK e, "SIDT to a device"
	ret

guest_main:
	mov r12d, PC_HPET				; an address by itself would be one that is extended by its sign
	mov dword [r12 + HPET_CONFIG - PC_HPET], 0
	call guard
	mov r14d, ROUNDS
.round:	call sse
	call guarded
	call guard
	dec r14d
	jnz .round
	call avx
	call guard
	call others
	call guarded
	ret

GUEST_END
