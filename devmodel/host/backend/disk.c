// SPDX-License-Identifier: GPL-2.0
/* Disk images by io_uring. */
#include "host/backend/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/clock.h"
#include "host/confine/sandbox.h"
#include "manifest/image_format.h"

#define RING_ENTRIES		256
#define ENGINE_FILES		((int)(DISK_FILES * MANIFEST_DRIVES))
#define OVERLAY_FOLDER		"/var/tmp"
#define OVERLAY_LEAST		(16ull << 20)	/* free in it, or the snapshot is refused */

#define PUNCH			(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO			(FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

static const uint8_t zeroes[64 << 10];

/* A piece of a request that is one file's and one operation. */
struct part {
	struct disk_job *job;
	int fd;
	uint8_t *buffer;	/* NULL of what is written: zeroes */
	uint64_t offset;
	uint32_t count;
	bool write;
	int allocation;		/* of fallocate, as long as that may be the way */
};

/* Some file systems have no files without a name. */
static int open_overlay(void)
{
	char path[] = OVERLAY_FOLDER "/keel-XXXXXX";
	int fd = open(OVERLAY_FOLDER, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static uint64_t overlay_bytes(uint64_t bytes)
{
	return (bytes + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

static size_t overlay_map_bytes(uint64_t bytes)
{
	return overlay_bytes(bytes) / DISK_BLOCK / 8 + 1;
}

static uint64_t overlay_limit(const struct disk *disk, const struct manifest_drive *drive)
{
	return overlay_bytes(drive->snapshot_limit ? drive->snapshot_limit : disk->bytes) / DISK_BLOCK;
}

/* Says what the snapshot may meet: it takes room only as the guest writes. */
static bool check_room(const struct disk *disk, const struct manifest_drive *drive, struct failure *failure)
{
	uint64_t most = disk->overlay_most * DISK_BLOCK, least = most < OVERLAY_LEAST ? most : OVERLAY_LEAST, room;
	struct statfs fs;

	/* Of a file system of no size nothing can be said. */
	if (fstatfs(disk->overlay, &fs) || !fs.f_blocks)
		return true;
	room = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize;
	if (room < least)
		return failure_set(failure, EXIT_FAILED,
				   OVERLAY_FOLDER ", where what the guest writes to the snapshot of %s is kept, "
				   "has %llu KiB left: make room there", drive->file, (unsigned long long)room >> 10);
	if (room < most)
		fprintf(stderr,
			"%s: what the guest writes to this snapshot may be %llu MiB, and " OVERLAY_FOLDER " has %llu MiB left\n",
			drive->file, (unsigned long long)most >> 20, (unsigned long long)room >> 20);
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		fprintf(stderr,
			"%s: what the guest writes to this snapshot takes the host's memory: " OVERLAY_FOLDER " is there\n",
			drive->file);
	return true;
}

static bool make_overlay(struct disk *disk, const struct manifest_drive *drive, struct failure *failure)
{
	disk->overlay = open_overlay();
	disk->overlaid = calloc(1, overlay_map_bytes(disk->bytes));
	if (disk->overlay < 0 || !disk->overlaid)
		return failure_set(failure, EXIT_FAILED, "cannot make a file in " OVERLAY_FOLDER " for the snapshot of %s: %s",
				   drive->file, strerror(errno));
	disk->overlay_most = overlay_limit(disk, drive);
	return check_room(disk, drive, failure);
}

static bool examine(int fd, const char *file, uint64_t *bytes, struct failure *failure)
{
	struct stat st;

	if (fstat(fd, &st))
		return failure_set(failure, EXIT_FAILED, "cannot examine %s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return failure_set(failure, EXIT_FAILED, "%s is neither a regular file nor a block device", file);
	*bytes = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, bytes))
		return failure_set(failure, EXIT_FAILED, "cannot examine %s: %s", file, strerror(errno));
	return true;
}

bool disk_examine_medium(int fd, const char *file, uint64_t *bytes, struct failure *failure)
{
	char *fault;

	if (!examine(fd, file, bytes, failure))
		return false;
	if (!image_is_good(fd, file, *bytes, IMAGE_CD_SECTOR, &fault))
		failure_set(failure, EXIT_FAILED, "%s", fault ? fault : "out of memory");
	else
		return true;
	free(fault);
	return false;
}

/* The manifest's check saw a size that is right; the file may have changed since. */
static bool has_checked_size(const struct disk *disk, const struct manifest_drive *drive, struct failure *failure)
{
	return disk->bytes == drive->bytes ||
	       failure_set(failure, EXIT_FAILED, "%s changed its size while it was opened", drive->file);
}

bool disk_open(struct disk *disk, const struct manifest_drive *drive, struct failure *failure)
{
	*disk = (struct disk){
		.fd = -1, .overlay = -1, .readonly = drive->mode != MANIFEST_RW, .removable = drive->kind == MANIFEST_DRIVE_CDROM,
		.no_discard = drive->no_discard,
	};
	if (!drive->file)
		return true;
	if (!claim_image(&disk->claim, drive->file, disk->readonly, failure))
		return false;
	disk->fd = disk->claim.part[0].fd;
	if (examine(disk->fd, drive->file, &disk->bytes, failure) && has_checked_size(disk, drive, failure) &&
	    (drive->mode != MANIFEST_SNAPSHOT || make_overlay(disk, drive, failure)) &&
	    (drive->cache != MANIFEST_CACHE_NONE ||
	     direct_open(&disk->direct, disk->fd, disk->readonly, drive->file, failure)))
		return true;
	disk_close(disk);
	return false;
}

bool disk_take(struct disk *disk, int fd, struct failure *failure)
{
	*disk = (struct disk){ .fd = fd, .overlay = -1, .readonly = true };
	claim_add(&disk->claim, fd);
	return examine(fd, "a disk's image", &disk->bytes, failure);
}

void disk_close(struct disk *disk)
{
	claim_release(&disk->claim);
	direct_close(&disk->direct);
	if (disk->overlay >= 0)
		close(disk->overlay);
	free(disk->overlaid);
	*disk = (struct disk){ .fd = -1, .overlay = -1 };
}

void disk_change(struct disk *disk, int fd, uint64_t bytes)
{
	claim_release(&disk->claim);
	disk->fd = fd;
	disk->bytes = bytes;
	if (fd >= 0)
		claim_add(&disk->claim, fd);
}

static bool is_overlaid(const struct disk *disk, uint64_t offset)
{
	return disk->overlaid && disk->overlaid[offset / DISK_BLOCK / 8] & 1u << offset / DISK_BLOCK % 8;
}

/* The overlay's last block may have had a part of the image only, of what is a whole block now. */
static bool complete_last_block(const struct disk *disk)
{
	uint64_t end = disk->bytes - disk->bytes % DISK_BLOCK + DISK_BLOCK;
	uint8_t rest[DISK_BLOCK];
	ssize_t n;

	if (disk->bytes % DISK_BLOCK == 0 || !is_overlaid(disk, disk->bytes))
		return true;
	n = pread(disk->fd, rest, end - disk->bytes, (off_t)disk->bytes);
	return n >= 0 && pwrite(disk->overlay, rest, (size_t)n, (off_t)disk->bytes) == n;
}

static bool resize_overlay(struct disk *disk, uint64_t bytes)
{
	size_t before = overlay_map_bytes(disk->bytes), after = overlay_map_bytes(bytes);
	uint8_t *map = bytes > disk->bytes ? realloc(disk->overlaid, after) : disk->overlaid;

	if (!map)
		return false;
	disk->overlaid = map;
	if (bytes > disk->bytes) {
		memset(map + before, 0, after - before);
		return complete_last_block(disk);
	}
	for (uint64_t at = overlay_bytes(bytes); at < disk->bytes; at += DISK_BLOCK) {
		disk->overlay_used -= is_overlaid(disk, at);
		map[at / DISK_BLOCK / 8] &= (uint8_t)~(1u << at / DISK_BLOCK % 8);
	}
	return true;
}

bool disk_measure(struct disk *disk, const struct manifest_drive *drive, struct failure *failure)
{
	unsigned int sector = drive->kind == MANIFEST_DRIVE_CDROM ? IMAGE_CD_SECTOR : IMAGE_SECTOR;
	uint64_t bytes;

	if (disk->fd < 0)
		return true;
	if (!examine(disk->fd, drive->file, &bytes, failure))
		return false;
	bytes -= bytes % sector;
	if (!bytes)
		return failure_set(failure, EXIT_FAILED, "%s has become shorter than a sector", drive->file);
	if (disk->overlaid && !resize_overlay(disk, bytes))
		return failure_set(failure, EXIT_FAILED, "cannot make the snapshot of %s as long as the image: %s", drive->file,
				   strerror(errno));
	disk->bytes = bytes;
	disk->overlay_most = overlay_limit(disk, drive);
	return true;
}

bool disk_image_bytes(const struct disk *disk, const struct manifest_drive *drive, uint64_t *bytes, struct failure *failure)
{
	return examine(disk->fd, drive->file, bytes, failure);
}

bool disk_set_image_bytes(const struct disk *disk, const struct manifest_drive *drive, uint64_t bytes, struct failure *failure)
{
	return !ftruncate(disk->fd, (off_t)bytes) ||
	       failure_set(failure, EXIT_FAILED, "cannot make %s %llu bytes long: %s", drive->file, (unsigned long long)bytes,
			   strerror(errno));
}

static void mark_overlaid(struct disk *disk, uint64_t offset)
{
	disk->overlay_used += !is_overlaid(disk, offset);
	disk->overlaid[offset / DISK_BLOCK / 8] |= (uint8_t)(1u << offset / DISK_BLOCK % 8);
}

/* NULL: it is no operation. */
static struct disk_statistics *statistics_of(struct disk *disk, uint32_t op)
{
	static const uint8_t operations[] = {
		[KEEL_BLOCK_READ] = DISK_READ + 1, [KEEL_BLOCK_WRITE] = DISK_WRITE + 1, [KEEL_BLOCK_FLUSH] = DISK_FLUSH + 1,
		[KEEL_BLOCK_DISCARD] = DISK_DISCARD + 1, [KEEL_BLOCK_WRITE_ZEROES] = DISK_WRITE_ZEROES + 1,
	};

	return op < ARRAY_SIZE(operations) && operations[op] ? &disk->statistics[operations[op] - 1] : NULL;
}

static void count(struct disk *disk, uint32_t op, uint32_t bytes, int status, uint64_t ns)
{
	struct disk_statistics *statistics = statistics_of(disk, op);

	if (!statistics)
		return;
	statistics->done += !status;
	statistics->failed += status != 0;
	statistics->bytes += status ? 0 : bytes;
	statistics->ns += ns;
}

static bool is_range(const struct disk_job *job)
{
	return job->op == KEEL_BLOCK_DISCARD || job->op == KEEL_BLOCK_WRITE_ZEROES;
}

static bool is_write(const struct disk_job *job)
{
	return job->op == KEEL_BLOCK_WRITE || job->op == KEEL_BLOCK_WRITE_ZEROES;
}

/* One of them writes by the page cache and the other one past it. */
static bool conflict(const struct disk_job *a, const struct disk_job *b)
{
	return a->cached != b->cached && a->op != KEEL_BLOCK_READ && b->op != KEEL_BLOCK_READ && a->count && b->count &&
	       direct_overlaps(&a->disk->direct, a->offset, a->count, b->offset, b->count);
}

static bool must_wait(const struct disk_job *job)
{
	for (const struct disk_job *earlier = job->disk->jobs; earlier != job; earlier = earlier->next)
		if (conflict(earlier, job))
			return true;
	return false;
}

static void enlist(struct disk_job *job)
{
	struct disk_job **link = &job->disk->jobs;

	while (*link)
		link = &(*link)->next;
	*link = job;
	job->next = NULL;
	job->cached = is_range(job) || !direct_fits(&job->disk->direct, job->data, job->offset, job->count);
	job->waits = must_wait(job);
}

static void delist(struct disk_job *job)
{
	struct disk_job **link = &job->disk->jobs;

	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
}

static void start_job(struct disk_engine *engine, struct disk_job *job);

/* Of those that waited, the ones that need not any more. To start one may end it, and others may be ready then. */
static void start_waiting(struct disk_engine *engine, const struct disk *disk)
{
	struct disk_job *job = disk->jobs;

	while (job) {
		if (!job->waits || must_wait(job)) {
			job = job->next;
			continue;
		}
		job->waits = false;
		engine->waiting = true;
		start_job(engine, job);
		job = disk->jobs;
	}
}

static void complete(struct disk_engine *engine, struct disk_job *job)
{
	const struct disk *disk = job->disk;

	count(job->disk, job->op, job->count, job->status, clock_ns() - job->began_ns);
	if (direct_is_open(&disk->direct))
		delist(job);
	job->busy = false;
	job->next = engine->free;
	engine->free = job;
	engine->busy--;
	engine->done(engine->owner, job->tag, job->status);
	if (direct_is_open(&disk->direct))
		start_waiting(engine, disk);
}

/* A file that has no holes is no failure. */
static bool has_failed(const struct disk_job *job)
{
	return job->status && !(job->op == KEEL_BLOCK_DISCARD && job->status == -EOPNOTSUPP);
}

static void finish(struct disk_engine *engine, struct disk_job *job)
{
	uint64_t end = job->offset + job->count;

	if (job->retried)
		engine->retried--;
	job->retried = false;
	if (has_failed(job) && engine->failed && engine->failed(engine->owner, job)) {
		job->held = true;
		engine->held++;
		return;
	}
	/* Blocks count as overlaid once they are: after an error the guest reads what was there before. */
	if (is_write(job) && !job->status && job->disk->overlaid)
		for (uint64_t at = job->offset - job->offset % DISK_BLOCK; at < end; at += DISK_BLOCK)
			mark_overlaid(job->disk, at);
	complete(engine, job);
}

static void part_over(struct disk_engine *engine, struct disk_job *job, int status)
{
	if (status && !job->status)
		job->status = status;
	if (!--job->parts)
		finish(engine, job);
}

static struct io_uring_sqe *next_sqe(struct disk_engine *engine)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);

	if (!sqe) {
		io_uring_submit(&engine->ring);
		sqe = io_uring_get_sqe(&engine->ring);
	}
	return sqe;
}

static int queue(struct disk_engine *engine, struct part *part)
{
	struct io_uring_sqe *sqe = next_sqe(engine);
	int file = 0;

	if (!sqe)
		return -EAGAIN;
	while (file < ENGINE_FILES && engine->files[file] != part->fd)
		file++;
	if (!part->count)
		io_uring_prep_fsync(sqe, file, IORING_FSYNC_DATASYNC);
	else if (part->allocation)
		io_uring_prep_fallocate(sqe, file, part->allocation, (off_t)part->offset, part->count);
	else if (part->write && !part->buffer)
		io_uring_prep_write(sqe, file, zeroes, part->count < sizeof(zeroes) ? part->count : sizeof(zeroes), part->offset);
	else if (part->write)
		io_uring_prep_write(sqe, file, part->buffer, part->count, part->offset);
	else
		io_uring_prep_read(sqe, file, part->buffer, part->count, part->offset);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, part);
	return 0;
}

