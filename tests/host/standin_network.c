// SPDX-License-Identifier: GPL-2.0
/* The stand-in's first network card. */
#include "standin.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared/net.h"
#include "shared/virtio_id.h"
#include "shared/vq_driver.h"

#define RECEIVE_BUFFERS	64u
#define AT_ANSWER	64u		/* in the arena of control */

static struct {
	const struct keel_queue *queue;		/* of three; NULL: the guest has no such device */
	struct vq_driver driver[NET_QUEUES];
	struct vq_shadow shadow[NET_QUEUES][VQ_ENTRIES_MOST];
	uint32_t place[VQ_ENTRIES_MOST];	/* of the buffer of a chain for frames to the guest */
	unsigned int rest;			/* buffers of a frame that are to come */
	unsigned int pending, size, byte;	/* frames that are to be sent */
	unsigned int sent, under_way, slot;
	bool up;
} card;

/* A vCPU sends, events take. */
static pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER;

static void offer(uint32_t place)
{
	struct vq_piece piece = { place, NET_BUFFER_BYTES };
	uint16_t head;

	if (vq_driver_send(&card.driver[NET_QUEUE_RECEIVE], &piece, 0, 1, &head))
		card.place[head] = place;
}

static void watch_link(void)
{
	const uint32_t at = card.queue[NET_QUEUE_CONTROL].arena;
	const struct vq_piece pieces[2] = { { at, sizeof(struct net_control_link) }, { at + AT_ANSWER, 1 } };
	const struct net_control_link command = { NET_CONTROL_LINK, card.up };
	uint16_t head;

	memcpy((uint8_t *)channel + at, &command, sizeof(command));
	vq_driver_send(&card.driver[NET_QUEUE_CONTROL], pieces, 1, 1, &head);
}

void network_open(void)
{
	memset(&card, 0, sizeof(card));
	card.up = true;
	for (unsigned int i = channel->machine.devices; i-- > 0;)
		if (channel->machine.device[i].type == KEEL_DEVICE_VIRTIO + VIRTIO_ID_NET)
			card.queue = &channel->machine.queue[channel->machine.device[i].first_queue];
	if (!card.queue)
		return;
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		vq_driver_init(&card.driver[i], (uint8_t *)channel + card.queue[i].ring, card.queue[i].entries, card.shadow[i]);
	for (unsigned int i = 0; i < RECEIVE_BUFFERS; i++)
		offer(card.queue[NET_QUEUE_RECEIVE].arena + i * NET_BUFFER_BYTES);
	watch_link();
}

static void send_some(void)
{
	const struct keel_queue *queue = &card.queue[NET_QUEUE_TRANSMIT];

	while (card.pending && card.under_way < queue->entries) {
		struct vq_piece piece = { queue->arena + card.slot * NET_BUFFER_BYTES, NET_HEADER_BYTES + card.size };
		uint8_t *frame = (uint8_t *)channel + piece.offset;
		uint16_t head;

		memset(frame, 0, NET_HEADER_BYTES);
		memset(frame + NET_HEADER_BYTES, (int)card.byte, card.size);
		if (!vq_driver_send(&card.driver[NET_QUEUE_TRANSMIT], &piece, 1, 0, &head))
			return;
		card.slot = (card.slot + 1) % queue->entries;
		card.under_way++;
		card.pending--;
	}
}

void network_send(unsigned int count, unsigned int size, unsigned int byte)
{
	if (!card.queue || size > NET_BUFFER_BYTES - NET_HEADER_BYTES) {
		fprintf(stderr, "stand-in: there is no network card, or not for such frames\n");
		return;
	}
	pthread_mutex_lock(&busy);
	card.pending += count;
	card.size = size;
	card.byte = byte;
	send_some();
	pthread_mutex_unlock(&busy);
	ring();
}

static void take_frames(void)
{
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&card.driver[NET_QUEUE_RECEIVE], &head, &bytes)) {
		const uint8_t *buffer = (uint8_t *)channel + card.place[head];
		uint16_t buffers;

		if (card.rest) {
			card.rest--;
		} else {
			memcpy(&buffers, buffer + offsetof(struct net_header, buffers), sizeof(buffers));
			card.rest = buffers - 1u;
			note("frame %u %u", bytes - NET_HEADER_BYTES, buffer[NET_HEADER_BYTES]);
		}
		offer(card.place[head]);
	}
}

static void take_sent(void)
{
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&card.driver[NET_QUEUE_TRANSMIT], &head, &bytes)) {
		card.under_way--;
		card.sent++;
	}
	send_some();
	if (card.sent && !card.under_way && !card.pending) {
		note("sent %u", card.sent);
		card.sent = 0;
	}
}

static void take_change(void)
{
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&card.driver[NET_QUEUE_CONTROL], &head, &bytes)) {
		card.up = !card.up;
		note("link %s", card.up ? "up" : "down");
		watch_link();
	}
}

void network_take(void)
{
	if (!card.queue)
		return;
	pthread_mutex_lock(&busy);
	take_change();
	take_frames();
	take_sent();
	pthread_mutex_unlock(&busy);
}
