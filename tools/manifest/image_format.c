// SPDX-License-Identifier: GPL-2.0
/* Marks of disk images that are not raw. A guest could write one of them: no format is ever chosen by its mark, only refused. */
#include "manifest/image_format.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

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
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (has_mark(fd, bytes, &marks[i]))
			return &marks[i].format;
	return NULL;
}
