// SPDX-License-Identifier: GPL-2.0
/*
 * keel metrics: counts of guests in Prometheus' text format, version 0.0.4: all samples of a name are together, behind its HELP
 * and TYPE; times are in seconds, and names of counters end in _total.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "client.h"
#include "commands.h"
#include "output.h"
#include "statistics.h"

#define NS_PER_SECOND		1000000000ull

struct family;
typedef void print_fn(const struct family *family, const struct statistics *s);

struct family {
	const char *name;
	const char *type;
	const char *help;
	print_fn *print;	/* the samples of a guest that is known */
	size_t place;		/* of the number, in what print goes through; */
	bool is_time;		/* it is one in nanoseconds */
	bool of_cell;		/* there are samples only of a guest whose cell has told */
};

/* In the format's own escapes; what is in it beyond them is a name of a folder. */
static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"')
			putchar('\\');
		if (*text == '\n')
			fputs("\\n", stdout);
		else
			putchar(*text);
	}
}

/* more: further labels, each behind a comma. */
static void print_labels(const struct family *family, const struct statistics *s, const char *more)
{
	printf("keel_guest_%s{guest=\"", family->name);
	print_escaped(s->name);
	printf("\"%s} ", more);
}

static void print_value(const struct family *family, const struct statistics *s, const char *more, uint64_t value)
{
	print_labels(family, s, more);
	if (family->is_time)
		printf("%llu.%09llu\n", (unsigned long long)(value / NS_PER_SECOND), (unsigned long long)(value % NS_PER_SECOND));
	else
		printf("%llu\n", (unsigned long long)value);
}

/* The family's number in a struct. */
static uint64_t value_in(const struct family *family, const void *of)
{
	uint64_t value;

	memcpy(&value, (const char *)of + family->place, sizeof(value));
	return value;
}

static void print_one(const struct family *family, const struct statistics *s)
{
	print_value(family, s, "", value_in(family, s));
}

static void print_vcpus(const struct family *family, const struct statistics *s)
{
	char label[32];

	for (unsigned int i = 0; i < s->vcpus; i++) {
		snprintf(label, sizeof(label), ",vcpu=\"%u\"", i);
		print_value(family, s, label, s->vcpu_ns[i]);
	}
}

static void print_rest(const struct family *family, const struct statistics *s)
{
	print_value(family, s, "", statistics_rest_ns(s));
}

static void print_polls(const struct family *family, const struct statistics *s)
{
	print_value(family, s, ",kind=\"poll\"", s->polls);
	print_value(family, s, ",kind=\"event\"", s->events);
}

static void print_exits(const struct family *family, const struct statistics *s)
{
	char label[2 * STATISTICS_WORD + 32];

	for (unsigned int i = 0; i < s->exits; i++) {
		snprintf(label, sizeof(label), ",kind=\"%s\",by=\"%s\"", s->exit[i].kind, s->exit[i].by);
		print_value(family, s, label, s->exit[i].count);
	}
}

static void print_accesses(const struct family *family, const struct statistics *s)
{
	char label[STATISTICS_WORD + 64];

	for (unsigned int i = 0; i < s->devices; i++) {
		snprintf(label, sizeof(label), ",device=\"%s\",instance=\"%llu\"", s->device[i].device,
			 (unsigned long long)s->device[i].instance);
		print_value(family, s, label, s->device[i].accesses);
	}
}

static void print_measured(const struct family *family, const struct statistics *s)
{
	uint64_t below = s->guest_ns + s->cell_ns;

	print_value(family, s, ",in=\"guest\"", s->guest_ns);
	print_value(family, s, ",in=\"cell\"", s->cell_ns);
	print_value(family, s, ",in=\"keel\"", s->stays_ns > below ? s->stays_ns - below : 0);
}

static void print_disks(const struct family *family, const struct statistics *s)
{
	char label[2 * STATISTICS_WORD + 32];

	for (unsigned int i = 0; i < s->disks; i++)
		for (unsigned int j = 0; j < STATISTICS_OPERATIONS; j++) {
			snprintf(label, sizeof(label), ",disk=\"%s\",operation=\"%s\"", s->disk[i].slot,
				 statistics_operations[j]);
			print_value(family, s, label, value_in(family, &s->disk[i].operation[j]));
		}
}

static void print_networks(const struct family *family, const struct statistics *s)
{
	char label[96];

	for (unsigned int i = 0; i < s->networks; i++)
		for (unsigned int j = 0; j < STATISTICS_DIRECTIONS; j++) {
			snprintf(label, sizeof(label), ",network=\"%llu\",direction=\"%s\"",
				 (unsigned long long)s->network[i].number, statistics_directions[j]);
			print_value(family, s, label, value_in(family, &s->network[i].direction[j]));
		}
}

