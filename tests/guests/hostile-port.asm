; SPDX-License-Identifier: GPL-2.0
; Reads and writes ports at random, in all widths and by string instructions. Ports that end or reconfigure the machine are left alone.
%define GUEST_NAME "hostile-port"
%include "guest.inc"

ROUNDS		equ 6000

; First and last port that is not written (a write of 4 bytes may begin 3 ports before).
spared:	dw 0x5d, 0x64				; reset line of the keyboard controller
	dw 0x8f, 0x92				; fast reset
	dw 0xaf, 0xb3				; APM
	dw 0x3f5, 0x3ff				; this guest's console
	dw 0x3ff, 0x402
	dw 0x50d, 0x51b				; fw_cfg writes memory
	dw 0x5fd, 0x63f				; power management
	dw 0xcf5, 0xcff				; PCI configuration and reset
spared_count	equ ($ - spared) / 4

; Ports where something is, first and mask.
known:	dw 0, 0x1f
	dw 0x20, 1
	dw 0x40, 3
	dw 0x60, 7
	dw 0x70, 7
	dw 0x80, 0xf
	dw 0xa0, 1
	dw 0xc0, 0x1f
	dw 0xe8, 0xf
	dw 0x170, 7
	dw 0x1f0, 7
	dw 0x370, 7
	dw 0x3f0, 7
	dw 0x3f8, 7
	dw 0x4d0, 1
	dw 0x510, 0xf
	dw 0x600, 0x3f
	dw 0xcf8, 7
	dw 0, 0xffff
	dw 0xfff8, 7
known_count	equ ($ - known) / 4

; R12: port.
choose:	call random
	xor edx, edx
	mov ecx, known_count
	div rcx
	mov r12d, edx
	call random
	and ax, [known + r12 * 4 + 2]
	add ax, [known + r12 * 4]
	movzx r12d, ax
	ret

; CF: R12 must not be written.
is_spared:
	xor ecx, ecx
.next:	cmp r12w, [spared + rcx * 4]
	jb .other
	cmp r12w, [spared + rcx * 4 + 2]
	ja .other
	stc
	ret
.other:	inc ecx
	cmp ecx, spared_count
	jne .next
	clc
	ret

read_port:
	mov dx, r12w
	mov edi, SCRATCH
	mov ecx, r13d
	and ecx, 0x1f
	test r13d, 0x100
	jnz .string
	test r13d, 0x200
	jnz .narrow
	in eax, dx
	ret
.narrow:
	in ax, dx
	in al, dx
	ret
.string:
	test r13d, 0x200
	jnz .bytes
	rep insd
	ret
.bytes:	rep insb
	insw
	ret

write_port:
	mov dx, r12w
	mov esi, SCRATCH
	mov ecx, r13d
	and ecx, 0x1f
	mov rax, r13
	shr rax, 16
	test r13d, 0x100
	jnz .string
	test r13d, 0x200
	jnz .narrow
	out dx, eax
	ret
.narrow:
	out dx, ax
	out dx, al
	ret
.string:
	test r13d, 0x200
	jnz .bytes
	rep outsd
	ret
.bytes:	rep outsb
	outsw
	ret

guest_main:
	mov rbx, 0x6b65656c706f7274
	mov r14d, ROUNDS
.round:	call choose
	call random
	mov r13, rax
	test eax, 0x800
	jz .read
	call is_spared
	jc .read
	call write_port
	jmp .next
.read:	call read_port
.next:	dec r14d
	jnz .round
	ret

GUEST_END
