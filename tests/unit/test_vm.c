/* SPDX-License-Identifier: GPL-2.0 */
/* VMs from donated frames: the real record of ownership and page tables below, several processors that flush or do not. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <keel/macros.h>

#include "cpu.h"
#include "suite.h"

static uint64_t cr3;

#define write_cr3(value) (cr3 = (value))
#include "../../vmm/aperture.c"
#include "../../vmm/donation.c"
#include "../../vmm/vm.c"

#define MIB		(1ull << 20)
#define GIB		(1ull << 30)
#define LOW		(2 * MIB)	/* memory starts here, with Keel's reserve */
#define FREE		(6 * MIB)
#define END		(14 * MIB)
#define FRAMES		((END - FREE) / PAGE_SIZE)
#define ARENA		(2 * GIB)
#define CPUS		5u
#define CPU_OFFLINE	3u
#define CPU_PARKED	4u
#define SHARED_ENTRY	0x123456067ull
#define TEXT_PAGES	2u
#define RODATA_PAGES	1u
#define DATA_PAGES	1u
#define BSS_PAGES	2u
#define IMAGE_PAGES	(TEXT_PAGES + RODATA_PAGES + DATA_PAGES + BSS_PAGES)
#define STORED_PAGES	(IMAGE_PAGES - BSS_PAGES)
#define CHANNEL_PAGES	3u
#define TSC_KHZ		2400000u
#define GUEST_COHERENT	(1ull << 11)
#define STEPS		3000u
#define ROUND_STEPS	100u		/* between looks at everything */

/* Page n is full of 0xc0 + n, behind the header. */
__asm__(".pushsection .rodata\n"
	".balign 4096\n"
	".globl cell_image, cell_image_end\n"
	"cell_image: .quad 0x6c6c65634c45454b, 0x400020\n"
	".long 2, 1, 1, 2\n"
	".balign 4096, 0xc0\n"
	".fill 4096, 1, 0xc1\n.fill 4096, 1, 0xc2\n.fill 4096, 1, 0xc3\n"
	"cell_image_end:\n"
	".popsection\n");

uint8_t *memory_test_arena;
const struct hv_ops *hv;
struct page_table paging_main;
struct cpu *cpus[MAX_CPUS];
unsigned int cpu_count;

static struct cpu cpu_objects[CPUS];
static uint64_t reserve_bytes;
static unsigned int vcpus_initialised;
static unsigned int channel_pages, address_bits;
static bool by_processor;	/* it works with the APIC pages */

/* Nobody hears it. */
void apic_send(uint32_t destination, uint32_t icr_low)
{
	ck_assert_uint_lt(destination, CPUS);
	ck_assert_uint_eq(icr_low, ICR_MODE_NMI | ICR_ASSERT);
}

static unsigned int device_flushes;
static bool devices_stuck;

bool iommu_flush(void)
{
	device_flushes++;
	return !devices_stuck;
}

bool iommu_reads_past_caches(void)
{
	return true;
}

void iommu_tell_faults(void)
{
	ck_assert(vm_lock.taken);
}

unsigned int cpuid_guest_address_bits(void)
{
	return address_bits;
}

uint64_t paging_shared_entry(void)
{
	return SHARED_ENTRY;
}

void panic(const char *message)
{
	ck_abort_msg("panic: %s", message);
	abort();
}

static void vcpu_init(struct vcpu *vcpu)
{
	ck_assert_uint_eq(vcpu->dr[3], 0);
	ck_assert_ptr_eq(vcpu->vm->vcpu[vcpu->index], vcpu);
	vcpu->exit_flags = by_processor ? KEEL_EXIT_F_APIC : 0;
	vcpus_initialised++;
}

static void tsc_moved(struct vcpu *vcpu)
{
	ck_assert_uint_ne(vcpu->tsc_offset, 0);
}

/* Nested tables with a bit of EPT's, to see where it is wanted. */
static struct pt_format guest_format;

static const struct hv_ops ops = {
	.second_level = &guest_format, .vcpu.init = vcpu_init, .vcpu.tsc_moved = tsc_moved,
};

static void flush_all(void)
{
	for (unsigned int i = 0; i < CPU_OFFLINE; i++)
		cpu_objects[i].flushed = donations;
}

static void setup_cpus(void)
{
	memset(cpu_objects, 0, sizeof(cpu_objects));
	cpu_count = CPUS;
	for (unsigned int i = 0; i < CPUS; i++) {
		cpus[i] = &cpu_objects[i];
		cpus[i]->online = i != CPU_OFFLINE;
		cpus[i]->parked = i == CPU_PARKED;
	}
}

static void begin(unsigned int ranges_used)
{
	static const struct own_range ranges[] = { { LOW, END }, { GIB, 2 * GIB } };
	struct own_config config = {
		.format = &pt_format_npt, .largest = PT_ORDER_1G, .limit = ARENA, .ranges = ranges,
		.count = ranges_used,
	};

	/* Most of it is never touched. */
	memory_test_arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ck_assert_ptr_ne(memory_test_arena, MAP_FAILED);
	memset(memory_test_arena + FREE, 0xa5, END - FREE);
	reserve_bytes = own_frames_needed(&config) * PAGE_SIZE;
	ck_assert_uint_le(reserve_bytes, FREE - LOW);
	ck_assert_int_eq(own_init(&config, LOW), 0);
	ck_assert_int_eq(own_take_for_keel(LOW, FREE), 0);
	guest_format = pt_format_npt;
	guest_format.coherent = GUEST_COHERENT;
	hv = &ops;
	paging_main = (struct page_table){ &pt_format_x86, 0, PT_ORDER_1G };
	memset(vms, 0, sizeof(vms));
	donations = io_donations = 0;
	device_flushes = 0;
	devices_stuck = false;
	vcpus_initialised = 0;
	by_processor = false;
	channel_pages = CHANNEL_PAGES;
	address_bits = 48;
	setup_cpus();
	vm_init();
}

static void setup(void)
{
	begin(1);
}

static void setup_large(void)
{
	begin(2);
}

static void teardown(void)
{
	munmap(memory_test_arena, ARENA);
}

/* Nothing changes where a call fails. */

static struct vm vms_before[KEEL_MAX_VMS];
static uint8_t record_before[FREE - LOW], memory_before[END - FREE];
static uint64_t donations_before, out_before[OWN_VMS + 1], shared_before[OWN_VMS + 1];

static void remember(void)
{
	memcpy(vms_before, vms, sizeof(vms));
	memcpy(record_before, memory_test_arena + LOW, reserve_bytes);
	donations_before = donations;
	for (unsigned int i = 1; i <= OWN_VMS; i++) {
		out_before[i] = own_count(i);
		shared_before[i] = own_count_shared(i);
	}
}

static bool unchanged(void)
{
	bool same = !memcmp(vms_before, vms, sizeof(vms)) && donations == donations_before && !vm_lock.taken &&
		    !memcmp(record_before, memory_test_arena + LOW, reserve_bytes);

	for (unsigned int i = 1; i <= OWN_VMS; i++)
		same &= out_before[i] == own_count(i) && shared_before[i] == own_count_shared(i);
	return same;
}

static void remember_all(void)
{
	remember();
	memcpy(memory_before, memory_test_arena + FREE, sizeof(memory_before));
}

static bool all_unchanged(void)
{
	return unchanged() && !memcmp(memory_before, memory_test_arena + FREE, sizeof(memory_before));
}

