/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The bus between the vCPUs and the registers of devices: 65,536 I/O ports, and the memory addresses that are no memory.
 *
 * A device owns its ranges and says what is behind them; the bus only points to them while they are mapped, and
 * allocates nothing. Where ranges overlap, the one of the higher rank answers, of equal ones the one mapped last, and taking
 * it away shows what was below. An access belongs to the range that its first byte is in; one that is wider than that range
 * takes, or goes over its end, is split. What nobody answers reads as ones.
 */
#ifndef KEEL_BUS_H
#define KEEL_BUS_H

#include <stdbool.h>
#include <stdint.h>

#define BUS_PORTS		0x10000u
#define BUS_RANGES		128u		/* of ports, and as many of memory */

/* A range that the guest cannot move covers all that it can: those have ranks below. */
#define BUS_RANK_FIXED		0x8000u

struct io_ops {
	/*
	 * An access at an offset into the range: 1, 2 or 4 bytes at ports, 1, 2, 4 or 8 in memory, never more than 'widest' nor
	 * over the range's end. Of what is read the bus takes the low 'bytes' bytes; what is written has no others.
	 */
	uint64_t (*read)(void *device, uint64_t offset, unsigned int bytes);
	void (*write)(void *device, uint64_t offset, unsigned int bytes, uint64_t value);
	/*
	 * May be NULL. As many accesses in turn as 'count', or fewer: how many were done is returned, and 0 has no effect. At a
	 * port they are all at the one offset, in memory at rising ones. fill writes one value again and again, in memory alone.
	 * data may be guest memory: it is copied from or to, and not looked at.
	 */
	unsigned int (*read_many)(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint8_t *data);
	unsigned int (*write_many)(void *device, uint64_t offset, unsigned int bytes, unsigned int count, const uint8_t *data);
	unsigned int (*fill)(void *device, uint64_t offset, unsigned int bytes, unsigned int count, uint64_t value);
	uint8_t widest;			/* a power of two */
	bool timed;			/* a write can change the device's deadline, ... */
	bool timed_reads;		/* ... and a read can, too */
};

struct io_range {
	uint64_t base;			/* these two must stay as they are while the range is mapped */
	uint64_t bytes;
	const struct io_ops *ops;
	void *device;
	uint64_t accesses;		/* that got here over the bus, for people to look at: one that does many at once is one */
	uint16_t rank;
	/* The bus's own; zeros while the range is not mapped. */
	uint8_t number;
	uint64_t since;
};

enum bus_space {
	BUS_PORT_SPACE,
	BUS_MEMORY_SPACE,
};

/* Addresses of memory at which one range answers: as much of it as no other covers. */
struct bus_window {
	uint64_t first;
	uint64_t last;
	struct io_range *range;
};

struct bus {
	/*
	 * The processor's own range, which is in front of all others in memory: the page of the local APIC of the vCPU
	 * whose access it is. Not to be mapped; it may move, and has no bytes when it does not answer. NULL: none.
	 */
	struct io_range *local;
	bool timed;			/* a deadline may have changed; for the machine, which clears it */
	bool moved;			/* where memory answers may have changed; for core/aperture.c, which clears it */
	/* Private. */
	uint64_t maps;
	struct io_range nothing;	/* answers where nobody else does */
	struct io_range *port[BUS_RANGES];	/* [0]: that one */
	struct io_range *memory[BUS_RANGES];
	unsigned int windows;		/* of window[] in use */
	unsigned int hit;		/* where the last access was found */
	struct bus_window window[2 * BUS_RANGES];	/* rising, apart from each other */
	uint8_t port_range[BUS_PORTS];
};

void bus_init(struct bus *bus);
/* False, and nothing has changed: it is empty, goes over the end of its space, is mapped already, or there are too many. */
bool bus_map(struct bus *bus, enum bus_space space, struct io_range *range);
/* Nothing happens to a range that is not mapped. */
void bus_unmap(struct bus *bus, enum bus_space space, struct io_range *range);

/* A range of memory answers at all its addresses, as far as bus->local is not in front of it. */
bool bus_shows(const struct bus *bus, const struct io_range *range);

/* 1, 2 or 4 bytes. Behind the last port comes the first. */
uint32_t bus_port_read(struct bus *bus, uint16_t port, unsigned int bytes);
void bus_port_write(struct bus *bus, uint16_t port, unsigned int bytes, uint32_t value);
/* count accesses of so many bytes at one port. */
void bus_port_read_many(struct bus *bus, uint16_t port, unsigned int bytes, unsigned int count, uint8_t *data);
void bus_port_write_many(struct bus *bus, uint16_t port, unsigned int bytes, unsigned int count, const uint8_t *data);

/* 1, 2, 4 or 8 bytes of memory, naturally aligned. */
uint64_t bus_read(struct bus *bus, uint64_t gpa, unsigned int bytes);
void bus_write(struct bus *bus, uint64_t gpa, unsigned int bytes, uint64_t value);
/* count accesses of so many bytes from this address up. */
void bus_read_many(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int count, uint8_t *data);
void bus_write_many(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int count, const uint8_t *data);
void bus_fill(struct bus *bus, uint64_t gpa, unsigned int bytes, unsigned int count, uint64_t value);

#endif
