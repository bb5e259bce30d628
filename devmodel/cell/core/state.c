/* SPDX-License-Identifier: GPL-2.0 */
/* Saves and loads the state of chips by their field tables. */
#include "core/state.h"

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

static size_t fields_size(const struct state_table *table)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < table->count; i++)
		bytes += (size_t)table->fields[i].width * table->fields[i].count;
	return bytes;
}

static void put_name(uint8_t *wire, const char *name)
{
	memset(wire, 0, SECTION_NAME_BYTES);
	for (unsigned int i = 0; i < SECTION_NAME_BYTES - 1 && name[i]; i++)
		wire[i] = (uint8_t)name[i];
}

static void put_header(const struct state_table *table, unsigned int instance, uint8_t *header)
{
	put_name(header + SECTION_NAME, table->name);
	put_value(header + SECTION_VERSION, table->version, 4);
	put_value(header + SECTION_INSTANCE, instance, 4);
	put_value(header + SECTION_BYTES, fields_size(table), 4);
}

size_t state_size(const struct state_table *table)
{
	return SECTION_HEADER + fields_size(table);
}

size_t state_save(const struct state_table *table, unsigned int instance, const void *state, uint8_t *buf,
		  size_t room)
{
	uint8_t *wire = buf + SECTION_HEADER;

	if (room < state_size(table))
		return 0;
	put_header(table, instance, buf);
	for (unsigned int i = 0; i < table->count; i++) {
		const struct state_field *field = &table->fields[i];
		const uint8_t *member = (const uint8_t *)state + field->offset;

		for (unsigned int k = 0; k < field->count; k++) {
			put_value(wire, read_member(member, field->width), field->width);
			member += field->width;
			wire += field->width;
		}
	}
	return (size_t)(wire - buf);
}

size_t state_load(const struct state_table *table, unsigned int instance, void *state, const uint8_t *buf,
		  size_t bytes)
{
	uint8_t expected[SECTION_HEADER];
	const uint8_t *wire = buf + SECTION_HEADER;

	if (bytes < state_size(table))
		return 0;
	put_header(table, instance, expected);
	if (memcmp(buf, expected, SECTION_HEADER))
		return 0;
	for (unsigned int i = 0; i < table->count; i++) {
		const struct state_field *field = &table->fields[i];
		uint8_t *member = (uint8_t *)state + field->offset;

		for (unsigned int k = 0; k < field->count; k++) {
			write_member(member, field->width, get_value(wire, field->width));
			member += field->width;
			wire += field->width;
		}
	}
	return (size_t)(wire - buf);
}
