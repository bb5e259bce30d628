; SPDX-License-Identifier: GPL-2.0
; A boot sector that goes round and round as boot loaders do: polls the serial port's line status, reads sectors of the first hard
; disk by the BIOS, writes them and compares, and prints a dot. What was typed is printed too. The disk has 1 MiB at least.

%include "names.inc"

bits 16
org 0x7c00

SERIAL_STATUS	equ PC_PORT_SERIAL + 5
SERIAL_FULL	equ 1
SERIAL_EMPTY	equ 0x20
DISK		equ 0x80
FIRST		equ 64			; the sectors that are written: 64 to 1023
LAST		equ 1024
COUNT		equ 8
POLLS		equ 2000
WRITTEN		equ 0x1000		; segments
READ		equ 0x2000

start:
	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	cld
	sti
	mov word [packet + 8], FIRST
round:
	; With interrupts off in every second round, as a prompt that waits for a key.
	test byte [rounds], 1
	jz .poll
	cli
.poll:	mov cx, POLLS
.again:	mov dx, SERIAL_STATUS
	in al, dx
	test al, SERIAL_FULL
	jz .next
	mov dx, PC_PORT_SERIAL
	in al, dx
	call putc
.next:	loop .again
	sti

	; A pattern that no other round has.
	mov ax, WRITTEN
	mov es, ax
	xor di, di
	mov ax, [rounds]
	mov cx, COUNT * 512 / 2
.fill:	stosw
	imul ax, ax, 25173
	add ax, 13849
	loop .fill

	mov bx, WRITTEN
	mov ax, 0x4300
	call disk
	mov bx, READ
	mov ah, 0x42
	call disk
	mov ax, WRITTEN
	mov ds, ax
	mov ax, READ
	mov es, ax
	xor si, si
	xor di, di
	mov cx, COUNT * 512 / 2
	repe cmpsw
	mov ax, 0
	mov ds, ax
	mov si, different
	jne fail

	add word [packet + 8], COUNT
	cmp word [packet + 8], LAST
	jb .on
	mov word [packet + 8], FIRST
.on:	mov al, '.'
	call putc
	inc word [rounds]
	test word [rounds], 63
	jnz round
	mov al, 13
	call putc
	mov al, 10
	call putc
	jmp round

; AX: function, BX: segment of the buffer.
disk:
	mov [packet + 6], bx
	mov dl, DISK
	mov si, packet
	int 0x13
	mov si, refused
	jc fail
	ret

fail:	lodsb
	test al, al
	jz .stay
	call putc
	jmp fail
.stay:	cli
	hlt
	jmp .stay

putc:	push ax
	mov dx, SERIAL_STATUS
.wait:	in al, dx
	test al, SERIAL_EMPTY
	jz .wait
	pop ax
	mov dx, PC_PORT_SERIAL
	out dx, al
	ret

refused:	db "sector: FAIL the BIOS refused", 13, 10, 0
different:	db "sector: FAIL what was written is not what was read", 13, 10, 0
rounds:		dw 0
align 4
packet:		db 16, 0
		dw COUNT, 0, 0
		dq 0

	times 510 - ($ - $$) db 0
	dw 0xaa55
