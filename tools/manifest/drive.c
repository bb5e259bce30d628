// SPDX-License-Identifier: GPL-2.0
/* Disks and the CD-ROM: what the manifest says of them, and their places on the two cables. */
#include "manifest/loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOT_MAX		(1ull << 60)
#define RATE_LEAST		1024ull		/* bytes a second, or at once */
#define RATE_MOST		(1ull << 40)
#define BURST_MOST		(1ull << 30)
#define OPERATIONS_MOST		10000000	/* a second, or at once */
#define NO_SLOT			(-1)

const char *const manifest_slots[MANIFEST_DRIVES] = {
	"primary-master", "primary-slave", "secondary-master", "secondary-slave",
	"virtio-0", "virtio-1", "virtio-2", "virtio-3", "virtio-4", "virtio-5", "virtio-6", "virtio-7",
	"virtio-8", "virtio-9", "virtio-10", "virtio-11", "virtio-12", "virtio-13", "virtio-14", "virtio-15",
};
const char *const manifest_buses[MANIFEST_BUSES] = { "ide", "virtio" };
const char *const manifest_modes[MANIFEST_MODES] = { "rw", "ro", "snapshot" };
const char *const manifest_caches[MANIFEST_CACHES] = { "writeback", "none" };
static const unsigned int bus_room[MANIFEST_BUSES] = { MANIFEST_IDE_DRIVES, MANIFEST_VIRTIO_DISKS };
static const char *const on_error_names[] = { "report", "stop" };

static struct drive_source *source(struct loader *l)
{
	return &l->sources[l->source_count];
}

static void parse_drive_file(struct loader *l, const char *path, json_t *value)
{
	const char *file = want_string(l, path, value, "the name of an image or block device");

	if (file && !source(l)->drive.file)
		source(l)->drive.file = file_resolve(l, file);
}

static void parse_drive_bus(struct loader *l, const char *path, json_t *value)
{
	source(l)->drive.bus = want_word(l, path, value, manifest_buses, MANIFEST_BUSES);
}

static void parse_drive_mode(struct loader *l, const char *path, json_t *value)
{
	source(l)->drive.mode = want_word(l, path, value, manifest_modes, MANIFEST_MODES);
}

static void parse_drive_slot(struct loader *l, const char *path, json_t *value)
{
	source(l)->slot = (int)want_word(l, path, value, manifest_slots, MANIFEST_IDE_DRIVES);
}

static void parse_drive_serial(struct loader *l, const char *path, json_t *value)
{
	const char *text = want_string(l, path, value, "a string");

	if (!text)
		return;
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~' || c - text >= (long)MANIFEST_SERIAL_MAX) {
			complain(l, path, "serial: expected at most %u printable ASCII characters", MANIFEST_SERIAL_MAX);
			return;
		}
	if (!*text)
		complain(l, path, "serial: expected at least one character");
	snprintf(source(l)->drive.serial, sizeof(source(l)->drive.serial), "%s", text);
}

static void parse_drive_on_error(struct loader *l, const char *path, json_t *value)
{
	source(l)->drive.stop_on_error = want_word(l, path, value, on_error_names, ARRAY_SIZE(on_error_names)) == 1;
}

static void parse_drive_cache(struct loader *l, const char *path, json_t *value)
{
	source(l)->drive.cache = want_word(l, path, value, manifest_caches, MANIFEST_CACHES);
}

static void parse_drive_discard(struct loader *l, const char *path, json_t *value)
{
	source(l)->drive.no_discard = !want_bool(l, path, value);
}

static void parse_drive_limit(struct loader *l, const char *path, json_t *value)
{
	want_size(l, path, value, MIB, SNAPSHOT_MAX, &source(l)->drive.snapshot_limit);
}

static void parse_rate_bytes(struct loader *l, const char *path, json_t *value)
{
	want_bytes(l, path, value, RATE_LEAST, RATE_MOST, &source(l)->drive.rate.bytes);
}

static void parse_rate_bytes_burst(struct loader *l, const char *path, json_t *value)
{
	want_bytes(l, path, value, RATE_LEAST, BURST_MOST, &source(l)->drive.rate.bytes_burst);
}

static void parse_rate_operations(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, OPERATIONS_MOST, &source(l)->drive.rate.operations);
}

static void parse_rate_operations_burst(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, OPERATIONS_MOST, &source(l)->drive.rate.operations_burst);
}

