// SPDX-License-Identifier: GPL-2.0
/* The files of cloud-init's disk: what is in which, and when the guest becomes another instance. */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include <keel/macros.h>

#include "host/seed/seed_files.h"
#include "suite.h"

#define USER_DATA	"#!/bin/sh\r\n\0\xff"
#define CLOUD_CONFIG	"#cloud-config\n"

static struct manifest whole(void)
{
	return (struct manifest){
		.name = (char *)"web", .memory = 64 << 20, .vcpus = 1,
		.cloud_init = {
			.wanted = true, .hostname = (char *)"web.example.org", .user = (char *)"anna",
			.ssh_key = { (char *)"ssh-ed25519 A \"b\": {c} # \xc3\xa4 \\", (char *)"ssh-rsa B" }, .ssh_keys = 2,
			.user_data = { (char *)USER_DATA, sizeof(USER_DATA) - 1 },
			.network_config = { (char *)"version: 2\n", 11 },
		},
	};
}

static const struct seed_file *find(const struct seed_files *files, const char *name)
{
	for (unsigned int i = 0; i < files->count; i++)
		if (!strcmp(files->file[i].name, name))
			return &files->file[i];
	return NULL;
}

static json_t *parse(const struct seed_file *file, size_t skip)
{
	json_t *value = json_loadb(file->bytes + skip, file->count - skip, JSON_REJECT_DUPLICATES, NULL);

	ck_assert_ptr_nonnull(value);
	return value;
}

static const char *text(const json_t *value, const char *key)
{
	return json_string_value(json_object_get(value, key));
}

START_TEST(all_files)
{
	struct manifest m = whole();
	struct seed_files files;
	json_t *meta, *vendor, *keys;

	ck_assert(seed_files_make(&files, &m));
	ck_assert_uint_eq(files.count, 4);
	meta = parse(find(&files, "meta-data"), 0);
	ck_assert_uint_eq(json_object_size(meta), 3);
	ck_assert_str_eq(text(meta, "local-hostname"), "web.example.org");
	keys = json_object_get(meta, "public-keys");
	ck_assert_uint_eq(json_array_size(keys), 2);
	ck_assert_str_eq(json_string_value(json_array_get(keys, 0)), m.cloud_init.ssh_key[0]);
	ck_assert_uint_eq(find(&files, "user-data")->count, sizeof(USER_DATA) - 1);
	ck_assert_mem_eq(find(&files, "user-data")->bytes, USER_DATA, sizeof(USER_DATA) - 1);
	ck_assert_mem_eq(find(&files, "vendor-data")->bytes, CLOUD_CONFIG, strlen(CLOUD_CONFIG));
	vendor = parse(find(&files, "vendor-data"), strlen(CLOUD_CONFIG));
	ck_assert_uint_eq(json_object_size(vendor), 1);
	ck_assert_str_eq(text(vendor, "user"), "anna");
	ck_assert_mem_eq(find(&files, "network-config")->bytes, "version: 2\n", 11);
	json_decref(meta);
	json_decref(vendor);
	seed_files_free(&files);
}
END_TEST

/* Cloud-init wants meta-data and user-data, and takes no key from an empty list. */
START_TEST(least_files)
{
	struct manifest m = { .name = (char *)"a_b", .cloud_init = { .wanted = true } };
	struct seed_files files;
	json_t *meta, *user;

	ck_assert(seed_files_make(&files, &m));
	ck_assert_uint_eq(files.count, 2);
	meta = parse(find(&files, "meta-data"), 0);
	ck_assert_ptr_null(json_object_get(meta, "local-hostname"));
	ck_assert_uint_eq(json_array_size(json_object_get(meta, "public-keys")), 0);
	user = parse(find(&files, "user-data"), strlen(CLOUD_CONFIG));
	ck_assert_mem_eq(find(&files, "user-data")->bytes, CLOUD_CONFIG, strlen(CLOUD_CONFIG));
	ck_assert_uint_eq(json_object_size(user), 0);
	json_decref(meta);
	json_decref(user);
	seed_files_free(&files);
}
END_TEST

static void get_id(char id[128], const struct manifest *m)
{
	struct seed_files files;
	json_t *meta;

	ck_assert(seed_files_make(&files, m));
	meta = parse(find(&files, "meta-data"), 0);
	snprintf(id, 128, "%s", text(meta, "instance-id"));
	json_decref(meta);
	seed_files_free(&files);
}

/* Each makes another instance, and what is no matter of cloud-init's does not. */
START_TEST(instances)
{
	struct manifest m[12];
	char id[ARRAY_SIZE(m)][128];

	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		m[i] = whole();
	m[1].name = (char *)"web2";
	m[2].cloud_init.hostname = (char *)"web";
	m[3].cloud_init.hostname = NULL;
	m[4].cloud_init.user = (char *)"bert";
	m[5].cloud_init.user = NULL;
	m[6].cloud_init.ssh_keys = 1;
	m[7].cloud_init.ssh_key[1] = (char *)"ssh-rsa C";
	m[8].cloud_init.user_data.count--;
	m[9].cloud_init.user_data = (struct manifest_text){ 0 };
	m[10].cloud_init.network_config.count--;
	/* What goes from one to the next. */
	m[11].cloud_init.hostname = (char *)"web.example.orga";
	m[11].cloud_init.user = (char *)"nna";
	for (size_t i = 0; i < ARRAY_SIZE(m); i++) {
		get_id(id[i], &m[i]);
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(strcmp(id[i], id[j]), "%zu and %zu are %s", i, j, id[i]);
	}
	m[0].memory *= 2;
	m[0].vcpus = 4;
	m[0].cloud_init.bus = MANIFEST_BUS_VIRTIO;
	get_id(id[1], &m[0]);
	ck_assert_str_eq(id[0], id[1]);
}
END_TEST

/* A guest's system remembers it: it is the same for good. */
START_TEST(instance_of_always)
{
	struct manifest m = whole();
	char id[128];

	get_id(id, &m);
	ck_assert_str_eq(id, "web-c7ab744c6fb23c91");
}
END_TEST

SUITE("seed", tests)
{
	tcase_add_test(tests, all_files);
	tcase_add_test(tests, least_files);
	tcase_add_test(tests, instances);
	tcase_add_test(tests, instance_of_always);
}
