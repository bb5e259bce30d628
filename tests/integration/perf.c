// SPDX-License-Identifier: GPL-2.0
/* perf as the kernel gives it: a counter counts, a sampling timer samples, the hardware's counters are as the kernel says. */
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/perf_event.h>

#define RING_PAGES	8u	/* a power of two, and the control page before them */
#define SAMPLE_NS	1000000u
#define BUSY_MS		400
#define SAMPLES_LEAST	50u	/* of about 400 */

static int perf_open(struct perf_event_attr *attr)
{
	attr->size = sizeof(*attr);
	attr->disabled = 1;
	return (int)syscall(SYS_perf_event_open, attr, 0, -1, -1, 0);
}

static void busy(void)
{
	struct timespec start, now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < BUSY_MS);
}

static uint64_t count(int fd)
{
	uint64_t value = 0;

	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	busy();
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	if (read(fd, &value, sizeof(value)) != sizeof(value))
		err(1, "reading a counter");
	return value;
}

/* cpu-clock counts nanoseconds. */
static int counts(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK };
	int fd = perf_open(&attr);

	if (fd < 0)
		err(1, "perf_event_open");
	printf("cpu-clock: %llu ns\n", (unsigned long long)count(fd));
	return count(fd) < BUSY_MS * 500000ull;
}

static unsigned int samples_in(const struct perf_event_mmap_page *page, size_t page_bytes)
{
	const uint8_t *data = (const uint8_t *)page + page_bytes;
	uint64_t at = 0, head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
	unsigned int samples = 0;
	struct perf_event_header header;

	while (at + sizeof(header) <= head && head <= RING_PAGES * page_bytes) {
		memcpy(&header, data + at, sizeof(header));
		if (!header.size)
			break;
		samples += header.type == PERF_RECORD_SAMPLE;
		at += header.size;
	}
	return samples;
}

static int samples(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = SAMPLE_NS,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TIME,
	};
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	int fd = perf_open(&attr);
	struct perf_event_mmap_page *page;
	unsigned int taken;

	if (fd < 0)
		err(1, "perf_event_open");
	page = mmap(NULL, (RING_PAGES + 1) * page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		err(1, "the ring");
	count(fd);
	taken = samples_in(page, page_bytes);
	printf("%u samples\n", taken);
	return taken < SAMPLES_LEAST;
}

/* 2: the kernel knows no counters of this processor. */
static int hardware(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE, .config = PERF_COUNT_HW_INSTRUCTIONS };
	int fd = perf_open(&attr);

	if (fd < 0 && (errno == ENOENT || errno == EOPNOTSUPP))
		return 2;
	if (fd < 0)
		err(1, "perf_event_open");
	return !count(fd);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "count"))
		return counts();
	if (argc == 2 && !strcmp(argv[1], "sample"))
		return samples();
	if (argc == 2 && !strcmp(argv[1], "hardware"))
		return hardware();
	errx(1, "usage: perf count|sample|hardware");
}
