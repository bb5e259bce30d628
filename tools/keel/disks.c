// SPDX-License-Identifier: GPL-2.0
/* keel disk-list and disk-resize: the disks of a guest that runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "client.h"
#include "commands.h"
#include "common/member.h"
#include "output.h"
#include "progress.h"
#include "status.h"
#include "common/text.h"

#define QUICK_SECONDS		10
#define RESIZE_SECONDS		60	/* a file that becomes shorter gives its blocks back */
#define SIZE_ROOM		32
#define SHIFT_STEP		10u	/* from a unit to the next */

static const char units[] = "KMGT";

/* As disk-resize takes it: in the largest unit that it is whole in. */
static const char *show_size(unsigned long long bytes, char *text)
{
	unsigned int unit = 0;

	while (units[unit] && bytes && bytes % (1u << SHIFT_STEP) == 0) {
		bytes >>= SHIFT_STEP;
		unit++;
	}
	if (unit)
		snprintf(text, SIZE_ROOM, "%llu%c", bytes, units[unit - 1]);
	else
		snprintf(text, SIZE_ROOM, "%llu", bytes);
	return text;
}

/* Such as "50M 1000": bytes, operations. The text has room for two sizes. */
static const char *show_rate(const json_t *rate, char *text)
{
	unsigned long long bytes = (unsigned long long)member_number(rate, "bytes");
	long long operations = member_number(rate, "operations");
	char shown[SIZE_ROOM];

	if (!rate)
		return "-";
	if (operations)
		snprintf(text, 2 * SIZE_ROOM, "%s %lld", bytes ? show_size(bytes, shown) : "-", operations);
	else
		snprintf(text, 2 * SIZE_ROOM, "%s -", show_size(bytes, shown));
	return text;
}

static bool parse_size(const char *text, long long *bytes, struct failure *failure)
{
	const char *unit;
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (text[0] < '0' || text[0] > '9' || errno || (*end && (!unit || end[1])))
		return failure_set(failure, EXIT_USAGE,
				   "disk-resize: expected a size in bytes, or such as \"512M\" or \"20G\", found \"%s\"", text);
	for (const char *u = units; unit && u <= unit; u++)
		if (__builtin_mul_overflow(n, 1ll << SHIFT_STEP, &n))
			return failure_set(failure, EXIT_USAGE, "disk-resize: \"%s\" is more than a disk can have", text);
	*bytes = n;
	return true;
}

static void print_column(const char *text, int width)
{
	int length = (int)strlen(text);

	output_text(text);
	printf("%*s ", width > length ? width - length : 0, "");
}

static void print_disk(const json_t *disk)
{
	long long bytes = member_number(disk, "bytes"), image = member_number(disk, "image_bytes");
	char text[2 * SIZE_ROOM];

	print_column(member_text(disk, "id"), 16);
	print_column(show_size((unsigned long long)bytes, text), 12);
	print_column(member_text(disk, "format"), 6);
	print_column(member_text(disk, "bus"), 6);
	print_column(member_text(disk, "mode"), 8);
	print_column(member_text(disk, "cache"), 9);
	print_column(member_text(disk, "state"), 8);
	print_column(show_rate(json_object_get(disk, "rate"), text), 16);
	print_column(member_text(disk, "serial"), 20);
	output_text(json_is_null(json_object_get(disk, "file")) ? "(cloud-init)" : member_text(disk, "file"));
	if (image != bytes)
		printf(" (%s now)", show_size((unsigned long long)image, text));
	putchar('\n');
}

enum exit_code command_disk_list(const struct options *options, int count, char **operands)
{
	struct failure failure = { 0 };
	json_t *answer = client_ask(operands[0], json_pack("{s:s}", "command", "disk-list"), QUICK_SECONDS, &failure), *disk;
	size_t i;

	(void)count;
	if (answer)
		answer = status_take(status_of_disks, operands[0], answer, &failure);
	if (!answer)
		return output_fail(options->json, &failure);
	if (options->json)
		return output_json(answer);
	printf("%-16s %-12s %-6s %-6s %-8s %-9s %-8s %-16s %-20s %s\n", "ID", "SIZE", "FORMAT", "BUS", "MODE", "CACHE", "STATE",
	       "RATE(/s)", "SERIAL", "FILE");
	json_array_foreach(json_object_get(answer, "disks"), i, disk)
		print_disk(disk);
	json_decref(answer);
	return EXIT_DONE;
}

static void print_resize(const json_t *answer)
{
	char now[SIZE_ROOM], former[SIZE_ROOM];

	output_text(member_text(answer, "name"));
	fputs(": ", stdout);
	output_text(member_text(answer, "id"));
	printf(" has %s, and had %s", show_size((unsigned long long)member_number(answer, "bytes"), now),
	       show_size((unsigned long long)member_number(answer, "former_bytes"), former));
	puts(json_is_true(json_object_get(answer, "seen")) ? "" : "; the guest sees it from its next reset on");
}

enum exit_code command_disk_resize(const struct options *options, int count, char **operands)
{
	json_t *request = json_pack("{s:s, s:o, s:b}", "command", "disk-resize", "disk", output_string(operands[1]), "shrink",
				    (int)options->shrink), *answer;
	struct failure failure = { 0 };
	long long bytes = 0;

	if (count > 2) {
		if (!parse_size(operands[2], &bytes, &failure)) {
			json_decref(request);
			return output_fail(options->json, &failure);
		}
		json_object_set_new(request, "bytes", json_integer(bytes));
	}
	progress_begin(options, "disk-resize", operands[0], 1, RESIZE_SECONDS);
	answer = client_ask(operands[0], request, RESIZE_SECONDS, &failure);
	progress_end();
	if (answer)
		answer = status_take(status_of_resize, operands[0], answer, &failure);
	if (!answer)
		return output_fail(options->json, &failure);
	if (options->json)
		return output_json(answer);
	print_resize(answer);
	json_decref(answer);
	return EXIT_DONE;
}
