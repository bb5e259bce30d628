// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of the network devices' back end, the resource half's end of their queues: a cell that keeps to the rules or writes
 * anything anywhere, and behind the device passt, which keeps to its protocol or does not, or a stand-in for a tap interface.
 */
/* What net_passt.c finds under these names is here (targets.cmake). */
#undef clock_gettime
#undef fprintf
#undef posix_spawnp
#undef socketpair
#undef waitpid

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "fuzz.h"
#include "host/backend/backend.h"
#include "host/backend/net.h"
#include "shared/vq_driver.h"

#define INPUT_BYTES	600u
#define GAP		64u
#define RING_ROOM	8192u
#define ARENA_BYTES	(40u * NET_BUFFER_BYTES)
#define QUEUE_BYTES	(GAP + RING_ROOM + ARENA_BYTES)
#define CHANNEL_BYTES	(NET_QUEUES * QUEUE_BYTES + GAP)
#define STREAM_BYTES	(1u << 20)
#define LENGTH_BYTES	sizeof(uint32_t)
#define ROUNDS_MOST	4000u		/* in which all that is on its way comes through */
#define NOBODYS		0x5a
#define TICK_NS		100000u
#define RATE		(64ull << 20)
#define BURST		(1ull << 14)
#define TAP_FEATURES	(NET_OFFLOADS | NET_GUEST_OFFLOADS)

/* Frames behind their lengths, as passt has them. */
struct stream {
	uint8_t bytes[STREAM_BYTES];
	size_t put, passed, seen;	/* by its beginning, on the way, and by its end */
};

struct queue {
	uint32_t ring, arena;
	struct vq_driver driver;
	struct vq_shadow shadow[NET_ENTRIES];
	uint32_t place[NET_ENTRIES];	/* of the buffer of the chain that this one heads */
	unsigned int out;
};

static struct stream to_guest, from_guest;
static struct queue queues[NET_QUEUES];
static struct vq_device devices[NET_QUEUES];
static struct net *net;
static struct loop loop;
static struct manifest manifest;
static uint8_t *channel;
static uint8_t pattern[ARENA_BYTES], transmit_arena[ARENA_BYTES];	/* what an arena begins with; what that of frames has */
static unsigned int entries, losses, tap_waits;
static uint32_t cursor;		/* in the arena of frames */
static int peer;		/* passt's end; -1: it is closed */
static bool honest, exact;	/* the cell; and nothing was lost by a reset or an end */
static bool honest_peer;
static uint64_t now, start_time;
static bool watching, watched_up;	/* a command waits for the link to be otherwise */

/* Behind names of the C library */

