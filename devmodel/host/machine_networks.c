// SPDX-License-Identifier: GPL-2.0
/* The networks of a guest: what is told of them, and cables that are plugged in and pulled out while it runs. */
#include "host/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/backend/net.h"

#define MAC_ROOM	18u
#define ID_ROOM		12u

static const char *const kind_names[] = {
	[MANIFEST_NETWORK_TAP] = "tap", [MANIFEST_NETWORK_BRIDGE] = "bridge", [MANIFEST_NETWORK_USER] = "user",
};

static struct net *network_of(const struct machine *m, unsigned int number)
{
	return devices_state(&m->devices, &backend_net, number);
}

static void print_mac(char text[MAC_ROOM], const uint8_t *mac)
{
	snprintf(text, MAC_ROOM, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* Of the host, that carries its frames; empty: there is none. */
static void print_interface(char name[NET_NAME_ROOM], const struct machine *m, unsigned int number)
{
	const struct manifest_network *network = &m->manifest.network[number];

	name[0] = '\0';
	if (network->kind == MANIFEST_NETWORK_BRIDGE)
		net_tap_name(name, m->manifest.name, number);
	else if (network->kind == MANIFEST_NETWORK_TAP)
		snprintf(name, NET_NAME_ROOM, "%s", network->name);
}

static json_t *count_of(const struct net_count *count)
{
	return json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)count->frames, "bytes", (json_int_t)count->bytes, "dropped",
			 (json_int_t)count->dropped);
}

static const char *link_word(const struct net *net)
{
	return net->gone ? "lost" : !net->up ? "down" : net->unplugged ? "unplugged" : "up";
}

static json_t *describe(const struct machine *m, unsigned int number)
{
	const struct manifest_network *network = &m->manifest.network[number];
	const struct net *net = network_of(m, number);
	char mac[MAC_ROOM], interface[NET_NAME_ROOM];
	json_t *row;

	print_mac(mac, network->mac);
	print_interface(interface, m, number);
	row = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o, s:o}", "id", (int)number, "mac", mac, "kind", kind_names[network->kind],
			"model", "virtio", "link", link_word(net), "sent", count_of(&net->sent),
			"received", count_of(&net->received));
	if (row && network->kind == MANIFEST_NETWORK_BRIDGE)
		json_object_set_new(row, "bridge", json_string(network->name));
	if (row && interface[0])
		json_object_set_new(row, "interface", json_string(interface));
	if (row && network->mtu)
		json_object_set_new(row, "mtu", json_integer(network->mtu));
	return row;
}

json_t *machine_list_networks(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < m->manifest.networks; i++)
		json_array_append_new(list, describe(m, i));
	return json_pack("{s:b, s:o}", "ok", 1, "networks", list);
}

/* By its number, its address, or the interface of the host. */
static bool is_called(const struct machine *m, unsigned int number, const char *name)
{
	char id[ID_ROOM], mac[MAC_ROOM], interface[NET_NAME_ROOM];

	snprintf(id, sizeof(id), "%u", number);
	print_mac(mac, m->manifest.network[number].mac);
	print_interface(interface, m, number);
	return !strcmp(name, id) || !strcasecmp(name, mac) || (interface[0] && !strcmp(name, interface));
}

static bool find(const struct machine *m, const char *name, unsigned int *number, struct failure *failure)
{
	for (*number = 0; *number < m->manifest.networks; ++*number)
		if (is_called(m, *number, name))
			return true;
	return failure_set(failure, EXIT_FAILED, "%s",
			   m->manifest.networks ? "the guest has no such network; keel network-list shows what it has" :
						  "the guest has no networks");
}

static bool set_link(struct machine *m, const char *name, bool up, struct failure *failure)
{
	unsigned int number;
	struct net *net;

	if (!find(m, name, &number, failure))
		return false;
	net = network_of(m, number);
	if (net->gone)
		return failure_set(failure, EXIT_FAILED, "what network %u was connected to is gone, and does not come back "
				   "before the guest is destroyed and created anew", number);
	if (net->up != up)
		fprintf(stderr, "%s: network %u: the link is %s\n", m->manifest.name, number, up ? "up" : "down");
	net_set_link(net, up);
	return true;
}

json_t *machine_set_link(struct machine *m, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "network"));
	const json_t *up = json_object_get(request, "up");
	struct failure failure;

	if (!name || !json_is_boolean(up))
		failure_set(&failure, EXIT_FAILED, "expected a network, and whether its link is up");
	else if (set_link(m, name, json_is_true(up), &failure))
		return json_pack("{s:b}", "ok", 1);
	return json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure.code, "error", failure.text);
}
