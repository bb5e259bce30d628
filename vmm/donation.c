// SPDX-License-Identifier: GPL-2.0
// Donations, and the flushes that must come before their memory is put to use.

#include "donation.h"

#include "apic.h"
#include "hv.h"
#include "iommu.h"
#include "percpu.h"

struct spinlock vm_lock;

static uint64_t donations, io_donations;	/* all, and those of which devices know no translation any more */

uint64_t donation_count(void)
{
	return __atomic_add_fetch(&donations, 1, __ATOMIC_ACQ_REL);
}

/*
 * The one way in which a processor comes to count as having dropped its translations: they are gone before the control domain
 * runs on it again, and until then nothing on it uses them.
 */
void donation_flush(struct cpu *cpu)
{
	__atomic_store_n(&cpu->flushed, __atomic_load_n(&donations, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	hv->control.flush(cpu);
}

static bool flushed_by_cpu(struct cpu *cpu, uint64_t donation)
{
	if (!__atomic_load_n(&cpu->online, __ATOMIC_ACQUIRE) || __atomic_load_n(&cpu->parked, __ATOMIC_ACQUIRE) ||
	    __atomic_load_n(&cpu->flushed, __ATOMIC_ACQUIRE) >= donation)
		return true;
	/* This one is here: it does so before it goes back. */
	if (cpu == this_cpu()) {
		donation_flush(cpu);
		return true;
	}
	/* The control domain cannot make a CPU flush that it has put off line. */
	__atomic_or_fetch(&cpu->request, CPU_REQUEST_FLUSH, __ATOMIC_ACQ_REL);
	apic_send(cpu->apic_id, ICR_MODE_NMI | ICR_ASSERT);
	return false;
}

static bool flushed_by_devices(uint64_t donation)
{
	uint64_t all = donations;

	if (io_donations < donation && iommu_flush())
		io_donations = all;
	return io_donations >= donation;
}

bool donation_flushed(uint64_t donation)
{
	bool all = flushed_by_devices(donation);
	unsigned int i;

	for (i = 0; i < cpu_count; i++)
		all &= flushed_by_cpu(cpus[i], donation);
	return all;
}
