// SPDX-License-Identifier: GPL-2.0
/* Reads and checks a manifest: syntax by jansson, keys by the tables here, files by a look at them. */
#include "manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keel/abi.h>
#include <keel/topology.h>
#include "manifest/image_format.h"
#include "manifest/position.h"
#include "manifest/syntax.h"
#include "common/text.h"

#define FIRMWARE_DEFAULT	"/usr/share/seabios/bios-256k.bin"
#define FIRMWARE_MIN		0x10000
#define FIRMWARE_MAX		0x100000
#define FIRMWARE_UNIT		0x1000
#define FILE_MAX		(1 << 20)
#define MIB			(1ull << 20)
#define MEMORY_MIN		(16 * MIB)
#define MEMORY_MAX		(1023ull << 30)	/* 1 TiB of addresses without the hole below 4 GiB */
#define SNAPSHOT_MAX		(1ull << 60)
#define WEIGHT_DEFAULT		100
#define WEIGHT_MAX		10000
#define SECTOR			512
#define CD_SECTOR		2048
#define SECTORS_MOST		(1ull << 48)	/* as ATA counts them */
#define LIST_ROOM		256
#define ONLINE_CPUS		"/sys/devices/system/cpu/online"
#define ONLINE_ROOM		4096
#define PATH_ROOM		256
#define NO_SLOT			(-1)

struct drive_source {
	struct manifest_drive drive;
	char path[PATH_ROOM];	/* in the manifest */
	int slot;		/* asked for, or NO_SLOT */
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
};

struct key {
	const char *name;
	bool required;
	void (*parse)(struct loader *l, const char *path, json_t *value);
};

const char *const manifest_slots[MANIFEST_DRIVES] = {
	"primary-master", "primary-slave", "secondary-master", "secondary-slave",
};
static const char *const mode_names[] = { "rw", "ro", "snapshot" };
static const char *const on_error_names[] = { "report", "stop" };
static const char *const boot_names[] = { "disk", "cdrom" };
static const char *const serial_names[] = { "pty", "socket", "file" };
static const char *const action_names[] = { "destroy", "restart", "preserve" };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Errors so far, told or not. */
static size_t errors(const struct loader *l)
{
	return l->report->count + l->report->more;
}

static bool is_full(const struct manifest_report *report)
{
	return report->count >= MANIFEST_ERRORS_MOST;
}

static void add_error(struct manifest_report *report, struct position at, const char *text)
{
	if (is_full(report))
		report->more++;
	else
		report->errors[report->count++] = (struct manifest_error){ at.line, at.column, text_show(text, strlen(text)) };
}

static void complain_at(struct loader *l, const char *path, bool key, const char *format, va_list args)
{
	char *text = NULL;

	if (is_full(l->report)) {
		l->report->more++;
		return;
	}
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	add_error(l->report, position_of(l->m->text, l->m->text_bytes, path, key), text ? text : "out of memory");
	free(text);
}

__attribute__((format(printf, 3, 4)))
static void complain(struct loader *l, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain_at(l, path, false, format, args);
	va_end(args);
}

__attribute__((format(printf, 3, 4)))
static void complain_key(struct loader *l, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	complain_at(l, path, true, format, args);
	va_end(args);
}

static const char *what(const json_t *value)
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

static const char *want_string(struct loader *l, const char *path, const json_t *value, const char *expected)
{
	if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
		return json_string_value(value);
	complain(l, path, "%s: expected %s, found %s", path + 1, expected, what(value));
	return NULL;
}

