/* SPDX-License-Identifier: GPL-2.0 */
/* Local APIC. Section numbers are those of the Intel SDM, volume 3. */
#include "chip/lapic.h"

#include <keel/cell.h>

#include "core/time.h"

/* IA32_APIC_BASE (11.4.4, 11.12.1) */
#define BASE_BSP		(1ull << 8)
#define BASE_EXTD		(1ull << 10)
#define BASE_ENABLE		(1ull << 11)
#define BASE_MODE		(BASE_ENABLE | BASE_EXTD)
#define BASE_PAGE_SHIFT		12
#define ADDRESS_BITS_MAX	52

#define VERSION			0x14u
#define VERSION_LVTS_SHIFT	16

#define SVR_ENABLE		(1u << 8)
#define SVR_FOCUS		(1u << 9)
#define SVR_RESET		0xffu
#define VECTOR_MASK		0xffu
#define VECTOR_FIRST		16	/* lower ones are illegal in a message (11.5.2) */

#define LVT_MODE_SHIFT		8
#define LVT_MODE_MASK		(7u << LVT_MODE_SHIFT)
#define LVT_STATUS		(1u << 12)
#define LVT_POLARITY		(1u << 13)
#define LVT_REMOTE_IRR		(1u << 14)
#define LVT_LEVEL		(1u << 15)
#define LVT_MASKED		(1u << 16)
#define LVT_TIMER_MODE		(3u << 17)
#define TIMER_ONE_SHOT		(0u << 17)
#define TIMER_PERIODIC		(1u << 17)
#define TIMER_TSC_DEADLINE	(2u << 17)

#define ESR_SEND_ILLEGAL	(1u << 5)
#define ESR_RECEIVE_ILLEGAL	(1u << 6)
#define ESR_ILLEGAL_REGISTER	(1u << 7)

/* ICR (11.6.1) */
#define ICR_MODE_SHIFT		8
#define ICR_MODE_MASK		7u
#define ICR_LOGICAL		(1u << 11)
#define ICR_STATUS		(1u << 12)
#define ICR_ASSERT		(1u << 14)
#define ICR_LEVEL		(1u << 15)
#define ICR_SHORTHAND		(3u << 18)
#define ICR_SELF		(1u << 18)
#define ICR_ALL			(2u << 18)
#define ICR_OTHERS		(3u << 18)
#define ICR_LOW			(VECTOR_MASK | ICR_MODE_MASK << ICR_MODE_SHIFT | ICR_LOGICAL | ICR_ASSERT | ICR_LEVEL | \
				 ICR_SHORTHAND)
#define ICR_DEST_SHIFT		32
#define XAPIC_DEST_SHIFT	24
#define XAPIC_DEST		0xffu
#define BROADCAST		0xffffffffu

#define DFR_RESERVED		0x0fffffffu	/* ones */
#define DFR_MODEL_SHIFT		28
#define DFR_FLAT		0xfu
#define DFR_CLUSTER		0x0u
#define CLUSTER_SHIFT		4		/* of an 8-bit logical address */
#define CLUSTER_MEMBERS		0xfu
#define X2_CLUSTER_SHIFT	16
#define X2_CLUSTER_MEMBERS	0xffffu
#define X2_CLUSTER_ID_SHIFT	4

#define DIVIDE_LOW		0x3u
#define DIVIDE_HIGH		0x8u
#define CLASS_SHIFT		4
#define CLASS_MASK		0xf0u

/* MSI (11.11) */
#define MSI_ADDRESS_SHIFT	20
#define MSI_ADDRESS		0xfeeull
#define MSI_DEST_SHIFT		12
#define MSI_LOGICAL		(1u << 2)
#define MSI_ASSERT		(1u << 14)
#define MSI_LEVEL		(1u << 15)

/* A periodic timer asks to be advanced no more often than this, whatever its period. */
#define PERIOD_MIN		20000u
#define USEC_PER_SEC		1000000ull
/* A TSC deadline farther away never comes: 292 years. */
#define TSC_HORIZON_MS		(INT64_MAX / USEC_PER_SEC)

/* Registers by number: offset / 16 of the page, or MSR - 0x800 (table 11-6). */
#define REGISTER_SHIFT		4
#define REGISTER_ALIGN		0xfu
#define REGISTER_BITS		32
enum {
	REG_ID = 0x02, REG_VERSION, REG_TPR = 0x08, REG_APR, REG_PPR, REG_EOI, REG_RRD, REG_LDR, REG_DFR, REG_SVR,
	REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28, REG_LVT_CMCI = 0x2f, REG_ICR, REG_ICR_HIGH,
	REG_LVT_TIMER, REG_LVT_THERMAL, REG_LVT_PERF, REG_LVT_LINT0, REG_LVT_LINT1, REG_LVT_ERROR,
	REG_INITIAL_COUNT, REG_CURRENT_COUNT, REG_DIVIDE = 0x3e, REG_SELF_IPI, REG_COUNT,
};

#define XAPIC			(1u << 0)	/* exists in the page */
#define X2_READ			(1u << 1)	/* RDMSR works */
#define X2_WRITE		(1u << 2)	/* WRMSR works */
#define X2_BOTH			(X2_READ | X2_WRITE)

