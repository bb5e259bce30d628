/* SPDX-License-Identifier: GPL-2.0 */
/* The caller's end of a guest's control socket. */
#ifndef KEEL_CLIENT_H
#define KEEL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/exit.h"

#define CLIENT_NO_TIMEOUT	(-1)

/* One guest of several that are asked the same. */
struct client_call {
	const char *name;
	int fd;			/* -1: not connected */
	json_t *answer;		/* NULL: failure tells */
	struct failure failure;
	bool closed;		/* its process closed the connection without an answer */
	bool refused;		/* there is a socket, and nobody listens */
	bool settled;		/* it is not asked any more */
	bool told;		/* of several answers the first has come */
};

/* A connected socket, or -1: EXIT_NO_GUEST. */
int client_connect(const char *name, struct failure *failure);
/* Takes the reference. Never waits: EXIT_TIMEOUT if there is no room for it. */
bool client_send(int fd, json_t *request, struct failure *failure);
/* The same, with a descriptor for the other end; -1: none. */
bool client_send_with(int fd, json_t *request, int descriptor, struct failure *failure);
/* When that many seconds from now are over, for client_receive; CLIENT_NO_TIMEOUT: never. */
long long client_deadline(int seconds);
/* Until then, for poll(2): 0: it is over; below 0: for ever. */
int client_ms_left(long long deadline);
/* One answer, a new reference. NULL: refused, timed out (EXIT_TIMEOUT) or the other end is gone. */
json_t *client_receive(int fd, long long deadline, struct failure *failure);

/* What a line, without its end, says; NULL: it refuses, or is none. */
json_t *client_answer(const char *line, size_t length, struct failure *failure);

/* Says whose failure it is, which client_receive and client_send do not know. */
void client_name_failure(struct client_call *call);
/*
 * Asks all that are not settled, those that take no connection again and again while there is time, then takes the answers: a
 * guest that does not answer holds no other up. Takes the reference.
 */
void client_ask_all(struct client_call *calls, size_t count, json_t *request, int seconds);
/* Connects, asks, receives, closes. Takes the reference to request. */
json_t *client_ask(const char *name, json_t *request, int seconds, struct failure *failure);

/* Names of folders in /run/keel, sorted; an array that the caller frees with its strings. */
bool client_guests(char ***names, size_t *count, struct failure *failure);
void client_free_names(char **names, size_t count);

#endif
