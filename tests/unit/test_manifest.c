// SPDX-License-Identifier: GPL-2.0
/*
 * Manifests: golden pairs in tests/unit/manifest, and the published schema in step with the parser.
 *
 * good/X.json is accepted by both. bad/X.json yields the errors of bad/X.txt ("@" is the folder of the files), and fails
 * the schema too, unless it is called X.semantic.json: the schema cannot see files, sums and other keys.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keel/macros.h>
#include <keel/topology.h>

#include "manifest/manifest.h"
#include "manifest/ssh_key.h"
#include "suite.h"
#include "manifest/syntax.h"
#include "common/text.h"

#define PAIRS			"tests/unit/manifest"
#define SCHEMA			"tools/manifest/manifest.schema.json"
#define BAD_LEAST		50
#define GOOD_LEAST		3
#define MIB			(1ull << 20)
#define USER_DATA		"#!/bin/sh\r\n\t\xff: \x1b"
/* Keys of ssh-keygen's; the first is a small one. */
#define RSA			RSA_KEY " rsa key"
#define RSA_KEY			"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQC3K5qfxZwC3bxQOCFwH8wIZb6tpnFzgR1tcHlfrXiiCokL1S" \
				"Vrj+7ZB7nJOEHLNj3mZU1HZzb1ICsggsifmFiR"
#define ED25519			"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggcGdwt"
#define ECDSA			"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIhzu+ZW7CTs" \
				"h+fN48zyZkbxQLLEjv0KpPdTgDhHRj9tMJ42ElAp576Iqvy3TQugtV/UNtxu+ayZmHBjYFbKom0="
#define LARGE_SECONDS		60	/* the sanitizers' heap is slow; with time that grows by the square it is an hour */

static char folder[] = "/tmp/keel-manifest-XXXXXX";

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 65536);

	if (!f || !text) {
		if (f)
			fclose(f);
		free(text);
		return NULL;
	}
	ck_assert_uint_lt(fread(text, 1, 65535, f), 65535);
	fclose(f);
	return text;
}

static void make_text(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/good/images/%s", folder, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void make_file(const char *name, off_t bytes)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/good/images/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, bytes), 0);
	close(fd);
}

/* Copies one folder's manifests to where the images are. */
static void copy_manifests(const char *kind)
{
	char from[PATH_MAX], to[PATH_MAX];
	DIR *dir;
	struct dirent *entry;

	snprintf(from, sizeof(from), PAIRS "/%s", kind);
	dir = opendir(from);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		char *text;
		FILE *f;

		if (!strstr(entry->d_name, ".json"))
			continue;
		snprintf(from, sizeof(from), PAIRS "/%s/%s", kind, entry->d_name);
		snprintf(to, sizeof(to), "%s/%s/%s", folder, kind, entry->d_name);
		text = slurp(from);
		f = fopen(to, "w");
		ck_assert_ptr_nonnull(f);
		fputs(text, f);
		fclose(f);
		free(text);
	}
	closedir(dir);
}

static void set_up(void)
{
	char path[PATH_MAX];

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	for (const char *const *sub = (const char *const []){ "good", "good/images", "bad", NULL }; *sub; sub++) {
		snprintf(path, sizeof(path), "%s/%s", folder, *sub);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	make_file("disk.img", 512 * 3);
	make_file("disk2.img", 512 * 5);
	make_file("odd.img", 513);
	make_file("empty.img", 0);
	make_file("cd.iso", 4096);
	make_file("firmware.bin", 65536);
	make_file("large.txt", MIB + 1);
	make_text("user-data", USER_DATA);
	make_text("network-config", "version: 2\n");
	make_text("keys.pub", "# mine\n\n" RSA " \r\n  " ECDSA);
	make_text("no-keys.pub", "\n# none\n");
	make_text("bad-keys.pub", RSA "\n\nssh-ed25519 no key\n");
	make_text("id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n");
	copy_manifests("good");
	copy_manifests("bad");
}

static void tear_down(void)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/* The part of JSON Schema that the published schema uses; an unknown keyword fails the test. */
static bool valid(const json_t *root, const json_t *schema, const json_t *value);

static const json_t *resolve(const json_t *root, const char *ref)
{
	const char *prefix = "#/$defs/";

	ck_assert_int_eq(strncmp(ref, prefix, strlen(prefix)), 0);
	return json_object_get(json_object_get(root, "$defs"), ref + strlen(prefix));
}

static bool has_type(const char *type, const json_t *value)
{
	return !strcmp(type, "object") ? json_is_object(value) : !strcmp(type, "array") ? json_is_array(value) :
	       !strcmp(type, "string") ? json_is_string(value) : !strcmp(type, "integer") ? json_is_integer(value) :
	       json_is_boolean(value);
}

static bool matches(const char *pattern, const char *text)
{
	regex_t regex;
	bool found;

	ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	found = !regexec(&regex, text, 0, NULL, 0);
	regfree(&regex);
	return found;
}

static bool valid_object(const json_t *root, const json_t *schema, const json_t *value)
{
	const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
	const char *key;
	json_t *member, *name;
	size_t i;

	json_object_foreach((json_t *)value, key, member) {
		const json_t *property = json_object_get(properties, key);

		if (property && !valid(root, property, member))
			return false;
		if (!property && json_is_false(json_object_get(schema, "additionalProperties")))
			return false;
	}
	json_array_foreach(required, i, name)
		if (!json_object_get(value, json_string_value(name)))
			return false;
	return true;
}

static bool valid_array(const json_t *root, const json_t *schema, const json_t *value)
{
	const json_t *items = json_object_get(schema, "items"), *least = json_object_get(schema, "minItems");
	const json_t *most = json_object_get(schema, "maxItems");
	size_t count = json_array_size(value);

	if ((least && count < (size_t)json_integer_value(least)) || (most && count > (size_t)json_integer_value(most)))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (items && !valid(root, items, json_array_get(value, i)))
			return false;
		for (size_t j = 0; j < i && json_is_true(json_object_get(schema, "uniqueItems")); j++)
			if (json_equal(json_array_get(value, i), json_array_get(value, j)))
				return false;
	}
	return true;
}

