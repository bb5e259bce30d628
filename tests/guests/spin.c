// SPDX-License-Identifier: GPL-2.0
/* Never gives its processor back: an endless loop with interrupts off. */
#include "guest.h"

GUEST("spin")
{
	print("spin: here I go\n");
	interrupts_off();
	while (true)
		asm volatile("");
}