int fuzz_clock_gettime(clockid_t clock, struct timespec *time);
int fuzz_fprintf(FILE *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
int fuzz_spawnp(pid_t *pid, const char *program, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attributes,
		char *const words[], char *const environment[]);
int fuzz_socketpair(int domain, int type, int protocol, int ends[2]);
pid_t fuzz_waitpid(pid_t pid, int *status, int options);

/* Goes on by each look. */
int fuzz_clock_gettime(clockid_t clock, struct timespec *time)
{
	require(clock == CLOCK_MONOTONIC, "another clock");
	now += TICK_NS;
	*time = (struct timespec){ (time_t)(now / 1000000000), (long)(now % 1000000000) };
	return 0;
}

int fuzz_fprintf(FILE *file, const char *format, ...)
{
	(void)file;
	(void)format;
	require(!losses++, "an end is told twice");
	return 0;
}

int fuzz_spawnp(pid_t *pid, const char *program, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *attributes,
		char *const words[], char *const environment[])
{
	(void)files;
	(void)attributes;
	(void)environment;
	require(!strcmp(program, "passt") && !strcmp(words[0], program), "another program");
	*pid = 1;
	return 0;
}

pid_t fuzz_waitpid(pid_t pid, int *status, int options)
{
	(void)options;
	*status = 0;
	return pid;
}

/* With little room, so that frames are sent in part. */
int fuzz_socketpair(int domain, int type, int protocol, int ends[2])
{
	const int room = 1;

	if (socketpair(domain, type, protocol, ends))
		return -1;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	peer = fcntl(ends[1], F_DUPFD_CLOEXEC, 0);
	require(peer >= 0 && !fcntl(peer, F_SETFL, O_NONBLOCK), "no socket");
	return 0;
}

/* The host's side */

/* Of what an honest cell has sent. */
static void check_sent(const uint8_t *bytes, size_t count)
{
	if (!honest || !exact)
		return;
	require(count <= from_guest.put - from_guest.seen && !memcmp(from_guest.bytes + from_guest.seen, bytes, count),
		"another frame than was sent");
	from_guest.seen += count;
}

static bool tap_open(struct net *one, const struct manifest *m, const struct manifest_network *network, unsigned int number,
		     struct failure *failure)
{
	int ends[2];

	(void)m;
	(void)network;
	(void)number;
	(void)failure;
	require(!fuzz_socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "no socket");
	close(ends[1]);
	require(!fcntl(ends[0], F_SETFL, O_NONBLOCK), "no socket");
	one->source = (struct loop_source){ .fd = ends[0], .events = EPOLLIN };
	return true;
}

static void tap_close(struct net *one)
{
	close(one->source.fd);
}

/* What Linux would refuse, or read behind the frame for. */
static enum net_sent tap_send(struct net *one, const struct net_header *header, const uint8_t *frame, uint32_t bytes)
{
	uint32_t length = htonl(bytes);

	(void)one;
	require(bytes >= NET_ETHERNET_BYTES && bytes <= NET_FRAME_MOST, "a frame's length");
	require(!(header->flags & ~3), "flags that are none");
	require(!(header->flags & 1) || header->checksum_start + header->checksum_offset + 2u <= bytes,
		"a checksum behind the frame");
	require(header->gso_type == 0 || ((header->gso_type == 1 || header->gso_type == 4) && header->flags & 1 &&
					  header->gso_bytes >= 48 && header->header_bytes <= bytes), "segments");
	if (tap_waits) {
		tap_waits--;
		return NET_WAITS;
	}
	check_sent((uint8_t *)&length, sizeof(length));
	check_sent(frame, bytes);
	return NET_SENT;
}

/* Of the stream there is the whole frame, and a byte in the socket for it. */
static ssize_t tap_receive(struct net *one, const struct iovec *pieces, int count, bool may_read)
{
	uint32_t length, done = 0;
	uint8_t byte;
	ssize_t n = may_read ? read(one->source.fd, &byte, 1) : 0;

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : may_read ? -1 : 0;
	memcpy(&length, to_guest.bytes + to_guest.passed, sizeof(length));
	length = ntohl(length);
	to_guest.passed += sizeof(length);
	memset(pieces[0].iov_base, 0, NET_HEADER_BYTES);
	for (int i = 0; i < count && done < length; i++) {
		uint32_t skip = i ? 0 : NET_HEADER_BYTES, part = length - done;

		if (part > pieces[i].iov_len - skip)
			part = (uint32_t)pieces[i].iov_len - skip;
		memcpy((uint8_t *)pieces[i].iov_base + skip, to_guest.bytes + to_guest.passed + done, part);
		done += part;
	}
	require(done == length, "there is no room for a frame");
	to_guest.passed += length;
	return (ssize_t)(NET_HEADER_BYTES + length);
}

static void tap_set_offloads(struct net *one, uint64_t offloads)
{
	(void)one;
	require(!(offloads & ~NET_GUEST_OFFLOADS), "offloads that are none");
}

const struct net_link_ops net_tap = {
	.features = TAP_FEATURES, .open = tap_open, .close = tap_close, .send = tap_send, .receive = tap_receive,
	.set_offloads = tap_set_offloads,
};

static bool is_tap(void)
{
	return net->ops == &net_tap;
}

static void read_from_guest(size_t most)
{
	static uint8_t bytes[1u << 17];
	ssize_t n = peer >= 0 && !is_tap() ? read(peer, bytes, most < sizeof(bytes) ? most : sizeof(bytes)) : 0;

	if (n > 0)
		check_sent(bytes, (size_t)n);
}

/* What the socket takes of what passt has to say. */
static void write_to_guest(size_t most)
{
	size_t left = to_guest.put - to_guest.passed;
	ssize_t n;

	if (peer < 0 || is_tap())
		return;
	n = send(peer, to_guest.bytes + to_guest.passed, left < most ? left : most, MSG_NOSIGNAL);
	if (n > 0)
		to_guest.passed += (size_t)n;
}

static void add_frame(uint32_t bytes, uint32_t length)
{
	uint32_t prefix = htonl(length);

	if (bytes + LENGTH_BYTES > STREAM_BYTES - to_guest.put)
		return;
	memcpy(to_guest.bytes + to_guest.put, &prefix, sizeof(prefix));
	memcpy(to_guest.bytes + to_guest.put + LENGTH_BYTES, pattern + to_guest.put % 1024, bytes);
	if (is_tap() && (peer < 0 || send(peer, &prefix, 1, MSG_NOSIGNAL) != 1))
		return;
	to_guest.put += LENGTH_BYTES + bytes;
}

static void say(struct bytes *b)
{
	unsigned int what = take8(b);
	uint32_t bytes = what & 1 ? take16(b) % 1600 : take32(b) % (NET_FRAME_MOST + 1);

	if (is_tap() || what % 16) {
		bytes = bytes < NET_ETHERNET_BYTES ? NET_ETHERNET_BYTES : bytes;
		add_frame(bytes, bytes);
		return;
	}
	honest_peer = false;
	add_frame(bytes, take32(b) >> take8(b) % 32);
}

static void hang_up(void)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
	honest_peer = exact = false;
}

