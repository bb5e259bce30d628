/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The TLB of the control domain's processors: every state is tried that three processors and a page can come to. A frame that is
 * in use has no translation left where the control domain runs.
 */
#include "control_rig.h"

/* Every state: a key says all of it. */

#define KEYS		(1u << 21)
#define DONATIONS	2u

static uint64_t *keys, *queue;
static size_t key_count;

static uint64_t key_of(void)
{
	uint64_t key = 1;

	for (unsigned int i = 0; i < CPUS; i++) {
		const struct cpu *cpu = cpus[i];
		const struct processor *p = &processors[i];

		key = key << 2 | p->place;
		key = key << 3 | (unsigned int)(p->nmi << 2 | p->flush << 1 | p->stale);
		key = key << 2 | (cpu->online << 1 | cpu->parked);
		key = key << 3 | cpu->request >> 29;
		key = key << 2 | cpu->flushed;
		key = key << 2 | (cpu->nmi_seen << 1 | cpu->init_seen);
	}
	return key << 6 | (unsigned int)(mapped << 5 | in_use << 4) | donations << 2 | donated;
}

static void set_key(uint64_t key)
{
	donated = key & 3;
	donations = key >> 2 & 3;
	in_use = key >> 4 & 1;
	mapped = key >> 5 & 1;
	key >>= 6;
	for (unsigned int i = CPUS; i-- > 0; key >>= 14) {
		struct processor *p = &processors[i];

		cpus[i]->init_seen = key & 1;
		cpus[i]->nmi_seen = key >> 1 & 1;
		cpus[i]->flushed = key >> 2 & 3;
		cpus[i]->request = (uint32_t)(key >> 4 & 7) << 29 | (key >> 5 & 1 ? VECTOR : 0);
		cpus[i]->parked = key >> 7 & 1;
		cpus[i]->online = key >> 8 & 1;
		p->stale = key >> 9 & 1;
		p->flush = key >> 10 & 1;
		p->nmi = key >> 11 & 1;
		p->place = key >> 12 & 3;
	}
}

static void add_key(uint64_t key)
{
	size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 30) % KEYS;

	for (; keys[at] != 0; at = (at + 1) % KEYS) {
		if (keys[at] == key)
			return;
	}
	keys[at] = queue[key_count++] = key;
	require(key_count <= KEYS / 2, "more states than there is room for");
}

enum event { FLUSH_CALL, OWN_NMI, NMI_EXIT, WAKE, OTHER_EXIT, HARDWARE_INIT, INIT_IPI, SIPI_IPI, EVENTS };

/* False: it cannot happen now. */
static bool happen(unsigned int event, unsigned int number)
{
	struct cpu *cpu = cpus[number], *other = cpus[(number + 1) % CPUS];
	struct processor *p = &processors[number];

	if (event == WAKE) {
		/* From its wait; or it comes for the first time, after a SIPI from Keel that it had been asked for. */
		if (p->place != PARKED && !(p->place == NOWHERE && cpu->request & CPU_REQUEST_SIPI))
			return false;
		go_on(cpu, NULL);
		return true;
	}
	if (p->place != DOMAIN)
		return false;
	switch (event) {
	case FLUSH_CALL:
		cpu->control.gpr[KEEL_RAX] = KEEL_HC_FLUSH;
		take_exit(cpu, HV_EXIT_HYPERCALL);
		break;
	case OWN_NMI:
		if (number != 1)
			return false;
		p->nmi = true;
		break;
	case NMI_EXIT:
		if (!p->nmi)
			return false;
		/* Without GIF it is over with the exit; else it stays pending. */
		p->nmi = ops.holds_nmis;
		take_exit(cpu, HV_EXIT_NMI);
		break;
	case OTHER_EXIT:
		take_exit(cpu, HV_EXIT_UNDEFINED);
		break;
	case HARDWARE_INIT:
		if (number != 1)
			return false;
		take_exit(cpu, HV_EXIT_INIT);
		break;
	case INIT_IPI:
		if (number == SPARE)
			return false;
		send(cpu, &(struct command){ true, ICR_MODE_INIT, ICR_ASSERT, other->apic_id });
		break;
	default:
		if (number == SPARE)
			return false;
		send(cpu, &(struct command){ true, ICR_MODE_SIPI, 0, other->apic_id });
		break;
	}
	return true;
}

/* The page goes to a guest, or comes back. */
static bool page_moves(void)
{
	bool all = true;

	if (mapped && donations < DONATIONS) {
		mapped = false;
		donated = ++donations;
	} else if (in_use) {
		in_use = false;
		mapped = true;
	} else if (!mapped) {
		for (unsigned int i = 0; i < CPUS; i++)
			all &= flushed_by_cpu(cpus[i], donated);
		in_use = all;
	} else {
		return false;
	}
	return true;
}

/* What must hold wherever the processors are. */
static void check_state(void)
{
	require(!violated, "the control domain runs with an old translation of a frame that is in use");
	for (unsigned int i = 0; i < CPUS; i++) {
		if (processors[i].place != DOMAIN)
			continue;
		require(!(cpus[i]->request & CPU_REQUEST_NMI) || processors[i].nmi, "a request's NMI is gone, it is not");
		require(!cpus[i]->parked && cpus[i]->online, "a processor runs that does not count");
	}
}

START_TEST(every_state)
{
	uint64_t uses = 0;

	keys = calloc(KEYS, sizeof(*keys));
	queue = calloc(KEYS, sizeof(*queue));
	ops.holds_nmis = _i & 1;
	key_count = 0;
	add_key(key_of());
	for (size_t at = 0; at < key_count; at++) {
		for (unsigned int i = 0; i <= EVENTS * CPUS; i++) {
			set_key(queue[at]);
			seen.resets = 0;
			if (i < EVENTS * CPUS ? !happen(i / CPUS, i % CPUS) : !page_moves())
				continue;
			/* The first processor's INIT is the end of all. */
			if (seen.resets)
				continue;
			check_state();
			uses += in_use;
			add_key(key_of());
		}
	}
	ck_assert_uint_gt(key_count, 1000);
	ck_assert_uint_gt(uses, 1000);
	free(keys);
	free(queue);
}
END_TEST

SUITE("control_states", tests)
{
	tcase_set_timeout(tests, 110);
	tcase_add_checked_fixture(tests, set_up, NULL);
	tcase_add_loop_test(tests, every_state, 0, 2);
}
