// SPDX-License-Identifier: GPL-2.0
/*
 * The files of cloud-init's disk. JSON is YAML, with strings that the manifest's reader has found fit to be shown: nothing in
 * them can be taken for anything else. What is made here is where user-data has the last word.
 */
#include "host/seed/seed_files.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOUD_CONFIG		"#cloud-config\n"
#define NO_USER_DATA		CLOUD_CONFIG "{}\n"
#define FNV_START		14695981039346656037ull
#define FNV_PRIME		1099511628211ull
#define ID_ROOM			(MANIFEST_NAME_MAX + 18u)

static void hash_bytes(uint64_t *hash, const void *bytes, size_t count)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < count; i++)
		*hash = (*hash ^ byte[i]) * FNV_PRIME;
}

/* With its length before it, so that what is moved from one text to the next makes a difference; NULL is not "". */
static void hash_text(uint64_t *hash, const char *text, size_t count)
{
	uint64_t length = text ? count + 1 : 0;

	hash_bytes(hash, &length, sizeof(length));
	hash_bytes(hash, text, text ? count : 0);
}

static void hash_string(uint64_t *hash, const char *text)
{
	hash_text(hash, text, text ? strlen(text) : 0);
}

/*
 * Cloud-init does what it is told once for each instance, so what it is told is what makes one. Of the values, not of how they
 * are written here: a later Keel that writes them otherwise makes no other instance of them.
 */
static void make_instance_id(char id[ID_ROOM], const struct manifest *m)
{
	const struct manifest_cloud_init *c = &m->cloud_init;
	uint64_t hash = FNV_START;

	hash_string(&hash, m->name);
	hash_string(&hash, c->hostname);
	hash_string(&hash, c->user);
	hash_text(&hash, c->user_data.bytes, c->user_data.count);
	hash_text(&hash, c->network_config.bytes, c->network_config.count);
	for (unsigned int i = 0; i < c->ssh_keys; i++)
		hash_string(&hash, c->ssh_key[i]);
	snprintf(id, ID_ROOM, "%s-%016" PRIx64, m->name, hash);
}

static json_t *list_keys(const struct manifest_cloud_init *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->ssh_keys; i++)
		if (json_array_append_new(list, json_string(c->ssh_key[i]))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

/* Takes the value over. The text begins with what stands before it. */
static char *write_text(const char *before, json_t *value)
{
	char *json = value ? json_dumps(value, JSON_INDENT(1)) : NULL, *text = NULL;

	if (json && asprintf(&text, "%s%s\n", before, json) < 0)
		text = NULL;
	free(json);
	json_decref(value);
	return text;
}

/* Keys are here and not in vendor-data: whatever user-data says of keys is beside them. */
static char *make_meta_data(const struct manifest *m)
{
	const struct manifest_cloud_init *c = &m->cloud_init;
	json_t *keys = list_keys(c);
	char id[ID_ROOM];

	make_instance_id(id, m);
	return write_text("", keys ? json_pack("{s:s, s:s*, s:o}", "instance-id", id, "local-hostname", c->hostname,
					       "public-keys", keys) : NULL);
}

static void add(struct seed_files *files, const char *name, const char *bytes, size_t count)
{
	files->file[files->count++] = (struct seed_file){ name, bytes, count };
}

bool seed_files_make(struct seed_files *files, const struct manifest *m)
{
	const struct manifest_cloud_init *c = &m->cloud_init;
	const char *user_data = c->user_data.bytes ? c->user_data.bytes : NO_USER_DATA;

	*files = (struct seed_files){ .meta_data = make_meta_data(m) };
	if (c->user)
		files->vendor_data = write_text(CLOUD_CONFIG, json_pack("{s:s}", "user", c->user));
	if (!files->meta_data || !files->vendor_data != !c->user)
		return false;
	add(files, "meta-data", files->meta_data, strlen(files->meta_data));
	add(files, "user-data", user_data, c->user_data.bytes ? c->user_data.count : strlen(user_data));
	if (files->vendor_data)
		add(files, "vendor-data", files->vendor_data, strlen(files->vendor_data));
	if (c->network_config.bytes)
		add(files, "network-config", c->network_config.bytes, c->network_config.count);
	return true;
}

void seed_files_free(struct seed_files *files)
{
	free(files->meta_data);
	free(files->vendor_data);
	*files = (struct seed_files){ .count = 0 };
}
