; SPDX-License-Identifier: GPL-2.0
; The smallest guest: prints, halts until the interval timer wakes it, switches off.
%define GUEST_NAME "hello"
%include "guest.inc"
%include "pic.inc"

guest_main:
	PUTS "Hello from a guest", 13, 10
	call pic_init
	call timer_periodic
	sti
	hlt
	cli
	cmp qword [COUNTS + PIC_BASE * 8], 0
	CHECK ne, "HLT ended without an interrupt"
	ret

GUEST_END
