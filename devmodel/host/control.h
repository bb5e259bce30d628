/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The control socket of a guest: a stream of JSON objects, one a line, each answered by one object on a line, in their order:
 * what comes behind a request that waits is read when that has been answered.
 * A request is {"command": NAME, ...}; an answer has "ok", and "error" where that is false. A descriptor may come with any byte
 * of a request: those that it has no use for are closed when it is answered.
 */
#ifndef KEEL_CONTROL_H
#define KEEL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/exit.h"
#include "host/loop.h"

#define CONTROL_LINE		4096u

struct control_connection {
	struct loop_source source;
	struct control *control;
	struct control_connection *next;
	char line[CONTROL_LINE];
	size_t used;
	int descriptor;			/* that came with the line; -1: none, */
	bool excess;			/* or more than can be taken */
	bool reserved;			/* one more than there may be: for requests that need not wait, and the guest's end */
	bool waiting;			/* for the end of this run; */
	unsigned int purpose;		/* to what end, a number of the owner's below 32 */
};

struct control {
	struct loop *loop;
	struct loop_source listener;
	struct control_connection *connections;
	/* Answers a request (a new reference), or NULL: it was deferred or took the connection. */
	json_t *(*handle)(void *owner, struct control_connection *connection, const json_t *request);
	/* Somebody who waited has gone unanswered. */
	void (*gone)(void *owner);
	void *owner;
};

bool control_open(struct control *control, struct loop *loop, const char *path, struct failure *failure);
/* Closes the listener; connections stay, so that the last answers can be sent. */
void control_stop_listening(struct control *control);
void control_close(struct control *control);

/* What one is told for whom there is no room. */
json_t *control_refuse_crowd(void);
/* Within handle: the answer comes by control_answer_waiting. */
void control_defer(struct control_connection *connection, unsigned int purpose);
bool control_is_awaited(const struct control *control, unsigned int purpose);
/* Takes over a connected socket that waits for the end of this run, with the purpose 0. */
bool control_adopt(struct control *control, int fd);
/* Within handle: answers, then hands the descriptor out; the connection is gone. */
int control_take(struct control_connection *connection, json_t *answer);
/* Within handle: the one descriptor that came with the request, the caller's then; -1: none came, or more than one. */
int control_take_descriptor(struct control_connection *connection);
/* Those whose purpose has its bit set in purposes. Takes the reference. */
void control_answer_waiting(struct control *control, unsigned int purposes, json_t *answer);

#endif
