// SPDX-License-Identifier: GPL-2.0
/* Values of the kinds that are wanted, and objects by tables of their keys. */
#include "manifest/loader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"

#define LIST_ROOM		256
#define BYTES_ROOM		24

const char *want_found(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

const char *want_string(struct loader *l, const char *path, const json_t *value, const char *expected)
{
	if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
		return json_string_value(value);
	complain(l, path, "%s: expected %s, found %s", path + 1, expected, want_found(value));
	return NULL;
}

bool want_integer(struct loader *l, const char *path, const json_t *value, long long min, long long max, unsigned int *result)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value)) {
		complain(l, path, "%s: expected a whole number from %lld to %lld, found %s", path + 1, min, max,
			 want_found(value));
		return false;
	}
	if (n < min || n > max) {
		complain(l, path, "%s: expected a whole number from %lld to %lld, found %lld", path + 1, min, max,
			 (long long)n);
		return false;
	}
	*result = (unsigned int)n;
	return true;
}

bool want_bool(struct loader *l, const char *path, const json_t *value)
{
	if (!json_is_boolean(value))
		complain(l, path, "%s: expected true or false, found %s", path + 1, want_found(value));
	return json_is_true(value);
}

/* The index of a word in a list; the first where it is none of them. */
unsigned int want_word(struct loader *l, const char *path, const json_t *value, const char *const *words, unsigned int count)
{
	char list[LIST_ROOM] = "", quoted[TEXT_QUOTED];
	const char *word = json_string_value(value);

	for (unsigned int i = 0; word && i < count; i++)
		if (!strcmp(words[i], word))
			return i;
	for (unsigned int i = 0; i < count; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, "%s\"%s\"", !i ? "" : i + 1 < count ? ", " : " or ", words[i]);
	}
	if (word)
		complain(l, path, "%s: expected %s, found \"%s\"", path + 1, list, text_quote(quoted, word));
	else
		complain(l, path, "%s: expected %s, found %s", path + 1, list, want_found(value));
	return 0;
}

void want_size(struct loader *l, const char *path, const json_t *value, uint64_t least, uint64_t most, uint64_t *bytes)
{
	static const char expected[] = "a size in MiB or GiB such as \"512M\" or \"4G\"";
	const char *text = want_string(l, path, value, expected);
	unsigned long long n, unit;
	char quoted[TEXT_QUOTED], *end;

	if (!text)
		return;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (text[0] < '1' || text[0] > '9' || (strcmp(end, "M") && strcmp(end, "G"))) {
		complain(l, path, "%s: expected %s, found \"%s\"", path + 1, expected, text_quote(quoted, text));
		return;
	}
	unit = *end == 'G' ? 1024 * MIB : MIB;
	if (errno || n > most / unit || n * unit < least)
		complain(l, path, "%s: expected %lluM to %lluG, found \"%s\"", path + 1, (unsigned long long)(least / MIB),
			 (unsigned long long)(most / MIB / 1024), text_quote(quoted, text));
	else
		*bytes = n * unit;
}

/* In the largest unit that is whole. */
static const char *show_bytes(char text[BYTES_ROOM], uint64_t bytes)
{
	static const char units[] = "KMG";
	unsigned int unit = 0;

	for (bytes >>= 10; unit < 2 && bytes && bytes % 1024 == 0; unit++)
		bytes >>= 10;
	snprintf(text, BYTES_ROOM, "%llu%c", (unsigned long long)bytes, units[unit]);
	return text;
}

