// SPDX-License-Identifier: GPL-2.0
/* Disk images and the queues of the channel: random requests against a model, and hostile ones against the checks. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/backend/disk.h"
#include "core/stream.h"
#include "host/board.h"
#include "suite.h"

#define SECTOR			512u
#define SECTORS			700u	/* not whole blocks of the overlay */
#define ROUNDS			600
#define LOST			(-9999)
#define HOLES			(4u << 20)	/* bytes of an image of which some are given back */

static char path[] = "/tmp/keel-disk-XXXXXX";
static uint8_t model[SECTORS * SECTOR];
static _Alignas(KEEL_PAGE_SIZE) uint8_t bounce[KEEL_BOUNCE_BYTES];
static struct loop loop;
static struct disk_engine engine;
static bool started;
static struct disk disk;
static int last_status;
static unsigned int answers;
static uint32_t last_tag;
static bool unmap;
static enum manifest_cache cache;

static void done(void *owner, uint32_t tag, int status)
{
	(void)owner;
	answers++;
	last_tag = tag;
	last_status = status;
}

static void set_up(void)
{
	struct failure failure;
	int fd;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	for (size_t i = 0; i < sizeof(model); i++)
		model[i] = (uint8_t)(i / SECTOR * 7 + i);
	ck_assert_int_eq(write(fd, model, sizeof(model)), sizeof(model));
	close(fd);
	ck_assert(loop_init(&loop));
	engine.done = done;
	ck_assert_msg(disk_engine_init(&engine, &loop, &failure), "%s", failure.text);
	started = false;
}

static void tear_down(void)
{
	disk_engine_close(&engine);
	disk_close(&disk);
	close(loop.epoll);
	unlink(path);
}

static void open_disk(struct disk *d, enum manifest_mode mode)
{
	struct manifest_drive drive = {
		.kind = MANIFEST_DRIVE_DISK, .mode = mode, .file = path, .bytes = sizeof(model), .cache = cache,
	};
	struct failure failure;

	ck_assert_msg(disk_open(d, &drive, &failure), "%s", failure.text);
	if (d == &disk && !started)
		ck_assert_msg(disk_engine_start(&engine, &disk, 1, &failure), "%s", failure.text);
	started |= d == &disk;
}

/* The status of a request, waited for in the loop as keel-dm does. */
static int ask(uint32_t op, uint64_t offset, uint32_t count)
{
	static uint32_t tag;
	struct disk_request request = {
		.op = op, .offset = offset, .count = count, .data = bounce, .tag = ++tag, .unmap = unmap,
	};

	last_status = LOST;
	disk_submit(&engine, &disk, &request);
	disk_start(&engine);
	for (int i = 0; i < 100 && last_status == LOST; i++)
		loop_step(&loop, 1000);
	ck_assert_int_ne(last_status, LOST);
	ck_assert_uint_eq(last_tag, tag);
	return last_status;
}

static void check_file(const uint8_t *expected)
{
	static uint8_t bytes[sizeof(model)];
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	ck_assert_int_eq(memcmp(bytes, expected, sizeof(bytes)), 0);
}

/* All that there is at most at a time, as a guest would. What is discarded of a file reads as zeroes; a snapshot keeps it. */
static void random_range(void)
{
	uint32_t start = (uint32_t)rand() % SECTORS, count = (uint32_t)rand() % (SECTORS - start) + 1;
	bool discard = rand() % 2;

	unmap = !discard && rand() % 2;
	if (discard && disk.overlaid) {
		ck_assert_int_eq(ask(KEEL_BLOCK_DISCARD, start * SECTOR, count * SECTOR), -EOPNOTSUPP);
		return;
	}
	ck_assert_int_eq(ask(discard ? KEEL_BLOCK_DISCARD : KEEL_BLOCK_WRITE_ZEROES, start * SECTOR, count * SECTOR), 0);
	memset(model + start * SECTOR, 0, count * SECTOR);
}

static void random_round(void)
{
	uint32_t start = (uint32_t)rand() % SECTORS, most = SECTORS - start, count;

	if (most > KEEL_BOUNCE_BYTES / SECTOR)
		most = KEEL_BOUNCE_BYTES / SECTOR;
	count = rand() % 3 ? (uint32_t)rand() % (most < 20 ? most : 20) + 1 : (uint32_t)rand() % most + 1;
	if (rand() % 2) {
		for (uint32_t i = 0; i < count * SECTOR; i++)
			bounce[i] = (uint8_t)rand();
		memcpy(model + start * SECTOR, bounce, count * SECTOR);
		ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, start * SECTOR, count * SECTOR), 0);
	} else {
		memset(bounce, 0xee, sizeof(bounce));
		ck_assert_int_eq(ask(KEEL_BLOCK_READ, start * SECTOR, count * SECTOR), 0);
		ck_assert_int_eq(memcmp(bounce, model + start * SECTOR, count * SECTOR), 0);
	}
	if (rand() % 10 == 0)
		random_range();
	if (rand() % 50 == 0)
		ck_assert_int_eq(ask(KEEL_BLOCK_FLUSH, 0, 0), 0);
}

