// SPDX-License-Identifier: GPL-2.0
/*
 * What a guest has done, for people and programs that watch it. What its cell tells is its own word, and begins with the run; the
 * rest is counted on this side, and goes on over restarts.
 */
#include "host/machine.h"

#include <string.h>

#include <keel/macros.h>

#include "common/clock.h"
#include "host/backend/net.h"

#define MEASURE_MS		3000	/* time is measured for so long, from the last request that wanted it on */

/* Exits that the cell is entered for; it is polled and brought events, too. */
static const char *const cell_exits[KEEL_EXIT_KINDS] = {
	[KEEL_EXIT_IO] = "io", [KEEL_EXIT_MMIO] = "mmio", [KEEL_EXIT_HLT] = "hlt", [KEEL_EXIT_RDMSR] = "rdmsr",
	[KEEL_EXIT_WRMSR] = "wrmsr", [KEEL_EXIT_WINDOW] = "window", [KEEL_EXIT_TPR] = "tpr", [KEEL_EXIT_EOI] = "eoi",
	[KEEL_EXIT_APIC_WRITE] = "apic-write", [KEEL_EXIT_TASK_SWITCH] = "task-switch",
};

static const char *const keel_exits[KEEL_COUNTS] = {
	[KEEL_COUNT_INTERRUPT] = "interrupt", [KEEL_COUNT_CPUID] = "cpuid", [KEEL_COUNT_RDMSR] = "rdmsr",
	[KEEL_COUNT_WRMSR] = "wrmsr", [KEEL_COUNT_XSETBV] = "xsetbv", [KEEL_COUNT_PAUSE] = "pause",
};

static const char *const disk_operations[DISK_OPERATIONS] = {
	[DISK_READ] = "read", [DISK_WRITE] = "write", [DISK_FLUSH] = "flush", [DISK_DISCARD] = "discard",
	[DISK_WRITE_ZEROES] = "write-zeroes",
};

/* Of what anybody may have written. */
static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)(value & INT64_MAX));
}

/* The cell */

static bool tell_cell(struct machine *m, uint32_t commands, struct keel_statistics *copy)
{
	struct keel_statistics *area = (void *)((uint8_t *)m->vm.channel + m->layout.statistics);

	__atomic_fetch_or(&area->commands, commands, __ATOMIC_ACQ_REL);
	vm_event(&m->vm);
	memcpy(copy, area, sizeof(*copy));
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return !(copy->commands & KEEL_STATISTICS_TELL);
}

static uint64_t ns_of(const struct machine *m, uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * 1000000 / m->info.tsc_khz);
}

static json_t *describe_exits(const struct keel_statistics *s)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < KEEL_COUNTS; i++)
		if (keel_exits[i])
			json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "kind", keel_exits[i], "by", "keel", "count",
							      number(s->count[i])));
	for (unsigned int i = 0; i < KEEL_EXIT_KINDS; i++)
		if (cell_exits[i])
			json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "kind", cell_exits[i], "by", "cell", "count",
							      number(s->exits[i])));
	return list;
}

static bool is_name(const char name[KEEL_STATISTICS_NAME])
{
	size_t length = strnlen(name, KEEL_STATISTICS_NAME);

	return length && length < KEEL_STATISTICS_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

/* NULL: there is no room for one more. */
static struct keel_device_statistics *find_counted(struct machine *m, const struct keel_device_statistics *row)
{
	unsigned int i = 0;

	while (i < m->counted_devices && (m->counted[i].instance != row->instance || strcmp(m->counted[i].name, row->name)))
		i++;
	if (i == KEEL_STATISTICS_DEVICES)
		return NULL;
	if (i == m->counted_devices)
		m->counted[m->counted_devices++] = *row;
	return &m->counted[i];
}

static void take_devices(struct machine *m, const struct keel_statistics *s)
{
	for (unsigned int i = 0; i < m->counted_devices; i++)
		m->counted[i].accesses = 0;
	for (unsigned int i = 0; i < s->devices && i < KEEL_STATISTICS_DEVICES; i++) {
		struct keel_device_statistics *counted = is_name(s->device[i].name) ? find_counted(m, &s->device[i]) : NULL;

		if (counted)
			counted->accesses = s->device[i].accesses;
	}
}

static json_t *describe_devices(struct machine *m, const struct keel_statistics *s)
{
	json_t *list = json_array();

	take_devices(m, s);
	for (unsigned int i = 0; i < m->counted_devices; i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:o}", "device", m->counted[i].name, "instance",
						      (json_int_t)m->counted[i].instance, "accesses",
						      number(m->counted[i].accesses)));
	return list;
}