/* The cell's side */

static bool send_chain(struct queue *q, const struct vq_piece *pieces, unsigned int out, unsigned int in, uint16_t *head)
{
	if (!vq_driver_send(&q->driver, pieces, out, in, head))
		return false;
	require(*head < entries, "a head that is none");
	q->place[*head] = pieces[0].offset;
	q->out++;
	return true;
}

static uint32_t anywhere(const struct queue *q, struct bytes *b)
{
	return take8(b) % 8 ? q->arena + take32(b) % ARENA_BYTES : take32(b) % (CHANNEL_BYTES + 4096);
}

/* Frames lie one behind the other, and over those before only when these are back. */
static bool take_place(uint32_t bytes)
{
	if (bytes > ARENA_BYTES - cursor) {
		if (queues[NET_QUEUE_TRANSMIT].out)
			return false;
		cursor = 0;
	}
	return bytes <= ARENA_BYTES;
}

static struct net_header make_header(struct bytes *b)
{
	unsigned int shape = take8(b);
	struct net_header header = { .buffers = shape & 0x80 ? 0xffff : 0 };

	if (shape & 1)
		header.flags = shape & 8 ? take8(b) : NET_FLAG_NEEDS_CSUM;
	if (shape & 2) {
		header.gso_type = shape & 16 ? take8(b) : NET_GSO_TCPV4;
		header.gso_bytes = take16(b) % 1500;
		header.header_bytes = take8(b);
	}
	if (shape & 4) {
		header.checksum_start = shape & 32 ? take16(b) : take8(b);
		header.checksum_offset = shape & 64 ? take16(b) : take8(b);
	}
	return header;
}

/* The rules of shared/net.h, once more, of what is behind the device. */
static bool is_good(const struct net_header *h, uint32_t bytes)
{
	bool needs = h->flags & 1;

	if (bytes < NET_ETHERNET_BYTES || bytes > NET_FRAME_MOST)
		return false;
	if (!is_tap())
		return !h->flags && !h->gso_type;
	if (h->flags > 3 || (needs && (h->checksum_start < 14 || h->checksum_start + h->checksum_offset + 2u > bytes)))
		return false;
	return !h->gso_type ||
	       ((h->gso_type == 1 || h->gso_type == 4) && needs && h->gso_bytes >= 48 && h->header_bytes <= bytes);
}

static void transmit(struct bytes *b)
{
	struct queue *q = &queues[NET_QUEUE_TRANSMIT];
	struct net_header header = make_header(b);
	unsigned int what = take8(b);
	uint32_t bytes = what % 4 ? take16(b) % 1600 : take32(b) % (NET_FRAME_MOST + 16), at, length = htonl(bytes);
	struct vq_piece piece = { 0, NET_HEADER_BYTES + bytes };
	uint16_t head;

	if (!take_place(piece.bytes) || from_guest.put + LENGTH_BYTES + bytes > STREAM_BYTES)
		return;
	at = cursor;
	piece.offset = q->arena + at;
	if (!honest && what % 8 == 5)
		piece.offset = anywhere(q, b);
	if (!honest && what % 8 == 6)
		piece.bytes = take32(b);
	if (!send_chain(q, &piece, !(what % 32 == 7 && !honest), what % 32 == 7 && !honest, &head))
		return;
	cursor += NET_HEADER_BYTES + bytes;
	memcpy(transmit_arena + at, &header, sizeof(header));
	memcpy(channel + q->arena + at, &header, sizeof(header));
	if (!is_good(&header, bytes))
		return;
	memcpy(from_guest.bytes + from_guest.put, &length, sizeof(length));
	memcpy(from_guest.bytes + from_guest.put + LENGTH_BYTES, transmit_arena + at + NET_HEADER_BYTES, bytes);
	from_guest.put += LENGTH_BYTES + bytes;
}

