// SPDX-License-Identifier: GPL-2.0
/*
 * Running vCPUs: threads call KEEL_RUN, which enters the hypervisor again and again, waits while the guest is halted, sets
 * the vCPU's timer and passes kicks on.
 *
 * A kick makes a vCPU come round to the hypervisor, which knows itself why (an interrupt for the guest, a deadline, the
 * end): a waiting thread is woken, a running one gets an interrupt, which ends the run.
 */

#include <linux/delay.h>
#include <linux/math64.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <asm/tsc.h>

#include "compat.h"
#include "hypercall.h"
#include "keel.h"

#define NEVER		(~0ull)
#define LONGEST_MS	(3600u * 1000u)		/* a timer is set for an hour at most, and then again */
/*
 * So long the deadlines of a guest that was woken may stay untold: longer than one mostly runs then, and shorter than most
 * deadlines that it sets, for a nearer one is told at once.
 */
#define BACKSTOP_US	250u
#define RUN_AGAIN	1

void keel_vcpu_kick(struct keel_vcpu *vcpu)
{
	unsigned long flags;

	atomic_set(&vcpu->kicked, 1);
	wake_up(&vcpu->wait);
	spin_lock_irqsave(&vcpu->task_lock, flags);
	if (vcpu->task)
		kick_process(vcpu->task);
	spin_unlock_irqrestore(&vcpu->task_lock, flags);
}

static void kick_mask(struct keel_vm *vm, u64 mask)
{
	u32 i;

	for (i = 0; i < vm->vcpus; i++)
		if (mask & BIT_ULL(i))
			keel_vcpu_kick(&vm->vcpu[i]);
}

static enum hrtimer_restart deadline_reached(struct hrtimer *timer)
{
	keel_vcpu_kick(container_of(timer, struct keel_vcpu, timer));
	return HRTIMER_NORESTART;
}

static void set_task(struct keel_vcpu *vcpu, struct task_struct *task)
{
	spin_lock_irq(&vcpu->task_lock);
	vcpu->task = task;
	spin_unlock_irq(&vcpu->task_lock);
}

/* Rounded up: a timer that goes off early costs an entry for nothing. */
static u64 ticks_to_ns(u64 ticks)
{
	ticks = min_t(u64, ticks, (u64)tsc_khz * LONGEST_MS);
	return mul_u64_u64_div_u64(ticks, NSEC_PER_MSEC, tsc_khz) + 1;
}

/* One that has passed needs no timer, which would but interrupt the run that sees to it. */
static void set_deadline(struct keel_vcpu *vcpu, u64 deadline)
{
	u64 now = rdtsc_ordered();

	if (deadline <= now)
		atomic_set(&vcpu->kicked, 1);
	if (deadline <= now || deadline == NEVER)
		hrtimer_cancel(&vcpu->timer);
	else if (deadline != vcpu->deadline || !hrtimer_is_queued(&vcpu->timer))
		hrtimer_start(&vcpu->timer, ns_to_ktime(ticks_to_ns(deadline - now)), HRTIMER_MODE_REL);
	vcpu->deadline = deadline;
}

static void set_backstop(struct keel_vcpu *vcpu)
{
	if (!hrtimer_is_queued(&vcpu->timer))
		set_deadline(vcpu, rdtsc_ordered() + (u64)tsc_khz * BACKSTOP_US / USEC_PER_MSEC);
}

/*
 * One call of the hypervisor. Interrupts are off from the last look at what would keep us from running until the call,
 * so that a kick or a signal sent after it is an interrupt that ends the call. 0: did not run.
 */
static s64 enter(struct keel_vcpu *vcpu, struct keel_args *args)
{
	*args = (struct keel_args){ .rdi = vcpu->vm->id, .rsi = vcpu->index, .rdx = NEVER };
	/* It went off while the guest ran, which has something to do now, and then tells the next one. */
	if (vcpu->deadline != NEVER)
		set_backstop(vcpu);
	local_irq_disable();
	/* If it goes off from here on, that is an interrupt which ends the call. */
	if (hrtimer_is_queued(&vcpu->timer))
		args->rdx = vcpu->deadline;
	if (signal_pending(current) || need_resched()) {
		local_irq_enable();
		return 0;
	}
	atomic_set(&vcpu->kicked, 0);
	trace_hardirqs_on();
	return keel_call_irqs_on(KEEL_HC_RUN, args);
}