START_TEST(read_write)
{
	open_disk(&disk, MANIFEST_RW);
	srand(1);
	for (int i = 0; i < ROUNDS; i++)
		random_round();
	check_file(model);
}
END_TEST

/* A file system that knows no ranges of zeroes: they are written. */
START_TEST(without_zero_range)
{
	char kept[sizeof(path)];

	strcpy(kept, path);
	unlink(path);
	strcpy(path, "/dev/shm/k-XXXXXX");
	close(mkstemp(path));
	ck_assert_int_eq(truncate(path, sizeof(model)), 0);
	open_disk(&disk, MANIFEST_RW);
	memset(model, 0, sizeof(model));
	srand(3);
	for (int i = 0; i < ROUNDS; i++)
		random_round();
	check_file(model);
	unlink(path);
	strcpy(path, kept);
}
END_TEST

/* False: there is none where this test has its file. align: of what goes past the page cache; 0: as it is there. */
static bool open_direct(uint32_t align)
{
	struct failure failure;
	struct direct direct = { 0 };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool there = direct_open(&direct, fd, false, path, &failure);

	close(fd);
	direct_close(&direct);
	if (!there)
		return false;
	cache = MANIFEST_CACHE_NONE;
	open_disk(&disk, MANIFEST_RW);
	cache = MANIFEST_CACHE_WRITEBACK;
	ck_assert(direct_is_open(&disk.direct));
	if (align > disk.direct.offset_align)
		disk.direct.offset_align = align;
	return true;
}

START_TEST(direct_io)
{
	if (!open_direct(_i ? KEEL_PAGE_SIZE : 0))
		return;
	srand(4);
	for (int i = 0; i < ROUNDS; i++)
		random_round();
	check_file(model);
}
END_TEST

START_TEST(no_direct_io)
{
	struct direct direct = { 0 };
	struct failure failure;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	open_disk(&disk, MANIFEST_RW);
	ck_assert(!direct_open(&direct, fd, true, "maps", &failure));
	ck_assert(!direct_is_open(&direct));
	ck_assert_ptr_nonnull(strstr(failure.text, "no direct I/O is possible"));
	close(fd);
}
END_TEST

#define AT_ONCE		48u
#define PAGE_SECTORS	(KEEL_PAGE_SIZE / SECTOR)

static _Alignas(KEEL_PAGE_SIZE) uint8_t writes[AT_ONCE][2 * KEEL_PAGE_SIZE];
static struct disk_request asked[AT_ONCE];

/*
 * Writes of whole pages and of parts of them, one behind the other on the disk, in any order; from memory that no device reads
 * half of the time.
 */
static unsigned int make_writes(void)
{
	unsigned int count = 0;

	for (uint32_t at = 0; at < SECTORS && count < AT_ONCE; count++) {
		uint32_t sectors = (uint32_t)rand() % 2 ? PAGE_SECTORS : (uint32_t)rand() % PAGE_SECTORS + 1;
		unsigned int other = (unsigned int)rand() % (count + 1);
		uint8_t *data = writes[count] + rand() % 2;

		sectors = sectors < SECTORS - at ? sectors : SECTORS - at;
		memset(data, rand(), sectors * SECTOR);
		memcpy(model + at * SECTOR, data, sectors * SECTOR);
		asked[count] = asked[other];
		asked[other] = (struct disk_request){
			.op = KEEL_BLOCK_WRITE, .offset = at * SECTOR, .count = sectors * SECTOR, .data = data,
		};
		at += sectors;
	}
	return count;
}

static unsigned int count_waiting(void)
{
	unsigned int count = 0;

	for (const struct disk_job *job = disk.jobs; job; job = job->next)
		count += job->waits;
	return count;
}

static void wait_for_all(void)
{
	disk_start(&engine);
	for (int i = 0; i < 1000 && engine.busy; i++)
		loop_step(&loop, 1000);
	ck_assert_uint_eq(engine.busy, 0);
	ck_assert_ptr_null(disk.jobs);
	ck_assert_int_eq(last_status, 0);
}