static void start_part(struct disk_engine *engine, const struct part *what)
{
	struct part *part = malloc(sizeof(*part));
	int status;

	what->job->parts++;
	if (part)
		*part = *what;
	status = part ? queue(engine, part) : -ENOMEM;
	if (status) {
		free(part);
		part_over(engine, what->job, status);
	}
}

/* Not every file, and not every device, can do without room for zeroes, or get them without all of them being written. */
static bool has_other_way(struct part *part, int result)
{
	if (!part->allocation || (result != -EOPNOTSUPP && result != -EINVAL && result != -ENODEV) ||
	    part->job->op != KEEL_BLOCK_WRITE_ZEROES)
		return false;
	part->allocation = part->allocation == PUNCH ? ZERO : 0;
	return true;
}

/* The rest of a direct one is there for the page cache alone. There is none but where an image ends, where nothing is written. */
static bool has_rest(struct part *part)
{
	const struct disk *disk = part->job->disk;

	if (!direct_is_open(&disk->direct) || part->fd != disk->direct.fd ||
	    direct_fits(&disk->direct, part->buffer, part->offset, part->count))
		return true;
	part->fd = disk->fd;
	return !part->write;
}

/* Fewer bytes than asked for: the rest again, but none at all means that the file has become shorter. */
static void part_answered(struct disk_engine *engine, struct part *part, int result)
{
	struct disk_job *job = part->job;
	int status = result < 0 ? result : 0;

	if (has_other_way(part, result) || result == -EINTR || result == -EAGAIN ||
	    (result > 0 && (uint32_t)result < part->count)) {
		uint32_t moved = result > 0 ? (uint32_t)result : 0;

		if (part->buffer)
			part->buffer += moved;
		part->offset += moved;
		part->count -= moved;
		status = has_rest(part) ? queue(engine, part) : -EIO;
		if (!status)
			return;
	} else if (part->allocation && (result == -EINVAL || result == -ENODEV)) {
		status = -EOPNOTSUPP;
	} else if (!result && part->count && !part->allocation) {
		status = -EIO;
		job->cut = true;
	}
	free(part);
	part_over(engine, job, status);
}

