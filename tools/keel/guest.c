// SPDX-License-Identifier: GPL-2.0
/* keel console, log, shutdown, reboot, reset, unpause, nmi, cd-eject, wait, destroy. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "common/fd.h"
#include "common/member.h"
#include "common/rundir.h"
#include "output.h"
#include "process.h"
#include "progress.h"
#include "status.h"
#include "terminal.h"
#include "common/text.h"

#define TIMEOUT_DEFAULT		120
#define QUICK_SECONDS		10
#define PAUSE_NS		20000000
#define MS_PER_SECOND		1000
#define PAUSES_A_SECOND		50
#define LOG_CHUNK		65536u
#define LOG_JSON_MOST		(1u << 20)

/* What a verb asks of each of its guests. */
struct demand {
	const char *verb;
	json_t *request;
	int seconds;
	const char *remedy;	/* where the time does not suffice */
	const char *done;	/* said of an answer without an event */
	json_t *(*form)(const char *name, const json_t *answer);
};

enum exit_code command_console(const struct options *options, int count, char **operands)
{
	struct failure failure = { 0 };
	enum exit_code code = options->log ? terminal_replay(operands[0], &failure) : terminal_join(operands[0], &failure);

	(void)count;
	return code != EXIT_DONE && failure.text[0] ? output_fail(options->json, &failure) : code;
}

static void print_answer(const struct client_call *call, const struct demand *demand)
{
	output_text(call->name);
	fputs(": ", stdout);
	output_text(member_text(call->answer, "event")[0] ? member_text(call->answer, "event") : demand->done);
	if (member_text(call->answer, "reason")[0]) {
		fputs(" (", stdout);
		output_text(member_text(call->answer, "reason"));
		putchar(')');
	}
	putchar('\n');
}

static enum exit_code code_of(const struct client_call *call)
{
	return call->answer ? EXIT_DONE : call->failure.code;
}

/* One guest of several, in JSON. */
static json_t *result_of(const struct client_call *call)
{
	return call->answer ? json_incref(call->answer) :
	       json_pack("{s:b, s:i, s:s, s:o}", "ok", 0, "code", (int)call->failure.code, "error", call->failure.text, "name",
			 output_string(call->name));
}

static json_t *results_of(const struct client_call *calls, size_t count, enum exit_code code)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(list, result_of(&calls[i]))) {
			json_decref(list);
			return NULL;
		}
	if (code == EXIT_DONE)
		return json_pack("{s:b, s:o}", "ok", 1, "guests", list);
	return json_pack("{s:b, s:i, s:s, s:o}", "ok", 0, "code", (int)code, "error", "it failed for some of the guests",
			 "guests", list);
}

static enum exit_code tell(const struct options *options, const struct client_call *calls, size_t count,
			   const struct demand *demand)
{
	enum exit_code code = EXIT_DONE, told = EXIT_DONE;

	for (size_t i = 0; i < count; i++)
		if (code_of(&calls[i]) > code)
			code = code_of(&calls[i]);
	if (options->json && count == 1 && code != EXIT_DONE)
		return output_fail(true, &calls->failure);
	if (options->json)
		told = output_json(count == 1 ? result_of(calls) : results_of(calls, count, code));
	for (size_t i = 0; i < count && !options->json; i++) {
		if (calls[i].answer)
			print_answer(&calls[i], demand);
		else
			output_fail(false, &calls[i].failure);
	}
	return code == EXIT_DONE ? told : code;
}

/* One that is named twice is asked once: those that remain are the first of the names, and count says how many. */
static struct client_call *calls_for(char **names, int *count)
{
	struct client_call *calls = calloc((size_t)*count, sizeof(*calls));
	int used = 0;

	for (int i = 0, j; calls && i < *count; i++) {
		for (j = 0; j < used && strcmp(names[j], names[i]); j++)
			;
		if (j < used)
			continue;
		names[used] = names[i];
		calls[used++].name = names[i];
	}
	*count = used;
	return calls;
}

static enum exit_code out_of_memory(const struct options *options)
{
	struct failure failure;

	failure_set(&failure, EXIT_FAILED, "out of memory");
	return output_fail(options->json, &failure);
}

static void free_calls(struct client_call *calls, int count)
{
	for (int i = 0; i < count; i++)
		json_decref(calls[i].answer);
	free(calls);
}

/* What a process may say to the demand. */
static void take_answers(struct client_call *calls, int count, const struct demand *demand)
{
	for (int i = 0; i < count; i++)
		if (calls[i].answer && !calls[i].settled)
			calls[i].answer = status_take(demand->form, calls[i].name, calls[i].answer, &calls[i].failure);
}

