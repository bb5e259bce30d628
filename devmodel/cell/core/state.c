/* SPDX-License-Identifier: GPL-2.0 */
/* Saves and loads the state of chips by their field tables. */
#include "core/state.h"

#include <stdbool.h>

#include "core/string.h"

/* A section: name (zero padded), version, instance, bytes of the fields; then the fields. */
enum section_layout {
	SECTION_NAME = 0,
	SECTION_NAME_BYTES = 16,
	SECTION_VERSION = 16,
	SECTION_INSTANCE = 20,
	SECTION_BYTES = 24,
	SECTION_HEADER = 28,
};

#define LENGTH_BYTES	4u	/* of a blob's, before its bytes */

/* What a pass over the fields does. A load is checked first, so that it is whole or nothing. */
enum pass { PASS_MEASURE, PASS_SAVE, PASS_CHECK, PASS_LOAD };

struct walk {
	enum pass pass;
	uint32_t version;	/* of the section */
	const uint8_t *from;	/* the state that is saved, or the section's fields */
	uint8_t *to;		/* the other of the two */
	size_t at, room;	/* in the section's fields */
	const char *field;	/* the one that it is at */
};

static void put_value(uint8_t *wire, uint64_t value, unsigned int bytes)
{
	for (unsigned int i = 0; i < bytes; i++)
		wire[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_value(const uint8_t *wire, unsigned int bytes)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= (uint64_t)wire[i] << (8 * i);
	return value;
}

static uint64_t read_member(const uint8_t *member, unsigned int width)
{
	uint16_t half;
	uint32_t word;
	uint64_t quad;

	switch (width) {
	case 1:
		return *member;
	case 2:
		memcpy(&half, member, sizeof(half));
		return half;
	case 4:
		memcpy(&word, member, sizeof(word));
		return word;
	default:
		memcpy(&quad, member, sizeof(quad));
		return quad;
	}
}

static void write_member(uint8_t *member, unsigned int width, uint64_t value)
{
	uint16_t half = (uint16_t)value;
	uint32_t word = (uint32_t)value;

	switch (width) {
	case 1:
		*member = (uint8_t)value;
		break;
	case 2:
		memcpy(member, &half, sizeof(half));
		break;
	case 4:
		memcpy(member, &word, sizeof(word));
		break;
	default:
		memcpy(member, &value, sizeof(value));
		break;
	}
}

/* Room for so many bytes in the section, from where the walk is. */
static bool take(struct walk *w, size_t bytes)
{
	if (w->room - w->at < bytes)
		return false;
	w->at += bytes;
	return true;
}

static bool walk_value(struct walk *w, size_t member, unsigned int width, uint32_t most)
{
	size_t at = w->at;

	if (!take(w, width))
		return false;
	if (w->pass == PASS_CHECK)
		return !most || get_value(w->from + at, width) <= most;
	if (w->pass == PASS_SAVE)
		put_value(w->to + at, read_member(w->from + member, width), width);
	else if (w->pass == PASS_LOAD)
		write_member(w->to + member, width, get_value(w->from + at, width));
	return true;
}

/* False: it is cut short. */
static bool blob_length(const struct walk *w, const struct state_field *field, size_t base, size_t *bytes)
{
	switch (w->pass) {
	case PASS_MEASURE:
		*bytes = field->count;
		return true;
	case PASS_SAVE:
		*bytes = read_member(w->from + base + field->length, LENGTH_BYTES);
		return true;
	default:
		if (w->room - w->at < LENGTH_BYTES)
			return false;
		*bytes = get_value(w->from + w->at, LENGTH_BYTES);
		return true;
	}
}

static bool walk_blob(struct walk *w, const struct state_field *field, size_t base)
{
	size_t at = w->at + LENGTH_BYTES, bytes;

	if (!blob_length(w, field, base, &bytes) || bytes > field->count ||
	    !walk_value(w, base + field->length, LENGTH_BYTES, field->count) || !take(w, bytes))
		return false;
	if (w->pass == PASS_SAVE)
		memcpy(w->to + at, w->from + base + field->offset, bytes);
	else if (w->pass == PASS_LOAD)
		memcpy(w->to + base + field->offset, w->from + at, bytes);
	return true;
}

static bool walk_fields(struct walk *w, const struct state_field *fields, unsigned int count, size_t base);

static bool walk_elements(struct walk *w, const struct state_field *field, size_t base)
{
	for (unsigned int i = 0; i < field->count; i++) {
		size_t element = base + field->offset + (size_t)i * field->width;

		if (!(field->kind == STATE_KIND_STRUCTS ? walk_fields(w, field->nested, field->members, element) :
							  walk_value(w, element, field->width, field->most)))
			return false;
	}
	return true;
}

/* Calls itself as deep as the tables are nested, which are constant. */
static bool walk_fields(struct walk *w, const struct state_field *fields, unsigned int count, size_t base)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct state_field *field = &fields[i];

		if (field->since > w->version)
			continue;
		w->field = field->name;
		if (!(field->kind == STATE_KIND_BLOB ? walk_blob(w, field, base) : walk_elements(w, field, base)))
			return false;
	}
	return true;
}

