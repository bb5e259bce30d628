// SPDX-License-Identifier: GPL-2.0
/*
 * The sandbox of keel-dm, tried from within: escapes [user]. Each attempt is made twice, in the same form: outside the sandbox, where it
 * has to work (as a user: may), so that it is known to be one; and inside, after the real set-up, where it must fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/capability.h>
#include <sys/eventfd.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keel/macros.h>

#include "host/backend/disk.h"
#include "host/confine/sandbox_internal.h"

#define OTHERS_SOCKET		"/run/keel/other-guest"
#define FOLDER			"/run/keel/escapes"
#define USER			990u	/* of the image's passwd */
#define GUESTS_USER		1880096768u
#define THREADS			4u
#define DATA			(64ull << 20)

static int folder, others_end, others_listener, pty_master, pty_slave, image, log_file;
static pid_t others_process;
static struct loop loop;
static struct disk_engine engine, media;

static bool opens(const char *path, int flags)
{
	return open(path, flags | O_CLOEXEC, 0600) >= 0;
}

static bool shadow(void)
{
	return opens("/etc/shadow", O_RDONLY);
}

static bool core_pattern(void)
{
	return opens("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static bool sysrq(void)
{
	return opens("/proc/sysrq-trigger", O_WRONLY);
}

static bool keel_device(void)
{
	return opens("/dev/keel", O_RDWR);
}

static bool hosts_disk(void)
{
	return opens("/dev/vda", O_RDWR);
}

static bool new_file(void)
{
	return opens(FOLDER "/new", O_WRONLY | O_CREAT);
}

static bool here(void)
{
	return opens(".", O_RDONLY | O_DIRECTORY);
}

static bool by_openat2(void)
{
	const struct { uint64_t flags, mode, resolve; } how = { O_RDONLY, 0, 0 };

	return syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how)) >= 0;
}

static bool looks(void)
{
	struct stat st;

	return !stat("/etc/passwd", &st);
}

/* A folder that somebody has handed over. */
static bool beneath(void)
{
	return openat(folder, "escapes", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0;
}

/* To somebody who is not its keeper. */
static bool hands_on(void)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	*header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(header), &image, sizeof(image));
	return sendmsg(others_end, &message, MSG_NOSIGNAL) == 1;
}

