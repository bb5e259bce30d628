// SPDX-License-Identifier: GPL-2.0
/* Starts keel-dm. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/ioprio.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/member.h"

#define DEVICE_MODEL		"keel-dm"
#define LOG_PARENT		"/var/log/keel"
#define ENVIRONMENT_MOST	16u
#define PRELOAD			"LD_PRELOAD"
#define STANDIN			"FAKE_"
#define PATH_CLEAN		"PATH=/usr/sbin:/usr/bin:/sbin:/bin"
#define ANSWER_ROOM		16384
#define STACK_BYTES		(8u << 20)
#define SIGNALS_PENDING		4096u
#define FD_FIRST		3	/* of those that keel-dm is given */
#define FD_ABOVE		16	/* where they are out of the way of their own numbers */
#define REAP_PAUSES		500
#define REAP_PAUSE_NS		20000000
#define FILE_MASK		022

enum given { GIVEN_READY, GIVEN_MANIFEST, GIVEN_CONSOLE, GIVEN_EVENTS, GIVENS };

static const char *const given_options[GIVENS] = {
	[GIVEN_READY] = "--ready-fd=%d", [GIVEN_MANIFEST] = "--manifest-fd=%d", [GIVEN_CONSOLE] = "--console-fd=%d",
	[GIVEN_EVENTS] = "--events-fd=%d",
};

/* What the child needs, made before the fork so that its errors are told by the parent. */
struct launch {
	const struct manifest *manifest;
	char program[PATH_MAX], log_path[PATH_MAX];
	int log, null;
	int given[GIVENS];
	char *environment[ENVIRONMENT_MOST + 1];
};

static const char *log_parent(void)
{
	const char *asked = secure_getenv("KEEL_LOG_DIR");

	return asked && *asked ? asked : LOG_PARENT;
}

void process_log_path(char path[PATH_MAX], const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s.log", log_parent(), name);
}

/* KEEL_DM, beside this program, or where the packages put it. */
static bool find_device_model(char *path, struct failure *failure)
{
	static const char *const places[] = { "", "../lib/keel/" };
	const char *asked = secure_getenv("KEEL_DM");
	char self[PATH_MAX] = "";

	if (asked && *asked)
		return realpath(asked, path) ||
		       failure_set(failure, EXIT_FAILED, "cannot start KEEL_DM=%s: %s", asked, strerror(errno));
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return failure_set(failure, EXIT_FAILED, "cannot find this program's folder: %s", strerror(errno));
	dirname(self);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (snprintf(path, PATH_MAX, "%s/%s" DEVICE_MODEL, self, places[i]) < PATH_MAX && !access(path, X_OK))
			return true;
	}
	return failure_set(failure, EXIT_FAILED, "cannot find " DEVICE_MODEL " beside %s or in ../lib/keel; set KEEL_DM", self);
}

/* The folders that the environment names, whatever the working folder. */
static char *setting(const char *name)
{
	const char *value = secure_getenv(name);
	char *text = NULL, *folder = value && *value && *value != '/' ? realpath(".", NULL) : NULL;

	if (!value || !*value || asprintf(&text, "%s=%s%s%s", name, folder ? folder : "", folder ? "/" : "", value) < 0)
		text = NULL;
	free(folder);
	return text;
}

static bool is_standin(const char *word)
{
	return !strncmp(word, STANDIN, strlen(STANDIN));
}

static bool has_standin(void)
{
	char **word;

	for (word = environ; *word && !is_standin(*word); word++)
		;
	return *word && secure_getenv(PRELOAD);
}

/* A test may put a library in the place of the driver, and tells it what to do; no other library is handed on. */
static void set_environment(struct launch *l)
{
	unsigned int count = 0;

	l->environment[count++] = strdup(PATH_CLEAN);
	l->environment[count] = setting("KEEL_RUN_DIR");
	if (l->environment[count])
		count++;
	l->environment[count] = setting("KEEL_LOG_DIR");
	if (l->environment[count])
		count++;
	if (!has_standin())
		return;
	for (char **word = environ; *word && count < ENVIRONMENT_MOST; word++)
		if (!strncmp(*word, PRELOAD "=", sizeof(PRELOAD)) || is_standin(*word))
			l->environment[count++] = strdup(*word);
}

