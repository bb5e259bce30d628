// SPDX-License-Identifier: GPL-2.0
/* Index from the path of a JSON value to its place in the text. */
#include "position.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_ROOM	1024

struct scanner {
	struct position_index *index;
	size_t at;
	char path[PATH_ROOM];
	bool failed;
};

static char peek(const struct scanner *s)
{
	return s->at < s->index->bytes ? s->index->text[s->at] : '\0';
}

static void skip_blanks(struct scanner *s)
{
	while (peek(s) && strchr(" \t\r\n", peek(s)))
		s->at++;
}

static void skip_string(struct scanner *s)
{
	for (s->at++; peek(s) && peek(s) != '"'; s->at++)
		if (peek(s) == '\\')
			s->at++;
	s->at++;
}

static void note(struct scanner *s, size_t key, size_t value)
{
	struct position_index *index = s->index;
	struct position_entry *grown = realloc(index->entries, (index->count + 1) * sizeof(*grown));

	if (!grown) {
		s->failed = true;
		return;
	}
	index->entries = grown;
	grown[index->count] = (struct position_entry){ strdup(s->path), key, value };
	if (!grown[index->count].path)
		s->failed = true;
	else
		index->count++;
}

static void scan_value(struct scanner *s, size_t key);

/* One member of an object or element of an array; 'number' counts elements. */
static void scan_member(struct scanner *s, bool object, unsigned int number)
{
	size_t length = strlen(s->path);
	size_t key = s->at;

	if (object) {
		skip_string(s);
		snprintf(s->path + length, PATH_ROOM - length, "/%.*s", (int)(s->at - key - 2), s->index->text + key + 1);
		skip_blanks(s);
		s->at++;	/* the colon */
		skip_blanks(s);
	} else {
		snprintf(s->path + length, PATH_ROOM - length, "/%u", number);
	}
	scan_value(s, key);
	s->path[length] = '\0';
}

static void scan_members(struct scanner *s, char end)
{
	unsigned int number = 0;

	for (s->at++, skip_blanks(s); peek(s) && peek(s) != end && !s->failed; skip_blanks(s)) {
		scan_member(s, end == '}', number++);
		skip_blanks(s);
		if (peek(s) == ',')
			s->at++;
	}
	s->at++;
}

static void scan_value(struct scanner *s, size_t key)
{
	note(s, key, s->at);
	if (peek(s) == '{')
		scan_members(s, '}');
	else if (peek(s) == '[')
		scan_members(s, ']');
	else if (peek(s) == '"')
		skip_string(s);
	else
		while (peek(s) && !strchr(",]} \t\r\n", peek(s)))
			s->at++;
}

bool position_build(struct position_index *index, const char *text, size_t bytes)
{
	struct scanner s = { .index = index };

	*index = (struct position_index){ .text = text, .bytes = bytes };
	skip_blanks(&s);
	scan_value(&s, s.at);
	return !s.failed;
}

void position_free(struct position_index *index)
{
	for (size_t i = 0; i < index->count; i++)
		free(index->entries[i].path);
	free(index->entries);
	*index = (struct position_index){ 0 };
}

static struct position place(const struct position_index *index, size_t offset)
{
	struct position p = { 1, 1 };

	for (size_t i = 0; i < offset && i < index->bytes; i++) {
		unsigned char c = (unsigned char)index->text[i];

		if (c == '\n') {
			p.line++;
			p.column = 1;
		} else if ((c & 0xc0) != 0x80) {	/* not a continuation byte of UTF-8 */
			p.column++;
		}
	}
	return p;
}

struct position position_of(const struct position_index *index, const char *path, bool key)
{
	size_t length = strlen(path);

	for (;;) {
		for (size_t i = 0; i < index->count; i++) {
			const struct position_entry *e = &index->entries[i];

			if (strlen(e->path) == length && !memcmp(e->path, path, length))
				return place(index, key ? e->key : e->value);
		}
		if (!length)
			return (struct position){ 1, 1 };
		while (length && path[--length] != '/')
			;
	}
}