#define FAILS(call, error) \
	do { \
		remember_all(); \
		ck_assert_int_eq(call, -(error)); \
		ck_assert_msg(all_unchanged(), "%s has changed something", #call); \
	} while (0)

#define WORKS(call) ck_assert_int_eq(call, 0)

/* Frames are handed out from FREE upwards. */
static uint64_t next_frame;

static uint64_t take(unsigned int order)
{
	uint64_t bytes = PAGE_SIZE << order, at = (next_frame + bytes - 1) & ~(bytes - 1);

	next_frame = at + bytes;
	ck_assert_uint_le(next_frame, END);
	return at;
}

static struct vm *create(unsigned int vcpus)
{
	int id;

	if (!vm_free_slots() || vm_free_slots() == KEEL_MAX_VMS)
		next_frame = FREE;
	id = vm_create(take(1), vcpus, channel_pages, 0);
	ck_assert_int_gt(id, 0);
	return vm_get((uint64_t)id);
}

static uint64_t donate(struct vm *vm, unsigned int order)
{
	uint64_t hpa = take(order);

	WORKS(vm_donate(vm, hpa, order));
	return hpa;
}

static uint64_t donate_flushed(struct vm *vm, unsigned int order)
{
	uint64_t hpa = donate(vm, order);

	flush_all();
	return hpa;
}

static void add_tables(struct vm *vm, unsigned int order)
{
	WORKS(vm_assign(vm, donate_flushed(vm, order), order, KEEL_USE_TABLE, 0));
}

static struct vm *create_with_tables(unsigned int vcpus)
{
	struct vm *vm = create(vcpus);

	add_tables(vm, 5);
	return vm;
}

static uint64_t stack_of(unsigned int context)
{
	return KEEL_CELL_STACKS + (context + 1) * KEEL_CELL_STACK_STRIDE - KEEL_CELL_STACK_PAGES * PAGE_SIZE;
}

static void add_image(struct vm *vm)
{
	for (unsigned int i = 0; i < IMAGE_PAGES; i++)
		WORKS(vm_assign(vm, donate_flushed(vm, 0), 0, KEEL_USE_CELL, KEEL_CELL_IMAGE + i * PAGE_SIZE));
}

static void add_stacks(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		WORKS(vm_assign(vm, donate_flushed(vm, 2), 2, KEEL_USE_CELL, stack_of(i)));
	WORKS(vm_assign(vm, donate_flushed(vm, 2), 2, KEEL_USE_CELL, stack_of(KEEL_CONTEXT_EVENT)));
}

static void add_vcpus(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		WORKS(vm_assign(vm, donate_flushed(vm, KEEL_VCPU_ORDER), KEEL_VCPU_ORDER, KEEL_USE_VCPU, i));
}

static void add_channel(struct vm *vm)
{
	for (unsigned int i = 0; i < channel_pages; i++)
		WORKS(vm_share(vm, take(0), 0, i));
}

static struct vm *create_complete(unsigned int vcpus)
{
	struct vm *vm = create_with_tables(vcpus);

	add_image(vm);
	add_stacks(vm);
	add_vcpus(vm);
	add_channel(vm);
	return vm;
}

/* Every mapping of a VM leads to a frame of its own that is meant to be there. */

typedef void leaf_visitor(const struct vm *vm, uint64_t va, uint64_t entry, unsigned int order);

static void visit_table(const struct vm *vm, const struct page_table *table, uint64_t pa, unsigned int order, uint64_t va,
			leaf_visitor *visit)
{
	const uint64_t *entries = phys_to_virt(pa);
	struct own_frame frame = own_query(pa);

	ck_assert_uint_eq(frame.owner, vm->id);
	ck_assert_uint_eq(frame.state, pa == vm->record + RECORD_TABLE * PAGE_SIZE ? OWN_RECORD : OWN_TABLE);
	for (unsigned int i = 0; i < PT_ENTRIES; i++) {
		uint64_t at = va + ((uint64_t)i << (PAGE_SHIFT + order)), entry = entries[i];

		if (order == PT_ORDER_TOP && i == PAGING_SHARED_SLOT && table == &vm->cell_table) {
			ck_assert_uint_eq(entry, SHARED_ENTRY);
			continue;
		}
		if (!entry)
			continue;
		if (pt_is_table(table->format, entry, order))
			visit_table(vm, table, entry & table->format->address, order - PT_ORDER_STEP, at, visit);
		else
			visit(vm, at, entry, order);
	}
}

static void check_frames(const struct vm *vm, uint64_t pa, unsigned int order, enum own_state state, enum own_state other)
{
	for (uint64_t i = 0; i < 1ull << order; i++) {
		struct own_frame frame = own_query(pa + i * PAGE_SIZE);

		ck_assert_uint_eq(frame.owner, vm->id);
		ck_assert(frame.state == state || frame.state == other);
	}
}

static void check_cell_leaf(const struct vm *vm, uint64_t va, uint64_t entry, unsigned int order)
{
	const struct pt_format *f = &pt_format_x86;
	uint64_t pa = entry & f->address, direct = (uint64_t)(uintptr_t)phys_to_virt(0);
	bool user = entry & f->user, write = entry & f->write, exec = !(entry & f->no_exec);
	struct pt_place place;

	ck_assert(!(write && exec));
	if (va >= direct && va < direct + ARENA) {
		ck_assert(!user && !exec && va - direct == pa);
		check_frames(vm, pa, order, OWN_VCPU, OWN_RECORD);
		return;
	}
	ck_assert(user);
	if (va >= KEEL_CELL_GUEST) {
		ck_assert(!exec);
		check_frames(vm, pa, order, OWN_RAM, OWN_RAM);
		ck_assert(pt_lookup(&vm->guest_table, va - KEEL_CELL_GUEST, &place));
		ck_assert_uint_eq(pt_leaf_address(vm->guest_table.format, &place, va - KEEL_CELL_GUEST), pa);
	} else if (va >= KEEL_CELL_CHANNEL) {
		ck_assert(!exec);
		check_frames(vm, pa, order, OWN_SHARED, OWN_SHARED);
	} else if (va >= KEEL_CELL_CONTEXTS) {
		ck_assert(!exec);
		check_frames(vm, pa, order, OWN_VCPU, OWN_RECORD);
	} else {
		ck_assert_int_eq(exec, va < KEEL_CELL_IMAGE + TEXT_PAGES * PAGE_SIZE);
		ck_assert_int_eq(write, va >= KEEL_CELL_IMAGE + (TEXT_PAGES + RODATA_PAGES) * PAGE_SIZE);
		check_frames(vm, pa, order, OWN_CELL, OWN_CELL);
	}
}

static void check_guest_leaf(const struct vm *vm, uint64_t gpa, uint64_t entry, unsigned int order)
{
	struct pt_place place;

	/* Whatever a guest's PAT says of its memory, the cell has it cached; of what is no memory the guest decides. */
	ck_assert((entry & GUEST_COHERENT) != 0 || entry & PT_MARK_DEVICE);
	if (entry & PT_MARK_DEVICE) {
		ck_assert(gpa == KEEL_APIC_BASE && order == 0 && !(entry & GUEST_COHERENT));
		ck_assert_uint_eq(entry & pt_format_npt.address,
				  virt_to_phys(vm->vcpu[0]) + VCPU_PAGE_APIC_ACCESS * PAGE_SIZE);
		ck_assert(!pt_lookup(&vm->cell_table, KEEL_CELL_GUEST + gpa, &place));
		return;
	}
	if (entry & PT_MARK_APERTURE) {
		ck_assert_uint_eq(order, 0);
		check_frames(vm, entry & pt_format_npt.address, 0, OWN_SHARED, OWN_SHARED);
		ck_assert(!pt_lookup(&vm->cell_table, KEEL_CELL_GUEST + gpa, &place));
		return;
	}
	check_frames(vm, entry & pt_format_npt.address, order, OWN_RAM, OWN_RAM);
	ck_assert(pt_lookup(&vm->cell_table, KEEL_CELL_GUEST + gpa, &place));
	ck_assert_uint_eq(place.entry & pt_format_x86.address, entry & pt_format_npt.address);
}

static bool is_mapped(const struct vm *vm, uint64_t va, const void *page)
{
	struct pt_place place;

	return pt_lookup(&vm->cell_table, va, &place) &&
	       pt_leaf_address(&pt_format_x86, &place, va) == virt_to_phys(page);
}

static void check_vm(const struct vm *vm)
{
	if (vm->state != VM_BUILDING && vm->state != VM_STARTED)
		return;
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		ck_assert(!vm->vcpu[i] ||
			  (is_mapped(vm, (uint64_t)(uintptr_t)vm->vcpu[i], vm->vcpu[i]) &&
			   is_mapped(vm, KEEL_CELL_CONTEXTS + i * PAGE_SIZE, vm->vcpu[i]->cell.page) &&
			   is_mapped(vm, KEEL_CELL_APICS + i * PAGE_SIZE,
				     (uint8_t *)vm->vcpu[i] + VCPU_PAGE_APIC * PAGE_SIZE)));
	if (vm->state == VM_STARTED)
		ck_assert(is_mapped(vm, KEEL_CELL_CONTEXTS + KEEL_CONTEXT_EVENT * PAGE_SIZE, vm->event.page) &&
			  is_mapped(vm, (uint64_t)(uintptr_t)vm->event.page, vm->event.page));
	visit_table(vm, &vm->cell_table, vm->cell_table.root, PT_ORDER_TOP, 0, check_cell_leaf);
	if (vm->guest_table.root)
		visit_table(vm, &vm->guest_table, vm->guest_table.root, PT_ORDER_TOP, 0, check_guest_leaf);
}

static bool page_is(uint64_t hpa, uint8_t byte)
{
	const uint8_t *page = phys_to_virt(hpa);

	return page[0] == byte && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

static void reclaim_frames(struct vm *vm, bool shared)
{
	for (uint64_t hpa = FREE; hpa < END; hpa += PAGE_SIZE) {
		struct own_frame frame = own_query(hpa);

		if (frame.owner != vm->id || overlaps_record(vm, hpa, 0) || (frame.state == OWN_SHARED) != shared)
			continue;
		WORKS(vm_reclaim(vm, hpa, 0));
		ck_assert(shared || page_is(hpa, 0));
	}
}

/* Takes a killed VM apart, page by page, the record last. */
static void reclaim_all(struct vm *vm)
{
	uint64_t record = vm->record;

	reclaim_frames(vm, false);
	if (own_count_shared(vm->id))
		ck_assert_int_eq(vm_reclaim(vm, record, 1), -EBUSY);
	reclaim_frames(vm, true);
	WORKS(vm_reclaim(vm, record, 1));
	ck_assert(page_is(record, 0) && page_is(record + PAGE_SIZE, 0));
	ck_assert_ptr_null(vm_get(vm->id));
}

static void check_all_free(void)
{
	for (uint64_t hpa = FREE; hpa < END; hpa += PAGE_SIZE) {
		struct own_frame frame = own_query(hpa);

		ck_assert(frame.state == OWN_MAPPED && frame.owner == OWN_CONTROL);
	}
	for (unsigned int i = 1; i <= OWN_VMS; i++)
		ck_assert_uint_eq(own_count(i) + own_count_shared(i), 0);
	ck_assert_uint_eq(vm_free_slots(), KEEL_MAX_VMS);
}

START_TEST(life)
{
	unsigned int vcpus = _i ? 1u << _i : 1;
	struct vm *vm = create_complete(vcpus);
	uint64_t ram = donate_flushed(vm, 9);

	WORKS(vm_map(vm, ram, 9, 0, 0));
	ck_assert(page_is(ram, 0xa5));	/* contents kept */
	WORKS(vm_start(vm, TSC_KHZ));
	check_vm(vm);
	ck_assert_uint_eq(vcpus_initialised, vcpus);
	for (unsigned int i = 0; i < vcpus; i++) {
		ck_assert_ptr_eq(vm->vcpu[i]->vm, vm);
		ck_assert_uint_eq(vm->vcpu[i]->cell.number, i);
		ck_assert_uint_eq(vm->vcpu[i]->tsc_offset, vm->vcpu[0]->tsc_offset);
		ck_assert_uint_eq(vm->vcpu[i]->poll, 1);
	}
	WORKS(vm_kill(vm));
	reclaim_all(vm);
	check_all_free();
	ck_assert_ptr_eq(create(1), vm);	/* the slot serves again */
}
END_TEST

START_TEST(create_errors)
{
	uint64_t frame = FREE;

	FAILS(vm_create(frame, 0, 1, 0), EINVAL);
	FAILS(vm_create(frame, KEEL_MAX_VCPUS + 1, 1, 0), EINVAL);
	FAILS(vm_create(frame, 1ull << 32, 1, 0), EINVAL);
	FAILS(vm_create(frame, 1, 0, 0), EINVAL);
	FAILS(vm_create(frame, 1, KEEL_CELL_CHANNEL_MAX / PAGE_SIZE + 1, 0), EINVAL);
	FAILS(vm_create(frame, 1, 1ull << 32, 0), EINVAL);
	FAILS(vm_create(frame, 4, 1, KEEL_TOPOLOGY(3, 1)), EINVAL);	/* a socket that is not full */
	FAILS(vm_create(frame, 4, 1, KEEL_TOPOLOGY(2, 2) | 1ull << 32), EINVAL);
	FAILS(vm_create(frame + PAGE_SIZE, 1, 1, 0), EINVAL);	/* aligned to their size */
	FAILS(vm_create(frame + 1, 1, 1, 0), EINVAL);
	FAILS(vm_create(LOW, 1, 1, 0), EPERM);			/* Keel's */
	FAILS(vm_create(0, 1, 1, 0), EPERM);			/* not memory */
	FAILS(vm_create(END, 1, 1, 0), EPERM);
	FAILS(vm_create(ARENA, 1, 1, 0), EPERM);
	FAILS(vm_create(0xffffffffffffe000ull, 1, 1, 0), EPERM);
	for (int id = 1; id <= (int)KEEL_MAX_VMS; id++) {
		ck_assert_int_eq(vm_create(frame, 1, 1, 0), id);
		FAILS(vm_create(frame, 1, 1, 0), id < (int)KEEL_MAX_VMS ? EPERM : ENOSPC);
		frame += 2 * PAGE_SIZE;
	}
	ck_assert_ptr_null(vm_get(0));
	ck_assert_ptr_null(vm_get(KEEL_MAX_VMS + 1));
	ck_assert_ptr_null(vm_get(1ull << 32 | 1));
}
END_TEST

START_TEST(donate_errors)
{
	struct vm *vm = create(1), *other = create(1);
	uint64_t hpa = take(9), shared;

	FAILS(vm_donate(vm, hpa, KEEL_MAX_ORDER + 1), EINVAL);
	FAILS(vm_donate(vm, hpa, 1ull << 32), EINVAL);
	FAILS(vm_donate(vm, hpa + PAGE_SIZE, 9), EINVAL);
	FAILS(vm_donate(vm, hpa + 1, 0), EINVAL);
	FAILS(vm_donate(vm, LOW, 0), EPERM);
	FAILS(vm_donate(vm, 0, 9), EPERM);
	FAILS(vm_donate(vm, 0, 18), EPERM);	/* some of it is memory */
	FAILS(vm_donate(vm, ARENA, 0), EPERM);
	FAILS(vm_donate(vm, 1ull << 60, 18), EPERM);
	WORKS(vm_donate(vm, hpa + 5 * PAGE_SIZE, 0));
	FAILS(vm_donate(vm, hpa + 5 * PAGE_SIZE, 0), EPERM);
	FAILS(vm_donate(other, hpa + 5 * PAGE_SIZE, 0), EPERM);
	FAILS(vm_donate(other, hpa, 9), EPERM);
	add_tables(other, 4);
	shared = take(0);
	WORKS(vm_share(other, shared, 0, 0));
	FAILS(vm_donate(vm, shared, 0), EPERM);
	FAILS(vm_donate(other, shared, 0), EPERM);
	WORKS(vm_kill(vm));
	FAILS(vm_donate(vm, take(0), 0), ESHUTDOWN);
}
END_TEST

/* Whatever a frame was given for, it is not touched before every CPU that runs has flushed. */
START_TEST(flush_epochs)
{
	struct vm *vm = create(1), *other;
	uint64_t record = vm->record, table = donate(vm, 4), cell = donate(vm, 0), vcpu = donate(vm, 3), ram = donate(vm, 0);
	uint64_t theirs;

	for (unsigned int i = 0; i < CPU_OFFLINE; i++) {
		FAILS(vm_assign(vm, table, 4, KEEL_USE_TABLE, 0), EAGAIN);
		FAILS(vm_assign(vm, cell, 0, KEEL_USE_CELL, KEEL_CELL_IMAGE), EAGAIN);
		FAILS(vm_assign(vm, vcpu, 3, KEEL_USE_VCPU, 0), EAGAIN);
		FAILS(vm_map(vm, ram, 0, 0, 0), EAGAIN);
		ck_assert(page_is(record, 0xa5) && page_is(record + PAGE_SIZE, 0xa5));
		cpu_objects[i].flushed = donations;
	}
	WORKS(vm_assign(vm, table, 4, KEEL_USE_TABLE, 0));
	/* A later gift to somebody else is none of this VM's business. */
	other = create(1);
	theirs = donate(other, 0);
	WORKS(vm_assign(vm, cell, 0, KEEL_USE_CELL, KEEL_CELL_IMAGE));
	FAILS(vm_assign(other, theirs, 0, KEEL_USE_TABLE, 0), EAGAIN);
	WORKS(vm_assign(vm, vcpu, 3, KEEL_USE_VCPU, 0));
	/* A parked CPU counts as soon as it runs again. */
	cpu_objects[CPU_PARKED].parked = 0;
	FAILS(vm_map(vm, ram, 0, 0, 0), EAGAIN);
	cpu_objects[CPU_PARKED].flushed = vm->donated;
	WORKS(vm_map(vm, ram, 0, 0, 0));
	/* A new gift closes the door again, for the frames given before as well. */
	cell = donate(vm, 0);
	FAILS(vm_assign(vm, cell, 0, KEEL_USE_CELL, KEEL_CELL_IMAGE + PAGE_SIZE), EAGAIN);
	cpu_objects[0].flushed = cpu_objects[1].flushed = donations;
	FAILS(vm_assign(vm, cell, 0, KEEL_USE_CELL, KEEL_CELL_IMAGE + PAGE_SIZE), EAGAIN);
}
END_TEST

/* Nor before every IOMMU has; it is asked once for all that was given, and again when something comes back. */
START_TEST(devices_flush)
{
	struct vm *vm = create(1);
	uint64_t record = vm->record, table = donate(vm, 4), ram = donate(vm, 0);

	flush_all();
	devices_stuck = true;
	FAILS(vm_assign(vm, table, 4, KEEL_USE_TABLE, 0), EAGAIN);
	FAILS(vm_map(vm, ram, 0, 0, 0), EAGAIN);
	ck_assert(page_is(record, 0xa5) && page_is(record + PAGE_SIZE, 0xa5));
	devices_stuck = false;
	device_flushes = 0;
	WORKS(vm_assign(vm, table, 4, KEEL_USE_TABLE, 0));
	WORKS(vm_map(vm, ram, 0, 0, 0));
	ck_assert_uint_eq(device_flushes, 1);
	ram = donate(vm, 0);
	flush_all();
	WORKS(vm_map(vm, ram, 0, PAGE_SIZE, 0));
	ck_assert_uint_eq(device_flushes, 2);
	WORKS(vm_kill(vm));
	WORKS(vm_reclaim(vm, ram, 0));
	ck_assert_uint_eq(device_flushes, 3);
	vm_tell_faults();
	ck_assert(!vm_lock.taken);
}
END_TEST

START_TEST(start_needs_a_flush)
{
	struct vm *vm = create_complete(1);

	donate(vm, 0);
	FAILS(vm_start(vm, TSC_KHZ), EINVAL);
	flush_all();
	WORKS(vm_start(vm, TSC_KHZ));
}
END_TEST

START_TEST(assign_errors)
{
	struct vm *vm = create_with_tables(2), *other = create_with_tables(1);
	uint64_t hpa = donate_flushed(vm, 9), theirs = donate_flushed(other, 0), image = KEEL_CELL_IMAGE;

	FAILS(vm_assign(vm, hpa, 0, 0, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, 4, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, 1ull << 32 | KEEL_USE_TABLE, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, 10, KEEL_USE_TABLE, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, 1ull << 32, KEEL_USE_TABLE, 0), EINVAL);
	FAILS(vm_assign(vm, hpa + PAGE_SIZE, 1, KEEL_USE_TABLE, 0), EINVAL);
	FAILS(vm_assign(vm, take(0), 0, KEEL_USE_TABLE, 0), EPERM);
	FAILS(vm_assign(vm, theirs, 0, KEEL_USE_TABLE, 0), EPERM);
	FAILS(vm_assign(vm, theirs, 0, KEEL_USE_CELL, image), EPERM);
	FAILS(vm_assign(vm, LOW, 0, KEEL_USE_TABLE, 0), EPERM);
	FAILS(vm_assign(vm, vm->record, 1, KEEL_USE_TABLE, 0), EPERM);
	FAILS(vm_assign(vm, vm->record, 0, KEEL_USE_CELL, image), EPERM);
	FAILS(vm_assign(vm, ARENA, 0, KEEL_USE_TABLE, 0), EPERM);
	WORKS(vm_assign(vm, hpa, 0, KEEL_USE_TABLE, 0));
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_TABLE, 0), EPERM);
	FAILS(vm_assign(vm, hpa, 1, KEEL_USE_TABLE, 0), EPERM);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, image), EPERM);
	FAILS(vm_map(vm, hpa, 0, 0, 0), EPERM);
	WORKS(vm_kill(vm));
	FAILS(vm_assign(vm, hpa + PAGE_SIZE, 0, KEEL_USE_TABLE, 0), ESHUTDOWN);
}
END_TEST

