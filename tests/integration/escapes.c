// SPDX-License-Identifier: GPL-2.0
/*
 * The sandbox of keel-dm, tried from within: escapes [user]. Each attempt (escapes_*.c) is made twice, in the same form: outside
 * the sandbox, where it has to work (as a user: may), so that it is known to be one; and inside, after the real set-up, where it
 * must fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <keel/macros.h>

#include "escapes.h"

#define OTHERS_SOCKET		"/run/keel/other-guest"
#define USER			990u	/* of the image's passwd */
#define GUESTS_USER		1880096768u

struct surroundings around;

static int others_listener;
static struct loop loop;

/* The last ones leave nothing to try others with. */
static const struct attempts *const groups[] = {
	&escapes_files, &escapes_ring, &escapes_memory, &escapes_processes, &escapes_limits,
};

struct sockaddr_un others_address(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, OTHERS_SOCKET);
	return address;
}

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
	unlink(ESCAPES_FOLDER "/new");
	unlink(ESCAPES_FOLDER "/link");
	unlink(ESCAPES_FOLDER "/device");
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static void try_outside(const struct attempts *group, bool as_user)
{
	for (const struct attempt *attempt = group->list; attempt < group->list + group->count; attempt++)
		if ((!as_user || !attempt->by_root) && !works_outside(attempt))
			printf("not ok - outside the sandbox it does not work either: %s\n", attempt->what);
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
	mkdir(ESCAPES_FOLDER, 0755);
	unlink(OTHERS_SOCKET);
	others_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	around.image = memfd_create("image", MFD_CLOEXEC);
	around.log_file = memfd_create("log", MFD_CLOEXEC);
	if (others_listener < 0 || bind(others_listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(others_listener, 64) || chmod(OTHERS_SOCKET, 0666) || around.image < 0 || ftruncate(around.image, 8192) ||
	    around.log_file < 0 || openpty(&around.pty_master, &around.pty_slave, NULL, NULL, NULL))
		fail("what escapes would find");
	around.folder = open("/run/keel", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (around.folder < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		fail("what was handed over");
	around.others_end = ends[0];
}

static void start_other(void)
{
	around.others_process = fork();
	if (!around.others_process) {
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

/* Returns how many came out. */
static unsigned int try_group(const struct attempts *group, const char *where, bool layered)
{
	unsigned int failed = 0;

	for (const struct attempt *attempt = group->list; attempt < group->list + group->count; attempt++) {
		bool escaped = (!layered || attempt->layered) && attempt->make();

		if (!layered || attempt->layered)
			printf("%sok - %s%s\n", escaped ? "not " : "", where, attempt->what);
		failed += escaped;
	}
	return failed;
}

static void try_all(const char *where, bool layered)
{
	unsigned int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		failed += try_group(groups[i], where, layered);
	exit(failed ? 1 : 0);
}

/* As machine.c does it. */
static void confined(const struct sandbox *sandbox)
{
	struct failure failure = { 0 };
	struct disk disk = { .fd = around.image, .overlay = -1 };
	struct disk medium = { .fd = around.image, .overlay = -1, .readonly = true, .removable = true };
	struct sandbox own = *sandbox;

	setvbuf(stdout, NULL, _IOLBF, 4096);
	around.engine.done = done;
	if (!loop_init(&loop) || !disk_engine_init(&around.engine, &loop, &failure) ||
	    !disk_engine_start(&around.engine, &disk, 1, &failure))
		fail("an engine of disks");
	around.media = (struct disk_engine){ .media = true, .done = done };
	if (!disk_engine_init(&around.media, &loop, &failure) || !disk_engine_start(&around.media, &medium, 1, &failure))
		fail("an engine of media");
	own.media = around.media.ring.ring_fd;
	if (!sandbox_enter(&own, &failure)) {
		printf("not ok - the sandbox: %s\n", failure.text);
		exit(1);
	}
	printf("ok - the sandbox is put up\n");
	printf("%sok - other media are registered in it\n",
	       disk_engine_restart(&around.media, &medium, 1, &failure) ? "" : "not ");
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
		.folder = ESCAPES_FOLDER, .user = as_user ? USER : GUESTS_USER, .keeper = getpid(),
		.threads = ESCAPES_THREADS, .data = ESCAPES_DATA,
		.logs = { -1, -1, -1, -1 }, .link = -1, .media = -1,
	};
	int status;

	make_surroundings();
	sandbox.space = sandbox_space();
	sandbox.logs[0] = around.log_file;
	if (as_user && (chown(ESCAPES_FOLDER, USER, USER) || setresgid(USER, USER, USER) || setresuid(USER, USER, USER) ||
			prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)))
		fail("a user");
	start_other();
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		try_outside(groups[i], as_user);
	status = run(confined, &sandbox);
	if (!as_user)
		status |= run(layered, &sandbox);
	kill(around.others_process, SIGKILL);
	return status;
}
