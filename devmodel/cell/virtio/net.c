// SPDX-License-Identifier: GPL-2.0
/*
 * Network device (VIRTIO 1.2, 5.1): frames are copied between the guest's buffers and the channel's, with their headers.
 * Checksums and segments are computed by the guest or behind the host's end, never here.
 *
 * A frame of the guest's is taken when the channel has room for it, and its buffer is free as soon as it is copied; until
 * then it waits in the guest's ring. A frame for a guest without buffers stays in the channel, whose buffers run out then, so
 * that the host reads no more. What a guest has not agreed to, and what makes no sense, is dropped.
 */
#include "virtio/virtio.h"

#include "core/string.h"
#include "shared/net.h"
#include "shared/virtio_id.h"
#include "shared/vq_driver.h"
#include "virtio/virtio_queue.h"

#define GUEST_ENTRIES		256u
#define CONTROL_ENTRIES		16u	/* of the channel's */
#define CHAINS_MOST		64u	/* of the guest's for one frame */
#define TRANSMIT_ALIGN		64u
#define MAC_BYTES		6u
#define LEGACY_HEADER_BYTES	10u	/* without the last field (5.1.6.1) */
#define ROW_FEATURES		(NET_OFFLOADS | NET_GUEST_OFFLOADS | NET_F_MTU | NET_F_MAC | NET_F_MRG_RXBUF | NET_F_STATUS | \
				 NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_GUEST_ANNOUNCE)

/* Where commands for the host are in the arena, each with its answer behind it. */
enum { AT_OFFLOADS = 0, AT_LINK = 64 };

/* A buffer that has come back from the host. */
struct received {
	uint16_t buffer;
	uint16_t bytes;
};

struct receiver {
	struct vq_driver host;
	struct vq_shadow shadow[NET_ENTRIES];
	uint32_t arena;
	uint16_t buffer[NET_ENTRIES];		/* that a head of the queue stands for */
	struct received got[NET_ENTRIES];	/* a ring of them, in their order */
	uint16_t first, count;
	uint16_t posted;			/* that the host has */
	bool started;				/* the guest's driver has been running since it was reset */
};

/* A frame that the host has. */
struct sent {
	uint32_t start;				/* offset in the arena */
	bool done;				/* it is back; those before it are not */
};

/* The arena is a ring of frames, given out in order and free again in the same order. */
struct transmitter {
	struct vq_driver host;
	struct vq_shadow shadow[NET_ENTRIES];
	uint32_t arena, arena_bytes;
	uint32_t next;				/* offset in the arena */
	struct sent sent[NET_ENTRIES];		/* a ring of them, in their order */
	uint16_t number[NET_ENTRIES];		/* of the frame that a head of the queue stands for */
	uint16_t first, count;
};

struct net {
	struct virtio_device virtio;
	struct receiver rx;
	struct transmitter tx;
	struct vq_driver control;
	struct vq_shadow control_shadow[CONTROL_ENTRIES];
	uint32_t control_arena;
	uint64_t told;				/* NET_GUEST_OFFLOADS, as the host knows them */
	bool telling;
	bool up;				/* the link, by the host's word; */
	bool watching;				/* the host tells of a change by the chain with this head */
	uint16_t watch;
	bool announce;				/* the guest is to make itself known where it is now, once the link is up */
};

static uint16_t shown_status(const struct net *net)
{
	uint16_t status;

	memcpy(&status, &net->virtio.config[offsetof(struct net_config, status)], sizeof(status));
	return status;
}

static void show_status(struct net *net, uint32_t bits)
{
	uint16_t status = (uint16_t)bits;

	virtio_configure(&net->virtio, offsetof(struct net_config, status), &status, sizeof(status));
}

/* One driver's word to announce is no other's. */
static void show_link(struct net *net)
{
	uint32_t announce = virtio_has(&net->virtio, NET_F_GUEST_ANNOUNCE) ? NET_STATUS_ANNOUNCE : 0;

	show_status(net, (shown_status(net) & announce) | (net->up ? NET_STATUS_LINK_UP : 0));
}

