// SPDX-License-Identifier: GPL-2.0
/* keel check-host. */
#include <stdio.h>
#include <unistd.h>

#include "commands.h"
#include "common/device.h"
#include "hostcheck.h"
#include "output.h"

static const char *const verdicts[] = {
	[HOSTCHECK_GOOD] = "good", [HOSTCHECK_NOTE] = "note", [HOSTCHECK_BAD] = "bad",
};

static void print_findings(const struct hostcheck *checks, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		printf("%-4s  %s: %s\n", verdicts[checks[i].verdict], checks[i].what, checks[i].found);
		if (checks[i].remedy[0])
			printf("      -> %s\n", checks[i].remedy);
	}
}

static json_t *list_findings(const struct hostcheck *checks, unsigned int count)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < count && list; i++)
		if (json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "check", checks[i].what,
						      "verdict", verdicts[checks[i].verdict], "found", checks[i].found,
						      "remedy", output_string(checks[i].remedy)))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

enum exit_code command_check_host(const struct options *options, int count, char **operands)
{
	struct hostcheck checks[HOSTCHECK_MOST];
	struct failure failure = { 0 };
	struct keel_info info;
	unsigned int found;
	enum exit_code code = EXIT_DONE;
	int device;

	(void)count;
	(void)operands;
	if (device_open(&device, &info, &failure)) {
		close(device);
		found = hostcheck("", &info, NULL, checks);
	} else {
		found = hostcheck("", NULL, failure.text, checks);
	}
	for (unsigned int i = 0; i < found; i++)
		if (checks[i].verdict == HOSTCHECK_BAD)
			code = EXIT_FAILED;
	if (!options->json)
		print_findings(checks, found);
	else if (output_json(code ? json_pack("{s:b, s:i, s:s, s:o}", "ok", 0, "code", code, "error",
					      "no guest can run on this machine", "checks", list_findings(checks, found)) :
				    json_pack("{s:b, s:o}", "ok", 1, "checks", list_findings(checks, found))))
		code = EXIT_FAILED;
	return code;
}