START_TEST(cell_pages)
{
	struct vm *vm = create_with_tables(2);
	uint64_t hpa = donate_flushed(vm, 9), image = KEEL_CELL_IMAGE, end = image + IMAGE_PAGES * PAGE_SIZE, i;

	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, image - PAGE_SIZE), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, image + 8), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, end), EINVAL);
	FAILS(vm_assign(vm, hpa, 1, KEEL_USE_CELL, end - PAGE_SIZE), EINVAL);
	FAILS(vm_assign(vm, hpa, 9, KEEL_USE_CELL, image), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, KEEL_CELL_CONTEXTS), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, KEEL_CELL_CHANNEL), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, KEEL_CELL_GUEST), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, 0xffffffffc0000000ull), EINVAL);
	/* Stacks: guards, other contexts, over the end. */
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, stack_of(0) - PAGE_SIZE), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, KEEL_CELL_STACKS), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, stack_of(2)), EINVAL);
	FAILS(vm_assign(vm, hpa, 0, KEEL_USE_CELL, stack_of(KEEL_CONTEXT_EVENT + 1)), EINVAL);
	FAILS(vm_assign(vm, hpa, 2, KEEL_USE_CELL, stack_of(0) + PAGE_SIZE), EINVAL);
	FAILS(vm_assign(vm, hpa, 3, KEEL_USE_CELL, stack_of(0)), EINVAL);
	for (i = 0; i < IMAGE_PAGES; i++) {
		WORKS(vm_assign(vm, hpa + i * PAGE_SIZE, 0, KEEL_USE_CELL, image + i * PAGE_SIZE));
		FAILS(vm_assign(vm, hpa + 64 * PAGE_SIZE, 0, KEEL_USE_CELL, image + i * PAGE_SIZE), EBUSY);
	}
	ck_assert_mem_eq(phys_to_virt(hpa), cell_image, STORED_PAGES * PAGE_SIZE);
	for (i = STORED_PAGES; i < IMAGE_PAGES; i++)
		ck_assert(page_is(hpa + i * PAGE_SIZE, 0));
	WORKS(vm_assign(vm, hpa + 8 * PAGE_SIZE, 0, KEEL_USE_CELL, stack_of(1) + 3 * PAGE_SIZE));
	FAILS(vm_assign(vm, hpa + 12 * PAGE_SIZE, 2, KEEL_USE_CELL, stack_of(1)), EBUSY);
	ck_assert(page_is(hpa + 8 * PAGE_SIZE, 0));
	check_vm(vm);
}
END_TEST

START_TEST(vcpus)
{
	struct vm *vm = create_with_tables(3);
	uint64_t hpa = donate_flushed(vm, 9), block = PAGE_SIZE << KEEL_VCPU_ORDER;

	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 1), EINVAL);	/* vCPU 0 is the first */
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER - 1, KEEL_USE_VCPU, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER + 1, KEEL_USE_VCPU, 0), EINVAL);
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 3), EINVAL);
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 64), EINVAL);
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 1ull << 32), EINVAL);
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, UINT64_MAX), EINVAL);
	WORKS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 0));
	FAILS(vm_assign(vm, hpa + block, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 0), EBUSY);
	FAILS(vm_assign(vm, hpa, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 1), EPERM);
	WORKS(vm_assign(vm, hpa + 2 * block, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 2));
	check_vm(vm);
	ck_assert(page_is(hpa + VCPU_PAGE_VENDOR * PAGE_SIZE, 0));
	ck_assert_ptr_eq(vm->vcpu[2]->cell.page, phys_to_virt(hpa + 2 * block + VCPU_PAGE_CONTEXT * PAGE_SIZE));
}
END_TEST

/* Without table pages nothing is done by halves: one page at a time until it works. */
START_TEST(too_few_tables)
{
	struct vm *vm = create(1);
	uint64_t hpa = donate_flushed(vm, 9);
	unsigned int given = 0;

	FAILS(vm_share(vm, take(0), 0, 0), EBUSY);	/* the record is not in use yet */
	ck_assert_int_eq(vm_assign(vm, hpa, 0, KEEL_USE_CELL, KEEL_CELL_IMAGE), -ENOMEM);
	FAILS(vm_assign(vm, hpa, 3, KEEL_USE_VCPU, 0), ENOMEM);
	FAILS(vm_map(vm, hpa, 0, 0, 0), ENOMEM);
	FAILS(vm_share(vm, take(0), 0, 0), ENOMEM);
	FAILS(vm_start(vm, TSC_KHZ), EINVAL);
	for (;; given++) {
		remember_all();
		if (!vm_map(vm, hpa, 0, 0x1234000, 0))
			break;
		ck_assert(all_unchanged());
		ck_assert_uint_lt(given, 8);
		WORKS(vm_assign(vm, hpa + (64 + given) * PAGE_SIZE, 0, KEEL_USE_TABLE, 0));
	}
	/* The guest's top table, then three levels of its own and three of the cell's. */
	ck_assert_uint_eq(given, 7);
	check_vm(vm);
}
END_TEST

