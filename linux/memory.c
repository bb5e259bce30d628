// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that a VM is made of: taken from the kernel in the largest blocks there are, donated to the hypervisor, put to
 * use once every CPU has forgotten it, and given back to the kernel when the hypervisor has scrubbed and returned it.
 *
 * Donated pages stay allocated, so that nobody in the kernel has a reason to touch them; the hypervisor answers those
 * who do. They are marked as off line, which keeps /proc/kcore and dumps from reading them.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <keel/cell.h>

#include "compat.h"
#include "hypercall.h"
#include "keel.h"

#define ORDER_2M		9u
#define ORDER_1G		18u
#define ORDER_LARGEST		MAX_PAGE_ORDER		/* of the page allocator */
#define ORDER_TABLES		6u			/* table pages come in batches of 64 */
#define ORDER_STACK		2u
#define MAX_FLUSHES		100			/* a CPU that just comes on line may need more than one */
#define SPARE_PAGES		((32ul << 20) / PAGE_SIZE)	/* a guest's memory leaves the host at least this */

static_assert(1u << ORDER_STACK == KEEL_CELL_STACK_PAGES);
static_assert(PAGE_SIZE == KEEL_PAGE_SIZE);

enum block_use {
	BLOCK_TABLE,
	BLOCK_CELL,
	BLOCK_VCPU,
	BLOCK_RAM,
};

struct keel_block {
	struct list_head node;
	struct page *page;
	u8 order;
	u8 use;				/* enum block_use */
	u32 flags;			/* RAM: KEEL_MAP_* */
	u64 place;			/* RAM: guest-physical address; else the argument of ASSIGN */
};

static atomic64_t pages_out;

u64 keel_pages_out(void)
{
	return atomic64_read(&pages_out);
}

/*
 * The kernel's allocator
 */

static bool gigabyte_usable(unsigned long pfn)
{
	struct page *first = pfn_to_online_page(pfn), *page;
	unsigned long i;

	for (i = 0; i < 1ul << ORDER_1G; i++) {
		page = pfn_to_online_page(pfn + i);
		if (!page || PageReserved(page) || page_zone(page) != page_zone(first))
			return false;
		if (!(i & ((1u << ORDER_2M) - 1)))
			cond_resched();
	}
	return true;
}

static bool gigabyte_take(unsigned long pfn)
{
	unsigned long i;

	if (!gigabyte_usable(pfn) || alloc_contig_range(pfn, pfn + (1ul << ORDER_1G), ACR_FLAGS_NONE,
							GFP_KERNEL | __GFP_NOWARN))
		return false;
	for (i = 0; i < 1ul << ORDER_1G; i++) {
		clear_highpage(pfn_to_page(pfn + i));
		if (!(i & ((1u << ORDER_2M) - 1)))
			cond_resched();
	}
	return true;
}

static struct page *alloc_gigabyte(void)
{
	unsigned long pfn;
	int node;

	for_each_online_node(node)
		for (pfn = ALIGN(node_start_pfn(node), 1ul << ORDER_1G);
		     pfn + (1ul << ORDER_1G) <= node_end_pfn(node); pfn += 1ul << ORDER_1G)
			if (gigabyte_take(pfn))
				return pfn_to_page(pfn);
	return NULL;
}

/* Zeroed. Larger blocks are not worth hard work; the smallest fail rather than have processes killed for them. */
static struct page *alloc_order(unsigned int order)
{
	gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NOWARN;

	if (order == ORDER_1G)
		return alloc_gigabyte();
	return alloc_pages(gfp | (order ? __GFP_NORETRY : __GFP_RETRY_MAYFAIL), order);
}

static void free_order(struct page *page, unsigned int order)
{
	if (order == ORDER_1G)
		free_contig_range(page_to_pfn(page), 1ul << ORDER_1G);
	else
		__free_pages(page, order);
}

static void mark_offline(struct page *page, unsigned int order, bool offline)
{
	unsigned long i;

	for (i = 0; i < 1ul << order; i++) {
		if (offline)
			__SetPageOffline(page + i);
		else
			__ClearPageOffline(page + i);
	}
}