void want_bytes(struct loader *l, const char *path, const json_t *value, uint64_t least, uint64_t most, uint64_t *bytes)
{
	static const char expected[] = "a number of bytes in KiB, MiB or GiB such as \"512K\" or \"10M\"";
	static const char units[] = "KMG";
	const char *text = want_string(l, path, value, expected), *unit;
	char quoted[TEXT_QUOTED], low[BYTES_ROOM], high[BYTES_ROOM], *end;
	unsigned long long n;
	unsigned int shift;

	if (!text)
		return;
	errno = 0;
	n = strtoull(text, &end, 10);
	unit = *end && !end[1] ? strchr(units, *end) : NULL;
	if (text[0] < '1' || text[0] > '9' || !unit) {
		complain(l, path, "%s: expected %s, found \"%s\"", path + 1, expected, text_quote(quoted, text));
		return;
	}
	shift = 10 * (unsigned int)(unit - units + 1);
	if (errno || n > most >> shift || n << shift < least)
		complain(l, path, "%s: expected %s to %s, found \"%s\"", path + 1, show_bytes(low, least), show_bytes(high, most),
			 text_quote(quoted, text));
	else
		*bytes = n << shift;
}

static const char *nearest_key(const char *name, const struct key *keys, size_t count)
{
	const char *nearest = NULL;
	unsigned int best = TEXT_NEAR;

	for (size_t i = 0; i < count; i++) {
		unsigned int d = text_distance(name, keys[i].name);

		if (d < best) {
			best = d;
			nearest = keys[i].name;
		}
	}
	return nearest;
}

/* The path of a member of any name, as position.h wants it; the caller's to free. */
static char *member_path(const char *path, const char *name)
{
	char *member = malloc(strlen(path) + 2 * strlen(name) + 2), *to = member;

	if (!member)
		return NULL;
	to += sprintf(to, "%s/", path);
	for (; *name; name++) {
		if (*name == '~' || *name == '/')
			*to++ = '~';
		*to++ = *name == '~' ? '0' : *name == '/' ? '1' : *name;
	}
	*to = '\0';
	return member;
}

/* Words that are meant to come, of the manifest itself, of its drives and of its networks. */
static bool is_planned(const char *path, const char *name)
{
	static const char *const root[] = {
		"allow", "cap", "clock", "cpu", "graphics", "os", "secure_boot", "tpm", NULL,
	};
	static const char *const drive[] = { "format", NULL };
	static const char *const network[] = { "queues", NULL };
	bool is_drive = !strncmp(path, "/disks/", 7) || !strncmp(path, "/cdrom", 6);
	bool is_network = !strncmp(path, "/networks/", 10) && !strstr(path, "/forward");
	const char *const *word = is_network ? network : path[0] ? drive : root;

	while (*word && strcmp(*word, name))
		word++;
	return *word && (is_drive || is_network || !path[0]);
}

static void unknown_key(struct loader *l, const char *path, const char *name, const struct key *keys, size_t count)
{
	char quoted[TEXT_QUOTED], *member = complain_is_full(l->report) ? NULL : member_path(path, name);
	const char *nearest = member ? nearest_key(name, keys, count) : NULL;

	if (member && is_planned(path, name))
		complain_key(l, member, "%s: not there yet", name);
	else if (nearest)
		complain_key(l, member, "unknown key \"%s\"; did you mean \"%s\"?", text_quote(quoted, name), nearest);
	else
		complain_key(l, member ? member : path, "unknown key \"%s\"", text_quote(quoted, name));
	free(member);
}

static const struct key *find_key(const struct key *keys, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	return NULL;
}

bool want_object(struct loader *l, const char *path, json_t *object, const struct key *keys, size_t count)
{
	const char *name;
	json_t *value;
	char member[PATH_ROOM];

	if (!json_is_object(object)) {
		complain(l, path, "expected an object, found %s", want_found(object));
		return false;
	}
	json_object_foreach(object, name, value) {
		const struct key *key = find_key(keys, count, name);

		if (!key) {
			unknown_key(l, path, name, keys, count);
			continue;
		}
		snprintf(member, sizeof(member), "%s/%s", path, name);
		key->parse(l, member, value);
	}
	for (size_t i = 0; i < count; i++)
		if (keys[i].required && !json_object_get(object, keys[i].name))
			complain(l, path, "\"%s\" is missing", keys[i].name);
	return true;
}
