// SPDX-License-Identifier: GPL-2.0
/* Network devices of a guest: frames between their queues in the channel and what is behind them. */
#include "host/backend/net.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/clock.h"
#include "host/backend/backend.h"
#include "shared/pc_map.h"
#include "shared/virtio_id.h"

#define ARENA_BYTES		(NET_ENTRIES * NET_BUFFER_BYTES)
#define FRAMES_MOST		64u		/* of each direction at a time: the loop has other work, too */
#define BYTES_MOST		(512u << 10)
#define NS_PER_SECOND		1000000000ull
#define NEWS_ROOM		8192u
#define NEWS_MOST		16u		/* messages that are read at a time */

static const struct net_link_ops *const links[] = {
	[MANIFEST_NETWORK_TAP] = &net_tap, [MANIFEST_NETWORK_BRIDGE] = &net_tap, [MANIFEST_NETWORK_USER] = &net_passt,
};

/* The last of the one are not where the last of the other are. */
_Static_assert(PC_NETWORK_SLOT(MANIFEST_NETWORKS - 1) >= PC_SLOT_DISK + (int)(MANIFEST_VIRTIO_MOST - MANIFEST_NETWORKS), "slots");

static bool describe(const struct manifest *m, unsigned int number, struct backend_plan *plan)
{
	const struct manifest_network *network = &m->network[number];
	struct net_config config = { .status = NET_STATUS_LINK_UP, .queue_pairs = 1 };

	if (number >= m->networks)
		return false;
	memcpy(config.mac, network->mac, sizeof(config.mac));
	config.mtu = (uint16_t)network->mtu;
	*plan = (struct backend_plan){
		.device = {
			.type = KEEL_DEVICE_VIRTIO + VIRTIO_ID_NET, .slot = (uint16_t)PC_NETWORK_SLOT(number),
			.queues = NET_QUEUES, .config_bytes = sizeof(config),
			.features = (uint32_t)(links[network->kind]->features | NET_F_MAC | NET_F_STATUS | NET_F_MRG_RXBUF |
					       NET_F_CTRL_VQ | NET_F_CTRL_RX | NET_F_GUEST_ANNOUNCE |
					       (network->mtu ? NET_F_MTU : 0)),
		},
		.entries = NET_ENTRIES, .arena_bytes = ARENA_BYTES, .control = 1,
	};
	memcpy(plan->device.config, &config, sizeof(config));
	return true;
}

static bool make_limits(struct net *net, const struct manifest_network *network, struct failure *failure)
{
	bucket_init(&net->sending, network->rate.transmit, network->rate.burst);
	bucket_init(&net->receiving, network->rate.receive, network->rate.burst);
	if (!net->sending.rate && !net->receiving.rate)
		return true;
	net->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return net->timer.fd >= 0 || failure_set(failure, EXIT_FAILED, "cannot make a timer: %s", strerror(errno));
}

static bool open_link(void *state, const struct manifest *m, unsigned int number, struct failure *failure)
{
	const struct manifest_network *network = &m->network[number];
	struct net *net = state;

	net->ops = links[network->kind];
	net->name = m->name;
	net->up = true;
	net->timer.fd = net->news.fd = -1;
	if (make_limits(net, network, failure) && net->ops->open(net, m, network, number, failure))
		return true;
	if (net->timer.fd >= 0)
		close(net->timer.fd);
	return false;
}

static void close_link(void *state)
{
	struct net *net = state;

	if (net->timer.fd >= 0)
		close(net->timer.fd);
	net->ops->close(net);
}

static void lose(struct net *net)
{
	if (net->gone)
		return;
	fprintf(stderr, "%s: a network of the guest has ended\n", net->name);
	loop_remove(net->loop, &net->source);
	if (net->news.fd >= 0)
		loop_remove(net->loop, &net->news);
	net->gone = true;
}

/* Some may have been lost: of an end it is enough that something has changed. */
static void on_news(struct loop_source *source, uint32_t events)
{
	struct net *net = container_of(source, struct net, news);
	_Alignas(struct nlmsghdr) uint8_t bytes[NEWS_ROOM];

	(void)events;
	for (unsigned int i = 0; i < NEWS_MOST; i++) {
		ssize_t n = read(source->fd, bytes, sizeof(bytes));

		if (n > 0)
			net->ops->hear(net, (const struct nlmsghdr *)(const void *)bytes, (size_t)n);
		else if (n == 0 || errno != ENOBUFS)
			break;
	}
	if (!net->ops->is_there(net))
		lose(net);
}

