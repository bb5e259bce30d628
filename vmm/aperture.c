// SPDX-License-Identifier: GPL-2.0
// Apertures: channel pages in a guest's second-level table.

#include "aperture.h"

#include "cpu.h"
#include "cpuid.h"
#include "donation.h"
#include "memory.h"
#include "percpu.h"
#include "string.h"
#include "vcpu.h"
#include "vm.h"

#define STEP_PAGES	512u		/* that interrupts wait for */

void aperture_bound(struct apertures *apertures, unsigned int number, uint32_t page, uint32_t pages)
{
	apertures->of[number].first = page;
	apertures->of[number].count = pages;
}

/* Tables of all levels but the top one that so many pages touch at most, wherever they begin. */
static unsigned int frames_for(uint32_t pages)
{
	unsigned int frames = 0, order;

	for (order = PT_ORDER_2M; pages && order <= PT_ORDER_TOP; order += PT_ORDER_STEP)
		frames += pages == 1 ? 1 : ((pages - 2) >> order) + 2;
	return frames;
}

unsigned int aperture_frames(const struct apertures *apertures)
{
	unsigned int frames = 0, i;

	for (i = 0; i < KEEL_APERTURES; i++)
		frames += frames_for(apertures->of[i].count);
	return frames;
}

static void pour(struct frame_pool *to, struct frame_pool *from, unsigned int frames)
{
	while (frames--)
		frame_pool_put(to, frame_pool_get(from));
}

void aperture_start(struct apertures *apertures, struct frame_pool *pool)
{
	pour(&apertures->tables, pool, aperture_frames(apertures));
}

static bool is_moving(const struct apertures *apertures, unsigned int number)
{
	return apertures->moving >> number & 1;
}

static uint64_t bytes_of(const struct keel_aperture *place)
{
	return place->pages * PAGE_SIZE;
}

static bool overlap(const struct keel_aperture *place, uint64_t gpa, uint64_t bytes)
{
	return place->gpa < gpa + bytes && gpa < place->gpa + bytes_of(place);
}

static uint64_t guest_limit(void)
{
	uint64_t limit = 1ull << cpuid_guest_address_bits();

	return limit < KEEL_CELL_GUEST_MAX ? limit : KEEL_CELL_GUEST_MAX;
}

static bool is_within_bound(const struct aperture *aperture)
{
	uint32_t page = aperture->next.page - aperture->first;

	return page <= aperture->count && aperture->next.pages <= aperture->count - page;
}

static bool is_address(const struct keel_aperture *place)
{
	uint64_t limit = guest_limit();

	return !(place->gpa & (PAGE_SIZE - 1)) && place->gpa <= limit && bytes_of(place) <= limit - place->gpa &&
	       !overlap(place, KEEL_APIC_BASE, PAGE_SIZE);
}

/* Behind what the move takes away at this address; 0: nothing. */
static uint64_t end_of_leaving(const struct apertures *apertures, uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < KEEL_APERTURES; i++) {
		const struct keel_aperture *now = &apertures->of[i].now;

		if (is_moving(apertures, i) && gpa - now->gpa < bytes_of(now))
			return now->gpa + bytes_of(now);
	}
	return 0;
}

/* Neither memory nor an aperture that stays. */
static bool is_free(const struct vm *vm, const struct keel_aperture *place)
{
	uint64_t gpa, behind;
	struct pt_place found;

	for (gpa = place->gpa; gpa < place->gpa + bytes_of(place); gpa = behind) {
		behind = end_of_leaving(&vm->apertures, gpa);
		if (behind)
			continue;
		if (pt_lookup(&vm->guest_table, gpa, &found))
			return false;
		behind = (gpa | (pt_order_bytes(found.order) - 1)) + 1;
	}
	return true;
}

static bool is_apart(const struct apertures *apertures, unsigned int number)
{
	const struct keel_aperture *place = &apertures->of[number].next;
	unsigned int i;

	for (i = 0; i < number; i++)
		if (is_moving(apertures, i) && overlap(place, apertures->of[i].next.gpa, bytes_of(&apertures->of[i].next)))
			return false;
	return true;
}

static bool is_allowed(const struct vm *vm, unsigned int number)
{
	const struct aperture *aperture = &vm->apertures.of[number];

	if (!aperture->next.pages)
		return true;
	return !(aperture->next.flags & ~KEEL_APERTURE_READONLY) && is_within_bound(aperture) && is_address(&aperture->next) &&
	       is_apart(&vm->apertures, number) && is_free(vm, &aperture->next);
}

static bool accept(struct vm *vm, const struct keel_context *page)
{
	struct apertures *apertures = &vm->apertures;
	unsigned int i;

	apertures->phase = APERTURE_MAP;
	for (i = 0; i < KEEL_APERTURES; i++) {
		if (!is_moving(apertures, i))
			continue;
		memcpy(&apertures->of[i].next, &page->aperture[i], sizeof(page->aperture[i]));
		if (!apertures->of[i].next.pages)
			apertures->of[i].next = (struct keel_aperture){ 0 };
		if (apertures->of[i].now.pages)
			apertures->phase = APERTURE_UNMAP;
	}
	for (i = 0; i < KEEL_APERTURES; i++)
		if (is_moving(apertures, i) && !is_allowed(vm, i))
			return false;
	return true;
}

