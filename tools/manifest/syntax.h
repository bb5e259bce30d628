/* SPDX-License-Identifier: GPL-2.0 */
/* What is wrong with a text that is not JSON, in words of those who know other formats better. */
#ifndef KEEL_SYNTAX_H
#define KEEL_SYNTAX_H

#include <jansson.h>

#include "manifest/position.h"

/* Of a text that jansson refused with this error. The message is the caller's error or constant. */
const char *syntax_explain(const char *text, size_t bytes, const json_error_t *error, struct position *at);

#endif
