; SPDX-License-Identifier: GPL-2.0
; From GRUB (multiboot2, 32-bit protected mode) or a SIPI to C in long mode, high half.

%include "names.inc"
%include "percpu.inc"

KERNEL_BASE	equ 0xffffffff80000000
DIRECT_SLOT	equ 256			; PML4 slot of the direct map, 0xffff800000000000
MB2_MAGIC	equ 0xe85250d6
MB2_LOADER	equ 0x36d76289
TABLE		equ PTE_PRESENT | PTE_WRITE
PAGE		equ PTE_PRESENT | PTE_WRITE | PTE_LARGE
SEL_CODE32	equ 0x08
SEL_CODE64	equ 0x10
SEL_DATA	equ 0x18

extern main_boot
extern main_ap

; Switches long mode on, which paging makes active. EAX = PML4; uses ECX and EDX.
%macro LONG_MODE 0
	mov cr3, eax
	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME | EFER_NXE
	wrmsr
%endmacro

section .multiboot align=8
header:
	dd MB2_MAGIC, 0, header_end - header, -(MB2_MAGIC + (header_end - header))
	; information request: memory map; all else is used when it is there
	dw 1, 0
	dd 12
	dd 6
	align 8
	; modules on page boundaries
	dw 6, 0
	dd 8
	; a frame buffer if there is one (UEFI); text mode will do
	dw 5, 1
	dd 20
	dd 0, 0, 0
	align 8
	dw 0, 0
	dd 8
header_end:

section .boot progbits alloc exec write align=4096
bits 32
global boot_entry
boot_entry:
	cli
	cld
	mov esp, boot_stack_end
	mov ebp, ebx			; the loader's information
	cmp eax, MB2_LOADER
	jne .halt
	mov eax, CPUID_EXTENDED
	cpuid
	cmp eax, CPUID_EXTENDED_FEATURES
	jb .no_long_mode
	mov eax, CPUID_EXTENDED_FEATURES
	cpuid
	bt edx, 29			; LM
	jnc .no_long_mode
	bt edx, 20			; NX
	jnc .no_long_mode

	mov eax, boot_pml4
	LONG_MODE
	mov eax, cr0
	or eax, CR0_PG | CR0_WP | CR0_PE
	mov cr0, eax
	lgdt [boot_gdt_pointer]
	jmp SEL_CODE64:.long
.no_long_mode:
	mov esi, message_long_mode
	call print32
.halt:
	hlt
	jmp .halt

bits 64
.long:
	mov ax, SEL_DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov rax, KERNEL_BASE + boot_stack_end
	mov rsp, rax
	mov edi, ebp
	xor ebp, ebp
	mov rax, main_boot
	call rax
	ud2

bits 32
; ESI = text. COM1 as the firmware left it, and the text screen.
print32:
	mov edi, 0xb8000
.next:
	lodsb
	test al, al
	jz .done
	mov ah, 0x4f
	mov [edi], ax
	add edi, 2
	mov dx, 0x3f8
	out dx, al
	jmp .next
.done:
	ret

message_long_mode:
	db "Keel: this processor lacks 64-bit mode with NX. Choose the plain Linux entry of the boot menu.", 13, 10, 0

align 8
boot_gdt:
	dq 0
	dq 0x00cf9a000000ffff		; 32-bit code
	dq 0x00af9a000000ffff		; 64-bit code
	dq 0x00cf92000000ffff		; data
boot_gdt_end:
boot_gdt_pointer:
	dw boot_gdt_end - boot_gdt - 1
	dd boot_gdt

; Real-mode start of the other CPUs, copied below 1 MiB; runs with CS = its page.
global ap_trampoline, ap_trampoline_end
align 16
bits 16
ap_trampoline:
	cli
	cld
	mov ax, cs
	mov ds, ax
	lgdt [ap_gdt_pointer - ap_trampoline]
	mov eax, [ap_boot_tables - ap_trampoline]
	LONG_MODE
	mov eax, CR0_PG | CR0_WP | CR0_PE
	mov cr0, eax
	jmp far dword [ap_jump - ap_trampoline]
align 8
ap_jump:	dd ap_long
		dw SEL_CODE64
align 8
ap_gdt_pointer:
	dw boot_gdt_end - boot_gdt - 1
	dd boot_gdt
ap_boot_tables:	dd boot_pml4
ap_trampoline_end:

bits 64
; At its load address, on the boot tables, until the final ones are in CR3. Several may come at once: each finds
; itself by its local APIC's identifier. One that is not listed stops.
ap_long:
	mov ax, SEL_DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov ecx, MSR_APIC_BASE
	rdmsr
	test eax, APIC_BASE_X2APIC
	jnz .x2apic
	and eax, APIC_BASE_ADDRESS & 0xffffffff
	mov edx, [rax + APIC_REG_ID]
	shr edx, 24
	jmp .found
.x2apic:
	mov ecx, MSR_X2APIC(APIC_REG_ID)
	rdmsr
	mov edx, eax
.found:	xor ecx, ecx
.next:	cmp ecx, [ap_count]
	jae .stop
	cmp edx, [ap_ids + rcx * 4]
	je .mine
	inc ecx
	jmp .next
.stop:	cli
	hlt
	jmp .stop
.mine:	shl rcx, PERCPU_SHIFT
	mov rax, PERCPU_BASE
	add rcx, rax
	lea rsp, [rcx + PERCPU_STACK_END]
	lea rdi, [rcx + PERCPU_DATA]
	mov rax, [ap_cr3]
	xor ebp, ebp
	mov rcx, ap_high
	jmp rcx

global ap_ids, ap_count, ap_cr3
align 8
ap_cr3:		dq 0
ap_count:	dd 0
ap_ids:		times 256 dd 0			; MAX_CPUS

; 4 GiB with 2 MiB pages, seen at 0 and at the direct map; the first GiB also at KERNEL_BASE
align 4096
boot_pml4:
	dq boot_pdpt + TABLE
	times DIRECT_SLOT - 1 dq 0
	dq boot_pdpt + TABLE
	times 510 - DIRECT_SLOT dq 0
	dq boot_pdpt_high + TABLE
boot_pdpt:
	dq boot_pd + TABLE, boot_pd + 0x1000 + TABLE, boot_pd + 0x2000 + TABLE, boot_pd + 0x3000 + TABLE
	times 508 dq 0
boot_pdpt_high:
	times 510 dq 0
	dq boot_pd + TABLE, 0
boot_pd:
%assign page 0
%rep 2048
	dq page << 21 | PAGE
%assign page page + 1
%endrep
boot_stack:	times 16384 db 0
boot_stack_end:

section .text
ap_high:
	mov cr3, rax
	call main_ap
	ud2