START_TEST(too_few_tables_for_a_vcpu)
{
	struct vm *vm = create(1);
	uint64_t hpa = donate_flushed(vm, 9);

	WORKS(vm_assign(vm, hpa + PAGE_SIZE, 0, KEEL_USE_TABLE, 0));
	for (unsigned int given = 0; given < 9; given++) {
		remember_all();
		if (!vm_assign(vm, hpa + 8 * PAGE_SIZE, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 0)) {
			check_vm(vm);
			return;
		}
		ck_assert(all_unchanged());
		WORKS(vm_assign(vm, hpa + (64 + given) * PAGE_SIZE, 0, KEEL_USE_TABLE, 0));
	}
	ck_abort();
}
END_TEST

START_TEST(map_errors)
{
	struct vm *vm = create_with_tables(1);
	uint64_t hpa = donate_flushed(vm, 9), large = donate_flushed(vm, 9), limit = KEEL_CELL_GUEST_MAX;
	struct pt_place place;

	FAILS(vm_map(vm, hpa, 0, 0, 2), EINVAL);
	FAILS(vm_map(vm, hpa, 0, 0, 1ull << 32), EINVAL);
	FAILS(vm_map(vm, hpa, 0, limit, 0), EINVAL);
	FAILS(vm_map(vm, hpa, 0, 1ull << 63, 0), EINVAL);
	FAILS(vm_map(vm, hpa, 9, PAGE_SIZE, 0), EINVAL);
	FAILS(vm_map(vm, hpa, 0, 1, 0), EINVAL);
	FAILS(vm_map(vm, hpa, 19, 0, 0), EINVAL);
	FAILS(vm_map(vm, hpa + PAGE_SIZE, 1, 0, 0), EINVAL);
	FAILS(vm_map(vm, LOW, 0, 0, 0), EPERM);
	FAILS(vm_map(vm, take(0), 0, 0, 0), EPERM);
	FAILS(vm_map(vm, vm->record, 0, 0, 0), EPERM);
	WORKS(vm_map(vm, hpa + 3 * PAGE_SIZE, 0, 3 * PAGE_SIZE, KEEL_MAP_READONLY));
	FAILS(vm_map(vm, hpa + 3 * PAGE_SIZE, 0, 4 * PAGE_SIZE, 0), EPERM);	/* not twice */
	FAILS(vm_map(vm, hpa + 4 * PAGE_SIZE, 0, 3 * PAGE_SIZE, 0), EBUSY);
	FAILS(vm_map(vm, hpa + 4 * PAGE_SIZE, 2, 0, 0), EBUSY);			/* a part is taken */
	FAILS(vm_map(vm, large, 9, 0, 0), EBUSY);
	WORKS(vm_map(vm, hpa + 4 * PAGE_SIZE, 0, limit - PAGE_SIZE, 0));
	ck_assert(pt_lookup(&vm->guest_table, 3 * PAGE_SIZE, &place) && !(place.entry & pt_format_npt.write));
	ck_assert(pt_lookup(&vm->guest_table, limit - PAGE_SIZE, &place) && place.entry & pt_format_npt.write);
	check_vm(vm);
	WORKS(vm_kill(vm));
	FAILS(vm_map(vm, hpa + 5 * PAGE_SIZE, 0, 0, 0), ESHUTDOWN);
}
END_TEST

START_TEST(large_blocks)
{
	struct vm *vm = create_with_tables(1);
	struct pt_place place;
	uint64_t ram, page;

	WORKS(vm_donate(vm, GIB, 18));
	ck_assert_uint_eq(own_query(GIB).order, 18);
	ram = donate_flushed(vm, 9);
	WORKS(vm_map(vm, GIB, 18, 4 * GIB, 0));
	WORKS(vm_map(vm, ram, 9, 2 * MIB, 0));
	ck_assert(pt_lookup(&vm->guest_table, 4 * GIB + 12345678, &place) && place.order == 18);
	ck_assert(pt_lookup(&vm->cell_table, KEEL_CELL_GUEST + 4 * GIB, &place) && place.order == 18);
	ck_assert(pt_lookup(&vm->guest_table, 2 * MIB, &place) && place.order == 9);
	ck_assert(pt_lookup(&vm->cell_table, KEEL_CELL_GUEST + 2 * MIB, &place) && place.order == 9);
	page = donate_flushed(vm, 0);
	FAILS(vm_map(vm, page, 0, 4 * GIB + 5 * PAGE_SIZE, 0), EBUSY);
	/* A large block comes back in parts. */
	WORKS(vm_kill(vm));
	FAILS(vm_reclaim(vm, GIB, 10), EINVAL);
	WORKS(vm_reclaim(vm, GIB + 2 * MIB, 9));
	WORKS(vm_reclaim(vm, GIB + 8 * MIB, 0));
	ck_assert_uint_eq(own_query(GIB).owner, vm->id);
	ck_assert_uint_eq(own_query(GIB + 2 * MIB).owner, OWN_CONTROL);
}
END_TEST

START_TEST(share_errors)
{
	struct vm *vm = create_with_tables(1), *other = create_with_tables(1);
	uint64_t hpa = take(2), given = donate_flushed(vm, 0);

	FAILS(vm_share(vm, hpa, 10, 0), EINVAL);
	FAILS(vm_share(vm, hpa + PAGE_SIZE, 1, 0), EINVAL);
	FAILS(vm_share(vm, hpa, 0, CHANNEL_PAGES), EINVAL);
	FAILS(vm_share(vm, hpa, 0, UINT64_MAX), EINVAL);
	FAILS(vm_share(vm, hpa, 2, 0), EINVAL);
	FAILS(vm_share(vm, hpa, 1, CHANNEL_PAGES - 1), EINVAL);
	FAILS(vm_share(vm, LOW, 0, 0), EPERM);
	FAILS(vm_share(vm, 0, 0, 0), EPERM);
	FAILS(vm_share(vm, given, 0, 0), EPERM);
	WORKS(vm_share(vm, hpa, 1, 1));	/* the index need not be aligned */
	FAILS(vm_share(vm, hpa + 2 * PAGE_SIZE, 0, 2), EBUSY);
	FAILS(vm_share(vm, hpa, 0, 0), EPERM);
	FAILS(vm_share(other, hpa, 0, 0), EPERM);
	ck_assert(page_is(hpa, 0xa5));
	check_vm(vm);
	WORKS(vm_kill(vm));
	FAILS(vm_share(vm, hpa + 2 * PAGE_SIZE, 0, 0), ESHUTDOWN);
	WORKS(vm_kill(other));
	FAILS(vm_reclaim(other, hpa, 1), EPERM);
	WORKS(vm_reclaim(vm, hpa, 1));
	ck_assert(page_is(hpa, 0xa5));
}
END_TEST

/* Every part but one: the machine is not complete. */
START_TEST(start_incomplete)
{
	struct vm *vm = create_with_tables(2);
	uint64_t page, block, plain;

	if (_i != 0)
		add_image(vm);
	if (_i != 1)
		add_stacks(vm);
	if (_i == 2)
		WORKS(vm_assign(vm, donate_flushed(vm, KEEL_VCPU_ORDER), KEEL_VCPU_ORDER, KEEL_USE_VCPU, 0));
	else
		add_vcpus(vm);
	if (_i != 3)
		add_channel(vm);
	if (_i < 4) {
		FAILS(vm_start(vm, TSC_KHZ), EINVAL);
		return;
	}
	FAILS(vm_start(vm, 0), EINVAL);
	FAILS(vm_start(vm, KEEL_TSC_KHZ_LEAST - 1), EINVAL);
	FAILS(vm_start(vm, KEEL_TSC_KHZ_MOST + 1ull), EINVAL);
	FAILS(vm_start(vm, 1ull << 32 | TSC_KHZ), EINVAL);
	WORKS(vm_start(vm, TSC_KHZ));
	ck_assert_uint_eq(vm->tsc_khz, TSC_KHZ);
	FAILS(vm_start(vm, TSC_KHZ), EINVAL);
	page = donate_flushed(vm, 0);
	block = donate_flushed(vm, KEEL_VCPU_ORDER);
	plain = take(0);
	FAILS(vm_map(vm, page, 0, 0, 0), EBUSY);
	FAILS(vm_assign(vm, page, 0, KEEL_USE_CELL, KEEL_CELL_IMAGE), EBUSY);
	FAILS(vm_assign(vm, block, KEEL_VCPU_ORDER, KEEL_USE_VCPU, 0), EBUSY);
	FAILS(vm_share(vm, plain, 0, 0), EBUSY);
	check_vm(vm);
}
END_TEST

START_TEST(kill_and_reclaim)
{
	struct vm *vm = create_complete(1), *other = create_with_tables(1);
	uint64_t record = vm->record, hpa = donate_flushed(vm, 3), theirs = donate_flushed(other, 0);

	WORKS(vm_start(vm, TSC_KHZ));
	FAILS(vm_reclaim(vm, hpa, 0), EBUSY);
	vm_end(vm, KEEL_END_TRIPLE_FAULT, 5, 6);
	vm_end(vm, KEEL_END_RESET, 7, 8);
	vm->running = 1;
	ck_assert_int_eq(vm_kill(vm), -EBUSY);
	ck_assert(vm->end == KEEL_END_TRIPLE_FAULT && vm->end_detail == 5 && vm->end_address == 6);
	FAILS(vm_reclaim(vm, hpa, 0), EBUSY);	/* no entry from now on, but one is still inside */
	vm->running = 0;
	WORKS(vm_kill(vm));
	WORKS(vm_kill(vm));
	FAILS(vm_start(vm, TSC_KHZ), EINVAL);
	FAILS(vm_reclaim(vm, hpa, 10), EINVAL);
	FAILS(vm_reclaim(vm, hpa + 8, 0), EINVAL);
	FAILS(vm_reclaim(vm, theirs, 0), EPERM);
	FAILS(vm_reclaim(vm, LOW, 0), EPERM);
	FAILS(vm_reclaim(vm, 0, 0), EPERM);
	FAILS(vm_reclaim(vm, END - PAGE_SIZE, 0), EPERM);
	FAILS(vm_reclaim(vm, ARENA, 0), EPERM);
	FAILS(vm_reclaim(vm, record, 1), EBUSY);
	FAILS(vm_reclaim(vm, record, 0), EINVAL);
	FAILS(vm_reclaim(vm, record + PAGE_SIZE, 0), EINVAL);
	FAILS(vm_reclaim(vm, record & ~(4 * PAGE_SIZE - 1), 2), EINVAL);
	WORKS(vm_reclaim(vm, hpa + PAGE_SIZE, 0));
	FAILS(vm_reclaim(vm, hpa, 3), EPERM);	/* a part has gone back already */
	reclaim_all(vm);
	ck_assert_uint_eq(own_count(other->id), KEEL_VM_PAGES + 32 + 1);
	WORKS(vm_kill(other));
	reclaim_all(other);
	check_all_free();
}
END_TEST

/*
 * A VM whose kernel is gone: its record can be taken back before its other pages, and be somebody else's when the next kernel
 * asks for that.
 */
