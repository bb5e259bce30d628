/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the control domain's processors do to Keel, and Keel to them: messages, exits, MSRs, NMIs.
 * test_control_states.c has their TLBs.
 */
#include "control_rig.h"

#define MODES		8u
#define SHORTHANDS	4u
#define DESTINATIONS	5u

static bool is_named(const struct command *command, unsigned int number)
{
	bool others = (command->bits & ICR_SHORTHAND) == ICR_ALL_BUT_SELF && number != SPARE;
	bool one = !(command->bits & (ICR_SHORTHAND | ICR_LOGICAL)) && cpus[number]->apic_id == command->destination;

	return number != 0 && (command->mode == ICR_MODE_INIT || command->mode == ICR_MODE_SIPI) && (others || one);
}

static void check_command(const struct command *command, bool runs)
{
	bool init = command->mode == ICR_MODE_INIT, sipi = command->mode == ICR_MODE_SIPI, own = init || sipi;
	uint32_t icr = command->mode | command->bits | VECTOR, asked;

	send(cpus[0], command);
	ck_assert(seen.faults == 0 && seen.advanced == 1 && seen.rip == (command->x2apic ? INSN : STORE_RIP));
	/* All others are the APIC's to carry out, as they are. */
	ck_assert_uint_eq(seen.sends, !own && command->x2apic);
	ck_assert_uint_eq(seen.writes, !own && !command->x2apic);
	if (seen.sends)
		ck_assert(seen.destination == command->destination && seen.icr == icr);
	if (seen.writes)
		ck_assert(seen.reg == APIC_REG_ICR_LOW && seen.value == icr);
	/* One that runs, or waits: a SIPI is only heard by the latter. */
	asked = !is_named(command, 1) ? 0 : init ? CPU_REQUEST_INIT : runs ? 0 : CPU_REQUEST_SIPI | VECTOR;
	ck_assert_uint_eq(cpus[1]->request, asked);
	ck_assert_int_eq(processors[1].nmi, asked != 0);
	/* One that is not there yet: the real thing brings it to Keel. */
	ck_assert_uint_eq(seen.starts, is_named(command, SPARE));
	ck_assert_uint_eq(seen.start_init, is_named(command, SPARE) && init);
	ck_assert_uint_eq(cpus[SPARE]->request, is_named(command, SPARE) && sipi ? CPU_REQUEST_SIPI | VECTOR : 0);
	/* Not oneself, whatever the name. */
	ck_assert(cpus[0]->request == 0 && processors[0].place == DOMAIN);
}

/* Every mode, shorthand, destination mode and destination, in both modes of the APIC, to processors in all states. */
START_TEST(commands)
{
	const uint32_t destinations[] = {
		cpus[0]->apic_id, cpus[1]->apic_id, cpus[SPARE]->apic_id, 0x77, _i & 1 ? 0xffffffff : 0xff,
	};

	for (unsigned int n = 0; n < MODES * SHORTHANDS * DESTINATIONS * 2; n++) {
		const struct command command = {
			.x2apic = _i & 1, .mode = n / 2 % MODES << 8, .destination = destinations[n / 2 / MODES / SHORTHANDS],
			.bits = (n / 2 / MODES % SHORTHANDS << 18) | (_i & 2 ? ICR_LOGICAL : 0) | ICR_ASSERT,
		};

		set_up();
		if (n & 1)
			run_second();
		check_command(&command, n & 1);
	}
}
END_TEST

/* The end of INIT's level, of old kernels, is no command. */
START_TEST(deassert)
{
	send(cpus[0], &(struct command){ _i, ICR_MODE_INIT, ICR_LEVEL, cpus[1]->apic_id });
	ck_assert(seen.sends == 0 && seen.writes == 0 && seen.faults == 0 && cpus[1]->request == 0);
	ck_assert_uint_eq(seen.advanced, 1);
}
END_TEST

