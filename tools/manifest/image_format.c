// SPDX-License-Identifier: GPL-2.0
/* Images for drives. A guest could write the mark of one that is not raw: no format is ever chosen by its mark, only refused. */
#include "manifest/image_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keel/macros.h>

#define MARK_MOST		24

struct mark {
	struct image_format format;
	int64_t offset;			/* below 0: from the end */
	const char *bytes;
	size_t count;
};

#define MARK(name, qemu, offset, text) { { name, qemu, NULL, false }, offset, text, sizeof(text) - 1 }
#define COMPRESSED(name, unpack, is_filter, text) { { name, NULL, unpack, is_filter }, 0, text, sizeof(text) - 1 }

static const struct mark marks[] = {
	MARK("qcow2", "qcow2", 0, "QFI\xfb\0\0\0\2"),
	MARK("qcow2", "qcow2", 0, "QFI\xfb\0\0\0\3"),
	MARK("qcow", "qcow", 0, "QFI\xfb\0\0\0\1"),
	MARK("QED", "qed", 0, "QED\0"),
	MARK("VMDK", "vmdk", 0, "KDMV"),
	MARK("VMDK", "vmdk", 0, "COWD"),
	MARK("VMDK", "vmdk", 0, "# Disk Descriptor"),
	MARK("VHDX", "vhdx", 0, "vhdxfile"),
	MARK("VDI", "vdi", 64, "\x7f\x10\xda\xbe"),
	MARK("Parallels", "parallels", 0, "WithoutFreeSpace"),
	MARK("Parallels", "parallels", 0, "WithouFreSpacExt"),
	/* A copy of the footer, or the footer alone behind what is a raw image otherwise. */
	MARK("VHD", "vpc", 0, "conectix"),
	MARK("VHD", "vpc", -512, "conectix"),
	MARK("DMG", "dmg", -512, "koly"),
	COMPRESSED("gzip", "gunzip", true, "\x1f\x8b\x08"),
	COMPRESSED("xz", "unxz", true, "\xfd" "7zXZ\0"),
	COMPRESSED("zstd", "unzstd", true, "\x28\xb5\x2f\xfd"),
	COMPRESSED("bzip2", "bunzip2", true, "BZh"),
	COMPRESSED("zip", "unzip", false, "PK\3\4"),
	COMPRESSED("7z", "7z x", false, "7z\xbc\xaf\x27\x1c"),
};

static bool has_mark(int fd, uint64_t bytes, const struct mark *mark)
{
	off_t at = mark->offset < 0 ? (off_t)bytes + mark->offset : mark->offset;
	char there[MARK_MOST];

	return at >= 0 && pread(fd, there, mark->count, at) == (ssize_t)mark->count && !memcmp(there, mark->bytes, mark->count);
}

const struct image_format *image_format_find(int fd, uint64_t bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (has_mark(fd, bytes, &marks[i]))
			return &marks[i].format;
	return NULL;
}

/* In quotes as a shell wants them; the caller's to free. */
static char *quote_name(const char *file)
{
	char *quoted = malloc(4 * strlen(file) + 3), *to = quoted;

	if (!quoted)
		return NULL;
	*to++ = '\'';
	for (; *file; file++)
		if (*file == '\'')
			to = stpcpy(to, "'\\''");
		else
			*to++ = *file;
	strcpy(to, "'");
	return quoted;
}

static int explain_format(char **fault, const char *file, const struct image_format *format)
{
	char *quoted = quote_name(file);
	const char *name = quoted ? quoted : file;
	int length;

	if (format->qemu)
		length = asprintf(fault, "%s is an image in the format %s, and drives are raw: qemu-img convert -f %s -O raw "
				  "%s NEW.raw makes it one", file, format->name, format->qemu, name);
	else
		length = asprintf(fault, "%s is compressed by %s, and drives are raw: unpack it first: %s %s%s%s", file,
				  format->name, format->unpack, format->is_filter ? "<" : "", name,
				  format->is_filter ? " >NEW.raw" : "");
	free(quoted);
	return length;
}

static int explain_empty(char **fault, const char *file, unsigned int sector)
{
	if (sector == IMAGE_CD_SECTOR)
		return asprintf(fault, "%s is empty; a CD-ROM drive takes an ISO image, or a device with a disc in it", file);
	return asprintf(fault, "%s is empty; truncate -s 10G makes it a disk of 10 GiB", file);
}

bool image_is_good(int fd, const char *file, uint64_t bytes, unsigned int sector, char **fault)
{
	const struct image_format *format = image_format_find(fd, bytes);
	unsigned long long count = bytes;
	int length;

	*fault = NULL;
	if (format)
		length = explain_format(fault, file, format);
	else if (bytes / IMAGE_SECTOR > IMAGE_SECTORS_MOST)
		length = asprintf(fault, "%s has %llu bytes; a drive has room for numbers of 2^48 sectors, which are "
				  "128 PiB", file, count);
	else if (!bytes)
		length = explain_empty(fault, file, sector);
	else if (bytes % sector)
		length = asprintf(fault, "%s has %llu bytes; expected a raw image of whole sectors of %u bytes: truncate "
				  "-s %%%u adds what is missing", file, count, sector, sector);
	else
		return true;
	/* What asprintf leaves in it then is not said. */
	if (length < 0)
		*fault = NULL;
	return false;
}
