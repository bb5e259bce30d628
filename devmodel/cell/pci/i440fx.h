/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Intel 82441FX (440FX) host bridge, revision 2: 8086:1237, function 0 of slot 0 (data sheet 290549).
 *
 * The programmable attribute map (PAM) and SMRAM registers keep what is written and change nothing: all memory below
 * 1 MiB but the VGA window is always plain memory, readable and writable, with the firmware's copy in it from the start.
 */
#ifndef KEEL_I440FX_H
#define KEEL_I440FX_H

#include "pci/pci.h"

struct i440fx {
	struct pci_function pci;	/* saved by pci_function_state_table */
};

void i440fx_init(void *fx);
extern const struct device_ops i440fx_device;

#endif
