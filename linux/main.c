// SPDX-License-Identifier: GPL-2.0
/* /dev/keel: finds the hypervisor, tells about it and makes VMs. */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/tsc.h>

#include "compat.h"
#include "hypercall.h"
#include "keel.h"

#define LOG_CALL_BYTES	24u	/* at most, of one KEEL_HC_LOG */

bool keel_uses_vmcall __ro_after_init;
static struct keel_identity identity __aligned(sizeof(struct keel_identity));

static long get_info(struct keel_info __user *argument)
{
	struct keel_args args = {}, dma = {};
	struct keel_info info = {
		.abi_revision = keel_call(KEEL_HC_INFO, &args),
		.max_vcpus = KEEL_MAX_VCPUS,
		.tsc_khz = tsc_khz,
		.pages_out = keel_pages_out(),
	};
	long protection = keel_call(KEEL_HC_DMA, &dma);

	info.cpus = args.rsi;
	info.vm_slots = args.rdx;
	info.control_exits = args.r8;
	/* A hypervisor from before does not know the call. */
	if (protection >= 0) {
		info.dma = protection;
		info.dma_refused = dma.rdi;
	}
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

/* Fills the buffer as far as there is log. Returns the number of bytes and moves the position behind them. */
static u32 fill_log(u8 *buffer, u32 room, u64 *position)
{
	u32 filled = 0, count;

	while (filled < room) {
		struct keel_args args = { .rdi = *position };
		s64 result = keel_call(KEEL_HC_LOG, &args);
		u64 bytes[] = { args.rdi, args.rsi, args.rdx };

		static_assert(sizeof(bytes) == LOG_CALL_BYTES);
		if (result <= 0 || result > LOG_CALL_BYTES)
			break;
		count = min_t(u32, result, room - filled);
		memcpy(buffer + filled, bytes, count);
		filled += count;
		*position = args.r8 - (result - count);
	}
	return filled;
}

static long read_log(struct keel_log __user *argument)
{
	struct keel_log log;
	long error = 0;
	u8 *buffer;
	u32 count;

	if (copy_from_user(&log, argument, sizeof(log)))
		return -EFAULT;
	if (log.reserved)
		return -EINVAL;
	buffer = (u8 *)__get_free_page(GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	count = fill_log(buffer, min_t(u32, log.bytes, PAGE_SIZE), &log.position);
	log.bytes = count;
	if (copy_to_user(u64_to_user_ptr(log.buffer), buffer, count) || copy_to_user(argument, &log, sizeof(log)))
		error = -EFAULT;
	free_page((unsigned long)buffer);
	return error;
}

static long keel_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	switch (command) {
	case KEEL_GET_INFO:
		return get_info((void __user *)argument);
	case KEEL_READ_LOG:
		return read_log((void __user *)argument);
	case KEEL_VM_CREATE:
		return keel_vm_create((const void __user *)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations keel_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = keel_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice keel_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "keel",
	.fops = &keel_fops,
	.mode = 0600,
};

static bool __init is_keel(u32 base)
{
	u32 leaf, signature[3];

	cpuid(base, &leaf, &signature[0], &signature[1], &signature[2]);
	return !memcmp(signature, KEEL_CPUID_SIGNATURE, sizeof(signature)) && leaf > base;
}

static int __init find_hypervisor(void)
{
	u32 base = is_keel(KEEL_CPUID_BASE) ? KEEL_CPUID_BASE : KEEL_CPUID_SECOND, leaf;

	if (!is_keel(base)) {
		pr_err("Keel is not running on this machine; boot its entry of the boot menu\n");
		return -ENODEV;
	}
	leaf = cpuid_eax(base + 1);
	if (leaf != KEEL_ABI_REVISION) {
		pr_err("the hypervisor has ABI revision %u, this driver %u; install both from one release\n", leaf,
		       KEEL_ABI_REVISION);
		return -ENODEV;
	}
	return 0;
}

/* From now on this kernel makes the VMs. Those of one that ran before it, or that it is the crash kernel of, are cleared away. */
static int __init attach(void)
{
	struct keel_args args;
	s64 error;

	get_random_bytes(&identity, sizeof(identity));
	while (args = (struct keel_args){ .rdi = (unsigned long)&identity },
	       (error = keel_call(KEEL_HC_ATTACH, &args)) == -EAGAIN)
		cond_resched();
	if (error)
		pr_err("the hypervisor does not take this kernel for the control domain's: error %lld\n", error);
	return error;
}

static int __init keel_init(void)
{
	int error = find_hypervisor();

	if (error)
		return error;
	if (!tsc_khz) {
		pr_err("the kernel does not know the frequency of the TSC, which guests' clocks need\n");
		return -ENODEV;
	}
	keel_uses_vmcall = boot_cpu_data.x86_vendor != X86_VENDOR_AMD && boot_cpu_data.x86_vendor != X86_VENDOR_HYGON;
	error = attach();
	if (error)
		return error;
	error = keel_power_init();
	if (error)
		return error;
	error = misc_register(&keel_device);
	if (error)
		keel_power_exit();
	else
		keel_mor_init();
	return error;
}

static void __exit keel_exit(void)
{
	misc_deregister(&keel_device);
	keel_power_exit();
}

module_init(keel_init);
module_exit(keel_exit);
MODULE_DESCRIPTION("Runs guests of the Keel hypervisor");
MODULE_LICENSE("GPL");
