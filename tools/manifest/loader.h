/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of the manifest's reader share. A path is a JSON pointer, as in position.h. Functions that read or check
 * something note what is wrong with it at its path, and go on: all errors of a manifest are found in one go.
 */
#ifndef KEEL_MANIFEST_LOADER_H
#define KEEL_MANIFEST_LOADER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <keel/macros.h>

#include "manifest/manifest.h"
#include "manifest/position.h"

#define MIB			(1ull << 20)
#define PATH_ROOM		256
#define READ_FILES		(MANIFEST_SSH_KEYS + 2u)	/* of cloud_init: with user_data and network_config */

struct stat;

struct drive_source {
	struct manifest_drive drive;
	char path[PATH_ROOM];	/* in the manifest */
	int slot;		/* asked for, or below 0 */
	dev_t device;
	ino_t inode;
};

struct loader {
	struct manifest *m;
	struct manifest_report *report;
	struct drive_source sources[MANIFEST_DRIVES];	/* disks in their order, then the CD-ROM */
	unsigned int source_count;
	bool serial_path_given;
	bool topology_given;
	unsigned int sockets, cores, threads;	/* 0: not given, or wrong */
	/* Of the network at hand. */
	unsigned int network_kinds;
	bool mac_given, forward_given;
	char *read_file[READ_FILES];	/* that cloud_init was read from */
	unsigned int read_files;
};

struct key {
	const char *name;
	bool required;
	void (*parse)(struct loader *l, const char *path, json_t *value);
};

/* complain.c: an error at the value at path, or at its key. */
__attribute__((format(printf, 3, 4)))
void complain(struct loader *l, const char *path, const char *format, ...);
__attribute__((format(printf, 3, 4)))
void complain_key(struct loader *l, const char *path, const char *format, ...);
/* Of a text that was not understood, or not read. */
void complain_report(struct manifest_report *report, struct position at, const char *text);
/* Errors so far, told or not. */
size_t complaints(const struct loader *l);
/* No more are told. */
bool complain_is_full(const struct manifest_report *report);
void complain_finish(struct manifest_report *report);

/* want.c: values. NULL, false, the first word: an error is noted. */
const char *want_found(const json_t *value);
const char *want_string(struct loader *l, const char *path, const json_t *value, const char *expected);
bool want_integer(struct loader *l, const char *path, const json_t *value, long long min, long long max, unsigned int *result);
bool want_bool(struct loader *l, const char *path, const json_t *value);
/* Returns the word's index. */
unsigned int want_word(struct loader *l, const char *path, const json_t *value, const char *const *words, unsigned int count);
/* Leaves *bytes as it is where an error is noted. */
void want_size(struct loader *l, const char *path, const json_t *value, uint64_t least, uint64_t most, uint64_t *bytes);
/* The same of a number of bytes in K, M or G. */
void want_bytes(struct loader *l, const char *path, const json_t *value, uint64_t least, uint64_t most, uint64_t *bytes);
/* Has each member parsed by its key. False: this is no object. */
bool want_object(struct loader *l, const char *path, json_t *object, const struct key *keys, size_t count);

/* processor.c */
void processor_parse_vcpus(struct loader *l, const char *path, json_t *value);
void processor_parse_topology(struct loader *l, const char *path, json_t *value);
void processor_parse_affinity(struct loader *l, const char *path, json_t *value);
void processor_parse_weight(struct loader *l, const char *path, json_t *value);
void processor_check(struct loader *l);

/* drive.c; places are given after all else is checked. */
void drive_parse_disks(struct loader *l, const char *path, json_t *value);
void drive_parse_cdrom(struct loader *l, const char *path, json_t *value);
void drive_check(struct loader *l, struct drive_source *s);
void drive_place_all(struct loader *l);

/* cloud_init.c; what takes other keys, whatever their order, is checked at the end. */
void cloud_init_parse(struct loader *l, const char *path, json_t *value);
void cloud_init_check(struct loader *l);

/* network.c; what is made of the guest's name is made at the end. */
void network_parse(struct loader *l, const char *path, json_t *value);
void network_check(struct loader *l);

/* boot.c */
void boot_parse(struct loader *l, const char *path, json_t *value);
void boot_check(struct loader *l);

/* serial.c */
void serial_parse(struct loader *l, const char *path, json_t *value);
void serial_check(struct loader *l);

/* file.c: the name as seen from here, the caller's to free. */
char *file_resolve(const struct loader *l, const char *file);
/* Opens a file that the manifest names, to see what it is. Below 0: an error is noted at path. */
int file_open(struct loader *l, const char *path, const char *file, int flags, struct stat *st, uint64_t *bytes);
/* All of an open file, with a zero behind it; the caller's to free. NULL: *why tells, or is NULL: it has more than most bytes. */
char *file_read(int fd, size_t most, size_t *bytes, const char **why);
bool file_is_same(const char *a, const char *b);
/* What the manifest needs this file for, but for drives; NULL: for nothing. */
const char *file_other_use(const struct loader *l, const char *file);
void file_check_firmware(struct loader *l);
/* Whether the open file can be this drive. */
void file_check_drive(struct loader *l, const char *path, const struct manifest_drive *drive, int fd);

#endif