static bool valid_scalar(const json_t *schema, const json_t *value)
{
	const json_t *words = json_object_get(schema, "enum"), *same = json_object_get(schema, "const");
	const json_t *pattern = json_object_get(schema, "pattern"), *length = json_object_get(schema, "minLength");
	const json_t *least = json_object_get(schema, "minimum"), *most = json_object_get(schema, "maximum");
	bool found = !words;
	json_t *word;
	size_t i;

	json_array_foreach(words, i, word)
		found |= json_equal(word, value);
	return found && (!same || json_equal(same, value)) &&
	       (!pattern || !json_is_string(value) || matches(json_string_value(pattern), json_string_value(value))) &&
	       (!length || json_string_length(value) >= (size_t)json_integer_value(length)) &&
	       (!least || json_integer_value(value) >= json_integer_value(least)) &&
	       (!most || json_integer_value(value) <= json_integer_value(most));
}

static bool valid_once(const json_t *root, const json_t *schemas, const json_t *value)
{
	unsigned int count = 0;
	json_t *schema;
	size_t i;

	json_array_foreach(schemas, i, schema)
		count += valid(root, schema, value);
	return count == 1;
}

static bool valid(const json_t *root, const json_t *schema, const json_t *value)
{
	static const char known[] = " $schema title description default $defs type required additionalProperties properties "
		"const enum pattern minLength minimum maximum minItems maxItems uniqueItems items $ref if then else not oneOf ";
	const json_t *ref = json_object_get(schema, "$ref"), *type = json_object_get(schema, "type");
	const json_t *condition = json_object_get(schema, "if"), *not = json_object_get(schema, "not");
	const json_t *one = json_object_get(schema, "oneOf");
	const char *key;
	json_t *unused;
	char word[64];

	json_object_foreach((json_t *)schema, key, unused) {
		snprintf(word, sizeof(word), " %s ", key);
		ck_assert_msg(strstr(known, word) != NULL, "keyword %s of the schema is not known to this test", key);
	}
	if (ref && !valid(root, resolve(root, json_string_value(ref)), value))
		return false;
	if (type && !has_type(json_string_value(type), value))
		return false;
	if (condition && !valid(root, json_object_get(schema, valid(root, condition, value) ? "then" : "else"), value))
		return false;
	if (not && valid(root, not, value))
		return false;
	if (one && !valid_once(root, one, value))
		return false;
	return valid_scalar(schema, value) && (!json_is_object(value) || valid_object(root, schema, value)) &&
	       (!json_is_array(value) || valid_array(root, schema, value));
}

static bool passes_schema(const char *path)
{
	json_t *schema = json_load_file(SCHEMA, 0, NULL), *value = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
	bool result;

	ck_assert_ptr_nonnull(schema);
	result = value && valid(schema, schema, value);
	json_decref(schema);
	json_decref(value);
	return result;
}

/* Errors as text, the temporary folder replaced by "@". */
static void print_report(const struct manifest_report *report, char *text, size_t room)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < report->count; i++) {
		const struct manifest_error *e = &report->errors[i];
		const char *rest = e->text, *found;

		used += (size_t)snprintf(text + used, room - used, "%u:%u: ", e->line, e->column);
		for (; (found = strstr(rest, folder)); rest = found + strlen(folder))
			used += (size_t)snprintf(text + used, room - used, "%.*s@", (int)(found - rest), rest);
		used += (size_t)snprintf(text + used, room - used, "%s\n", rest);
		ck_assert_uint_lt(used, room);
	}
}

static void check_bad(const char *name)
{
	char path[PATH_MAX], text[16384];
	struct manifest_report report;
	struct manifest m;
	char *expected;

	snprintf(path, sizeof(path), PAIRS "/bad/%.*s.txt", (int)(strlen(name) - strlen(".json")), name);
	expected = slurp(path);
	ck_assert_msg(expected != NULL, "%s is missing", path);
	snprintf(path, sizeof(path), "%s/bad/%s", folder, name);
	ck_assert_msg(!manifest_load(path, &m, &report), "%s was accepted", name);
	ck_assert_uint_gt(report.count, 0);
	print_report(&report, text, sizeof(text));
	ck_assert_msg(!strcmp(text, expected), "%s: expected\n%sfound\n%s", name, expected, text);
	ck_assert_msg(passes_schema(path) == !!strstr(name, ".semantic."), "%s: the schema disagrees", name);
	manifest_report_free(&report);
	manifest_free(&m);
	free(expected);
}

