// SPDX-License-Identifier: GPL-2.0
// Hypercalls: arguments are decoded here, the work is done where the objects live.

#include "control.h"

#include "console.h"
#include "cpu.h"
#include "donation.h"
#include "error.h"
#include "hv.h"
#include "iommu.h"
#include "takeover.h"
#include "vcpu.h"
#include "vm.h"

struct call {
	struct cpu *cpu;
	struct vm *vm;			/* of the calls that have one, their first argument */
	uint64_t arg[5];
	uint64_t result[4];	/* RDI, RSI, RDX, R8 */
	unsigned int results;
};

static int64_t info(struct call *call)
{
	unsigned int i;

	vm_tell_faults();
	call->results = 4;
	call->result[0] = vm_cell_image_pages();
	call->result[2] = vm_free_slots();
	for (i = 0; i < cpu_count; i++) {
		call->result[1] += __atomic_load_n(&cpus[i]->online, __ATOMIC_RELAXED);
		call->result[3] += __atomic_load_n(&cpus[i]->exits, __ATOMIC_RELAXED);
	}
	return KEEL_ABI_REVISION;
}

static int64_t read_log(struct call *call)
{
	uint64_t position = call->arg[0];
	int64_t count;

	vm_tell_faults();
	count = log_read(&position, (uint8_t *)call->result);
	call->results = 4;
	call->result[3] = position;
	return count;
}

static int64_t dma(struct call *call)
{
	vm_tell_faults();
	call->results = 1;
	call->result[0] = iommu_faults();
	return iommu_works() ? KEEL_DMA_PROTECTED : 0;
}

static int64_t flush(struct cpu *cpu)
{
	donation_flush(cpu);
	return 0;
}

static int64_t create(const struct call *call)
{
	return takeover_attached() ? vm_create(call->arg[0], call->arg[1], call->arg[2], call->arg[3]) : -EPERM;
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

	hv->control.get(call->cpu, &state);
	if (!(state.rflags & RFLAGS_IF))
		return -EINVAL;
	flags = event ? vcpu_run_event(call->cpu, call->vm, &result) :
			vcpu_run(call->cpu, call->vm, call->arg[1], call->arg[2], &result);
	call->results = 2;
	call->result[0] = result.deadline;
	call->result[1] = result.kick;
	return flags;
}

static int64_t status(struct call *call)
{
	int64_t end = __atomic_load_n(&call->vm->end, __ATOMIC_ACQUIRE);

	call->results = 2;
	call->result[0] = call->vm->end_detail;
	call->result[1] = call->vm->end_address;
	return end;
}

static int64_t of_vm(struct call *call, uint64_t number)
{
	const uint64_t *arg = call->arg;

	switch (number) {
	case KEEL_HC_DONATE:
		return vm_donate(call->vm, arg[1], arg[2]);
	case KEEL_HC_ASSIGN:
		return vm_assign(call->vm, arg[1], arg[2], arg[3], arg[4]);
	case KEEL_HC_MAP:
		return vm_map(call->vm, arg[1], arg[2], arg[3], arg[4]);
	case KEEL_HC_SHARE:
		return vm_share(call->vm, arg[1], arg[2], arg[3]);
	case KEEL_HC_APERTURE:
		return vm_bound_aperture(call->vm, arg[1], arg[2], arg[3]);
	case KEEL_HC_START:
		return vm_start(call->vm, arg[1]);
	case KEEL_HC_RUN:
	case KEEL_HC_EVENT:
		return run(call, number == KEEL_HC_EVENT);
	case KEEL_HC_STATUS:
		return status(call);
	case KEEL_HC_KILL:
		return vm_kill(call->vm);
	case KEEL_HC_RECLAIM:
		return vm_reclaim(call->vm, arg[1], arg[2]);
	case KEEL_HC_DIRTY:
		call->results = 4;
		return vm_take_dirty(call->vm, arg[1], arg[2], call->result);
	default:
		return -ENOSYS;
	}
}

static int64_t dispatch(struct call *call, uint64_t number)
{
	switch (number) {
	case KEEL_HC_INFO:
		return info(call);
	case KEEL_HC_LOG:
		return read_log(call);
	case KEEL_HC_VM_CREATE:
		return create(call);
	case KEEL_HC_FLUSH:
		return flush(call->cpu);
	case KEEL_HC_DMA:
		return dma(call);
	case KEEL_HC_ATTACH:
		return takeover_attach(call->cpu, call->arg[0]);
	default:
		call->vm = vm_get(call->arg[0]);
		return number >= KEEL_HC_COUNT ? -ENOSYS : call->vm ? of_vm(call, number) : -ENOENT;
	}
}

void hypercall(struct cpu *cpu)
{
	static const uint8_t arguments[5] = { KEEL_RDI, KEEL_RSI, KEEL_RDX, KEEL_R10, KEEL_R8 };
	static const uint8_t results[4] = { KEEL_RDI, KEEL_RSI, KEEL_RDX, KEEL_R8 };
	uint64_t number = cpu->control.gpr[KEEL_RAX];
	struct call call = { .cpu = cpu };
	unsigned int i;

	for (i = 0; i < 5; i++)
		call.arg[i] = cpu->control.gpr[arguments[i]];
	cpu->control.gpr[KEEL_RAX] = (uint64_t)dispatch(&call, number);
	for (i = 0; i < call.results; i++)
		cpu->control.gpr[results[i]] = call.result[i];
}
