/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages that a guest can provoke, of one kind: counted, the last one kept, and told in the log. The first is told at once, and
 * of those that follow within a minute only how many they were.
 */
#ifndef KEEL_NOTICE_H
#define KEEL_NOTICE_H

#include <stdint.h>
#include <time.h>

#define NOTICE_QUIET_SECONDS	60

struct notice {
	uint64_t count;		/* since the process's start */
	time_t when;		/* the last: time(2), */
	char text[384];		/* and what it said */
	time_t told;		/* CLOCK_MONOTONIC; 0: never */
	uint64_t untold;
};

/* now is CLOCK_MONOTONIC. */
__attribute__((format(printf, 3, 4)))
void notice_add(struct notice *notice, time_t now, const char *format, ...);
/* Tells how many have not been told, if it is time for that. */
void notice_flush(struct notice *notice, time_t now);
/* The same without waiting, before the process ends. */
void notice_end(struct notice *notice);

#endif