/* What the processor would refuse as well. */
START_TEST(bad_commands)
{
	struct keel_exit record = { .next_rip = INSN };
	struct hv_exit exit = { .reason = HV_EXIT_WRMSR, .record = &record };

	/* In xAPIC mode there is no such MSR; and reserved bits. */
	cpus[0]->control.gpr[KEEL_RCX] = MSR_X2APIC_ICR;
	cpus[0]->control.gpr[KEEL_RAX] = ICR_MODE_INIT | ICR_ASSERT;
	cpus[0]->control.gpr[KEEL_RDX] = cpus[1]->apic_id;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.code && !seen.advanced);
	apic_base_msr |= APIC_BASE_X2APIC;
	for (unsigned int bit = 0; bit < 32; bit++) {
		if (ICR_WRITABLE >> bit & 1)
			continue;
		seen.faults = 0;
		cpus[0]->control.gpr[KEEL_RAX] = 1u << bit;
		go_on(cpus[0], &exit);
		ck_assert_uint_eq(seen.faults, 1);
	}
	ck_assert(seen.advanced == 0 && seen.sends == 0 && cpus[1]->request == 0);
}
END_TEST

/* Stores to the page in xAPIC mode: passed on; in the other mode, or by instructions that are not known, refused. */
START_TEST(stores)
{
	struct keel_exit record = { .gpa = APIC_BASE_RESET + APIC_REG_EOI, .access = KEEL_ACCESS_WRITE };
	struct hv_exit exit = { .reason = HV_EXIT_MEMORY, .record = &record };

	store = (struct control_store){ 0x55, STORE_RIP };
	store_known = true;
	go_on(cpus[0], &exit);
	ck_assert(seen.writes == 1 && seen.reg == APIC_REG_EOI && seen.value == 0x55 && seen.rip == STORE_RIP && !seen.faults);
	record.gpa++;
	go_on(cpus[0], &exit);
	record.gpa--;
	store_known = false;
	go_on(cpus[0], &exit);
	store_known = true;
	apic_base_msr |= APIC_BASE_X2APIC;
	go_on(cpus[0], &exit);
	ck_assert(seen.writes == 1 && seen.faults == 3 && seen.vector == EXC_GP && seen.advanced == 1);
}
END_TEST

/* Memory that was given away. */
START_TEST(foreign_memory)
{
	static const uint32_t access[] = { 0, KEEL_ACCESS_WRITE, KEEL_ACCESS_FETCH, KEEL_ACCESS_WALK };
	struct keel_exit record = { .gpa = 0x123456000, .access = access[_i] };
	struct hv_exit exit = { .reason = HV_EXIT_MEMORY, .record = &record };

	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.code && !seen.advanced && !seen.cr2);
	/* A word that begins in the page before: a page fault, in the foreign page. */
	load_address = 0xffff888000001ffd;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(seen.faults, 2);
	ck_assert_uint_eq(seen.vector, _i ? EXC_GP : EXC_PF);
	ck_assert_uint_eq(seen.cr2, _i ? 0 : 0xffff888000002000);
	load_address = 0xffff888000001ff8;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 3 && seen.vector == EXC_GP);
	/* It was another kernel's, and comes back. */
	takes_over = true;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(seen.faults, 3);
	ck_assert_uint_eq(seen.advanced, 0);
}
END_TEST

/* An entry that a processor still had in a cache of tables, or that another processor has mended meanwhile: it tries again. */
START_TEST(stale_faults)
{
	struct keel_exit record = { .gpa = 0x123456000, .access = _i ? KEEL_ACCESS_WRITE : 0 };
	struct hv_exit exit = { .reason = HV_EXIT_MEMORY, .record = &record };

	frame_there = (struct own_frame){ .owner = OWN_CONTROL, .state = OWN_MAPPED };
	go_on(cpus[0], &exit);
	frame_there = (struct own_frame){ .owner = 1, .state = OWN_SHARED };
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 0 && seen.advanced == 0);
	/* Not where it would come again. */
	frame_there = (struct own_frame){ .owner = OWN_DEVICE, .state = OWN_TRAPPED };
	record.access = KEEL_ACCESS_WRITE;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(seen.faults, 1);
}
END_TEST

