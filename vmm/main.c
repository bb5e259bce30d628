// SPDX-License-Identifier: GPL-2.0
// From the loader to the control domain.

#include "acpi.h"
#include "apic.h"
#include "bootmem.h"
#include "clear.h"
#include "console.h"
#include "control.h"
#include "control_policy.h"
#include "cpu.h"
#include "cpu_features.h"
#include "cpuid.h"
#include "hv.h"
#include "image.h"
#include "iommu.h"
#include "linux.h"
#include "memory.h"
#include "multiboot2.h"
#include "own.h"
#include "paging.h"
#include "percpu.h"
#include "power_ports.h"
#include "screen.h"
#include "smp.h"
#include "speculation.h"
#include "string.h"
#include "trap.h"
#include "vm.h"
#include "xstate.h"

#define XSTATE_MOST	(4 * PAGE_SIZE)

/*
 * 64-bit PCI windows lie above RAM, often at the top of what the processor can address. As much of that as four levels reach is
 * passed through where leaves of 1 GiB keep the tables for it small.
 */
#define DEVICE_SPACE_BITS	40u
#define DEVICE_SPACE_BITS_1G	48u

static struct boot_info boot;
static struct acpi acpi;
static uint64_t trampoline;	/* the page where other processors start, or 0 */
static const struct iommu_machine *iommus;
static uint64_t iommu_memory;

/* One stretch, given out from its start. */
static struct {
	uint64_t start;
	uint64_t next;
	uint64_t end;
} reserve;

static uint64_t reserve_take(uint64_t pages)
{
	uint64_t at = reserve.next;

	if (pages > (reserve.end - at) >> PAGE_SHIFT)
		panic("the reserve of memory is too small");
	reserve.next += pages << PAGE_SHIFT;
	memset(phys_to_virt(at), 0, pages << PAGE_SHIFT);
	return at;
}

/* Says what is wrong and how to go on without Keel. */
static __attribute__((noreturn)) void refuse(const char *why)
{
	console_loud();
	print("\nKeel cannot start: %s\nThe boot menu's plain Linux entry works without Keel.\n", why);
	cpu_stop();
}

static uint64_t top_of_memory(void)
{
	uint64_t top = SIZE_4G;
	unsigned int i;

	for (i = 0; i < boot.map_count; i++)
		if (boot.map[i].type != BOOT_RESERVED && boot.map[i].end > top)
			top = boot.map[i].end;
	return round_up(top, SIZE_1G);
}

static unsigned int largest_page(void)
{
	return cpu_features_1g_pages() && (!iommus || iommus->largest == PT_ORDER_1G) ? PT_ORDER_1G : PT_ORDER_2M;
}

/* RAM as whole pages, in order, without overlaps, for the ownership record: no more ranges than the map has entries. */
static unsigned int ram_ranges(struct own_range *ranges)
{
	uint64_t start, end, done = 0;
	unsigned int count = 0, i;
	struct own_range next;

	for (;;) {
		next = (struct own_range){ UINT64_MAX, UINT64_MAX };
		for (i = 0; i < boot.map_count; i++) {
			start = round_up(boot.map[i].start, PAGE_SIZE);
			start = start > done ? start : done;
			end = boot.map[i].end & ~(PAGE_SIZE - 1);
			if (boot.map[i].type == BOOT_RAM && start < end && start < next.start)
				next = (struct own_range){ start, end };
		}
		if (next.end == UINT64_MAX)
			return count;
		ranges[count++] = next;
		done = next.end;
	}
}

/* Takes [start, end) out of the ranges, of which there may be one more then. Returns how many there are. */
static unsigned int cut_ranges(struct own_range *ranges, unsigned int count, uint64_t start, uint64_t end)
{
	struct own_range range, piece[2];
	unsigned int i = 0, pieces;

	while (i < count) {
		range = ranges[i];
		pieces = 0;
		if (range.start < start)
			piece[pieces++] = (struct own_range){ range.start, range.end < start ? range.end : start };
		if (range.end > end)
			piece[pieces++] = (struct own_range){ range.start > end ? range.start : end, range.end };
		memmove(&ranges[i + pieces], &ranges[i + 1], (count - i - 1) * sizeof(*ranges));
		memcpy(&ranges[i], piece, pieces * sizeof(*ranges));
		count = count - 1 + pieces;
		i += pieces;
	}
	return count;
}

/*
 * What takes the IOMMUs takes the remapping of interrupts with them, without which no device's interrupt reaches an
 * APIC identifier above those of eight bits.
 */
static void iommus_choose(const struct acpi_processor *list, unsigned int count, uint64_t memory)
{
	unsigned int i;

	if (multiboot2_option(&boot, "noiommu")) {
		print("Keel: no DMA protection, as its command line has it\n");
		return;
	}
	for (i = 0; i < count; i++) {
		if (list[i].apic_id > XAPIC_ID_MOST) {
			print("Keel: no DMA protection: with so many processors the control domain needs the IOMMUs itself. "
			      "Devices of the control domain can reach all memory.\n");
			return;
		}
	}
	iommus = iommu_find(&acpi, memory);
}

