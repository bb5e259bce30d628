; SPDX-License-Identifier: GPL-2.0
; Triple fault.
%define GUEST_NAME "triple"
%include "guest.inc"

guest_main:
	PUTS "triple: now", 13, 10
	lidt [rel .none]
	ud2
	FAIL "still running"
.none:	dw 0
	dq 0

GUEST_END
