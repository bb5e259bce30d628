/* SPDX-License-Identifier: GPL-2.0 */
/* What keel(1) tells: results on standard output, failures on standard error. What cannot be told is a failure. */
#ifndef KEEL_OUTPUT_H
#define KEEL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>

#include "common/exit.h"

/* Before anything is opened: a standard descriptor that is closed stays one that cannot be used. */
void output_begin(void);
/* At the end: the code, or EXIT_FAILED if something on standard output was lost. */
enum exit_code output_end(enum exit_code code);

/* Prints an object on a line; takes the reference. NULL (there was no memory for it) is told as a failure. */
enum exit_code output_json(json_t *object);
/* Prints a failure, for people or as {"ok": false, "code": N, "error": TEXT}; its code. */
enum exit_code output_fail(bool json, const struct failure *failure);

/* A JSON string of any text, and text fit to be shown; NULL: out of memory. */
json_t *output_string(const char *text);
json_t *output_bytes(const char *text, size_t bytes);
/* Prints text of others to standard output, without a line's end. */
void output_text(const char *text);

#endif
