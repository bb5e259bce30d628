/* SPDX-License-Identifier: GPL-2.0 */
/* What comes to local APICs: messages, pins, errors. Section numbers are those of the Intel SDM, volume 3. */
#include "vcpu/lapic_internal.h"

#define ICR_SELF		(1u << 18)
#define ICR_OTHERS		(3u << 18)
#define BROADCAST		0xffffffffu

#define DFR_MODEL_SHIFT		28
#define DFR_FLAT		0xfu
#define DFR_CLUSTER		0x0u
#define CLUSTER_SHIFT		4		/* of an 8-bit logical address */
#define CLUSTER_MEMBERS		0xfu
#define X2_CLUSTER_SHIFT	16
#define X2_CLUSTER_MEMBERS	0xffffu
#define X2_CLUSTER_ID_SHIFT	4

/* MSI (11.11) */
#define MSI_ADDRESS_SHIFT	20
#define MSI_ADDRESS		0xfeeull
#define MSI_DEST_SHIFT		12
#define MSI_LOGICAL		(1u << 2)
#define MSI_REDIRECT		(1u << 3)
#define MSI_ASSERT		(1u << 14)
#define MSI_LEVEL		(1u << 15)

static void kick(struct lapic *lapic)
{
	lapic->bus->kick |= 1ull << lapic->index;
}

static void request(struct lapic *lapic, uint8_t vector, unsigned int trigger)
{
	struct lapic_register *irr = &lapic->page->reg[REG_IRR + vector / VECTORS_EACH];
	struct lapic_register *tmr = &lapic->page->reg[REG_TMR + vector / VECTORS_EACH];
	uint32_t bit = 1u << vector % VECTORS_EACH;

	irr->value |= bit;
	lapic->s.requesting |= 1u << vector / VECTORS_EACH;
	lapic->news |= NEWS_STATE;
	if ((tmr->value & bit) == (trigger == LAPIC_LEVEL ? bit : 0))
		return;
	tmr->value ^= bit;
	lapic->news |= NEWS_TMR;
}

/* One that is posted already has had its kick. */
static void post(struct lapic *lapic, uint8_t vector, unsigned int trigger)
{
	struct lapic_state *s = &lapic->s;
	unsigned int word = vector / VECTORS_EACH;
	uint32_t bit = 1u << vector % VECTORS_EACH;

	if (!(s->posted_vectors[word] & bit)) {
		s->posted_vectors[word] |= bit;
		s->posted |= 1u << word;
		kick(lapic);
	}
	if (trigger == LAPIC_LEVEL)
		s->posted_level[word] |= bit;
	else
		s->posted_level[word] &= ~bit;
}

static void take_up_vectors(struct lapic *lapic, unsigned int word)
{
	struct lapic_state *s = &lapic->s;
	uint32_t vectors = s->posted_vectors[word], *tmr = &lapic->page->reg[REG_TMR + word].value;
	uint32_t level = (*tmr & ~vectors) | s->posted_level[word];

	lapic->page->reg[REG_IRR + word].value |= vectors;
	if (*tmr != level) {
		*tmr = level;
		lapic->news |= NEWS_TMR;
	}
	s->posted_vectors[word] = 0;
	s->posted_level[word] = 0;
}

void lapic_take_up(struct lapic *lapic)
{
	struct lapic_state *s = &lapic->s;
	unsigned int posted = s->posted;

	s->posted = 0;
	if (posted & LAPIC_POSTED_RESET)
		lapic_reset_page(lapic);
	if (posted & LAPIC_POSTED_COPY)
		lapic_publish_registers(lapic);
	s->requesting |= posted & LAPIC_POSTED_VECTORS;
	lapic->news |= NEWS_STATE;
	for (posted &= LAPIC_POSTED_VECTORS; posted; posted &= posted - 1)
		take_up_vectors(lapic, (unsigned int)__builtin_ctz(posted));
}

