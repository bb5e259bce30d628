// SPDX-License-Identifier: GPL-2.0
/* What the guest boots from, in which order. */
#include "manifest/loader.h"

#include <stdio.h>

static const char *const boot_names[] = { "disk", "cdrom" };

void boot_parse(struct loader *l, const char *path, json_t *value)
{
	char element[PATH_ROOM];
	json_t *item;
	size_t i;

	if (!json_is_array(value) || !json_array_size(value)) {
		complain(l, path, "boot: expected a list such as [\"disk\", \"cdrom\"]");
		return;
	}
	l->m->boots = 0;
	json_array_foreach(value, i, item) {
		enum manifest_boot boot;
		size_t before = complaints(l);

		snprintf(element, sizeof(element), "%s/%zu", path, i);
		boot = want_word(l, element, item, boot_names, ARRAY_SIZE(boot_names));
		if (complaints(l) > before)
			continue;
		for (unsigned int j = 0; j < l->m->boots; j++)
			if (l->m->boot[j] == boot) {
				complain(l, element, "boot: \"%s\" is listed twice", boot_names[boot]);
				return;
			}
		l->m->boot[l->m->boots++] = boot;
	}
}

void boot_check(struct loader *l)
{
	bool present[MANIFEST_BOOTS] = { false };
	char path[PATH_ROOM];

	for (unsigned int i = 0; i < l->source_count; i++)
		present[l->sources[i].drive.kind == MANIFEST_DRIVE_CDROM ? MANIFEST_BOOT_CDROM : MANIFEST_BOOT_DISK] = true;
	for (unsigned int i = 0; i < l->m->boots; i++)
		if (!present[l->m->boot[i]]) {
			snprintf(path, sizeof(path), "/boot/%u", i);
			complain(l, path, "boot: there is no %s to boot from", boot_names[l->m->boot[i]]);
		}
	if (l->m->boots)
		return;
	for (unsigned int b = 0; b < MANIFEST_BOOTS; b++)
		if (present[b])
			l->m->boot[l->m->boots++] = (enum manifest_boot)b;
}
