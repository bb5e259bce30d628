// SPDX-License-Identifier: GPL-2.0
/* What the machine has of the resource half: characters, disk requests, messages. */
#include "machine/pc.h"

void pc_debug_character(void *owner, uint8_t character)
{
	link_debug(&((struct pc *)owner)->link, character);
}

bool pc_serial_transmit(void *owner, uint8_t character)
{
	return link_output(&((struct pc *)owner)->link, character);
}

bool pc_submit(void *owner, unsigned int drive, unsigned int chunk, enum keel_block_op op, uint64_t offset, uint32_t count)
{
	struct pc *pc = owner;
	bool taken = block_submit(&pc->block[drive], chunk, op, offset, count);

	pc->link.produced |= taken;
	return taken;
}

void pc_door(void *owner, unsigned int drive, bool locked, bool ejected)
{
	link_door(&((struct pc *)owner)->link, drive, locked, ejected);
}

static void complete(struct pc *pc, unsigned int drive)
{
	unsigned int chunk;
	int32_t status;

	if (!pc->drive[drive])
		return;
	for (unsigned int i = 0; i < KEEL_BLOCK_CHUNKS && block_completed(&pc->block[drive], &chunk, &status); i++)
		ide_complete(&pc->ide.channel[drive / IDE_CHANNEL_DRIVES], drive % IDE_CHANNEL_DRIVES, chunk, status);
}

/* The NMI button is wired to LINT1 of all processors. */
static void nmi_button(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		lapic_set_lint(&pc->vcpu[i].lapic, 1, true);
		lapic_set_lint(&pc->vcpu[i].lapic, 1, false);
	}
}

static void take_panel_message(struct pc *pc, const struct keel_message *message)
{
	if (message->kind == KEEL_MESSAGE_POWER_BUTTON)
		piix4_pm_power_button(&pc->pm);
	else if (message->kind == KEEL_MESSAGE_NMI)
		nmi_button(pc);
}

static void take_drive_message(struct pc *pc, unsigned int drive, const struct keel_message *message)
{
	struct ide_channel *channel = &pc->ide.channel[drive / IDE_CHANNEL_DRIVES];

	if (message->kind == KEEL_MESSAGE_EJECT_BUTTON)
		ide_eject_request(channel, drive % IDE_CHANNEL_DRIVES);
	else if (message->kind == KEEL_MESSAGE_MEDIUM && message->number <= INT64_MAX / KEEL_SECTOR)
		ide_medium_changed(channel, drive % IDE_CHANNEL_DRIVES,
				   message->number * KEEL_SECTOR / PC_CDROM_SECTOR * PC_CDROM_SECTOR);
}

/* As many as there can be at once, and whoever has more waits for the buffers. */
static bool take_messages(struct pc *pc)
{
	struct keel_message message;
	bool any = false;

	for (unsigned int i = 0; i < KEEL_MESSAGE_ENTRIES && link_panel_message(&pc->link, &message); i++) {
		take_panel_message(pc, &message);
		any = true;
	}
	for (unsigned int drive = 0; pc->link.talking >> drive; drive++)
		for (unsigned int i = 0; i < KEEL_MESSAGE_ENTRIES && link_drive_message(&pc->link, drive, &message); i++) {
			take_drive_message(pc, drive, &message);
			any = true;
		}
	return any;
}

void pc_serial_receive(void *owner)
{
	struct pc *pc = owner;
	uint8_t character;

	while (ns16550_receive_room(&pc->serial) && link_input(&pc->link, &character))
		ns16550_receive(&pc->serial, character);
}

void pc_button_taken(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	(void)pin;
	if (level)
		link_button_taken(&pc->link);
}

void pc_event(struct pc *pc)
{
	/* Of all that is looked at here only what messages do has a deadline. */
	if (take_messages(pc)) {
		pc->io.timed = true;
		pc->link.produced = true;
	}
	link_tell(&pc->link);
	/* Of each drive as many as there can be at once: a producer that never stops cannot keep this from ending. */
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		complete(pc, i);
	pc_virtio_event(pc);
	ns16550_drain(&pc->serial);
	pc_serial_receive(pc);
}
