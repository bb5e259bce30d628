/* SPDX-License-Identifier: GPL-2.0 */
/* The screen, for the lines of Keel's start and for a panic: VGA text, or a frame buffer of the loader's (UEFI). */
#ifndef VMM_SCREEN_H
#define VMM_SCREEN_H

#include "boot_info.h"

/* VGA text memory, if it answers. */
void screen_init_text(void);
/* What the loader left behind, if it is pixels of 32 or 24 bits below 4 GiB. */
void screen_init(const struct boot_framebuffer *framebuffer);
/* One character: printable ASCII or a line feed. Needs the direct map. */
void screen_put(char c);

#endif