static void check_good(const char *name)
{
	char path[PATH_MAX], text[16384];
	struct manifest_report report;
	struct manifest m;

	snprintf(path, sizeof(path), "%s/good/%s", folder, name);
	if (!manifest_load(path, &m, &report)) {
		print_report(&report, text, sizeof(text));
		ck_abort_msg("%s was refused:\n%s", name, text);
	}
	ck_assert_msg(passes_schema(path), "%s: the schema refuses it", name);
	manifest_report_free(&report);
	manifest_free(&m);
}

static unsigned int each(const char *kind, void (*check)(const char *name))
{
	char path[PATH_MAX];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", folder, kind);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".json")) {
			check(entry->d_name);
			count++;
		}
	closedir(dir);
	return count;
}

/* A mebibyte of copies of unit, one after the other. */
static char *mebibyte(const char *start, const char *unit, const char *end)
{
	char *text = malloc(MIB + 1), *to = text;
	size_t length = strlen(unit), room = MIB - strlen(end);

	ck_assert_ptr_nonnull(text);
	for (to += sprintf(to, "%s", start); (size_t)(to - text) + length < room; to += length)
		memcpy(to, unit, length);
	strcpy(to, end);
	return text;
}

START_TEST(bad_manifests)
{
	ck_assert_uint_ge(each("bad", check_bad), BAD_LEAST);
}
END_TEST

START_TEST(good_manifests)
{
	ck_assert_uint_ge(each("good", check_good), GOOD_LEAST);
}
END_TEST

START_TEST(values_arrive)
{
	char path[PATH_MAX], file[PATH_MAX];
	struct manifest_report report;
	struct manifest m;

	snprintf(path, sizeof(path), "%s/good/full.json", folder);
	ck_assert(manifest_load(path, &m, &report));
	ck_assert_str_eq(m.name, "Full-1.example_guest");
	ck_assert_str_eq(manifest_machines[m.machine], "pc-1");
	ck_assert_uint_eq(m.memory, 3072 * MIB);
	ck_assert_uint_eq(m.vcpus, 4);
	ck_assert_uint_eq(m.topology, KEEL_TOPOLOGY(1, 2));
	ck_assert_uint_eq(m.cpu_affinity[0], 1);
	ck_assert(m.pinned && m.boot_menu && m.serial_log && m.require_dma_protection && m.rng);
	ck_assert_uint_eq(m.weight, 400);
	ck_assert_uint_eq(m.boots, 2);
	ck_assert_int_eq(m.boot[0], MANIFEST_BOOT_CDROM);
	ck_assert_int_eq(m.serial, MANIFEST_SERIAL_SOCKET);
	ck_assert_str_eq(m.serial_path, "/tmp/serial");
	ck_assert_int_eq(m.on_crash, MANIFEST_PRESERVE);
	snprintf(file, sizeof(file), "%s/good/images/disk.img", folder);
	ck_assert_int_eq(m.drives[1].kind, MANIFEST_DRIVE_DISK);
	ck_assert_int_eq(m.drives[1].mode, MANIFEST_SNAPSHOT);
	ck_assert_str_eq(m.drives[1].file, file);
	ck_assert_str_eq(m.drives[1].serial, "DISK 1");
	ck_assert_uint_eq(m.drives[0].bytes, 512 * 5);
	ck_assert_int_eq(m.drives[2].kind, MANIFEST_DRIVE_CDROM);
	ck_assert_uint_eq(m.drives[2].bytes, 4096);
	ck_assert_int_eq(m.drives[3].kind, MANIFEST_DRIVE_NONE);
	manifest_report_free(&report);
	manifest_free(&m);
}
END_TEST

/* An address that is not given is the same each time, another one for each card and each guest, and nobody else's. */
START_TEST(networks)
{
	char path[PATH_MAX];
	struct manifest_report report;
	struct manifest m;
	uint8_t first[6];

	snprintf(path, sizeof(path), "%s/good/networks.json", folder);
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert(manifest_load(path, &m, &report));
		ck_assert_uint_eq(m.networks, 3);
		ck_assert_int_eq(m.network[0].kind, MANIFEST_NETWORK_BRIDGE);
		ck_assert_str_eq(m.network[0].name, "br0");
		ck_assert_uint_eq(m.network[0].mac[0] & 3, 2);
		ck_assert_mem_ne(m.network[0].mac, m.network[2].mac, 6);
		if (i)
			ck_assert_mem_eq(m.network[0].mac, first, 6);
		memcpy(first, m.network[0].mac, 6);
		ck_assert_mem_eq(m.network[1].mac, ((uint8_t[]){ 2, 0, 0, 0, 0, 10 }), 6);
		ck_assert_uint_eq(m.network[1].mtu, 9000);
		ck_assert_uint_eq(m.network[0].rate.receive, 10 << 20);
		ck_assert_uint_eq(m.network[0].rate.transmit, 10 << 20);
		ck_assert_uint_eq(m.network[0].rate.burst, 0);
		ck_assert_uint_eq(m.network[0].vlan, 4094);
		ck_assert_uint_eq(m.network[1].vlan, 0);
		ck_assert_uint_eq(m.network[1].rate.receive, 1 << 30);
		ck_assert_uint_eq(m.network[1].rate.transmit, 512 << 10);
		ck_assert_uint_eq(m.network[1].rate.burst, 64 << 10);
		ck_assert_uint_eq(m.network[2].rate.receive | m.network[2].rate.transmit, 0);
		ck_assert_int_eq(m.network[2].kind, MANIFEST_NETWORK_USER);
		ck_assert_uint_eq(m.network[2].forwards, 2);
		ck_assert_uint_eq(m.network[2].forward[0].guest, 80);
		ck_assert_str_eq(m.network[2].forward[0].address, "127.0.0.1");
		ck_assert(m.network[2].forward[1].udp && m.network[2].forward[1].guest == 53);
		manifest_report_free(&report);
		manifest_free(&m);
	}
	/* Known for good: a guest's system remembers it. */
	ck_assert_mem_eq(first, ((uint8_t[]){ 0x32, 0xe4, 0x01, 0xf2, 0xf7, 0x6e }), 6);
}
END_TEST