/* What the page cache holds of a page does not come to the disk behind what went past it. */
START_TEST(direct_neighbours)
{
	unsigned int waited = 0;

	if (!open_direct(0))
		return;
	srand(5);
	for (int i = 0; i < 200; i++) {
		unsigned int count = make_writes();

		for (unsigned int j = 0; j < count; j++)
			disk_submit(&engine, &disk, &asked[j]);
		waited += count_waiting();
		if (i % 10)
			wait_for_all();
		else
			disk_drain(&engine);
		ck_assert_uint_eq(engine.busy, 0);
		if (i % 5 == 0)
			ck_assert_int_eq(ask(KEEL_BLOCK_FLUSH, 0, 0), 0);
	}
	ck_assert(waited || disk.direct.offset_align >= KEEL_PAGE_SIZE || disk.direct.memory_align == 1);
	check_file(model);
}
END_TEST

/* Of requests for the same place the later ones wait, and are what stays; a flush and reads do not wait. */
START_TEST(direct_in_order)
{
	if (!open_direct(KEEL_PAGE_SIZE))
		return;
	for (int i = 0; i < 100; i++) {
		memset(writes[0], 'a', KEEL_PAGE_SIZE);
		memset(writes[1], 'b' + i % 20, SECTOR);
		memset(writes[2], 'B' + i % 20, KEEL_PAGE_SIZE);
		disk_submit(&engine, &disk, &(struct disk_request){
			.op = KEEL_BLOCK_WRITE, .count = KEEL_PAGE_SIZE, .data = writes[0],
		});
		disk_submit(&engine, &disk, &(struct disk_request){
			.op = KEEL_BLOCK_WRITE, .offset = SECTOR, .count = SECTOR, .data = writes[1],
		});
		disk_submit(&engine, &disk, &(struct disk_request){ .op = KEEL_BLOCK_FLUSH });
		disk_submit(&engine, &disk, &(struct disk_request){
			.op = KEEL_BLOCK_WRITE_ZEROES, .offset = 2 * SECTOR, .count = SECTOR, .unmap = i % 2,
		});
		if (i % 2)
			disk_submit(&engine, &disk, &(struct disk_request){
				.op = KEEL_BLOCK_WRITE, .count = KEEL_PAGE_SIZE, .data = writes[2],
			});
		disk_submit(&engine, &disk, &(struct disk_request){ .op = KEEL_BLOCK_READ, .count = SECTOR, .data = bounce });
		ck_assert_uint_eq(count_waiting(), 2u + (i % 2));
		wait_for_all();
		memcpy(model, writes[0], KEEL_PAGE_SIZE);
		memcpy(model + SECTOR, writes[1], SECTOR);
		memset(model + 2 * SECTOR, 0, SECTOR);
		if (i % 2)
			memcpy(model, writes[2], KEEL_PAGE_SIZE);
		check_file(model);
	}
}
END_TEST

/* In units of 512 bytes. */
static uint64_t allocated(void)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_blocks;
}

static void fill_image(void)
{
	memset(bounce, 0x5a, sizeof(bounce));
	for (uint32_t at = 0; at < HOLES; at += KEEL_BOUNCE_BYTES)
		ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, at, KEEL_BOUNCE_BYTES), 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_FLUSH, 0, 0), 0);
}

static void expect_zeroes(uint32_t at, uint32_t count)
{
	memset(bounce, 0xee, count);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, at, count), 0);
	for (uint32_t i = 0; i < count; i++)
		ck_assert_uint_eq(bounce[i], 0);
}

/* What is discarded takes no room any more, nor do zeroes that need none; others do, and all if the manifest says so. */
START_TEST(holes)
{
	uint64_t whole;

	open_disk(&disk, MANIFEST_RW);
	ck_assert_int_eq(truncate(path, HOLES), 0);
	disk.bytes = HOLES;
	disk.no_discard = _i;
	fill_image();
	whole = allocated();
	ck_assert_uint_ge(whole, HOLES / 512);
	ck_assert_int_eq(ask(KEEL_BLOCK_DISCARD, 0, HOLES / 2), _i ? -EOPNOTSUPP : 0);
	ck_assert_uint_le(allocated(), _i ? whole : whole - HOLES / 2 / 512);
	ck_assert_uint_ge(allocated(), _i ? whole : whole - HOLES / 512);
	unmap = true;
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE_ZEROES, HOLES / 2, HOLES / 4), 0);
	unmap = false;
	ck_assert_uint_le(allocated(), _i ? whole : whole - 3 * HOLES / 4 / 512);
	expect_zeroes(HOLES / 2, KEEL_BOUNCE_BYTES);
	whole = allocated();
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE_ZEROES, 3 * HOLES / 4, HOLES / 4), 0);
	ck_assert_uint_ge(allocated(), whole);
	expect_zeroes(3 * HOLES / 4, KEEL_BOUNCE_BYTES);
	/* Neither makes the image longer or shorter. */
	ck_assert_int_eq(ask(KEEL_BLOCK_DISCARD, HOLES - SECTOR, SECTOR), _i ? -EOPNOTSUPP : 0);
	ck_assert(disk_measure(&disk, &(struct manifest_drive){ .file = path }, &(struct failure){ 0 }));
	ck_assert_uint_eq(disk.bytes, HOLES);
}
END_TEST