/*
 * The hypervisor
 */

static s64 call_block(u64 number, struct keel_vm *vm, struct page *page, unsigned int order, u64 arg3, u64 arg4)
{
	struct keel_args args = {
		.rdi = vm->id, .rsi = page_to_phys(page), .rdx = order, .r10 = arg3, .r8 = arg4,
	};

	return keel_call(number, &args);
}

/*
 * Takes a donated or shared block back piece by piece, as the hypervisor scrubs it in the call. False: it did not give
 * a piece back; such a block must never be used again.
 */
static bool reclaim(struct keel_vm *vm, struct page *page, unsigned int order)
{
	unsigned int piece = min(order, ORDER_2M);
	unsigned long i;
	s64 error;

	for (i = 0; i < 1ul << order; i += 1ul << piece) {
		error = call_block(KEEL_HC_RECLAIM, vm, page + i, piece, 0, 0);
		if (error) {
			pr_err("VM %u: the hypervisor keeps the block of order %u at %pap: error %lld\n", vm->id, order,
			       &(phys_addr_t){ page_to_phys(page) }, error);
			return false;
		}
		cond_resched();
	}
	atomic64_sub(1ull << order, &pages_out);
	return true;
}

/* Donates a block of at most this order, as large as there is one. Returns it, on the pending list, or an error. */
static struct keel_block *donate(struct keel_vm *vm, unsigned int most, unsigned int least)
{
	struct keel_block *block = kzalloc(sizeof(*block), GFP_KERNEL_ACCOUNT);
	int order = most;
	s64 error = -ENOMEM;

	if (!block)
		return ERR_PTR(-ENOMEM);
	for (; order >= (int)least && !block->page; order--) {
		block->page = alloc_order(order);
		block->order = order;
	}
	if (!block->page)
		goto fail;
	/* Marked before they are gone, so that nobody who reads all memory comes across them. */
	mark_offline(block->page, block->order, true);
	error = call_block(KEEL_HC_DONATE, vm, block->page, block->order, 0, 0);
	if (error)
		goto fail_page;
	atomic64_add(1ull << block->order, &pages_out);
	list_add_tail(&block->node, &vm->pending);
	return block;

fail_page:
	mark_offline(block->page, block->order, false);
	free_order(block->page, block->order);
fail:
	kfree(block);
	return ERR_PTR(error);
}

static s64 use_block(struct keel_vm *vm, struct keel_block *block)
{
	static const u8 uses[] = {
		[BLOCK_TABLE] = KEEL_USE_TABLE,
		[BLOCK_CELL] = KEEL_USE_CELL,
		[BLOCK_VCPU] = KEEL_USE_VCPU,
	};

	if (block->use == BLOCK_RAM)
		return call_block(KEEL_HC_MAP, vm, block->page, block->order, block->place, block->flags);
	return call_block(KEEL_HC_ASSIGN, vm, block->page, block->order, uses[block->use], block->place);
}

static s64 use_block_flushed(struct keel_vm *vm, struct keel_block *block)
{
	unsigned int flushes = 0;
	s64 error;

	while ((error = use_block(vm, block)) == -EAGAIN && flushes++ < MAX_FLUSHES) {
		if (flushes > 1)
			usleep_range(500, 1000);
		keel_cpus_flush();
	}
	if (!error)
		list_move_tail(&block->node, &vm->blocks);
	return error;
}

int keel_tables_add(struct keel_vm *vm)
{
	unsigned int pages = 0;
	struct keel_block *block;
	s64 error;

	while (pages < 1u << ORDER_TABLES) {
		block = donate(vm, ORDER_TABLES, 0);
		if (IS_ERR(block))
			return PTR_ERR(block);
		block->use = BLOCK_TABLE;
		error = use_block_flushed(vm, block);
		if (error)
			return error;
		pages += 1u << block->order;
	}
	return 0;
}

