// SPDX-License-Identifier: GPL-2.0
/* Stops the machine, and moves it through the channel record by record. */
#include "machine/transfer.h"

#include <keel/macros.h>

#include "core/string.h"
#include "machine/pc.h"
#include "shared/pc_map.h"
#include "vcpu/reset.h"

/* Records that one event moves, at most. A record of pages that are zeros costs a look at one, others the bytes of the ring. */
#define EVENT_RECORDS	64u

#define LOAD(p)		__atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define STORE(p, value)	__atomic_store_n(&(p), value, __ATOMIC_RELEASE)

_Static_assert(sizeof(struct keel_transfer) <= KEEL_PAGE_SIZE, "what is in front of the ring is a page");

static const char *const vcpu_parts[] = {
	[KEEL_STATE_RIP] = "RIP",
	[KEEL_STATE_RFLAGS] = "RFLAGS",
	[KEEL_STATE_SEGMENT] = "a segment",
	[KEEL_STATE_TABLES] = "GDT or IDT",
	[KEEL_STATE_CR0] = "CR0",
	[KEEL_STATE_CR3] = "CR3",
	[KEEL_STATE_CR4] = "CR4",
	[KEEL_STATE_EFER] = "EFER",
	[KEEL_STATE_DEBUG] = "a debug register",
	[KEEL_STATE_CPL] = "CPL",
	[KEEL_STATE_CR8] = "CR8",
	[KEEL_STATE_PDPTE] = "an entry of PAE paging",
	[KEEL_STATE_EVENT] = "an event",
	[KEEL_STATE_MSR] = "an MSR",
	[KEEL_STATE_XCR0] = "XCR0",
	[KEEL_STATE_XSTATE] = "extended state",
	[KEEL_STATE_RESERVED] = "a reserved field",
};

/* State */

static void set_state(struct pc *pc, enum keel_transfer_state state)
{
	pc->transfer.state = state;
	STORE(pc->transfer.shared->state, state);
	pc->link.produced = true;
}

/* A load that fails is the end of it; a save that fails has changed nothing. */
static void fail(struct pc *pc, const struct machine_error *error)
{
	char text[KEEL_TRANSFER_ERROR_BYTES] = { 0 };

	machine_error_text(error, text, sizeof(text));
	memcpy(pc->transfer.shared->error, text, sizeof(text));
	pc->transfer.failed = pc->transfer.loads;
	set_state(pc, KEEL_TRANSFER_FAILED);
}

/* The record that should be here, and what of it is wrong. */
static void fail_record(struct pc *pc, enum machine_failure why, const char *what)
{
	static const char *const names[] = {
		[RECORD_MACHINE] = "machine",
		[RECORD_VCPU] = "processor",
		[RECORD_PAGE] = "memory",
		[RECORD_END] = "end",
	};
	struct machine_error error = { .why = why, .field = what };
	const char *name = names[pc->transfer.at.kind];

	for (unsigned int i = 0; name[i]; i++)
		error.section[i] = name[i];
	error.instance = pc->transfer.at.kind == RECORD_PAGE ? (unsigned int)(pc->transfer.at.where / KEEL_PAGE_SIZE) :
							     (unsigned int)pc->transfer.at.where;
	fail(pc, &error);
}

/* The ring */

static void copy_ring(struct transfer *t, uint8_t *bytes, uint32_t count)
{
	while (count) {
		uint32_t at = t->index & (t->ring_bytes - 1), piece = t->ring_bytes - at;

		piece = count < piece ? count : piece;
		if (t->loads)
			memcpy(bytes, t->ring + at, piece);
		else
			memcpy(t->ring + at, bytes, piece);
		bytes += piece;
		count -= piece;
		t->index += piece;
	}
}

/* Bytes that can be moved; an index of the other end that cannot be is taken for a ring that is full. */
static uint32_t movable(const struct transfer *t)
{
	uint32_t used = t->loads ? LOAD(t->shared->head) - t->index : t->index - LOAD(t->shared->tail);

	used = used > t->ring_bytes ? t->ring_bytes : used;
	return t->loads ? used : t->ring_bytes - used;
}