START_TEST(snapshot)
{
	static uint8_t before[sizeof(model)];

	memcpy(before, model, sizeof(model));
	open_disk(&disk, MANIFEST_SNAPSHOT);
	srand(2);
	for (int i = 0; i < ROUNDS; i++)
		random_round();
	ck_assert_int_ne(memcmp(before, model, sizeof(model)), 0);
	check_file(before);
}
END_TEST

START_TEST(hostile_requests)
{
	open_disk(&disk, MANIFEST_RW);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, sizeof(model), SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, sizeof(model) - SECTOR, 2 * SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, UINT64_MAX - SECTOR + 1, SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, KEEL_BOUNCE_BYTES + SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, 0, UINT32_MAX & ~(SECTOR - 1)), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, 0), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 1, SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, SECTOR + 1), -EINVAL);
	ck_assert_int_eq(ask(2, 0, SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_FLUSH + 1, 0, SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_DISCARD, 0, 0), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_DISCARD, SECTOR, sizeof(model)), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE_ZEROES, 0, (KEEL_BLOCK_RANGE_MOST + 1) * SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE_ZEROES, 1, SECTOR), -EINVAL);
	check_file(model);
}
END_TEST

START_TEST(requests_are_counted)
{
	const struct disk_statistics *s = disk.statistics;

	open_disk(&disk, MANIFEST_RW);
	for (unsigned int i = 0; i < DISK_OPERATIONS; i++)
		ck_assert_uint_eq(s[i].done | s[i].bytes | s[i].failed | s[i].ns, 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, 3 * SECTOR), 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, SECTOR, SECTOR), 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, 0, SECTOR), 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_FLUSH, 0, 0), 0);
	ck_assert_uint_eq(s[DISK_READ].done, 2);
	ck_assert_uint_eq(s[DISK_READ].bytes, 4 * SECTOR);
	ck_assert_uint_eq(s[DISK_WRITE].done, 1);
	ck_assert_uint_eq(s[DISK_WRITE].bytes, SECTOR);
	ck_assert_uint_eq(s[DISK_FLUSH].done, 1);
	ck_assert_uint_eq(s[DISK_FLUSH].bytes, 0);
	ck_assert(s[DISK_READ].ns && s[DISK_WRITE].ns && s[DISK_FLUSH].ns);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, sizeof(model), SECTOR), -EINVAL);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, 1, SECTOR), -EINVAL);
	/* What is no operation is none's. */
	ck_assert_int_eq(ask(2, 0, SECTOR), -EINVAL);
	ck_assert_int_eq(ask(UINT32_MAX, 0, SECTOR), -EINVAL);
	ck_assert_uint_eq(s[DISK_READ].failed, 1);
	ck_assert_uint_eq(s[DISK_WRITE].failed, 1);
	ck_assert_uint_eq(s[DISK_READ].done, 2);
	ck_assert_uint_eq(s[DISK_READ].bytes, 4 * SECTOR);
	ck_assert_uint_eq(s[DISK_DISCARD].failed | s[DISK_WRITE_ZEROES].failed | s[DISK_FLUSH].failed, 0);
}
END_TEST

START_TEST(read_only)
{
	open_disk(&disk, MANIFEST_RO);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, 0, SECTOR), -EROFS);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE_ZEROES, 0, SECTOR), -EROFS);
	ck_assert_int_eq(ask(KEEL_BLOCK_DISCARD, 0, SECTOR), -EROFS);
	ck_assert_int_eq(ask(KEEL_BLOCK_FLUSH, 0, 0), 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, SECTOR), 0);
	ck_assert_int_eq(memcmp(bounce, model, SECTOR), 0);
	check_file(model);
}
END_TEST

START_TEST(shrunken_image)
{
	open_disk(&disk, MANIFEST_RW);
	ck_assert_int_eq(truncate(path, SECTOR), 0);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, 4 * SECTOR), -EIO);
	ck_assert_int_eq(ask(KEEL_BLOCK_READ, 0, SECTOR), 0);
}
END_TEST

static bool hold(void *owner, const struct disk_job *job)
{
	char text[128];

	(void)owner;
	disk_describe(job, text, sizeof(text));
	ck_assert_str_eq(text, "read of 512 bytes at 1024: the image ends before that; it has become shorter");
	return true;
}

static void step(void)
{
	for (int i = 0; i < 10 && (engine.retried || engine.busy > engine.held); i++)
		loop_step(&loop, 1000);
}

