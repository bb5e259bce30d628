// SPDX-License-Identifier: GPL-2.0
/* What cloud-init in the guest is told, and the place of the disk that it finds it on (datasource NoCloud). */
#include "manifest/loader.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest/ssh_key.h"
#include "shared/pc_map.h"

#define KEY_FILE_MOST		(64u << 10)
#define HOSTNAME_MOST		253u		/* RFC 1035, 2.3.4 */
#define LABEL_MOST		63u
#define USER_MOST		32u		/* useradd(8) */
#define LOWER			"abcdefghijklmnopqrstuvwxyz"
#define DIGITS			"0123456789"

static struct manifest_cloud_init *cloud_init(struct loader *l)
{
	return &l->m->cloud_init;
}

/* RFC 1123, 2.1: labels of letters, digits and inner hyphens. Cloud-init takes an address for no name. */
static bool is_hostname(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" LOWER DIGITS "-";
	struct in_addr address;

	if (strlen(name) > HOSTNAME_MOST || inet_pton(AF_INET, name, &address) == 1)
		return false;
	for (;; name++) {
		size_t length = strspn(name, letters);

		if (!length || length > LABEL_MOST || name[0] == '-' || name[length - 1] == '-')
			return false;
		name += length;
		if (*name != '.')
			return !*name;
	}
}

static void parse_hostname(struct loader *l, const char *path, json_t *value)
{
	const char *name = want_string(l, path, value, "a host name");

	if (!name)
		return;
	if (!is_hostname(name))
		complain(l, path, "%s: expected a host name such as \"web\" or \"web.example.org\"", path + 1);
	else if (!cloud_init(l)->hostname)
		cloud_init(l)->hostname = strdup(name);
}

static void parse_user(struct loader *l, const char *path, json_t *value)
{
	const char *name = want_string(l, path, value, "a user's name");

	if (!name)
		return;
	if (!strchr(LOWER "_", name[0]) || !name[0] || name[strspn(name, LOWER DIGITS "_-")] || strlen(name) > USER_MOST)
		complain(l, path, "%s: expected 1 to %u of a to z, 0 to 9, '_' and '-', the first a letter or '_'", path + 1,
			 USER_MOST);
	else if (!strcmp(name, "root"))
		complain(l, path, "%s: cloud-init keeps \"root\" from logging in by a key; name another user, who has sudo",
			 path + 1);
	else if (!cloud_init(l)->user)
		cloud_init(l)->user = strdup(name);
}

/* A file that the manifest names, which is read whole: what was checked is what the guest gets. NULL: an error is noted. */
static char *read_file(struct loader *l, const char *path, const char *name, size_t most, size_t *bytes)
{
	char *file = file_resolve(l, name), *text = NULL;
	const char *why;
	struct stat st;
	uint64_t size;
	int fd;

	if (!file || l->read_files == READ_FILES) {
		complain(l, path, file ? "too many files" : "out of memory");
		free(file);
		return NULL;
	}
	l->read_file[l->read_files++] = file;
	fd = file_open(l, path, file, O_RDONLY, &st, &size);
	if (fd < 0)
		return NULL;
	if (!S_ISREG(st.st_mode)) {
		complain(l, path, "%s is a block device, not a file with a text", file);
	} else {
		text = file_read(fd, most, bytes, &why);
		if (!text && why)
			complain(l, path, "cannot read %s: %s", file, why);
		else if (!text)
			complain(l, path, "%s is larger than %zu KiB", file, most >> 10);
	}
	close(fd);
	return text;
}

static void parse_text(struct loader *l, const char *path, json_t *value, struct manifest_text *text)
{
	const char *name = want_string(l, path, value, "the name of a file");

	if (!name || text->bytes)
		return;
	if (strchr(name, '\n'))
		complain(l, path, "%s: expected the name of a file, found a text of several lines; write that into a file",
			 path + 1);
	else
		text->bytes = read_file(l, path, name, MANIFEST_TEXT_MOST, &text->count);
	if (text->bytes && !text->count)
		complain(l, path, "%s: %s is empty", path + 1, l->read_file[l->read_files - 1]);
}

static void parse_user_data(struct loader *l, const char *path, json_t *value)
{
	parse_text(l, path, value, &cloud_init(l)->user_data);
}

static void parse_network_config(struct loader *l, const char *path, json_t *value)
{
	parse_text(l, path, value, &cloud_init(l)->network_config);
}

static void parse_bus(struct loader *l, const char *path, json_t *value)
{
	cloud_init(l)->bus = want_word(l, path, value, manifest_buses, MANIFEST_BUSES);
}

/* False: there is no room for more. */
static bool add_key(struct loader *l, const char *path, const char *line, size_t length)
{
	struct manifest_cloud_init *c = cloud_init(l);

	if (c->ssh_keys == MANIFEST_SSH_KEYS) {
		complain(l, path, "%s: expected at most %u keys in all", path + 1, MANIFEST_SSH_KEYS);
		return false;
	}
	c->ssh_key[c->ssh_keys] = strndup(line, length);
	if (!c->ssh_key[c->ssh_keys])
		complain(l, path, "out of memory");
	else
		c->ssh_keys++;
	return true;
}