static bool hears_otherwise(void)
{
	char byte;
	struct iovec part = { &byte, 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	return recvmsg(others_end, &message, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno == EAGAIN;
}

static bool links(void)
{
	return !symlink("/etc/passwd", FOLDER "/link");
}

static struct sockaddr_un others_address(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, OTHERS_SOCKET);
	return address;
}

static bool others_guest(void)
{
	struct sockaddr_un address = others_address();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static bool network(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static bool pair(void)
{
	int fds[2];

	return !socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

/* What a request of the ring that was set up for disks answers; -EPERM if it is not taken at all. */
static int asked(struct io_uring *ring, const struct io_uring_sqe *what)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int result;

	if (!sqe)
		return -EPERM;
	*sqe = *what;
	if (io_uring_submit(ring) < 1 || io_uring_wait_cqe(ring, &cqe))
		return -EPERM;
	result = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return result;
}

/* Outside, a ring as anybody's; inside, the one of the disks. */
static struct io_uring *ring_at_hand(void)
{
	static struct io_uring own;

	if (engine.loop)
		return &engine.ring;
	return own.ring_fd || !io_uring_queue_init(8, &own, 0) ? &own : NULL;
}

static bool asks(struct io_uring_sqe what)
{
	struct io_uring *ring = ring_at_hand();

	return ring && asked(ring, &what) >= 0;
}

static bool ring_opens(void)
{
	return asks((struct io_uring_sqe){ .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)"/", .open_flags = O_RDONLY });
}

static bool ring_connects(void)
{
	static struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* Inside there is no socket to begin with: the ring would have to make it. */
	if (fd < 0)
		return asks((struct io_uring_sqe){ .opcode = IORING_OP_SOCKET, .fd = AF_UNIX, .off = SOCK_STREAM });
	address = others_address();
	return asks((struct io_uring_sqe){ .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&address, .off = sizeof(address) });
}

static bool ring_does_others(void)
{
	static const uint8_t operations[] = { IORING_OP_NOP, IORING_OP_CONNECT, IORING_OP_OPENAT2, IORING_OP_PROVIDE_BUFFERS };
	bool done = false;

	for (size_t i = 0; i < sizeof(operations); i++)
		done |= asks((struct io_uring_sqe){ .opcode = operations[i], .flags = engine.loop ? IOSQE_FIXED_FILE : 0, .fd = 0 });
	return done;
}

/* What a disk's request is, but for file and flags. */
static bool ring_reads(int fd, uint8_t flags)
{
	static uint64_t bytes;

	return asks((struct io_uring_sqe){ .opcode = IORING_OP_READ, .flags = flags, .fd = fd, .addr = (uintptr_t)&bytes,
					   .len = sizeof(bytes) });
}

static bool ring_reads_others(void)
{
	return ring_reads(eventfd(1, EFD_CLOEXEC), 0);
}

static bool ring_flags(void)
{
	return engine.loop ? ring_reads(0, IOSQE_FIXED_FILE | IOSQE_ASYNC) : ring_reads(eventfd(1, EFD_CLOEXEC), IOSQE_ASYNC);
}

static bool ring_registers(void)
{
	struct io_uring *ring = ring_at_hand();
	int fd = 0;

	return ring && syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_FILES, &fd, 1) >= 0;
}

/* Outside, a ring as anybody's; inside, the one of media, where no file is. */
static struct io_uring *media_ring_at_hand(void)
{
	return media.loop ? &media.ring : ring_at_hand();
}

/* One by one: the kernel would let go of them later. */
static bool ring_replaces(void)
{
	struct io_uring *ring = media_ring_at_hand();
	struct io_uring_files_update update = { .fds = (uintptr_t)&image };

	if (!media.loop && ring)
		io_uring_register_files(ring, &image, 1);
	return ring && syscall(SYS_io_uring_register, ring->ring_fd, IORING_REGISTER_FILES_UPDATE, &update, 1) >= 0;
}

static bool ring_writes_media(void)
{
	static uint64_t bytes;
	struct io_uring *ring = media_ring_at_hand();
	struct io_uring_sqe write = {
		.opcode = IORING_OP_WRITE, .flags = media.loop ? IOSQE_FIXED_FILE : 0, .fd = media.loop ? 0 : image,
		.addr = (uintptr_t)&bytes, .len = sizeof(bytes),
	};

	return ring && asked(ring, &write) >= 0;
}

static bool new_ring(void)
{
	struct io_uring_params params = { 0 };

	return syscall(SYS_io_uring_setup, 4, &params) >= 0;
}

static bool maps(int protection, int flags, size_t bytes)
{
	return mmap(NULL, bytes, protection, flags | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static bool executable(void)
{
	return maps(PROT_READ | PROT_EXEC, MAP_PRIVATE, 4096);
}

static bool made_executable(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static bool made_executable_by_key(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1);
}

static bool executable_for_all(void)
{
	return personality(READ_IMPLIES_EXEC) >= 0;
}

static bool file_in_memory(void)
{
	return memfd_create("escape", 0) >= 0;
}

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
	return !ptrace(PTRACE_SEIZE, others_process, NULL, NULL);
}

static bool reads_others_memory(void)
{
	static char here_[8];
	struct iovec to = { here_, sizeof(here_) }, from = { here_, sizeof(here_) };

	return process_vm_readv(others_process, &to, 1, &from, 1, 0) >= 0;
}

static bool signals_others(void)
{
	return !kill(others_process, 0);
}

static bool signals_others_thread(void)
{
	return !syscall(SYS_tgkill, others_process, others_process, 0);
}

static bool holds_others(void)
{
	return syscall(SYS_pidfd_open, others_process, 0) >= 0;
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
	return !mknod(FOLDER "/device", S_IFCHR | 0600, makedev(1, 1));
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

static bool types_for_others(void)
{
	/* TIOCSTI of its own terminal, or what a terminal allows at any time. */
	struct winsize size = { 1, 1, 0, 0 };

	return !ioctl(pty_slave, TIOCSTI, "x") || !ioctl(pty_master, TIOCSWINSZ, &size);
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

static bool owns_signals_of_files(void)
{
	return !fcntl(pty_master, F_SETOWN, others_process);
}

static bool schedules_others(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	return !sched_setaffinity(others_process, sizeof(cpus), &cpus);
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

static bool lifts_limits(void)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_NOFILE, &limit) && !setrlimit(RLIMIT_NOFILE, &limit);
}

static bool more_memory(void)
{
	return maps(PROT_READ | PROT_WRITE, MAP_PRIVATE, 2 * DATA);
}

/* Memory that is not to be written to any more is no data: it keeps what is in it, and its page tables. */
static bool sealed_memory(void)
{
	void *part[64];
	unsigned int count = 0;

	for (; count < 64; count++) {
		part[count] = mmap(NULL, DATA / 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (part[count] == MAP_FAILED || mprotect(part[count], DATA / 4, PROT_READ))
			break;
	}
	for (unsigned int i = 0; i < count; i++)
		munmap(part[i], DATA / 4);
	return count == 64;
}

/* Which no limit of data counts. */
static bool shared_memory(void)
{
	return maps(PROT_READ | PROT_WRITE, MAP_SHARED, 4096);
}

static bool stack_memory(void)
{
	return maps(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_GROWSDOWN, 4096);
}

static bool merged_memory(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return page != MAP_FAILED && !madvise(page, 4096, MADV_WILLNEED);
}

static bool changes_open_files(void)
{
	return !fcntl(pty_master, F_SETFL, O_NONBLOCK);
}

static bool cuts_files(void)
{
	return !ftruncate(image, 4096);
}

/* By the number of a log, which may be cut off. */
static bool cuts_files_as_log(void)
{
	close(log_file);
	return fcntl(image, F_DUPFD_CLOEXEC, log_file) == log_file && !ftruncate(log_file, 4096);
}

static bool duplicates(void)
{
	return fcntl(image, F_DUPFD, 0) >= 0 || dup(image) >= 0 || dup2(image, log_file) >= 0 || dup3(image, log_file, O_CLOEXEC) >= 0;
}

static bool weighs_others(void)
{
	return !setpriority(PRIO_PROCESS, (id_t)others_process, 1);
}

static bool more_files(void)
{
	for (int i = 0; i < 600; i++)
		if (eventfd(0, EFD_CLOEXEC) < 0)
			return false;
	return true;
}

static void *idle(void *argument)
{
	(void)argument;
	for (;;)
		syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_sec = 100 }, NULL);
	return NULL;
}

static bool more_threads(void)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (unsigned int i = 0; i < THREADS + 2 * SANDBOX_WORKERS + 1; i++)
		if (pthread_create(&thread, &small, idle, NULL))
			return false;
	return true;
}

static const struct attempt {
	const char *what;
	bool (*make)(void);
	bool by_root;		/* others may not do it anyway */
	bool layered;		/* as another user and without a filter it must fail as well */
} attempts[] = {
	{ "open /etc/shadow", shadow, true, true }, { "open core_pattern to write", core_pattern, true, true },
	{ "open sysrq-trigger to write", sysrq, true, true }, { "open /dev/keel", keel_device, true, true },
	{ "open the host's disk to write", hosts_disk, true, true }, { "make a file", new_file, false, true },
	{ "open its own folder", here, false, false }, { "open beneath a folder that is open", beneath, false, true },
	{ "hand a descriptor on", hands_on, false, false }, { "receive with other flags", hears_otherwise, false, false },
	{ "replace files of the media's io_uring", ring_replaces, false, false }, { "write by the media's io_uring", ring_writes_media, false, false },
	 { "openat2", by_openat2, false, false }, { "stat", looks, false, true }, { "symlink", links, false, true },
	{ "reach another guest's socket", others_guest, false, true }, { "make an internet socket", network, false, false },
	{ "make a pair of sockets", pair, false, false },
	{ "open by io_uring", ring_opens, false, false }, { "connect by io_uring", ring_connects, false, false },
	{ "other operations of io_uring", ring_does_others, false, false }, { "flags of io_uring", ring_flags, false, false },
	{ "register with io_uring", ring_registers, false, false }, { "a new io_uring", new_ring, false, false },
	{ "map executable memory", executable, false, false }, { "make memory executable", made_executable, false, false },
	{ "the same by pkey_mprotect", made_executable_by_key, false, false }, { "the same by personality", executable_for_all, false, false },
	{ "make a file in memory", file_in_memory, false, false },
	{ "fork", forks, false, false }, { "vfork", vforks, false, false }, { "clone a process", clones, false, false }, { "clone3 a process", clones3, false, false },
	{ "execve", executes, false, false }, { "execveat", executes_memory, false, false },
	{ "trace another process", traces, false, true }, { "read another process's memory", reads_others_memory, false, true },
	{ "signal another process", signals_others, false, true }, { "signal another's thread", signals_others_thread, false, true },
	{ "pidfd_open", holds_others, false, false },
	{ "setuid(0)", becomes_root, true, true }, { "setgroups", joins_groups, true, true }, { "take a capability", takes_capabilities, true, true },
	{ "make a user namespace", new_user_namespace, false, false }, { "make a mount namespace", new_mounts, true, true },
	{ "mount", mounts, true, true }, { "umount", unmounts, true, true }, { "chroot", changes_root, true, true }, { "mknod", makes_device, true, true },
	{ "reach I/O ports", reaches_ports, true, true }, { "sethostname", renames_host, true, true }, { "load a BPF program", loads_program, true, false },
	{ "perf_event_open", counts_events, true, false }, { "add_key", keeps_keys, false, false },
	{ "use a terminal's ioctls", types_for_others, false, false }, { "become dumpable", can_be_dumped, false, false },
	{ "seccomp", filters_anew, false, false }, { "send a file's signals to others", owns_signals_of_files, false, false },
	{ "pin itself", schedules_itself, false, false }, { "weigh itself", weighs_itself, false, false },
	{ "pin another process", schedules_others, false, true }, { "weigh a user's processes", weighs_user, false, false }, { "weigh another process", weighs_others, false, true },
	{ "take away O_APPEND", changes_open_files, false, false }, { "cut a file off", cuts_files, false, false },
	{ "cut a file off as a log", cuts_files_as_log, false, false },
	{ "duplicate a file", duplicates, false, false },
	{ "read another file by io_uring", ring_reads_others, false, false },
	{ "map shared memory", shared_memory, false, false }, { "map memory that grows", stack_memory, false, false },
	{ "advise on memory", merged_memory, false, false },
	{ "change limits", lifts_limits, false, false },
	{ "take more memory than it may", more_memory, false, true },
	{ "take more and seal it", sealed_memory, false, true }, { "open more files than it may", more_files, false, true },
	{ "start more threads than it may", more_threads, false, true },
};

#define ATTEMPTS	ARRAY_SIZE(attempts)

/* Each in a child of its own, whose mounts are its own as well. */
static bool works_outside(const struct attempt *attempt)
{
	pid_t child = fork();
	int status = 1;

	if (!child) {
		alarm(20);
		if (!geteuid())
			unshare(CLONE_NEWNS | CLONE_NEWUTS);
		_exit(attempt->make() ? 0 : 1);
	}
	waitpid(child, &status, 0);
	unlink(FOLDER "/new");
	unlink(FOLDER "/link");
	unlink(FOLDER "/device");
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void fail(const char *what)
{
	printf("not ok - %s: %s\n", what, strerror(errno));
	exit(1);
}

static void make_surroundings(void)
{
	struct sockaddr_un address = others_address();
	int ends[2];

	mkdir("/run/keel", 0755);
	mkdir(FOLDER, 0755);
	unlink(OTHERS_SOCKET);
	others_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (others_listener < 0 || bind(others_listener, (struct sockaddr *)&address, sizeof(address)) || listen(others_listener, 64) ||
	    chmod(OTHERS_SOCKET, 0666) || (image = memfd_create("image", MFD_CLOEXEC)) < 0 || ftruncate(image, 8192) ||
	    (log_file = memfd_create("log", MFD_CLOEXEC)) < 0 || openpty(&pty_master, &pty_slave, NULL, NULL, NULL))
		fail("what escapes would find");
	folder = open("/run/keel", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		fail("what was handed over");
	others_end = ends[0];
}

static void start_other(void)
{
	others_process = fork();
	if (!others_process) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
}

static void done(void *owner, uint32_t tag, int status)
{
	(void)owner;
	(void)tag;
	(void)status;
}

static void try_all(const char *where, bool layered)
{
	unsigned int failed = 0;

	for (size_t i = 0; i < ATTEMPTS; i++) {
		bool escaped = (!layered || attempts[i].layered) && attempts[i].make();

		if (!layered || attempts[i].layered)
			printf("%sok - %s%s\n", escaped ? "not " : "", where, attempts[i].what);
		failed += escaped;
	}
	exit(failed ? 1 : 0);
}

/* As machine.c does it. */
static void confined(const struct sandbox *sandbox)
{
	struct failure failure = { 0 };
	struct disk disk = { .fd = image, .overlay = -1 }, medium = { .fd = image, .overlay = -1, .readonly = true, .removable = true };
	struct sandbox own = *sandbox;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	engine.done = done;
	if (!loop_init(&loop) || !disk_engine_init(&engine, &loop, &failure) || !disk_engine_start(&engine, &disk, 1, &failure))
		fail("an engine of disks");
	media = (struct disk_engine){ .media = true, .done = done };
	if (!disk_engine_init(&media, &loop, &failure) || !disk_engine_start(&media, &medium, 1, &failure))
		fail("an engine of media");
	own.media = media.ring.ring_fd;
	if (!sandbox_enter(&own, &failure)) {
		printf("not ok - the sandbox: %s\n", failure.text);
		exit(1);
	}
	printf("ok - the sandbox is put up\n");
	printf("%sok - other media are registered in it\n", disk_engine_restart(&media, &medium, 1, &failure) ? "" : "not ");
	printf("%sok - a disk's request is answered in it\n", ring_reads(0, IOSQE_FIXED_FILE) ? "" : "not ");
	try_all("", false);
}

/* What holds even if the filter has a hole. */
static void layered(const struct sandbox *sandbox)
{
	const char *error = sandbox_view(sandbox->folder);

	setvbuf(stdout, NULL, _IOLBF, 4096);
	error = error ? error : sandbox_limit(sandbox);
	error = error ? error : sandbox_drop(sandbox);
	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		error = "set no_new_privs";
	error = error ? error : sandbox_landlock();
	if (error) {
		printf("not ok - without the filter: %s\n", error);
		exit(1);
	}
	try_all("without the filter: ", true);
}

static int run(void (*body)(const struct sandbox *sandbox), const struct sandbox *sandbox)
{
	int status = 1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		body(sandbox);
	waitpid(child, &status, 0);
	if (WIFSIGNALED(status))
		printf("not ok - a signal ended it: %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	bool as_user = argc > 1 && !strcmp(argv[1], "user");
	struct sandbox sandbox = {
		.folder = FOLDER, .user = as_user ? USER : GUESTS_USER, .keeper = getpid(), .threads = THREADS, .data = DATA,
		.logs = { -1, -1, -1, -1 }, .link = -1, .media = -1,
	};
	int status;

	make_surroundings();
	sandbox.space = sandbox_space();
	sandbox.logs[0] = log_file;
	if (as_user && (chown(FOLDER, USER, USER) || setresgid(USER, USER, USER) || setresuid(USER, USER, USER) ||
			prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)))
		fail("a user");
	start_other();
	for (size_t i = 0; i < ATTEMPTS; i++)
		if ((!as_user || !attempts[i].by_root) && !works_outside(&attempts[i]))
			printf("not ok - outside the sandbox it does not work either: %s\n", attempts[i].what);
	status = run(confined, &sandbox);
	if (!as_user)
		status |= run(layered, &sandbox);
	kill(others_process, SIGKILL);
	return status;
}