struct apic_register {
	uint8_t access;
	uint32_t writable;
	uint32_t ignored;	/* read-only bits that software may write back; all others are reserved */
};

static const struct apic_register registers[REG_COUNT] = {
	[REG_ID] = { XAPIC | X2_READ, 0, 0 },
	[REG_VERSION] = { XAPIC | X2_READ, 0, 0 },
	[REG_TPR] = { XAPIC | X2_BOTH, VECTOR_MASK, 0 },
	[REG_APR] = { XAPIC, 0, 0 },
	[REG_PPR] = { XAPIC | X2_READ, 0, 0 },
	[REG_EOI] = { XAPIC | X2_WRITE, 0, 0 },
	[REG_RRD] = { XAPIC, 0, 0 },
	[REG_LDR] = { XAPIC | X2_READ, XAPIC_DEST << XAPIC_DEST_SHIFT, 0 },
	[REG_DFR] = { XAPIC, ~DFR_RESERVED, DFR_RESERVED },
	[REG_SVR] = { XAPIC | X2_BOTH, VECTOR_MASK | SVR_ENABLE | SVR_FOCUS, 0 },
	[REG_ISR ... REG_ESR - 1] = { XAPIC | X2_READ, 0, 0 },
	[REG_ESR] = { XAPIC | X2_BOTH, 0, 0 },
	[REG_LVT_CMCI] = { XAPIC | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_MASKED, LVT_STATUS },
	[REG_ICR] = { XAPIC | X2_BOTH, ICR_LOW, ICR_STATUS },
	[REG_ICR_HIGH] = { XAPIC, XAPIC_DEST << XAPIC_DEST_SHIFT, 0 },
	[REG_LVT_TIMER] = { XAPIC | X2_BOTH, VECTOR_MASK | LVT_MASKED | LVT_TIMER_MODE, LVT_STATUS },
	[REG_LVT_THERMAL] = { XAPIC | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_MASKED, LVT_STATUS },
	[REG_LVT_PERF] = { XAPIC | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_MASKED, LVT_STATUS },
	[REG_LVT_LINT0 ... REG_LVT_LINT1] = {
		XAPIC | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
		LVT_STATUS | LVT_REMOTE_IRR
	},
	[REG_LVT_ERROR] = { XAPIC | X2_BOTH, VECTOR_MASK | LVT_MASKED, LVT_STATUS },
	[REG_INITIAL_COUNT] = { XAPIC | X2_BOTH, UINT32_MAX, 0 },
	[REG_CURRENT_COUNT] = { XAPIC | X2_READ, 0, 0 },
	[REG_DIVIDE] = { XAPIC | X2_BOTH, DIVIDE_LOW | DIVIDE_HIGH, 0 },
	[REG_SELF_IPI] = { X2_WRITE, VECTOR_MASK, 0 },
};

static const struct state_field fields[] = {
	STATE_FIELD(struct lapic_state, base),
	STATE_FIELD(struct lapic_state, icr),
	STATE_FIELD(struct lapic_state, tsc_deadline),
	STATE_FIELD(struct lapic_state, deadline),
	STATE_FIELD(struct lapic_state, ldr),
	STATE_FIELD(struct lapic_state, dfr),
	STATE_FIELD(struct lapic_state, svr),
	STATE_FIELD(struct lapic_state, esr),
	STATE_FIELD(struct lapic_state, errors),
	STATE_FIELD(struct lapic_state, initial_count),
	STATE_FIELD(struct lapic_state, divide),
	STATE_ARRAY(struct lapic_state, lvt),
	STATE_ARRAY(struct lapic_state, isr),
	STATE_ARRAY(struct lapic_state, tmr),
	STATE_ARRAY(struct lapic_state, irr),
	STATE_FIELD(struct lapic_state, tpr),
	STATE_FIELD(struct lapic_state, cr8),
	STATE_FIELD(struct lapic_state, lint),
	STATE_FIELD(struct lapic_state, nmi_pending),
	STATE_FIELD(struct lapic_state, init_pending),
	STATE_FIELD(struct lapic_state, sipi_pending),
	STATE_FIELD(struct lapic_state, sipi_vector),
	STATE_FIELD(struct lapic_state, wait_sipi),
};

const struct state_table lapic_state_table = {
	.name = "lapic",
	.version = 1,
	.fields = fields,
	.count = sizeof(fields) / sizeof(fields[0]),
};

static bool enabled(const struct lapic *lapic)
{
	return lapic->s.base & BASE_ENABLE;
}

static bool x2apic(const struct lapic *lapic)
{
	return (lapic->s.base & BASE_MODE) == BASE_MODE;
}

static void kick(struct lapic *lapic)
{
	lapic->bus->kick |= 1ull << lapic->id;
}

static void vector_set(uint32_t *words, uint8_t vector)
{
	words[vector / 32] |= 1u << vector % 32;
}

static void vector_clear(uint32_t *words, uint8_t vector)
{
	words[vector / 32] &= ~(1u << vector % 32);
}

