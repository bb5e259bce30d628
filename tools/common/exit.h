/* SPDX-License-Identifier: GPL-2.0 */
/* Exit codes of keel(1) and keel-dm, and the failure that comes with them. */
#ifndef KEEL_EXIT_H
#define KEEL_EXIT_H

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_MANIFEST = 3,	/* the manifest has errors */
	EXIT_NO_GUEST = 4,	/* no guest of this name runs */
	EXIT_NO_KEEL = 5,	/* /dev/keel is missing or of another revision */
	EXIT_TIMEOUT = 6,
	EXIT_IN_USE = 7,	/* the guest's name or one of its images is in use */
	EXIT_NO_MEMORY = 8,
};

struct failure {
	enum exit_code code;
	char text[1024];	/* one line, fit to be shown */
};

/*
 * Fills in a failure; always false, so that it can be returned. What cannot be shown becomes escapes (text.h), and of a text
 * that is too long the middle is left out.
 */
__attribute__((format(printf, 3, 4)))
_Bool failure_set(struct failure *failure, enum exit_code code, const char *format, ...);

#endif
