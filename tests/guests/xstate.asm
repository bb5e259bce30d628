; SPDX-License-Identifier: GPL-2.0
; The extended state across exits: rules of XCR0, and every register from x87 to AVX while the guest leaves for others.
%define GUEST_NAME "xstate"
%include "guest.inc"

VGA_HOLE	equ 0xa0000
CR4_PKE		equ 1 << 22
RIGHTS		equ 0xa5a5a5a0			; of protection keys; key 0, which all pages have, has all
SPIN		equ 30000000			; long enough for the host to need its processor back

; The extended states: XCR0, and all registers of x87 to AVX, across exits of every kind.
check_xstate:
	mov eax, 1
	cpuid
	bt ecx, 26
	CHECK c, "CPUID shows no XSAVE"
	mov rax, cr4
	or eax, 1 << 18
	mov cr4, rax
	mov eax, 1
	cpuid
	bt ecx, 27
	CHECK c, "CPUID does not follow CR4.OSXSAVE"
	xor ecx, ecx
	xor edx, edx
	mov qword [try_rax], 0
	TRY xsetbv
	cmp al, VECTOR_GP
	CHECK e, "XSETBV without x87"
	xor ecx, ecx
	xor edx, edx
	mov qword [try_rax], 5
	TRY xsetbv
	cmp al, VECTOR_GP
	CHECK e, "XSETBV of AVX without SSE"
	mov ecx, 1
	mov qword [try_rax], 1
	TRY xsetbv
	cmp al, VECTOR_GP
	CHECK e, "XSETBV of XCR1"
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	test al, 4
	jz .sse_only
	mov eax, 7
	xor ecx, ecx
	xor edx, edx
	xsetbv
	xor ecx, ecx
	xgetbv
	cmp eax, 7
	CHECK e, "XGETBV after XSETBV"
	mov eax, 0xd
	xor ecx, ecx
	cpuid
	cmp ebx, 832
	CHECK e, "CPUID 0xd: size of x87, SSE and AVX"
	call avx_across_exits
	ret
.sse_only:
	PUTS "xstate: no AVX here", 13, 10
	ret

avx_across_exits:
	fninit
	fldpi
	mov edi, SCRATCH
	mov ecx, 16 * 32 / 8
	mov rbx, 0x123456789abcdef1
.fill:	call random
	stosq
	loop .fill
%assign i 0
%rep 16
	vmovdqu ymm%[i], [SCRATCH + i * 32]
%assign i i + 1
%endrep
	mov ebp, 50
.exits:	in al, 0x80
	mov eax, [abs VGA_HOLE]
	xor eax, eax
	cpuid
	mov ecx, 0x10
	rdmsr
	dec ebp
	jnz .exits
	mov ecx, SPIN
.spin:	loop .spin
	xor ecx, ecx
	xgetbv
	cmp eax, 7
	CHECK e, "XCR0 changed"
%assign i 0
%rep 16
	vmovdqu [SCRATCH + 0x1000 + i * 32], ymm%[i]
%assign i i + 1
%endrep
	mov esi, SCRATCH
	mov edi, SCRATCH + 0x1000
	mov ecx, 16 * 32 / 8
	repe cmpsq
	CHECK e, "a vector register changed"
	fldpi
	fcompp
	fnstsw ax
	and ah, 0x45
	cmp ah, 0x40
	CHECK e, "the x87 stack changed"
	ret

; PKRU, which supervisors are subject to on pages of users, across the same.
check_keys:
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ecx, 3
	jc .there
	PUTS "xstate: no protection keys here", 13, 10
	ret
.there:	bt ecx, 4
	CHECK nc, "OSPKE before CR4.PKE"
	mov rax, cr4
	or eax, CR4_PKE
	mov cr4, rax
	mov eax, 7
	xor ecx, ecx
	cpuid
	bt ecx, 4
	CHECK c, "CPUID does not follow CR4.PKE"
	xor ecx, ecx
	rdpkru
	test eax, eax
	CHECK z, "PKRU is not 0 at first"
	mov eax, RIGHTS
	xor ecx, ecx
	xor edx, edx
	wrpkru
	mov ebp, 50
.exits:	in al, 0x80
	mov eax, [abs VGA_HOLE]
	xor eax, eax
	cpuid
	dec ebp
	jnz .exits
	mov ecx, SPIN
.spin:	loop .spin
	xor ecx, ecx
	rdpkru
	cmp eax, RIGHTS
	CHECK e, "PKRU changed"
	mov eax, 0xd
	mov ecx, 9
	cpuid
	cmp eax, 8
	CHECK e, "CPUID 0xd: size of PKRU"
	xor ecx, ecx
	xgetbv
	or eax, 1 << 9
	xsetbv
	xgetbv
	bt eax, 9
	CHECK c, "XCR0 does not take PKRU"
	ret

guest_main:
	call check_xstate
	call check_keys
	ret

GUEST_END
