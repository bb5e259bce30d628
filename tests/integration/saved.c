// SPDX-License-Identifier: GPL-2.0
/*
 * saved: stops guests/saved.c, saves it, and lets it go on, in its own VM and in a fresh one; and what of a saved machine is
 * refused. One line for each check on standard output.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <err.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keel/cell.h>

#define MEMORY		(16ull << 20)
#define AREA		0x20000u	/* in the channel, behind the firmware */
#define RING_BYTES	0x8000u
#define STREAM_ROOM	(32u << 20)
#define PATIENCE_MS	(60000u * machine_patience())
#define COUNTING_MS	200u
#define BACK_NS		3600000000000ll

/* The stream: records, and in the first one sections with a name in front. */
#define RECORD_BYTES	16u
#define RECORD_VCPU	2u
#define RECORD_PAGE	3u
#define SECTION_HEADER	28u
#define SECTION_TSC	(RECORD_BYTES + SECTION_HEADER + 16u)
#define COUNT_GPA	0x30000u	/* guests/saved.c */

struct stream {
	uint8_t *bytes;
	size_t count;
};

static unsigned int passed, failed;
static unsigned int vcpus;
static void *firmware;
static size_t firmware_bytes;

static void report(bool good, const char *name, const char *why)
{
	if (good)
		printf("ok - saved, %u vCPUs: %s\n", vcpus, name);
	else
		printf("not ok - saved, %u vCPUs: %s: %s\n", vcpus, name, why);
	passed += good;
	failed += !good;
	fflush(stdout);
}

static struct keel_transfer *transfer_of(const struct machine *m)
{
	return (struct keel_transfer *)(void *)((uint8_t *)m->channel + AREA);
}

static uint8_t *ring_of(const struct machine *m)
{
	return (uint8_t *)m->channel + AREA + KEEL_PAGE_SIZE;
}

static uint32_t state_of(const struct machine *m)
{
	return __atomic_load_n(&transfer_of(m)->state, __ATOMIC_ACQUIRE);
}

/* The clock of a machine that loads is behind that of the one that was saved: for the RTC no time has passed. */
static void make(struct machine *m, int64_t back)
{
	machine_make(m, vcpus, MEMORY, firmware, firmware_bytes);
	m->quiet = true;
	m->channel->machine.transfer = AREA;
	m->channel->machine.transfer_bytes = (uint32_t)KEEL_PAGE_SIZE + RING_BYTES;
	m->channel->machine.wall_ns -= back;
}

static void command(struct machine *m, uint32_t bits)
{
	struct keel_transfer *t = transfer_of(m);

	t->head = t->tail = 0;
	__atomic_fetch_or(&t->commands, bits, __ATOMIC_ACQ_REL);
}

static void event(struct machine *m)
{
	if (ioctl(m->fd, KEEL_VM_EVENT))
		err(2, "KEEL_VM_EVENT");
}

static void drain(const struct machine *m, struct stream *s)
{
	struct keel_transfer *t = transfer_of(m);
	uint32_t head = __atomic_load_n(&t->head, __ATOMIC_ACQUIRE), tail = t->tail;

	for (; tail != head && s->count < STREAM_ROOM; tail++)
		s->bytes[s->count++] = ring_of(m)[tail % RING_BYTES];
	__atomic_store_n(&t->tail, tail, __ATOMIC_RELEASE);
}

static void feed(const struct machine *m, const struct stream *s, size_t *at)
{
	struct keel_transfer *t = transfer_of(m);
	uint32_t tail = __atomic_load_n(&t->tail, __ATOMIC_ACQUIRE), head = t->head;

	for (; *at < s->count && head - tail < RING_BYTES; head++)
		ring_of(m)[head % RING_BYTES] = s->bytes[(*at)++];
	__atomic_store_n(&t->head, head, __ATOMIC_RELEASE);
}

/* Works until the machine has come to one of these states, bit by enum keel_transfer_state. */
static uint32_t work(struct machine *m, struct stream *out, const struct stream *in, uint32_t until)
{
	uint64_t end = machine_milliseconds() + PATIENCE_MS;
	size_t at = 0;

	do {
		if (in)
			feed(m, in, &at);
		event(m);
		if (out)
			drain(m, out);
		if (until >> state_of(m) & 1)
			return state_of(m);
		usleep(200);
	} while (machine_milliseconds() < end && !machine_status(m).end);
	return state_of(m);
}

static void reach(struct machine *m, const char *name, uint32_t state, uint32_t expected)
{
	struct keel_vm_status status = machine_status(m);
	char why[256];

	snprintf(why, sizeof(why), "state %u, \"%.100s\", VM: %s %llu", state, transfer_of(m)->error,
		 machine_end_name(status.end), (unsigned long long)status.detail);
	report(state == expected, name, why);
}

static struct stream save(struct machine *m, const char *name)
{
	struct stream s = { .bytes = malloc(STREAM_ROOM) };

	command(m, KEEL_TRANSFER_SAVE);
	reach(m, name, work(m, &s, NULL, 1u << KEEL_TRANSFER_HELD | 1u << KEEL_TRANSFER_FAILED), KEEL_TRANSFER_HELD);
	return s;
}

static uint32_t load(struct machine *m, const struct stream *s)
{
	make(m, BACK_NS);
	command(m, KEEL_TRANSFER_LOAD);
	machine_start(m, true);
	return work(m, NULL, s, 1u << KEEL_TRANSFER_HELD | 1u << KEEL_TRANSFER_FAILED);
}

static void go_on(struct machine *m, const char *name)
{
	command(m, KEEL_TRANSFER_GO_ON);
	reach(m, name, work(m, NULL, NULL, 1u << KEEL_TRANSFER_RUNNING), KEEL_TRANSFER_RUNNING);
}

