/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where things stand in a JSON text. jansson tells positions for syntax errors only.
 * A path is a JSON pointer (RFC 6901): "" for the document, "/disks/0/file"; in a key, "~0" is '~' and "~1" is '/'.
 */
#ifndef KEEL_POSITION_H
#define KEEL_POSITION_H

#include <stdbool.h>
#include <stddef.h>

struct position {
	unsigned int line;
	unsigned int column;	/* in characters, from 1 */
};

enum token_kind { TOKEN_END, TOKEN_MARK, TOKEN_STRING, TOKEN_WORD };

/* A mark is one of {}[],: and a word all else that stands together: a number, true, or what JSON has not. */
struct token {
	enum token_kind kind;
	size_t start, end;
};

/* The token at offset or after the blanks there. A string that is not closed ends with its line. */
struct token position_token(const char *text, size_t bytes, size_t offset);
struct position position_at(const char *text, size_t bytes, size_t offset);
/*
 * Position of the value at path, or of its key, in text that a parser has accepted. An unknown path has the position of the
 * nearest known parent. Takes no memory, and reads the text once.
 */
struct position position_of(const char *text, size_t bytes, const char *path, bool key);

#endif