/* Each place once at a time, of an honest cell. */
static void offer_buffers(struct bytes *b)
{
	struct queue *q = &queues[NET_QUEUE_RECEIVE];
	unsigned int what = take8(b);
	uint16_t head;

	for (unsigned int i = 0; i < what % 64; i++) {
		struct vq_piece piece = { q->arena + (cursor + i) % 40 * NET_BUFFER_BYTES, NET_BUFFER_BYTES };

		if (!honest && what >= 0xc0)
			piece = (struct vq_piece){ anywhere(q, b), take8(b) % 2 ? NET_BUFFER_BYTES : take16(b) };
		if (honest) {
			if (q->out >= 40 || q->out >= entries)
				return;
			piece.offset = q->arena + q->driver.avail_index % 40u * NET_BUFFER_BYTES;
		}
		if (!send_chain(q, &piece, 0, 1, &head))
			return;
	}
}

static unsigned int frame_left;	/* buffers of the frame at hand that are still to come */

static void collect_frame(const struct queue *q, uint16_t head, uint32_t bytes)
{
	static uint8_t frame[NET_BUFFERS_MOST * NET_BUFFER_BYTES];
	static uint32_t used;

	if (!frame_left) {
		uint16_t buffers;

		memcpy(&buffers, channel + q->place[head] + offsetof(struct net_header, buffers), sizeof(buffers));
		require(buffers >= 1 && buffers <= NET_BUFFERS_MOST, "a frame of no buffers, or of too many");
		frame_left = buffers;
		used = 0;
	}
	require(bytes && bytes <= NET_BUFFER_BYTES && (frame_left == 1 || bytes == NET_BUFFER_BYTES),
		"a buffer that is not full");
	memcpy(frame + used, channel + q->place[head], bytes);
	used += bytes;
	if (--frame_left)
		return;
	require(used >= NET_HEADER_BYTES + NET_ETHERNET_BYTES && used <= NET_HEADER_BYTES + NET_FRAME_MOST, "a frame's length");
	if (honest_peer && exact) {
		uint32_t length;

		require(to_guest.seen < to_guest.put, "a frame that nobody sent");
		memcpy(&length, to_guest.bytes + to_guest.seen, sizeof(length));
		length = ntohl(length);
		require(used == NET_HEADER_BYTES + length, "a frame of another length");
		require(!memcmp(frame + NET_HEADER_BYTES, to_guest.bytes + to_guest.seen + LENGTH_BYTES, length),
			"another frame");
		to_guest.seen += LENGTH_BYTES + length;
	}
}

static void take_back(struct queue *q)
{
	uint32_t bytes;
	uint16_t head;

	while (vq_driver_receive(&q->driver, &head, &bytes)) {
		q->out--;
		if (!honest)
			continue;
		if (q == &queues[NET_QUEUE_RECEIVE])
			collect_frame(q, head, bytes);
		else if (q == &queues[NET_QUEUE_TRANSMIT])
			require(!bytes, "a frame of the guest's is written");
	}
}

/* Where the answer to a command of the link's is to be. */
static uint8_t *link_answer(void)
{
	return &channel[queues[NET_QUEUE_CONTROL].arena + 130];
}

/* Nothing goes faster than it may, but for the burst and the last frame. */
static void check_rates(void)
{
	uint64_t most = BURST + NET_FRAME_MOST + RATE * ((now - start_time) / 1000 + 1) / 1000000;

	require(net->timer.fd < 0 || (net->sent.bytes <= most && net->received.bytes <= most), "a limit that is none");
}

/* The answer comes when the link is not as the command says, and not before. */
static void check_watch(void)
{
	if (!honest || !watching)
		return;
	if (watched_up == net_link_is_up(net)) {
		require(*link_answer() == NOBODYS, "a change that is none");
		return;
	}
	require(*link_answer() == NET_CONTROL_OK, "a change that is not told");
	watching = false;
}

