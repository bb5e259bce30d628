/* SPDX-License-Identifier: GPL-2.0 */
/* The commands of keel(1). Each gets its operands and the options that its table entry allows. */
#ifndef KEEL_COMMANDS_H
#define KEEL_COMMANDS_H

#include <jansson.h>
#include <stdbool.h>

#include "exit.h"

struct options {
	bool json, console, log, force;
	int timeout;		/* seconds */
};

enum exit_code command_check(const struct options *options, int count, char **operands);
enum exit_code command_create(const struct options *options, int count, char **operands);
enum exit_code command_list(const struct options *options, int count, char **operands);
enum exit_code command_console(const struct options *options, int count, char **operands);
enum exit_code command_shutdown(const struct options *options, int count, char **operands);
enum exit_code command_reboot(const struct options *options, int count, char **operands);
enum exit_code command_unpause(const struct options *options, int count, char **operands);
enum exit_code command_destroy(const struct options *options, int count, char **operands);
enum exit_code command_info(const struct options *options, int count, char **operands);
enum exit_code command_dmesg(const struct options *options, int count, char **operands);

/* Prints a failure, for people on standard error or as {"ok": false, "code": N, "error": TEXT} on standard output. */
enum exit_code command_fail(const struct options *options, const struct failure *failure);
/* Prints an object on a line; takes the reference. */
void command_print_json(json_t *object);

#endif
