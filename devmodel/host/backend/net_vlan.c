// SPDX-License-Identifier: GPL-2.0
/* The VLAN of a bridge's port, by rtnetlink(7): its frames have no tag on the port, and nothing else goes through it. */
#include "host/backend/net.h"

#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATH_ROOM	128
#define TEXT_ROOM	16
#define REPLY_ROOM	1024

struct request {
	struct nlmsghdr header;
	struct ifinfomsg port;
	struct nlattr spec;
	struct nlattr info;
	struct bridge_vlan_info vlan;
};

/* What the bridge's folder says; 0: nothing. */
static unsigned int read_bridge(const char *bridge, const char *what)
{
	char path[PATH_ROOM], text[TEXT_ROOM] = "";
	unsigned int value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge/%s", bridge, what);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fgets(text, sizeof(text), file))
		sscanf(text, "%u", &value);
	fclose(file);
	return value;
}

/* An errno, or 0. */
static int receive_answer(int sock)
{
	union {
		struct nlmsghdr header;
		char bytes[REPLY_ROOM];
	} reply;
	const struct nlmsgerr *error = NLMSG_DATA(&reply.header);
	ssize_t n = recv(sock, &reply, sizeof(reply), 0);

	if (n < 0)
		return errno;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*error)) || reply.header.nlmsg_type != NLMSG_ERROR)
		return EPROTO;
	return -error->error;
}

/* RTM_SETLINK: the port is in this VLAN; RTM_DELLINK: it is not. */
static int change(int sock, uint16_t type, unsigned int port, unsigned int vlan, uint16_t flags)
{
	const struct request request = {
		.header = { .nlmsg_len = sizeof(request), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.port = { .ifi_family = AF_BRIDGE, .ifi_index = (int)port },
		.spec = { sizeof(request.spec) + sizeof(request.info) + sizeof(request.vlan), IFLA_AF_SPEC },
		.info = { sizeof(request.info) + sizeof(request.vlan), IFLA_BRIDGE_VLAN_INFO },
		.vlan = { flags, (uint16_t)vlan },
	};

	if (send(sock, &request, sizeof(request), 0) != sizeof(request))
		return errno;
	return receive_answer(sock);
}

/* A port that is new has the bridge's own VLAN. */
static int move(int sock, unsigned int port, unsigned int from, unsigned int to)
{
	int error = 0;

	if (from && from != to)
		error = change(sock, RTM_DELLINK, port, from, 0);
	return error ? error : change(sock, RTM_SETLINK, port, to, BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
}

bool net_vlan_set(const char *port, const char *bridge, unsigned int vlan, struct failure *failure)
{
	int sock, error;

	if (!read_bridge(bridge, "vlan_filtering"))
		return failure_set(failure, EXIT_FAILED, "the bridge %s does not tell VLANs apart; "
				   "ip link set %s type bridge vlan_filtering 1 has it do so", bridge, bridge);
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	error = sock < 0 ? errno : move(sock, if_nametoindex(port), read_bridge(bridge, "default_pvid"), vlan);
	if (sock >= 0)
		close(sock);
	return !error || failure_set(failure, EXIT_FAILED, "cannot put the guest's port of %s into VLAN %u: %s", bridge, vlan,
				     strerror(error));
}
