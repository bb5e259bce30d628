// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for /dev/keel, preloaded into the real keel and keel-dm. No guest runs: a test says what one would have done.
 *
 * STANDIN names a folder; without it nothing is stood in for. All files are opened with the device, then only read and written:
 *   faults  in: lines "REQUEST ERRNO": ioctls and other calls that fail. REQUEST is a word of request_names.
 *   online  in: which CPUs are on line, if it is there
 *   info    in: lines "FIELD NUMBER" for struct keel_info
 *   log     in: what the hypervisor's log says
 *   orders  in: what the guest does, a line each, taken as they are appended, over its restarts:
 *             end REASON [DETAIL [ADDRESS]]	the run ends (enum keel_end)
 *             say TEXT, debug TEXT		output; \n and \xHH are what they are in C
 *             babble			its process, taken over, says to the keeper what that does not know
 *             scribble		its process, taken over, fills its record with rubbish and ends as if all were well
 *             scrub SECONDS		the end of its VM, and of those behind it, takes so long
 *             take			its ACPI handler takes a press of the power button
 *             lock DRIVE, unlock DRIVE, open DRIVE	the door of a CD-ROM drive, which is opened with a medium in it
 *             flood			its cell gives the other end no rest any more, whatever that does
 *             random COUNT		it asks its entropy device, which it must have, for so many bytes
 *             read DRIVE OFFSET COUNT, write DRIVE OFFSET COUNT BYTE, flush DRIVE
 *   notes   out: what reaches the guest, a line each:
 *             random COUNT DIFFERENT	an answer of so many bytes, and how many values there are among them
 *             start, drive NUMBER BYTES, power button, nmi, medium NUMBER BYTES, eject button, input TEXT, kill
 *             done NUMBER STATUS DATA	requests are counted from 0; STATUS: enum keel_block_status; DATA: the drive's first bytes
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <keel/channel.h>
#include <keel/ioctl.h>

#include "core/stream.h"
#include "shared/pc_map.h"
#include "shared/virtio_id.h"
#include "shared/vq_driver.h"

#define DEVICE			"/dev/keel"
#define ONLINE_CPUS		"/sys/devices/system/cpu/online"
#define CHANNEL_MOST		(256l << 20)	/* sparse */
#define LINE_ROOM		8192
#define POLL_NS			5000000
#define DATA_SHOWN		8
#define CHANNEL_ROOM		4096	/* of input at a time */
#define DESCRIPTORS		64
#define DRIVES			(KEEL_DRIVES + PC_VIRTIO_DISKS)	/* the virtio disks behind the IDE drives */
#define HEADERS_AT		KEEL_BOUNCE_BYTES	/* in a drive's arena, one for each head; then the status bytes */
#define STATUSES_AT		(HEADERS_AT + KEEL_BLOCK_ENTRIES_MOST * sizeof(struct keel_block_header))

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

enum request { CREATE, MEMORY, VCPU, START, EVENT, DOORBELL, RUN, AFFINITY, PRIORITY, REQUESTS };

