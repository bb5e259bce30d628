; SPDX-License-Identifier: GPL-2.0
; Never gives its processor back: an endless loop with interrupts off.
%define GUEST_NAME "spin"
%include "guest.inc"

guest_main:
	PUTS "spin: here I go", 13, 10
	cli
.loop:	jmp .loop

GUEST_END
