/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The files that cloud-init finds on its disk (datasource NoCloud): meta-data and user-data, and as far as they are wanted
 * vendor-data and network-config.
 */
#ifndef KEEL_SEED_FILES_H
#define KEEL_SEED_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "manifest/manifest.h"

#define SEED_FILES_MOST		4u

struct seed_file {
	const char *name;
	const char *bytes;
	size_t count;
};

/* Those of the user are the manifest's, and live as long; the texts that are made of its keys are here. */
struct seed_files {
	struct seed_file file[SEED_FILES_MOST];
	unsigned int count;
	char *meta_data, *vendor_data;
};

/* False: out of memory. To be freed in either case. */
bool seed_files_make(struct seed_files *files, const struct manifest *m);
void seed_files_free(struct seed_files *files);

#endif
