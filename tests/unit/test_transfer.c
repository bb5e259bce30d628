/* SPDX-License-Identifier: GPL-2.0 */
/* A guest through the channel into another cell, by a resource half and a hypervisor that the test plays; and what is refused. */
#include <keel/macros.h>

#include "busy_virtio.h"
#include "machine/save.h"
#include "suite.h"
#include "transfer_rig.h"

#define PAGE_A		0x300000u
#define PAGE_B		(LOW_MEMORY - 0x1000)
#define CUTS		9
#define MACHINE_TSC	(sizeof(struct record) + 28 + 16)	/* in a stream: the host's TSC, behind name and revision */

static uint8_t again[STREAM_ROOM];

/* The state that it comes to, LOADING if the stream was too short. */
static uint32_t load(const uint8_t *from, size_t bytes)
{
	size_t at = 0;

	command(KEEL_TRANSFER_LOAD);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		feed(from, bytes, &at);
		look();
		if (state() != KEEL_TRANSFER_LOADING)
			break;
		if (at == bytes && area()->transfer.head == area()->transfer.tail && i > ROUNDS / 2)
			break;
	}
	return state();
}

static void go_on(void)
{
	command(KEEL_TRANSFER_GO_ON);
	for (unsigned int i = 0; i < ROUNDS && state() != KEEL_TRANSFER_RUNNING; i++)
		look();
	ck_assert_uint_eq(state(), KEEL_TRANSFER_RUNNING);
}

/*
 * A machine that has never run, on a host whose TSC is younger and whose clock is behind, so that no time passes for the RTC; its
 * memory is as it comes.
 */
static void make_second(void)
{
	struct keel_machine machine = channel->c.machine;

	destroy();
	make_with_area();
	if (machine.devices > RIG_DEVICES)
		add_virtio();
	channel->c.machine = machine;
	channel->c.machine.wall_ns = 0;
	memset(states, 0, sizeof(states));
	memset(guest + PAGE_A - KEEL_PAGE_SIZE, 0xee, KEEL_PAGE_SIZE);
	tsc = 5000;
	enter_with(EVENT, KEEL_EXIT_EVENT, 0);
}

static void save_first(void)
{
	start_with_area();
	memset(guest + PAGE_A, 0xa7, KEEL_PAGE_SIZE);
	guest[PAGE_B + 17] = 3;
	stream_bytes = save(stream);
}

static uint64_t word_at(const uint8_t *bytes, size_t at)
{
	uint64_t word;

	memcpy(&word, bytes + at, sizeof(word));
	return word;
}

/* Where the machine's stream has the time of day: behind the section's header and the machine's time. */
static size_t wall_at(void)
{
	const uint8_t *board = memmem(stream, stream_bytes, "board", 6);

	ck_assert_ptr_nonnull(board);
	return (size_t)(board - stream) + 28 + 8;
}

/* Where the n-th record of this kind is. */
static size_t find(enum record_kind kind, unsigned int n)
{
	struct record record;

	for (size_t at = 0; at < stream_bytes; at += sizeof(record) + record.bytes) {
		memcpy(&record, stream + at, sizeof(record));
		if (record.kind == kind && n-- == 0)
			return at;
	}
	ck_abort_msg("no record %u", kind);
}

START_TEST(round_trip)
{
	size_t bytes;

	save_first();
	make_second();
	ck_assert_msg(load(stream, stream_bytes) == KEEL_TRANSFER_HELD, "%s", area()->transfer.error);
	ck_assert_uint_eq(guest[PAGE_A], 0xa7);
	ck_assert_uint_eq(guest[PAGE_A - 1], 0);
	ck_assert_uint_eq(guest[PAGE_B + 17], 3);
	ck_assert_uint_eq(states[0].state.regs.rip, 0x100000);
	ck_assert_uint_eq(states[2].xstate[2], 0x77);
	bytes = save(again);
	ck_assert_uint_eq(bytes, stream_bytes);
	/* The same but for the time of day, and for what counts the host's TSC: there the guest's is the same. */
	for (unsigned int i = 0; i < VCPUS; i++) {
		size_t at = find(RECORD_VCPU, i) + sizeof(struct record) + offsetof(struct keel_state, tsc_offset);

		ck_assert_uint_eq(word_at(stream, at) + word_at(stream, MACHINE_TSC),
				  word_at(again, at) + word_at(again, MACHINE_TSC));
		memcpy(again + at, stream + at, sizeof(uint64_t));
	}
	memcpy(again + MACHINE_TSC, stream + MACHINE_TSC, sizeof(uint64_t));
	memcpy(again + wall_at(), stream + wall_at(), sizeof(uint64_t));
	for (size_t i = 0; i < bytes; i++)
		ck_assert_msg(stream[i] == again[i], "byte %zu is %#x, was %#x", i, again[i], stream[i]);
}
END_TEST

