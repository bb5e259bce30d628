// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the saved machine, with a virtio device of each kind: a busy one is used for a while, saved, and loaded as it
 * is, which must work, or with changes, which must leave the other machine alone or make it one that runs.
 *
 * The resource half keeps to the rules of the drives' and the virtio devices' queues; or it keeps to none, for all of a use. A
 * guest may wait for ever then, but a machine that comes to rest is one that can be saved and loaded as any other.
 */
#include "fuzz_check.h"

#include "../unit/busy_machine.h"
#include "../unit/busy_virtio.h"
#include "machine/save.h"

#define INPUT_BYTES	400u
#define STREAM_ROOM	0x28000u
#define HEADER_BYTES	(28u + 24)
#define LOW_BYTES	0x10000u	/* of guest memory, that an input may find as another one has left it */
#define DRAIN_MOST	400u
#define ACTIONS_MOST	64u
#define HOSTILE		0xc0u		/* these bits of the byte that says how many: the resource half is hostile */
#define ANSWERS_MOST	4u		/* of a hostile one at once */
#define WRITTEN_MOST	8u		/* bytes that it writes anywhere at once */
#define SHARED_QUEUES	(VIRTIO_QUEUES + 2)	/* the virtio devices', and the drives' */

/* All that a machine is of, but for its guest's memory. */
struct snapshot {
	struct pc pc;
	struct test_channel channel;
	struct board host;
	uint8_t virtio[VIRTIO_QUEUES * VIRTIO_BYTES];
	struct lapic_page apics[2 * VCPUS];
	struct keel_context ctx[EVENT + 1];
	uint64_t tsc;
};

static struct snapshot *fresh, *busy;
static bool hostile;			/* the resource half, in the use at hand; */
static struct vq_device ends[SHARED_QUEUES];	/* its ends of the queues that it breaks */
static uint8_t stream[STREAM_ROOM], before[STREAM_ROOM], after[STREAM_ROOM];
static uint64_t memory[STREAM_ROOM / 8];

static struct snapshot *keep(void)
{
	struct snapshot *s = aligned_alloc(_Alignof(struct snapshot), sizeof(*s));

	require(s != NULL, "no memory");
	s->pc = *pc;
	s->channel = *channel;
	memcpy(s->virtio, (uint8_t *)channel + VIRTIO_RING(0), sizeof(s->virtio));
	s->host = host;
	memcpy(s->apics, apics, sizeof(apics));
	memcpy(s->ctx, ctx, sizeof(ctx));
	s->tsc = tsc;
	return s;
}

static void bring_back(const struct snapshot *s)
{
	*pc = s->pc;
	*channel = s->channel;
	memcpy((uint8_t *)channel + VIRTIO_RING(0), s->virtio, sizeof(s->virtio));
	host = s->host;
	memcpy(apics, s->apics, sizeof(apics));
	memcpy(ctx, s->ctx, sizeof(ctx));
	tsc = s->tsc;
}

/* Virtio devices */

/* Of a disk's request, or of what the other queues take. */
static bool is_for_device(unsigned int d, unsigned int q, unsigned int piece, uint8_t op)
{
	if (d == VIRTIO_DISK)
		return piece == 0 || (piece == 1 && op != KEEL_BLOCK_READ);
	return q == VIRTIO_TRANSMIT || (q == VIRTIO_CONTROL && piece == 0);
}

