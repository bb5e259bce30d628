// SPDX-License-Identifier: GPL-2.0
/* Finds the places of JSON values. */
#include "manifest/position.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARKS			"{}[],:"
#define BLANKS			" \t\r\n"
#define NOT_FOUND		SIZE_MAX
#define UTF8_MOST		4u

static bool is_one_of(const char *set, char c)
{
	return c && strchr(set, c);
}

static size_t string_end(const char *text, size_t bytes, size_t offset)
{
	for (offset++; offset < bytes && text[offset] != '"' && text[offset] != '\n'; offset++)
		if (text[offset] == '\\' && offset + 1 < bytes)
			offset++;
	return offset < bytes && text[offset] == '"' ? offset + 1 : offset;
}

struct token position_token(const char *text, size_t bytes, size_t offset)
{
	struct token token = { TOKEN_WORD, offset, offset };

	while (token.start < bytes && is_one_of(BLANKS, text[token.start]))
		token.start++;
	token.end = token.start + 1;
	if (token.start >= bytes)
		return (struct token){ TOKEN_END, bytes, bytes };
	if (is_one_of(MARKS, text[token.start])) {
		token.kind = TOKEN_MARK;
	} else if (text[token.start] == '"') {
		token.kind = TOKEN_STRING;
		token.end = string_end(text, bytes, token.start);
	} else {
		while (token.end < bytes && !is_one_of(BLANKS MARKS "\"", text[token.end]))
			token.end++;
	}
	return token;
}

struct position position_at(const char *text, size_t bytes, size_t offset)
{
	struct position p = { 1, 1 };

	for (size_t i = 0; i < offset && i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\n') {
			p.line++;
			p.column = 1;
		} else if ((c & 0xc0) != 0x80) {	/* not a continuation byte of UTF-8 */
			p.column++;
		}
	}
	return p;
}

static unsigned int hex4(const char *digits)
{
	char text[5] = "";

	memcpy(text, digits, 4);
	return (unsigned int)strtoul(text, NULL, 16);
}

static size_t encode(char to[UTF8_MOST], uint32_t code)
{
	static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	for (size_t i = length - 1; i; i--, code >>= 6)
		to[i] = (char)(0x80 | (code & 0x3f));
	to[0] = (char)(first[length] | code);
	return length;
}

/* \uXXXX or a pair of them, at text; returns its length. */
static size_t decode_unicode(const char *text, char to[UTF8_MOST], size_t *length)
{
	uint32_t code = hex4(text + 2);
	bool pair = code >= 0xd800 && code < 0xdc00;

	if (pair)
		code = 0x10000 + ((code & 0x3ff) << 10 | (hex4(text + 8) & 0x3ff));
	*length = encode(to, code);
	return pair ? 12 : 6;
}

/* One character of a string, as what it means; returns how much text it takes. */
static size_t decode(const char *text, char to[UTF8_MOST], size_t *length)
{
	static const char escapes[] = "bfnrt", meanings[] = "\b\f\n\r\t";
	const char *escape;

	*length = 1;
	*to = text[0];
	if (text[0] != '\\')
		return 1;
	if (text[1] == 'u')
		return decode_unicode(text, to, length);
	escape = strchr(escapes, text[1]);
	*to = escape ? meanings[escape - escapes] : text[1];
	return 2;
}

/* Whether a string's text, from behind its quote, is the first component of a path. */
static bool names(const char *string, const char *path)
{
	char bytes[UTF8_MOST];
	size_t length;

	while (*string != '"') {
		string += decode(string, bytes, &length);
		for (size_t i = 0; i < length; i++, path++) {
			char meant = *path == '~' ? (*++path == '1' ? '/' : '~') : *path;

			if (meant != bytes[i] || *path == '/' || !*path)
				return false;
		}
	}
	return !*path || *path == '/';
}

/* Where the value that begins at offset ends. */
static size_t skip_value(const char *text, size_t bytes, size_t offset)
{
	size_t depth = 0;
	struct token t;

	do {
		t = position_token(text, bytes, offset);
		if (t.kind == TOKEN_MARK)
			depth += text[t.start] == '{' || text[t.start] == '[' ? 1 : 0;
		if (t.kind == TOKEN_MARK && (text[t.start] == '}' || text[t.start] == ']'))
			depth--;
		offset = t.end;
	} while (depth && t.kind != TOKEN_END);
	return offset;
}

/* The member of the object or element of the array at offset that a path's first component names: its value, and *key. */
static size_t find_member(const char *text, size_t bytes, size_t offset, const char *path, size_t *key)
{
	bool object = text[offset] == '{';
	unsigned long wanted = strtoul(path, NULL, 10);
	struct token t = position_token(text, bytes, offset + 1);

	if (!object && text[offset] != '[')
		return NOT_FOUND;
	for (unsigned long number = 0; t.kind != TOKEN_END && text[t.start] != '}' && text[t.start] != ']'; number++) {
		struct token value = t;

		if (object) {
			value = position_token(text, bytes, t.end);	/* the colon */
			value = position_token(text, bytes, value.end);
		}
		if (object ? names(text + t.start + 1, path) : number == wanted) {
			*key = t.start;
			return value.start;
		}
		t = position_token(text, bytes, skip_value(text, bytes, value.start));
		if (t.kind == TOKEN_MARK && text[t.start] == ',')
			t = position_token(text, bytes, t.end);
	}
	return NOT_FOUND;
}

struct position position_of(const char *text, size_t bytes, const char *path, bool key)
{
	size_t value = position_token(text, bytes, 0).start, name = value;

	while (*path) {
		size_t next = value < bytes ? find_member(text, bytes, value, path + 1, &name) : NOT_FOUND;

		if (next == NOT_FOUND)
			return position_at(text, bytes, value);
		value = next;
		path += 1 + strcspn(path + 1, "/");
	}
	return position_at(text, bytes, key ? name : value);
}
