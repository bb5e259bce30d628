// SPDX-License-Identifier: GPL-2.0
/* keel list, console, shutdown, reboot, destroy, info, dmesg. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <keel/hypercall.h>
#include <keel/ioctl.h>

#include "client.h"
#include "commands.h"
#include "device.h"
#include "host/rundir.h"
#include "terminal.h"

#define QUICK_SECONDS		10
#define DESTROY_SECONDS		120
#define LOG_CHUNK		4096
#define PAGES_PER_MIB		256

void command_print_json(json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(object);
}

enum exit_code command_fail(const struct options *options, const struct failure *failure)
{
	if (options->json)
		command_print_json(json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure->code, "error", failure->text));
	else
		fprintf(stderr, "keel: %s\n", failure->text);
	return failure->code;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static void print_row(const json_t *status)
{
	long long errors = number_of(status, "io_errors");

	printf("%-24s %-10s %8lld %5lld %8lld %9lld", text_of(status, "name"), text_of(status, "state"),
	       number_of(status, "pid"), number_of(status, "vcpus"), number_of(status, "memory_mib"),
	       number_of(status, "uptime_s"));
	if (errors)
		printf("  %lld I/O error%s: keel info", errors, errors == 1 ? "" : "s");
	putchar('\n');
}

/* A guest that is there, and cannot be asked. */
static void report_silent(const struct options *options, json_t *list, const char *name, const char *why)
{
	json_t *status = json_pack("{s:s, s:s, s:s}", "name", name, "state", "unknown", "error", why);

	if (!options->json) {
		printf("%-24s unknown\n", name);
		fprintf(stderr, "keel: %s: %s\n", name, why);
	}
	json_array_append_new(list, status);
}

enum exit_code command_list(const struct options *options, int count, char **operands)
{
	json_t *list = json_array();
	unsigned int silent = 0;
	char **names;
	size_t n = client_guests(&names);

	(void)count;
	(void)operands;
	if (!options->json)
		printf("%-24s %-10s %8s %5s %8s %9s\n", "NAME", "STATE", "PID", "VCPUS", "MEM(MiB)", "UPTIME(s)");
	for (size_t i = 0; i < n; i++) {
		struct failure failure;
		json_t *status = client_ask(names[i], json_pack("{s:s}", "command", "status"), QUICK_SECONDS, &failure);

		if (status && !options->json)
			print_row(status);
		if (status) {
			json_object_del(status, "ok");
			json_array_append_new(list, status);
		} else if (failure.code == EXIT_NO_GUEST) {
			/* Of a process that was killed; one that only starts is not touched. */
			rundir_clean(names[i]);
		} else {
			silent++;
			report_silent(options, list, names[i], failure.text);
		}
		free(names[i]);
	}
	free(names);
	if (options->json)
		command_print_json(silent ? json_pack("{s:b, s:i, s:o, s:o}", "ok", 0, "code", EXIT_FAILED, "error",
						      json_sprintf("%u of the guests did not answer", silent), "guests", list) :
				   json_pack("{s:b, s:o}", "ok", 1, "guests", list));
	else
		json_decref(list);
	return silent ? EXIT_FAILED : EXIT_DONE;
}

enum exit_code command_console(const struct options *options, int count, char **operands)
{
	struct failure failure = { 0 };
	enum exit_code code = options->log ? terminal_replay(operands[0], &failure) : terminal_join(operands[0], &failure);

	(void)count;
	if (code != EXIT_DONE && failure.text[0])
		command_fail(options, &failure);
	return code;
}

/* Asks for a change and prints how the run ended. */
static enum exit_code change(const struct options *options, const char *name, json_t *request, int seconds,
			     const char *remedy)
{
	struct failure failure;
	json_t *answer = client_ask(name, request, seconds, &failure);

	if (!answer) {
		if (failure.code == EXIT_TIMEOUT)
			failure_set(&failure, EXIT_TIMEOUT, "guest \"%s\" did not do it within %d s%s", name, seconds, remedy);
		return command_fail(options, &failure);
	}
	if (options->json)
		command_print_json(answer);
	else
		printf("%s: %s (%s)\n", name, text_of(answer, "event"), text_of(answer, "reason"));
	if (!options->json)
		json_decref(answer);
	return EXIT_DONE;
}

enum exit_code command_shutdown(const struct options *options, int count, char **operands)
{
	(void)count;
	return change(options, operands[0], json_pack("{s:s}", "command", "shutdown"), options->timeout,
		      "; its system may not listen to the power button: keel destroy ends it at once");
}

enum exit_code command_reboot(const struct options *options, int count, char **operands)
{
	(void)count;
	return change(options, operands[0], json_pack("{s:s, s:b}", "command", "reboot", "force", (int)options->force),
		      options->timeout, "; keel reboot --force resets it at once");
}

enum exit_code command_unpause(const struct options *options, int count, char **operands)
{
	(void)count;
	return change(options, operands[0], json_pack("{s:s}", "command", "unpause"), options->timeout, "");
}