/* As a driver would that means well: of a disk header, data or a range, and status. */
static void add_good_chain(struct bytes *b, unsigned int d, unsigned int q)
{
	static const uint8_t ops[] = {
		KEEL_BLOCK_READ, KEEL_BLOCK_WRITE, KEEL_BLOCK_READ, KEEL_BLOCK_WRITE, KEEL_BLOCK_FLUSH, KEEL_BLOCK_DISCARD,
	};
	unsigned int kind = take8(b), head = take8(b) % GUEST_ENTRIES, count = d == VIRTIO_DISK ? 3 : 1 + kind / 8 % 3;
	struct keel_block_header header = { .op = ops[kind % ARRAY_SIZE(ops)], .sector = take8(b) % 66 };
	struct keel_block_range range = { .sectors = kind / 8 % 4 };
	bool ranges = header.op == KEEL_BLOCK_DISCARD;

	memcpy(guest + GUEST_DATA, &header, sizeof(header));
	if (ranges)
		memcpy(guest + GUEST_DATA + 0x400, &range, sizeof(range));
	for (unsigned int i = 0; i < count; i++)
		set_virtio_desc(q, head + i, &(struct vq_desc){
			.address = GUEST_DATA + i * 0x400u,
			.length = i == 0 ? 16 : i == 2 ? 1 : ranges ? sizeof(range) : KEEL_SECTOR * (1u + kind / 128),
			.flags = (uint16_t)((is_for_device(d, q, i, (uint8_t)header.op) ? 0 : VQ_DESC_WRITE) |
					    (i + 1 < count ? VQ_DESC_NEXT : 0)),
			.next = (uint16_t)((head + i + 1) % GUEST_ENTRIES),
		});
	make_available(d, q, (uint16_t)head);
}

/* A chain of up to three buffers, which may be what the device takes, and a notification. */
static void add_chain(struct bytes *b)
{
	unsigned int what = take8(b), d = what % VIRTIO_DEVICES, count, head;
	unsigned int q = virtio_rows[d].first_queue + what / 4 % virtio_rows[d].queues;

	if (what & 0x80) {
		add_good_chain(b, d, q);
		return;
	}
	count = 1 + take8(b) % 3;
	head = take8(b) % GUEST_ENTRIES;
	for (unsigned int i = 0; i < count; i++) {
		uint8_t how = take8(b);
		struct vq_desc desc = {
			.address = how & 0x80 ? take32(b) : GUEST_DATA + i * 0x400u,
			.length = how & 0x40 ? take16(b) : i == 1 ? 512 : i ? 1 : 16,
			.flags = (uint16_t)((how & VQ_DESC_WRITE) | (i + 1 < count ? VQ_DESC_NEXT : 0)),
			.next = (uint16_t)((head + i + 1) % GUEST_ENTRIES),
		};

		set_virtio_desc(q, head + i, &desc);
	}
	guest[GUEST_DATA] = take8(b) & 15;
	make_available(d, q, (uint16_t)head);
}

static void access_virtio(struct bytes *b)
{
	static const uint16_t pages[] = { 0, 0, 0, 0x1000, 0x2000, 0x3000 };
	unsigned int what = take8(b), d = (what >> 2) % VIRTIO_DEVICES, bytes = 1u << what % 4;
	unsigned int at = take8(b);

	if ((what & 0x70) == 0x70)
		start_virtio(d, take32(b));
	else if ((what & 0x70) == 0x60)
		bus_port_write(&pc->io, (uint16_t)(VIRTIO_PORTS(d) + at % 0x20), 1u << what % 3, take32(b));
	else if ((what & 0x70) == 0x50)
		pci_put(virtio_rows[d].slot, 0, at & 0xfcu, 4, take32(b));
	else if (what & 0x80)
		virtio_get(d, pages[at % 6] + (take8(b) & (0x3fu & ~(bytes - 1))), bytes);
	else
		virtio_put(d, pages[at % 6] + (take8(b) & (0x3fu & ~(bytes - 1))), bytes, what & 0x40 ? take8(b) : take32(b));
}

/* A resource half that keeps to no rule */

static uint32_t ring_entries(unsigned int number)
{
	return number < VIRTIO_QUEUES ? VIRTIO_ENTRIES : KEEL_BLOCK_ENTRIES;
}

