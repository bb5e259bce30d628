// SPDX-License-Identifier: GPL-2.0
/* keel check, keel create. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "manifest/manifest.h"
#include "notify.h"
#include "output.h"
#include "process.h"
#include "progress.h"
#include "status.h"
#include "terminal.h"
#include "common/clock.h"
#include "common/member.h"
#include "common/text.h"

#define AT_ONCE_MS		500	/* a guest that ends within this time has died at its start */
#define LAST_OUTPUT		4096u	/* that is shown of it */
#define LAST_WORD_SECONDS	5

/* What a guest did right after its start. */
struct first_steps {
	char output[LAST_OUTPUT];
	size_t used;
	json_t *event;	/* how it ended; NULL: it runs */
};

static const char *message_of(const struct manifest_error *e)
{
	return e->text ? e->text : "out of memory";
}

static bool list_errors(const char *path, const struct manifest_report *report, json_t *list)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct manifest_error *e = &report->errors[i];

		if (json_array_append_new(list,
					  json_pack("{s:o, s:i, s:i, s:s}", "file", output_string(path), "line",
						    (int)e->line, "column", (int)e->column, "message", message_of(e))))
			return false;
	}
	return true;
}

static void print_errors(const char *path, const struct manifest_report *report)
{
	char *shown = text_show(path, strlen(path));

	for (size_t i = 0; i < report->count; i++) {
		const struct manifest_error *e = &report->errors[i];

		fputs(shown ? shown : "(out of memory)", stderr);
		if (e->line)
			fprintf(stderr, ":%u:%u", e->line, e->column);
		fprintf(stderr, ": %s\n", message_of(e));
	}
	free(shown);
}

/* list: of errors, replaced by NULL when it cannot be made; NULL: errors are printed. */
static bool check_file(const char *path, struct manifest *m, json_t **list)
{
	struct manifest_report report;
	bool good = manifest_load(path, m, &report);

	if (!list) {
		print_errors(path, &report);
	} else if (*list && !list_errors(path, &report, *list)) {
		json_decref(*list);
		*list = NULL;
	}
	manifest_report_free(&report);
	return good;
}

enum exit_code command_check(const struct options *options, int count, char **operands)
{
	json_t *list = options->json ? json_array() : NULL;
	enum exit_code code = EXIT_DONE, told = EXIT_DONE;

	for (int i = 0; i < count; i++) {
		struct manifest m;

		if (!check_file(operands[i], &m, options->json ? &list : NULL)) {
			code = EXIT_MANIFEST;
		} else if (!options->json) {
			output_text(operands[i]);
			puts(": good");
		}
		manifest_free(&m);
	}
	if (options->json && code == EXIT_DONE)
		told = output_json(json_pack("{s:b, s:o}", "ok", 1, "errors", list));
	else if (options->json)
		output_json(json_pack("{s:b, s:i, s:s, s:o}", "ok", 0, "code", (int)code, "error", "the manifest has errors",
				      "errors", list));
	return code == EXIT_DONE ? told : code;
}

static int ms_left(uint64_t end)
{
	uint64_t now = clock_ms();

	return end > now ? (int)(end - now) : 0;
}

/* Takes some of the output; false: there is no more. */
static bool take_output(int console, struct first_steps *steps)
{
	char chunk[LAST_OUTPUT / 2];
	ssize_t n = read(console, chunk, sizeof(chunk));
	size_t too_many = n > 0 && steps->used + (size_t)n > LAST_OUTPUT ? steps->used + (size_t)n - LAST_OUTPUT : 0;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	memmove(steps->output, steps->output + too_many, steps->used - too_many);
	steps->used -= too_many;
	memcpy(steps->output + steps->used, chunk, (size_t)n);
	steps->used += (size_t)n;
	return true;
}

static json_t *take_event(const char *name, int events)
{
	struct failure failure;
	json_t *event = client_receive(events, client_deadline(LAST_WORD_SECONDS), &failure);

	if (event)
		event = status_take(status_of_end, name, event, &failure);
	if (!event)
		return json_pack("{s:s, s:s, s:b}", "event", "ended", "reason", failure.text, "crashed", 1);
	if (strcmp(member_text(event, "event"), "restarted"))
		return event;
	json_decref(event);
	client_send(events, json_pack("{s:s}", "command", "wait"), &failure);
	return NULL;
}

/* Its output is there before it is told that it has ended. */
static void watch(const char *name, const struct process *process, struct first_steps *steps)
{
	uint64_t end = clock_ms() + AT_ONCE_MS;
	bool more = true;
	int left = AT_ONCE_MS;

	for (*steps = (struct first_steps){ 0 }; left && !steps->event; left = ms_left(end)) {
		struct pollfd ready[] = {
			{ .fd = more ? process->console : -1, .events = POLLIN }, { .fd = process->events, .events = POLLIN },
		};

		if (poll(ready, 2, left) <= 0)
			continue;
		if (ready[0].revents)
			more = take_output(process->console, steps);
		else
			steps->event = take_event(name, process->events);
	}
	/* A process that never comes to an end with it has said enough. */
	for (end = clock_ms() + AT_ONCE_MS; steps->event && more && ms_left(end);) {
		struct pollfd ready = { .fd = process->console, .events = POLLIN };

		more = poll(&ready, 1, 0) > 0 && take_output(process->console, steps);
	}
}

