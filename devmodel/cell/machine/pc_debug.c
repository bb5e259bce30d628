// SPDX-License-Identifier: GPL-2.0
/* The debug port's lines, to the resource half. */
#include "machine/pc.h"

static bool open_port(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues)
{
	(void)row;
	stream_out_init(&pc->log.out, link_bytes(&pc->link, 0), &queues[0], pc->log.shadow);
	link_add_stream(&pc->link, &pc->log.out);
	return true;
}

/* Log lines are not urgent: the other end is woken for whole lines, or when the queue fills. What does not fit is dropped. */
void pc_debug_character(void *owner, uint8_t character)
{
	struct pc *pc = owner;
	struct stream_out *out = &pc->log.out;

	if (!stream_put(out, character))
		return;
	if (character == '\n' || stream_under_way(out) > out->queue.entries / 2u)
		pc->link.produced = true;
	/* Without anything else to be told nobody comes by before the guest goes on. */
	else
		stream_flush(out);
}

void pc_debug_bytes(struct pc *pc, const char *text, const uint8_t *bytes, unsigned int count)
{
	static const char digits[] = "0123456789abcdef";

	while (*text)
		pc_debug_character(pc, (uint8_t)*text++);
	for (unsigned int i = 0; i < count; i++) {
		pc_debug_character(pc, ' ');
		pc_debug_character(pc, (uint8_t)digits[bytes[i] / 16]);
		pc_debug_character(pc, (uint8_t)digits[bytes[i] % 16]);
	}
	pc_debug_character(pc, '\n');
}

const struct link_kind pc_debug_kind = { .type = KEEL_DEVICE_DEBUG, .place = LINK_PLACE_ALONE, .queues = 1, .open = open_port };