_Static_assert(BOOT_TAKEN >= BOOT_MODULES + 8 + IOMMU_REGIONS, "there is room for all that is taken");

/* Memory that devices go on using is not memory to the record, so that it comes to be neither Keel's nor a guest's. */
static unsigned int keep_regions(struct own_range *ranges, unsigned int count)
{
	unsigned int i;

	for (i = 0; iommus && i < iommus->regions; i++) {
		bootmem_take(&boot, iommus->region[i].start, iommus->region[i].end);
		count = cut_ranges(ranges, count, iommus->region[i].start, iommus->region[i].end);
	}
	return count;
}

static void cpus_create(struct frame_pool *pool, const struct acpi_processor *list, unsigned int count)
{
	uint64_t area, xstate_pages = round_up(xstate_bytes(), PAGE_SIZE) >> PAGE_SHIFT;
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct cpu *cpu = (struct cpu *)(PERCPU_BASE + i * PERCPU_STRIDE + PERCPU_DATA);

		area = reserve_take(PERCPU_PAGES);
		paging_map_cpu(i, area, pool);
		cpus[i] = cpu;
		/* Not in this address space yet: its last two pages by the direct map. */
		cpu = phys_to_virt(area + (PERCPU_PAGES - PERCPU_DATA_PAGES) * PAGE_SIZE);
		cpu->index = i;
		cpu->apic_id = list[i].apic_id;
		cpu->enabled = list[i].enabled;
		cpu->main_cr3 = paging_main.root;
		cpu->control_xstate = phys_to_virt(reserve_take(xstate_pages));
		cpu->vendor = (void *)(PERCPU_BASE + i * PERCPU_STRIDE + PERCPU_VENDOR);
		cpu->vendor_pa = area + (PERCPU_PAGES - PERCPU_DATA_PAGES - PERCPU_VENDOR_PAGES) * PAGE_SIZE;
	}
	cpu_count = count;
}

/* This processor comes first; it is alone where the firmware does not list it. Those that may be plugged in come last. */
static unsigned int find_processors(struct acpi_processor *list)
{
	const struct acpi_processor self = { apic_id(), true };
	unsigned int i, count, listed;

	listed = acpi.root ? acpi_processors(&acpi, list, MAX_CPUS) : 0;
	count = listed < MAX_CPUS ? listed : MAX_CPUS;
	if (count < listed)
		print("Keel: %u processors are listed, of which only %u can be used\n", listed, count);
	for (i = 0; i < count; i++) {
		if (list[i].apic_id == self.apic_id) {
			list[i] = list[0];
			list[0] = self;
			return count;
		}
	}
	list[0] = self;
	return 1;
}

/* Keel's for good: processors start there as long as the machine runs. */
static void trampoline_choose(void)
{
	trampoline = bootmem_low_page(&boot);
	if (trampoline)
		bootmem_take(&boot, trampoline, trampoline + PAGE_SIZE);
	else
		print("Keel: there is no memory below 512 KiB for other processors to start in: they stay unused\n");
}

static void load_linux(struct linux_entry *entry)
{
	const struct boot_range keel[LINUX_HIDDEN] = {
		{ .start = (uint64_t)(uintptr_t)image_start, .end = (uint64_t)(uintptr_t)image_end },
		{ .start = reserve.start, .end = reserve.end },
		{ .start = trampoline, .end = trampoline ? trampoline + PAGE_SIZE : 0 },
	};
	const char *error = linux_load(&boot, keel, entry);

	if (error)
		refuse(error);
}

/* On the first CPU's own stack, in the final address space: the direct map reaches all memory. */
static __attribute__((noreturn)) void main_boot_final(void)
{
	struct acpi_power power = { .off = { -1, -1 } };
	struct linux_entry entry;
	struct cpu *cpu = cpus[0];

	cpu_features_init();
	trap_init_cpu(cpu);
	control_cpus_init();
	if (own_take_for_keel(reserve.start, reserve.end) ||
	    (trampoline && own_take_for_keel(trampoline, trampoline + PAGE_SIZE)) ||
	    own_take_for_keel((uint64_t)(uintptr_t)image_start, (uint64_t)(uintptr_t)image_end))
		refuse("the hypervisor's memory cannot be set aside.");
	iommu_start(&acpi, iommu_memory);
	control_policy_init(iommu_works());
	cpuid_init();
	speculation_init();
	vm_init();
	hv->cpu.init(cpu);
	hv->control.init(cpu, &control_table);
	if (acpi.root)
		acpi_power(&acpi, &power);
	power_ports_init(&power);
	cpu->online = 1;
	smp_start(trampoline);
	if (multiboot2_option(&boot, "noclear"))
		clear_nothing(&boot);
	else
		clear_memory(&boot);
	load_linux(&entry);
	print("Keel: %s, %u CPUs, %lu KiB reserved\n", hv->name, cpu_count, (reserve.end - reserve.start) >> 10);
	console_quiet();
	print("Keel: largest pages %s, options of the processor in use:%s%s%s",
	      paging_main.largest == PT_ORDER_1G ? "1 GiB" : "2 MiB", speculation.predictors ? " IBPB" : "",
	      speculation.first_cache ? " L1D-flush" : "", speculation.buffers ? " VERW" : "");
	hv->cpu.describe();
	control_start_linux(cpu, (uint32_t)entry.load, (uint32_t)entry.block);
	control_watch_start(cpu);
	control_run(cpu);
}

