/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The register half's end of the channel (keel/channel.h). The other end is not trusted: what is decided on is copied
 * first, indices that are this end's are kept here and never read back, and counts are clamped.
 *
 * The bytes of firmware, items and bounce buffers stay in the channel and are only passed on.
 */
#ifndef KEEL_LINK_H
#define KEEL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/channel.h>

#include "core/stream.h"

struct pc;

/* Where a kind's devices are: what the slots of its rows say. */
enum link_place {
	LINK_PLACE_PCI,			/* the PCI slot, of those that are free */
	LINK_PLACE_IDE,			/* the drive's number */
	LINK_PLACE_ALONE,		/* 0: there is one of its type */
};

/* A kind of device that has rows in the channel: it is in a file of this folder, and a row in the list of pc_host.c. */
struct link_kind {
	uint32_t type;			/* enum keel_device_type; KEEL_DEVICE_VIRTIO stands for all from it on */
	enum link_place place;
	unsigned int queues;		/* of a device; 0: as many as accepts says */
	unsigned int messages;		/* of these, the last ones: they carry messages */
	/* Whether a row and its queues, which are good ones in a good place, are what it can work with. May be NULL. */
	bool (*accepts)(const struct keel_device *row, const struct keel_queue *queues);
	/* Power-on, of a row that was accepted, before the machine's list of devices has its own. False: there is no room. */
	bool (*open)(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues);
	/* The resource half may have something for the device. NULL: it never has. */
	void (*event)(struct pc *pc, const struct keel_device *row);
};

extern const struct link_kind *const link_kinds[];
extern const unsigned int link_kind_count;
/* NULL: there is no such kind. */
const struct link_kind *link_find_kind(const struct keel_device *row);

/* A device's messages, there and back. */
struct link_messages {
	struct stream_in in;
	struct stream_out out;
	struct vq_shadow shadow[2][KEEL_MESSAGE_ENTRIES];
	struct keel_message last;	/* that is to be told, or was: */
	bool untold;			/* there was no room for it yet */
};

/* Of each device one stream and one pair of queues for messages at most. */
struct link {
	struct keel_channel *channel;
	bool produced;			/* something that the other end should look at soon */
	bool untold;			/* there is something that could not be told */
	unsigned int streams, talkers;
	struct stream_out *stream[KEEL_DEVICES];	/* that are sent before each answer */
	struct link_messages *talker[KEEL_DEVICES];
};

/*
 * Takes the channel and a copy of its machine, which is good afterwards: every offset and size lies within the channel.
 * 0, or an enum cell_refusal.
 */
unsigned int link_init(struct link *link, void *channel, struct keel_machine *machine);

/* The bytes at an offset that link_init has checked. */
static inline uint8_t *link_bytes(const struct link *link, uint32_t offset)
{
	return (uint8_t *)link->channel + offset;
}

/* What a drive's configuration says. */
static inline uint64_t link_block_sectors(const struct keel_device *drive)
{
	return *(const uint64_t *)(const void *)drive->config;
}

/* What is put into this stream, which is open and stays, is sent before the answer. */
void link_add_stream(struct link *link, struct stream_out *stream);
/* Queues to a device and of it. They stay, too. */
void link_open_messages(struct link *link, struct link_messages *messages, const struct keel_queue *queues);
/* Tells messages->last, now or as soon as there is room. */
void link_send(struct link *link, struct link_messages *messages);
/* An event: there may be room for what could not be told. */
void link_tell(struct link *link);

/* Sends what was put out; whether the other end sleeps and has something to look at. Asked once before each answer. */
bool link_doorbell(struct link *link);

#endif
