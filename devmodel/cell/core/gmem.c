// SPDX-License-Identifier: GPL-2.0
/* Guest memory: bounds. */
#include "core/gmem.h"

#include "core/string.h"

uint8_t *gmem_at(const struct gmem *mem, uint64_t gpa, size_t bytes, bool write)
{
	for (unsigned int i = 0; i < mem->count; i++) {
		const struct gmem_range *range = &mem->range[i];
		uint64_t offset = gpa - range->first;

		if (offset < range->bytes && bytes <= range->bytes - offset)
			return write && range->readonly ? NULL : mem->base + gpa;
	}
	return NULL;
}

/* Not for what is in a range to have its registers saved. */
static __attribute__((noinline)) uint8_t *in_window(const struct gmem *mem, uint64_t gpa, bool write)
{
	for (unsigned int i = 0; i < GMEM_WINDOWS; i++) {
		const struct gmem_window *window = &mem->window[i];

		if (gpa - window->first < window->bytes && !(write && window->readonly))
			return window->memory + (gpa - window->first);
	}
	return NULL;
}

uint8_t *gmem_of_guest(const struct gmem *mem, uint64_t gpa, bool write)
{
	uint8_t *at = gmem_at(mem, gpa, 1, write);

	return at ? at : in_window(mem, gpa, write);
}

uint64_t gmem_gap(const struct gmem *mem, uint64_t gpa, bool write)
{
	uint64_t gap = UINT64_MAX - gpa;

	for (unsigned int i = 0; i < mem->count; i++) {
		const struct gmem_range *range = &mem->range[i];

		if (write && range->readonly)
			continue;
		if (gpa - range->first < range->bytes)
			return 0;
		if (range->first > gpa && range->first - gpa < gap)
			gap = range->first - gpa;
	}
	return gap;
}

bool gmem_read(const struct gmem *mem, uint64_t gpa, void *buf, size_t bytes)
{
	const uint8_t *from = gmem_at(mem, gpa, bytes, false);

	if (!from)
		return false;
	memcpy(buf, from, bytes);
	/* The copy is what callers decide on; the compiler must not look at the original again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}

bool gmem_write(const struct gmem *mem, uint64_t gpa, const void *buf, size_t bytes)
{
	uint8_t *to = gmem_at(mem, gpa, bytes, true);

	if (!to)
		return false;
	memcpy(to, buf, bytes);
	return true;
}

bool gmem_load(const struct gmem *mem, uint64_t gpa, const void *buf, size_t bytes)
{
	uint8_t *to = gmem_at(mem, gpa, bytes, false);

	if (!to)
		return false;
	memcpy(to, buf, bytes);
	return true;
}

#define CMPXCHG(type)									\
	({										\
		type expected = (type)*old;						\
											\
		__atomic_compare_exchange_n((type *)at, &expected, (type)new, false,	\
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);	\
		*old = expected;							\
	})

static bool cmpxchg(void *at, unsigned int bytes, uint64_t *old, uint64_t new)
{
	if (!at)
		return false;
	switch (bytes) {
	case 1:
		CMPXCHG(uint8_t);
		return true;
	case 2:
		CMPXCHG(uint16_t);
		return true;
	case 4:
		CMPXCHG(uint32_t);
		return true;
	case 8:
		CMPXCHG(uint64_t);
		return true;
	}
	return false;
}

bool gmem_cmpxchg(const struct gmem *mem, uint64_t gpa, unsigned int bytes, uint64_t *old, uint64_t new)
{
	return cmpxchg(gpa & (bytes - 1) ? NULL : gmem_at(mem, gpa, bytes, true), bytes, old, new);
}

/* Aligned, so that it is in one page. */
bool gmem_cmpxchg_entry(const struct gmem *mem, uint64_t gpa, unsigned int bytes, uint64_t *old, uint64_t new)
{
	return cmpxchg(gpa & (bytes - 1) ? NULL : gmem_of_guest(mem, gpa, true), bytes, old, new);
}