static bool vector_test(const uint32_t *words, uint8_t vector)
{
	return words[vector / 32] >> vector % 32 & 1;
}

static int vector_highest(const uint32_t *words)
{
	for (int word = LAPIC_VECTOR_WORDS - 1; word >= 0; word--) {
		if (words[word])
			return word * 32 + 31 - __builtin_clz(words[word]);
	}
	return -1;
}

static unsigned int class_of(int vector)
{
	return vector < 0 ? 0 : (unsigned int)vector >> CLASS_SHIFT;
}

/* 11.8.3.1 */
static uint8_t processor_priority(const struct lapic *lapic)
{
	int in_service = vector_highest(lapic->s.isr);

	if (class_of(lapic->s.tpr) >= class_of(in_service))
		return lapic->s.tpr;
	return (unsigned int)in_service & CLASS_MASK;
}

/* 11.4.7.1: also the state after INIT (11.4.7.3), which leaves IA32_APIC_BASE as it was. */
static void reset_registers(struct lapic *lapic)
{
	struct lapic_state *s = &lapic->s;

	*s = (struct lapic_state){
		.base = s->base,
		.cr8 = s->cr8,
		.lint = s->lint,
		.nmi_pending = s->nmi_pending,
		.init_pending = s->init_pending,
		.sipi_pending = s->sipi_pending,
		.sipi_vector = s->sipi_vector,
		.wait_sipi = s->wait_sipi,
		.deadline = TIME_NEVER,
		.dfr = UINT32_MAX,
		.svr = SVR_RESET,
	};
	for (unsigned int i = 0; i < LAPIC_LVTS; i++)
		s->lvt[i] = LVT_MASKED;
}

void lapic_init(struct lapic *lapic)
{
	lapic->s = (struct lapic_state){
		.base = LAPIC_BASE_DEFAULT | BASE_ENABLE | (lapic->bsp ? BASE_BSP : 0),
		.wait_sipi = !lapic->bsp,
	};
	reset_registers(lapic);
}

/* True when the vector is waiting, even if it was before: requests of one vector merge (11.8.4). */
static bool request_vector(struct lapic *lapic, uint8_t vector, unsigned int trigger)
{
	struct lapic_state *s = &lapic->s;

	if (!vector_test(s->irr, vector)) {
		vector_set(s->irr, vector);
		kick(lapic);
	}
	if (trigger == LAPIC_LEVEL)
		vector_set(s->tmr, vector);
	else
		vector_clear(s->tmr, vector);
	return true;
}

/*
 * 11.5.3. A write of ESR arms the error interrupt again. An illegal vector in the error entry itself raises nothing:
 * it would report itself for ever.
 */
static void raise_error(struct lapic *lapic, uint32_t error)
{
	struct lapic_state *s = &lapic->s;
	uint32_t lvt = s->lvt[LAPIC_LVT_ERROR];
	bool armed = !s->errors;

	s->errors |= error;
	if (armed && !(lvt & LVT_MASKED) && (lvt & VECTOR_MASK) >= VECTOR_FIRST)
		request_vector(lapic, lvt & VECTOR_MASK, LAPIC_EDGE);
}

static bool accept_vector(struct lapic *lapic, uint8_t vector, unsigned int trigger)
{
	if (!(lapic->s.svr & SVR_ENABLE))
		return false;
	if (vector < VECTOR_FIRST) {
		raise_error(lapic, ESR_RECEIVE_ILLEGAL);
		return false;
	}
	return request_vector(lapic, vector, trigger);
}

static bool accept_nmi(struct lapic *lapic)
{
	/* A processor that waits for its SIPI blocks NMIs. */
	if (lapic->s.wait_sipi)
		return false;
	if (!lapic->s.nmi_pending) {
		lapic->s.nmi_pending = 1;
		kick(lapic);
	}
	return true;
}

static bool accept_init(struct lapic *lapic)
{
	struct lapic_state *s = &lapic->s;

	reset_registers(lapic);
	s->nmi_pending = 0;
	s->sipi_pending = 0;
	s->init_pending = 1;
	s->wait_sipi = !(s->base & BASE_BSP);
	kick(lapic);
	return true;
}

static bool accept_sipi(struct lapic *lapic, uint8_t vector)
{
	struct lapic_state *s = &lapic->s;

	if (!s->wait_sipi)
		return false;
	s->wait_sipi = 0;
	s->sipi_pending = 1;
	s->sipi_vector = vector;
	kick(lapic);
	return true;
}

static bool accept(struct lapic *lapic, enum lapic_delivery mode, uint8_t vector, unsigned int trigger)
{
	switch (mode) {
	case LAPIC_FIXED:
	case LAPIC_LOWEST:
		return accept_vector(lapic, vector, trigger);
	case LAPIC_NMI:
		return accept_nmi(lapic);
	case LAPIC_INIT:
		return accept_init(lapic);
	case LAPIC_SIPI:
		return accept_sipi(lapic, vector);
	case LAPIC_SMI:
	case LAPIC_REMOTE_READ:
	case LAPIC_EXTINT:
		return false;
	}
	return false;
}