/* It begins where the honest one has stopped. */
static void open_end(unsigned int number)
{
	const struct keel_queue drive[2] = { TEST_QUEUE(0), TEST_QUEUE(1) };
	const struct keel_queue virtio = {
		.ring = VIRTIO_RING(number), .arena = VIRTIO_RING(number) + (uint32_t)KEEL_PAGE_SIZE, .arena_bytes = VIRTIO_ARENA,
	};
	const struct keel_queue *where = number < VIRTIO_QUEUES ? &virtio : &drive[number - VIRTIO_QUEUES];
	struct vq_device *end = &ends[number];
	uint32_t entries = ring_entries(number);

	vq_device_init(end, channel, where->ring, entries, where->arena, where->arena_bytes);
	end->avail_index = end->used_index = vq_used_head((uint8_t *)channel + where->ring, entries)->index;
}

/* Bytes of the answers, of any other part of the ring, or near the front of the arena. */
static void write_anywhere(struct bytes *b, const struct vq_device *end)
{
	uint8_t *ring = (uint8_t *)channel + end->ring;
	size_t used = vq_used_offset(end->entries), bytes = vq_bytes(end->entries), at = take16(b);
	uint8_t how = take8(b);
	uint8_t *to = (uint8_t *)channel + end->arena + at;
	unsigned int count = how / 4 % WRITTEN_MOST + 1;

	if (how & 1)
		to = ring + used + at % (bytes - used);
	else if (how & 2)
		to = ring + at % bytes;
	/* An arena is longer than what 'at' counts, and behind a ring its page goes on. */
	for (unsigned int i = 0; i < count; i++)
		to[i] = take8(b);
}

/* What a device is to read: a value again and again, as a status all is well mostly; and in front anything, as a header. */
static void fill_piece(struct bytes *b, const struct vq_piece *piece, uint8_t how)
{
	uint8_t *to = (uint8_t *)channel + piece->offset;
	uint32_t bytes = how & 0x10 ? take8(b) % 13 : 0;

	memset(to, how & 0x20 ? take8(b) : 0, piece->bytes);
	for (uint32_t i = 0; i < bytes && i < piece->bytes; i++)
		to[i] = take8(b);
}

/* A chain that is there, or was; of it, or of any, an answer, or none. Any length. */
static void answer_wildly(struct bytes *b, struct vq_device *end)
{
	static const uint32_t lengths[] = { 0, 1, 12, 64, 512, 0x10000, UINT32_MAX };
	uint8_t how = take8(b), length = take8(b);
	struct vq_chain chain = { .head = take8(b) };
	uint32_t bytes = 0;

	if (!(how & 0x40) && !vq_device_take(end, &chain))
		return;
	for (unsigned int i = chain.out; i < chain.out + chain.in; i++) {
		fill_piece(b, &chain.piece[i], how);
		bytes += chain.piece[i].bytes;
	}
	if (length % 16 < ARRAY_SIZE(lengths))
		bytes = lengths[length % 16];
	/* What it does not give back now it may by another answer. */
	if (how % 8)
		vq_device_give(end, how % 8 == 1 ? take16(b) : how % 8 == 2 ? take8(b) % end->entries : chain.head, bytes);
	end->outstanding = 0;
}

static void be_hostile(struct bytes *b)
{
	unsigned int what = take8(b), count = what / 8 % ANSWERS_MOST + 1;
	struct vq_device *end = &ends[what % 8 % SHARED_QUEUES];

	for (unsigned int i = 0; i < count; i++)
		if (what >= 0xc0)
			write_anywhere(b, end);
		else
			answer_wildly(b, end);
	event();
}

static void be_virtio_host(struct bytes *b)
{
	uint8_t what;

	if (hostile) {
		be_hostile(b);
		return;
	}
	what = take8(b);
	answer_virtio(what % VIRTIO_QUEUES, what & 0x80);
	event();
}