static void reap(struct disk_engine *engine)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&engine->ring, &cqe)) {
		struct part *part = io_uring_cqe_get_data(cqe);
		int result = cqe->res;

		io_uring_cqe_seen(&engine->ring, cqe);
		part_answered(engine, part, result);
	}
	io_uring_submit(&engine->ring);
}

static void on_completions(struct loop_source *source, uint32_t events)
{
	(void)events;
	reap(container_of(source, struct disk_engine, source));
}

/* Copies the block around an unaligned end of a write into the overlay, before the write changes a part of it. */
static int fill_block(struct disk *disk, uint64_t offset)
{
	uint64_t start = offset - offset % DISK_BLOCK;
	uint8_t block[DISK_BLOCK];
	uint32_t count = disk->bytes - start < DISK_BLOCK ? (uint32_t)(disk->bytes - start) : DISK_BLOCK;
	ssize_t n;

	if (offset == start || offset >= disk->bytes || is_overlaid(disk, offset))
		return 0;
	n = pread(disk->fd, block, count, (off_t)start);
	if (n != (ssize_t)count)
		return n < 0 ? -errno : -EIO;
	n = pwrite(disk->overlay, block, count, (off_t)start);
	return n == (ssize_t)count ? 0 : n < 0 ? -errno : -ENOSPC;
}