static bool accepts(const struct keel_device *row, const struct keel_queue *queues)
{
	return row->queues == NET_QUEUES && row->config_bytes == sizeof(struct net_config) && !(row->features & ~ROW_FEATURES) &&
	       queues[NET_QUEUE_RECEIVE].entries <= NET_ENTRIES &&
	       queues[NET_QUEUE_RECEIVE].arena_bytes / NET_BUFFER_BYTES >= queues[NET_QUEUE_RECEIVE].entries &&
	       queues[NET_QUEUE_TRANSMIT].entries <= NET_ENTRIES &&
	       queues[NET_QUEUE_TRANSMIT].arena_bytes >= NET_HEADER_BYTES + NET_FRAME_MOST + TRANSMIT_ALIGN &&
	       queues[NET_QUEUE_CONTROL].entries <= CONTROL_ENTRIES;
}

static void watch_link(struct net *net)
{
	const struct net_control_link command = { NET_CONTROL_LINK, net->up };
	const uint32_t at = net->control_arena + AT_LINK;
	const struct vq_piece pieces[2] = { { at, sizeof(command) }, { at + sizeof(command), 1 } };

	memcpy(net->virtio.channel + at, &command, sizeof(command));
	net->watching = vq_driver_send(&net->control, pieces, 1, 1, &net->watch);
	*net->virtio.asked = true;
}

static void start(struct virtio_device *device, const struct keel_queue *queues)
{
	struct net *net = (struct net *)device;

	net->rx.arena = queues[NET_QUEUE_RECEIVE].arena;
	net->tx.arena = queues[NET_QUEUE_TRANSMIT].arena;
	net->tx.arena_bytes = queues[NET_QUEUE_TRANSMIT].arena_bytes;
	net->control_arena = queues[NET_QUEUE_CONTROL].arena;
	vq_driver_init(&net->rx.host, device->channel + queues[NET_QUEUE_RECEIVE].ring, queues[NET_QUEUE_RECEIVE].entries,
		       net->rx.shadow);
	vq_driver_init(&net->tx.host, device->channel + queues[NET_QUEUE_TRANSMIT].ring, queues[NET_QUEUE_TRANSMIT].entries,
		       net->tx.shadow);
	vq_driver_init(&net->control, device->channel + queues[NET_QUEUE_CONTROL].ring, queues[NET_QUEUE_CONTROL].entries,
		       net->control_shadow);
	net->up = shown_status(net) & NET_STATUS_LINK_UP;
	watch_link(net);
}

/* Of what was asked of the host only frames go to the guest's memory, and these are forgotten before it runs again. */
static void reset(struct virtio_device *device)
{
	((struct net *)device)->rx.started = false;
}

static uint32_t guest_header_bytes(const struct net *net)
{
	return virtio_has(&net->virtio, VIRTIO_F_VERSION_1 | NET_F_MRG_RXBUF) ? NET_HEADER_BYTES : LEGACY_HEADER_BYTES;
}

/* Transmission */

static uint32_t whole(uint32_t bytes)
{
	return (bytes + TRANSMIT_ALIGN - 1) & ~(TRANSMIT_ALIGN - 1);
}

/* Where so many bytes are free. False: nowhere now. */
static bool find_room(const struct transmitter *tx, uint32_t bytes, uint32_t *at)
{
	uint32_t oldest = tx->sent[tx->first].start;

	*at = tx->count ? tx->next : 0;
	if (!tx->count)
		return bytes <= tx->arena_bytes;
	if (tx->next <= oldest)
		return bytes <= oldest - tx->next;
	if (bytes <= tx->arena_bytes - tx->next)
		return true;
	*at = 0;
	return bytes <= oldest;
}

static void take_sent(struct net *net)
{
	struct transmitter *tx = &net->tx;
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&tx->host, &head, &bytes))
		tx->sent[tx->number[head]].done = true;
	while (tx->count && tx->sent[tx->first].done) {
		tx->first = (tx->first + 1) % NET_ENTRIES;
		tx->count--;
	}
}

