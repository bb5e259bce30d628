// SPDX-License-Identifier: GPL-2.0
/* The resource half's end of the channel: the devices of the board, and sleep. */
#include "host/board.h"

#include <keel/macros.h>

#define STORE(p, value)		__atomic_store_n(&(p), value, __ATOMIC_RELEASE)

const struct board_kind *const board_kinds[] = {
	&board_console,
	&board_debug,
	&board_panel,
	&board_disk,
	&board_cdrom,
};

const unsigned int board_kind_count = ARRAY_SIZE(board_kinds);

const struct board_kind *board_find_kind(uint32_t type)
{
	for (unsigned int i = 0; i < board_kind_count; i++)
		if (board_kinds[i]->type == type)
			return board_kinds[i];
	return NULL;
}

void board_init(struct board *board, struct keel_channel *channel, const struct keel_device *devices, unsigned int count,
		const struct keel_queue *queues)
{
	*board = (struct board){ .channel = channel };
	for (unsigned int i = 0; i < count; i++) {
		const struct board_kind *kind = board_find_kind(devices[i].type);

		if (!kind)
			continue;
		if (kind->open)
			kind->open(board, &devices[i], &queues[devices[i].first_queue]);
		board->device[board->opened].kind = kind;
		board->device[board->opened++].row = devices[i];
	}
}

void board_watch(struct board *board, const struct vq_device *queue)
{
	board->queue[board->queues++] = queue;
}

void board_serve(struct board *board)
{
	for (unsigned int i = 0; i < board->opened; i++)
		if (board->device[i].kind->serve)
			board->device[i].kind->serve(board, &board->device[i].row);
}

bool board_event_wanted(struct board *board)
{
	bool awaited = board->awaited;

	board->awaited = false;
	return awaited;
}

/* Sleep */

static bool has_work(const struct board *board)
{
	for (unsigned int i = 0; i < board->queues; i++)
		if (vq_device_has(board->queue[i]))
			return true;
	for (unsigned int i = 0; i < board->opened; i++)
		if (board->device[i].kind->has && board->device[i].kind->has(board))
			return true;
	return false;
}

bool board_sleep(struct board *board, bool output_wanted)
{
	board->output_wanted = output_wanted;
	STORE(board->channel->host_asleep, 1);
	/* The cell writes its entry, then looks at the flag; here the flag goes first, then the look at the queues. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!has_work(board))
		return true;
	board_awake(board);
	return false;
}

void board_awake(struct board *board)
{
	STORE(board->channel->host_asleep, 0);
}
