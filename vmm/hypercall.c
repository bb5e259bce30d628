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

	call->results = 4;
	call->result[0] = call->result[1] = call->result[2] = 0;
	position = call->arg[0];
	int64_t count = log_read(&position, (uint8_t *)call->result);
	call->result[3] = position;
	return count;
}

static int64_t hc_create(struct call *call)
{
	return vm_create(call->arg[0], call->arg[1], call->arg[2]);
}

static int64_t hc_donate(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_donate(vm, call->arg[1], call->arg[2]) : -ENOENT;
}

static int64_t hc_flush(struct call *call)
{
	call->cpu->flushed = vm_donations();
	hv->control_flush(call->cpu);
	return 0;
}

static int64_t hc_assign(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_assign(vm, call->arg[1], call->arg[2], call->arg[3], call->arg[4]) : -ENOENT;
}

static int64_t hc_map(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_map(vm, call->arg[1], call->arg[2], call->arg[3], call->arg[4]) : -ENOENT;
}

static int64_t hc_share(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_share(vm, call->arg[1], call->arg[2], call->arg[3]) : -ENOENT;
}

static int64_t hc_start(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_start(vm) : -ENOENT;
}

static int64_t run_result(struct call *call, const struct vm_run *run)
{
	call->results = 2;
	call->result[0] = run->deadline;
	call->result[1] = run->kick;
	return 0;
}

/*
 * A cell may be left by a physical interrupt, which is then injected whatever the control domain's IF says; so IF must be
 * set. The interrupt shadow ended when the call's instruction was skipped.
 */
static bool may_run(struct call *call)
{
	struct hv_control_state state;

	hv->control_get(call->cpu, &state);
	return state.rflags & RFLAGS_IF;
}

static int64_t hc_run(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);
	struct vm_run run = { UINT64_MAX, 0 };
	int64_t flags;

	if (!vm)
		return -ENOENT;
	if (!may_run(call))
		return -EINVAL;
	flags = vcpu_run(call->cpu, vm, call->arg[1], &run);
	run_result(call, &run);
	return flags;
}

static int64_t hc_event(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);
	struct vm_run run = { UINT64_MAX, 0 };
	int64_t flags;

	if (!vm)
		return -ENOENT;
	if (!may_run(call))
		return -EINVAL;
	flags = vm_event(call->cpu, vm, &run);
	run_result(call, &run);
	return flags;
}

static int64_t hc_status(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);
	int64_t end;

	if (!vm)
		return -ENOENT;
	end = __atomic_load_n(&vm->end, __ATOMIC_ACQUIRE);
	call->results = 2;
	call->result[0] = vm->end_detail;
	call->result[1] = vm->end_address;
	return end;
}

static int64_t hc_kill(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_kill(vm) : -ENOENT;
}

static int64_t hc_reclaim(struct call *call)
{
	struct vm *vm = vm_get(call->arg[0]);

	return vm ? vm_reclaim(vm, call->arg[1], call->arg[2]) : -ENOENT;
}

static int64_t hc_trap(struct call *call)
{
	return control_set_trap(call->cpu, call->arg[0]);
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
};

void hypercall(struct cpu *cpu)
{
	static const uint8_t arguments[5] = { KEEL_RDI, KEEL_RSI, KEEL_RDX, KEEL_R10, KEEL_R8 };
	static const uint8_t results[4] = { KEEL_RDI, KEEL_RSI, KEEL_RDX, KEEL_R8 };
	uint64_t number = cpu->control.gpr[KEEL_RAX];
	struct call call = { .cpu = cpu };
	unsigned int i;

	for (i = 0; i < 5; i++)
		call.arg[i] = cpu->control.gpr[arguments[i]];
	cpu->control.gpr[KEEL_RAX] = number < KEEL_HC_COUNT ? (uint64_t)calls[number](&call) : (uint64_t)-ENOSYS;
	for (i = 0; i < call.results; i++)
		cpu->control.gpr[results[i]] = call.result[i];
}
