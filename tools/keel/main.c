// SPDX-License-Identifier: GPL-2.0
/* keel(1): starts, watches and ends guests. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"

#define TIMEOUT_DEFAULT		120

enum { OPTION_JSON = 1, OPTION_CONSOLE = 2, OPTION_LOG = 4, OPTION_FORCE = 8, OPTION_TIMEOUT = 16 };

struct command {
	const char *name;
	enum exit_code (*run)(const struct options *options, int count, char **operands);
	int least, most;	/* operands */
	unsigned int options;
	const char *usage, *help;
};

static const struct command commands[] = {
	{ "check", command_check, 1, 1000, OPTION_JSON, "MANIFEST...", "find all errors of manifests" },
	{ "create", command_create, 1, 1, OPTION_JSON | OPTION_CONSOLE, "[--console] MANIFEST", "start a guest" },
	{ "list", command_list, 0, 0, OPTION_JSON, "", "show the guests that run" },
	{ "console", command_console, 1, 1, OPTION_LOG, "[--log] NAME", "join a guest's serial console; Ctrl-] leaves" },
	{ "shutdown", command_shutdown, 1, 1, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME",
	  "press the power button and wait until the guest is off" },
	{ "reboot", command_reboot, 1, 1, OPTION_JSON | OPTION_TIMEOUT | OPTION_FORCE, "[--force] [--timeout SECONDS] NAME",
	  "shut a guest down and start it again; --force: at once" },
	{ "unpause", command_unpause, 1, 1, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME",
	  "go on where a disk stands still after an error" },
	{ "resume", command_unpause, 1, 1, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME", "the same" },
	{ "destroy", command_destroy, 1, 1, OPTION_JSON, "NAME", "end a guest at once" },
	{ "info", command_info, 0, 1, OPTION_JSON, "[NAME]", "describe the hypervisor, or a guest" },
	{ "dmesg", command_dmesg, 0, 0, OPTION_JSON, "", "print the hypervisor's log" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int usage(FILE *to)
{
	fprintf(to, "usage: keel COMMAND [--json] ...\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-9s %-35s %s\n", commands[i].name, commands[i].usage, commands[i].help);
	fprintf(to, "\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 errors in a manifest, 4 no such guest, 5 no hypervisor,\n"
		"6 timed out, 7 name or image in use, 8 not enough memory. See keel(1).\n");
	return to == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int command_usage(const struct command *command)
{
	fprintf(stderr, "usage: keel %s%s %s\n", command->name, command->options & OPTION_JSON ? " [--json]" : "",
		command->usage);
	return EXIT_USAGE;
}

static bool parse_timeout(const char *text, int *seconds)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 1 || n > 86400) {
		fprintf(stderr, "keel: --timeout: expected 1 to 86400 seconds, found \"%s\"\n", text);
		return false;
	}
	*seconds = (int)n;
	return true;
}

static int run(const struct command *command, int argc, char **argv)
{
	static const struct option known[] = {
		{ "json", no_argument, NULL, OPTION_JSON }, { "console", no_argument, NULL, OPTION_CONSOLE },
		{ "log", no_argument, NULL, OPTION_LOG }, { "force", no_argument, NULL, OPTION_FORCE },
		{ "timeout", required_argument, NULL, OPTION_TIMEOUT }, { 0 },
	};
	struct options options = { .timeout = TIMEOUT_DEFAULT };
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (!(command->options & (unsigned int)option) || option == '?')
			return command_usage(command);
		options.json |= option == OPTION_JSON;
		options.console |= option == OPTION_CONSOLE;
		options.log |= option == OPTION_LOG;
		options.force |= option == OPTION_FORCE;
		if (option == OPTION_TIMEOUT && !parse_timeout(optarg, &options.timeout))
			return EXIT_USAGE;
	}
	if (argc - optind < command->least || argc - optind > command->most)
		return command_usage(command);
	return command->run(&options, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")))
		return usage(stdout);
	for (size_t i = 0; argc > 1 && i < COMMANDS; i++)
		if (!strcmp(commands[i].name, argv[1]))
			return run(&commands[i], argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "keel: unknown command \"%s\"\n", argv[1]);
	return usage(stderr);
}
