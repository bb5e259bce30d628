// SPDX-License-Identifier: GPL-2.0
/* Fuzz target of the manifest reader: any bytes as a file, beside images that manifests can name. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>
#include <keel/topology.h>

#include "fuzz.h"
#include "manifest/manifest.h"

#define MIB			(1ull << 20)
#define MEMORY_MIN		(16 * MIB)
#define MEMORY_MAX		(1023ull << 30)
#define WEIGHT_MAX		10000u
#define FILE_MAX		(1u << 20)
#define ERRORS_MOST		32u
#define NS_PER_BYTE		20000ull	/* fifty times of what it takes */
#define NS_AT_ALL		500000000ull

#define SSH_KEY			"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggcGdwt"

static char folder[] = "/tmp/keel-fuzz-manifest-XXXXXX";
static char manifest_path[PATH_MAX];

static const struct {
	const char *name;
	off_t bytes;
	const char *text;	/* that it begins with */
} images[] = {
	{ "firmware.bin", 65536, "" }, { "disk.img", 1536, "" }, { "disk2.img", 2560, "" }, { "cd.iso", 4096, "" },
	{ "odd.img", 513, "" }, { "empty.img", 0, "" },
	{ "keys.pub", 0, "# keys\n\n" SSH_KEY "\n" SSH_KEY " name" }, { "bad.pub", 0, SSH_KEY "\nssh-rsa AAAA\n\xff\x1b\n" },
};
#define IMAGES ARRAY_SIZE(images)

static void remove_all(void)
{
	char path[PATH_MAX];

	unlink(manifest_path);
	for (size_t i = 0; i < IMAGES; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, images[i].name);
		unlink(path);
	}
	rmdir(folder);
}

static void make_all(void)
{
	char path[PATH_MAX];

	require(mkdtemp(folder) != NULL, "no temporary folder");
	snprintf(manifest_path, sizeof(manifest_path), "%s/x.json", folder);
	atexit(remove_all);
	for (size_t i = 0; i < IMAGES; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%s", folder, images[i].name);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		require(fd >= 0 && !ftruncate(fd, images[i].bytes), "no image");
		require(write(fd, images[i].text, strlen(images[i].text)) >= 0, "no text");
		close(fd);
	}
}