static bool want_integer(struct loader *l, const char *path, const json_t *value, long long min, long long max,
			 unsigned int *result)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value)) {
		complain(l, path, "%s: expected a whole number from %lld to %lld, found %s", path + 1, min, max,
			 what(value));
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

static bool want_bool(struct loader *l, const char *path, const json_t *value)
{
	if (!json_is_boolean(value))
		complain(l, path, "%s: expected true or false, found %s", path + 1, what(value));
	return json_is_true(value);
}

/* The index of a word in a list; the first where it is none of them. */
static unsigned int want_word(struct loader *l, const char *path, const json_t *value, const char *const *words,
			      unsigned int count)
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
		complain(l, path, "%s: expected %s, found %s", path + 1, list, what(value));
	return 0;
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

/* Words that are meant to come, of the manifest itself and of its drives. */
static bool is_planned(const char *path, const char *name)
{
	static const char *const root[] = {
		"allow", "cap", "clock", "cloud_init", "cpu", "graphics", "machine", "networks", "os", "secure_boot", "tpm", NULL,
	};
	static const char *const drive[] = { "bus", "cache", "discard", "format", "rate", NULL };
	bool is_drive = !strncmp(path, "/disks/", 7) || !strncmp(path, "/cdrom", 6);
	const char *const *word = path[0] ? drive : root;

	while (*word && strcmp(*word, name))
		word++;
	return *word && (is_drive || !path[0]);
}

static void unknown_key(struct loader *l, const char *path, const char *name, const struct key *keys, size_t count)
{
	char quoted[TEXT_QUOTED], *member = is_full(l->report) ? NULL : member_path(path, name);
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

static bool parse_object(struct loader *l, const char *path, json_t *object, const struct key *keys, size_t count)
{
	const char *name;
	json_t *value;
	char member[PATH_ROOM];

	if (!json_is_object(object)) {
		complain(l, path, "expected an object, found %s", what(object));
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

/* File names are relative to the manifest's folder. */
static char *resolve(const struct loader *l, const char *file)
{
	const char *slash = strrchr(l->m->path, '/');
	char *result;

	if (file[0] == '/' || !slash)
		return strdup(file);
	if (asprintf(&result, "%.*s/%s", (int)(slash - l->m->path), l->m->path, file) < 0)
		return NULL;
	return result;
}

static void parse_version(struct loader *l, const char *path, json_t *value)
{
	if (!json_is_integer(value) || json_integer_value(value) != MANIFEST_VERSION)
		complain(l, path, "version: expected %d, the only version of manifests that this program reads",
			 MANIFEST_VERSION);
}

static void parse_name(struct loader *l, const char *path, json_t *value)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *name = want_string(l, path, value, "a name");
	size_t length = name ? strlen(name) : 0;

	if (!name)
		return;
	if (!length || length > MANIFEST_NAME_MAX || strspn(name, letters) != length || strchr("._-", name[0]))
		complain(l, path, "name: expected 1 to %u letters, digits, '.', '_' or '-', the first a letter or digit",
			 MANIFEST_NAME_MAX);
	else if (!l->m->name)
		l->m->name = strdup(name);
}

/* Leaves *bytes as it is where an error is noted. */
static void want_size(struct loader *l, const char *path, const json_t *value, uint64_t least, uint64_t most, uint64_t *bytes)
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

static void parse_memory(struct loader *l, const char *path, json_t *value)
{
	want_size(l, path, value, MEMORY_MIN, MEMORY_MAX, &l->m->memory);
}

static void parse_vcpus(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &l->m->vcpus);
}

static void parse_sockets(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &l->sockets);
}

static void parse_cores(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &l->cores);
}

static void parse_threads(struct loader *l, const char *path, json_t *value)
{
	unsigned int threads;

	if (!want_integer(l, path, value, 1, KEEL_MAX_VCPUS, &threads))
		return;
	if (threads & (threads - 1))
		complain(l, path, "topology/threads: expected 1, 2, 4 or another power of two, found %u", threads);
	else
		l->threads = threads;
}

static const struct key topology_keys[] = {
	{ "sockets", false, parse_sockets },
	{ "cores", false, parse_cores },
	{ "threads", false, parse_threads },
};

static void parse_topology(struct loader *l, const char *path, json_t *value)
{
	size_t before = errors(l);

	parse_object(l, path, value, topology_keys, COUNT(topology_keys));
	l->topology_given = errors(l) == before;
}

/* Whether a list such as "0-3,8" has the number. */
static bool list_has(const char *list, unsigned int number)
{
	unsigned int first, last;
	int used;

	while (sscanf(list, "%u%n", &first, &used) == 1) {
		list += used;
		last = first;
		if (sscanf(list, "-%u%n", &last, &used) == 1)
			list += used;
		if (number >= first && number <= last)
			return true;
		list += *list == ',';
	}
	return false;
}