void net_set_link(struct net *net, bool up)
{
	if (net->up == up || net->gone)
		return;
	net->up = up;
	if (net->ops->set_carrier)
		net->ops->set_carrier(net, up);
}

/* While nobody serves, nothing is waited for: else the loop would never sleep. */
static void on_ready(struct loop_source *source, uint32_t events)
{
	struct net *net = container_of(source, struct net, source);

	if (events & (EPOLLERR | EPOLLHUP))
		lose(net);
	else if (net->ready)
		loop_change(net->loop, source, 0);
	net->ready |= events;
}

/* Who waited is looked at in the loop's next round. */
static void on_timer(struct loop_source *source, uint32_t events)
{
	struct net *net = container_of(source, struct net, timer);
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) > 0)
		net->alarm = 0;
}

static bool watch(void *state, struct loop *loop)
{
	struct net *net = state;

	net->loop = loop;
	net->source.ready = on_ready;
	net->timer.ready = on_timer;
	net->timer.events = EPOLLIN;
	net->news.ready = on_news;
	net->news.events = EPOLLIN;
	return loop_add(loop, &net->source) && (net->timer.fd < 0 || loop_add(loop, &net->timer)) &&
	       (net->news.fd < 0 || loop_add(loop, &net->news));
}

static void start(void *state)
{
	struct net *net = state;

	net->transmit.count = net->receive.count = 0;
	net->watch.waits = false;
	if (net->ops->set_offloads)
		net->ops->set_offloads(net, 0);
}

/* All that there are: what is left in a queue keeps this process awake. */
static void take_all(struct net_chains *chains, struct vq_device *queue, bool out)
{
	struct vq_chain chain;

	while (chains->count < NET_ENTRIES && vq_device_take(queue, &chain)) {
		bool good = chain.good && chain.out == out && chain.in == !out;

		chains->ring[(chains->first + chains->count++) % NET_ENTRIES] = (struct net_chain){
			chain.head, chain.piece[0].offset, good ? chain.piece[0].bytes : 0,
		};
	}
}

static const struct net_chain *chain_at(const struct net_chains *chains, unsigned int number)
{
	return &chains->ring[(chains->first + number) % NET_ENTRIES];
}

static void give(struct net_chains *chains, struct vq_device *queue, uint32_t bytes)
{
	vq_device_give(queue, chain_at(chains, 0)->head, bytes);
	chains->first = (chains->first + 1) % NET_ENTRIES;
	chains->count--;
}

static void count_frame(struct net_count *count, struct bucket *limit, uint32_t bytes, uint64_t now)
{
	count->frames++;
	count->bytes += bytes;
	bucket_take(limit, bytes, now);
}

/* What comes of serving a network once. */
struct turn {
	uint64_t now;			/* CLOCK_MONOTONIC, of one that has limits */
	uint64_t wait;			/* until a limit lets go what it holds up; UINT64_MAX: none does */
	uint32_t events;		/* that are waited for then */
};

static bool may_go(const struct bucket *bucket, struct turn *turn)
{
	uint64_t wait = bucket_wait(bucket, turn->now);

	if (wait && wait < turn->wait)
		turn->wait = wait;
	return !wait;
}

/* One timer for both directions: the first of them counts. */
static void set_timer(struct net *net, const struct turn *turn)
{
	uint64_t wait = turn->wait;
	const struct itimerspec time = {
		.it_value = { (time_t)(wait / NS_PER_SECOND), (long)(wait % NS_PER_SECOND) },
	};

	if (wait == UINT64_MAX || (net->alarm && net->alarm <= turn->now + wait))
		return;
	if (!timerfd_settime(net->timer.fd, 0, &time, NULL))
		net->alarm = turn->now + wait;
}

/* Transmission */

/* The cell may change the header at any time: what is looked at, and sent, is a copy. */
static enum net_sent send_one(struct net *net, const struct vq_device *queue, const struct net_chain *chain, uint64_t now)
{
	const uint8_t *from = queue->channel + chain->offset;
	uint32_t bytes = chain->bytes - NET_HEADER_BYTES;
	struct net_header header;
	enum net_sent sent;