static void put_name(uint8_t *wire, const char *name)
{
	memset(wire, 0, SECTION_NAME_BYTES);
	for (unsigned int i = 0; i < SECTION_NAME_BYTES - 1 && name[i]; i++)
		wire[i] = (uint8_t)name[i];
}

size_t state_size(const struct state_table *table)
{
	struct walk w = { .pass = PASS_MEASURE, .version = table->version, .room = SIZE_MAX };

	walk_fields(&w, table->fields, table->count, 0);
	return SECTION_HEADER + w.at;
}

size_t state_extent(const struct state_table *table)
{
	size_t extent = 0;

	for (unsigned int i = 0; i < table->count; i++) {
		const struct state_field *field = &table->fields[i];
		size_t end = field->offset + (size_t)field->width * field->count;

		if (field->kind == STATE_KIND_BLOB && end < field->length + sizeof(uint32_t))
			end = field->length + sizeof(uint32_t);
		extent = end > extent ? end : extent;
	}
	return extent;
}

size_t state_save(const struct state_table *table, unsigned int instance, const void *state, uint8_t *buf,
		  size_t room)
{
	struct walk w = { .pass = PASS_SAVE, .version = table->version, .from = state, .to = buf + SECTION_HEADER };

	if (room < SECTION_HEADER)
		return 0;
	w.room = room - SECTION_HEADER;
	if (!walk_fields(&w, table->fields, table->count, 0))
		return 0;
	put_name(buf + SECTION_NAME, table->name);
	put_value(buf + SECTION_VERSION, table->version, 4);
	put_value(buf + SECTION_INSTANCE, instance, 4);
	put_value(buf + SECTION_BYTES, w.at, 4);
	return SECTION_HEADER + w.at;
}

/* The section's fields, after its header; their number is not of this table's making. */
static bool read_fields(const struct state_table *table, struct walk *w)
{
	if (!walk_fields(w, table->fields, table->count, 0))
		return false;
	w->field = NULL;
	return w->at == w->room;
}

size_t state_read(const struct state_table *table, unsigned int instance, void *state, const uint8_t *buf, size_t bytes,
		  const char **field)
{
	uint8_t name[SECTION_NAME_BYTES];
	struct walk w = { .pass = PASS_CHECK, .from = buf + SECTION_HEADER, .to = state };

	*field = NULL;
	put_name(name, table->name);
	if (bytes < SECTION_HEADER || memcmp(buf + SECTION_NAME, name, SECTION_NAME_BYTES) ||
	    get_value(buf + SECTION_INSTANCE, 4) != instance)
		return 0;
	w.version = (uint32_t)get_value(buf + SECTION_VERSION, 4);
	w.room = get_value(buf + SECTION_BYTES, 4);
	if (!w.version || w.version > table->version || w.room > bytes - SECTION_HEADER)
		return 0;
	if (!read_fields(table, &w)) {
		*field = w.field;
		return 0;
	}
	w.pass = PASS_LOAD;
	w.at = 0;
	walk_fields(&w, table->fields, table->count, 0);
	return SECTION_HEADER + w.room;
}

size_t state_load(const struct state_table *table, unsigned int instance, void *state, const uint8_t *buf,
		  size_t bytes)
{
	const char *field;

	return state_read(table, instance, state, buf, bytes, &field);
}