static bool exceeds_limit(const struct disk_job *job)
{
	uint64_t more = 0;

	for (uint64_t at = job->offset - job->offset % DISK_BLOCK; at < job->offset + job->count; at += DISK_BLOCK)
		more += !is_overlaid(job->disk, at);
	return more && job->disk->overlay_used + more > job->disk->overlay_most;
}

static void start_overlay_write(struct disk_engine *engine, struct disk_job *job)
{
	int status = exceeds_limit(job) ? -EDQUOT : fill_block(job->disk, job->offset);

	if (!status)
		status = fill_block(job->disk, job->offset + job->count);
	if (status)
		job->status = status;
	else
		start_part(engine, &(struct part){ job, job->disk->overlay, job->data, job->offset, job->count, true, 0 });
}

/* Runs of blocks alternate between the image and the overlay. */
static void start_overlay_read(struct disk_engine *engine, struct disk_job *job)
{
	uint64_t at = job->offset, end = job->offset + job->count;

	while (at < end) {
		bool overlaid = is_overlaid(job->disk, at);
		uint64_t stop = at - at % DISK_BLOCK + DISK_BLOCK;

		while (stop < end && is_overlaid(job->disk, stop) == overlaid)
			stop += DISK_BLOCK;
		if (stop > end)
			stop = end;
		start_part(engine, &(struct part){ job, overlaid ? job->disk->overlay : job->disk->fd,
						   job->data + (at - job->offset), at, (uint32_t)(stop - at), false, 0 });
		at = stop;
	}
}

