// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of an IDE channel: a guest that writes any registers, commands, packets and tables of regions, over a host that
 * answers late, with errors or not at all, and states that somebody has made up.
 */
#include <errno.h>

#include "disk/ide.h"
#include "fuzz.h"

#define MEMORY		0x8000u
#define TABLE		0x1000u		/* of physical regions; the guest's data is behind it */
#define INPUT_BYTES	600u
#define STATE_ROOM	(3 * IDE_BUFFER_BYTES)
#define DRIVES		IDE_CHANNEL_DRIVES

struct request {
	bool pending;
	enum keel_block_op op;
	uint64_t offset;
	uint32_t count;
	uint8_t sent[KEEL_BOUNCE_BYTES];	/* what the chunk held */
};

static struct ide_channel channel;
static struct gmem mem;
static struct request requests[DRIVES][KEEL_BLOCK_CHUNKS];
/* Pieces of their own, at whose ends the sanitizer watches; kept from run to run, for they are large. */
static uint8_t *bounces[DRIVES];
static bool refuses, level;

static void door(void *owner, unsigned int drive, bool locked, bool ejected)
{
	(void)owner;
	(void)locked;
	(void)ejected;
	require(drive < DRIVES && channel.drive[drive].kind == KEEL_DEVICE_IDE_CDROM, "a door of what has none");
}

static bool submit(void *owner, unsigned int drive, unsigned int chunk, enum keel_block_op op, uint64_t offset, uint32_t count)
{
	const struct ide_drive *d = &channel.drive[drive];
	struct request *r = &requests[drive][chunk];

	(void)owner;
	require(chunk < KEEL_BLOCK_CHUNKS && !r->pending, "a second request of a chunk");
	require(op == KEEL_BLOCK_READ || op == KEEL_BLOCK_WRITE || op == KEEL_BLOCK_FLUSH, "no request");
	require(op != KEEL_BLOCK_WRITE || (d->kind == KEEL_DEVICE_IDE_DISK && !(d->flags & KEEL_DEVICE_READONLY)),
		"a write to what is only read");
	if (op != KEEL_BLOCK_FLUSH) {
		require(count && count <= KEEL_BOUNCE_BYTES && count % IDE_SECTOR == 0, "a request's length");
		require(offset % IDE_SECTOR == 0 && offset < d->bytes && count <= d->bytes - offset, "a request's place");
	}
	if (refuses)
		return false;
	*r = (struct request){ .pending = true, .op = op, .offset = offset, .count = count };
	memcpy(r->sent, d->bounce + chunk * KEEL_BOUNCE_BYTES, sizeof(r->sent));
	return true;
}

static bool is_pending(unsigned int drive)
{
	for (unsigned int i = 0; i < KEEL_BLOCK_CHUNKS; i++)
		if (requests[drive][i].pending)
			return true;
	return false;
}

static void answer(unsigned int drive, unsigned int chunk, int32_t status)
{
	struct request *r = &requests[drive][chunk];
	uint8_t *bounce = channel.drive[drive].bounce + chunk * KEEL_BOUNCE_BYTES;

	if (!r->pending)
		return;
	require(!memcmp(bounce, r->sent, sizeof(r->sent)), "a buffer is written that is the host's");
	r->pending = false;
	if (r->op == KEEL_BLOCK_READ && !status)
		memset(bounce, (int)(r->offset / IDE_SECTOR), r->count);
	ide_complete(&channel, drive, chunk, status);
}

static void answer_all(unsigned int drive)
{
	while (is_pending(drive))
		for (unsigned int i = 0; i < KEEL_BLOCK_CHUNKS; i++)
			answer(drive, i, 0);
}

static void set_line(void *sink, unsigned int pin, bool to)
{
	(void)sink;
	(void)pin;
	require(to != level, "a line that does not change");
	level = to;
}

static const struct ide_host host = { .submit = submit, .door = door };