static void set_up(void)
{
	make();
	add_virtio();
	require(event()->action == KEEL_ACTION_RESUME, "no machine");
	require(poll(0)->flags & KEEL_ANSWER_SREGS, "no vCPU");
	flat(0);
	fresh = keep();
	make_busy();
	plug_virtio(0);
	event();
	busy = keep();
}

static const uint16_t ports[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x70, 0x71, 0x60, 0x64, 0x80, 0x92, 0xb2, 0xb3,
	0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x1f1, 0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x1f6, 0x1f7, 0x1f7, 0x3f6,
	0x171, 0x172, 0x173, 0x174, 0x175, 0x176, 0x177, 0x177, 0x376, 0x1f0, 0x170, 0x510, 0x511, 0x514, 0x518, 0xcf8,
	0xcfc, 0xcfd, 0xcfe, 0xc040, 0xc042, 0xc044, 0xc048, 0xb000, 0xb002, 0xb004, 0xb00c, 0xb00e, 0x402,
};

#define PORTS		ARRAY_SIZE(ports)
#define ANY_PORT	200u

static const uint32_t msrs[] = {
	MSR_APIC_BASE, MSR_TSC_DEADLINE, KEEL_MSR_WALL_CLOCK, KEEL_MSR_SYSTEM_TIME, KEEL_MSR_PV_EOI,
	MSR_X2APIC(APIC_REG_TPR), MSR_X2APIC_EOI, MSR_X2APIC(APIC_REG_SPURIOUS), MSR_X2APIC(APIC_REG_ERROR), MSR_X2APIC_ICR,
	MSR_X2APIC(APIC_REG_LVT_TIMER), MSR_X2APIC(APIC_REG_LVT_LINT0), MSR_X2APIC(APIC_REG_LVT_ERROR),
	MSR_X2APIC(APIC_REG_TIMER_COUNT), MSR_X2APIC(APIC_REG_TIMER_DIVIDE), MSR_X2APIC_SELF_IPI,
};

/* Some widths are the device's own. */
static unsigned int width_of(uint16_t port, unsigned int what)
{
	if (port == 0xcf8 || port == 0xc044 || port == 0xc04c)
		return 4;
	return port == 0x1f0 || port == 0x170 || port == 0x510 ? 2 : 1u << what % 3;
}

static void access_port(struct bytes *b, unsigned int vcpu)
{
	unsigned int what = take8(b), choice = take8(b);
	uint16_t port = choice < ANY_PORT ? ports[choice % PORTS] : take16(b);
	unsigned int bytes = width_of(port, what);

	if (what & 0x80)
		in_by(vcpu, port, (uint8_t)bytes);
	else
		out_by(vcpu, port, (uint8_t)bytes, bytes == 1 ? take8(b) : take32(b));
}

static void access_memory(struct bytes *b, unsigned int vcpu)
{
	static const uint32_t places[] = { PC_LAPIC, PC_IOAPIC, PC_HPET, PC_HPET + 0x100 };
	unsigned int what = take8(b);
	uint32_t offset = take8(b) * 4u;

	ctx[vcpu].regs.gpr[KEEL_RAX] = what & 0x80 ? 0 : take32(b);
	mmio(vcpu, what & 0x80 ? 0xa1 : 0xa3, places[what % 4] + offset);
}

static void access_msr(struct bytes *b, unsigned int vcpu)
{
	unsigned int what = take8(b);
	uint32_t msr = msrs[what % ARRAY_SIZE(msrs)];

	if (what & 0x80)
		rdmsr(vcpu, msr);
	else
		wrmsr(vcpu, msr, what & 0x40 ? take64(b) : take32(b));
}

