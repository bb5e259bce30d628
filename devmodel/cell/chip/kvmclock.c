/* SPDX-License-Identifier: GPL-2.0 */
/* The paravirtual clock that KVM's guests know. */
#include "chip/kvmclock.h"

#include <stddef.h>

#include <keel/cell.h>
#include <keel/macros.h>

#include "core/clock.h"
#include "core/string.h"

#define ENABLED			1ull
#define ALIGN_MASK		3ull		/* but for the bit that enables */
#define FLAG_TSC_STABLE		(1u << 0)
#define KHZ_OF_NS		1000000ull	/* one tick a nanosecond */
#define MULTIPLIER_BITS		32

/* The two structures in guest memory. While a version is odd, what stands beside it is not to be used. */
struct vcpu_time {
	uint32_t version, pad0;
	uint64_t tsc_timestamp;		/* at this TSC ... */
	uint64_t system_time;		/* ... it was this time */
	uint32_t multiplier;
	int8_t shift;
	uint8_t flags, pad1[2];
};

struct wall_clock {
	uint32_t version, seconds, nanoseconds;
};

_Static_assert(sizeof(struct vcpu_time) == 32 && offsetof(struct vcpu_time, flags) == 29, "as guests know it");
_Static_assert(sizeof(struct wall_clock) == 12, "as guests know it");

static const struct state_field fields[] = {
	STATE_FIELD(struct kvmclock_state, wall_clock),
	STATE_ARRAY(struct kvmclock_state, system_time),
	STATE_ARRAY(struct kvmclock_state, version),
};

const struct state_table kvmclock_state_table = {
	.name = "kvmclock",
	.version = 1,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

/* The multiplier with all of its 32 bits in use: so it is right to a part in 2^31, a second in 68 years. */
void kvmclock_init(struct kvmclock *clock, uint64_t khz)
{
	uint64_t ns = KHZ_OF_NS;

	clock->shift = 0;
	for (; ns >= khz; khz <<= 1)
		clock->shift++;
	for (; 2 * ns < khz; ns <<= 1)
		clock->shift--;
	clock->multiplier = (uint32_t)time_scale(ns, 1ull << MULTIPLIER_BITS, khz);
}

/* Guests that have been told so take one vCPU's place for the time on all. */
static bool tscs_agree(const struct kvmclock *clock)
{
	const uint64_t *first = NULL;

	for (unsigned int i = 0; i < clock->count; i++) {
		if (!clock->known[i])
			continue;
		if (first && *first != clock->offset[i])
			return false;
		first = &clock->offset[i];
	}
	return true;
}

/*
 * A structure that begins with its version, odd, goes to guest memory: the version, the contents, the version made even, in
 * this order to every observer, for another vCPU of the guest may be reading. x86 keeps stores in order, and string
 * instructions among one another (SDM vol. 3, 9.2.4), so the compiler has to as well. False: not memory, nothing was written.
 */
static bool publish(const struct gmem *mem, uint64_t place, void *contents, size_t bytes)
{
	uint8_t before[sizeof(struct vcpu_time)];
	uint32_t *version = contents;

	if (!gmem_read(mem, place, before, bytes) || !gmem_write(mem, place, version, sizeof(*version)))
		return false;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	gmem_write(mem, place, contents, bytes);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	++*version;
	return gmem_write(mem, place, version, sizeof(*version));
}

static bool publish_time(struct kvmclock *clock, unsigned int vcpu)
{
	struct vcpu_time time = {
		.version = clock->s.version[vcpu] + 1,
		.tsc_timestamp = clock->start_tsc + clock->offset[vcpu], .system_time = clock->start_time,
		.multiplier = clock->multiplier, .shift = clock->shift,
		.flags = tscs_agree(clock) ? FLAG_TSC_STABLE : 0,
	};

	if (!publish(clock->mem, clock->s.system_time[vcpu] & ~ENABLED, &time, sizeof(time)))
		return false;
	clock->s.version[vcpu] = time.version;
	return true;
}

bool kvmclock_begin(struct kvmclock *clock, unsigned int vcpu, uint64_t tsc_offset)
{
	if (clock->known[vcpu] && clock->offset[vcpu] == tsc_offset)
		return false;
	clock->offset[vcpu] = tsc_offset;
	clock->known[vcpu] = true;
	/* Of the others the flag may have changed. Places were memory when they were named, and memory stays. */
	for (unsigned int i = 0; i < clock->count; i++)
		if (clock->s.system_time[i] & ENABLED)
			publish_time(clock, i);
	return true;
}

void kvmclock_reset(struct kvmclock *clock, unsigned int vcpu)
{
	clock->s.system_time[vcpu] = 0;
}

static bool write_wall_clock(struct kvmclock *clock, uint64_t place)
{
	struct wall_clock wall = {
		.seconds = (uint32_t)(clock->start_ns / (int64_t)NSEC_PER_SEC),
		.nanoseconds = (uint32_t)(clock->start_ns % (int64_t)NSEC_PER_SEC),
	};

	/* Nobody keeps it there; it is how a kernel says that it no longer looks. */
	if (!place) {
		clock->s.wall_clock = 0;
		return true;
	}
	/* The place is named anew for each look at it, so its version is the guest's to keep. */
	if (place & ALIGN_MASK || !gmem_read(clock->mem, place, &wall.version, sizeof(wall.version)))
		return false;
	wall.version |= 1;
	if (!publish(clock->mem, place, &wall, sizeof(wall)))
		return false;
	clock->s.wall_clock = place;
	return true;
}

bool kvmclock_read_msr(const struct kvmclock *clock, unsigned int vcpu, uint32_t msr, uint64_t *value)
{
	*value = msr == KEEL_MSR_WALL_CLOCK ? clock->s.wall_clock : clock->s.system_time[vcpu];
	return true;
}

bool kvmclock_write_msr(struct kvmclock *clock, unsigned int vcpu, uint32_t msr, uint64_t value)
{
	uint64_t before = clock->s.system_time[vcpu];

	if (msr == KEEL_MSR_WALL_CLOCK)
		return write_wall_clock(clock, value);
	if (value & ALIGN_MASK & ~ENABLED)
		return false;
	clock->s.system_time[vcpu] = value;
	if (!(value & ENABLED) || publish_time(clock, vcpu))
		return true;
	clock->s.system_time[vcpu] = before;
	return false;
}

/* A guest has named memory as a place, and memory stays. */
static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct kvmclock *clock = device;
	const struct kvmclock_state *s = states[0];

	(void)now;
	if (s->wall_clock & ALIGN_MASK)
		return "wall_clock";
	for (unsigned int i = 0; i < KEEL_MAX_VCPUS; i++) {
		uint64_t place = s->system_time[i] & ~ENABLED;

		if (place & ALIGN_MASK || (i >= clock->count && s->system_time[i]))
			return "system_time";
		if (s->system_time[i] & ENABLED && !gmem_at(clock->mem, place, sizeof(struct vcpu_time), true))
			return "system_time";
		if (s->version[i] & 1)
			return "version";
	}
	return NULL;
}

static void restored(void *device)
{
	struct kvmclock *clock = device;

	memset(clock->known, 0, sizeof(clock->known));
}

static const struct device_part parts[] = {
	DEVICE_PART(kvmclock_state_table, 0, struct kvmclock, s),
};

const struct device_ops kvmclock_device = { DEVICE_PARTS(parts), .valid = valid, .restored = restored };