static void send_frame(struct net *net, uint32_t at, uint32_t bytes)
{
	struct transmitter *tx = &net->tx;
	const struct vq_piece piece = { tx->arena + at, bytes };
	uint16_t number = (tx->first + tx->count++) % NET_ENTRIES, head;

	vq_driver_send(&tx->host, &piece, 1, 0, &head);
	tx->number[head] = number;
	tx->sent[number] = (struct sent){ .start = at };
	tx->next = at + whole(bytes);
	*net->virtio.asked = true;
}

/* The rest of the header is zeros where the guest's is shorter. */
static bool read_header(struct net *net, uint16_t head, struct net_header *header)
{
	*header = (struct net_header){ 0 };
	return virtio_queue_read_at(&net->virtio, NET_QUEUE_TRANSMIT, head, 0, (uint8_t *)header, LEGACY_HEADER_BYTES);
}

/* False: it waits, or the device is broken. */
static bool transmit_one(struct net *net, const struct virtio_chain *chain)
{
	uint32_t skip = guest_header_bytes(net), bytes = chain->out - skip, at;
	uint8_t *to = net->virtio.channel + net->tx.arena;
	struct net_header header;

	if (chain->out < skip || chain->in) {
		virtio_break(&net->virtio);
		return false;
	}
	if (!read_header(net, chain->head, &header))
		return false;
	if (!net_header_is_good(&header, bytes, net_transmit_rights(net->virtio.s.driver_features)))
		return true;
	if (net->tx.count == net->tx.host.entries || !find_room(&net->tx, whole(NET_HEADER_BYTES + bytes), &at))
		return false;
	memcpy(to + at, &header, NET_HEADER_BYTES);
	if (!virtio_queue_read_at(&net->virtio, NET_QUEUE_TRANSMIT, chain->head, skip, to + at + NET_HEADER_BYTES, bytes))
		return false;
	send_frame(net, at, NET_HEADER_BYTES + bytes);
	return true;
}

/* As many as a queue has: a guest that adds to it all the time cannot keep this from ending. */
static void transmit(struct net *net)
{
	struct virtio_device *device = &net->virtio;
	struct virtio_chain chain;

	for (unsigned int i = 0; i < GUEST_ENTRIES && virtio_queue_peek(device, NET_QUEUE_TRANSMIT, &chain); i++) {
		if (!transmit_one(net, &chain))
			break;
		virtio_queue_take(device, NET_QUEUE_TRANSMIT);
		virtio_queue_give(device, NET_QUEUE_TRANSMIT, chain.head, 0);
	}
	virtio_queue_tell(device, NET_QUEUE_TRANSMIT);
}

/* Reception */

/* The host is told of a buffer if it has few: else it finds it when it has something for it. */
static void post(struct net *net, uint16_t buffer)
{
	struct receiver *rx = &net->rx;
	const struct vq_piece piece = { rx->arena + buffer * NET_BUFFER_BYTES, NET_BUFFER_BYTES };
	uint16_t head;

	vq_driver_send(&rx->host, &piece, 0, 1, &head);
	rx->buffer[head] = buffer;
	if (rx->posted++ < rx->host.entries / 2)
		*net->virtio.asked = true;
}

static void take_received(struct receiver *rx)
{
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&rx->host, &head, &bytes)) {
		rx->got[(rx->first + rx->count++) % NET_ENTRIES] = (struct received){
			rx->buffer[head], (uint16_t)(bytes < NET_BUFFER_BYTES ? bytes : NET_BUFFER_BYTES),
		};
		rx->posted--;
	}
}

static const struct received *got(const struct receiver *rx, unsigned int number)
{
	return &rx->got[(rx->first + number) % NET_ENTRIES];
}

static const uint8_t *bytes_of(const struct net *net, const struct received *received)
{
	return net->virtio.channel + net->rx.arena + received->buffer * NET_BUFFER_BYTES;
}

/* The first buffers go back to the host. */
static void drop(struct net *net, unsigned int count)
{
	struct receiver *rx = &net->rx;

	for (unsigned int i = 0; i < count; i++) {
		uint16_t buffer = got(rx, 0)->buffer;

		rx->first = (rx->first + 1) % NET_ENTRIES;
		rx->count--;
		post(net, buffer);
	}
}

