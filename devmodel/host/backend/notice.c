// SPDX-License-Identifier: GPL-2.0
/* Messages that a guest can provoke. */
#include "host/backend/notice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

void notice_add(struct notice *notice, time_t now, const char *format, ...)
{
	char *text, *shown;
	va_list args;

	notice_flush(notice, now);
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	shown = text ? text_show(text, strlen(text)) : NULL;
	text_fit(notice->text, sizeof(notice->text), shown ? shown : "out of memory");
	free(shown);
	free(text);
	notice->count++;
	notice->when = time(NULL);
	if (notice->told && now - notice->told < NOTICE_QUIET_SECONDS) {
		notice->untold++;
		return;
	}
	notice->told = now;
	fprintf(stderr, "%s\n", notice->text);
}

void notice_flush(struct notice *notice, time_t now)
{
	if (!notice->untold || now - notice->told < NOTICE_QUIET_SECONDS)
		return;
	notice->told = now;
	notice_end(notice);
}

void notice_end(struct notice *notice)
{
	if (notice->untold)
		fprintf(stderr, "%s (%llu like this were not told)\n", notice->text, (unsigned long long)notice->untold);
	notice->untold = 0;
}