START_TEST(time_stands_still)
{
	uint64_t now, guest_tsc;

	save_first();
	now = pc->now;
	guest_tsc = pc->tsc + states[0].state.tsc_offset;
	tsc += 1000 * TSC_KHZ;
	look();
	ck_assert_uint_eq(pc->now, now);
	go_on();
	ck_assert_uint_lt(pc->now - now, 1000000);
	ck_assert_uint_lt(tsc + states[0].state.tsc_offset - guest_tsc, 1000000);
	for (unsigned int i = 1; i < VCPUS; i++)
		ck_assert_uint_eq(states[i].state.tsc_offset, states[0].state.tsc_offset);
	ck_assert_uint_eq(poll(0)->action, KEEL_ACTION_RESUME);
}
END_TEST

START_TEST(goes_on_elsewhere)
{
	uint64_t now, guest_tsc;

	save_first();
	now = pc->now;
	guest_tsc = pc->tsc + states[0].state.tsc_offset;
	make_second();
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
	make_second();
	ck_assert_uint_eq(load(stream, stream_bytes), KEEL_TRANSFER_HELD);
	ck_assert_uint_eq(pc->now, now);
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_WAIT);
	tsc += 1000 * TSC_KHZ;
	go_on();
	ck_assert_uint_lt(pc->now - now, 1000000);
	ck_assert_uint_lt(tsc + states[0].state.tsc_offset - guest_tsc, 1000000);
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
	ck_assert(pc->vcpu[1].halted);
	ck_assert_uint_ne(pc->vcpu[3].lapic.s.wait_sipi, 0);
}
END_TEST

/* Nothing has moved yet: it goes on as it was. */
START_TEST(stop_is_called_off)
{
	start_with_area();
	command(KEEL_TRANSFER_SAVE);
	ck_assert_uint_eq(enter_with(EVENT, KEEL_EXIT_EVENT, 0)->kick, 0xf);
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(state(), KEEL_TRANSFER_STOPPING);
	command(KEEL_TRANSFER_GO_ON);
	ck_assert_uint_eq(enter_with(EVENT, KEEL_EXIT_EVENT, 0)->kick, 0xf);
	ck_assert_uint_eq(state(), KEEL_TRANSFER_RUNNING);
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(states[0].state.tsc_offset, OFFSET);
}
END_TEST

/* An exit that was under way is answered as ever; who waits for a drive keeps all waiting. */
START_TEST(stops_when_nothing_is_under_way)
{
	start_with_area();
	out(0x1f6, 0xe0);
	in(0x1f0, 2);
	for (unsigned int i = 0; i < 2048; i++)
		in(0x1f0, 2);
	start_reading();
	command(KEEL_TRANSFER_SAVE);
	look();
	look();
	ck_assert_uint_eq(state(), KEEL_TRANSFER_STOPPING);
	answer_disk();
	for (unsigned int i = 0; i < 3; i++)
		look();
	ck_assert_uint_eq(state(), KEEL_TRANSFER_SAVING);
}
END_TEST

static void start_with_requests(void)
{
	make_with_area();
	add_virtio();
	run_until_busy();
	plug_virtio(0);
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++)
		ask_virtio(d, 0);
}

/* Devices that may reach memory: each request comes to its end first. */
START_TEST(waits_for_virtio_devices)
{
	static const unsigned int queues[] = { 0, 1, VIRTIO_TRANSMIT };

	start_with_requests();
	command(KEEL_TRANSFER_SAVE);
	for (unsigned int i = 0; i < ARRAY_SIZE(queues); i++) {
		look();
		look();
		ck_assert_uint_eq(state(), KEEL_TRANSFER_STOPPING);
		ck_assert(answer_virtio(queues[i], false));
	}
	look();
	ck_assert_uint_eq(state(), KEEL_TRANSFER_SAVING);
	for (unsigned int i = 0; i < ARRAY_SIZE(queues); i++)
		ck_assert_uint_eq(virtio_used(queues[i]), 1);
}
END_TEST

