// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the resource half's end of the channel: a cell that keeps to the rules of the queues, one that writes anything
 * anywhere, and one that does so meanwhile, over images of all modes. Skipped where there is no io_uring.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <keel/macros.h>

#include "core/stream.h"
#include "fuzz.h"
#include "host/backend/block_queue.h"
#include "host/board.h"
#include "shared/vq_driver.h"

#define SECTOR			512u
#define SECTORS			301u	/* more than a bounce buffer has, and not whole blocks of the overlay */
#define IMAGE_BYTES		((size_t)SECTORS * SECTOR)
#define REST			100u	/* bytes behind the last whole sector, which no guest sees */
#define IMAGES			3u	/* the last drive has a medium now and then */
#define MEDIUM			IMAGES
#define SECRET			0xee	/* the rest's */
#define IMAGE_BYTE(drive)	(0x10u + (drive))
#define GUEST_BYTE		0x20u	/* to 0x2f */
#define INPUT_BYTES		1500u
#define STREAM_QUEUES		7u
#define STREAM_ENTRIES		16u
#define STREAM_BYTES		4096u
#define TAKEN_MOST		(2 * STREAM_BYTES)

enum cell { CELL_HONEST, CELL_HOSTILE, CELL_RACING, CELLS };

/* A request that is with the engine, or, of an honest cell, on its way. */
struct flight {
	unsigned int count;	/* of the chains with this head that the engine has: a hostile cell sends one twice */
	bool sent;
	bool good;		/* the request is one that must not fail; */
	bool sure;		/* else it must; false: either */
	uint32_t status;	/* where the honest cell wants it, in the drive's memory */
};

/* What the channel has for one drive: ring and arena, with pages around that are not there, for the kernel too. */
struct drive {
	uint8_t *memory;
	struct block_queue queue;
	struct vq_driver driver;
	struct vq_shadow shadow[KEEL_BLOCK_ENTRIES_MOST];
	struct flight flight[KEEL_BLOCK_ENTRIES_MOST];
};

#define ARENA			KEEL_PAGE_SIZE
#define DRIVE_BYTES		(ARENA + KEEL_BLOCK_ARENA)
/* Behind the data, for each place: its header, its range, its status byte. */
#define HEADERS			(ARENA + KEEL_BOUNCE_BYTES)
#define RANGES			(HEADERS + KEEL_BLOCK_ENTRIES_MOST * sizeof(struct keel_block_header))
#define STATUSES		(RANGES + KEEL_BLOCK_ENTRIES_MOST * sizeof(struct keel_block_range))

static const enum manifest_mode modes[IMAGES] = { MANIFEST_RW, MANIFEST_RO, MANIFEST_SNAPSHOT };
/* The first drive is virtio's, the others are IDE's. */
static const unsigned int entries[KEEL_DRIVES] = {
	KEEL_BLOCK_ENTRIES_MOST, KEEL_BLOCK_ENTRIES, KEEL_BLOCK_ENTRIES, KEEL_BLOCK_ENTRIES,
};

static char paths[IMAGES + 1][64];
static struct disk disks[KEEL_DRIVES];
static struct drive drives[KEEL_DRIVES];
static struct loop loop;
static struct disk_engine engine, media;
static struct board board;
/* The other rows' queues: console in and out, debug port, panel and CD-ROM drive, to and from each. */
static struct peer {
	struct keel_channel c;
	struct {
		_Alignas(16) uint8_t ring[KEEL_PAGE_SIZE];
		uint8_t arena[STREAM_BYTES];
	} queue[STREAM_QUEUES];
} *channel;
static struct keel_queue queues[STREAM_QUEUES];
static struct vq_shadow shadows[STREAM_QUEUES][STREAM_ENTRIES];
static struct stream_in input_in, panel_in, medium_in;
static struct stream_out output_out, debug_out, panel_out, medium_out;
static uint8_t input_put, input_got, output_put, output_got, debug_put, debug_got;
static uint64_t taken;
static enum cell cell;
static unsigned int flying;
static bool cut, holds;
static bool racing;

