// SPDX-License-Identifier: GPL-2.0
// Escapes from the sandbox of keel-dm: io_uring, the one of disks and that of media, once they are there.
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <keel/macros.h>

#include "escapes.h"

/* What a request of the ring that was set up for disks answers; -EPERM if it is not taken at all. */
static int asked(struct io_uring *ring, const struct io_uring_sqe *what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int result;

	if (!sqe)
		return -EPERM;
	*sqe = *what;
	if (io_uring_submit(ring) < 1 || io_uring_wait_cqe(ring, &cqe))
		return -EPERM;
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

/* Outside, a ring as anybody's; inside, the one of the disks. */
static struct io_uring *ring_at_hand(void)
{
	static struct io_uring own;

	if (around.engine.loop)
		return &around.engine.ring;
	return own.ring_fd || !io_uring_queue_init(8, &own, 0) ? &own : NULL;
}

static bool asks(struct io_uring_sqe what)
{
	struct io_uring *ring = ring_at_hand();

	return ring && asked(ring, &what) >= 0;
}

static bool ring_opens(void)
{
	return asks((struct io_uring_sqe){ .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)"/",
					   .open_flags = O_RDONLY });
}

static bool ring_connects(void)
{
	static struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Inside there is no socket to begin with: the ring would have to make it. */
	if (fd < 0)
		return asks((struct io_uring_sqe){ .opcode = IORING_OP_SOCKET, .fd = AF_UNIX, .off = SOCK_STREAM });
	address = others_address();
	return asks((struct io_uring_sqe){ .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&address,
					   .off = sizeof(address) });
}

static bool ring_does_others(void)
{
	static const uint8_t operations[] = { IORING_OP_NOP, IORING_OP_CONNECT, IORING_OP_OPENAT2, IORING_OP_PROVIDE_BUFFERS };
	bool done = false;

	for (size_t i = 0; i < sizeof(operations); i++)
		done |= asks((struct io_uring_sqe){ .opcode = operations[i],
						    .flags = around.engine.loop ? IOSQE_FIXED_FILE : 0 });
	return done;
}

/* What a disk's request is, but for file and flags. */
bool ring_reads(int fd, uint8_t flags)
{
	static uint64_t bytes;

	return asks((struct io_uring_sqe){ .opcode = IORING_OP_READ, .flags = flags, .fd = fd, .addr = (uintptr_t)&bytes,
					   .len = sizeof(bytes) });
}

static bool ring_reads_others(void)
{
	return ring_reads(eventfd(1, EFD_CLOEXEC), 0);
}

static bool ring_flags(void)
{
	return around.engine.loop ? ring_reads(0, IOSQE_FIXED_FILE | IOSQE_ASYNC) :
				    ring_reads(eventfd(1, EFD_CLOEXEC), IOSQE_ASYNC);
}

static bool ring_registers(void)
{
	struct io_uring *ring = ring_at_hand();
	int fd = 0;

	return ring && syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_FILES, &fd, 1) >= 0;
}

/* Outside, a ring as anybody's; inside, the one of around.media, where no file is. */
static struct io_uring *media_ring_at_hand(void)
{
	return around.media.loop ? &around.media.ring : ring_at_hand();
}

/* One by one: the kernel would let go of them later. */
static bool ring_replaces(void)
{
	struct io_uring *ring = media_ring_at_hand();
	struct io_uring_files_update update = { .fds = (uintptr_t)&around.image };

	if (!around.media.loop && ring)
		io_uring_register_files(ring, &around.image, 1);
	return ring && syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_FILES_UPDATE, &update, 1) >= 0;
}

static bool ring_writes_media(void)
{
	static uint64_t bytes;
	struct io_uring *ring = media_ring_at_hand();
	struct io_uring_sqe write = {
		.opcode = IORING_OP_WRITE,
		.flags = around.media.loop ? IOSQE_FIXED_FILE : 0,
		.fd = around.media.loop ? 0 : around.image,
		.addr = (uintptr_t)&bytes,
		.len = sizeof(bytes),
	};

	return ring && asked(ring, &write) >= 0;
}

static bool new_ring(void)
{
	struct io_uring_params params = { 0 };

	return syscall(SYS_io_uring_setup, 4, &params) >= 0;
}

static const struct attempt list[] = {
	{ "replace files of the media's io_uring", ring_replaces, false, false },
	{ "write by the media's io_uring", ring_writes_media, false, false },
	{ "open by io_uring", ring_opens, false, false },
	{ "connect by io_uring", ring_connects, false, false },
	{ "other operations of io_uring", ring_does_others, false, false },
	{ "flags of io_uring", ring_flags, false, false },
	{ "register with io_uring", ring_registers, false, false },
	{ "a new io_uring", new_ring, false, false },
	{ "read another file by io_uring", ring_reads_others, false, false },
};

const struct attempts escapes_ring = { list, ARRAY_SIZE(list) };