START_TEST(topologies)
{
	static const struct {
		const char *name;
		unsigned int vcpus, cores, threads;
	} good[] = {
		{ "alone", 12, 3, 2 }, { "rest", 6, 3, 2 }, { "sockets", 8, 2, 2 }, { "empty", 3, 3, 1 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++) {
		struct manifest_report report;
		char path[PATH_MAX];
		struct manifest m;

		snprintf(path, sizeof(path), "%s/good/topology-%s.json", folder, good[i].name);
		ck_assert(manifest_load(path, &m, &report));
		ck_assert_uint_eq(m.vcpus, good[i].vcpus);
		ck_assert_uint_eq(m.topology, KEEL_TOPOLOGY(good[i].cores, good[i].threads));
		ck_assert_uint_ne(keel_topology(m.topology, m.vcpus).sockets, 0);
		manifest_report_free(&report);
		manifest_free(&m);
	}
}
END_TEST

/* They have places of their own, in their order, beside IDE's. */
START_TEST(virtio_disks)
{
	struct manifest_report report;
	struct manifest m;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/good/virtio.json", folder);
	ck_assert(manifest_load(path, &m, &report));
	ck_assert_int_eq(m.drives[0].kind, MANIFEST_DRIVE_DISK);
	ck_assert_int_eq(m.drives[0].bus, MANIFEST_BUS_IDE);
	ck_assert_int_eq(m.drives[0].mode, MANIFEST_SNAPSHOT);
	ck_assert_int_eq(m.drives[1].kind, MANIFEST_DRIVE_NONE);
	ck_assert_int_eq(m.drives[2].kind, MANIFEST_DRIVE_CDROM);
	for (unsigned int i = MANIFEST_IDE_DRIVES; i < MANIFEST_DRIVES; i++) {
		ck_assert_int_eq(m.drives[i].kind, MANIFEST_DRIVE_DISK);
		ck_assert_int_eq(m.drives[i].bus, MANIFEST_BUS_VIRTIO);
		ck_assert_int_eq(m.drives[i].mode, i == MANIFEST_IDE_DRIVES ? MANIFEST_RW : MANIFEST_RO);
	}
	ck_assert_str_eq(m.drives[MANIFEST_IDE_DRIVES].serial, "FIRST");
	ck_assert_str_eq(manifest_slots[MANIFEST_DRIVES - 1], "virtio-15");
	ck_assert_uint_eq(m.drives[MANIFEST_IDE_DRIVES].rate.bytes, 50 << 20);
	ck_assert_uint_eq(m.drives[MANIFEST_IDE_DRIVES].rate.bytes_burst, 50 << 20);
	ck_assert_uint_eq(m.drives[MANIFEST_IDE_DRIVES].rate.operations, 0);
	ck_assert(m.drives[MANIFEST_IDE_DRIVES].no_discard && !m.drives[MANIFEST_IDE_DRIVES + 1].no_discard);
	ck_assert_uint_eq(m.drives[0].rate.bytes_burst, 512 << 10);
	ck_assert_uint_eq(m.drives[0].rate.operations, 1000);
	ck_assert_uint_eq(m.drives[0].rate.operations_burst, 5000);
	ck_assert_uint_eq(m.drives[MANIFEST_IDE_DRIVES + 1].rate.bytes, 0);
	manifest_report_free(&report);
	manifest_free(&m);
}
END_TEST

/* Texts arrive as they are; the disk has the last place, and nothing can be started from it. */
START_TEST(cloud_init)
{
	struct manifest_report report;
	struct manifest m;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/good/cloud-init.json", folder);
	ck_assert(manifest_load(path, &m, &report));
	ck_assert(m.cloud_init.wanted && m.cloud_init.bus == MANIFEST_BUS_VIRTIO);
	ck_assert_str_eq(m.cloud_init.hostname, "web.example.org");
	ck_assert_str_eq(m.cloud_init.user, "anna");
	ck_assert_uint_eq(m.cloud_init.ssh_keys, 3);
	ck_assert_str_eq(m.cloud_init.ssh_key[0], ED25519 " it's \"a\": {b} # \xc3\xa4");
	ck_assert_str_eq(m.cloud_init.ssh_key[1], RSA);
	ck_assert_str_eq(m.cloud_init.ssh_key[2], ECDSA);
	ck_assert_uint_eq(m.cloud_init.user_data.count, strlen(USER_DATA));
	ck_assert_mem_eq(m.cloud_init.user_data.bytes, USER_DATA, strlen(USER_DATA));
	ck_assert_uint_eq(m.cloud_init.network_config.count, strlen("version: 2\n"));
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		ck_assert(m.drives[i].seed == (i == MANIFEST_SEED_VIRTIO));
	ck_assert_int_eq(m.drives[MANIFEST_SEED_VIRTIO].mode, MANIFEST_RO);
	ck_assert_int_eq(m.drives[MANIFEST_SEED_VIRTIO].bus, MANIFEST_BUS_VIRTIO);
	ck_assert_ptr_null(m.drives[MANIFEST_SEED_VIRTIO].file);
	ck_assert_uint_eq(m.boots, 1);
	manifest_free_cloud_init(&m);
	ck_assert(!m.cloud_init.wanted && !m.cloud_init.user_data.bytes);
	manifest_report_free(&report);
	manifest_free(&m);

	snprintf(path, sizeof(path), "%s/good/cloud-init-ide.json", folder);
	ck_assert(manifest_load(path, &m, &report));
	ck_assert_str_eq(m.cloud_init.hostname, "web-1");
	ck_assert(!m.cloud_init.user && !m.cloud_init.ssh_keys && !m.cloud_init.user_data.bytes);
	ck_assert(m.drives[MANIFEST_SEED_IDE].seed && !m.drives[MANIFEST_SEED_VIRTIO].seed);
	ck_assert_int_eq(m.drives[MANIFEST_SEED_IDE].bus, MANIFEST_BUS_IDE);
	ck_assert_int_eq(m.drives[2].kind, MANIFEST_DRIVE_CDROM);
	manifest_report_free(&report);
	manifest_free(&m);
}
END_TEST

START_TEST(ssh_keys)
{
	static const struct {
		const char *line, *says;
	} lines[] = {
		{ RSA, NULL }, { ED25519, NULL }, { ECDSA " ", NULL }, { ED25519 "  \"name", NULL },
		{ "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAAAAAAARzc2g6 key", NULL },
		{ "restrict,command=\"echo \\\"a b\\\"\" " ED25519, NULL },
		{ "", "no public key" }, { "a", "no public key" }, { "a b c d", "no public key" },
		{ "ssh-ed25519", "not whole" }, { "ssh-ed25519 ", "not whole" }, { "ssh-ed25519 AAAA", "not whole" },
		{ "ssh-ed25519 ====", "not whole" }, { "ssh-ed25519 AAA", "not whole" },
		{ "ssh-ed25519 \xff\xff\xff\xff", "not whole" },
		{ "ssh-ed25519 //////////8=", "not whole" }, { "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "not whole" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggcGdwtAAAA", "not whole" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggc", "not whole" },
		{ "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggcGdwt", "not whole" },
		{ "ssh-ed25519-cert-v01@openssh.com AAAA", "certificate" },
		{ ED25519 "\ta", "not fit to be shown" },
		{ ED25519 " a\nb", "not fit to be shown" }, { ED25519 " \xc2\x85", "not fit to be shown" },
		{ ED25519 " \xff", "not fit to be shown" }, { ED25519 " \xef\xbf\xbe", "not fit to be shown" },
		{ ED25519 " \xe2\x80\xa8", "not fit to be shown" },
		{ "-----BEGIN RSA PRIVATE KEY-----", "private" }, { "PuTTY-User-Key-File-3: ssh-ed25519", "private" },
		{ "---- BEGIN SSH2 PUBLIC KEY ----", "ssh-keygen -i" },
	};
	char *line = mebibyte(ED25519 " ", "x", "");

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const char *fault = ssh_key_fault(lines[i].line, strlen(lines[i].line));

		ck_assert_msg(!fault == !lines[i].says && (!fault || strstr(fault, lines[i].says)), "%s: %s", lines[i].line,
			      fault ? fault : "good");
	}
	/* A zero, and what is behind it, is part of the line. */
	ck_assert_ptr_nonnull(ssh_key_fault(ED25519 " a\0b", strlen(ED25519) + 4));
	ck_assert_ptr_null(ssh_key_fault(line, 16384));
	ck_assert_ptr_nonnull(ssh_key_fault(line, 16385));
	free(line);
}
END_TEST

START_TEST(defaults)
{
	char path[PATH_MAX];
	struct manifest_report report;
	struct manifest m;

	snprintf(path, sizeof(path), "%s/good/shared-readonly.json", folder);
	ck_assert(manifest_load(path, &m, &report));
	ck_assert_str_eq(manifest_machines[m.machine], "pc-1");
	ck_assert_uint_eq(m.vcpus, 1);
	ck_assert_uint_eq(m.topology, 0);
	ck_assert_uint_eq(m.weight, 100);
	ck_assert(!m.pinned && !m.boot_menu && !m.serial_log && !m.require_dma_protection && !m.rng && !m.cloud_init.wanted);
	ck_assert_int_eq(m.boot[0], MANIFEST_BOOT_DISK);
	ck_assert_int_eq(m.boot[1], MANIFEST_BOOT_CDROM);
	ck_assert_int_eq(m.serial, MANIFEST_SERIAL_PTY);
	ck_assert_int_eq(m.on_poweroff, MANIFEST_DESTROY);
	ck_assert_int_eq(m.on_reboot, MANIFEST_RESTART);
	ck_assert_int_eq(m.on_crash, MANIFEST_DESTROY);
	/* The CD-ROM keeps the secondary master's place; the third disk goes beside it. */
	ck_assert_int_eq(m.drives[2].kind, MANIFEST_DRIVE_CDROM);
	ck_assert_ptr_null(m.drives[2].file);
	ck_assert_int_eq(m.drives[3].kind, MANIFEST_DRIVE_DISK);
	manifest_report_free(&report);
	manifest_free(&m);
}
END_TEST

START_TEST(missing_file)
{
	struct manifest_report report;
	struct manifest m;

	ck_assert(!manifest_load("/nonexistent/manifest.json", &m, &report));
	ck_assert_uint_eq(report.count, 1);
	ck_assert_uint_eq(report.errors[0].line, 0);
	manifest_report_free(&report);
	manifest_free(&m);
}
END_TEST

/* In an image that has nothing else. */
static void put_mark(off_t offset, const char *bytes, size_t count)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/good/images/x.img", folder);
	fd = open(path, O_RDWR | O_TRUNC);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert_int_eq(pwrite(fd, bytes, count, offset), (ssize_t)count);
	close(fd);
}

