// SPDX-License-Identifier: GPL-2.0
/* ACPI tables of machine "pc" (ACPI specification 6.4, chapter 5; HPET 1.0a, 3.2.4). */
#include "host/firmware/acpi.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <keel/macros.h>

#include "dsdt.hex"
#include "shared/pc_map.h"

#define PACKED			__attribute__((packed))

#define OEM_ID			"KEEL  "
#define OEM_TABLE		"KEELPC  "
#define CREATOR			"KEEL"

#define NO_C_STATE		0xfffu		/* beyond 100 and 1000 us: the state is absent (5.2.9) */

#define FADT_WBINVD		(1u << 0)
#define FADT_PROC_C1		(1u << 2)
#define FADT_SLEEP_BUTTON_ABSENT (1u << 5)
#define FADT_FIX_RTC_ABSENT	(1u << 6)
#define FADT_RESET_REGISTER	(1u << 10)
#define FADT_APIC_PHYSICAL	(1u << 19)
#define FADT_LOGICAL_MOST	8u		/* processors that flat logical destinations reach */
#define FADT_ARCH_LEGACY	(1u << 0)
#define FADT_ARCH_8042		(1u << 1)
#define FADT_ARCH_NO_VGA	(1u << 2)

#define SPACE_IO		1u
#define SPACE_MEMORY		0u
#define ACCESS_BYTE		1u

#define MADT_PCAT		1u
#define MADT_LOCAL_APIC		0u
#define MADT_IO_APIC		1u
#define MADT_OVERRIDE		2u
#define MADT_LOCAL_NMI		4u
#define MADT_ENABLED		1u
#define MADT_ALL_PROCESSORS	0xffu
#define MADT_HIGH_LEVEL		0xdu		/* polarity active high, trigger level */

#define HPET_TICK_LEAST		100u
#define WAET_PM_TIMER_GOOD	(1u << 1)

#define RSDP_FIRST_PART		20u
#define RSDP_REVISION		2u
#define TABLES_ALIGN		64u		/* the FACS asks for it */
#define RSDP_ALIGN		16u

struct table_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} PACKED;

struct address {
	uint8_t space, bits, offset, access;
	uint64_t address;
} PACKED;

struct fadt {
	struct table_header header;
	uint32_t facs, dsdt;
	uint8_t model, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios, pstate;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_bytes, pm1_control_bytes, pm2_control_bytes, pm_timer_bytes, gpe0_bytes, gpe1_bytes, gpe1_base, cst;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t arch;
	uint8_t reserved;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt;
	struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
} PACKED;
static_assert(sizeof(struct fadt) == 244, "FADT of revision 4");

struct facs {
	char signature[4];
	uint32_t length, hardware, waking, lock, flags;
	uint64_t x_waking;
	uint8_t version, reserved[31];
} PACKED;
static_assert(sizeof(struct facs) == 64, "FACS");

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t extended_checksum, reserved[3];
} PACKED;
static_assert(sizeof(struct rsdp) == 36, "RSDP");

struct madt {
	struct table_header header;
	uint32_t local_apic, flags;
} PACKED;

struct madt_local_apic {
	uint8_t type, length, processor, apic;
	uint32_t flags;
} PACKED;

struct madt_io_apic {
	uint8_t type, length, id, reserved;
	uint32_t address, gsi_base;
} PACKED;

struct madt_override {
	uint8_t type, length, bus, irq;
	uint32_t gsi;
	uint16_t flags;
} PACKED;

struct madt_local_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t lint;
} PACKED;

struct hpet {
	struct table_header header;
	uint32_t block_id;
	struct address address;
	uint8_t number;
	uint16_t tick;
	uint8_t page_protection;
} PACKED;
static_assert(sizeof(struct hpet) == 56, "HPET");

struct waet {
	struct table_header header;
	uint32_t flags;
} PACKED;

/* AML of one processor of the old kind, which every system understands: DefProcessor without a P_BLK (20.2.5.2). */
struct aml_processor {
	uint8_t op[2], length;
	char name[4];
	uint8_t id;
	uint32_t block;
	uint8_t block_bytes;
} PACKED;

