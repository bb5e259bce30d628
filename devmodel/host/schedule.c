// SPDX-License-Identifier: GPL-2.0
/* CPUs and priority of a guest's processes. Set before one is confined, and inherited: it cannot take more later. */
#include "host/schedule.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#define WEIGHT_ORDINARY		100u
#define NICE_LEAST		(-20)
#define NICE_MOST		19

/* A step of nice is a factor of 1.25 in time on the processor. */
static int nice_of(unsigned int weight)
{
	uint64_t scaled = weight * 1000ull, step = WEIGHT_ORDINARY * 1000ull;
	int nice = 0;

	while (nice > NICE_LEAST && scaled >= step * 5 / 4) {
		step = step * 5 / 4;
		nice--;
	}
	while (nice < NICE_MOST && scaled <= step * 4 / 5) {
		step = step * 4 / 5;
		nice++;
	}
	return nice;
}

/* False: errno tells. The kernel leaves CPUs out that are off line, as long as one is left. */
static bool pin(const cpu_set_t *cpus)
{
	cpu_set_t given;

	if (sched_setaffinity(0, sizeof(*cpus), cpus) || sched_getaffinity(0, sizeof(given), &given))
		return false;
	errno = ENODEV;
	return CPU_EQUAL(&given, cpus);
}

bool schedule_set(const struct manifest *manifest, struct failure *failure)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (unsigned int cpu = 0; cpu < MANIFEST_CPUS && cpu < CPU_SETSIZE; cpu++)
		if (manifest->cpu_affinity[cpu / 8] & 1u << cpu % 8)
			CPU_SET(cpu, &cpus);
	if (manifest->pinned && !pin(&cpus))
		return failure_set(failure, EXIT_FAILED, "cannot run the guest on the CPUs of \"cpu_affinity\": %s",
				   errno == ENODEV || errno == EINVAL ? "some are off line, or not for this program (cpusets)" :
				   strerror(errno));
	if (setpriority(PRIO_PROCESS, 0, nice_of(manifest->weight)))
		return failure_set(failure, EXIT_FAILED, "cannot give the guest the \"weight\" of its manifest: %s",
				   strerror(errno));
	return true;
}