/* Puts all that is pending to use. What fails stays pending; the VM is of no use then. */
static int commit(struct keel_vm *vm)
{
	LIST_HEAD(batch);
	struct keel_block *block;
	s64 error = 0;

	list_splice_init(&vm->pending, &batch);
	keel_cpus_flush();
	while (!error && !list_empty(&batch)) {
		block = list_first_entry(&batch, struct keel_block, node);
		error = use_block_flushed(vm, block);
		if (error == -ENOMEM) {
			error = keel_tables_add(vm);
			error = error ?: use_block_flushed(vm, block);
		}
		if (!error && block->use == BLOCK_RAM)
			vm->ram_pages[block->order] += 1ull << block->order;
		cond_resched();
	}
	list_splice(&batch, &vm->pending);
	return error;
}

/*
 * The parts of a VM
 */

int keel_record_make(struct keel_vm *vm)
{
	struct keel_args args = { .rsi = vm->vcpus, .rdx = vm->channel_pages, .r10 = vm->topology };
	unsigned int order = ilog2(KEEL_VM_PAGES);
	s64 id;

	vm->record = alloc_order(order);
	if (!vm->record)
		return -ENOMEM;
	args.rdi = page_to_phys(vm->record);
	mark_offline(vm->record, order, true);
	id = keel_call(KEEL_HC_VM_CREATE, &args);
	if (id < 0) {
		mark_offline(vm->record, order, false);
		free_order(vm->record, order);
		return id;
	}
	vm->id = id;
	atomic64_add(KEEL_VM_PAGES, &pages_out);
	return 0;
}

static int donate_for(struct keel_vm *vm, enum block_use use, unsigned int order, u64 place)
{
	struct keel_block *block = donate(vm, order, order);

	if (IS_ERR(block))
		return PTR_ERR(block);
	block->use = use;
	block->place = place;
	return 0;
}

/* The largest block that may start here and not pass the end. */
static unsigned int fitting_order(unsigned long start, unsigned long pages, unsigned int most)
{
	unsigned int order = min_t(unsigned int, most, ilog2(pages));

	return start ? min_t(unsigned int, order, __ffs(start)) : order;
}

static int donate_image(struct keel_vm *vm, unsigned long pages)
{
	unsigned long page = 0;
	unsigned int order;
	int error = 0;

	while (!error && page < pages) {
		order = fitting_order(page, pages - page, ORDER_TABLES);
		error = donate_for(vm, BLOCK_CELL, order, KEEL_CELL_IMAGE + page * PAGE_SIZE);
		page += 1ul << order;
	}
	return error;
}

static int donate_stack(struct keel_vm *vm, u64 context)
{
	u64 end = KEEL_CELL_STACKS + (context + 1) * KEEL_CELL_STACK_STRIDE;

	return donate_for(vm, BLOCK_CELL, ORDER_STACK, end - (PAGE_SIZE << ORDER_STACK));
}

/* As single pages for the kernel, which may pin them for I/O, in blocks of up to 2 MiB for the hypervisor. */
static int share_channel(struct keel_vm *vm)
{
	unsigned int order, i;
	struct page *page;
	s64 error;

	while (vm->channel_shared < vm->channel_pages) {
		order = fitting_order(vm->channel_shared, vm->channel_pages - vm->channel_shared, ORDER_2M);
		while (!(page = alloc_order(order)))
			if (!order--)
				return -ENOMEM;
		error = call_block(KEEL_HC_SHARE, vm, page, order, vm->channel_shared, 0);
		if (error == -ENOMEM) {
			error = keel_tables_add(vm);
			error = error ?: call_block(KEEL_HC_SHARE, vm, page, order, vm->channel_shared, 0);
		}
		if (error) {
			free_order(page, order);
			return error;
		}
		split_page(page, order);
		for (i = 0; i < 1u << order; i++)
			vm->channel[vm->channel_shared++] = page + i;
		atomic64_add(1ull << order, &pages_out);
	}
	return 0;
}