START_TEST(record_of_an_orphan)
{
	struct vm *vm = create_complete(1);
	uint64_t record = vm->record;

	ck_assert(!vm_take_back(record));	/* its kernel is there */
	ck_assert(vm_disown());
	ck_assert(vm_take_back(record));
	if (own_query(record + PAGE_SIZE).owner == vm->id)
		ck_assert(vm_take_back(record + PAGE_SIZE));
	for (uint64_t hpa = FREE; hpa < END && own_count(vm->id) > KEEL_VM_PAGES; hpa += PAGE_SIZE)
		if (own_query(hpa).owner == vm->id && own_query(hpa).state != OWN_SHARED)
			WORKS(vm_reclaim(vm, hpa, 0));
	for (uint64_t hpa = FREE; hpa < END && own_count_shared(vm->id); hpa += PAGE_SIZE)
		if (own_query(hpa).owner == vm->id && own_query(hpa).state == OWN_SHARED)
			WORKS(vm_reclaim(vm, hpa, 0));
	ck_assert_uint_eq(own_count(vm->id), KEEL_VM_PAGES);
	memset(phys_to_virt(record), 0x5a, KEEL_VM_PAGES * PAGE_SIZE);
	FAILS(vm_reclaim(vm, record, 1), EPERM);
	ck_assert(page_is(record, 0x5a) && page_is(record + PAGE_SIZE, 0x5a));
	/* The rest, and with its last page the slot. */
	while (vm_take_back_next())
		;
	ck_assert_ptr_null(vm_get(vm->id));
	memset(phys_to_virt(record), 0, KEEL_VM_PAGES * PAGE_SIZE);
	check_all_free();
}
END_TEST

/* The log of writes. */

static bool no_dirty(void)
{
	return false;
}

static unsigned int count_bits(const uint64_t bits[4])
{
	return (unsigned int)(__builtin_popcountll(bits[0]) + __builtin_popcountll(bits[1]) +
			      __builtin_popcountll(bits[2]) + __builtin_popcountll(bits[3]));
}

/* The pages in the MiB at gpa that were written; flushed: whether all vCPUs must drop their translations, or none. */
static unsigned int take_count(struct vm *vm, uint64_t gpa, uint64_t flags, bool *flushed)
{
	uint64_t bits[4] = { 0 };
	unsigned int dropped = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		vm->vcpu[i]->last_cpu = cpus[i];
	WORKS(vm_take_dirty(vm, gpa, flags, bits));
	ck_assert(!vm_lock.taken);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		dropped += !vm->vcpu[i]->last_cpu;
	ck_assert(dropped == 0 || dropped == vm->vcpu_count);
	*flushed = dropped;
	return count_bits(bits);
}

static void write_page(const struct page_table *table, uint64_t va)
{
	struct pt_place place;

	ck_assert(pt_lookup(table, va, &place) && place.order == 0);
	*place.slot |= table->format->dirty;
}

/* Where a cell may have Keel write for it: in the data of its image, and nowhere else of all that is mapped for it. */
START_TEST(cell_data_pages)
{
	const uint64_t image = KEEL_CELL_IMAGE;
	const uint64_t others[] = {
		0, image - PAGE_SIZE, image + IMAGE_PAGES * PAGE_SIZE, stack_of(0), stack_of(KEEL_CONTEXT_EVENT),
		KEEL_CELL_CONTEXTS, KEEL_CELL_APICS, KEEL_CELL_CHANNEL, KEEL_CELL_GUEST,
		0xffff800000000000ull, 0xffffffffc0000000ull, UINT64_MAX & ~(PAGE_SIZE - 1), 1ull << 63 | image,
	};
	struct vm *vm = create_complete(1);
	struct pt_place place;

	WORKS(vm_start(vm, TSC_KHZ));
	for (uint64_t i = 0, va = image; i < IMAGE_PAGES; i++, va += PAGE_SIZE) {
		bool data = i >= TEXT_PAGES + RODATA_PAGES;

		ck_assert(pt_lookup(&vm->cell_table, va, &place));
		ck_assert_uint_eq(vm_cell_data_page(vm, va), data ? pt_leaf_address(vm->cell_table.format, &place, va) : 0);
		ck_assert_uint_eq(vm_cell_data_page(vm, va + 64), 0);
		ck_assert_uint_eq(vm_cell_data_page(vm, va + PAGE_SIZE - 1), 0);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(others); i++)
		ck_assert_uint_eq(vm_cell_data_page(vm, others[i]), 0);
}
END_TEST

START_TEST(dirty_log)
{
	struct vm *vm = create_complete(2);
	uint64_t ram = donate_flushed(vm, 9), few = donate_flushed(vm, 3), bits[4] = { 0 };
	bool flushed;

	WORKS(vm_map(vm, ram, 9, 2 * MIB, 0));
	WORKS(vm_map(vm, few, 2, MIB, 0));
	WORKS(vm_map(vm, few + 4 * PAGE_SIZE, 0, 4 * GIB - PAGE_SIZE, KEEL_MAP_READONLY));
	FAILS(vm_take_dirty(vm, MIB, 0, bits), EINVAL);			/* not started */
	WORKS(vm_start(vm, TSC_KHZ));
	FAILS(vm_take_dirty(vm, MIB + PAGE_SIZE, 0, bits), EINVAL);
	FAILS(vm_take_dirty(vm, 1, 0, bits), EINVAL);
	FAILS(vm_take_dirty(vm, GUEST_LIMIT, 0, bits), EINVAL);
	FAILS(vm_take_dirty(vm, UINT64_MAX - MIB + 1, 0, bits), EINVAL);
	FAILS(vm_take_dirty(vm, MIB, 2, bits), EINVAL);
	FAILS(vm_take_dirty(vm, MIB, 1ull << 32, bits), EINVAL);
	FAILS(vm_take_dirty(vm, 2 * MIB, 0, bits), EBUSY);
	FAILS(vm_take_dirty(vm, 3 * MIB, 0, bits), EBUSY);
	ck_assert_uint_eq(count_bits(bits), 0);
	/* All memory at first, the cell's as well where the guest may only read; and none that is not there. */
	ck_assert(take_count(vm, MIB, 0, &flushed) == 4 && flushed);
	ck_assert(take_count(vm, MIB, 0, &flushed) == 0 && !flushed);
	ck_assert(take_count(vm, 0, KEEL_DIRTY_SPLIT, &flushed) == 0 && !flushed);
	ck_assert(take_count(vm, 9 * GIB, KEEL_DIRTY_SPLIT, &flushed) == 0 && !flushed);
	ck_assert(take_count(vm, GUEST_LIMIT - MIB, 0, &flushed) == 0 && !flushed);
	ck_assert(take_count(vm, 4 * GIB - MIB, 0, &flushed) == 1 && flushed);
	ck_assert(take_count(vm, 3 * MIB, KEEL_DIRTY_SPLIT, &flushed) == 256 && flushed);
	ck_assert(take_count(vm, 2 * MIB, 0, &flushed) == 256 && flushed);
	ck_assert(take_count(vm, 2 * MIB, KEEL_DIRTY_SPLIT, &flushed) == 0 && !flushed);
	check_vm(vm);
	/* Both of those who write count. */
	write_page(&vm->guest_table, 2 * MIB + 7 * PAGE_SIZE);
	write_page(&vm->cell_table, KEEL_CELL_GUEST + 2 * MIB + 7 * PAGE_SIZE);
	write_page(&vm->cell_table, KEEL_CELL_GUEST + 2 * MIB + 8 * PAGE_SIZE);
	write_page(&vm->guest_table, 3 * MIB);
	ck_assert(take_count(vm, 2 * MIB, 0, &flushed) == 2 && flushed);
	ck_assert(take_count(vm, 2 * MIB, 0, &flushed) == 0 && !flushed);
	write_page(&vm->cell_table, KEEL_CELL_GUEST + 2 * MIB + 255 * PAGE_SIZE);
	WORKS(vm_take_dirty(vm, 2 * MIB, 0, bits));
	ck_assert(bits[3] == 1ull << 63 && count_bits(bits) == 1);
	ck_assert(take_count(vm, 3 * MIB, 0, &flushed) == 1 && flushed);
	hv = &(const struct hv_ops){ .cpu.has_dirty = no_dirty };
	FAILS(vm_take_dirty(vm, MIB, 0, bits), EOPNOTSUPP);
	hv = &ops;
	WORKS(vm_kill(vm));
	FAILS(vm_take_dirty(vm, MIB, 0, bits), ESHUTDOWN);
	reclaim_all(vm);
	check_all_free();
}
END_TEST

/* Where the processor stands in for the APIC's page, guests have a page there that is no memory; unless they have memory. */
START_TEST(apic_access_page)
{
	struct pt_place place;
	struct vm *vm;
	bool flushed;

	by_processor = _i != 0;
	vm = create_complete(2);
	if (_i == 2)
		WORKS(vm_map(vm, donate_flushed(vm, 0), 0, KEEL_APIC_BASE, 0));
	WORKS(vm_start(vm, TSC_KHZ));
	ck_assert_int_eq(pt_lookup(&vm->guest_table, KEEL_APIC_BASE, &place), _i != 0);
	ck_assert_int_eq((place.entry & PT_MARK_DEVICE) != 0, _i == 1);
	ck_assert(take_count(vm, KEEL_APIC_BASE, KEEL_DIRTY_SPLIT, &flushed) == (_i == 2) && flushed == (_i == 2));
	check_vm(vm);
	WORKS(vm_kill(vm));
	reclaim_all(vm);
	check_all_free();
}
END_TEST

/* The tables for a split are there, or nothing happens. */
START_TEST(dirty_log_too_few_tables)
{
	struct vm *vm = create_complete(1);
	struct frame_pool kept;
	uint64_t bits[4] = { 0 };
	bool flushed;

	WORKS(vm_donate(vm, GIB, 18));
	flush_all();
	WORKS(vm_map(vm, GIB, 18, 4 * GIB, 0));
	WORKS(vm_start(vm, TSC_KHZ));
	kept = vm->tables;
	for (vm->tables.count = 0; vm->tables.count < 4; vm->tables.count++)
		FAILS(vm_take_dirty(vm, 4 * GIB + 5 * MIB, KEEL_DIRTY_SPLIT, bits), ENOMEM);
	vm->tables = kept;
	ck_assert(take_count(vm, 4 * GIB + 5 * MIB, KEEL_DIRTY_SPLIT, &flushed) == 256 && flushed);
	ck_assert_uint_eq(vm->tables.count, kept.count - 4);
	ck_assert(take_count(vm, 4 * GIB + 4 * MIB, 0, &flushed) == 256 && flushed);
	FAILS(vm_take_dirty(vm, 4 * GIB + 6 * MIB, 0, bits), EBUSY);
	ck_assert(take_count(vm, 4 * GIB + 6 * MIB, KEEL_DIRTY_SPLIT, &flushed) == 256 && flushed);
	ck_assert_uint_eq(vm->tables.count, kept.count - 6);
	check_vm(vm);
}
END_TEST

/* Apertures. */

#define APERTURE_PAGES	600u
#define APERTURE_LIMIT	(1ull << 40)

/*
 * A VM with memory from 0 to 2 MiB, of a leaf, from there to 2 MiB and 4 pages, and a page of firmware below 4 GiB. Apertures
 * 0 and 1 have all of the channel, 2 the pages from 10 on, 3 one page.
 */
