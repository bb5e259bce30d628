/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where each value of a JSON text stands. jansson tells positions for syntax errors only.
 * A path is "" for the document, then "/key" or "/index" for each level: "/disks/0/file".
 */
#ifndef KEEL_POSITION_H
#define KEEL_POSITION_H

#include <stdbool.h>
#include <stddef.h>

struct position_entry {
	char *path;
	size_t key;		/* offset of the key, or of the value where it has none */
	size_t value;
};

struct position_index {
	const char *text;	/* the caller's; outlives the index */
	size_t bytes;
	struct position_entry *entries;
	size_t count;
};

struct position {
	unsigned int line;
	unsigned int column;	/* in characters, from 1 */
};

/* text must be JSON that a parser has accepted. False: out of memory. */
bool position_build(struct position_index *index, const char *text, size_t bytes);
void position_free(struct position_index *index);

/* Position of the value at path, or of its key. An unknown path has the position of the nearest known parent. */
struct position position_of(const struct position_index *index, const char *path, bool key);

#endif
