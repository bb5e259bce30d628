// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the resource half's end of the channel: a cell that keeps to the rules of the rings, one that writes anything
 * anywhere, and one that does so meanwhile, over images of all modes. Skipped where there is no io_uring.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "host/backend/disk.h"
#include "host/rings.h"

#define SECTOR			512u
#define SECTORS			301u	/* more than a bounce buffer has, and not whole blocks of the overlay */
#define IMAGE_BYTES		((size_t)SECTORS * SECTOR)
#define REST			100u	/* bytes behind the last whole sector, which no guest sees */
#define IMAGES			3u	/* the last drive has a medium now and then */
#define MEDIUM			IMAGES
#define SECRET			0xee	/* the rest's */
#define IMAGE_BYTE(drive)	(0x10u + (drive))
#define GUEST_BYTE		0x20u	/* to 0x2f */
#define REQUESTS_MOST		64u	/* taken in a row; a cell that is at it meanwhile has always more */
#define INPUT_BYTES		1500u
#define TAKEN_MOST		(2 * KEEL_RING_BYTES)

enum cell { CELL_HONEST, CELL_HOSTILE, CELL_RACING, CELLS };

struct flight {
	bool used;
	uint32_t tag;
	bool good;		/* the request is one that must not fail; */
	bool sure;		/* else it must; false: either */
};

static const enum manifest_mode modes[IMAGES] = { MANIFEST_RW, MANIFEST_RO, MANIFEST_SNAPSHOT };

static char paths[IMAGES + 1][64];
static struct disk disks[KEEL_DRIVES];
static uint8_t *bounce[KEEL_DRIVES];	/* with pages around that are not there, for the kernel too */
static struct loop loop;
static struct disk_engine engine, media;
static struct rings rings;
static struct keel_channel *channel;
static enum cell cell;
static struct flight flights[KEEL_RING_REQUESTS];
static struct keel_completion answers[KEEL_RING_REQUESTS];	/* that an honest cell has not looked at */
static unsigned int answered, flying;
static uint32_t cell_tail;		/* of completions, the honest cell's own */
static bool cut, holds;
static bool racing;

static struct flight *find_flight(uint32_t tag)
{
	for (unsigned int i = 0; i < KEEL_RING_REQUESTS; i++)
		if (flights[i].used && flights[i].tag == tag)
			return &flights[i];
	return NULL;
}

