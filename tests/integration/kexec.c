// SPDX-License-Identifier: GPL-2.0
/* kexec: hands another kernel to the control domain's, to be started at once or when it has crashed. */
#include <err.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char usage[] =
	"usage: kexec next|crash KERNEL INITRD COMMAND-LINE\n"
	"       kexec go\n"
	"Loads the kernel, in place of this one (next) or for when it has crashed; goes to the one that was loaded.\n";

static int open_file(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(2, "%s", name);
	return fd;
}

static void load(char **argv)
{
	unsigned long flags = strcmp(argv[1], "crash") ? 0 : KEXEC_FILE_ON_CRASH;
	int kernel = open_file(argv[2]), initrd = open_file(argv[3]);

	if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4], flags))
		err(1, "kexec_file_load");
}

int main(int argc, char **argv)
{
	if (argc == 5 && (!strcmp(argv[1], "next") || !strcmp(argv[1], "crash"))) {
		load(argv);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "go")) {
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
		err(1, "reboot");
	}
	fputs(usage, stderr);
	return 2;
}