/* Neither lost nor answered before its time, and not in the way of the end. */
START_TEST(held_requests)
{
	struct disk_request request = { .op = KEEL_BLOCK_READ, .offset = 2 * SECTOR, .count = SECTOR, .data = bounce, .tag = 77 };

	open_disk(&disk, MANIFEST_RW);
	ck_assert_int_eq(truncate(path, SECTOR), 0);
	engine.failed = hold;
	last_status = LOST;
	disk_submit(&engine, &disk, &request);
	disk_start(&engine);
	step();
	ck_assert_uint_eq(engine.held, 1);
	disk_retry(&engine);
	step();
	ck_assert_uint_eq(engine.held, 1);
	ck_assert_int_eq(last_status, LOST);
	ck_assert_int_eq(truncate(path, sizeof(model)), 0);
	disk_retry(&engine);
	step();
	ck_assert_uint_eq(engine.held, 0);
	ck_assert_int_eq(last_status, 0);
	ck_assert_uint_eq(last_tag, 77);

	ck_assert_int_eq(truncate(path, SECTOR), 0);
	last_status = LOST;
	disk_submit(&engine, &disk, &request);
	disk_drain(&engine);
	ck_assert_uint_eq(engine.busy, 0);
	ck_assert_int_eq(last_status, -EIO);
	engine.failed = NULL;
}
END_TEST

