// SPDX-License-Identifier: GPL-2.0
/* keel info, dmesg, version: what the hypervisor tells. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keel/hypercall.h>
#include <keel/ioctl.h>

#include "commands.h"
#include "common/device.h"
#include "list.h"
#include "output.h"
#include "common/text.h"

#define LOG_CHUNK		4096
#define PAGES_PER_MIB		256
#define KIB_PER_MIB		1024
#define VENDOR_LINE		"Keel: "
#define VENDOR_END		" CPUs, "
#define FEATURES_LINE		"options of the processor in use:"

struct host {
	struct keel_info info;
	char *vendor, *features;	/* NULL: the log does not tell any more */
	unsigned long long total_mib, free_mib;
};

/* The hypervisor's log with a zero behind it, the caller's to free. */
static char *read_log(int device, size_t *used, struct failure *failure)
{
	struct keel_log log = { 0 };
	char *text = NULL, *grown;

	*used = 0;
	do {
		grown = realloc(text, *used + LOG_CHUNK + 1);
		if (!grown) {
			failure_set(failure, EXIT_FAILED, "cannot read the log: out of memory");
			goto failed;
		}
		text = grown;
		log.buffer = (uintptr_t)(text + *used);
		log.bytes = LOG_CHUNK;
		if (ioctl(device, KEEL_READ_LOG, &log)) {
			failure_set(failure, EXIT_FAILED, "cannot read the log: %s", strerror(errno));
			goto failed;
		}
		*used += log.bytes;
	} while (log.bytes);
	text[*used] = '\0';
	return text;
failed:
	free(text);
	return NULL;
}

static char *take_line(const char *from)
{
	from += strspn(from, " ");
	return strndup(from, strcspn(from, "\n"));
}

/* "Keel: NAME, N CPUs, ..." and "..., options of the processor in use: ..." */
static void parse_log(struct host *host, const char *text)
{
	const char *features = strstr(text, FEATURES_LINE), *end = strstr(text, VENDOR_END), *start = end;

	if (features)
		host->features = take_line(features + strlen(FEATURES_LINE));
	while (start && start > text && start[-1] != '\n')
		start--;
	while (end && end > start && *end != ',')
		end--;
	if (start && end > start && !strncmp(start, VENDOR_LINE, strlen(VENDOR_LINE)))
		host->vendor = strndup(start + strlen(VENDOR_LINE), (size_t)(end - start) - strlen(VENDOR_LINE));
}

/* Guests are given what is available to the control domain. */
static bool read_memory(struct host *host, struct failure *failure)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long total = 0, available = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemTotal: %llu kB", &total) != 1)
			sscanf(line, "MemAvailable: %llu kB", &available);
	if (f)
		fclose(f);
	host->total_mib = total / KIB_PER_MIB;
	host->free_mib = available / KIB_PER_MIB;
	return total || failure_set(failure, EXIT_FAILED, "cannot read /proc/meminfo");
}

static bool read_host(struct host *host, struct failure *failure)
{
	char *text = NULL;
	size_t used;
	int device;

	if (!device_open(&device, &host->info, failure))
		return false;
	text = read_log(device, &used, failure);
	close(device);
	if (!text)
		return false;
	parse_log(host, text);
	free(text);
	return read_memory(host, failure);
}

static enum exit_code print_json(const struct host *host)
{
	const struct keel_info *info = &host->info;

	return output_json(json_pack("{s:b, s:s, s:i, s:o*, s:o*, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:I}", "ok", 1,
				     "version", KEEL_VERSION, "abi_revision", (int)info->abi_revision,
				     "vendor", host->vendor ? output_string(host->vendor) : NULL,
				     "features", host->features ? output_string(host->features) : NULL,
				     "free_vm_slots", (int)info->vm_slots, "cpus", (int)info->cpus,
				     "max_vcpus", (int)info->max_vcpus, "tsc_khz", (json_int_t)info->tsc_khz,
				     "memory_mib", (json_int_t)host->total_mib, "free_mib", (json_int_t)host->free_mib,
				     "pages_out", (json_int_t)info->pages_out,
				     "control_exits", (json_int_t)info->control_exits,
				     "dma_protection", (info->dma & KEEL_DMA_PROTECTED) != 0,
				     "dma_refused", (json_int_t)info->dma_refused));
}

static void print_text(const struct host *host)
{
	const struct keel_info *info = &host->info;

	printf("version        %s\nABI revision   %u\nvendor         ", KEEL_VERSION, info->abi_revision);
	output_text(host->vendor ? host->vendor : "unknown: the log does not reach back");
	fputs("\nfeatures       ", stdout);
	output_text(host->features ? host->features : "unknown: the log does not reach back");
	printf("\nfree VM slots  %u\nCPUs           %u\nmost vCPUs     %u\nTSC            %llu kHz\n"
	       "total memory   %llu MiB\nfree memory    %llu MiB\nguest memory   %llu pages (%llu MiB)\ncontrol exits  %llu\n"
	       "DMA protection %s\nDMA refused    %llu\n",
	       info->vm_slots, info->cpus, info->max_vcpus, (unsigned long long)info->tsc_khz, host->total_mib, host->free_mib,
	       (unsigned long long)info->pages_out, (unsigned long long)info->pages_out / PAGES_PER_MIB,
	       (unsigned long long)info->control_exits,
	       info->dma & KEEL_DMA_PROTECTED ? "yes" : "no: keel dmesg says why", (unsigned long long)info->dma_refused);
}

enum exit_code command_info(const struct options *options, int count, char **operands)
{
	struct host host = { 0 };
	struct failure failure;
	enum exit_code code = EXIT_DONE;

	if (count)
		return list_info(options, operands[0]);
	if (!read_host(&host, &failure))
		code = output_fail(options->json, &failure);
	else if (options->json)
		code = print_json(&host);
	else
		print_text(&host);
	free(host.vendor);
	free(host.features);
	return code;
}

enum exit_code command_dmesg(const struct options *options, int count, char **operands)
{
	enum exit_code code = EXIT_DONE;
	struct keel_info info;
	struct failure failure;
	char *text;
	size_t used;
	int device;

	(void)count;
	(void)operands;
	if (!device_open(&device, &info, &failure))
		return output_fail(options->json, &failure);
	text = read_log(device, &used, &failure);
	close(device);
	if (!text)
		return output_fail(options->json, &failure);
	if (options->json)
		code = output_json(json_pack("{s:b, s:o}", "ok", 1, "log", output_bytes(text, used)));
	else
		text_print(stdout, text, used);
	free(text);
	return code;
}

enum exit_code command_version(const struct options *options, int count, char **operands)
{
	(void)count;
	(void)operands;
	if (options->json)
		return output_json(json_pack("{s:b, s:s, s:i}", "ok", 1, "version", KEEL_VERSION, "abi_revision",
					     (int)KEEL_ABI_REVISION));
	printf("keel %s (ABI revision %u)\n", KEEL_VERSION, KEEL_ABI_REVISION);
	return EXIT_DONE;
}
