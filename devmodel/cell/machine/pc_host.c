// SPDX-License-Identifier: GPL-2.0
/* The devices of the machine that the resource half serves: those that the channel has rows for. */
#include "machine/pc.h"

#include <keel/macros.h>

const struct link_kind *const link_kinds[] = {
	&pc_disk_kind,
	&pc_cdrom_kind,
	&pc_console_kind,
	&pc_debug_kind,
	&pc_panel_kind,
	&pc_virtio_kind,
};

const unsigned int link_kind_count = ARRAY_SIZE(link_kinds);

unsigned int pc_open_rows(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.devices; i++) {
		const struct keel_device *row = &pc->machine.device[i];
		const struct link_kind *kind = link_find_kind(row);

		if (!kind->open(pc, row, &pc->machine.queue[row->first_queue]))
			return CELL_REFUSED_DEVICE;
		if (kind->event)
			pc->event[pc->events++] = (struct pc_event){ kind->event, row };
	}
	return 0;
}

/* As many as there can be at once, and whoever has more waits for the buffers. */
void pc_take_messages(struct pc *pc, struct link_messages *messages, const struct keel_device *row, pc_message_fn *take)
{
	struct keel_message message;

	for (unsigned int i = 0; i < KEEL_MESSAGE_ENTRIES && stream_receive(&messages->in, &message); i++) {
		take(pc, row, &message);
		/* Of all that an event looks at only what messages do has a deadline. */
		pc->io.timed = true;
		pc->link.produced = true;
	}
}

void pc_event(struct pc *pc)
{
	link_tell(&pc->link);
	for (unsigned int i = 0; i < pc->events; i++)
		pc->event[i].take(pc, pc->event[i].row);
}
