; SPDX-License-Identifier: GPL-2.0
; The smallest disk that boots: one sector. It says so on the serial port, then does what one character asks for: t, a triple
; fault; p, power-off by the PIIX4 that SeaBIOS has set up.
%include "names.inc"

SERIAL_STATUS	equ PC_PORT_SERIAL + 5
RECEIVED	equ 0x01
EMPTY		equ 0x20
PM_CONTROL	equ PC_PORT_PM + PC_PM_CONTROL
SLEEP_OFF	equ 0x2000
SIGNATURE	equ 0xaa55

bits 16
org 0x7c00
start:	cli
	xor ax, ax
	mov ds, ax
	mov ss, ax
	mov sp, 0x7c00
	mov si, hello
.next:	lodsb
	test al, al
	jz .ask
	mov ah, al
	mov dx, SERIAL_STATUS
.wait:	in al, dx
	test al, EMPTY
	jz .wait
	mov al, ah
	mov dx, PC_PORT_SERIAL
	out dx, al
	jmp .next
.ask:	mov dx, SERIAL_STATUS
	in al, dx
	test al, RECEIVED
	jz .ask
	mov dx, PC_PORT_SERIAL
	in al, dx
	cmp al, 't'
	je .triple
	cmp al, 'p'
	jne .ask
	mov dx, PM_CONTROL
	mov ax, SLEEP_OFF
	out dx, ax
	jmp .ask
.triple:
	lidt [no_table]
	int3

no_table: dw 0
	dd 0
hello:	db "disk: booted", 13, 10, 0
	times 510 - ($ - $$) db 0
	dw SIGNATURE