static void write_manifest(const uint8_t *data, size_t size)
{
	int fd = open(manifest_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	require(fd >= 0 && write(fd, data, size) == (ssize_t)size, "no file");
	close(fd);
}

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* How long a sequence of UTF-8 its first byte announces; 0: it begins none. */
static unsigned int sequence(uint8_t first)
{
	return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

/* One line, which a terminal and a JSON string can take. */
static void check_text(const char *text)
{
	require(text && *text, "an error without a text");
	while (*text) {
		const uint8_t *c = (const uint8_t *)text;
		unsigned int length = sequence(*c);

		require(*c >= ' ' && *c != 0x7f, "a control character in an error's text");
		require(length > 0 && !(*c == 0xc2 && c[1] < 0xa0), "no character, or one that controls, in an error's text");
		for (unsigned int i = 1; i < length; i++)
			require((c[i] & 0xc0) == 0x80, "a piece of a character in an error's text");
		text += length;
	}
}

static void check_position(const struct manifest_error *error, const uint8_t *data, size_t size)
{
	unsigned int line = 1;
	unsigned int most = 1;
	size_t at = 0;

	if (!error->line) {
		require(!error->column, "a column without a line");
		return;
	}
	for (; line < error->line && at < size; at++)
		line += data[at] == '\n';
	require(line == error->line, "a line behind the end");
	for (; at < size && data[at] != '\n'; at++)
		most += (data[at] & 0xc0) != 0x80;	/* in characters */
	require(error->column && error->column <= most, "a column behind the end of its line");
}

static void check_report(const struct manifest_report *report, const uint8_t *data, size_t size)
{
	require(report->count > 0, "refused without an error");
	require(report->count <= ERRORS_MOST, "more errors than anybody reads");
	for (size_t i = 0; i < report->count; i++) {
		const struct manifest_error *error = &report->errors[i];

		check_text(error->text);
		check_position(error, data, size);
		require(!i || !error->line || error->line > error[-1].line ||
			(error->line == error[-1].line && error->column >= error[-1].column), "errors out of order");
	}
}

static void check_name(const char *name)
{
	size_t length = name ? strlen(name) : 0;

	require(length >= 1 && length <= MANIFEST_NAME_MAX, "a name's length");
	for (size_t i = 0; i < length; i++)
		require(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", name[i]) != NULL &&
			(i || !strchr("._-", name[i])), "a name's characters");
}

static void check_drive(const struct manifest_drive *drive)
{
	unsigned int unit = drive->kind == MANIFEST_DRIVE_CDROM ? 2048 : 512;

	if (drive->kind == MANIFEST_DRIVE_NONE) {
		require(!drive->file && !drive->bytes, "a file without a drive");
		return;
	}
	require(drive->kind <= MANIFEST_DRIVE_CDROM && drive->mode <= MANIFEST_SNAPSHOT, "a drive's kind");
	if (drive->seed) {
		require(drive->kind == MANIFEST_DRIVE_DISK && drive->mode == MANIFEST_RO && !drive->file && !drive->bytes,
			"cloud-init's disk");
		return;
	}
	require(drive->kind == MANIFEST_DRIVE_CDROM ? drive->mode == MANIFEST_RO : drive->file != NULL, "a drive's mode or file");
	require(!drive->file == !drive->bytes && drive->bytes % unit == 0, "a drive's size");
	require(strlen(drive->serial) <= MANIFEST_SERIAL_MAX, "a drive's serial number");
	for (const char *c = drive->serial; *c; c++)
		require(*c >= ' ' && *c <= '~', "a drive's serial number");
}

static void check_boot(const struct manifest *m)
{
	bool present[MANIFEST_BOOTS] = { false };

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		if (m->drives[i].kind && !m->drives[i].seed)
			present[m->drives[i].kind == MANIFEST_DRIVE_CDROM ? MANIFEST_BOOT_CDROM : MANIFEST_BOOT_DISK] = true;
	require(m->boots <= MANIFEST_BOOTS, "more to boot from than there is");
	for (unsigned int i = 0; i < m->boots; i++) {
		require(m->boot[i] < MANIFEST_BOOTS && present[m->boot[i]], "what to boot from is not there");
		present[m->boot[i]] = false;
	}
}

static void check_forwards(const struct manifest_network *network)
{
	struct in6_addr address;

	require(network->forwards <= MANIFEST_FORWARDS, "more forwarded ports than there is room for");
	require(!network->forwards || network->kind == MANIFEST_NETWORK_USER, "forwarded ports where there are none");
	for (unsigned int i = 0; i < network->forwards; i++) {
		const struct manifest_forward *one = &network->forward[i];

		require(one->host && one->guest, "no port");
		require(inet_pton(AF_INET, one->address, &address) == 1 || inet_pton(AF_INET6, one->address, &address) == 1,
			"a forwarded port's address");
	}
}

static void check_network(const struct manifest_network *network)
{
	const char *name = network->name;

	require(network->kind <= MANIFEST_NETWORK_USER, "a network's kind");
	require(!*name == (network->kind == MANIFEST_NETWORK_USER), "an interface's name");
	for (const char *c = name; *c; c++)
		require(*c > ' ' && *c <= '~' && !strchr("/:", *c), "an interface's name");
	require(strcmp(name, ".") && strcmp(name, ".."), "an interface's name");
	require(!(network->mac[0] & 1) && memcmp(network->mac, (uint8_t[6]){ 0 }, 6), "a card's address");
	require(!network->mtu || (network->mtu >= 576 && network->mtu <= 65520), "an MTU");
	check_forwards(network);
}

/* No two that could not be served beside each other. */
static void check_networks(const struct manifest *m)
{
	unsigned int disks = 0;

	for (unsigned int i = MANIFEST_IDE_DRIVES; i < MANIFEST_DRIVES; i++)
		disks += m->drives[i].kind != MANIFEST_DRIVE_NONE;
	require(m->networks <= MANIFEST_NETWORKS && m->networks + disks <= MANIFEST_VIRTIO_MOST, "more cards than slots");
	for (unsigned int i = 0; i < m->networks; i++) {
		const struct manifest_network *one = &m->network[i];

		check_network(one);
		for (unsigned int j = 0; j < i; j++) {
			const struct manifest_network *other = &m->network[j];

			require(memcmp(one->mac, other->mac, 6), "one address of two cards");
			require(one->kind != MANIFEST_NETWORK_TAP || other->kind != MANIFEST_NETWORK_TAP ||
				strcmp(one->name, other->name), "one interface of two cards");
		}
	}
}

/* All that is written beside other text has to be text. */
static void check_cloud_init(const struct manifest *m)
{
	const struct manifest_cloud_init *c = &m->cloud_init;
	unsigned int seeds = 0;

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		seeds += m->drives[i].seed;
	require(seeds == c->wanted, "cloud-init's disk");
	require(!c->wanted || m->drives[c->bus == MANIFEST_BUS_IDE ? MANIFEST_SEED_IDE : MANIFEST_SEED_VIRTIO].seed,
		"the place of cloud-init's disk");
	require(!c->wanted || c->bus == MANIFEST_BUS_IDE || m->networks <= 8, "a card in the slot of cloud-init's disk");
	require(c->ssh_keys <= MANIFEST_SSH_KEYS, "more keys than there is room for");
	for (unsigned int i = 0; i < c->ssh_keys; i++)
		check_text(c->ssh_key[i]);
	if (c->hostname)
		check_text(c->hostname);
	if (c->user)
		check_text(c->user);
	require(!c->user_data.bytes == !c->user_data.count && c->user_data.count <= MANIFEST_TEXT_MOST, "user-data");
	require(!c->network_config.bytes == !c->network_config.count && c->network_config.count <= MANIFEST_TEXT_MOST,
		"network-config");
}

static void check_accepted(const struct manifest *m)
{
	bool pinned = false;

	for (size_t i = 0; i < sizeof(m->cpu_affinity); i++)
		pinned |= m->cpu_affinity[i] != 0;
	check_name(m->name);
	require(m->path && m->path[0] == '/' && m->firmware, "a path");
	require(m->memory >= MEMORY_MIN && m->memory <= MEMORY_MAX && m->memory % MIB == 0, "memory");
	require(m->vcpus >= 1 && m->vcpus <= KEEL_MAX_VCPUS && keel_topology(m->topology, m->vcpus).sockets, "vCPUs");
	require(m->machine < MANIFEST_MACHINES && manifest_machines[m->machine], "the machine");
	require(m->weight >= 1 && m->weight <= WEIGHT_MAX && m->pinned == pinned, "weight or affinity");
	require(m->serial <= MANIFEST_SERIAL_FILE && (m->serial == MANIFEST_SERIAL_PTY) == !m->serial_path, "the serial port");
	require(m->on_poweroff <= MANIFEST_PRESERVE && m->on_reboot <= MANIFEST_PRESERVE &&
		m->on_crash <= MANIFEST_PRESERVE, "actions");
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		check_drive(&m->drives[i]);
	check_boot(m);
	check_networks(m);
	check_cloud_init(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct manifest_report report;
	struct manifest m;
	uint64_t start;

	if (!manifest_path[0])
		make_all();
	if (size > FILE_MAX)
		return 0;
	write_manifest(data, size);
	start = cpu_ns();
	if (manifest_load(manifest_path, &m, &report)) {
		require(!report.count, "accepted with errors");
		check_accepted(&m);
	} else {
		check_report(&report, data, size);
	}
	require(cpu_ns() - start < NS_AT_ALL + size * NS_PER_BYTE, "it took too long");
	manifest_report_free(&report);
	manifest_free(&m);
	return 0;
}

#define INPUT_ROOM		(256u << 10)
#define DEPTH_MOST		5u
#define MUTATIONS_MOST		6u

struct writer {
	uint8_t *text;
	size_t used, most;
	uint64_t *state;
};

#define PICK(w, list) ((list)[next((w)->state) % ARRAY_SIZE(list)])

static bool chance(struct writer *w, unsigned int in)
{
	return next(w->state) % in == 0;
}

static void put(struct writer *w, const char *text)
{
	size_t length = strlen(text);

	if (length > w->most - w->used)
		length = w->most - w->used;
	memcpy(w->text + w->used, text, length);
	w->used += length;
}

static void put_blank(struct writer *w)
{
	static const char *const blanks[] = { " ", "", "", "\n", "\n\t", "\r\n", "  " };

	put(w, PICK(w, blanks));
}

static void put_string(struct writer *w)
{
	static const char *const pieces[] = {
		"disk", "a", "name", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x90\x9f", "\\\"", "\\\\", "\\/",
		"\\n", "\\t", "\\u001b[31m", "\\u0000",
		"\\u00e4", "\\ud83d\\udc1f", "\\ud83d", "\\u2028", "\\u202e", "\\u009b", "~", "/", "~1", "%s%n",
		"'", " near '", "..", "0", "\x7f",
		"\xff", "\xc3", "\n", "\x1b", "\\x",
	};
	size_t count = next(w->state) % (chance(w, 8) ? 200 : 4);
	size_t good = ARRAY_SIZE(pieces) - (chance(w, 8) ? 0 : 5);	/* the last ones are broken */

	put(w, "\"");
	while (count--)
		put(w, pieces[next(w->state) % good]);
	put(w, "\"");
}

static void put_number(struct writer *w)
{
	static const char *const numbers[] = {
		"0", "1", "2", "-1", "64", "255", "256", "1023", "1024", "10000", "10001", "4294967296",
		"4294967297", "9223372036854775807",
		"9223372036854775808", "-9223372036854775809", "18446744073709551617", "1.5", "1e3", "1e400",
		"-0", "01", "+1", "1e", "0x10",
		"999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
	};

	put(w, PICK(w, numbers));
}

static void put_value(struct writer *w, unsigned int depth);

static void put_key(struct writer *w)
{
	static const char *const keys[] = {
		"\"version\"", "\"name\"", "\"machine\"", "\"memory\"", "\"vcpus\"", "\"topology\"", "\"cpu_affinity\"",
		"\"weight\"", "\"firmware\"", "\"boot\"",
		"\"boot_menu\"", "\"require_dma_protection\"", "\"disks\"", "\"cdrom\"", "\"serial\"",
		"\"on_poweroff\"", "\"on_reboot\"",
		"\"on_crash\"", "\"description\"", "\"$schema\"", "\"file\"", "\"mode\"", "\"slot\"",
		"\"type\"", "\"path\"", "\"log\"",
		"\"sockets\"", "\"cores\"", "\"threads\"", "\"disk\"", "\"vcpu\"", "\"\\u006eame\"",
		"\"bus\"", "\"rng\"", "\"networks\"", "\"tap\"", "\"bridge\"", "\"user\"", "\"forward\"", "\"mac\"",
		"\"model\"", "\"mtu\"", "\"host\"", "\"guest\"", "\"protocol\"", "\"address\"",
		"\"cloud_init\"", "\"hostname\"", "\"ssh_keys\"", "\"user_data\"", "\"network_config\"",
		"\"on_error\"", "\"a/b\"", "\"a~1b\"", "\"\"",
	};

	if (chance(w, 10))
		put_string(w);
	else
		put(w, PICK(w, keys));
}

static void put_list(struct writer *w, unsigned int depth, bool object)
{
	unsigned int count = (unsigned int)(next(w->state) % (chance(w, 16) ? 60 : 5));

	put(w, object ? "{" : "[");
	for (unsigned int i = 0; i < count; i++) {
		put(w, i ? "," : "");
		put_blank(w);
		if (object) {
			put_key(w);
			put(w, ":");
		}
		put_value(w, depth + 1);
	}
	put_blank(w);
	put(w, object ? "}" : "]");
}

static void put_nest(struct writer *w)
{
	unsigned int depth = (unsigned int)(next(w->state) % 3000);
	bool object = chance(w, 2);

	for (unsigned int i = 0; i < depth; i++)
		put(w, object ? "{\"a\":" : "[");
	put(w, "1");
	for (unsigned int i = 0; i < depth; i++)
		put(w, object ? "}" : "]");
}

static void put_value(struct writer *w, unsigned int depth)
{
	static const char *const words[] = { "true", "false", "null", "True", "nil", "NaN" };
	unsigned int kind = (unsigned int)(next(w->state) % (depth < DEPTH_MOST ? 20 : 14));

	if (kind < 6)
		put_string(w);
	else if (kind < 11)
		put_number(w);
	else if (kind < 14)
		put(w, PICK(w, words));
	else if (kind < 19)
		put_list(w, depth, kind < 17);
	else if (chance(w, 10))
		put_nest(w);
	else
		put_list(w, depth, true);
}

#define VIRTIO_DISK	"{ \"file\": \"disk.img\", \"bus\": \"virtio\", \"mode\": \"ro\" }"
#define FOUR_DISKS	VIRTIO_DISK "," VIRTIO_DISK "," VIRTIO_DISK "," VIRTIO_DISK
#define EIGHT_DISKS	FOUR_DISKS "," FOUR_DISKS

/* Members as they should be, or nearly; those with the same key stand side by side. */
static const char *const members[] = {
	"\"machine\": \"pc-1\"", "\"machine\": \"pc-2\"", "\"machine\": \"pc-1\\u0000\"", "\"machine\": 1",
	"\"vcpus\": 1", "\"vcpus\": 64", "\"vcpus\": 65",
	"\"vcpus\": 8, \"topology\": { \"cores\": 2, \"threads\": 2 }",
	"\"cpu_affinity\": [0]", "\"cpu_affinity\": [0, 1, 1, 1023]",
	"\"cpu_affinity\": [-1, 1024, \"1\", 0.5, [], {}, null]",
	"\"weight\": 400", "\"weight\": 10000", "\"weight\": 10001", "\"weight\": 0", "\"boot\": [\"disk\"]",
	"\"boot\": [\"cdrom\", \"disk\"]",
	"\"boot\": [\"disk\", \"disk\"]", "\"boot_menu\": true", "\"require_dma_protection\": false",
	"\"disks\": [{ \"file\": \"disk.img\" }]",
	("\"disks\": [{ \"file\": \"disk.img\", \"mode\": \"ro\", \"serial\": \"A 1\" },"
	 "{ \"file\": \"disk.img\", \"mode\": \"snapshot\", \"slot\": \"secondary-slave\" },"
	 "{ \"file\": \"disk2.img\", \"mode\": \"rw\" }]"),
	"\"disks\": []",
	"\"disks\": [{ \"file\": \"odd.img\" }, { \"file\": \"empty.img\" }, { \"file\": \"disk.img\" }, {}, {}]",
	"\"disks\": [{ \"file\": \"disk.img\", \"serial\": \"123456789012345678901\" }]",
	"\"disks\": [" EIGHT_DISKS "]", "\"disks\": [" EIGHT_DISKS "," EIGHT_DISKS "]", "\"rng\": true",
	"\"cdrom\": {}", "\"cdrom\": { \"file\": \"cd.iso\" }",
	"\"cdrom\": { \"file\": \"cd.iso\", \"slot\": \"primary-slave\" }",
	"\"cdrom\": { \"file\": \"disk.img\" }", "\"serial\": { \"type\": \"pty\", \"log\": true }",
	"\"serial\": { \"type\": \"socket\", \"path\": \"s\" }",
	"\"serial\": { \"type\": \"file\", \"path\": \"disk.img\" }",
	"\"serial\": { \"type\": \"pty\", \"path\": \"s\" }", "\"on_poweroff\": \"destroy\"",
	"\"on_reboot\": \"restart\"",
	"\"cloud_init\": {}", "\"cloud_init\": { \"bus\": \"ide\", \"hostname\": \"a.b\", \"user\": \"u\" }",
	"\"cloud_init\": { \"ssh_keys\": [\"keys.pub\", \"" SSH_KEY " \\u00e4 \\\"\"], \"user_data\": \"keys.pub\" }",
	"\"cloud_init\": { \"ssh_keys\": [\"" SSH_KEY " a\\n\", \"bad.pub\", \"cd.iso\"], \"network_config\": \"bad.pub\" }",
	"\"cloud_init\": { \"user_data\": \"empty.img\", \"network_config\": \".\", \"hostname\": \"a..b\" }",
	"\"cloud_init\": { \"hostname\": \"1.2.3.4\", \"user\": \"root\", \"ssh_keys\": [[], \"\"] }",
	"\"on_crash\": \"preserve\"", "\"description\": \"\\u00e4\xc3\xa4\"",
};
static const char *const topologies[] = {
	"{ \"sockets\": 2, \"cores\": 3, \"threads\": 2 }", "{}", "{ \"threads\": 64 }", "{ \"cores\": 5 }",
	"{ \"threads\": 3 }",
};

static void put_member(struct writer *w, const char *text)
{
	put(w, ",");
	put_blank(w);
	put(w, text);
}

static void put_forward(struct writer *w)
{
	static const char *const hosts[] = {
		"\"host\": 22", "\"host\": 80", "\"host\": 0", "\"host\": 65535", "\"host\": 65536",
	};
	static const char *const rest[] = {
		"\"guest\": 22", "\"guest\": 0", "\"protocol\": \"udp\"", "\"protocol\": \"tcp\"", "\"protocol\": \"ip\"",
		"\"address\": \"0.0.0.0\"", "\"address\": \"::1\"", "\"address\": \"::ffff:1.2.3.4\"", "\"address\": \"1.2.3\"",
		"\"address\": \"\"",
	};
	char port[40];

	snprintf(port, sizeof(port), "\"host\": %u", (unsigned int)(next(w->state) % 65536));
	put(w, "{");
	put(w, chance(w, 4) ? PICK(w, hosts) : port);
	if (chance(w, 2))
		put_member(w, PICK(w, rest));
	put(w, "}");
}

static void put_forwards(struct writer *w)
{
	unsigned int count = (unsigned int)(next(w->state) % (chance(w, 8) ? 40 : 4));

	put_member(w, "\"forward\": [");
	for (unsigned int i = 0; i < count; i++) {
		put(w, i ? "," : "");
		put_forward(w);
	}
	put(w, "]");
}

/* Mostly a good one, beside which the others can be. */
static void put_network(struct writer *w, unsigned int number)
{
	static const char *const odd[] = {
		"\"mac\": \"02:00:00:00:00:01\"", "\"mac\": \"01:00:00:00:00:01\"", "\"mac\": \"00:00:00:00:00:00\"",
		"\"mac\": \"2:00:00:00:00:001\"", "\"mac\": \"02:00:00:00:00:01:\"",
		"\"model\": \"virtio\"", "\"model\": \"e1000\"", "\"model\": \"x\"",
		"\"mtu\": 576", "\"mtu\": 65520", "\"mtu\": 65521", "\"tap\": \"t\"", "\"bridge\": \"b\"",
		"\"user\": true", "\"forward\": {}", "\"forward\": [[]]",
	};
	static const char *const whole[] = {
		"\"br0\"", "{}", "{ \"user\": false }", "{ \"tap\": \"\" }", "{ \"tap\": \"..\" }", "{ \"bridge\": \"a/b\" }",
		"{ \"tap\": \"1234567890123456\" }", "{ \"bridge\": \"123456789012345\" }", "null",
	};
	unsigned int kind = (unsigned int)(next(w->state) % 4);
	char text[64];

	if (chance(w, 32)) {
		put(w, PICK(w, whole));
		return;
	}
	snprintf(text, sizeof(text), kind < 2 ? "{ \"user\": true" : kind < 3 ? "{ \"tap\": \"t%u\"" : "{ \"bridge\": \"b%u\"",
		 chance(w, 8) ? 0 : number);
	put(w, text);
	if (chance(w, 4)) {
		snprintf(text, sizeof(text), "\"mac\": \"02:00:00:00:00:%02X\"", number);
		put_member(w, text);
	}
	if (kind < 2 ? chance(w, 2) : chance(w, 32))
		put_forwards(w);
	if (chance(w, 8))
		put_member(w, PICK(w, odd));
	put(w, "}");
}

static void put_networks(struct writer *w)
{
	unsigned int count = (unsigned int)(next(w->state) % (chance(w, 4) ? 18 : 4));

	put_member(w, "\"networks\": [");
	for (unsigned int i = 0; i < count; i++) {
		put(w, i ? "," : "");
		put_blank(w);
		put_network(w, i);
	}
	put(w, chance(w, 16) ? ", 1 ]" : "]");
}

static void put_unknown(struct writer *w, unsigned int count)
{
	char text[64];

	for (unsigned int i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "\"k%u\xe2\x82\xac\": null", i);
		put_member(w, text);
	}
}

static void put_manifest(struct writer *w)
{
	static const char *const memory[] = { "16M", "1023G", "64M", "1024G", "15M", "4G", "18014398509481985G", "4 G", "1T" };
	const char *last = "";

	put(w, "{ \"version\": 1, \"name\": \"fuzz\", \"firmware\": \"firmware.bin\", \"memory\": \"");
	put(w, chance(w, 4) ? PICK(w, memory) : "64M");
	put(w, "\"");
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (chance(w, 4) && strncmp(members[i], last, strcspn(last, ":") + 1)) {
			last = members[i];
			put_member(w, last);
		}
	if (chance(w, 8)) {
		put_member(w, "\"topology\":");
		put(w, PICK(w, topologies));
	}
	if (chance(w, 2))
		put_networks(w);
	if (chance(w, 16))
		put_unknown(w, (unsigned int)(next(w->state) % (chance(w, 8) ? 8000 : 40)));
	if (chance(w, 16)) {
		put(w, ",");
		put_key(w);
		put(w, ":");
		put_value(w, 2);
	}
	put(w, "\n}\n");
}

static void mutate(struct writer *w)
{
	static const uint8_t bytes[] = {
		0, 0xff, 0xc3, 0x80, '"', '\\', '{', '}', '[', ']', ',', ':', '\n', '\x1b', '0', '-', 'e', '.', ' ',
	};
	size_t at = next(w->state) % w->used, count = next(w->state) % 16 + 1;

	if (count > w->used - at)
		count = w->used - at;
	switch (next(w->state) % 6) {
	case 0:
		w->text[at] = PICK(w, bytes);
		break;
	case 1:
		w->text[at] = (uint8_t)(w->text[at] ^ 1u << next(w->state) % 8);
		break;
	case 2:
		memmove(w->text + at, w->text + at + count, w->used - at - count);
		w->used -= count < w->used ? count : 0;
		break;
	case 3:
		memmove(w->text + next(w->state) % (w->used - count + 1), w->text + at, count);
		break;
	case 4:
		w->used = chance(w, 4) ? at + 1 : w->used;
		break;
	case 5:
		if (w->used < w->most) {
			memmove(w->text + at + 1, w->text + at, w->used++ - at);
			w->text[at] = PICK(w, bytes);
		}
		break;
	}
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	struct writer w = { .text = input, .most = INPUT_ROOM, .state = state };
	unsigned int mutations = (unsigned int)(next(state) % MUTATIONS_MOST);

	w.most >>= next(state) % 10;
	if (next(state) % 4)
		put_manifest(&w);
	else
		put_list(&w, 0, next(state) % 8);
	while (mutations-- && next(state) % 2)
		mutate(&w);
	return w.used;
}

const struct fuzz_target fuzz_target = { 1200, INPUT_ROOM, make_input };
