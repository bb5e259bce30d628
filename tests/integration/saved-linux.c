// SPDX-License-Identifier: GPL-2.0
/*
 * saved-linux: Linux counts on its console and reads its CD-ROM; it is saved, loaded into a fresh VM some time later, and goes on
 * there, twice. The resource half is made of keel-dm's parts. One line for each check on standard output.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/device.h"
#include "host/backend/block_queue.h"
#include "host/channel.h"
#include "host/board.h"

#define MEMORY		(128ull << 20)
#define CDROM		2u		/* secondary master */
#define RING_BYTES	0x100000u
#define STREAM_ROOM	(160u << 20)
#define OUTPUT_ROOM	0x40000u
#define AWAY_SECONDS	15u		/* between save and load, of which the guest must not notice */
#define SLACK_SECONDS	5u		/* by which what the guest finds may be more than what it ran */
#define LINES		5u		/* in each VM */
#define SAMPLE		8u		/* bytes of the medium in a line */
#define SAMPLE_STEP	0x20000u
#define STEP_MS		2
#define NSEC_PER_MSEC	1000000
#define MSEC_PER_SEC	1000

/* The kernel's log tells of each time that caches are dropped, until it is told once not to (4). */
static const char drivers[] =
	"dmesg -n 1; while read -r m; do insmod /lib/modules/$m; done </lib/modules/order; "
	"echo 4 >/proc/sys/vm/drop_caches; echo driv''ers\r";
/* Count, date, time since the start, of each line a sample of the medium, and how much the kernel has said. */
static const char counting[] =
	"i=0; while i=$((i + 1)); do echo 3 >/proc/sys/vm/drop_caches; "
	"echo n=$i $(date +%s) $(cut -d. -f1 /proc/uptime) "
	"$(dd if=/dev/sr0 bs=2048 skip=$((i * 64)) count=1 2>/dev/null | od -An -tx1 -N8 | tr -d ' ') $(dmesg | wc -l); "
	"sleep 1; done\r";
/* So that requests are under way at any time. */
static const char reading[] = "while :; do cat /dev/sr0 >/dev/null; done &\r";

struct guest {
	struct vm vm;
	struct board board;
	struct block_queue queue;
	struct keel_transfer *transfer;
	uint8_t *ring;
};

static struct manifest manifest;
static struct items items;
static struct blob firmware;
static struct channel_layout layout;
static struct devices no_devices;
static struct vm_memory memory;
static struct keel_info info;
static size_t area;			/* in the channel, behind everything */
static int device, meminfo, medium;
static unsigned int patience = 1, passed, failed;
static uint64_t ran_ms;			/* since it began to count, for how long it was not saved */
static uint8_t *stream;
static size_t stream_bytes;
static char output[OUTPUT_ROOM];
static size_t output_bytes;

static void report(bool good, const char *name, const char *why)
{
	if (good)
		printf("ok - saved, Linux: %s\n", name);
	else
		printf("not ok - saved, Linux: %s: %s\n", name, why);
	passed += good;
	failed += !good;
	fflush(stdout);
}

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * MSEC_PER_SEC + (uint64_t)(now.tv_nsec / NSEC_PER_MSEC);
}

