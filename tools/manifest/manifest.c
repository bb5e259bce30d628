// SPDX-License-Identifier: GPL-2.0
/* Reads and checks a manifest: syntax by jansson, keys by the table here, what they stand for by the files beside this one. */
#include "manifest/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/text.h"
#include "manifest/loader.h"
#include "manifest/position.h"
#include "manifest/syntax.h"
#include "shared/pc_map.h"

#define FILE_MAX		(1 << 20)
#define MEMORY_MIN		(16 * MIB)
#define MEMORY_MAX		(1023ull << 30)	/* 1 TiB of addresses without the hole below 4 GiB */
#define WEIGHT_DEFAULT		100

const char *const manifest_machines[MANIFEST_MACHINES] = { [MANIFEST_MACHINE_PC_1] = PC_MACHINE };

static const char *const action_names[] = { "destroy", "restart", "preserve" };

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

static void parse_machine(struct loader *l, const char *path, json_t *value)
{
	const char *name = json_string_value(value);
	char quoted[TEXT_QUOTED];

	/* One that is not known is most likely of a later Keel. */
	if (name && strcmp(name, PC_MACHINE))
		complain(l, path, "machine: this version of Keel has no \"%s\", only \"" PC_MACHINE "\"; write that or leave "
			 "the key out, or install a version that has it", text_quote(quoted, name));
	else
		l->m->machine = want_word(l, path, value, manifest_machines, MANIFEST_MACHINES);
}

static void parse_memory(struct loader *l, const char *path, json_t *value)
{
	want_size(l, path, value, MEMORY_MIN, MEMORY_MAX, &l->m->memory);
}

static void parse_firmware(struct loader *l, const char *path, json_t *value)
{
	const char *file = want_string(l, path, value, "a file name");

	if (file && !l->m->firmware)
		l->m->firmware = file_resolve(l, file);
}

static void parse_boot_menu(struct loader *l, const char *path, json_t *value)
{
	l->m->boot_menu = want_bool(l, path, value);
}

static void parse_require_dma_protection(struct loader *l, const char *path, json_t *value)
{
	l->m->require_dma_protection = want_bool(l, path, value);
}

static void parse_rng(struct loader *l, const char *path, json_t *value)
{
	l->m->rng = want_bool(l, path, value);
}

static void parse_on_poweroff(struct loader *l, const char *path, json_t *value)
{
	l->m->on_poweroff = want_word(l, path, value, action_names, ARRAY_SIZE(action_names));
}

static void parse_on_reboot(struct loader *l, const char *path, json_t *value)
{
	l->m->on_reboot = want_word(l, path, value, action_names, ARRAY_SIZE(action_names));
}

static void parse_on_crash(struct loader *l, const char *path, json_t *value)
{
	l->m->on_crash = want_word(l, path, value, action_names, ARRAY_SIZE(action_names));
}

static void parse_ignored(struct loader *l, const char *path, json_t *value)
{
	if (!json_is_string(value))
		complain(l, path, "%s: expected a string, found %s", path + 1, want_found(value));
}

static const struct key root_keys[] = {
	{ "$schema", false, parse_ignored },
	{ "version", true, parse_version },
	{ "description", false, parse_ignored },
	{ "name", true, parse_name },
	{ "machine", false, parse_machine },
	{ "memory", true, parse_memory },
	{ "vcpus", false, processor_parse_vcpus },
	{ "topology", false, processor_parse_topology },
	{ "cpu_affinity", false, processor_parse_affinity },
	{ "weight", false, processor_parse_weight },
	{ "firmware", false, parse_firmware },
	{ "boot", false, boot_parse },
	{ "boot_menu", false, parse_boot_menu },
	{ "require_dma_protection", false, parse_require_dma_protection },
	{ "disks", false, drive_parse_disks },
	{ "cdrom", false, drive_parse_cdrom },
	{ "cloud_init", false, cloud_init_parse },
	{ "networks", false, network_parse },
	{ "rng", false, parse_rng },
	{ "serial", false, serial_parse },
	{ "on_poweroff", false, parse_on_poweroff },
	{ "on_reboot", false, parse_on_reboot },
	{ "on_crash", false, parse_on_crash },
};

static void check_text(struct loader *l, const char *text, size_t bytes)
{
	json_error_t error;
	json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
	struct position at;

	if (!root) {
		const char *told = syntax_explain(text, bytes, &error, &at);

		complain_report(l->report, at, told);
		return;
	}
	if (want_object(l, "", root, root_keys, ARRAY_SIZE(root_keys))) {
		processor_check(l);
		if (!l->m->vcpus)
			l->m->vcpus = 1;
		file_check_firmware(l);
		for (unsigned int i = 0; i < l->source_count; i++)
			drive_check(l, &l->sources[i]);
		serial_check(l);
		network_check(l);
		cloud_init_check(l);
		boot_check(l);
		drive_place_all(l);
	}
	json_decref(root);
}

static bool load(int fd, const char *why, struct manifest *m, struct manifest_report *report)
{
	struct loader l = { .m = m, .report = report };

	*report = (struct manifest_report){ 0 };
	if (fd >= 0 && m->path)
		m->text = file_read(fd, FILE_MAX, &m->text_bytes, &why);
	if (!why)
		why = "this is larger than 1 MiB, which no manifest is";
	if (m->text)
		check_text(&l, m->text, m->text_bytes);
	else
		complain_report(report, (struct position){ 0, 0 }, why);
	for (unsigned int i = 0; i < l.source_count; i++)
		free(l.sources[i].drive.file);
	for (unsigned int i = 0; i < l.read_files; i++)
		free(l.read_file[i]);
	complain_finish(report);
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

void manifest_free_cloud_init(struct manifest *m)
{
	struct manifest_cloud_init *c = &m->cloud_init;

	for (unsigned int i = 0; i < c->ssh_keys; i++)
		free(c->ssh_key[i]);
	free(c->hostname);
	free(c->user);
	free(c->user_data.bytes);
	free(c->network_config.bytes);
	*c = (struct manifest_cloud_init){ 0 };
}

void manifest_free(struct manifest *m)
{
	manifest_free_cloud_init(m);
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		free(m->drives[i].file);
	free(m->serial_path);
	free(m->firmware);
	free(m->name);
	free(m->text);
	free(m->path);
	*m = (struct manifest){ 0 };
}
