// SPDX-License-Identifier: GPL-2.0
/* Failures that are told to whoever asked. */
#include "common/exit.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

_Bool failure_set(struct failure *failure, enum exit_code code, const char *format, ...)
{
	char *text = NULL, *shown = NULL;
	va_list args;

	failure->code = code;
	va_start(args, format);
	if (vasprintf(&text, format, args) >= 0)
		shown = text_show(text, strlen(text));
	va_end(args);
	if (shown)
		text_fit(failure->text, sizeof(failure->text), shown);
	else
		strcpy(failure->text, "out of memory");
	free(shown);
	free(text);
	return false;
}
