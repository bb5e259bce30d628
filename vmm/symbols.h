/* SPDX-License-Identifier: GPL-2.0 */
/* Names for addresses of the image, for backtraces. The table is made from the linked image at build time. */
#ifndef VMM_SYMBOLS_H
#define VMM_SYMBOLS_H

#include <stdint.h>

/* The function that contains address, "?" if none; *offset: how far into it. */
const char *symbols_find(uint64_t address, uint64_t *offset);

#endif
