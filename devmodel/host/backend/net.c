// SPDX-License-Identifier: GPL-2.0
/* Network devices of a guest: frames between their queues in the channel and what is behind them. */
#include "host/backend/net.h"

#include <stdio.h>
#include <string.h>

#include <keel/macros.h>

#include "host/backend/backend.h"
#include "shared/pc_map.h"
#include "shared/virtio_id.h"

#define ARENA_BYTES		(NET_ENTRIES * NET_BUFFER_BYTES)
#define FRAMES_MOST		64u		/* of each direction at a time: the loop has other work, too */
#define BYTES_MOST		(512u << 10)

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
					       NET_F_CTRL_VQ | NET_F_CTRL_RX | (network->mtu ? NET_F_MTU : 0)),
		},
		.entries = NET_ENTRIES, .arena_bytes = ARENA_BYTES, .control = 1,
	};
	memcpy(plan->device.config, &config, sizeof(config));
	return true;
}

static bool open_link(void *state, const struct manifest *m, unsigned int number, struct failure *failure)
{
	const struct manifest_network *network = &m->network[number];
	struct net *net = state;

	net->ops = links[network->kind];
	net->name = m->name;
	return net->ops->open(net, m, network, number, failure);
}

static void close_link(void *state)
{
	struct net *net = state;

	net->ops->close(net);
}

static void lose(struct net *net)
{
	if (net->gone)
		return;
	fprintf(stderr, "%s: a network of the guest has ended\n", net->name);
	loop_remove(net->loop, &net->source);
	net->gone = true;
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

static bool watch(void *state, struct loop *loop)
{
	struct net *net = state;

	net->loop = loop;
	net->source.ready = on_ready;
	return loop_add(loop, &net->source);
}

static void start(void *state)
{
	struct net *net = state;

	net->transmit.count = net->receive.count = 0;
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

/* Transmission */

/* The cell may change the header at any time: what is looked at, and sent, is a copy. */
static enum net_sent send_one(struct net *net, const struct vq_device *queue, const struct net_chain *chain)
{
	const uint8_t *from = queue->channel + chain->offset;
	uint32_t bytes = chain->bytes - NET_HEADER_BYTES;
	struct net_header header;

	if (chain->bytes <= NET_HEADER_BYTES || net->gone)
		return NET_SENT;
	memcpy(&header, from, sizeof(header));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (!net_header_is_good(&header, bytes, net_transmit_rights(net->ops->features)))
		return NET_SENT;
	return net->ops->send(net, &header, from + NET_HEADER_BYTES, bytes);
}

static bool send_some(struct net *net, struct vq_device *queue)
{
	struct net_chains *chains = &net->transmit;
	enum net_sent sent = net->ops->flush && !net->gone ? net->ops->flush(net) : NET_SENT;
	uint32_t bytes = 0;
	unsigned int i = 0;

	while (sent == NET_SENT && chains->count && i < FRAMES_MOST && bytes < BYTES_MOST) {
		const struct net_chain *chain = chain_at(chains, 0);

		sent = send_one(net, queue, chain);
		if (sent != NET_SENT)
			break;
		bytes += chain->bytes;
		give(chains, queue, 0);
		i++;
	}
	if (sent == NET_GONE)
		lose(net);
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

static void give_frame(struct net *net, struct vq_device *queue, uint32_t bytes)
{
	uint16_t buffers = (uint16_t)((bytes + NET_BUFFER_BYTES - 1) / NET_BUFFER_BYTES);
	uint32_t first = chain_at(&net->receive, 0)->offset;

	memcpy(queue->channel + first + offsetof(struct net_header, buffers), &buffers, sizeof(buffers));
	for (; buffers; buffers--) {
		uint32_t part = bytes < NET_BUFFER_BYTES ? bytes : NET_BUFFER_BYTES;

		give(&net->receive, queue, part);
		bytes -= part;
	}
}

/* Whether there is anything for the cell. *starved: there are no buffers for what may come. */
static bool receive_some(struct net *net, struct vq_device *queue, bool may_read, bool *starved)
{
	struct iovec pieces[NET_BUFFERS_MOST];
	uint32_t sum = 0;
	unsigned int i;

	*starved = false;
	for (i = 0; i < FRAMES_MOST && sum < BYTES_MOST && !net->gone; i++) {
		int count = make_pieces(net, queue, pieces);
		ssize_t bytes;

		if (!count) {
			*starved = true;
			break;
		}
		bytes = net->ops->receive(net, pieces, count, may_read);
		if (bytes < 0)
			lose(net);
		if (bytes <= 0)
			break;
		give_frame(net, queue, (uint32_t)bytes);
		sum += (uint32_t)bytes;
	}
	return i;
}

/* Control */

static uint8_t obey(struct net *net, const struct vq_device *queue, const struct vq_chain *chain)
{
	struct net_control_offloads command;
	uint64_t offloads;

	if (chain->piece[0].bytes != sizeof(command))
		return NET_CONTROL_ERROR;
	memcpy(&command, queue->channel + chain->piece[0].offset, sizeof(command));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	memcpy(&offloads, command.offloads, sizeof(offloads));
	if (command.class != NET_CONTROL_OFFLOADS || command.command || offloads & ~(net->ops->features & NET_GUEST_OFFLOADS) ||
	    net->gone)
		return NET_CONTROL_ERROR;
	if (net->ops->set_offloads)
		net->ops->set_offloads(net, offloads);
	return NET_CONTROL_OK;
}

static bool obey_all(struct net *net, struct vq_device *queue)
{
	struct vq_chain chain;
	unsigned int i;

	for (i = 0; i < queue->entries && vq_device_take(queue, &chain); i++) {
		bool good = chain.good && chain.out == 1 && chain.in == 1;

		if (good)
			queue->channel[chain.piece[1].offset] = obey(net, queue, &chain);
		vq_device_give(queue, chain.head, good);
	}
	return i;
}

static bool serve(void *state, struct vq_device *queues)
{
	struct net *net = state;
	bool may_read = net->ready & EPOLLIN, starved, answered;

	net->ready = 0;
	answered = obey_all(net, &queues[NET_QUEUE_CONTROL]);
	take_all(&net->transmit, &queues[NET_QUEUE_TRANSMIT], true);
	answered |= send_some(net, &queues[NET_QUEUE_TRANSMIT]);
	take_all(&net->receive, &queues[NET_QUEUE_RECEIVE], false);
	answered |= receive_some(net, &queues[NET_QUEUE_RECEIVE], may_read, &starved);
	if (!net->gone)
		loop_change(net->loop, &net->source, (starved ? 0u : EPOLLIN) | (net->transmit.count ? EPOLLOUT : 0u));
	return answered;
}

const struct backend_ops backend_net = {
	.bytes = sizeof(struct net), .describe = describe, .open = open_link, .close = close_link, .watch = watch, .start = start,
	.serve = serve,
};
