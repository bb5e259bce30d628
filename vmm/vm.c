// SPDX-License-Identifier: GPL-2.0
// Building VMs from donated frames, and taking them down.

#include "vm.h"

#include <stddef.h>

#include "cpu.h"
#include "donation.h"
#include "error.h"
#include "hv.h"
#include "image.h"
#include "iommu.h"
#include "memory.h"
#include "own.h"
#include "paging.h"
#include "percpu.h"
#include "pt_format.h"
#include "string.h"
#include "trap.h"
#include "vcpu.h"
#include "xstate.h"

#define ORDER_2M	9u
#define GUEST_LIMIT	KEEL_CELL_GUEST_MAX
#define RECORD_CONTEXT	0u		/* pages of the record: the event context's page, the cell's top table */
#define RECORD_TABLE	1u

_Static_assert(PT_WINDOW == KEEL_DIRTY_PAGES, "what a hypercall reports at a time");

static struct vm vms[KEEL_MAX_VMS];

/* cell_image.asm: the cell's program. */
extern const uint8_t cell_image_end[];
static const struct keel_cell_header *header;

void vm_init(void)
{
	unsigned int i;

	header = (const struct keel_cell_header *)cell_image;
	if (header->magic != KEEL_CELL_MAGIC || vm_cell_image_pages() > KEEL_CELL_IMAGE_MAX / KEEL_PAGE_SIZE ||
	    (header->text_pages + header->rodata_pages + header->data_pages) * KEEL_PAGE_SIZE !=
		    (uint64_t)(cell_image_end - cell_image))
		panic("the cell's program is not one");
	for (i = 0; i < KEEL_MAX_VMS; i++)
		vms[i].id = i + 1;
}

unsigned int vm_cell_image_pages(void)
{
	return header->text_pages + header->rodata_pages + header->data_pages + header->bss_pages;
}

unsigned int vm_free_slots(void)
{
	unsigned int i, free = 0;

	for (i = 0; i < KEEL_MAX_VMS; i++)
		free += vms[i].state == VM_FREE;
	return free;
}

void vm_tell_faults(void)
{
	spin_lock(&vm_lock);
	iommu_tell_faults();
	spin_unlock(&vm_lock);
}

struct vm *vm_get(uint64_t id)
{
	if (!id || id > KEEL_MAX_VMS || vms[id - 1].state == VM_FREE)
		return NULL;
	return &vms[id - 1];
}

void vm_end(struct vm *vm, enum keel_end end, uint64_t detail, uint64_t address)
{
	if (__atomic_exchange_n(&vm->ending, 1, __ATOMIC_ACQ_REL))
		return;
	vm->end_detail = detail;
	vm->end_address = address;
	__atomic_store_n(&vm->end, end, __ATOMIC_RELEASE);
}

static bool block_ok(uint64_t hpa, uint64_t order, uint64_t most)
{
	return order <= most && !(hpa & ((KEEL_PAGE_SIZE << order) - 1));
}

static struct vm *free_slot(void)
{
	unsigned int i;

	for (i = 0; i < KEEL_MAX_VMS; i++)
		if (vms[i].state == VM_FREE)
			return &vms[i];
	return NULL;
}

/* Not the count of those that run: one that came late may still have to take itself off it. */
static void clear(struct vm *vm)
{
	unsigned int id = vm->id;

	memset(&vm->cell_owner, 0, sizeof(*vm) - offsetof(struct vm, cell_owner));
	vm->id = id;
}