/* A command to the first drive, of some sectors; to the other one a packet, which has a medium only if one was put in. */
static void use_drive(struct bytes *b)
{
	static const uint8_t commands[] = { 0x20, 0x24, 0x29, 0x30, 0x34, 0x39, 0xc4, 0xc5, 0xc8, 0xca, 0xe7, 0xec };
	static const uint8_t packets[] = { 0x00, 0x12, 0x25, 0x28, 0x43, 0x46, 0x4a, 0xa8, 0xbe };
	unsigned int what = take8(b);

	/* They are in the middle of something, and take no command but these. */
	if (what & 0x40) {
		out(0x3f6, 4);
		out(0x3f6, 0);
		out(0x177, 0x08);
	}
	/* Nobody answers the other one but a hostile half. */
	if (what & 0x80 && hostile) {
		uint8_t packet[12] = { packets[what % ARRAY_SIZE(packets)] };

		packet[5] = take8(b);
		packet[8] = take8(b) % 16;
		packet[9] = take8(b) % 4;
		out(0x176, 0xa0);
		out(0x171, packet[5] & 1);
		out(0x175, 8);
		out(0x177, 0xa0);
		for (unsigned int i = 0; i < sizeof(packet); i += 2)
			out_by(0, 0x170, 2, packet[i] | packet[i + 1] << 8);
		return;
	}
	out(0x1f6, 0xe0);
	out(0x1f2, take8(b));
	out(0x1f3, take8(b));
	out(0x1f4, 0);
	out(0x1f5, 0);
	out(0x1f7, commands[what % ARRAY_SIZE(commands)]);
}

static void let_time_pass(struct bytes *b)
{
	unsigned int what = take8(b);

	tsc += (uint64_t)take16(b) << (what % 24);
}

/* The resource half types, takes output and messages, presses buttons, and now and then breaks the queues of all that. */
static void talk(struct bytes *b)
{
	uint8_t bytes[64], what = take8(b);
	size_t room = board_input_room(&host), count = take8(b) % sizeof(bytes);

	memset(bytes, 'k', sizeof(bytes));
	board_put_input(&host, bytes, count < room ? count : room);
	board_take_output(&host, bytes, what % sizeof(bytes));
	board_take_debug(&host, bytes, sizeof(bytes));
	if (what & 0x40)
		board_press(&host, what & 1 ? KEEL_MESSAGE_POWER_BUTTON : KEEL_MESSAGE_NMI);
	if (what & 0x80)
		board_set_medium(&host, 2, take32(b));
	if (what % 16 == 9)
		board_press_eject(&host);
	board_serve(&host);
	if (what % 16 == 3)
		((uint8_t *)channel->stream)[take32(b) % sizeof(channel->stream)] = take8(b);
	if (what % 16 == 4)
		((uint8_t *)channel->message)[take32(b) % sizeof(channel->message)] = take8(b);
}

static void act(struct bytes *b)
{
	unsigned int what = take8(b), vcpu = what >> 4 & 3;

	switch (what & 15) {
	case 0:
		let_time_pass(b);
		break;
	case 1:
		event();
		break;
	case 2:
		enter(vcpu, KEEL_EXIT_HLT);
		break;
	case 3:
		ctx[vcpu].regs.rflags ^= IF;
		poll(vcpu);
		break;
	case 4:
		ctx[vcpu].exit.tpr = take8(b) & 15;
		poll(vcpu);
		break;
	case 5:
	case 6:
		access_memory(b, vcpu);
		break;
	case 7:
		access_msr(b, vcpu);
		break;
	case 9:
		access_virtio(b);
		break;
	case 10:
	case 11:
		add_chain(b);
		break;
	case 12:
		be_virtio_host(b);
		break;
	case 8:
		talk(b);
		break;
	case 13:
		use_drive(b);
		break;
	default:
		access_port(b, vcpu);
		break;
	}
}

/* All that is asked for is answered, so that the machine can be saved. False: it has ended, or never comes to rest. */
static bool come_to_rest(void)
{
	bool answered;

	if (hostile)
		return !pc->end && machine_settle(pc);
	answered = answer_all_virtio();
	if (pc->end)
		return false;
	require(answered, "a virtio device asks for ever");
	require(machine_settle(pc), "a device waits for what nobody has");
	return true;
}

