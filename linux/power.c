// SPDX-License-Identifier: GPL-2.0
/*
 * Sleep. The hypervisor refuses the machine's sleeping states whatever the kernel thinks, and takes them out of the firmware's
 * tables, so that "mem" means suspend-to-idle. Hibernation works without the firmware: it would write an image of a kernel whose
 * guests are gone by the time it comes back, so it is refused here.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/notifier.h>
#include <linux/printk.h>
#include <linux/suspend.h>

#include "keel.h"

static int power_event(struct notifier_block *block, unsigned long event, void *unused)
{
	if (event != PM_HIBERNATION_PREPARE)
		return NOTIFY_DONE;
	pr_warn("hibernation is refused: guests cannot be saved with it; shut them down and switch the machine off, "
		"or use 'freeze'\n");
	return notifier_from_errno(-EBUSY);
}

static struct notifier_block power_block = {
	.notifier_call = power_event,
};

int keel_power_init(void)
{
	return register_pm_notifier(&power_block);
}

void keel_power_exit(void)
{
	unregister_pm_notifier(&power_block);
}
