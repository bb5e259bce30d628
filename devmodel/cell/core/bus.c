// SPDX-License-Identifier: GPL-2.0
/* The bus: which device answers at a port or an address. */
#include "core/bus.h"

#include <stddef.h>

#include "core/string.h"

#define NOBODY		0u	/* the number of a range that is not mapped, and of the one that answers for nobody */

static uint64_t nothing_read(void *device, uint64_t offset, unsigned int bytes)
{
	(void)device;
	(void)offset;
	(void)bytes;
	return UINT64_MAX;
}

static void nothing_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)bytes;
	(void)value;
}

static unsigned int nothing_read_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint8_t *data)
{
	(void)device;
	(void)offset;
	memset(data, UINT8_MAX, (size_t)count * bytes);
	return count;
}

static unsigned int nothing_write_many(void *device, uint64_t offset, unsigned int bytes, unsigned int count,
				       const uint8_t *data)
{
	(void)device;
	(void)offset;
	(void)bytes;
	(void)data;
	return count;
}

static unsigned int nothing_fill(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint64_t value)
{
	(void)device;
	(void)offset;
	(void)bytes;
	(void)value;
	return count;
}

/* Byte by byte: the next one may be somebody's. */
static const struct io_ops nothing_ops = {
	.read = nothing_read, .write = nothing_write,
	.read_many = nothing_read_many, .write_many = nothing_write_many, .fill = nothing_fill, .widest = 1,
};

static uint64_t mask_of(unsigned int bytes)
{
	static const uint64_t masks[] = {
		0, 0xff, 0xffff, 0xffffff, UINT32_MAX, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff, UINT64_MAX
	};

	return masks[bytes];
}

static bool covers(const struct io_range *upper, const struct io_range *lower)
{
	if (upper->rank != lower->rank)
		return upper->rank > lower->rank;
	return upper->since > lower->since;
}

static uint64_t last_of(const struct io_range *range)
{
	return range->base + range->bytes - 1;
}

/* The map of ports */

static void show_ports(struct bus *bus, const struct io_range *range)
{
	for (uint64_t port = range->base; port <= last_of(range); port++)
		if (covers(range, bus->port[bus->port_range[port]]))
			bus->port_range[port] = range->number;
}

static void hide_ports(struct bus *bus, const struct io_range *range)
{
	for (uint64_t port = range->base; port <= last_of(range); port++)
		if (bus->port_range[port] == range->number)
			bus->port_range[port] = NOBODY;
	for (unsigned int i = NOBODY + 1; i < BUS_RANGES; i++) {
		const struct io_range *other = bus->port[i];

		if (other && other->base <= last_of(range) && range->base <= last_of(other))
			show_ports(bus, other);
	}
}

/* The windows of memory */

static struct io_range *uppermost(const struct bus *bus, uint64_t gpa)
{
	struct io_range *found = NULL;

	for (unsigned int i = NOBODY + 1; i < BUS_RANGES; i++) {
		struct io_range *range = bus->memory[i];

		if (range && gpa - range->base < range->bytes && (!found || covers(range, found)))
			found = range;
	}
	return found;
}

/* The first address from 'from' on, at most 'most', at which a range begins; else most. */
static uint64_t next_base(const struct bus *bus, const struct io_range *below, uint64_t from, uint64_t most)
{
	for (unsigned int i = NOBODY + 1; i < BUS_RANGES; i++) {
		const struct io_range *range = bus->memory[i];

		if (range && range->base >= from && range->base < most && (!below || covers(range, below)))
			most = range->base;
	}
	return most;
}

static void find_windows(struct bus *bus)
{
	uint64_t at = next_base(bus, NULL, 0, UINT64_MAX);

	bus->windows = 0;
	bus->hit = 0;
	bus->moved = true;
	while (at != UINT64_MAX) {
		struct io_range *range = uppermost(bus, at);
		uint64_t end = range ? next_base(bus, range, at, last_of(range) + 1) : next_base(bus, NULL, at, UINT64_MAX);

		if (range)
			bus->window[bus->windows++] = (struct bus_window){ at, end - 1, range };
		at = end;
	}
}