static enum keel_block_status status_for(int status)
{
	if (!status)
		return KEEL_BLOCK_OK;
	return status == -EOPNOTSUPP ? KEEL_BLOCK_UNSUPPORTED : KEEL_BLOCK_FAILED;
}

static void done(void *owner, uint32_t tag, int status)
{
	struct drive *drive = &drives[tag / KEEL_BLOCK_ENTRIES_MOST];
	struct flight *flight = &drive->flight[tag % KEEL_BLOCK_ENTRIES_MOST];

	(void)owner;
	require(flight->count > 0, "an answer to no request");
	require(status <= 0 && status != -EFAULT && status != -EBUSY, "a status that cannot be");
	if (flight->sure)
		require(flight->good == !status, status ? "a good request failed" : "a bad request succeeded");
	flight->count--;
	flying--;
	block_queue_done(&drive->queue, tag % KEEL_BLOCK_ENTRIES_MOST, status);
	if (cell == CELL_HONEST)
		require(drive->memory[flight->status] == status_for(status), "another status");
}

static bool failed(void *owner, const struct disk_job *job)
{
	char text[256];

	(void)owner;
	require(job->status < 0, "a failure that is none");
	disk_describe(job, text, sizeof(text));
	require(text[0] != '\0', "a failure that nothing is said of");
	return holds;
}

static bool is_readonly(uint32_t drive)
{
	return drive == MEDIUM || modes[drive] == MANIFEST_RO;
}

static bool is_range(uint32_t op)
{
	return op == KEEL_BLOCK_DISCARD || op == KEEL_BLOCK_WRITE_ZEROES;
}

/* The rules of keel/channel.h, once more. What a snapshot keeps cannot be discarded. */
static bool is_good(unsigned int drive, const struct disk_request *r)
{
	if (drive > MEDIUM || (drive == MEDIUM && disks[MEDIUM].fd < 0))
		return false;
	if (r->op == KEEL_BLOCK_FLUSH)
		return true;
	if (r->op != KEEL_BLOCK_READ && is_readonly(drive))
		return false;
	if (r->op == KEEL_BLOCK_DISCARD && modes[drive] == MANIFEST_SNAPSHOT)
		return false;
	if (!is_range(r->op) && r->count > KEEL_BOUNCE_BYTES)
		return false;
	return r->count && r->count % SECTOR == 0 && r->offset % SECTOR == 0 && r->offset < IMAGE_BYTES &&
	       IMAGE_BYTES - r->offset >= r->count;
}

/* Of a range nothing is moved: the engine gets no memory for it. */
static void check_request(unsigned int number, const struct disk_request *r)
{
	const uint8_t *memory = drives[number].memory;

	require(r->tag < entries[number], "a tag that is none");
	switch (r->op) {
	case KEEL_BLOCK_READ:
	case KEEL_BLOCK_WRITE:
		require(r->data >= memory + ARENA && r->count <= KEEL_BLOCK_ARENA && r->data + r->count <= memory + DRIVE_BYTES,
			"data outside of the arena");
		return;
	case KEEL_BLOCK_DISCARD:
	case KEEL_BLOCK_WRITE_ZEROES:
		require(!r->data && r->count <= KEEL_BLOCK_RANGE_MOST * SECTOR && r->count % SECTOR == 0, "a range that is none");
		return;
	case KEEL_BLOCK_FLUSH:
		require(!r->data && !r->count, "a flush with data");
		return;
	}
	require(false, "an operation that is none");
}

/* Of requests with the same tag nobody can tell which has been answered. */
static void note_flight(unsigned int number, const struct disk_request *request)
{
	struct flight *flight = &drives[number].flight[request->tag];
	bool good = is_good(number, request);

	require(cell != CELL_HONEST || !flight->count, "a request that was taken twice");
	/* Not every file can have holes. */
	flight->sure = !flight->count && (!good || (!cut && request->op != KEEL_BLOCK_DISCARD));
	flight->good = good;
	flight->count++;
	flying++;
}