/* Asks all guests, and tells of each how it went; the highest exit code. */
static enum exit_code demand_of(const struct options *options, int count, char **names, const struct demand *demand)
{
	struct client_call *calls = calls_for(names, &count);
	enum exit_code code;

	if (!calls)
		return out_of_memory(options);
	progress_begin(options, demand->verb, names[0], (size_t)count, demand->seconds);
	client_ask_all(calls, (size_t)count, demand->request, demand->seconds);
	progress_end();
	take_answers(calls, count, demand);
	for (int i = 0; i < count; i++)
		if (!calls[i].answer && calls[i].failure.code == EXIT_TIMEOUT)
			failure_set(&calls[i].failure, EXIT_TIMEOUT, "guest \"%s\" did not do it within %d s%s", names[i],
				    demand->seconds, demand->remedy);
	code = tell(options, calls, (size_t)count, demand);
	free_calls(calls, count);
	return code;
}

static int seconds_of(const struct options *options)
{
	return options->timeout ? options->timeout : TIMEOUT_DEFAULT;
}

enum exit_code command_shutdown(const struct options *options, int count, char **operands)
{
	const struct demand demand = {
		"shutdown", json_pack("{s:s}", "command", "shutdown"), seconds_of(options),
		"; its system may not listen to the power button: keel destroy ends it at once", "done", status_of_end,
	};

	return demand_of(options, count, operands, &demand);
}

static enum exit_code reboot(const struct options *options, int count, char **operands, bool force)
{
	const struct demand demand = {
		force ? "reset" : "reboot", json_pack("{s:s, s:b}", "command", "reboot", "force", (int)force),
		seconds_of(options),
		force ? "" : "; keel reset resets it at once", "done", status_of_end,
	};

	return demand_of(options, count, operands, &demand);
}

enum exit_code command_reboot(const struct options *options, int count, char **operands)
{
	return reboot(options, count, operands, options->force);
}

enum exit_code command_reset(const struct options *options, int count, char **operands)
{
	return reboot(options, count, operands, true);
}

enum exit_code command_unpause(const struct options *options, int count, char **operands)
{
	const struct demand demand = {
		"unpause", json_pack("{s:s}", "command", "unpause"), seconds_of(options), "", "goes on", status_of_done_or_end,
	};

	return demand_of(options, count, operands, &demand);
}

static bool is_gone(const char *name, pid_t process, int seconds)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };

	for (int i = 0; i < seconds * PAUSES_A_SECOND && rundir_process(name) == process; i++)
		nanosleep(&pause, NULL);
	return rundir_process(name) != process;
}

/* Whatever has come to have its number meanwhile is left alone. */
static bool kill_process(const char *name, pid_t process)
{
	int fd = (int)syscall(SYS_pidfd_open, process, 0);
	bool killed = fd >= 0 && rundir_process(name) == process && !syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);

	fd_close(&fd);
	return killed;
}

static void set_end(struct client_call *call, const char *reason)
{
	json_decref(call->answer);
	call->answer = json_pack("{s:b, s:o, s:s, s:s, s:b}", "ok", 1, "name", output_string(call->name), "event", "ended",
				 "reason", reason, "crashed", 0);
}

/* A process of a guest that does not end, or says that it did and lives on, is killed; its keeper clears up. */
static void make_sure(struct client_call *call, pid_t process)
{
	if (!process)
		return;
	if (is_gone(call->name, process, call->answer ? QUICK_SECONDS : 0)) {
		if (!call->answer)
			set_end(call, "its process ended by itself meanwhile");
		return;
	}
	if (kill_process(call->name, process) && is_gone(call->name, process, QUICK_SECONDS)) {
		set_end(call, "its process did not do as it was told, and was killed");
		return;
	}
	failure_set(&call->failure, EXIT_FAILED, "the process of guest \"%s\", %d, does not end", call->name, (int)process);
	json_decref(call->answer);
	call->answer = NULL;
}

/* One that is too busy to be asked, does not listen yet or gives another answer is asked again while there is time. */
static void insist(struct client_call *calls, const pid_t *processes, int count, const struct demand *demand)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	long long deadline = client_deadline(demand->seconds);
	int left = demand->seconds;
	bool again = true;

	while (again && left) {
		client_ask_all(calls, (size_t)count, json_incref(demand->request), left);
		take_answers(calls, count, demand);
		again = false;
		for (int i = 0; i < count; i++) {
			calls[i].settled = calls[i].answer || !processes[i] || rundir_process(calls[i].name) != processes[i];
			again |= !calls[i].settled;
		}
		if (again)
			nanosleep(&pause, NULL);
		left = (client_ms_left(deadline) + MS_PER_SECOND - 1) / MS_PER_SECOND;
	}
	json_decref(demand->request);
}

