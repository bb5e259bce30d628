// SPDX-License-Identifier: GPL-2.0
/*
 * A tap interface, which carries virtio's headers (Documentation/networking/tuntap.rst of Linux). One that is made here is a
 * bridge's port, and lasts as long as its descriptor: it goes with the guest's process, however that ends. One that was there
 * before is used as it is.
 */
#include "host/backend/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN_FILE		"/dev/net/tun"
#define MAC_FIRST		0xfe	/* of the host's end: the highest, so that no bridge takes it for its own */
#define NAME_SHORT		7	/* characters of a name that is too long */

/* FNV-1a */
static uint32_t hash(const char *text)
{
	uint32_t sum = 2166136261u;

	for (; *text; text++)
		sum = (sum ^ (uint8_t)*text) * 16777619u;
	return sum;
}

void net_tap_name(char name[NET_NAME_ROOM], const char *guest, unsigned int number)
{
	if (snprintf(name, NET_NAME_ROOM, "t%u-%s", number, guest) >= (int)NET_NAME_ROOM)
		snprintf(name, NET_NAME_ROOM, "t%u-%.*s-%04x", number, NAME_SHORT - (number > 9), guest, hash(guest) & 0xffff);
}

static bool fail(struct failure *failure, const char *what, const char *name)
{
	const char *hint = errno == EPERM ? "; this takes root, or the capability CAP_NET_ADMIN" : "";

	return failure_set(failure, EXIT_FAILED, "cannot %s %s: %s%s", what, name, strerror(errno), hint);
}

static bool attach(int fd, const char *name, struct failure *failure)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = NET_HEADER_BYTES, little_endian = 1;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request)) {
		if (errno == EBUSY)
			return failure_set(failure, EXIT_IN_USE, "the tap interface %s is in use by a guest or another program",
					   name);
		return fail(failure, "use the tap interface", name);
	}
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) || ioctl(fd, TUNSETVNETLE, &little_endian))
		return fail(failure, "have virtio's headers of the tap interface", name);
	return true;
}

static bool plug_into(int sock, struct ifreq *request, const char *bridge, struct failure *failure)
{
	struct ifreq port = { .ifr_ifindex = (int)if_nametoindex(request->ifr_name) };

	snprintf(port.ifr_name, sizeof(port.ifr_name), "%s", bridge);
	if (!port.ifr_ifindex || ioctl(sock, SIOCBRADDIF, &port)) {
		if (errno == EOPNOTSUPP)
			return failure_set(failure, EXIT_FAILED, "%s is no bridge", bridge);
		return fail(failure, "plug the guest into the bridge", bridge);
	}
	return true;
}

/* 0: it stays as it is. Whoever may not set it may use one that is right. */
static bool set_mtu(int sock, const char *name, unsigned int mtu, struct failure *failure)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (!mtu)
		return true;
	if (!ioctl(sock, SIOCGIFMTU, &request) && request.ifr_mtu == (int)mtu)
		return true;
	request.ifr_mtu = (int)mtu;
	return !ioctl(sock, SIOCSIFMTU, &request) || fail(failure, "set the MTU of", name);
}

/* A port of the bridge that is up. */
static bool set_up(int sock, const char *name, const struct manifest_network *network, struct failure *failure)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, network->mac, sizeof(network->mac));
	request.ifr_hwaddr.sa_data[0] = (char)MAC_FIRST;
	if (ioctl(sock, SIOCSIFHWADDR, &request))
		return fail(failure, "set the address of", name);
	if (!set_mtu(sock, name, network->mtu, failure))
		return false;
	if (!plug_into(sock, &request, network->name, failure) ||
	    (network->vlan && !net_vlan_set(name, network->name, network->vlan, failure)))
		return false;
	if (ioctl(sock, SIOCGIFFLAGS, &request))
		return fail(failure, "examine", name);
	request.ifr_flags |= IFF_UP;
	return !ioctl(sock, SIOCSIFFLAGS, &request) || fail(failure, "switch on", name);
}

static bool make_port(struct net *net, int fd, const struct manifest *m, const struct manifest_network *network,
		      unsigned int number, struct failure *failure)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char name[NET_NAME_ROOM];
	bool done = false;

	net_tap_name(name, m->name, number);
	if (sock < 0)
		return fail(failure, "make a socket for", name);
	if (!if_nametoindex(network->name))
		failure_set(failure, EXIT_FAILED, "there is no bridge %s", network->name);
	else if (if_nametoindex(name))
		failure_set(failure, EXIT_IN_USE, "there is an interface %s already", name);
	else
		done = attach(fd, name, failure) && set_up(sock, name, network, failure);
	net->port = if_nametoindex(name);
	close(sock);
	return done;
}

