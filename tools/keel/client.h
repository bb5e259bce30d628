/* SPDX-License-Identifier: GPL-2.0 */
/* The caller's end of a guest's control socket. */
#ifndef KEEL_CLIENT_H
#define KEEL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "exit.h"

#define CLIENT_NO_TIMEOUT	(-1)

/* A connected socket, or -1: EXIT_NO_GUEST. */
int client_connect(const char *name, struct failure *failure);
bool client_send(int fd, json_t *request, struct failure *failure);	/* takes the reference */
/* One answer, a new reference. NULL: refused, timed out (EXIT_TIMEOUT) or the other end is gone. */
json_t *client_receive(int fd, int seconds, struct failure *failure);

/* Connects, asks, receives, closes. Takes the reference to request. */
json_t *client_ask(const char *name, json_t *request, int seconds, struct failure *failure);

/* Names of folders in /run/keel, sorted; an array that the caller frees with its strings. */
size_t client_guests(char ***names);

#endif
