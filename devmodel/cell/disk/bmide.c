// SPDX-License-Identifier: GPL-2.0
/* Bus-master IDE: registers and physical region descriptors. */
#include "disk/bmide.h"

#include <keel/macros.h>

#include "core/string.h"

#define BM_COMMAND		0u
#define BM_STATUS		2u
#define BM_TABLE		4u

#define BM_COMMAND_START	0x01u
#define BM_COMMAND_READ		0x08u
#define BM_STATUS_ACTIVE	0x01u
#define BM_STATUS_ERROR		0x02u
#define BM_STATUS_INTERRUPT	0x04u
#define BM_STATUS_CAPABLE	0x60u	/* drive 0 and drive 1: software's notes */
#define BM_TABLE_WRITABLE	0xfffffffcu

/* A physical region descriptor; both counts and addresses are of words. A count of 0 is 64 KiB. */
struct region {
	uint32_t address;
	uint32_t control;
};
#define REGION_ADDRESS		0xfffffffeu
#define REGION_COUNT		0x0000fffeu
#define REGION_LAST		0x80000000u
#define REGION_MOST		0x10000u

static const struct state_field bmide_fields[] = {
	STATE_FIELD(struct bmide_state, table),
	STATE_FIELD(struct bmide_state, next),
	STATE_FIELD(struct bmide_state, address),
	STATE_FIELD_MOST(struct bmide_state, left, REGION_MOST),
	STATE_FLAG(struct bmide_state, last),
	STATE_FIELD(struct bmide_state, command),
	STATE_FIELD(struct bmide_state, status),
};

const struct state_table bmide_state_table = {
	"bmide", 1, bmide_fields, ARRAY_SIZE(bmide_fields)
};

const char *bmide_invalid(const struct bmide_state *s)
{
	if (s->table & ~BM_TABLE_WRITABLE)
		return "table";
	if (s->next & ~BM_TABLE_WRITABLE)
		return "next";
	if (s->command & ~(BM_COMMAND_START | BM_COMMAND_READ))
		return "command";
	if (s->status & ~(BM_STATUS_ACTIVE | BM_STATUS_ERROR | BM_STATUS_INTERRUPT | BM_STATUS_CAPABLE))
		return "status";
	/* It stops with the last region, and when the guest stops it. */
	if (s->status & BM_STATUS_ACTIVE && (!(s->command & BM_COMMAND_START) || (s->last && !s->left)))
		return "status";
	return NULL;
}

void bmide_init(struct bmide *bm)
{
	memset(&bm->s, 0, sizeof(bm->s));
}

uint8_t bmide_read(const struct bmide *bm, unsigned int offset)
{
	switch (offset) {
	case BM_COMMAND:
		return bm->s.command;
	case BM_STATUS:
		return bm->s.status;
	case BM_TABLE ... BM_TABLE + 3:
		return (uint8_t)(bm->s.table >> (8 * (offset - BM_TABLE)));
	}
	return 0;
}

static bool write_command(struct bmide_state *s, uint8_t value)
{
	bool started = (value & BM_COMMAND_START) && !(s->command & BM_COMMAND_START);

	s->command = value & (BM_COMMAND_START | BM_COMMAND_READ);
	if (!(value & BM_COMMAND_START))
		s->status &= (uint8_t)~BM_STATUS_ACTIVE;
	if (!started)
		return false;
	s->next = s->table;
	s->left = 0;
	s->last = 0;
	s->status |= BM_STATUS_ACTIVE;
	return true;
}

bool bmide_write(struct bmide *bm, unsigned int offset, uint8_t value)
{
	struct bmide_state *s = &bm->s;
	unsigned int shift;

	switch (offset) {
	case BM_COMMAND:
		return write_command(s, value);
	case BM_STATUS:
		s->status &= (uint8_t)~(value & (BM_STATUS_ERROR | BM_STATUS_INTERRUPT));
		s->status = (uint8_t)((s->status & ~BM_STATUS_CAPABLE) | (value & BM_STATUS_CAPABLE));
		return false;
	case BM_TABLE ... BM_TABLE + 3:
		shift = 8 * (offset - BM_TABLE);
		s->table = ((s->table & ~(0xffu << shift)) | (uint32_t)value << shift) & BM_TABLE_WRITABLE;
		return false;
	}
	return false;
}

void bmide_interrupt(struct bmide *bm)
{
	bm->s.status |= BM_STATUS_INTERRUPT;
}

bool bmide_active(const struct bmide *bm)
{
	return bm->master && bm->s.status & BM_STATUS_ACTIVE;
}

static bool next_region(struct bmide *bm)
{
	struct bmide_state *s = &bm->s;
	struct region region;

	if (!gmem_read(bm->mem, s->next, &region, sizeof(region)))
		return false;
	s->next += sizeof(region);
	s->address = region.address & REGION_ADDRESS;
	s->left = region.control & REGION_COUNT ? region.control & REGION_COUNT : REGION_MOST;
	s->last = (region.control & REGION_LAST) != 0;
	return true;
}

/* Copies one piece within a region. The engine has 32 address lines: a region does not go on above 4 GiB. */
static bool copy(struct bmide *bm, uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	if (bytes - 1 > UINT32_MAX - bm->s.address)
		return false;
	if (from)
		return gmem_write(bm->mem, bm->s.address, from, bytes);
	return gmem_read(bm->mem, bm->s.address, to, bytes);
}

/* One of to and from is NULL: guest memory is the other side. */
static bool move(struct bmide *bm, uint8_t *to, const uint8_t *from, uint32_t bytes, uint32_t *moved)
{
	struct bmide_state *s = &bm->s;
	uint32_t n;

	for (*moved = 0; *moved < bytes && bmide_active(bm); *moved += n) {
		if (!s->left && !next_region(bm))
			goto failed;
		n = bytes - *moved < s->left ? bytes - *moved : s->left;
		if (!copy(bm, to ? to + *moved : NULL, from ? from + *moved : NULL, n))
			goto failed;
		s->address += n;
		s->left -= n;
		if (!s->left && s->last)
			s->status &= (uint8_t)~BM_STATUS_ACTIVE;
	}
	return true;
failed:
	s->status = (uint8_t)((s->status & ~BM_STATUS_ACTIVE) | BM_STATUS_ERROR);
	return false;
}

bool bmide_to_memory(struct bmide *bm, const uint8_t *data, uint32_t bytes, uint32_t *moved)
{
	return move(bm, NULL, data, bytes, moved);
}

bool bmide_from_memory(struct bmide *bm, uint8_t *data, uint32_t bytes, uint32_t *moved)
{
	return move(bm, data, NULL, bytes, moved);
}
