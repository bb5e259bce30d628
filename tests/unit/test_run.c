/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver's loop on a model of the kernel and of a guest that sleeps: how often it calls the hypervisor, and whether
 * in time.
 */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <time.h>

#include <keel/macros.h>

#include "suite.h"

/* What linux/run.c takes from the kernel. Its headers are empty here. */
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
typedef int spinlock_t, wait_queue_head_t;
typedef struct {
	int counter;
} atomic_t;
struct mutex {
	int taken;
};
struct kref {
	int count;
};
struct list_head {
	struct list_head *next;
};
struct task_struct {
	int unused;
};
struct eventfd_ctx {
	int unused;
};
enum hrtimer_restart { HRTIMER_NORESTART };
struct hrtimer {
	bool queued;
	u64 expires;
	enum hrtimer_restart (*function)(struct hrtimer *timer);
};

#define __user
#define READ_ONCE(place)	(place)
#define smp_load_acquire(place)	(*(place))
#define atomic_set(a, value)	((a)->counter = (value))
#define atomic_read(a)		((a)->counter)
#define BIT_ULL(bit)		(1ull << (bit))
#define min_t(type, a, b)	((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define mul_u64_u64_div_u64(a, b, c) ((u64)((unsigned __int128)(a) * (b) / (c)))
#define NSEC_PER_MSEC		1000000ull
#define USEC_PER_MSEC		1000ull
#define ns_to_ktime(ns)		(ns)
#define HRTIMER_MODE_REL	1
#define spin_lock_irqsave(lock, flags)	((void)(lock), (flags) = 0)
#define spin_unlock_irqrestore(lock, flags) ((void)(lock), (void)(flags))
#define spin_lock_irq(lock)	((void)(lock))
#define spin_unlock_irq(lock)	((void)(lock))
#define spin_lock_init(lock)	((void)(lock))
#define mutex_init(mutex)	((mutex)->taken = 0)
#define mutex_trylock(mutex)	(!(mutex)->taken++)
#define mutex_lock_killable(mutex) ((mutex)->taken++)
#define mutex_unlock(mutex)	((mutex)->taken--)
#define init_waitqueue_head(wait) ((void)(wait))
#define wake_up(wait)		((void)(wait))
#define kick_process(task)	((void)(task))
#define local_irq_disable()	((void)0)
#define local_irq_enable()	((void)0)
#define trace_hardirqs_on()	((void)0)
#define need_resched()		false
#define signal_pending(task)	(over())
#define fatal_signal_pending(task) false
#define cond_resched()		((void)0)
#define yield()			((void)0)
#define usleep_range(least, most) ((void)0)
#define eventfd_signal(context)	((void)(context))
#define current			(&this_task)
#define rdtsc_ordered()		(clock_ticks)
#define wait_event_interruptible(wait, condition) sleep_until_kicked(&(wait))

/* A tick is a nanosecond. */
static const u32 tsc_khz = 1000000;
#define USEC			1000ull
#define FAR			1000000000ull
#define WAKE_UPS		100u

static struct task_struct this_task;
static u64 clock_ticks;

static bool over(void);
static int sleep_until_kicked(wait_queue_head_t *wait);

static void hrtimer_start(struct hrtimer *timer, u64 ns, int mode)
{
	(void)mode;
	timer->queued = true;
	timer->expires = clock_ticks + ns;
}

static void hrtimer_cancel(struct hrtimer *timer)
{
	timer->queued = false;
}

static bool hrtimer_is_queued(const struct hrtimer *timer)
{
	return timer->queued;
}

static void hrtimer_setup(struct hrtimer *timer, enum hrtimer_restart (*function)(struct hrtimer *), int clock, int mode)
{
	(void)clock;
	(void)mode;
	timer->function = function;
}

#define KEEL_LINUX_COMPAT_H
#define KEEL_LINUX_HYPERCALL_H
struct keel_args {
	u64 rdi, rsi, rdx, r10, r8;
};
static s64 keel_call(u64 number, struct keel_args *args);
static s64 keel_call_irqs_on(u64 number, struct keel_args *args);

#include "../../linux/run.c"

/*
 * The guest, with its cell, which has another deadline far ahead. BUSY: it never halts, and sets the next deadline when it has
 * reached one. Else it is woken at its deadline, runs for a while, sets the next one, runs again and halts.
 */
static struct {
	u64 period, before, after;	/* from one deadline to the next; what it runs before it is set, and then */
	u64 deadline;			/* its own */
	enum { HALTED, WOKEN, SET, BUSY } state;
	u64 left;			/* of the time that it runs in this state */
	u64 answered;			/* BUSY: the deadline of the cell's last answer */
} guest;
static unsigned int calls, wake_ups;
static u64 latest;			/* most that it was woken behind its deadline */
static _Alignas(struct keel_vm) uint8_t place[sizeof(struct keel_vm) + sizeof(struct keel_vcpu)];
static struct keel_vm *const vm = (struct keel_vm *)place;

static bool over(void)
{
	return wake_ups >= WAKE_UPS;
}

void keel_vm_end(struct keel_vm *ended)
{
	(void)ended;
	ck_abort_msg("nobody ends");
}

static void go_off(void)
{
	struct hrtimer *timer = &vm->vcpu[0].timer;

	timer->queued = false;
	timer->function(timer);
}

/* Both ways an interrupt of another device's could end the wait come to the same, so the timer is the only one. */
static int sleep_until_kicked(wait_queue_head_t *wait)
{
	(void)wait;
	while (!vm->vcpu[0].kicked.counter) {
		ck_assert_msg(vm->vcpu[0].timer.queued, "it sleeps for ever");
		clock_ticks = vm->vcpu[0].timer.expires;
		go_off();
	}
	return 0;
}

