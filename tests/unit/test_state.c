/* SPDX-License-Identifier: GPL-2.0 */
/* Saved state: wire form, refusal of foreign sections. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"
#include "suite.h"

struct sample {
	uint8_t byte;
	uint64_t quad;
	uint16_t half[3];
	uint32_t word;
	uint32_t not_saved;
};

/* Nested structs, a blob, and fields that came later. */
struct counter {
	uint32_t count;
	uint8_t mode;
	uint8_t not_saved;
};

struct rich {
	struct counter counter[3];
	uint32_t bytes;
	uint8_t blob[6];
	uint16_t second, third;
};

static const struct state_field counter_fields[] = {
	STATE_FIELD(struct counter, mode),
	STATE_FIELD(struct counter, count),
};

static const struct state_field rich_fields[] = {
	STATE_STRUCTS(struct rich, counter, counter_fields),
	STATE_FIELD_SINCE(2, struct rich, second),
	STATE_BLOB(struct rich, blob, bytes),
	STATE_FIELD_SINCE(3, struct rich, third),
};

static const struct state_table rich_table = { "rich", 3, rich_fields, ARRAY_SIZE(rich_fields) };
static const struct state_table rich_first = { "rich", 1, rich_fields, ARRAY_SIZE(rich_fields) };

static const struct rich rich = {
	.counter = { { 0x11223344, 1, 9 }, { 0x55667788, 2, 9 }, { 0x99aabbcc, 3, 9 } },
	.bytes = 4, .blob = { 'b', 'l', 'o', 'b', 0x77, 0x77 }, .second = 0x2222, .third = 0x3333,
};

static const struct state_field fields[] = {
	STATE_FIELD(struct sample, quad),
	STATE_FIELD(struct sample, byte),
	STATE_ARRAY(struct sample, half),
	STATE_FIELD(struct sample, word),
};

static const struct state_table table = { "sample", 3, fields, 4 };

static const struct sample filled = {
	.byte = 0xa5, .quad = 0x0123456789abcdefull, .half = { 0x1122, 0x3344, 0x5566 }, .word = 0xdeadbeef,
	.not_saved = 7,
};

#define HEADER 28u
#define BODY (8u + 1 + 6 + 4)

START_TEST(wire_form)
{
	static const uint8_t body[BODY] = {
		0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0xa5,
		0x22, 0x11, 0x44, 0x33, 0x66, 0x55, 0xef, 0xbe, 0xad, 0xde,
	};
	static const uint8_t header[HEADER] = {
		's', 'a', 'm', 'p', 'l', 'e', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, BODY, 0, 0, 0,
	};
	uint8_t buf[HEADER + BODY];

	ck_assert_uint_eq(state_size(&table), sizeof(buf));
	ck_assert_uint_eq(state_save(&table, 9, &filled, buf, sizeof(buf)), sizeof(buf));
	ck_assert_mem_eq(buf, header, HEADER);
	ck_assert_mem_eq(buf + HEADER, body, BODY);
}
END_TEST

START_TEST(round_trip)
{
	uint8_t buf[HEADER + BODY], again[HEADER + BODY];
	struct sample loaded = { .not_saved = 42 };

	state_save(&table, 1, &filled, buf, sizeof(buf));
	ck_assert_uint_eq(state_load(&table, 1, &loaded, buf, sizeof(buf)), sizeof(buf));
	ck_assert_uint_eq(loaded.not_saved, 42);
	ck_assert_uint_eq(loaded.quad, filled.quad);
	ck_assert_uint_eq(loaded.half[2], filled.half[2]);
	state_save(&table, 1, &loaded, again, sizeof(again));
	ck_assert_mem_eq(buf, again, sizeof(buf));
}
END_TEST

START_TEST(save_needs_room)
{
	uint8_t *buf = malloc(HEADER + BODY - 1);

	ck_assert_uint_eq(state_save(&table, 0, &filled, buf, HEADER + BODY - 1), 0);
	ck_assert_uint_eq(state_save(&table, 0, &filled, buf, 0), 0);
	free(buf);
}
END_TEST

static void assert_refused(const uint8_t *buf, size_t bytes, unsigned int instance, const struct state_table *as)
{
	struct sample loaded, before;

	memset(&loaded, 0x77, sizeof(loaded));
	before = loaded;
	ck_assert_uint_eq(state_load(as, instance, &loaded, buf, bytes), 0);
	ck_assert_mem_eq(&loaded, &before, sizeof(loaded));
}

