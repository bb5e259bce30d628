// SPDX-License-Identifier: GPL-2.0
/* keel list, and keel info of a guest. */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "common/member.h"
#include "common/rundir.h"
#include "output.h"
#include "status.h"
#include "common/text.h"

#define QUICK_SECONDS		3
#define AGAIN_SECONDS		1
#define PAUSES			10	/* for a process that does not answer */
#define PAUSE_NS		20000000

static void print_column(const char *text, int width)
{
	int length = (int)strlen(text);

	output_text(text);
	printf("%*s ", width > length ? width - length : 0, "");
}

static void print_number(const json_t *guest, const char *key, int width)
{
	if (json_object_get(guest, key))
		printf("%*lld", width, member_number(guest, key));
	else
		printf("%*s", width, "-");
}

static void print_row(const json_t *guest)
{
	print_column(member_text(guest, "name"), 24);
	print_column(member_text(guest, "state"), 10);
	print_number(guest, "pid", 8);
	print_number(guest, "vcpus", 6);
	print_number(guest, "memory_mib", 9);
	print_number(guest, "uptime_s", 10);
	if (member_text(guest, "since")[0]) {
		fputs("  ", stdout);
		output_text(member_text(guest, "since"));
	}
	if (member_text(guest, "reason")[0]) {
		fputs("  ", stdout);
		output_text(member_text(guest, "reason"));
	} else if (member_number(guest, "io_errors")) {
		printf("  %lld I/O error%s: keel info", member_number(guest, "io_errors"),
		       member_number(guest, "io_errors") == 1 ? "" : "s");
	}
	putchar('\n');
}

/* Nobody was there to answer. */
static bool is_absent(const struct client_call *call)
{
	return !call->answer && (call->failure.code == EXIT_NO_GUEST || call->closed);
}

static void tell_absent(struct client_call *call)
{
	failure_set(&call->failure, EXIT_FAILED, "guest \"%s\": its process takes no requests any more; keel log shows "
		    "what it told, and keel destroy ends it", call->name);
}

/* A guest that is there and cannot be asked is shown as well. */
static json_t *guest_of(struct client_call *call)
{
	if (is_absent(call))
		tell_absent(call);
	if (call->answer)
		call->answer = status_take(status_of_answer, call->name, call->answer, &call->failure);
	return call->answer ? json_incref(call->answer) :
	       json_pack("{s:o, s:s, s:i, s:s}", "name", output_string(call->name), "state", "unknown", "code",
			 (int)call->failure.code, "error", call->failure.text);
}

/* Guests that run come first, then those that are gone, by their names. */
struct listing {
	json_t *guests;
	size_t running;
};

static bool runs(const struct listing *l, const char *name)
{
	for (size_t i = 0; i < l->running; i++)
		if (!strcmp(member_text(json_array_get(l->guests, i), "name"), name))
			return true;
	return false;
}

static bool add_ended(void *listing, const char *name, const char *text)
{
	struct listing *l = listing;
	json_t *guest = status_of_record(name, text);
	size_t place = json_array_size(l->guests);
	const char *shown = member_text(guest, "name");

	if (!guest || runs(l, shown)) {
		json_decref(guest);
		return true;
	}
	while (place > l->running && strcmp(member_text(json_array_get(l->guests, place - 1), "name"), shown) > 0)
		place--;
	return !json_array_insert_new(l->guests, place, guest);
}

/* False: it is gone, or will be asked once more. */
static bool settle(struct client_call *call)
{
	call->settled = !is_absent(call) || strchr(call->name, '/') || call->name[0] == '.' || !call->name[0] ||
			rundir_clean(call->name) || !rundir_process(call->name);
	return call->settled;
}

/* One that just starts or ends, or is being cleaned by somebody else, answers or is gone within the time. */
static void ask_all(struct client_call *calls, size_t count)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	bool all = false;

	for (int i = 0; i <= PAUSES && !all; i++) {
		if (i)
			nanosleep(&pause, NULL);
		client_ask_all(calls, count, json_pack("{s:s}", "command", "status"), i ? AGAIN_SECONDS : QUICK_SECONDS);
		all = true;
		for (size_t j = 0; j < count; j++)
			all &= calls[j].settled || settle(&calls[j]);
	}
}

/* What is told of a guest that is asked in vain; NULL: it should have answered. */
static json_t *silent_guest(const struct client_call *call)
{
	bool late = call->failure.code == EXIT_TIMEOUT;

	return !call->answer && (late || is_absent(call)) ? status_of_silent(call->name, !call->refused && !call->closed) : NULL;
}

/* Adds all guests of the calls to the list; returns how many could not be asked, or -1: out of memory. */
static int gather(struct client_call *calls, size_t count, struct listing *l, enum exit_code *code)
{
	int unknown = 0;

	for (size_t i = 0; i < count; i++) {
		struct client_call *c = &calls[i];
		json_t *silent;

		if (is_absent(c) && c->settled)
			continue;
		silent = silent_guest(c);
		if (json_array_append_new(l->guests, silent ? json_incref(silent) : guest_of(c))) {
			json_decref(silent);
			return -1;
		}
		json_decref(silent);
		if (silent || c->answer)
			continue;
		unknown++;
		*code = c->failure.code > *code ? c->failure.code : *code;
	}
	l->running = json_array_size(l->guests);
	return unknown;
}