#define FIELD(name, type, help, member)	{ name, type, help, print_one, offsetof(struct statistics, member), false, false }
#define TOLD(name, help, member)	{ name, "counter", help, print_one, offsetof(struct statistics, member), false, true }
#define DISK(name, help, member, is_time) \
	{ name, "counter", help, print_disks, offsetof(struct statistics_request, member), is_time, false }
#define NETWORK(name, help, member) \
	{ name, "counter", help, print_networks, offsetof(struct statistics_traffic, member), false, false }

static const struct family families[] = {
	FIELD("start_time_seconds", "gauge", "When the guest was started last, in seconds since 1970.", started),
	FIELD("restarts_total", "counter", "Restarts in place. What counts from the start begins anew with each.", restarts),
	FIELD("vcpus", "gauge", "Virtual processors.", vcpus),
	FIELD("memory_bytes", "gauge", "Memory that the manifest gives the guest.", memory_bytes),
	FIELD("io_errors_total", "counter", "Errors of the host that the guest met.", io_errors),
	{ "vcpu_cpu_seconds_total", "counter",
	  "Processor time of the thread of a virtual processor: guest, cell, Keel and driver.", print_vcpus, 0, true, false },
	{ "device_model_cpu_seconds_total", "counter", "Processor time of the other threads of the guest's process.",
	  print_rest, 0, true, false },
	{ "exits_total", "counter", "Exits of the guest since its start, by kind and by who sees to them.",
	  print_exits, 0, false, true },
	{ "device_accesses_total", "counter",
	  "Accesses to the registers of a device since the start; what a string instruction does at once is one.",
	  print_accesses, 0, false, true },
	{ "cell_entries_total", "counter", "Entries of the cell since the start that are due to no exit.",
	  print_polls, 0, false, true },
	TOLD("stays_total", "Runs of the guest or its cell since the start, until the control domain was needed.", stays),
	TOLD("stays_busy_total", "Of these, those that ended because another one was in the cell.", busy),
	TOLD("stays_suspended_total", "Of these, those that ended by an interrupt while the cell was at work.", suspended),
	{ "measured_seconds_total", "counter",
	  "Where the time of these runs went while it was measured: for some seconds from each request of these figures on.",
	  print_measured, 0, true, true },
	DISK("disk_operations_total", "Requests of a disk that were carried out.", done, false),
	DISK("disk_bytes_total", "Bytes of these.", bytes, false),
	DISK("disk_errors_total", "Requests of a disk that the guest was told to have failed.", failed, false),
	DISK("disk_seconds_total", "Time from requests of a disk to their answers.", ns, true),
	NETWORK("network_frames_total", "Frames of a network, as the guest sees them.", frames),
	NETWORK("network_bytes_total", "Bytes of these.", bytes),
	NETWORK("network_dropped_total", "Frames that did not go through, since the link was down.", dropped),
};

static void begin_family(const struct family *family)
{
	printf("# HELP keel_guest_%s %s\n# TYPE keel_guest_%s %s\n", family->name, family->help, family->name, family->type);
}

static void print_family(const struct family *family, const struct statistics *all, size_t count)
{
	begin_family(family);
	for (size_t i = 0; i < count; i++)
		if (all[i].known && (all[i].told || !family->of_cell))
			family->print(family, &all[i]);
}

static void print_all(const struct statistics *all, size_t count)
{
	static const struct family up = { .name = "up", .type = "gauge", .help = "Whether the guest's process has answered." };

	begin_family(&up);
	for (size_t i = 0; i < count; i++)
		print_value(&up, &all[i], "", all[i].known);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		print_family(&families[i], all, count);
}

static enum exit_code tell_failures(const struct statistics *all, size_t count)
{
	enum exit_code code = EXIT_DONE;

	for (size_t i = 0; i < count; i++) {
		if (all[i].known)
			continue;
		output_fail(false, &all[i].failure);
		code = all[i].failure.code > code ? all[i].failure.code : code;
	}
	return code;
}

enum exit_code command_metrics(const struct options *options, int count, char **operands)
{
	char **names = operands;
	struct failure failure;
	struct statistics *all;
	enum exit_code code;
	size_t n = statistics_names(operands, (size_t)count);

	(void)options;
	if (!count && !client_guests(&names, &n, &failure))
		return output_fail(false, &failure);
	all = statistics_ask(names, n, true);
	if (all) {
		print_all(all, n);
		code = tell_failures(all, n);
	} else {
		failure_set(&failure, EXIT_FAILED, "out of memory");
		code = output_fail(false, &failure);
	}
	free(all);
	if (!count)
		client_free_names(names, n);
	return code;
}
