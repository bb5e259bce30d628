// SPDX-License-Identifier: GPL-2.0
// Hypercalls: arguments are decoded here, the work is done where the objects live.

#include "control.h"

#include <stddef.h>

#include "console.h"
#include "cpu.h"
#include "error.h"
#include "hv.h"
#include "vm.h"

struct call {
	struct cpu *cpu;
	struct vm *vm;			/* of the calls that have one, their first argument */
	uint64_t arg[5];
	uint64_t result[4];	/* RDI, RSI, RDX, R8 */
	unsigned int results;
};

static int64_t hc_info(struct call *call)
{
	unsigned int i;

	call->results = 4;
	call->result[0] = vm_cell_image_pages();
	call->result[1] = cpu_count;
	call->result[2] = vm_free_slots();
	for (i = 0; i < cpu_count; i++)
		call->result[3] += __atomic_load_n(&cpus[i]->exits, __ATOMIC_RELAXED);
	return KEEL_ABI_REVISION;
}

static int64_t hc_log(struct call *call)
{
	uint64_t position = call->arg[0];
	int64_t count = log_read(&position, (uint8_t *)call->result);

	call->results = 4;
	call->result[3] = position;
	return count;
}

static int64_t hc_create(struct call *call)
{
	return vm_create(call->arg[0], call->arg[1], call->arg[2]);
}

static int64_t hc_donate(struct call *call)
{
	return vm_donate(call->vm, call->arg[1], call->arg[2]);
}

static int64_t hc_flush(struct call *call)
{
	call->cpu->flushed = vm_donations();
	hv->control_flush(call->cpu);
	return 0;
}

static int64_t hc_assign(struct call *call)
{
	return vm_assign(call->vm, call->arg[1], call->arg[2], call->arg[3], call->arg[4]);
}

static int64_t hc_map(struct call *call)
{
	return vm_map(call->vm, call->arg[1], call->arg[2], call->arg[3], call->arg[4]);
}

static int64_t hc_share(struct call *call)
{
	return vm_share(call->vm, call->arg[1], call->arg[2], call->arg[3]);
}

static int64_t hc_start(struct call *call)
{
	return vm_start(call->vm);
}

/*
 * A cell may be left by a physical interrupt, which is then injected whatever the control domain's IF says; so IF must be
 * set. The interrupt shadow ended when the call's instruction was skipped.
 */
static int64_t run(struct call *call, bool event)
{
	struct vm_run result = { UINT64_MAX, 0 };
	struct hv_control_state state;
	int64_t flags;

	hv->control_get(call->cpu, &state);
	if (!(state.rflags & RFLAGS_IF))
		return -EINVAL;
	flags = event ? vm_event(call->cpu, call->vm, &result) :
			vcpu_run(call->cpu, call->vm, call->arg[1], call->arg[2], &result);
	call->results = 2;
	call->result[0] = result.deadline;
	call->result[1] = result.kick;
	return flags;
}

static int64_t hc_run(struct call *call)
{
	return run(call, false);
}

static int64_t hc_event(struct call *call)
{
	return run(call, true);
}

static int64_t hc_status(struct call *call)
{
	int64_t end = __atomic_load_n(&call->vm->end, __ATOMIC_ACQUIRE);

	call->results = 2;
	call->result[0] = call->vm->end_detail;
	call->result[1] = call->vm->end_address;
	return end;
}

static int64_t hc_kill(struct call *call)
{
	return vm_kill(call->vm);
}

static int64_t hc_reclaim(struct call *call)
{
	return vm_reclaim(call->vm, call->arg[1], call->arg[2]);
}

static int64_t hc_trap(struct call *call)
{
	return control_set_trap(call->cpu, call->arg[0]);
}

static int64_t hc_dirty(struct call *call)
{
	call->results = 4;
	return vm_take_dirty(call->vm, call->arg[1], call->arg[2], call->result);
}

static int64_t (*const calls[KEEL_HC_COUNT])(struct call *call) = {
	[KEEL_HC_INFO] = hc_info,
	[KEEL_HC_LOG] = hc_log,
	[KEEL_HC_VM_CREATE] = hc_create,
	[KEEL_HC_DONATE] = hc_donate,
	[KEEL_HC_FLUSH] = hc_flush,
	[KEEL_HC_ASSIGN] = hc_assign,
	[KEEL_HC_MAP] = hc_map,
	[KEEL_HC_SHARE] = hc_share,
	[KEEL_HC_START] = hc_start,
	[KEEL_HC_RUN] = hc_run,
	[KEEL_HC_EVENT] = hc_event,
	[KEEL_HC_STATUS] = hc_status,
	[KEEL_HC_KILL] = hc_kill,
	[KEEL_HC_RECLAIM] = hc_reclaim,
	[KEEL_HC_TRAP] = hc_trap,
	[KEEL_HC_DIRTY] = hc_dirty,
};

void hypercall(struct cpu *cpu)
{
	static const uint8_t arguments[5] = { KEEL_RDI, KEEL_RSI, KEEL_RDX, KEEL_R10, KEEL_R8 };
	static const uint8_t results[4] = { KEEL_RDI, KEEL_RSI, KEEL_RDX, KEEL_R8 };
	const uint32_t without_vm = 1u << KEEL_HC_INFO | 1u << KEEL_HC_LOG | 1u << KEEL_HC_VM_CREATE | 1u << KEEL_HC_FLUSH |
				    1u << KEEL_HC_TRAP;
	uint64_t number = cpu->control.gpr[KEEL_RAX];
	struct call call = { .cpu = cpu };
	int64_t value = -ENOSYS;
	unsigned int i;

	for (i = 0; i < 5; i++)
		call.arg[i] = cpu->control.gpr[arguments[i]];
	call.vm = vm_get(call.arg[0]);
	if (number < KEEL_HC_COUNT)
		value = call.vm || without_vm >> number & 1 ? calls[number](&call) : -ENOENT;
	cpu->control.gpr[KEEL_RAX] = (uint64_t)value;
	for (i = 0; i < call.results; i++)
		cpu->control.gpr[results[i]] = call.result[i];
}