/* Windows that the address is not behind; those before it are. */
static unsigned int window_from(const struct bus *bus, uint64_t gpa)
{
	unsigned int first = 0, end = bus->windows;

	while (first < end) {
		unsigned int middle = (first + end) / 2;

		if (bus->window[middle].last < gpa)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static bool is_in(const struct bus_window *window, uint64_t gpa)
{
	return gpa - window->first <= window->last - window->first;
}

/* The window that the address is in, or the first one behind it. */
static unsigned int window_at(struct bus *bus, uint64_t gpa)
{
	if (bus->hit == bus->windows || !is_in(&bus->window[bus->hit], gpa))
		bus->hit = window_from(bus, gpa);
	return bus->hit;
}

static bool is_local(const struct bus *bus, uint64_t gpa)
{
	return bus->local && gpa - bus->local->base < bus->local->bytes;
}

static struct io_range *range_at(struct bus *bus, uint64_t gpa)
{
	unsigned int number;

	if (is_local(bus, gpa))
		return bus->local;
	number = window_at(bus, gpa);
	return number < bus->windows && is_in(&bus->window[number], gpa) ? bus->window[number].range : &bus->nothing;
}

/* Bytes from gpa on, at most room, that bus->local is not in front of. */
static uint64_t before_local(const struct bus *bus, uint64_t gpa, uint64_t room)
{
	bool ahead = bus->local && bus->local->bytes > 0 && bus->local->base >= gpa;

	return ahead && bus->local->base - gpa < room ? bus->local->base - gpa : room;
}

/* The range at an address, and how many elements from there on are its own, at most *count. */
static struct io_range *run_at(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int *count)
{
	struct io_range *range = range_at(bus, gpa);
	uint64_t room;

	if (range == bus->local)
		room = last_of(range) - gpa + 1;
	else if (range != &bus->nothing)
		room = before_local(bus, gpa, bus->window[bus->hit].last - gpa + 1);
	else
		room = before_local(bus, gpa, (bus->hit < bus->windows ? bus->window[bus->hit].first : UINT64_MAX) - gpa);
	if (*count > room / bytes)
		*count = (unsigned int)(room / bytes);
	return range;
}

/* Both */

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
	bus->nothing = (struct io_range){ .bytes = UINT64_MAX, .ops = &nothing_ops };
	bus->port[NOBODY] = &bus->nothing;
}

static bool is_good(enum bus_space space, const struct io_range *range)
{
	uint64_t most = space == BUS_PORT_SPACE ? BUS_PORTS : UINT64_MAX;

	return range->bytes > 0 && range->bytes <= most && range->base <= most - range->bytes;
}

static unsigned int free_number(const struct bus *bus, enum bus_space space)
{
	for (unsigned int i = NOBODY + 1; i < BUS_RANGES; i++)
		if (space == BUS_PORT_SPACE ? !bus->port[i] : !bus->memory[i])
			return i;
	return NOBODY;
}

bool bus_map(struct bus *bus, enum bus_space space, struct io_range *range)
{
	unsigned int number = free_number(bus, space);

	if (range->number != NOBODY || number == NOBODY || !is_good(space, range))
		return false;
	range->number = (uint8_t)number;
	range->since = ++bus->maps;
	if (space == BUS_PORT_SPACE) {
		bus->port[number] = range;
		show_ports(bus, range);
	} else {
		bus->memory[number] = range;
		find_windows(bus);
	}
	return true;
}

void bus_unmap(struct bus *bus, enum bus_space space, struct io_range *range)
{
	if (range->number == NOBODY)
		return;
	if (space == BUS_PORT_SPACE) {
		bus->port[range->number] = NULL;
		hide_ports(bus, range);
	} else {
		bus->memory[range->number] = NULL;
		find_windows(bus);
	}
	range->number = NOBODY;
	range->since = 0;
}

bool bus_shows(const struct bus *bus, const struct io_range *range)
{
	unsigned int number = window_from(bus, range->base);
	const struct bus_window *window = &bus->window[number];

	return number < bus->windows && window->range == range && window->first == range->base &&
	       window->last == last_of(range);
}

static bool fits(const struct io_range *range, uint64_t offset, unsigned int bytes)
{
	return bytes <= range->ops->widest && offset + bytes <= range->bytes;
}

/* Ports */

/* Rare, and not to cost those that are not. */
static __attribute__((noinline)) uint32_t port_read_bytes(struct bus *bus, uint16_t port, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes; i++)
		value |= bus_port_read(bus, (uint16_t)(port + i), 1) << (8 * i);
	return value;
}