START_TEST(msrs)
{
	struct keel_exit record = { .next_rip = INSN };
	struct hv_exit exit = { .reason = HV_EXIT_RDMSR, .record = &record };
	struct keel_regs *regs = &cpus[0]->control;

	regs->gpr[KEEL_RCX] = RAX_JUNK | MSR_EFER;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.vector == EXC_GP && seen.code && !seen.advanced);
	msr_taken = true;
	go_on(cpus[0], &exit);
	ck_assert_uint_eq(regs->gpr[KEEL_RDX] << 32 | regs->gpr[KEEL_RAX], 0x1122334455667788ull + MSR_EFER);
	ck_assert(seen.faults == 1 && seen.advanced == 1 && seen.rip == INSN);
	exit.reason = HV_EXIT_WRMSR;
	regs->gpr[KEEL_RAX] = RAX_JUNK | 0xd01;
	regs->gpr[KEEL_RDX] = RAX_JUNK | 5;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 1 && seen.advanced == 2 && seen.msr_value == (5ull << 32 | 0xd01));
	msr_taken = false;
	go_on(cpus[0], &exit);
	ck_assert(seen.faults == 2 && seen.vector == EXC_GP && seen.advanced == 2);
}
END_TEST

/* Only ring 0 of 64-bit mode has hypercalls. */
START_TEST(hypercalls_of_ring_0)
{
	donations = 1;
	cpus[0]->control.gpr[KEEL_RAX] = KEEL_HC_FLUSH;
	state.cpl = 3;
	take_exit(cpus[0], HV_EXIT_HYPERCALL);
	ck_assert(seen.faults == 1 && seen.vector == EXC_UD && !seen.code && !seen.advanced);
	state = (struct hv_control_state){ 0 };
	take_exit(cpus[0], HV_EXIT_HYPERCALL);
	ck_assert(seen.faults == 2 && cpus[0]->flushed == 0);
	state.efer = EFER_LMA;
	take_exit(cpus[0], HV_EXIT_HYPERCALL);
	ck_assert(seen.faults == 2 && seen.advanced == 1 && cpus[0]->control.gpr[KEEL_RAX] == 0);
	ck_assert(cpus[0]->flushed == 1 && flushed_by_cpu(cpus[0], 1));
}
END_TEST

START_TEST(other_exits)
{
	struct keel_regs *regs = &cpus[0]->control;

	regs->gpr[KEEL_RAX] = RAX_JUNK | 7;
	regs->gpr[KEEL_RCX] = RAX_JUNK | 1;
	state.cr4 = 3;
	take_exit(cpus[0], HV_EXIT_CPUID);
	ck_assert(regs->gpr[KEEL_RAX] == 7 && regs->gpr[KEEL_RBX] == 1 && regs->gpr[KEEL_RCX] == 3 && regs->gpr[KEEL_RDX] == 4);
	ck_assert_uint_eq(seen.advanced, 1);
	take_exit(cpus[0], HV_EXIT_UNDEFINED);
	ck_assert(seen.faults == 1 && seen.vector == EXC_UD && !seen.code);
	take_exit(cpus[0], HV_EXIT_IO);
	ck_assert(seen.faults == 2 && seen.vector == EXC_GP);
	io_allowed = true;
	take_exit(cpus[0], HV_EXIT_IO);
	ck_assert_uint_eq(seen.faults, 2);
	take_exit(cpus[0], HV_EXIT_MACHINE_CHECK);
	ck_assert(seen.faults == 3 && seen.vector == EXC_MC && !seen.code && !seen.lines);
	take_exit(cpus[0], HV_EXIT_TRIPLE_FAULT);
	ck_assert_uint_eq(seen.resets, 1);
}
END_TEST