/* With those it is in; false: errno tells. */
static bool make_folder(const char *folder)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s", folder) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);	/* one that cannot be made is not there for the next */
		*slash = '/';
	}
	return !mkdir(path, 0755) || errno == EEXIST;
}

static bool open_log(struct launch *l, struct failure *failure)
{
	process_log_path(l->log_path, l->manifest->name);
	if (!make_folder(log_parent()))
		return failure_set(failure, EXIT_FAILED,
				   "cannot make %s for the guest's log: %s; KEEL_LOG_DIR may name another folder",
				   log_parent(), strerror(errno));
	l->log = open(l->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	return l->log >= 0 || failure_set(failure, EXIT_FAILED, "cannot open the guest's log %s: %s; KEEL_LOG_DIR may "
					  "name another folder", l->log_path, strerror(errno));
}

/* A copy of what was checked: a pipe cannot be read twice, and a file may have become another one. */
static bool copy_manifest(struct launch *l, struct failure *failure)
{
	int fd = memfd_create("manifest", MFD_CLOEXEC);
	size_t left = l->manifest->text_bytes;
	ssize_t n = 0;

	l->given[GIVEN_MANIFEST] = fd;
	for (const char *from = l->manifest->text; fd >= 0 && left; from += n, left -= (size_t)n) {
		n = write(fd, from, left);
		if (n < 0)
			break;
	}
	return (fd >= 0 && n >= 0 && !lseek(fd, 0, SEEK_SET)) ||
	       failure_set(failure, EXIT_FAILED, "cannot hand the manifest over: %s", strerror(errno));
}

static bool open_channels(struct launch *l, struct process *process, int *ready, struct failure *failure)
{
	int pipe_ends[2], console[2] = { -1, -1 }, events[2] = { -1, -1 };

	if (pipe2(pipe_ends, O_CLOEXEC))
		return failure_set(failure, EXIT_FAILED, "cannot make a pipe: %s", strerror(errno));
	*ready = pipe_ends[0];
	l->given[GIVEN_READY] = pipe_ends[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, console) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, events))
		failure_set(failure, EXIT_FAILED, "cannot make a socket: %s", strerror(errno));
	process->console = console[0];
	l->given[GIVEN_CONSOLE] = console[1];
	process->events = events[0];
	l->given[GIVEN_EVENTS] = events[1];
	return events[0] >= 0;
}

/* The child's ends. */
static void close_launch(struct launch *l)
{
	for (unsigned int i = 0; i < GIVENS; i++)
		fd_close(&l->given[i]);
	fd_close(&l->log);
	fd_close(&l->null);
	for (char **text = l->environment; *text; text++)
		free(*text);
	l->environment[0] = NULL;
}

/* Standard output and error are the log from here on. */
static bool set_descriptors(struct launch *l)
{
	for (unsigned int i = 0; i < GIVENS; i++) {
		l->given[i] = fcntl(l->given[i], F_DUPFD_CLOEXEC, FD_ABOVE);
		if (l->given[i] < 0)
			return false;
	}
	if (dup2(l->null, STDIN_FILENO) < 0 || dup2(l->log, STDOUT_FILENO) < 0 || dup2(l->log, STDERR_FILENO) < 0)
		return false;
	for (unsigned int i = 0; i < GIVENS; i++)
		if (dup2(l->given[i], FD_FIRST + (int)i) < 0)
			return false;
	return !close_range(FD_FIRST + GIVENS, ~0u, 0);
}

static void set_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit_to(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit limit = { value, RLIM_INFINITY };

	if (!setrlimit(resource, &limit) || getrlimit(resource, &limit))
		return;
	limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
	setrlimit(resource, &limit);
}

