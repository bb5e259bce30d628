// SPDX-License-Identifier: GPL-2.0
/*
 * keel-seed NAME BYTES [NAME BYTES]...: writes to standard output an ISO 9660 image of volume "cidata" with files of these names,
 * whose contents, of so many bytes each, follow on each other on standard input. The same input makes the same image.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Of this one the header alone is taken: an image is handed out in its form. */
#include <libburn/libburn.h>
#include <libisofs/libisofs.h>

#define VOLUME			"cidata"
#define SECTOR			2048
#define FILE_MODE		(S_IRUSR)
#define FOLDER_MODE		(S_IRUSR | S_IXUSR)
#define SAY			2		/* of libisofs: a value that is told it, not what is found or a default */

__attribute__((format(printf, 1, 2), noreturn))
static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "keel-seed: ");
	vfprintf(stderr, format, args);
	putc('\n', stderr);
	va_end(args);
	exit(EXIT_FAILURE);
}

/* A result of libisofs. */
static void need(int result)
{
	if (result < 0)
		fail("%s", iso_error_to_msg(result));
}

static void add_file(IsoImage *image, const char *name, const char *number)
{
	char *end;
	unsigned long count = strtoul(number, &end, 10);
	unsigned char *bytes = *number && !*end ? malloc(count + 1) : NULL;
	IsoStream *stream;

	if (!bytes)
		fail("no room for %s bytes of %s", number, name);
	if (fread(bytes, 1, count, stdin) != count)
		fail("%s ends too early", name);
	need(iso_memory_stream_new(bytes, count, &stream));
	need(iso_image_add_new_file(image, iso_image_get_root(image), name, stream, NULL));
}

/* No name, user or time of this host is in it. */
static IsoWriteOpts *make_options(void)
{
	IsoWriteOpts *options;

	need(iso_write_opts_new(&options, 0));
	need(iso_write_opts_set_iso_level(options, 2));
	/* The volume's name in small letters, as all know it. */
	need(iso_write_opts_set_relaxed_vol_atts(options, 1));
	need(iso_write_opts_set_rockridge(options, 1));
	need(iso_write_opts_set_joliet(options, 1));
	need(iso_write_opts_set_replace_mode(options, SAY, SAY, SAY, SAY));
	need(iso_write_opts_set_default_file_mode(options, FILE_MODE));
	need(iso_write_opts_set_default_dir_mode(options, FOLDER_MODE));
	need(iso_write_opts_set_default_uid(options, 0));
	need(iso_write_opts_set_default_gid(options, 0));
	need(iso_write_opts_set_replace_timestamps(options, SAY));
	need(iso_write_opts_set_default_timestamp(options, 0));
	need(iso_write_opts_set_always_gmt(options, 1));
	return options;
}

static void write_image(IsoImage *image, IsoWriteOpts *options)
{
	unsigned char sector[SECTOR];
	struct burn_source *source;
	off_t left;
	int n;

	need(iso_image_create_burn_source(image, options, &source));
	left = source->get_size(source);
	while ((n = source->read_xt(source, sector, SECTOR)) > 0) {
		left -= n;
		if (fwrite(sector, 1, (size_t)n, stdout) != (size_t)n)
			fail("cannot write the image");
	}
	if (left || fflush(stdout))
		fail("the image is not whole");
	source->free_data(source);
	free(source);
}

int main(int argc, char **argv)
{
	IsoWriteOpts *options;
	IsoImage *image;
	time_t never = 0;

	if (argc < 3 || argc % 2 == 0)
		fail("usage: keel-seed NAME BYTES [NAME BYTES]... <CONTENTS >IMAGE");
	/* Without regard to the locale. */
	need(iso_init_with_flag(1));
	iso_set_msgs_severities((char[]){ "NEVER" }, (char[]){ "FAILURE" }, (char[]){ "keel-seed: " });
	iso_nowtime(&never, 1);
	need(iso_image_new(VOLUME, &image));
	for (int i = 1; i < argc; i += 2)
		add_file(image, argv[i], argv[i + 1]);
	if (getchar() != EOF)
		fail("there is more behind the last file");
	options = make_options();
	write_image(image, options);
	iso_write_opts_free(options);
	iso_image_unref(image);
	iso_finish();
	return EXIT_SUCCESS;
}
