/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The resource half's end of the channel (keel/channel.h): the devices of the board, which are no virtio devices, and which of
 * all queues are looked at before a sleep. The cell's end is not trusted (backend/stream.h).
 *
 * Drives' block requests are an engine's (backend/disk.h); what drives have here are the messages of CD-ROM drives.
 */
#ifndef KEEL_BOARD_H
#define KEEL_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>

#include "host/backend/stream.h"
#include "shared/pc_map.h"
#include "shared/vq_device.h"

#define BOARD_QUEUES_MOST	3u		/* of a device of the board */
#define BOARD_STREAM_BYTES	4096u		/* of a console's or debug port's characters that there is room for, each way */

struct board;

/* A kind of device of the board's: it is in a file board_*.c, and a row in the list of board.c. */
struct board_kind {
	uint32_t type;			/* enum keel_device_type */
	bool always;			/* every machine has one */
	unsigned int queues;
	struct {
		uint32_t entries;
		uint32_t arena_bytes;
	} queue[BOARD_QUEUES_MOST];
	/* The channel is new. May be NULL: it has nothing here. */
	void (*open)(struct board *board, const struct keel_device *row, const struct keel_queue *queues);
	/* Looks at what the cell has sent, and sends what there was no buffer for. May be NULL. */
	void (*serve)(struct board *board, const struct keel_device *row);
	/* Whether the cell has sent what is looked at before a sleep. NULL: the queues that it watches say it. */
	bool (*has)(const struct board *board);
};

extern const struct board_kind *const board_kinds[];
extern const unsigned int board_kind_count;
/* NULL: it is none of the board's. */
const struct board_kind *board_find_kind(uint32_t type);

/* The kinds. */
extern const struct board_kind board_console, board_debug, board_panel, board_disk, board_cdrom;

/* A device's messages, there and back. */
struct board_messages {
	struct stream_sink to;
	struct stream_source from;
	uint32_t pending;		/* bits by enum keel_message_kind, for which there was no buffer yet */
	uint64_t sectors;		/* of a medium */
	struct keel_message last;	/* of the cell's */
};

struct board {
	struct keel_channel *channel;
	unsigned int opened;
	struct {
		const struct board_kind *kind;
		struct keel_device row;
	} device[KEEL_DEVICES];		/* that are open */
	const struct vq_device *queue[KEEL_QUEUES];	/* that must be empty before a sleep */
	unsigned int queues;
	struct stream_source output;	/* of the console, */
	struct stream_source debug;	/* of the debug port, */
	struct stream_sink input;	/* and to the console */
	bool output_wanted;		/* output keeps this half from sleeping */
	struct board_messages panel;
	uint32_t resized;		/* bits by PCI slot: of these virtio disks the size is still to be told: */
	uint64_t capacity[PC_SLOT_LAST + 1];	/* in sectors */
	struct board_messages drive[KEEL_DRIVES];	/* CD-ROM drives */
	bool awaited;			/* the cell waits for room that there is */
};

struct board_door {
	bool locked;			/* the guest keeps it shut */
	uint64_t ejected;		/* how often the guest has opened it with a medium in it */
};

/* devices and their queues are what the channel was filled with. Those of other kinds are their owners' to watch. */
void board_init(struct board *board, struct keel_channel *channel, const struct keel_device *devices, unsigned int count,
		const struct keel_queue *queues);

/* A queue of the channel's, which lives as long. */
void board_watch(struct board *board, const struct vq_device *queue);

/* board_streams.c. Up to 'room' characters. */
size_t board_take_output(struct board *board, uint8_t *to, size_t room);
size_t board_take_debug(struct board *board, uint8_t *to, size_t room);

size_t board_input_room(struct board *board);
/* count is at most board_input_room. */
void board_put_input(struct board *board, const uint8_t *from, size_t count);

/* board_messages.c. The panel's buttons. The cell hears of this and what follows by an event. */
void board_press(struct board *board, enum keel_message_kind button);
/* A CD-ROM drive, by its number, has another medium of so many bytes, or none (0). */
void board_set_medium(struct board *board, unsigned int drive, uint64_t bytes);
/* The virtio disk in this PCI slot has so many bytes, whole sectors. */
void board_set_capacity(struct board *board, unsigned int slot, uint64_t bytes);
/* The eject buttons of CD-ROM drives. */
void board_press_eject(struct board *board);

/* The cell's word: of a drive, and how many presses of the power button the guest has taken since its start. */
struct board_door board_door(struct board *board, unsigned int drive);
uint64_t board_buttons_taken(struct board *board);

/* Looks at messages, and sends what there was no buffer for. */
void board_serve(struct board *board);
/* The cell waits for room that was made since it was asked last: it wants an event. */
bool board_event_wanted(struct board *board);

/* Before sleeping: announces it; false: there is work, do not sleep. After it: board_awake. */
bool board_sleep(struct board *board, bool output_wanted);
void board_awake(struct board *board);

#endif