/* As machine.c does. */
static void take_requests(void)
{
	struct disk_request request;

	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		for (unsigned int k = 0; k < entries[i] && block_queue_next(&drives[i].queue, &request); k++) {
			check_request(i, &request);
			note_flight(i, &request);
			request.tag += i * KEEL_BLOCK_ENTRIES_MOST;
			disk_submit(i == MEDIUM ? &media : &engine, &disks[i], &request);
		}
	disk_start(&engine);
	disk_start(&media);
}

static void make_memory(struct drive *drive)
{
	uint8_t *map = mmap(NULL, DRIVE_BYTES + 2 * KEEL_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	drive->memory = map + KEEL_PAGE_SIZE;
	require(map != MAP_FAILED && !mprotect(drive->memory, DRIVE_BYTES, PROT_READ | PROT_WRITE), "no memory");
}

static void fill_image(unsigned int image)
{
	static uint8_t bytes[IMAGE_BYTES + REST];
	int fd = open(paths[image], O_WRONLY | O_CLOEXEC);

	memset(bytes, (int)IMAGE_BYTE(image), IMAGE_BYTES);
	memset(bytes + IMAGE_BYTES, SECRET, REST);
	require(fd >= 0 && pwrite(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes), "no image");
	close(fd);
}

static void forget(void)
{
	close(loop.epoll);
	for (unsigned int i = 0; i <= MEDIUM; i++)
		unlink(paths[i]);
}

/* Once for all inputs. */
static void set_up(void)
{
	struct failure failure;

	engine.done = done;
	engine.failed = failed;
	media.media = true;
	media.done = done;
	require(loop_init(&loop), "no loop");
	if (!disk_engine_init(&engine, &loop, &failure))
		fuzz_skip(failure.text);
	disk_engine_close(&engine);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		make_memory(&drives[i]);
	for (unsigned int i = 0; i <= MEDIUM; i++) {
		int fd;

		strcpy(paths[i], "/tmp/keel-fuzz-channel-XXXXXX");
		fd = mkstemp(paths[i]);
		require(fd >= 0, "no image");
		close(fd);
	}
	fill_image(MEDIUM);
	atexit(forget);
}

static void open_disks(void)
{
	struct failure failure;

	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		struct manifest_drive drive = { .kind = MANIFEST_DRIVE_CDROM, .mode = MANIFEST_RO };

		if (i < IMAGES) {
			fill_image(i);
			drive = (struct manifest_drive){ .kind = MANIFEST_DRIVE_DISK, .mode = modes[i], .file = paths[i],
							 .bytes = IMAGE_BYTES + REST };
		}
		require(disk_open(&disks[i], &drive, &failure) && disk_measure(&disks[i], &drive, &failure),
			"a disk does not open");
		require(disks[i].bytes == (i < IMAGES ? IMAGE_BYTES : 0), "a disk has another size");
	}
	require(disk_engine_init(&engine, &loop, &failure) && disk_engine_start(&engine, disks, KEEL_DRIVES, &failure) &&
		disk_engine_init(&media, &loop, &failure) && disk_engine_start(&media, disks, KEEL_DRIVES, &failure),
		"an engine does not start");
}

static void start_drive(unsigned int number)
{
	const struct keel_queue where = { 0, entries[number], ARENA, KEEL_BLOCK_ARENA };
	struct drive *drive = &drives[number];

	memset(drive->memory, 0, ARENA);
	memset(drive->flight, 0, sizeof(drive->flight));
	vq_driver_init(&drive->driver, drive->memory, where.entries, drive->shadow);
	block_queue_init(&drive->queue, (struct keel_channel *)drive->memory, &where);
	board_watch(&board, &drive->queue.vq);
}