static const struct {
	uint8_t irq, gsi, flags;
} overrides[] = {
	{ PC_IRQ_TIMER, PC_GSI_TIMER, 0 },
	{ PC_IRQ_PCI_1, PC_IRQ_PCI_1, MADT_HIGH_LEVEL },
	{ PC_IRQ_ACPI, PC_IRQ_ACPI, MADT_HIGH_LEVEL },
	{ PC_IRQ_PCI_2, PC_IRQ_PCI_2, MADT_HIGH_LEVEL },
	{ PC_IRQ_PCI_3, PC_IRQ_PCI_3, MADT_HIGH_LEVEL },
};

static struct table_header header(const char *signature, uint8_t revision)
{
	struct table_header h = { .revision = revision, .oem_revision = 1, .creator_revision = 1 };

	memcpy(h.signature, signature, sizeof(h.signature));
	memcpy(h.oem_id, OEM_ID, sizeof(h.oem_id));
	memcpy(h.oem_table, OEM_TABLE, sizeof(h.oem_table));
	memcpy(h.creator, CREATOR, sizeof(h.creator));
	return h;
}

static void add_entry(struct acpi_tables *acpi, const struct acpi_loader_entry *entry)
{
	blob_add(&acpi->loader, entry, sizeof(*entry));
}

static void allocate(struct acpi_tables *acpi, const char *file, uint32_t align, enum acpi_loader_zone zone)
{
	struct acpi_loader_entry e = { .command = ACPI_LOADER_ALLOCATE, .allocate = { .align = align, .zone = zone } };

	snprintf(e.allocate.file, sizeof(e.allocate.file), "%s", file);
	add_entry(acpi, &e);
}

/* The field at offset of file holds an offset into the tables, to which the loader adds their address. */
static void add_pointer(struct acpi_tables *acpi, const char *file, size_t offset, uint8_t size)
{
	struct acpi_loader_entry e = {
		.command = ACPI_LOADER_ADD_POINTER, .pointer = { .offset = (uint32_t)offset, .size = size },
	};

	snprintf(e.pointer.file, sizeof(e.pointer.file), "%s", file);
	snprintf(e.pointer.target, sizeof(e.pointer.target), "%s", ACPI_FILE_TABLES);
	add_entry(acpi, &e);
}

static void add_checksum(struct acpi_tables *acpi, const char *file, size_t offset, size_t start, size_t length)
{
	struct acpi_loader_entry e = {
		.command = ACPI_LOADER_ADD_CHECKSUM,
		.checksum = { .offset = (uint32_t)offset, .start = (uint32_t)start, .length = (uint32_t)length },
	};

	snprintf(e.checksum.file, sizeof(e.checksum.file), "%s", file);
	add_entry(acpi, &e);
}

/* Sets the length of the table that begins at start and ends here; the loader sums it up when its pointers are in. */
static void finish(struct acpi_tables *acpi, size_t start)
{
	uint32_t length = (uint32_t)(acpi->tables.bytes - start);

	memcpy(acpi->tables.data + start + offsetof(struct table_header, length), &length, sizeof(length));
	add_checksum(acpi, ACPI_FILE_TABLES, start + offsetof(struct table_header, checksum), start, length);
}

static size_t add_facs(struct acpi_tables *acpi)
{
	struct facs facs = { .signature = { 'F', 'A', 'C', 'S' }, .length = sizeof(facs), .version = 1 };

	return blob_add(&acpi->tables, &facs, sizeof(facs));
}