static const char *const request_names[REQUESTS] = {
	[CREATE] = "create", [MEMORY] = "memory", [VCPU] = "vcpu", [START] = "start", [EVENT] = "event",
	[DOORBELL] = "doorbell", [RUN] = "run", [AFFINITY] = "affinity", [PRIORITY] = "priority",
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int keeper = -1, record = -1;
static int device = -1, orders = -1, notes = -1, hypervisor_log = -1, memory = -1;
static off_t orders_taken;
static unsigned int scrub_seconds;
static int faults[REQUESTS];
static struct keel_info info;
static struct keel_vm_status status;
static struct keel_channel *channel;
static size_t channel_bytes;
static int doorbell = -1, vm_fd = -1, vcpu_fd[KEEL_MAX_VCPUS];	/* confined, the process can make no descriptors but of events */
static uint32_t requests_made;
static struct {
	struct vq_driver driver;
	struct vq_shadow shadow[KEEL_BLOCK_ENTRIES_MOST];
	uint32_t number[KEEL_BLOCK_ENTRIES_MOST];	/* of requests, by their heads */
} drives[DRIVES];
static struct {
	const struct keel_queue *queue;		/* NULL: the guest has no such device */
	struct vq_driver driver;
	struct vq_shadow shadow[VQ_ENTRIES_MOST];
} entropy;
static struct {
	struct stream_in console_in, panel_in, drive_in[KEEL_DRIVES];
	struct stream_out console_out, debug, panel_out, drive_out[KEEL_DRIVES];
	struct vq_shadow shadow[KEEL_QUEUES][KEEL_STREAM_ENTRIES_MOST];
	struct keel_message door[KEEL_DRIVES], taken;
} streams;
static volatile bool killed;

/* The functions that this library hides. */
static int real_open(const char *path, int flags, mode_t mode)
{
	static int (*next)(const char *path, int flags, ...);

	if (!next)
		next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
	return next(path, flags, mode);
}

static int real_ioctl(int fd, unsigned long request, void *argument)
{
	static int (*next)(int fd, unsigned long request, ...);

	if (!next)
		next = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	return next(fd, request, argument);
}

__attribute__((format(printf, 1, 2)))
static void note(const char *format, ...)
{
	char line[LINE_ROOM];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	line[n] = '\n';
	if (write(notes, line, (size_t)n + 1) < 0)
		perror("stand-in: notes");
}

static int open_file(const char *folder, const char *file, int flags)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	return real_open(path, flags | O_CLOEXEC, 0600);
}

static void set_field(const char *field, unsigned long long value)
{
	if (!strcmp(field, "abi_revision"))
		info.abi_revision = (uint32_t)value;
	else if (!strcmp(field, "vm_slots"))
		info.vm_slots = (uint32_t)value;
	else if (!strcmp(field, "cpus"))
		info.cpus = (uint32_t)value;
	else if (!strcmp(field, "dma"))
		info.dma = (uint32_t)value;
	else if (!strcmp(field, "pages_out"))
		info.pages_out = value;
	else
		fprintf(stderr, "stand-in: no field \"%s\"\n", field);
}

static void set_fault(const char *name, unsigned long long error)
{
	for (unsigned int i = 0; i < REQUESTS; i++)
		if (!strcmp(name, request_names[i]))
			faults[i] = (int)error;
}

/* Lines of a word and a number. */
static void read_settings(const char *folder, const char *file, void (*set)(const char *word, unsigned long long value))
{
	int fd = open_file(folder, file, O_RDONLY);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	unsigned long long value;
	char word[64];

	while (f && fscanf(f, "%63s %llu", word, &value) == 2)
		set(word, value);
	if (f)
		fclose(f);
}

static bool is_record(int fd)
{
	char link[64], path[4096] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, "/.ended/");
}

/* While they may still be asked for: the one pair of sockets of its kind that keel-dm has, and the record. */
static void find_descriptors(void)
{
	socklen_t bytes = sizeof(int);
	int type;

	for (int fd = 0; fd < DESCRIPTORS; fd++) {
		if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) && type == SOCK_SEQPACKET)
			keeper = fd;
		if (is_record(fd))
			record = fd;
	}
}

static void scribble(void)
{
	static char rubbish[1 << 16];

	memset(rubbish, '[', sizeof(rubbish));
	for (off_t at = 0; at < 1 << 20; at += (off_t)sizeof(rubbish))
		if (pwrite(record, rubbish, sizeof(rubbish), at) < 0)
			perror("stand-in: record");
	syscall(SYS_exit_group, 0);
}