/* Moves bytes between ring and memory until none are left. False: the other end has to do its part first. */
static bool move(struct pc *pc, uint8_t *bytes, uint32_t total, uint32_t *left)
{
	struct transfer *t = &pc->transfer;
	uint32_t count = movable(t);

	count = *left < count ? *left : count;
	if (count) {
		copy_ring(t, bytes + total - *left, count);
		*left -= count;
		STORE(*(t->loads ? &t->shared->tail : &t->shared->head), t->index);
		pc->link.produced = true;
	}
	return *left == 0;
}

/* vCPUs */

static void ask(struct pc *pc, uint32_t what)
{
	pc->transfer.asked = what;
	pc->transfer.answered = 0;
	pc->bus.kick |= 1ull << pc->transfer.at.where;
}

bool transfer_holds(struct pc *pc, struct keel_context *ctx)
{
	struct transfer *t = &pc->transfer;
	bool asked = t->asked && t->at.where == ctx->exit.context;

	if (!(t->stopped >> ctx->exit.context & 1))
		return false;
	ctx->answer = (struct keel_answer){ .action = KEEL_ACTION_WAIT, .deadline = UINT64_MAX };
	if (asked && !(ctx->exit.flags & KEEL_EXIT_F_STATE)) {
		ctx->answer.action = KEEL_ACTION_RESUME;
		ctx->answer.flags = t->asked;
		ctx->answer.state = (uintptr_t)&t->memory->vcpu;
		return true;
	}
	if (asked) {
		t->refused = ctx->exit.refused;
		t->answered = t->asked;
		t->asked = 0;
		pc->link.produced = true;
	}
	if (link_doorbell(&pc->link))
		ctx->answer.flags |= KEEL_ANSWER_DOORBELL;
	return true;
}

void transfer_stopped(struct pc *pc, struct keel_context *ctx)
{
	pc->transfer.stopped |= 1ull << ctx->exit.context;
	pc->vcpu[ctx->exit.context].quiet = false;
	pc->link.produced = true;
	ctx->answer.action = KEEL_ACTION_WAIT;
}

/* One that waits for its SIPI may never have had registers that a processor would take: SIPI replaces them. */
static void tidy_vcpu(struct pc *pc)
{
	const struct lapic_state *lapic = &pc->vcpu[pc->transfer.at.where].lapic.s;
	struct keel_state *state = &pc->transfer.memory->vcpu.state;

	if (lapic->init_pending | lapic->wait_sipi)
		reset_state(&state->regs, &state->sregs);
}

/* Records */

static uint8_t *page_at(const struct pc *pc, uint64_t gpa)
{
	return gmem_at(&pc->mem, gpa, KEEL_PAGE_SIZE, false);
}

static void begin_record(struct transfer *t, enum record_kind kind, uint64_t where)
{
	t->at = (struct record){ .kind = kind, .where = where };
	t->header_left = sizeof(t->at);
	t->left = 0;
	t->bytes = NULL;
	t->asked = 0;
	t->answered = 0;
}

static void begin_page(struct pc *pc, uint64_t from)
{
	uint64_t gap = gmem_gap(&pc->mem, from, false);

	if (gap == UINT64_MAX - from)
		begin_record(&pc->transfer, RECORD_END, 0);
	else
		begin_record(&pc->transfer, RECORD_PAGE, from + gap);
}

/* What follows the record at hand. */
static void next_record(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	switch ((enum record_kind)t->at.kind) {
	case RECORD_MACHINE:
		begin_record(t, RECORD_VCPU, 0);
		break;
	case RECORD_VCPU:
		if (t->at.where + 1 < pc->machine.vcpus)
			begin_record(t, RECORD_VCPU, t->at.where + 1);
		else
			begin_page(pc, 0);
		break;
	case RECORD_PAGE:
		begin_page(pc, t->at.where + KEEL_PAGE_SIZE);
		break;
	case RECORD_END:
		set_state(pc, KEEL_TRANSFER_HELD);
		break;
	}
}

/* Saving */

static bool is_zero(const uint8_t *page)
{
	const uint64_t *word = (const uint64_t *)(const void *)page;

	for (unsigned int i = 0; i < KEEL_PAGE_SIZE / sizeof(*word); i++)
		if (word[i])
			return false;
	return true;
}

