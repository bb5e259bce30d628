// SPDX-License-Identifier: GPL-2.0
/* What guests' processes and records say, as output.schema.json has it. */
#include "status.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "common/member.h"
#include "common/rundir.h"
#include "output.h"
#include "common/text.h"

#define TEXT_ROOM		4096u
#define CDROMS_MOST		4u
#define NETWORKS_MOST		64u
#define DISKS_MOST		20u
#define CHANGE_SECONDS		600	/* in which the memory of a large guest is taken or cleared */

enum kind { KIND_TEXT, KIND_FILLED_TEXT, KIND_NUMBER, KIND_TRUTH };

struct member {
	const char *key;
	enum kind kind;
	bool may_lack;
	json_int_t least, most;			/* of a number */
	const char *const *words;		/* one of these; NULL: any */
};

static const char *const states[] = { "stopped", "running", "preserved", "io-error", NULL };
static const char *const events[] = { "ended", "restarted", "preserved", NULL };
static const char *const network_kinds[] = { "tap", "bridge", "user", NULL };
static const char *const network_links[] = { "up", "down", "unplugged", "lost", NULL };
static const char *const record_states[] = { "starting", "running", "restarting", "ended", "lost", NULL };

static const struct member guest_members[] = {
	{ "state", .kind = KIND_TEXT, .words = states },
	{ "manifest", .kind = KIND_FILLED_TEXT },
	{ "machine", .kind = KIND_FILLED_TEXT, .may_lack = true },	/* of a guest that a former version started */
	{ "memory_mib", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "vcpus", .kind = KIND_NUMBER, .least = 1, .most = 64 },
	{ "uptime_s", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "restarts", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "reason", .kind = KIND_TEXT },
	{ "crashed", .kind = KIND_TRUTH, .may_lack = true },
	{ "io_errors", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ .key = NULL },
};

static const struct member block_members[] = {
	{ "4k", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "2m", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "1g", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ .key = NULL },
};

static const struct member error_members[] = {
	{ "time", .kind = KIND_NUMBER, .least = LLONG_MIN, .most = LLONG_MAX },
	{ "device", .kind = KIND_FILLED_TEXT },
	{ "text", .kind = KIND_FILLED_TEXT },
	{ .key = NULL },
};

static const struct member cdrom_members[] = {
	{ "slot", .kind = KIND_FILLED_TEXT },
	{ .key = NULL },
};

static const struct member medium_members[] = {
	{ "file", .kind = KIND_FILLED_TEXT },
	{ .key = NULL },
};

static const struct member network_members[] = {
	{ "id", .kind = KIND_NUMBER, .most = NETWORKS_MOST - 1 },
	{ "mac", .kind = KIND_FILLED_TEXT },
	{ "kind", .kind = KIND_TEXT, .words = network_kinds },
	{ "model", .kind = KIND_FILLED_TEXT },
	{ "bridge", .kind = KIND_FILLED_TEXT, .may_lack = true },
	{ "interface", .kind = KIND_FILLED_TEXT, .may_lack = true },
	{ "mtu", .kind = KIND_NUMBER, .least = 1, .most = UINT16_MAX, .may_lack = true },
	{ "link", .kind = KIND_TEXT, .words = network_links },
	{ .key = NULL },
};

static const struct member count_members[] = {
	{ "frames", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "bytes", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "dropped", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ .key = NULL },
};

static const char *const formats[] = { "raw", NULL };
static const char *const buses[] = { "ide", "virtio", NULL };
static const char *const modes[] = { "rw", "ro", "snapshot", NULL };
static const char *const caches[] = { "writeback", "none", NULL };
static const char *const disk_states[] = { "good", "io-error", NULL };

static const struct member disk_members[] = {
	{ "id", .kind = KIND_FILLED_TEXT },
	{ "format", .kind = KIND_TEXT, .words = formats },
	{ "bus", .kind = KIND_TEXT, .words = buses },
	{ "bytes", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "image_bytes", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "mode", .kind = KIND_TEXT, .words = modes },
	{ "cache", .kind = KIND_TEXT, .words = caches },
	{ "serial", .kind = KIND_TEXT },
	{ "state", .kind = KIND_TEXT, .words = disk_states },
	{ .key = NULL },
};

static const struct member rate_members[] = {
	{ "bytes", .kind = KIND_NUMBER, .may_lack = true, .least = 1, .most = LLONG_MAX },
	{ "bytes_burst", .kind = KIND_NUMBER, .may_lack = true, .least = 1, .most = LLONG_MAX },
	{ "operations", .kind = KIND_NUMBER, .may_lack = true, .least = 1, .most = LLONG_MAX },
	{ "operations_burst", .kind = KIND_NUMBER, .may_lack = true, .least = 1, .most = LLONG_MAX },
	{ .key = NULL },
};