static void set_up(struct bytes *b)
{
	static const uint64_t sizes[] = { 300 * IDE_SECTOR, 0, 1ull << 37, 1ull << 57, IDE_SECTOR };
	static const uint64_t mediums[] = { 400 * 2048, 0, 1ull << 32, 2048 };

	mem = (struct gmem){ .base = calloc(1, MEMORY), .count = 1, .range = { { 0, MEMORY, false } } };
	require(mem.base != NULL, "no memory");
	memset(&channel, 0, sizeof(channel));
	channel.irq = (struct line){ set_line, NULL, 14 };
	channel.bm.mem = &mem;
	channel.bm.master = true;
	refuses = level = false;
	for (unsigned int i = 0; i < DRIVES; i++) {
		struct ide_drive *d = &channel.drive[i];
		uint8_t kind = take8(b), size = take8(b);

		for (unsigned int chunk = 0; chunk < KEEL_BLOCK_CHUNKS; chunk++)
			requests[i][chunk].pending = false;
		d->host = &host;
		d->number = i;
		d->kind = kind % 16 ? (kind ^ i) % 2 ? KEEL_DEVICE_IDE_CDROM : KEEL_DEVICE_IDE_DISK : KEEL_DEVICE_NONE;
		d->flags = kind & 0x80 ? KEEL_DEVICE_READONLY : 0;
		d->bytes = d->kind == KEEL_DEVICE_IDE_CDROM ? mediums[size % 4] :
			   d->kind == KEEL_DEVICE_IDE_DISK ? sizes[size % 5] : 0;
		bounces[i] = bounces[i] ? bounces[i] : calloc(KEEL_BLOCK_CHUNKS, KEEL_BOUNCE_BYTES);
		d->bounce = bounces[i];
		require(d->bounce != NULL, "no memory");
	}
	ide_init(&channel);
}

static void tear_down(void)
{
	for (unsigned int i = 0; i < DRIVES; i++) {
		refuses = true;
		answer_all(i);
	}
	free(mem.base);
}

/* A command with its registers, mostly of those that there are. */
static void give_command(struct bytes *b)
{
	static const uint8_t commands[] = {
		0x20, 0x21, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x42, 0xc4, 0xc5, 0xc6, 0xc8, 0xca,
		0xe7, 0xea, 0xec, 0xa1, 0xef, 0x91, 0x90, 0x08, 0xa0, 0xa0, 0xa0, 0xa0, 0x10, 0xe0, 0xe5, 0xf8, 0x27,
	};
	uint8_t which = take8(b), registers = take8(b);

	for (unsigned int i = IDE_FEATURE; i < IDE_COMMAND; i++)
		if (registers >> i & 1)
			ide_command_io.write(&channel, i, 1, take8(b) % 8 ? take8(b) % 16 : take8(b));
	if (registers & 1)
		ide_command_io.write(&channel, IDE_DEVICE, 1, 0xe0 | (take8(b) & 0x10));
	ide_command_io.write(&channel, IDE_COMMAND, 1, which < 224 ? commands[which % sizeof(commands)] : take8(b));
}

/* A packet of a CD-ROM drive, as far as it wants one. */
static void give_packet(struct bytes *b)
{
	static const uint8_t commands[] = {
		0x00, 0x03, 0x12, 0x1b, 0x1e, 0x25, 0x28, 0x28, 0xa8, 0x2b,
		0x43, 0x46, 0x4a, 0x51, 0x52, 0x5a, 0xbd, 0xbe, 0x4b, 0xad,
	};
	uint8_t packet[IDE_PACKET_BYTES] = { commands[take8(b) % sizeof(commands)] };

	for (unsigned int i = take8(b) % IDE_PACKET_BYTES; i; i--)
		packet[1 + take8(b) % (IDE_PACKET_BYTES - 1)] = take8(b);
	for (unsigned int i = 0; i < IDE_PACKET_BYTES; i += 2)
		ide_command_io.write(&channel, IDE_DATA, 2, (uint16_t)(packet[i] | packet[i + 1] << 8));
}

static void move_data(struct bytes *b)
{
	uint8_t how = take8(b);

	for (unsigned int i = take8(b) * 4u; i; i--)
		switch (how % 5) {
		case 0:
			ide_command_io.read(&channel, IDE_DATA, 2);
			break;
		case 1:
			ide_command_io.read(&channel, IDE_DATA, 4);
			break;
		case 2:
			ide_command_io.write(&channel, IDE_DATA, 2, (uint16_t)i);
			break;
		case 3:
			ide_command_io.write(&channel, IDE_DATA, 4, i);
			break;
		default:
			ide_command_io.read(&channel, IDE_DATA, 1);
			ide_command_io.write(&channel, IDE_DATA, 1, (uint8_t)i);
			break;
		}
}

static void write_table(struct bytes *b)
{
	uint32_t at = TABLE + take8(b) % 8 * 8;

	for (unsigned int i = take8(b) % 6; i; i--, at += 8) {
		uint32_t region[2] = {
			take8(b) % 8 ? TABLE * 2 + take16(b) % (MEMORY - 2 * TABLE) : take32(b),
			take8(b) % 8 ? take16(b) : take32(b),
		};

		region[1] |= take8(b) % 2 ? 0x80000000u : 0;
		memcpy(mem.base + at, region, sizeof(region));
	}
	for (unsigned int i = 0; i < 4; i++)
		ide_bm_write(&channel, 4 + i, (uint8_t)(TABLE >> 8 * i));
}

