// SPDX-License-Identifier: GPL-2.0
/* Networks: what a guest's cards are plugged into. */
#include "manifest/loader.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define MTU_LEAST		68		/* RFC 791; with less than 1280 there is no IPv6 */
#define MTU_MOST		65520		/* with its Ethernet header it is the longest frame that a card carries */
#define PORT_MOST		65535
#define VLAN_MOST		4094
#define RATE_LEAST		1024ull		/* bytes a second, or at once */
#define RATE_MOST		(1ull << 40)
#define BURST_MOST		(1ull << 30)

static const char *const protocol_names[] = { "tcp", "udp" };

static struct manifest_network *network(struct loader *l)
{
	return &l->m->network[l->m->networks];
}

static struct manifest_forward *forward(struct loader *l)
{
	return &network(l)->forward[network(l)->forwards];
}

/* FNV-1a of the guest's name and the card's number, in an address that is nobody's (IEEE 802, 8.2.2: locally administered). */
static void make_mac(uint8_t mac[6], const char *name, unsigned int number)
{
	uint64_t sum = 14695981039346656037ull;

	for (; *name; name++)
		sum = (sum ^ (uint8_t)*name) * 1099511628211ull;
	sum = (sum ^ number) * 1099511628211ull;
	/* The last characters are in the low bytes alone. */
	sum ^= sum >> 29;
	for (unsigned int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(sum >> 8 * i);
	mac[0] = (mac[0] & 0xfc) | 0x02;
}

/* As Linux has it, of what can be shown. */
static const char *want_interface(struct loader *l, const char *path, json_t *value)
{
	const char *name = want_string(l, path, value, "the name of an interface");

	if (!name)
		return NULL;
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c > '~' || *c == '/' || *c == ':' || c - name >= (long)MANIFEST_INTERFACE_MAX)
			name = "";
	if (*name && strcmp(name, ".") && strcmp(name, ".."))
		return name;
	complain(l, path, "%s: expected the name of an interface, of 1 to %u characters", path + 1, MANIFEST_INTERFACE_MAX);
	return NULL;
}

static void note_kind(struct loader *l, enum manifest_network_kind kind, const char *name)
{
	network(l)->kind = kind;
	if (name)
		snprintf(network(l)->name, sizeof(network(l)->name), "%s", name);
	l->network_kinds++;
}

static void parse_tap(struct loader *l, const char *path, json_t *value)
{
	note_kind(l, MANIFEST_NETWORK_TAP, want_interface(l, path, value));
}

static void parse_bridge(struct loader *l, const char *path, json_t *value)
{
	note_kind(l, MANIFEST_NETWORK_BRIDGE, want_interface(l, path, value));
}

static void parse_user(struct loader *l, const char *path, json_t *value)
{
	if (!json_is_true(value))
		complain(l, path, "%s: expected true, found %s", path + 1, json_is_false(value) ? "false" : want_found(value));
	note_kind(l, MANIFEST_NETWORK_USER, NULL);
}

static void parse_mac(struct loader *l, const char *path, json_t *value)
{
	const char *text = want_string(l, path, value, "an address such as \"02:00:00:00:00:01\"");
	uint8_t *mac = network(l)->mac;
	int end = 0;

	if (!text)
		return;
	if (strspn(text, "0123456789abcdefABCDEF:") != 17 || text[17] ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5],
		   &end) != 6 || end != 17) {
		complain(l, path, "%s: expected an address such as \"02:00:00:00:00:01\"", path + 1);
		return;
	}
	if (mac[0] & 1 || !memcmp(mac, (const uint8_t[6]){ 0 }, 6))
		complain(l, path, "%s: an address of all zeros, or of a group, cannot be a card's", path + 1);
	l->mac_given = true;
}

/* Others are meant to come. */
static void parse_model(struct loader *l, const char *path, json_t *value)
{
	static const char *const models[] = { "virtio" };
	const char *word = json_string_value(value);

	if (word && (!strcmp(word, "e1000") || !strcmp(word, "e1000e")))
		complain(l, path, "%s: \"%s\" is not there yet; without \"model\" it is \"virtio\"", path + 1, word);
	else
		want_word(l, path, value, models, ARRAY_SIZE(models));
}