/* Of a cell that does not keep to the rules they are what it makes of them. */
static void start_streams(void)
{
	static const struct keel_device devices[] = {
		{ .type = KEEL_DEVICE_CONSOLE, .first_queue = 0, .queues = 2 },
		{ .type = KEEL_DEVICE_DEBUG, .first_queue = 2, .queues = 1 },
		{ .type = KEEL_DEVICE_PANEL, .first_queue = 3, .queues = 2 },
		/* Its first queue is the drive's, which is elsewhere. */
		{ .type = KEEL_DEVICE_IDE_CDROM, .slot = MEDIUM, .first_queue = 4, .queues = 3 },
	};
	uint8_t *base = (uint8_t *)channel;

	memset(channel, 0, sizeof(*channel));
	for (unsigned int i = 0; i < STREAM_QUEUES; i++)
		queues[i] = (struct keel_queue){
			(uint32_t)(channel->queue[i].ring - base), STREAM_ENTRIES,
			(uint32_t)(channel->queue[i].arena - base), STREAM_BYTES,
		};
	board_init(&board, &channel->c, devices, 4, queues);
	stream_in_init(&input_in, base, &queues[0], shadows[0]);
	stream_out_init(&output_out, base, &queues[1], shadows[1]);
	stream_out_init(&debug_out, base, &queues[2], shadows[2]);
	stream_in_init(&panel_in, base, &queues[3], shadows[3]);
	stream_out_init(&panel_out, base, &queues[4], shadows[4]);
	stream_in_init(&medium_in, base, &queues[5], shadows[5]);
	stream_out_init(&medium_out, base, &queues[6], shadows[6]);
	input_put = input_got = output_put = output_got = debug_put = debug_got = 0;
	taken = 0;
}

/* A machine that starts: nothing is under way, and the channel is new. */
static void start(void)
{
	disk_drain(&engine);
	disk_drain(&media);
	require(!engine.busy && !media.busy && !flying, "requests without an answer");
	start_streams();
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		start_drive(i);
}

static void cut_images(bool short_now)
{
	for (unsigned int i = 0; i < KEEL_DRIVES * KEEL_BLOCK_ENTRIES_MOST; i++) {
		struct flight *flight = &drives[i / KEEL_BLOCK_ENTRIES_MOST].flight[i % KEEL_BLOCK_ENTRIES_MOST];

		flight->sure &= !flight->good;
	}
	for (unsigned int i = 0; i < IMAGES; i++)
		if (short_now)
			require(!truncate(paths[i], (off_t)IMAGE_BYTES / 3), "an image cannot be cut");
		else
			fill_image(i);
	cut = short_now;
}

/* Within the image mostly; else over its end, larger than the arena, off by some bytes, or anywhere. */
static void place_request(struct keel_block_header *header, struct vq_piece *data, uint8_t odd, struct bytes *b)
{
	header->sector = take32(b) % (SECTORS + 8);
	*data = (struct vq_piece){ ARENA, take8(b) % 24 * SECTOR };
	switch (odd % 16) {
	case 0:
		header->sector = take64(b);
		break;
	case 1:
		data->bytes = take32(b);
		break;
	case 2:
		data->offset += take8(b);
		break;
	case 3:
		data->bytes += take8(b);
		break;
	case 4:
		header->sector = take8(b) % 4;
		data->bytes = KEEL_BOUNCE_BYTES + take8(b) % 4 * SECTOR - SECTOR;
		break;
	case 5:
		header->sector = -(uint64_t)take8(b);
		break;
	case 6:
		if (header->op == KEEL_BLOCK_READ)
			data->offset = take32(b) % (DRIVE_BYTES + 2 * KEEL_PAGE_SIZE);
		break;
	default:
		break;
	}
}

/* Within the image mostly; else over its end, longer than one may be, anywhere, or with a flag that is none. */
static struct keel_block_range place_range(uint8_t odd, struct bytes *b)
{
	struct keel_block_range range = {
		.sector = take32(b) % (SECTORS + 8), .sectors = take8(b) % 24, .flags = odd / 16 % 2 ? KEEL_BLOCK_UNMAP : 0,
	};

	switch (odd % 16) {
	case 0:
		range.sector = take64(b);
		break;
	case 1:
		range.sectors = take32(b);
		break;
	case 2:
		range.flags = take32(b);
		break;
	case 3:
		range.sector = take8(b) % 4;
		range.sectors = SECTORS - 3 + take8(b) % 6;
		break;
	case 4:
		range.sectors = KEEL_BLOCK_RANGE_MOST + take8(b) % 3 - 1;
		break;
	case 5:
		range.sector = -(uint64_t)take8(b);
		break;
	default:
		break;
	}
	return range;
}

