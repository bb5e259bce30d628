// SPDX-License-Identifier: GPL-2.0
/* The serial port: where it ends in the host. */
#include "manifest/loader.h"

static const char *const serial_names[] = { "pty", "socket", "file" };

static void parse_serial_type(struct loader *l, const char *path, json_t *value)
{
	l->m->serial = want_word(l, path, value, serial_names, ARRAY_SIZE(serial_names));
}

static void parse_serial_path(struct loader *l, const char *path, json_t *value)
{
	const char *file = want_string(l, path, value, "a file name");

	l->serial_path_given = true;
	if (file && !*file)
		complain(l, path, "serial/path: expected a file name, found nothing");
	else if (file && !l->m->serial_path)
		l->m->serial_path = file_resolve(l, file);
}

static void parse_serial_log(struct loader *l, const char *path, json_t *value)
{
	l->m->serial_log = want_bool(l, path, value);
}

static const struct key serial_keys[] = {
	{ "type", true, parse_serial_type },
	{ "path", false, parse_serial_path },
	{ "log", false, parse_serial_log },
};

void serial_parse(struct loader *l, const char *path, json_t *value)
{
	size_t before = complaints(l);

	if (!want_object(l, path, value, serial_keys, ARRAY_SIZE(serial_keys)) || complaints(l) > before)
		return;
	if (l->m->serial == MANIFEST_SERIAL_PTY && l->serial_path_given)
		complain(l, path, "serial: \"path\" does not go with \"pty\"; the pty is linked to as /run/keel/NAME/console");
	if (l->m->serial != MANIFEST_SERIAL_PTY && !l->serial_path_given)
		complain(l, path, "serial: \"%s\" needs a \"path\"", serial_names[l->m->serial]);
}

/* What the guest says would be written into what it, or this program, needs. */
void serial_check(struct loader *l)
{
	const char *file = l->m->serial_path, *use;

	if (l->m->serial != MANIFEST_SERIAL_FILE || !file)
		return;
	use = file_other_use(l, file);
	for (unsigned int i = 0; i < l->source_count && !use; i++)
		if (l->sources[i].drive.file && file_is_same(file, l->sources[i].drive.file))
			use = l->sources[i].path + 1;
	if (use)
		complain(l, "/serial/path", "serial/path: %s is also %s, and the guest's output would be written into it",
			 file, use);
}