int vm_create(uint64_t hpa, uint64_t vcpus, uint64_t channel_pages, uint64_t topology)
{
	struct keel_topology spread;
	struct vm *vm;
	int error = 0;

	if (!vcpus || vcpus > KEEL_MAX_VCPUS || !channel_pages ||
	    channel_pages > KEEL_CELL_CHANNEL_MAX / KEEL_PAGE_SIZE || !block_ok(hpa, 1, 1) || topology > UINT32_MAX)
		return -EINVAL;
	spread = keel_topology((uint32_t)topology, (uint32_t)vcpus);
	if (!spread.sockets)
		return -EINVAL;
	spin_lock(&vm_lock);
	vm = free_slot();
	error = vm ? own_donate(hpa, 1, vm->id) : -ENOSPC;
	if (!error) {
		clear(vm);
		vm->record = hpa;
		vm->vcpu_count = (unsigned int)vcpus;
		vm->topology = spread;
		vm->channel_pages = (unsigned int)channel_pages;
		vm->donated = donation_count();
		vm->state = VM_CREATED;
		error = (int)vm->id;
	}
	spin_unlock(&vm_lock);
	return error;
}

int vm_donate(struct vm *vm, uint64_t hpa, uint64_t order)
{
	int error;

	if (!block_ok(hpa, order, KEEL_MAX_ORDER))
		return -EINVAL;
	spin_lock(&vm_lock);
	error = vm->state == VM_KILLED ? -ESHUTDOWN : own_donate(hpa, (unsigned int)order, vm->id);
	if (!error)
		__atomic_store_n(&vm->donated, donation_count(), __ATOMIC_RELEASE);
	spin_unlock(&vm_lock);
	return error;
}

static void context_init(struct cell_context *context, struct vm *vm, unsigned int number, void *page)
{
	context->vm = vm;
	context->number = number;
	context->page = page;
	context->frame.cs = SEL_USER_CODE;
	context->frame.ss = SEL_USER_DATA;
	cell_rewind(context);
}

/* The record's pages become the top of the cell's address space and the event context's page. */
static void build_record(struct vm *vm)
{
	uint64_t *top = phys_to_virt(vm->record + RECORD_TABLE * PAGE_SIZE);

	own_assign(vm->record, 1, vm->id, OWN_DONATED, OWN_RECORD);
	memset(phys_to_virt(vm->record), 0, KEEL_VM_PAGES * PAGE_SIZE);
	top[PAGING_SHARED_SLOT] = paging_shared_entry();
	vm->cell_table = (struct page_table){ &pt_format_x86, virt_to_phys(top), paging_main.largest };
	context_init(&vm->event, vm, KEEL_CONTEXT_EVENT, phys_to_virt(vm->record + RECORD_CONTEXT * PAGE_SIZE));
	vm->state = VM_BUILDING;
}

/* Whether the VM can be built on now; on the way its record is put to use. */
static int ready(struct vm *vm)
{
	if (vm->state == VM_KILLED)
		return -ESHUTDOWN;
	if (!donation_flushed(vm->donated))
		return -EAGAIN;
	if (vm->state == VM_CREATED)
		build_record(vm);
	return 0;
}

static int assign_table(struct vm *vm, uint64_t hpa, unsigned int order)
{
	uint64_t i;
	int error = own_assign(hpa, order, vm->id, OWN_DONATED, OWN_TABLE);

	if (error)
		return error;
	for (i = 0; i < 1ull << order; i++)
		frame_pool_put(&vm->tables, hpa + i * PAGE_SIZE);
	if (!vm->guest_table.root)
		vm->guest_table = (struct page_table){ hv->second_level, frame_pool_get(&vm->tables),
						       paging_main.largest };
	return 0;
}

/* Room for one more entry at these addresses of the cell's address space, and the tables above them. */
static bool room(const struct vm *vm, unsigned int frames)
{
	return vm->guest_table.root && vm->tables.count >= frames;
}

static bool is_stack(const struct vm *vm, uint64_t va, uint64_t pages)
{
	uint64_t context = (va - KEEL_CELL_STACKS) / KEEL_CELL_STACK_STRIDE;
	uint64_t offset = (va - KEEL_CELL_STACKS) % KEEL_CELL_STACK_STRIDE;

	if (va < KEEL_CELL_STACKS || pages > KEEL_CELL_STACK_PAGES ||
	    (context >= vm->vcpu_count && context != KEEL_CONTEXT_EVENT))
		return false;
	return offset >= KEEL_CELL_STACK_STRIDE - KEEL_CELL_STACK_PAGES * PAGE_SIZE &&
	       offset + pages * PAGE_SIZE <= KEEL_CELL_STACK_STRIDE;
}