static void parse_mtu(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, MTU_LEAST, MTU_MOST, &network(l)->mtu);
}

static void parse_vlan(struct loader *l, const char *path, json_t *value)
{
	want_integer(l, path, value, 1, VLAN_MOST, &network(l)->vlan);
}

static struct manifest_rate *rate(struct loader *l)
{
	return &network(l)->rate;
}

static void parse_rate_receive(struct loader *l, const char *path, json_t *value)
{
	want_bytes(l, path, value, RATE_LEAST, RATE_MOST, &rate(l)->receive);
}

static void parse_rate_transmit(struct loader *l, const char *path, json_t *value)
{
	want_bytes(l, path, value, RATE_LEAST, RATE_MOST, &rate(l)->transmit);
}

static void parse_rate_burst(struct loader *l, const char *path, json_t *value)
{
	want_bytes(l, path, value, RATE_LEAST, BURST_MOST, &rate(l)->burst);
}

static const struct key rate_keys[] = {
	{ "receive", false, parse_rate_receive },
	{ "transmit", false, parse_rate_transmit },
	{ "burst", false, parse_rate_burst },
};

/* A string is the rate of either way. */
static void parse_rate(struct loader *l, const char *path, json_t *value)
{
	size_t before = complaints(l);

	if (json_is_string(value)) {
		parse_rate_receive(l, path, value);
		rate(l)->transmit = rate(l)->receive;
	} else if (!json_is_object(value)) {
		complain(l, path, "%s: expected a number of bytes a second such as \"10M\", or an object, found %s", path + 1,
			 want_found(value));
	} else if (want_object(l, path, value, rate_keys, ARRAY_SIZE(rate_keys)) && complaints(l) == before &&
		   !rate(l)->receive && !rate(l)->transmit) {
		complain(l, path, "%s: expected \"receive\", \"transmit\" or both", path + 1);
	}
}

static void parse_port(struct loader *l, const char *path, json_t *value, uint16_t *port)
{
	unsigned int number;

	if (want_integer(l, path, value, 1, PORT_MOST, &number))
		*port = (uint16_t)number;
}

static void parse_host_port(struct loader *l, const char *path, json_t *value)
{
	parse_port(l, path, value, &forward(l)->host);
}

static void parse_guest_port(struct loader *l, const char *path, json_t *value)
{
	parse_port(l, path, value, &forward(l)->guest);
}

static void parse_protocol(struct loader *l, const char *path, json_t *value)
{
	forward(l)->udp = want_word(l, path, value, protocol_names, ARRAY_SIZE(protocol_names));
}

static void parse_address(struct loader *l, const char *path, json_t *value)
{
	const char *text = want_string(l, path, value, "an IP address of this host");
	struct in6_addr address;

	if (!text)
		return;
	if (inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1)
		snprintf(forward(l)->address, sizeof(forward(l)->address), "%s", text);
	else
		complain(l, path, "%s: expected an IP address of this host, such as \"127.0.0.1\"", path + 1);
}

static const struct key forward_keys[] = {
	{ "host", true, parse_host_port },
	{ "guest", false, parse_guest_port },
	{ "protocol", false, parse_protocol },
	{ "address", false, parse_address },
};

static void check_forward(struct loader *l, const char *path)
{
	const struct manifest_forward *one = forward(l);

	for (unsigned int i = 0; i <= l->m->networks; i++) {
		const struct manifest_network *n = &l->m->network[i];

		for (unsigned int j = 0; j < n->forwards; j++)
			if (one->host && n->forward[j].host == one->host && n->forward[j].udp == one->udp &&
			    !strcmp(n->forward[j].address, one->address)) {
				complain(l, path, "%s: networks/%u/forward/%u has this port of the host already", path + 1, i, j);
				return;
			}
	}
}

static void parse_forward(struct loader *l, const char *path, json_t *value)
{
	char element[PATH_ROOM];
	json_t *item;
	size_t i;

	l->forward_given = true;
	if (!json_is_array(value)) {
		complain(l, path, "%s: expected a list of objects, found %s", path + 1, want_found(value));
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		if (i == MANIFEST_FORWARDS) {
			complain(l, element, "%s: expected at most %u", path + 1, MANIFEST_FORWARDS);
			return;
		}
		*forward(l) = (struct manifest_forward){ .address = "127.0.0.1" };
		want_object(l, element, item, forward_keys, ARRAY_SIZE(forward_keys));
		if (!forward(l)->guest)
			forward(l)->guest = forward(l)->host;
		check_forward(l, element);
		network(l)->forwards++;
	}
}

