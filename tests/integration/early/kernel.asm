; SPDX-License-Identifier: GPL-2.0
; What looks like a Linux kernel (bzImage, boot protocol 2.15) and dies at once. END_HALT: halts with interrupts off. END_TRIPLE:
; faults without an interrupt table. END_REFUSED: reads the hypervisor's memory first.

SECTOR		equ 512
SETUP_SECTORS	equ 4
LOAD		equ 0x1000000
ROOM		equ 0x10000
KEEL		equ 0x200000

bits 32
org 0
	times 0x1f1 db 0
	db SETUP_SECTORS
	times 0x1fe - ($ - $$) db 0
	dw 0xaa55
	db 0xeb, header_end - $ - 1	; a jump over the rest of the header, whose length it tells
	db "HdrS"
	dw 0x20f
	times 0x211 - ($ - $$) db 0
	db 1				; loaded high
	times 0x22c - ($ - $$) db 0
	dd 0x7fffffff			; initrd's limit
	dd 0x1000			; alignment
	db 1				; relocatable
	db 12
	dw 3				; 64-bit entry, above 4 GiB
	dd 2047				; command line
	times 0x258 - ($ - $$) db 0
	dq LOAD
	dd ROOM
	dd 0
header_end:
	times (SETUP_SECTORS + 1) * SECTOR - ($ - $$) db 0

start:
%ifdef END_HALT
	cli
.stop:	hlt
	jmp .stop
%else
	sub esp, esp
	mov esp, LOAD + ROOM
	push dword 0
	push dword 0
	lidt [esp]
%ifdef END_REFUSED
	mov eax, [KEEL]
%endif
	ud2
%endif
	times SECTOR - ($ - start) db 0
