// SPDX-License-Identifier: GPL-2.0
// Checks of a guest's state that comes from outside.

#include "guest_state.h"

#include "cpu.h"

#define PRIVILEGE_MOST	3u

bool guest_state_may_answer(const struct keel_sregs *sregs)
{
	return sregs->cpl <= PRIVILEGE_MOST && !(sregs->efer & ~(EFER_GUEST | EFER_LMA)) && !(sregs->cr4 & CR4_VMXE);
}
