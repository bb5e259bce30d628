// SPDX-License-Identifier: GPL-2.0
/* Virtual processors: how many, their topology, and what they have of those of the host. */
#include "manifest/loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <keel/abi.h>
#include <keel/topology.h>

#define WEIGHT_MAX		10000
#define ONLINE_CPUS		"/sys/devices/system/cpu/online"
#define ONLINE_ROOM		4096

void processor_parse_vcpus(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &l->m->vcpus);
}

static void parse_sockets(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &l->sockets);
}

static void parse_cores(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &l->cores);
}

static void parse_threads(struct loader *l, const char *path, json_t *value)
{
	unsigned int threads;

	if (!want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &threads))
		return;
	if (threads & (threads - 1))
		complain(l, path, "topology/threads: expected 1, 2, 4 or another power of two, found %u", threads);
	else
		l->threads = threads;
}

static const struct key topology_keys[] = {
	{ "sockets", false, parse_sockets },
	{ "cores", false, parse_cores },
	{ "threads", false, parse_threads },
};

void processor_parse_topology(struct loader *l, const char *path, json_t *value)
{
	size_t before = complaints(l);

	want_object(l, path, value, topology_keys, ARRAY_SIZE(topology_keys));
	l->topology_given = complaints(l) == before;
}

/* What is not said of the topology follows from the rest, and so do the vCPUs. */
void processor_check(struct loader *l)
{
	unsigned int sockets = l->sockets ? l->sockets : 1, threads = l->threads ? l->threads : 1, cores = l->cores;
	unsigned int vcpus = l->m->vcpus;

	if (!l->topology_given)
		return;
	if (!l->sockets && cores && vcpus > cores * threads)
		sockets = vcpus / (cores * threads);
	if (!cores && vcpus)
		cores = vcpus / (sockets * threads);
	if (!cores)
		cores = 1;
	if (!vcpus)
		vcpus = sockets * cores * threads;
	if (vcpus > KEEL_MAX_VCPUS)
		complain(l, "/topology", "topology: expected at most %u vCPUs; %u of \"sockets\", %u of \"cores\" and %u of "
			 "\"threads\" are %u", KEEL_MAX_VCPUS, sockets, cores, threads, vcpus);
	else if (sockets * cores * threads != vcpus)
		complain(l, "/topology", "topology: %u of \"sockets\", %u of \"cores\" and %u of \"threads\" are %u vCPUs, but "
			 "\"vcpus\" is %u", sockets, cores, threads, sockets * cores * threads, vcpus);
	l->m->vcpus = vcpus;
	l->m->topology = KEEL_TOPOLOGY(cores, threads);
}

/* Whether a list such as "0-3,8" has the number. */
static bool list_has(const char *list, unsigned int number)
{
	unsigned int first, last;
	int used;

	while (sscanf(list, "%u%n", &first, &used) == 1) {
		list += used;
		last = first;
		if (sscanf(list, "-%u%n", &last, &used) == 1)
			list += used;
		if (number >= first && number <= last)
			return true;
		list += *list == ',';
	}
	return false;
}

/* Where the host does not tell, all of its CPUs may be on line. */
static void read_online(char *list, size_t room)
{
	int fd = open(ONLINE_CPUS, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, list, room - 1);

	if (n > 0)
		list[n] = '\0';
	else
		snprintf(list, room, "0-%u", MANIFEST_CPUS);
	if (fd >= 0)
		close(fd);
}

void processor_parse_affinity(struct loader *l, const char *path, json_t *value)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	char element[PATH_ROOM], online[ONLINE_ROOM];
	json_t *item;
	unsigned int cpu;
	size_t i;

	read_online(online, sizeof(online));
	if (!json_is_array(value) || !json_array_size(value)) {
		complain(l, path, "cpu_affinity: expected a list of host CPU numbers such as [0, 1]");
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		if (!want_integer(l, element, item, 0, MANIFEST_CPUS - 1, &cpu))
			continue;
		if (l->m->cpu_affinity[cpu / 8] & (1u << cpu % 8))
			complain(l, element, "cpu_affinity: CPU %u is listed twice", cpu);
		l->m->cpu_affinity[cpu / 8] |= (uint8_t)(1u << cpu % 8);
		l->m->pinned = true;
		if ((long)cpu >= cpus)
			complain(l, element, "cpu_affinity: this host has no CPU %u; its CPUs are 0 to %ld", cpu, cpus - 1);
		else if (!list_has(online, cpu))
			complain(l, element, "cpu_affinity: CPU %u of this host is off line; those on line are %.*s", cpu,
				 (int)strcspn(online, "\n"), online);
	}
}

void processor_parse_weight(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, WEIGHT_MAX, &l->m->weight);
}
