// SPDX-License-Identifier: GPL-2.0
/* The least resource half. */
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <keel/hypercall.h>
#include <keel/macros.h>

#define DEVICE		"/dev/keel"
#define VGA_HOLE	0xa0000ull
#define VGA_HOLE_END	0xc0000ull
#define FIRMWARE_OFFSET	0x10000u
#define SERVE_MS	20
#define NSEC_PER_SEC	1000000000ll

/* The console's queues, between the channel's header and the firmware. */
#define STREAM_BYTES	4096u
#define INPUT_OFFSET	0x4000u
#define OUTPUT_OFFSET	0x6000u
#define ARENA_OFFSET	(FIRMWARE_OFFSET - STREAM_BYTES)

_Static_assert(sizeof(struct keel_channel) <= INPUT_OFFSET, "queues and firmware lie behind the channel's header");

static const char *const end_names[] = {
	[KEEL_END_NONE] = "running",
	[KEEL_END_POWEROFF] = "poweroff",
	[KEEL_END_RESET] = "reset",
	[KEEL_END_TRIPLE_FAULT] = "triple-fault",
	[KEEL_END_CELL_FAULT] = "cell-fault",
	[KEEL_END_CELL_ANSWER] = "cell-answer",
	[KEEL_END_CELL_REFUSED] = "cell-refused",
	[KEEL_END_ENTRY_FAILED] = "entry-failed",
	[KEEL_END_UNHANDLED] = "unhandled",
	[KEEL_END_DESTROYED] = "destroyed",
};
#define END_NAMES ARRAY_SIZE(end_names)

const char *machine_end_name(uint32_t end)
{
	return end < END_NAMES ? end_names[end] : "unknown";
}

int machine_end_of_name(const char *name)
{
	for (unsigned int i = 0; i < END_NAMES; i++)
		if (!strcmp(name, end_names[i]))
			return (int)i;
	return -1;
}

uint64_t machine_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned int machine_patience(void)
{
	const char *text = getenv("KEEL_PATIENCE");
	int factor = text ? atoi(text) : 1;

	return factor > 0 ? (unsigned int)factor : 1;
}

int machine_device(void)
{
	int device = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (device < 0)
		err(2, "%s", DEVICE);
	return device;
}

struct keel_info machine_info(int device)
{
	struct keel_info info = { 0 };

	if (ioctl(device, KEEL_GET_INFO, &info))
		err(2, "KEEL_GET_INFO");
	return info;
}

void *machine_read_file(const char *path, size_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *data;

	if (fd < 0 || fstat(fd, &st))
		err(2, "%s", path);
	data = malloc((size_t)st.st_size + 1);
	if (!data || read(fd, data, (size_t)st.st_size) != st.st_size)
		err(2, "%s", path);
	close(fd);
	*bytes = (size_t)st.st_size;
	return data;
}

static void add_memory(struct machine *m, uint64_t gpa, uint64_t bytes, uint32_t flags)
{
	struct keel_vm_memory memory = { .gpa = gpa, .bytes = bytes, .flags = flags };

	if (bytes && ioctl(m->fd, KEEL_VM_MEMORY, &memory))
		err(2, "KEEL_VM_MEMORY %#llx", (unsigned long long)gpa);
}

static uint64_t rdtsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* The only device; what the debug port says is dropped. */
static void add_console(struct machine *m)
{
	struct keel_machine *machine = &m->channel->machine;

	machine->devices = 1;
	machine->device[0] = (struct keel_device){ .type = KEEL_DEVICE_CONSOLE, .queues = 2 };
	machine->queues = 2;
	machine->queue[0] = (struct keel_queue){ INPUT_OFFSET, VQ_ENTRIES_LEAST, INPUT_OFFSET + KEEL_PAGE_SIZE, STREAM_BYTES };
	machine->queue[1] = (struct keel_queue){ OUTPUT_OFFSET, KEEL_STREAM_ENTRIES_MOST, ARENA_OFFSET, STREAM_BYTES };
	board_init(&m->board, m->channel, machine->device, machine->devices, machine->queue);
}

static void describe(struct machine *m, uint64_t memory, const void *firmware, size_t bytes, uint64_t tsc_khz)
{
	struct keel_channel *c = m->channel;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	c->magic = KEEL_CHANNEL_MAGIC;
	c->version = KEEL_CHANNEL_VERSION;
	c->bytes = MACHINE_CHANNEL_BYTES;
	c->host_asleep = 1;
	c->machine.vcpus = m->vcpus;
	c->machine.low_memory = memory;
	c->machine.tsc_khz = tsc_khz;
	c->machine.wall_tsc = rdtsc();
	c->machine.wall_ns = now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
	c->machine.firmware = FIRMWARE_OFFSET;
	c->machine.firmware_bytes = (uint32_t)bytes;
	memcpy((uint8_t *)c + FIRMWARE_OFFSET, firmware, bytes);
	add_console(m);
}