START_TEST(load_refuses)
{
	struct state_table older = table, other = table, shorter = table;
	uint8_t buf[HEADER + BODY];

	older.version = 2;
	other.name = "samplf";
	shorter.count = 3;
	state_save(&table, 2, &filled, buf, sizeof(buf));
	assert_refused(buf, sizeof(buf) - 1, 2, &table);
	assert_refused(buf, HEADER - 1, 2, &table);
	assert_refused(buf, 0, 2, &table);
	assert_refused(buf, sizeof(buf), 3, &table);
	assert_refused(buf, sizeof(buf), 2, &older);
	assert_refused(buf, sizeof(buf), 2, &other);
	assert_refused(buf, sizeof(buf), 2, &shorter);
}
END_TEST

START_TEST(sections_follow_each_other)
{
	struct sample second = filled, loaded;
	uint8_t buf[2 * (HEADER + BODY) + 5];
	size_t used;

	second.word = 1;
	used = state_save(&table, 0, &filled, buf, sizeof(buf));
	state_save(&table, 1, &second, buf + used, sizeof(buf) - used);
	used = state_load(&table, 0, &loaded, buf, sizeof(buf));
	ck_assert_uint_eq(loaded.word, filled.word);
	ck_assert_uint_eq(state_load(&table, 1, &loaded, buf + used, sizeof(buf) - used), used);
	ck_assert_uint_eq(loaded.word, 1);
}
END_TEST

#define RICH_LENGTH	(3u * 5 + 2)	/* where the blob's length is */
#define RICH_BODY	(RICH_LENGTH + 4 + 4 + 2)

START_TEST(nested_and_blob)
{
	static const uint8_t body[RICH_BODY] = {
		1, 0x44, 0x33, 0x22, 0x11, 2, 0x88, 0x77, 0x66, 0x55, 3, 0xcc, 0xbb, 0xaa, 0x99,
		0x22, 0x22, 4, 0, 0, 0, 'b', 'l', 'o', 'b', 0x33, 0x33,
	};
	uint8_t buf[HEADER + RICH_BODY];
	struct rich loaded = { .counter[1].not_saved = 5, .blob = { 0, 0, 0, 0, 8, 8 } };

	ck_assert_uint_eq(state_size(&rich_table), sizeof(buf) + 2);
	ck_assert_uint_eq(state_save(&rich_table, 0, &rich, buf, sizeof(buf)), sizeof(buf));
	ck_assert_mem_eq(buf + HEADER, body, RICH_BODY);
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, sizeof(buf)), sizeof(buf));
	ck_assert_uint_eq(loaded.counter[1].count, rich.counter[1].count);
	ck_assert_uint_eq(loaded.counter[2].mode, 3);
	ck_assert_uint_eq(loaded.counter[1].not_saved, 5);
	ck_assert_uint_eq(loaded.bytes, 4);
	ck_assert_mem_eq(loaded.blob, "blob\x8\x8", 6);
	ck_assert_uint_eq(loaded.third, 0x3333);
	for (size_t room = 0; room < sizeof(buf); room++)
		ck_assert_uint_eq(state_save(&rich_table, 0, &rich, buf, room), 0);
}
END_TEST

START_TEST(older_versions)
{
	uint8_t buf[HEADER + RICH_BODY];
	struct rich loaded = { .second = 5, .third = 6 };
	size_t bytes = state_save(&rich_first, 0, &rich, buf, sizeof(buf));

	ck_assert_uint_eq(bytes, sizeof(buf) - 4);
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, bytes), bytes);
	ck_assert_uint_eq(loaded.counter[0].count, rich.counter[0].count);
	ck_assert_uint_eq(loaded.bytes, 4);
	ck_assert_uint_eq(loaded.second, 5);
	ck_assert_uint_eq(loaded.third, 6);
	buf[16] = 2;
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, bytes), 0);
	buf[16] = 0;
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, bytes), 0);
}
END_TEST

/*
 * A blob that is longer than its room, in the section and in the state; and a section with one byte more or less than its fields.
 */