static size_t add_fadt(struct acpi_tables *acpi, size_t facs, size_t dsdt, unsigned int vcpus)
{
	struct fadt fadt = {
		.header = header("FACP", 4),
		.facs = (uint32_t)facs, .dsdt = (uint32_t)dsdt, .x_dsdt = dsdt,
		.sci = PC_IRQ_ACPI,
		.smi_command = PC_PORT_APM, .acpi_enable = PC_PM_ACPI_ENABLE, .acpi_disable = PC_PM_ACPI_DISABLE,
		.pm1a_event = PC_PORT_PM + PC_PM_EVENT, .pm1_event_bytes = 4,
		.pm1a_control = PC_PORT_PM + PC_PM_CONTROL, .pm1_control_bytes = 2,
		.pm_timer = PC_PORT_PM + PC_PM_TIMER, .pm_timer_bytes = 4,
		.gpe0 = PC_PORT_PM + PC_PM_GPE0, .gpe0_bytes = 4,
		.c2_latency = NO_C_STATE, .c3_latency = NO_C_STATE,
		.century = PC_RTC_CENTURY,
		.arch = FADT_ARCH_LEGACY | FADT_ARCH_8042 | FADT_ARCH_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLEEP_BUTTON_ABSENT | FADT_FIX_RTC_ABSENT | FADT_RESET_REGISTER |
			 (vcpus > FADT_LOGICAL_MOST ? FADT_APIC_PHYSICAL : 0),
		.reset = { SPACE_IO, 8, 0, ACCESS_BYTE, PC_PORT_RESET }, .reset_value = PC_RESET_HARD,
		.x_pm1a_event = { SPACE_IO, 32, 0, 0, PC_PORT_PM + PC_PM_EVENT },
		.x_pm1a_control = { SPACE_IO, 16, 0, 0, PC_PORT_PM + PC_PM_CONTROL },
		.x_pm_timer = { SPACE_IO, 32, 0, 0, PC_PORT_PM + PC_PM_TIMER },
		.x_gpe0 = { SPACE_IO, 32, 0, 0, PC_PORT_PM + PC_PM_GPE0 },
	};
	size_t start = blob_add(&acpi->tables, &fadt, sizeof(fadt));

	add_pointer(acpi, ACPI_FILE_TABLES, start + offsetof(struct fadt, facs), sizeof(fadt.facs));
	add_pointer(acpi, ACPI_FILE_TABLES, start + offsetof(struct fadt, dsdt), sizeof(fadt.dsdt));
	add_pointer(acpi, ACPI_FILE_TABLES, start + offsetof(struct fadt, x_dsdt), sizeof(fadt.x_dsdt));
	finish(acpi, start);
	return start;
}

static size_t add_madt(struct acpi_tables *acpi, unsigned int vcpus, const struct keel_topology *topology)
{
	struct madt madt = { header("APIC", 3), PC_LAPIC, MADT_PCAT };
	struct madt_io_apic io = { MADT_IO_APIC, sizeof(io), 0, 0, PC_IOAPIC, 0 };
	struct madt_local_nmi nmi = { MADT_LOCAL_NMI, sizeof(nmi), MADT_ALL_PROCESSORS, 0, PC_LINT_NMI };
	size_t start = blob_add(&acpi->tables, &madt, sizeof(madt));

	for (unsigned int i = 0; i < vcpus; i++) {
		struct madt_local_apic local = {
			MADT_LOCAL_APIC, sizeof(local), (uint8_t)i, (uint8_t)keel_topology_apic_id(topology, i), MADT_ENABLED,
		};

		blob_add(&acpi->tables, &local, sizeof(local));
	}
	blob_add(&acpi->tables, &io, sizeof(io));
	for (size_t i = 0; i < ARRAY_SIZE(overrides); i++) {
		struct madt_override o = {
			MADT_OVERRIDE, sizeof(o), 0, overrides[i].irq, overrides[i].gsi, overrides[i].flags,
		};

		blob_add(&acpi->tables, &o, sizeof(o));
	}
	blob_add(&acpi->tables, &nmi, sizeof(nmi));
	finish(acpi, start);
	return start;
}

static size_t add_hpet(struct acpi_tables *acpi)
{
	struct hpet hpet = {
		.header = header("HPET", 1), .block_id = PC_HPET_ID,
		.address = { .space = SPACE_MEMORY, .bits = 64, .address = PC_HPET }, .tick = HPET_TICK_LEAST,
	};
	size_t start = blob_add(&acpi->tables, &hpet, sizeof(hpet));

	finish(acpi, start);
	return start;
}

/* Windows ACPI emulated devices table: reading the PM timer once is enough. The RTC wants its acknowledgement. */
static size_t add_waet(struct acpi_tables *acpi)
{
	struct waet waet = { header("WAET", 1), WAET_PM_TIMER_GOOD };
	size_t start = blob_add(&acpi->tables, &waet, sizeof(waet));

	finish(acpi, start);
	return start;
}