static bool may_unmap(const struct disk_job *job)
{
	return job->unmap && !job->disk->no_discard;
}

static void start_parts(struct disk_engine *engine, struct disk_job *job)
{
	struct disk *disk = job->disk;

	if (job->op == KEEL_BLOCK_FLUSH) {
		/* Nothing of a snapshot outlives the process, and a read-only image has nothing to flush. */
		if (!disk->readonly)
			start_part(engine, &(struct part){ .job = job, .fd = disk->fd });
	} else if (disk->overlaid && is_write(job)) {
		start_overlay_write(engine, job);
	} else if (disk->overlaid) {
		start_overlay_read(engine, job);
	} else if (is_range(job)) {
		start_part(engine, &(struct part){ job, disk->fd, NULL, job->offset, job->count, true,
						   job->op == KEEL_BLOCK_DISCARD || may_unmap(job) ? PUNCH : ZERO });
	} else {
		bool direct = direct_is_open(&disk->direct) && !job->cached;

		start_part(engine, &(struct part){ job, direct ? disk->direct.fd : disk->fd, job->data, job->offset, job->count,
						   is_write(job), 0 });
	}
}

static void start_job(struct disk_engine *engine, struct disk_job *job)
{
	/* The part that this function holds keeps the job from ending while its others are being started. */
	job->parts = 1;
	start_parts(engine, job);
	part_over(engine, job, 0);
}