/* What came before the guest's driver ran is none of its business. */
static void start_receiving(struct net *net)
{
	struct receiver *rx = &net->rx;

	if (rx->started)
		return;
	rx->started = true;
	if (rx->posted + rx->count == 0)
		for (uint16_t i = 0; i < rx->host.entries; i++)
			post(net, i);
	drop(net, rx->count);
}

/* A frame in the channel, at the front of what was received. */
struct frame {
	struct net_header header;
	unsigned int buffers;
	uint32_t bytes;			/* without the header */
};

enum found { FOUND_FRAME, FOUND_NONE, FOUND_RUBBISH };

static enum found find_frame(const struct net *net, struct frame *frame)
{
	const struct receiver *rx = &net->rx;

	if (!rx->count)
		return FOUND_NONE;
	memcpy(&frame->header, bytes_of(net, got(rx, 0)), sizeof(frame->header));
	/* The host may change it at any time: what is decided on is the copy. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	frame->buffers = frame->header.buffers;
	if (!frame->buffers || frame->buffers > NET_BUFFERS_MOST || got(rx, 0)->bytes < NET_HEADER_BYTES) {
		frame->buffers = 1;
		return FOUND_RUBBISH;
	}
	if (frame->buffers > rx->count)
		return FOUND_NONE;
	frame->bytes = 0;
	for (unsigned int i = 0; i < frame->buffers; i++)
		frame->bytes += got(rx, i)->bytes;
	frame->bytes -= NET_HEADER_BYTES;
	return net_header_is_good(&frame->header, frame->bytes, net_receive_rights(net->virtio.s.driver_features)) ?
	       FOUND_FRAME : FOUND_RUBBISH;
}

/* The guest's chains for a frame, and how far they are filled. */
struct place {
	struct vq_used used[CHAINS_MOST];
	uint32_t room[CHAINS_MOST];
	unsigned int count, at;
};

enum gathered { GATHERED, GATHERED_TOO_FEW, GATHERED_TOO_SMALL };

/* With MRG_RXBUF a frame may have several (5.1.6.4). */
static enum gathered gather(struct net *net, struct place *place, uint32_t bytes)
{
	unsigned int most = virtio_has(&net->virtio, NET_F_MRG_RXBUF) ? CHAINS_MOST : 1;
	struct virtio_chain chain;

