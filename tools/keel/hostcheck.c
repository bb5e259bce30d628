// SPDX-License-Identifier: GPL-2.0
/* Looks at /proc and /sys; under Keel, at what the driver says. */
#include "hostcheck.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <keel/hypercall.h>

#define LINE_ROOM		16384
#define EFI_VARIABLES		"/sys/firmware/efi/efivars"
#define EFI_SECURE_BOOT		"SecureBoot-"
#define EFI_VALUE		4	/* bytes of attributes come first */
#define MEMORY_LEAST_KIB	(1024 * 1024u)

/* The first line of a file that begins so; "" if there is none. */
static void find_line(const char *root, const char *file, const char *start, char *line)
{
	char path[PATH_MAX];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, file);
	f = fopen(path, "re");
	while (f && !found && fgets(line, LINE_ROOM, f))
		found = !strncmp(line, start, strlen(start));
	if (f)
		fclose(f);
	if (!found)
		line[0] = '\0';
}

static bool has_word(const char *line, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = strstr(line, word); at; at = strstr(at + 1, word))
		if (at > line && at[-1] == ' ' && strchr(" \n", at[length]))
			return true;
	return false;
}

static bool exists(const char *root, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, file);
	return !access(path, F_OK);
}

/* Under Keel the processor's virtualisation is not shown any more. */
static struct hostcheck processor(const char *root, bool under_keel)
{
	struct hostcheck check = { "processor", HOSTCHECK_GOOD, "Keel runs on it", "" };
	char line[LINE_ROOM];

	if (under_keel)
		return check;
	find_line(root, "/proc/cpuinfo", "flags", line);
	if (has_word(line, "svm") && has_word(line, "npt"))
		check.found = "AMD-V with nested paging";
	else if (has_word(line, "vmx") && has_word(line, "ept"))
		check.found = "VT-x with EPT";
	else if (has_word(line, "svm") || has_word(line, "vmx"))
		check = (struct hostcheck){ check.what, HOSTCHECK_BAD, "no second level of page tables (EPT, nested paging)",
					    "take a newer processor" };
	else
		check = (struct hostcheck){
			check.what, HOSTCHECK_BAD, "neither VT-x nor AMD-V",
			"switch on VT-x, or SVM Mode, in the firmware setup; an old or virtual processor may lack it"
		};
	return check;
}

static struct hostcheck hypervisor(const struct keel_info *info, const char *why)
{
	if (info)
		return (struct hostcheck){ "hypervisor", HOSTCHECK_GOOD, "Keel runs, and its driver answers", "" };
	return (struct hostcheck){ "hypervisor", HOSTCHECK_BAD, "Keel does not answer", why };
}

static struct hostcheck dma(const char *root, const struct keel_info *info)
{
	struct hostcheck check = { "DMA protection", HOSTCHECK_GOOD, "devices are held back by the IOMMU", "" };

	if (info && info->dma & KEEL_DMA_PROTECTED)
		return check;
	check.verdict = HOSTCHECK_NOTE;
	check.found = "none: devices, and drivers that are told to, reach all memory, guests' as well";
	check.remedy = "keel dmesg says what is missing; VT-d or AMD-Vi may be off in the firmware setup";
	if (info)
		return check;
	if (exists(root, "/sys/firmware/acpi/tables/DMAR") || exists(root, "/sys/firmware/acpi/tables/IVRS"))
		return (struct hostcheck){ check.what, HOSTCHECK_GOOD, "the machine has an IOMMU", "" };
	check.found = "the firmware names no IOMMU: under Keel, devices will reach all memory";
	check.remedy = "switch on VT-d or AMD-Vi in the firmware setup";
	return check;
}

static struct hostcheck secure_boot(const char *root)
{
	struct hostcheck check = { "Secure Boot", HOSTCHECK_GOOD, "off", "" };
	char path[PATH_MAX];
	uint8_t value[EFI_VALUE + 1] = { 0 };
	struct dirent *entry;
	DIR *folder;
	int fd;

	snprintf(path, sizeof(path), "%s" EFI_VARIABLES, root);
	folder = opendir(path);
	while (folder && (entry = readdir(folder)))
		if (!strncmp(entry->d_name, EFI_SECURE_BOOT, strlen(EFI_SECURE_BOOT)) &&
		    (fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC)) >= 0) {
			if (read(fd, value, sizeof(value)) != sizeof(value))
				value[EFI_VALUE] = 0;
			close(fd);
		}
	if (folder)
		closedir(folder);
	if (value[EFI_VALUE] == 1)
		return (struct hostcheck){ check.what, HOSTCHECK_BAD, "on: GRUB starts no hypervisor that is not signed",
					   "switch Secure Boot off in the firmware setup" };
	return check;
}

static struct hostcheck memory(const char *root)
{
	struct hostcheck check = { "memory", HOSTCHECK_GOOD, "at least 1 GiB is free for guests", "" };
	unsigned long long kib = 0;
	char line[LINE_ROOM];

	find_line(root, "/proc/meminfo", "MemAvailable:", line);
	if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1 && kib >= MEMORY_LEAST_KIB)
		return check;
	check.verdict = HOSTCHECK_NOTE;
	check.found = "less than 1 GiB is free for guests";
	check.remedy = "end programs or guests, or take a machine with more";
	return check;
}

unsigned int hostcheck(const char *root, const struct keel_info *info, const char *why, struct hostcheck *found)
{
	unsigned int count = 0;

	found[count++] = processor(root, info != NULL);
	if (!info)
		found[count++] = secure_boot(root);
	found[count++] = hypervisor(info, why);
	found[count++] = dma(root, info);
	found[count++] = memory(root);
	return count;
}
