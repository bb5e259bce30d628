// SPDX-License-Identifier: GPL-2.0
/* keel(1): starts, watches and ends guests. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <keel/macros.h>

#include "commands.h"
#include "output.h"
#include "common/text.h"

#define NAMES_MOST		1000
#define TIMEOUT_MOST		86400
#define FOLDER_MASK		022	/* of log folders: not the caller's */

enum { OPTION_JSON = 1, OPTION_CONSOLE = 2, OPTION_LOG = 4, OPTION_FORCE = 8, OPTION_TIMEOUT = 16, OPTION_ALL = 32,
       OPTION_UNIT = 64, OPTION_SHRINK = 128, OPTION_ONCE = 256 };

struct command {
	const char *name;
	enum exit_code (*run)(const struct options *options, int count, char **operands);
	int least, most;	/* operands */
	unsigned int options;
	const char *usage, *help;
};

static const struct command commands[] = {
	{ "check", command_check, 1, NAMES_MOST, OPTION_JSON, "MANIFEST...", "find the errors of manifests" },
	{ "check-host", command_check_host, 0, 0, OPTION_JSON, "",
	  "say whether this machine is fit for guests, and what is missing" },
	{ "create", command_create, 1, 1, OPTION_JSON | OPTION_CONSOLE | OPTION_UNIT, "[--console] [--unit NAME] MANIFEST",
	  "start a guest; MANIFEST may be - for standard input" },
	{ "list", command_list, 0, 0, OPTION_JSON | OPTION_ALL, "[--all]",
	  "show the guests that run; --all: and why others ended" },
	{ "console", command_console, 1, 1, OPTION_LOG, "[--log] NAME", "join a guest's serial console; Ctrl-] leaves" },
	{ "log", command_log, 1, 1, OPTION_JSON, "NAME", "print the log of a guest's process" },
	{ "shutdown", command_shutdown, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME...",
	  "press the power button and wait until the guest is off" },
	{ "reboot", command_reboot, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT | OPTION_FORCE,
	  "[--force] [--timeout SECONDS] NAME...", "shut a guest down and start it again; --force: at once" },
	{ "reset", command_reset, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME...",
	  "press the reset button" },
	{ "unpause", command_unpause, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME...",
	  "go on where a disk stands still after an error" },
	{ "resume", command_unpause, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME...",
	  "the same as unpause" },
	{ "nmi", command_nmi, 1, NAMES_MOST, OPTION_JSON, "NAME...", "send a guest a non-maskable interrupt" },
	{ "wait", command_wait, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME...",
	  "wait until a guest has ended" },
	{ "destroy", command_destroy, 1, NAMES_MOST, OPTION_JSON | OPTION_TIMEOUT, "[--timeout SECONDS] NAME...",
	  "end a guest at once; its process is killed if it does not do so itself" },
	{ "cd-insert", command_cd_insert, 2, 2, OPTION_JSON | OPTION_FORCE, "[--force] NAME FILE",
	  "put a medium into a guest's CD-ROM drive; --force: though it is locked" },
	{ "cd-eject", command_cd_eject, 1, NAMES_MOST, OPTION_JSON | OPTION_FORCE, "[--force] NAME...",
	  "take the medium out of a guest's CD-ROM drive; --force: though it is locked" },
	{ "network-list", command_network_list, 1, 1, OPTION_JSON, "NAME",
	  "show a guest's networks, and what went through them" },
	{ "network-link", command_network_link, 3, 3, OPTION_JSON, "NAME ID up|down",
	  "plug in the cable of a guest's network, or pull it out" },
	{ "disk-list", command_disk_list, 1, 1, OPTION_JSON, "NAME", "show the disks of a guest" },
	{ "disk-resize", command_disk_resize, 2, 3, OPTION_JSON | OPTION_SHRINK, "[--shrink] NAME ID [SIZE]",
	  "give a disk another size, or the one that its image has now; --shrink: a smaller one, too" },
	{ "info", command_info, 0, 1, OPTION_JSON, "[NAME]", "describe the hypervisor, or a guest" },
	{ "top", command_top, 0, NAMES_MOST, OPTION_JSON | OPTION_ONCE, "[--once] [NAME...]",
	  "show what guests do a second, and where their time goes" },
	{ "metrics", command_metrics, 0, NAMES_MOST, 0, "[NAME...]", "print counts of guests as Prometheus reads them" },
	{ "dmesg", command_dmesg, 0, 0, OPTION_JSON, "", "print the hypervisor's log" },
	{ "version", command_version, 0, 0, OPTION_JSON, "", "print the version of this program" },
};

static enum exit_code command_help(const struct options *options, int count, char **operands);

static const struct command help_command = {
	"help", command_help, 0, 1, OPTION_JSON, "[COMMAND]", "list the commands, or tell of one",
};

