/* SPDX-License-Identifier: GPL-2.0 */
/* Members of JSON objects that others sent, and that need not be there or of the kind that is expected. */
#ifndef KEEL_MEMBER_H
#define KEEL_MEMBER_H

#include <jansson.h>

/* "" where there is none; the object's. */
static inline const char *member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* 0 where there is none. */
static inline long long member_number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

#endif
