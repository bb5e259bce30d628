// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for /dev/keel, preloaded into the real keel and keel-dm. No guest runs: a test says what one would have done.
 * Here are the calls that it hides; what they do to a guest's devices, and what the guest is ordered to do, is in the files
 * beside it.
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
 *             exits KIND DEVICE INSTANCE COUNT	so many exits (enum keel_exit_kind), each with an access to this device
 *             lie			its cell tells rubbish when it is asked for statistics
 *             random COUNT		it asks its entropy device, which it must have, for so many bytes
 *             frames COUNT BYTES VALUE	its first network card, which it must have, sends as many, each of such bytes
 *             read DRIVE OFFSET COUNT, write DRIVE OFFSET COUNT BYTE, flush DRIVE
 *             keep DRIVE OFFSET COUNT	it reads, and keeps what it has read
 *   notes   out: what reaches the guest, a line each:
 *             random COUNT DIFFERENT	an answer of so many bytes, and how many values there are among them
 *             frame BYTES VALUE, sent COUNT	a frame for the guest, and its first byte; all to be sent have been taken
 *             link up, link down
 *             capacity NUMBER BYTES	a virtio disk has another size
 *             start, drive NUMBER BYTES, power button, nmi, medium NUMBER BYTES, eject button, input TEXT, kill
 *             done NUMBER STATUS DATA	requests are counted from 0; STATUS: enum keel_block_status; DATA: the drive's first bytes
 *   kept    out: what the guest has kept of drives, where it was on them
 */
#include "standin.h"

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
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <keel/ioctl.h>

#define DEVICE			"/dev/keel"
#define ONLINE_CPUS		"/sys/devices/system/cpu/online"
#define NOTE_ROOM		8192
#define CHANNEL_MOST		(256l << 20)	/* sparse */

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

enum request { CREATE, MEMORY, VCPU, START, EVENT, DOORBELL, RUN, AFFINITY, PRIORITY, REQUESTS };

static const char *const request_names[REQUESTS] = {
	[CREATE] = "create", [MEMORY] = "memory", [VCPU] = "vcpu", [START] = "start", [EVENT] = "event",
	[DOORBELL] = "doorbell", [RUN] = "run", [AFFINITY] = "affinity", [PRIORITY] = "priority",
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int device = -1, notes = -1, hypervisor_log = -1, memory = -1;
static int faults[REQUESTS];
static struct keel_info info;
static size_t channel_bytes;
static int doorbell = -1, vm_fd = -1, vcpu_fd[KEEL_MAX_VCPUS];	/* confined, the process can make no descriptors but of events */

int orders = -1, kept = -1;
unsigned int scrub_seconds;
struct keel_vm_status status;
struct keel_channel *channel;
volatile bool killed;

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

void note(const char *format, ...)
{
	char line[NOTE_ROOM];
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

static int open_device(const char *folder)
{
	info = (struct keel_info){
		.abi_revision = KEEL_ABI_REVISION, .vm_slots = KEEL_MAX_VMS, .cpus = 2, .max_vcpus = KEEL_MAX_VCPUS,
		.tsc_khz = 2000000,
	};
	read_settings(folder, "info", set_field);
	read_settings(folder, "faults", set_fault);
	process_find();
	orders = open_file(folder, "orders", O_RDONLY | O_CREAT);
	notes = open_file(folder, "notes", O_WRONLY | O_CREAT | O_APPEND);
	kept = open_file(folder, "kept", O_WRONLY | O_CREAT);
	hypervisor_log = open_file(folder, "log", O_RDONLY);
	memory = memfd_create("stand-in", MFD_CLOEXEC);
	if (orders < 0 || notes < 0 || kept < 0 || memory < 0 || ftruncate(memory, CHANNEL_MOST)) {
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

void ring(void)
{
	uint64_t one = 1;

	if (__atomic_load_n(&channel->host_asleep, __ATOMIC_SEQ_CST) && write(doorbell, &one, sizeof(one)) < 0)
		perror("stand-in: doorbell");
}

void nap(void)
{
	const struct timespec time = { .tv_nsec = STANDIN_POLL_NS };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

/* The first vCPU is the one that does things. */
static int run(int fd)
{
	const struct timespec time = { .tv_nsec = STANDIN_POLL_NS };

	while (!killed && !status.end) {
		if (fd == vcpu_fd[0])
			orders_obey();
		if (!killed && !status.end && clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL)) {
			errno = EINTR;
			return -1;
		}
	}
	return 0;
}

static int take_event(void)
{
	pthread_mutex_lock(&lock);
	streams_take();
	drives_take();
	entropy_take();
	network_take();
	statistics_take();
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
		drives_open();
		streams_open();
		entropy_open();
		network_open();
		note("start");
		drives_note();
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
