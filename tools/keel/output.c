// SPDX-License-Identifier: GPL-2.0
/* Results and failures, and whether they could be told. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"

#define DIGITS		9	/* of numbers that are not whole */

void output_begin(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			/* The number is the lowest that is free. Reading standard input and writing the others fail as before. */
			if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
				_exit(EXIT_FAILED);
}

enum exit_code output_end(enum exit_code code)
{
	bool lost = ferror(stdout);

	errno = 0;
	if (!fclose(stdout) && !lost)
		return code;
	fprintf(stderr, "keel: cannot write to standard output: %s\n", errno ? strerror(errno) : "some of it is lost");
	return code == EXIT_DONE ? EXIT_FAILED : code;
}

enum exit_code output_json(json_t *object)
{
	/* Escapes for all that is not ASCII: no terminal sees anybody's control characters. */
	char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(DIGITS)) : NULL;

	json_decref(object);
	puts(text ? text : "{\"ok\":false,\"code\":1,\"error\":\"out of memory\"}");
	free(text);
	return text ? EXIT_DONE : EXIT_FAILED;
}

enum exit_code output_fail(bool json, const struct failure *failure)
{
	if (!json)
		fprintf(stderr, "keel: %s\n", failure->text);
	else if (output_json(json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure->code, "error", failure->text)))
		return EXIT_FAILED;
	return failure->code;
}

json_t *output_bytes(const char *text, size_t bytes)
{
	char *valid = text_utf8(text, bytes);
	json_t *string = valid ? json_string(valid) : NULL;

	free(valid);
	return string;
}

json_t *output_string(const char *text)
{
	return output_bytes(text, strlen(text));
}

void output_text(const char *text)
{
	char *shown = text_show(text, strlen(text));

	fputs(shown ? shown : "(out of memory)", stdout);
	free(shown);
}