static const struct member resize_members[] = {
	{ "id", .kind = KIND_FILLED_TEXT },
	{ "bytes", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "former_bytes", .kind = KIND_NUMBER, .most = LLONG_MAX },
	{ "seen", .kind = KIND_TRUTH },
	{ .key = NULL },
};

static const struct member end_members[] = {
	{ "event", .kind = KIND_TEXT, .words = events },
	{ "reason", .kind = KIND_FILLED_TEXT },
	{ "crashed", .kind = KIND_TRUTH, .may_lack = true },
	{ .key = NULL },
};

static const struct member start_members[] = {
	{ "pid", .kind = KIND_NUMBER, .least = 1, .most = INT_MAX },
	{ .key = NULL },
};

static const struct member record_members[] = {
	{ "state", .kind = KIND_TEXT, .words = record_states },
	{ "since", .kind = KIND_FILLED_TEXT },
	{ "reason", .kind = KIND_TEXT },
	{ "crashed", .kind = KIND_TRUTH },
	{ .key = NULL },
};

/* While memory is taken or cleared, a process does not answer. */
static const struct { const char *recorded, *shown; } changes[] = {
	{ "starting", "starting" }, { "restarting", "restarting" }, { "ended", "ending" },
};

static json_t *copy_text(const char *text, const struct member *m)
{
	char fit[TEXT_ROOM];
	size_t i;

	for (i = 0; m->words && m->words[i] && strcmp(m->words[i], text); i++)
		;
	if ((m->words && !m->words[i]) || (m->kind == KIND_FILLED_TEXT && !text[0]))
		return NULL;
	text_fit(fit, sizeof(fit), text);
	return json_string(fit);
}

static json_t *copy_value(const json_t *value, const struct member *m)
{
	json_int_t number = json_integer_value(value);

	switch (m->kind) {
	case KIND_NUMBER:
		return json_is_integer(value) && number >= m->least && number <= m->most ? json_integer(number) : NULL;
	case KIND_TRUTH:
		return json_is_boolean(value) ? json_boolean(json_is_true(value)) : NULL;
	default:
		return json_is_string(value) ? copy_text(json_string_value(value), m) : NULL;
	}
}

/* Adds these members; NULL, and the object is gone: one lacks, or is another kind of thing. */
static json_t *copy_members(json_t *to, const json_t *from, const struct member *members)
{
	for (const struct member *m = members; m->key; m++) {
		const json_t *value = json_object_get(from, m->key);

		if (!value && m->may_lack)
			continue;
		if (json_object_set_new(to, m->key, copy_value(value, m))) {
			json_decref(to);
			return NULL;
		}
	}
	return to;
}

static bool copy_object(json_t *to, const json_t *from, const char *key, const struct member *members)
{
	return !json_object_set_new(to, key, copy_members(json_object(), json_object_get(from, key), members));
}

/* These members and "file", which may be null: a drive that is empty, or an image that is no file. */
static json_t *copy_drive(const json_t *from, const struct member *members)
{
	json_t *to = copy_members(json_object(), from, members);

	if (!to || (json_object_get(from, "file") && !json_is_null(json_object_get(from, "file"))))
		return to ? copy_members(to, from, medium_members) : NULL;
	if (!json_object_set_new(to, "file", json_null()))
		return to;
	json_decref(to);
	return NULL;
}

/* A process of before there was such a list has none. */
static bool copy_cdroms(json_t *guest, const json_t *answer)
{
	const json_t *from = json_object_get(answer, "cdroms"), *cdrom;
	json_t *list = json_array();
	bool good = true;
	size_t i = 0;

	json_array_foreach(from, i, cdrom)
		good = good && !json_array_append_new(list, copy_drive(cdrom, cdrom_members));
	return !json_object_set_new(guest, "cdroms", list) && good && i <= CDROMS_MOST;
}

static json_t *new_guest(const char *name)
{
	return json_pack("{s:o}", "name", output_string(name));
}

static bool set_pid(json_t *guest, const char *name)
{
	int pid = rundir_process(name);

	return !pid || !json_object_set_new(guest, "pid", json_integer(pid));
}

json_t *status_of_answer(const char *name, const json_t *answer)
{
	json_t *guest = copy_members(new_guest(name), answer, guest_members);

	if (guest && set_pid(guest, name) && copy_object(guest, answer, "blocks", block_members) &&
	    copy_cdroms(guest, answer) &&
	    (!json_object_get(answer, "last_io_error") || copy_object(guest, answer, "last_io_error", error_members)))
		return guest;
	json_decref(guest);
	return NULL;
}

