// SPDX-License-Identifier: GPL-2.0
/* The stand-in's statistics: what the guest was ordered to have done, or what a cell that was taken over makes up. */
#include "standin.h"

#include <stdio.h>
#include <string.h>

#define FIRST_TICKS		2000000u	/* a millisecond of a stand-in's TSC */

static struct keel_statistics counted;
static bool measured, lies;

static struct keel_statistics *area(void)
{
	return (struct keel_statistics *)(void *)((uint8_t *)channel + channel->machine.statistics);
}

void statistics_count(unsigned int kind, const char *device, uint32_t instance, uint64_t count)
{
	unsigned int i = 0;

	while (i < counted.devices && (strcmp(counted.device[i].name, device) || counted.device[i].instance != instance))
		i++;
	if (i == KEEL_STATISTICS_DEVICES || kind >= KEEL_EXIT_KINDS) {
		fprintf(stderr, "stand-in: no room for device %s, or no kind %u\n", device, kind);
		return;
	}
	if (i == counted.devices) {
		snprintf(counted.device[i].name, sizeof(counted.device[i].name), "%s", device);
		counted.device[i].instance = instance;
		counted.devices++;
	}
	counted.exits[kind] += count;
	counted.device[i].accesses += count;
}

void statistics_lie(void)
{
	lies = true;
}

/* Of a name that is none, twice the same, one without an end; and more rows than there are. */
static void lie(void)
{
	struct keel_statistics *to = area();
	static uint32_t made_up;

	memset(to, 0xff, sizeof(*to));
	to->device[0] = (struct keel_device_statistics){ .name = "a\"} 1\nb", .accesses = 1 };
	to->device[1] = to->device[2] = (struct keel_device_statistics){ .name = "twice", .accesses = UINT64_MAX };
	for (unsigned int i = 3; i < KEEL_STATISTICS_DEVICES - 1; i++)
		to->device[i] = (struct keel_device_statistics){ .name = "new", .instance = ++made_up };
	to->commands = 0;
}

void statistics_take(void)
{
	uint32_t commands = __atomic_exchange_n(&area()->commands, 0, __ATOMIC_ACQ_REL);

	if (commands & KEEL_STATISTICS_MEASURE)
		note("measure");
	if (commands & KEEL_STATISTICS_CEASE)
		note("cease");
	measured = (measured || commands & KEEL_STATISTICS_MEASURE) && !(commands & KEEL_STATISTICS_CEASE);
	if (!(commands & KEEL_STATISTICS_TELL))
		return;
	if (lies) {
		lie();
		return;
	}
	/* As if the guest had had so much at each look. */
	counted.count[KEEL_COUNT_RUN]++;
	if (measured) {
		counted.stays += 4 * FIRST_TICKS;
		counted.guest += 2 * FIRST_TICKS;
		counted.cell += FIRST_TICKS;
	}
	counted.commands = 0;
	memcpy(area(), &counted, sizeof(counted));
}
