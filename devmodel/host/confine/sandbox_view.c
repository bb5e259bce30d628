// SPDX-License-Identifier: GPL-2.0
/* What keel-dm sees of the system: nothing. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <keel/macros.h>

#include "host/confine/sandbox_internal.h"

/* Landlock's interface by its version (landlock(7)); headers may be older than the kernel. */
#define LANDLOCK_VERSION	1u	/* flag of landlock_create_ruleset: tell the version */

struct landlock_rules {
	uint64_t files, network, scopes;
};

static bool write_text(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/* The same user and group under their own numbers, and no others. */
static bool map_user(uid_t user, gid_t group)
{
	char users[64], groups[64];

	snprintf(users, sizeof(users), "%u %u 1\n", user, user);
	snprintf(groups, sizeof(groups), "%u %u 1\n", group, group);
	return write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/uid_map", users) &&
	       write_text("/proc/self/gid_map", groups);
}

/* The root of an initramfs cannot be exchanged: the new one is put over it. */
static bool change_root(void)
{
	if (!syscall(SYS_pivot_root, ".", "."))
		return !umount2(".", MNT_DETACH) && !chdir("/");
	return errno == EINVAL && !mount(".", "/", NULL, MS_MOVE, NULL) && !chroot(".") && !chdir("/");
}

/* In a chroot, whose root is no mount point, by a file system that is mounted nowhere. */
static bool enter_detached(void)
{
	int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), mounted;

	if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return false;
	mounted = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			       MOUNT_ATTR_NOEXEC);
	if (mounted < 0 || fchdir(mounted) || chroot(".") || chdir("/"))
		return false;
	close(mounted);
	close(context);
	return true;
}

static bool enter_mounted(const char *folder)
{
	return !mount("none", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k,nr_inodes=1,mode=555") &&
	       !chdir(folder) && change_root();
}

const char *sandbox_view(const char *folder)
{
	const int apart = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	uid_t user = geteuid();
	gid_t group = getegid();

	if (unshare(apart | (user ? CLONE_NEWUSER : 0)))
		return user ? "give it namespaces of its own (root can, or whom the kernel allows user namespaces)" :
			      "give it namespaces of its own";
	if (user && !map_user(user, group))
		return "map its user";
	if (!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return enter_mounted(folder) ? NULL : "give it an empty root folder";
	return errno == EINVAL && enter_detached() ? NULL : "give it an empty root folder";
}

const char *sandbox_landlock(void)
{
	/* All rights to files that a version knows, from the first on. */
	static const uint64_t files[] = { 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	struct landlock_rules rules = { 0, 3, 3 };	/* TCP to and from it; abstract sockets and signals to others */
	size_t bytes = version < 4 ? 8 : version < 6 ? 16 : 24;
	long last = ARRAY_SIZE(files);
	int fd;

	if (version < 1)
		return NULL;
	rules.files = files[(version < last ? version : last) - 1];
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, bytes, 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0))
		return "forbid it files (Landlock)";
	close(fd);
	return NULL;
}