static struct vm *create_with_apertures(unsigned int count)
{
	struct vm *vm;

	channel_pages = APERTURE_PAGES;
	vm = create_complete(count);
	add_tables(vm, 5);
	WORKS(vm_map(vm, donate_flushed(vm, 9), 9, 0, 0));
	WORKS(vm_map(vm, donate_flushed(vm, 2), 2, 2 * MIB, 0));
	WORKS(vm_map(vm, donate_flushed(vm, 0), 0, 4 * GIB - PAGE_SIZE, KEEL_MAP_READONLY));
	WORKS(vm_bound_aperture(vm, 0, 0, APERTURE_PAGES));
	WORKS(vm_bound_aperture(vm, 1, 0, APERTURE_PAGES));
	WORKS(vm_bound_aperture(vm, 2, 10, APERTURE_PAGES - 10));
	WORKS(vm_bound_aperture(vm, 3, APERTURE_PAGES - 1, 1));
	WORKS(vm_start(vm, TSC_KHZ));
	return vm;
}

static struct keel_aperture at(uint64_t gpa, uint32_t page, uint32_t pages)
{
	return (struct keel_aperture){ .gpa = gpa, .page = page, .pages = pages };
}

static bool ask(struct vm *vm, unsigned int context, uint32_t mask)
{
	bool allowed;

	cr3 = 1;
	allowed = aperture_begin(cpus[0], &vm->vcpu[context]->cell, mask);
	ck_assert(!vm_lock.taken && (cr3 == 1 || cr3 == vm->cell_table.root));
	return allowed;
}

static enum cell_result go(struct vm *vm, unsigned int context)
{
	enum cell_result result = aperture_move(cpus[0], &vm->vcpu[context]->cell);

	ck_assert(!vm_lock.taken && cr3 == vm->cell_table.root);
	return result;
}

/* Nothing runs that could keep it from being done, and it is done in so many steps as it has pages for. */
static void finish(struct vm *vm)
{
	unsigned int steps = 0;

	while (go(vm, 0) != CELL_ANSWERED)
		ck_assert_uint_lt(++steps, 2 * KEEL_APERTURES * (APERTURE_PAGES / STEP_PAGES + 1));
	ck_assert_uint_eq(vm->apertures.stale.count, 0);
}

static void place(struct vm *vm, unsigned int number, struct keel_aperture aperture)
{
	vm->vcpu[0]->cell.page->aperture[number] = aperture;
	ck_assert(ask(vm, 0, 1u << number));
	finish(vm);
}

static uint64_t channel_frame(const struct vm *vm, uint64_t page)
{
	struct pt_place found;

	ck_assert(pt_lookup(&vm->cell_table, KEEL_CELL_CHANNEL + page * PAGE_SIZE, &found));
	return pt_leaf_address(&pt_format_x86, &found, KEEL_CELL_CHANNEL + page * PAGE_SIZE);
}

/* All of its pages, and no more of them. */
static bool is_shown(const struct vm *vm, struct keel_aperture a)
{
	struct pt_place found;

	for (uint64_t i = 0; i < a.pages; i++) {
		if (!pt_lookup(&vm->guest_table, a.gpa + i * PAGE_SIZE, &found) || found.order ||
		    !(found.entry & PT_MARK_APERTURE))
			return false;
		ck_assert_uint_eq(found.entry & pt_format_npt.address, channel_frame(vm, a.page + i));
		ck_assert_int_eq(!(found.entry & pt_format_npt.write), a.flags & KEEL_APERTURE_READONLY);
	}
	return true;
}

static bool is_empty(const struct vm *vm, uint64_t gpa)
{
	struct pt_place found;

	return !pt_lookup(&vm->guest_table, gpa, &found);
}

static unsigned int marked;

static void count_marked(const struct vm *vm, uint64_t gpa, uint64_t entry, unsigned int order)
{
	(void)vm;
	(void)gpa;
	(void)order;
	marked += (entry & PT_MARK_APERTURE) != 0;
}

static unsigned int count_shown(const struct vm *vm)
{
	marked = 0;
	visit_table(vm, &vm->guest_table, vm->guest_table.root, PT_ORDER_TOP, 0, count_marked);
	return marked;
}

static void end_apertures(struct vm *vm)
{
	WORKS(vm_kill(vm));
	reclaim_all(vm);
	check_all_free();
}

START_TEST(aperture_bounds)
{
	struct vm *vm = create_with_tables(1);

	FAILS(vm_bound_aperture(vm, KEEL_APERTURES, 0, 1), EINVAL);
	FAILS(vm_bound_aperture(vm, 1ull << 32, 0, 1), EINVAL);
	FAILS(vm_bound_aperture(vm, 0, 0, CHANNEL_PAGES + 1), EINVAL);
	FAILS(vm_bound_aperture(vm, 0, 1, CHANNEL_PAGES), EINVAL);
	FAILS(vm_bound_aperture(vm, 0, CHANNEL_PAGES + 1, 0), EINVAL);
	FAILS(vm_bound_aperture(vm, 0, UINT64_MAX, 2), EINVAL);
	FAILS(vm_bound_aperture(vm, 0, 1ull << 32, 1), EINVAL);
	WORKS(vm_bound_aperture(vm, 7, 0, CHANNEL_PAGES));
	WORKS(vm_bound_aperture(vm, 7, CHANNEL_PAGES, 0));
	WORKS(vm_kill(vm));
	FAILS(vm_bound_aperture(vm, 0, 0, 1), ESHUTDOWN);
	vm = create_with_apertures(1);
	FAILS(vm_bound_aperture(vm, 4, 0, 1), EBUSY);
}
END_TEST

/* The start sets aside what the worst places need, or does not take place. */
START_TEST(aperture_tables)
{
	struct vm *vm = create_complete(1);
	struct frame_pool kept;

	add_tables(vm, 5);
	/* One page: a table of each level. Three can lie across the end of all three. */
	WORKS(vm_bound_aperture(vm, 0, 0, 1));
	ck_assert_uint_eq(aperture_frames(&vm->apertures), 3);
	WORKS(vm_bound_aperture(vm, 0, 0, 3));
	ck_assert_uint_eq(aperture_frames(&vm->apertures), 6);
	WORKS(vm_bound_aperture(vm, 5, 1, 2));
	ck_assert_uint_eq(aperture_frames(&vm->apertures), 12);
	ck_assert_uint_eq(frames_for(514), 3 + 2 + 2);
	ck_assert_uint_eq(frames_for(513), 2 + 2 + 2);
	ck_assert_uint_eq(frames_for(1u << 16), 129 + 2 + 2);
	kept = vm->tables;
	for (vm->tables.count = 0; vm->tables.count < 9 + 12; vm->tables.count++)
		FAILS(vm_start(vm, TSC_KHZ), ENOMEM);
	vm->tables = kept;
	WORKS(vm_start(vm, TSC_KHZ));
	ck_assert_uint_eq(vm->apertures.tables.count, 12);
	place(vm, 0, at((1ull << 39) - PAGE_SIZE, 0, 3));
	ck_assert_uint_eq(vm->apertures.tables.count, 6);
	place(vm, 5, at((2ull << 39) - 2 * PAGE_SIZE, 1, 2));
	check_vm(vm);
	place(vm, 5, at((1ull << 30) - PAGE_SIZE, 1, 2));
	check_vm(vm);
	place(vm, 0, at(0, 0, 0));
	place(vm, 5, at(0, 0, 0));
	ck_assert_uint_eq(vm->apertures.tables.count, 12);
	end_apertures(vm);
}
END_TEST

START_TEST(aperture_refusals)
{
	static const struct {
		unsigned int number;
		struct keel_aperture aperture;
		unsigned int bits;	/* of guests' addresses */
	} bad[] = {
		{ 4, { .gpa = GIB, .page = 0, .pages = 1 }, 48 },		/* none there */
		{ 2, { .gpa = GIB, .page = 9, .pages = 1 }, 48 },		/* the bound's begin and end */
		{ 2, { .gpa = GIB, .page = 0, .pages = 20 }, 48 },
		{ 2, { .gpa = GIB, .page = 10, .pages = APERTURE_PAGES - 9 }, 48 },
		{ 2, { .gpa = GIB, .page = APERTURE_PAGES, .pages = 1 }, 48 },
		{ 3, { .gpa = GIB, .page = APERTURE_PAGES - 1, .pages = 2 }, 48 },
		{ 0, { .gpa = GIB, .page = 1, .pages = APERTURE_PAGES }, 48 },
		{ 0, { .gpa = GIB, .page = 0xffffffff, .pages = 2 }, 48 },
		{ 0, { .gpa = GIB, .page = 1, .pages = 0xffffffff }, 48 },
		{ 0, { .gpa = GIB + 1, .page = 0, .pages = 1 }, 48 },		/* not a page's address */
		{ 0, { .gpa = GIB + PAGE_SIZE / 2, .page = 0, .pages = 1 }, 48 },
		{ 0, { .gpa = APERTURE_LIMIT, .page = 0, .pages = 1 }, 48 },	/* too high */
		{ 0, { .gpa = APERTURE_LIMIT - PAGE_SIZE, .page = 0, .pages = 2 }, 48 },
		{ 0, { .gpa = 0ull - PAGE_SIZE, .page = 0, .pages = 1 }, 48 },
		{ 0, { .gpa = 0ull - PAGE_SIZE, .page = 0, .pages = 2 }, 48 },
		{ 0, { .gpa = 1ull << 48, .page = 0, .pages = 1 }, 52 },
		{ 0, { .gpa = 64 * GIB, .page = 0, .pages = 1 }, 36 },
		{ 0, { .gpa = 64 * GIB - PAGE_SIZE, .page = 0, .pages = 2 }, 36 },
		{ 0, { .gpa = 0, .page = 0, .pages = 1 }, 48 },			/* memory, in a large leaf and in small ones */
		{ 0, { .gpa = MIB, .page = 0, .pages = 16 }, 48 },
		{ 0, { .gpa = 2 * MIB, .page = 0, .pages = 1 }, 48 },
		{ 0, { .gpa = 2 * MIB + 3 * PAGE_SIZE, .page = 0, .pages = 8 }, 48 },
		{ 0, { .gpa = 4 * GIB - PAGE_SIZE, .page = 0, .pages = 1 }, 48 },	/* firmware */
		{ 0, { .gpa = 4 * GIB - 100 * PAGE_SIZE, .page = 0, .pages = 200 }, 48 },
		{ 0, { .gpa = KEEL_APIC_BASE, .page = 0, .pages = 1 }, 48 },
		{ 0, { .gpa = KEEL_APIC_BASE - 3 * PAGE_SIZE, .page = 0, .pages = 4 }, 48 },
		{ 0, { .gpa = 3 * GIB, .page = 0, .pages = 1 }, 48 },		/* aperture 1 */
		{ 0, { .gpa = 3 * GIB - 9 * PAGE_SIZE, .page = 0, .pages = 10 }, 48 },
		{ 0, { .gpa = 3 * GIB + 4 * PAGE_SIZE, .page = 0, .pages = 1 }, 48 },
		{ 0, { .gpa = GIB, .page = 0, .pages = 1, .flags = 2 }, 48 },
		{ 0, { .gpa = GIB, .page = 0, .pages = 1, .flags = 1u << 31 | KEEL_APERTURE_READONLY }, 48 },
	};
	struct vm *vm;

	by_processor = _i;		/* the APIC's page is not there otherwise, and no place all the same */
	vm = create_with_apertures(1);
	place(vm, 1, at(3 * GIB, 7, 5));
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		address_bits = bad[i].bits;
		vm->vcpu[0]->cell.page->aperture[bad[i].number] = bad[i].aperture;
		ck_assert_msg(!ask(vm, 0, 1u << bad[i].number), "%u", i);
		ck_assert(is_shown(vm, at(3 * GIB, 7, 5)));
		ck_assert_uint_eq(count_shown(vm), 5);
	}
	address_bits = 48;
	ck_assert(!ask(vm, 0, 1u << KEEL_APERTURES));
	ck_assert(!ask(vm, 0, 1u << 31 | 1));
	/* Two that are asked for together. */
	vm->vcpu[0]->cell.page->aperture[0] = at(GIB, 0, 10);
	vm->vcpu[0]->cell.page->aperture[2] = at(GIB + 9 * PAGE_SIZE, 10, 1);
	ck_assert(!ask(vm, 0, 1u << 0 | 1u << 2));
	vm->vcpu[0]->cell.page->aperture[2] = at(GIB - 9 * PAGE_SIZE, 10, 10);
	ck_assert(!ask(vm, 0, 1u << 0 | 1u << 2));
	ck_assert_uint_eq(count_shown(vm), 5);
	check_vm(vm);
	end_apertures(vm);
}
END_TEST

