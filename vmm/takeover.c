// SPDX-License-Identifier: GPL-2.0
// The end of VMs whose kernel is gone.

#include "takeover.h"

#include <keel/hypercall.h>

#include "console.h"
#include "control_decode.h"
#include "cpu.h"
#include "error.h"
#include "hv.h"
#include "spinlock.h"
#include "string.h"
#include "vm.h"

static struct spinlock lock;
static struct {
	uint64_t address;	/* 0: nobody's */
	struct keel_identity word;
} owner;

/* Only the kernel's own code runs on tables that are sure to have its memory. */
static bool read_word(struct cpu *cpu, uint64_t address, struct keel_identity *word)
{
	struct hv_control_state state;
	const void *memory;

	hv->control.get(cpu, &state);
	memory = control_translate(&state, address);
	if (memory)
		memcpy(word, memory, sizeof(*word));
	return memory;
}

static bool owner_is_there(struct cpu *cpu)
{
	struct keel_identity word;

	return owner.address && read_word(cpu, owner.address, &word) && !memcmp(&word, &owner.word, sizeof(word));
}

int takeover_attach(struct cpu *cpu, uint64_t address)
{
	static const struct keel_identity none;
	struct keel_identity word;

	if (address % sizeof(word) || !read_word(cpu, address, &word) || !memcmp(&word, &none, sizeof(word)))
		return -EINVAL;
	spin_lock(&lock);
	if (address != owner.address || memcmp(&word, &owner.word, sizeof(word))) {
		vm_disown();
		owner.word = word;
		__atomic_store_n(&owner.address, address, __ATOMIC_RELEASE);
	}
	spin_unlock(&lock);
	return vm_take_back_next() ? -EAGAIN : 0;
}

bool takeover_attached(void)
{
	return __atomic_load_n(&owner.address, __ATOMIC_ACQUIRE);
}

bool takeover_fault(struct cpu *cpu, uint64_t hpa)
{
	struct hv_control_state state;

	hv->control.get(cpu, &state);
	if (state.cpl)
		return false;
	spin_lock(&lock);
	if (owner.address && !owner_is_there(cpu)) {
		if (vm_disown())
			print("Keel: the control domain's kernel is another one: the former one's guests end, and their memory "
			      "is scrubbed as it is used\n");
		owner.address = 0;
	}
	spin_unlock(&lock);
	return vm_take_back(hpa);
}