/* What is left of io_uring's former files would keep their file system in use. */
START_TEST(media)
{
	struct disk_engine own = { .media = true, .done = done };
	struct manifest_drive drive = { .kind = MANIFEST_DRIVE_CDROM, .mode = MANIFEST_RO };
	struct disk_request request = { .op = KEEL_BLOCK_READ, .count = SECTOR, .data = bounce };
	struct failure failure = { 0 };
	struct disk tray, writer;
	uint64_t bytes;
	int fd;

	setenv("KEEL_RUN_DIR", "/nonexistent", 1);
	disk = (struct disk){ .fd = -1, .overlay = -1 };
	ck_assert(disk_open(&tray, &drive, &failure));
	ck_assert(disk_engine_init(&own, &loop, &failure) && disk_engine_start(&own, &tray, 1, &failure));
	for (int i = 0; i < 3; i++) {
		disk_submit(&own, &tray, &request);
		ck_assert_int_eq(last_status, -ENOMEDIUM);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		ck_assert(disk_examine_medium(fd, path, &bytes, &failure));
		ck_assert_uint_eq(bytes, sizeof(model));
		disk_change(&tray, fd, sizeof(model));
		ck_assert(disk_engine_restart(&own, &tray, 1, &failure));
		last_status = LOST;
		disk_submit(&own, &tray, &request);
		disk_start(&own);
		/* Out, while it is read. */
		disk_change(&tray, -1, 0);
		ck_assert_int_lt(fcntl(fd, F_GETFD), 0);
		for (int j = 0; j < 100 && own.busy; j++)
			loop_step(&loop, 1000);
		ck_assert_int_eq(last_status, 0);
		ck_assert_mem_eq(bounce, model, SECTOR);
		ck_assert(disk_engine_restart(&own, &tray, 1, &failure));
	}
	ck_assert_int_eq(truncate(path, sizeof(model) - SECTOR), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(!disk_examine_medium(fd, path, &bytes, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "whole sectors of 2048 bytes"));
	close(fd);
	ck_assert_int_eq(truncate(path, sizeof(model)), 0);
	/* Nothing of it can be written, by whatever request. */
	request.op = KEEL_BLOCK_WRITE;
	disk_change(&tray, open(path, O_RDONLY | O_CLOEXEC), sizeof(model));
	ck_assert(disk_engine_restart(&own, &tray, 1, &failure));
	disk_submit(&own, &tray, &request);
	ck_assert_int_eq(last_status, -EROFS);
	disk_engine_close(&own);
	disk_close(&tray);
	drive = (struct manifest_drive){ .kind = MANIFEST_DRIVE_DISK, .file = path, .bytes = sizeof(model) };
	ck_assert(disk_open(&writer, &drive, &failure));
	disk_close(&writer);
}
END_TEST

/* A medium that somebody sends: opened anew, and claimed. */
START_TEST(sent_media)
{
	struct manifest_drive drive = { .kind = MANIFEST_DRIVE_DISK, .file = path, .bytes = sizeof(model) };
	struct failure failure = { 0 };
	struct claim claim;
	struct disk writer;
	int fds[2], fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	setenv("KEEL_RUN_DIR", "/nonexistent", 1);
	disk = (struct disk){ .fd = -1, .overlay = -1 };
	ck_assert_msg(claim_medium(&claim, fd, "sent", &failure), "%s", failure.text);
	ck_assert_uint_eq(claim.count, 1);
	ck_assert_int_ne(claim.part[0].fd, fd);
	ck_assert_int_eq(fcntl(claim.part[0].fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
	/* The lock is not its sender's to take back. */
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_UNLCK }), 0);
	ck_assert(!disk_open(&writer, &drive, &failure));
	ck_assert_int_eq(failure.code, EXIT_IN_USE);
	claim_release(&claim);
	ck_assert(disk_open(&writer, &drive, &failure));
	ck_assert(!claim_medium(&claim, fd, "sent", &failure));
	ck_assert_int_eq(failure.code, EXIT_IN_USE);
	disk_close(&writer);
	close(fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert(!claim_medium(&claim, fd, "sent", &failure));
	close(fd);
	fd = open(path, O_PATH | O_CLOEXEC);
	ck_assert(!claim_medium(&claim, fd, "sent", &failure));
	close(fd);
	fd = open("/tmp", O_RDONLY | O_CLOEXEC);
	ck_assert(!claim_medium(&claim, fd, "sent", &failure));
	close(fd);
	ck_assert_int_eq(pipe(fds), 0);
	ck_assert(!claim_medium(&claim, fds[0], "sent", &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "neither a regular file"));
	ck_assert(!claim_medium(&claim, -1, "sent", &failure));
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(locks)
{
	struct manifest_drive drive = { .kind = MANIFEST_DRIVE_DISK, .file = path, .bytes = sizeof(model) };
	struct failure failure = { 0 };
	struct disk other;

	/* The engine would hold the image open, and locked. */
	started = true;
	setenv("KEEL_RUN_DIR", "/nonexistent", 1);
	open_disk(&disk, MANIFEST_RO);
	ck_assert(!disk_open(&other, &drive, &failure));
	ck_assert_int_eq(failure.code, EXIT_IN_USE);
	open_disk(&other, MANIFEST_SNAPSHOT);
	disk_close(&other);
	disk_close(&disk);
	open_disk(&disk, MANIFEST_RW);
	drive.mode = MANIFEST_RO;
	ck_assert(!disk_open(&other, &drive, &failure));
	ck_assert_int_eq(failure.code, EXIT_IN_USE);
}
END_TEST

/* Whether the kernel is through with them at once or later, each is told of once, and none before it was started. */
START_TEST(started_together)
{
	static uint8_t bytes[4][SECTOR];

	open_disk(&disk, MANIFEST_RW);
	answers = 0;
	for (unsigned int i = 0; i < 4; i++)
		disk_submit(&engine, &disk, &(struct disk_request){
			.op = KEEL_BLOCK_READ, .offset = i * SECTOR, .count = SECTOR, .data = bytes[i], .tag = i,
		});
	loop_step(&loop, 0);
	ck_assert_uint_eq(answers, 0);
	disk_start(&engine);
	for (int i = 0; i < 10 && engine.busy; i++)
		loop_step(&loop, 1000);
	ck_assert_uint_eq(answers, 4);
	ck_assert_int_eq(memcmp(bytes, model, sizeof(bytes)), 0);
	/* What was reaped is not told of again, by the loop or by a start of nothing. */
	disk_start(&engine);
	loop_step(&loop, 0);
	ck_assert_uint_eq(answers, 4);
	/* One that nobody has started does not keep the end waiting. */
	disk_submit(&engine, &disk, &(struct disk_request){ .op = KEEL_BLOCK_READ, .count = SECTOR, .data = bytes[0] });
	disk_drain(&engine);
	ck_assert_uint_eq(answers, 5);
}
END_TEST

/* An image becomes longer under a disk, and shorter once nothing of it is read or written there. */
START_TEST(resized)
{
	struct manifest_drive drive = { .kind = MANIFEST_DRIVE_DISK, .file = path, .bytes = sizeof(model) };
	struct disk_request request = { .op = KEEL_BLOCK_READ, .offset = 8 * SECTOR, .count = SECTOR, .data = bounce };
	struct failure failure;
	uint64_t bytes;

	open_disk(&disk, MANIFEST_RW);
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, sizeof(model), SECTOR), -EINVAL);
	ck_assert(disk_set_image_bytes(&disk, &drive, 2 * sizeof(model), &failure));
	ck_assert(disk_image_bytes(&disk, &drive, &bytes, &failure));
	ck_assert_uint_eq(bytes, 2 * sizeof(model));
	ck_assert(disk_measure(&disk, &drive, &failure));
	ck_assert_uint_eq(disk.bytes, 2 * sizeof(model));
	ck_assert_int_eq(ask(KEEL_BLOCK_WRITE, 2 * sizeof(model) - SECTOR, SECTOR), 0);
	disk_submit(&engine, &disk, &request);
	ck_assert(disk_is_used_behind(&engine, &disk, 9 * SECTOR - 1));
	ck_assert(!disk_is_used_behind(&engine, &disk, 9 * SECTOR));
	disk_drain(&engine);
	ck_assert(!disk_is_used_behind(&engine, &disk, 0));
	ck_assert(disk_set_image_bytes(&disk, &drive, sizeof(model), &failure));
	ck_assert(!disk_set_image_bytes(&disk, &drive, 1ull << 62, &failure));
	ck_assert_ptr_nonnull(strstr(failure.text, "4611686018427387904 bytes long: File too large"));
	check_file(model);
}
END_TEST

