// SPDX-License-Identifier: GPL-2.0
/* keel list, and keel info of a guest. */
#include "list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "host/rundir.h"
#include "output.h"

#define QUICK_SECONDS		3

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void print_column(const char *text, int width)
{
	int length = (int)strlen(text);

	output_text(text);
	printf("%*s ", width > length ? width - length : 0, "");
}

static void print_row(const json_t *guest)
{
	print_column(text_of(guest, "name"), 24);
	print_column(text_of(guest, "state"), 10);
	if (json_object_get(guest, "pid"))
		printf("%8lld %5lld %8lld %9lld", number_of(guest, "pid"), number_of(guest, "vcpus"),
		       number_of(guest, "memory_mib"), number_of(guest, "uptime_s"));
	else
		printf("%8s %5s %8s %9s", "-", "-", "-", "-");
	if (text_of(guest, "reason")[0]) {
		fputs("  ", stdout);
		output_text(text_of(guest, "reason"));
	} else if (number_of(guest, "io_errors")) {
		printf("  %lld I/O error%s: keel info", number_of(guest, "io_errors"), number_of(guest, "io_errors") == 1 ? "" : "s");
	}
	putchar('\n');
}

/* A guest that is there and cannot be asked is shown as well. */
static json_t *guest_of(struct client_call *call)
{
	json_t *guest = call->answer ? json_incref(call->answer) :
			json_pack("{s:o, s:s, s:i, s:s}", "name", output_string(call->name), "state", "unknown", "code",
				  (int)call->failure.code, "error", call->failure.text);

	if (call->answer)
		json_object_del(guest, "ok");
	return guest;
}

static bool runs(const json_t *guests, const char *name)
{
	json_t *guest;
	size_t i;

	json_array_foreach(guests, i, guest)
		if (!strcmp(text_of(guest, "name"), name))
			return true;
	return false;
}

static bool add_ended(void *guests, const char *name, const char *text)
{
	json_t *guest = json_loads(text, 0, NULL);

	/* Its record says that it runs until it says why not. */
	if (!guest || runs(guests, name)) {
		json_decref(guest);
		return true;
	}
	if (!strcmp(text_of(guest, "state"), "running")) {
		json_object_set_new(guest, "state", json_string("lost"));
		json_object_set_new(guest, "reason", json_string("its process ended without a word; see keel log"));
	}
	return !json_array_append_new(guests, guest);
}

/* Adds all guests of the calls to the list; returns how many could not be asked, or -1: out of memory. */
static int gather(struct client_call *calls, size_t count, json_t *guests, enum exit_code *code)
{
	int unknown = 0;

	for (size_t i = 0; i < count; i++) {
		if (!calls[i].answer && calls[i].failure.code == EXIT_NO_GUEST) {
			rundir_clean(calls[i].name);	/* of a process that was killed */
			continue;
		}
		if (json_array_append_new(guests, guest_of(&calls[i])))
			return -1;
		if (calls[i].answer)
			continue;
		unknown++;
		if (calls[i].failure.code > *code)
			*code = calls[i].failure.code;
	}
	return unknown;
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
	       options->all ? "  REASON" : "");
	json_array_foreach(guests, i, guest)
		print_row(guest);
	json_array_foreach(guests, i, guest)
		if (json_object_get(guest, "error"))
			fprintf(stderr, "keel: %s\n", text_of(guest, "error"));
	return code;
}

static enum exit_code list(const struct options *options, char **names, size_t count)
{
	struct client_call *calls = calloc(count + 1, sizeof(*calls));
	json_t *guests = json_array();
	enum exit_code code = EXIT_DONE;
	struct failure failure;

	for (size_t i = 0; calls && i < count; i++)
		calls[i].name = names[i];
	if (calls)
		client_ask_all(calls, count, json_pack("{s:s}", "command", "status"), QUICK_SECONDS);
	if (!calls || gather(calls, count, guests, &code) < 0) {
		failure_set(&failure, EXIT_FAILED, "out of memory");
		code = output_fail(options->json, &failure);
	} else if (options->all && !rundir_each_record(add_ended, guests, &failure)) {
		code = output_fail(options->json, &failure);
	} else {
		code = print_list(options, guests, code);
	}
	for (size_t i = 0; calls && i < count; i++)
		json_decref(calls[i].answer);
	free(calls);
	json_decref(guests);
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
	time_t when = (time_t)number_of(last, "time");
	struct tm parts;
	char stamp[32] = "";

	printf("io errors %lld\n", number_of(status, "io_errors"));
	if (!last || !gmtime_r(&when, &parts))
		return;
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &parts);
	printf("the last  %s", stamp);
	output_text(text_of(last, "text"));
	putchar('\n');
}

static void print_guest(const json_t *status)
{
	const json_t *blocks = json_object_get(status, "blocks");

	print_line("name", text_of(status, "name"));
	print_line("state", text_of(status, "state"));
	if (text_of(status, "reason")[0])
		print_line("reason", text_of(status, "reason"));
	printf("pid       %lld\n", number_of(status, "pid"));
	print_line("manifest", text_of(status, "manifest"));
	printf("memory    %lld MiB (blocks: %lld of 1 GiB, %lld of 2 MiB, %lld of 4 KiB)\n", number_of(status, "memory_mib"),
	       number_of(blocks, "1g"), number_of(blocks, "2m"), number_of(blocks, "4k"));
	printf("vcpus     %lld\nuptime    %lld s\nrestarts  %lld\n", number_of(status, "vcpus"),
	       number_of(status, "uptime_s"), number_of(status, "restarts"));
	print_errors(status);
}

enum exit_code list_info(const struct options *options, const char *name)
{
	struct failure failure;
	json_t *status = client_ask(name, json_pack("{s:s}", "command", "status"), QUICK_SECONDS, &failure);

	if (!status)
		return output_fail(options->json, &failure);
	if (options->json)
		return output_json(status);
	print_guest(status);
	json_decref(status);
	return EXIT_DONE;
}