static bool is_image(uint64_t va, uint64_t pages)
{
	uint64_t image_pages = vm_cell_image_pages();

	return va >= KEEL_CELL_IMAGE && (va - KEEL_CELL_IMAGE) / PAGE_SIZE < image_pages &&
	       pages <= image_pages - (va - KEEL_CELL_IMAGE) / PAGE_SIZE;
}

static unsigned int image_rights(uint64_t page)
{
	if (page < header->text_pages)
		return PT_READ | PT_EXEC | PT_USER;
	if (page < header->text_pages + header->rodata_pages)
		return PT_READ | PT_USER;
	return PT_READ | PT_WRITE | PT_USER;
}

uint64_t vm_cell_data_page(const struct vm *vm, uint64_t va)
{
	struct pt_place place;

	if (va & (PAGE_SIZE - 1) || !is_image(va, 1) || !(image_rights((va - KEEL_CELL_IMAGE) / PAGE_SIZE) & PT_WRITE) ||
	    !pt_lookup(&vm->cell_table, va, &place))
		return 0;
	return pt_leaf_address(vm->cell_table.format, &place, va);
}

static void fill_cell_page(struct vm *vm, uint64_t hpa, uint64_t va)
{
	uint64_t page = (va - KEEL_CELL_IMAGE) / PAGE_SIZE, stored = (uint64_t)(cell_image_end - cell_image) / PAGE_SIZE;
	bool image = va < KEEL_CELL_STACKS;
	unsigned int rights = image ? image_rights(page) : PT_READ | PT_WRITE | PT_USER;

	if (image && page < stored)
		memcpy(phys_to_virt(hpa), cell_image + page * PAGE_SIZE, PAGE_SIZE);
	else
		memset(phys_to_virt(hpa), 0, PAGE_SIZE);
	pt_map(&vm->cell_table, va, hpa, 0, rights, 0, &vm->tables);
	vm->cell_pages++;
}

static int assign_cell(struct vm *vm, uint64_t hpa, unsigned int order, uint64_t va)
{
	uint64_t pages = 1ull << order, i;
	struct pt_place place;
	int error;

	if (vm->state != VM_BUILDING)
		return -EBUSY;
	if (va & (PAGE_SIZE - 1) || !(is_image(va, pages) || is_stack(vm, va, pages)))
		return -EINVAL;
	for (i = 0; i < pages; i++)
		if (pt_lookup(&vm->cell_table, va + i * PAGE_SIZE, &place))
			return -EBUSY;
	/* Image and stacks lie in a few tables: one of each level for either end. */
	if (!room(vm, 6))
		return -ENOMEM;
	error = own_assign(hpa, order, vm->id, OWN_DONATED, OWN_CELL);
	for (i = 0; !error && i < pages; i++)
		fill_cell_page(vm, hpa + i * PAGE_SIZE, va + i * PAGE_SIZE);
	return error;
}

static void vcpu_build(struct vm *vm, struct vcpu *vcpu, unsigned int index)
{
	uint8_t *pages = (uint8_t *)vcpu;

	context_init(&vcpu->cell, vm, index, pages + VCPU_PAGE_CONTEXT * PAGE_SIZE);
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->poll = 1;
	vcpu->deadline = UINT64_MAX;
	vcpu->xcr0 = XCR0_X87;
	vcpu->xstate = pages + VCPU_PAGE_XSTATE * PAGE_SIZE;
	*(uint32_t *)((uint8_t *)vcpu->xstate + XSAVE_MXCSR) = MXCSR_RESET;
	/* All vCPUs of a VM count from the same moment. */
	vcpu->tsc_offset = index ? vm->vcpu[0]->tsc_offset : -rdtsc();
	vm->vcpu[index] = vcpu;
	hv->vcpu.init(vcpu);
	hv->vcpu.tsc_moved(vcpu);
	vm->vcpus_made++;
}

