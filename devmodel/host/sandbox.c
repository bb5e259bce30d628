// SPDX-License-Identifier: GPL-2.0
/* The system calls of keel-dm after its set-up: its loop, a restart of its guest, and removing its folder. */
#include "host/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int allowed[] = {
	/* the loop, sockets that were opened before, and files */
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(accept4), SCMP_SYS(recvfrom),
	SCMP_SYS(sendto), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(ioctl), SCMP_SYS(fcntl), SCMP_SYS(close), SCMP_SYS(io_uring_enter), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	/* log rotation, the memory's figures, time zones of messages; nothing of it can be executed or given new rights */
	SCMP_SYS(openat), SCMP_SYS(rename), SCMP_SYS(unlink), SCMP_SYS(rmdir),
	/* memory and threads of a restarted guest */
	SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mprotect), SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(brk),
	SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(prctl), SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(setpriority), SCMP_SYS(eventfd2), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(tgkill), SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(sched_yield),
};

bool sandbox_drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3], keep = { 0 };

	if (syscall(SYS_capget, &header, sets))
		return false;
	keep.effective = keep.permitted = sets[0].permitted & 1u << CAP_SYS_NICE;
	sets[0] = keep;
	sets[1] = (struct __user_cap_data_struct){ 0 };
	return !syscall(SYS_capset, &header, sets);
}

bool sandbox_enter(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	bool entered = filter && !seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

	for (size_t i = 0; entered && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		entered = !seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	entered = entered && !seccomp_load(filter);
	if (filter)
		seccomp_release(filter);
	return entered;
}
