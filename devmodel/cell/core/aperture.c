// SPDX-License-Identifier: GPL-2.0
/* Apertures: where the hypervisor is to map parts of the channel, and accesses that come to the bus all the same. */
#include "core/aperture.h"

#include "core/string.h"

_Static_assert(KEEL_APERTURES <= GMEM_WINDOWS, "a window each");

void aperture_show(struct apertures *apertures, unsigned int number, const struct io_range *range, uint32_t offset,
		   uint32_t flags)
{
	struct aperture *aperture = &apertures->of[number];

	aperture->memory = apertures->channel + offset;
	aperture->page = (uint32_t)(offset / KEEL_PAGE_SIZE);
	aperture->flags = flags;
	aperture->range = range;
	apertures->bus->moved = true;
}

static bool is_memory(const struct gmem *mem, uint64_t first, uint64_t bytes)
{
	for (unsigned int i = 0; i < mem->count; i++)
		if (first < mem->range[i].first + mem->range[i].bytes && mem->range[i].first < first + bytes)
			return true;
	return false;
}

/* Whether all of it can be pages of the guest, which then never come to the bus. */
static bool can_be_mapped(const struct apertures *apertures, const struct io_range *range)
{
	uint64_t last = range->base + range->bytes - 1;

	if ((range->base | range->bytes) % KEEL_PAGE_SIZE != 0 || last >= apertures->limit || !bus_shows(apertures->bus, range))
		return false;
	if (KEEL_APIC_BASE <= last && range->base < KEEL_APIC_BASE + KEEL_PAGE_SIZE)
		return false;
	return !is_memory(apertures->mem, range->base, range->bytes) &&
	       !apertures->covered(apertures->owner, range->base, last);
}

static struct keel_aperture wanted(const struct apertures *apertures, const struct aperture *aperture)
{
	struct keel_aperture place = { 0 };

	if (!aperture->range || !can_be_mapped(apertures, aperture->range))
		return place;
	place.gpa = aperture->range->base;
	place.page = aperture->page;
	place.pages = (uint32_t)(aperture->range->bytes / KEEL_PAGE_SIZE);
	place.flags = aperture->flags;
	return place;
}

/* The guest's instructions and page tables are where it has them from this answer on. */
static void open_window(struct apertures *apertures, unsigned int number, const struct keel_aperture *place)
{
	apertures->mem->window[number] = (struct gmem_window){
		.first = place->gpa, .bytes = place->pages * KEEL_PAGE_SIZE, .memory = apertures->of[number].memory,
		.readonly = place->flags & KEEL_APERTURE_READONLY,
	};
}

void apertures_answer(struct apertures *apertures, struct keel_context *ctx)
{
	if (!apertures->bus->moved)
		return;
	apertures->bus->moved = false;
	for (unsigned int i = 0; i < KEEL_APERTURES; i++) {
		struct aperture *aperture = &apertures->of[i];
		struct keel_aperture place = wanted(apertures, aperture);

		if (!memcmp(&place, &aperture->told, sizeof(place)))
			continue;
		aperture->told = place;
		open_window(apertures, i, &place);
		ctx->aperture[i] = place;
		ctx->answer.apertures |= 1u << i;
	}
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct aperture *aperture = device;
	uint64_t value = 0;

	memcpy(&value, aperture->memory + offset, bytes);
	return value;
}

static bool is_readonly(const struct aperture *aperture)
{
	return aperture->flags & KEEL_APERTURE_READONLY;
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct aperture *aperture = device;

	if (!is_readonly(aperture))
		memcpy(aperture->memory + offset, &value, bytes);
}

static unsigned int io_read_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint8_t *data)
{
	const struct aperture *aperture = device;

	memcpy(data, aperture->memory + offset, (size_t)count * bytes);
	return count;
}

static unsigned int io_write_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count,
				  const uint8_t *data)
{
	struct aperture *aperture = device;

	if (!is_readonly(aperture))
		memcpy(aperture->memory + offset, data, (size_t)count * bytes);
	return count;
}

static unsigned int io_fill(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint64_t value)
{
	for (unsigned int i = 0; i < count; i++)
		io_write(device, offset + (uint64_t)i * bytes, bytes, value);
	return count;
}

const struct io_ops aperture_io = {
	.read = io_read, .write = io_write, .read_many = io_read_many, .write_many = io_write_many, .fill = io_fill,
	.widest = sizeof(uint64_t),
};