/* A manifest with this drive is refused with what it says, or good where that is "". */
static void check_image(const char *drive, const char *says)
{
	char path[PATH_MAX], text[4096];
	struct manifest_report report;
	struct manifest m;
	FILE *f;

	snprintf(path, sizeof(path), "%s/bad/x.json", folder);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "{ \"version\": 1, \"name\": \"x\", \"memory\": \"64M\", "
		"\"firmware\": \"../good/images/firmware.bin\", %s }", drive);
	fclose(f);
	ck_assert_uint_eq(manifest_load(path, &m, &report), !says[0]);
	print_report(&report, text, sizeof(text));
	ck_assert_msg(strstr(text, says) != NULL, "%s", text);
	manifest_report_free(&report);
	manifest_free(&m);
}

/* Marks as the formats' own documents have them; the size is that of whole sectors. */
START_TEST(other_formats)
{
	static const struct {
		const char *says;
		off_t offset;
		const char *bytes;
		size_t count;
	} images[] = {
		{ "format qcow2, and drives are raw: qemu-img convert -f qcow2 -O raw '@/bad/../good/images/x.img' NEW.raw", 0,
		  "QFI\xfb\0\0\0\3", 8 },
		{ "-f qcow2 ", 0, "QFI\xfb\0\0\0\2", 8 }, { "-f qcow ", 0, "QFI\xfb\0\0\0\1", 8 },
		{ "-f vmdk ", 0, "KDMV", 4 }, { "-f vmdk ", 0, "# Disk DescriptorFile", 21 }, { "-f vhdx ", 0, "vhdxfile", 8 },
		{ "-f vdi ", 64, "\x7f\x10\xda\xbe", 4 }, { "-f qed ", 0, "QED", 4 },
		{ "-f parallels ", 0, "WithoutFreeSpace", 16 },
		{ "-f vpc ", 0, "conectix", 8 }, { "-f vpc ", 4096 - 512, "conectix", 8 },
		{ "-f dmg ", 4096 - 512, "koly", 4 },
		{ "compressed by gzip, and drives are raw: unpack it first: gunzip <'@/bad/../good/images/x.img' >NEW.raw",
		  0, "\x1f\x8b\x08", 3 },
		{ "unpack it first: unxz ", 0, "\xfd\x37\x7a\x58\x5a\0", 6 },
		{ "unpack it first: unzstd ", 0, "\x28\xb5\x2f\xfd", 4 },
		{ "unpack it first: bunzip2 ", 0, "BZh9", 4 }, { "unpack it first: unzip ", 0, "PK\3\4", 4 },
		{ "unpack it first: 7z x ", 0, "7z\xbc\xaf\x27\x1c", 6 },
		{ "", 0, "\x33\xc0\x8e\xd0", 4 }, { "", 8, "QFI\xfb\0\0\0\3", 8 },
	};
	char from[PATH_MAX], to[PATH_MAX];

	make_file("x.img", 4096);
	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		put_mark(images[i].offset, images[i].bytes, images[i].count);
		check_image("\"disks\": [ { \"file\": \"../good/images/x.img\" } ]", images[i].says);
		check_image("\"cdrom\": { \"file\": \"../good/images/x.img\" }", images[i].says);
	}
	put_mark(0, "BZh", 3);
	snprintf(from, sizeof(from), "%s/good/images/x.img", folder);
	snprintf(to, sizeof(to), "%s/good/images/it's.img", folder);
	ck_assert_int_eq(rename(from, to), 0);
	check_image("\"disks\": [ { \"file\": \"../good/images/it's.img\" } ]", "bunzip2 <'@/bad/../good/images/it'\\''s.img'");
}
END_TEST