/* The board */

#define CONSOLE_ENTRIES	16u
#define CONSOLE_BUFFER	256u

static struct {
	struct keel_channel c;
	struct {
		_Alignas(KEEL_PAGE_SIZE) uint8_t ring[KEEL_PAGE_SIZE];
		uint8_t arena[CONSOLE_ENTRIES * CONSOLE_BUFFER];
	} queue[4];
} peer;
static struct keel_queue queues[4];
static struct vq_shadow shadows[4][CONSOLE_ENTRIES];
static struct board board;

/* A console and a panel; the cell has offered nothing yet. */
static void open_board(void)
{
	static const struct keel_device devices[] = {
		{ .type = KEEL_DEVICE_CONSOLE, .first_queue = 0, .queues = 2 },
		{ .type = KEEL_DEVICE_PANEL, .first_queue = 2, .queues = 2 },
	};

	memset(&peer, 0, sizeof(peer));
	for (unsigned int i = 0; i < 4; i++)
		queues[i] = (struct keel_queue){
			(uint32_t)((uint8_t *)peer.queue[i].ring - (uint8_t *)&peer), CONSOLE_ENTRIES,
			(uint32_t)((uint8_t *)peer.queue[i].arena - (uint8_t *)&peer), sizeof(peer.queue[i].arena),
		};
	board_init(&board, &peer.c, devices, 2, queues);
}

START_TEST(board_and_a_hostile_cell)
{
	uint8_t bytes[2 * CONSOLE_ENTRIES * CONSOLE_BUFFER];
	struct vq_piece pieces[2];
	struct vq_driver cell;
	uint16_t head;

	open_board();
	vq_driver_init(&cell, peer.queue[1].ring, CONSOLE_ENTRIES, shadows[1]);
	pieces[0] = (struct vq_piece){ queues[1].arena, sizeof(peer.queue[1].arena) };
	/* All of the arena in each buffer: no more than an arena at a time. */
	for (unsigned int i = 0; i < CONSOLE_ENTRIES; i++)
		ck_assert(vq_driver_send(&cell, pieces, 1, 0, &head));
	ck_assert_uint_eq(board_take_output(&board, bytes, sizeof(bytes)), sizeof(peer.queue[1].arena));
	/* Chains that are no buffer have nothing, wherever they are; made up ones come to an end. */
	vq_avail_head(peer.queue[1].ring, CONSOLE_ENTRIES)->index += 0x5000;
	for (unsigned int i = 0; i < 10; i++)
		ck_assert_uint_le(board_take_output(&board, bytes, sizeof(bytes)), sizeof(peer.queue[1].arena));
	/* Of input there is as much room as was offered, in the arena. */
	ck_assert_uint_eq(board_input_room(&board), 0);
	vq_driver_init(&cell, peer.queue[0].ring, CONSOLE_ENTRIES, shadows[0]);
	pieces[0] = (struct vq_piece){ 0, 64 };
	ck_assert(vq_driver_send(&cell, pieces, 0, 1, &head));
	pieces[0] = (struct vq_piece){ queues[0].arena, 100 };
	pieces[1] = (struct vq_piece){ queues[0].arena + 100, 20 };
	ck_assert(vq_driver_send(&cell, pieces, 0, 2, &head));
	ck_assert(vq_driver_send(&cell, pieces, 1, 0, &head));
	ck_assert_uint_eq(board_input_room(&board), 0);
	ck_assert(vq_driver_send(&cell, pieces, 0, 1, &head));
	ck_assert_uint_eq(board_input_room(&board), 100);
	memset(bytes, 'x', sizeof(bytes));
	board_put_input(&board, bytes, 100);
	ck_assert_uint_eq(board_input_room(&board), 0);
	ck_assert_uint_eq(peer.queue[0].arena[99], 'x');
	ck_assert_uint_eq(peer.queue[0].arena[100], 0);
	ck_assert_uint_eq(peer.c.magic, 0);
}
END_TEST

