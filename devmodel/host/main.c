// SPDX-License-Identifier: GPL-2.0
/* keel-dm: the resource half of one guest's device model. Started by keel(1), one process for each guest. */
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keel/macros.h>

#include "host/log.h"
#include "host/machine.h"
#include "host/schedule.h"

/* Tells whoever started this process how it went: one JSON object, then end of file. False: nobody is there any more. */
static bool report(int fd, const struct machine *m, const struct failure *failure)
{
	json_t *answer = failure ? json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure->code, "error", failure->text) :
				   json_pack("{s:b, s:s, s:i}", "ok", 1, "name", m->manifest.name, "pid", (int)getpid());
	char *text = json_dumps(answer, JSON_COMPACT);
	bool told = true;

	if (failure)
		fprintf(stderr, "%s\n", failure->text);
	if (fd >= 0) {
		told = text && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
		close(fd);
	}
	free(text);
	json_decref(answer);
	return told;
}

/* fd: an open file of the manifest, or -1. */
static bool load(struct machine *m, int fd, const char *path, struct failure *failure)
{
	struct manifest_report errors;
	bool good = fd < 0 ? manifest_load(path, &m->manifest, &errors) : manifest_load_from(fd, path, &m->manifest, &errors);

	for (size_t i = 0; i < errors.count; i++)
		fprintf(stderr, "%s:%u:%u: %s\n", path, errors.errors[i].line, errors.errors[i].column, errors.errors[i].text);
	if (!good)
		failure_set(failure, EXIT_MANIFEST, "%s:%u:%u: %s", path, errors.errors[0].line, errors.errors[0].column,
			    errors.errors[0].text);
	manifest_report_free(&errors);
	return good;
}

static enum exit_code keep(struct machine *m, int ready)
{
	const int given[] = { ready, m->starter_console, m->starter_events };
	struct failure told;

	for (size_t i = 0; i < ARRAY_SIZE(given); i++)
		if (given[i] >= 0)
			close(given[i]);
	/* What the guest's process makes it do is the guest's as well. If it fails, it does so there too, and is told there. */
	schedule_set(&m->manifest, &told);
	return keeper_watch(&m->keeper, &m->rundir, &m->manifest);
}

static enum exit_code serve(struct machine *m, int ready)
{
	struct failure failure = { 0 };

	if (!machine_start(m, &failure)) {
		report(ready, m, &failure);
		return failure.code;
	}
	if (!report(ready, m, NULL))
		machine_abandon(m);
	machine_run(m);
	return machine_stop(m);
}

static int usage(void)
{
	fprintf(stderr, "usage: keel-dm [--ready-fd N] [--manifest-fd N] [--console-fd N] [--events-fd N] MANIFEST\n");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ready-fd", required_argument, NULL, 'r' }, { "manifest-fd", required_argument, NULL, 'm' },
		{ "console-fd", required_argument, NULL, 'c' }, { "events-fd", required_argument, NULL, 'e' }, { 0 },
	};
	struct machine *m;
	struct failure failure = { 0 };
	int ready = -1, manifest = -1, console = -1, events = -1, option;
	enum exit_code code;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		int *fd = option == 'r' ? &ready :
			  option == 'm' ? &manifest :
			  option == 'c' ? &console :
			  option == 'e' ? &events : NULL;

		if (!fd)
			return usage();
		*fd = atoi(optarg);
		fcntl(*fd, F_SETFD, FD_CLOEXEC);
	}
	if (optind + 1 != argc)
		return usage();
	m = calloc(1, sizeof(*m));
	if (!m) {
		perror("keel-dm");
		return EXIT_NO_MEMORY;
	}
	/* Each further heap takes address space, which is limited, for memory that its thread hardly uses. */
	mallopt(M_ARENA_MAX, 1);
	log_start();
	m->starter_console = console;
	m->starter_events = events;
	m->rundir.pid_fd = m->rundir.record_fd = m->rundir.user_fd = -1;
	if (!load(m, manifest, argv[optind], &failure) || !rundir_create(&m->rundir, m->manifest.name, &failure) ||
	    !rundir_take_user(&m->rundir, &m->user, &failure) || !keeper_fork(&m->keeper, &failure)) {
		rundir_remove(&m->rundir);
		report(ready, m, &failure);
		return failure.code;
	}
	code = m->keeper.guest ? keep(m, ready) : serve(m, ready);
	manifest_free(&m->manifest);
	free(m);
	return code;
}
