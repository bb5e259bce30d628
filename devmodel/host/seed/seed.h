/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The disk that cloud-init in a guest finds what it is told on: an ISO 9660 image of volume "cidata", in memory that nobody can
 * change. keel-seed writes it, a program of its own (pack.c), with nothing but the files' contents and the image: what it takes
 * of libraries and threads is gone before the guest's process is confined.
 */
#ifndef KEEL_SEED_H
#define KEEL_SEED_H

#include "common/exit.h"
#include "manifest/manifest.h"

/* A descriptor of the image for the manifest's cloud_init, sealed, in whole sectors; the caller's to close. -1: the failure. */
int seed_make(const struct manifest *m, struct failure *failure);

#endif
