/* SPDX-License-Identifier: GPL-2.0 */
/* What a guest's process says of itself, and what its record says: either may be anything. */
#ifndef KEEL_STATUS_H
#define KEEL_STATUS_H

#include <jansson.h>
#include <stdbool.h>

#include "common/exit.h"

/* What of an answer output.schema.json has, under the guest's own name, its texts cut to a bound; NULL: it does not fit. */
json_t *status_of_answer(const char *name, const json_t *answer);
/* The same of the text of a record: of a guest that is gone. */
json_t *status_of_record(const char *name, const char *text);
/*
 * How a run ended; that something was done; one of both; that a guest was started; that a drive is empty:
 * {"ok": true, "name": NAME, ...}.
 */
json_t *status_of_end(const char *name, const json_t *answer);
json_t *status_of_done(const char *name, const json_t *answer);
json_t *status_of_done_or_end(const char *name, const json_t *answer);
json_t *status_of_start(const char *name, const json_t *answer);
json_t *status_of_empty(const char *name, const json_t *answer);
/* A guest's networks. */
json_t *status_of_networks(const char *name, const json_t *answer);
/* The disks of a guest; the size that one has now. */
json_t *status_of_disks(const char *name, const json_t *answer);
json_t *status_of_resize(const char *name, const json_t *answer);
/* Puts the answer in the form of one of these, and takes the reference to it. NULL, and the failure tells: it does not fit. */
json_t *status_take(json_t *(*form)(const char *name, const json_t *answer), const char *name, json_t *answer,
		    struct failure *failure);
/*
 * Of a guest whose process lives and does not answer: "starting", "restarting" or "ending", as its record says, and for as long
 * as that may last; NULL: it should answer. The listener: there is one, or may be one soon.
 */
json_t *status_of_silent(const char *name, bool listener);

#endif
