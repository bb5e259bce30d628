/* SPDX-License-Identifier: GPL-2.0 */
/* The driver's objects and the calls between its files. */
#ifndef KEEL_LINUX_KEEL_H
#define KEEL_LINUX_KEEL_H

#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <keel/ioctl.h>
#include <keel/hypercall.h>

struct keel_vcpu {
	struct keel_vm *vm;
	u32 index;
	struct mutex running;		/* held in KEEL_RUN: one thread at a time */
	spinlock_t task_lock;
	struct task_struct *task;	/* in KEEL_RUN; under task_lock */
	wait_queue_head_t wait;
	atomic_t kicked;		/* come round to the hypervisor before waiting */
	struct hrtimer timer;
	u64 deadline;			/* that timer was set for; host TSC */
};

struct keel_vm {
	struct kref refs;		/* one for each file */
	u32 id;				/* the hypervisor's; 0: not made yet */
	u32 vcpus;
	u32 topology;			/* as struct keel_vm_create has it */
	bool started;
	bool ended;
	struct mutex lock;		/* building the VM: all members below, and started */
	struct mutex event_lock;	/* one KEEL_VM_EVENT at a time */
	struct page *record;
	struct list_head pending;	/* struct keel_block: donated, not in use yet */
	struct list_head blocks;	/* struct keel_block: in use */
	struct page **channel;		/* set for good before the file exists */
	unsigned long channel_pages;
	unsigned long channel_shared;
	struct eventfd_ctx *doorbell;	/* set for good before started */
	u64 ram_pages[KEEL_MAX_ORDER + 1];	/* by the order of their blocks */
	struct keel_vcpu vcpu[];
};

/* memory.c. The callers hold vm->lock, or are alone with the VM. */
int keel_record_make(struct keel_vm *vm);
int keel_machine_make(struct keel_vm *vm, unsigned long image_pages);
int keel_ram_add(struct keel_vm *vm, u64 gpa, u64 bytes, u32 flags);
int keel_tables_add(struct keel_vm *vm);
void keel_memory_release(struct keel_vm *vm);
u64 keel_pages_out(void);

/* vm.c */
int keel_vm_create(const struct keel_vm_create __user *argument);
void keel_vm_end(struct keel_vm *vm);
void keel_vm_put(struct keel_vm *vm);

/* run.c */
void keel_vcpu_init(struct keel_vm *vm, u32 index);
void keel_vcpu_kick(struct keel_vcpu *vcpu);
long keel_vcpu_run(struct keel_vcpu *vcpu);
long keel_vm_event(struct keel_vm *vm);

/* cpus.c */
void keel_cpus_flush(void);

/* power.c */
int keel_power_init(void);
void keel_power_exit(void);

/* mor.c */
void keel_mor_init(void);

#endif