static uint32_t take_op(uint8_t kind, struct bytes *b)
{
	static const uint32_t ops[] = {
		KEEL_BLOCK_READ, KEEL_BLOCK_READ, KEEL_BLOCK_READ, KEEL_BLOCK_WRITE, KEEL_BLOCK_WRITE, KEEL_BLOCK_DISCARD,
		KEEL_BLOCK_FLUSH,
	};

	if (kind % 8 == ARRAY_SIZE(ops))
		return take32(b);
	return ops[kind % 8] == KEEL_BLOCK_DISCARD && kind & 0x40 ? KEEL_BLOCK_WRITE_ZEROES : ops[kind % 8];
}

/* What is between header and status. Returns how many pieces. */
static unsigned int place_data(struct drive *drive, struct keel_block_header *header, struct vq_piece *data, uint8_t odd,
			       struct bytes *b)
{
	uint32_t range_at = RANGES + drive->driver.free * (uint32_t)sizeof(struct keel_block_range);
	struct keel_block_range range;

	if (!is_range(header->op)) {
		place_request(header, data, odd, b);
		return header->op != KEEL_BLOCK_FLUSH;
	}
	range = place_range(odd, b);
	memcpy(drive->memory + range_at, &range, sizeof(range));
	*data = (struct vq_piece){ range_at, sizeof(range) };
	return 1;
}

/* As the cell would, or with pieces of other sizes, or one too many or too few. */
static void send_request(struct bytes *b)
{
	uint8_t kind = take8(b), odd = take8(b), shape = take8(b);
	struct drive *drive = &drives[kind / 8 % KEEL_DRIVES];
	uint16_t place = drive->driver.free, head;
	uint32_t header_at = HEADERS + place * (uint32_t)sizeof(struct keel_block_header), status_at = STATUSES + place;
	struct keel_block_header header = { .op = take_op(kind, b) };
	struct vq_piece pieces[4] = { { header_at, sizeof(header) } };
	unsigned int count = 1, out = header.op == KEEL_BLOCK_WRITE || is_range(header.op) ? 2 : 1;

	/* None is free: the places are those that requests under way have. */
	if (!drive->driver.free_count)
		return;
	count += place_data(drive, &header, &pieces[1], odd, b);
	pieces[count++] = (struct vq_piece){ status_at, 1 };
	if (cell != CELL_HONEST && shape % 8 == 0)
		count -= shape / 8 % 2;
	else if (cell != CELL_HONEST && shape % 8 == 1)
		pieces[count++] = (struct vq_piece){ status_at, 1 };
	else if (cell != CELL_HONEST && shape % 8 == 2)
		out = shape / 8 % (count + 1);
	else if (cell != CELL_HONEST && shape % 8 == 3)
		pieces[shape / 8 % count].bytes = take8(b);
	if (!count || count > drive->driver.free_count)
		return;
	memcpy(drive->memory + header_at, &header, sizeof(header));
	drive->memory[status_at] = UINT8_MAX;
	require(vq_driver_send(&drive->driver, pieces, out, count - out, &head) && head == place, "another head");
	drive->flight[head].sent = true;
	drive->flight[head].status = status_at;
}

/* The honest cell finds an answer to each request, and only to those. */
static void look_at_answers(void)
{
	uint16_t head;
	uint32_t bytes;

	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		while (vq_driver_receive(&drives[i].driver, &head, &bytes)) {
			struct flight *flight = &drives[i].flight[head];

			require(cell != CELL_HONEST || (flight->sent && !flight->count), "an answer to no request");
			require(cell != CELL_HONEST || drives[i].memory[flight->status] != UINT8_MAX || !bytes, "an answer without a status");
			flight->sent = false;
		}
}

