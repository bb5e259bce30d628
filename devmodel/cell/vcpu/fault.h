/* SPDX-License-Identifier: GPL-2.0 */
/* The exception that an instruction ends by, in place of its result. */
#ifndef KEEL_FAULT_H
#define KEEL_FAULT_H

#include <stdbool.h>
#include <stdint.h>

struct emulate_fault {
	uint8_t vector;
	bool has_error_code;
	uint32_t error_code;
	uint64_t cr2;		/* vector 14 only */
};

#endif
