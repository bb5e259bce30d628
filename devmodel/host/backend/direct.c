// SPDX-License-Identifier: GPL-2.0
/* Direct I/O: what it takes. */
#include "host/backend/direct.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "common/fd.h"

#define ALIGN_MOST	65536u
#define PAGE_BYTES	4096u

static bool is_align(uint32_t align)
{
	return align && align <= ALIGN_MOST && !(align & (align - 1));
}

/* Kernels before 6.1 do not say it: then it is what all of them take. */
static bool find_alignment(struct direct *direct, int fd)
{
	struct statx st;
	struct statfs fs;
	int sector = 0;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_DIOALIGN, &st))
		return false;
	if (st.stx_mask & STATX_DIOALIGN) {
		direct->offset_align = st.stx_dio_offset_align;
		direct->memory_align = st.stx_dio_mem_align;
	} else if (S_ISBLK(st.stx_mode)) {
		direct->offset_align = direct->memory_align = ioctl(fd, BLKSSZGET, &sector) ? 0 : (uint32_t)sector;
	} else {
		direct->offset_align = direct->memory_align = fstatfs(fd, &fs) ? 0 : (uint32_t)fs.f_bsize;
	}
	return is_align(direct->offset_align) && is_align(direct->memory_align);
}

/* Some say what they take and then do not. An image that is shorter than a block is read by none. */
static bool can_read(const struct direct *direct, int fd)
{
	_Alignas(ALIGN_MOST) static uint8_t block[ALIGN_MOST];

	return pread(fd, block, direct->offset_align, 0) >= 0;
}

void direct_close(struct direct *direct)
{
	if (direct_is_open(direct))
		fd_close(&direct->fd);
	direct->offset_align = 0;
}

bool direct_open(struct direct *direct, int fd, bool readonly, const char *file, struct failure *failure)
{
	int reopened = fd_reopen(fd, (readonly ? O_RDONLY : O_RDWR) | O_DIRECT);
	bool good = reopened >= 0 && find_alignment(direct, reopened) && can_read(direct, reopened);

	/* io_uring would not wait for what is not there at once. */
	if (good && !fcntl(reopened, F_SETFL, fcntl(reopened, F_GETFL) & ~O_NONBLOCK)) {
		direct->fd = reopened;
		/* What is read by the page cache nevertheless brings nothing else there. */
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		return true;
	}
	direct->offset_align = 0;
	fd_close(&reopened);
	return failure_set(failure, EXIT_FAILED,
			   "%s is where no direct I/O is possible, as in a file system in memory: "
			   "take \"cache\": \"none\" out, or move it", file);
}

bool direct_fits(const struct direct *direct, const void *buffer, uint64_t offset, uint32_t count)
{
	return !((offset | count) & (direct->offset_align - 1)) && !((uintptr_t)buffer & (direct->memory_align - 1));
}

bool direct_overlaps(const struct direct *direct, uint64_t a, uint32_t a_count, uint64_t b, uint32_t b_count)
{
	uint64_t grain = direct->offset_align > PAGE_BYTES ? direct->offset_align : PAGE_BYTES;

	return a / grain <= (b + b_count - 1) / grain && b / grain <= (a + a_count - 1) / grain;
}