static void give(struct transfer *t, uint8_t *bytes, uint32_t count)
{
	t->bytes = bytes;
	t->at.bytes = t->left = count;
}

static bool next_piece(struct pc *pc)
{
	struct transfer *t = &pc->transfer;
	struct machine_error error;

	t->piece_bytes = (uint32_t)machine_save_next(pc, &t->piece, t->memory->piece, sizeof(t->memory->piece), &error);
	t->piece_left = t->piece_bytes;
	if (!t->piece_bytes)
		fail(pc, &error);
	return t->piece_bytes != 0;
}

/* All pieces twice: first for how long they are together, as nothing of the machine changes while they are moved. */
static bool fill_machine(struct pc *pc)
{
	struct transfer *t = &pc->transfer;
	uint32_t bytes = 0;

	for (t->piece = (struct machine_cursor){ 0 }; !machine_is_saved(pc, &t->piece); bytes += t->piece_bytes)
		if (!next_piece(pc))
			return false;
	t->piece = (struct machine_cursor){ 0 };
	t->piece_left = 0;
	give(t, t->memory->piece, bytes);
	return true;
}

static bool move_pieces(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	while (t->left) {
		uint32_t before;

		if (!t->piece_left && !next_piece(pc))
			return false;
		before = t->piece_left;
		move(pc, t->memory->piece, t->piece_bytes, &t->piece_left);
		t->left -= before - t->piece_left;
		if (t->piece_left)
			return false;
	}
	return true;
}

static bool fill_vcpu(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (t->answered) {
		tidy_vcpu(pc);
		give(t, (uint8_t *)&t->memory->vcpu, sizeof(t->memory->vcpu));
	} else if (!t->asked) {
		ask(pc, KEEL_ANSWER_STATE_OUT);
	}
	return t->answered != 0;
}

/* The record's bytes are at hand. False: not yet, or never. */
static bool fill(struct pc *pc)
{
	struct transfer *t = &pc->transfer;
	uint8_t *page;

	switch ((enum record_kind)t->at.kind) {
	case RECORD_MACHINE:
		return fill_machine(pc);
	case RECORD_VCPU:
		return fill_vcpu(pc);
	case RECORD_PAGE:
		page = page_at(pc, t->at.where);
		give(t, page, is_zero(page) ? 0 : (uint32_t)KEEL_PAGE_SIZE);
		return true;
	case RECORD_END:
		give(t, t->memory->piece, 0);
		return true;
	}
	return false;
}

static bool save_record(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (!t->bytes && !fill(pc))
		return false;
	t->header = t->at;
	if (!move(pc, (uint8_t *)&t->header, sizeof(t->header), &t->header_left))
		return false;
	if (t->at.kind == RECORD_MACHINE ? !move_pieces(pc) : !move(pc, t->bytes, t->at.bytes, &t->left))
		return false;
	next_record(pc);
	return true;
}

/* Loading */

/*
 * A machine's stream and its new states are at the begin of guest memory, in front of the VGA hole. No vCPU has run and none does
 * now, so that nobody else writes there, and each page has a record behind the machine's.
 */
_Static_assert(TRANSFER_MACHINE_MOST % sizeof(uint64_t) == 0, "the new states lie behind the stream");
_Static_assert(TRANSFER_MACHINE_MOST + TRANSFER_STAGED_MOST <= PC_VGA_HOLE, "what every machine has");

static uint8_t *stream_memory(const struct pc *pc)
{
	return gmem_at(&pc->mem, 0, TRANSFER_MACHINE_MOST + TRANSFER_STAGED_MOST, true);
}

/* Where a record's bytes go; NULL: it cannot have as many. */
static uint8_t *place_of(const struct pc *pc, const struct record *record)
{
	struct transfer_memory *memory = pc->transfer.memory;

	switch ((enum record_kind)record->kind) {
	case RECORD_MACHINE:
		return record->bytes <= TRANSFER_MACHINE_MOST ? stream_memory(pc) : NULL;
	case RECORD_VCPU:
		return record->bytes == sizeof(memory->vcpu) ? (uint8_t *)&memory->vcpu : NULL;
	case RECORD_PAGE:
		return record->bytes == 0 || record->bytes == KEEL_PAGE_SIZE ? page_at(pc, record->where) : NULL;
	case RECORD_END:
		return record->bytes == 0 ? memory->piece : NULL;
	}
	return NULL;
}