static json_t *new_result(const char *name)
{
	return json_pack("{s:b, s:o}", "ok", 1, "name", output_string(name));
}

json_t *status_of_end(const char *name, const json_t *answer)
{
	return copy_members(new_result(name), answer, end_members);
}

json_t *status_of_done(const char *name, const json_t *answer)
{
	(void)answer;
	return new_result(name);
}

json_t *status_of_empty(const char *name, const json_t *answer)
{
	const json_t *file = json_object_get(answer, "file");

	if (file && !json_is_null(file))
		return NULL;
	return json_pack("{s:b, s:o, s:n}", "ok", 1, "name", output_string(name), "file");
}

static json_t *copy_network(const json_t *from)
{
	json_t *to = copy_members(json_object(), from, network_members);

	if (!to || (copy_object(to, from, "sent", count_members) && copy_object(to, from, "received", count_members)))
		return to;
	json_decref(to);
	return NULL;
}

json_t *status_of_networks(const char *name, const json_t *answer)
{
	const json_t *from = json_object_get(answer, "networks"), *network;
	json_t *to = new_result(name), *list = json_array();
	bool good = json_is_array(from) && json_array_size(from) <= NETWORKS_MOST;
	size_t i;

	json_array_foreach(from, i, network)
		good = good && !json_array_append_new(list, copy_network(network));
	if (!json_object_set_new(to, "networks", list) && good)
		return to;
	json_decref(to);
	return NULL;
}

json_t *status_of_done_or_end(const char *name, const json_t *answer)
{
	return json_object_get(answer, "event") ? status_of_end(name, answer) : status_of_done(name, answer);
}

json_t *status_of_start(const char *name, const json_t *answer)
{
	return copy_members(new_result(name), answer, start_members);
}

static json_t *copy_disk(const json_t *from)
{
	json_t *to = copy_drive(from, disk_members);

	if (!to || !json_object_get(from, "rate") || copy_object(to, from, "rate", rate_members))
		return to;
	json_decref(to);
	return NULL;
}

json_t *status_of_disks(const char *name, const json_t *answer)
{
	const json_t *from = json_object_get(answer, "disks"), *disk;
	json_t *list = json_array();
	bool good = json_is_array(from);
	size_t i = 0;

	json_array_foreach(from, i, disk)
		good = good && !json_array_append_new(list, copy_disk(disk));
	if (good && i <= DISKS_MOST)
		return json_pack("{s:b, s:o, s:o}", "ok", 1, "name", output_string(name), "disks", list);
	json_decref(list);
	return NULL;
}

json_t *status_of_resize(const char *name, const json_t *answer)
{
	return copy_members(new_result(name), answer, resize_members);
}

json_t *status_take(json_t *(*form)(const char *name, const json_t *answer), const char *name, json_t *answer,
		    struct failure *failure)
{
	json_t *taken = form(name, answer);

	json_decref(answer);
	if (!taken)
		failure_set(failure, EXIT_FAILED, "guest \"%s\": its process gave a strange answer; keel log shows what it "
			    "told, and keel destroy ends it", name);
	return taken;
}

/* A record says that its guest starts or runs until it says why not. */
static bool set_lost(json_t *guest)
{
	const char *state = member_text(guest, "state");

	if (!strcmp(state, "ended") || !strcmp(state, "lost"))
		return json_string_length(json_object_get(guest, "reason"));
	return !json_object_set_new(guest, "state", json_string("lost")) &&
	       !json_object_set_new(guest, "reason", json_string("its process ended without a word; see keel log"));
}

json_t *status_of_record(const char *name, const char *text)
{
	json_t *record = json_loads(text, 0, NULL), *guest = copy_members(new_guest(name), record, record_members);

	json_decref(record);
	if (guest && set_lost(guest))
		return guest;
	json_decref(guest);
	return NULL;
}

/* What the record says that its process is about; NULL: nothing that takes time. */
static const char *change_of(const char *name, bool listener)
{
	char text[RUNDIR_RECORD_ROOM];
	const char *change = NULL;
	long long age;
	json_t *record;

	if (!rundir_read_record(name, text, &age))
		return listener && age <= CHANGE_SECONDS ? "starting" : NULL;
	record = json_loads(text, 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++)
		if (!strcmp(member_text(record, "state"), changes[i].recorded))
			change = changes[i].shown;
	json_decref(record);
	return age <= CHANGE_SECONDS ? change : NULL;
}

json_t *status_of_silent(const char *name, bool listener)
{
	const char *change = change_of(name, listener);
	json_t *guest = change ? json_pack("{s:o, s:s}", "name", output_string(name), "state", change) : NULL;

	if (guest && set_pid(guest, name))
		return guest;
	json_decref(guest);
	return NULL;
}