static int assign_vcpu(struct vm *vm, uint64_t hpa, unsigned int order, uint64_t index)
{
	struct vcpu *vcpu = phys_to_virt(hpa);
	int error;

	/* vCPU 0 comes first: it sets the clock. */
	if (order != KEEL_VCPU_ORDER || index >= vm->vcpu_count || (index && !vm->vcpu[0]))
		return -EINVAL;
	if (vm->state != VM_BUILDING || vm->vcpu[index])
		return -EBUSY;
	if (!room(vm, 8))
		return -ENOMEM;
	error = own_assign(hpa, order, vm->id, OWN_DONATED, OWN_VCPU);
	if (error)
		return error;
	memset(vcpu, 0, PAGE_SIZE << KEEL_VCPU_ORDER);
	/* In the VM's address space: Keel's view of the block, and the cell's of the context page and the APIC page. */
	pt_map(&vm->cell_table, (uint64_t)(uintptr_t)vcpu, hpa, order, PT_READ | PT_WRITE, 0, &vm->tables);
	pt_map(&vm->cell_table, KEEL_CELL_CONTEXTS + index * PAGE_SIZE, hpa + VCPU_PAGE_CONTEXT * PAGE_SIZE, 0,
	       PT_READ | PT_WRITE | PT_USER, 0, &vm->tables);
	pt_map(&vm->cell_table, KEEL_CELL_APICS + index * PAGE_SIZE, hpa + VCPU_PAGE_APIC * PAGE_SIZE, 0,
	       PT_READ | PT_WRITE | PT_USER, 0, &vm->tables);
	vcpu_build(vm, vcpu, (unsigned int)index);
	return 0;
}

int vm_assign(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t use, uint64_t arg)
{
	int error;

	if (!block_ok(hpa, order, ORDER_2M))
		return -EINVAL;
	spin_lock(&vm_lock);
	error = ready(vm);
	if (!error) {
		switch (use) {
		case KEEL_USE_TABLE:
			error = assign_table(vm, hpa, (unsigned int)order);
			break;
		case KEEL_USE_CELL:
			error = assign_cell(vm, hpa, (unsigned int)order, arg);
			break;
		case KEEL_USE_VCPU:
			error = assign_vcpu(vm, hpa, (unsigned int)order, arg);
			break;
		default:
			error = -EINVAL;
			break;
		}
	}
	spin_unlock(&vm_lock);
	return error;
}

static int map_block(struct vm *vm, uint64_t hpa, unsigned int order, uint64_t gpa, unsigned int write)
{
	struct pt_place place;
	int error = own_check(hpa, order, vm->id, OWN_DONATED);

	if (error)
		return error;
	if (!vm->guest_table.root)
		return -ENOMEM;
	if (pt_lookup(&vm->guest_table, gpa, &place))
		return -EBUSY;
	if (!room(vm, pt_frames_needed(&vm->guest_table, gpa, order) +
			      pt_frames_needed(&vm->cell_table, KEEL_CELL_GUEST + gpa, order)))
		return -ENOMEM;
	/* The cell has the same memory, cached: another type in the guest would be an alias (SDM vol. 3, 12.12.4). */
	error = pt_map(&vm->guest_table, gpa, hpa, order, PT_READ | PT_EXEC | PT_USER | PT_COHERENT | write, 0, &vm->tables);
	if (error)
		return error;
	error = pt_map(&vm->cell_table, KEEL_CELL_GUEST + gpa, hpa, order, PT_READ | PT_WRITE | PT_USER, 0,
		       &vm->tables);
	if (error) {
		pt_unmap(&vm->guest_table, gpa, order, &vm->tables);
		return error;
	}
	own_assign(hpa, order, vm->id, OWN_DONATED, OWN_RAM);
	return 0;
}

