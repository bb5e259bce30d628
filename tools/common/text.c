// SPDX-License-Identifier: GPL-2.0
/* Makes text of others fit to be shown. */
#include "common/text.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#define ESCAPE_MOST		6u	/* \u001b */
#define CHARACTER_MOST		4u	/* bytes */
#define CONTINUES(byte)		(((unsigned char)(byte) & 0xc0) == 0x80)
#define OMITTED			" ... "
#define CUT			"..."

size_t text_character(const char *text, size_t bytes, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = bytes ? (unsigned char)*text : 0;
	size_t length = first < 0x80 ? 1 : first >= 0xf0 && first < 0xf8 ? 4 : first >= 0xe0 && first < 0xf0 ? 3 :
			first >= 0xc0 && first < 0xe0 ? 2 : 0;

	if (!length || length > bytes)
		return 0;
	*code = length == 1 ? first : first & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if (!CONTINUES(text[i]))
			return 0;
		*code = *code << 6 | ((unsigned char)text[i] & 0x3f);
	}
	return *code < least[length] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : length;
}

size_t text_whole(const char *text, size_t bytes)
{
	size_t back = 0;

	while (back < CHARACTER_MOST - 1 && back < bytes && CONTINUES(text[bytes - back - 1]))
		back++;
	/* The first byte of one that may go on. */
	return back < bytes && back < CHARACTER_MOST - 1 && ((unsigned char)text[bytes - back - 1] & 0xc0) == 0xc0 ?
	       bytes - back - 1 : bytes;
}

/* Control characters, line separators, and what turns or hides the characters around it. */
static bool is_harmful(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) || (code >= 0x2060 && code <= 0x206f) || code == 0x61c || code == 0xfeff;
}

/* Shows one character; returns how many bytes of text it has. */
static size_t show(char shown[ESCAPE_MOST + 1], const char *text, size_t bytes)
{
	uint32_t code;
	size_t length = text_character(text, bytes, &code);

	if (!length) {
		sprintf(shown, "\\x%02x", (unsigned char)*text);
		return 1;
	}
	if (code == '\n')
		strcpy(shown, "\\n");
	else if (code == '\t')
		strcpy(shown, "\\t");
	else if (code == '\r')
		strcpy(shown, "\\r");
	else if (is_harmful(code))
		sprintf(shown, "\\u%04x", (unsigned int)code & 0xffff);
	else
		sprintf(shown, "%.*s", (int)length, text);
	return length;
}

char *text_show(const char *text, size_t bytes)
{
	char *shown = malloc(bytes * ESCAPE_MOST + 1), *to = shown;

	if (!shown)
		return NULL;
	for (*to = '\0'; bytes; to += strlen(to)) {
		size_t length = show(to, text, bytes);

		text += length;
		bytes -= length;
	}
	to = realloc(shown, (size_t)(to - shown) + 1);
	return to ? to : shown;
}

void text_print(FILE *to, const char *text, size_t bytes)
{
	char shown[ESCAPE_MOST + 1];

	while (bytes) {
		size_t length = show(shown, text, bytes);

		if (*text == '\n' || *text == '\t')
			putc(*text, to);
		else
			fputs(shown, to);
		text += length;
		bytes -= length;
	}
}

/* The largest number of bytes up to most that ends with a whole character. */
static size_t cut(const char *text, size_t most)
{
	while (most && CONTINUES(text[most]))
		most--;
	return most;
}

const char *text_quote(char quoted[TEXT_QUOTED], const char *text)
{
	if (strlen(text) < TEXT_QUOTED)
		return strcpy(quoted, text);
	sprintf(quoted, "%.*s" CUT, (int)cut(text, TEXT_QUOTED - sizeof(CUT)), text);
	return quoted;
}

void text_fit(char *to, size_t room, const char *text)
{
	size_t length = strlen(text), part = (room - sizeof(OMITTED)) / 2, head = cut(text, length < part ? length : part);
	const char *tail;

	if (length < room) {
		strcpy(to, text);
		return;
	}
	for (tail = text + length - part; CONTINUES(*tail); tail++)
		;
	sprintf(to, "%.*s" OMITTED "%s", (int)head, text, tail);
}

char *text_utf8(const char *text, size_t bytes)
{
	char *result = malloc(bytes * ESCAPE_MOST + 1), *to = result;
	uint32_t code;

	while (result && bytes) {
		size_t length = text_character(text, bytes, &code);

		if (length && !code)
			to = stpcpy(to, "\\u0000");
		else if (length)
			to = mempcpy(to, text, length);
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*text);
		text += length ? length : 1;
		bytes -= length ? length : 1;
	}
	if (result)
		*to = '\0';
	return result;
}

unsigned int text_distance(const char *a, const char *b)
{
	unsigned int row[64];
	size_t n = strlen(b);

	if (n >= ARRAY_SIZE(row) || strlen(a) >= ARRAY_SIZE(row))
		return UINT_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; *a; a++, i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned int best = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}
