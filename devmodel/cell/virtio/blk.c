// SPDX-License-Identifier: GPL-2.0
/*
 * Block device (VIRTIO 1.2, 5.2). A guest's request goes to the host in pieces of PIECE_PAGES at most, each a block
 * request of its own with memory of the queue's arena; several requests and pieces are under way at once and end in any
 * order. What finds no room waits, and new requests with it, in the guest's ring.
 */
#include "virtio/virtio.h"

#include "core/string.h"
#include "shared/virtio_blk.h"
#include "shared/virtio_id.h"
#include "shared/vq_driver.h"
#include "virtio/virtio_queue.h"

/* 5.2.3 */
#define F_SEG_MAX		(1ull << 2)
#define F_RO			(1ull << 5)
#define F_BLK_SIZE		(1ull << 6)
#define F_FLUSH			(1ull << 9)
#define F_TOPOLOGY		(1ull << 10)
#define F_DISCARD		(1ull << 13)
#define F_WRITE_ZEROES		(1ull << 14)

/* Types of requests that the channel has no operation for (5.2.6); those that it has are the same there. */
#define TYPE_GET_ID		8u

#define PIECE_DESCRIPTORS	3u		/* in the channel's queue: header, data, status */
#define PIECES			(KEEL_BLOCK_ENTRIES_MOST / PIECE_DESCRIPTORS)
#define REQUESTS		PIECES		/* each has a piece under way, or waits for one */
#define PIECE_PAGES		(KEEL_BOUNCE_BYTES / (uint32_t)KEEL_PAGE_SIZE)
#define WORD_PAGES		64u
#define PAGE_WORDS		4u
#define NO_REQUEST		UINT8_MAX

_Static_assert(PIECES <= 64, "a bit for each");
_Static_assert(WORD_PAGES % PIECE_PAGES == 0, "the pages of a piece are in one word");

/* On the first page of the arena, one for each piece; data is on the pages behind it. */
struct record {
	struct keel_block_header header;
	struct keel_block_range range;
	uint8_t status;
	uint8_t reserved[7];
};

_Static_assert(PIECES * sizeof(struct record) <= KEEL_PAGE_SIZE, "records have a page");

struct piece {
	uint32_t at, bytes;	/* of the request's data */
	uint16_t page;		/* the first of its data */
	uint8_t pages;		/* a power of two; 0: it has no data of the guest's */
	uint8_t request;	/* NO_REQUEST: the guest has reset the device since */
};

/* A guest's request that was taken and not given back. */
struct request {
	uint64_t sector;
	uint32_t bytes;		/* of data, which is moved in pieces; 0: it is one piece without */
	uint32_t asked;		/* of these, so far */
	uint32_t in;		/* bytes of the chain that the device may write, the status among them */
	uint16_t head;
	uint8_t op;		/* enum keel_block_op */
	uint8_t status;		/* the first error */
	uint8_t pieces;		/* under way */
	bool taken;
	bool waits;		/* a piece of it is still to be asked for */
	bool flushes;		/* what was written is to be flushed before it ends */
	struct keel_block_range range;
};

struct blk {
	struct virtio_device virtio;
	struct virtio_blk_config config;
	uint32_t arena;			/* in the channel */
	uint32_t piece_pages;		/* that a piece may have */
	uint64_t pages[PAGE_WORDS];	/* bit set: it is in use, or not there */
	uint64_t pieces;		/* the same */
	unsigned int waiting;		/* requests that wait for room */
	unsigned int forgotten;		/* pieces under way of requests from before a reset */
	struct vq_driver host;
	struct vq_shadow shadow[KEEL_BLOCK_ENTRIES_MOST];
	uint8_t piece_of[KEEL_BLOCK_ENTRIES_MOST];	/* by the head in the channel's queue */
	struct piece piece[PIECES];
	struct request request[REQUESTS];
};

static struct virtio_blk_config config_of(const struct keel_device *row)
{
	struct virtio_blk_config config;

	memcpy(&config, row->config, sizeof(config));
	return config;
}

/* A range can be no longer than the channel's, and there is one in a request. */
static bool ranges_are_good(uint32_t sectors, uint32_t segments)
{
	return sectors <= KEEL_BLOCK_RANGE_MOST && segments == (sectors ? 1 : 0);
}

