// SPDX-License-Identifier: GPL-2.0
// What has to be done on every CPU. Those that come on line later have dropped their translations before.

#include <linux/smp.h>

#include "hypercall.h"
#include "keel.h"

static void flush_here(void *unused)
{
	struct keel_args args = {};

	keel_call(KEEL_HC_FLUSH, &args);
}

void keel_cpus_flush(void)
{
	on_each_cpu(flush_here, NULL, 1);
}