static int check(const struct disk *disk, const struct disk_request *request)
{
	uint32_t most = KEEL_BOUNCE_BYTES;

	if (disk->fd < 0)
		return -ENOMEDIUM;
	if (request->op == KEEL_BLOCK_FLUSH)
		return 0;
	if (request->op == KEEL_BLOCK_DISCARD || request->op == KEEL_BLOCK_WRITE_ZEROES)
		most = KEEL_BLOCK_RANGE_MOST * KEEL_SECTOR;
	else if (request->op != KEEL_BLOCK_READ && request->op != KEEL_BLOCK_WRITE)
		return -EINVAL;
	if (!request->count || request->count > most || request->count % IMAGE_SECTOR || request->offset % IMAGE_SECTOR ||
	    request->offset > disk->bytes || request->count > disk->bytes - request->offset)
		return -EINVAL;
	if (request->op == KEEL_BLOCK_DISCARD && (disk->overlaid || disk->no_discard))
		return -EOPNOTSUPP;
	return request->op != KEEL_BLOCK_READ && disk->readonly && !disk->overlaid ? -EROFS : 0;
}

void disk_submit(struct disk_engine *engine, struct disk *disk, const struct disk_request *request)
{
	struct disk_job *job = engine->free;
	int status = check(disk, request);

	if (!status && !job)
		status = -EBUSY;
	if (status) {
		count(disk, request->op, 0, status, 0);
		engine->done(engine->owner, request->tag, status);
		return;
	}
	engine->free = job->next;
	*job = (struct disk_job){
		.busy = true, .disk = disk, .op = request->op, .tag = request->tag, .offset = request->offset,
		.count = request->op == KEEL_BLOCK_FLUSH ? 0 : request->count, .unmap = request->unmap,
		.began_ns = clock_ns(),
	};
	if (!is_range(job))
		job->data = request->data;
	engine->busy++;
	engine->waiting = true;
	if (direct_is_open(&disk->direct))
		enlist(job);
	if (!job->waits)
		start_job(engine, job);
}

