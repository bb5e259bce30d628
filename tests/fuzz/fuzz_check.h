/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In the place of Check, whose assertions work in its own tests alone: so that a fuzz target can use the rigs of unit
 * tests. It comes first, and by the guard of Check's own header that one is not read any more.
 */
#ifndef CHECK_H
#define CHECK_H

#include "fuzz.h"

#define ck_assert(holds)		require(holds, #holds)
#define ck_assert_uint_eq(a, b)		require((a) == (b), #a " is not " #b)
#define ck_assert_uint_lt(a, b)		require((a) < (b), #a " is not below " #b)
#define ck_assert_uint_le(a, b)		require((a) <= (b), #a " is above " #b)
#define ck_assert_uint_ne(a, b)		require((a) != (b), #a " is " #b)
#define ck_assert_ptr_ne(a, b)		require((a) != (b), #a " is " #b)
#define ck_abort_msg(...)		(fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), abort())

#endif