/* A guest's tables are in the main address space alone. */
static void lock(const struct cpu *cpu)
{
	write_cr3(cpu->main_cr3);
	spin_lock(&vm_lock);
}

static void unlock(const struct vm *vm)
{
	spin_unlock(&vm_lock);
	write_cr3(vm->cell_table.root);
}

bool aperture_begin(struct cpu *cpu, struct cell_context *context, uint32_t mask)
{
	struct vm *vm = context->vm;
	bool allowed;

	if (mask >> KEEL_APERTURES)
		return false;
	vm->apertures.moving = mask;
	lock(cpu);
	allowed = accept(vm, context->page);
	unlock(vm);
	return allowed;
}

/* From the last page down, so that a table's first entry tells that it is not empty yet. */
static bool unmap_some(struct vm *vm, unsigned int *budget)
{
	struct apertures *apertures = &vm->apertures;
	unsigned int i;

	for (i = 0; i < KEEL_APERTURES; i++) {
		struct keel_aperture *now = &apertures->of[i].now;

		for (; is_moving(apertures, i) && now->pages; --*budget) {
			if (!*budget)
				return false;
			now->pages--;
			pt_unmap(&vm->guest_table, now->gpa + bytes_of(now), 0, &apertures->stale);
		}
	}
	return true;
}

/* A vCPU on no CPU finds its last_cpu empty when it comes onto one. */
static void note_late(struct vm *vm, unsigned int self)
{
	uint64_t late = 0;
	unsigned int i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (i != self && __atomic_load_n(&vm->vcpu[i]->cell.running, __ATOMIC_SEQ_CST))
			late |= 1ull << i;
	__atomic_store_n(&vm->apertures.late, late, __ATOMIC_SEQ_CST);
}

/* One that has taken itself a CPU in last_cpu has dropped its translations, and does not walk what was there before. */
static bool is_drained(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->vcpu_count; i++)
		if (!__atomic_load_n(&vm->vcpu[i]->cell.running, __ATOMIC_SEQ_CST) ||
		    __atomic_load_n(&vm->vcpu[i]->last_cpu, __ATOMIC_SEQ_CST))
			aperture_left(&vm->apertures, i);
	return !__atomic_load_n(&vm->apertures.late, __ATOMIC_ACQUIRE);
}

/*
 * The control domain and the cell have the same page, cached, so the guest must not have it otherwise (SDM vol. 3, 12.12.4).
 * PT_COHERENT sees to that where the guest's PAT would have a say; elsewhere what the guest maps as write-combining or uncached
 * snoops the caches (APM vol. 2, 15.25.8).
 */
static void map_page(struct vm *vm, const struct keel_aperture *place)
{
	uint64_t va = KEEL_CELL_CHANNEL + (place->page + place->pages) * PAGE_SIZE;
	unsigned int write = place->flags & KEEL_APERTURE_READONLY ? 0 : PT_WRITE;
	struct pt_place page;

	pt_lookup(&vm->cell_table, va, &page);
	pt_map(&vm->guest_table, place->gpa + bytes_of(place), pt_leaf_address(vm->cell_table.format, &page, va), 0,
	       PT_READ | PT_EXEC | PT_USER | PT_COHERENT | write, PT_MARK_APERTURE, &vm->apertures.tables);
}

static bool map_some(struct vm *vm, unsigned int *budget)
{
	struct apertures *apertures = &vm->apertures;
	unsigned int i;

	for (i = 0; i < KEEL_APERTURES; i++) {
		struct keel_aperture *now = &apertures->of[i].now, *next = &apertures->of[i].next;
		uint32_t done = now->pages;

		if (!is_moving(apertures, i))
			continue;
		*now = *next;
		for (now->pages = done; now->pages < next->pages; --*budget) {
			if (!*budget)
				return false;
			map_page(vm, now);
			now->pages++;
		}
	}
	return true;
}

static enum cell_result go_on(struct vm *vm, struct cell_context *context)
{
	struct apertures *apertures = &vm->apertures;
	unsigned int budget = STEP_PAGES;

	if (apertures->phase == APERTURE_UNMAP) {
		if (!unmap_some(vm, &budget))
			return CELL_INTERRUPTED;
		vm_drop_translations(vm);
		note_late(vm, context->number);
		apertures->phase = APERTURE_DRAIN;
	}
	if (apertures->phase == APERTURE_DRAIN) {
		if (!is_drained(vm))
			return CELL_WAITS;
		pour(&apertures->tables, &apertures->stale, apertures->stale.count);
		apertures->phase = APERTURE_MAP;
	}
	if (!map_some(vm, &budget))
		return CELL_INTERRUPTED;
	apertures->moving = 0;
	return CELL_ANSWERED;
}

enum cell_result aperture_move(struct cpu *cpu, struct cell_context *context)
{
	enum cell_result result;

	lock(cpu);
	result = go_on(context->vm, context);
	unlock(context->vm);
	return result;
}