void disk_start(struct disk_engine *engine)
{
	if (!engine->waiting)
		return;
	engine->waiting = false;
	io_uring_submit(&engine->ring);
	/* What the page cache has is there already. */
	reap(engine);
}

static void let_go(struct disk_engine *engine, struct disk_job *job)
{
	job->held = false;
	engine->held--;
}

void disk_retry(struct disk_engine *engine)
{
	bool again[DISK_JOBS];

	/* One that fails at once is held again. */
	for (unsigned int i = 0; i < DISK_JOBS; i++)
		again[i] = engine->jobs[i].held;
	for (unsigned int i = 0; i < DISK_JOBS; i++) {
		struct disk_job *job = &engine->jobs[i];

		if (!again[i])
			continue;
		let_go(engine, job);
		job->status = 0;
		job->cut = false;
		job->retried = true;
		engine->retried++;
		start_job(engine, job);
	}
	io_uring_submit(&engine->ring);
}

static void give_up(struct disk_engine *engine)
{
	for (unsigned int i = 0; i < DISK_JOBS; i++)
		if (engine->jobs[i].held) {
			let_go(engine, &engine->jobs[i]);
			complete(engine, &engine->jobs[i]);
		}
}

void disk_describe(const struct disk_job *job, char *text, size_t room)
{
	static const char *const verbs[] = {
		[KEEL_BLOCK_READ] = "read", [KEEL_BLOCK_WRITE] = "write", [KEEL_BLOCK_FLUSH] = "flush",
		[KEEL_BLOCK_DISCARD] = "discard", [KEEL_BLOCK_WRITE_ZEROES] = "write of zeroes",
	};
	bool overlay = job->disk->overlay >= 0 && is_write(job);
	const char *why = job->cut ? "the image ends before that; it has become shorter" :
			  overlay && job->status == -EDQUOT ? "the snapshot has reached its limit" : strerror(-job->status);

	if (job->op == KEEL_BLOCK_FLUSH)
		snprintf(text, room, "flush: %s", why);
	else
		snprintf(text, room, "%s of %u bytes at %llu: %s%s", verbs[job->op], job->count, (unsigned long long)job->offset,
			 why, overlay ? "; what the guest writes is kept in " OVERLAY_FOLDER : "");
}

bool disk_is_used_behind(const struct disk_engine *engine, const struct disk *disk, uint64_t bytes)
{
	for (unsigned int i = 0; i < DISK_JOBS; i++) {
		const struct disk_job *job = &engine->jobs[i];

		if (job->busy && job->disk == disk && job->offset + job->count > bytes)
			return true;
	}
	return false;
}

void disk_drain(struct disk_engine *engine)
{
	struct io_uring_cqe *cqe;

	disk_start(engine);
	give_up(engine);
	disk_start(engine);
	while (engine->busy && !io_uring_wait_cqe(&engine->ring, &cqe)) {
		reap(engine);
		give_up(engine);
		disk_start(engine);
	}
}

/* The library of Debian 12 has functions for these in its header alone. */
static int ring_register(const struct io_uring *ring, unsigned int what, const void *argument, unsigned int count)
{
	return syscall(SYS_io_uring_register, ring->ring_fd, what, argument, count) < 0 ? -errno : 0;
}

/*
 * A filter does not see what is asked for by a ring: it is restricted before it is put to use. Of files it takes those that are
 * registered, where no request waits for ever.
 */