/* What the record of this kind and place has; NULL: there is none, or it has nothing. */
static uint8_t *find(const struct stream *s, uint32_t kind, uint64_t where)
{
	struct {
		uint32_t kind, bytes;
		uint64_t where;
	} record;

	for (size_t at = 0; at + RECORD_BYTES <= s->count; at += RECORD_BYTES + record.bytes) {
		memcpy(&record, s->bytes + at, sizeof(record));
		if (record.kind == kind && record.where == where)
			return record.bytes ? s->bytes + at + RECORD_BYTES : NULL;
	}
	return NULL;
}

static uint64_t word(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static struct keel_state *vcpu_of(const struct stream *s, unsigned int vcpu)
{
	return (struct keel_state *)(void *)find(s, RECORD_VCPU, vcpu);
}

static uint64_t guest_tsc(const struct stream *s, unsigned int vcpu)
{
	struct keel_state state;

	memcpy(&state, vcpu_of(s, vcpu), sizeof(state));
	return state.tsc_offset + word(s->bytes + SECTION_TSC);
}

/* What may differ: when it was saved, by the host's TSC and by the time of day. The guest's TSC may not. */
static void level(struct stream *s, unsigned int vcpu, uint64_t tsc)
{
	memcpy((uint8_t *)vcpu_of(s, vcpu) + offsetof(struct keel_state, tsc_offset), &tsc, sizeof(tsc));
}

static void level_times(struct stream *s)
{
	uint8_t *board = memmem(s->bytes, s->count, "board", sizeof("board"));

	if (!board)
		errx(2, "no machine in the stream");
	for (unsigned int i = 0; i < vcpus; i++)
		level(s, i, guest_tsc(s, i));
	memset(s->bytes + SECTION_TSC, 0, sizeof(uint64_t));
	memset(board + SECTION_HEADER + sizeof(uint64_t), 0, sizeof(uint64_t));
}

static void compare(const struct stream *first, const struct stream *second)
{
	struct stream a = { malloc(STREAM_ROOM), first->count }, b = { malloc(STREAM_ROOM), second->count };
	size_t at = 0;
	char why[80];

	memcpy(a.bytes, first->bytes, a.count);
	memcpy(b.bytes, second->bytes, b.count);
	level_times(&a);
	level_times(&b);
	while (at < a.count && at < b.count && a.bytes[at] == b.bytes[at])
		at++;
	snprintf(why, sizeof(why), "byte %zu of %zu and %zu", at, a.count, b.count);
	report(a.count == b.count && at == a.count, "loaded and saved again it is the same", why);
	free(a.bytes);
	free(b.bytes);
}

/* The guest has been typed at: it looks at everything that it has, and says where it stopped to count. */
static void finish(struct machine *m, const char *name, uint64_t count)
{
	struct keel_vm_status status;
	uint64_t typed = 0;
	const char *at;
	char why[256];

	usleep(COUNTING_MS * 1000);
	machine_type(m, 'x');
	status = machine_serve(m, NULL, PATIENCE_MS);
	report(status.end == KEEL_END_POWEROFF && strstr(m->output, "saved: ok"), name, m->output);
	at = strstr(m->output, "typed at ");
	if (at)
		typed = strtoull(at + strlen("typed at "), NULL, 16);
	snprintf(why, sizeof(why), "%#llx after %#llx", (unsigned long long)typed, (unsigned long long)count);
	report(count && typed > count && !strstr(m->output, "counting"), "its count went on", why);
}

static void check_refused(const struct stream *s, const char *name, const char *text)
{
	struct machine m;
	uint32_t state = load(&m, s);
	char why[256];

	snprintf(why, sizeof(why), "state %u, \"%.100s\"", state, transfer_of(&m)->error);
	report(state == KEEL_TRANSFER_FAILED && strstr(transfer_of(&m)->error, text) && !machine_status(&m).end, name, why);
	machine_close(&m);
}

static void check_refusals(struct stream *s)
{
	struct keel_state *state = vcpu_of(s, 0);

	state->sregs.cr0 ^= 1ull << 63;
	check_refused(s, "registers that no guest has are refused", "CR0");
	state->sregs.cr0 ^= 1ull << 63;
	s->bytes[RECORD_BYTES] ^= 1;
	check_refused(s, "what is no machine is refused", "no saved machine");
	s->bytes[RECORD_BYTES] ^= 1;
}

static uint64_t count_in(const struct stream *s)
{
	const uint8_t *page = find(s, RECORD_PAGE, COUNT_GPA);

	return page ? word(page) : 0;
}

int main(int argc, char **argv)
{
	struct machine first, second;
	struct stream saved, again;
	uint64_t count;

	if (argc != 3 || atoi(argv[1]) < 1)
		errx(2, "usage: saved VCPUS SAVED-GUEST");
	vcpus = (unsigned int)atoi(argv[1]);
	firmware = machine_read_file(argv[2], &firmware_bytes);
	make(&first, 0);
	machine_start(&first, true);
	machine_serve(&first, "counting", PATIENCE_MS);
	usleep(COUNTING_MS * 1000);
	saved = save(&first, "a guest that runs is saved");
	count = count_in(&saved);
	reach(&second, "it is loaded into a fresh VM", load(&second, &saved), KEEL_TRANSFER_HELD);
	again = save(&second, "and saved again");
	compare(&saved, &again);
	go_on(&second, "it goes on there");
	finish(&second, "all that it had is there", count);
	machine_close(&second);
	go_on(&first, "the first one goes on, too");
	memset(first.output, 0, sizeof(first.output));
	finish(&first, "all that it had is still there", count);
	machine_close(&first);
	check_refusals(&saved);
	free(saved.bytes);
	free(again.bytes);
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