/* True when the vector is waiting, even if it was before: requests of one vector merge (11.8.4). */
static bool request_vector(struct lapic *lapic, uint8_t vector, unsigned int trigger)
{
	if (lapic == lapic->bus->current)
		request(lapic, vector, trigger);
	else
		post(lapic, vector, trigger);
	return true;
}

/*
 * 11.5.3. A write of ESR arms the error interrupt again. An illegal vector in the error entry itself raises nothing:
 * it would report itself for ever.
 */
void lapic_raise_error(struct lapic *lapic, uint32_t error)
{
	struct lapic_state *s = &lapic->s;
	uint32_t lvt = s->lvt[LAPIC_LVT_ERROR];
	bool armed = !s->errors;

	s->errors |= error;
	if (armed && !(lvt & LVT_MASKED) && (lvt & VECTOR_MASK) >= VECTOR_FIRST)
		request_vector(lapic, lvt & VECTOR_MASK, LAPIC_EDGE);
}

bool lapic_accept_vector(struct lapic *lapic, uint8_t vector, unsigned int trigger)
{
	if (!(lapic->s.svr & SVR_ENABLE))
		return false;
	if (vector < VECTOR_FIRST) {
		lapic_raise_error(lapic, ESR_RECEIVE_ILLEGAL);
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

	lapic_reset(lapic);
	s->pv_eoi = 0;
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
		return lapic_accept_vector(lapic, vector, trigger);
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
uint32_t lapic_logical_id(const struct lapic *lapic)
{
	if (lapic_x2apic(lapic))
		return lapic->id >> X2_CLUSTER_ID_SHIFT << X2_CLUSTER_SHIFT |
		       1u << (lapic->id & ((1u << X2_CLUSTER_ID_SHIFT) - 1));
	return lapic->s.ldr;
}

/* 11.6.2.2 */
static bool matches_logical(const struct lapic *lapic, uint32_t dest)
{
	uint32_t own = lapic_logical_id(lapic);

	if (dest == BROADCAST)
		return true;
	if (lapic_x2apic(lapic))
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
	if (!lapic_enabled(lapic))
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
		unsigned int class = lapic_class_of(lapic_processor_priority(lapic));

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

/* 11.11.1: with the redirection hint a logical destination gets it once, as if for the lowest priority. */
bool lapic_deliver_msi(struct lapic_bus *bus, uint64_t address, uint32_t data)
{
	unsigned int dest_mode = address & MSI_LOGICAL ? LAPIC_LOGICAL : LAPIC_PHYSICAL;
	enum lapic_delivery mode = (enum lapic_delivery)(data >> ICR_MODE_SHIFT & ICR_MODE_MASK);

	if (address >> MSI_ADDRESS_SHIFT != MSI_ADDRESS)
		return false;
	if (mode == LAPIC_FIXED && dest_mode == LAPIC_LOGICAL && (address & MSI_REDIRECT))
		mode = LAPIC_LOWEST;
	return lapic_deliver(bus, address >> MSI_DEST_SHIFT & XAPIC_DEST, dest_mode, mode, data & VECTOR_MASK,
			     data & MSI_ASSERT, data & MSI_LEVEL ? LAPIC_LEVEL : LAPIC_EDGE);
}

/* Table 11-3. Interprocessor interrupts are edges but for the de-assertion of INIT, which does nothing any more. */
void lapic_send_ipi(struct lapic *lapic, uint32_t low, uint32_t dest)
{
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
		lapic_raise_error(lapic, ESR_SEND_ILLEGAL);
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

void lapic_evaluate_lint(struct lapic *lapic, unsigned int pin, bool rising)
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
	if (!(*lvt & LVT_REMOTE_IRR) && lapic_accept_vector(lapic, *lvt & VECTOR_MASK, LAPIC_LEVEL)) {
		*lvt |= LVT_REMOTE_IRR;
		lapic_publish_register(lapic, REG_LVT_LINT0);
	}
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
	if (lapic_enabled(lapic))
		lapic_evaluate_lint(lapic, pin, rising);
}