/*
 * A caller's limit must not stop a guest in the middle of a write; root's process has none. Threads' stacks are as the main one.
 */
static void set_limits(void)
{
	static const __rlimit_resource_t raised[] = { RLIMIT_MEMLOCK, RLIMIT_NOFILE, RLIMIT_NPROC };
	static const struct { __rlimit_resource_t resource; rlim_t value; } fixed[] = {
		{ RLIMIT_AS, RLIM_INFINITY }, { RLIMIT_CPU, RLIM_INFINITY }, { RLIMIT_DATA, RLIM_INFINITY },
		{ RLIMIT_FSIZE, RLIM_INFINITY }, { RLIMIT_RTTIME, RLIM_INFINITY }, { RLIMIT_STACK, STACK_BYTES },
		{ RLIMIT_SIGPENDING, SIGNALS_PENDING }, { RLIMIT_CORE, 0 },
	};
	struct rlimit limit;

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		limit_to(fixed[i].resource, fixed[i].value);
	for (size_t i = 0; i < ARRAY_SIZE(raised); i++)
		if (!getrlimit(raised[i], &limit)) {
			limit.rlim_cur = limit.rlim_max;
			setrlimit(raised[i], &limit);
		}
}

/* Without the rights for it, which a test may lack, the caller's remains. */
static void set_schedule(void)
{
	const struct sched_param ordinary = { 0 };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	if (fd < 0 || write(fd, "0", 1) != 1)
		perror("cannot set the OOM score");
	if (fd >= 0)
		close(fd);
	if (sched_setscheduler(0, SCHED_OTHER, &ordinary) || setpriority(PRIO_PROCESS, 0, 0))
		perror("cannot set the priority");
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0)))
		perror("cannot set the I/O priority");
	if (sched_setaffinity(0, sizeof(all), &all))
		perror("cannot set the affinity");
}

static void run(struct launch *l)
{
	char options[GIVENS][32], *argv[GIVENS + 3] = { (char *)DEVICE_MODEL };

	for (unsigned int i = 0; i < GIVENS; i++) {
		snprintf(options[i], sizeof(options[i]), given_options[i], FD_FIRST + (int)i);
		argv[1 + i] = options[i];
	}
	argv[1 + GIVENS] = l->manifest->path;
	execve(l->program, argv, l->environment);
}

/* In the child; says why on the ready pipe where it does not come to be keel-dm. */
__attribute__((noreturn))
static void become_device_model(struct launch *l)
{
	int ready = l->given[GIVEN_READY];
	struct failure failure;
	json_t *answer;
	char *text;

	setsid();
	umask(FILE_MASK);
	set_signals();
	if (set_descriptors(l) && (ready = FD_FIRST) && !chdir("/")) {
		set_limits();
		set_schedule();
		personality(PER_LINUX);	/* addresses at random */
		run(l);
	}
	failure_set(&failure, EXIT_FAILED, "cannot start %s: %s", l->program, strerror(errno));
	answer = json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure.code, "error", failure.text);
	text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	_exit(text && write(ready, text, strlen(text)) > 0 ? EXIT_FAILED : 127);
}

/* Signals that end this program while it waits end the child, too. */
static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
static struct sigaction before[ARRAY_SIZE(ending)];
static volatile sig_atomic_t waited_for;

/* With its group, if it has come to have one. */
static void kill_child(void)
{
	kill(-waited_for, SIGKILL);
	kill(waited_for, SIGKILL);
}

static void on_end(int number)
{
	kill_child();
	signal(number, SIG_DFL);
	raise(number);
}

static void watch_endings(void)
{
	const struct sigaction action = { .sa_handler = on_end };

	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (!sigaction(ending[i], NULL, &before[i]) && before[i].sa_handler == SIG_DFL)
			sigaction(ending[i], &action, NULL);
}

static void leave_endings(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaction(ending[i], &before[i], NULL);
}