static json_t *end_in_json(const struct manifest *m, const struct first_steps *steps, const struct failure *failure)
{
	char *output = text_utf8(steps->output, steps->used);
	json_t *result = output ? json_pack("{s:b, s:s, s:s, s:s, s:s}", "ok", failure->code == EXIT_DONE, "name", m->name,
					    "event", member_text(steps->event, "event"), "reason",
					    member_text(steps->event, "reason"), "output", output) :
				  NULL;

	free(output);
	if (result && failure->code != EXIT_DONE &&
	    (json_object_set_new(result, "code", json_integer(failure->code)) ||
	     json_object_set_new(result, "error", json_string(failure->text)))) {
		json_decref(result);
		return NULL;
	}
	return result;
}

static enum exit_code tell_end(const struct options *options, const struct manifest *m, const struct first_steps *steps)
{
	enum exit_code code = json_is_true(json_object_get(steps->event, "crashed")) ? EXIT_FAILED : EXIT_DONE, told;
	struct failure failure;

	failure_set(&failure, code, "guest \"%s\" %s at once: %s", m->name, member_text(steps->event, "event"),
		    member_text(steps->event, "reason"));
	if (options->json) {
		told = output_json(end_in_json(m, steps, &failure));
		return code == EXIT_DONE ? told : code;
	}
	fprintf(stderr, "keel: %s\n", failure.text);
	if (steps->used) {
		fprintf(stderr, "keel: its last output:\n");
		text_print(stderr, steps->output, steps->used);
		putc('\n', stderr);
	}
	return code;
}

static enum exit_code tell_start(const struct options *options, const struct manifest *m, const struct process *process,
				 json_t *answer)
{
	struct first_steps steps;
	enum exit_code code;

	watch(m->name, process, &steps);
	if (options->unit)
		notify_started(steps.event ? 0 : process->pid);
	if (steps.event) {
		code = tell_end(options, m, &steps);
		json_decref(steps.event);
		return code;
	}
	if (options->json)
		return output_json(json_incref(answer));
	printf("%s: running\n", m->name);
	return EXIT_DONE;
}

static enum exit_code tell_console(const struct options *options, const struct manifest *m, const struct process *process,
				   json_t *answer)
{
	enum exit_code code = options->json ? output_json(json_incref(answer)) : EXIT_DONE;
	struct failure failure;

	if (code == EXIT_DONE) {
		code = terminal_take(m->name, process->console, process->events, &failure);
		if (code != EXIT_DONE && failure.text[0])
			output_fail(options->json, &failure);
	}
	return code;
}

/* Its service would stop and look for another guest than it has started. */
static bool is_units(const struct manifest *m, const char *unit, struct failure *failure)
{
	return !unit || !strcmp(m->name, unit) ||
	       failure_set(failure, EXIT_MANIFEST, "keel@%s.service starts the guest \"%s\", but this manifest's name is \"%s\"; "
			   "give the file that name too, or change \"name\" in it", unit, unit, m->name);
}

static enum exit_code create(const struct options *options, const struct manifest *m)
{
	struct process process;
	struct failure failure;
	enum exit_code code;
	json_t *answer;
	bool started;

	if (!is_units(m, options->unit, &failure))
		return output_fail(options->json, &failure);
	progress_begin(options, "create", m->name, 1, PROCESS_START_SECONDS);
	started = process_start(m, &process, &answer, &failure);
	progress_end();
	if (!started)
		return output_fail(options->json, &failure);
	answer = status_take(status_of_start, m->name, answer, &failure);
	if (!answer)
		code = output_fail(options->json, &failure);
	else
		code = options->console ? tell_console(options, m, &process, answer) : tell_start(options, m, &process, answer);
	close(process.console);
	close(process.events);
	json_decref(answer);
	return code;
}

enum exit_code command_create(const struct options *options, int count, char **operands)
{
	json_t *list = options->json ? json_array() : NULL;
	enum exit_code code = EXIT_MANIFEST;
	struct manifest m;

	(void)count;
	if (check_file(operands[0], &m, options->json ? &list : NULL))
		code = create(options, &m);
	else if (options->json)
		output_json(json_pack("{s:b, s:i, s:s, s:O}", "ok", 0, "code", (int)code, "error", "the manifest has errors",
				      "errors", list));
	json_decref(list);
	manifest_free(&m);
	return code;
}
