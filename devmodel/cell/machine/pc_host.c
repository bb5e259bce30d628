// SPDX-License-Identifier: GPL-2.0
/* What the machine has of the resource half: characters, disk requests, commands. */
#include "machine/pc.h"

#define TAG_DRIVE		(KEEL_DRIVES - 1)

_Static_assert((KEEL_DRIVES & TAG_DRIVE) == 0, "a tag's low bits are the drive");

void pc_debug_character(void *owner, uint8_t character)
{
	link_debug(&((struct pc *)owner)->link, character);
}

bool pc_serial_transmit(void *owner, uint8_t character)
{
	return link_output(&((struct pc *)owner)->link, character);
}

bool pc_submit(void *owner, unsigned int drive, enum keel_request_op op, uint64_t offset, uint32_t count)
{
	struct pc *pc = owner;
	struct pc_request *r = &pc->request[drive];
	struct keel_request request = { .op = op, .drive = drive, .offset = offset, .count = count };

	if (r->in_flight)
		return false;
	r->tag += KEEL_DRIVES;
	request.tag = r->tag | drive;
	r->in_flight = link_submit(&pc->link, &request);
	return r->in_flight;
}

void pc_door(void *owner, unsigned int drive, bool locked, bool ejected)
{
	link_door(&((struct pc *)owner)->link, drive, locked, ejected);
}

static void complete(struct pc *pc, const struct keel_completion *completion)
{
	unsigned int drive = completion->tag & TAG_DRIVE;
	struct pc_request *r = &pc->request[drive];

	if (!r->in_flight || completion->tag != (r->tag | drive))
		return;
	r->in_flight = false;
	ide_complete(&pc->ide.channel[drive / IDE_CHANNEL_DRIVES], drive % IDE_CHANNEL_DRIVES, completion->status);
}

/* The size of a CD-ROM's new medium is where the first one's was; it is the only part of the machine that is read again. */
static void media_changed(struct pc *pc)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		uint64_t bytes = __atomic_load_n(&pc->link.channel->machine.drives[i].bytes, __ATOMIC_ACQUIRE);

		if (pc->machine.drives[i].kind != KEEL_DRIVE_CDROM || bytes > INT64_MAX)
			continue;
		ide_medium_changed(&pc->ide.channel[i / IDE_CHANNEL_DRIVES], i % IDE_CHANNEL_DRIVES,
				   bytes - bytes % PC_CDROM_SECTOR);
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
	uint32_t commands = link_commands(&pc->link);
	struct keel_completion completion;

	if (commands & KEEL_COMMAND_POWER_BUTTON)
		piix4_pm_power_button(&pc->pm);
	if (commands & KEEL_COMMAND_NMI)
		nmi_button(pc);
	if (commands & KEEL_COMMAND_MEDIUM_CHANGED)
		media_changed(pc);
	if (commands & KEEL_COMMAND_EJECT_REQUEST)
		eject_buttons(pc);
	/* One ring at most: a producer that never stops cannot keep this from ending. */
	for (unsigned int i = 0; i < KEEL_RING_REQUESTS && link_next_completion(&pc->link, &completion); i++)
		complete(pc, &completion);
	ns16550_drain(&pc->serial);
	pc_serial_receive(pc);
	pc->io.timed = true;
}
