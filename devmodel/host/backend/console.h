/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The guest's serial console: a ring of the last characters, and everybody who reads and types.
 *
 * A reader that joins late begins with what the ring still has. A reader that is slow holds the guest's output back
 * for a while; if it does not read at all, it loses characters and the guest goes on. The pty never holds the guest back.
 * A file of serial type "file" takes CONSOLE_FILE_LIMIT bytes; made shorter, it takes more.
 */
#ifndef KEEL_CONSOLE_H
#define KEEL_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/exit.h"
#include "host/backend/logfile.h"
#include "host/loop.h"

#define CONSOLE_SCROLLBACK	65536u

#define CONSOLE_FILE_LIMIT	(1ll << 30)

struct console_client;

enum console_file {
	CONSOLE_FILE_SERIAL,	/* of serial type "file" */
	CONSOLE_FILE_LOG,
};

struct console {
	struct loop *loop;
	uint8_t scrollback[CONSOLE_SCROLLBACK];
	uint64_t written;		/* characters since the start; the ring has the last of them */
	struct console_client *clients;
	struct loop_source listener;	/* of serial type "socket"; fd -1: none */
	char listener_path[108];
	int pty_slave;			/* kept open, so that the pty outlives its users; -1: none */
	int file;			/* of serial type "file"; -1: none */
	struct logfile log;
	bool input_blocked;		/* somebody typed and there was no room */
	/* Where input goes: room for how many characters, and the characters. */
	size_t (*room)(void *owner);
	void (*put)(void *owner, const uint8_t *bytes, size_t count);
	/* Output could not be kept, and what of it is lost: an errno. */
	void (*failed)(void *owner, enum console_file file, int error);
	void *owner;
};

void console_init(struct console *console, struct loop *loop);
/* link becomes a symbolic link to the pty. */
bool console_open_pty(struct console *console, const char *link, struct failure *failure);
bool console_open_socket(struct console *console, const char *path, struct failure *failure);
bool console_open_file(struct console *console, const char *path, struct failure *failure);
void console_close(struct console *console);

/* Whether one more can join. */
bool console_has_room(const struct console *console);
/* Takes over a connected stream socket. */
bool console_attach(struct console *console, int fd, bool replay_only);

/* How many characters it wants now: 0 while a slow reader is waited for. */
size_t console_wants(const struct console *console);
void console_write(struct console *console, const uint8_t *bytes, size_t count);
/* There may be room for input again. */
void console_resume(struct console *console);

#endif
