/* SPDX-License-Identifier: GPL-2.0 */
/* The commands of keel(1). Each gets its operands and the options that its table entry allows. */
#ifndef KEEL_COMMANDS_H
#define KEEL_COMMANDS_H

#include <stdbool.h>

#include "common/exit.h"

struct options {
	bool json, console, log, force, all, shrink, once;
	int timeout;		/* seconds; 0: none was given */
	const char *unit;	/* the guest whose service starts it; NULL: none does */
};

enum exit_code command_check(const struct options *options, int count, char **operands);
enum exit_code command_check_host(const struct options *options, int count, char **operands);
enum exit_code command_create(const struct options *options, int count, char **operands);
enum exit_code command_list(const struct options *options, int count, char **operands);
enum exit_code command_console(const struct options *options, int count, char **operands);
enum exit_code command_log(const struct options *options, int count, char **operands);
enum exit_code command_shutdown(const struct options *options, int count, char **operands);
enum exit_code command_reboot(const struct options *options, int count, char **operands);
enum exit_code command_reset(const struct options *options, int count, char **operands);
enum exit_code command_nmi(const struct options *options, int count, char **operands);
enum exit_code command_wait(const struct options *options, int count, char **operands);
enum exit_code command_unpause(const struct options *options, int count, char **operands);
enum exit_code command_destroy(const struct options *options, int count, char **operands);
enum exit_code command_cd_insert(const struct options *options, int count, char **operands);
enum exit_code command_cd_eject(const struct options *options, int count, char **operands);
enum exit_code command_network_list(const struct options *options, int count, char **operands);
enum exit_code command_network_link(const struct options *options, int count, char **operands);
enum exit_code command_disk_list(const struct options *options, int count, char **operands);
enum exit_code command_disk_resize(const struct options *options, int count, char **operands);
enum exit_code command_info(const struct options *options, int count, char **operands);
enum exit_code command_top(const struct options *options, int count, char **operands);
enum exit_code command_metrics(const struct options *options, int count, char **operands);
enum exit_code command_dmesg(const struct options *options, int count, char **operands);
enum exit_code command_version(const struct options *options, int count, char **operands);

#endif