static bool accepts(const struct keel_device *row, const struct keel_queue *queues)
{
	struct virtio_blk_config config = config_of(row);

	return row->queues == 1 && row->config_bytes == sizeof(config) && !row->features &&
	       queues[0].entries <= KEEL_BLOCK_ENTRIES_MOST && queues[0].arena_bytes >= 2 * KEEL_PAGE_SIZE &&
	       config.capacity <= INT64_MAX / KEEL_SECTOR &&
	       config.blk_size == KEEL_SECTOR && config.seg_max && config.seg_max <= VIRTIO_BLK_SEGMENTS &&
	       ranges_are_good(config.max_discard_sectors, config.max_discard_seg) &&
	       ranges_are_good(config.max_write_zeroes_sectors, config.max_write_zeroes_seg);
}

static void start(struct virtio_device *device, const struct keel_queue *queues)
{
	struct blk *blk = (struct blk *)device;
	uint32_t pages = queues[0].arena_bytes / (uint32_t)KEEL_PAGE_SIZE - 1;

	blk->config = config_of(device->row);
	device->features |= device->row->flags & KEEL_DEVICE_READONLY ? F_RO : 0;
	device->features |= blk->config.max_discard_sectors ? F_DISCARD : 0;
	device->features |= blk->config.max_write_zeroes_sectors ? F_WRITE_ZEROES : 0;
	blk->arena = queues[0].arena;
	for (blk->piece_pages = 1; blk->piece_pages < PIECE_PAGES && 2 * blk->piece_pages <= pages; )
		blk->piece_pages *= 2;
	for (uint32_t i = pages; i < PAGE_WORDS * WORD_PAGES; i++)
		blk->pages[i / WORD_PAGES] |= 1ull << i % WORD_PAGES;
	blk->pieces = ~((1ull << queues[0].entries / PIECE_DESCRIPTORS) - 1);
	vq_driver_init(&blk->host, device->channel + queues[0].ring, queues[0].entries, blk->shadow);
}

static void reset(struct virtio_device *device)
{
	struct blk *blk = (struct blk *)device;

	for (unsigned int i = 0; i < blk->host.entries; i++) {
		struct piece *piece = &blk->piece[blk->piece_of[i]];

		if (!blk->shadow[i].count || piece->request == NO_REQUEST)
			continue;
		piece->request = NO_REQUEST;
		blk->forgotten++;
	}
	memset(blk->request, 0, sizeof(blk->request));
	blk->waiting = 0;
}

/* The arena */

/* Pages in the order of a buddy system: a power of two of them, at a multiple of it. */
static bool take_pages(struct blk *blk, unsigned int count, uint16_t *first)
{
	uint64_t places = UINT64_MAX / ((1ull << count) - 1);

	for (unsigned int i = 0; i < PAGE_WORDS; i++) {
		uint64_t free = ~blk->pages[i];

		for (unsigned int n = 1; n < count; n *= 2)
			free &= free >> n;
		free &= places;
		if (!free)
			continue;
		*first = (uint16_t)(i * WORD_PAGES + (unsigned int)__builtin_ctzll(free));
		blk->pages[i] |= ((1ull << count) - 1) << *first % WORD_PAGES;
		return true;
	}
	return false;
}

static void free_pages(struct blk *blk, const struct piece *piece)
{
	if (piece->pages)
		blk->pages[piece->page / WORD_PAGES] &= ~(((1ull << piece->pages) - 1) << piece->page % WORD_PAGES);
}

static unsigned int pages_for(const struct blk *blk, uint32_t bytes)
{
	unsigned int pages = 1;

	while (pages < blk->piece_pages && pages * KEEL_PAGE_SIZE < bytes)
		pages *= 2;
	return pages;
}

static uint32_t record_offset(const struct blk *blk, unsigned int number)
{
	return blk->arena + number * (uint32_t)sizeof(struct record);
}

static struct record *record_of(const struct blk *blk, unsigned int number)
{
	return (struct record *)(void *)(blk->virtio.channel + record_offset(blk, number));
}

static uint32_t data_offset(const struct blk *blk, const struct piece *piece)
{
	return blk->arena + (piece->page + 1u) * (uint32_t)KEEL_PAGE_SIZE;
}

static uint8_t *data_of(const struct blk *blk, const struct piece *piece)
{
	return blk->virtio.channel + data_offset(blk, piece);
}

/* To the host */

