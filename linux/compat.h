/* SPDX-License-Identifier: GPL-2.0 */
/* The driver is written for the newest Linux; this gives older ones what they lack. */
#ifndef KEEL_LINUX_COMPAT_H
#define KEEL_LINUX_COMPAT_H

#include <linux/eventfd.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/mmzone.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "keel.ko needs Linux 6.1 or newer"
#endif
#if !defined(CONFIG_X86_64) || !defined(CONFIG_EVENTFD) || !defined(CONFIG_CONTIG_ALLOC)
#error "keel.ko needs a kernel with CONFIG_X86_64, CONFIG_EVENTFD and CONFIG_CONTIG_ALLOC"
#endif

/* asm/processor.h has CPUID's functions no more. */
#if __has_include(<asm/cpuid/api.h>)
#include <asm/cpuid/api.h>
#else
#include <asm/processor.h>
#endif

/* One was always the sum added; 6.8 left the argument out. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define eventfd_signal(context)	eventfd_signal(context, 1)
#endif

/* The page allocator's largest order: its old name said how many orders there are, since 6.4 which is the last. */
#ifndef MAX_PAGE_ORDER
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define MAX_PAGE_ORDER	(MAX_ORDER - 1)
#else
#define MAX_PAGE_ORDER	MAX_ORDER
#endif
#endif

/* What alloc_contig_range takes third was a migrate type before it was flags, of which the same number asks for CMA's areas. */
#ifndef ACR_FLAGS_NONE
#define ACR_FLAGS_NONE	MIGRATE_MOVABLE
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer, enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

#endif