static void read_firmware(const char *path)
{
	uint8_t chunk[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		err(2, "%s", path);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		blob_add(&firmware, chunk, (size_t)n);
	close(fd);
	blob_align(&firmware, KEEL_PAGE_SIZE);
}

static void describe(char *iso, const char *bios)
{
	struct failure failure;
	struct stat st;

	if (!device_open(&device, &info, &failure))
		errx(2, "%s", failure.text);
	meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	medium = open(iso, O_RDONLY | O_CLOEXEC);
	if (medium < 0 || fstat(medium, &st))
		err(2, "%s", iso);
	read_firmware(bios);
	manifest = (struct manifest){
		.name = "saved", .memory = MEMORY, .vcpus = 1, .boot = { MANIFEST_BOOT_CDROM }, .boots = 1,
		.drives[CDROM] = {
			.kind = MANIFEST_DRIVE_CDROM, .mode = MANIFEST_RO, .file = iso,
			.bytes = (uint64_t)st.st_size / 2048 * 2048,
		},
	};
	memory = (struct vm_memory){ .low = MEMORY, .firmware = (uint32_t)firmware.bytes };
	items_build(&items, &manifest, &no_devices, memory.low, memory.high);
	channel_plan(&layout, &manifest, &no_devices, &firmware, &items);
	area = layout.bytes;
	layout.bytes += KEEL_PAGE_SIZE + RING_BYTES;
}

static void start(struct guest *g, uint32_t command)
{
	struct failure failure;

	memset(g, 0, sizeof(*g));
	g->vm.device = device;
	g->vm.meminfo = meminfo;
	if (!vm_create(&g->vm, manifest.vcpus, manifest.topology, layout.bytes, &memory, &failure))
		errx(2, "%s", failure.text);
	channel_fill(g->vm.channel, &layout, &manifest, &memory, &firmware, &items, info.tsc_khz);
	g->vm.channel->machine.transfer = (uint32_t)area;
	g->vm.channel->machine.transfer_bytes = (uint32_t)KEEL_PAGE_SIZE + RING_BYTES;
	g->transfer = (struct keel_transfer *)(void *)((uint8_t *)g->vm.channel + area);
	g->ring = (uint8_t *)g->transfer + KEEL_PAGE_SIZE;
	board_init(&g->board, g->vm.channel, layout.device, layout.devices, layout.queue);
	block_queue_init(&g->queue, g->vm.channel, channel_drive_queue(&layout, CDROM));
	board_watch(&g->board, &g->queue.vq);
	g->transfer->commands = command;
	if (!vm_start(&g->vm, &failure))
		errx(2, "%s", failure.text);
}

static bool ended(const struct guest *g)
{
	struct keel_vm_status status = { 0 };

	return ioctl(g->vm.fd, KEEL_VM_STATUS, &status) || status.end;
}

/* True: there were some, and the cell has to hear of it. */
static bool answer_requests(struct guest *g)
{
	struct disk_request request;
	bool any = false;

	while (block_queue_next(&g->queue, &request)) {
		bool good = request.op == KEEL_BLOCK_FLUSH ||
			    pread(medium, request.data, request.count, (off_t)request.offset) == (ssize_t)request.count;

		block_queue_done(&g->queue, (uint16_t)request.tag, good ? 0 : -EIO);
		any = true;
	}
	return any;
}

static bool take_output(struct guest *g)
{
	uint8_t debug[BOARD_STREAM_BYTES];

	while (board_take_debug(&g->board, debug, sizeof(debug)))
		;
	output_bytes += board_take_output(&g->board, (uint8_t *)output + output_bytes, OUTPUT_ROOM - 1 - output_bytes);
	board_serve(&g->board);
	return board_event_wanted(&g->board);
}

static void serve(struct guest *g)
{
	struct pollfd doorbell = { .fd = g->vm.doorbell, .events = POLLIN };
	bool needed = answer_requests(g);
	uint64_t count;

	needed |= take_output(g);
	if (needed)
		vm_event(&g->vm);
	else if (board_sleep(&g->board, true) && poll(&doorbell, 1, STEP_MS) > 0 &&
		 read(g->vm.doorbell, &count, sizeof(count)) < 0)
		err(2, "doorbell");
	board_awake(&g->board);
}

/* Until its console has shown the text. */
static bool shows(struct guest *g, const char *text, unsigned int seconds)
{
	uint64_t begin = milliseconds(), end = begin + (uint64_t)seconds * patience * MSEC_PER_SEC;

	while (!strstr(output, text) && milliseconds() < end && !ended(g))
		serve(g);
	ran_ms += milliseconds() - begin;
	return strstr(output, text);
}

static void type(struct guest *g, const char *text)
{
	if (board_input_room(&g->board) < strlen(text))
		errx(2, "no room for what is typed");
	board_put_input(&g->board, (const uint8_t *)text, strlen(text));
	vm_event(&g->vm);
}

static void drain(struct guest *g)
{
	uint32_t head = __atomic_load_n(&g->transfer->head, __ATOMIC_ACQUIRE), tail = g->transfer->tail;

	for (; tail != head && stream_bytes < STREAM_ROOM; tail++)
		stream[stream_bytes++] = g->ring[tail % RING_BYTES];
	__atomic_store_n(&g->transfer->tail, tail, __ATOMIC_RELEASE);
}

static void feed(struct guest *g, size_t *at)
{
	uint32_t tail = __atomic_load_n(&g->transfer->tail, __ATOMIC_ACQUIRE), head = g->transfer->head;

	for (; *at < stream_bytes && head - tail < RING_BYTES; head++)
		g->ring[head % RING_BYTES] = stream[(*at)++];
	__atomic_store_n(&g->transfer->head, head, __ATOMIC_RELEASE);
}

/* Until the machine has come to this state. */
static bool reaches(struct guest *g, const char *name, uint32_t state, bool saves, bool loads)
{
	uint64_t end = milliseconds() + 120ull * patience * MSEC_PER_SEC;
	uint64_t before, after = milliseconds();
	uint32_t now;
	size_t at = 0;
	char why[200];

	do {
		before = after;
		if (loads)
			feed(g, &at);
		answer_requests(g);
		vm_event(&g->vm);
		if (saves)
			drain(g);
		now = __atomic_load_n(&g->transfer->state, __ATOMIC_ACQUIRE);
		after = milliseconds();
		if (now == KEEL_TRANSFER_RUNNING || now == KEEL_TRANSFER_STOPPING || now == KEEL_TRANSFER_GOING_ON)
			ran_ms += after - before;
	} while (now != state && now != KEEL_TRANSFER_FAILED && after < end && !ended(g));
	snprintf(why, sizeof(why), "state %u, \"%.100s\"%s", now, g->transfer->error, ended(g) ? ", and it has ended" : "");
	report(now == state, name, why);
	return now == state;
}

static bool save(struct guest *g)
{
	stream_bytes = 0;
	g->transfer->head = g->transfer->tail = 0;
	__atomic_fetch_or(&g->transfer->commands, KEEL_TRANSFER_SAVE, __ATOMIC_ACQ_REL);
	if (!reaches(g, "it is saved", KEEL_TRANSFER_HELD, true, false))
		return false;
	/* What it has put out before is not the next machine's. */
	take_output(g);
	vm_destroy(&g->vm);
	return true;
}

static bool load(struct guest *g)
{
	start(g, KEEL_TRANSFER_LOAD);
	if (!reaches(g, "it is loaded into a fresh VM", KEEL_TRANSFER_HELD, false, true))
		return false;
	__atomic_fetch_or(&g->transfer->commands, KEEL_TRANSFER_GO_ON, __ATOMIC_ACQ_REL);
	return reaches(g, "it goes on", KEEL_TRANSFER_RUNNING, false, false);
}

static bool counts_to(struct guest *g, unsigned int line)
{
	char text[16], why[100];
	bool good;

	snprintf(text, sizeof(text), "\nn=%u ", line);
	good = shows(g, text, 60);
	snprintf(why, sizeof(why), "%u is not there: %.60s", line, output_bytes > 60 ? output + output_bytes - 60 : output);
	report(good, "it counts", why);
	return good;
}

struct line {
	unsigned int count, said;
	unsigned long long date, up;
	char sample[2 * SAMPLE + 1];
};

/* What a line has to say after the one before; NULL: it is right. */
static const char *wrong(const struct line *line, const struct line *before, const struct line *first)
{
	char expected[2 * SAMPLE + 1] = "";
	uint8_t bytes[SAMPLE];

	if (pread(medium, bytes, SAMPLE, (off_t)line->count * SAMPLE_STEP) != SAMPLE)
		return "the medium is too short";
	for (unsigned int i = 0; i < SAMPLE; i++)
		sprintf(expected + 2 * i, "%02x", bytes[i]);
	if (strcmp(expected, line->sample))
		return "the medium is another one";
	if (line->count == 1)
		return NULL;
	if (line->count != before->count + 1)
		return "the count has a gap";
	if (line->date < before->date || line->date - first->date > ran_ms / MSEC_PER_SEC + SLACK_SECONDS)
		return "the date has a gap";
	if (line->up < before->up || line->up - first->up > ran_ms / MSEC_PER_SEC + SLACK_SECONDS)
		return "the time since the start has a gap";
	return line->said == before->said ? NULL : "the kernel has complained";
}

static void check_lines(unsigned int expected)
{
	struct line line = { 0 }, before = { 0 }, first = { 0 };
	const char *fault = NULL, *at = output;
	char why[160] = "";

	while (!fault && (at = strstr(at, "\nn="))) {
		before = line;
		at++;
		if (sscanf(at, "n=%u %llu %llu %16s %u", &line.count, &line.date, &line.up, line.sample, &line.said) != 5)
			break;
		if (line.count == 1)
			first = line;
		fault = wrong(&line, &before, &first);
	}
	snprintf(why, sizeof(why), "%s at %u: date %llu after %llu, up %llu after %llu, %u messages after %u; %llu ms",
		 fault ? fault : "it ends", line.count, line.date, before.date, line.up, before.up, line.said, before.said,
		 (unsigned long long)ran_ms);
	report(!fault && line.count >= expected, "no line is missing, no time has passed, and its kernel says nothing", why);
}

/* Where something is wrong, what its kernel has said last. The counting ends. */
static void tell(struct guest *g)
{
	static const char asking[] = "\x03" "dmesg | tail -n 6; echo to''ld\r";
	size_t from = output_bytes;

	type(g, asking);
	shows(g, "\ntold", 20);
	printf("its kernel, in the end:%s\n", output + from);
}

static bool move(struct guest *g, unsigned int *line)
{
	if (!save(g))
		return false;
	sleep(AWAY_SECONDS);
	*line += LINES;
	return load(g) && counts_to(g, *line);
}

static bool run(struct guest *g, unsigned int *line)
{
	start(g, 0);
	report(shows(g, "GUEST-UP", 200), "it comes up", output);
	type(g, drivers);
	report(shows(g, "\ndrivers", 60), "it has its drivers", output);
	type(g, reading);
	ran_ms = 0;
	type(g, counting);
	*line = LINES;
	return counts_to(g, *line) && move(g, line) && move(g, line);
}

int main(int argc, char **argv)
{
	const char *factor = getenv("KEEL_PATIENCE");
	struct guest guest;
	unsigned int line;

	if (argc != 3)
		errx(2, "usage: saved-linux FIRMWARE ISO");
	if (factor && atoi(factor) > 0)
		patience = (unsigned int)atoi(factor);
	stream = malloc(STREAM_ROOM);
	if (!stream)
		errx(2, "no memory");
	describe(argv[2], argv[1]);
	if (run(&guest, &line))
		check_lines(line);
	if (failed)
		tell(&guest);
	vm_destroy(&guest.vm);
	printf("%zu bytes saved\n%u passed, %u failed\n", stream_bytes, passed, failed);
	return failed || !passed;
}
