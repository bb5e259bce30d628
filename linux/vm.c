// SPDX-License-Identifier: GPL-2.0
/*
 * VMs and vCPUs as files. A VM lives as long as one of its files does; whatever ends the process closes them, and the
 * last close takes every page back.
 */

#include <linux/anon_inodes.h>
#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>
#include <keel/cell.h>

#include "compat.h"
#include "hypercall.h"
#include "keel.h"

#define KILL_PAUSE_US	100
#define DIRTY_CHUNK	(PAGE_SIZE * BITS_PER_BYTE * PAGE_SIZE)	/* memory whose pages have a bit in one page */

void keel_vm_end(struct keel_vm *vm)
{
	u32 i;

	if (READ_ONCE(vm->ended))
		return;
	WRITE_ONCE(vm->ended, true);
	for (i = 0; i < vm->vcpus; i++)
		keel_vcpu_kick(&vm->vcpu[i]);
	if (vm->doorbell)
		eventfd_signal(vm->doorbell);
}

/* Every context comes back to us by an interrupt sooner or later; kicks make it soon. */
static void kill_vm(struct keel_vm *vm)
{
	struct keel_args args;
	u32 i;

	while (args = (struct keel_args){ .rdi = vm->id }, keel_call(KEEL_HC_KILL, &args) == -EBUSY) {
		for (i = 0; i < vm->vcpus; i++)
			keel_vcpu_kick(&vm->vcpu[i]);
		usleep_range(KILL_PAUSE_US, 2 * KILL_PAUSE_US);
	}
	keel_vm_end(vm);
}

static void free_vm(struct keel_vm *vm)
{
	u32 i;

	if (vm->id) {
		kill_vm(vm);
		keel_memory_release(vm);
	}
	for (i = 0; i < vm->vcpus; i++)
		hrtimer_cancel(&vm->vcpu[i].timer);
	if (vm->doorbell)
		eventfd_ctx_put(vm->doorbell);
	kvfree(vm->channel);
	kvfree(vm);
}

static void last_put(struct kref *refs)
{
	free_vm(container_of(refs, struct keel_vm, refs));
}

void keel_vm_put(struct keel_vm *vm)
{
	kref_put(&vm->refs, last_put);
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct keel_vcpu *vcpu = file->private_data;

	keel_vm_put(vcpu->vm);
	return 0;
}

static long vcpu_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	return command == KEEL_RUN ? keel_vcpu_run(file->private_data) : -ENOTTY;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static long vm_memory(struct keel_vm *vm, const struct keel_vm_memory __user *argument)
{
	struct keel_vm_memory memory;
	long error = -EBUSY;

	if (copy_from_user(&memory, argument, sizeof(memory)))
		return -EFAULT;
	if (!memory.bytes || !PAGE_ALIGNED(memory.gpa | memory.bytes) || memory.flags & ~KEEL_MAP_READONLY ||
	    memory.reserved || memory.gpa >= KEEL_CELL_GUEST_MAX || memory.bytes > KEEL_CELL_GUEST_MAX - memory.gpa)
		return -EINVAL;
	if (mutex_lock_killable(&vm->lock))
		return -EINTR;
	if (!vm->started)
		error = keel_ram_add(vm, memory.gpa, memory.bytes, memory.flags);
	mutex_unlock(&vm->lock);
	return error;
}