/* One waits at a time. */
static void watch(unsigned int what)
{
	struct queue *q = &queues[NET_QUEUE_CONTROL];
	const struct net_control_link control = { NET_CONTROL_LINK, what >> 7 };
	bool waited = watching;
	struct vq_piece pieces[2] = { { q->arena + 128, sizeof(control) }, { q->arena + (waited ? 131u : 130u), 1 } };
	uint16_t head;

	memcpy(channel + pieces[0].offset, &control, sizeof(control));
	channel[pieces[1].offset] = NOBODYS;
	if (!send_chain(q, pieces, 1, 1, &head) || !honest)
		return;
	watching = true;
	watched_up = waited ? watched_up : control.up;
	backend_net.serve(net, devices);
	require(!waited || channel[pieces[1].offset] == NET_CONTROL_ERROR, "two that wait");
	check_watch();
}

/* A time of its own for each: the answer is there at once. */
static void command(struct bytes *b)
{
	struct queue *q = &queues[NET_QUEUE_CONTROL];
	unsigned int what = take8(b);
	struct net_control_offloads control = { what & 1 ? take8(b) : NET_CONTROL_OFFLOADS, what & 2 ? take8(b) : 0, { 0 } };
	struct vq_piece pieces[2] = { { q->arena, sizeof(control) }, { q->arena + 64, 1 } };
	uint64_t offloads = what & 4 ? take64(b) : take8(b) & 0x82;
	bool good;
	uint16_t head;

	if (what % 64 >= 48) {
		watch(what);
		return;
	}
	memcpy(control.offloads, &offloads, sizeof(offloads));
	memcpy(channel + q->arena, &control, sizeof(control));
	if (what & 8)
		pieces[0].bytes = take8(b) + 1u;
	if (!honest && what & 16)
		pieces[what >> 7] = (struct vq_piece){ anywhere(q, b), take16(b) };
	/* That one would be watch()'s. */
	if (control.class == NET_CONTROL_LINK && pieces[0].bytes == sizeof(struct net_control_link))
		pieces[0].bytes++;
	channel[q->arena + 64] = NOBODYS;
	if (!send_chain(q, pieces, 1, 1, &head) || !honest)
		return;
	backend_net.serve(net, devices);
	check_watch();
	good = pieces[0].bytes == sizeof(control) && control.class == 5 && !control.command && !net->gone &&
	       !(offloads & ~(is_tap() ? (uint64_t)NET_GUEST_OFFLOADS : 0));
	/* A link may have been lost in the same call. */
	require(channel[q->arena + 64] == (good ? NET_CONTROL_OK : NET_CONTROL_ERROR) || (!exact && net->gone), "another answer");
}

static void scribble(struct bytes *b)
{
	struct queue *q = &queues[take8(b) % NET_QUEUES];
	uint32_t at = take32(b) % ((uint32_t)vq_bytes(entries) + ARENA_BYTES), count = take8(b) % 8;

	honest = false;
	for (; count; count--, at++)
		if (at < vq_bytes(entries)) {
			channel[q->ring + at] = take8(b);
		} else if (at - vq_bytes(entries) < ARENA_BYTES) {
			uint32_t in_arena = at - (uint32_t)vq_bytes(entries);

			channel[q->arena + in_arena] = take8(b);
			if (q == &queues[NET_QUEUE_TRANSMIT])
				transmit_arena[in_arena] = channel[q->arena + in_arena];
		}
}

/* The whole */

static void step(void)
{
	loop_step(&loop, 0);
	backend_net.serve(net, devices);
	check_watch();
	check_rates();
	for (unsigned int i = 0; i < NET_QUEUES; i++)
		take_back(&queues[i]);
	require(!honest || !frame_left, "a frame that is not whole");
}

static void start_queues(void)
{
	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		struct queue *q = &queues[i];

		q->ring = i * QUEUE_BYTES + GAP;
		q->arena = q->ring + RING_ROOM;
		q->out = 0;
		memset(channel + q->ring, 0, vq_bytes(entries));
		vq_driver_init(&q->driver, channel + q->ring, entries, q->shadow);
		vq_device_init(&devices[i], channel, q->ring, entries, q->arena, ARENA_BYTES);
	}
	cursor = 0;
	frame_left = 0;
	watching = false;
	backend_net.start(net);
}

/* The cable out, and in again: what is sent meanwhile is lost. */
static void pull(void)
{
	net_set_link(net, !net->up);
	exact = false;
}

