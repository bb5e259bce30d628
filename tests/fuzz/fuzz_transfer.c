// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the transfer: a machine that has not run is to load what comes through the ring, in pieces of any size, with
 * events, kicks and commands in any order, from a stream that a busy machine has saved, whole, cut, changed, or none of it. No
 * vCPU runs before a load is through and told to go on, none ever does after one has failed, and what was loaded can be saved and
 * loaded again.
 */
#include "fuzz_check.h"

#include "../unit/transfer_rig.h"

#define INPUT_BYTES	400u
#define MEMORY_BYTES	0x100000u	/* of the guest */
#define HOLE		0xa0000u
#define HOLE_BYTES	0x20000u
#define ACTIONS_MOST	100u
#define VALUE_MOST	32u

/* A machine that has not run, but for its guest's memory. */
struct snapshot {
	struct pc pc;
	struct keel_channel channel;
	struct keel_transfer transfer;
	struct lapic_page apics[2 * VCPUS];
	struct keel_context ctx[EVENT + 1];
	uint64_t tsc;
};

/* What the resource half is at. */
struct feeder {
	size_t at;			/* in the stream */
	bool refused;			/* a state, perhaps, in Keel's name */
	bool honest;			/* nothing that it did so far could make a load fail */
};

static struct snapshot *fresh;
static uint8_t again[STREAM_ROOM];

static void keep_fresh(void)
{
	fresh = malloc(sizeof(*fresh));
	require(fresh != NULL, "no memory");
	fresh->pc = *pc;
	fresh->channel = channel->c;
	fresh->transfer = area()->transfer;
	memcpy(fresh->apics, apics, sizeof(apics));
	memcpy(fresh->ctx, ctx, sizeof(ctx));
	fresh->tsc = tsc;
}

static void bring_back(void)
{
	*pc = fresh->pc;
	channel->c = fresh->channel;
	area()->transfer = fresh->transfer;
	memcpy(apics, fresh->apics, sizeof(apics));
	memcpy(ctx, fresh->ctx, sizeof(ctx));
	tsc = fresh->tsc;
	memset(states, 0, sizeof(states));
	refuse_with = 0;
}

static void make_small(void)
{
	make_with_area();
	channel->c.machine.low_memory = MEMORY_BYTES;
}

static void set_up(void)
{
	make_small();
	run_until_busy();
	stream_bytes = save(stream);
	destroy();
	make_small();
	enter_with(EVENT, KEEL_EXIT_EVENT, 0);
	keep_fresh();
}

/* A look at the machine by itself. Of what a vCPU's entry answers nothing but its state may move while it is stopped. */
static void check_vcpu(unsigned int vcpu)
{
	const struct keel_answer *answer = &ctx[vcpu].answer;

	if (!(pc->transfer.stopped >> vcpu & 1))
		return;
	require(answer->action == KEEL_ACTION_WAIT, "a vCPU runs that is stopped");
	require(!(answer->flags & ~KEEL_ANSWER_DOORBELL), "a vCPU that is stopped is changed");
}

static void kick(unsigned int vcpu)
{
	kicked(vcpu);
	check_vcpu(vcpu);
}

/* All that is asked for is done: a kick leads to a poll. */
static void bring_event(bool kicks)
{
	uint64_t wanted = enter_with(EVENT, KEEL_EXIT_EVENT, 0)->kick;

	for (unsigned int i = 0; i < VCPUS; i++)
		if (kicks && wanted >> i & 1)
			kick(i);
}

static void check_machine(bool failed, bool refused)
{
	const struct transfer *t = &pc->transfer;

	require(!failed || t->failed, "a load that has failed is forgotten");
	/* Keel takes a state that it gave. One that an input has it refuse when the guest is to go on ends that guest. */
	require(!pc->end || refused, "the cell has given up");
	require(!t->loads || t->state == KEEL_TRANSFER_RUNNING || t->state == KEEL_TRANSFER_GOING_ON || pc->running == 0,
		"a machine runs that is loaded");
	require(!t->failed || (pc->running == 0 && t->stopped == (1ull << VCPUS) - 1),
		"a machine may run whose load has failed");
	require(strnlen(area()->transfer.error, KEEL_TRANSFER_ERROR_BYTES) < KEEL_TRANSFER_ERROR_BYTES,
		"an error without an end");
}

/* Some of the stream. */
static void put(struct feeder *f, size_t count)
{
	size_t end = f->at + count < stream_bytes ? f->at + count : stream_bytes;

	feed(stream, end, &f->at);
}

static void put_other(struct bytes *b, unsigned int count)
{
	struct keel_transfer *t = &area()->transfer;

	for (unsigned int i = 0; i < count && t->head - t->tail < RING_BYTES; i++)
		area()->ring[t->head++ % RING_BYTES] = take8(b);
}