static const struct key rate_keys[] = {
	{ "bytes", false, parse_rate_bytes },
	{ "bytes_burst", false, parse_rate_bytes_burst },
	{ "operations", false, parse_rate_operations },
	{ "operations_burst", false, parse_rate_operations_burst },
};

/* As much as in a second comes at once, if nothing else is said, or 1 GiB. */
static void parse_drive_rate(struct loader *l, const char *path, json_t *value)
{
	struct manifest_disk_rate *rate = &source(l)->drive.rate;
	size_t before = complaints(l);

	if (!want_object(l, path, value, rate_keys, ARRAY_SIZE(rate_keys)) || complaints(l) != before)
		return;
	if ((rate->bytes_burst && !rate->bytes) || (rate->operations_burst && !rate->operations))
		complain(l, path, "%s: \"%s_burst\" needs \"%s\"", path + 1, rate->bytes ? "operations" : "bytes",
			 rate->bytes ? "operations" : "bytes");
	else if (!rate->bytes && !rate->operations)
		complain(l, path, "%s: expected \"bytes\" or \"operations\", a second", path + 1);
	if (!rate->bytes_burst)
		rate->bytes_burst = rate->bytes < BURST_MOST ? rate->bytes : BURST_MOST;
	if (!rate->operations_burst)
		rate->operations_burst = rate->operations;
}

static const struct key disk_keys[] = {
	{ "bus", false, parse_drive_bus },
	{ "cache", false, parse_drive_cache },
	{ "discard", false, parse_drive_discard },
	{ "file", true, parse_drive_file },
	{ "mode", false, parse_drive_mode },
	{ "on_error", false, parse_drive_on_error },
	{ "rate", false, parse_drive_rate },
	{ "serial", false, parse_drive_serial },
	{ "slot", false, parse_drive_slot },
	{ "snapshot_limit", false, parse_drive_limit },
};

static const struct key cdrom_keys[] = {
	{ "file", false, parse_drive_file },
	{ "slot", false, parse_drive_slot },
};

static bool has_room(const struct loader *l, enum manifest_bus bus)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < l->source_count; i++)
		count += l->sources[i].drive.bus == bus;
	return count < bus_room[bus];
}

/* False: there is no room for it, and nothing is noted of it. */
static bool parse_drive(struct loader *l, const char *path, json_t *value, enum manifest_drive_kind kind)
{
	struct drive_source *s = source(l);
	bool cdrom = kind == MANIFEST_DRIVE_CDROM;

	if (l->source_count == MANIFEST_DRIVES)
		return false;
	s->slot = NO_SLOT;
	snprintf(s->path, sizeof(s->path), "%s", path);
	s->drive.kind = kind;
	s->drive.mode = cdrom ? MANIFEST_RO : MANIFEST_RW;
	want_object(l, path, value, cdrom ? cdrom_keys : disk_keys, cdrom ? ARRAY_SIZE(cdrom_keys) : ARRAY_SIZE(disk_keys));
	if (s->drive.snapshot_limit && s->drive.mode != MANIFEST_SNAPSHOT)
		complain(l, path, "%s: \"snapshot_limit\" needs \"mode\": \"snapshot\"", path + 1);
	if (s->drive.cache == MANIFEST_CACHE_NONE && s->drive.mode == MANIFEST_SNAPSHOT)
		complain(l, path, "%s: \"cache\": \"none\" is not for \"mode\": \"snapshot\", of which nothing has to stay",
			 path + 1);
	if (s->drive.bus == MANIFEST_BUS_VIRTIO && s->slot != NO_SLOT)
		complain(l, path, "%s: \"slot\" is a place on IDE's cables, where a disk with \"bus\": \"virtio\" is not",
			 path + 1);
	if (!has_room(l, s->drive.bus)) {
		free(s->drive.file);
		s->drive.file = NULL;
		return false;
	}
	l->source_count++;
	return true;
}

void drive_parse_disks(struct loader *l, const char *path, json_t *value)
{
	char element[PATH_ROOM];
	json_t *item;
	size_t i;

	if (!json_is_array(value)) {
		complain(l, path, "disks: expected a list of objects, found %s", want_found(value));
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		if (!parse_drive(l, element, item, MANIFEST_DRIVE_DISK)) {
			complain(l, element, "disks: expected at most %u on IDE, and %u more with \"bus\": \"virtio\"",
				 MANIFEST_IDE_DRIVES, MANIFEST_VIRTIO_DISKS);
			return;
		}
	}
}

