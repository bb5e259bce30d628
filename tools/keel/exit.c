// SPDX-License-Identifier: GPL-2.0
/* Failures that are told to whoever asked. */
#include "exit.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

_Bool failure_set(struct failure *failure, enum exit_code code, const char *format, ...)
{
	va_list args;

	failure->code = code;
	va_start(args, format);
	vsnprintf(failure->text, sizeof(failure->text), format, args);
	va_end(args);
	return false;
}