/* The header is whole, in memory of this end's: it must be that of the record whose turn it is. */
static bool take_header(struct pc *pc)
{
	struct transfer *t = &pc->transfer;
	const struct record *found = &t->header;

	if (found->kind != t->at.kind || found->where != t->at.where) {
		fail_record(pc, t->at.kind == RECORD_MACHINE ? MACHINE_NO_STREAM : MACHINE_OTHER_RECORD, NULL);
		return false;
	}
	t->bytes = place_of(pc, found);
	if (!t->bytes) {
		fail_record(pc, MACHINE_SECTION_BROKEN, NULL);
		return false;
	}
	t->at.bytes = t->left = found->bytes;
	return true;
}

static bool put_machine(struct pc *pc)
{
	struct transfer *t = &pc->transfer;
	struct machine_error error;
	bool loaded = machine_load(pc, t->bytes, t->at.bytes, pc->tsc, t->bytes + TRANSFER_MACHINE_MOST, TRANSFER_STAGED_MOST,
				   &t->shift, &error);

	if (!loaded)
		fail(pc, &error);
	return loaded;
}

static bool put_vcpu(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (!t->answered) {
		if (!t->asked) {
			t->memory->vcpu.state.tsc_offset += t->shift;
			ask(pc, KEEL_ANSWER_STATE_IN);
		}
		return false;
	}
	if (t->refused != KEEL_STATE_TAKEN) {
		fail_record(pc, MACHINE_WRONG_VALUE,
			    t->refused < ARRAY_SIZE(vcpu_parts) ? vcpu_parts[t->refused] : NULL);
		return false;
	}
	return true;
}

/* The record is whole. False: it is not in its place yet, or never will be. */
static bool put(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	switch ((enum record_kind)t->at.kind) {
	case RECORD_MACHINE:
		return put_machine(pc);
	case RECORD_VCPU:
		return put_vcpu(pc);
	case RECORD_PAGE:
		if (!t->at.bytes)
			memset(t->bytes, 0, KEEL_PAGE_SIZE);
		return true;
	case RECORD_END:
		return true;
	}
	return false;
}

static bool load_record(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (!t->bytes && (!move(pc, (uint8_t *)&t->header, sizeof(t->header), &t->header_left) || !take_header(pc)))
		return false;
	if (!move(pc, t->bytes, t->at.bytes, &t->left) || !put(pc))
		return false;
	next_record(pc);
	return true;
}

/* Stopping, and going on */

static uint64_t all_vcpus(const struct pc *pc)
{
	return UINT64_MAX >> (64 - pc->machine.vcpus);
}

/* Both ends begin anew with the ring, as the resource half has done before the command. */
static void begin(struct pc *pc, bool loads, enum keel_transfer_state state)
{
	struct transfer *t = &pc->transfer;

	t->loads = loads;
	t->index = 0;
	begin_record(t, RECORD_MACHINE, 0);
	set_state(pc, state);
}

static bool is_settled(const struct transfer *t)
{
	return t->state == KEEL_TRANSFER_HELD || (t->state == KEEL_TRANSFER_FAILED && t->still && !t->failed);
}

static void start_save(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (is_settled(t)) {
		begin(pc, false, KEEL_TRANSFER_SAVING);
	} else if (pc->running == pc->machine.vcpus) {
		pc->running = 0;
		pc->bus.kick |= all_vcpus(pc);
		begin(pc, false, KEEL_TRANSFER_STOPPING);
	}
}

static void start_load(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (pc->running != pc->machine.vcpus)
		return;
	if (t->entered) {
		t->loads = false;
		fail(pc, &(struct machine_error){ .why = MACHINE_HAS_RUN });
		return;
	}
	pc->running = 0;
	t->stopped = all_vcpus(pc);
	t->still = true;
	begin(pc, true, KEEL_TRANSFER_LOADING);
}

