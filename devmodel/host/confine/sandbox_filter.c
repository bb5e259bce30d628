// SPDX-License-Identifier: GPL-2.0
/* The system calls of keel-dm after its set-up: its loop, and a restart of its guest. Any other fails with EPERM. */
#include <errno.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <keel/ioctl.h>
#include <keel/macros.h>

#include "host/confine/sandbox_internal.h"

static const int allowed[] = {
	/* the loop, and what is open: sockets, files, events */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(accept4), SCMP_SYS(recvfrom),
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(io_uring_enter), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	/* memory and threads of a restarted guest */
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(eventfd2),
	SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getrandom), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(time), SCMP_SYS(gettimeofday),
	SCMP_SYS(sched_yield),
};

static const unsigned int requests[] = {
	KEEL_GET_INFO, KEEL_VM_CREATE, KEEL_VM_MEMORY, KEEL_VM_VCPU, KEEL_VM_DOORBELL, KEEL_VM_START, KEEL_VM_EVENT, KEEL_VM_KILL,
	KEEL_VM_STATUS, KEEL_VM_APERTURE, KEEL_RUN, BLKGETSIZE64,
	TUNSETOFFLOAD, TUNSETCARRIER,
};

#define THREAD_FLAGS	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)
#define APART_FLAGS	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | \
			 CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
#define EQUALS(argument, value) { argument, SCMP_CMP_EQ, value, 0 }
#define IS(argument, value) (struct scmp_arg_cmp)EQUALS(argument, (scmp_datum_t)(value))
#define MASKED(argument, mask, value) { argument, SCMP_CMP_MASKED_EQ, mask, value }

/* Only where an argument is harmless. */
static const struct {
	int call;
	unsigned int conditions;
	struct scmp_arg_cmp condition[2];
} conditional[] = {
	/* Private memory is limited as data is; shared memory is what the driver gives. */
	{ SCMP_SYS(mmap), 2, { MASKED(2, PROT_EXEC, 0), MASKED(3, MAP_TYPE | MAP_GROWSDOWN | MAP_HUGETLB, MAP_PRIVATE) } },
	{ SCMP_SYS(mmap), 2, { MASKED(2, PROT_EXEC, 0), MASKED(3, MAP_TYPE | MAP_ANONYMOUS | MAP_HUGETLB, MAP_SHARED) } },
	{ SCMP_SYS(mprotect), 1, { MASKED(2, PROT_EXEC | PROT_GROWSDOWN, 0) } },
	{ SCMP_SYS(madvise), 1, { EQUALS(2, MADV_DONTNEED) } },
	{ SCMP_SYS(madvise), 1, { EQUALS(2, MADV_FREE) } },
	{ SCMP_SYS(io_uring_register), 1, { EQUALS(1, IORING_UNREGISTER_FILES) } },
	{ SCMP_SYS(clone), 1, { MASKED(0, THREAD_FLAGS | APART_FLAGS, THREAD_FLAGS) } },
	{ SCMP_SYS(prctl), 1, { EQUALS(0, PR_SET_NAME) } },
	{ SCMP_SYS(sendto), 1, { EQUALS(4, 0) } },
	/* Descriptors that come over the control socket. */
	{ SCMP_SYS(recvmsg), 1, { EQUALS(2, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) } },
	{ SCMP_SYS(sched_getaffinity), 1, { EQUALS(0, 0) } },
};

static bool allow_where(scmp_filter_ctx filter, int call, struct scmp_arg_cmp condition)
{
	return !seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &condition);
}

static bool allow_two(scmp_filter_ctx filter, int call, struct scmp_arg_cmp first, struct scmp_arg_cmp second)
{
	const struct scmp_arg_cmp both[] = { first, second };

	return !seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 2, both);
}

/* By the descriptors that they are for: nothing above gives another file the number of one of them. */
static bool allow_for(scmp_filter_ctx filter, const struct sandbox *sandbox)
{
	for (unsigned int i = 0; i < SANDBOX_LOGS; i++)
		if (!allow_where(filter, SCMP_SYS(ftruncate), IS(0, sandbox->logs[i])))
			return false;
	for (unsigned int i = 0; i < sandbox->images; i++)
		if (!allow_where(filter, SCMP_SYS(ftruncate), IS(0, sandbox->image[i])))
			return false;
	return allow_two(filter, SCMP_SYS(sendmsg), IS(0, sandbox->link), IS(2, MSG_NOSIGNAL)) &&
	       allow_two(filter, SCMP_SYS(recvmsg), IS(0, sandbox->link), IS(2, MSG_CMSG_CLOEXEC)) &&
	       allow_two(filter, SCMP_SYS(io_uring_register), IS(0, sandbox->media), IS(1, IORING_REGISTER_FILES));
}

static bool allow_by_arguments(scmp_filter_ctx filter)
{
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++)
		if (!allow_where(filter, SCMP_SYS(ioctl), (struct scmp_arg_cmp)MASKED(1, 0xffffffffu, requests[i])))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(conditional); i++)
		if (seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, conditional[i].call, conditional[i].conditions,
					   conditional[i].condition))
			return false;
	return allow_where(filter, SCMP_SYS(tgkill), (struct scmp_arg_cmp)EQUALS(0, (scmp_datum_t)getpid()));
}

static bool fill(scmp_filter_ctx filter, const struct sandbox *sandbox)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0))
			return false;
	/* Its flags are in memory, where a filter does not see them: the C library then takes clone. */
	return !seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) && allow_by_arguments(filter) &&
	       allow_for(filter, sandbox);
}

const char *sandbox_filter(const struct sandbox *sandbox)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int error = -ENOMEM;

	if (filter && !seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) && fill(filter, sandbox))
		error = seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	errno = -error;
	return error ? "filter its system calls (with a kernel of CONFIG_SECCOMP_FILTER)" : NULL;
}