static bool is_range(unsigned int op)
{
	return op == KEEL_BLOCK_DISCARD || op == KEEL_BLOCK_WRITE_ZEROES;
}

static void send(struct blk *blk, unsigned int number, const struct request *request)
{
	const struct piece *piece = &blk->piece[number];
	uint32_t record = record_offset(blk, number);
	struct vq_piece pieces[PIECE_DESCRIPTORS] = {
		{ record + (uint32_t)offsetof(struct record, header), sizeof(struct keel_block_header) },
	};
	unsigned int used = 1, out = 1;
	uint16_t head;

	*record_of(blk, number) = (struct record){
		.header = { .op = request->op, .sector = request->sector + piece->at / KEEL_SECTOR },
		.range = request->range, .status = KEEL_BLOCK_FAILED,
	};
	if (piece->pages)
		pieces[used++] = (struct vq_piece){ data_offset(blk, piece), piece->bytes };
	else if (is_range(request->op))
		pieces[used++] = (struct vq_piece){ record + (uint32_t)offsetof(struct record, range), sizeof(request->range) };
	if (request->op != KEEL_BLOCK_READ)
		out = used;
	pieces[used++] = (struct vq_piece){ record + (uint32_t)offsetof(struct record, status), 1 };
	/* There are descriptors for as many as there are pieces. */
	vq_driver_send(&blk->host, pieces, out, used - out, &head);
	blk->piece_of[head] = (uint8_t)number;
	*blk->virtio.asked = true;
}

/* The next piece of a request, if there is room. False: there is none, or the guest's data is not where it was. */
static bool ask(struct blk *blk, struct request *request)
{
	uint32_t bytes = request->bytes - request->asked, pages = bytes ? pages_for(blk, bytes) : 0;
	struct piece piece = { .at = request->asked, .pages = (uint8_t)pages, .request = (uint8_t)(request - blk->request) };
	unsigned int number;

	if (blk->pieces == UINT64_MAX || (pages && !take_pages(blk, pages, &piece.page)))
		return false;
	number = (unsigned int)__builtin_ctzll(~blk->pieces);
	piece.bytes = bytes < pages * KEEL_PAGE_SIZE ? bytes : (uint32_t)(pages * KEEL_PAGE_SIZE);
	if (request->op == KEEL_BLOCK_WRITE &&
	    !virtio_queue_read_at(&blk->virtio, 0, request->head, sizeof(struct keel_block_header) + piece.at,
				  data_of(blk, &piece), piece.bytes)) {
		free_pages(blk, &piece);
		return false;
	}
	blk->pieces |= 1ull << number;
	blk->piece[number] = piece;
	request->pieces++;
	request->asked += piece.bytes;
	send(blk, number, request);
	return true;
}

static void set_waits(struct blk *blk, struct request *request, bool waits)
{
	blk->waiting += waits;
	blk->waiting -= request->waits;
	request->waits = waits;
}

/* Asks for as much of a request as there is room for. After an error for nothing more. */
static void push(struct blk *blk, struct request *request)
{
	bool more = !request->status;

	while (more && (request->asked < request->bytes || !request->pieces) && ask(blk, request))
		more = request->asked < request->bytes;
	set_waits(blk, request, more);
}

/* To the guest */

/* Written from the start of what the device may write on: data, and if nothing is between, the status behind it. */
static void give(struct blk *blk, uint16_t head, uint32_t in, uint32_t data, uint8_t status)
{
	if (!virtio_queue_write_at(&blk->virtio, 0, head, in - 1, &status, sizeof(status)))
		return;
	virtio_queue_give(&blk->virtio, 0, head, data + 1 == in ? in : data);
}

static void finish(struct blk *blk, struct request *request)
{
	uint32_t data = request->op == KEEL_BLOCK_READ && request->status == KEEL_BLOCK_OK ? request->bytes : 0;

	request->taken = false;
	give(blk, request->head, request->in, data, request->status);
}

/*
 * What is under way for it has ended. A driver that cannot flush takes what is written for what stays (5.2.6.2).
 */
static void settle(struct blk *blk, struct request *request)
{
	if (request->flushes && !request->status) {
		request->op = KEEL_BLOCK_FLUSH;
		request->bytes = request->asked = 0;
		request->flushes = false;
		push(blk, request);
		return;
	}
	finish(blk, request);
}

