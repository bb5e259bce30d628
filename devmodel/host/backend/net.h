/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Networks of a guest: what is common to all (net.c), and what is behind one: a tap interface (net_tap.c), or passt
 * (net_passt.c). Frames are not looked into; their headers are, for the cell is not trusted.
 */
#ifndef KEEL_NET_BACKEND_H
#define KEEL_NET_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>
#include <sys/uio.h>

#include "common/exit.h"
#include "host/backend/bucket.h"
#include "host/loop.h"
#include "manifest/manifest.h"
#include "shared/net.h"

struct net;

enum net_sent {
	NET_SENT,
	NET_WAITS,		/* there is no room for it now */
	NET_GONE,		/* the link is */
};

struct net_link_ops {
	uint64_t features;		/* that a guest is offered for it */
	/*
	 * In a process that is not confined yet. Sets net->source.fd, and net->news.fd if there is something of the kind, which
	 * are not blocking. On failure nothing is left.
	 */
	bool (*open)(struct net *net, const struct manifest *m, const struct manifest_network *network, unsigned int number,
		     struct failure *failure);
	void (*close)(struct net *net);
	/* A frame with a header that is good. What the link cannot take is lost, and sent. */
	enum net_sent (*send)(struct net *net, const struct net_header *header, const uint8_t *frame, uint32_t bytes);
	/* What it has begun to send. NULL: it never has. */
	enum net_sent (*flush)(struct net *net);
	/*
	 * One frame with its header into pieces that hold any. Its bytes with the header; 0: there is none now; below 0: nor ever
	 * again. may_read: there may be something to read.
	 */
	ssize_t (*receive)(struct net *net, const struct iovec *pieces, int count, bool may_read);
	/* Of NET_GUEST_OFFLOADS. NULL: it has none. */
	void (*set_offloads)(struct net *net, uint64_t offloads);
	/*
	 * Something has come to net->news, with this alignment: sets net->unplugged. The other one: whether it is still there,
	 * looked at afterwards. NULL: it has no news, and tells of its end by itself.
	 */
	void (*hear)(struct net *net, const struct nlmsghdr *news, size_t bytes);
	bool (*is_there)(struct net *net);
	/* So that the host's side sees whether the cable is plugged in. NULL: there is nobody to see it. */
	void (*set_carrier)(struct net *net, bool up);
};

extern const struct net_link_ops net_tap, net_passt;

/* Of the chains that were taken of a queue and not given back, in their order. */
struct net_chain {
	uint16_t head;
	uint32_t offset;		/* of its one piece, in the channel */
	uint32_t bytes;			/* 0: it has none that is good */
};

struct net_chains {
	struct net_chain ring[NET_ENTRIES];
	unsigned int first;		/* the oldest one's place */
	unsigned int count;
};

/* The cell's command that is answered when the link is not as it says. */
struct net_watch {
	bool waits;
	bool up;
	uint16_t head;
	uint32_t answer;		/* offset in the channel */
};

struct net_count {
	uint64_t frames, bytes;		/* that have gone through, without their headers, */
	uint64_t dropped;		/* and frames that did not, since the link was down */
};

struct net {
	const struct net_link_ops *ops;
	struct loop *loop;
	struct loop_source source;
	struct loop_source news;	/* of the host's interfaces; fd below 0: there are none */
	uint32_t ready;			/* events since it was served */
	bool up;			/* by the administrator's word */
	bool gone;			/* what is behind it is; what the guest sends is lost */
	bool unplugged;			/* its interface was to be a bridge's port, and is none now */
	unsigned int port;		/* that interface; 0: it is to be none */
	struct net_watch watch;
	struct net_count sent;		/* of the guest's, */
	struct net_count received;	/* and for it */
	struct bucket sending;		/* limits of the same */
	struct bucket receiving;
	struct loop_source timer;	/* for the end of a wait; fd below 0: there is no limit */
	uint64_t alarm;			/* that it is set to, CLOCK_MONOTONIC; 0: it is not */
	struct net_chains transmit;	/* frames of the guest, */
	struct net_chains receive;	/* and buffers for those to it */
	struct passt *passt;
	const char *name;		/* of the guest, for its log */
};

static inline bool net_link_is_up(const struct net *net)
{
	return net->up && !net->gone && !net->unplugged;
}

/* Plugs the cable in, or pulls it out. The guest hears of it when the network is served. */
void net_set_link(struct net *net, bool up);

/* net_vlan.c: a bridge's port has this VLAN alone, of the bridge's, which must tell them apart. */
bool net_vlan_set(const char *port, const char *bridge, unsigned int vlan, struct failure *failure);

/* The interface's name of a guest's network: "t0-NAME", with a hash where that is too long. */
#define NET_NAME_ROOM	16u
void net_tap_name(char name[NET_NAME_ROOM], const char *guest, unsigned int number);

#endif