START_TEST(aperture_places)
{
	struct vm *vm = create_with_apertures(1);
	struct keel_aperture first = at(2 * MIB + 4 * PAGE_SIZE, 0, APERTURE_PAGES);
	struct keel_aperture second = at(APERTURE_LIMIT - PAGE_SIZE, 3, 1);
	uint64_t bits[4] = { 0 };

	/* Beside memory, at the last address, in front of the APIC's page and behind it. */
	place(vm, 0, first);
	place(vm, 1, second);
	place(vm, 2, at(KEEL_APIC_BASE - 20 * PAGE_SIZE, 10, 20));
	place(vm, 3, at(KEEL_APIC_BASE + PAGE_SIZE, APERTURE_PAGES - 1, 1));
	ck_assert(is_shown(vm, first) && is_shown(vm, second));
	ck_assert_uint_eq(count_shown(vm), APERTURE_PAGES + 1 + 20 + 1);
	check_vm(vm);
	/* The log is of memory alone. */
	WORKS(vm_take_dirty(vm, KEEL_APIC_BASE & ~(MIB - 1), KEEL_DIRTY_SPLIT, bits));
	WORKS(vm_take_dirty(vm, 3 * MIB, KEEL_DIRTY_SPLIT, bits));
	ck_assert_uint_eq(count_bits(bits), 0);
	WORKS(vm_take_dirty(vm, 2 * MIB, KEEL_DIRTY_SPLIT, bits));
	ck_assert_uint_eq(count_bits(bits), 4);
	/* On by a page, over its own place; then they change places; then only for reading, and out. */
	first.gpa += PAGE_SIZE;
	place(vm, 0, first);
	ck_assert(is_shown(vm, first) && is_empty(vm, first.gpa - PAGE_SIZE));
	second = at(first.gpa, 3, 1);
	first = at(APERTURE_LIMIT - PAGE_SIZE, 5, 1);
	vm->vcpu[0]->cell.page->aperture[0] = first;
	vm->vcpu[0]->cell.page->aperture[1] = second;
	ck_assert(ask(vm, 0, 3));
	finish(vm);
	ck_assert(is_shown(vm, first) && is_shown(vm, second));
	ck_assert_uint_eq(count_shown(vm), 1 + 1 + 20 + 1);
	second.flags = KEEL_APERTURE_READONLY;
	place(vm, 1, second);
	ck_assert(is_shown(vm, second));
	/* What is nowhere may have been said to be anywhere. */
	vm->vcpu[0]->cell.page->aperture[0] = at(1, 99999, 0);
	for (unsigned int i = 1; i < KEEL_APERTURES; i++)
		vm->vcpu[0]->cell.page->aperture[i] = at(KEEL_APIC_BASE, 0, 0);
	ck_assert(ask(vm, 0, 0xff));
	finish(vm);
	ck_assert_uint_eq(count_shown(vm), 0);
	ck_assert_uint_eq(vm->apertures.tables.count, aperture_frames(&vm->apertures));
	check_vm(vm);
	end_apertures(vm);
}
END_TEST

/* What was there is out at once; the new place, and the tables of the old one, wait for everybody who may be using that. */
START_TEST(aperture_waits)
{
	struct vm *vm = create_with_apertures(4);
	struct cell_context *cell = &vm->vcpu[1]->cell;
	unsigned int tables;

	for (unsigned int i = 0; i < 4; i++)
		vm->vcpu[i]->last_cpu = cpus[i];
	vm->vcpu[0]->cell.running = vm->vcpu[1]->cell.running = vm->vcpu[2]->cell.running = 1;
	/* Nobody can have a translation of what was not there. */
	cell->page->aperture[0] = at(GIB, 0, 3);
	tables = vm->apertures.tables.count;
	ck_assert(ask(vm, 1, 1));
	ck_assert_int_eq(go(vm, 1), CELL_ANSWERED);
	ck_assert_uint_eq(vm->apertures.tables.count, tables - 2);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_ptr_eq(vm->vcpu[i]->last_cpu, cpus[i]);
	/* vCPU 3 is on no CPU, and 1 has answered. */
	cell->page->aperture[0] = at(2 * GIB, 0, 3);
	ck_assert(ask(vm, 1, 1));
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(go(vm, 1), CELL_WAITS);
		ck_assert_uint_eq(aperture_late(&vm->apertures), 1u << 0 | 1u << 2);
		for (unsigned int j = 0; j < 4; j++)
			ck_assert_ptr_null(vm->vcpu[j]->last_cpu);
		ck_assert(is_empty(vm, GIB) && is_empty(vm, 2 * GIB));
		ck_assert(vm->apertures.stale.count == 2 && vm->apertures.tables.count == tables - 2);
	}
	/* One leaves the guest, and is at the cell's door when it is looked for; the other one comes into the guest anew. */
	aperture_left(&vm->apertures, 0);
	ck_assert_int_eq(go(vm, 1), CELL_WAITS);
	ck_assert_uint_eq(aperture_late(&vm->apertures), 1u << 2);
	vm->vcpu[2]->last_cpu = cpus[3];
	ck_assert_int_eq(go(vm, 1), CELL_ANSWERED);
	ck_assert_uint_eq(aperture_late(&vm->apertures), 0);
	ck_assert(is_empty(vm, GIB) && is_shown(vm, at(2 * GIB, 0, 3)));
	ck_assert(vm->apertures.stale.count == 0 && vm->apertures.tables.count == tables - 2);
	/* For the event context everybody counts. */
	vm->event.page->aperture[0] = at(0, 0, 0);
	ck_assert(aperture_begin(cpus[0], &vm->event, 1));
	ck_assert_int_eq(aperture_move(cpus[0], &vm->event), CELL_WAITS);
	ck_assert_uint_eq(aperture_late(&vm->apertures), 1u << 0 | 1u << 1 | 1u << 2);
	/* Two are on no CPU any more, and may be again before anybody looks: what counts is that they were not. */
	vm->vcpu[0]->cell.running = vm->vcpu[1]->cell.running = 0;
	ck_assert_int_eq(aperture_move(cpus[0], &vm->event), CELL_WAITS);
	vm->vcpu[0]->cell.running = vm->vcpu[1]->cell.running = 1;
	ck_assert_int_eq(aperture_move(cpus[0], &vm->event), CELL_WAITS);
	ck_assert_uint_eq(aperture_late(&vm->apertures), 1u << 2);
	vm->vcpu[2]->cell.running = 0;
	ck_assert_int_eq(aperture_move(cpus[0], &vm->event), CELL_ANSWERED);
	ck_assert_uint_eq(count_shown(vm), 0);
	end_apertures(vm);
}
END_TEST

/* Interrupts are let in between so many pages, whichever way they go. */
START_TEST(aperture_steps)
{
	struct vm *vm = create_with_apertures(1);
	struct keel_context *page = vm->vcpu[0]->cell.page;

	page->aperture[0] = at(8 * GIB, 0, APERTURE_PAGES);
	ck_assert(ask(vm, 0, 1));
	ck_assert_int_eq(go(vm, 0), CELL_INTERRUPTED);
	ck_assert_uint_eq(count_shown(vm), STEP_PAGES);
	ck_assert_int_eq(go(vm, 0), CELL_ANSWERED);
	ck_assert(is_shown(vm, page->aperture[0]));
	page->aperture[0].gpa += PAGE_SIZE;
	ck_assert(ask(vm, 0, 1));
	ck_assert_int_eq(go(vm, 0), CELL_INTERRUPTED);
	ck_assert_uint_eq(count_shown(vm), APERTURE_PAGES - STEP_PAGES);
	ck_assert_int_eq(go(vm, 0), CELL_INTERRUPTED);
	ck_assert_int_eq(go(vm, 0), CELL_ANSWERED);
	ck_assert(is_shown(vm, page->aperture[0]) && is_empty(vm, 8 * GIB));
	end_apertures(vm);
}
END_TEST

static bool ranges_meet(uint64_t first, uint64_t bytes, uint64_t other, uint64_t other_bytes)
{
	return bytes && other_bytes && first < other + other_bytes && other < first + bytes;
}

/* Whether they may be where they are, all together, by the rules of cell.h. */
static bool is_arrangement(const struct keel_aperture *all)
{
	static const struct {
		uint64_t first, bytes;
	} taken[] = {
		{ 0, 2 * MIB + 4 * PAGE_SIZE },
		{ 4 * GIB - PAGE_SIZE, PAGE_SIZE },
		{ KEEL_APIC_BASE, PAGE_SIZE },
	};

	for (unsigned int i = 0; i < KEEL_APERTURES; i++) {
		uint64_t bytes = all[i].pages * PAGE_SIZE;

		if (bytes && (all[i].gpa > APERTURE_LIMIT || bytes > APERTURE_LIMIT - all[i].gpa))
			return false;
		for (unsigned int j = 0; j < ARRAY_SIZE(taken); j++)
			if (ranges_meet(all[i].gpa, bytes, taken[j].first, taken[j].bytes))
				return false;
		for (unsigned int j = 0; j < i; j++)
			if (ranges_meet(all[i].gpa, bytes, all[j].gpa, all[j].pages * PAGE_SIZE))
				return false;
	}
	return true;
}

static struct keel_aperture pick_place(void)
{
	static const uint64_t borders[] = {
		2 * MIB, 4 * MIB, GIB, 3 * GIB, KEEL_APIC_BASE, 4 * GIB, 1ull << 39, APERTURE_LIMIT,
	};
	static const uint16_t counts[] = { 0, 0, 1, 1, 2, 3, 40, 512, 513, APERTURE_PAGES - 10 };
	uint64_t border = borders[(unsigned int)random() % ARRAY_SIZE(borders)];
	uint32_t pages = counts[(unsigned int)random() % ARRAY_SIZE(counts)];
	struct keel_aperture place = at(border + (uint64_t)random() % 5 * PAGE_SIZE, 0, pages);

	if (random() % 2)
		place.gpa -= pages * PAGE_SIZE;
	place.page = 10 + (uint32_t)random() % (APERTURE_PAGES - 10 - pages + 1);
	place.flags = random() % 4 ? 0 : KEEL_APERTURE_READONLY;
	return place;
}

