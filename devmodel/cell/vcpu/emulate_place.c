// SPDX-License-Identifier: GPL-2.0
/* Operands in memory: segments, translation, and what is there, memory or a device. */
#include <x86/registers.h>

#include "core/string.h"
#include "vcpu/emulate_internal.h"

#define SEGMENT_CODE	(1u << 3)
#define SEGMENT_DOWN	(1u << 2)	/* of data */
#define SEGMENT_WRITE	(1u << 1)	/* of data */
#define SEGMENT_READ	(1u << 1)	/* of code */
#define SEGMENT_PRESENT	(1u << 7)

#define LARGEST_OPERAND	8u

static bool segment_fault(struct emulator *e, unsigned int segment)
{
	*e->fault = (struct emulate_fault) {
		.vector = segment == KEEL_SEG_SS ? EXC_SS : EXC_GP, .has_error_code = true,
	};
	return false;
}

/* SDM vol. 3, 5.3 and 5.5. Real and virtual-8086 mode know limits only. */
static bool segment_allows(const struct emulator *e, const struct keel_segment_register *s, unsigned int access)
{
	if (!(e->ctx->sregs.cr0 & CR0_PE) || (e->regs.rflags & RFLAGS_VM))
		return true;
	if (!(s->attributes & SEGMENT_PRESENT))
		return false;
	if (s->attributes & SEGMENT_CODE)
		return !(access & WALK_WRITE) && (s->attributes & SEGMENT_READ);
	return !(access & WALK_WRITE) || (s->attributes & SEGMENT_WRITE);
}

static bool segment_holds(const struct keel_segment_register *s, uint64_t first, uint64_t last)
{
	bool down = (s->attributes & (SEGMENT_CODE | SEGMENT_DOWN)) == SEGMENT_DOWN;

	if (down)
		return first > s->limit && last <= (s->attributes & SEGMENT_BIG ? UINT32_MAX : UINT16_MAX);
	return last <= s->limit;
}

static bool is_canonical(const struct emulator *e, uint64_t linear)
{
	unsigned int unused = e->ctx->sregs.cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

static bool linearize(struct emulator *e, unsigned int segment, uint64_t offset, unsigned int bytes,
		      unsigned int access, uint64_t *linear)
{
	const struct keel_segment_register *s = &e->ctx->sregs.seg[segment];

	if (e->mode == DECODE_64) {
		*linear = offset + (segment == KEEL_SEG_FS || segment == KEEL_SEG_GS ? s->base : 0);
		if (!is_canonical(e, *linear) || !is_canonical(e, *linear + bytes - 1))
			return segment_fault(e, segment);
		return true;
	}
	if (!segment_allows(e, s, access) || !segment_holds(s, offset, offset + bytes - 1))
		return segment_fault(e, segment);
	*linear = (uint32_t)(s->base + offset);
	return true;
}

static bool translate(struct emulator *e, uint64_t linear, unsigned int access, uint64_t *gpa)
{
	struct translation *t = &e->last[access & WALK_WRITE ? 1 : 0];
	uint64_t offset = linear % WALK_PAGE_BYTES;

	if (!t->valid || t->linear != linear - offset) {
		t->valid = false;
		if (!walk_translate(e->ctx, e->mem, linear, access, gpa, e->fault))
			return false;
		*t = (struct translation) { true, linear - offset, *gpa - offset };
	}
	*gpa = t->gpa + offset;
	return true;
}

bool place_at(struct emulator *e, unsigned int segment, uint64_t offset, unsigned int bytes, unsigned int access,
	      struct place *place)
{
	uint64_t linear, next;
	unsigned int room;

	if (!linearize(e, segment, offset, bytes, access, &linear))
		return false;
	room = WALK_PAGE_BYTES - linear % WALK_PAGE_BYTES;
	place->bytes[0] = bytes < room ? bytes : room;
	place->bytes[1] = bytes - place->bytes[0];
	if (!translate(e, linear, access, &place->gpa[0]))
		return false;
	if (place->bytes[1] == 0)
		return true;
	next = linear + room;
	return translate(e, e->mode == DECODE_64 ? next : (uint32_t)next, access, &place->gpa[1]);
}

bool place_operand(struct emulator *e, unsigned int access, struct place *place)
{
	return place_at(e, e->insn.segment, effective_address(&e->insn, &e->regs, e->next_rip), e->insn.size, access, place);
}

/* The largest naturally aligned piece at gpa. */
static unsigned int piece_of(uint64_t gpa, unsigned int bytes, unsigned int unit)
{
	unsigned int piece = unit;

	while (piece > bytes || gpa % piece)
		piece /= 2;
	return piece;
}

static void read_part(const struct emulator *e, uint64_t gpa, uint8_t *buf, unsigned int bytes, unsigned int unit)
{
	if (gmem_read(e->mem, gpa, buf, bytes))
		return;
	while (bytes > 0) {
		unsigned int piece = piece_of(gpa, bytes, unit);
		uint64_t value = bus_read(e->bus, gpa, piece);

		memcpy(buf, &value, piece);
		gpa += piece;
		buf += piece;
		bytes -= piece;
	}
}

static void write_part(const struct emulator *e, uint64_t gpa, const uint8_t *buf, unsigned int bytes,
		       unsigned int unit)
{
	if (gmem_write(e->mem, gpa, buf, bytes))
		return;
	while (bytes > 0) {
		unsigned int piece = piece_of(gpa, bytes, unit);
		uint64_t value = 0;

		memcpy(&value, buf, piece);
		bus_write(e->bus, gpa, piece, value);
		gpa += piece;
		buf += piece;
		bytes -= piece;
	}
}

void place_read(const struct emulator *e, const struct place *place, uint8_t *buf, unsigned int unit)
{
	read_part(e, place->gpa[0], buf, place->bytes[0], unit);
	if (place->bytes[1] > 0)
		read_part(e, place->gpa[1], buf + place->bytes[0], place->bytes[1], unit);
}

void place_write(const struct emulator *e, const struct place *place, const uint8_t *buf, unsigned int unit)
{
	write_part(e, place->gpa[0], buf, place->bytes[0], unit);
	if (place->bytes[1] > 0)
		write_part(e, place->gpa[1], buf + place->bytes[0], place->bytes[1], unit);
}

uint64_t place_load(const struct emulator *e, const struct place *place)
{
	uint64_t value = 0;

	place_read(e, place, (uint8_t *)&value, LARGEST_OPERAND);
	return value;
}

void place_store(const struct emulator *e, const struct place *place, uint64_t value)
{
	place_write(e, place, (const uint8_t *)&value, LARGEST_OPERAND);
}

bool place_modify(const struct emulator *e, const struct place *place, uint64_t was, uint64_t value)
{
	bool atomic = e->insn.lock || e->insn.op == INSN_XCHG;
	uint64_t old = was;

	if (atomic && place->gpa[0] % e->insn.size == 0 &&
	    gmem_cmpxchg(e->mem, place->gpa[0], e->insn.size, &old, value))
		return old == was;
	place_store(e, place, value);
	return true;
}
