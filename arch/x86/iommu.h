/* SPDX-License-Identifier: GPL-2.0 */
/*
 * IOMMUs: the devices of the control domain reach what own.c's I/O table says, at memory's own addresses, and nothing else. One
 * table serves all devices. The units are all of one vendor, which need not be the processor's.
 *
 * Order at boot: iommu_find() before the reserve is chosen, iommu_start() when Keel's memory is Keel's in the table. From then on
 * the units' registers and the ACPI table that names them are out of the control domain's reach.
 */
#ifndef ARCH_IOMMU_H
#define ARCH_IOMMU_H

#include <stdbool.h>
#include <stdint.h>

#include "own.h"

struct acpi;

#define IOMMU_UNITS	64u	/* most that are used; a machine with more is not protected */
#define IOMMU_REGIONS	64u
#define IOMMU_WIDTH_MOST 48u

/* Memory that devices use behind the operating system's back, as the firmware lists it: whole pages. */
struct iommu_region {
	uint64_t start;
	uint64_t end;
};

struct iommu_unit {
	uint64_t base;			/* of its registers, below 4 GiB */
	uint64_t bytes;			/* of them, whole pages */
};

/* What of the machine's units is known before any is started. */
struct iommu_machine {
	struct iommu_unit unit[IOMMU_UNITS];
	struct iommu_region region[IOMMU_REGIONS];
	unsigned units;
	unsigned regions;
	struct own_io_format format;
	unsigned largest;		/* order of the largest leaf that all of them know */
	unsigned width;			/* bits of the addresses that all of them translate */
	bool snoops;			/* no device reads memory past the caches */
};

struct iommu_fault {
	unsigned other;			/* not an access that was refused, but another event, by the vendor's number plus 1 */
	uint16_t device;		/* bus, 5 bits of device, 3 of function */
	bool write;
	uint64_t address;
};

/* A vendor's units. What returns words: NULL is success, else they are for the log, behind the unit's name. */
struct iommu_ops {
	const char *name;
	char signature[5];		/* of the ACPI table */
	/* Fills machine in. The table's sum and length are right. */
	const char *(*read)(const uint8_t *table, uint32_t length, struct iommu_machine *machine);
	uint64_t (*pages)(const struct iommu_machine *machine);		/* of memory that start() wants, cleared */
	/* Before the first unit. */
	void (*prepare)(const struct iommu_machine *machine, uint64_t memory);
	const char *(*start)(unsigned unit);
	void (*stop)(unsigned unit);			/* as far as it goes: no device is held back any more */
	void (*flush)(unsigned unit);			/* begins to forget all translations */
	bool (*flushed)(unsigned unit);			/* what flush() began has ended */
	bool (*fault)(unsigned unit, struct iommu_fault *fault);	/* takes the next one */
};

extern const struct iommu_ops vtd_ops, amdvi_ops;

/* For the vendors' waits. since: 0 before the first call. False: that has been longer than any unit takes for anything. */
bool iommu_waits(uint64_t *since);
/* Until what flush() began has ended, or for as long. */
bool iommu_wait_flushed(const struct iommu_ops *ops, unsigned int unit);

/*
 * memory: the end of it. NULL: there is none that can be used, which has been told. Needs the direct map of the first 4 GiB.
 */
const struct iommu_machine *iommu_find(const struct acpi *acpi, uint64_t memory);
uint64_t iommu_pages(void);
/*
 * With that many pages of cleared memory, contiguous. Where a unit cannot be started, that is told, and devices are
 * not held back.
 */
void iommu_start(const struct acpi *acpi, uint64_t memory);

/*
 * All units forget all translations. False: one does not answer, and may still use them. The caller keeps other calls
 * out. True as well where there is no IOMMU.
 */
bool iommu_flush(void);

/* Tells of accesses that were refused, not more than a few at a time. The caller keeps out whoever changes own.c's tables. */
void iommu_tell_faults(void);

/* Devices are held back. */
bool iommu_works(void);
/* They are, but may read memory past the caches: what must not be seen of it is written back before it is theirs. */
bool iommu_reads_past_caches(void);
/* Accesses that were refused, as far as units have told of them. */
uint64_t iommu_faults(void);

#endif