/* Those that were lost can be told from those that were not, by the driver, and all devices are as good as new. */
static void expect_given_up(void)
{
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++) {
		bool lost = d != VIRTIO_NETWORK;

		set_virtio_master(d, true);
		ck_assert_uint_eq(virtio_get(d, 0x14, 1), lost ? 0x4f : 0xf);
		start_virtio(d, 0);
		ask_virtio(d, 4);
	}
	ck_assert(answer_all_virtio());
	ck_assert_uint_eq(virtio_used(0), 1);
	ck_assert_uint_eq(virtio_used(1), 1);
	ck_assert_uint_eq(virtio_used(VIRTIO_TRANSMIT), 1);
}

/*
 * Devices that may not, whatever the host is done with. Nothing of it comes to the guest's memory, but the save to its end, when
 * the host is done with the disk.
 */
START_TEST(bus_is_taken_away)
{
	start_with_requests();
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++)
		set_virtio_master(d, false);
	command(KEEL_TRANSFER_SAVE);
	look();
	look();
	ck_assert_uint_eq(state(), KEEL_TRANSFER_STOPPING);
	ck_assert(answer_virtio(1, false));
	stream_bytes = save(stream);
	ck_assert_uint_eq(virtio_used(0), 0);
	ck_assert_uint_eq(virtio_used(1), 0);
	go_on();
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
	expect_given_up();
	make_second();
	ck_assert_msg(load(stream, stream_bytes) == KEEL_TRANSFER_HELD, "%s", area()->transfer.error);
	go_on();
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
	expect_given_up();
}
END_TEST

START_TEST(an_exit_comes_before_the_stop)
{
	start_with_area();
	command(KEEL_TRANSFER_SAVE);
	enter_with(EVENT, KEEL_EXIT_EVENT, 0);
	in(0x61, 1);
	ck_assert_uint_eq(ctx[0].answer.flags & KEEL_ANSWER_RIP, KEEL_ANSWER_RIP);
	ck_assert_uint_eq(pc->transfer.stopped, 0);
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(pc->transfer.stopped, 1);
}
END_TEST

START_TEST(needs_an_area)
{
	start();
	/* Where it would be. */
	((struct keel_transfer *)(void *)channel->more.arena)->commands = KEEL_TRANSFER_SAVE;
	event();
	ck_assert_uint_eq(poll(0)->action, KEEL_ACTION_RESUME);
}
END_TEST

static void assert_refused(const char *text)
{
	ck_assert_uint_eq(load(stream, stream_bytes), KEEL_TRANSFER_FAILED);
	ck_assert_msg(strstr(area()->transfer.error, text), "\"%s\" instead of \"%s\"", area()->transfer.error, text);
}

/* A load that has failed is for good. */
static void assert_never_runs(void)
{
	command(KEEL_TRANSFER_GO_ON | KEEL_TRANSFER_LOAD | KEEL_TRANSFER_SAVE);
	for (unsigned int i = 0; i < 4; i++)
		look();
	ck_assert_uint_eq(state(), KEEL_TRANSFER_FAILED);
	for (unsigned int i = 0; i < VCPUS; i++)
		ck_assert_uint_eq(kicked(i)->action, KEEL_ACTION_WAIT);
}

static void change(enum record_kind kind, unsigned int n, size_t offset, uint32_t value)
{
	memcpy(stream + find(kind, n) + offset, &value, sizeof(value));
}

static const struct {
	enum record_kind kind;
	unsigned int n;
	uint32_t offset, value;
	const char *text;
} changes[] = {
	{ RECORD_MACHINE, 0, 0, 7, "no saved machine" },
	{ RECORD_MACHINE, 0, 4, 0, "no saved machine" },
	{ RECORD_MACHINE, 0, 4, TRANSFER_MACHINE_MOST + 1, "machine 0: cut short, too long" },
	{ RECORD_MACHINE, 0, 4, UINT32_MAX, "machine 0: cut short, too long" },
	{ RECORD_MACHINE, 0, 8, 1, "no saved machine" },
	{ RECORD_MACHINE, 0, 16, 0, "no saved machine" },
	{ RECORD_VCPU, 0, 8, 1, "processor 0: missing, or not in its turn" },
	{ RECORD_VCPU, 1, 8, 64, "processor 1: missing, or not in its turn" },
	{ RECORD_VCPU, 0, 4, 4096, "processor 0: cut short, too long" },
	{ RECORD_VCPU, 0, 4, UINT32_MAX, "processor 0: cut short, too long" },
	{ RECORD_PAGE, 0, 8, 0x1000, "memory 0: missing, or not in its turn" },
	{ RECORD_PAGE, 0, 8, 0xa0000, "memory 0: missing, or not in its turn" },
	{ RECORD_PAGE, 0, 12, UINT32_MAX, "memory 0: missing, or not in its turn" },
	{ RECORD_PAGE, 5, 4, 8192, "memory 5: cut short, too long" },
	{ RECORD_PAGE, 5, 4, 1, "memory 5: cut short, too long" },
	{ RECORD_PAGE, 5, 0, RECORD_END, "memory 5: missing, or not in its turn" },
	{ RECORD_END, 0, 4, 1, "end 0: cut short, too long" },
	{ RECORD_END, 0, 0, RECORD_PAGE, "end 0: missing, or not in its turn" },
};

