// SPDX-License-Identifier: GPL-2.0
/* What the machine has of the resource half: characters, disk requests, commands. */
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

/* The size of a CD-ROM's new medium is where the first one's was; it is the only part of the machine that is read again. */
static void media_changed(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.devices; i++) {
		uint64_t sectors = link_block_sectors(&pc->link.channel->machine.device[i]);
		unsigned int drive = pc->machine.device[i].slot;

		if (pc->machine.device[i].type != KEEL_DEVICE_IDE_CDROM || sectors > INT64_MAX / KEEL_SECTOR)
			continue;
		ide_medium_changed(&pc->ide.channel[drive / IDE_CHANNEL_DRIVES], drive % IDE_CHANNEL_DRIVES,
				   sectors * KEEL_SECTOR / PC_CDROM_SECTOR * PC_CDROM_SECTOR);
	}
}

static void eject_buttons(struct pc *pc)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		ide_eject_request(&pc->ide.channel[i / IDE_CHANNEL_DRIVES], i % IDE_CHANNEL_DRIVES);
}

/* The NMI button is wired to LINT1 of all processors. */
static void nmi_button(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		lapic_set_lint(&pc->vcpu[i].lapic, 1, true);
		lapic_set_lint(&pc->vcpu[i].lapic, 1, false);
	}
}

void pc_serial_receive(void *owner)
{
	struct pc *pc = owner;
	int character;

	while (ns16550_receive_room(&pc->serial) && (character = link_input(&pc->link)) >= 0)
		ns16550_receive(&pc->serial, (uint8_t)character);
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
	uint32_t commands = link_commands(&pc->link, ~TRANSFER_COMMANDS);

	if (commands & KEEL_COMMAND_POWER_BUTTON)
		piix4_pm_power_button(&pc->pm);
	if (commands & KEEL_COMMAND_NMI)
		nmi_button(pc);
	if (commands & KEEL_COMMAND_MEDIUM_CHANGED)
		media_changed(pc);
	if (commands & KEEL_COMMAND_EJECT_REQUEST)
		eject_buttons(pc);
	/* Neither disks nor consoles nor virtio devices have a deadline. */
	pc->io.timed |= commands != 0;
	/* Of each drive as many as there can be at once: a producer that never stops cannot keep this from ending. */
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		complete(pc, i);
	pc_virtio_event(pc);
	ns16550_drain(&pc->serial);
	pc_serial_receive(pc);
}
