// SPDX-License-Identifier: GPL-2.0
/* Triple fault. */
#include "guest.h"

GUEST("triple")
{
	static const uint8_t none[10];

	print("triple: now\n");
	load_idt(none);
	asm volatile("ud2");
	fail("still running");
}
