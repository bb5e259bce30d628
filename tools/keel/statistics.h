/* SPDX-License-Identifier: GPL-2.0 */
/* What guests' processes count, and what of it their cells tell: either may be anything, so it is taken apart here once. */
#ifndef KEEL_TOOL_STATISTICS_H
#define KEEL_TOOL_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/exit.h"

#define STATISTICS_VCPUS	64u
#define STATISTICS_EXITS	32u
#define STATISTICS_DEVICES	64u
#define STATISTICS_DISKS	32u
#define STATISTICS_NETWORKS	16u
#define STATISTICS_WORD		24u	/* room for a word of [a-z0-9_-] */

struct statistics_exit {
	char kind[STATISTICS_WORD];
	char by[STATISTICS_WORD];	/* "keel", "cell": who sees to it */
	uint64_t count;
};

struct statistics_device {
	char device[STATISTICS_WORD];
	uint64_t instance;
	uint64_t accesses;
};

enum statistics_operation {
	STATISTICS_READ,
	STATISTICS_WRITE,
	STATISTICS_FLUSH,
	STATISTICS_DISCARD,
	STATISTICS_WRITE_ZEROES,
	STATISTICS_OPERATIONS,
};

struct statistics_request {
	uint64_t done, bytes, failed, ns;
};

struct statistics_disk {
	char slot[STATISTICS_WORD];
	struct statistics_request operation[STATISTICS_OPERATIONS];
};

enum statistics_direction {
	STATISTICS_RECEIVED,
	STATISTICS_SENT,
	STATISTICS_DIRECTIONS,
};

struct statistics_traffic {
	uint64_t frames, bytes, dropped;
};

struct statistics_network {
	uint64_t number;
	struct statistics_traffic direction[STATISTICS_DIRECTIONS];
};

/* Counts that the cell tells begin with the run, all others with the guest's process. Times are in nanoseconds. */
struct statistics {
	const char *name;		/* the caller's */
	bool known;			/* else failure tells why the rest is not there */
	struct failure failure;
	char state[STATISTICS_WORD];
	uint64_t at_ns;			/* of a clock that nobody sets */
	uint64_t vcpus, memory_bytes, started, restarts, io_errors;
	uint64_t process_ns;
	uint64_t vcpu_ns[STATISTICS_VCPUS];
	struct statistics_disk disk[STATISTICS_DISKS];
	struct statistics_network network[STATISTICS_NETWORKS];
	unsigned int disks, networks;
	bool told;			/* by the cell: */
	uint64_t stays, busy, suspended, polls, events;
	uint64_t stays_ns, guest_ns, cell_ns;
	struct statistics_exit exit[STATISTICS_EXITS];
	struct statistics_device device[STATISTICS_DEVICES];
	unsigned int exits, devices;
};

extern const char *const statistics_operations[STATISTICS_OPERATIONS];
extern const char *const statistics_directions[STATISTICS_DIRECTIONS];

/*
 * Asks guests; an array of as many, in their order, for the caller to free, or NULL: out of memory. measure: the cells have
 * their time measured for some seconds from then on.
 */
struct statistics *statistics_ask(char **names, size_t count, bool measure);
/* Leaves each of the names once; how many there are then. */
size_t statistics_names(char **names, size_t count);
/* Of the vCPUs' threads; and of all others of the process. */
uint64_t statistics_vcpus_ns(const struct statistics *s);
uint64_t statistics_rest_ns(const struct statistics *s);

#endif