static void done(void *owner, uint32_t tag, int status)
{
	struct flight *flight = find_flight(tag);

	(void)owner;
	require(flight != NULL, "an answer to no request");
	require(status <= 0 && status != -EFAULT && status != -EBUSY, "a status that cannot be");
	if (flight->sure)
		require(flight->good == !status, status ? "a good request failed" : "a bad request succeeded");
	flight->used = false;
	flying--;
	if (cell == CELL_HONEST) {
		require(answered < KEEL_RING_REQUESTS, "more answers than the ring holds");
		answers[answered++] = (struct keel_completion){ tag, status };
	}
	rings_complete(&rings, tag, status);
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

/* The rules of keel/channel.h, once more. */
static bool is_good(const struct keel_request *r)
{
	if (r->drive > MEDIUM || (r->drive == MEDIUM && disks[MEDIUM].fd < 0))
		return false;
	if (r->op == KEEL_REQ_FLUSH)
		return true;
	if ((r->op != KEEL_REQ_READ && r->op != KEEL_REQ_WRITE) || (r->op == KEEL_REQ_WRITE && is_readonly(r->drive)))
		return false;
	return r->count && r->count <= KEEL_BOUNCE_BYTES && r->count % SECTOR == 0 && r->offset % SECTOR == 0 &&
	       r->offset < IMAGE_BYTES && IMAGE_BYTES - r->offset >= r->count;
}

/* Of requests with the same tag nobody can tell which has been answered. */
static void note_flight(const struct keel_request *request)
{
	bool sure = !cut || !is_good(request);
	struct flight *flight = flights;

	for (unsigned int i = 0; i < KEEL_RING_REQUESTS; i++)
		if (flights[i].used && flights[i].tag == request->tag)
			flights[i].sure = sure = false;
	while (flight->used)
		require(++flight < flights + KEEL_RING_REQUESTS, "more requests than the ring holds");
	*flight = (struct flight){ true, request->tag, is_good(request), sure };
	flying++;
}

/* As machine.c does, but for a while only. */
static void take_requests(void)
{
	struct keel_request request;

	for (unsigned int i = 0; i < REQUESTS_MOST && rings_next_request(&rings, &request); i++) {
		note_flight(&request);
		if (request.drive < KEEL_DRIVES)
			disk_submit(request.drive == MEDIUM ? &media : &engine, &disks[request.drive], bounce[request.drive], &request);
		else
			done(NULL, request.tag, -ENODEV);
	}
}

static void make_bounce(unsigned int drive)
{
	uint8_t *map = mmap(NULL, KEEL_BOUNCE_BYTES + 2 * KEEL_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	bounce[drive] = map + KEEL_PAGE_SIZE;
	require(map != MAP_FAILED && !mprotect(bounce[drive], KEEL_BOUNCE_BYTES, PROT_READ | PROT_WRITE), "no memory");
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
		make_bounce(i);
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

/* A machine that starts: nothing is under way, and the channel is new. */
static void start(void)
{
	disk_drain(&engine);
	disk_drain(&media);
	require(!engine.busy && !media.busy && !flying, "requests without an answer");
	memset(channel, 0, sizeof(*channel));
	rings_init(&rings, channel);
	answered = 0;
	cell_tail = 0;
}

static void cut_images(bool short_now)
{
	for (unsigned int i = 0; i < KEEL_RING_REQUESTS; i++)
		flights[i].sure &= !flights[i].good;
	for (unsigned int i = 0; i < IMAGES; i++)
		if (short_now)
			require(!truncate(paths[i], (off_t)IMAGE_BYTES / 3), "an image cannot be cut");
		else
			fill_image(i);
	cut = short_now;
}

/* Within the image mostly; else over its end, larger than a bounce buffer, off by some bytes, or anywhere. */
static void place_request(struct keel_request *r, uint8_t odd, struct bytes *b)
{
	r->offset = (uint64_t)(take32(b) % (SECTORS + 8)) * SECTOR;
	r->count = take8(b) % 24 * SECTOR;
	switch (odd / 2 % 16) {
	case 0:
		r->offset = take32(b) | (uint64_t)take32(b) << 32;
		break;
	case 1:
		r->count = take32(b);
		break;
	case 2:
		r->offset += take8(b);
		break;
	case 3:
		r->count += take8(b);
		break;
	case 4:
		r->offset = take8(b) % 4 * SECTOR;
		r->count = KEEL_BOUNCE_BYTES + take8(b) % 4 * SECTOR - SECTOR;
		break;
	case 5:
		r->offset = -(uint64_t)(take8(b) * SECTOR);
		break;
	default:
		break;
	}
}

static void ring_request(struct bytes *b)
{
	struct keel_request *r = &channel->request[channel->request_head % KEEL_RING_REQUESTS];
	uint8_t kind = take8(b), odd = take8(b);

	/* The honest cell has no more under way than there are places. */
	if (cell == CELL_HONEST && channel->request_head - cell_tail >= KEEL_RING_REQUESTS)
		return;
	r->op = kind % 8 < 3 ? KEEL_REQ_READ : kind % 8 < 6 ? KEEL_REQ_WRITE : kind % 8 == 6 ? KEEL_REQ_FLUSH : take32(b);
	r->drive = kind / 8 % 8 < 7 ? kind / 8 % 4 : take32(b);
	place_request(r, odd, b);
	r->tag = odd & 1 ? odd : channel->request_head;
	__atomic_store_n(&channel->request_head, channel->request_head + 1, __ATOMIC_RELEASE);
}

/* The honest cell finds the answers that were given, in their order. */
static void look_at_answers(void)
{
	if (cell != CELL_HONEST) {
		channel->completion_tail = channel->completion_head;
		return;
	}
	require(channel->completion_head - cell_tail == answered, "answers are missing, or too many");
	for (unsigned int i = 0; i < answered; i++, cell_tail++)
		require(!memcmp(&channel->completion[cell_tail % KEEL_RING_REQUESTS], &answers[i], sizeof(answers[i])),
			"another answer");
	answered = 0;
	channel->completion_tail = cell_tail;
}

static void scribble(struct bytes *b)
{
	uint8_t *at = (uint8_t *)channel + take32(b) % (take8(b) % 4 ? offsetof(struct keel_channel, output) : sizeof(*channel));
	size_t room = (size_t)((uint8_t *)(channel + 1) - at), count = take8(b) % 16;

	for (size_t i = 0; cell != CELL_HONEST && i < count && i < room; i++)
		at[i] = take8(b);
}

static void move_index(struct bytes *b)
{
	uint32_t *const indices[] = {
		&channel->request_head, &channel->completion_tail, &channel->output_head, &channel->input_tail,
		&channel->debug_head,
		/* The other end's, which it must not read back. */
		&channel->request_tail, &channel->completion_head, &channel->output_tail, &channel->input_head,
		&channel->debug_tail,
	};
	uint8_t which = take8(b);
	uint32_t value = take32(b);

	if (cell != CELL_HONEST)
		*indices[which % 10] = which & 0x80 ? value : *indices[which % 10] + value % 40;
}

static void print(struct bytes *b, bool debug)
{
	uint32_t *head = debug ? &channel->debug_head : &channel->output_head;
	uint32_t tail = debug ? rings.debug_tail : rings.output_tail, count = take32(b) % 5000;
	uint8_t *ring = debug ? channel->debug : channel->output;

	for (; count && *head - tail < KEEL_RING_BYTES; count--)
		ring[(*head)++ % KEEL_RING_BYTES] = (uint8_t)count;
}

static void take_characters(struct bytes *b, bool debug)
{
	size_t room = take32(b) % TAKEN_MOST, count;
	uint8_t *to = malloc(room ? room : 1);
	bool was_full = false;

	require(to != NULL, "no memory");
	count = debug ? rings_take_debug(&rings, to, room) : rings_take_output(&rings, to, room, &was_full);
	require(count <= room && count <= KEEL_RING_BYTES, "more characters than there is room for");
	free(to);
}

static void type(struct bytes *b)
{
	size_t room = rings_input_room(&rings), count = take32(b) % TAKEN_MOST;
	uint8_t *from = calloc(1, count ? count : 1);

	require(from && room <= KEEL_RING_BYTES, "more room than the ring has");
	rings_put_input(&rings, from, count < room ? count : room);
	free(from);
	if (take8(b) % 2)
		channel->input_tail = rings.input_head;
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
		rings_command(&rings, KEEL_COMMAND_NMI);
		rings_buttons_taken(&rings);
		rings_door(&rings, MEDIUM);
		rings_set_medium(&rings, MEDIUM, disks[MEDIUM].bytes);
		break;
	case 8:
		if (rings_sleep(&rings, take8(b) % 2))
			rings_awake(&rings);
		break;
	default:
		take_characters(b, false);
		break;
	}
}

static void act(struct bytes *b)
{
	uint8_t what = take8(b) % 16;

	if (what < 6)
		ring_request(b);
	else if (what == 6)
		look_at_answers();
	else if (what == 7)
		scribble(b);
	else if (what == 8)
		move_index(b);
	else if (what == 9)
		print(b, take8(b) % 2);
	else if (what == 10)
		memset(bounce[take8(b) % KEEL_DRIVES], (int)GUEST_BYTE + take8(b) % 16, KEEL_BOUNCE_BYTES);
	else if (what < 14)
		take_requests();
	else if (what == 14)
		wait_for_disks();
	else
		act_host(b);
	require(rings.outstanding == flying && flying <= KEEL_RING_REQUESTS && engine.held <= engine.busy &&
		engine.busy + media.busy <= flying, "counts of requests disagree");
}

/* Writes what the cell may write while the other end is at it. */
static void *race(void *unused)
{
	uint64_t state = 0x123456789abcdefull;

	(void)unused;
	while (__atomic_load_n(&racing, __ATOMIC_RELAXED)) {
		uint32_t value = (uint32_t)next(&state);
		struct keel_request *r = &channel->request[value % KEEL_RING_REQUESTS];

		__atomic_store_n(&channel->request_head, channel->request_tail + value % 20, __ATOMIC_RELAXED);
		__atomic_store_n(&r->op, value >> 8 & 3, __ATOMIC_RELAXED);
		__atomic_store_n(&r->drive, value >> 10 & 7, __ATOMIC_RELAXED);
		__atomic_store_n(&r->count, value >> 13 & 1 ? SECTOR : value, __ATOMIC_RELAXED);
		__atomic_store_n(&r->offset, value >> 14 & 1 ? SECTOR : (uint64_t)value << 20, __ATOMIC_RELAXED);
		__atomic_store_n(&channel->completion_tail, channel->completion_head - value % 20, __ATOMIC_RELAXED);
		__atomic_store_n(&channel->output_head, value >> 15 & 1 ? value : channel->output_tail + 100, __ATOMIC_RELAXED);
		__atomic_store_n(&channel->debug_head, value, __ATOMIC_RELAXED);
		__atomic_store_n(&channel->input_tail, value, __ATOMIC_RELAXED);
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
		for (ssize_t j = 0; j < n && j < (ssize_t)IMAGE_BYTES; j++)
			require(bytes[j] == IMAGE_BYTE(i) || (modes[i] == MANIFEST_RW && (bytes[j] & 0xf0) == GUEST_BYTE) ||
				!bytes[j], "an image has what does not belong there");
	}
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		for (unsigned int j = 0; j < KEEL_BOUNCE_BYTES; j++)
			require(bounce[i][j] == IMAGE_BYTE(i) || (bounce[i][j] & 0xf0) == GUEST_BYTE || !bounce[i][j],
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
		memset(bounce[i], GUEST_BYTE, KEEL_BOUNCE_BYTES);
	open_disks();
	start();
	run(&b);
	disk_drain(&engine);
	disk_drain(&media);
	require(!engine.busy && !media.busy && !engine.held && !engine.retried && !flying && !rings.outstanding, "requests without an answer");
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
