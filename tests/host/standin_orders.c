// SPDX-License-Identifier: GPL-2.0
/* What the stand-in's guest is ordered to do: standin.c lists it. */
#include "standin.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_ROOM		8192

static off_t orders_taken;

/* In place; returns the length. */
static size_t unescape(char *text)
{
	char *to = text;
	unsigned int byte;

	for (const char *from = text; *from; to++) {
		if (!strncmp(from, "\\n", 2)) {
			*to = '\n';
			from += 2;
		} else if (sscanf(from, "\\x%2x", &byte) == 1) {
			*to = (char)byte;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	return (size_t)(to - text);
}

/* Output and a request, which is a bad one, again and again. */
static void flood(void)
{
	while (!killed) {
		streams_flood();
		drives_flood();
		ring();
	}
}

static void obey(char *line)
{
	char *text = strchr(line, ' ');
	unsigned long long offset = 0;
	unsigned int byte = 0, drive = 0, count = 0;
	char name[KEEL_STATISTICS_NAME];

	text = text ? text + 1 : line + strlen(line);
	if (!strncmp(line, "say ", 4)) {
		streams_say(text, unescape(text));
	} else if (!strcmp(line, "flood")) {
		flood();
	} else if (!strcmp(line, "lie")) {
		statistics_lie();
	} else if (sscanf(line, "exits %u %15s %u %llu", &byte, name, &drive, &offset) == 4) {
		statistics_count(byte, name, drive, offset);
	} else if (!strcmp(line, "babble")) {
		process_babble();
	} else if (!strcmp(line, "scribble")) {
		process_scribble();
	} else if (sscanf(line, "scrub %u", &scrub_seconds) == 1) {
		return;
	} else if (!strcmp(line, "take")) {
		streams_take_button();
	} else if (sscanf(line, "lock %u", &drive) == 1) {
		streams_door(drive, true, false);
	} else if (sscanf(line, "unlock %u", &drive) == 1) {
		streams_door(drive, false, false);
	} else if (sscanf(line, "open %u", &drive) == 1) {
		streams_door(drive, false, true);
	} else if (!strncmp(line, "debug ", 6)) {
		streams_debug(text, unescape(text));
	} else if (!strncmp(line, "end ", 4)) {
		unsigned long long detail = 0, address = 0;

		sscanf(text, "%u %llu %llu", &status.end, &detail, &address);
		status.detail = detail;
		status.address = address;
	} else if (sscanf(line, "read %u %llu %u", &drive, &offset, &count) == 3) {
		drives_request(drive, KEEL_BLOCK_READ, offset, count, 0);
	} else if (sscanf(line, "keep %u %llu %u", &drive, &offset, &count) == 3) {
		drives_request(drive, KEEL_BLOCK_READ, offset, count, true);
	} else if (sscanf(line, "write %u %llu %u %u", &drive, &offset, &count, &byte) == 4) {
		drives_request(drive, KEEL_BLOCK_WRITE, offset, count, byte);
	} else if (sscanf(line, "discard %u %llu %u", &drive, &offset, &count) == 3) {
		drives_request(drive, KEEL_BLOCK_DISCARD, offset, count, 0);
	} else if (sscanf(line, "zeroes %u %llu %u %u", &drive, &offset, &count, &byte) == 4) {
		drives_request(drive, KEEL_BLOCK_WRITE_ZEROES, offset, count, byte);
	} else if (sscanf(line, "random %u", &count) == 1) {
		entropy_ask(count);
	} else if (sscanf(line, "frames %u %llu %u", &count, &offset, &byte) == 3) {
		network_send(count, (unsigned int)offset, byte);
	} else if (sscanf(line, "flush %u", &drive) == 1) {
		drives_request(drive, KEEL_BLOCK_FLUSH, 0, 0, 0);
	} else {
		fprintf(stderr, "stand-in: no order: %s\n", line);
	}
}

/* The next whole line of the orders, if there is one. */
static bool next_order(char *line)
{
	ssize_t n = pread(orders, line, LINE_ROOM - 1, orders_taken);
	char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

	if (!end)
		return false;
	*end = '\0';
	orders_taken += end - line + 1;
	return true;
}

void orders_obey(void)
{
	char line[LINE_ROOM];

	while (!killed && !status.end && next_order(line))
		obey(line);
}