static uint8_t status_of(const struct blk *blk, unsigned int number)
{
	uint8_t status = VQ_LOAD(record_of(blk, number)->status);

	return status > KEEL_BLOCK_UNSUPPORTED ? KEEL_BLOCK_FAILED : status;
}

static void answer(struct blk *blk, uint16_t head)
{
	unsigned int number = blk->piece_of[head];
	struct piece piece = blk->piece[number];
	struct request *request = &blk->request[piece.request % REQUESTS];
	uint8_t status = status_of(blk, number);

	free_pages(blk, &piece);
	blk->pieces &= ~(1ull << number);
	if (piece.request == NO_REQUEST) {
		blk->forgotten--;
		return;
	}
	if (status && !request->status)
		request->status = status;
	if (!status && request->op == KEEL_BLOCK_READ &&
	    !virtio_queue_write_at(&blk->virtio, 0, request->head, piece.at, data_of(blk, &piece), piece.bytes))
		return;
	request->pieces--;
	if (request->status)
		set_waits(blk, request, false);
	if (!request->pieces && !request->waits)
		settle(blk, request);
}

/* From the guest */

static bool is_in_disk(const struct blk *blk, uint64_t sector, uint64_t sectors)
{
	return sectors && sector <= blk->config.capacity && sectors <= blk->config.capacity - sector;
}

static enum keel_block_status begin_transfer(const struct blk *blk, struct request *request, uint32_t bytes)
{
	request->bytes = bytes;
	if (bytes % KEEL_SECTOR || !is_in_disk(blk, request->sector, bytes / KEEL_SECTOR))
		return KEEL_BLOCK_FAILED;
	return KEEL_BLOCK_OK;
}

/* 5.2.6.2: bits that nobody knows are refused, and so is one that means nothing to a discard. */
static enum keel_block_status begin_range(struct blk *blk, struct request *request, uint32_t bytes)
{
	bool discard = request->op == KEEL_BLOCK_DISCARD;
	struct keel_block_range *range = &request->range;

	if (!virtio_has(&blk->virtio, discard ? F_DISCARD : F_WRITE_ZEROES))
		return KEEL_BLOCK_UNSUPPORTED;
	if (bytes != sizeof(*range) ||
	    !virtio_queue_read_at(&blk->virtio, 0, request->head, sizeof(struct keel_block_header), range, sizeof(*range)))
		return KEEL_BLOCK_FAILED;
	if (range->flags & ~(discard ? 0 : KEEL_BLOCK_UNMAP))
		return KEEL_BLOCK_UNSUPPORTED;
	if (range->sectors > (discard ? blk->config.max_discard_sectors : blk->config.max_write_zeroes_sectors) ||
	    !is_in_disk(blk, range->sector, range->sectors))
		return KEEL_BLOCK_FAILED;
	return KEEL_BLOCK_OK;
}

static enum keel_block_status begin(struct blk *blk, struct request *request, uint32_t type, const struct virtio_chain *chain)
{
	uint32_t out = chain->out - (uint32_t)sizeof(struct keel_block_header);

	request->op = (uint8_t)type;
	request->flushes = !virtio_has(&blk->virtio, F_FLUSH) && type != KEEL_BLOCK_READ && type != KEEL_BLOCK_FLUSH;
	switch (type) {
	case KEEL_BLOCK_READ:
		return begin_transfer(blk, request, chain->in - 1);
	case KEEL_BLOCK_WRITE:
		return blk->virtio.features & F_RO ? KEEL_BLOCK_FAILED : begin_transfer(blk, request, out);
	case KEEL_BLOCK_FLUSH:
		return KEEL_BLOCK_OK;
	case KEEL_BLOCK_DISCARD:
	case KEEL_BLOCK_WRITE_ZEROES:
		return begin_range(blk, request, out);
	}
	return KEEL_BLOCK_UNSUPPORTED;
}

/* 20 bytes, or as many as there is room for. */
static void give_id(struct blk *blk, const struct virtio_chain *chain)
{
	const struct keel_device *row = blk->virtio.row;
	uint32_t bytes = chain->in - 1 < sizeof(row->id) ? chain->in - 1 : (uint32_t)sizeof(row->id);

	if (virtio_queue_write_at(&blk->virtio, 0, chain->head, 0, row->id, bytes))
		give(blk, chain->head, chain->in, bytes, KEEL_BLOCK_OK);
}