/* 11.12.10.2: fixed by the ID. */
static uint32_t logical_id(const struct lapic *lapic)
{
	if (x2apic(lapic))
		return lapic->id >> X2_CLUSTER_ID_SHIFT << X2_CLUSTER_SHIFT |
		       1u << (lapic->id & ((1u << X2_CLUSTER_ID_SHIFT) - 1));
	return lapic->s.ldr;
}

/* 11.6.2.2 */
static bool matches_logical(const struct lapic *lapic, uint32_t dest)
{
	uint32_t own = logical_id(lapic);

	if (dest == BROADCAST)
		return true;
	if (x2apic(lapic))
		return dest >> X2_CLUSTER_SHIFT == own >> X2_CLUSTER_SHIFT && dest & own & X2_CLUSTER_MEMBERS;
	if (dest > XAPIC_DEST)
		return false;
	if (dest == XAPIC_DEST)
		return true;
	own >>= XAPIC_DEST_SHIFT;
	switch (lapic->s.dfr >> DFR_MODEL_SHIFT) {
	case DFR_FLAT:
		return dest & own;
	case DFR_CLUSTER:
		return dest >> CLUSTER_SHIFT == own >> CLUSTER_SHIFT && dest & own & CLUSTER_MEMBERS;
	default:
		return false;
	}
}

static bool matches(const struct lapic *lapic, uint32_t dest, unsigned int dest_mode)
{
	if (!enabled(lapic))
		return false;
	if (dest_mode == LAPIC_LOGICAL)
		return matches_logical(lapic, dest);
	/* No APIC has the ID 255: it is the broadcast of all senders with 8-bit destinations. */
	return dest == lapic->id || dest == XAPIC_DEST || dest == BROADCAST;
}

struct message {
	uint32_t dest;
	unsigned int dest_mode;
	enum lapic_delivery mode;
	uint8_t vector;
	unsigned int trigger;
	const struct lapic *except;	/* the sender, where it leaves itself out */
};

static bool addressed(const struct lapic *lapic, const struct message *message)
{
	return lapic != message->except && matches(lapic, message->dest, message->dest_mode);
}

/*
 * 11.6.2.4: one processor of the lowest priority. Among equals the vector chooses, so that
 * different interrupts spread and each stays where its data is warm.
 */
static bool deliver_lowest(struct lapic_bus *bus, const struct message *message)
{
	struct lapic *equal[KEEL_MAX_VCPUS];
	unsigned int count = 0, best = 0;

	for (unsigned int i = 0; i < bus->count; i++) {
		struct lapic *lapic = bus->cpu[i];
		unsigned int class = class_of(processor_priority(lapic));

		if (!addressed(lapic, message) || !(lapic->s.svr & SVR_ENABLE) || (count && class > best))
			continue;
		if (class < best)
			count = 0;
		best = class;
		equal[count++] = lapic;
	}
	return count && accept(equal[message->vector % count], message->mode, message->vector, message->trigger);
}

static bool deliver(struct lapic_bus *bus, const struct message *message)
{
	bool taken = false;

	if (message->mode == LAPIC_LOWEST)
		return deliver_lowest(bus, message);
	for (unsigned int i = 0; i < bus->count; i++) {
		if (addressed(bus->cpu[i], message))
			taken |= accept(bus->cpu[i], message->mode, message->vector, message->trigger);
	}
	return taken;
}

bool lapic_deliver(struct lapic_bus *bus, uint32_t dest, unsigned int dest_mode, enum lapic_delivery delivery_mode,
		   uint8_t vector, bool level, unsigned int trigger)
{
	struct message message = {
		.dest = dest, .dest_mode = dest_mode, .mode = delivery_mode, .vector = vector, .trigger = trigger,
	};

	if (delivery_mode == LAPIC_INIT && trigger == LAPIC_LEVEL && !level)
		return true;
	return deliver(bus, &message);
}

bool lapic_deliver_msi(struct lapic_bus *bus, uint64_t address, uint32_t data)
{
	if (address >> MSI_ADDRESS_SHIFT != MSI_ADDRESS)
		return false;
	return lapic_deliver(bus, address >> MSI_DEST_SHIFT & XAPIC_DEST,
			     address & MSI_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
			     (enum lapic_delivery)(data >> ICR_MODE_SHIFT & ICR_MODE_MASK), data & VECTOR_MASK,
			     data & MSI_ASSERT, data & MSI_LEVEL ? LAPIC_LEVEL : LAPIC_EDGE);
}