static u64 next_deadline(void)
{
	return guest.state == WOKEN ? FAR * 3600 : guest.deadline;
}

/* False: the timer's interrupt comes first. */
static bool run(u64 *left)
{
	struct hrtimer *timer = &vm->vcpu[0].timer;

	if (timer->queued && timer->expires <= clock_ticks + *left) {
		*left -= timer->expires > clock_ticks ? timer->expires - clock_ticks : 0;
		clock_ticks = timer->expires > clock_ticks ? timer->expires : clock_ticks;
		go_off();
		return false;
	}
	clock_ticks += *left;
	*left = 0;
	return true;
}

static s64 told(struct keel_args *args, s64 flags)
{
	args->rdi = next_deadline();
	return flags | (args->rdi != args->rdx ? KEEL_RUN_DEADLINE : 0);
}

static void wake(void)
{
	wake_ups++;
	latest = clock_ticks - guest.deadline > latest ? clock_ticks - guest.deadline : latest;
	guest.state = WOKEN;
	guest.left = guest.before;
}

static s64 answered(struct keel_args *args, s64 flags)
{
	args->rdi = guest.answered;
	return flags | (args->rdi != args->rdx ? KEEL_RUN_DEADLINE : 0);
}

/* What a deadline is for is seen at the first entry behind it: until then the answer with it stands. */
static s64 run_busy(struct keel_args *args)
{
	if (guest.left == 0 && clock_ticks >= guest.answered) {
		wake();
		guest.state = BUSY;
		guest.answered = FAR * 3600;
		if (guest.answered < args->rdx)
			return answered(args, 0);
	}
	if (guest.left > 0) {
		if (!run(&guest.left))
			return answered(args, KEEL_RUN_INTERRUPT);
		guest.deadline += guest.period;
		guest.answered = guest.deadline;
	}
	if (guest.answered < args->rdx)
		return answered(args, 0);
	run(&(u64){ FAR });
	return answered(args, KEEL_RUN_INTERRUPT);
}

static s64 keel_call_irqs_on(u64 number, struct keel_args *args)
{
	ck_assert_uint_eq(number, KEEL_HC_RUN);
	calls++;
	if (guest.state == BUSY)
		return run_busy(args);
	if (guest.state == HALTED && clock_ticks >= guest.deadline)
		wake();
	else if (guest.state == HALTED)
		return told(args, KEEL_RUN_WAIT);
	if (next_deadline() < args->rdx)
		return told(args, 0);
	if (guest.state == WOKEN) {
		if (!run(&guest.left))
			return told(args, KEEL_RUN_INTERRUPT);
		guest.state = SET;
		guest.deadline += guest.period;
		guest.left = guest.after;
		if (next_deadline() < args->rdx)
			return told(args, 0);
	}
	if (!run(&guest.left))
		return told(args, KEEL_RUN_INTERRUPT);
	guest.state = HALTED;
	return told(args, KEEL_RUN_WAIT);
}

static s64 keel_call(u64 number, struct keel_args *args)
{
	return keel_call_irqs_on(number, args);
}

static void begin(u64 period, u64 before, u64 after)
{
	vm->started = true;
	vm->ended = false;
	keel_vcpu_init(vm, 0);
	clock_ticks = FAR;
	calls = wake_ups = 0;
	latest = 0;
	guest.period = period;
	guest.before = before;
	guest.after = after;
	guest.deadline = guest.answered = clock_ticks + period;
	guest.left = 0;
}

static void run_to_the_end(void)
{
	ck_assert_int_eq(keel_vcpu_run(&vm->vcpu[0]), -EINTR);
	ck_assert_uint_eq(wake_ups, WAKE_UPS);
	ck_assert_uint_le(latest, 2);
}

static void sleep_and_wake(u64 period, u64 before, u64 after)
{
	begin(period, before, after);
	guest.state = HALTED;
	run_to_the_end();
}

START_TEST(one_call_a_wake_up)
{
	sleep_and_wake(4000 * USEC, 20 * USEC, 20 * USEC);
	/* And the one that finds it halted. */
	ck_assert_uint_le(calls, WAKE_UPS + 1);
}
END_TEST

/* As with a tick and a timer of Linux's that is a while behind it. */
START_TEST(deadlines_at_half_a_millisecond)
{
	sleep_and_wake(500 * USEC, 20 * USEC, 20 * USEC);
	ck_assert_uint_le(calls, WAKE_UPS + 1);
}
END_TEST

/* Its deadline would pass before the stand-in goes off, so it must be told. */
START_TEST(near_deadlines_are_told)
{
	sleep_and_wake(200 * USEC, 20 * USEC, 20 * USEC);
	ck_assert_uint_le(calls, 2 * WAKE_UPS + 1);
}
END_TEST

/* The stand-in goes off while it runs. */
START_TEST(longer_than_the_stand_in)
{
	sleep_and_wake(10000 * USEC, 3000 * USEC, 3000 * USEC);
	ck_assert_uint_le(calls, 3 * WAKE_UPS + 1);
}
END_TEST

/* Two interrupts, of the deadline and of the stand-in; no call that does not let the guest run. */
START_TEST(deadlines_of_one_that_never_halts)
{
	begin(4000 * USEC, 20 * USEC, 0);
	guest.state = BUSY;
	run_to_the_end();
	/* And the first one, which is told the deadline. */
	ck_assert_uint_le(calls, 2 * WAKE_UPS + 1);
}
END_TEST

SUITE("run", tests)
{
	tcase_add_test(tests, one_call_a_wake_up);
	tcase_add_test(tests, deadlines_at_half_a_millisecond);
	tcase_add_test(tests, near_deadlines_are_told);
	tcase_add_test(tests, longer_than_the_stand_in);
	tcase_add_test(tests, deadlines_of_one_that_never_halts);
}
