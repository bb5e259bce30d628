// SPDX-License-Identifier: GPL-2.0
/* The smallest guest: prints, halts until the interval timer wakes it, switches off. */
#include "guest.h"
#include "pic.h"

GUEST("hello")
{
	print("Hello from a guest\n");
	pic_init();
	pit_periodic();
	halt_once();
	require(counts[PIC_BASE], "HLT ended without an interrupt");
}
