/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames of a network device (VIRTIO 1.2, 5.1) on their way between a guest and the host: each with a header in front that says
 * which work on it was left out. Both halves pass that on and neither does it; each looks whether it makes sense before it does.
 *
 * A network device has three queues in the channel:
 *   0  buffers of NET_BUFFER_BYTES for frames to the guest, each of them a chain. A frame takes as many as it needs, the header
 *      at the start of the first one; header.buffers says how many these are, and they come back one behind the other
 *   1  frames of the guest, each of one piece with its header
 *   2  control (5.1.6.5): class and command, what belongs to it, and a byte for the answer. There are NET_CONTROL_OFFLOADS, and
 *      NET_CONTROL_LINK, by which the host tells of a change
 */
#ifndef KEEL_NET_H
#define KEEL_NET_H

#include <stdbool.h>
#include <stdint.h>

enum net_queue {
	NET_QUEUE_RECEIVE,
	NET_QUEUE_TRANSMIT,
	NET_QUEUE_CONTROL,
	NET_QUEUES,
};

#define NET_BUFFER_BYTES	4096u
#define NET_BUFFERS_MOST	17u		/* of one frame */
#define NET_ENTRIES		256u		/* of the first two queues, at most */
#define NET_ETHERNET_BYTES	14u
/* 5.1.6.3.1: the header, the Ethernet header and the longest IP packet. */
#define NET_HEADER_BYTES	12u
#define NET_FRAME_MOST		65550u		/* without the header */

/* Feature bits (5.1.3). */
#define NET_F_CSUM		(1ull << 0)
#define NET_F_GUEST_CSUM	(1ull << 1)
#define NET_F_MTU		(1ull << 3)
#define NET_F_MAC		(1ull << 5)
#define NET_F_GUEST_TSO4	(1ull << 7)
#define NET_F_GUEST_TSO6	(1ull << 8)
#define NET_F_HOST_TSO4		(1ull << 11)
#define NET_F_HOST_TSO6		(1ull << 12)
#define NET_F_MRG_RXBUF		(1ull << 15)
#define NET_F_STATUS		(1ull << 16)
#define NET_F_CTRL_VQ		(1ull << 17)
#define NET_F_CTRL_RX		(1ull << 18)
#define NET_F_GUEST_ANNOUNCE	(1ull << 21)

#define NET_OFFLOADS		(NET_F_CSUM | NET_F_HOST_TSO4 | NET_F_HOST_TSO6)	/* what the guest may leave out, */
#define NET_GUEST_OFFLOADS	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6)	/* and what the host may */

#define NET_FLAG_NEEDS_CSUM	1u
#define NET_FLAG_DATA_VALID	2u
#define NET_GSO_NONE		0u
#define NET_GSO_TCPV4		1u
#define NET_GSO_TCPV6		4u
#define NET_GSO_LEAST		48u		/* bytes of a segment: fewer no TCP sends, and each is work for the host */

#define NET_STATUS_LINK_UP	1u
#define NET_STATUS_ANNOUNCE	2u

#define NET_CONTROL_RX		0u		/* class: which frames the guest wants; NET_F_CTRL_RX has two commands of it, */
#define NET_CONTROL_RX_COMMANDS	2u
#define NET_CONTROL_MAC		1u		/* class: addresses; of it NET_F_CTRL_RX has command 0, a table of them */
#define NET_CONTROL_ANNOUNCE	3u		/* class; its one command, 0: the guest has seen NET_STATUS_ANNOUNCE */
#define NET_CONTROL_OFFLOADS	5u		/* class; its one command, 0, has 8 bytes, of NET_GUEST_OFFLOADS */
/*
 * class, of the channel alone; command: whether the link is up, as the cell knows it, 0 or 1. Answered as soon as it is not so:
 * then the cell asks for the next change. One waits at a time.
 */
#define NET_CONTROL_LINK	0x80u
#define NET_CONTROL_OK		0u
#define NET_CONTROL_ERROR	1u

struct net_header {
	uint8_t flags;			/* NET_FLAG_* */
	uint8_t gso_type;		/* NET_GSO_* */
	uint16_t header_bytes;		/* a hint */
	uint16_t gso_bytes;		/* of a segment's data */
	uint16_t checksum_start;	/* the first byte that is summed up; */
	uint16_t checksum_offset;	/* from there to where the sum goes */
	uint16_t buffers;		/* that the frame is in, of the guest's */
};

/* 5.1.4. A guest reads the MTU if NET_F_MTU is offered. */
struct net_config {
	uint8_t mac[6];
	uint16_t status;
	uint16_t queue_pairs;
	uint16_t mtu;
};

struct net_control_offloads {
	uint8_t class;
	uint8_t command;
	uint8_t offloads[8];		/* little-endian */
};

struct net_control_link {
	uint8_t class;
	uint8_t up;
};

/* What of a header's requests is agreed on. */
struct net_rights {
	bool checksum;			/* the rest of a sum */
	bool tcp4;			/* segments, of TCP over IPv4, */
	bool tcp6;			/* and over IPv6 */
};

static inline struct net_rights net_transmit_rights(uint64_t features)
{
	return (struct net_rights){ features & NET_F_CSUM, features & NET_F_HOST_TSO4, features & NET_F_HOST_TSO6 };
}

static inline struct net_rights net_receive_rights(uint64_t features)
{
	return (struct net_rights){ features & NET_F_GUEST_CSUM, features & NET_F_GUEST_TSO4, features & NET_F_GUEST_TSO6 };
}

/* The checksum is in the frame, behind the Ethernet header. */
static inline bool net_checksum_is_good(const struct net_header *header, uint32_t bytes)
{
	uint32_t at = (uint32_t)header->checksum_start + header->checksum_offset;

	return header->checksum_start >= NET_ETHERNET_BYTES && at + sizeof(uint16_t) <= bytes;
}

/* Whether a frame of so many bytes can have this header, which is a copy. */
static inline bool net_header_is_good(const struct net_header *header, uint32_t bytes, struct net_rights rights)
{
	bool needs_checksum = header->flags & NET_FLAG_NEEDS_CSUM;

	if (bytes < NET_ETHERNET_BYTES || bytes > NET_FRAME_MOST)
		return false;
	if (header->flags & ~(NET_FLAG_NEEDS_CSUM | NET_FLAG_DATA_VALID) || (header->flags && !rights.checksum))
		return false;
	if (needs_checksum && !net_checksum_is_good(header, bytes))
		return false;
	switch (header->gso_type) {
	case NET_GSO_NONE:
		return true;
	case NET_GSO_TCPV4:
	case NET_GSO_TCPV6:
		return (header->gso_type == NET_GSO_TCPV4 ? rights.tcp4 : rights.tcp6) && needs_checksum &&
		       header->gso_bytes >= NET_GSO_LEAST && header->header_bytes <= bytes;
	}
	return false;
}

#endif