/* One that has no header, or no place for its status, cannot even be refused. */
static void take(struct blk *blk, struct request *request, const struct virtio_chain *chain)
{
	struct keel_block_header header;
	enum keel_block_status status;

	virtio_queue_take(&blk->virtio, 0);
	if (chain->out < sizeof(header) || !chain->in) {
		virtio_break(&blk->virtio);
		return;
	}
	if (!virtio_queue_read_at(&blk->virtio, 0, chain->head, 0, &header, sizeof(header)))
		return;
	if (header.op == TYPE_GET_ID) {
		give_id(blk, chain);
		return;
	}
	*request = (struct request){ .sector = header.sector, .in = chain->in, .head = chain->head };
	status = begin(blk, request, header.op, chain);
	if (status) {
		give(blk, chain->head, chain->in, 0, (uint8_t)status);
		return;
	}
	request->taken = true;
	push(blk, request);
}

static struct request *free_request(struct blk *blk)
{
	for (unsigned int i = 0; i < REQUESTS; i++)
		if (!blk->request[i].taken)
			return &blk->request[i];
	return NULL;
}

static void push_waiting(struct blk *blk)
{
	for (unsigned int i = 0; i < REQUESTS && blk->waiting; i++)
		if (blk->request[i].waits)
			push(blk, &blk->request[i]);
}

/*
 * Writes from before a reset may still reach the disk: nothing new is asked for until they have. As many requests as a
 * queue has: a guest that adds to it all the time cannot keep this from ending.
 */
static void take_all(struct blk *blk)
{
	struct virtio_chain chain;
	struct request *request;

	for (unsigned int i = 0; i < VIRTIO_BLK_ENTRIES && !blk->forgotten && !blk->waiting; i++) {
		request = free_request(blk);
		if (!request || !virtio_queue_peek(&blk->virtio, 0, &chain))
			return;
		take(blk, request, &chain);
	}
}

static void work(struct virtio_device *device)
{
	struct blk *blk = (struct blk *)device;
	uint32_t bytes;
	uint16_t head;

	for (unsigned int i = 0; i < PIECES && virtio_runs(device) && vq_driver_receive(&blk->host, &head, &bytes); i++)
		answer(blk, head);
	push_waiting(blk);
	take_all(blk);
	virtio_queue_tell(device, 0);
}

/* Requests go by what the host has said last; a machine that was loaded shows its guest what it was when it was saved. */
static void event(struct virtio_device *device)
{
	const struct blk *blk = (const struct blk *)device;

	virtio_configure(device, 0, &blk->config, sizeof(blk->config));
}

/* A capacity that has changed (5.2.4). Requests that were taken before may be behind the end then, which the host finds. */
static void take_message(struct virtio_device *device, const struct keel_message *message)
{
	if (message->kind != KEEL_MESSAGE_CAPACITY || message->number > INT64_MAX / KEEL_SECTOR)
		return;
	((struct blk *)device)->config.capacity = message->number;
	event(device);
}

/* A disk that has grown meanwhile is one that grows as soon as its machine goes on. */
static bool takes_config(const struct virtio_device *device, const uint8_t *config)
{
	struct virtio_blk_config saved;
	uint8_t rest[KEEL_DEVICE_CONFIG];

	memcpy(&saved, config, sizeof(saved));
	memcpy(rest, config, sizeof(rest));
	memcpy(rest, device->config, sizeof(saved.capacity));
	return saved.capacity <= ((const struct blk *)device)->config.capacity && !memcmp(rest, device->config, sizeof(rest));
}

static bool awaited(const struct virtio_device *device)
{
	const struct blk *blk = (const struct blk *)device;

	for (unsigned int i = 0; i < REQUESTS; i++)
		if (blk->request[i].taken)
			return true;
	return false;
}

/* A write that nobody waits for must not come to the disk behind those of the machine that is loaded. */
static bool quiet(const struct virtio_device *device)
{
	const struct blk *blk = (const struct blk *)device;

	return vq_driver_is_done(&blk->host) && (!virtio_runs(device) || !awaited(device));
}

const struct virtio_ops virtio_blk = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK, .pci_device = 0x1001, .class = 0x01, .queues = 1, .entries = VIRTIO_BLK_ENTRIES,
	.features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY, .bytes = sizeof(struct blk),
	.accepts = accepts, .start = start, .reset = reset, .work = work, .message = take_message, .event = event,
	.takes_config = takes_config, .quiet = quiet, .awaited = awaited,
};