/* Messages for which there is no buffer wait, each once. */
START_TEST(messages_wait)
{
	struct keel_message message = { .kind = KEEL_MESSAGE_TAKEN, .number = 7 };
	struct stream_in in;
	struct stream_out out;

	open_board();
	for (unsigned int i = 0; i < 3; i++) {
		board_press(&board, KEEL_MESSAGE_NMI);
		board_press(&board, KEEL_MESSAGE_POWER_BUTTON);
	}
	stream_in_init(&in, (uint8_t *)&peer, &queues[2], shadows[2]);
	stream_out_init(&out, (uint8_t *)&peer, &queues[3], shadows[3]);
	ck_assert(!stream_receive(&in, &message));
	ck_assert_uint_eq(board_buttons_taken(&board), 0);
	board_serve(&board);
	ck_assert(stream_receive(&in, &message));
	ck_assert_uint_eq(message.kind, KEEL_MESSAGE_POWER_BUTTON);
	ck_assert(stream_receive(&in, &message));
	ck_assert_uint_eq(message.kind, KEEL_MESSAGE_NMI);
	ck_assert(!stream_receive(&in, &message));
	message = (struct keel_message){ .kind = KEEL_MESSAGE_TAKEN, .number = 7 };
	ck_assert(stream_send(&out, &message));
	ck_assert(!board_sleep(&board, false));
	ck_assert_uint_eq(board_buttons_taken(&board), 7);
	/* One of a kind that is not the panel's, and one that is cut short. */
	message = (struct keel_message){ .kind = KEEL_MESSAGE_DOOR, .number = 9 };
	ck_assert(stream_send(&out, &message));
	stream_put(&out, 1);
	stream_flush(&out);
	ck_assert_uint_eq(board_buttons_taken(&board), 7);
	ck_assert(board_sleep(&board, false));
}
END_TEST

/* The last size of each disk, whatever it was before. */
START_TEST(capacities_wait)
{
	struct keel_message message;
	struct stream_in in;

	open_board();
	board_set_capacity(&board, PC_SLOT_LAST, 7 * SECTOR);
	board_set_capacity(&board, PC_SLOT_DISK, 8 * SECTOR);
	board_set_capacity(&board, PC_SLOT_LAST, 9 * SECTOR);
	stream_in_init(&in, (uint8_t *)&peer, &queues[2], shadows[2]);
	board_serve(&board);
	ck_assert(stream_receive(&in, &message));
	ck_assert(message.kind == KEEL_MESSAGE_CAPACITY && message.flags == PC_SLOT_DISK && message.number == 8);
	ck_assert(stream_receive(&in, &message));
	ck_assert(message.kind == KEEL_MESSAGE_CAPACITY && message.flags == PC_SLOT_LAST && message.number == 9);
	board_serve(&board);
	ck_assert(!stream_receive(&in, &message));
}
END_TEST

START_TEST(sleeping)
{
	struct stream_out out;
	uint8_t bytes[8];

	open_board();
	ck_assert(board_sleep(&board, true));
	ck_assert_uint_eq(peer.c.host_asleep, 1);
	board_awake(&board);
	ck_assert_uint_eq(peer.c.host_asleep, 0);
	stream_out_init(&out, (uint8_t *)&peer, &queues[1], shadows[1]);
	stream_put(&out, 'a');
	stream_put(&out, 'b');
	ck_assert(board_sleep(&board, true));
	stream_flush(&out);
	ck_assert(!board_sleep(&board, true));
	ck_assert_uint_eq(peer.c.host_asleep, 0);
	/* Output that nobody wants now does not keep this end awake; a part of it that is left does. */
	ck_assert(board_sleep(&board, false));
	ck_assert_uint_eq(board_take_output(&board, bytes, 1), 1);
	ck_assert(!board_sleep(&board, true));
	ck_assert_uint_eq(board_take_output(&board, bytes, sizeof(bytes)), 1);
	ck_assert(board_sleep(&board, true));
}
END_TEST

SUITE_OF_CASES("disk", suite)
{
	TCase *disks = add_case(suite, "disks"), *queued = add_case(suite, "board");

	tcase_add_checked_fixture(disks, set_up, tear_down);
	tcase_add_test(disks, read_write);
	tcase_add_test(disks, without_zero_range);
	tcase_add_loop_test(disks, direct_io, 0, 2);
	tcase_add_test(disks, no_direct_io);
	tcase_add_test(disks, direct_neighbours);
	tcase_add_test(disks, direct_in_order);
	tcase_add_loop_test(disks, holes, 0, 2);
	tcase_add_test(disks, snapshot);
	tcase_add_test(disks, hostile_requests);
	tcase_add_test(disks, requests_are_counted);
	tcase_add_test(disks, read_only);
	tcase_add_test(disks, shrunken_image);
	tcase_add_test(disks, held_requests);
	tcase_add_test(disks, resized);
	tcase_add_test(disks, started_together);
	tcase_add_test(disks, media);
	tcase_add_test(disks, sent_media);
	tcase_add_test(disks, locks);
	tcase_add_test(queued, board_and_a_hostile_cell);
	tcase_add_test(queued, messages_wait);
	tcase_add_test(queued, capacities_wait);
	tcase_add_test(queued, sleeping);
}