/* Table 11-3. Interprocessor interrupts are edges but for the de-assertion of INIT, which does nothing any more. */
static void send_ipi(struct lapic *lapic, uint32_t dest)
{
	uint32_t low = lapic->s.icr;
	struct message message = {
		.dest = dest,
		.dest_mode = low & ICR_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL,
		.mode = (enum lapic_delivery)(low >> ICR_MODE_SHIFT & ICR_MODE_MASK),
		.vector = low & VECTOR_MASK,
		.trigger = LAPIC_EDGE,
	};
	uint32_t shorthand = low & ICR_SHORTHAND;

	if (message.mode == LAPIC_INIT && low & ICR_LEVEL && !(low & ICR_ASSERT))
		return;
	if ((message.mode == LAPIC_FIXED || message.mode == LAPIC_LOWEST) && message.vector < VECTOR_FIRST) {
		raise_error(lapic, ESR_SEND_ILLEGAL);
		return;
	}
	if (shorthand) {
		message.dest = BROADCAST;
		message.dest_mode = LAPIC_PHYSICAL;
	}
	if (shorthand == ICR_OTHERS)
		message.except = lapic;
	else if (shorthand && message.mode != LAPIC_FIXED)
		return;
	if (shorthand == ICR_SELF)
		accept(lapic, message.mode, message.vector, message.trigger);
	else
		deliver(lapic->bus, &message);
}

static void send_xapic(struct lapic *lapic)
{
	send_ipi(lapic, lapic->s.icr >> ICR_DEST_SHIFT >> XAPIC_DEST_SHIFT);
}

static void send_x2apic(struct lapic *lapic)
{
	uint32_t dest = lapic->s.icr >> ICR_DEST_SHIFT;

	/* 255 is a plain ID here, and nobody's. */
	if (dest == XAPIC_DEST && !(lapic->s.icr & (ICR_LOGICAL | ICR_SHORTHAND)))
		return;
	send_ipi(lapic, dest);
}

/* The divisor as a shift: codes 0 to 6 are 2 to 128, code 7 is 1 (11.5.4). */
static unsigned int divide_shift(const struct lapic *lapic)
{
	uint32_t code = (lapic->s.divide & DIVIDE_HIGH) >> 1 | (lapic->s.divide & DIVIDE_LOW);

	return (code + 1) & 7;
}

static uint32_t timer_mode(const struct lapic *lapic)
{
	return lapic->s.lvt[LAPIC_LVT_TIMER] & LVT_TIMER_MODE;
}

static uint64_t timer_period(const struct lapic *lapic)
{
	return (uint64_t)lapic->s.initial_count << divide_shift(lapic);
}

static uint32_t timer_count(const struct lapic *lapic, uint64_t now)
{
	const struct lapic_state *s = &lapic->s;
	uint64_t left, period = timer_period(lapic);

	if (timer_mode(lapic) == TIMER_TSC_DEADLINE || s->deadline == TIME_NEVER || s->deadline <= now || !period)
		return 0;
	left = s->deadline - now;
	/* Short periods are passed over several at a time. */
	if (left > period)
		left = (left - 1) % period + 1;
	return (left + (1ull << divide_shift(lapic)) - 1) >> divide_shift(lapic);
}

static void timer_disarm(struct lapic *lapic)
{
	lapic->s.deadline = TIME_NEVER;
	lapic->s.tsc_deadline = 0;
}

static void timer_start(struct lapic *lapic, uint32_t count, uint64_t now)
{
	if (timer_mode(lapic) == TIMER_TSC_DEADLINE)
		return;
	lapic->s.initial_count = count;
	lapic->s.deadline = count ? now + timer_period(lapic) : TIME_NEVER;
}

static void timer_set_divide(struct lapic *lapic, uint32_t divide, uint64_t now)
{
	uint64_t left = timer_count(lapic, now);

	lapic->s.divide = divide;
	if (left)
		lapic->s.deadline = now + (left << divide_shift(lapic));
}

/* 11.5.4.1: a change to or from TSC-deadline mode disarms. */
static void timer_set_lvt(struct lapic *lapic, uint32_t lvt)
{
	bool was_tsc = timer_mode(lapic) == TIMER_TSC_DEADLINE;

	lapic->s.lvt[LAPIC_LVT_TIMER] = lvt;
	if (was_tsc != (timer_mode(lapic) == TIMER_TSC_DEADLINE)) {
		timer_disarm(lapic);
		lapic->s.initial_count = 0;
	}
}

static void timer_next_period(struct lapic *lapic, uint64_t now)
{
	struct lapic_state *s = &lapic->s;
	uint64_t period = timer_period(lapic);
	uint64_t until = period < PERIOD_MIN ? now + PERIOD_MIN : now;

	if (!period) {
		s->deadline = TIME_NEVER;
		return;
	}
	s->deadline += ((until - s->deadline) / period + 1) * period;
}

/* However many periods have passed, the guest gets one interrupt: requests of one vector merge anyway. */
void lapic_advance(struct lapic *lapic, uint64_t now)
{
	struct lapic_state *s = &lapic->s;
	uint32_t lvt = s->lvt[LAPIC_LVT_TIMER];

	if (now < s->deadline || s->deadline == TIME_NEVER)
		return;
	if (timer_mode(lapic) == TIMER_PERIODIC)
		timer_next_period(lapic, now);
	else
		timer_disarm(lapic);
	if (!(lvt & LVT_MASKED))
		accept_vector(lapic, lvt & VECTOR_MASK, LAPIC_EDGE);
}

uint64_t lapic_deadline(const struct lapic *lapic)
{
	return lapic->s.lvt[LAPIC_LVT_TIMER] & LVT_MASKED ? TIME_NEVER : lapic->s.deadline;
}