enum exit_code command_destroy(const struct options *options, int count, char **operands)
{
	const struct demand demand = {
		"destroy", json_pack("{s:s}", "command", "destroy"), seconds_of(options), "", "done", status_of_end,
	};
	struct client_call *calls = calls_for(operands, &count);
	pid_t *processes = calloc((size_t)count, sizeof(*processes));
	enum exit_code code;

	if (!calls || !processes) {
		free(calls);
		free(processes);
		return out_of_memory(options);
	}
	for (int i = 0; i < count; i++)
		processes[i] = strchr(calls[i].name, '/') ? 0 : rundir_process(calls[i].name);
	progress_begin(options, demand.verb, operands[0], (size_t)count, demand.seconds);
	insist(calls, processes, count, &demand);
	for (int i = 0; i < count; i++)
		make_sure(&calls[i], processes[i]);
	progress_end();
	code = tell(options, calls, (size_t)count, &demand);
	free_calls(calls, count);
	free(processes);
	return code;
}

enum exit_code command_nmi(const struct options *options, int count, char **operands)
{
	const struct demand demand = {
		"nmi", json_pack("{s:s}", "command", "nmi"), QUICK_SECONDS, "", "has got an NMI", status_of_done,
	};

	return demand_of(options, count, operands, &demand);
}

enum exit_code command_cd_eject(const struct options *options, int count, char **operands)
{
	const struct demand demand = {
		"cd-eject", json_pack("{s:s, s:b}", "command", "cd-eject", "force", (int)options->force), QUICK_SECONDS,
		"; a read of the medium has not ended yet, and the drive is empty behind it", "its CD-ROM drive is empty",
		status_of_empty,
	};

	return demand_of(options, count, operands, &demand);
}

/* NULL: the guest runs; else how it was over before. Takes the reference. */
static json_t *end_of_status(json_t *status)
{
	json_t *end = NULL;

	if (!strcmp(member_text(status, "state"), "preserved"))
		end = json_pack("{s:b, s:s, s:s, s:b}", "ok", 1, "event", "preserved", "reason", member_text(status, "reason"),
				"crashed", json_is_true(json_object_get(status, "crashed")));
	json_decref(status);
	return end;
}

static bool ask_for_end(struct client_call *c, const char *command)
{
	return client_send(c->fd, json_pack("{s:s}", "command", command), &c->failure);
}

static void start_waiting(struct client_call *c)
{
	c->fd = client_connect(c->name, &c->failure);
	if (c->fd < 0 || (ask_for_end(c, "status") && ask_for_end(c, "wait")))
		return;
	client_name_failure(c);
	fd_close(&c->fd);
}

/* Takes one line of one that has something to say: its status, then how a run ended, of which restarts are not the end. */
static void hear(struct client_call *c, long long deadline)
{
	long long soon = client_deadline(QUICK_SECONDS);
	json_t *answer = client_receive(c->fd, deadline >= 0 && deadline < soon ? deadline : soon, &c->failure);
	bool first = !c->told, restarted = !first && !strcmp(member_text(answer, "event"), "restarted");

	c->told = true;
	if (answer && first) {
		answer = end_of_status(answer);
		if (!answer)
			return;
	}
	if (restarted) {
		json_decref(answer);
		answer = NULL;
		if (ask_for_end(c, "wait"))
			return;
	}
	c->answer = answer;
	if (!answer)
		client_name_failure(c);
	fd_close(&c->fd);
}

/* Whoever says something is heard, until all have ended or the time is over: those remain connected. */
static bool wait_for_ends(struct client_call *calls, int count, long long deadline)
{
	struct pollfd *ready = calloc((size_t)count, sizeof(*ready));
	bool enough = ready;
	int waiting = count;

	while (enough && waiting && client_ms_left(deadline)) {
		waiting = 0;
		for (int i = 0; i < count; i++) {
			ready[i] = (struct pollfd){ .fd = calls[i].fd, .events = POLLIN };
			waiting += calls[i].fd >= 0;
		}
		if (!waiting || poll(ready, (nfds_t)count, client_ms_left(deadline)) <= 0)
			continue;
		for (int i = 0; i < count; i++)
			if (calls[i].fd >= 0 && ready[i].revents)
				hear(&calls[i], deadline);
	}
	free(ready);
	return enough;
}

