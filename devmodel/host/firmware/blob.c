// SPDX-License-Identifier: GPL-2.0
/* A growing row of bytes. */
#include "host/firmware/blob.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *extend(struct blob *blob, size_t bytes)
{
	if (blob->room - blob->bytes < bytes) {
		size_t room = (blob->bytes + bytes) * 2;
		uint8_t *grown = realloc(blob->data, room);

		if (!grown)
			errx(1, "out of memory");
		blob->data = grown;
		blob->room = room;
	}
	blob->bytes += bytes;
	return blob->data + blob->bytes - bytes;
}

size_t blob_add(struct blob *blob, const void *data, size_t bytes)
{
	size_t offset = blob->bytes;

	if (bytes)
		memcpy(extend(blob, bytes), data, bytes);
	return offset;
}

size_t blob_align(struct blob *blob, size_t unit)
{
	size_t missing = (unit - blob->bytes % unit) % unit;

	if (missing)
		memset(extend(blob, missing), 0, missing);
	return blob->bytes;
}

void blob_free(struct blob *blob)
{
	free(blob->data);
	*blob = (struct blob){ 0 };
}