void machine_make(struct machine *m, unsigned int vcpus, uint64_t memory, const void *firmware, size_t bytes)
{
	struct keel_vm_create create = { .vcpus = vcpus, .channel_bytes = MACHINE_CHANNEL_BYTES };

	memset(m, 0, sizeof(*m));
	m->device = machine_device();
	m->vcpus = vcpus;
	m->fd = ioctl(m->device, KEEL_VM_CREATE, &create);
	if (m->fd < 0)
		err(2, "KEEL_VM_CREATE");
	m->channel = mmap(NULL, MACHINE_CHANNEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (m->channel == MAP_FAILED)
		err(2, "the channel");
	if (memory > VGA_HOLE_END) {
		add_memory(m, 0, VGA_HOLE, 0);
		add_memory(m, VGA_HOLE_END, memory - VGA_HOLE_END, 0);
	} else {
		add_memory(m, 0, memory, 0);
	}
	if (firmware) {
		add_memory(m, MACHINE_HIGH_MEMORY - bytes, bytes, KEEL_MAP_READONLY);
		describe(m, memory, firmware, bytes, machine_info(m->device).tsc_khz);
	}
	for (unsigned int i = 0; i < vcpus; i++) {
		m->vcpu[i] = ioctl(m->fd, KEEL_VM_VCPU, (unsigned long)i);
		if (m->vcpu[i] < 0)
			err(2, "KEEL_VM_VCPU %u", i);
	}
	m->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->doorbell < 0 || ioctl(m->fd, KEEL_VM_DOORBELL, (unsigned long)m->doorbell))
		err(2, "KEEL_VM_DOORBELL");
}

void machine_add_high(struct machine *m, uint64_t bytes)
{
	add_memory(m, MACHINE_HIGH_MEMORY, bytes, 0);
	m->channel->machine.high_memory = bytes;
}

static void *run(void *argument)
{
	int fd = *(int *)argument;

	while (ioctl(fd, KEEL_RUN) < 0) {
		if (errno == EINTR)
			continue;
		warn("KEEL_RUN");
		break;
	}
	return NULL;
}

static void look_at_channel(struct machine *m)
{
	while (ioctl(m->fd, KEEL_VM_EVENT))
		if (errno != EINTR)
			err(2, "KEEL_VM_EVENT");
}

void machine_start(struct machine *m, bool event)
{
	if (ioctl(m->fd, KEEL_VM_START))
		err(2, "KEEL_VM_START");
	if (event)
		look_at_channel(m);
	for (unsigned int i = 0; i < m->vcpus; i++) {
		if (pthread_create(&m->thread[i], NULL, run, &m->vcpu[i]))
			errx(2, "no thread");
		m->threads++;
	}
}

static void take_character(struct machine *m, char character)
{
	if (!m->quiet && character != '\r')
		putchar(character);
	if (m->output_bytes < sizeof(m->output) - 1)
		m->output[m->output_bytes++] = character;
}

/* True: there was something, or the serial port waits for room. */
static bool drain(struct machine *m)
{
	uint8_t bytes[STREAM_BYTES];
	size_t count = board_take_output(&m->board, bytes, sizeof(bytes));

	for (size_t i = 0; i < count; i++)
		take_character(m, (char)bytes[i]);
	fflush(stdout);
	return board_event_wanted(&m->board) || count != 0;
}

struct keel_vm_status machine_status(const struct machine *m)
{
	struct keel_vm_status status = { 0 };

	if (ioctl(m->fd, KEEL_VM_STATUS, &status))
		err(2, "KEEL_VM_STATUS");
	return status;
}

struct keel_vm_status machine_serve(struct machine *m, const char *text, unsigned int milliseconds)
{
	uint64_t end = machine_milliseconds() + milliseconds;
	struct pollfd poll_doorbell = { .fd = m->doorbell, .events = POLLIN };
	struct keel_vm_status status;
	uint64_t rings;

	do {
		poll(&poll_doorbell, 1, SERVE_MS);
		if (read(m->doorbell, &rings, sizeof(rings)) < 0 && errno != EAGAIN)
			err(2, "the doorbell");
		status = machine_status(m);
		/* The serial port waits for room: it looks again at an event. */
		if (drain(m) && !status.end)
			ioctl(m->fd, KEEL_VM_EVENT);
		if (status.end || (text && strstr(m->output, text)))
			break;
	} while (machine_milliseconds() < end);
	return status;
}

struct keel_vm_status machine_wait(struct machine *m, unsigned int milliseconds)
{
	uint64_t end = machine_milliseconds() + milliseconds;
	struct pollfd poll_doorbell = { .fd = m->doorbell, .events = POLLIN };
	struct keel_vm_status status;

	do {
		poll(&poll_doorbell, 1, SERVE_MS);
		status = machine_status(m);
	} while (!status.end && machine_milliseconds() < end);
	return status;
}

void machine_type(struct machine *m, char character)
{
	memset(m->output, 0, sizeof(m->output));
	m->output_bytes = 0;
	if (!board_input_room(&m->board))
		errx(2, "no room for what is typed");
	board_put_input(&m->board, (const uint8_t *)&character, 1);
	look_at_channel(m);
}

bool machine_printed(const struct machine *m)
{
	return stream_source_has(&m->board.output);
}

static void *poke(void *argument)
{
	const struct machine *m = argument;

	ioctl(m->fd, KEEL_VM_EVENT);
	return NULL;
}

void machine_poke(struct machine *m)
{
	if (pthread_create(&m->event, NULL, poke, m))
		errx(2, "no thread");
	m->poked = true;
}

void machine_close(struct machine *m)
{
	if (ioctl(m->fd, KEEL_VM_KILL))
		err(2, "KEEL_VM_KILL");
	for (unsigned int i = 0; i < m->threads; i++)
		pthread_join(m->thread[i], NULL);
	if (m->poked)
		pthread_join(m->event, NULL);
	for (unsigned int i = 0; i < m->vcpus; i++)
		close(m->vcpu[i]);
	munmap(m->channel, MACHINE_CHANNEL_BYTES);
	close(m->doorbell);
	close(m->fd);
	close(m->device);
}