void lapic_write_tsc_deadline(struct lapic *lapic, uint64_t deadline_tsc, uint64_t guest_tsc, uint64_t now)
{
	struct lapic_state *s = &lapic->s;
	uint64_t ticks = deadline_tsc > guest_tsc ? deadline_tsc - guest_tsc : 0;

	lapic_advance(lapic, now);
	if (timer_mode(lapic) != TIMER_TSC_DEADLINE)
		return;
	s->tsc_deadline = deadline_tsc;
	if (!deadline_tsc || !lapic->tsc_khz || ticks / lapic->tsc_khz >= TSC_HORIZON_MS)
		s->deadline = TIME_NEVER;
	else
		s->deadline = now + time_scale(ticks, USEC_PER_SEC, lapic->tsc_khz) + (ticks ? 1 : 0);
	lapic_advance(lapic, now);
}

static void lint_evaluate(struct lapic *lapic, unsigned int pin, bool rising)
{
	uint32_t *lvt = &lapic->s.lvt[LAPIC_LVT_LINT0 + pin];
	enum lapic_delivery mode = (enum lapic_delivery)((*lvt & LVT_MODE_MASK) >> LVT_MODE_SHIFT);
	/* 11.5.1: LINT1 is edge-triggered, and so is everything but fixed delivery. */
	bool level = pin == 0 && mode == LAPIC_FIXED && *lvt & LVT_LEVEL;

	if (*lvt & LVT_MASKED || !(lapic->s.lint >> pin & 1))
		return;
	if (!level) {
		if (rising && (mode == LAPIC_FIXED || mode == LAPIC_NMI || mode == LAPIC_INIT))
			accept(lapic, mode, *lvt & VECTOR_MASK, LAPIC_EDGE);
		return;
	}
	if (!(*lvt & LVT_REMOTE_IRR) && accept_vector(lapic, *lvt & VECTOR_MASK, LAPIC_LEVEL))
		*lvt |= LVT_REMOTE_IRR;
}

void lapic_set_lint(void *sink, unsigned int pin, bool level)
{
	struct lapic *lapic = sink;
	uint8_t bit = 1u << pin;
	bool rising = level && !(lapic->s.lint & bit);

	if (level)
		lapic->s.lint |= bit;
	else
		lapic->s.lint &= ~bit;
	if (enabled(lapic))
		lint_evaluate(lapic, pin, rising);
}

/* 11.8.5 */
static void end_of_interrupt(struct lapic *lapic)
{
	struct lapic_state *s = &lapic->s;
	int vector = vector_highest(s->isr);
	uint32_t *lint0 = &s->lvt[LAPIC_LVT_LINT0];

	if (vector < 0)
		return;
	vector_clear(s->isr, vector);
	if (!vector_test(s->tmr, vector))
		return;
	if (*lint0 & LVT_REMOTE_IRR && (*lint0 & VECTOR_MASK) == (unsigned int)vector) {
		*lint0 &= ~LVT_REMOTE_IRR;
		lint_evaluate(lapic, 0, false);
	}
	if (lapic->bus->eoi)
		lapic->bus->eoi(lapic->bus->owner, vector);
}

bool lapic_eoi_alone(struct lapic *lapic, uint64_t value, uint32_t cr8)
{
	struct lapic_state *s = &lapic->s;
	const uint32_t *irr = s->irr;
	int vector;

	if (value || cr8 != s->cr8 || (s->base & BASE_MODE) != BASE_MODE ||
	    s->nmi_pending | s->init_pending | s->sipi_pending | s->wait_sipi ||
	    irr[7] | irr[6] | irr[5] | irr[4] | irr[3] | irr[2] | irr[1] | irr[0])
		return false;
	vector = vector_highest(s->isr);
	if (vector < 0 || vector_test(s->tmr, vector))
		return false;
	vector_clear(s->isr, vector);
	return true;
}

/* 11.4.7.2: while the APIC is disabled by software, every entry is masked and stays so. */
static void write_svr(struct lapic *lapic, uint32_t value)
{
	lapic->s.svr = value;
	if (value & SVR_ENABLE)
		return;
	for (unsigned int i = 0; i < LAPIC_LVTS; i++)
		lapic->s.lvt[i] |= LVT_MASKED;
}

static enum lapic_lvt lvt_of(unsigned int reg)
{
	return reg == REG_LVT_CMCI ? LAPIC_LVT_CMCI : (enum lapic_lvt)(reg - REG_LVT_TIMER);
}