enum exit_code command_wait(const struct options *options, int count, char **operands)
{
	long long deadline = client_deadline(options->timeout ? options->timeout : CLIENT_NO_TIMEOUT);
	const struct demand demand = { .seconds = options->timeout, .done = "ended", .form = status_of_end };
	struct client_call *calls = calls_for(operands, &count);
	enum exit_code code;
	bool waited;

	if (!calls)
		return out_of_memory(options);
	progress_begin(options, "wait", operands[0], (size_t)count, options->timeout);
	for (int i = 0; i < count; i++)
		start_waiting(&calls[i]);
	waited = wait_for_ends(calls, count, deadline);
	progress_end();
	if (!waited) {
		free_calls(calls, count);
		return out_of_memory(options);
	}
	take_answers(calls, count, &demand);
	for (int i = 0; i < count; i++)
		if (calls[i].fd >= 0) {
			failure_set(&calls[i].failure, EXIT_TIMEOUT, "guest \"%s\" did not end within %d s", operands[i],
				    options->timeout);
			fd_close(&calls[i].fd);
		}
	code = tell(options, calls, (size_t)count, &demand);
	for (int i = 0; i < count && code == EXIT_DONE; i++)
		if (json_is_true(json_object_get(calls[i].answer, "crashed")))
			code = EXIT_FAILED;
	free_calls(calls, count);
	return code;
}

static bool cannot_read(const char *path, struct failure *failure)
{
	return failure_set(failure, EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
}

/* In pieces that end with whole characters. */
static bool print_log(const char *path, int fd, struct failure *failure)
{
	char bytes[LOG_CHUNK];
	size_t held = 0;
	ssize_t n;

	while ((n = read(fd, bytes + held, sizeof(bytes) - held)) > 0) {
		size_t used = held + (size_t)n, whole = text_whole(bytes, used);

		text_print(stdout, bytes, whole);
		held = used - whole;
		memmove(bytes, bytes + whole, held);
	}
	text_print(stdout, bytes, held);
	return !n || cannot_read(path, failure);
}

/* The last of it, up to room; -1: errno tells. */
static ssize_t read_last(int fd, char *bytes, size_t room, bool *truncated)
{
	off_t length = lseek(fd, 0, SEEK_END), from = length > (off_t)room ? length - (off_t)room : 0;
	size_t used = 0;
	ssize_t n;

	while (used < room && (n = pread(fd, bytes + used, room - used, from + (off_t)used)) != 0) {
		if (n < 0)
			return -1;
		used += (size_t)n;
	}
	*truncated = from;
	return (ssize_t)used;
}

static enum exit_code log_in_json(const char *name, const char *path, int fd, struct failure *failure)
{
	char *bytes = malloc(LOG_JSON_MOST), *line;
	enum exit_code code = EXIT_FAILED;
	bool truncated = false;
	ssize_t used = bytes ? read_last(fd, bytes, LOG_JSON_MOST, &truncated) : -1;

	if (used < 0) {
		cannot_read(path, failure);
	} else {
		line = truncated ? memchr(bytes, '\n', (size_t)used) : NULL;
		line = line ? line + 1 : bytes;	/* a whole one */
		code = output_json(json_pack("{s:b, s:o, s:o, s:o, s:b}", "ok", 1, "name", output_string(name), "file",
					     output_string(path), "log", output_bytes(line, (size_t)(bytes + used - line)),
					     "truncated", (int)truncated));
	}
	free(bytes);
	return code;
}

static int open_log(const char *name, char path[PATH_MAX], struct failure *failure)
{
	int fd;

	if (strchr(name, '/') || name[0] == '.' || !name[0]) {
		failure_set(failure, EXIT_NO_GUEST,
			    "\"%s\" is not the name of a guest; keel list --all shows those that were there", name);
		return -1;
	}
	process_log_path(path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		failure_set(failure, errno == ENOENT ? EXIT_NO_GUEST : EXIT_FAILED,
			    "there is no log of a guest \"%s\" to read: %s: %s", name, path, strerror(errno));
	return fd;
}

enum exit_code command_log(const struct options *options, int count, char **operands)
{
	struct failure failure = { 0 };
	enum exit_code code = EXIT_DONE;
	char path[PATH_MAX];
	int fd = open_log(operands[0], path, &failure);

	(void)count;
	if (fd < 0)
		return output_fail(options->json, &failure);
	if (options->json)
		code = log_in_json(operands[0], path, fd, &failure);
	else
		print_log(path, fd, &failure);
	close(fd);
	return failure.text[0] ? output_fail(options->json, &failure) : code;
}
