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
	struct state_table newer = table, other = table, shorter = table;
	uint8_t buf[HEADER + BODY];

	newer.version = 4;
	other.name = "samplf";
	shorter.count = 3;
	state_save(&table, 2, &filled, buf, sizeof(buf));
	assert_refused(buf, sizeof(buf) - 1, 2, &table);
	assert_refused(buf, HEADER - 1, 2, &table);
	assert_refused(buf, 0, 2, &table);
	assert_refused(buf, sizeof(buf), 3, &table);
	assert_refused(buf, sizeof(buf), 2, &newer);
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

int main(void)
{
	Suite *suite = suite_create("state");
	TCase *tcase = tcase_create("state");

	tcase_add_test(tcase, wire_form);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, save_needs_room);
	tcase_add_test(tcase, load_refuses);
	tcase_add_test(tcase, sections_follow_each_other);
	suite_add_tcase(suite, tcase);
	return run_suite(suite);
}