static void scribble(struct bytes *b)
{
	uint8_t where = take8(b), *base = where % 2 ? (uint8_t *)channel : drives[where / 2 % KEEL_DRIVES].memory;
	size_t bytes = where % 2 ? sizeof(*channel) : where / 8 % 4 ? vq_bytes(entries[where / 2 % KEEL_DRIVES]) : DRIVE_BYTES;
	size_t at = take32(b) % bytes, count = take8(b) % 16;

	for (size_t i = 0; cell != CELL_HONEST && i < count && at + i < bytes; i++)
		base[at + i] = base == (uint8_t *)channel || at + i < ARENA || at + i >= HEADERS ? take8(b) : GUEST_BYTE;
}

/* What an honest cell has put out, or was told, comes whole and in order. */
static void check_order(uint8_t byte, uint8_t *expected, const char *what)
{
	require(cell != CELL_HONEST || byte == *expected, what);
	(*expected)++;
}

static void print(struct bytes *b, bool debug)
{
	struct stream_out *stream = debug ? &debug_out : &output_out;
	uint8_t *next_byte = debug ? &debug_put : &output_put;

	for (unsigned int count = take32(b) % 5000; count && stream_put(stream, *next_byte); count--) {
		++*next_byte;
		/* As an answer does. */
		if (take8(b) % 2)
			stream_flush(stream);
	}
	stream_flush(stream);
}

static void read_input(struct bytes *b)
{
	uint8_t byte;

	for (unsigned int count = take8(b); count && stream_get(&input_in, &byte); count--)
		check_order(byte, &input_got, "input that was not typed");
}

static void take_characters(struct bytes *b, bool debug)
{
	size_t room = take32(b) % TAKEN_MOST, count;
	uint8_t *to = malloc(room ? room : 1);

	require(to != NULL, "no memory");
	count = debug ? board_take_debug(&board, to, room) : board_take_output(&board, to, room);
	require(count <= room && count <= STREAM_BYTES, "more characters than there is room for");
	for (size_t i = 0; i < count; i++)
		check_order(to[i], debug ? &debug_got : &output_got, "output that was not put");
	free(to);
	require(cell != CELL_HONEST || debug || !output_out.waits || !count || board_event_wanted(&board),
		"a cell that waits is not told");
}

static void type(struct bytes *b)
{
	size_t room = board_input_room(&board), count = take32(b) % TAKEN_MOST;
	uint8_t *from = malloc(count ? count : 1);

	require(from && room <= (size_t)STREAM_BUFFERS * STREAM_BYTES, "more room than was offered");
	require(cell != CELL_HONEST || room <= STREAM_BYTES, "more room than there is");
	count = count < room ? count : room;
	/* What a buffer has room for behind the last character is lost as room alone. */
	for (size_t i = 0; i < count; i++)
		from[i] = input_put++;
	board_put_input(&board, from, count);
	free(from);
}

/* Of messages the last one counts. */
static void exchange_messages(struct bytes *b)
{
	struct keel_message message = { .kind = KEEL_MESSAGE_TAKEN, .number = taken + 1 };
	bool sent = stream_send(&panel_out, &message);

	taken += sent;
	board_press(&board, take8(b) % 2 ? KEEL_MESSAGE_NMI : KEEL_MESSAGE_POWER_BUTTON);
	board_set_medium(&board, MEDIUM, disks[MEDIUM].bytes);
	board_press_eject(&board);
	board_door(&board, MEDIUM);
	board_serve(&board);
	require(cell != CELL_HONEST || board_buttons_taken(&board) == taken, "another message");
	for (unsigned int i = 0; i < KEEL_MESSAGE_ENTRIES && stream_receive(&panel_in, &message); i++)
		require(cell != CELL_HONEST || message.kind <= KEEL_MESSAGE_NMI, "a message that is not the panel's");
	for (unsigned int i = 0; i < KEEL_MESSAGE_ENTRIES && stream_receive(&medium_in, &message); i++)
		require(cell != CELL_HONEST || message.kind == KEEL_MESSAGE_EJECT_BUTTON ||
			(message.kind == KEEL_MESSAGE_MEDIUM && message.number == disks[MEDIUM].bytes / KEEL_SECTOR),
			"a message that is not the drive's");
}

