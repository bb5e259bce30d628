/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Saved state. Every chip keeps what must survive a save in a struct of its own with one table of its fields, which serves
 * both directions. On the wire: little-endian, fields in table order, no padding, behind a section header.
 *
 * A field may be an array of structs with fields of their own, or a blob: bytes whose number is another member's. A table that
 * gains fields gains a version; what an older one did not have stays as it is in the struct that is loaded into, which is how the
 * chip was initialized.
 *
 * What is loaded comes from a file, and can be anything. A table says which values of a field there are, as far as a largest one
 * says it; what fields must be towards each other, and for all else, is the chip's to say (core/device.h).
 */
#ifndef KEEL_STATE_H
#define KEEL_STATE_H

#include <stddef.h>
#include <stdint.h>

#include <keel/macros.h>

enum state_kind {
	STATE_KIND_VALUES,	/* integers of one width */
	STATE_KIND_STRUCTS,	/* with fields of their own */
	STATE_KIND_BLOB,	/* bytes, as many as its length says */
};

struct state_field {
	const char *name;
	enum state_kind kind;
	uint16_t offset;	/* in the state struct, or in the nested one */
	uint16_t width;		/* bytes an element: 1, 2, 4 or 8; of structs: theirs; of a blob: 1 */
	uint16_t count;		/* elements; of a blob: the most */
	uint16_t since;		/* the version of the table that brought it; 0: it was always there */
	uint16_t length;	/* of a blob: where its uint32_t length is, as 'offset' */
	uint32_t most;		/* of values: the largest one; 0: the largest of their width */
	uint16_t members;	/* of structs: number of 'nested' */
	const struct state_field *nested;
};

#define STATE_MEMBER(type, member) \
	.name = #member, .offset = offsetof(type, member)
#define STATE_ELEMENTS(type, member) \
	STATE_MEMBER(type, member), .width = sizeof(((type *)0)->member[0]), .count = ARRAY_SIZE(((type *)0)->member)

#define STATE_FIELD(type, member) \
	{ STATE_MEMBER(type, member), .width = sizeof(((type *)0)->member), .count = 1 }
#define STATE_ARRAY(type, member) \
	{ STATE_ELEMENTS(type, member) }
/* With a largest value; a flag is 0 or 1. */
#define STATE_FIELD_MOST(type, member, largest) \
	{ STATE_MEMBER(type, member), .width = sizeof(((type *)0)->member), .count = 1, .most = (largest) }
#define STATE_ARRAY_MOST(type, member, largest) \
	{ STATE_ELEMENTS(type, member), .most = (largest) }
#define STATE_FLAG(type, member) \
	STATE_FIELD_MOST(type, member, 1)
/* Not in sections of versions before this one. */
#define STATE_FIELD_SINCE(version, type, member) \
	{ STATE_MEMBER(type, member), .width = sizeof(((type *)0)->member), .count = 1, .since = (version) }
/* fields: an array, of an element's fields. */
#define STATE_STRUCTS(type, member, fields) \
	{ .kind = STATE_KIND_STRUCTS, STATE_ELEMENTS(type, member), .members = ARRAY_SIZE(fields), .nested = (fields) }
#define STATE_STRUCT(type, member, fields) \
	{ .kind = STATE_KIND_STRUCTS, STATE_MEMBER(type, member), .width = sizeof(((type *)0)->member), .count = 1, \
	  .members = ARRAY_SIZE(fields), .nested = (fields) }
/* member: an array of bytes, of which as many are saved as the uint32_t 'bytes' beside it says. */
#define STATE_BLOB(type, member, bytes) \
	{ .kind = STATE_KIND_BLOB, STATE_ELEMENTS(type, member), .length = offsetof(type, bytes) }

struct state_table {
	const char *name;	/* at most 15 characters, unique in the machine with instance */
	uint32_t version;
	const struct state_field *fields;
	unsigned int count;
};

/* Bytes that state_save writes for this table at most; fewer by what its blobs are short of theirs. */
size_t state_size(const struct state_table *table);

/* Bytes of the struct, from its start, that the table's fields lie in. */
size_t state_extent(const struct state_table *table);

/* Writes a section to buf. Returns its length, or 0 if it does not fit room. */
size_t state_save(const struct state_table *table, unsigned int instance, const void *state, uint8_t *buf, size_t room);

/*
 * Reads a section of this table and instance, of this version or an older one, into a state that was initialized. Returns bytes
 * used, or 0, state untouched, if the section is cut short, is another one, or says what cannot be.
 */
size_t state_load(const struct state_table *table, unsigned int instance, void *state, const uint8_t *buf, size_t bytes);
/*
 * The same, which says more of a refusal: *field is the name of the field that is at fault, or NULL if it is the section as a
 * whole.
 */
size_t state_read(const struct state_table *table, unsigned int instance, void *state, const uint8_t *buf, size_t bytes,
		  const char **field);

#endif