static const struct key network_keys[] = {
	{ "tap", false, parse_tap },
	{ "bridge", false, parse_bridge },
	{ "user", false, parse_user },
	{ "forward", false, parse_forward },
	{ "mac", false, parse_mac },
	{ "model", false, parse_model },
	{ "mtu", false, parse_mtu },
	{ "rate", false, parse_rate },
	{ "vlan", false, parse_vlan },
};

static void parse_network(struct loader *l, const char *path, json_t *value)
{
	size_t before = complaints(l);

	*network(l) = (struct manifest_network){ 0 };
	l->network_kinds = 0;
	l->forward_given = l->mac_given = false;
	if (json_is_string(value))
		complain(l, path, "%s: a string is not there yet; { \"bridge\": \"br0\" } is what it will stand for", path + 1);
	else if (want_object(l, path, value, network_keys, ARRAY_SIZE(network_keys)) && l->network_kinds != 1)
		complain(l, path, "%s: expected one of \"bridge\", \"tap\" and \"user\"", path + 1);
	else if (complaints(l) == before && l->forward_given && network(l)->kind != MANIFEST_NETWORK_USER)
		complain(l, path, "%s: \"forward\" goes with \"user\" alone", path + 1);
	else if (complaints(l) == before && network(l)->vlan && network(l)->kind != MANIFEST_NETWORK_BRIDGE)
		complain(l, path, "%s: \"vlan\" goes with \"bridge\" alone", path + 1);
	network(l)->mac_given = l->mac_given;
	l->m->networks++;
}

void network_parse(struct loader *l, const char *path, json_t *value)
{
	char element[PATH_ROOM];
	json_t *item;
	size_t i;

	if (!json_is_array(value)) {
		complain(l, path, "networks: expected a list of objects, found %s", want_found(value));
		return;
	}
	json_array_foreach(value, i, item) {
		snprintf(element, sizeof(element), "%s/%zu", path, i);
		if (i == MANIFEST_NETWORKS) {
			complain(l, element, "networks: expected at most %u", MANIFEST_NETWORKS);
			return;
		}
		parse_network(l, element, item);
	}
}

static void check_pair(struct loader *l, unsigned int first, unsigned int second)
{
	const struct manifest_network *a = &l->m->network[first], *b = &l->m->network[second];
	char path[PATH_ROOM];

	/* One that is given may be what the other was made. */
	if ((a->mac_given || b->mac_given) && !memcmp(a->mac, b->mac, sizeof(a->mac))) {
		snprintf(path, sizeof(path), "/networks/%u/mac", b->mac_given ? second : first);
		complain(l, path, "%s: networks/%u has this address already", path + 1, b->mac_given ? first : second);
	}
	if (a->kind == MANIFEST_NETWORK_TAP && b->kind == MANIFEST_NETWORK_TAP && a->name[0] && !strcmp(a->name, b->name)) {
		snprintf(path, sizeof(path), "/networks/%u/tap", second);
		complain(l, path, "%s: networks/%u has this interface already", path + 1, first);
	}
}

static void check_room(struct loader *l)
{
	unsigned int disks = 0, most;
	char path[PATH_ROOM];

	for (unsigned int i = 0; i < l->source_count; i++)
		disks += l->sources[i].drive.bus == MANIFEST_BUS_VIRTIO;
	most = MANIFEST_VIRTIO_MOST - disks;
	if (l->m->networks <= most)
		return;
	snprintf(path, sizeof(path), "/networks/%u", most);
	complain(l, path, "networks: expected at most %u beside %u disks with \"bus\": \"virtio\"", most, disks);
}

/* The name may stand behind the networks. */
void network_check(struct loader *l)
{
	struct manifest *m = l->m;

	for (unsigned int i = 0; i < m->networks; i++) {
		if (!m->network[i].mac_given && m->name)
			make_mac(m->network[i].mac, m->name, i);
		for (unsigned int j = 0; j < i; j++)
			check_pair(l, j, i);
	}
	check_room(l);
}
