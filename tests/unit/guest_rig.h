/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of a guest on SVM and on VMX have in common: a CPU, a machine, its cell's page, what stands for the rest of the
 * hypervisor, and exits that are answered at once. How a processor enters the guest is each test's own.
 */
#ifndef KEEL_TEST_GUEST_RIG_H
#define KEEL_TEST_GUEST_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "hv.h"
#include "percpu.h"
#include "vcpu.h"
#include "vm.h"

#define RIP		0x401000u
#define KEPT_MSR	0x10au		/* what msr_guest_read() has, */
#define LEAF		0x40000010u	/* and a leaf of cpuid_guest(), which has all */

extern struct cpu cpu;
extern struct vm vm;
extern struct keel_context page;	/* of the cell, and the vCPU's */
extern struct hv_exit ended;
extern unsigned int debug_uses;		/* debug registers that were given to the guest */
extern unsigned int write_backs;	/* of the caches */
/* Entries that end by what is answered at once, and then one that halts; 0: whatever the test has set, always. */
extern unsigned int before_halt;
extern bool taken_away;			/* another CPU takes the translations away during an entry */

/* The vCPU, of which the test has the rest: wired, at RIP. */
void guest_rig_start(struct vcpu *vcpu);
/* In the middle of an entry: whether it ends as the guest halts. */
bool guest_rig_halts(void);
/* The cell is entered for exits that are its own, and answers this; else another vCPU has it, and they wait in its page. */
extern bool cell_is_free;
extern struct keel_answer cell_answers;
extern uint64_t cell_vector;		/* what the cell is left by */
extern unsigned int cell_entries;
extern struct keel_exit cell_saw;

/* Enters the guest by the vendor's function, with the cell's record. */
enum hv_exit_reason guest_rig_enter(void (*enter)(struct cpu *cpu, struct vcpu *vcpu, struct hv_exit *exit));

/* CPUID or an access of an MSR, and whether it is answered without the cell. */
struct at_once {
	uint64_t rax, rcx;
	bool msr, write, answered;
};

/* An access of these registers is the next; before_halt says how often. */
void at_once_begin(const struct at_once *access, unsigned int entries);
/* How it ended, of three entries: "bytes" is the length of one instruction. */
void at_once_check(const struct at_once *access, enum hv_exit_reason reason, unsigned int bytes);
/* What the cell may answer to an instruction of its own, and whether the guest goes on at once. */
struct by_cell {
	struct keel_answer answer;
	uint64_t vector;
	bool masked, window;	/* the guest takes no interrupts; the last answer asked for a window */
	bool goes_on;
};
#define BY_CELL_CASES	15
extern const struct by_cell by_cell[BY_CELL_CASES];

/* An instruction of 'bytes' that is the cell's is next, twice, and then a halt. */
void by_cell_begin(const struct by_cell *by, unsigned int bytes);
void by_cell_check(const struct by_cell *by, enum hv_exit_reason reason, enum keel_exit_kind kind, unsigned int bytes);

/* As at_once_check(), where somebody has a use for the CPU behind the first one. */
void at_once_check_asked(enum hv_exit_reason reason, unsigned int bytes);

#endif