static long vm_vcpu(struct keel_vm *vm, unsigned long index)
{
	int fd;

	if (index >= vm->vcpus)
		return -EINVAL;
	kref_get(&vm->refs);
	fd = anon_inode_getfd("keel-vcpu", &vcpu_fops, &vm->vcpu[index], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		keel_vm_put(vm);
	return fd;
}

static long start_locked(struct keel_vm *vm)
{
	struct keel_args args;
	s64 error;

	if (vm->started)
		return -EBUSY;
	while (args = (struct keel_args){ .rdi = vm->id, .rsi = tsc_khz },
	       (error = keel_call(KEEL_HC_START, &args)) == -ENOMEM) {
		error = keel_tables_add(vm);
		if (error)
			return error;
	}
	if (!error)
		smp_store_release(&vm->started, true);
	return error;
}

static long vm_start(struct keel_vm *vm)
{
	long error;

	if (mutex_lock_killable(&vm->lock))
		return -EINTR;
	error = start_locked(vm);
	mutex_unlock(&vm->lock);
	return error;
}

static long vm_doorbell(struct keel_vm *vm, int fd)
{
	struct eventfd_ctx *doorbell = eventfd_ctx_fdget(fd);
	long error = -EBUSY;

	if (IS_ERR(doorbell))
		return PTR_ERR(doorbell);
	mutex_lock(&vm->lock);
	if (!vm->started && !vm->doorbell) {
		vm->doorbell = doorbell;
		error = 0;
	}
	mutex_unlock(&vm->lock);
	if (error)
		eventfd_ctx_put(doorbell);
	return error;
}

static void count_blocks(const struct keel_vm *vm, struct keel_vm_status *status)
{
	const unsigned int order_2m = PMD_SHIFT - PAGE_SHIFT, order_1g = PUD_SHIFT - PAGE_SHIFT;
	unsigned int order;

	for (order = 0; order <= KEEL_MAX_ORDER; order++) {
		if (order >= order_1g)
			status->pages_1g += vm->ram_pages[order] >> order_1g;
		else if (order >= order_2m)
			status->pages_2m += vm->ram_pages[order] >> order_2m;
		else
			status->pages_4k += vm->ram_pages[order];
	}
}

static long vm_status(struct keel_vm *vm, struct keel_vm_status __user *argument)
{
	struct keel_args args = { .rdi = vm->id };
	struct keel_vm_status status = {};
	s64 end = keel_call(KEEL_HC_STATUS, &args);

	if (end < 0)
		return end;
	status.end = end;
	status.detail = args.rdi;
	status.address = args.rsi;
	mutex_lock(&vm->lock);
	count_blocks(vm, &status);
	mutex_unlock(&vm->lock);
	return copy_to_user(argument, &status, sizeof(status)) ? -EFAULT : 0;
}

static s64 dirty_call(struct keel_vm *vm, u64 gpa, u32 flags, u64 *bits)
{
	struct keel_args args;
	s64 error;

	while (args = (struct keel_args){ .rdi = vm->id, .rsi = gpa, .rdx = flags },
	       (error = keel_call(KEEL_HC_DIRTY, &args)) == -ENOMEM) {
		mutex_lock(&vm->lock);
		error = keel_tables_add(vm);
		mutex_unlock(&vm->lock);
		if (error)
			return error;
	}
	bits[0] = args.rdi;
	bits[1] = args.rsi;
	bits[2] = args.rdx;
	bits[3] = args.r8;
	return error;
}

/* What runs on other CPUs writes through old translations until it is interrupted; see KEEL_HC_DIRTY. */
static s64 dirty_chunk(struct keel_vm *vm, u64 gpa, u64 bytes, u32 flags, u64 *bits)
{
	s64 error = 0;
	u64 done;

	for (done = 0; !error && done < bytes; done += KEEL_DIRTY_BYTES, bits += KEEL_DIRTY_PAGES / 64) {
		error = dirty_call(vm, gpa + done, flags, bits);
		cond_resched();
	}
	kick_all_cpus_sync();
	return fatal_signal_pending(current) ? -EINTR : error;
}

static long vm_dirty(struct keel_vm *vm, const struct keel_vm_dirty __user *argument)
{
	struct keel_vm_dirty dirty;
	u64 *bits, done, bytes;
	u8 __user *bitmap;
	s64 error = 0;

	if (copy_from_user(&dirty, argument, sizeof(dirty)))
		return -EFAULT;
	if (!dirty.bytes || (dirty.gpa | dirty.bytes) % KEEL_DIRTY_BYTES || dirty.bitmap % sizeof(*bits) ||
	    dirty.reserved || memchr_inv(dirty.spare, 0, sizeof(dirty.spare)) || dirty.gpa >= KEEL_CELL_GUEST_MAX ||
	    dirty.bytes > KEEL_CELL_GUEST_MAX - dirty.gpa)
		return -EINVAL;
	bits = (u64 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	if (!bits)
		return -ENOMEM;
	bitmap = u64_to_user_ptr(dirty.bitmap);
	for (done = 0; !error && done < dirty.bytes; done += bytes) {
		bytes = min_t(u64, dirty.bytes - done, DIRTY_CHUNK);
		error = dirty_chunk(vm, dirty.gpa + done, bytes, dirty.flags, bits);
		if (!error && copy_to_user(bitmap + done / PAGE_SIZE / BITS_PER_BYTE, bits,
					   bytes / PAGE_SIZE / BITS_PER_BYTE))
			error = -EFAULT;
	}
	free_page((unsigned long)bits);
	return error;
}

static long vm_aperture(struct keel_vm *vm, const struct keel_vm_aperture __user *argument)
{
	struct keel_vm_aperture aperture;
	struct keel_args args;

	if (copy_from_user(&aperture, argument, sizeof(aperture)))
		return -EFAULT;
	if (aperture.reserved || memchr_inv(aperture.spare, 0, sizeof(aperture.spare)))
		return -EINVAL;
	args = (struct keel_args){
		.rdi = vm->id, .rsi = aperture.number, .rdx = aperture.page, .r10 = aperture.pages,
	};
	return keel_call(KEEL_HC_APERTURE, &args);
}

static long vm_kill(struct keel_vm *vm)
{
	kill_vm(vm);
	return 0;
}

static long vm_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct keel_vm *vm = file->private_data;

	switch (command) {
	case KEEL_VM_MEMORY:
		return vm_memory(vm, (const void __user *)argument);
	case KEEL_VM_VCPU:
		return vm_vcpu(vm, argument);
	case KEEL_VM_START:
		return vm_start(vm);
	case KEEL_VM_EVENT:
		return keel_vm_event(vm);
	case KEEL_VM_DOORBELL:
		return vm_doorbell(vm, argument);
	case KEEL_VM_STATUS:
		return vm_status(vm, (void __user *)argument);
	case KEEL_VM_DIRTY:
		return vm_dirty(vm, (const void __user *)argument);
	case KEEL_VM_APERTURE:
		return vm_aperture(vm, (const void __user *)argument);
	case KEEL_VM_KILL:
		return vm_kill(vm);
	default:
		return -ENOTTY;
	}
}

/* A mapping holds the file, so the channel is there as long as there is one. */
static vm_fault_t channel_fault(struct vm_fault *fault)
{
	struct keel_vm *vm = fault->vma->vm_file->private_data;

	if (fault->pgoff >= vm->channel_pages)
		return VM_FAULT_SIGBUS;
	fault->page = vm->channel[fault->pgoff];
	get_page(fault->page);
	return 0;
}

static const struct vm_operations_struct channel_operations = {
	.fault = channel_fault,
};

static int map_channel(struct file *file, struct vm_area_struct *vma)
{
	struct keel_vm *vm = file->private_data;

	if (vma->vm_pgoff || vma_pages(vma) > vm->channel_pages || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	vma->vm_ops = &channel_operations;
	return 0;
}

static int vm_release(struct inode *inode, struct file *file)
{
	keel_vm_put(file->private_data);
	return 0;
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = map_channel,
	.llseek = noop_llseek,
};

static struct keel_vm *alloc_vm(u32 vcpus, unsigned long channel_pages)
{
	struct keel_vm *vm = kvzalloc(struct_size(vm, vcpu, vcpus), GFP_KERNEL_ACCOUNT);
	u32 i;

	if (!vm)
		return NULL;
	vm->channel = kvcalloc(channel_pages, sizeof(*vm->channel), GFP_KERNEL_ACCOUNT);
	if (!vm->channel) {
		kvfree(vm);
		return NULL;
	}
	kref_init(&vm->refs);
	mutex_init(&vm->lock);
	mutex_init(&vm->event_lock);
	INIT_LIST_HEAD(&vm->pending);
	INIT_LIST_HEAD(&vm->blocks);
	vm->vcpus = vcpus;
	vm->channel_pages = channel_pages;
	for (i = 0; i < vcpus; i++)
		keel_vcpu_init(vm, i);
	return vm;
}

static int make_vm(struct keel_vm *vm)
{
	struct keel_args info = {};
	int error = keel_record_make(vm);

	if (error)
		return error;
	keel_call(KEEL_HC_INFO, &info);
	return keel_machine_make(vm, info.rdi);
}

int keel_vm_create(const struct keel_vm_create __user *argument)
{
	struct keel_vm_create create;
	struct keel_vm *vm;
	int result;

	if (copy_from_user(&create, argument, sizeof(create)))
		return -EFAULT;
	if (!create.vcpus || create.vcpus > KEEL_MAX_VCPUS || create.flags || !create.channel_bytes ||
	    !PAGE_ALIGNED(create.channel_bytes) || create.channel_bytes > KEEL_CELL_CHANNEL_MAX ||
	    create.spare || memchr_inv(create.reserved, 0, sizeof(create.reserved)))
		return -EINVAL;
	vm = alloc_vm(create.vcpus, create.channel_bytes / PAGE_SIZE);
	if (!vm)
		return -ENOMEM;
	vm->topology = create.topology;
	result = make_vm(vm);
	if (!result)
		result = anon_inode_getfd("keel-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (result < 0)
		keel_vm_put(vm);
	return result;
}
