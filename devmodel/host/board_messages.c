// SPDX-License-Identifier: GPL-2.0
/* The machine's buttons, the sizes of its virtio disks, the media and doors of CD-ROM drives: what is told by messages. */
#include "host/board.h"

#define QUEUE_BLOCK	{ KEEL_BLOCK_ENTRIES, KEEL_BLOCK_ARENA }
#define QUEUE_MESSAGES	{ KEEL_MESSAGE_ENTRIES, (uint32_t)KEEL_PAGE_SIZE }

static void open_messages(struct board *board, struct board_messages *messages, const struct keel_queue *queues)
{
	stream_sink_init(&messages->to, board->channel, &queues[0]);
	stream_source_init(&messages->from, board->channel, &queues[1]);
	board_watch(board, &messages->from.vq);
}

static void open_panel(struct board *board, const struct keel_device *row, const struct keel_queue *queues)
{
	(void)row;
	open_messages(board, &board->panel, queues);
}

static void open_cdrom(struct board *board, const struct keel_device *row, const struct keel_queue *queues)
{
	open_messages(board, &board->drive[row->slot], queues + 1);
}

static void send_capacities(struct board *board)
{
	for (uint32_t slot = 0; board->resized && slot <= PC_SLOT_LAST; slot++) {
		struct keel_message message = {
			.kind = KEEL_MESSAGE_CAPACITY, .flags = slot, .number = board->capacity[slot],
		};

		if (!(board->resized >> slot & 1))
			continue;
		if (!stream_sink_put_message(&board->panel.to, &message))
			return;
		board->resized &= ~(1u << slot);
	}
}

static void send_pending(struct board_messages *messages)
{
	for (uint32_t kind = 0; messages->pending >> kind; kind++) {
		struct keel_message message = {
			.kind = kind, .number = kind == KEEL_MESSAGE_MEDIUM ? messages->sectors : 0,
		};

		if (!(messages->pending >> kind & 1))
			continue;
		if (!stream_sink_put_message(&messages->to, &message))
			return;
		messages->pending &= ~(1u << kind);
	}
}

static void send(struct board_messages *messages, enum keel_message_kind kind)
{
	messages->pending |= 1u << kind;
	send_pending(messages);
}

void board_press(struct board *board, enum keel_message_kind button)
{
	send(&board->panel, button);
}

void board_set_medium(struct board *board, unsigned int drive, uint64_t bytes)
{
	board->drive[drive].sectors = bytes / KEEL_SECTOR;
	send(&board->drive[drive], KEEL_MESSAGE_MEDIUM);
}

void board_set_capacity(struct board *board, unsigned int slot, uint64_t bytes)
{
	board->capacity[slot] = bytes / KEEL_SECTOR;
	board->resized |= 1u << slot;
	send_capacities(board);
}

void board_press_eject(struct board *board)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		send(&board->drive[i], KEEL_MESSAGE_EJECT_BUTTON);
}

/* Each says all that those before it did. No more of them than there are entries, however many the cell makes up. */
static void take_messages(struct board *board, struct board_messages *messages, enum keel_message_kind kind)
{
	struct keel_message message;

	for (unsigned int i = 0; i < messages->from.vq.entries; i++) {
		if (!stream_source_take_message(&messages->from, &message, &board->awaited))
			return;
		if (message.kind == kind)
			messages->last = message;
	}
}

struct board_door board_door(struct board *board, unsigned int drive)
{
	struct board_messages *messages = &board->drive[drive];

	take_messages(board, messages, KEEL_MESSAGE_DOOR);
	return (struct board_door){ messages->last.flags & KEEL_MESSAGE_LOCKED, messages->last.number };
}

uint64_t board_buttons_taken(struct board *board)
{
	take_messages(board, &board->panel, KEEL_MESSAGE_TAKEN);
	return board->panel.last.number;
}

static void serve_panel(struct board *board, const struct keel_device *row)
{
	(void)row;
	board_buttons_taken(board);
	send_pending(&board->panel);
	send_capacities(board);
}

static void serve_cdrom(struct board *board, const struct keel_device *row)
{
	board_door(board, row->slot);
	send_pending(&board->drive[row->slot]);
}

const struct board_kind board_panel = {
	.type = KEEL_DEVICE_PANEL, .always = true, .queues = 2, .queue = { QUEUE_MESSAGES, QUEUE_MESSAGES },
	.open = open_panel, .serve = serve_panel,
};

const struct board_kind board_disk = { .type = KEEL_DEVICE_IDE_DISK, .queues = 1, .queue = { QUEUE_BLOCK } };

const struct board_kind board_cdrom = {
	.type = KEEL_DEVICE_IDE_CDROM, .queues = 3, .queue = { QUEUE_BLOCK, QUEUE_MESSAGES, QUEUE_MESSAGES },
	.open = open_cdrom, .serve = serve_cdrom,
};
