/* SPDX-License-Identifier: GPL-2.0 */
/* Saved state goes out and comes back as what it was. */
#ifndef KEEL_TEST_ROUNDTRIP_H
#define KEEL_TEST_ROUNDTRIP_H

#include <check.h>
#include <stdlib.h>

#include "core/state.h"

/* Saves what "from" is, loads it into "to", another one of the kind, and saves that: the same bytes. Returns how many. */
static inline size_t roundtrip(const struct state_table *table, unsigned int instance, const void *from, void *to)
{
	size_t bytes = state_size(table);
	uint8_t *first = malloc(bytes), *second = malloc(bytes);

	ck_assert(bytes && first && second);
	ck_assert_uint_eq(state_save(table, instance, from, first, bytes), bytes);
	ck_assert_uint_eq(state_load(table, instance, to, first, bytes), bytes);
	ck_assert_uint_eq(state_save(table, instance, to, second, bytes), bytes);
	ck_assert_mem_eq(first, second, bytes);
	free(first);
	free(second);
	return bytes;
}

#endif
