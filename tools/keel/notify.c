// SPDX-License-Identifier: GPL-2.0
/* One datagram to the socket that NOTIFY_SOCKET names. */
#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_started(pid_t pid)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char text[64];
	int fd, length;

	if (!path || (*path != '/' && *path != '@') || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	/* A name of the abstract kind. */
	if (*path == '@')
		address.sun_path[0] = '\0';
	length = pid ? snprintf(text, sizeof(text), "READY=1\nMAINPID=%d", (int)pid) : snprintf(text, sizeof(text), "READY=1");
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && sendto(fd, text, (size_t)length, MSG_NOSIGNAL, (struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) != length)
		fprintf(stderr, "keel: cannot tell the service manager that the guest runs\n");
	if (fd >= 0)
		close(fd);
}