static void wait_for_disks(void)
{
	struct pollfd ready = { .fd = loop.epoll, .events = POLLIN };

	while (engine.busy + media.busy > engine.held && poll(&ready, 1, 1000) > 0)
		loop_step(&loop, 0);
	require(engine.busy == engine.held && !media.busy, "a request that has no end");
}

/* As machine_media.c does it: what is under way ends with the former one, and what comes meanwhile finds none. */
static void change_medium(bool in)
{
	struct failure failure;

	disk_change(&disks[MEDIUM], -1, 0);
	take_requests();
	wait_for_disks();
	if (in)
		disk_change(&disks[MEDIUM], open(paths[MEDIUM], O_RDONLY | O_CLOEXEC), IMAGE_BYTES);
	require(disk_engine_restart(&media, disks, KEEL_DRIVES, &failure), "no other medium");
}

static void act_host(struct bytes *b)
{
	switch (take8(b) % 12) {
	case 10:
		change_medium(false);
		break;
	case 11:
		change_medium(true);
		break;
	case 0:
		disk_retry(&engine);
		break;
	case 1:
		disk_drain(&engine);
		disk_drain(&media);
		require(!engine.busy && !media.busy && !engine.held && !flying, "requests without an answer");
		break;
	case 2:
		start();
		break;
	case 3:
		wait_for_disks();
		cut_images(take8(b) % 2);
		break;
	case 4:
		holds = take8(b) % 2;
		break;
	case 5:
		type(b);
		break;
	case 6:
		take_characters(b, true);
		break;
	case 7:
		exchange_messages(b);
		break;
	case 8:
		if (board_sleep(&board, take8(b) % 2))
			board_awake(&board);
		break;
	default:
		take_characters(b, false);
		break;
	}
}

static void act(struct bytes *b)
{
	uint8_t what = take8(b) % 16;
	unsigned int out = 0;

	if (what < 6)
		send_request(b);
	else if (what == 6)
		look_at_answers();
	else if (what == 7)
		scribble(b);
	else if (what == 8)
		read_input(b);
	else if (what == 9)
		print(b, take8(b) % 2);
	else if (what == 10)
		memset(drives[take8(b) % KEEL_DRIVES].memory + ARENA, (int)GUEST_BYTE + take8(b) % 16, KEEL_BOUNCE_BYTES);
	else if (what < 14)
		take_requests();
	else if (what == 14)
		wait_for_disks();
	else
		act_host(b);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		out += drives[i].queue.vq.outstanding;
	require(out == flying && engine.held <= engine.busy && engine.busy + media.busy <= flying, "counts of requests disagree");
}

static void race_stream(uint32_t value)
{
	uint8_t *ring = channel->queue[value >> 5 & 7 ? value % STREAM_QUEUES : 0].ring;
	struct vq_desc *desc = &vq_descs(ring)[value >> 8 & (STREAM_ENTRIES - 1)];

	__atomic_store_n(&vq_avail_head(ring, STREAM_ENTRIES)->index, (uint16_t)value, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->address, value >> 14 & 1 ? value : queues[value % STREAM_QUEUES].arena, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->length, value >> 15 & 1 ? value : value & 31, __ATOMIC_RELAXED);
	__atomic_store_n(&desc->flags, value >> 16 & 3, __ATOMIC_RELAXED);
}

