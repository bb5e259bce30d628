// SPDX-License-Identifier: GPL-2.0
// What has to be done on every CPU, and on those that come and go.

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/smp.h>

#include "hypercall.h"
#include "keel.h"

static enum cpuhp_state hotplug_state;

static void flush_here(void *unused)
{
	struct keel_args args = {};

	keel_call(KEEL_HC_FLUSH, &args);
}

/* Off is refused while some CPU is off line; watching goes on then. */
static void set_trap_here(void *on)
{
	struct keel_args args = { .rdi = !!on };

	keel_call(KEEL_HC_TRAP, &args);
}

static void trap_everywhere(bool on)
{
	on_each_cpu(set_trap_here, on ? &hotplug_state : NULL, 1);
}

/* Its TLB may hold translations from before it went; donations wait for its flush. */
static int cpu_comes(unsigned int cpu)
{
	flush_here(NULL);
	trap_everywhere(false);
	return 0;
}

static int cpu_goes(unsigned int cpu)
{
	trap_everywhere(true);
	return 0;
}

void keel_cpus_flush(void)
{
	on_each_cpu(flush_here, NULL, 1);
}

int keel_cpus_init(void)
{
	int state;

	cpus_read_lock();
	state = cpuhp_setup_state_nocalls_cpuslocked(CPUHP_AP_ONLINE_DYN, "keel:online", cpu_comes, cpu_goes);
	if (state >= 0) {
		hotplug_state = state;
		trap_everywhere(false);
	}
	cpus_read_unlock();
	return state < 0 ? state : 0;
}

void keel_cpus_exit(void)
{
	cpus_read_lock();
	__cpuhp_remove_state_cpuslocked(hotplug_state, false);
	trap_everywhere(true);
	cpus_read_unlock();
}
