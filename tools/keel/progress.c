// SPDX-License-Identifier: GPL-2.0
/* Tells what a command waits for. */
#include "progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/text.h"

#define WHAT_ROOM		64u	/* with the time it is to fit in a line of 80 characters */
#define NAME_ROOM		28u
#define LIMIT_ROOM		24u
#define NUMBER_ROOM		12u
#define CLEAR			"\r\033[K"

static char what[WHAT_ROOM], limit[LIMIT_ROOM];
static volatile sig_atomic_t seconds;

static size_t append(char *line, size_t used, const char *text)
{
	size_t length = strlen(text);

	memcpy(line + used, text, length + 1);
	return used + length;
}

static size_t append_number(char *line, size_t used, unsigned int number)
{
	char digits[NUMBER_ROOM], *first = digits + sizeof(digits) - 1;

	for (*first = '\0'; first > digits && (number || !*first); number /= 10)
		*--first = (char)('0' + number % 10);
	return append(line, used, first);
}

/* In a signal handler: nothing that is not safe there. */
static void on_second(int number)
{
	char line[sizeof(CLEAR) + WHAT_ROOM + NUMBER_ROOM + LIMIT_ROOM];
	int error = errno;
	size_t used;

	(void)number;
	used = append(line, 0, CLEAR);
	used = append(line, used, what);
	used = append_number(line, used, (unsigned int)++seconds);
	used = append(line, used, limit);
	/* What cannot be shown is not missed. */
	if (write(STDERR_FILENO, line, used) < 0)
		seconds = 0;
	errno = error;
}

static void set_timer(int interval)
{
	const struct timeval each = { .tv_sec = interval };

	setitimer(ITIMER_REAL, &(struct itimerval){ each, each }, NULL);
}

void progress_begin(const struct options *options, const char *verb, const char *name, size_t count, int most)
{
	const struct sigaction action = { .sa_handler = on_second, .sa_flags = SA_RESTART };
	char fit[NAME_ROOM], *shown;

	if (options->json || !isatty(STDERR_FILENO))
		return;
	shown = text_show(name, strlen(name));
	text_fit(fit, sizeof(fit), shown ? shown : "");
	free(shown);
	if (count == 1)
		snprintf(what, sizeof(what), "keel: %s %s: waiting, ", verb, fit);
	else
		snprintf(what, sizeof(what), "keel: %s of %zu guests: waiting, ", verb, count);
	snprintf(limit, sizeof(limit), most ? " s of at most %d s" : " s", most);
	seconds = 0;
	if (!sigaction(SIGALRM, &action, NULL))
		set_timer(1);
}

void progress_end(void)
{
	set_timer(0);
	if (seconds && write(STDERR_FILENO, CLEAR, strlen(CLEAR)) < 0)
		seconds = 0;
	seconds = 0;
}
