/* SPDX-License-Identifier: GPL-2.0 */
#include <stddef.h>
#define KBUILD_MODNAME	"keel"
void told(const char *text);
#define pr_info(text)	told(pr_fmt(text))
#define pr_warn(text)	told(pr_fmt(text))