/* Returns as fork does. No signal comes before the child is watched. */
static pid_t fork_watched(void)
{
	sigset_t all, mask;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &mask);
	pid = fork();
	if (pid > 0) {
		waited_for = pid;
		watch_endings();
	}
	if (pid)
		sigprocmask(SIG_SETMASK, &mask, NULL);
	return pid;
}

static bool wait_until(int fd, time_t end)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	time_t now = clock_seconds();

	return now < end && poll(&ready, 1, (int)(end - now) * 1000);
}

/* What the device model says of its start; NULL: it died without a word, or says nothing within the time. */
static json_t *read_answer(int fd, bool *late)
{
	char text[ANSWER_ROOM];
	time_t end = clock_seconds() + PROCESS_START_SECONDS;
	size_t used = 0;
	ssize_t n;

	while (used < sizeof(text)) {
		*late = !wait_until(fd, end);
		n = *late ? 0 : read(fd, text + used, sizeof(text) - used);
		if (n > 0)
			used += (size_t)n;
		else if (!n || errno != EINTR)
			break;
	}
	return json_loadb(text, used, 0, NULL);
}

/* One that says that it failed, and stays, is ended. */
static int reap(pid_t child)
{
	const struct timespec pause = { .tv_nsec = REAP_PAUSE_NS };
	int status = 0;

	for (int i = 0; i < REAP_PAUSES; i++) {
		if (waitpid(child, &status, WNOHANG))
			return status;
		nanosleep(&pause, NULL);
	}
	kill_child();
	waitpid(child, &status, 0);
	return status;
}

static bool explain(const struct launch *l, const json_t *answer, pid_t child, struct failure *failure)
{
	const char *error = member_text(answer, "error");
	long long code = member_number(answer, "code");
	int status = reap(child);

	if (*error)
		return failure_set(failure, code > EXIT_DONE && code <= EXIT_NO_MEMORY ? (enum exit_code)code : EXIT_FAILED,
				   "%s", error);
	if (WIFSIGNALED(status))
		return failure_set(failure, EXIT_FAILED, "%s was ended by signal %d (%s); see %s", l->program, WTERMSIG(status),
				   strsignal(WTERMSIG(status)), l->log_path);
	return failure_set(failure, EXIT_FAILED, "%s ended with status %d; see %s", l->program, WEXITSTATUS(status), l->log_path);
}

static bool launch(struct launch *l, int ready, struct process *process, json_t **answer, struct failure *failure)
{
	bool late = false, started;

	process->pid = fork_watched();
	if (process->pid < 0)
		return failure_set(failure, EXIT_FAILED, "cannot make a process: %s", strerror(errno));
	if (!process->pid)
		become_device_model(l);
	close_launch(l);
	*answer = read_answer(ready, &late);
	started = !late && json_is_true(json_object_get(*answer, "ok"));
	if (late)
		kill_child();
	if (!started)
		explain(l, *answer, process->pid, failure);
	leave_endings();
	if (late)
		failure_set(failure, EXIT_TIMEOUT, "%s did not start the guest within %d s, and was ended; see %s", l->program,
			    PROCESS_START_SECONDS, l->log_path);
	if (!started)
		json_decref(*answer);
	return started;
}

bool process_start(const struct manifest *m, struct process *process, json_t **answer, struct failure *failure)
{
	struct launch l = { .manifest = m, .log = -1, .given = { -1, -1, -1, -1 } };
	int ready = -1;
	bool started;

	*process = (struct process){ .console = -1, .events = -1 };
	l.null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	set_environment(&l);
	started = find_device_model(l.program, failure) && open_log(&l, failure) && copy_manifest(&l, failure) &&
		  open_channels(&l, process, &ready, failure) && launch(&l, ready, process, answer, failure);
	close_launch(&l);
	fd_close(&ready);
	if (!started) {
		fd_close(&process->console);
		fd_close(&process->events);
	}
	return started;
}