int vm_map(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t gpa, uint64_t flags)
{
	int error;

	if (!block_ok(hpa, order, KEEL_MAX_ORDER) || !block_ok(gpa, order, KEEL_MAX_ORDER) || gpa >= GUEST_LIMIT ||
	    flags & ~(uint64_t)KEEL_MAP_READONLY)
		return -EINVAL;
	spin_lock(&vm_lock);
	error = ready(vm);
	if (!error && vm->state != VM_BUILDING)
		error = -EBUSY;
	if (!error)
		error = map_block(vm, hpa, (unsigned int)order, gpa, flags & KEEL_MAP_READONLY ? 0 : PT_WRITE);
	spin_unlock(&vm_lock);
	return error;
}

static int share_block(struct vm *vm, uint64_t hpa, unsigned int order, uint64_t index)
{
	uint64_t va = KEEL_CELL_CHANNEL + index * PAGE_SIZE, pages = 1ull << order, i;
	struct pt_place place;
	int error;

	for (i = 0; i < pages; i++)
		if (pt_lookup(&vm->cell_table, va + i * PAGE_SIZE, &place))
			return -EBUSY;
	/* Page by page, as the index need not be aligned to the block: two tables at the most, and those above. */
	if (!room(vm, 4))
		return -ENOMEM;
	error = own_share(hpa, order, vm->id);
	if (error)
		return error;
	for (i = 0; i < pages; i++)
		pt_map(&vm->cell_table, va + i * PAGE_SIZE, hpa + i * PAGE_SIZE, 0, PT_READ | PT_WRITE | PT_USER, 0,
		       &vm->tables);
	vm->channel_mapped += (unsigned int)pages;
	return 0;
}

int vm_share(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t index)
{
	int error;

	if (!block_ok(hpa, order, ORDER_2M) || index >= vm->channel_pages || 1ull << order > vm->channel_pages - index)
		return -EINVAL;
	spin_lock(&vm_lock);
	error = vm->state == VM_BUILDING ? 0 : vm->state == VM_KILLED ? -ESHUTDOWN : -EBUSY;
	if (!error)
		error = share_block(vm, hpa, (unsigned int)order, index);
	spin_unlock(&vm_lock);
	return error;
}

int vm_bound_aperture(struct vm *vm, uint64_t number, uint64_t page, uint64_t pages)
{
	int error = 0;

	if (number >= KEEL_APERTURES || page > vm->channel_pages || pages > vm->channel_pages - page)
		return -EINVAL;
	spin_lock(&vm_lock);
	if (vm->state == VM_KILLED)
		error = -ESHUTDOWN;
	else if (vm->state == VM_STARTED)
		error = -EBUSY;
	else
		aperture_bound(&vm->apertures, (unsigned int)number, (uint32_t)page, (uint32_t)pages);
	spin_unlock(&vm_lock);
	return error;
}

int vm_start(struct vm *vm, uint64_t tsc_khz)
{
	uint64_t context = KEEL_CELL_CONTEXTS + KEEL_CONTEXT_EVENT * PAGE_SIZE;
	int error = 0;

	if (tsc_khz < KEEL_TSC_KHZ_LEAST || tsc_khz > KEEL_TSC_KHZ_MOST)
		return -EINVAL;
	spin_lock(&vm_lock);
	if (vm->state != VM_BUILDING || !donation_flushed(vm->donated) || vm->vcpus_made != vm->vcpu_count ||
	    vm->channel_mapped != vm->channel_pages ||
	    vm->cell_pages != vm_cell_image_pages() + KEEL_CELL_STACK_PAGES * (vm->vcpu_count + 1)) {
		error = -EINVAL;
	} else if (!room(vm, 9 + aperture_frames(&vm->apertures))) {
		error = -ENOMEM;
	} else {
		/* Where the guest has memory instead, that stays. The mark says that this is none. */
		if (vm->vcpu[0]->exit_flags)
			pt_map(&vm->guest_table, KEEL_APIC_BASE,
			       virt_to_phys(vm->vcpu[0]) + VCPU_PAGE_APIC_ACCESS * PAGE_SIZE, 0,
			       PT_READ | PT_WRITE | PT_USER, PT_MARK_DEVICE, &vm->tables);
		pt_map(&vm->cell_table, context, vm->record + RECORD_CONTEXT * PAGE_SIZE, 0,
		       PT_READ | PT_WRITE | PT_USER, 0, &vm->tables);
		pt_map(&vm->cell_table, (uint64_t)(uintptr_t)vm->event.page,
		       vm->record + RECORD_CONTEXT * PAGE_SIZE, 0, PT_READ | PT_WRITE, 0, &vm->tables);
		aperture_start(&vm->apertures, &vm->tables);
		vm->tsc_khz = (uint32_t)tsc_khz;
		__atomic_store_n(&vm->state, VM_STARTED, __ATOMIC_RELEASE);
	}
	spin_unlock(&vm_lock);
	return error;
}

