// SPDX-License-Identifier: GPL-2.0
/* blob: runs a bare guest by way of /dev/keel, prints its console and how it ended. */
#include "machine.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY		(16ull << 20)
#define TIMEOUT_S	30u
#define GRACE_S		5u	/* a call that does not come back ends the program */

static const char usage[] =
	"usage: blob [--vcpus N] [--timeout SECONDS] [--expect-end NAME[,NAME...]] [--expect TEXT] FIRMWARE\n"
	"Exit status 0: the guest ended as expected (poweroff), and printed the text. A NAME of running: it did not end.\n"
	"KEEL_PATIENCE multiplies the time, unless running is expected.\n";

struct wish {
	unsigned int vcpus, timeout;
	const char *ends, *text, *firmware;
};

static bool is_expected(const char *ends, uint32_t end)
{
	char *list = strdup(ends), *rest = list, *name;
	bool found = false;

	while ((name = strsep(&rest, ","))) {
		if (machine_end_of_name(name) < 0)
			errx(2, "%s: no such end", name);
		found |= (uint32_t)machine_end_of_name(name) == end;
	}
	free(list);
	return found;
}

/* The time is patience with a guest that is to end, and how long one runs that is not. */
static unsigned int patience(const char *ends)
{
	return is_expected(ends, KEEL_END_NONE) ? 1 : machine_patience();
}

static struct wish parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "vcpus", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 't' },
		{ "expect-end", required_argument, NULL, 'e' },
		{ "expect", required_argument, NULL, 'x' },
		{ 0 },
	};
	struct wish wish = { .vcpus = 1, .timeout = TIMEOUT_S, .ends = "poweroff" };
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			wish.vcpus = (unsigned int)atoi(optarg);
			break;
		case 't':
			wish.timeout = (unsigned int)atoi(optarg);
			break;
		case 'e':
			wish.ends = optarg;
			break;
		case 'x':
			wish.text = optarg;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind + 1 != argc || !wish.vcpus || wish.vcpus > KEEL_MAX_VCPUS) {
		fputs(usage, stderr);
		exit(2);
	}
	wish.firmware = argv[optind];
	wish.timeout *= patience(wish.ends);
	return wish;
}

int main(int argc, char **argv)
{
	struct wish wish = parse(argc, argv);
	struct keel_vm_status status;
	struct machine machine;
	size_t bytes;
	void *firmware = machine_read_file(wish.firmware, &bytes);
	bool good;

	if (bytes != MACHINE_FIRMWARE_BYTES)
		errx(2, "%s: not %u bytes", wish.firmware, MACHINE_FIRMWARE_BYTES);
	alarm(wish.timeout + GRACE_S * machine_patience());
	machine_make(&machine, wish.vcpus, MEMORY, firmware, bytes);
	machine_start(&machine, true);
	status = machine_serve(&machine, NULL, wish.timeout * 1000);
	good = is_expected(wish.ends, status.end);
	if (wish.text && !strstr(machine.output, wish.text)) {
		printf("blob: the guest did not print '%s'\n", wish.text);
		good = false;
	}
	machine_close(&machine);
	printf("blob: end %s, detail %#llx, address %#llx\n", machine_end_name(status.end),
	       (unsigned long long)status.detail, (unsigned long long)status.address);
	return good ? 0 : 1;
}
