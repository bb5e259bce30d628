/* SPDX-License-Identifier: GPL-2.0 */
/* What linux/mor.c takes from the kernel, for test_mor.c. */
#ifndef TESTS_KERNEL_EFI_H
#define TESTS_KERNEL_EFI_H

#include <stdbool.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef wchar_t efi_char16_t;		/* the test is compiled with short ones */
typedef struct {
	uint8_t bytes[11];
	uint32_t first;
} efi_guid_t;

#define EFI_GUID(a, b, c, ...)	((efi_guid_t){ .first = (a), .bytes = { (b) & 0xff, (b) >> 8, (c) & 0xff, __VA_ARGS__ } })
#define EFI_RT_SUPPORTED_GET_VARIABLE	0x10u
#define EFI_RT_SUPPORTED_SET_VARIABLE	0x40u
#define EFI_RUNTIME_SERVICES		3
#define EFI_SUCCESS			0ul
#define IS_ENABLED(option)		true

struct efi {
	unsigned long (*get_variable)(efi_char16_t *, efi_guid_t *, u32 *, unsigned long *, void *);
	unsigned long (*set_variable)(efi_char16_t *, efi_guid_t *, u32, unsigned long, void *);
};
extern struct efi efi;
bool efi_enabled(int feature);
bool efi_rt_services_supported(unsigned int mask);

#endif