/* Where the host does not tell, all of its CPUs may be on line. */
static void read_online(char *list, size_t room)
{
	int fd = open(ONLINE_CPUS, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, list, room - 1);

	if (n > 0)
		list[n] = '\0';
	else
		snprintf(list, room, "0-%u", MANIFEST_CPUS);
	if (fd >= 0)
		close(fd);
}

static void parse_affinity(struct loader *l, const char *path, json_t *value)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	char element[PATH_ROOM], online[ONLINE_ROOM];
	json_t *item;
	unsigned int cpu;
	size_t i;

	read_online(online, sizeof(online));
	if (!json_is_array(value) || !json_array_size(value)) {
		complain(l, path, "cpu_affinity: expected a list of host CPU numbers such as [0, 1]");
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		if (!want_integer(l, element, item, 0, MANIFEST_CPUS - 1, &cpu))
			continue;
		if (l->m->cpu_affinity[cpu / 8] & (1u << cpu % 8))
			complain(l, element, "cpu_affinity: CPU %u is listed twice", cpu);
		l->m->cpu_affinity[cpu / 8] |= (uint8_t)(1u << cpu % 8);
		l->m->pinned = true;
		if ((long)cpu >= cpus)
			complain(l, element, "cpu_affinity: this host has no CPU %u; its CPUs are 0 to %ld", cpu, cpus - 1);
		else if (!list_has(online, cpu))
			complain(l, element, "cpu_affinity: CPU %u of this host is off line; those on line are %.*s", cpu,
				 (int)strcspn(online, "\n"), online);
	}
}

static void parse_weight(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, WEIGHT_MAX, &l->m->weight);
}

static void parse_firmware(struct loader *l, const char *path, json_t *value)
{
	const char *file = want_string(l, path, value, "a file name");

	if (file && !l->m->firmware)
		l->m->firmware = resolve(l, file);
}

static void parse_boot_menu(struct loader *l, const char *path, json_t *value)
{
	l->m->boot_menu = want_bool(l, path, value);
}

static void parse_require_dma_protection(struct loader *l, const char *path, json_t *value)
{
	l->m->require_dma_protection = want_bool(l, path, value);
}

static void parse_boot(struct loader *l, const char *path, json_t *value)
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
		size_t before = errors(l);

		snprintf(element, sizeof(element), "%s/%zu", path, i);
		boot = want_word(l, element, item, boot_names, COUNT(boot_names));
		if (errors(l) > before)
			continue;
		for (unsigned int j = 0; j < l->m->boots; j++)
			if (l->m->boot[j] == boot) {
				complain(l, element, "boot: \"%s\" is listed twice", boot_names[boot]);
				return;
			}
		l->m->boot[l->m->boots++] = boot;
	}
}

static struct drive_source *source(struct loader *l)
{
	return &l->sources[l->source_count];
}

static void parse_drive_file(struct loader *l, const char *path, json_t *value)
{
	const char *file = want_string(l, path, value, "the name of an image or block device");

	if (file && !source(l)->drive.file)
		source(l)->drive.file = resolve(l, file);
}

static void parse_drive_mode(struct loader *l, const char *path, json_t *value)
{
	source(l)->drive.mode = want_word(l, path, value, mode_names, COUNT(mode_names));
}

static void parse_drive_slot(struct loader *l, const char *path, json_t *value)
{
	source(l)->slot = (int)want_word(l, path, value, manifest_slots, MANIFEST_DRIVES);
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
	source(l)->drive.stop_on_error = want_word(l, path, value, on_error_names, COUNT(on_error_names)) == 1;
}

static void parse_drive_limit(struct loader *l, const char *path, json_t *value)
{
	want_size(l, path, value, MIB, SNAPSHOT_MAX, &source(l)->drive.snapshot_limit);
}

static const struct key disk_keys[] = {
	{ "file", true, parse_drive_file },
	{ "mode", false, parse_drive_mode },
	{ "on_error", false, parse_drive_on_error },
	{ "serial", false, parse_drive_serial },
	{ "slot", false, parse_drive_slot },
	{ "snapshot_limit", false, parse_drive_limit },
};

static const struct key cdrom_keys[] = {
	{ "file", false, parse_drive_file },
	{ "slot", false, parse_drive_slot },
};