static void write_lvt(struct lapic *lapic, enum lapic_lvt which, uint32_t value)
{
	uint32_t *lvt = &lapic->s.lvt[which];

	if (!(lapic->s.svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (which == LAPIC_LVT_TIMER) {
		timer_set_lvt(lapic, value);
		return;
	}
	if (which == LAPIC_LVT_LINT0 && value & LVT_LEVEL)
		value |= *lvt & LVT_REMOTE_IRR;
	*lvt = value;
	if (which == LAPIC_LVT_LINT0 || which == LAPIC_LVT_LINT1)
		lint_evaluate(lapic, which - LAPIC_LVT_LINT0, false);
}

static uint32_t read_register(struct lapic *lapic, unsigned int reg, uint64_t now)
{
	const struct lapic_state *s = &lapic->s;

	switch (reg) {
	case REG_ID:
		return x2apic(lapic) ? lapic->id : lapic->id << XAPIC_DEST_SHIFT;
	case REG_VERSION:
		return VERSION | (LAPIC_LVTS - 1) << VERSION_LVTS_SHIFT;
	case REG_TPR:
		return s->tpr;
	case REG_APR:
	case REG_PPR:
		return processor_priority(lapic);
	case REG_LDR:
		return logical_id(lapic);
	case REG_DFR:
		return s->dfr;
	case REG_SVR:
		return s->svr;
	case REG_ISR ... REG_TMR - 1:
		return s->isr[reg - REG_ISR];
	case REG_TMR ... REG_IRR - 1:
		return s->tmr[reg - REG_TMR];
	case REG_IRR ... REG_ESR - 1:
		return s->irr[reg - REG_IRR];
	case REG_ESR:
		return s->esr;
	case REG_ICR:
		return s->icr;
	case REG_ICR_HIGH:
		return s->icr >> ICR_DEST_SHIFT;
	case REG_LVT_CMCI:
	case REG_LVT_TIMER ... REG_LVT_ERROR:
		return s->lvt[lvt_of(reg)];
	case REG_INITIAL_COUNT:
		return s->initial_count;
	case REG_CURRENT_COUNT:
		return timer_count(lapic, now);
	case REG_DIVIDE:
		return s->divide;
	default:
		return 0;	/* EOI and remote read */
	}
}

/* ICR and the self IPI are left to the callers, since they differ between the two modes. */
static void write_register(struct lapic *lapic, unsigned int reg, uint32_t value, uint64_t now)
{
	struct lapic_state *s = &lapic->s;

	switch (reg) {
	case REG_TPR:
		s->tpr = value;
		break;
	case REG_EOI:
		end_of_interrupt(lapic);
		break;
	case REG_LDR:
		s->ldr = value;
		break;
	case REG_DFR:
		s->dfr = value | DFR_RESERVED;
		break;
	case REG_SVR:
		write_svr(lapic, value);
		break;
	case REG_ESR:
		s->esr = s->errors;
		s->errors = 0;
		break;
	case REG_LVT_CMCI:
	case REG_LVT_TIMER ... REG_LVT_ERROR:
		write_lvt(lapic, lvt_of(reg), value);
		break;
	case REG_INITIAL_COUNT:
		timer_start(lapic, value, now);
		break;
	case REG_DIVIDE:
		timer_set_divide(lapic, value, now);
		break;
	default:
		break;		/* read-only */
	}
}

uint64_t lapic_mmio_base(const struct lapic *lapic)
{
	if ((lapic->s.base & BASE_MODE) != BASE_ENABLE)
		return UINT64_MAX;
	return lapic->s.base >> BASE_PAGE_SHIFT << BASE_PAGE_SHIFT;
}

/* Finds the register of an access to the page. False: there is none. */
static bool decode(struct lapic *lapic, unsigned int offset, unsigned int *reg)
{
	if ((lapic->s.base & BASE_MODE) != BASE_ENABLE || offset & REGISTER_ALIGN)
		return false;
	*reg = offset >> REGISTER_SHIFT;
	if (*reg < REG_COUNT && registers[*reg].access & XAPIC)
		return true;
	raise_error(lapic, ESR_ILLEGAL_REGISTER);
	return false;
}

uint32_t lapic_read(struct lapic *lapic, unsigned int offset, uint64_t now)
{
	unsigned int reg;

	lapic_advance(lapic, now);
	return decode(lapic, offset, &reg) ? read_register(lapic, reg, now) : 0;
}

void lapic_write(struct lapic *lapic, unsigned int offset, uint32_t value, uint64_t now)
{
	unsigned int reg;

	lapic_advance(lapic, now);
	if (!decode(lapic, offset, &reg))
		return;
	value &= registers[reg].writable;
	switch (reg) {
	case REG_ICR_HIGH:
		lapic->s.icr = (uint32_t)lapic->s.icr | (uint64_t)value << ICR_DEST_SHIFT;
		break;
	case REG_ICR:
		lapic->s.icr = lapic->s.icr >> ICR_DEST_SHIFT << ICR_DEST_SHIFT | value;
		send_xapic(lapic);
		break;
	default:
		write_register(lapic, reg, value, now);
		break;
	}
}

/* 11.12.5: disabled and xAPIC change freely; x2APIC is entered from xAPIC and left for disabled. */
static bool transition_allowed(uint64_t from, uint64_t to)
{
	if (to == BASE_EXTD)
		return false;
	if (to == BASE_MODE)
		return from != 0;
	return !(from == BASE_MODE && to == BASE_ENABLE);
}

static bool write_base(struct lapic *lapic, uint64_t value)
{
	struct lapic_state *s = &lapic->s;
	unsigned int bits = lapic->address_bits < ADDRESS_BITS_MAX ? lapic->address_bits : ADDRESS_BITS_MAX;
	uint64_t page = (1ull << bits) - (1ull << BASE_PAGE_SHIFT);

	if (value & ~(page | BASE_BSP | BASE_MODE) || !transition_allowed(s->base & BASE_MODE, value & BASE_MODE))
		return false;
	/* 11.4.3: an APIC that is switched off comes back in its power-up state. */
	if (s->base & BASE_ENABLE && !(value & BASE_ENABLE))
		reset_registers(lapic);
	/* The destination stands elsewhere in x2APIC mode. */
	if (!(s->base & BASE_EXTD) && value & BASE_EXTD)
		s->icr = (uint32_t)s->icr;
	s->base = value;
	return true;
}

static const struct apic_register *x2apic_register(const struct lapic *lapic, uint32_t msr, uint8_t access)
{
	uint32_t reg = msr - KEEL_MSR_X2APIC_FIRST;

	if (!x2apic(lapic) || reg >= REG_COUNT || !(registers[reg].access & access))
		return NULL;
	return &registers[reg];
}

bool lapic_read_msr(struct lapic *lapic, uint32_t msr, uint64_t *value, uint64_t now)
{
	lapic_advance(lapic, now);
	if (msr == KEEL_MSR_APIC_BASE) {
		*value = lapic->s.base;
		return true;
	}
	if (msr == KEEL_MSR_TSC_DEADLINE) {
		*value = lapic->s.tsc_deadline;
		return true;
	}
	if (!x2apic_register(lapic, msr, X2_READ))
		return false;
	if (msr - KEEL_MSR_X2APIC_FIRST == REG_ICR)
		*value = lapic->s.icr;
	else
		*value = read_register(lapic, msr - KEEL_MSR_X2APIC_FIRST, now);
	return true;
}

static bool write_x2apic(struct lapic *lapic, uint32_t msr, uint64_t value, uint64_t now)
{
	const struct apic_register *reg = x2apic_register(lapic, msr, X2_WRITE);
	unsigned int number = msr - KEEL_MSR_X2APIC_FIRST;

	if (!reg || (uint32_t)value & ~(reg->writable | reg->ignored))
		return false;
	if (number == REG_ICR) {
		lapic->s.icr = value & ~(uint64_t)ICR_STATUS;
		send_x2apic(lapic);
		return true;
	}
	if (value >> REGISTER_BITS)
		return false;
	value &= reg->writable;
	if (number != REG_SELF_IPI)
		write_register(lapic, number, value, now);
	else if (value < VECTOR_FIRST)
		raise_error(lapic, ESR_SEND_ILLEGAL);
	else
		accept_vector(lapic, value, LAPIC_EDGE);
	return true;
}

bool lapic_write_msr(struct lapic *lapic, uint32_t msr, uint64_t value, uint64_t guest_tsc, uint64_t now)
{
	lapic_advance(lapic, now);
	switch (msr) {
	case KEEL_MSR_APIC_BASE:
		return write_base(lapic, value);
	case KEEL_MSR_TSC_DEADLINE:
		lapic_write_tsc_deadline(lapic, value, guest_tsc, now);
		return true;
	default:
		return write_x2apic(lapic, msr, value, now);
	}
}

int lapic_pending(const struct lapic *lapic)
{
	int vector = enabled(lapic) ? vector_highest(lapic->s.irr) : -1;

	return vector >= 0 && class_of(vector) > class_of(processor_priority(lapic)) ? vector : -1;
}

uint8_t lapic_acknowledge(struct lapic *lapic)
{
	int vector = lapic_pending(lapic);

	if (vector < 0)
		return lapic->s.svr & VECTOR_MASK;
	vector_clear(lapic->s.irr, vector);
	vector_set(lapic->s.isr, vector);
	return vector;
}

/* What the register alone holds back needs no notice of CR8: VMX exits at once while CR8 is below its threshold. */
unsigned int lapic_tpr_threshold(const struct lapic *lapic)
{
	unsigned int requested = class_of(vector_highest(lapic->s.irr));
	unsigned int held = class_of(lapic->s.tpr);

	if (held > lapic->s.cr8)
		held = lapic->s.cr8;
	if (!enabled(lapic) || requested <= class_of(vector_highest(lapic->s.isr)) || requested > held)
		return 0;
	return requested;
}

void lapic_set_tpr(struct lapic *lapic, uint8_t tpr)
{
	uint8_t class = tpr >> CLASS_SHIFT;

	if (class == lapic->s.cr8)
		return;
	lapic->s.cr8 = class;
	lapic->s.tpr = tpr;
}

uint8_t lapic_tpr(const struct lapic *lapic)
{
	return lapic->s.tpr;
}

bool lapic_accepts_extint(const struct lapic *lapic)
{
	uint32_t lint0 = lapic->s.lvt[LAPIC_LVT_LINT0];

	if (!enabled(lapic))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 & LVT_MODE_MASK) >> LVT_MODE_SHIFT == LAPIC_EXTINT;
}