/* Scope (\_SB) { Processor (CPnn, nn, 0, 0) {} ... }, encoded by hand: package lengths of two bytes (20.2.4). */
static size_t add_ssdt(struct acpi_tables *acpi, unsigned int vcpus)
{
	static const char digits[] = "0123456789ABCDEF";
	struct table_header h = header("SSDT", 1);
	unsigned int length = 2 + 5 + vcpus * (unsigned int)sizeof(struct aml_processor);
	uint8_t scope[] = {
		0x10, (uint8_t)(0x40 | (length & 0xf)), (uint8_t)(length >> 4), '\\', '_', 'S', 'B', '_',
	};
	size_t start = blob_add(&acpi->tables, &h, sizeof(h));

	blob_add(&acpi->tables, scope, sizeof(scope));
	for (unsigned int i = 0; i < vcpus; i++) {
		struct aml_processor p = {
			.op = { 0x5b, 0x83 }, .length = sizeof(p) - sizeof(p.op),
			.name = { 'C', 'P', digits[i / 16 % 16], digits[i % 16] }, .id = (uint8_t)i,
		};

		blob_add(&acpi->tables, &p, sizeof(p));
	}
	finish(acpi, start);
	return start;
}

static size_t add_root(struct acpi_tables *acpi, const char *signature, const size_t *tables, unsigned int count,
		       uint8_t size)
{
	struct table_header h = header(signature, 1);
	size_t start = blob_add(&acpi->tables, &h, sizeof(h));

	for (unsigned int i = 0; i < count; i++) {
		uint64_t offset = tables[i];

		add_pointer(acpi, ACPI_FILE_TABLES, blob_add(&acpi->tables, &offset, size), size);
	}
	finish(acpi, start);
	return start;
}

static void add_rsdp(struct acpi_tables *acpi, size_t rsdt, size_t xsdt)
{
	struct rsdp rsdp = {
		.signature = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' }, .revision = RSDP_REVISION,
		.rsdt = (uint32_t)rsdt, .length = sizeof(rsdp), .xsdt = xsdt,
	};

	memcpy(rsdp.oem_id, OEM_ID, sizeof(rsdp.oem_id));
	blob_add(&acpi->rsdp, &rsdp, sizeof(rsdp));
	add_pointer(acpi, ACPI_FILE_RSDP, offsetof(struct rsdp, rsdt), sizeof(rsdp.rsdt));
	add_pointer(acpi, ACPI_FILE_RSDP, offsetof(struct rsdp, xsdt), sizeof(rsdp.xsdt));
	add_checksum(acpi, ACPI_FILE_RSDP, offsetof(struct rsdp, checksum), 0, RSDP_FIRST_PART);
	add_checksum(acpi, ACPI_FILE_RSDP, offsetof(struct rsdp, extended_checksum), 0, sizeof(rsdp));
}

void acpi_build(struct acpi_tables *acpi, unsigned int vcpus, const struct keel_topology *topology)
{
	size_t tables[5], facs, dsdt, rsdt;
	unsigned int count = 0;

	*acpi = (struct acpi_tables){ 0 };
	allocate(acpi, ACPI_FILE_RSDP, RSDP_ALIGN, ACPI_LOADER_FSEG);
	allocate(acpi, ACPI_FILE_TABLES, TABLES_ALIGN, ACPI_LOADER_HIGH);
	facs = add_facs(acpi);
	dsdt = blob_add(&acpi->tables, dsdt_aml_code, sizeof(dsdt_aml_code));
	blob_align(&acpi->tables, 8);
	tables[count++] = add_fadt(acpi, facs, dsdt, vcpus);
	blob_align(&acpi->tables, 8);
	tables[count++] = add_ssdt(acpi, vcpus);
	blob_align(&acpi->tables, 8);
	tables[count++] = add_madt(acpi, vcpus, topology);
	blob_align(&acpi->tables, 8);
	tables[count++] = add_hpet(acpi);
	blob_align(&acpi->tables, 8);
	tables[count++] = add_waet(acpi);
	blob_align(&acpi->tables, 8);
	rsdt = add_root(acpi, "RSDT", tables, count, sizeof(uint32_t));
	blob_align(&acpi->tables, 8);
	add_rsdp(acpi, rsdt, add_root(acpi, "XSDT", tables, count, sizeof(uint64_t)));
}

void acpi_free(struct acpi_tables *acpi)
{
	blob_free(&acpi->rsdp);
	blob_free(&acpi->tables);
	blob_free(&acpi->loader);
}
