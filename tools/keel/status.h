/* SPDX-License-Identifier: GPL-2.0 */
/* What a guest's process says of itself, and what its record says: either may be anything. */
#ifndef KEEL_STATUS_H
#define KEEL_STATUS_H

#include <jansson.h>

/* What of an answer output.schema.json has, under the guest's own name, its texts cut to a bound; NULL: it does not fit. */
json_t *status_of_answer(const char *name, const json_t *answer);
/* The same of the text of a record: of a guest that is gone. */
json_t *status_of_record(const char *name, const char *text);
/* Of a guest whose process lives and has no socket yet. */
json_t *status_of_starting(const char *name);

#endif