START_TEST(bad_stream)
{
	save_first();
	make_second();
	change(changes[_i].kind, changes[_i].n, changes[_i].offset, changes[_i].value);
	assert_refused(changes[_i].text);
	assert_never_runs();
}
END_TEST

START_TEST(bad_machine)
{
	save_first();
	make_second();
	stream[find(RECORD_MACHINE, 0) + 400] ^= 0xff;
	ck_assert_uint_eq(load(stream, stream_bytes), KEEL_TRANSFER_FAILED);
	ck_assert_uint_ne(strlen(area()->transfer.error), 0);
	assert_never_runs();
}
END_TEST

START_TEST(other_machine)
{
	save_first();
	channel->c.machine.low_memory -= KEEL_PAGE_SIZE;
	make_second();
	assert_refused("pc 0, facts 0, low_memory: not as in the machine that was saved");
	assert_never_runs();
}
END_TEST

START_TEST(bad_vcpu)
{
	static const struct {
		uint32_t part;
		const char *text;
	} refusals[] = {
		{ KEEL_STATE_CR0, "processor 0, CR0: a value that no machine has" },
		{ KEEL_STATE_RESERVED, "a reserved field" },
		{ 999, "processor 0: a value" },
	};

	save_first();
	make_second();
	refuse_with = refusals[_i].part;
	assert_refused(refusals[_i].text);
	refuse_with = 0;
	assert_never_runs();
}
END_TEST

/* At every place where it could matter the loading end waits, and nothing runs. */
START_TEST(cut_short)
{
	save_first();
	make_second();
	const size_t lengths[CUTS] = {
		0, 1, 15, 16, 17, 1000, find(RECORD_VCPU, 1) + 3, find(RECORD_PAGE, 3) + 40, stream_bytes - 1,
	};
	ck_assert_uint_eq(load(stream, lengths[_i]), KEEL_TRANSFER_LOADING);
	command(KEEL_TRANSFER_GO_ON);
	look();
	for (unsigned int i = 0; i < VCPUS; i++)
		ck_assert_uint_eq(kicked(i)->action, KEEL_ACTION_WAIT);
}
END_TEST

START_TEST(has_run)
{
	save_first();
	go_on();
	assert_refused("has run already");
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
	/* And it can be saved. */
	ck_assert_uint_ne(save(again), 0);
}
END_TEST

/* Indices that cannot be: bytes are lost to who gave them, and nothing else is touched. */
START_TEST(bad_indices)
{
	start_with_area();
	memset(area()->ring, 0x5c, RING_BYTES);
	command(KEEL_TRANSFER_SAVE);
	for (unsigned int i = 0; i < 200; i++) {
		area()->transfer.tail = i * 0x12345677u;
		area()->transfer.head = ~i;
		look();
	}
	ck_assert_uint_eq(state(), KEEL_TRANSFER_SAVING);
	go_on();
	make_second();
	command(KEEL_TRANSFER_LOAD);
	for (unsigned int i = 0; i < 200; i++) {
		area()->transfer.head = 0x80000000u + i * 0x12345677u;
		area()->transfer.tail = i;
		look();
	}
	ck_assert_uint_eq(state(), KEEL_TRANSFER_FAILED);
}
END_TEST