/* Everything but the guest's memory. The tables come first: with them the hypervisor puts the record to use. */
int keel_machine_make(struct keel_vm *vm, unsigned long image_pages)
{
	int error = keel_tables_add(vm);
	u32 i;

	error = error ?: donate_image(vm, image_pages);
	error = error ?: donate_stack(vm, KEEL_CONTEXT_EVENT);
	for (i = 0; !error && i < vm->vcpus; i++) {
		error = donate_stack(vm, i);
		error = error ?: donate_for(vm, BLOCK_VCPU, KEEL_VCPU_ORDER, i);
	}
	error = error ?: commit(vm);
	return error ?: share_channel(vm);
}

static int donate_ram(struct keel_vm *vm, unsigned long page, unsigned int most, unsigned int least, u32 flags)
{
	struct keel_block *block = donate(vm, most, least);

	if (IS_ERR(block))
		return PTR_ERR(block);
	block->use = BLOCK_RAM;
	block->place = (u64)page * PAGE_SIZE;
	block->flags = flags;
	cond_resched();
	return fatal_signal_pending(current) ? -EINTR : block->order;
}

/* Pages from here on in blocks of 1 GiB, as long as there are some. Returns the page behind them. */
static long donate_gigabytes(struct keel_vm *vm, unsigned long page, unsigned long end, u32 flags)
{
	int order;

	for (; page + (1ul << ORDER_1G) <= end; page += 1ul << ORDER_1G) {
		order = donate_ram(vm, page, ORDER_1G, ORDER_1G, flags);
		if (order == -ENOMEM)
			break;
		if (order < 0)
			return order;
	}
	return page;
}

/* The largest order that Linux was seen to have no block of is not tried again: each try may cost a compaction. */
static int donate_smaller(struct keel_vm *vm, unsigned long page, unsigned long end, u32 flags)
{
	unsigned int most = ORDER_LARGEST, want;
	int order;

	for (; page < end; page += 1ul << order) {
		want = fitting_order(page, end - page, most);
		order = donate_ram(vm, page, want, 0, flags);
		if (order < 0)
			return order;
		if (order < want)
			most = max_t(unsigned int, order, ORDER_2M);
	}
	return 0;
}

/* The blocks of 1 GiB come first: the others would break up what they are made of. */
int keel_ram_add(struct keel_vm *vm, u64 gpa, u64 bytes, u32 flags)
{
	unsigned long page = gpa / PAGE_SIZE, end = page + bytes / PAGE_SIZE, first, behind;
	long result;

	if (si_mem_available() < (long)(bytes / PAGE_SIZE + SPARE_PAGES))
		return -ENOMEM;
	first = min(ALIGN(page, 1ul << ORDER_1G), end);
	result = donate_gigabytes(vm, first, end, flags);
	if (result < 0)
		return result;
	behind = result;
	result = donate_smaller(vm, page, first, flags);
	result = result ?: donate_smaller(vm, behind, end, flags);
	return result ?: commit(vm);
}

/*
 * The end
 */

static void release_blocks(struct keel_vm *vm, struct list_head *list)
{
	struct keel_block *block, *next;

	list_for_each_entry_safe(block, next, list, node) {
		if (reclaim(vm, block->page, block->order)) {
			mark_offline(block->page, block->order, false);
			free_order(block->page, block->order);
		}
		list_del(&block->node);
		kfree(block);
	}
}

static void release_channel(struct keel_vm *vm)
{
	unsigned long i;

	for (i = 0; i < vm->channel_shared; i++)
		if (reclaim(vm, vm->channel[i], 0))
			put_page(vm->channel[i]);
}

void keel_memory_release(struct keel_vm *vm)
{
	unsigned int order = ilog2(KEEL_VM_PAGES);

	release_blocks(vm, &vm->pending);
	release_blocks(vm, &vm->blocks);
	release_channel(vm);
	if (reclaim(vm, vm->record, order)) {
		mark_offline(vm->record, order, false);
		free_order(vm->record, order);
	}
}