uint32_t bus_port_read(struct bus *bus, uint16_t port, unsigned int bytes)
{
	struct io_range *range = bus->port[bus->port_range[port]];
	uint64_t offset = port - range->base;

	if (bytes > 1 && !fits(range, offset, bytes))
		return port_read_bytes(bus, port, bytes);
	range->accesses++;
	bus->timed |= range->ops->timed_reads;
	return (uint32_t)(range->ops->read(range->device, offset, bytes) & mask_of(bytes));
}

static __attribute__((noinline)) void port_write_bytes(struct bus *bus, uint16_t port, unsigned int bytes, uint32_t value)
{
	for (unsigned int i = 0; i < bytes; i++)
		bus_port_write(bus, (uint16_t)(port + i), 1, value >> (8 * i));
}

void bus_port_write(struct bus *bus, uint16_t port, unsigned int bytes, uint32_t value)
{
	struct io_range *range = bus->port[bus->port_range[port]];
	uint64_t offset = port - range->base;

	if (bytes > 1 && !fits(range, offset, bytes)) {
		port_write_bytes(bus, port, bytes, value);
		return;
	}
	range->accesses++;
	bus->timed |= range->ops->timed;
	range->ops->write(range->device, offset, bytes, value & mask_of(bytes));
}

/* A write may unmap the range, so that it is looked for again after each call. */
static unsigned int port_read_some(struct bus *bus, uint16_t port, unsigned int bytes, unsigned int count, uint8_t *data)
{
	struct io_range *range = bus->port[bus->port_range[port]];
	uint64_t offset = port - range->base;
	unsigned int done;

	if (!range->ops->read_many || !fits(range, offset, bytes))
		return 0;
	bus->timed |= range->ops->timed_reads;
	done = range->ops->read_many(range->device, offset, bytes, count, data);
	range->accesses += done > 0;
	return done;
}

void bus_port_read_many(struct bus *bus, uint16_t port, unsigned int bytes, unsigned int count, uint8_t *data)
{
	while (count > 0) {
		unsigned int done = port_read_some(bus, port, bytes, count, data);

		if (done == 0) {
			uint32_t value = bus_port_read(bus, port, bytes);

			memcpy(data, &value, bytes);
			done = 1;
		}
		data += (size_t)done * bytes;
		count -= done;
	}
}

static unsigned int port_write_some(struct bus *bus, uint16_t port, unsigned int bytes, unsigned int count,
				    const uint8_t *data)
{
	struct io_range *range = bus->port[bus->port_range[port]];
	uint64_t offset = port - range->base;
	unsigned int done;

	if (!range->ops->write_many || !fits(range, offset, bytes))
		return 0;
	bus->timed |= range->ops->timed;
	done = range->ops->write_many(range->device, offset, bytes, count, data);
	range->accesses += done > 0;
	return done;
}

void bus_port_write_many(struct bus *bus, uint16_t port, unsigned int bytes, unsigned int count, const uint8_t *data)
{
	while (count > 0) {
		unsigned int done = port_write_some(bus, port, bytes, count, data);

		if (done == 0) {
			uint32_t value = 0;

			memcpy(&value, data, bytes);
			bus_port_write(bus, port, bytes, value);
			done = 1;
		}
		data += (size_t)done * bytes;
		count -= done;
	}
}

/* Memory */

/* The largest part at an offset that the range takes, of an access that it does not take as a whole. */
static unsigned int part_of(const struct io_range *range, uint64_t offset, unsigned int bytes)
{
	unsigned int part = range->ops->widest;

	while (part > 1 && (part > bytes || offset % part != 0 || offset + part > range->bytes))
		part /= 2;
	return part;
}

