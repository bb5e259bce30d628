// SPDX-License-Identifier: GPL-2.0
/* Errors of a manifest: noted with their places in the text, told in the order of those. */
#include "manifest/loader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "manifest/position.h"

#define MORE_ROOM		80

size_t complaints(const struct loader *l)
{
	return l->report->count + l->report->more;
}

bool complain_is_full(const struct manifest_report *report)
{
	return report->count >= MANIFEST_ERRORS_MOST;
}

void complain_report(struct manifest_report *report, struct position at, const char *text)
{
	if (complain_is_full(report))
		report->more++;
	else
		report->errors[report->count++] = (struct manifest_error){ at.line, at.column, text_show(text, strlen(text)) };
}

static void complain_at(struct loader *l, const char *path, bool key, const char *format, va_list args)
{
	char *text = NULL;

	if (complain_is_full(l->report)) {
		l->report->more++;
		return;
	}
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	complain_report(l->report, position_of(l->m->text, l->m->text_bytes, path, key), text ? text : "out of memory");
	free(text);
}

void complain(struct loader *l, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain_at(l, path, false, format, args);
	va_end(args);
}

void complain_key(struct loader *l, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain_at(l, path, true, format, args);
	va_end(args);
}

static int by_place(const void *a, const void *b)
{
	const struct manifest_error *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->column < y->column ? -1 : x->column > y->column;
}

/* The place of errors that were not told is behind those that were. */
void complain_finish(struct manifest_report *report)
{
	char text[MORE_ROOM];

	if (report->count)
		qsort(report->errors, report->count, sizeof(*report->errors), by_place);
	if (!report->more)
		return;
	snprintf(text, sizeof(text), "%zu more errors are not shown; mend these first", report->more);
	report->errors[report->count++] = (struct manifest_error){ 0, 0, strdup(text) };
}

void manifest_report_free(struct manifest_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->errors[i].text);
	*report = (struct manifest_report){ 0 };
}