/* The cell's table maps what the guest's does in the same blocks, so both have pages where one has. */
static int take_dirty(struct vm *vm, uint64_t gpa, uint64_t bits[4])
{
	int error = pt_take_dirty(&vm->guest_table, gpa, bits);

	if (error)
		return error;
	pt_take_dirty(&vm->cell_table, KEEL_CELL_GUEST + gpa, bits);
	/* Of the cell's translations nothing outlasts the switch to its address space. */
	if (bits[0] | bits[1] | bits[2] | bits[3])
		vm_drop_translations(vm);
	return 0;
}

static int split_blocks(struct vm *vm, uint64_t gpa)
{
	if (!room(vm, 4))	/* from 1 GiB to a page, in both tables */
		return -ENOMEM;
	/* Where nothing is mapped, nothing is split. */
	pt_split_to(&vm->guest_table, gpa, 0, &vm->tables);
	pt_split_to(&vm->cell_table, KEEL_CELL_GUEST + gpa, 0, &vm->tables);
	return 0;
}

int vm_take_dirty(struct vm *vm, uint64_t gpa, uint64_t flags, uint64_t bits[4])
{
	int error;

	if (gpa % KEEL_DIRTY_BYTES || gpa >= GUEST_LIMIT || flags & ~(uint64_t)KEEL_DIRTY_SPLIT)
		return -EINVAL;
	if (hv->cpu.has_dirty && !hv->cpu.has_dirty())
		return -EOPNOTSUPP;
	spin_lock(&vm_lock);
	error = vm->state == VM_STARTED ? 0 : vm->state == VM_KILLED ? -ESHUTDOWN : -EINVAL;
	if (!error && flags & KEEL_DIRTY_SPLIT)
		error = split_blocks(vm, gpa);
	if (!error)
		error = take_dirty(vm, gpa, bits);
	spin_unlock(&vm_lock);
	return error;
}

int vm_kill(struct vm *vm)
{
	int error;

	spin_lock(&vm_lock);
	vm_end(vm, KEEL_END_DESTROYED, 0, 0);
	__atomic_store_n(&vm->state, VM_KILLED, __ATOMIC_SEQ_CST);
	error = __atomic_load_n(&vm->running, __ATOMIC_SEQ_CST) ? -EBUSY : 0;
	spin_unlock(&vm_lock);
	return error;
}

static bool overlaps_record(const struct vm *vm, uint64_t hpa, uint64_t order)
{
	return hpa < vm->record + KEEL_VM_PAGES * PAGE_SIZE && vm->record < hpa + (PAGE_SIZE << order);
}

static int reclaim_block(struct vm *vm, uint64_t hpa, unsigned int order)
{
	struct own_frame frame = own_query(hpa);
	uint64_t i;
	int error;

	if (frame.state == OWN_SHARED)
		return own_unshare(hpa, order, vm->id);
	for (i = 0; i < 1ull << order; i++) {
		frame = own_query(hpa + i * PAGE_SIZE);
		if (frame.owner != vm->id || frame.state == OWN_SHARED)
			return -EPERM;
	}
	memset(phys_to_virt(hpa), 0, PAGE_SIZE << order);
	if (iommu_reads_past_caches())
		cache_write_back(phys_to_virt(hpa), PAGE_SIZE << order);
	error = own_reclaim(hpa, order, vm->id);
	/* For a device an entry of before would be the end of its access. */
	if (!error)
		iommu_flush();
	return error;
}

