// SPDX-License-Identifier: GPL-2.0
// The machine's IOMMUs, whatever their vendor.

#include "iommu.h"

#include <stddef.h>

#include <keel/macros.h>

#include "acpi.h"
#include "console.h"
#include "cpu.h"
#include "memory.h"

#define WAIT_CYCLES	1000000000ull	/* more than any unit takes for anything */
#define FAULTS_TOLD	32u		/* in all: what a device does wrong, it does again and again */
#define FAULTS_AT_ONCE	16u

static struct {
	const struct iommu_ops *ops;
	struct iommu_machine machine;
	bool works;
	bool stuck;
	uint64_t faults;
} iommu;

static const struct iommu_ops *const vendors[] = { &vtd_ops, &amdvi_ops };

bool iommu_waits(uint64_t *since)
{
	uint64_t now = rdtsc();

	*since = *since ? *since : now;
	cpu_pause();
	return now - *since <= WAIT_CYCLES;
}

bool iommu_wait_flushed(const struct iommu_ops *ops, unsigned int unit)
{
	uint64_t since = 0;

	while (!ops->flushed(unit))
		if (!iommu_waits(&since))
			return false;
	return true;
}

static void none(const char *why)
{
	print("Keel: no DMA protection: %s. Devices of the control domain can reach all memory.\n", why);
}

static bool vendor_find(const struct iommu_ops *ops, const struct acpi *acpi, uint64_t memory)
{
	const uint8_t *table;
	const char *error;
	uint32_t length;

	table = acpi_table(acpi, ops->signature, &length);
	if (!table)
		return false;
	iommu.machine = (struct iommu_machine){ .largest = PT_ORDER_1G };
	error = ops->read(table, length, &iommu.machine);
	if (!error && memory > 1ull << iommu.machine.width)
		error = "an IOMMU of this machine does not reach all of its memory";
	if (error)
		none(error);
	else
		iommu.ops = ops;
	return true;
}

const struct iommu_machine *iommu_find(const struct acpi *acpi, uint64_t memory)
{
	bool found = false;
	unsigned int i;

	for (i = 0; acpi->root && !found && i < ARRAY_SIZE(vendors); i++)
		found = vendor_find(vendors[i], acpi, memory);
	if (!found)
		none("ACPI names no IOMMU; where the machine has one, switch on VT-d or AMD-Vi in the firmware setup");
	return iommu.ops ? &iommu.machine : NULL;
}

uint64_t iommu_pages(void)
{
	return iommu.ops ? iommu.ops->pages(&iommu.machine) : 0;
}

/* The registers become Keel's. They are never where memory is. */
static bool claim(const struct iommu_unit *unit)
{
	uint64_t at;

	for (at = unit->base; at < unit->base + unit->bytes; at += PAGE_SIZE)
		if (own_query(at).owner != OWN_DEVICE)
			return false;
	return !own_take_for_keel(unit->base, unit->base + unit->bytes);
}

/* What a device knows of a unit's registers by then is forgotten at the end, when there is none left that it could reach. */
static const char *start_all(unsigned int *number)
{
	const char *error = NULL;
	unsigned int i;

	for (*number = 0; *number < iommu.machine.units; ++*number)
		if (!claim(&iommu.machine.unit[*number]))
			return "has registers where others are";
	for (*number = 0; *number < iommu.machine.units; ++*number) {
		error = iommu.ops->start(*number);
		if (!error)
			continue;
		for (i = 0; i <= *number; i++)
			iommu.ops->stop(i);
		return error;
	}
	return NULL;
}

void iommu_start(const struct acpi *acpi, uint64_t memory)
{
	unsigned int number;
	const char *error;

	if (!iommu.ops)
		return;
	/* Linux would use the units, if it found them. */
	if (!acpi_hide(acpi, iommu.ops->signature)) {
		none("the table that names the IOMMUs cannot be written to");
		return;
	}
	iommu.ops->prepare(&iommu.machine, memory);
	error = start_all(&number);
	if (error) {
		print("Keel: the IOMMU at %lx %s\n", iommu.machine.unit[number].base, error);
		none("see above");
		return;
	}
	iommu.works = true;
	iommu_flush();
	print("Keel: DMA protection by %u %s of %s, pages of up to %s\n", iommu.machine.units,
	      iommu.machine.units == 1 ? "unit" : "units", iommu.ops->name,
	      iommu.machine.largest == PT_ORDER_1G ? "1 GiB" : "2 MiB");
}

bool iommu_flush(void)
{
	unsigned int i;

	if (!iommu.works)
		return true;
	for (i = 0; !iommu.stuck && i < iommu.machine.units; i++)
		iommu.ops->flush(i);
	for (i = 0; !iommu.stuck && i < iommu.machine.units; i++) {
		iommu.stuck = !iommu_wait_flushed(iommu.ops, i);
		if (iommu.stuck)
			print("Keel: the IOMMU at %lx does not answer any more: no guest can be made until the machine starts "
			      "again\n",
			      iommu.machine.unit[i].base);
	}
	return !iommu.stuck;
}

bool iommu_works(void)
{
	return iommu.works;
}

bool iommu_reads_past_caches(void)
{
	return iommu.works && !iommu.machine.snoops;
}

uint64_t iommu_faults(void)
{
	return __atomic_load_n(&iommu.faults, __ATOMIC_RELAXED);
}

static void tell(const struct iommu_fault *fault)
{
	struct own_frame frame = own_query(fault->address);
	unsigned int device = fault->device;

	if (fault->other) {
		print("Keel: an IOMMU tells of event %u, device %02x:%02x.%u\n", fault->other - 1, device >> 8,
		      device >> 3 & 0x1f, device & 7);
		return;
	}
	print("Keel: device %02x:%02x.%u was refused a %s at %lx, ", device >> 8, device >> 3 & 0x1f, device & 7,
	      fault->write ? "write" : "read", fault->address);
	if (frame.owner == OWN_KEEL)
		print("which is Keel's\n");
	else if (frame.owner && frame.owner <= OWN_VMS)
		print("which is of VM %u\n", frame.owner);
	else
		print("which is not for devices\n");
}

void iommu_tell_faults(void)
{
	struct iommu_fault fault;
	unsigned int i, count;

	if (!iommu.works)
		return;
	for (i = 0; i < iommu.machine.units; i++) {
		for (count = 0; count < FAULTS_AT_ONCE && iommu.ops->fault(i, &fault); count++) {
			if (iommu.faults++ < FAULTS_TOLD)
				tell(&fault);
			if (iommu.faults == FAULTS_TOLD)
				print("Keel: more of them are only counted\n");
		}
	}
}
