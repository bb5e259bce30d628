// SPDX-License-Identifier: GPL-2.0
/* Counts of guests, from their processes. */
#include "statistics.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define QUICK_SECONDS		3
#define WORD_CHARACTERS		"abcdefghijklmnopqrstuvwxyz0123456789_-"

const char *const statistics_operations[STATISTICS_OPERATIONS] = {
	[STATISTICS_READ] = "read", [STATISTICS_WRITE] = "write", [STATISTICS_FLUSH] = "flush", [STATISTICS_DISCARD] = "discard",
	[STATISTICS_WRITE_ZEROES] = "write-zeroes",
};

const char *const statistics_directions[STATISTICS_DIRECTIONS] = {
	[STATISTICS_RECEIVED] = "received", [STATISTICS_SENT] = "sent",
};

static bool take_number(const json_t *object, const char *key, uint64_t *to)
{
	const json_t *value = json_object_get(object, key);

	*to = json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t)json_integer_value(value) : 0;
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool take_word(const json_t *object, const char *key, char to[STATISTICS_WORD])
{
	const char *word = json_string_value(json_object_get(object, key));
	size_t length = word ? strlen(word) : 0;

	if (!length || length >= STATISTICS_WORD || strspn(word, WORD_CHARACTERS) != length)
		return false;
	memcpy(to, word, length + 1);
	return true;
}

/* A program that reads them takes none of all guests' where two are of one name. */
static bool is_new_exit(const struct statistics *s, const struct statistics_exit *exit)
{
	for (unsigned int i = 0; i < s->exits; i++)
		if (!strcmp(s->exit[i].kind, exit->kind) && !strcmp(s->exit[i].by, exit->by))
			return false;
	return true;
}

static bool is_new_device(const struct statistics *s, const struct statistics_device *device)
{
	for (unsigned int i = 0; i < s->devices; i++)
		if (!strcmp(s->device[i].device, device->device) && s->device[i].instance == device->instance)
			return false;
	return true;
}

static bool is_new_disk(const struct statistics *s, const struct statistics_disk *disk)
{
	for (unsigned int i = 0; i < s->disks; i++)
		if (!strcmp(s->disk[i].slot, disk->slot))
			return false;
	return true;
}

static bool is_new_network(const struct statistics *s, const struct statistics_network *network)
{
	for (unsigned int i = 0; i < s->networks; i++)
		if (s->network[i].number == network->number)
			return false;
	return true;
}

static bool take_exits(struct statistics *s, const json_t *list)
{
	const json_t *object;
	size_t i;

	json_array_foreach(list, i, object) {
		struct statistics_exit *exit = &s->exit[s->exits];

		if (i == STATISTICS_EXITS || !take_word(object, "kind", exit->kind) || !take_word(object, "by", exit->by) ||
		    !take_number(object, "count", &exit->count) || !is_new_exit(s, exit))
			return false;
		s->exits++;
	}
	return json_is_array(list);
}

static bool take_devices(struct statistics *s, const json_t *list)
{
	const json_t *object;
	size_t i;

	json_array_foreach(list, i, object) {
		struct statistics_device *device = &s->device[s->devices];

		if (i == STATISTICS_DEVICES || !take_word(object, "device", device->device) ||
		    !take_number(object, "instance", &device->instance) || !take_number(object, "accesses", &device->accesses) ||
		    !is_new_device(s, device))
			return false;
		s->devices++;
	}
	return json_is_array(list);
}

static bool take_disk(struct statistics_disk *disk, const json_t *object)
{
	bool good = take_word(object, "slot", disk->slot);

	for (unsigned int i = 0; i < STATISTICS_OPERATIONS; i++) {
		const json_t *operation = json_object_get(object, statistics_operations[i]);

		good = good && take_number(operation, "done", &disk->operation[i].done) &&
		       take_number(operation, "bytes", &disk->operation[i].bytes) &&
		       take_number(operation, "failed", &disk->operation[i].failed) &&
		       take_number(operation, "ns", &disk->operation[i].ns);
	}
	return good;
}

static bool take_disks(struct statistics *s, const json_t *list)
{
	const json_t *object;
	size_t i;

	json_array_foreach(list, i, object) {
		if (i == STATISTICS_DISKS || !take_disk(&s->disk[i], object) || !is_new_disk(s, &s->disk[i]))
			return false;
		s->disks++;
	}
	return json_is_array(list);
}