/* The record goes last, and with it the VM. */
static int reclaim_record(struct vm *vm)
{
	int error;

	if (own_count(vm->id) != KEEL_VM_PAGES || own_count_shared(vm->id))
		return -EBUSY;
	/* Of a VM whose kernel is gone it may have been taken back, and be another one's by now. */
	error = reclaim_block(vm, vm->record, 1);
	if (!error)
		__atomic_store_n(&vm->state, VM_FREE, __ATOMIC_RELEASE);
	return error;
}

int vm_reclaim(struct vm *vm, uint64_t hpa, uint64_t order)
{
	int error;

	if (!block_ok(hpa, order, ORDER_2M))
		return -EINVAL;
	spin_lock(&vm_lock);
	if (vm->state != VM_KILLED || __atomic_load_n(&vm->running, __ATOMIC_SEQ_CST))
		error = -EBUSY;
	else if (!overlaps_record(vm, hpa, order))
		error = reclaim_block(vm, hpa, (unsigned int)order);
	else
		error = hpa == vm->record && order == 1 ? reclaim_record(vm) : -EINVAL;
	spin_unlock(&vm_lock);
	return error;
}

bool vm_end_all(void)
{
	bool any = false;
	unsigned int i;

	spin_lock(&vm_lock);
	for (i = 0; i < KEEL_MAX_VMS; i++) {
		if (vms[i].state == VM_FREE)
			continue;
		vm_end(&vms[i], KEEL_END_DESTROYED, 0, 0);
		__atomic_store_n(&vms[i].state, VM_KILLED, __ATOMIC_SEQ_CST);
		any = true;
	}
	spin_unlock(&vm_lock);
	return any;
}

bool vm_disown(void)
{
	bool any = vm_end_all();
	unsigned int i;

	spin_lock(&vm_lock);
	for (i = 0; i < KEEL_MAX_VMS; i++)
		vms[i].orphan = vms[i].state == VM_KILLED;
	spin_unlock(&vm_lock);
	return any;
}

void vm_scrub_all(void)
{
	struct own_frame frame;
	uint64_t hpa;

	for (hpa = own_next(0, &frame); hpa != OWN_NOWHERE; hpa = own_next(hpa + pt_order_bytes(frame.order), &frame))
		if (frame.state != OWN_SHARED)
			memset(phys_to_virt(hpa), 0, pt_order_bytes(frame.order));
}

/*
 * Nothing runs of the VM, and nobody will ask for its record: that goes like every other block, and the slot with the
 * last one.
 */
static bool take_back(uint64_t hpa)
{
	struct own_frame frame = own_query(hpa);
	struct vm *vm = vm_get(frame.owner);

	if (!vm || !vm->orphan || __atomic_load_n(&vm->running, __ATOMIC_SEQ_CST))
		return false;
	if (reclaim_block(vm, hpa & ~(pt_order_bytes(frame.order) - 1), frame.order))
		return false;
	if (!own_count(vm->id) && !own_count_shared(vm->id))
		__atomic_store_n(&vm->state, VM_FREE, __ATOMIC_RELEASE);
	return true;
}

bool vm_take_back(uint64_t hpa)
{
	bool done;

	spin_lock(&vm_lock);
	done = take_back(hpa);
	spin_unlock(&vm_lock);
	return done;
}

bool vm_take_back_next(void)
{
	struct own_frame frame;
	bool done = false;
	uint64_t hpa;

	spin_lock(&vm_lock);
	for (hpa = own_next(0, &frame); !done && hpa != OWN_NOWHERE;
	     hpa = own_next(hpa + pt_order_bytes(frame.order), &frame))
		done = take_back(hpa);
	spin_unlock(&vm_lock);
	return done;
}