/* The machine's time goes on at once, that of each vCPU when its turn comes: until then it does not run. */
static void go_on(struct pc *pc, uint64_t tsc)
{
	struct transfer *t = &pc->transfer;

	if (t->state == KEEL_TRANSFER_STOPPING) {
		t->stopped = 0;
		pc->running = pc->machine.vcpus;
		pc->bus.kick |= all_vcpus(pc);
		set_state(pc, KEEL_TRANSFER_RUNNING);
	} else if (is_settled(t) || t->state == KEEL_TRANSFER_SAVING) {
		t->shift = machine_go_on(pc, tsc);
		t->still = false;
		begin_record(t, RECORD_VCPU, 0);
		set_state(pc, KEEL_TRANSFER_GOING_ON);
	}
}

static void release(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	t->stopped &= ~(1ull << pc->running);
	pc->bus.kick |= 1ull << pc->running;
	pc->running++;
	if (pc->running == pc->machine.vcpus)
		set_state(pc, KEEL_TRANSFER_RUNNING);
	else
		begin_record(t, RECORD_VCPU, pc->running);
}

/* A vCPU's TSC is a part of its state: the state comes out, and goes in again with another offset. */
static void give_time_back(struct pc *pc)
{
	struct transfer *t = &pc->transfer;

	if (t->answered && t->refused != KEEL_STATE_TAKEN) {
		pc_end(pc, KEEL_END_CELL_REFUSED, CELL_REFUSED_TRANSFER);
	} else if (t->answered == KEEL_ANSWER_STATE_IN) {
		release(pc);
	} else if (t->answered) {
		tidy_vcpu(pc);
		t->memory->vcpu.state.tsc_offset += t->shift;
		ask(pc, KEEL_ANSWER_STATE_IN);
	} else if (!t->asked) {
		ask(pc, KEEL_ANSWER_STATE_OUT);
	}
}

/* Nothing may be on its way any more, to a vCPU or from the resource half, before time stands still. */
static void stop(struct pc *pc)
{
	if (pc->transfer.stopped != all_vcpus(pc) || !machine_settle(pc))
		return;
	pc->transfer.still = true;
	set_state(pc, KEEL_TRANSFER_SAVING);
}

static void work(struct pc *pc)
{
	struct transfer *t = &pc->transfer;
	unsigned int records = 0;

	if (t->state == KEEL_TRANSFER_STOPPING)
		stop(pc);
	if (t->state == KEEL_TRANSFER_GOING_ON)
		give_time_back(pc);
	while (t->state == KEEL_TRANSFER_SAVING && records < EVENT_RECORDS && save_record(pc))
		records++;
	while (t->state == KEEL_TRANSFER_LOADING && records < EVENT_RECORDS && load_record(pc))
		records++;
}

void transfer_init(struct pc *pc, struct transfer_memory *memory)
{
	struct transfer *t = &pc->transfer;

	if (!memory || !pc->machine.transfer_bytes)
		return;
	t->memory = memory;
	t->shared = (struct keel_transfer *)(void *)link_bytes(&pc->link, pc->machine.transfer);
	t->ring = link_bytes(&pc->link, pc->machine.transfer) + KEEL_PAGE_SIZE;
	t->ring_bytes = pc->machine.transfer_bytes - (uint32_t)KEEL_PAGE_SIZE;
}

/* Keel may be at work on the buffer for the vCPU that was asked: nobody else is asked for his state meanwhile. */
static uint32_t take_commands(const struct transfer *t)
{
	uint32_t kept = t->asked ? KEEL_TRANSFER_GO_ON : 0;

	return __atomic_fetch_and(&t->shared->commands, kept, __ATOMIC_ACQ_REL) & ~kept;
}

void transfer_event(struct pc *pc, uint64_t tsc)
{
	uint32_t commands;

	if (!pc->transfer.memory)
		return;
	commands = take_commands(&pc->transfer);
	if (commands & KEEL_TRANSFER_LOAD)
		start_load(pc);
	if (commands & KEEL_TRANSFER_SAVE)
		start_save(pc);
	if (commands & KEEL_TRANSFER_GO_ON)
		go_on(pc, tsc);
	work(pc);
}
