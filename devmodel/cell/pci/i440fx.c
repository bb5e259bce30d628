// SPDX-License-Identifier: GPL-2.0
/* Intel 82441FX host bridge: what firmware and operating systems look at in its configuration space. */
#include "pci/i440fx.h"

#define I440FX_PAM0		0x59u
#define I440FX_PAM1		0x5au
#define I440FX_PAM6		0x5fu
#define I440FX_SMRAM		0x72u

#define PAM0_WRITABLE		0x30u	/* the low half of PAM0 is reserved */
#define PAM_WRITABLE		0x33u	/* read and write enable of two segments */
#define SMRAM_DEFAULT		0x02u	/* C_BASE_SEG = 0xa0000, hardwired */
#define SMRAM_WRITABLE		0x78u

void i440fx_init(void *device)
{
	struct i440fx *fx = device;
	static const struct pci_identity identity = {
		.vendor = PCI_VENDOR_INTEL, .device = 0x1237, .revision = 2, .class = 0x06, .subclass = 0x00,
	};
	struct pci_function *fn = &fx->pci;

	pci_function_init(fn, &identity);
	pci_function_set(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_function_set(fn, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM | PCI_STATUS_FAST_BACK);
	fn->writable[PCI_LATENCY] = 0xf8;

	fn->writable[I440FX_PAM0] = PAM0_WRITABLE;
	for (unsigned int i = I440FX_PAM1; i <= I440FX_PAM6; i++)
		fn->writable[i] = PAM_WRITABLE;
	pci_function_set(fn, I440FX_SMRAM, 1, SMRAM_DEFAULT);
	fn->writable[I440FX_SMRAM] = SMRAM_WRITABLE;
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct i440fx *fx = device;

	(void)now;
	return pci_function_invalid(&fx->pci, states[0]);
}

static const struct device_part parts[] = {
	DEVICE_PART(pci_function_state_table, 0, struct i440fx, pci.s),
};

const struct device_ops i440fx_device = { .init = i440fx_init, DEVICE_PARTS(parts), .valid = valid };