static bool take_network(struct statistics_network *network, const json_t *object)
{
	bool good = take_number(object, "number", &network->number);

	for (unsigned int i = 0; i < STATISTICS_DIRECTIONS; i++) {
		const json_t *direction = json_object_get(object, statistics_directions[i]);

		good = good && take_number(direction, "frames", &network->direction[i].frames) &&
		       take_number(direction, "bytes", &network->direction[i].bytes) &&
		       take_number(direction, "dropped", &network->direction[i].dropped);
	}
	return good;
}

static bool take_networks(struct statistics *s, const json_t *list)
{
	const json_t *object;
	size_t i;

	json_array_foreach(list, i, object) {
		if (i == STATISTICS_NETWORKS || !take_network(&s->network[i], object) || !is_new_network(s, &s->network[i]))
			return false;
		s->networks++;
	}
	return json_is_array(list);
}

static bool take_vcpus(struct statistics *s, const json_t *list)
{
	const json_t *value;
	size_t i;

	if (s->vcpus < 1 || s->vcpus > STATISTICS_VCPUS || json_array_size(list) != s->vcpus)
		return false;
	json_array_foreach(list, i, value) {
		if (!json_is_integer(value) || json_integer_value(value) < 0)
			return false;
		s->vcpu_ns[i] = (uint64_t)json_integer_value(value);
	}
	return true;
}

static bool take_cell(struct statistics *s, const json_t *cell)
{
	return take_number(cell, "stays", &s->stays) && take_number(cell, "busy", &s->busy) &&
	       take_number(cell, "suspended", &s->suspended) && take_number(cell, "polls", &s->polls) &&
	       take_number(cell, "events", &s->events) && take_number(cell, "stays_ns", &s->stays_ns) &&
	       take_number(cell, "guest_ns", &s->guest_ns) && take_number(cell, "cell_ns", &s->cell_ns) &&
	       take_exits(s, json_object_get(cell, "exits")) && take_devices(s, json_object_get(cell, "devices"));
}

static bool take(struct statistics *s, const json_t *answer)
{
	const json_t *cell = json_object_get(answer, "cell");

	s->told = cell;
	return take_word(answer, "state", s->state) && take_number(answer, "at_ns", &s->at_ns) &&
	       take_number(answer, "vcpus", &s->vcpus) && take_number(answer, "memory_bytes", &s->memory_bytes) &&
	       take_number(answer, "started", &s->started) && take_number(answer, "restarts", &s->restarts) &&
	       take_number(answer, "io_errors", &s->io_errors) && take_number(answer, "process_ns", &s->process_ns) &&
	       take_vcpus(s, json_object_get(answer, "vcpu_ns")) && take_disks(s, json_object_get(answer, "disks")) &&
	       take_networks(s, json_object_get(answer, "networks")) && (!cell || take_cell(s, cell));
}

static void settle(struct statistics *s, struct client_call *call)
{
	s->name = call->name;
	s->failure = call->failure;
	if (!call->answer)
		return;
	s->known = take(s, call->answer);
	if (!s->known)
		failure_set(&s->failure, EXIT_FAILED, "guest \"%s\": its process gave a strange answer; keel log shows what it "
			    "told, and keel destroy ends it", call->name);
	json_decref(call->answer);
}

struct statistics *statistics_ask(char **names, size_t count, bool measure)
{
	struct client_call *calls = calloc(count + 1, sizeof(*calls));
	struct statistics *all = calloc(count + 1, sizeof(*all));

	for (size_t i = 0; calls && i < count; i++)
		calls[i].name = names[i];
	if (calls && all) {
		client_ask_all(calls, count, json_pack("{s:s, s:b}", "command", "statistics", "measure", (int)measure),
			       QUICK_SECONDS);
		for (size_t i = 0; i < count; i++)
			settle(&all[i], &calls[i]);
		free(calls);
		return all;
	}
	free(calls);
	free(all);
	return NULL;
}

size_t statistics_names(char **names, size_t count)
{
	size_t used = 0;

	for (size_t i = 0, j; i < count; i++) {
		for (j = 0; j < used && strcmp(names[j], names[i]); j++)
			;
		if (j == used)
			names[used++] = names[i];
	}
	return used;
}

uint64_t statistics_vcpus_ns(const struct statistics *s)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < s->vcpus; i++)
		sum += s->vcpu_ns[i];
	return sum;
}

uint64_t statistics_rest_ns(const struct statistics *s)
{
	uint64_t vcpus = statistics_vcpus_ns(s);

	return s->process_ns > vcpus ? s->process_ns - vcpus : 0;
}