/* As sshd reads them: a key a line, beside empty lines and those of a comment. */
static void add_keys(struct loader *l, const char *path, const char *file, const char *text, size_t bytes)
{
	unsigned int before = cloud_init(l)->ssh_keys, number = 1;

	for (const char *line = text, *next; line < text + bytes; line = next, number++) {
		const char *end = memchr(line, '\n', (size_t)(text + bytes - line)), *fault;

		next = end ? end + 1 : text + bytes;
		end = end ? end : next;
		while (end > line && strchr(" \t\r", end[-1]) && end[-1])
			end--;
		while (line < end && strchr(" \t", *line) && *line)
			line++;
		if (line == end || *line == '#')
			continue;
		fault = ssh_key_fault(line, (size_t)(end - line));
		if (fault) {
			complain(l, path, "%s: line %u of %s %s", path + 1, number, file, fault);
			return;
		}
		if (!add_key(l, path, line, (size_t)(end - line)))
			return;
	}
	if (cloud_init(l)->ssh_keys == before)
		complain(l, path, "%s: %s has no key", path + 1, file);
}

/* A key has blanks in it, a file's name has none. */
static void parse_key(struct loader *l, const char *path, json_t *value)
{
	const char *text = want_string(l, path, value, "a public key, or the name of a file of them"), *fault;
	size_t bytes;
	char *keys;

	if (!text)
		return;
	if (!strpbrk(text, " \t\r\n")) {
		keys = read_file(l, path, text, KEY_FILE_MOST, &bytes);
		if (keys)
			add_keys(l, path, l->read_file[l->read_files - 1], keys, bytes);
		free(keys);
		return;
	}
	fault = ssh_key_fault(text, strlen(text));
	if (fault)
		complain(l, path, "%s: this %s", path + 1, fault);
	else
		add_key(l, path, text, strlen(text));
}

static void parse_ssh_keys(struct loader *l, const char *path, json_t *value)
{
	char element[PATH_ROOM];
	json_t *item;
	size_t i;

	if (!json_is_array(value)) {
		complain(l, path, "%s: expected a list of public keys, or of files with them, found %s", path + 1,
			 want_found(value));
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		if (i == MANIFEST_SSH_KEYS) {
			complain(l, element, "%s: expected at most %u", path + 1, MANIFEST_SSH_KEYS);
			return;
		}
		parse_key(l, element, item);
	}
}

static const struct key cloud_init_keys[] = {
	{ "bus", false, parse_bus },
	{ "hostname", false, parse_hostname },
	{ "network_config", false, parse_network_config },
	{ "ssh_keys", false, parse_ssh_keys },
	{ "user", false, parse_user },
	{ "user_data", false, parse_user_data },
};

void cloud_init_parse(struct loader *l, const char *path, json_t *value)
{
	cloud_init(l)->bus = MANIFEST_BUS_VIRTIO;
	cloud_init(l)->wanted = want_object(l, path, value, cloud_init_keys, ARRAY_SIZE(cloud_init_keys));
}

/* A drive that has the place, or would get it. */
static const struct drive_source *find_rival(const struct loader *l)
{
	enum manifest_bus bus = l->m->cloud_init.bus;
	unsigned int room = bus == MANIFEST_BUS_IDE ? MANIFEST_IDE_DRIVES : MANIFEST_VIRTIO_DISKS, count = 0;

	for (unsigned int i = 0; i < l->source_count; i++) {
		const struct drive_source *s = &l->sources[i];

		if (s->drive.bus == bus && (++count == room || s->slot == (int)MANIFEST_SEED_IDE))
			return s;
	}
	return NULL;
}

/* The last of virtio's slots would be the ninth card's, too. */
static void check_place(struct loader *l)
{
	const struct drive_source *rival = find_rival(l);
	bool virtio = l->m->cloud_init.bus == MANIFEST_BUS_VIRTIO;
	const char *slot = manifest_slots[virtio ? MANIFEST_SEED_VIRTIO : MANIFEST_SEED_IDE];

	if (rival)
		complain(l, "/cloud_init", "cloud_init: its disk takes the place \"%s\", which %s has; leave that free, or give "
			 "it \"bus\": \"%s\"", slot, rival->path + 1, manifest_buses[!virtio]);
	else if (virtio && l->m->networks > PC_NETWORKS_BELOW)
		complain(l, "/cloud_init", "cloud_init: its disk takes the slot of networks/%u; expected at most %u networks "
			 "beside it, or its \"bus\": \"ide\"", PC_NETWORKS_BELOW, PC_NETWORKS_BELOW);
}

void cloud_init_check(struct loader *l)
{
	if (!cloud_init(l)->wanted)
		return;
	if (!cloud_init(l)->hostname && l->m->name && is_hostname(l->m->name))
		cloud_init(l)->hostname = strdup(l->m->name);
	check_place(l);
}
