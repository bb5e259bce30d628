; SPDX-License-Identifier: GPL-2.0
; Reads and writes addresses without memory at random: the display's hole, IO APIC, HPET, local APIC, firmware, and far above memory.
%define GUEST_NAME "hostile-mmio"
%include "guest.inc"

ROUNDS		equ 8000
DISTANT_DIRECTORY	equ 0x18000
DISTANT_TABLE	equ 0x19000
DISTANT		equ 1 << 39			; linear address of 512 large pages, far apart
DISTANT_STEP_SHIFT	equ 31				; from 4 GiB to 1 TiB
PHYSICAL_MASK	equ 0xffffe00000
APIC_ICR	equ 0x300
DELIVERY_MODE	equ 0x700			; kept 0: INIT and NMI are other guests' business

; First address, mask of the offset.
align 8
regions:
	dq 0xa0000, 0x1ffff
	dq IOAPIC, 0xfff
	dq IOAPIC, 0x1f
	dq HPET, 0xfff
	dq HPET, 0x3ff
	dq LAPIC, 0xfff
	dq 0xffff0000, 0xffff
	dq 0xc0000000, 0x0fffffff
	dq 0xfee01000, 0xfffff
	dq DISTANT, 0x3fffffff
region_count	equ ($ - regions) / 16

map_far:
	mov qword [PML4 + 8], DISTANT_TABLE + (PAGE_PRESENT | PAGE_WRITE)
	mov qword [DISTANT_TABLE], DISTANT_DIRECTORY + (PAGE_PRESENT | PAGE_WRITE)
	xor ecx, ecx
	mov r8, PHYSICAL_MASK
.next:	mov rax, rcx
	shl rax, DISTANT_STEP_SHIFT
	add rax, [.first]
	and rax, r8
	or rax, PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov [DISTANT_DIRECTORY + rcx * 8], rax
	inc ecx
	cmp ecx, 512
	jne .next
	mov rax, cr3
	mov cr3, rax
	ret
align 8
.first:	dq 0x140000000

; R12: address.
choose:	call random
	xor edx, edx
	mov ecx, region_count
	div rcx
	mov r12d, edx
	shl r12d, 4
	call random
	and rax, [regions + r12 + 8]
	mov rcx, [regions + r12]
	lea r12, [rcx + rax]
	cmp rcx, [.icr_region]
	jne .done
	and eax, 0xff0
	cmp eax, APIC_ICR
	je choose
	cmp eax, APIC_ICR - 16			; a wide access may reach it
	je choose
.done:	ret
align 8
.icr_region: dq LAPIC

value:	call random
	and eax, ~DELIVERY_MODE
	mov edi, eax
	call random
	shr rax, 32
	and eax, ~DELIVERY_MODE
	shl rax, 32
	or rax, rdi
	ret

%macro WAYS 1-*
%rep %0
	dq way_%1
%rotate 1
%endrep
%endmacro
align 8
ways:	WAYS 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
way_0:	mov al, [r12]
	ret
way_1:	mov ax, [r12]
	ret
way_2:	mov eax, [r12]
	ret
way_3:	mov rax, [r12]
	ret
way_4:	mov [r12], al
	ret
way_5:	mov [r12], ax
	ret
way_6:	mov [r12], eax
	ret
way_7:	mov [r12], rax
	ret
way_8:	xchg [r12], eax
	ret
way_9:	lock or [r12], rax
	ret
way_10:	and dword [r12], ~DELIVERY_MODE
	ret
way_11:	mov rsi, r12
	mov edi, SCRATCH
	mov ecx, 9
	rep movsb
	ret
way_12:	mov rdi, r12
	mov ecx, 3
	xor eax, eax
	rep stosd
	ret
way_13:	mov rsi, r12
	lodsq
	ret
way_14:	bts qword [r12], 63
	ret
way_15:	cmp [r12], rax
	ret

guest_main:
	call map_far
	mov rbx, 0x6b65656c6d6d696f
	mov r14d, ROUNDS
	mov ebp, 0xffff0000
	mov r15, [rbp + 0x10]
.round:	call choose
	call value
	mov r13, rax
	call random
	and eax, 15
	mov r11, [ways + rax * 8]
	mov [try_rax], r13
	TRY call r11
	cmp al, NO_FAULT
	je .next
	cmp al, VECTOR_GP			; only for addresses that are not canonical, which none is
	CHECK e, "a fault for an access without memory"
	FAIL "#GP for an access without memory"
.next:	dec r14d
	jnz .round
	cmp r15, [rbp + 0x10]
	CHECK e, "the firmware changed"
	mov ecx, NOBODY
	mov rax, [rcx]
	cmp rax, -1
	CHECK e, "far above memory something answers"
	ret
NOBODY		equ 0xd0000000

GUEST_END
