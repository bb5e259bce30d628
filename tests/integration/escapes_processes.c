// SPDX-License-Identifier: GPL-2.0
// Escapes from the sandbox of keel-dm: other processes, the system, and what a process is.
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keel/macros.h>

#include "escapes.h"

/* A child that is gone at once. */
static bool child_of(long result)
{
	if (!result)
		_exit(0);
	if (result > 0)
		waitpid((pid_t)result, NULL, 0);
	return result > 0;
}

static bool forks(void)
{
	return child_of(syscall(SYS_fork));
}

static bool vforks(void)
{
	pid_t child = vfork();

	if (!child)
		_exit(0);
	return child > 0;
}

static bool clones(void)
{
	return child_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
}

static bool clones3(void)
{
	uint64_t args[8] = { [4] = SIGCHLD };

	return child_of(syscall(SYS_clone3, args, sizeof(args)));
}

/* Outside, it would be the end of this process. */
static bool executes(void)
{
	char *const arguments[] = { "true", NULL };
	pid_t child = (pid_t)syscall(SYS_fork);
	int status = 1;

	if (child <= 0) {
		execv("/bin/busybox", arguments);
		if (!child)
			_exit(1);
		return false;
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) != 1;
}

static bool executes_memory(void)
{
	return syscall(SYS_execveat, -1, "", NULL, NULL, AT_EMPTY_PATH) >= 0 || errno == EBADF;
}

static bool traces(void)
{
	return !ptrace(PTRACE_SEIZE, around.others_process, NULL, NULL);
}

static bool reads_others_memory(void)
{
	static char here_[8];
	struct iovec to = { here_, sizeof(here_) }, from = { here_, sizeof(here_) };

	return process_vm_readv(around.others_process, &to, 1, &from, 1, 0) >= 0;
}

static bool signals_others(void)
{
	return !kill(around.others_process, 0);
}

static bool signals_others_thread(void)
{
	return !syscall(SYS_tgkill, around.others_process, around.others_process, 0);
}

static bool holds_others(void)
{
	return syscall(SYS_pidfd_open, around.others_process, 0) >= 0;
}

static bool becomes_root(void)
{
	return !setuid(0);
}

static bool joins_groups(void)
{
	gid_t group = 0;

	return !syscall(SYS_setgroups, 1, &group);
}

static bool takes_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { 0 };

	sets[0].effective = sets[0].permitted = 1u << CAP_SYS_ADMIN;
	return !syscall(SYS_capset, &header, sets);
}

static bool new_user_namespace(void)
{
	return !unshare(CLONE_NEWUSER);
}

static bool new_mounts(void)
{
	return !unshare(CLONE_NEWNS);
}

static bool mounts(void)
{
	return !mount("none", "/", "tmpfs", MS_RDONLY, "size=4k");
}

static bool unmounts(void)
{
	return !umount2("/proc", MNT_DETACH);
}

static bool changes_root(void)
{
	return !chroot("/");
}

static bool makes_device(void)
{
	return !mknod(ESCAPES_FOLDER "/device", S_IFCHR | 0600, makedev(1, 1));
}

static bool reaches_ports(void)
{
	return !ioperm(0x80, 1, 1);
}

static bool renames_host(void)
{
	return !sethostname("host", 4);
}

static bool loads_program(void)
{
	/* r0 = 0; exit */
	static const struct bpf_insn program[] = { { 0xb7, 0, 0, 0, 0 }, { 0x95, 0, 0, 0, 0 } };
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insn_cnt = 2;
	attr.insns = (uintptr_t)program;
	attr.license = (uintptr_t)"GPL";
	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) >= 0;
}

static bool counts_events(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_DUMMY };

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0;
}

static bool keeps_keys(void)
{
	return syscall(SYS_add_key, "user", "escape", "x", 1, -3) >= 0;
}

static bool can_be_dumped(void)
{
	return !prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static bool filters_anew(void)
{
	unsigned int action = SECCOMP_RET_ALLOW;

	return !syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action);
}

static bool schedules_others(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	return !sched_setaffinity(around.others_process, sizeof(cpus), &cpus);
}

/* Other CPUs than the manifest's are as near as this one's own. */
static bool schedules_itself(void)
{
	cpu_set_t cpus;

	return !sched_getaffinity(0, sizeof(cpus), &cpus) && !sched_setaffinity(0, sizeof(cpus), &cpus);
}

static bool weighs_itself(void)
{
	return !setpriority(PRIO_PROCESS, 0, 19);
}

static bool weighs_user(void)
{
	return !setpriority(PRIO_USER, 0, 1);
}

static bool weighs_others(void)
{
	return !setpriority(PRIO_PROCESS, (id_t)around.others_process, 1);
}

static const struct attempt list[] = {
	{ "fork", forks, false, false },
	{ "vfork", vforks, false, false },
	{ "clone a process", clones, false, false },
	{ "clone3 a process", clones3, false, false },
	{ "execve", executes, false, false },
	{ "execveat", executes_memory, false, false },
	{ "trace another process", traces, false, true },
	{ "read another process's memory", reads_others_memory, false, true },
	{ "signal another process", signals_others, false, true },
	{ "signal another's thread", signals_others_thread, false, true },
	{ "pidfd_open", holds_others, false, false },
	{ "setuid(0)", becomes_root, true, true },
	{ "setgroups", joins_groups, true, true },
	{ "take a capability", takes_capabilities, true, true },
	{ "make a user namespace", new_user_namespace, false, false },
	{ "make a mount namespace", new_mounts, true, true },
	{ "mount", mounts, true, true },
	{ "umount", unmounts, true, true },
	{ "chroot", changes_root, true, true },
	{ "mknod", makes_device, true, true },
	{ "reach I/O ports", reaches_ports, true, true },
	{ "sethostname", renames_host, true, true },
	{ "load a BPF program", loads_program, true, false },
	{ "perf_event_open", counts_events, true, false },
	{ "add_key", keeps_keys, false, false },
	{ "become dumpable", can_be_dumped, false, false },
	{ "seccomp", filters_anew, false, false },
	{ "pin itself", schedules_itself, false, false },
	{ "weigh itself", weighs_itself, false, false },
	{ "pin another process", schedules_others, false, true },
	{ "weigh a user's processes", weighs_user, false, false },
	{ "weigh another process", weighs_others, false, true },
};

const struct attempts escapes_processes = { list, ARRAY_SIZE(list) };
