/* SPDX-License-Identifier: GPL-2.0 */
/* What the driver asks of firmware that clears memory at a reset, and of firmware that does not: no emulator's does. */
#include <check.h>
#include <string.h>
#include <wchar.h>

/* The driver's own header is for the kernel alone. */
#define KEEL_LINUX_KEEL_H
void keel_mor_init(void);
#include "../../linux/mor.c"

#include "suite.h"

struct efi efi;
static bool runtime, services, offered, writable;
static unsigned long variable_bytes;
static uint8_t variable;
static unsigned int writes;
static char text[256];

void told(const char *words)
{
	strcpy(text, words);
}

bool efi_enabled(int feature)
{
	return feature == EFI_RUNTIME_SERVICES && runtime;
}

bool efi_rt_services_supported(unsigned int mask)
{
	ck_assert_uint_eq(mask, 0x50);
	return services;
}

static void check_name(const efi_char16_t *name, const efi_guid_t *guid)
{
	static const efi_char16_t expected[] = L"MemoryOverwriteRequestControl";

	ck_assert(!memcmp(name, expected, sizeof(expected)));
	ck_assert_uint_eq(guid->first, 0xe20939be);
}

static unsigned long get_variable(efi_char16_t *name, efi_guid_t *guid, u32 *attributes, unsigned long *size, void *data)
{
	check_name(name, guid);
	if (!offered)
		return 14;
	*attributes = 7;
	*size = variable_bytes;
	*(uint8_t *)data = variable;
	return EFI_SUCCESS;
}

static unsigned long set_variable(efi_char16_t *name, efi_guid_t *guid, u32 attributes, unsigned long size, void *data)
{
	check_name(name, guid);
	ck_assert_uint_eq(attributes, 7);
	ck_assert_uint_eq(size, 1);
	writes++;
	if (!writable)
		return 8;
	variable = *(uint8_t *)data;
	return EFI_SUCCESS;
}

START_TEST(asks)
{
	efi = (struct efi){ get_variable, set_variable };
	runtime = _i != 0;
	services = _i != 1;
	offered = _i != 2;
	variable_bytes = _i == 3 ? 2 : 1;
	writable = _i != 4;
	variable = 0x10;
	keel_mor_init();
	ck_assert_uint_eq(writes, _i >= 4);
	/* The other bits are as they were. */
	ck_assert_uint_eq(variable, _i == 5 ? 0x11 : 0x10);
	if (_i >= 2)
		ck_assert_ptr_nonnull(strstr(text, _i == 5 ? "has been asked" : _i == 4 ? "cannot be asked" : "does not offer"));
	else
		ck_assert_uint_eq(text[0], 0);
}
END_TEST

SUITE("mor", tests)
{
	tcase_add_loop_test(tests, asks, 0, 6);
}
