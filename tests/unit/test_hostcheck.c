/* SPDX-License-Identifier: GPL-2.0 */
/* Machines as their /proc and /sys show them, with and without Keel. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keel/hypercall.h>
#include <keel/macros.h>

#include "hostcheck.h"
#include "suite.h"

#define TEMPLATE "/tmp/keel-hostcheck-XXXXXX"

static char root[] = TEMPLATE;
static struct hostcheck found[HOSTCHECK_MOST];
static unsigned int count;

static void file(const char *path, const void *bytes, size_t length)
{
	char full[512];
	FILE *f;

	for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		snprintf(full, sizeof(full), "%s%.*s", root, (int)(at - path), path);
		mkdir(full, 0700);
	}
	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, length, f), length);
	ck_assert_int_eq(fclose(f), 0);
}

static void text(const char *path, const char *content)
{
	file(path, content, strlen(content));
}

static void make(void)
{
	strcpy(root, TEMPLATE);
	ck_assert_ptr_nonnull(mkdtemp(root));
	text("/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu svm sse2 npt lm\n\nflags\t\t: fpu\n");
	text("/proc/meminfo", "MemTotal:  4000000 kB\nMemAvailable:    3000000 kB\n");
	text("/sys/firmware/acpi/tables/IVRS", "");
}

static void unmake(void)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -rf %s", root);
	ck_assert_int_eq(system(command), 0);
}

static const struct hostcheck *look(const struct keel_info *info, const char *what)
{
	count = hostcheck(root, info, "boot it", found);
	ck_assert_uint_le(count, HOSTCHECK_MOST);
	for (unsigned int i = 0; i < count; i++)
		ck_assert(!found[i].remedy[0] == (found[i].verdict == HOSTCHECK_GOOD));
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(found[i].what, what))
			return &found[i];
	ck_abort_msg("%s is not looked at", what);
}

START_TEST(plain_linux)
{
	ck_assert_int_eq(look(NULL, "processor")->verdict, HOSTCHECK_GOOD);
	ck_assert_int_eq(look(NULL, "Secure Boot")->verdict, HOSTCHECK_GOOD);
	ck_assert_int_eq(look(NULL, "DMA protection")->verdict, HOSTCHECK_GOOD);
	ck_assert_int_eq(look(NULL, "memory")->verdict, HOSTCHECK_GOOD);
	ck_assert_int_eq(look(NULL, "hypervisor")->verdict, HOSTCHECK_BAD);
	ck_assert_str_eq(look(NULL, "hypervisor")->remedy, "boot it");
}
END_TEST

START_TEST(processors)
{
	static const struct {
		const char *flags;
		enum hostcheck_verdict verdict;
	} cases[] = {
		{ "flags : vmx ept\n", HOSTCHECK_GOOD }, { "flags : ept tsc vmx", HOSTCHECK_GOOD },
		{ "flags : vmx\n", HOSTCHECK_BAD }, { "flags : svm ept\n", HOSTCHECK_BAD },
		{ "flags : xsvm nptx npt svme\n", HOSTCHECK_BAD }, { "", HOSTCHECK_BAD },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		text("/proc/cpuinfo", cases[i].flags);
		ck_assert_int_eq(look(NULL, "processor")->verdict, cases[i].verdict);
	}
}
END_TEST

START_TEST(secured)
{
	file("/sys/firmware/efi/efivars/SecureBoot-8be4df61", "\6\0\0\0\1", 5);
	ck_assert_int_eq(look(NULL, "Secure Boot")->verdict, HOSTCHECK_BAD);
	file("/sys/firmware/efi/efivars/SecureBoot-8be4df61", "\6\0\0\0\0", 5);
	ck_assert_int_eq(look(NULL, "Secure Boot")->verdict, HOSTCHECK_GOOD);
	file("/sys/firmware/efi/efivars/SecureBoot-8be4df61", "\6\0", 2);
	ck_assert_int_eq(look(NULL, "Secure Boot")->verdict, HOSTCHECK_GOOD);
}
END_TEST

START_TEST(without_iommu)
{
	struct keel_info info = { 0 };
	char path[512];

	ck_assert_int_eq(look(&info, "DMA protection")->verdict, HOSTCHECK_NOTE);
	info.dma = KEEL_DMA_PROTECTED;
	ck_assert_int_eq(look(&info, "DMA protection")->verdict, HOSTCHECK_GOOD);
	ck_assert_int_eq(look(&info, "processor")->verdict, HOSTCHECK_GOOD);
	ck_assert_int_eq(look(&info, "hypervisor")->verdict, HOSTCHECK_GOOD);
	snprintf(path, sizeof(path), "%s/sys/firmware/acpi/tables/IVRS", root);
	unlink(path);
	ck_assert_int_eq(look(NULL, "DMA protection")->verdict, HOSTCHECK_NOTE);
	text("/sys/firmware/acpi/tables/DMAR", "");
	ck_assert_int_eq(look(NULL, "DMA protection")->verdict, HOSTCHECK_GOOD);
}
END_TEST

START_TEST(little_memory)
{
	text("/proc/meminfo", "MemAvailable: 1048575 kB\n");
	ck_assert_int_eq(look(NULL, "memory")->verdict, HOSTCHECK_NOTE);
	text("/proc/meminfo", "MemAvailable: 1048576 kB\n");
	ck_assert_int_eq(look(NULL, "memory")->verdict, HOSTCHECK_GOOD);
}
END_TEST

SUITE("hostcheck", tests)
{
	tcase_add_checked_fixture(tests, make, unmake);
	tcase_add_test(tests, plain_linux);
	tcase_add_test(tests, processors);
	tcase_add_test(tests, secured);
	tcase_add_test(tests, without_iommu);
	tcase_add_test(tests, little_memory);
}