static size_t save(uint8_t *state)
{
	size_t n = state_save(&ide_channel_state_table, 0, &channel.s, state, STATE_ROOM);

	n += state_save(&bmide_state_table, 0, &channel.bm.s, state + n, STATE_ROOM - n);
	for (unsigned int i = 0; i < DRIVES; i++)
		n += state_save(&ide_drive_state_table, i, &channel.drive[i].s, state + n, STATE_ROOM - n);
	return n;
}

static size_t load(const uint8_t *state, size_t bytes)
{
	size_t n = state_load(&ide_channel_state_table, 0, &channel.s, state, bytes);

	n += state_load(&bmide_state_table, 0, &channel.bm.s, state + n, bytes - n);
	for (unsigned int i = 0; i < DRIVES; i++)
		n += state_load(&ide_drive_state_table, i, &channel.drive[i].s, state + n, bytes - n);
	return n;
}

/* What comes back is what was saved, or what somebody says was: the channel says whether it can go on from there. */
static void save_and_load(struct bytes *b)
{
	static uint8_t state[STATE_ROOM], again[STATE_ROOM];
	unsigned int changes = take8(b) % 8;
	size_t bytes;

	if (ide_in_flight(&channel))
		return;
	bytes = save(state);
	/* Mostly in front of the first drive's buffer, which is most of it and may hold anything. */
	for (unsigned int i = 0; i < changes; i++)
		state[(take8(b) % 4 ? take8(b) : take16(b)) % bytes] = take8(b);
	if (load(state, bytes) != bytes || !ide_restored(&channel)) {
		require(changes, "a state that does not come back");
		/* Such a machine does not run. */
		channel.s = (struct ide_channel_state){ 0 };
		level = false;
		ide_init(&channel);
		return;
	}
	level = channel.s.line;
	require(changes || (save(again) == bytes && !memcmp(state, again, bytes)), "another state");
}

static void answer_some(struct bytes *b)
{
	uint8_t which = take8(b);

	answer(which % DRIVES, which / DRIVES % KEEL_BLOCK_CHUNKS, 0);
}

static void act_host(struct bytes *b)
{
	unsigned int drive = take8(b) % DRIVES, chunk;

	switch (take8(b) % 8) {
	case 0:
		answer(drive, take8(b) % KEEL_BLOCK_CHUNKS, take8(b) % 2 ? -EIO : -ENOSPC);
		break;
	case 1:
		refuses = take8(b) % 2;
		break;
	case 2:
		if (channel.drive[drive].kind == KEEL_DEVICE_IDE_CDROM && !is_pending(drive))
			ide_medium_changed(&channel, drive, take8(b) % 4 * 2048u);
		break;
	case 3:
		ide_init(&channel);
		break;
	case 4:
		/* Of what nobody waits for. */
		chunk = take8(b) % (KEEL_BLOCK_CHUNKS + 1);
		if (chunk == KEEL_BLOCK_CHUNKS || !requests[drive][chunk].pending)
			ide_complete(&channel, drive, chunk, 0);
		break;
	default:
		save_and_load(b);
		break;
	}
}

static void act(struct bytes *b)
{
	switch (take8(b) % 16) {
	case 0:
	case 1:
	case 2:
		give_command(b);
		break;
	case 3:
	case 4:
		give_packet(b);
		break;
	case 5:
	case 6:
		move_data(b);
		break;
	case 7:
		write_table(b);
		break;
	case 8:
		ide_bm_write(&channel, take8(b) % 4 ? take8(b) % 2 * 2 : take8(b) % BMIDE_REGISTERS, take8(b));
		break;
	case 9:
		ide_command_io.write(&channel, take8(b) % IDE_REGISTERS, 1, take8(b));
		break;
	case 10:
		ide_command_io.read(&channel, take8(b) % IDE_REGISTERS, 1);
		ide_bm_read(&channel, take8(b) % BMIDE_REGISTERS);
		break;
	case 11:
		ide_control_io.write(&channel, 0, 1, take8(b) % 4 ? 0 : take8(b));
		ide_control_io.read(&channel, 0, 1);
		break;
	case 12:
		act_host(b);
		break;
	default:
		answer_some(b);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	set_up(&b);
	while (b.left)
		act(&b);
	tear_down();
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { 1500, INPUT_BYTES, make_input };