enum exit_code command_destroy(const struct options *options, int count, char **operands)
{
	(void)count;
	return change(options, operands[0], json_pack("{s:s}", "command", "destroy"), DESTROY_SECONDS, "");
}

static void print_errors(const json_t *status)
{
	const json_t *last = json_object_get(status, "last_io_error");
	time_t when = (time_t)number_of(last, "time");
	struct tm parts;
	char text[32] = "";

	printf("io errors %lld\n", number_of(status, "io_errors"));
	if (!last || !gmtime_r(&when, &parts))
		return;
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
	printf("the last  %s %s\n", text, text_of(last, "text"));
}

static enum exit_code guest_info(const struct options *options, const char *name)
{
	struct failure failure;
	json_t *status = client_ask(name, json_pack("{s:s}", "command", "status"), QUICK_SECONDS, &failure), *blocks;

	if (!status)
		return command_fail(options, &failure);
	if (options->json) {
		command_print_json(status);
		return EXIT_DONE;
	}
	blocks = json_object_get(status, "blocks");
	printf("name      %s\nstate     %s\n", text_of(status, "name"), text_of(status, "state"));
	if (text_of(status, "reason")[0])
		printf("reason    %s\n", text_of(status, "reason"));
	printf("pid       %lld\nmanifest  %s\nmemory    %lld MiB (blocks: %lld of 1 GiB, %lld of 2 MiB, %lld of 4 KiB)\n",
	       number_of(status, "pid"), text_of(status, "manifest"), number_of(status, "memory_mib"),
	       number_of(blocks, "1g"), number_of(blocks, "2m"), number_of(blocks, "4k"));
	printf("vcpus     %lld\nuptime    %lld s\nrestarts  %lld\n", number_of(status, "vcpus"),
	       number_of(status, "uptime_s"), number_of(status, "restarts"));
	print_errors(status);
	json_decref(status);
	return EXIT_DONE;
}

enum exit_code command_info(const struct options *options, int count, char **operands)
{
	struct keel_info info;
	struct failure failure;
	int device;

	if (count)
		return guest_info(options, operands[0]);
	if (!device_open(&device, &info, &failure))
		return command_fail(options, &failure);
	close(device);
	if (options->json)
		command_print_json(json_pack("{s:b, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:b, s:I}", "ok", 1,
					     "abi_revision", (int)info.abi_revision, "free_vm_slots", (int)info.vm_slots,
					     "cpus", (int)info.cpus, "max_vcpus", (int)info.max_vcpus,
					     "tsc_khz", (json_int_t)info.tsc_khz, "pages_out", (json_int_t)info.pages_out,
					     "control_exits", (json_int_t)info.control_exits,
					     "dma_protection", (info.dma & KEEL_DMA_PROTECTED) != 0,
					     "dma_refused", (json_int_t)info.dma_refused));
	else
		printf("ABI revision   %u\nfree VM slots  %u\nCPUs           %u\nmost vCPUs     %u\nTSC            %llu kHz\n"
		       "guest memory   %llu pages (%llu MiB)\ncontrol exits  %llu\nDMA protection %s\nDMA refused    %llu\n",
		       info.abi_revision, info.vm_slots, info.cpus, info.max_vcpus,
		       (unsigned long long)info.tsc_khz, (unsigned long long)info.pages_out,
		       (unsigned long long)info.pages_out / PAGES_PER_MIB,
		       (unsigned long long)info.control_exits,
		       info.dma & KEEL_DMA_PROTECTED ? "yes" : "no: keel dmesg says why",
		       (unsigned long long)info.dma_refused);
	return EXIT_DONE;
}

enum exit_code command_dmesg(const struct options *options, int count, char **operands)
{
	struct keel_log log = { 0 };
	struct keel_info info;
	struct failure failure;
	char *text = NULL, *grown;
	size_t used = 0;
	int device;

	(void)count;
	(void)operands;
	if (!device_open(&device, &info, &failure))
		return command_fail(options, &failure);
	do {
		grown = realloc(text, used + LOG_CHUNK);
		if (!grown)
			break;
		text = grown;
		log.buffer = (uintptr_t)(text + used);
		log.bytes = LOG_CHUNK;
		if (ioctl(device, KEEL_READ_LOG, &log)) {
			failure_set(&failure, EXIT_FAILED, "cannot read the log: %s", strerror(errno));
			free(text);
			close(device);
			return command_fail(options, &failure);
		}
		used += log.bytes;
	} while (log.bytes);
	close(device);
	for (size_t i = 0; options->json && i < used; i++)
		if (!text[i] || (text[i] & 0x80))	/* not what JSON takes as text */
			text[i] = '?';
	if (options->json)
		command_print_json(json_pack("{s:b, s:s%}", "ok", 1, "log", text, used));
	else
		fwrite(text, 1, used, stdout);
	free(text);
	return EXIT_DONE;
}
