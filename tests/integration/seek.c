// SPDX-License-Identifier: GPL-2.0
/*
 * seek: looks through a file for the secret of tests/guests/secret.c, and for marks that are put into memory to see that what is
 * there would be found.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE	(1u << 20)
#define APART	512u	/* bytes from one mark to the next */

static const char usage[] =
	"usage: seek FILE             prints how many MiB, marks and secrets it has\n"
	"       seek --mark FILE MIB  makes a file of marks\n";

/* The sums are looked for, so that this program does not hold what it looks for. */
static volatile uint64_t secret_half = 0x2b1e5c3a4d6f7091, mark_half = 0x1c3d5e7f90a1b2c3;
#define SECRET_OTHER	0x3141592653589793ull
#define MARK_OTHER	0x2718281828459045ull

static uint64_t piece[PIECE / sizeof(uint64_t)];

static int look(const char *name)
{
	uint64_t secret = secret_half + SECRET_OTHER, mark = mark_half + MARK_OTHER, secrets = 0, marks = 0, bytes = 0;
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		err(1, "%s", name);
	while ((got = read(fd, piece, sizeof(piece))) > 0) {
		if (got % 8)
			memset((uint8_t *)piece + got, 0, (size_t)(8 - got % 8));
		for (size_t i = 0; i < ((size_t)got + 7) / 8; i++) {
			secrets += piece[i] == secret;
			marks += piece[i] == mark;
		}
		bytes += (uint64_t)got;
	}
	if (got < 0)
		err(1, "%s, at %llu", name, (unsigned long long)bytes);
	printf("%llu MiB, %llu marks, %llu secrets\n", (unsigned long long)bytes >> 20, (unsigned long long)marks,
	       (unsigned long long)secrets);
	return 0;
}

static int put_marks(const char *name, const char *mib)
{
	FILE *file = fopen(name, "we");
	unsigned int count;

	if (!file)
		err(1, "%s", name);
	if (sscanf(mib, "%u", &count) != 1)
		errx(2, "expected a number, not '%s'", mib);
	for (size_t at = 0; at < PIECE; at += APART)
		piece[at / 8] = mark_half + MARK_OTHER;
	while (count--)
		if (fwrite(piece, PIECE, 1, file) != 1)
			err(1, "%s", name);
	if (fclose(file))
		err(1, "%s", name);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return look(argv[1]);
	if (argc == 4 && !strcmp(argv[1], "--mark"))
		return put_marks(argv[2], argv[3]);
	fputs(usage, stderr);
	return 2;
}