/* Words of other programs. */
static const char *const synonyms[][2] = {
	{ "start", "create" }, { "run", "create" }, { "stop", "shutdown" }, { "kill", "destroy" }, { "ls", "list" },
	{ "ps", "list" }, { "status", "info" }, { "restart", "reboot" }, { "eject", "cd-eject" }, { "insert", "cd-insert" },
	{ "domif-setlink", "network-link" }, { "set_link", "network-link" }, { "domiflist", "network-list" },
};

#define COMMANDS ARRAY_SIZE(commands)

static const struct option known_options[] = {
	{ "json", no_argument, NULL, OPTION_JSON }, { "console", no_argument, NULL, OPTION_CONSOLE },
	{ "log", no_argument, NULL, OPTION_LOG }, { "force", no_argument, NULL, OPTION_FORCE },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT }, { "all", no_argument, NULL, OPTION_ALL },
	{ "unit", required_argument, NULL, OPTION_UNIT }, { "shrink", no_argument, NULL, OPTION_SHRINK },
	{ "once", no_argument, NULL, OPTION_ONCE },
	{ "help", no_argument, NULL, 'h' }, { 0 },
};

static const char exit_codes[] =
	"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 errors in a manifest, 4 no such guest, 5 no hypervisor,\n"
	"6 timed out, 7 name or image in use, 8 not enough memory. See keel(1).\n";

static enum exit_code help(FILE *to)
{
	fprintf(to, "usage: keel COMMAND [--json] ...\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-12s %-39s %s\n", commands[i].name, commands[i].usage, commands[i].help);
	fprintf(to, "\nkeel help COMMAND, or keel COMMAND --help, tells of one.\n%s", exit_codes);
	return to == stdout ? EXIT_DONE : EXIT_USAGE;
}

static enum exit_code help_of(const struct command *command, FILE *to)
{
	fprintf(to, "usage: keel %s%s%s%s\n", command->name, command->options & OPTION_JSON ? " [--json]" : "",
		*command->usage ? " " : "", command->usage);
	if (to != stdout)
		return EXIT_USAGE;
	fprintf(to, "%s: %s\n", command->name, command->help);
	if (command->options & OPTION_JSON)
		fprintf(to, "--json: one JSON object on standard output, as output.schema.json describes it\n");
	if (command->options & OPTION_UNIT)
		fprintf(to, "--unit: for keel@NAME.service: the manifest must be that guest's, and systemd is told that it "
			"runs\n");
	if (command->options & OPTION_ONCE)
		fprintf(to, "--once: once, as where standard output is no terminal, and not again and again\n");
	if (command->options & OPTION_TIMEOUT)
		fprintf(to, "--timeout: how long to wait, at most %d seconds\n", TIMEOUT_MOST);
	fputs(exit_codes, to);
	return EXIT_DONE;
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return strcmp(name, help_command.name) ? NULL : &help_command;
}

static const char *nearest_command(const char *name)
{
	const char *nearest = NULL;
	unsigned int best = TEXT_NEAR;

	for (size_t i = 0; i < ARRAY_SIZE(synonyms); i++)
		if (!strcmp(synonyms[i][0], name))
			return synonyms[i][1];
	for (size_t i = 0; i < COMMANDS; i++)
		if (text_distance(name, commands[i].name) < best) {
			best = text_distance(name, commands[i].name);
			nearest = commands[i].name;
		}
	return nearest;
}

/* Of those that the command has; without a command, of those that stand before it. */
static const char *nearest_option(const struct command *command, const char *name)
{
	unsigned int best = TEXT_NEAR, allowed = command ? command->options : OPTION_JSON;
	const char *nearest = NULL;

	for (const struct option *o = known_options; o->name; o++)
		if ((o->val == 'h' || allowed & (unsigned int)o->val) && text_distance(name, o->name) < best) {
			best = text_distance(name, o->name);
			nearest = o->name;
		}
	return nearest;
}

static enum exit_code refuse(const struct options *options, const struct command *command, const struct failure *failure)
{
	output_fail(options->json, failure);
	if (command && !options->json)
		help_of(command, stderr);
	return EXIT_USAGE;
}

static enum exit_code unknown_command(const struct options *options, const char *name)
{
	const char *nearest = nearest_command(name);
	struct failure failure;

	if (nearest)
		failure_set(&failure, EXIT_USAGE, "there is no command \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		failure_set(&failure, EXIT_USAGE, "there is no command \"%s\"; keel help lists them", name);
	return refuse(options, NULL, &failure);
}

static enum exit_code unknown_option(const struct options *options, const struct command *command, const char *option)
{
	const char *nearest = nearest_option(command, option + strspn(option, "-"));
	const char *verb = command ? command->name : "keel";
	struct failure failure;