	place->count = place->at = 0;
	while (bytes) {
		if (place->count == most)
			return GATHERED_TOO_SMALL;
		if (!virtio_queue_peek(&net->virtio, NET_QUEUE_RECEIVE, &chain))
			return GATHERED_TOO_FEW;
		if (chain.out || chain.in < (place->count ? 1 : guest_header_bytes(net))) {
			virtio_break(&net->virtio);
			return GATHERED_TOO_FEW;
		}
		virtio_queue_take(&net->virtio, NET_QUEUE_RECEIVE);
		place->used[place->count] = (struct vq_used){ chain.head, 0 };
		place->room[place->count++] = chain.in;
		bytes -= chain.in < bytes ? chain.in : bytes;
	}
	return GATHERED;
}

static bool fill(struct net *net, struct place *place, const uint8_t *from, uint32_t bytes)
{
	while (bytes) {
		struct vq_used *used = &place->used[place->at];
		uint32_t left = place->room[place->at] - used->bytes, part = bytes < left ? bytes : left;

		if (!virtio_queue_write_at(&net->virtio, NET_QUEUE_RECEIVE, (uint16_t)used->head, used->bytes, from, part))
			return false;
		used->bytes += part;
		if (part == left)
			place->at++;
		from += part;
		bytes -= part;
	}
	return true;
}

static bool copy_frame(struct net *net, struct place *place, struct frame *frame)
{
	const struct receiver *rx = &net->rx;

	frame->header.buffers = (uint16_t)place->count;
	if (!fill(net, place, (const uint8_t *)&frame->header, guest_header_bytes(net)))
		return false;
	for (unsigned int i = 0; i < frame->buffers; i++) {
		uint32_t skip = i ? 0 : NET_HEADER_BYTES;

		if (!fill(net, place, bytes_of(net, got(rx, i)) + skip, got(rx, i)->bytes - skip))
			return false;
	}
	return true;
}

/* False: it waits, or the device is broken. */
static bool receive_one(struct net *net, struct frame *frame)
{
	struct place place;

	switch (gather(net, &place, guest_header_bytes(net) + frame->bytes)) {
	case GATHERED:
		if (!copy_frame(net, &place, frame))
			return false;
		virtio_queue_give_all(&net->virtio, NET_QUEUE_RECEIVE, place.used, place.count);
		return true;
	case GATHERED_TOO_FEW:
		virtio_queue_untake(&net->virtio, NET_QUEUE_RECEIVE, place.count);
		return false;
	case GATHERED_TOO_SMALL:
		virtio_queue_untake(&net->virtio, NET_QUEUE_RECEIVE, place.count);
		return true;
	}
	return false;
}

static void receive(struct net *net)
{
	struct frame frame;
	enum found found;

	for (unsigned int i = 0; i < NET_ENTRIES && (found = find_frame(net, &frame)) != FOUND_NONE; i++) {
		if (found == FOUND_FRAME && !receive_one(net, &frame))
			break;
		drop(net, frame.buffers);
	}
	virtio_queue_tell(&net->virtio, NET_QUEUE_RECEIVE);
}

/* Control */

/* A host that does not understand it tells of no change. */
static void take_change(struct net *net)
{
	net->watching = false;
	if (net->virtio.channel[net->control_arena + AT_LINK + sizeof(struct net_control_link)] != NET_CONTROL_OK)
		return;
	net->up = !net->up;
	watch_link(net);
	show_link(net);
}

/* A host that answers all the time cannot keep this from ending. */
static void take_answers(struct net *net)
{
	uint32_t bytes;
	uint16_t head;

	for (unsigned int i = 0; i < CONTROL_ENTRIES && vq_driver_receive(&net->control, &head, &bytes); i++) {
		if (net->watching && head == net->watch)
			take_change(net);
		else
			net->telling = false;
	}
}

/* What the guest has agreed to, as long as it is not what the host knows. */
static void tell_offloads(struct net *net)
{
	uint64_t offloads = net->virtio.s.driver_features & NET_GUEST_OFFLOADS;
	struct net_control_offloads command = { .class = NET_CONTROL_OFFLOADS };
	const uint32_t at = net->control_arena + AT_OFFLOADS;
	const struct vq_piece pieces[2] = { { at, sizeof(command) }, { at + sizeof(command), 1 } };
	uint16_t head;

	if (net->telling || offloads == net->told)
		return;
	memcpy(command.offloads, &offloads, sizeof(command.offloads));
	memcpy(net->virtio.channel + at, &command, sizeof(command));
	vq_driver_send(&net->control, pieces, 1, 1, &head);
	net->told = offloads;
	net->telling = true;
	*net->virtio.asked = true;
}

/* Of a driver's commands. */
struct command {
	uint8_t class, number;
};

/* Two lists, each of a number of addresses and as many of them (5.1.6.5.2). */
static bool has_table(struct net *net, const struct virtio_chain *chain)
{
	uint32_t at = sizeof(struct command), count;

	for (unsigned int i = 0; i < 2; i++) {
		if (chain->out - at < sizeof(count) ||
		    !virtio_queue_read_at(&net->virtio, NET_QUEUE_CONTROL, chain->head, at, &count, sizeof(count)))
			return false;
		at += sizeof(count);
		if (count > (chain->out - at) / MAC_BYTES)
			return false;
		at += count * MAC_BYTES;
	}
	return at == chain->out;
}

static bool acknowledge(struct net *net, uint8_t number)
{
	if (number || !(shown_status(net) & NET_STATUS_ANNOUNCE))
		return false;
	show_status(net, shown_status(net) & ~NET_STATUS_ANNOUNCE);
	return true;
}

/* A guest gets all frames that the host has for it, so that any choice of them is honoured (5.1.6.5.1, 5.1.6.5.2). */
static bool honours(struct net *net, const struct virtio_chain *chain, const struct command *command)
{
	switch (command->class) {
	case NET_CONTROL_RX:
		return virtio_has(&net->virtio, NET_F_CTRL_RX) && command->number < NET_CONTROL_RX_COMMANDS;
	case NET_CONTROL_MAC:
		return virtio_has(&net->virtio, NET_F_CTRL_RX) && !command->number && has_table(net, chain);
	case NET_CONTROL_ANNOUNCE:
		return virtio_has(&net->virtio, NET_F_GUEST_ANNOUNCE) && acknowledge(net, command->number);
	}
	return false;
}

static bool obey(struct net *net, const struct virtio_chain *chain)
{
	struct command command;
	uint8_t ack;

	if (chain->out < sizeof(command) || !chain->in) {
		virtio_break(&net->virtio);
		return false;
	}
	if (!virtio_queue_read_at(&net->virtio, NET_QUEUE_CONTROL, chain->head, 0, &command, sizeof(command)))
		return false;
	ack = honours(net, chain, &command) ? NET_CONTROL_OK : NET_CONTROL_ERROR;
	return virtio_runs(&net->virtio) &&
	       virtio_queue_write(&net->virtio, NET_QUEUE_CONTROL, chain->head, &ack, sizeof(ack));
}

static void control(struct net *net)
{
	struct virtio_chain chain;

	for (unsigned int i = 0; i < GUEST_ENTRIES && virtio_queue_peek(&net->virtio, NET_QUEUE_CONTROL, &chain); i++) {
		if (!obey(net, &chain))
			return;
		virtio_queue_take(&net->virtio, NET_QUEUE_CONTROL);
		virtio_queue_give(&net->virtio, NET_QUEUE_CONTROL, chain.head, 1);
	}
	virtio_queue_tell(&net->virtio, NET_QUEUE_CONTROL);
}

/* Anew, though it may have been asked before: what it has sent until now was elsewhere. */
static void ask_to_announce(struct net *net)
{
	if (!net->announce || !net->up)
		return;
	net->announce = false;
	show_status(net, shown_status(net) & ~NET_STATUS_ANNOUNCE);
	show_status(net, shown_status(net) | NET_STATUS_ANNOUNCE);
}

/* The link goes up and down whether a driver looks or not. What a machine that was loaded shows may be another one's. */
static void event(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	take_answers(net);
	show_link(net);
	ask_to_announce(net);
}

/* 5.1.6.5.4: switches where it is now do not know the guest's address. */
static void loaded(struct virtio_device *device)
{
	((struct net *)device)->announce = device->s.status & VIRTIO_STATUS_DRIVER_OK && virtio_has(device, NET_F_GUEST_ANNOUNCE);
}

static void work(struct virtio_device *device)
{
	struct net *net = (struct net *)device;

	take_answers(net);
	tell_offloads(net);
	take_sent(net);
	take_received(&net->rx);
	start_receiving(net);
	transmit(net);
	receive(net);
	control(net);
}

/* Frames for the guest do not count: to lose one is what networks do. Of those that it has sent it waits for none. */
static bool quiet(const struct virtio_device *device)
{
	const struct net *net = (const struct net *)device;

	return !virtio_runs(device) || !net->rx.started || (!net->tx.count && !net->telling);
}

/* What the saved machine was told of the link; how it is here is told later. */
static bool takes_config(const struct virtio_device *device, const uint8_t *config)
{
	const unsigned int at = offsetof(struct net_config, status);
	uint8_t own[KEEL_DEVICE_CONFIG];
	uint16_t status;

	memcpy(own, device->config, sizeof(own));
	memcpy(&status, &config[at], sizeof(status));
	memcpy(&own[at], &status, sizeof(status));
	return !(status & ~(NET_STATUS_LINK_UP | NET_STATUS_ANNOUNCE)) && !memcmp(own, config, sizeof(own));
}

const struct virtio_ops virtio_net = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET, .pci_device = 0x1000, .class = 0x02, .queues = NET_QUEUES, .entries = GUEST_ENTRIES,
	.bytes = sizeof(struct net),
	.accepts = accepts, .start = start, .reset = reset, .work = work, .event = event, .quiet = quiet,
	.takes_config = takes_config, .loaded = loaded,
};
