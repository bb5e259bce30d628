// SPDX-License-Identifier: GPL-2.0
/*
 * Asks the firmware to clear memory at the next reset (TCG Platform Reset Attack Mitigation Specification, 4):
 * whatever boots then need not be Keel, which does so itself. The firmware makes the variable if it knows of this;
 * nobody else may.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/efi.h>
#include <linux/kernel.h>

#include "keel.h"

#define MOR_GUID	EFI_GUID(0xe20939be, 0x32d4, 0x41be, 0xa1, 0x50, 0x89, 0x7f, 0x85, 0xd4, 0x98, 0x29)
#define MOR_CLEAR	0x01u
#define MOR_SERVICES	(EFI_RT_SUPPORTED_GET_VARIABLE | EFI_RT_SUPPORTED_SET_VARIABLE)

void keel_mor_init(void)
{
	static efi_char16_t name[] = L"MemoryOverwriteRequestControl";
	efi_guid_t guid = MOR_GUID;
	unsigned long size = sizeof(u8);
	u32 attributes;
	u8 control;

	if (!IS_ENABLED(CONFIG_EFI) || !efi_enabled(EFI_RUNTIME_SERVICES) || !efi_rt_services_supported(MOR_SERVICES))
		return;
	if (efi.get_variable(name, &guid, &attributes, &size, &control) != EFI_SUCCESS || size != sizeof(control)) {
		pr_info("the firmware does not offer to clear memory at a reset\n");
		return;
	}
	control |= MOR_CLEAR;
	if (efi.set_variable(name, &guid, attributes, sizeof(control), &control) != EFI_SUCCESS)
		pr_warn("the firmware cannot be asked to clear memory at a reset\n");
	else
		pr_info("the firmware has been asked to clear memory at a reset\n");
}
