; SPDX-License-Identifier: GPL-2.0
; Header and entry point of a cell's image (keel/cell.h; cell.c checks that the numbers agree).
bits 64

CELL_MAGIC	equ 0x6c6c65634c45454b
CELL_GATE	equ 31

extern cell_main
extern cell_text_pages, cell_rodata_pages, cell_data_pages, cell_bss_pages
global cell_entry

section .header progbits alloc noexec nowrite align=16
	dq CELL_MAGIC
	dq cell_entry
	dd cell_text_pages, cell_rodata_pages, cell_data_pages, cell_bss_pages

section .text
; RDI: the context's page. RSP: the end of its stack, aligned to 16.
cell_entry:
	xor ebp, ebp
	call cell_main
	int CELL_GATE
	ud2

section .note.GNU-stack noalloc noexec nowrite progbits
