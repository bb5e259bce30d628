// SPDX-License-Identifier: GPL-2.0
/* The serial console's characters, to the resource half and from it. */
#include "machine/pc.h"

static bool open_console(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues)
{
	struct pc_console *console = &pc->console;

	(void)row;
	stream_in_init(&console->in, link_bytes(&pc->link, 0), &queues[0], console->in_shadow);
	stream_out_init(&console->out, link_bytes(&pc->link, 0), &queues[1], console->out_shadow);
	link_add_stream(&pc->link, &console->out);
	return true;
}

bool pc_serial_transmit(void *owner, uint8_t character)
{
	struct pc *pc = owner;
	bool taken = stream_put(&pc->console.out, character);

	pc->link.produced |= taken;
	return taken;
}

void pc_serial_receive(void *owner)
{
	struct pc *pc = owner;
	uint8_t character;

	while (ns16550_receive_room(&pc->serial) && stream_get(&pc->console.in, &character))
		ns16550_receive(&pc->serial, character);
}

static void event(struct pc *pc, const struct keel_device *row)
{
	(void)row;
	ns16550_drain(&pc->serial);
	pc_serial_receive(pc);
}

const struct link_kind pc_console_kind = {
	.type = KEEL_DEVICE_CONSOLE, .place = LINK_PLACE_ALONE, .queues = 2, .open = open_console, .event = event,
};