static void print_error(const char *text)
{
	fputs("keel: ", stderr);
	text_print(stderr, text, strlen(text));
	putc('\n', stderr);
}

static enum exit_code print_list(const struct options *options, json_t *guests, enum exit_code code)
{
	json_t *guest;
	size_t i;

	if (options->json && code == EXIT_DONE)
		return output_json(json_pack("{s:b, s:O}", "ok", 1, "guests", guests));
	if (options->json) {
		output_json(json_pack("{s:b, s:i, s:s, s:O}", "ok", 0, "code", (int)code, "error",
				      "some guests could not be asked", "guests", guests));
		return code;
	}
	printf("%-24s %-10s %8s %5s %8s %9s%s\n", "NAME", "STATE", "PID", "VCPUS", "MEM(MiB)", "UPTIME(s)",
	       options->all ? "  SINCE, REASON" : "");
	json_array_foreach(guests, i, guest)
		print_row(guest);
	json_array_foreach(guests, i, guest)
		if (json_object_get(guest, "error"))
			print_error(member_text(guest, "error"));
	return code;
}

static enum exit_code list(const struct options *options, char **names, size_t count)
{
	struct client_call *calls = calloc(count + 1, sizeof(*calls));
	struct listing listing = { .guests = json_array() };
	enum exit_code code = EXIT_DONE;
	struct failure failure;

	for (size_t i = 0; calls && i < count; i++)
		calls[i].name = names[i];
	if (calls)
		ask_all(calls, count);
	if (!calls || gather(calls, count, &listing, &code) < 0) {
		failure_set(&failure, EXIT_FAILED, "out of memory");
		code = output_fail(options->json, &failure);
	} else if (options->all && !rundir_each_record(add_ended, &listing, &failure)) {
		code = output_fail(options->json, &failure);
	} else {
		code = print_list(options, listing.guests, code);
	}
	for (size_t i = 0; calls && i < count; i++)
		json_decref(calls[i].answer);
	free(calls);
	json_decref(listing.guests);
	return code;
}

enum exit_code command_list(const struct options *options, int count, char **operands)
{
	struct failure failure;
	enum exit_code code;
	char **names;
	size_t n;

	(void)count;
	(void)operands;
	if (!client_guests(&names, &n, &failure))
		return output_fail(options->json, &failure);
	code = list(options, names, n);
	client_free_names(names, n);
	return code;
}

static void print_line(const char *label, const char *text)
{
	printf("%-9s ", label);
	output_text(text);
	putchar('\n');
}

static void print_errors(const json_t *status)
{
	const json_t *last = json_object_get(status, "last_io_error");
	time_t when = (time_t)member_number(last, "time");
	struct tm parts;
	char stamp[32] = "";

	printf("io errors %lld\n", member_number(status, "io_errors"));
	if (!last || !gmtime_r(&when, &parts))
		return;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &parts);
	printf("the last  %s", stamp);
	output_text(member_text(last, "text"));
	putchar('\n');
}

static void print_cdroms(const json_t *status)
{
	const json_t *cdrom;
	size_t i;

	json_array_foreach(json_object_get(status, "cdroms"), i, cdrom) {
		const char *file = member_text(cdrom, "file");

		printf("%-9s ", "cd-rom");
		output_text(member_text(cdrom, "slot"));
		fputs(file[0] ? ": " : ": empty", stdout);
		output_text(file);
		putchar('\n');
	}
}

static void print_guest(const json_t *status)
{
	const json_t *blocks = json_object_get(status, "blocks");

	print_line("name", member_text(status, "name"));
	print_line("state", member_text(status, "state"));
	if (member_text(status, "reason")[0])
		print_line("reason", member_text(status, "reason"));
	if (json_object_get(status, "pid"))
		printf("pid       %lld\n", member_number(status, "pid"));
	print_line("manifest", member_text(status, "manifest"));
	if (json_object_get(status, "machine"))
		print_line("machine", member_text(status, "machine"));
	printf("memory    %lld MiB (blocks: %lld of 1 GiB, %lld of 2 MiB, %lld of 4 KiB)\n", member_number(status, "memory_mib"),
	       member_number(blocks, "1g"), member_number(blocks, "2m"), member_number(blocks, "4k"));
	printf("vcpus     %lld\nuptime    %lld s\nrestarts  %lld\n", member_number(status, "vcpus"),
	       member_number(status, "uptime_s"), member_number(status, "restarts"));
	print_cdroms(status);
	print_errors(status);
}

static void print_silent(const json_t *status)
{
	print_line("name", member_text(status, "name"));
	print_line("state", member_text(status, "state"));
	if (json_object_get(status, "pid"))
		printf("pid       %lld\n", member_number(status, "pid"));
}

enum exit_code list_info(const struct options *options, const char *name)
{
	struct client_call call = { .name = name };
	json_t *status, *silent;

	ask_all(&call, 1);
	silent = silent_guest(&call);
	if (!silent && !call.settled)
		tell_absent(&call);
	status = silent || !call.answer ? silent : status_take(status_of_answer, name, call.answer, &call.failure);
	if (!status)
		return output_fail(options->json, &call.failure);
	if (options->json && json_object_set_new(status, "ok", json_true()))
		return output_json(NULL);
	if (options->json)
		return output_json(status);
	if (silent)
		print_silent(status);
	else
		print_guest(status);
	json_decref(status);
	return EXIT_DONE;
}
