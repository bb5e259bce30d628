/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Saved state. Every chip keeps what must survive a save in a struct of its own with one table of its fields, which serves
 * both directions. On the wire: little-endian, fields in table order, no padding, behind a section header.
 */
#ifndef KEEL_STATE_H
#define KEEL_STATE_H

#include <stddef.h>
#include <stdint.h>

struct state_field {
	const char *name;
	uint16_t offset;	/* in the state struct */
	uint8_t width;		/* 1, 2, 4 or 8 bytes an element */
	uint16_t count;		/* elements */
};

#define STATE_FIELD(type, member) \
	{ #member, offsetof(type, member), sizeof(((type *)0)->member), 1 }
#define STATE_ARRAY(type, member) \
	{ #member, offsetof(type, member), sizeof(((type *)0)->member[0]), \
	  sizeof(((type *)0)->member) / sizeof(((type *)0)->member[0]) }

struct state_table {
	const char *name;	/* at most 15 characters, unique in the machine with instance */
	uint32_t version;
	const struct state_field *fields;
	unsigned int count;
};

/* Bytes that state_save writes for this table. */
size_t state_size(const struct state_table *table);

/* Writes a section to buf. Returns its length, or 0 if it does not fit room. */
size_t state_save(const struct state_table *table, unsigned int instance, const void *state, uint8_t *buf, size_t room);

/*
 * Reads a section of this table and instance. Returns bytes used, or 0, state untouched, if the section
 * is cut short or is another one or of another version.
 */
size_t state_load(const struct state_table *table, unsigned int instance, void *state, const uint8_t *buf, size_t bytes);

#endif
