/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Virtual machines: what Keel knows of a guest. Made and taken down by hypercalls under vm_lock (donation.h); run by
 * vcpu.c on any CPU. Frames belong to own.c.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/abi.h>
#include <keel/cell.h>
#include <keel/topology.h>

#include "aperture.h"
#include "cell.h"
#include "pagetable.h"
#include "vcpu.h"

enum vm_state {
	VM_FREE,
	VM_CREATED,	/* the record is donated */
	VM_BUILDING,	/* the record is in use */
	VM_STARTED,
	VM_KILLED,
};

struct vm {
	enum vm_state state;
	uint32_t running;		/* contexts that are in RUN or EVENT */
	/* All that follows starts from zero. */
	uint32_t cell_owner;		/* context number + 1 of the one in the cell, 0: none */
	unsigned int id;
	uint64_t record;		/* physical address */
	uint64_t donated;		/* number of the newest donation */
	struct page_table cell_table;	/* host address space of the VM */
	struct page_table guest_table;	/* second level */
	struct frame_pool tables;
	unsigned int vcpu_count;
	unsigned int vcpus_made;
	struct keel_topology topology;
	uint32_t tsc_khz;		/* since the start */
	unsigned int channel_pages;
	unsigned int channel_mapped;
	unsigned int cell_pages;
	struct apertures apertures;
	struct cell_context event;
	struct vcpu *vcpu[KEEL_MAX_VCPUS];
	bool orphan;			/* its kernel is gone: frames go back without being asked for one by one */
	uint32_t ending;		/* somebody is writing the reason */
	uint32_t end;			/* enum keel_end */
	uint64_t end_detail;
	uint64_t end_address;
};

/* No vCPU uses a translation of guest memory again once it has entered the guest anew. */
static inline void vm_drop_translations(struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->vcpu_count; i++)
		__atomic_store_n(&vm->vcpu[i]->last_cpu, (struct cpu *)0, __ATOMIC_SEQ_CST);
}

void vm_init(void);
/* NULL: no such VM. */
struct vm *vm_get(uint64_t id);
/* The first reason stays. */
void vm_end(struct vm *vm, enum keel_end end, uint64_t detail, uint64_t address);

int vm_create(uint64_t hpa, uint64_t vcpus, uint64_t channel_pages, uint64_t topology);
int vm_donate(struct vm *vm, uint64_t hpa, uint64_t order);
int vm_assign(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t use, uint64_t arg);
int vm_map(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t gpa, uint64_t flags);
int vm_share(struct vm *vm, uint64_t hpa, uint64_t order, uint64_t index);
int vm_bound_aperture(struct vm *vm, uint64_t number, uint64_t page, uint64_t pages);
int vm_start(struct vm *vm, uint64_t tsc_khz);
int vm_take_dirty(struct vm *vm, uint64_t gpa, uint64_t flags, uint64_t bits[4]);
int vm_kill(struct vm *vm);
int vm_reclaim(struct vm *vm, uint64_t hpa, uint64_t order);
/* What there is of VMs ends, for their kernel is gone. False: there were none. */
bool vm_disown(void);
/* The block of such a VM that has this frame, or any block of theirs, is scrubbed and given back. False: there is none. */
bool vm_take_back(uint64_t hpa);
bool vm_take_back_next(void);
/* The machine is about to be reset: all VMs end. False: there are none. */
bool vm_end_all(void);
/* Clears all memory of VMs, and nothing else. Nothing may run any more. */
void vm_scrub_all(void);
unsigned int vm_free_slots(void);
unsigned int vm_cell_image_pages(void);
/* Of a VM that has started: the frame of a page of its cell's that the cell can write, in its image; 0: it is none. */
uint64_t vm_cell_data_page(const struct vm *vm, uint64_t va);
/* What devices were refused goes to the log. */
void vm_tell_faults(void);

#endif