/* The resource half keeps up. False: the guest has ended the machine. */
static bool drain(void)
{
	if (hostile)
		return !pc->end;
	for (unsigned int i = 0; i < DRAIN_MOST && !pc->end; i++) {
		if (!pc->ide.channel[0].drive[0].requests)
			return true;
		answer_disk();
	}
	require(pc->end, "a drive asks for ever");
	return false;
}

static bool use(struct bytes *b)
{
	uint8_t how = take8(b);
	unsigned int actions = how % ACTIONS_MOST;

	hostile = (how & HOSTILE) == HOSTILE;
	for (unsigned int q = 0; hostile && q < SHARED_QUEUES; q++)
		open_end(q);
	for (unsigned int i = 0; i < actions && b->left; i++) {
		act(b);
		if (hostile)
			be_hostile(b);
		if (!drain())
			return false;
	}
	event();
	return drain() && come_to_rest();
}

static size_t save(uint8_t *to)
{
	struct machine_error error;
	size_t bytes = machine_save(pc, to, STREAM_ROOM, &error);

	require(bytes != 0, "a machine is not saved");
	require(bytes <= machine_save_bytes(pc), "a machine is longer than it says");
	return bytes;
}

/* Single bytes, anywhere or near the front of sections, and the length. */
static size_t change(struct bytes *b, unsigned int changes, size_t bytes)
{
	for (unsigned int i = 0; i < changes; i++) {
		size_t at = take16(b);
		uint8_t how = take8(b);

		if (how == 0xff)
			bytes = at % bytes + 1;
		else
			stream[at % bytes] = how & 1 ? take8(b) : (uint8_t)(stream[at % bytes] ^ 1u << (how >> 1) % 8);
	}
	return bytes;
}

static bool load(const uint8_t *from, size_t bytes, struct machine_error *error)
{
	uint64_t shift;

	/* A piece of its own, at whose end the sanitizer watches. */
	uint8_t *piece = malloc(bytes);
	bool loaded;

	require(piece != NULL, "no memory");
	memcpy(piece, from, bytes);
	loaded = machine_load(pc, piece, bytes, tsc, (uint8_t *)memory, sizeof(memory), &shift, error);
	free(piece);
	return loaded;
}

static void assert_equal(const uint8_t *one, size_t bytes, const char *what)
{
	require(save(after) == bytes && !memcmp(one + HEADER_BYTES, after + HEADER_BYTES, bytes - HEADER_BYTES), what);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	struct machine_error error = { 0 };
	unsigned int changes;
	size_t bytes, own;

	if (!fresh)
		set_up();
	bring_back(busy);
	memset(guest, 0, LOW_BYTES);
	if (!use(&b))
		return 0;
	bytes = save(stream);
	bring_back(fresh);
	changes = take8(&b) % 8;
	bytes = change(&b, changes, bytes);
	own = save(before);
	if (!load(stream, bytes, &error)) {
		if (!changes)
			fprintf(stderr, "%d: %s %u: %s: %s\n", error.why, error.section, error.instance, error.part, error.field);
		require(changes, "a machine that was is refused");
		assert_equal(before, own, "a refused stream has changed the machine");
		return 0;
	}
	bytes = save(stream);
	require(load(stream, bytes, &error), "a machine that was loaded is refused");
	assert_equal(stream, bytes, "a machine is another one when it comes back");
	use(&b);
	return 0;
}

/* A short use, so that changes come before the input ends; or one of a hostile half, which may take all of it. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	for (unsigned int i = 0; i < INPUT_BYTES; i++)
		input[i] = (uint8_t)(next(state) >> 24);
	input[0] = (uint8_t)(next(state) % 32);
	if (next(state) % 4 == 0)
		input[0] = (uint8_t)(HOSTILE | next(state) % ACTIONS_MOST);
	return INPUT_BYTES;
}

const struct fuzz_target fuzz_target = { 2000, INPUT_BYTES, make_input };