static void parse_drive(struct loader *l, const char *path, json_t *value, enum manifest_drive_kind kind)
{
	struct drive_source *s = source(l);
	bool cdrom = kind == MANIFEST_DRIVE_CDROM;

	if (l->source_count == MANIFEST_DRIVES) {
		complain(l, path, "too many drives: there is room for %u, the CD-ROM included", MANIFEST_DRIVES);
		return;
	}
	s->slot = NO_SLOT;
	snprintf(s->path, sizeof(s->path), "%s", path);
	s->drive.kind = kind;
	s->drive.mode = cdrom ? MANIFEST_RO : MANIFEST_RW;
	parse_object(l, path, value, cdrom ? cdrom_keys : disk_keys, cdrom ? COUNT(cdrom_keys) : COUNT(disk_keys));
	if (s->drive.snapshot_limit && s->drive.mode != MANIFEST_SNAPSHOT)
		complain(l, path, "%s: \"snapshot_limit\" needs \"mode\": \"snapshot\"", path + 1);
	l->source_count++;
}

static void parse_disks(struct loader *l, const char *path, json_t *value)
{
	char element[PATH_ROOM];
	json_t *item;
	size_t i;

	if (!json_is_array(value)) {
		complain(l, path, "disks: expected a list of objects, found %s", what(value));
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		parse_drive(l, element, item, MANIFEST_DRIVE_DISK);
		if (l->source_count == MANIFEST_DRIVES && i + 1 < json_array_size(value)) {
			snprintf(element, sizeof(element), "%s/%zu", path, i + 1);
			complain(l, element, "disks: expected at most %u", MANIFEST_DRIVES);
			return;
		}
	}
}

static void parse_cdrom(struct loader *l, const char *path, json_t *value)
{
	parse_drive(l, path, value, MANIFEST_DRIVE_CDROM);
}

static void parse_serial_type(struct loader *l, const char *path, json_t *value)
{
	l->m->serial = want_word(l, path, value, serial_names, COUNT(serial_names));
}