/* Writes what the cell may write while the other end is at it. */
static void *race(void *unused)
{
	uint64_t state = 0x123456789abcdefull;

	(void)unused;
	while (__atomic_load_n(&racing, __ATOMIC_RELAXED)) {
		uint32_t value = (uint32_t)next(&state);
		struct drive *drive = &drives[value % KEEL_DRIVES];
		struct vq_desc *desc = &vq_descs(drive->memory)[value >> 2 & (KEEL_BLOCK_ENTRIES - 1)];
		struct vq_head *avail = vq_avail_head(drive->memory, entries[value % KEEL_DRIVES]);
		uint32_t at = HEADERS + (value >> 6 & 3) * (uint32_t)sizeof(struct keel_block_header);
		struct keel_block_header *header = (struct keel_block_header *)(drive->memory + at);

		__atomic_store_n(&avail->index, (uint16_t)(drive->queue.vq.avail_index + value % 20), __ATOMIC_RELAXED);
		__atomic_store_n(&desc->address, value >> 8 & 1 ? ARENA : value >> 9 & 1 ? at : value, __ATOMIC_RELAXED);
		__atomic_store_n(&desc->length, value >> 13 & 1 ? SECTOR : value >> 9 & 1 ? 16 : value, __ATOMIC_RELAXED);
		__atomic_store_n(&desc->flags, value >> 10 & 3, __ATOMIC_RELAXED);
		__atomic_store_n(&desc->next, value >> 17 & 31, __ATOMIC_RELAXED);
		__atomic_store_n(&header->op, value >> 18 & 15, __ATOMIC_RELAXED);
		__atomic_store_n(&header->sector, value >> 14 & 1 ? 1 : (uint64_t)value << 20, __ATOMIC_RELAXED);
		race_stream(value);
	}
	return NULL;
}

static void run(struct bytes *b)
{
	pthread_t thread;

	racing = cell == CELL_RACING;
	require(!racing || !pthread_create(&thread, NULL, race, NULL), "no thread");
	while (b->left)
		act(b);
	if (!racing)
		return;
	__atomic_store_n(&racing, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/*
 * Whether a drive's bytes are its own: those of its image, the guest's, zeros and what answers leave. A hostile cell has its headers,
 * in which anything may be, written to its disk as well: of it only what is longer than all of them counts.
 */
static bool are_own(const uint8_t *bytes, size_t count, unsigned int drive, bool exact)
{
	size_t foreign = 0;

	for (size_t i = 0; i < count; i++) {
		bool own = bytes[i] == IMAGE_BYTE(drive) || (bytes[i] & 0xf0) == GUEST_BYTE || bytes[i] <= KEEL_BLOCK_UNSUPPORTED;

		foreign = own ? 0 : foreign + 1;
		if (foreign > (exact ? 0 : DRIVE_BYTES - HEADERS))
			return false;
	}
	return true;
}

/* A guest has what it wrote and what its image had, and nothing else; what it must not write is as it was. */
static void check_images(void)
{
	static uint8_t bytes[IMAGE_BYTES + REST + 1];

	for (unsigned int i = 0; i < IMAGES; i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		ssize_t n = pread(fd, bytes, sizeof(bytes), 0);

		close(fd);
		require(cut || n == (ssize_t)(IMAGE_BYTES + REST), "an image has another size");
		require(cut || bytes[IMAGE_BYTES] == SECRET, "a write behind the end of what the guest sees");
		if (modes[i] == MANIFEST_RW)
			require(are_own(bytes, n < (ssize_t)IMAGE_BYTES ? (size_t)n : IMAGE_BYTES, i, cell == CELL_HONEST),
				"an image has what does not belong there");
		else
			for (ssize_t j = 0; j < n && j < (ssize_t)IMAGE_BYTES; j++)
				require(bytes[j] == IMAGE_BYTE(i) || (cut && !bytes[j]), "an image was written that must not be");
	}
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		require(are_own(drives[i].memory + ARENA, KEEL_BOUNCE_BYTES, i, cell == CELL_HONEST),
			"a guest has read what is not its own");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	if (!paths[0][0])
		set_up();
	/* A piece of its own, at whose ends the sanitizer watches. */
	channel = malloc(sizeof(*channel));
	require(channel != NULL, "no memory");
	cell = take8(&b) % 16 ? take8(&b) % 2 : CELL_RACING;
	cut = holds = false;
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		memset(drives[i].memory + ARENA, GUEST_BYTE, KEEL_BOUNCE_BYTES);
	open_disks();
	start();
	run(&b);
	disk_drain(&engine);
	disk_drain(&media);
	require(!engine.busy && !media.busy && !engine.held && !engine.retried && !flying, "requests without an answer");
	check_images();
	disk_engine_close(&engine);
	disk_engine_close(&media);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		disk_close(&disks[i]);
	free(channel);
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { 500, INPUT_BYTES, make_input };