void main_ap(struct cpu *cpu);
void main_ap(struct cpu *cpu)
{
	const char *missing = hv->cpu.probe();

	/* It may have been taken out and put in again. */
	cpu->apic_base = 0;
	cpu_features_init();
	if (!missing && hv->cpu.enable)
		hv->cpu.enable();
	trap_init_cpu(cpu);
	if (missing) {
		print("Keel: processor %u: %s\n", cpu->index, missing);
		cpu_stop();
	}
	hv->cpu.init(cpu);
	hv->control.init(cpu, &control_table);
	/* As a parked one; smp_start() goes on to the next while this one waits for its part of the memory. */
	__atomic_store_n(&cpu->parked, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->online, 1, __ATOMIC_RELEASE);
	clear_take_part();
	control_park(cpu);
	control_run(cpu);
}

static __attribute__((noreturn)) void switch_stack(void)
{
	uint64_t stack = (uint64_t)(uintptr_t)cpus[0] - PERCPU_DATA + PERCPU_STACK_END;

	__asm__ volatile("mov %0, %%cr3\n\tmov %1, %%rsp\n\txor %%ebp, %%ebp\n\tcall *%2"
			 : : "r"(paging_main.root), "r"(stack), "r"(main_boot_final) : "memory");
	__builtin_unreachable();
}

static uint64_t address_space(uint64_t memory, unsigned int largest)
{
	uint64_t limit = 1ull << (largest == PT_ORDER_1G ? DEVICE_SPACE_BITS_1G : DEVICE_SPACE_BITS);
	uint64_t processor = 1ull << cpu_features_address_bits();

	limit = memory > limit ? memory : limit;
	return limit < processor ? limit : processor;
}

/* The reserve: page tables, the ownership record, the CPUs' own memory. */
static void reserve_init(uint64_t pages)
{
	uint64_t bytes = round_up(pages << PAGE_SHIFT, SIZE_2M);

	bootmem_take(&boot, (uint64_t)(uintptr_t)image_start, (uint64_t)(uintptr_t)image_end);
	reserve.start = bootmem_choose(&boot, bytes, SIZE_2M, SIZE_4G);
	if (!reserve.start)
		refuse("its reserve, 2 MiB for each GiB of memory, has no room in one piece below 4 GiB. "
		       "Use a machine with more memory there, or with less in all.");
	reserve.next = reserve.start;
	reserve.end = reserve.start + bytes;
	bootmem_take(&boot, reserve.start, reserve.end);
}

void main_boot(uint32_t info);
void main_boot(uint32_t info)
{
	static struct acpi_processor processors[MAX_CPUS];
	static struct own_range ranges[BOOT_RANGES + IOMMU_REGIONS];
	struct frame_pool pool = { 0 };
	struct own_config config;
	uint64_t memory, own_pages, tables, i;
	const char *missing;
	unsigned int count;

	trap_init();
	console_init();
	print("Keel, a microhypervisor for x86 servers\n");
	if (multiboot2_parse(info, &boot))
		refuse("the boot loader gave no memory map. Start Keel from GRUB, by 'multiboot2'.");
	bootmem_init(&boot);
	screen_init(&boot.framebuffer);
	missing = hv_choose();
	if (missing)
		refuse(missing);
	if (hv->cpu.enable)
		hv->cpu.enable();
	trap_patch();
	memory = top_of_memory();
	if (!acpi_open(&acpi, boot.rsdp, boot.rsdp_size, SIZE_4G))
		acpi.root = NULL;
	count = find_processors(processors);
	iommus_choose(processors, count, memory);
	config = (struct own_config){
		.format = hv->second_level,
		.largest = largest_page(),
		.ranges = ranges,
		.count = keep_regions(ranges, ram_ranges(ranges)),
		.caching = hv->cpu.caching,
		.io = iommus ? &iommus->format : NULL,
	};
	config.limit = address_space(memory, config.largest);
	own_pages = own_frames_needed(&config);
	tables = paging_frames(memory, config.largest);
	trampoline_choose();
	reserve_init(own_pages + tables + iommu_pages() + count * (PERCPU_PAGES + XSTATE_MOST / PAGE_SIZE));
	for (i = 0; i < tables; i++)
		frame_pool_put(&pool, reserve_take(1));
	paging_init(&pool, memory, config.largest);
	cpus_create(&pool, processors, count);
	control_table = (struct page_table){ config.format, reserve_take(own_pages), config.largest };
	iommu_memory = reserve_take(iommu_pages());
	if (own_init(&config, control_table.root))
		refuse("the firmware's memory map is not usable.");
	switch_stack();
}