void drive_parse_cdrom(struct loader *l, const char *path, json_t *value)
{
	if (!parse_drive(l, path, value, MANIFEST_DRIVE_CDROM))
		complain(l, path, "too many drives: IDE has room for %u, the CD-ROM included", MANIFEST_IDE_DRIVES);
}

void drive_check(struct loader *l, struct drive_source *s)
{
	char path[PATH_ROOM + 8];
	struct stat st;
	int fd;

	if (!s->drive.file)
		return;
	snprintf(path, sizeof(path), "%s/file", s->path);
	fd = file_open(l, path, s->drive.file, s->drive.mode == MANIFEST_RW ? O_RDWR : O_RDONLY, &st, &s->drive.bytes);
	if (fd < 0)
		return;
	file_check_drive(l, path, &s->drive, fd);
	close(fd);
	s->device = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	s->inode = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	for (struct drive_source *t = l->sources; t < s; t++)
		if (t->drive.bytes && t->device == s->device && t->inode == s->inode &&
		    (t->drive.mode == MANIFEST_RW || s->drive.mode == MANIFEST_RW)) {
			complain(l, path, "the same image as %s, and one of them is written to", t->path + 1);
			return;
		}
}

static void place(struct loader *l, struct drive_source *s, unsigned int slot)
{
	s->slot = (int)slot;
	l->m->drives[slot] = s->drive;
	s->drive.file = NULL;	/* the manifest's now */
}

static void place_asked(struct loader *l)
{
	const char *owner[MANIFEST_IDE_DRIVES] = { NULL };
	char path[PATH_ROOM + 8];

	for (unsigned int i = 0; i < l->source_count; i++) {
		struct drive_source *s = &l->sources[i];

		if (s->slot == NO_SLOT || s->drive.bus != MANIFEST_BUS_IDE)
			continue;
		if (owner[s->slot]) {
			snprintf(path, sizeof(path), "%s/slot", s->path);
			complain(l, path, "slot: %s has \"%s\" already", owner[s->slot] + 1, manifest_slots[s->slot]);
			continue;
		}
		owner[s->slot] = s->path;
		place(l, s, (unsigned int)s->slot);
	}
}

static void place_rest(struct loader *l, enum manifest_drive_kind kind, const unsigned int *order)
{
	for (unsigned int i = 0; i < l->source_count; i++) {
		struct drive_source *s = &l->sources[i];

		if (s->drive.bus != MANIFEST_BUS_IDE || s->drive.kind != kind)
			continue;
		for (unsigned int j = 0; j < MANIFEST_IDE_DRIVES && s->slot == NO_SLOT; j++)
			if (!l->m->drives[order[j]].kind)
				place(l, s, order[j]);
	}
}

static void place_virtio(struct loader *l)
{
	unsigned int next = MANIFEST_IDE_DRIVES;

	for (unsigned int i = 0; i < l->source_count; i++)
		if (l->sources[i].drive.bus == MANIFEST_BUS_VIRTIO)
			place(l, &l->sources[i], next++);
}

/* Behind all others, so that these are called the same with it and without; and in the same place, however many there are. */
static void place_seed(struct loader *l)
{
	enum manifest_bus bus = l->m->cloud_init.bus;

	if (l->m->cloud_init.wanted)
		l->m->drives[bus == MANIFEST_BUS_IDE ? MANIFEST_SEED_IDE : MANIFEST_SEED_VIRTIO] = (struct manifest_drive){
			.kind = MANIFEST_DRIVE_DISK, .bus = bus, .mode = MANIFEST_RO, .serial = "cidata", .seed = true,
		};
}

/* A CD-ROM that asks for no place is secondary master if that is free, as on most boards; disks take what is left in order. */
void drive_place_all(struct loader *l)
{
	static const unsigned int disk_order[] = { 0, 1, 2, 3 }, cdrom_order[] = { 2, 3, 1, 0 };

	place_seed(l);
	place_asked(l);
	place_rest(l, MANIFEST_DRIVE_CDROM, cdrom_order);
	place_rest(l, MANIFEST_DRIVE_DISK, disk_order);
	place_virtio(l);
}
