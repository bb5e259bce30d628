// SPDX-License-Identifier: GPL-2.0
/* Limits, user and capabilities of keel-dm, and the order in which it is confined. */
#include "host/confine/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/confine/sandbox_internal.h"

#define DESCRIPTORS_MOST	512u	/* vCPUs, disks, connections and readers at their most are fewer */

static bool limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(what, &now))
		return false;
	most = now.rlim_max < most ? now.rlim_max : most;
	return !setrlimit(what, &(struct rlimit){ most, most });
}

uint64_t sandbox_space(void)
{
	unsigned long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%llu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

const char *sandbox_limit(const struct sandbox *sandbox)
{
	if (!limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, DESCRIPTORS_MOST))
		return "limit its files";
	if (!limit(RLIMIT_NPROC, sandbox->threads + 1 + 2 * SANDBOX_WORKERS))
		return "limit its threads";
	/* Memory that it makes unwritable is no data any more, and page tables never were. */
	if (!sandbox->space || !limit(RLIMIT_DATA, sandbox->data) || !limit(RLIMIT_AS, sandbox->space + sandbox->data))
		return "limit its memory";
	if (!limit(RLIMIT_NICE, 0))
		return "keep it at the guest's weight";
	return NULL;
}

const char *sandbox_drop(const struct sandbox *sandbox)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (sandbox->user != geteuid() &&
	    (setgroups(0, NULL) || setresgid(sandbox->user, sandbox->user, sandbox->user) ||
	     setresuid(sandbox->user, sandbox->user, sandbox->user)))
		return "give it a user of its own";
	if (syscall(SYS_capset, &header, none))
		return "take its capabilities";
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return "keep its memory to itself";
	/* A change of user clears it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		return "bind it to its keeper";
	if (getppid() != sandbox->keeper) {
		errno = ESRCH;
		return "find its keeper";
	}
	return NULL;
}

bool sandbox_enter(const struct sandbox *sandbox, struct failure *failure)
{
	const char *error = sandbox_view(sandbox->folder);

	/* In a user namespace: a limit of threads of before it would be one of all that the user has. */
	if (!error)
		error = sandbox_limit(sandbox);
	if (!error)
		error = sandbox_drop(sandbox);
	if (!error && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		error = "forbid it new privileges";
	if (!error)
		error = sandbox_landlock();
	if (!error)
		error = sandbox_filter(sandbox);
	return !error ||
	       failure_set(failure, EXIT_FAILED, "cannot confine the guest's process: cannot %s: %s", error, strerror(errno));
}