/* The kernel would make one of that name. */
static bool use_existing(int fd, const struct manifest_network *network, struct failure *failure)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *name = network->name;
	bool done = false;

	if (sock < 0)
		return fail(failure, "make a socket for", name);
	if (!if_nametoindex(name))
		failure_set(failure, EXIT_FAILED, "there is no tap interface %s; ip tuntap add dev %s mode tap makes one", name,
			    name);
	else
		done = attach(fd, name, failure) && set_mtu(sock, name, network->mtu, failure);
	close(sock);
	return done;
}

/* An interface that is deleted wakes who reads of it a moment before it is gone, and then no more (Linux, tun_detach_all). */
static bool open_news(struct net *net, struct failure *failure)
{
	const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };

	net->news.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (net->news.fd >= 0 && !bind(net->news.fd, (const struct sockaddr *)&address, sizeof(address)))
		return true;
	failure_set(failure, EXIT_FAILED, "cannot watch the host's interfaces: %s", strerror(errno));
	if (net->news.fd >= 0)
		close(net->news.fd);
	return false;
}

static bool open_tap(struct net *net, const struct manifest *m, const struct manifest_network *network, unsigned int number,
		     struct failure *failure)
{
	int fd = open(TUN_FILE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return failure_set(failure, EXIT_FAILED, "cannot open " TUN_FILE ": %s; the kernel's module tun makes it",
				   strerror(errno));
	net->source = (struct loop_source){ .fd = fd, .events = EPOLLIN };
	if ((network->kind == MANIFEST_NETWORK_BRIDGE ? make_port(net, fd, m, network, number, failure) :
							use_existing(fd, network, failure)) && open_news(net, failure))
		return true;
	close(fd);
	return false;
}

static bool is_in_bridge(const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	int left = (int)message->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*info));

	for (const struct rtattr *attribute = IFLA_RTA(info); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == IFLA_MASTER)
			return true;
	return false;
}

/* A bridge has messages of its own about its ports, of its own family. */
static void hear(struct net *net, const struct nlmsghdr *news, size_t bytes)
{
	const struct nlmsghdr *message = news;
	size_t left = bytes;

	while (left >= sizeof(*message) && message->nlmsg_len >= sizeof(*message) && message->nlmsg_len <= left) {
		const struct ifinfomsg *info = NLMSG_DATA(message);
		size_t step = NLMSG_ALIGN(message->nlmsg_len);

		if (message->nlmsg_type == RTM_NEWLINK && message->nlmsg_len >= NLMSG_LENGTH(sizeof(*info)) && net->port &&
		    info->ifi_family == AF_UNSPEC && info->ifi_index == (int)net->port)
			net->unplugged = !is_in_bridge(message);
		if (step >= left)
			break;
		left -= step;
		message = (const struct nlmsghdr *)((const char *)message + step);
	}
}

/* It takes no frame that is shorter than a header. */
static bool is_there(struct net *net)
{
	return write(net->source.fd, "", 1) >= 0 || errno != EBADFD;
}

static void close_tap(struct net *net)
{
	close(net->source.fd);
	close(net->news.fd);
}

/* What it does not take for its own reasons, such as being down, is lost, as on a cable that is not plugged in. */
static enum net_sent send_frame(struct net *net, const struct net_header *header, const uint8_t *frame, uint32_t bytes)
{
	const struct iovec parts[] = { { (void *)header, sizeof(*header) }, { (void *)frame, bytes } };

	if (writev(net->source.fd, parts, 2) >= 0)
		return NET_SENT;
	return errno == EAGAIN || errno == EINTR ? NET_WAITS : errno == EBADFD ? NET_GONE : NET_SENT;
}

static ssize_t receive(struct net *net, const struct iovec *pieces, int count, bool may_read)
{
	ssize_t bytes = may_read ? readv(net->source.fd, pieces, count) : 0;

	/* Nobody can say what one without a header is. */
	if (bytes > 0)
		return bytes > (ssize_t)NET_HEADER_BYTES ? bytes : 0;
	return bytes < 0 && errno == EBADFD ? -1 : 0;
}

static void set_offloads(struct net *net, uint64_t offloads)
{
	unsigned int flags = 0;

	/* The others take it (5.1.3.1). */
	if (offloads & NET_F_GUEST_CSUM)
		flags |= TUN_F_CSUM;
	if (flags && offloads & NET_F_GUEST_TSO4)
		flags |= TUN_F_TSO4;
	if (flags && offloads & NET_F_GUEST_TSO6)
		flags |= TUN_F_TSO6;
	if (ioctl(net->source.fd, TUNSETOFFLOAD, flags))
		perror("network: offloads");
}

/* Before Linux 5.0 the interface stays as it is: frames are lost without it, too. */
static void set_carrier(struct net *net, bool up)
{
	int carrier = up;

	if (ioctl(net->source.fd, TUNSETCARRIER, &carrier))
		perror("network: carrier");
}

const struct net_link_ops net_tap = {
	.features = NET_OFFLOADS | NET_GUEST_OFFLOADS,
	.open = open_tap, .close = close_tap, .send = send_frame, .receive = receive, .set_offloads = set_offloads,
	.set_carrier = set_carrier, .hear = hear, .is_there = is_there,
};