/* The guest starts once more: what was on its way is gone. */
static void restart(void)
{
	start_queues();
	exact = false;
}

/* A guest and a host that are honest, and go on: nothing is left on its way. */
static void come_through(void)
{
	for (unsigned int i = 0; i < ROUNDS_MOST; i++) {
		struct bytes all = { (const uint8_t[]){ 40 }, 1 };

		write_to_guest(SIZE_MAX);
		offer_buffers(&all);
		step();
		read_from_guest(SIZE_MAX);
		if (!queues[NET_QUEUE_TRANSMIT].out && from_guest.seen == from_guest.put && to_guest.seen == to_guest.put)
			return;
	}
	require(false, "a frame is left on its way");
}

FUZZ_UNOBSERVED
static void check_untouched(void)
{
	for (unsigned int i = 0; i < NET_QUEUES; i++) {
		const uint8_t *ring = channel + queues[i].ring;

		for (unsigned int k = 1; k <= GAP; k++)
			require(ring[-(int)k] == NOBODYS, "what is in front of a ring was written");
		for (size_t k = vq_bytes(entries); k < RING_ROOM; k++)
			require(ring[k] == NOBODYS, "what is behind a ring was written");
	}
	require(!memcmp(channel + queues[NET_QUEUE_TRANSMIT].arena, transmit_arena, ARENA_BYTES),
		"a frame of the guest's was written");
}

static void set_up(uint8_t kind)
{
	struct backend_plan plan;
	struct failure failure;

	if (!channel) {
		for (uint32_t i = 0; i < ARENA_BYTES; i++)
			pattern[i] = (uint8_t)(i * 7 + (i >> 8));
		/* As the guest's process has it. */
		signal(SIGPIPE, SIG_IGN);
		channel = malloc(CHANNEL_BYTES);
		require(channel && loop_init(&loop), "no memory, or no loop");
	}
	entries = kind & 2 ? NET_ENTRIES : 32;
	losses = tap_waits = 0;
	honest = exact = honest_peer = true;
	to_guest.put = to_guest.passed = to_guest.seen = from_guest.put = from_guest.passed = from_guest.seen = 0;
	manifest.networks = 1;
	manifest.name = "fuzz";
	manifest.network[0].kind = kind & 1 ? MANIFEST_NETWORK_TAP : MANIFEST_NETWORK_USER;
	manifest.network[0].rate = kind & 4 ? (struct manifest_rate){ RATE, RATE, BURST } : (struct manifest_rate){ 0 };
	now += 10000000000u;
	start_time = now;
	require(backend_net.describe(&manifest, 0, &plan) && !backend_net.describe(&manifest, 1, &plan), "one network");
	net = calloc(1, backend_net.bytes);
	require(net && backend_net.open(net, &manifest, 0, &failure) && backend_net.watch(net, &loop), "no network");
	memset(channel, NOBODYS, CHANNEL_BYTES);
	start_queues();
	memcpy(transmit_arena, pattern, ARENA_BYTES);
	memcpy(channel + queues[NET_QUEUE_TRANSMIT].arena, pattern, ARENA_BYTES);
}

static void act(struct bytes *b)
{
	unsigned int what = take8(b);

	switch (what % 16) {
	case 0:
		if (what >= 0xc0)
			scribble(b);
		else if (what >= 0xa0)
			restart();
		else if (what >= 0x90)
			hang_up();
		else if (what >= 0x80)
			pull();
		else
			tap_waits = what >> 4;
		break;
	case 1:
		command(b);
		break;
	case 2:
	case 3:
		read_from_guest(take16(b));
		break;
	case 4:
	case 5:
		write_to_guest(what & 0x40 ? SIZE_MAX : take16(b));
		break;
	case 6:
	case 7:
		offer_buffers(b);
		break;
	case 8:
	case 9:
		say(b);
		break;
	case 10:
	case 11:
	case 12:
		step();
		break;
	default:
		transmit(b);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	set_up(take8(&b));
	while (b.left)
		act(&b);
	step();
	if (honest && exact && honest_peer)
		come_through();
	check_untouched();
	require(honest_peer || !exact || !net->gone || losses, "an end that is not told");
	if (!net->gone)
		loop_remove(&loop, &net->source);
	backend_net.close(net);
	free(net);
	if (peer >= 0)
		close(peer);
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { .rounds = 1500, .room = INPUT_BYTES, .make = make_input };
