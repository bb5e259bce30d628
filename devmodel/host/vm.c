// SPDX-License-Identifier: GPL-2.0
/* VMs by way of /dev/keel. */
#include "host/vm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <keel/hypercall.h>

#include "common/fd.h"
#include "host/ending.h"
#include "shared/pc_map.h"

#define KICK_SIGNAL		SIGUSR1
#define MIB_SHIFT		20
#define NS_PER_SECOND		1000000000u
#define MEMORY_MARGIN		(32ull << MIB_SHIFT)	/* that the control domain keeps */

static unsigned long long memory_available(const struct vm *vm)
{
	char text[4096];
	ssize_t n = pread(vm->meminfo, text, sizeof(text) - 1, 0);
	unsigned long long kib = 0;
	const char *line;

	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "MemAvailable:");
	return line && sscanf(line, "MemAvailable: %llu kB", &kib) == 1 ? kib << 10 : 0;
}

static bool add_region(struct vm *vm, uint64_t gpa, uint64_t bytes, uint32_t flags)
{
	struct keel_vm_memory region = { .gpa = gpa, .bytes = bytes, .flags = flags };

	return !bytes || !ioctl(vm->fd, KEEL_VM_MEMORY, &region);
}

static bool no_memory(const struct vm_memory *m, unsigned long long available, struct failure *failure)
{
	return failure_set(failure, EXIT_NO_MEMORY, "not enough memory: the guest wants %llu MiB, about %llu MiB are left; "
			   "give it less, or stop another guest",
			   (unsigned long long)(m->low + m->high) >> MIB_SHIFT, available >> MIB_SHIFT);
}

static bool add_memory(struct vm *vm, const struct vm_memory *m, struct failure *failure)
{
	if (add_region(vm, 0, PC_VGA_HOLE, 0) && add_region(vm, PC_VGA_HOLE_END, m->low - PC_VGA_HOLE_END, 0) &&
	    add_region(vm, PC_HIGH_MEMORY, m->high, 0) &&
	    add_region(vm, PC_HIGH_MEMORY - m->firmware, m->firmware, KEEL_MAP_READONLY))
		return true;
	if (errno == ENOMEM)
		return no_memory(m, memory_available(vm), failure);
	return failure_set(failure, EXIT_FAILED, "cannot give the guest its memory: %s", strerror(errno));
}

static bool open_vm(struct vm *vm, unsigned int vcpus, uint32_t topology, size_t channel_bytes,
		    struct failure *failure)
{
	struct keel_vm_create create = { .vcpus = vcpus, .channel_bytes = channel_bytes, .topology = topology };

	vm->fd = ioctl(vm->device, KEEL_VM_CREATE, &create);
	if (vm->fd < 0 && errno == ENOSPC)
		return failure_set(failure, EXIT_FAILED, "all %u VM slots of the hypervisor are taken", KEEL_MAX_VMS);
	if (vm->fd < 0)
		return failure_set(failure, errno == ENOMEM ? EXIT_NO_MEMORY : EXIT_FAILED, "cannot create a VM: %s",
				   strerror(errno));
	vm->channel = mmap(NULL, channel_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vm->fd, 0);
	if (vm->channel == MAP_FAILED) {
		vm->channel = NULL;
		return failure_set(failure, EXIT_FAILED, "cannot map the channel: %s", strerror(errno));
	}
	vm->channel_bytes = channel_bytes;
	return true;
}

static bool open_vcpus(struct vm *vm, unsigned int vcpus, struct failure *failure)
{
	for (unsigned int i = 0; i < vcpus; i++) {
		int fd = ioctl(vm->fd, KEEL_VM_VCPU, (unsigned long)i);

		if (fd < 0)
			return failure_set(failure, errno == ENOMEM ? EXIT_NO_MEMORY : EXIT_FAILED,
					   "cannot create vCPU %u: %s", i, strerror(errno));
		vm->vcpu[i] = (struct vm_vcpu){ .vm = vm, .index = i, .fd = fd };
		vm->vcpus = i + 1;
	}
	return true;
}

bool vm_create(struct vm *vm, unsigned int vcpus, uint32_t topology, size_t channel_bytes,
	       const struct vm_memory *memory, struct failure *failure)
{
	unsigned long long available = memory_available(vm);

	vm->fd = vm->doorbell = vm->ended = -1;
	vm->channel = NULL;
	vm->vcpus = vm->threads = 0;
	/* Asked of the driver, this would make the kernel kill programs before it refuses. */
	if (available && memory->low + memory->high + MEMORY_MARGIN > available)
		return no_memory(memory, available, failure);
	vm->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	vm->ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->doorbell < 0 || vm->ended < 0)
		failure_set(failure, EXIT_FAILED, "cannot make an eventfd: %s", strerror(errno));
	else if (open_vm(vm, vcpus, topology, channel_bytes, failure) && add_memory(vm, memory, failure) &&
		 open_vcpus(vm, vcpus, failure)) {
		if (!ioctl(vm->fd, KEEL_VM_DOORBELL, (unsigned long)vm->doorbell))
			return true;
		failure_set(failure, EXIT_FAILED, "cannot connect the doorbell: %s", strerror(errno));
	}
	vm_destroy(vm);
	return false;
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now = { 0 };

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* One that ends has told its time before its clock goes. */
uint64_t vm_cpu_ns(const struct vm *vm, unsigned int vcpu)
{
	const struct vm_vcpu *v = &vm->vcpu[vcpu];
	uint64_t now = 0, ended;
	clockid_t clock;

	if (vcpu < vm->threads && !pthread_getcpuclockid(v->thread, &clock))
		now = read_clock(clock);
	ended = __atomic_load_n(&v->cpu_ns, __ATOMIC_ACQUIRE);
	return vm->cpu_ns[vcpu] + (ended ? ended : now);
}