	if (chain->bytes <= NET_HEADER_BYTES)
		return NET_SENT;
	if (!net_link_is_up(net)) {
		net->sent.dropped++;
		return NET_SENT;
	}
	memcpy(&header, from, sizeof(header));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!net_header_is_good(&header, bytes, net_transmit_rights(net->ops->features)))
		return NET_SENT;
	sent = net->ops->send(net, &header, from + NET_HEADER_BYTES, bytes);
	if (sent == NET_SENT)
		count_frame(&net->sent, &net->sending, bytes, now);
	return sent;
}

/* A frame that its limit holds up stays in the queue, which is full then: the guest's own kernel waits. */
static bool send_some(struct net *net, struct vq_device *queue, struct turn *turn)
{
	struct net_chains *chains = &net->transmit;
	enum net_sent sent = net->ops->flush && !net->gone ? net->ops->flush(net) : NET_SENT;
	uint32_t bytes = 0;
	bool held = false;
	unsigned int i = 0;

	while (sent == NET_SENT && chains->count && i < FRAMES_MOST && bytes < BYTES_MOST) {
		const struct net_chain *chain = chain_at(chains, 0);

		held = net_link_is_up(net) && !may_go(&net->sending, turn);
		if (held)
			break;
		sent = send_one(net, queue, chain, turn->now);
		if (sent != NET_SENT)
			break;
		bytes += chain->bytes;
		give(chains, queue, 0);
		i++;
	}
	if (sent == NET_GONE)
		lose(net);
	if (chains->count && !held)
		turn->events |= EPOLLOUT;
	return i;
}

/* Reception */

/* The first chains as pieces to read to. Chains that are none of a buffer's go back as they came. */
static int make_pieces(struct net *net, struct vq_device *queue, struct iovec *pieces)
{
	struct net_chains *chains = &net->receive;

	while (chains->count && chain_at(chains, 0)->bytes != NET_BUFFER_BYTES)
		give(chains, queue, 0);
	for (unsigned int i = 0; i < NET_BUFFERS_MOST; i++) {
		const struct net_chain *chain = chain_at(chains, i);

		if (i >= chains->count || chain->bytes != NET_BUFFER_BYTES)
			return 0;
		pieces[i] = (struct iovec){ queue->channel + chain->offset, NET_BUFFER_BYTES };
	}
	return NET_BUFFERS_MOST;
}

static void give_frame(struct net *net, struct vq_device *queue, uint32_t bytes, uint64_t now)
{
	uint16_t buffers = (uint16_t)((bytes + NET_BUFFER_BYTES - 1) / NET_BUFFER_BYTES);
	uint32_t first = chain_at(&net->receive, 0)->offset;

	count_frame(&net->received, &net->receiving, bytes - NET_HEADER_BYTES, now);
	memcpy(queue->channel + first + offsetof(struct net_header, buffers), &buffers, sizeof(buffers));
	for (; buffers; buffers--) {
		uint32_t part = bytes < NET_BUFFER_BYTES ? bytes : NET_BUFFER_BYTES;

		give(&net->receive, queue, part);
		bytes -= part;
	}
}

/*
 * Whether there is anything for the cell. What there are no buffers for, or what its limit holds up, stays where it is, and
 * nothing is waited for.
 */
static bool receive_some(struct net *net, struct vq_device *queue, bool may_read, struct turn *turn)
{
	struct iovec pieces[NET_BUFFERS_MOST];
	uint32_t sum = 0;
	unsigned int i;

	turn->events |= EPOLLIN;
	for (i = 0; i < FRAMES_MOST && sum < BYTES_MOST && !net->gone; i++) {
		int count = may_go(&net->receiving, turn) ? make_pieces(net, queue, pieces) : 0;
		ssize_t bytes;

		if (!count) {
			turn->events &= ~(uint32_t)EPOLLIN;
			break;
		}
		bytes = net->ops->receive(net, pieces, count, may_read);
		if (bytes < 0)
			lose(net);
		if (bytes <= 0)
			break;
		give_frame(net, queue, (uint32_t)bytes, turn->now);
		sum += (uint32_t)bytes;
	}
	return i;
}

