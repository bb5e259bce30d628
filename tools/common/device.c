// SPDX-License-Identifier: GPL-2.0
/* Opens /dev/keel. */
#include "common/device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DEVICE			"/dev/keel"

bool device_open(int *device, struct keel_info *info, struct failure *failure)
{
	*device = open(DEVICE, O_RDWR | O_CLOEXEC);
	if (*device < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
		return failure_set(failure, EXIT_NO_KEEL, "%s is missing: load keel.ko (modprobe keel); if it does not load, "
				   "this machine was not booted through Keel: choose its entry in the boot menu", DEVICE);
	if (*device < 0)
		return failure_set(failure, EXIT_NO_KEEL, "cannot open %s: %s%s", DEVICE, strerror(errno),
				   errno == EACCES || errno == EPERM ? "; run this as root" : "");
	memset(info, 0, sizeof(*info));
	if (ioctl(*device, KEEL_GET_INFO, info)) {
		failure_set(failure, EXIT_NO_KEEL, "%s does not answer: %s", DEVICE, strerror(errno));
		close(*device);
		return false;
	}
	if (info->abi_revision != KEEL_ABI_REVISION) {
		failure_set(failure, EXIT_NO_KEEL, "the hypervisor has ABI revision %u, these tools have %u: install the same "
			    "release of both", info->abi_revision, KEEL_ABI_REVISION);
		close(*device);
		return false;
	}
	return true;
}