static void on_kick(int signal)
{
	(void)signal;
}

static void *run_vcpu(void *argument)
{
	struct vm_vcpu *vcpu = argument;
	struct vm *vm = vcpu->vm;
	uint64_t one = 1;
	sigset_t kick;
	char name[16];

	snprintf(name, sizeof(name), "vcpu %u", vcpu->index);
	pthread_setname_np(pthread_self(), name);
	sigemptyset(&kick);
	sigaddset(&kick, KICK_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
	while (ioctl(vcpu->fd, KEEL_RUN))
		if (errno != EINTR) {
			__atomic_store_n(&vcpu->error, errno, __ATOMIC_RELAXED);
			break;
		}
	__atomic_store_n(&vcpu->cpu_ns, read_clock(CLOCK_THREAD_CPUTIME_ID), __ATOMIC_RELEASE);
	if (write(vm->ended, &one, sizeof(one)) < 0)
		perror("eventfd");
	return NULL;
}

/* Threads inherit a mask with every signal blocked: signals of the process go to the main thread's descriptor. */
static bool start_threads(struct vm *vm, struct failure *failure)
{
	struct sigaction action = { .sa_handler = on_kick };

	sigaction(KICK_SIGNAL, &action, NULL);
	for (unsigned int i = 0; i < vm->vcpus; i++) {
		int error = pthread_create(&vm->vcpu[i].thread, NULL, run_vcpu, &vm->vcpu[i]);

		if (error)
			return failure_set(failure, EXIT_FAILED, "cannot start the thread of vCPU %u: %s", i, strerror(error));
		vm->threads = i + 1;
	}
	return true;
}

/* What the cell may show its guest of the channel, as the channel has it. */
static bool bound_apertures(struct vm *vm, struct failure *failure)
{
	for (unsigned int i = 0; i < KEEL_APERTURES; i++) {
		const struct keel_aperture_bound *bound = &vm->channel->machine.aperture[i];
		struct keel_vm_aperture aperture = {
			.number = i,
			.page = (uint32_t)(bound->offset / KEEL_PAGE_SIZE),
			.pages = (uint32_t)(bound->bytes / KEEL_PAGE_SIZE),
		};

		if (bound->bytes && ioctl(vm->fd, KEEL_VM_APERTURE, &aperture))
			return failure_set(failure, EXIT_FAILED, "cannot bound aperture %u: %s", i, strerror(errno));
	}
	return true;
}

bool vm_start(struct vm *vm, struct failure *failure)
{
	if (!bound_apertures(vm, failure))
		return false;
	if (ioctl(vm->fd, KEEL_VM_START))
		return failure_set(failure, EXIT_FAILED, "cannot start the VM: %s", strerror(errno));
	if (ioctl(vm->fd, KEEL_VM_EVENT)) {
		struct keel_vm_status status = { 0 };
		char reason[256] = "";
		int error = errno;

		if (!ioctl(vm->fd, KEEL_VM_STATUS, &status) && status.end)
			ending_describe(&status, reason, sizeof(reason));
		return failure_set(failure, EXIT_FAILED, "the device model did not start: %s",
				   reason[0] ? reason : strerror(error));
	}
	return start_threads(vm, failure);
}

void vm_event(struct vm *vm)
{
	/* Fails only once the VM has ended, which the vCPUs' threads report. */
	while (ioctl(vm->fd, KEEL_VM_EVENT) && errno == EINTR)
		;
}

/* Of a VM that was not told to end yet: the first that gave up, or NULL. */
static const struct vm_vcpu *find_failed(const struct vm *vm)
{
	for (unsigned int i = 0; i < vm->threads; i++)
		if (__atomic_load_n(&vm->vcpu[i].error, __ATOMIC_RELAXED))
			return &vm->vcpu[i];
	return NULL;
}

void vm_stop(struct vm *vm, struct keel_vm_status *status)
{
	const struct vm_vcpu *failed = find_failed(vm);

	memset(status, 0, sizeof(*status));
	while (ioctl(vm->fd, KEEL_VM_KILL) && errno == EINTR)
		;
	for (unsigned int i = 0; i < vm->threads; i++) {
		pthread_kill(vm->vcpu[i].thread, KICK_SIGNAL);
		pthread_join(vm->vcpu[i].thread, NULL);
		vm->cpu_ns[i] += vm->vcpu[i].cpu_ns;
		vm->vcpu[i].cpu_ns = 0;
	}
	vm->threads = 0;
	/* The first reason stays: that of the guest, if it ended before the kill. */
	ioctl(vm->fd, KEEL_VM_STATUS, status);
	if (failed && status->end == KEEL_END_DESTROYED) {
		status->end = ENDING_VCPU_FAILED;
		status->detail = (uint64_t)failed->index << 32 | (uint32_t)failed->error;
	}
}

void vm_destroy(struct vm *vm)
{
	struct keel_vm_status status;

	if (vm->threads)
		vm_stop(vm, &status);
	for (unsigned int i = 0; i < vm->vcpus; i++)
		fd_close(&vm->vcpu[i].fd);
	vm->vcpus = 0;
	if (vm->channel)
		munmap(vm->channel, vm->channel_bytes);
	vm->channel = NULL;
	fd_close(&vm->fd);
	fd_close(&vm->doorbell);
	fd_close(&vm->ended);
}