/* Random moves against the list of where they are. Tables never run out, and all come back. */
START_TEST(aperture_sequences)
{
	struct keel_aperture now[KEEL_APERTURES] = { { 0 } }, next[KEEL_APERTURES];
	struct vm *vm = create_with_apertures(2);
	unsigned int allowed = 0;

	srandom((unsigned int)_i + 1);
	for (unsigned int step = 0; step < 400; step++) {
		uint32_t mask = (uint32_t)random() % 7 + 1;
		unsigned int pages = 0;

		memcpy(next, now, sizeof(next));
		for (unsigned int i = 0; i < 3; i++)
			if (mask >> i & 1)
				next[i] = vm->vcpu[0]->cell.page->aperture[i] = pick_place();
		ck_assert_int_eq(ask(vm, 0, mask), is_arrangement(next));
		if (!is_arrangement(next))
			continue;
		finish(vm);
		allowed++;
		memcpy(now, next, sizeof(now));
		for (unsigned int i = 0; i < 3; i++) {
			ck_assert(is_shown(vm, now[i]));
			pages += now[i].pages;
		}
		ck_assert_uint_eq(count_shown(vm), pages);
		if (step % 16 == 0)
			check_vm(vm);
	}
	ck_assert_uint_gt(allowed, 100);
	memset(vm->vcpu[0]->cell.page->aperture, 0, sizeof(vm->vcpu[0]->cell.page->aperture));
	ck_assert(ask(vm, 0, 7));
	finish(vm);
	ck_assert_uint_eq(vm->apertures.tables.count, aperture_frames(&vm->apertures));
	check_vm(vm);
	end_apertures(vm);
}
END_TEST

/* Random sequences against an array of what each frame is. */

struct model_frame {
	unsigned int owner;
	enum own_state state;
};

static struct model_frame model[FRAMES];

static bool model_all(uint64_t hpa, uint64_t order, unsigned int owner, enum own_state state)
{
	uint64_t i, pages = order < 20 ? 1ull << order : 0;

	if (!pages || hpa % (PAGE_SIZE << order) || hpa < FREE || hpa >= END || pages > (END - hpa) / PAGE_SIZE)
		return false;
	for (i = (hpa - FREE) / PAGE_SIZE; pages; i++, pages--)
		if (model[i].owner != owner || model[i].state != state)
			return false;
	return true;
}

static void model_set(uint64_t hpa, uint64_t order, unsigned int owner, enum own_state state)
{
	for (uint64_t i = 0; i < 1ull << order; i++)
		model[(hpa - FREE) / PAGE_SIZE + i] = (struct model_frame){ owner, state };
}

static bool all_flushed(const struct vm *vm)
{
	bool all = true;

	for (unsigned int i = 0; i < CPUS; i++)
		if (cpus[i]->online && !cpus[i]->parked)
			all &= cpus[i]->flushed >= vm->donated;
	return all;
}

static unsigned int pick(unsigned int count)
{
	return (unsigned int)random() % count;
}

static uint64_t pick_order(void)
{
	static const uint8_t orders[] = { 0, 0, 0, 0, 1, 2, 2, 3, 3, 3, 4, 5, 9, 10, 18, 30 };

	return orders[pick(sizeof(orders))];
}

static uint64_t pick_hpa(uint64_t order)
{
	uint64_t hpa = FREE + pick(FRAMES) * PAGE_SIZE;

	if (!pick(40))
		return hpa + pick(3);
	if (!pick(40))
		return pick(2) ? LOW : ARENA + hpa;
	return order < 20 ? hpa & ~((PAGE_SIZE << order) - 1) : hpa;
}

static uint64_t pick_cell_address(void)
{
	return pick(2) ? KEEL_CELL_IMAGE + pick(IMAGE_PAGES + 1) * PAGE_SIZE :
			 stack_of(pick(4) ? pick(3) : KEEL_CONTEXT_EVENT) + pick(KEEL_CELL_STACK_PAGES + 1) * PAGE_SIZE;
}

static struct vm *pick_vm(void)
{
	struct vm *vm = vm_get(pick(4) + 1);
	uint64_t hpa;
	int id;

	if (vm)
		return vm;
	hpa = pick_hpa(1);
	id = vm_create(hpa, pick(3) + 1, CHANNEL_PAGES, 0);
	ck_assert_int_eq(id > 0, model_all(hpa, 1, OWN_CONTROL, OWN_MAPPED));
	if (id <= 0)
		return NULL;
	model_set(hpa, 1, (unsigned int)id, OWN_RECORD);
	return vm_get((uint64_t)id);
}

static int step_donate(struct vm *vm, uint64_t hpa, uint64_t order)
{
	bool good = vm->state != VM_KILLED && model_all(hpa, order, OWN_CONTROL, OWN_MAPPED);
	int error = vm_donate(vm, hpa, order);

	ck_assert_int_eq(!error, good);
	if (!error)
		model_set(hpa, order, vm->id, OWN_DONATED);
	return error;
}

static int step_assign(struct vm *vm, uint64_t hpa, uint64_t order)
{
	static const enum own_state states[] = { OWN_NONE, OWN_TABLE, OWN_CELL, OWN_VCPU, OWN_NONE };
	uint64_t use = pick(5), arg = use == KEEL_USE_CELL ? pick_cell_address() : pick(3);
	bool may = vm->state != VM_KILLED && all_flushed(vm) && model_all(hpa, order, vm->id, OWN_DONATED);
	int error = vm_assign(vm, hpa, order, use, arg);

	ck_assert(error || may);
	if (!error)
		model_set(hpa, order, vm->id, states[use]);
	return error;
}

static int step_map(struct vm *vm, uint64_t hpa, uint64_t order)
{
	bool may = vm->state <= VM_BUILDING && all_flushed(vm) && model_all(hpa, order, vm->id, OWN_DONATED);
	int error = vm_map(vm, hpa, order, pick_hpa(order) - (pick(2) ? FREE : 0), pick(2));

	ck_assert(error || may);
	if (!error)
		model_set(hpa, order, vm->id, OWN_RAM);
	return error;
}

static int step_share(struct vm *vm, uint64_t hpa, uint64_t order)
{
	int error = vm_share(vm, hpa, order, pick(CHANNEL_PAGES + 1));

	if (!error) {
		ck_assert(vm->state == VM_BUILDING && model_all(hpa, order, OWN_CONTROL, OWN_MAPPED));
		model_set(hpa, order, vm->id, OWN_SHARED);
	}
	return error;
}

static int step_reclaim(struct vm *vm, uint64_t hpa, uint64_t order)
{
	int error = vm_reclaim(vm, hpa, order);

	if (error)
		return error;
	ck_assert(vm->state == VM_KILLED || vm->state == VM_FREE);
	for (uint64_t i = 0; i < 1ull << order; i++) {
		struct model_frame *frame = &model[(hpa - FREE) / PAGE_SIZE + i];

		ck_assert_uint_eq(frame->owner, vm->id);
		ck_assert(frame->state == OWN_SHARED || page_is(hpa + i * PAGE_SIZE, 0));
		*frame = (struct model_frame){ OWN_CONTROL, OWN_MAPPED };
	}
	return 0;
}

static void check_model(void)
{
	for (uint64_t i = 0; i < FRAMES; i++) {
		struct own_frame frame = own_query(FREE + i * PAGE_SIZE);

		ck_assert_uint_eq(frame.owner, model[i].owner);
		ck_assert(frame.state == model[i].state || (model[i].state == OWN_RECORD && frame.state == OWN_DONATED));
	}
	for (unsigned int id = 1; id <= KEEL_MAX_VMS; id++)
		if (vm_get(id))
			check_vm(vm_get(id));
}

static int step(struct vm *vm)
{
	uint64_t order = pick_order(), hpa = pick_hpa(order);

	switch (pick(12)) {
	case 0:
	case 1:
	case 2:
		return step_donate(vm, hpa, order);
	case 3:
	case 4:
	case 5:
		return step_assign(vm, hpa, order);
	case 6:
		return step_map(vm, hpa, order);
	case 7:
		return step_share(vm, hpa, order);
	case 8:
		return vm_start(vm, TSC_KHZ);
	case 9:
		cpu_objects[pick(CPUS)].flushed = donations;
		return 0;
	case 10:
		return pick(20) ? 0 : vm_kill(vm);
	default:
		return step_reclaim(vm, hpa, order);
	}
}

START_TEST(random_sequences)
{
	unsigned int failures = 0;
	struct vm *vm;

	srandom((unsigned int)_i + 100);
	for (uint64_t i = 0; i < FRAMES; i++)
		model[i] = (struct model_frame){ OWN_CONTROL, OWN_MAPPED };
	for (unsigned int i = 0; i < STEPS; i++) {
		enum vm_state before;

		if (!pick(4))
			flush_all();
		vm = pick_vm();
		if (!vm)
			continue;
		before = vm->state;
		remember();
		/* A call that fails may still have been the one that put the record to use. */
		if (step(vm) && (before != VM_CREATED || vm->state == VM_CREATED)) {
			ck_assert(unchanged());
			failures++;
		}
		if (i % ROUND_STEPS == 0)
			check_model();
	}
	check_model();
	ck_assert_uint_gt(failures, STEPS / 10);
	ck_assert_uint_lt(failures, STEPS * 9 / 10);
	for (unsigned int id = 1; id <= KEEL_MAX_VMS; id++) {
		vm = vm_get(id);
		if (!vm)
			continue;
		WORKS(vm_kill(vm));
		reclaim_all(vm);
	}
	check_all_free();
}
END_TEST

SUITE_OF_CASES("vm", suite)
{
	TCase *tests = add_case(suite, "vm"), *large = add_case(suite, "large");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, life, 0, 7);
	tcase_add_test(tests, create_errors);
	tcase_add_test(tests, donate_errors);
	tcase_add_test(tests, flush_epochs);
	tcase_add_test(tests, devices_flush);
	tcase_add_test(tests, start_needs_a_flush);
	tcase_add_test(tests, assign_errors);
	tcase_add_test(tests, cell_pages);
	tcase_add_test(tests, vcpus);
	tcase_add_test(tests, too_few_tables);
	tcase_add_test(tests, too_few_tables_for_a_vcpu);
	tcase_add_test(tests, map_errors);
	tcase_add_test(tests, share_errors);
	tcase_add_loop_test(tests, start_incomplete, 0, 5);
	tcase_add_test(tests, kill_and_reclaim);
	tcase_add_test(tests, record_of_an_orphan);
	tcase_add_test(tests, cell_data_pages);
	tcase_add_test(tests, dirty_log);
	tcase_add_loop_test(tests, apic_access_page, 0, 3);
	tcase_add_test(tests, aperture_bounds);
	tcase_add_test(tests, aperture_tables);
	tcase_add_loop_test(tests, aperture_refusals, 0, 2);
	tcase_add_test(tests, aperture_places);
	tcase_add_test(tests, aperture_waits);
	tcase_add_test(tests, aperture_steps);
	tcase_add_loop_test(tests, aperture_sequences, 0, 4);
	tcase_add_loop_test(tests, random_sequences, 0, 4);
	tcase_add_checked_fixture(large, setup_large, teardown);
	tcase_set_timeout(large, 60);
	tcase_add_test(large, large_blocks);
	tcase_add_test(large, dirty_log_too_few_tables);
}