/* No exit ends the machine: what nobody knows does not exist, and a state that cannot be entered is as good as a triple fault. */
START_TEST(unexpected_exits)
{
	static const enum hv_exit_reason reasons[] = {
		HV_EXIT_UNKNOWN, HV_EXIT_PAUSE, HV_EXIT_WINDOW, HV_EXIT_TPR, HV_EXIT_EOI, HV_EXIT_APIC_WRITE,
		HV_EXIT_CR8_WRITE, HV_EXIT_TASK_SWITCH, HV_EXIT_XSETBV, HV_EXIT_INTERRUPT,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		take_exit(cpus[0], reasons[i]);
		ck_assert(seen.faults == i + 1 && seen.vector == EXC_UD && !seen.code && seen.lines == i + 1);
	}
	ck_assert(!seen.advanced && !seen.resets);
	take_exit(cpus[0], HV_EXIT_ENTRY_FAILED);
	ck_assert(seen.resets == 1 && seen.faults == i && seen.lines == i + 1);
}
END_TEST

/* An INIT from hardware: the first processor is the machine's reset, another waits for a SIPI. */
START_TEST(hardware_init)
{
	run_second();
	take_exit(cpus[1], HV_EXIT_INIT);
	ck_assert_int_eq(processors[1].place, PARKED);
	ck_assert(seen.inits == 1 && seen.resets == 0 && cpus[1]->parked);
	take_exit(cpus[0], HV_EXIT_INIT);
	ck_assert_uint_eq(seen.resets, 1);
}
END_TEST

/* The NMI of the control domain's own is passed on; one that Keel sent is not, but what it came for is done. */
START_TEST(nmis)
{
	ops.holds_nmis = _i & 1;
	processors[0].nmi = ops.holds_nmis;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_uint_eq(seen.nmis, 1);
	/* In real mode there is none. */
	state.efer = 0;
	processors[0].nmi = ops.holds_nmis;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_uint_eq(seen.nmis, 1);
	state.efer = EFER_LMA;
	donations = 1;
	ck_assert(!flushed_by_cpu(cpus[0], 1));
	ck_assert(processors[0].nmi);
	processors[0].nmi = ops.holds_nmis;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_uint_eq(seen.nmis, 1);
	ck_assert(flushed_by_cpu(cpus[0], 1));
	/* Nor is anything lost that comes with an NMI that is taken for another one. */
	donations = 2;
	asked_late = ops.holds_nmis;
	state.efer = 0;
	processors[0].nmi = ops.holds_nmis;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert_int_eq(cpus[0]->flushed == 2, ops.holds_nmis);
	state.efer = EFER_LMA;
	/* One that came while a guest or Keel ran. */
	cpus[0]->nmi_seen = 1;
	take_exit(cpus[0], HV_EXIT_NONE);
	ck_assert_uint_eq(seen.nmis, 2);
	ck_assert(!cpus[0]->nmi_seen);
	donations = 3;
	flushed_by_cpu(cpus[0], 3);
	processors[0].nmi = false;
	cpus[0]->nmi_seen = 1;
	take_exit(cpus[0], HV_EXIT_NONE);
	ck_assert_uint_eq(seen.nmis, 2);
	ck_assert(flushed_by_cpu(cpus[0], 3));
	/* The machine is about to be reset. */
	cpus[0]->request = CPU_REQUEST_STOP;
	take_exit(cpus[0], HV_EXIT_NMI);
	ck_assert(processors[0].place == STOPPED && !cpus[0]->online);
}
END_TEST

SUITE("control", tests)
{
	tcase_set_timeout(tests, 110);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, commands, 0, 4);
	tcase_add_loop_test(tests, deassert, 0, 2);
	tcase_add_test(tests, bad_commands);
	tcase_add_test(tests, stores);
	tcase_add_loop_test(tests, foreign_memory, 0, 4);
	tcase_add_loop_test(tests, stale_faults, 0, 2);
	tcase_add_test(tests, msrs);
	tcase_add_test(tests, hypercalls_of_ring_0);
	tcase_add_test(tests, other_exits);
	tcase_add_test(tests, unexpected_exits);
	tcase_add_test(tests, hardware_init);
	tcase_add_loop_test(tests, nmis, 0, 2);
}
