/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One channel of a bus-master IDE controller ("Programming Interface for Bus Master IDE Controller", revision 1.0; PIIX3 data
 * sheet 290550, 2.7): eight registers, and the walk over the guest's table of physical regions.
 *
 * The table is the guest's and can be anything: regions that are not memory stop the engine with its error bit set,
 * a table without end runs until the transfer is satisfied. A region's bytes are copied, never pointed to.
 */
#ifndef KEEL_BMIDE_H
#define KEEL_BMIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/gmem.h"
#include "core/state.h"

#define BMIDE_REGISTERS		8u

struct bmide_state {
	uint32_t table;			/* descriptor table pointer register */
	uint32_t next;			/* address of the next descriptor */
	uint32_t address;		/* where the current region goes on */
	uint32_t left;			/* bytes of the current region */
	uint8_t last;			/* the current region is the table's last */
	uint8_t command;
	uint8_t status;
};

struct bmide {
	const struct gmem *mem;		/* wiring */
	bool master;			/* the function may reach memory (COMMAND.MASTER) */
	struct bmide_state s;
};

void bmide_init(struct bmide *bm);
uint8_t bmide_read(const struct bmide *bm, unsigned int offset);
/* True: this write started the engine. */
bool bmide_write(struct bmide *bm, unsigned int offset, uint8_t value);
/* The drive's interrupt line went up. */
void bmide_interrupt(struct bmide *bm);
/* The engine runs: it has been started, has neither met the table's end nor failed, and may reach memory. */
bool bmide_active(const struct bmide *bm);
/*
 * Moves up to 'bytes' bytes; *moved tells how many: fewer when the table ends or the engine does not run.
 * False: it met a region, or a descriptor, that is not memory, and has stopped.
 */
bool bmide_to_memory(struct bmide *bm, const uint8_t *data, uint32_t bytes, uint32_t *moved);
bool bmide_from_memory(struct bmide *bm, uint8_t *data, uint32_t bytes, uint32_t *moved);

extern const struct state_table bmide_state_table;
/* NULL, or the name of a field of a state that no engine can be in. */
const char *bmide_invalid(const struct bmide_state *s);

#endif