	if (nearest)
		failure_set(&failure, EXIT_USAGE, "%s: there is no option \"%s\" here; did you mean \"--%s\"?", verb,
			    option, nearest);
	else
		failure_set(&failure, EXIT_USAGE, "%s: there is no option \"%s\" here", verb, option);
	return refuse(options, command, &failure);
}

static bool parse_timeout(const char *text, int *seconds, struct failure *failure)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || end == text || n < 1 || n > TIMEOUT_MOST)
		return failure_set(failure, EXIT_USAGE, "--timeout: expected 1 to %d seconds, found \"%s\"", TIMEOUT_MOST, text);
	*seconds = (int)n;
	return true;
}

static void set_option(struct options *options, int option)
{
	options->json |= option == OPTION_JSON;
	options->console |= option == OPTION_CONSOLE;
	options->log |= option == OPTION_LOG;
	options->force |= option == OPTION_FORCE;
	options->all |= option == OPTION_ALL;
	options->shrink |= option == OPTION_SHRINK;
	options->once |= option == OPTION_ONCE;
}

static bool is_allowed(const struct command *command, int option)
{
	return option != '?' && option != ':' && command->options & (unsigned int)option;
}

static enum exit_code check_operands(const struct options *options, const struct command *command, int count, char **operands)
{
	struct failure failure;

	if (count < command->least)
		failure_set(&failure, EXIT_USAGE, "%s: an operand is missing", command->name);
	else if (count > command->most)
		failure_set(&failure, EXIT_USAGE, "%s: \"%s\" is an operand too many", command->name, operands[command->most]);
	else
		return EXIT_DONE;
	return refuse(options, command, &failure);
}

static enum exit_code run(const struct command *command, struct options *options, int argc, char **argv)
{
	struct failure failure;
	enum exit_code code;
	int option, at = optind = 1;

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", known_options, NULL)) != -1) {
		if (option == 'h')
			return help_of(command, stdout);
		if (option == ':' && is_allowed(command, optopt)) {
			failure_set(&failure, EXIT_USAGE, "%s: %s", command->name,
				    optopt == OPTION_UNIT ? "--unit needs a guest's name" :
							    "--timeout needs a number of seconds");
			return refuse(options, command, &failure);
		}
		if (!is_allowed(command, option))
			return unknown_option(options, command, argv[at]);
		set_option(options, option);
		if (option == OPTION_UNIT)
			options->unit = optarg;
		if (option == OPTION_TIMEOUT && !parse_timeout(optarg, &options->timeout, &failure))
			return refuse(options, command, &failure);
		at = optind;
	}
	code = check_operands(options, command, argc - optind, argv + optind);
	return code == EXIT_DONE ? command->run(options, argc - optind, argv + optind) : code;
}

static json_t *describe(const struct command *c)
{
	return json_pack("{s:s, s:o, s:s}", "name", c->name, "usage",
			 json_sprintf("keel %s%s%s%s", c->name, c->options & OPTION_JSON ? " [--json]" : "", *c->usage ? " " : "",
				      c->usage), "help", c->help);
}

/* Of all commands, or of the only one. */
static enum exit_code help_in_json(const struct command *only)
{
	json_t *list = json_array();

	for (size_t i = 0; i < (only ? 1 : COMMANDS); i++)
		if (json_array_append_new(list, describe(only ? only : &commands[i]))) {
			json_decref(list);
			return output_json(NULL);
		}
	return output_json(json_pack("{s:b, s:o}", "ok", 1, "commands", list));
}

static enum exit_code command_help(const struct options *options, int count, char **operands)
{
	const struct command *command = count ? find(operands[0]) : NULL;

	if (count && !command)
		return unknown_command(options, operands[0]);
	if (options->json)
		return help_in_json(command);
	return command ? help_of(command, stdout) : help(stdout);
}

/* Of the options before a command, or without one. */
static bool has_json(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--json"); i++)
		;
	return i < argc && argv[i][0] == '-';
}

static enum exit_code start(int argc, char **argv)
{
	struct options options = { 0 };
	const struct command *command;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		options.json |= has_json(argc - i, argv + i);
		if (!strcmp(argv[i], "--version"))
			return command_version(&options, 0, NULL);
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return command_help(&options, 0, NULL);
		if (strcmp(argv[i], "--json"))
			return unknown_option(&options, NULL, argv[i]);
	}
	if (i == argc)
		return help(stderr);
	command = find(argv[i]);
	if (!command)
		return unknown_command(&options, argv[i]);
	/* Before the command they are for those that have them. */
	if (options.json && !(command->options & OPTION_JSON))
		return unknown_option(&options, command, "--json");
	return run(command, &options, argc - i, argv + i);
}

int main(int argc, char **argv)
{
	output_begin();
	umask(FOLDER_MASK);
	return (int)output_end(start(argc, argv));
}
