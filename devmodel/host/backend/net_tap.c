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
	request.ifr_mtu = (int)network->mtu;
	if (network->mtu && ioctl(sock, SIOCSIFMTU, &request))
		return fail(failure, "set the MTU of", name);
	if (!plug_into(sock, &request, network->name, failure))
		return false;
	if (ioctl(sock, SIOCGIFFLAGS, &request))
		return fail(failure, "examine", name);
	request.ifr_flags |= IFF_UP;
	return !ioctl(sock, SIOCSIFFLAGS, &request) || fail(failure, "switch on", name);
}

static bool make_port(int fd, const struct manifest *m, const struct manifest_network *network, unsigned int number,
		      struct failure *failure)
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
	close(sock);
	return done;
}

/* The kernel would make one of that name. */
static bool use_existing(int fd, const char *name, struct failure *failure)
{
	return if_nametoindex(name) ? attach(fd, name, failure) :
	       failure_set(failure, EXIT_FAILED, "there is no tap interface %s; ip tuntap add dev %s mode tap makes one", name,
			   name);
}

static bool open_tap(struct net *net, const struct manifest *m, const struct manifest_network *network, unsigned int number,
		     struct failure *failure)
{
	int fd = open(TUN_FILE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return failure_set(failure, EXIT_FAILED, "cannot open " TUN_FILE ": %s; the kernel's module tun makes it",
				   strerror(errno));
	net->source = (struct loop_source){ .fd = fd, .events = EPOLLIN };
	if (network->kind == MANIFEST_NETWORK_BRIDGE ? make_port(fd, m, network, number, failure) :
						       use_existing(fd, network->name, failure))
		return true;
	close(fd);
	return false;
}

static void close_tap(struct net *net)
{
	close(net->source.fd);
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

const struct net_link_ops net_tap = {
	.features = NET_OFFLOADS | NET_GUEST_OFFLOADS,
	.open = open_tap, .close = close_tap, .send = send_frame, .receive = receive, .set_offloads = set_offloads,
};
