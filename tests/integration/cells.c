// SPDX-License-Identifier: GPL-2.0
/*
 * cells: enters a hostile cell once for each of its actions, in a VM of its own, and checks how that VM ends and that the
 * control domain goes on. Needs the hypervisor that has the hostile cell. One line for each check on standard output.
 */
#include "machine.h"

#include <err.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <keel/cell.h>
#include <keel/macros.h>

#define MEMORY		0x10000u
#define SETTLE_MS	100u
#define END_MS		(5000u * machine_patience())
#define SPIN_MS		400u
#define SLEEPS		20u
#define SLEEP_NS	1000000
#define RANDOM_ROUNDS	5u
#define VECTOR_UD	6u

/* As cells/hostile.asm has them. */
_Static_assert(offsetof(struct keel_exit, port) == 32, "EXIT_PORT");
_Static_assert(offsetof(struct keel_exit, refused) == 88, "EXIT_REFUSED");
_Static_assert(offsetof(struct keel_context, regs) == 96, "REGS");
_Static_assert(offsetof(struct keel_context, answer) == 240, "ANSWER");
_Static_assert(offsetof(struct keel_answer, deadline) == 40, "ANSWER_DEADLINE");
_Static_assert(offsetof(struct keel_answer, apertures) == 56, "ANSWER_APERTURES");
_Static_assert(offsetof(struct keel_answer, state) == 64, "ANSWER_STATE");
_Static_assert(sizeof(struct keel_answer) == 72, "ANSWER_BYTES");
_Static_assert(offsetof(struct keel_context, sregs) == 312, "SREGS");
_Static_assert(offsetof(struct keel_sregs, cr0) == 152, "SREGS_CR0");
_Static_assert(offsetof(struct keel_sregs, efer) == 184, "SREGS_EFER");
_Static_assert(offsetof(struct keel_sregs, cpl) == 208, "SREGS_CPL");
_Static_assert(sizeof(struct keel_sregs) == 352, "SREGS_BYTES");
_Static_assert(offsetof(struct keel_state, regs.rip) == 128, "STATE_RIP");
_Static_assert(sizeof(struct keel_vcpu_state) == 8192, "STATE_BYTES");
_Static_assert(sizeof(struct keel_vectors) == 528, "VECTORS_BYTES");
_Static_assert(offsetof(struct keel_context, aperture) == 1192, "APERTURES");
_Static_assert(sizeof(struct keel_aperture) == 24, "APERTURE_BYTES");

enum ends { RUNNING, RUNNING_BUSY, FAULT, FAULT_UNDEFINED, FAULT_OR_RUNNING, FAULT_ANY, REFUSED, NOT_ALLOWED, SPIN, ANY };

static const struct action {
	const char *name;
	enum ends ends;
	unsigned int vector;
} actions[] = {
#define ACTION(name, ends, vector) { #name, ends, vector },
#include "actions.def"
#undef ACTION
};

static unsigned int passed, failed;

static void report(bool good, const char *name, const char *why)
{
	if (good)
		printf("ok - cell %s\n", name);
	else
		printf("not ok - cell %s: %s\n", name, why);
	passed += good;
	failed += !good;
	fflush(stdout);
}

static bool is_fault(const struct keel_vm_status *status, unsigned int vector)
{
	return status->end == KEEL_END_CELL_FAULT && status->detail >> 32 == vector;
}

static bool is_expected(const struct action *action, const struct keel_vm_status *status)
{
	bool running = status->end == KEEL_END_NONE, fault = is_fault(status, action->vector);

	switch (action->ends) {
	case RUNNING:
	case RUNNING_BUSY:
	case SPIN:
		return running;
	case FAULT:
		return fault;
	case FAULT_UNDEFINED:
		return fault || is_fault(status, VECTOR_UD);
	case FAULT_OR_RUNNING:
		return fault || running;
	case FAULT_ANY:
		return status->end == KEEL_END_CELL_FAULT;
	case REFUSED:
		return status->end == KEEL_END_CELL_REFUSED;
	case NOT_ALLOWED:
		return status->end == KEEL_END_CELL_ANSWER;
	case ANY:
		return status->end != KEEL_END_UNHANDLED;
	}
	return false;
}

/* Whether this process still gets the processor, and time passes: short sleeps take about as long as they should. */
static bool ticks_go_on(void)
{
	struct timespec pause = { .tv_nsec = SLEEP_NS };
	uint64_t start = machine_milliseconds();

	for (unsigned int i = 0; i < SLEEPS; i++)
		nanosleep(&pause, NULL);
	return machine_milliseconds() - start < END_MS;
}

static unsigned int time_for(enum ends ends)
{
	switch (ends) {
	case RUNNING:
	case RUNNING_BUSY:
	case FAULT_OR_RUNNING:
	case ANY:
		return SETTLE_MS;
	case SPIN:
		return SPIN_MS;
	default:
		return END_MS;
	}
}

static void run_action(unsigned int number, uint32_t seed)
{
	const struct action *action = &actions[number];
	struct keel_vm_aperture aperture = { .page = 1, .pages = 1 };
	struct keel_vm_status status;
	struct machine machine;
	uint32_t *selector;
	char why[128];
	bool ticks;

	machine_make(&machine, 1, MEMORY, NULL, 0);
	if (ioctl(machine.fd, KEEL_VM_APERTURE, &aperture))
		err(2, "KEEL_VM_APERTURE");
	machine.quiet = true;
	selector = (uint32_t *)machine.channel;
	selector[0] = number;
	selector[1] = seed;
	machine_start(&machine, false);
	/* The event context of these actions is the one that misbehaves: in a thread of its own it is a vCPU's business. */
	if (strstr(action->name, "event"))
		machine_poke(&machine);
	status = machine_wait(&machine, time_for(action->ends));
	ticks = ticks_go_on();
	snprintf(why, sizeof(why), "ended %s, detail %#llx, address %#llx%s", machine_end_name(status.end),
		 (unsigned long long)status.detail, (unsigned long long)status.address,
		 ticks ? "" : ", and the control domain stood still");
	report(ticks && is_expected(action, &status), action->name, why);
	machine_close(&machine);
}

int main(int argc, char **argv)
{
	int device = machine_device();
	unsigned int count = ARRAY_SIZE(actions);
	struct keel_info before = machine_info(device), after;

	for (unsigned int i = 0; i < count; i++) {
		if (argc > 1 && strcmp(argv[1], actions[i].name))
			continue;
		for (uint32_t seed = 0; seed < (strstr(actions[i].name, "random") ? RANDOM_ROUNDS : 1); seed++)
			run_action(i, seed * 0x9e3779b9u);
	}
	after = machine_info(device);
	report(after.pages_out == before.pages_out, "pages", "pages were not given back");
	report(after.vm_slots == before.vm_slots, "slots", "a VM was not given back");
	printf("%u passed, %u failed\n", passed, failed);
	return failed || passed < 3;
}