static int open_device(const char *folder)
{
	info = (struct keel_info){
		.abi_revision = KEEL_ABI_REVISION, .vm_slots = KEEL_MAX_VMS, .cpus = 2, .max_vcpus = KEEL_MAX_VCPUS,
		.tsc_khz = 2000000,
	};
	read_settings(folder, "info", set_field);
	read_settings(folder, "faults", set_fault);
	find_descriptors();
	orders = open_file(folder, "orders", O_RDONLY | O_CREAT);
	notes = open_file(folder, "notes", O_WRONLY | O_CREAT | O_APPEND);
	hypervisor_log = open_file(folder, "log", O_RDONLY);
	memory = memfd_create("stand-in", MFD_CLOEXEC);
	if (orders < 0 || notes < 0 || memory < 0 || ftruncate(memory, CHANNEL_MOST)) {
		perror("stand-in");
		errno = EIO;
		return -1;
	}
	device = fcntl(memory, F_DUPFD_CLOEXEC, 0);
	return device;
}

static int open_any(const char *path, int flags, mode_t mode)
{
	const char *folder = getenv("STANDIN");
	int fd = -1;

	if (folder && !strcmp(path, DEVICE))
		return open_device(folder);
	if (folder && !strcmp(path, ONLINE_CPUS))
		fd = open_file(folder, "online", O_RDONLY);
	return fd >= 0 ? fd : real_open(path, flags, mode);
}

#define OPEN(name)								\
int name(const char *path, int flags, ...)					\
{										\
	mode_t mode = 0;							\
	va_list args;								\
										\
	va_start(args, flags);							\
	if (flags & (O_CREAT | __O_TMPFILE))					\
		mode = va_arg(args, mode_t);					\
	va_end(args);								\
	return open_any(path, flags, mode);					\
}

OPEN(open)
OPEN(open64)