/* Any bits of commands in any order, with a ring of garbage. */
START_TEST(any_commands)
{
	uint64_t seed = (uint64_t)_i + 1;

	start_with_area();
	for (unsigned int i = 0; i < 3000; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		if (seed >> 60 < 4)
			area()->transfer.commands |= 1u << (seed >> 40) % 3;
		if (seed >> 60 == 5)
			area()->transfer.tail = area()->transfer.head;
		if (seed >> 60 == 6)
			area()->transfer.tail = (uint32_t)seed;
		if (seed >> 60 == 7)
			area()->transfer.state = (uint32_t)seed;
		if (seed >> 60 == 8 && pc->running > 0)
			kicked((unsigned int)(seed >> 33) % VCPUS);
		else
			look();
	}
	area()->transfer.tail = area()->transfer.head;
	for (unsigned int i = 0; i < 20; i++)
		look();
	if (pc->running < VCPUS)
		go_on();
	ck_assert_uint_eq(kicked(0)->action, KEEL_ACTION_RESUME);
}
END_TEST

START_TEST(bad_area)
{
	static const struct {
		uint32_t place, bytes;
	} bad[] = {
		{ 0, 0x2000 },
		{ offsetof(struct area, transfer), 0x1000 },
		{ offsetof(struct area, transfer), 1 },
		{ offsetof(struct area, transfer), UINT32_MAX },
		{ offsetof(struct area, transfer), 0x4000 },
		{ offsetof(struct area, transfer) + 8, 0x2000 },
		{ offsetof(struct area, transfer), 0x9000 },
		{ 0xfffff000u, 0x2000 },
	};

	make_with_area();
	channel->c.machine.transfer = bad[_i].place;
	channel->c.machine.transfer_bytes = bad[_i].bytes;
	ck_assert_uint_eq(enter_with(EVENT, KEEL_EXIT_EVENT, 0)->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[EVENT].answer.detail, CELL_REFUSED_TRANSFER);
}
END_TEST

/* Virtio devices in all slots. */
static void fill_slots(struct keel_machine *m)
{
	for (unsigned int slot = PC_SLOT_FREE; slot < 32 && m->devices < KEEL_DEVICES; slot++) {
		m->queue[m->queues] = (struct keel_queue){
			.ring = offsetof(struct test_channel, more.ring), .entries = 16,
			.arena = offsetof(struct test_channel, more.arena), .arena_bytes = KEEL_PAGE_SIZE,
		};
		m->device[m->devices++] = (struct keel_device){
			.type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG, .slot = (uint16_t)slot, .queues = 1,
			.first_queue = (uint16_t)m->queues++,
		};
	}
}

/* All that a channel can describe has room. */
START_TEST(room)
{
	struct machine_error error;

	make_with_area();
	fill_slots(&channel->c.machine);
	run_until_busy();
	ck_assert_uint_ge(pc->virtio_devices, 24);
	for (struct machine_cursor at = { 0 }; !machine_is_saved(pc, &at); )
		ck_assert_uint_ne(machine_save_next(pc, &at, stream, TRANSFER_PIECE_MOST, &error), 0);
	pc->machine.vcpus = KEEL_MAX_VCPUS;
	ck_assert_uint_le(machine_save_bytes(pc), TRANSFER_MACHINE_MOST);
	ck_assert_uint_le(machine_load_bytes(pc), TRANSFER_STAGED_MOST);
}
END_TEST

SUITE("transfer", tcase)
{
	tcase_set_timeout(tcase, 120);
	tcase_add_checked_fixture(tcase, NULL, destroy);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, time_stands_still);
	tcase_add_test(tcase, goes_on_elsewhere);
	tcase_add_test(tcase, stop_is_called_off);
	tcase_add_test(tcase, stops_when_nothing_is_under_way);
	tcase_add_test(tcase, waits_for_virtio_devices);
	tcase_add_test(tcase, bus_is_taken_away);
	tcase_add_test(tcase, an_exit_comes_before_the_stop);
	tcase_add_test(tcase, needs_an_area);
	tcase_add_loop_test(tcase, bad_stream, 0, ARRAY_SIZE(changes));
	tcase_add_test(tcase, bad_machine);
	tcase_add_test(tcase, other_machine);
	tcase_add_loop_test(tcase, bad_vcpu, 0, 3);
	tcase_add_loop_test(tcase, cut_short, 0, CUTS);
	tcase_add_test(tcase, has_run);
	tcase_add_test(tcase, bad_indices);
	tcase_add_loop_test(tcase, any_commands, 0, 8);
	tcase_add_loop_test(tcase, bad_area, 0, 8);
	tcase_add_test(tcase, room);
}
