// SPDX-License-Identifier: GPL-2.0
/* The serial console's and the debug port's characters. */
#include "host/board.h"

static void open_console(struct board *board, const struct keel_device *row, const struct keel_queue *queues)
{
	(void)row;
	stream_sink_init(&board->input, board->channel, &queues[0]);
	stream_source_init(&board->output, board->channel, &queues[1]);
}

static void open_debug(struct board *board, const struct keel_device *row, const struct keel_queue *queues)
{
	(void)row;
	stream_source_init(&board->debug, board->channel, &queues[0]);
}

static bool has_output(const struct board *board)
{
	return board->output_wanted && stream_source_has(&board->output);
}

static bool has_debug(const struct board *board)
{
	return stream_source_has(&board->debug);
}

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

/* A guest may put out its characters one by one: there are many small buffers for them. */
const struct board_kind board_console = {
	.type = KEEL_DEVICE_CONSOLE, .always = true, .queues = 2,
	.queue = { { STREAM_BUFFERS, BOARD_STREAM_BYTES }, { KEEL_STREAM_ENTRIES_MOST, BOARD_STREAM_BYTES } },
	.open = open_console, .has = has_output,
};

const struct board_kind board_debug = {
	.type = KEEL_DEVICE_DEBUG, .always = true, .queues = 1, .queue = { { KEEL_STREAM_ENTRIES_MOST, BOARD_STREAM_BYTES } },
	.open = open_debug, .has = has_debug,
};
