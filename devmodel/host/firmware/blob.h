/* SPDX-License-Identifier: GPL-2.0 */
/* A growing row of bytes, for tables that are built piece by piece. */
#ifndef KEEL_BLOB_H
#define KEEL_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob {
	uint8_t *data;
	size_t bytes;
	size_t room;		/* for so many, before it must grow */
};

/* Both return the offset of what was added; the process ends where memory does: nothing runs yet. */
size_t blob_add(struct blob *blob, const void *data, size_t bytes);
size_t blob_align(struct blob *blob, size_t unit);
void blob_free(struct blob *blob);

#endif
