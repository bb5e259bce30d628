// SPDX-License-Identifier: GPL-2.0
/* The buttons of the machine, and messages for its virtio devices, which have no queue for these. */
#include "machine/pc.h"

#include "shared/pc_map.h"

static bool open_panel(struct pc *pc, const struct keel_device *row, const struct keel_queue *queues)
{
	(void)row;
	link_open_messages(&pc->link, &pc->panel, queues);
	return true;
}

/* The NMI button is wired to LINT1 of all processors. */
static void nmi_button(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		lapic_set_lint(&pc->vcpu[i].lapic, PC_LINT_NMI, true);
		lapic_set_lint(&pc->vcpu[i].lapic, PC_LINT_NMI, false);
	}
}

static void take_message(struct pc *pc, const struct keel_device *row, const struct keel_message *message)
{
	(void)row;
	if (message->kind == KEEL_MESSAGE_POWER_BUTTON)
		piix4_pm_power_button(&pc->pm);
	else if (message->kind == KEEL_MESSAGE_NMI)
		nmi_button(pc);
	else if (message->kind == KEEL_MESSAGE_CAPACITY)
		pc_virtio_message(pc, message->flags, message);
}

static void event(struct pc *pc, const struct keel_device *row)
{
	pc_take_messages(pc, &pc->panel, row, take_message);
}

void pc_button_taken(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	(void)pin;
	if (!level)
		return;
	pc->panel.last.kind = KEEL_MESSAGE_TAKEN;
	pc->panel.last.number++;
	link_send(&pc->link, &pc->panel);
}

const struct link_kind pc_panel_kind = {
	.type = KEEL_DEVICE_PANEL, .place = LINK_PLACE_ALONE, .queues = 2, .messages = 2, .open = open_panel, .event = event,
};