static __attribute__((noinline)) uint64_t read_parts(struct bus *bus, uint64_t gpa, unsigned int bytes)
{
	uint64_t value = 0;
	unsigned int part;

	for (unsigned int done = 0; done < bytes; done += part) {
		struct io_range *range = range_at(bus, gpa + done);
		uint64_t offset = gpa + done - range->base;

		part = bytes - done;
		if (!fits(range, offset, part))
			part = part_of(range, offset, part);
		range->accesses++;
		bus->timed |= range->ops->timed_reads;
		value |= (range->ops->read(range->device, offset, part) & mask_of(part)) << (8 * done);
	}
	return value;
}

uint64_t bus_read(struct bus *bus, uint64_t gpa, unsigned int bytes)
{
	struct io_range *range = range_at(bus, gpa);
	uint64_t offset = gpa - range->base;

	if (!fits(range, offset, bytes))
		return read_parts(bus, gpa, bytes);
	range->accesses++;
	bus->timed |= range->ops->timed_reads;
	return range->ops->read(range->device, offset, bytes) & mask_of(bytes);
}

static __attribute__((noinline)) void write_parts(struct bus *bus, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	unsigned int part;

	for (unsigned int done = 0; done < bytes; done += part) {
		struct io_range *range = range_at(bus, gpa + done);
		uint64_t offset = gpa + done - range->base;

		part = bytes - done;
		if (!fits(range, offset, part))
			part = part_of(range, offset, part);
		range->accesses++;
		bus->timed |= range->ops->timed;
		range->ops->write(range->device, offset, part, value >> (8 * done) & mask_of(part));
	}
}

void bus_write(struct bus *bus, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	struct io_range *range = range_at(bus, gpa);
	uint64_t offset = gpa - range->base;

	if (!fits(range, offset, bytes)) {
		write_parts(bus, gpa, bytes, value);
		return;
	}
	range->accesses++;
	bus->timed |= range->ops->timed;
	range->ops->write(range->device, offset, bytes, value & mask_of(bytes));
}

/* Nobody has no registers that a wide access could be split over. */
static bool takes(const struct bus *bus, const struct io_range *range, unsigned int bytes)
{
	return range == &bus->nothing || bytes <= range->ops->widest;
}

void bus_read_many(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int count, uint8_t *data)
{
	while (count > 0) {
		unsigned int run = count, done = 0;
		struct io_range *range = run_at(bus, gpa, bytes, &run);

		if (run > 0 && range->ops->read_many && takes(bus, range, bytes)) {
			bus->timed |= range->ops->timed_reads;
			done = range->ops->read_many(range->device, gpa - range->base, bytes, run, data);
			range->accesses += done > 0;
		}
		if (done == 0) {
			uint64_t value = bus_read(bus, gpa, bytes);

			memcpy(data, &value, bytes);
			done = 1;
		}
		gpa += (uint64_t)done * bytes;
		data += (size_t)done * bytes;
		count -= done;
	}
}

void bus_write_many(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int count, const uint8_t *data)
{
	while (count > 0) {
		unsigned int run = count, done = 0;
		struct io_range *range = run_at(bus, gpa, bytes, &run);

		if (run > 0 && range->ops->write_many && takes(bus, range, bytes)) {
			bus->timed |= range->ops->timed;
			done = range->ops->write_many(range->device, gpa - range->base, bytes, run, data);
			range->accesses += done > 0;
		}
		if (done == 0) {
			uint64_t value = 0;

			memcpy(&value, data, bytes);
			bus_write(bus, gpa, bytes, value);
			done = 1;
		}
		gpa += (uint64_t)done * bytes;
		data += (size_t)done * bytes;
		count -= done;
	}
}

void bus_fill(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int count, uint64_t value)
{
	value &= mask_of(bytes);
	while (count > 0) {
		unsigned int run = count, done = 0;
		struct io_range *range = run_at(bus, gpa, bytes, &run);

		if (run > 0 && range->ops->fill && takes(bus, range, bytes)) {
			bus->timed |= range->ops->timed;
			done = range->ops->fill(range->device, gpa - range->base, bytes, run, value);
			range->accesses += done > 0;
		}
		if (done == 0) {
			bus_write(bus, gpa, bytes, value);
			done = 1;
		}
		gpa += (uint64_t)done * bytes;
		count -= done;
	}
}
