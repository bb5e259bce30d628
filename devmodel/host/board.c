// SPDX-License-Identifier: GPL-2.0
/* The resource half's end of the channel: characters, messages, and sleep. */
#include "host/board.h"

#define STORE(p, value)		__atomic_store_n(&(p), value, __ATOMIC_RELEASE)

static void open_messages(struct board *board, struct board_messages *messages, const struct keel_queue *queues)
{
	stream_sink_init(&messages->to, board->channel, &queues[0]);
	stream_source_init(&messages->from, board->channel, &queues[1]);
	board_watch(board, &messages->from.vq);
}

static void open_device(struct board *board, const struct keel_device *device, const struct keel_queue *queues)
{
	switch (device->type) {
	case KEEL_DEVICE_IDE_CDROM:
		open_messages(board, &board->drive[device->slot], queues + 1);
		break;
	case KEEL_DEVICE_CONSOLE:
		stream_sink_init(&board->input, board->channel, &queues[0]);
		stream_source_init(&board->output, board->channel, &queues[1]);
		break;
	case KEEL_DEVICE_DEBUG:
		stream_source_init(&board->debug, board->channel, &queues[0]);
		break;
	case KEEL_DEVICE_PANEL:
		open_messages(board, &board->panel, queues);
		break;
	default:
		break;
	}
}

void board_init(struct board *board, struct keel_channel *channel, const struct keel_device *devices, unsigned int count,
		const struct keel_queue *queues)
{
	*board = (struct board){ .channel = channel };
	for (unsigned int i = 0; i < count; i++)
		open_device(board, &devices[i], &queues[devices[i].first_queue]);
}

void board_watch(struct board *board, const struct vq_device *queue)
{
	board->queue[board->queues++] = queue;
}

static bool has_request(const struct board *board)
{
	for (unsigned int i = 0; i < board->queues; i++)
		if (vq_device_has(board->queue[i]))
			return true;
	return false;
}

/* Characters */

size_t board_take_output(struct board *board, uint8_t *to, size_t room)
{
	return stream_source_take(&board->output, to, room, &board->awaited);
}

size_t board_take_debug(struct board *board, uint8_t *to, size_t room)
{
	bool awaited = false;

	/* What the cell has no room for is lost: it does not wait. */
	return stream_source_take(&board->debug, to, room, &awaited);
}

size_t board_input_room(struct board *board)
{
	return stream_sink_room(&board->input);
}

void board_put_input(struct board *board, const uint8_t *from, size_t count)
{
	stream_sink_put(&board->input, from, count);
}

/* Messages */

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

void board_serve(struct board *board)
{
	board_buttons_taken(board);
	send_pending(&board->panel);
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		board_door(board, i);
		send_pending(&board->drive[i]);
	}
}

bool board_event_wanted(struct board *board)
{
	bool awaited = board->awaited;

	board->awaited = false;
	return awaited;
}

/* Sleep */

bool board_sleep(struct board *board, bool output_wanted)
{
	STORE(board->channel->host_asleep, 1);
	/* The cell writes its entry, then looks at the flag; here the flag goes first, then the look at the queues. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (has_request(board) || stream_source_has(&board->debug) || (output_wanted && stream_source_has(&board->output))) {
		board_awake(board);
		return false;
	}
	return true;
}

void board_awake(struct board *board)
{
	STORE(board->channel->host_asleep, 0);
}