static int restrict_ring(struct io_uring *ring, const struct io_uring_restriction *what, unsigned int count)
{
	unsigned int workers[2] = { SANDBOX_WORKERS, SANDBOX_WORKERS };
	int error;

	/* Kernels before 5.15 have no such limit. */
	io_uring_register_iowq_max_workers(ring, workers);
	error = ring_register(ring, IORING_REGISTER_RESTRICTIONS, what, count);
	return error ? error : ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int restrict_to_disks(struct io_uring *ring)
{
	static const struct io_uring_restriction restrictions[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITE },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC },
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_FILES },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
	};

	return restrict_ring(ring, restrictions, ARRAY_SIZE(restrictions));
}

/*
 * To put them away and register others lets go of a file at once; to replace one does so a second later, on kernels before 6.4.
 */
static int restrict_to_media(struct io_uring *ring)
{
	static const struct io_uring_restriction restrictions[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READ },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_FILES },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_FILES },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
	};

	return restrict_ring(ring, restrictions, ARRAY_SIZE(restrictions));
}

bool disk_engine_init(struct disk_engine *engine, struct loop *loop, struct failure *failure)
{
	int error = io_uring_queue_init(RING_ENTRIES, &engine->ring, IORING_SETUP_R_DISABLED);

	if (error)
		return failure_set(failure, EXIT_FAILED, "io_uring is not available (%s); see sysctl kernel.io_uring_disabled",
				   strerror(-error));
	engine->loop = loop;
	engine->busy = engine->held = engine->retried = 0;
	engine->waiting = false;
	memset(engine->jobs, 0, sizeof(engine->jobs));
	for (unsigned int i = 0; i < DISK_JOBS; i++)
		engine->jobs[i].next = i + 1 < DISK_JOBS ? &engine->jobs[i + 1] : NULL;
	engine->free = engine->jobs;
	/* As long as there are completions in it. An event descriptor would tell of those, too, that were reaped meanwhile. */
	engine->source = (struct loop_source){ .fd = engine->ring.ring_fd, .events = EPOLLIN, .ready = on_completions };
	if (!loop_add(loop, &engine->source))
		return failure_set(failure, EXIT_FAILED, "cannot watch the completions of io_uring");
	return true;
}

static int register_files(struct disk_engine *engine, const struct disk *disks, unsigned int count)
{
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		bool own = i < count && disks[i].removable == engine->media;

		engine->files[DISK_FILES * i] = own ? disks[i].fd : -1;
		engine->files[DISK_FILES * i + 1] = own && direct_is_open(&disks[i].direct) ? disks[i].direct.fd : -1;
		engine->files[DISK_FILES * i + 2] = own ? disks[i].overlay : -1;
	}
	return io_uring_register_files(&engine->ring, engine->files, ENGINE_FILES);
}

bool disk_engine_start(struct disk_engine *engine, const struct disk *disks, unsigned int count, struct failure *failure)
{
	int error = register_files(engine, disks, count);

	if (!error)
		error = engine->media ? restrict_to_media(&engine->ring) : restrict_to_disks(&engine->ring);
	return !error ||
	       failure_set(failure, EXIT_FAILED, "cannot restrict io_uring to the guest's images: %s", strerror(-error));
}

bool disk_engine_restart(struct disk_engine *engine, const struct disk *disks, unsigned int count, struct failure *failure)
{
	int error = io_uring_unregister_files(&engine->ring);

	/* None: those of the last time could not be registered. */
	if (!error || error == -ENXIO)
		error = register_files(engine, disks, count);
	return !error || failure_set(failure, EXIT_FAILED, "cannot let io_uring have another medium: %s", strerror(-error));
}

void disk_engine_close(struct disk_engine *engine)
{
	disk_drain(engine);
	loop_remove(engine->loop, &engine->source);
	/* The kernel takes a ring apart later: by then others may want the images. */
	io_uring_unregister_files(&engine->ring);
	io_uring_queue_exit(&engine->ring);
}
