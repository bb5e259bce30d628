; SPDX-License-Identifier: GPL-2.0
; Writes to pages as it is told: waits for a character, halted, obeys, prints "dirty: done", waits. tests/integration/dirty.c
; knows which pages these are.
;   a to o: those of the DATA_PAGES whose number, hashed, ends in the character's lower four bits
;   I: the device model writes, by string input, across the end of a page
;   D: the device model writes, by DMA
;   F: every page from DATA on gets its own number, and all of them keep it
;   R: one page after the other, MARK and OLD in turn, for a while and without a reason to leave the guest
;   Q: switches off
%define GUEST_NAME "dirty"
%include "guest.inc"
%include "pic.inc"

%ifdef GIBIBYTE
DATA		equ 0x40000000			; to be found there; it is the memory above 4 GiB
DATA_HIGH	equ 1				; its address's upper half
FILL_PAGES	equ 0x40000
%else
DATA		equ 0x400000
DATA_HIGH	equ 0
FILL_PAGES	equ DATA_PAGES
%endif
DATA_PAGES	equ 2048
HASH		equ 0x9e3779b1
INS_PAGE	equ DATA + 0x77000
DMA_PAGE	equ DATA + 0x99000
OLD		equ DATA			; written before, over and over
MARK		equ DATA + 0x100000		; written once
RUN_PAGES	equ 256
AHEAD		equ 8
STEP_TICKS	equ 200000
FW_CFG		equ 0x510
FW_CFG_DMA	equ 0x514
COM1_RECEIVED	equ 1

guest_main:
%ifdef GIBIBYTE
	mov eax, PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
	mov edi, DIRECTORY + 0x1000
	mov ecx, 512
.map:	mov [rdi], eax
	mov dword [rdi + 4], DATA_HIGH
	add eax, 0x200000
	add edi, 8
	loop .map
	mov rax, cr3
	mov cr3, rax
%endif
	call pic_init
	mov al, 0xef				; the serial port's alone
	out PIC_MASTER + 1, al
	mov dx, COM1 + 4
	mov al, 0xb
	out dx, al
	mov dx, COM1 + 1
	mov al, 1
	out dx, al
	PUTS "dirty: ready", 13, 10
.next:	call await_character
	cmp al, 'Q'
	je .end
	lea rdx, [rel device_input]
	cmp al, 'I'
	je .obey
	lea rdx, [rel device_dma]
	cmp al, 'D'
	je .obey
	lea rdx, [rel fill]
	cmp al, 'F'
	je .obey
	lea rdx, [rel run]
	cmp al, 'R'
	je .obey
	lea rdx, [rel pattern]
.obey:	call rdx
	PUTS "dirty: done", 13, 10
	jmp .next
.end:	ret

; AL: the character.
await_character:
	mov dx, COM1_STATUS
	in al, dx
	test al, COM1_RECEIVED
	jnz .there
	sti
	hlt
	cli
	jmp await_character
.there:	mov dx, COM1
	in al, dx
	ret

; AL: the character.
pattern:
	movzx ebx, al
	and ebx, 15
	xor ecx, ecx
.page:	imul eax, ecx, HASH
	shr eax, 24
	and eax, 15
	cmp eax, ebx
	jne .skip
	mov eax, ecx
	shl eax, 12
	inc qword [rax + DATA + 0x7f8]
.skip:	inc ecx
	cmp ecx, DATA_PAGES
	jne .page
	ret

fill:
	xor ecx, ecx
	mov edi, DATA
.write:	mov [rdi + 0x10], ecx
	add rdi, 0x1000
	inc ecx
	cmp ecx, FILL_PAGES
	jne .write
	xor ecx, ecx
	mov edi, DATA
.read:	cmp [rdi + 0x10], ecx
	CHECK e, "a page has not what was written to it"
	add rdi, 0x1000
	inc ecx
	cmp ecx, FILL_PAGES
	jne .read
	ret

device_input:
	mov dx, FW_CFG
	xor eax, eax				; the signature
	out dx, ax
	inc edx
	mov edi, INS_PAGE + 0xffe
	mov ecx, 4
	rep insb
	cmp dword [INS_PAGE + 0xffe], 'QEMU'
	CHECK e, "string input of fw_cfg's signature"
	ret

; The descriptor is big-endian: control (read, select), length, address.
device_dma:
	mov dword [SCRATCH], 0x0a000000
	mov dword [SCRATCH + 4], 0x04000000
	mov eax, DMA_PAGE & ~(DATA_HIGH << 30)
	bswap eax
	mov dword [SCRATCH + 8], DATA_HIGH << 24
	mov [SCRATCH + 12], eax
	mov dx, FW_CFG_DMA
	xor eax, eax
	out dx, eax
	mov eax, SCRATCH
	bswap eax
	add edx, 4
	out dx, eax
	cmp dword [SCRATCH], 0
	CHECK e, "DMA of fw_cfg's signature is refused"
	cmp dword [DMA_PAGE], 'QEMU'
	CHECK e, "DMA of fw_cfg's signature"
	ret

; Step i writes page i of MARK, which the processor has no translation for, then page i of OLD, and goes on writing to the
; AHEAD pages of OLD that follow, whose translations it keeps.
run:
	sti
	xor ebx, ebx
.step:	inc qword [rbx + MARK]
	inc qword [rbx + OLD]
	rdtsc
	mov r8d, eax
.again:	mov ecx, AHEAD
	mov esi, ebx
.ahead:	add esi, 0x1000
	cmp esi, RUN_PAGES << 12
	jae .wait
	inc qword [rsi + OLD]
	loop .ahead
.wait:	rdtsc
	sub eax, r8d
	cmp eax, STEP_TICKS
	jb .again
	add ebx, 0x1000
	cmp ebx, RUN_PAGES << 12
	jne .step
	cli
	ret

GUEST_END