int __open_2(const char *path, int flags)
{
	return open_any(path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
	return open_any(path, flags, 0);
}

static void ring(void)
{
	uint64_t one = 1;

	if (__atomic_load_n(&channel->host_asleep, __ATOMIC_SEQ_CST) && write(doorbell, &one, sizeof(one)) < 0)
		perror("stand-in: doorbell");
}

static void nap(void)
{
	const struct timespec time = { .tv_nsec = POLL_NS };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

/* Waits for room, as a guest's serial port does. What has been put out is there before the next byte, for the guest may end. */
static void put_bytes(struct stream_out *to, const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && !killed; i++) {
		while (!stream_put(to, (uint8_t)bytes[i]) && !killed) {
			ring();
			nap();
		}
		stream_flush(to);
	}
	ring();
}

/* In place; returns the length. */
static size_t unescape(char *text)
{
	char *to = text;
	unsigned int byte;

	for (const char *from = text; *from; to++) {
		if (!strncmp(from, "\\n", 2)) {
			*to = '\n';
			from += 2;
		} else if (sscanf(from, "\\x%2x", &byte) == 1) {
			*to = (char)byte;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	return (size_t)(to - text);
}

static const struct keel_device *device_of(unsigned int drive)
{
	for (unsigned int i = 0; i < channel->machine.devices; i++) {
		const struct keel_device *row = &channel->machine.device[i];

		if (drive < KEEL_DRIVES ? row->type <= KEEL_DEVICE_IDE_CDROM && row->slot == drive :
					  row->type == KEEL_DEVICE_VIRTIO + VIRTIO_ID_BLOCK &&
					  row->slot == PC_SLOT_DISK + drive - KEEL_DRIVES)
			return row;
	}
	return NULL;
}

/* NULL: there is no such drive. */
static const struct keel_queue *queue_of(unsigned int drive)
{
	const struct keel_device *row = device_of(drive);

	return row ? &channel->machine.queue[row->first_queue] : NULL;
}

static unsigned long long bytes_of(unsigned int drive)
{
	struct keel_block_config config;

	memcpy(&config, device_of(drive)->config, sizeof(config));
	return config.sectors * KEEL_SECTOR;
}

static uint8_t *arena_of(unsigned int drive)
{
	return (uint8_t *)channel + queue_of(drive)->arena;
}

static void open_drives(void)
{
	for (unsigned int i = 0; i < DRIVES; i++)
		if (queue_of(i))
			vq_driver_init(&drives[i].driver, (uint8_t *)channel + queue_of(i)->ring, queue_of(i)->entries,
				       drives[i].shadow);
}

static struct stream_in stream_in_of(const struct keel_device *row, unsigned int number)
{
	struct stream_in stream;

	stream_in_init(&stream, (uint8_t *)channel, &channel->machine.queue[row->first_queue + number],
		       streams.shadow[row->first_queue + number]);
	return stream;
}

static struct stream_out stream_out_of(const struct keel_device *row, unsigned int number)
{
	struct stream_out stream;

	stream_out_init(&stream, (uint8_t *)channel, &channel->machine.queue[row->first_queue + number],
			streams.shadow[row->first_queue + number]);
	return stream;
}

static void open_streams(void)
{
	memset(&streams, 0, sizeof(streams));
	for (unsigned int i = 0; i < channel->machine.devices; i++) {
		const struct keel_device *row = &channel->machine.device[i];

		if (row->type == KEEL_DEVICE_CONSOLE) {
			streams.console_in = stream_in_of(row, 0);
			streams.console_out = stream_out_of(row, 1);
		} else if (row->type == KEEL_DEVICE_DEBUG) {
			streams.debug = stream_out_of(row, 0);
		} else if (row->type == KEEL_DEVICE_PANEL) {
			streams.panel_in = stream_in_of(row, 0);
			streams.panel_out = stream_out_of(row, 1);
		} else if (row->type == KEEL_DEVICE_IDE_CDROM) {
			streams.drive_in[row->slot] = stream_in_of(row, 1);
			streams.drive_out[row->slot] = stream_out_of(row, 2);
		}
	}
}

static void open_entropy(void)
{
	entropy.queue = NULL;
	for (unsigned int i = 0; i < channel->machine.devices; i++)
		if (channel->machine.device[i].type == KEEL_DEVICE_VIRTIO + VIRTIO_ID_RNG)
			entropy.queue = &channel->machine.queue[channel->machine.device[i].first_queue];
	if (entropy.queue)
		vq_driver_init(&entropy.driver, (uint8_t *)channel + entropy.queue->ring, entropy.queue->entries, entropy.shadow);
}

static void ask_for_entropy(uint32_t count)
{
	struct vq_piece piece;
	uint16_t head;

	if (!entropy.queue) {
		fprintf(stderr, "stand-in: there is no entropy device\n");
		return;
	}
	piece = (struct vq_piece){ entropy.queue->arena, count };
	if (!vq_driver_send(&entropy.driver, &piece, 0, 1, &head))
		fprintf(stderr, "stand-in: the entropy device takes no more requests\n");
	ring();
}

static void take_entropy(void)
{
	const uint8_t *from = entropy.queue ? (uint8_t *)channel + entropy.queue->arena : NULL;
	uint16_t head;
	uint32_t bytes;

	while (from && vq_driver_receive(&entropy.driver, &head, &bytes)) {
		bool seen[UINT8_MAX + 1] = { false };
		unsigned int different = 0;

		for (uint32_t i = 0; i < bytes; i++) {
			different += !seen[from[i]];
			seen[from[i]] = true;
		}
		note("random %u %u", bytes, different);
	}
}

/* byte: that a write writes; of a range its flags. */
static void put_request(unsigned int drive, enum keel_block_op op, uint64_t offset, uint32_t count, unsigned int byte)
{
	bool range = op == KEEL_BLOCK_DISCARD || op == KEEL_BLOCK_WRITE_ZEROES, writes = op == KEEL_BLOCK_WRITE || range;
	uint16_t head;
	uint32_t arena;
	struct vq_piece pieces[3];
	unsigned int used = 1;

	if (drive >= DRIVES || !queue_of(drive)) {
		fprintf(stderr, "stand-in: there is no drive %u\n", drive);
		return;
	}
	head = drives[drive].driver.free;
	arena = queue_of(drive)->arena;
	pieces[0] = (struct vq_piece){ arena + HEADERS_AT + head * (uint32_t)sizeof(struct keel_block_header), 16 };
	*(struct keel_block_header *)((uint8_t *)channel + pieces[0].offset) =
		(struct keel_block_header){ .op = op, .sector = offset / KEEL_SECTOR };
	if (range)
		*(struct keel_block_range *)arena_of(drive) =
			(struct keel_block_range){ offset / KEEL_SECTOR, count / KEEL_SECTOR, byte };
	else if (writes)
		memset(arena_of(drive), (int)byte, count < KEEL_BOUNCE_BYTES ? count : KEEL_BOUNCE_BYTES);
	if (op != KEEL_BLOCK_FLUSH)
		pieces[used++] = (struct vq_piece){ arena, range ? (uint32_t)sizeof(struct keel_block_range) : count };
	pieces[used++] = (struct vq_piece){ (uint32_t)(arena + STATUSES_AT) + head, 1 };
	if (!vq_driver_send(&drives[drive].driver, pieces, writes ? 2 : 1, used - (writes ? 2 : 1), &head)) {
		fprintf(stderr, "stand-in: drive %u takes no more requests\n", drive);
		return;
	}
	drives[drive].number[head] = requests_made++;
	ring();
}

/* Output and a request, which is a bad one, again and again. */
static void flood(void)
{
	bool has_drive = queue_of(0);
	uint8_t *queue = (uint8_t *)channel + (has_drive ? queue_of(0)->ring : 0);
	struct vq_head *avail = vq_avail_head(queue, KEEL_BLOCK_ENTRIES), *used = vq_used_head(queue, KEEL_BLOCK_ENTRIES);
	struct stream_out *out[] = { &streams.console_out, &streams.debug };

	while (!killed) {
		for (unsigned int i = 0; i < 2; i++) {
			stream_put(out[i], 'f');
			stream_flush(out[i]);
		}
		if (has_drive)
			VQ_STORE(avail->index, (uint16_t)(VQ_LOAD(used->index) + 1));
		ring();
	}
}

static void move_door(unsigned int drive, bool locked, bool ejected)
{
	struct keel_message *door = &streams.door[drive % KEEL_DRIVES];

	door->kind = KEEL_MESSAGE_DOOR;
	door->flags = locked ? KEEL_MESSAGE_LOCKED : 0;
	door->number += ejected;
	if (!stream_send(&streams.drive_out[drive % KEEL_DRIVES], door))
		fprintf(stderr, "stand-in: drive %u takes no more messages\n", drive);
	ring();
}

static void take_button(void)
{
	streams.taken.kind = KEEL_MESSAGE_TAKEN;
	streams.taken.number++;
	if (!stream_send(&streams.panel_out, &streams.taken))
		fprintf(stderr, "stand-in: the panel takes no more messages\n");
	ring();
}

static void obey(char *line)
{
	char *text = strchr(line, ' ');
	unsigned long long offset = 0;
	unsigned int byte = 0, drive = 0, count = 0;

	text = text ? text + 1 : line + strlen(line);
	if (!strncmp(line, "say ", 4)) {
		put_bytes(&streams.console_out, text, unescape(text));
	} else if (!strcmp(line, "flood")) {
		flood();
	} else if (!strcmp(line, "babble")) {
		if (write(keeper, "?", 1) != 1)
			perror("stand-in: keeper");
	} else if (!strcmp(line, "scribble")) {
		scribble();
	} else if (sscanf(line, "scrub %u", &scrub_seconds) == 1) {
		return;
	} else if (!strcmp(line, "take")) {
		take_button();
	} else if (sscanf(line, "lock %u", &drive) == 1) {
		move_door(drive, true, false);
	} else if (sscanf(line, "unlock %u", &drive) == 1) {
		move_door(drive, false, false);
	} else if (sscanf(line, "open %u", &drive) == 1) {
		move_door(drive, false, true);
	} else if (!strncmp(line, "debug ", 6)) {
		put_bytes(&streams.debug, text, unescape(text));
	} else if (!strncmp(line, "end ", 4)) {
		unsigned long long detail = 0, address = 0;

		sscanf(text, "%u %llu %llu", &status.end, &detail, &address);
		status.detail = detail;
		status.address = address;
	} else if (sscanf(line, "read %u %llu %u", &drive, &offset, &count) == 3) {
		put_request(drive, KEEL_BLOCK_READ, offset, count, 0);
	} else if (sscanf(line, "write %u %llu %u %u", &drive, &offset, &count, &byte) == 4) {
		put_request(drive, KEEL_BLOCK_WRITE, offset, count, byte);
	} else if (sscanf(line, "discard %u %llu %u", &drive, &offset, &count) == 3) {
		put_request(drive, KEEL_BLOCK_DISCARD, offset, count, 0);
	} else if (sscanf(line, "zeroes %u %llu %u %u", &drive, &offset, &count, &byte) == 4) {
		put_request(drive, KEEL_BLOCK_WRITE_ZEROES, offset, count, byte);
	} else if (sscanf(line, "random %u", &count) == 1) {
		ask_for_entropy(count);
	} else if (sscanf(line, "flush %u", &drive) == 1) {
		put_request(drive, KEEL_BLOCK_FLUSH, 0, 0, 0);
	} else {
		fprintf(stderr, "stand-in: no order: %s\n", line);
	}
}

/* The next whole line of the orders, if there is one. */
static bool next_order(char *line)
{
	ssize_t n = pread(orders, line, LINE_ROOM - 1, orders_taken);
	char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;

	if (!end)
		return false;
	*end = '\0';
	orders_taken += end - line + 1;
	return true;
}

/* The first vCPU is the one that does things. */
static int run(int fd)
{
	const struct timespec time = { .tv_nsec = POLL_NS };
	char line[LINE_ROOM];

	while (!killed && !status.end) {
		while (fd == vcpu_fd[0] && !killed && !status.end && next_order(line))
			obey(line);
		if (!killed && !status.end && clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL)) {
			errno = EINTR;
			return -1;
		}
	}
	return 0;
}

static void take_messages(void)
{
	struct keel_message message;

	while (stream_receive(&streams.panel_in, &message))
		note("%s", message.kind == KEEL_MESSAGE_POWER_BUTTON ? "power button" : "nmi");
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		while (stream_receive(&streams.drive_in[i], &message))
			if (message.kind == KEEL_MESSAGE_MEDIUM)
				note("medium %u %llu", i, (unsigned long long)message.number * KEEL_SECTOR);
			else
				note("eject button");
}

static void take_input(void)
{
	char text[CHANNEL_ROOM + 1];
	size_t n = 0;

	while (n < CHANNEL_ROOM && stream_get(&streams.console_in, (uint8_t *)&text[n]))
		n++;
	text[n] = '\0';
	if (n)
		note("input %s", text);
}

static void take_answers(unsigned int drive)
{
	char data[2 * DATA_SHOWN + 1] = "";
	uint16_t head;
	uint32_t bytes;

	while (vq_driver_receive(&drives[drive].driver, &head, &bytes)) {
		for (unsigned int i = 0; i < DATA_SHOWN; i++)
			sprintf(data + 2 * i, "%02x", arena_of(drive)[i]);
		note("done %u %u %s", drives[drive].number[head], arena_of(drive)[STATUSES_AT + head], data);
	}
}

static int take_event(void)
{
	pthread_mutex_lock(&lock);
	take_messages();
	take_input();
	for (unsigned int i = 0; i < DRIVES; i++)
		if (queue_of(i))
			take_answers(i);
	take_entropy();
	pthread_mutex_unlock(&lock);
	return 0;
}

static int create(const struct keel_vm_create *vm)
{
	if (channel)
		munmap(channel, channel_bytes);
	channel_bytes = vm->channel_bytes;
	channel = mmap(NULL, channel_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (channel == MAP_FAILED) {
		channel = NULL;
		return -1;
	}
	memset(channel, 0, channel_bytes);
	memset(&status, 0, sizeof(status));
	killed = false;
	vm_fd = eventfd(0, EFD_CLOEXEC);
	return vm_fd;
}

static int add_memory(const struct keel_vm_memory *m)
{
	status.pages_4k += m->bytes % (2ull << 20) / KEEL_PAGE_SIZE;
	status.pages_2m += m->bytes / (2ull << 20);
	return 0;
}

static int add_vcpu(unsigned long index)
{
	vcpu_fd[index] = eventfd(0, EFD_CLOEXEC);
	return vcpu_fd[index];
}

static int read_log(struct keel_log *log)
{
	ssize_t n = hypervisor_log < 0 ? 0 : pread(hypervisor_log, (void *)(uintptr_t)log->buffer, log->bytes,
						   (off_t)log->position);

	log->bytes = n > 0 ? (uint32_t)n : 0;
	log->position += log->bytes;
	return 0;
}

static int read_status(struct keel_vm_status *to)
{
	*to = status;
	if (!to->end && killed)
		to->end = KEEL_END_DESTROYED;
	return 0;
}

static void note_drives(void)
{
	for (unsigned int i = 0; i < DRIVES; i++)
		if (device_of(i))
			note("drive %u %llu", i, bytes_of(i));
}

static bool fails(enum request request)
{
	errno = faults[request];
	return faults[request];
}

int sched_setaffinity(pid_t pid, size_t bytes, const cpu_set_t *cpus)
{
	return fails(AFFINITY) ? -1 : (int)syscall(SYS_sched_setaffinity, pid, bytes, cpus);
}

/* Stands in for the right to it as well, which a test that is not root's lacks where it runs with a lower priority. */
int setpriority(__priority_which_t which, id_t who, int priority)
{
	if (fails(PRIORITY))
		return -1;
	return syscall(SYS_setpriority, which, who, priority) && errno != EACCES && errno != EPERM ? -1 : 0;
}

/* A VM's descriptor stands for its channel. */
static void *map(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd >= 0 && fd == vm_fd ? memory : fd, offset);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return map(at, bytes, protection, flags, fd, offset);
}

void *mmap64(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	return map(at, bytes, protection, flags, fd, offset);
}

int close(int fd)
{
	const struct timespec time = { .tv_sec = scrub_seconds };

	if (fd >= 0 && fd == vm_fd) {
		vm_fd = -1;
		clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
	}
	return (int)syscall(SYS_close, fd);
}

static int answer(int fd, unsigned long request, void *argument)
{
	switch (request) {
	case KEEL_GET_INFO:
		*(struct keel_info *)argument = info;
		return 0;
	case KEEL_READ_LOG:
		return read_log(argument);
	case KEEL_VM_CREATE:
		return fails(CREATE) ? -1 : create(argument);
	case KEEL_VM_MEMORY:
		return fails(MEMORY) ? -1 : add_memory(argument);
	case KEEL_VM_VCPU:
		return fails(VCPU) ? -1 : add_vcpu((unsigned long)argument);
	case KEEL_VM_START:
		if (fails(START))
			return -1;
		open_drives();
		open_streams();
		open_entropy();
		note("start");
		note_drives();
		return 0;
	case KEEL_VM_EVENT:
		return fails(EVENT) ? -1 : take_event();
	case KEEL_VM_DOORBELL:
		doorbell = (int)(long)argument;
		return fails(DOORBELL) ? -1 : 0;
	case KEEL_VM_STATUS:
		return read_status(argument);
	case KEEL_VM_KILL:
		killed = true;
		note("kill");
		return 0;
	case KEEL_RUN:
		return fails(RUN) ? -1 : run(fd);
	default:
		return real_ioctl(fd, request, argument);
	}
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	return device < 0 ? real_ioctl(fd, request, argument) : answer(fd, request, argument);
}
