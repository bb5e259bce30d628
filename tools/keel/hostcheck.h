/* SPDX-License-Identifier: GPL-2.0 */
/* What of this machine Keel needs, on plain Linux and under Keel: each finding with what to do about it. */
#ifndef KEEL_HOSTCHECK_H
#define KEEL_HOSTCHECK_H

#include <stdint.h>

#include <keel/ioctl.h>

#define HOSTCHECK_MOST		8u

enum hostcheck_verdict {
	HOSTCHECK_GOOD,
	HOSTCHECK_NOTE,			/* guests run, but something is missing that somebody may count on */
	HOSTCHECK_BAD,			/* no guest runs */
};

struct hostcheck {
	const char *what;
	enum hostcheck_verdict verdict;
	const char *found;
	const char *remedy;		/* "" where it is good */
};

/*
 * root: "", or a folder with a machine's /proc and /sys. info: what the driver says; NULL: there is none that answers, for the
 * reason `why`. All texts but `why` are static. Returns the number of findings.
 */
unsigned int hostcheck(const char *root, const struct keel_info *info, const char *why, struct hostcheck *found);

#endif