static json_t *describe_cell(struct machine *m, const struct keel_statistics *s)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "stays", number(s->count[KEEL_COUNT_RUN]), "busy", number(s->count[KEEL_COUNT_BUSY]),
			 "suspended", number(s->count[KEEL_COUNT_SUSPENDED]), "polls", number(s->exits[KEEL_EXIT_POLL]),
			 "events", number(s->exits[KEEL_EXIT_EVENT]), "exits", describe_exits(s),
			 "devices", describe_devices(m, s), "stays_ns", number(ns_of(m, s->stays)),
			 "guest_ns", number(ns_of(m, s->guest)), "cell_ns", number(ns_of(m, s->cell)));
}

static json_t *ask_cell(struct machine *m, bool measure)
{
	uint32_t commands = KEEL_STATISTICS_TELL;
	struct keel_statistics s;

	if (measure && !m->measured_until_ms)
		commands |= KEEL_STATISTICS_MEASURE;
	if (measure)
		m->measured_until_ms = clock_ms() + MEASURE_MS;
	return tell_cell(m, commands, &s) ? describe_cell(m, &s) : NULL;
}

void machine_keep_statistics(struct machine *m)
{
	struct keel_statistics s;

	if (m->state != MACHINE_RUNNING || !m->measured_until_ms || clock_ms() < m->measured_until_ms)
		return;
	m->measured_until_ms = 0;
	tell_cell(m, KEEL_STATISTICS_CEASE, &s);
}

int machine_statistics_due(const struct machine *m)
{
	uint64_t now = clock_ms();

	if (m->state != MACHINE_RUNNING || !m->measured_until_ms)
		return -1;
	return m->measured_until_ms > now ? (int)(m->measured_until_ms - now) : 0;
}

/* The host's side */

static json_t *describe_disk(const struct disk *disk, const char *slot)
{
	json_t *object = json_pack("{s:s}", "slot", slot);

	for (unsigned int i = 0; i < DISK_OPERATIONS; i++) {
		const struct disk_statistics *s = &disk->statistics[i];

		json_object_set_new(object, disk_operations[i],
				    json_pack("{s:o, s:o, s:o, s:o}", "done", number(s->done), "bytes", number(s->bytes),
					      "failed", number(s->failed), "ns", number(s->ns)));
	}
	return object;
}

static json_t *describe_disks(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		if (m->manifest.drives[i].kind != MANIFEST_DRIVE_NONE)
			json_array_append_new(list, describe_disk(&m->disks[i], machine_part_name((enum machine_part)i)));
	return list;
}

static json_t *describe_direction(const struct net_count *count)
{
	return json_pack("{s:o, s:o, s:o}", "frames", number(count->frames), "bytes", number(count->bytes),
			 "dropped", number(count->dropped));
}

static json_t *describe_networks(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < m->manifest.networks; i++) {
		const struct net *net = devices_state(&m->devices, &backend_net, i);

		json_array_append_new(list, json_pack("{s:i, s:o, s:o}", "number", (int)i, "sent", describe_direction(&net->sent),
						      "received", describe_direction(&net->received)));
	}
	return list;
}

static json_t *describe_vcpus(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < m->manifest.vcpus; i++)
		json_array_append_new(list, number(vm_cpu_ns(&m->vm, i)));
	return list;
}

static uint64_t process_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* {"measure": true}: the cell has its time measured for a while, from now on. */
json_t *machine_describe_statistics(struct machine *m, struct control_connection *connection, const json_t *request)
{
	bool measure = json_is_true(json_object_get(request, "measure"));
	json_t *cell = m->state == MACHINE_RUNNING ? ask_cell(m, measure) : NULL;
	json_t *vcpus = describe_vcpus(m);
	/* Later than its threads', so that it is not less. */
	json_t *process = number(process_ns()), *answer;

	(void)connection;
	answer = json_pack("{s:b, s:s, s:o, s:s, s:i, s:I, s:I, s:i, s:I, s:o, s:o, s:o, s:o, s:o*}", "ok", 1,
			   "name", m->manifest.name, "at_ns", number(clock_ns()), "state", machine_state_name(m),
			   "vcpus", (int)m->manifest.vcpus, "memory_bytes", (json_int_t)m->manifest.memory,
			   "started", (json_int_t)m->started_at, "restarts", (int)m->restarts,
			   "io_errors", (json_int_t)machine_count_errors(m), "disks", describe_disks(m),
			   "networks", describe_networks(m), "vcpu_ns", vcpus, "process_ns", process, "cell", cell);
	return answer ? answer : json_pack("{s:b, s:s}", "ok", 0, "error", "its process is out of memory");
}