static void parse_serial_path(struct loader *l, const char *path, json_t *value)
{
	const char *file = want_string(l, path, value, "a file name");

	l->serial_path_given = true;
	if (file && !*file)
		complain(l, path, "serial/path: expected a file name, found nothing");
	else if (file && !l->m->serial_path)
		l->m->serial_path = resolve(l, file);
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

static void parse_serial(struct loader *l, const char *path, json_t *value)
{
	size_t before = errors(l);

	if (!parse_object(l, path, value, serial_keys, COUNT(serial_keys)) || errors(l) > before)
		return;
	if (l->m->serial == MANIFEST_SERIAL_PTY && l->serial_path_given)
		complain(l, path, "serial: \"path\" does not go with \"pty\"; the pty is linked to as /run/keel/NAME/console");
	if (l->m->serial != MANIFEST_SERIAL_PTY && !l->serial_path_given)
		complain(l, path, "serial: \"%s\" needs a \"path\"", serial_names[l->m->serial]);
}

static void parse_on_poweroff(struct loader *l, const char *path, json_t *value)
{
	l->m->on_poweroff = want_word(l, path, value, action_names, COUNT(action_names));
}

static void parse_on_reboot(struct loader *l, const char *path, json_t *value)
{
	l->m->on_reboot = want_word(l, path, value, action_names, COUNT(action_names));
}

static void parse_on_crash(struct loader *l, const char *path, json_t *value)
{
	l->m->on_crash = want_word(l, path, value, action_names, COUNT(action_names));
}

static void parse_ignored(struct loader *l, const char *path, json_t *value)
{
	if (!json_is_string(value))
		complain(l, path, "%s: expected a string, found %s", path + 1, what(value));
}

static const struct key root_keys[] = {
	{ "$schema", false, parse_ignored },
	{ "version", true, parse_version },
	{ "description", false, parse_ignored },
	{ "name", true, parse_name },
	{ "memory", true, parse_memory },
	{ "vcpus", false, parse_vcpus },
	{ "topology", false, parse_topology },
	{ "cpu_affinity", false, parse_affinity },
	{ "weight", false, parse_weight },
	{ "firmware", false, parse_firmware },
	{ "boot", false, parse_boot },
	{ "boot_menu", false, parse_boot_menu },
	{ "require_dma_protection", false, parse_require_dma_protection },
	{ "disks", false, parse_disks },
	{ "cdrom", false, parse_cdrom },
	{ "serial", false, parse_serial },
	{ "on_poweroff", false, parse_on_poweroff },
	{ "on_reboot", false, parse_on_reboot },
	{ "on_crash", false, parse_on_crash },
};

static bool file_bytes(int fd, const struct stat *st, uint64_t *bytes)
{
	*bytes = (uint64_t)st->st_size;
	return !S_ISBLK(st->st_mode) || !ioctl(fd, BLKGETSIZE64, bytes);
}

/* Opens a file that the manifest names, to see what it is. Below 0: an error is noted at path. */
static int open_named(struct loader *l, const char *path, const char *file, int flags, struct stat *st, uint64_t *bytes)
{
	int fd = open(file, flags | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		complain(l, path, "cannot open %s for %s: %s", file, flags == O_RDWR ? "writing" : "reading",
			 strerror(errno));
		return -1;
	}
	if (fstat(fd, st) || !file_bytes(fd, st, bytes))
		complain(l, path, "cannot examine %s: %s", file, strerror(errno));
	else if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		complain(l, path, "%s is neither a regular file nor a block device", file);
	else
		return fd;
	close(fd);
	return -1;
}

/* What is not said of the topology follows from the rest, and so do the vCPUs. */
static void check_topology(struct loader *l)
{
	unsigned int sockets = l->sockets ? l->sockets : 1, threads = l->threads ? l->threads : 1, cores = l->cores;
	unsigned int vcpus = l->m->vcpus;

	if (!l->topology_given)
		return;
	if (!l->sockets && cores && vcpus > cores * threads)
		sockets = vcpus / (cores * threads);
	if (!cores && vcpus)
		cores = vcpus / (sockets * threads);
	if (!cores)
		cores = 1;
	if (!vcpus)
		vcpus = sockets * cores * threads;
	if (vcpus > KEEL_MAX_VCPUS)
		complain(l, "/topology", "topology: expected at most %u vCPUs; %u of \"sockets\", %u of \"cores\" and %u of "
			 "\"threads\" are %u", KEEL_MAX_VCPUS, sockets, cores, threads, vcpus);
	else if (sockets * cores * threads != vcpus)
		complain(l, "/topology", "topology: %u of \"sockets\", %u of \"cores\" and %u of \"threads\" are %u vCPUs, but "
			 "\"vcpus\" is %u", sockets, cores, threads, sockets * cores * threads, vcpus);
	l->m->vcpus = vcpus;
	l->m->topology = KEEL_TOPOLOGY(cores, threads);
}

/* The word for it, and no file that is called so. */
static bool is_uefi(const char *firmware)
{
	const char *slash = firmware ? strrchr(firmware, '/') : NULL;

	return firmware && !strcmp(slash ? slash + 1 : firmware, "uefi") && access(firmware, F_OK);
}

static void check_firmware(struct loader *l)
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
	fd = open_named(l, "/firmware", l->m->firmware, O_RDONLY, &st, &bytes);
	if (fd < 0)
		return;
	close(fd);
	if (bytes < FIRMWARE_MIN || bytes > FIRMWARE_MAX || bytes % FIRMWARE_UNIT)
		complain(l, "/firmware", "%s has %llu bytes; expected a firmware image of 64 KiB to 1 MiB in whole pages",
			 l->m->firmware, (unsigned long long)bytes);
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) || stat(b, &y))
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* What the manifest needs this file for, but for drives; NULL: for nothing. */
static const char *other_use(const struct loader *l, const char *file)
{
	return is_same_file(file, l->m->path) ? "this manifest" : is_same_file(file, l->m->firmware) ? "the firmware" : NULL;
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

static void refuse_format(struct loader *l, const char *path, const char *file, const struct image_format *format)
{
	char *quoted = quote_name(file);

	if (format->qemu)
		complain(l, path, "%s is an image in the format %s, and drives are raw: qemu-img convert -f %s -O raw %s NEW.raw "
			 "makes it one", file, format->name, format->qemu, quoted ? quoted : file);
	else
		complain(l, path, "%s is compressed by %s, and drives are raw: unpack it first: %s %s%s%s", file, format->name,
			 format->unpack, format->is_filter ? "<" : "", quoted ? quoted : file, format->is_filter ? " >NEW.raw" : "");
	free(quoted);
}

static void check_contents(struct loader *l, const char *path, const struct manifest_drive *drive, int fd)
{
	unsigned int unit = drive->kind == MANIFEST_DRIVE_CDROM ? CD_SECTOR : SECTOR;
	const struct image_format *format = image_format_find(fd, drive->bytes);
	const char *use = drive->mode == MANIFEST_RW ? other_use(l, drive->file) : NULL;
	int readonly = 0;

	if (format)
		refuse_format(l, path, drive->file, format);
	else if (drive->bytes / SECTOR > SECTORS_MOST)
		complain(l, path, "%s has %llu bytes; a drive has room for numbers of 2^48 sectors, which are 128 PiB", drive->file,
			 (unsigned long long)drive->bytes);
	else if (!drive->bytes)
		complain(l, path, "%s is empty; truncate -s 10G makes it a disk of 10 GiB", drive->file);
	else if (drive->bytes % unit)
		complain(l, path, "%s has %llu bytes; expected a raw image of whole sectors of %u bytes: truncate -s %%%u adds what "
			 "is missing", drive->file, (unsigned long long)drive->bytes, unit, unit);
	/* Opening it for writing succeeds; writes would fail. */
	if (drive->mode == MANIFEST_RW && !ioctl(fd, BLKROGET, &readonly) && readonly)
		complain(l, path, "%s is a read-only device; give it \"mode\": \"ro\" or \"snapshot\"", drive->file);
	if (use)
		complain(l, path, "%s is also %s, and the guest would write to it", drive->file, use);
}

static void check_drive(struct loader *l, struct drive_source *s)
{
	char path[PATH_ROOM + 8];
	struct stat st;
	int fd;

	if (!s->drive.file)
		return;
	snprintf(path, sizeof(path), "%s/file", s->path);
	fd = open_named(l, path, s->drive.file, s->drive.mode == MANIFEST_RW ? O_RDWR : O_RDONLY, &st, &s->drive.bytes);
	if (fd < 0)
		return;
	check_contents(l, path, &s->drive, fd);
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

/* What the guest says would be written into what it, or this program, needs. */
static void check_serial_file(struct loader *l)
{
	const char *file = l->m->serial_path, *use;

	if (l->m->serial != MANIFEST_SERIAL_FILE || !file)
		return;
	use = other_use(l, file);
	for (unsigned int i = 0; i < l->source_count && !use; i++)
		if (l->sources[i].drive.file && is_same_file(file, l->sources[i].drive.file))
			use = l->sources[i].path + 1;
	if (use)
		complain(l, "/serial/path", "serial/path: %s is also %s, and the guest's output would be written into it", file, use);
}

static void place(struct loader *l, struct drive_source *s, unsigned int slot)
{
	s->slot = (int)slot;
	l->m->drives[slot] = s->drive;
	s->drive.file = NULL;	/* the manifest's now */
}

static void place_asked(struct loader *l)
{
	const char *owner[MANIFEST_DRIVES] = { NULL };
	char path[PATH_ROOM + 8];

	for (unsigned int i = 0; i < l->source_count; i++) {
		struct drive_source *s = &l->sources[i];

		if (s->slot == NO_SLOT)
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

		for (unsigned int j = 0; j < MANIFEST_DRIVES && s->slot == NO_SLOT && s->drive.kind == kind; j++)
			if (!l->m->drives[order[j]].kind)
				place(l, s, order[j]);
	}
}

/* A CD-ROM that asks for no place is secondary master if that is free, as on most boards; disks take what is left in order. */
static void place_drives(struct loader *l)
{
	static const unsigned int disk_order[] = { 0, 1, 2, 3 }, cdrom_order[] = { 2, 3, 1, 0 };

	place_asked(l);
	place_rest(l, MANIFEST_DRIVE_CDROM, cdrom_order);
	place_rest(l, MANIFEST_DRIVE_DISK, disk_order);
}

static void check_boot(struct loader *l)
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

static int by_place(const void *a, const void *b)
{
	const struct manifest_error *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->column < y->column ? -1 : x->column > y->column;
}

static void check_text(struct loader *l, const char *text, size_t bytes)
{
	json_error_t error;
	json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
	struct position at;

	if (!root) {
		const char *told = syntax_explain(text, bytes, &error, &at);

		add_error(l->report, at, told);
		return;
	}
	if (parse_object(l, "", root, root_keys, COUNT(root_keys))) {
		check_topology(l);
		if (!l->m->vcpus)
			l->m->vcpus = 1;
		check_firmware(l);
		for (unsigned int i = 0; i < l->source_count; i++)
			check_drive(l, &l->sources[i]);
		check_serial_file(l);
		check_boot(l);
		place_drives(l);
	}
	json_decref(root);
}

/* NULL: *why tells. */
static char *read_text(int fd, size_t *bytes, const char **why)
{
	char *text = malloc(FILE_MAX + 1), *less;
	ssize_t n = 1;

	for (*bytes = 0; text && n && *bytes <= FILE_MAX; *bytes += n > 0 ? (size_t)n : 0) {
		n = read(fd, text + *bytes, FILE_MAX + 1 - *bytes);
		if (n < 0 && errno != EINTR)
			break;
	}
	if (text && n >= 0 && *bytes <= FILE_MAX) {
		less = realloc(text, *bytes + 1);
		return less ? less : text;
	}
	*why = !text || n < 0 ? strerror(errno) : "this is larger than 1 MiB, which no manifest is";
	free(text);
	return NULL;
}

/* The place of errors that were not told is behind those that were. */
static void finish_report(struct manifest_report *report)
{
	char text[LIST_ROOM];

	if (report->count)
		qsort(report->errors, report->count, sizeof(*report->errors), by_place);
	if (!report->more)
		return;
	snprintf(text, sizeof(text), "%zu more errors are not shown; mend these first", report->more);
	report->errors[report->count++] = (struct manifest_error){ 0, 0, strdup(text) };
}

static bool load(int fd, const char *why, struct manifest *m, struct manifest_report *report)
{
	struct loader l = { .m = m, .report = report };

	*report = (struct manifest_report){ 0 };
	if (fd >= 0 && m->path)
		m->text = read_text(fd, &m->text_bytes, &why);
	if (m->text)
		check_text(&l, m->text, m->text_bytes);
	else
		add_error(report, (struct position){ 0, 0 }, why);
	for (unsigned int i = 0; i < l.source_count; i++)
		free(l.sources[i].drive.file);
	finish_report(report);
	return !report->count;
}

static void set_defaults(struct manifest *m, char *path)
{
	*m = (struct manifest){ .path = path, .weight = WEIGHT_DEFAULT, .on_reboot = MANIFEST_RESTART };
}

bool manifest_load_from(int fd, const char *path, struct manifest *m, struct manifest_report *report)
{
	set_defaults(m, strdup(path));
	return load(fd, strerror(ENOMEM), m, report);
}

/* Pipes have no name that could be opened once more. */
static char *absolute(const char *path, int fd)
{
	char *folder, *result = NULL;
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && strcmp(path, "-"))
		return realpath(path, NULL);
	folder = realpath(".", NULL);
	if (folder && asprintf(&result, "%s/-", strcmp(folder, "/") ? folder : "") < 0)
		result = NULL;
	free(folder);
	return result;
}

bool manifest_load(const char *path, struct manifest *m, struct manifest_report *report)
{
	int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
	char *name = fd < 0 ? NULL : absolute(path, fd);
	const char *why = strerror(errno);
	bool good;

	set_defaults(m, name);
	good = load(fd, why, m, report);
	if (fd > STDIN_FILENO)
		close(fd);
	return good;
}

void manifest_free(struct manifest *m)
{
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		free(m->drives[i].file);
	free(m->serial_path);
	free(m->firmware);
	free(m->name);
	free(m->text);
	free(m->path);
	*m = (struct manifest){ 0 };
}

void manifest_report_free(struct manifest_report *report)
{
	for (size_t i = 0; i < report->count; i++)
		free(report->errors[i].text);
	*report = (struct manifest_report){ 0 };
}
