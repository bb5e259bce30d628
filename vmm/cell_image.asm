; SPDX-License-Identifier: GPL-2.0
; The cell's program, as the build made it.
section .rodata
align 4096
global cell_image, cell_image_end
cell_image:
	incbin %str(CELL_IMAGE)
cell_image_end:
