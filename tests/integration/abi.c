// SPDX-License-Identifier: GPL-2.0
/*
 * abi: what the driver does with bad arguments, with processes that die at any instant, and with accesses to memory that a guest
 * owns. One line for each check on standard output.
 */
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keel/hypercall.h>
#include <keel/macros.h>
#include <keel/topology.h>

#define MEMORY		(16ull << 20)
#define CHANNEL		0x10000u
#define CYCLE_MEMORY	(4ull << 20)
#define LONGEST_US	40000u
#define SETTLE_MS	(3000u * machine_patience())
#define SECRET_MS	(20000u * machine_patience())
#define SEARCH_CHUNK	0x200000u
#define SAMPLE_BYTES	128u
#define SAMPLE_EVERY	0x1000u	/* a guest's page has the pattern everywhere */
/* This program's own registers and stack hold the pattern too; a page of it is 512, or 16 of a sample. */
#define STRAY_WORDS	64u
/* guests/secret.c: the pattern is the sum. */
#define SECRET_HALF	0x2b1e5c3a4d6f7091ull
#define SECRET_OTHER	0x3141592653589793ull

static unsigned int passed, failed;

static void report(bool good, const char *name, const char *why)
{
	if (good)
		printf("ok - %s\n", name);
	else
		printf("not ok - %s: %s\n", name, why);
	passed += good;
	failed += !good;
	fflush(stdout);
}

/* A call that must fail, with this error where it is not 0. */
static void refuse(const char *name, int result, int expected)
{
	char why[80];

	snprintf(why, sizeof(why), "result %d, errno %d, expected errno %d", result, errno, expected);
	report(result < 0 && (!expected || errno == expected), name, why);
	if (result >= 0 && expected)
		close(result);
}

static int create(int device, uint32_t vcpus, uint32_t flags, uint64_t bytes, uint64_t reserved)
{
	struct keel_vm_create c = { .vcpus = vcpus, .flags = flags, .channel_bytes = bytes };

	c.reserved[2] = reserved;
	return ioctl(device, KEEL_VM_CREATE, &c);
}

static int create_spread(int device, uint32_t vcpus, uint32_t topology, uint32_t spare)
{
	struct keel_vm_create c = { .vcpus = vcpus, .channel_bytes = CHANNEL, .topology = topology, .spare = spare };

	return ioctl(device, KEEL_VM_CREATE, &c);
}

static int memory(int vm, uint64_t gpa, uint64_t bytes, uint32_t flags, uint32_t reserved)
{
	struct keel_vm_memory m = { .gpa = gpa, .bytes = bytes, .flags = flags, .reserved = reserved };

	return ioctl(vm, KEEL_VM_MEMORY, &m);
}

static void check_device(int device)
{
	struct keel_log log = { .buffer = 8, .bytes = 64 };

	refuse("create: no vCPU", create(device, 0, 0, CHANNEL, 0), EINVAL);
	refuse("create: a socket that is not full", create_spread(device, 6, KEEL_TOPOLOGY(2, 2), 0), EINVAL);
	refuse("create: three threads", create_spread(device, 6, KEEL_TOPOLOGY(1, 3), 0), EINVAL);
	refuse("create: spare room", create_spread(device, 4, KEEL_TOPOLOGY(2, 2), 1), EINVAL);
	refuse("create: too many vCPUs", create(device, KEEL_MAX_VCPUS + 1, 0, CHANNEL, 0), EINVAL);
	refuse("create: four thousand million vCPUs", create(device, UINT32_MAX, 0, CHANNEL, 0), EINVAL);
	refuse("create: flags", create(device, 1, 1, CHANNEL, 0), EINVAL);
	refuse("create: no channel", create(device, 1, 0, 0, 0), EINVAL);
	refuse("create: half a page", create(device, 1, 0, CHANNEL + 1, 0), EINVAL);
	refuse("create: huge channel", create(device, 1, 0, 1ull << 40, 0), EINVAL);
	refuse("create: channel beyond all bounds", create(device, 1, 0, ~0xfffull, 0), EINVAL);
	refuse("create: spare room not zero", create(device, 1, 0, CHANNEL, 1), EINVAL);
	refuse("create: bad pointer", ioctl(device, KEEL_VM_CREATE, 8), EFAULT);
	refuse("info: bad pointer", ioctl(device, KEEL_GET_INFO, 8), EFAULT);
	refuse("log: bad pointer", ioctl(device, KEEL_READ_LOG, 8), EFAULT);
	refuse("log: bad buffer", ioctl(device, KEEL_READ_LOG, &log), EFAULT);
	log = (struct keel_log){ .reserved = 1 };
	refuse("log: spare room not zero", ioctl(device, KEEL_READ_LOG, &log), EINVAL);
	refuse("device: an ioctl of a VM", ioctl(device, KEEL_VM_START), ENOTTY);
	refuse("device: an ioctl that is none", ioctl(device, _IO(KEEL_IOC, 0xff)), ENOTTY);
}

static void check_vm(int vm)
{
	refuse("memory: nothing", memory(vm, 0, 0, 0, 0), EINVAL);
	refuse("memory: not a page", memory(vm, 0x800, 0x1000, 0, 0), EINVAL);
	refuse("memory: half a page", memory(vm, 0, 0x1800, 0, 0), EINVAL);
	refuse("memory: flags", memory(vm, 0, 0x1000, 0xff00, 0), EINVAL);
	refuse("memory: spare room not zero", memory(vm, 0, 0x1000, 0, 1), EINVAL);
	refuse("memory: above all addresses", memory(vm, 1ull << 40, 0x1000, 0, 0), EINVAL);
	refuse("memory: across the end", memory(vm, (1ull << 40) - 0x1000, 0x2000, 0, 0), EINVAL);
	refuse("memory: wraps around", memory(vm, 0x1000, ~0xfffull, 0, 0), EINVAL);
	refuse("memory: more than there is", memory(vm, 1ull << 32, 1ull << 38, 0, 0), ENOMEM);
	refuse("memory: bad pointer", ioctl(vm, KEEL_VM_MEMORY, 8), EFAULT);
	report(memory(vm, 0, 0x4000, 0, 0) == 0, "memory: good", strerror(errno));
	refuse("memory: overlap", memory(vm, 0x2000, 0x4000, 0, 0), 0);
	refuse("vcpu: no such index", ioctl(vm, KEEL_VM_VCPU, 1ul), EINVAL);
	refuse("vcpu: negative index", ioctl(vm, KEEL_VM_VCPU, -1l), EINVAL);
	refuse("event: before the start", ioctl(vm, KEEL_VM_EVENT), EINVAL);
	refuse("doorbell: no descriptor", ioctl(vm, KEEL_VM_DOORBELL, -1l), EBADF);
	refuse("doorbell: not an eventfd", ioctl(vm, KEEL_VM_DOORBELL, (unsigned long)vm), EINVAL);
	refuse("status: bad pointer", ioctl(vm, KEEL_VM_STATUS, 8), EFAULT);
	refuse("vm: an ioctl that is none", ioctl(vm, _IO(KEEL_IOC, 0xff)), ENOTTY);
	report(mmap(NULL, CHANNEL + 0x1000, PROT_READ, MAP_SHARED, vm, 0) == MAP_FAILED, "mmap: too long", "mapped");
	report(mmap(NULL, CHANNEL, PROT_READ, MAP_PRIVATE, vm, 0) == MAP_FAILED, "mmap: private", "mapped");
	report(mmap(NULL, 0x1000, PROT_READ, MAP_SHARED, vm, 0x100000) == MAP_FAILED, "mmap: behind the end", "mapped");
}

static void check_arguments(int device)
{
	struct keel_info before = machine_info(device), after;
	struct keel_vm_status status;
	int vm, vcpu;

	check_device(device);
	report(machine_info(device).pages_out == before.pages_out, "refused calls keep no page", "pages are out");
	vm = create(device, 1, 0, CHANNEL, 0);
	if (vm < 0)
		err(2, "KEEL_VM_CREATE");
	check_vm(vm);
	vcpu = ioctl(vm, KEEL_VM_VCPU, 0ul);
	refuse("run: before the start", ioctl(vcpu, KEEL_RUN), EINVAL);
	refuse("vcpu: an ioctl that is none", ioctl(vcpu, KEEL_VM_START), ENOTTY);
	report(!ioctl(vm, KEEL_VM_START), "start", strerror(errno));
	refuse("start: twice", ioctl(vm, KEEL_VM_START), EBUSY);
	refuse("memory: after the start", memory(vm, 0x100000, 0x1000, 0, 0), EBUSY);
	report(!ioctl(vm, KEEL_VM_KILL), "kill", strerror(errno));
	report(!ioctl(vm, KEEL_VM_KILL), "kill: twice", strerror(errno));
	report(!ioctl(vm, KEEL_VM_STATUS, &status) && status.end == KEEL_END_DESTROYED, "status: after the kill", "wrong");
	report(!ioctl(vcpu, KEEL_RUN), "run: after the kill", strerror(errno));
	close(vm);
	report(machine_info(device).pages_out > before.pages_out, "a vCPU's descriptor keeps its VM", "the VM is gone");
	close(vcpu);
	after = machine_info(device);
	report(after.pages_out == before.pages_out && after.vm_slots == before.vm_slots, "the last close takes all back",
	       "pages or slots are out");
}

/* The child makes and starts a VM over and over, until it is killed. */
static void __attribute__((noreturn)) be_killed(const void *firmware, size_t bytes)
{
	struct machine machine;

	for (;;) {
		machine_make(&machine, 2, CYCLE_MEMORY, firmware, bytes);
		machine.quiet = true;
		machine_start(&machine, true);
		machine_serve(&machine, "here I go", 5);
		machine_close(&machine);
	}
}

static bool all_back(int device, const struct keel_info *before)
{
	uint64_t end = machine_milliseconds() + SETTLE_MS;
	struct keel_info now;

	do {
		now = machine_info(device);
		if (now.pages_out == before->pages_out && now.vm_slots == before->vm_slots)
			return true;
		usleep(1000);
	} while (machine_milliseconds() < end);
	return false;
}

static void check_kills(int device, const char *path, unsigned int cycles)
{
	struct keel_info before = machine_info(device);
	unsigned int seed = 1, lost = 0;
	size_t bytes;
	void *firmware = machine_read_file(path, &bytes);

	for (unsigned int i = 0; i < cycles && !lost; i++) {
		pid_t child = fork();

		if (child == 0)
			be_killed(firmware, bytes);
		usleep((unsigned int)rand_r(&seed) % LONGEST_US);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		lost += !all_back(device, &before);
	}
	report(!lost, "processes killed at random instants leave nothing", "pages or slots are out");
}

/* What is looked for; the sum of two constants, so that no memory of this program holds it. */
static uint64_t wanted_half = SECRET_HALF;
/* How much is looked at, of how much: an interpreter does not look at every word. */
static size_t look_bytes = SEARCH_CHUNK, look_every = SEARCH_CHUNK;
static unsigned int stray_words = STRAY_WORDS;

static unsigned int search(const uint64_t *words, size_t bytes)
{
	uint64_t secret = wanted_half + SECRET_OTHER;
	unsigned int found = 0;

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		found += words[i] == secret;
	return found;
}

/* Reads a file of memory from its beginning to its end in pieces; what cannot be read is skipped. */
static unsigned int search_file(const char *path, uint64_t first, uint64_t end, uint64_t *seen)
{
	uint64_t *buffer = aligned_alloc(0x1000, SEARCH_CHUNK);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned int found = 0;

	*seen = 0;
	for (uint64_t at = first; fd >= 0 && buffer && at < end;) {
		ssize_t count = pread(fd, buffer, look_bytes, (off_t)at);
		uint64_t passed_by = count > 0 ? (uint64_t)count * look_every / look_bytes : 0x1000;

		if (count > 0) {
			found += search(buffer, (size_t)count);
			*seen += passed_by;
		}
		at += passed_by;
	}
	free(buffer);
	if (fd >= 0)
		close(fd);
	return found;
}

/* Program headers of /proc/kcore of the direct map: those that have a physical address. */
static unsigned int search_kcore(uint64_t *seen)
{
	struct { uint8_t ident[16]; uint16_t type, machine; uint32_t version; uint64_t entry, phoff, shoff;
		 uint32_t flags; uint16_t ehsize, phentsize, phnum; } header;
	struct { uint32_t type, flags; uint64_t offset, vaddr, paddr, filesz, memsz, align; } segment;
	int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	unsigned int found = 0;
	uint64_t part;

	*seen = 0;
	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return 0;
	for (unsigned int i = 0; i < header.phnum; i++) {
		if (pread(fd, &segment, sizeof(segment), (off_t)(header.phoff + i * header.phentsize)) != sizeof(segment))
			break;
		if (segment.type != 1 || segment.paddr == UINT64_MAX || segment.filesz > (8ull << 30))
			continue;
		found += search_file("/proc/kcore", segment.offset, segment.offset + segment.filesz, &part);
		*seen += part;
	}
	close(fd);
	return found;
}

static void check_secret(const char *path, uint64_t host_memory)
{
	struct machine machine;
	struct keel_vm_status status;
	unsigned int found;
	uint64_t seen;
	size_t bytes;
	void *firmware = machine_read_file(path, &bytes);
	char why[80];

	machine_make(&machine, 1, MEMORY, firmware, bytes);
	machine.quiet = true;
	machine_start(&machine, true);
	status = machine_serve(&machine, "secret: hidden", SECRET_MS);
	report(!status.end && strstr(machine.output, "secret: hidden"), "a guest hides a pattern", machine_end_name(status.end));
	found = search_kcore(&seen);
	snprintf(why, sizeof(why), "found %u times in %llu MiB", found, (unsigned long long)seen >> 20);
	report(found < stray_words && seen > host_memory / 4, "/proc/kcore does not show it", why);
	found = search_file("/dev/mem", 0, host_memory, &seen);
	snprintf(why, sizeof(why), "found %u times in %llu MiB", found, (unsigned long long)seen >> 20);
	report(found < stray_words, "/dev/mem does not show it", why);
	status = machine_serve(&machine, NULL, 1500);
	report(!status.end, "the guest goes on, undisturbed", machine.output);
	machine_close(&machine);
}

/* After the guest is gone its memory is the control domain's again, and empty. */
static void check_scrubbed(void)
{
	uint64_t seen;

	report(search_kcore(&seen) < stray_words, "nothing of it is left afterwards", "found");
}

/* The search finds a pattern that is there: this process's own. */
static void check_search(void)
{
	static uint64_t decoy[SEARCH_CHUNK / sizeof(uint64_t)];
	uint64_t seen;

	wanted_half = SECRET_HALF + 1;
	for (size_t i = 0; i < ARRAY_SIZE(decoy); i++)
		((volatile uint64_t *)decoy)[i] = wanted_half + SECRET_OTHER;
	report(search_kcore(&seen) >= sizeof(decoy) / look_every * (look_bytes / sizeof(decoy[0])),
	       "/proc/kcore shows what is the control domain's", "not found");
	wanted_half = SECRET_HALF;
}

static void check_two(const char *spin, const char *work)
{
	struct machine spinner, worker;
	struct keel_vm_status status;
	size_t bytes;
	void *firmware = machine_read_file(spin, &bytes);

	machine_make(&spinner, 1, CYCLE_MEMORY, firmware, bytes);
	spinner.quiet = true;
	machine_start(&spinner, true);
	status = machine_serve(&spinner, "here I go", SECRET_MS);
	report(strstr(spinner.output, "here I go") != NULL, "a guest that spins", machine_end_name(status.end));
	firmware = machine_read_file(work, &bytes);
	machine_make(&worker, 1, CYCLE_MEMORY, firmware, bytes);
	worker.quiet = true;
	machine_start(&worker, true);
	status = machine_serve(&worker, NULL, SECRET_MS);
	report(status.end == KEEL_END_POWEROFF && strstr(worker.output, ": ok"), "another one works beside it",
	       machine_end_name(status.end));
	machine_close(&worker);
	report(!machine_status(&spinner).end, "the one that spins still does", "it ended");
	machine_close(&spinner);
}

static sigjmp_buf back;

static void on_signal(int signal)
{
	siglongjmp(back, signal);
}

static void check_ring3(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
	static unsigned int number, signals;	/* a jump out of a signal handler leaves locals undefined */

	sigaction(SIGILL, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (number = 0; number < 2 * KEEL_HC_COUNT; number++) {
		int signal = sigsetjmp(back, 1);

		if (!signal) {
			if (number % 2)
				__asm__ volatile("vmmcall" : : "a"(number / 2), "D"(0), "S"(0), "d"(0)
						 : "memory", "rcx", "r8", "r10", "r11");
			else
				__asm__ volatile("vmcall" : : "a"(number / 2), "D"(0), "S"(0), "d"(0)
						 : "memory", "rcx", "r8", "r10", "r11");
			continue;
		}
		signals += signal == SIGILL;
	}
	report(signals == 2 * KEEL_HC_COUNT, "VMMCALL and VMCALL from ring 3 raise SIGILL", "they did not");
}

int main(int argc, char **argv)
{
	int device = machine_device();
	struct keel_info before = machine_info(device), after;
	uint64_t memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (argc != 5 && (argc != 6 || strcmp(argv[5], "sample")))
		errx(2, "usage: abi SPIN-GUEST WORKING-GUEST SECRET-GUEST KILLS [sample]");
	if (argc == 6) {
		look_bytes = SAMPLE_BYTES;
		look_every = SAMPLE_EVERY;
		stray_words = SAMPLE_BYTES / 16;
	}
	report(before.abi_revision == KEEL_ABI_REVISION && before.vm_slots == KEEL_MAX_VMS && !before.pages_out,
	       "nothing is out at the start", "something is");
	check_ring3();
	check_arguments(device);
	check_two(argv[1], argv[2]);
	check_search();
	check_secret(argv[3], memory_bytes);
	check_scrubbed();
	check_kills(device, argv[1], (unsigned int)atoi(argv[4]));
	after = machine_info(device);
	report(!after.pages_out && after.vm_slots == KEEL_MAX_VMS, "nothing is out at the end", "something is");
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