/* Of no blocks, where there is a file system that has room for such a length. */
START_TEST(too_large_image)
{
	char path[] = "/dev/shm/keel-large-XXXXXX", drive[128];
	int fd = mkstemp(path);

	snprintf(drive, sizeof(drive), "\"disks\": [ { \"file\": \"%s\" } ]", path);
	if (fd >= 0 && !ftruncate(fd, 1ll << 57))
		check_image(drive, "");
	if (fd >= 0 && !ftruncate(fd, (1ll << 57) + 512))
		check_image(drive, "numbers of 2^48 sectors, which are 128 PiB");
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
}
END_TEST

static void check_position(const char *text, const char *path, bool key, unsigned int line, unsigned int column)
{
	struct position p = position_of(text, strlen(text), path, key);

	ck_assert_msg(p.line == line && p.column == column, "%s%s: expected %u:%u, found %u:%u", path, key ? " (key)" : "", line,
		      column, p.line, p.column);
}

START_TEST(positions)
{
	static const char text[] = "{\n\t\"a\": [1, {\"b\" : \"\\\"]\"}],\n \"c\":null}";

	check_position(text, "", false, 1, 1);
	check_position(text, "/a/1/b", false, 2, 18);
	check_position(text, "/a/1/b", true, 2, 12);
	check_position(text, "/c", false, 3, 6);
	check_position(text, "/c", true, 3, 2);
	/* What is not there is where its parent is. */
	check_position(text, "/a/7/x", false, 2, 7);
	check_position(text, "/a/0/x", false, 2, 8);
	check_position(text, "/d", true, 1, 1);
}
END_TEST