START_TEST(wrong_lengths)
{
	uint8_t buf[HEADER + RICH_BODY + 8] = { 0 };
	struct rich loaded = { .second = 5 }, before = loaded, broken = rich;
	size_t bytes = state_save(&rich_table, 0, &rich, buf, sizeof(buf));

	for (unsigned int length = 0; length < 256; length++) {
		buf[HEADER + RICH_LENGTH] = (uint8_t)length;
		if (length == 4)
			continue;
		ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, sizeof(buf)), 0);
	}
	memset(buf + HEADER + RICH_LENGTH, 0xff, 4);
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, sizeof(buf)), 0);
	bytes = state_save(&rich_table, 0, &rich, buf, sizeof(buf));
	buf[24] = RICH_BODY + 1;
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, sizeof(buf)), 0);
	buf[24] = RICH_BODY - 1;
	ck_assert_uint_eq(state_load(&rich_table, 0, &loaded, buf, bytes), 0);
	ck_assert_mem_eq(&loaded, &before, sizeof(loaded));
	broken.bytes = 7;
	ck_assert_uint_eq(state_save(&rich_table, 0, &broken, buf, sizeof(buf)), 0);
}
END_TEST

/* A flag, a count, an array of indices, and a wide one. */
struct bounded {
	uint8_t flag;
	uint32_t count;
	uint16_t index[3];
	uint64_t wide;
	uint32_t free;
};

static const struct state_field bounded_fields[] = {
	STATE_FLAG(struct bounded, flag),
	STATE_FIELD_MOST(struct bounded, count, 1000),
	STATE_ARRAY_MOST(struct bounded, index, 7),
	STATE_FIELD_MOST(struct bounded, wide, 9),
	STATE_FIELD(struct bounded, free),
};

static const struct state_table bounded_table = { "bounded", 1, bounded_fields, ARRAY_SIZE(bounded_fields) };

START_TEST(values_that_are_not_there)
{
	static const struct bounded most = { 1, 1000, { 7, 7, 7 }, 9, UINT32_MAX };
	struct bounded wrong[] = { most, most, most, most }, loaded = { 0 }, before = loaded;
	static const char *const names[] = { "flag", "count", "index", "wide" };
	uint8_t buf[64];
	const char *field = "none";
	size_t bytes = state_save(&bounded_table, 0, &most, buf, sizeof(buf));

	ck_assert_uint_eq(state_read(&bounded_table, 0, &loaded, buf, bytes, &field), bytes);
	ck_assert_ptr_eq(field, NULL);
	ck_assert_uint_eq(loaded.index[2], 7);
	loaded = before;
	wrong[0].flag = 2;
	wrong[1].count = 1001;
	wrong[2].index[2] = 8;
	wrong[3].wide = 1ull << 40;
	for (unsigned int i = 0; i < 4; i++) {
		state_save(&bounded_table, 0, &wrong[i], buf, sizeof(buf));
		ck_assert_uint_eq(state_read(&bounded_table, 0, &loaded, buf, bytes, &field), 0);
		ck_assert_str_eq(field, names[i]);
		ck_assert_mem_eq(&loaded, &before, sizeof(loaded));
	}
}
END_TEST

/* The innermost field is blamed; and none, if it is the section. */
START_TEST(blame)
{
	uint8_t buf[HEADER + RICH_BODY];
	struct rich loaded = { 0 };
	const char *field;
	size_t bytes = state_save(&rich_table, 0, &rich, buf, sizeof(buf));

	buf[24] = 7;
	ck_assert_uint_eq(state_read(&rich_table, 0, &loaded, buf, bytes, &field), 0);
	ck_assert_str_eq(field, "count");
	buf[24] = RICH_BODY;
	buf[HEADER + RICH_LENGTH] = 7;
	ck_assert_uint_eq(state_read(&rich_table, 0, &loaded, buf, bytes, &field), 0);
	ck_assert_str_eq(field, "blob");
	ck_assert_uint_eq(state_read(&rich_table, 1, &loaded, buf, bytes, &field), 0);
	ck_assert_ptr_eq(field, NULL);
}
END_TEST

START_TEST(extent)
{
	ck_assert_uint_eq(state_extent(&table), offsetof(struct sample, word) + 4);
	ck_assert_uint_eq(state_extent(&rich_table), offsetof(struct rich, third) + 2);
}
END_TEST

SUITE("state", tcase)
{
	tcase_add_test(tcase, wire_form);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, save_needs_room);
	tcase_add_test(tcase, load_refuses);
	tcase_add_test(tcase, sections_follow_each_other);
	tcase_add_test(tcase, nested_and_blob);
	tcase_add_test(tcase, older_versions);
	tcase_add_test(tcase, wrong_lengths);
	tcase_add_test(tcase, values_that_are_not_there);
	tcase_add_test(tcase, blame);
	tcase_add_test(tcase, extent);
}
