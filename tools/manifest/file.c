// SPDX-License-Identifier: GPL-2.0
/* Files that a manifest names: what this host has under these names. */
#include "manifest/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "manifest/image_format.h"
#include "shared/pc_map.h"

#define FIRMWARE_DEFAULT	"/usr/share/seabios/bios-256k.bin"
#define FIRMWARE_UNIT		4096
#define KIB			1024

/* File names are relative to the manifest's folder. */
char *file_resolve(const struct loader *l, const char *file)
{
	const char *slash = strrchr(l->m->path, '/');
	char *result;

	if (file[0] == '/' || !slash)
		return strdup(file);
	if (asprintf(&result, "%.*s/%s", (int)(slash - l->m->path), l->m->path, file) < 0)
		return NULL;
	return result;
}

static bool file_bytes(int fd, const struct stat *st, uint64_t *bytes)
{
	*bytes = (uint64_t)st->st_size;
	return !S_ISBLK(st->st_mode) || !ioctl(fd, BLKGETSIZE64, bytes);
}

int file_open(struct loader *l, const char *path, const char *file, int flags, struct stat *st, uint64_t *bytes)
{
	int found = open(file, O_PATH | O_CLOEXEC), fd = -1;
	bool fit = found < 0 || fstat(found, st) || S_ISREG(st->st_mode) || S_ISBLK(st->st_mode);

	if (found >= 0 && fit)
		fd = fd_reopen(found, flags);
	if (!fit)
		complain(l, path, "%s is neither a regular file nor a block device", file);
	else if (fd < 0)
		complain(l, path, "cannot open %s for %s: %s", file, flags == O_RDWR ? "writing" : "reading", strerror(errno));
	if (found >= 0)
		close(found);
	if (fd < 0 || (!fstat(fd, st) && file_bytes(fd, st, bytes)))
		return fd;
	complain(l, path, "cannot examine %s: %s", file, strerror(errno));
	close(fd);
	return -1;
}

char *file_read(int fd, size_t most, size_t *bytes, const char **why)
{
	char *text = malloc(most + 1), *less;
	ssize_t n = 1;

	*why = NULL;
	for (*bytes = 0; text && n && *bytes <= most; *bytes += n > 0 ? (size_t)n : 0) {
		n = read(fd, text + *bytes, most + 1 - *bytes);
		if (n < 0 && errno != EINTR)
			break;
	}
	if (text && n >= 0 && *bytes <= most) {
		text[*bytes] = '\0';
		less = realloc(text, *bytes + 1);
		return less ? less : text;
	}
	if (!text || n < 0)
		*why = strerror(errno);
	free(text);
	return NULL;
}

bool file_is_same(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) || stat(b, &y))
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

const char *file_other_use(const struct loader *l, const char *file)
{
	for (unsigned int i = 0; i < l->read_files; i++)
		if (file_is_same(file, l->read_file[i]))
			return "a file of cloud_init";
	return file_is_same(file, l->m->path) ? "this manifest" : file_is_same(file, l->m->firmware) ? "the firmware" : NULL;
}

/* The word for it, and no file that is called so. */
static bool is_uefi(const char *firmware)
{
	const char *slash = firmware ? strrchr(firmware, '/') : NULL;

	return firmware && !strcmp(slash ? slash + 1 : firmware, "uefi") && access(firmware, F_OK);
}

void file_check_firmware(struct loader *l)
{
	struct stat st;
	uint64_t bytes;
	int fd;

	if (!l->m->firmware)
		l->m->firmware = strdup(FIRMWARE_DEFAULT);
	if (is_uefi(l->m->firmware)) {
		complain(l, "/firmware", "firmware: \"uefi\" is not there yet; without \"firmware\" it is Keel's own BIOS");
		return;
	}
	fd = file_open(l, "/firmware", l->m->firmware, O_RDONLY, &st, &bytes);
	if (fd < 0)
		return;
	close(fd);
	if (bytes < PC_FIRMWARE_LEAST || bytes > PC_FIRMWARE_MOST || bytes % FIRMWARE_UNIT)
		complain(l, "/firmware", "%s has %llu bytes; expected a firmware image of %d KiB to %llu MiB in whole pages",
			 l->m->firmware, (unsigned long long)bytes, PC_FIRMWARE_LEAST / KIB, PC_FIRMWARE_MOST / MIB);
}

void file_check_drive(struct loader *l, const char *path, const struct manifest_drive *drive, int fd)
{
	unsigned int unit = drive->kind == MANIFEST_DRIVE_CDROM ? IMAGE_CD_SECTOR : IMAGE_SECTOR;
	const char *use = drive->mode == MANIFEST_RW ? file_other_use(l, drive->file) : NULL;
	int readonly = 0;
	char *fault;

	if (!image_is_good(fd, drive->file, drive->bytes, unit, &fault))
		complain(l, path, "%s", fault ? fault : "out of memory");
	free(fault);
	/* Opening it for writing succeeds; writes would fail. */
	if (drive->mode == MANIFEST_RW && !ioctl(fd, BLKROGET, &readonly) && readonly)
		complain(l, path, "%s is a read-only device; give it \"mode\": \"ro\" or \"snapshot\"", drive->file);
	if (use)
		complain(l, path, "%s is also %s, and the guest would write to it", drive->file, use);
}
