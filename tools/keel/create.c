// SPDX-License-Identifier: GPL-2.0
/* keel check, keel create. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "manifest.h"
#include "terminal.h"

#define DEVICE_MODEL		"keel-dm"
#define LOG_PARENT		"/var/log/keel"
#define ANSWER_ROOM		4096

static void print_errors(const char *path, const struct manifest_report *report, json_t *list)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct manifest_error *e = &report->errors[i];

		if (list)
			json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:s}", "file", path, "line", (int)e->line,
							      "column", (int)e->column, "message", e->text));
		else if (e->line)
			fprintf(stderr, "%s:%u:%u: %s\n", path, e->line, e->column, e->text);
		else
			fprintf(stderr, "%s: %s\n", path, e->text);
	}
}

static bool check_file(const char *path, struct manifest *m, json_t *list)
{
	struct manifest_report report;
	bool good = manifest_load(path, m, &report);

	print_errors(path, &report, list);
	manifest_report_free(&report);
	return good;
}

enum exit_code command_check(const struct options *options, int count, char **operands)
{
	json_t *list = options->json ? json_array() : NULL;
	bool good = true;

	for (int i = 0; i < count; i++) {
		struct manifest m;

		if (!check_file(operands[i], &m, list))
			good = false;
		else if (!list)
			printf("%s: good\n", operands[i]);
		manifest_free(&m);
	}
	if (list)
		command_print_json(json_pack("{s:b, s:o}", "ok", good, "errors", list));
	return good ? EXIT_DONE : EXIT_MANIFEST;
}

/* KEEL_DM, beside this program, or where the packages put it. */
static bool find_device_model(char *path, struct failure *failure)
{
	static const char *const places[] = { "", "../libexec/keel/", "../lib/keel/" };
	const char *asked = secure_getenv("KEEL_DM");
	char self[PATH_MAX] = "";

	if (asked && *asked) {
		snprintf(path, PATH_MAX, "%s", asked);
		return true;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return failure_set(failure, EXIT_FAILED, "cannot find this program's folder: %s", strerror(errno));
	dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (snprintf(path, PATH_MAX, "%s/%s" DEVICE_MODEL, self, places[i]) < PATH_MAX && !access(path, X_OK))
			return true;
	}
	return failure_set(failure, EXIT_FAILED, "cannot find " DEVICE_MODEL " beside %s or in ../libexec/keel; set KEEL_DM", self);
}

static int open_log(const char *name)
{
	const char *asked = secure_getenv("KEEL_LOG_DIR");
	const char *parent = asked && *asked ? asked : LOG_PARENT;
	char path[PATH_MAX];
	int fd;

	mkdir(parent, 0755);
	snprintf(path, sizeof(path), "%s/%s.log", parent, name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	return fd >= 0 ? fd : open("/dev/null", O_WRONLY);
}

__attribute__((noreturn))
static void become_device_model(const char *program, const char *name, const char *manifest, int ready)
{
	char number[16];
	int null = open("/dev/null", O_RDONLY), log = open_log(name);

	snprintf(number, sizeof(number), "%d", ready);
	setsid();
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	if (log > STDERR_FILENO)
		close(log);
	execl(program, DEVICE_MODEL, "--ready-fd", number, manifest, (char *)NULL);
	_exit(127);
}

/* What the device model says of its start; NULL: it died without a word. */
static json_t *read_answer(int fd)
{
	char text[ANSWER_ROOM];
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, text + used, sizeof(text) - used)) != 0) {
		if (n > 0)
			used += (size_t)n;
		else if (errno != EINTR)
			break;
		if (used == sizeof(text))
			break;
	}
	return json_loadb(text, used, 0, NULL);
}

static bool start(const struct manifest *m, json_t **answer, struct failure *failure)
{
	char program[PATH_MAX];
	int ready[2], status = 0;
	pid_t child;

	if (!find_device_model(program, failure))
		return false;
	if (pipe(ready))
		return failure_set(failure, EXIT_FAILED, "cannot make a pipe: %s", strerror(errno));
	child = fork();
	if (!child) {
		close(ready[0]);
		become_device_model(program, m->name, m->path, ready[1]);
	}
	close(ready[1]);
	*answer = child > 0 ? read_answer(ready[0]) : NULL;
	close(ready[0]);
	if (json_is_true(json_object_get(*answer, "ok")))
		return true;
	if (child > 0)
		waitpid(child, &status, 0);
	if (json_is_string(json_object_get(*answer, "error")))
		failure_set(failure, (enum exit_code)json_integer_value(json_object_get(*answer, "code")), "%s",
			    json_string_value(json_object_get(*answer, "error")));
	else if (WIFSIGNALED(status))
		failure_set(failure, EXIT_FAILED, "%s was ended by signal %d; see " LOG_PARENT "/%s.log", program,
			    WTERMSIG(status), m->name);
	else
		failure_set(failure, EXIT_FAILED, "cannot start %s (status %d); see " LOG_PARENT "/%s.log", program,
			    WEXITSTATUS(status), m->name);
	json_decref(*answer);
	return false;
}

enum exit_code command_create(const struct options *options, int count, char **operands)
{
	json_t *list = options->json ? json_array() : NULL, *answer = NULL;
	enum exit_code code = EXIT_DONE;
	struct failure failure;
	struct manifest m;

	(void)count;
	if (!check_file(operands[0], &m, list)) {
		if (list)
			command_print_json(json_pack("{s:b, s:i, s:s, s:o}", "ok", 0, "code", EXIT_MANIFEST, "error",
						     "the manifest has errors", "errors", list));
		manifest_free(&m);
		return EXIT_MANIFEST;
	}
	json_decref(list);
	if (!start(&m, &answer, &failure)) {
		manifest_free(&m);
		return command_fail(options, &failure);
	}
	if (options->json)
		command_print_json(json_incref(answer));
	else if (!options->console)
		printf("%s: running\n", m.name);
	json_decref(answer);
	if (options->console) {
		code = terminal_join(m.name, &failure);
		if (code != EXIT_DONE && failure.text[0])
			command_fail(options, &failure);
	}
	manifest_free(&m);
	return code;
}
