/* SPDX-License-Identifier: GPL-2.0 */
/* The busy machine with a transfer area, its resource half and its hypervisor: what a test of whole guests has for both ends. */
#ifndef KEEL_TEST_TRANSFER_RIG_H
#define KEEL_TEST_TRANSFER_RIG_H

#include "busy_machine.h"

#define RING_BYTES	0x4000u
#define STREAM_ROOM	0x400000u
#define ROUNDS		20000u
#define OFFSET		0x1234567890ull		/* of the vCPUs' TSCs */

/* A channel with a transfer area behind it. */
struct area {
	struct test_channel channel;
	_Alignas(KEEL_PAGE_SIZE) struct keel_transfer transfer;
	_Alignas(KEEL_PAGE_SIZE) uint8_t ring[RING_BYTES];
};

static struct transfer_memory memory;
static struct keel_vcpu_state states[VCPUS];	/* what the hypervisor has of its vCPUs */
static uint32_t refuse_with;			/* the next state that is put in */
static uint8_t stream[STREAM_ROOM];
static size_t stream_bytes;

static inline struct area *area(void)
{
	return (struct area *)(void *)channel;
}

static inline uint32_t state(void)
{
	return area()->transfer.state;
}

/* The rig's entries, with what a cell has to save. */
static inline struct keel_answer *enter_with(unsigned int context, unsigned int kind, uint32_t flags)
{
	struct entry_place place = { .channel = channel, .guest = guest, .apics = apics, .transfer = &memory };
	struct keel_exit *exit = &ctx[context].exit;

	exit->kind = kind;
	exit->context = context;
	exit->flags = flags;
	exit->tsc_offset = context < VCPUS ? states[context].state.tsc_offset : 0;
	tsc += 100;
	entry_run(pc, &place, &ctx[context], tsc);
	return &ctx[context].answer;
}

/* A kick: the vCPU polls, and its state moves if the cell wants that. */
static inline struct keel_answer *kicked(unsigned int vcpu)
{
	struct keel_answer *answer = enter_with(vcpu, KEEL_EXIT_POLL, KEEL_EXIT_F_SREGS);

	if (!(answer->flags & (KEEL_ANSWER_STATE_OUT | KEEL_ANSWER_STATE_IN)))
		return answer;
	ck_assert_uint_eq(answer->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(answer->state, (uintptr_t)&memory.vcpu);
	ctx[vcpu].exit.refused = 0;
	if (answer->flags == KEEL_ANSWER_STATE_OUT)
		memory.vcpu = states[vcpu];
	else if (refuse_with)
		ctx[vcpu].exit.refused = refuse_with;
	else
		states[vcpu] = memory.vcpu;
	return enter_with(vcpu, KEEL_EXIT_POLL, KEEL_EXIT_F_SREGS | KEEL_EXIT_F_STATE);
}

static inline void look(void)
{
	uint64_t kick = enter_with(EVENT, KEEL_EXIT_EVENT, 0)->kick;

	for (unsigned int i = 0; i < VCPUS; i++)
		if (kick >> i & 1)
			kicked(i);
}

static inline void command(uint32_t command)
{
	area()->transfer.head = area()->transfer.tail = 0;
	area()->transfer.commands |= command;
}

static inline void make_with_area(void)
{
	struct area *with;
	uint8_t *without;

	make();
	without = channel_block;
	with = make_room(sizeof(*with));
	with->channel = *channel;
	free(without);
	channel = &with->channel;
	channel->c.bytes = sizeof(*with);
	open_host();
	channel->c.machine.transfer = offsetof(struct area, transfer);
	channel->c.machine.transfer_bytes = KEEL_PAGE_SIZE + RING_BYTES;
}

/* Boots what was made until something goes on. The vCPUs that do not run have no registers. */
static inline void run_until_busy(void)
{
	memset(states, 0, sizeof(states));
	for (unsigned int i = 0; i < VCPUS; i++) {
		states[i].state.tsc_offset = OFFSET;
		states[i].state.regs.rip = 0x100000 + i;
		states[i].xstate[i] = 0x77;
	}
	enter_with(EVENT, KEEL_EXIT_EVENT, 0);
	poll(0);
	flat(0);
	make_busy();
}

static inline void start_with_area(void)
{
	make_with_area();
	run_until_busy();
}

static inline void drain(uint8_t *to, size_t *bytes)
{
	struct keel_transfer *t = &area()->transfer;

	ck_assert_uint_le(t->head - t->tail, RING_BYTES);
	for (; t->tail != t->head; t->tail++) {
		ck_assert_uint_lt(*bytes, STREAM_ROOM);
		to[(*bytes)++] = area()->ring[t->tail % RING_BYTES];
	}
}

static inline size_t save(uint8_t *to)
{
	size_t bytes = 0;

	command(KEEL_TRANSFER_SAVE);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		look();
		drain(to, &bytes);
		if (state() == KEEL_TRANSFER_HELD)
			return bytes;
		ck_assert_uint_ne(state(), KEEL_TRANSFER_FAILED);
	}
	ck_abort_msg("still in state %u", state());
}

static inline void feed(const uint8_t *from, size_t bytes, size_t *at)
{
	struct keel_transfer *t = &area()->transfer;

	for (; *at < bytes && t->head - t->tail < RING_BYTES; t->head++)
		area()->ring[t->head % RING_BYTES] = from[(*at)++];
}

#endif