/* While the link is down: what would come later than it came. */
static void discard_some(struct net *net, bool may_read, struct turn *turn)
{
	static uint8_t waste[NET_BUFFERS_MOST * NET_BUFFER_BYTES];
	const struct iovec piece = { waste, sizeof(waste) };

	turn->events |= EPOLLIN;
	for (unsigned int i = 0; i < FRAMES_MOST && !net->gone; i++) {
		ssize_t bytes = net->ops->receive(net, &piece, 1, may_read);

		if (bytes < 0)
			lose(net);
		if (bytes <= 0)
			return;
		net->received.dropped++;
	}
}

/* Control */

static uint8_t set_offloads(struct net *net, const struct net_control_offloads *command)
{
	uint64_t offloads;

	memcpy(&offloads, command->offloads, sizeof(offloads));
	if (command->class != NET_CONTROL_OFFLOADS || command->command ||
	    offloads & ~(net->ops->features & NET_GUEST_OFFLOADS) || net->gone)
		return NET_CONTROL_ERROR;
	if (net->ops->set_offloads)
		net->ops->set_offloads(net, offloads);
	return NET_CONTROL_OK;
}

static bool begin_watch(struct net *net, const struct net_control_link *command, const struct vq_chain *chain)
{
	if (command->class != NET_CONTROL_LINK || net->watch.waits)
		return false;
	net->watch = (struct net_watch){
		.waits = true, .up = command->up, .head = chain->head, .answer = chain->piece[1].offset,
	};
	return true;
}

/* Commands are told by how long they are. False: it is answered later. */
static bool obey(struct net *net, const struct vq_device *queue, const struct vq_chain *chain, uint8_t *answer)
{
	const uint8_t *from = queue->channel + chain->piece[0].offset;
	struct net_control_offloads offloads;
	struct net_control_link link;

	*answer = NET_CONTROL_ERROR;
	switch (chain->piece[0].bytes) {
	case sizeof(link):
		memcpy(&link, from, sizeof(link));
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		return !begin_watch(net, &link, chain);
	case sizeof(offloads):
		memcpy(&offloads, from, sizeof(offloads));
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		*answer = set_offloads(net, &offloads);
		break;
	}
	return true;
}

static bool obey_all(struct net *net, struct vq_device *queue)
{
	struct vq_chain chain;
	bool answered = false;
	uint8_t answer;

	for (unsigned int i = 0; i < queue->entries && vq_device_take(queue, &chain); i++) {
		bool good = chain.good && chain.out == 1 && chain.in == 1;

		if (good && !obey(net, queue, &chain, &answer))
			continue;
		if (good)
			queue->channel[chain.piece[1].offset] = answer;
		vq_device_give(queue, chain.head, good);
		answered = true;
	}
	return answered;
}

static bool tell_link(struct net *net, struct vq_device *queue)
{
	struct net_watch *watch = &net->watch;

	if (!watch->waits || watch->up == net_link_is_up(net))
		return false;
	watch->waits = false;
	queue->channel[watch->answer] = NET_CONTROL_OK;
	vq_device_give(queue, watch->head, 1);
	return true;
}

static bool serve(void *state, struct vq_device *queues)
{
	struct net *net = state;
	struct turn turn = { .now = net->timer.fd < 0 ? 0 : clock_ns(), .wait = UINT64_MAX };
	bool may_read = net->ready & EPOLLIN, answered;

	net->ready = 0;
	answered = obey_all(net, &queues[NET_QUEUE_CONTROL]);
	take_all(&net->transmit, &queues[NET_QUEUE_TRANSMIT], true);
	answered |= send_some(net, &queues[NET_QUEUE_TRANSMIT], &turn);
	take_all(&net->receive, &queues[NET_QUEUE_RECEIVE], false);
	if (net_link_is_up(net))
		answered |= receive_some(net, &queues[NET_QUEUE_RECEIVE], may_read, &turn);
	else
		discard_some(net, may_read, &turn);
	answered |= tell_link(net, &queues[NET_QUEUE_CONTROL]);
	if (!net->gone)
		loop_change(net->loop, &net->source, turn.events);
	set_timer(net, &turn);
	return answered;
}

const struct backend_ops backend_net = {
	.bytes = sizeof(struct net), .describe = describe, .open = open_link, .close = close_link, .watch = watch, .start = start,
	.serve = serve,
};