/* As long as something comes of it. */
static void work(struct feeder *f)
{
	for (unsigned int i = 0; i < ROUNDS && state() == KEEL_TRANSFER_LOADING; i++) {
		uint32_t before = area()->transfer.tail;

		put(f, RING_BYTES);
		bring_event(true);
		if (f->at == stream_bytes && area()->transfer.tail == before && i > VCPUS)
			break;
	}
}

static void act(struct bytes *b, struct feeder *f)
{
	struct keel_transfer *t = &area()->transfer;
	unsigned int what = take8(b);

	switch (what & 15) {
	case 0:
		/* In the middle of a load the ring begins anew at one end alone. */
		f->honest &= pc->transfer.state == KEEL_TRANSFER_RUNNING;
		f->at = 0;
		command(KEEL_TRANSFER_LOAD);
		break;
	case 1:
		f->honest = false;
		area()->transfer.commands |= KEEL_TRANSFER_SAVE;
		break;
	case 2:
		area()->transfer.commands |= KEEL_TRANSFER_GO_ON;
		break;
	case 3:
		bring_event(false);
		break;
	case 4:
		kick(what >> 4 & 3);
		break;
	case 5:
		f->honest = false;
		put_other(b, take8(b) % VALUE_MOST);
		break;
	case 6:
		f->honest = false;
		t->head = what & 16 ? take32(b) : t->head + take8(b);
		break;
	case 7:
		f->honest = false;
		t->tail = what & 16 ? take32(b) : t->tail - take8(b);
		break;
	case 8:
		f->honest = false;
		f->at = take32(b) % stream_bytes;
		break;
	case 9:
		f->honest = false;
		area()->ring[take16(b) % RING_BYTES] ^= (uint8_t)(1u << (what >> 4) % 8);
		break;
	case 10:
		f->honest = false;
		refuse_with = what & 16 ? take8(b) : 0;
		f->refused |= refuse_with != 0;
		break;
	case 11:
		f->honest = false;
		t->state = what & 16 ? take32(b) : what >> 4;
		break;
	case 12:
		work(f);
		break;
	case 13:
		put(f, take8(b));
		break;
	default:
		put(f, take16(b));
		bring_event(true);
		break;
	}
}

/* It is saved, and loaded by another machine that has not run. */
static void pass_on(void)
{
	size_t bytes, at = 0;

	area()->transfer.state = pc->transfer.state;
	area()->transfer.commands = 0;
	refuse_with = 0;
	bytes = save(again);
	bring_back();
	command(KEEL_TRANSFER_LOAD);
	for (unsigned int i = 0; i < ROUNDS && (!i || state() == KEEL_TRANSFER_LOADING); i++) {
		feed(again, bytes, &at);
		bring_event(true);
	}
	require(state() == KEEL_TRANSFER_HELD, "a machine that was loaded and saved is refused");
}

/* In the middle of it nothing runs, whoever enters. */
static void end(struct feeder *f)
{
	for (unsigned int i = 0; i < VCPUS; i++)
		kick(i);
	if (f->honest && pc->transfer.loads && pc->transfer.state == KEEL_TRANSFER_LOADING) {
		work(f);
		require(state() == KEEL_TRANSFER_HELD, "a stream that is whole is not loaded");
	}
	if (pc->transfer.state == KEEL_TRANSFER_HELD)
		pass_on();
}

static void assert_hole(void)
{
	static const uint8_t zeros[HOLE_BYTES];

	require(!memcmp(guest + HOLE, zeros, HOLE_BYTES) && !memcmp(guest + MEMORY_BYTES, zeros, HOLE_BYTES),
		"something was written where there is no memory");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feeder f = { .honest = true };
	struct bytes b = { data, size };
	bool failed = false;

	if (!fresh)
		set_up();
	bring_back();
	memset(guest, 0, HOLE);
	for (unsigned int i = 0; i < ACTIONS_MOST && b.left && !pc->end; i++) {
		act(&b, &f);
		check_machine(failed, f.refused);
		failed |= pc->transfer.failed;
	}
	if (!pc->end)
		end(&f);
	check_machine(failed, f.refused);
	assert_hole();
	return 0;
}

/* Mostly a load that has begun, and comes as far as it does. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	for (unsigned int i = 0; i < INPUT_BYTES; i++)
		input[i] = (uint8_t)(next(state) >> 24);
	if (next(state) % 8)
		input[0] = 0;
	return INPUT_BYTES;
}

const struct fuzz_target fuzz_target = { 1500, INPUT_BYTES, make_input };