START_TEST(positions_of_strange_keys)
{
	static const char text[] =
		"{\"a/b~c\": 1, \"\\u00e9\\ud83d\\ude00\": 2,\n\"\\n\\\"\\\\\": 3, \"\": 4, \"aa\": {}, \"a\": 6}";

	check_position(text, "/a~1b~0c", true, 1, 2);
	check_position(text, "/\xc3\xa9\xf0\x9f\x98\x80", true, 1, 14);
	check_position(text, "/\n\"\\", false, 2, 11);
	check_position(text, "/", true, 2, 14);
	check_position(text, "/aa/x", false, 2, 27);
	check_position(text, "/a", true, 2, 31);
}
END_TEST

static const char *explanation(const char *text, size_t bytes, struct position *at)
{
	static json_error_t error;
	json_t *value = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(!value, "%s was accepted", text);
	return syntax_explain(text, bytes, &error, at);
}

/* What people write who know other formats, what of its explanation must be there, and where it is said to be. */
START_TEST(mistakes_are_named)
{
	static const struct {
		const char *text, *says;
		unsigned int line, column;
	} cases[] = {
		{ "", "empty", 1, 1 },
		{ " \n\t", "empty", 1, 1 },
		{ "\xef\xbb\xbf{}", "byte order mark", 1, 1 },
		{ "\xff\xfe{", "UTF-16", 1, 1 },
		{ "<domain type='kvm'>", "XML", 1, 1 },
		{ "---\nname: a\n", "YAML", 1, 1 },
		{ "# a guest\nname: a\n", "YAML", 1, 1 },
		{ "# a guest\nname = \"a\"\n", "xl.cfg", 1, 1 },
		{ "[guest]\nname = \"a\"\n", "TOML", 1, 1 },
		{ "{\n // why\n \"a\": 1 }", "no comments", 2, 2 },
		{ "{ \"a\": 1, # why\n \"b\": 1 }", "description", 1, 11 },
		{ "{ \"a\": 1 /* why */ }", "no comments", 1, 10 },
		{ "{ \"a\": 1 } // why", "no comments", 1, 12 },
		{ "{ 'a': 1 }", "double quotes", 1, 3 },
		{ "{ \"a\": 'b' }", "double quotes", 1, 8 },
		{ "{ \"a\": \xe2\x80\x9c" "b\xe2\x80\x9d }", "typographic", 1, 8 },
		{ "{ \"a\": 1, }", "behind the last", 1, 11 },
		{ "{ \"a\": [1,\n] }", "behind the last", 2, 1 },
		{ "{ \"\xc3\xa9\": 1\n\"b\": 2 }", "',' is missing", 2, 1 },
		{ "{ \"\xc3\xa9\" 1 }", "':'", 1, 7 },
		{ "{ a: 1 }", "a key stands in double quotes", 1, 3 },
		{ "{ \"a\" = 1 }", "':' between", 1, 7 },
		{ "{ \"a\": True }", "true, false and null", 1, 8 },
		{ "{ \"a\": None }", "true, false and null", 1, 8 },
		{ "{ \"a\": 512M }", "double quotes", 1, 8 },
		{ "{ \"a\": 0x10 }", "no number", 1, 8 },
		{ "{ \"a\": 01 }", "no number", 1, 8 },
		{ "{ \"a\": .5 }", "no number", 1, 8 },
		{ "{ \"a\": \"b\nc\" }", "not closed", 1, 8 },
		{ "{ \"a\": [1, 2", "ends too early", 1, 13 },
		{ "{ \"a\": 1 }\n}", "behind the end", 2, 1 },
		{ "{ \"a\": \"b\xe9\" }", "not UTF-8", 1, 10 },
		{ "{ \"a\": 1, \"a\": 2 }", "duplicate", 1, 11 },
		{ "{ \"a\": 1, \"\\u0061a-long-key-that-is-told-by-its-place-alone\": 1,\n"
		  "  \"aa-long-key-that-is-told-by-its-place-alone\": 2 }", "duplicate", 2, 3 },
		{ "{ \"a\": 99999999999999999999 }", "too big", 1, 8 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct position at;
		const char *text = explanation(cases[i].text, strlen(cases[i].text), &at);

		ck_assert_msg(strstr(text, cases[i].says) != NULL, "%s: expected \"%s\", found \"%s\"", cases[i].text,
			      cases[i].says, text);
		ck_assert_msg(at.line == cases[i].line && at.column == cases[i].column, "%s: expected %u:%u, found %u:%u",
			      cases[i].text, cases[i].line, cases[i].column, at.line, at.column);
	}
}
END_TEST

static void load_text(const char *text, size_t bytes, struct manifest *m, struct manifest_report *report)
{
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, bytes, f), bytes);
	rewind(f);
	ck_assert(!manifest_load_from(fileno(f), "/nowhere/-", m, report));
	fclose(f);
}

