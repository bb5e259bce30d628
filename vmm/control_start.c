// SPDX-License-Identifier: GPL-2.0
/*
 * A control domain that dies before it has a console: it halts with interrupts off, or shuts its processor down, and
 * the screen just stops. So until it has shown that it runs, Keel watches the first CPU's halts, and tells of such an
 * end on its own console.
 */

#include "control.h"

#include "console.h"
#include "cpu.h"
#include "hv.h"

static struct {
	bool watched;
	bool refused;
	/* Of the last access that was refused. */
	uint64_t rip;
	uint64_t gpa;
} start_up;

void control_watch_start(struct cpu *cpu)
{
	start_up.watched = true;
	hv->control.hlt(cpu, true);
}

static bool is_watched(const struct cpu *cpu)
{
	return !cpu->index && start_up.watched;
}

void control_is_up(struct cpu *cpu)
{
	if (!is_watched(cpu))
		return;
	start_up.watched = false;
	hv->control.hlt(cpu, false);
}

void control_note_refusal(const struct cpu *cpu, uint64_t gpa)
{
	if (!is_watched(cpu))
		return;
	start_up.refused = true;
	start_up.rip = cpu->control.rip;
	start_up.gpa = gpa;
}

static void tell(const struct cpu *cpu, const char *what)
{
	console_loud();
	print("\nKeel: the control domain %s at RIP %lx before it was up.\n", what, cpu->control.rip);
	if (start_up.refused)
		print("Keel: at RIP %lx it was refused memory that is not its own, at %lx.\n", start_up.rip, start_up.gpa);
	print("For its own words add earlyprintk=ttyS0,115200 or earlyprintk=vga to its command line. "
	      "The boot menu's plain Linux entry works without Keel.\n");
	console_quiet();
}

/* The first halt that interrupts can end is the idle loop's. None exits any more from then on, and this one is executed. */
void control_take_hlt(struct cpu *cpu)
{
	struct hv_control_state state;

	hv->control.get(cpu, &state);
	if (is_watched(cpu) && !(state.rflags & RFLAGS_IF))
		tell(cpu, "halted for good");
	control_is_up(cpu);
}

bool control_failed_to_start(struct cpu *cpu)
{
	if (!is_watched(cpu))
		return false;
	tell(cpu, "shut down by a triple fault");
	return true;
}