/* What vCPUs and the event context may both ask for. */
static void common_wishes(struct keel_vm *vm, s64 flags, u64 kick)
{
	if (flags & KEEL_RUN_KICK)
		kick_mask(vm, kick);
	if (flags & KEEL_RUN_DOORBELL && vm->doorbell)
		eventfd_signal(vm->doorbell);
	if (flags & KEEL_RUN_ENDED)
		keel_vm_end(vm);
}

/*
 * A guest that was woken mostly sets its next deadline, has others that are far ahead, and halts again at once. None of them
 * needs a return of its own while some timer goes off before; when the guest halts, the one that counts is told.
 */
static long wait(struct keel_vcpu *vcpu)
{
	if (wait_event_interruptible(vcpu->wait, atomic_read(&vcpu->kicked) || READ_ONCE(vcpu->vm->ended)))
		return -EINTR;
	set_backstop(vcpu);
	return RUN_AGAIN;
}

/* Who is in the cell may have been interrupted there, on this very CPU: make room for longer than a yield does. */
static void cell_is_busy(void)
{
	usleep_range(10, 50);
}

static long run_once(struct keel_vcpu *vcpu)
{
	struct keel_args args;
	s64 flags = enter(vcpu, &args);

	if (flags == -ESHUTDOWN)
		flags = KEEL_RUN_ENDED;
	if (flags < 0)
		return flags;
	if (flags & KEEL_RUN_DEADLINE)
		set_deadline(vcpu, args.rdi);
	common_wishes(vcpu->vm, flags, args.rsi);
	if (flags & KEEL_RUN_ENDED)
		return 0;
	if (flags & KEEL_RUN_WAIT)
		return wait(vcpu);
	if (flags & KEEL_RUN_BUSY)
		cell_is_busy();
	else if (flags & KEEL_RUN_YIELD)
		yield();
	else
		cond_resched();
	return signal_pending(current) ? -EINTR : RUN_AGAIN;
}

long keel_vcpu_run(struct keel_vcpu *vcpu)
{
	long result;

	if (!smp_load_acquire(&vcpu->vm->started))
		return -EINVAL;
	if (!mutex_trylock(&vcpu->running))
		return -EBUSY;
	set_task(vcpu, current);
	do {
		result = run_once(vcpu);
	} while (result == RUN_AGAIN);
	set_task(vcpu, NULL);
	mutex_unlock(&vcpu->running);
	return result;
}

/*
 * An interrupted cell holds its lock until it is entered again, so a mere signal does not end this; what kills the
 * process ends the VM as well.
 */
long keel_vm_event(struct keel_vm *vm)
{
	struct keel_args args;
	s64 flags;

	if (!smp_load_acquire(&vm->started))
		return -EINVAL;
	if (mutex_lock_killable(&vm->event_lock))
		return -EINTR;
	do {
		args = (struct keel_args){ .rdi = vm->id };
		flags = keel_call(KEEL_HC_EVENT, &args);
		if (flags < 0)
			break;
		common_wishes(vm, flags, args.rsi);
		if (flags & (KEEL_RUN_DONE | KEEL_RUN_ENDED))
			flags = 0;
		else if (fatal_signal_pending(current))
			flags = -EINTR;
		else if (flags & KEEL_RUN_BUSY)
			cell_is_busy();
		else
			cond_resched();
	} while (flags > 0);
	mutex_unlock(&vm->event_lock);
	return flags;
}

void keel_vcpu_init(struct keel_vm *vm, u32 index)
{
	struct keel_vcpu *vcpu = &vm->vcpu[index];

	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->deadline = NEVER;
	mutex_init(&vcpu->running);
	spin_lock_init(&vcpu->task_lock);
	init_waitqueue_head(&vcpu->wait);
	hrtimer_setup(&vcpu->timer, deadline_reached, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
}