START_TEST(large_texts)
{
	static const struct {
		const char *start, *unit, *end, *says;
	} cases[] = {
		{ "[", "[", "", "nested" },
		{ "{\"disks\":[", "{},", "{}]}", "expected at most" },
		{ "{\"boot\":[", "0,", "0]}", "more errors" },
		{ "{\"cpu_affinity\":[", "-1,", "0]}", "more errors" },
		{ "{\"name\":\"", "x", "\"}", "letters" },
		{ "{\"", "x", "\":1}", "..." },
		{ "{\"description\":", "[", "", "nested" },
		{ "", "\n", "", "empty" },
		{ "#", "#\n", "", "no comments" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *text = mebibyte(cases[i].start, cases[i].unit, cases[i].end);
		struct manifest_report report;
		struct manifest m;
		bool said = false;

		load_text(text, strlen(text), &m, &report);
		ck_assert_uint_le(report.count, MANIFEST_ERRORS_MOST + 1);
		for (size_t j = 0; j < report.count; j++)
			said |= strstr(report.errors[j].text, cases[i].says) != NULL;
		ck_assert_msg(said, "%s: expected \"%s\", found \"%s\"", cases[i].start, cases[i].says, report.errors[0].text);
		manifest_report_free(&report);
		manifest_free(&m);
		free(text);
	}
}
END_TEST

START_TEST(many_errors)
{
	char *text = malloc(MIB), *to = text;
	struct manifest_report report;
	struct manifest m;

	for (to += sprintf(to, "{"); (size_t)(to - text) < MIB - 32;)
		to += sprintf(to, "\"k%x\":1,", (unsigned int)(to - text));
	to += sprintf(to, "\"z\":1}");
	load_text(text, (size_t)(to - text), &m, &report);
	ck_assert_uint_eq(report.count, MANIFEST_ERRORS_MOST + 1);
	ck_assert_uint_gt(report.more, 50000);
	ck_assert_uint_eq(report.errors[0].column, 2);
	ck_assert_ptr_nonnull(strstr(report.errors[MANIFEST_ERRORS_MOST].text, "more errors"));
	manifest_report_free(&report);
	manifest_free(&m);
	free(text);
}
END_TEST

START_TEST(too_large)
{
	char *text = mebibyte("", " ", "");
	struct manifest_report report;
	struct manifest m;
	char *grown = realloc(text, MIB + 2);

	memset(grown, ' ', MIB + 1);
	load_text(grown, MIB + 1, &m, &report);
	ck_assert_ptr_nonnull(strstr(report.errors[0].text, "larger than 1 MiB"));
	manifest_report_free(&report);
	manifest_free(&m);
	free(grown);
}
END_TEST

static void check_shown(const char *text, const char *expected)
{
	char *shown = text_show(text, strlen(text)), *again = shown ? text_show(shown, strlen(shown)) : NULL;

	ck_assert_str_eq(shown, expected);
	ck_assert_str_eq(again, expected);
	free(again);
	free(shown);
}

START_TEST(text_is_shown)
{
	char quoted[TEXT_QUOTED], fit[32], *valid;

	check_shown("plain \xc3\xa9", "plain \xc3\xa9");
	check_shown("\033[31m\a\n\t\r\x7f", "\\u001b[31m\\u0007\\n\\t\\r\\u007f");
	check_shown("\xc2\x9b" "1m", "\\u009b1m");			/* CSI in one character */
	check_shown("a\xe2\x80\xae" "b", "a\\u202eb");		/* writes from right to left */
	check_shown("caf\xe9\xc3", "caf\\xe9\\xc3");
	check_shown("\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80");
	valid = text_utf8("\033ca\0f\xe9", 6);
	ck_assert_str_eq(valid, "\033ca\\u0000f\\xe9");
	free(valid);
	/* 40 letters of two bytes are one byte too many. */
	ck_assert_str_eq(text_quote(quoted, "x\xc3\xa9"), "x\xc3\xa9");
	text_quote(quoted, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		   "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		   "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"
		   "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	ck_assert_uint_eq(strlen(quoted), 76 + 3);
	ck_assert_str_eq(quoted + 74, "\xc3\xa9...");
	text_fit(fit, sizeof(fit), "cannot open a file of a long name: why");
	ck_assert_str_eq(fit, "cannot open a ... ong name: why");
	text_fit(fit, sizeof(fit), "short: why");
	ck_assert_str_eq(fit, "short: why");
}
END_TEST

SUITE_OF_CASES("manifest", suite)
{
	TCase *tests = add_case(suite, "manifest"), *large = add_case(suite, "large");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, bad_manifests);
	tcase_add_test(tests, good_manifests);
	tcase_add_test(tests, values_arrive);
	tcase_add_test(tests, topologies);
	tcase_add_test(tests, virtio_disks);
	tcase_add_test(tests, networks);
	tcase_add_test(tests, cloud_init);
	tcase_add_test(tests, ssh_keys);
	tcase_add_test(tests, defaults);
	tcase_add_test(tests, missing_file);
	tcase_add_test(tests, other_formats);
	tcase_add_test(tests, too_large_image);
	tcase_add_test(tests, positions);
	tcase_add_test(tests, positions_of_strange_keys);
	tcase_add_test(tests, mistakes_are_named);
	tcase_add_test(tests, text_is_shown);
	tcase_set_timeout(large, LARGE_SECONDS);
	tcase_add_test(large, large_texts);
	tcase_add_test(large, many_errors);
	tcase_add_test(large, too_large);
}
