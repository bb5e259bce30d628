/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Local APICs of one machine and the bus between them: Intel SDM volume 3, chapter 11.
 *
 * One struct lapic for each vCPU, reached as xAPIC by its page of memory or as x2APIC by MSRs. The timer runs
 * at 1 GHz before its divider; the APIC ID is the vCPU's number and cannot be changed. ExtINT passes through LINT0
 * alone: the machine asks the interrupt controller itself when lapic_accepts_extint() allows it.
 * SMI and remote read do nothing: the machine has no SMM.
 *
 * The processor may work with a vCPU's APIC page between two of its entries (keel/cell.h). ISR, TMR, IRR, TPR and ICR are
 * kept there alone; of the other registers it has copies, for the guest to read.
 * What somebody else's entry does to a local APIC is posted, and taken up when its vCPU begins an entry of its own: so
 * lapic_init, lapic_publish, lapic_set_lint, lapic_deliver and lapic_deliver_msi reach every one, and what else changes
 * something, or looks at what is pending, the current one alone.
 */
#ifndef KEEL_CHIP_LAPIC_H
#define KEEL_CHIP_LAPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/abi.h>
#include <keel/cell.h>

#include "core/bus.h"
#include "core/gmem.h"
#include "core/state.h"

#define LAPIC_BASE_DEFAULT	KEEL_APIC_BASE
#define LAPIC_PAGE_BYTES	0x1000u

/* Destination modes, delivery modes and trigger modes, as ICR, redirection entries and MSI data encode them. */
enum {
	LAPIC_PHYSICAL = 0,
	LAPIC_LOGICAL = 1,
};
enum {
	LAPIC_EDGE = 0,
	LAPIC_LEVEL = 1,
};
enum lapic_delivery {
	LAPIC_FIXED,
	LAPIC_LOWEST,		/* to one of the destinations */
	LAPIC_SMI,
	LAPIC_REMOTE_READ,
	LAPIC_NMI,
	LAPIC_INIT,
	LAPIC_SIPI,
	LAPIC_EXTINT,		/* the vector comes from the 8259 pair */
};

/* Entries of the local vector table, by their place in lapic_state.lvt. */
enum lapic_lvt {
	LAPIC_LVT_TIMER,
	LAPIC_LVT_THERMAL,
	LAPIC_LVT_PERF,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_LVT_CMCI,
	LAPIC_LVTS,
};

#define LAPIC_VECTOR_WORDS	8
#define LAPIC_POSTED_VECTORS	0xffu		/* these are in posted_vectors */
#define LAPIC_POSTED_COPY	(1u << 8)	/* copies in the page are not right */
#define LAPIC_POSTED_RESET	(1u << 9)	/* the page is to be reset, before anything else */

struct lapic_register {
	uint32_t value;
	uint32_t high;			/* x2APIC mode reads it too: the upper half of ICR, of others 0 */
	uint32_t unused[2];
};

/* Anything may be found in it: the guest writes there. */
struct lapic_page {
	struct lapic_register reg[LAPIC_PAGE_BYTES / sizeof(struct lapic_register)];
};

struct lapic_state {
	uint64_t base;			/* IA32_APIC_BASE */
	uint64_t tsc_deadline;		/* IA32_TSC_DEADLINE; 0: not armed */
	uint64_t deadline;		/* ns of the next expiry, or TIME_NEVER */
	uint64_t pv_eoi;		/* KEEL_MSR_PV_EOI */
	uint32_t ldr;			/* registers, as in the xAPIC's page */
	uint32_t dfr;
	uint32_t svr;
	uint32_t esr;			/* as it is read */
	uint32_t errors;		/* gathered since the last write of ESR */
	uint32_t initial_count;
	uint32_t divide;
	uint32_t lvt[LAPIC_LVTS];
	uint32_t posted_vectors[LAPIC_VECTOR_WORDS];
	uint32_t posted_level[LAPIC_VECTOR_WORDS];	/* of these the level-triggered ones */
	union {
		struct {
			/* For the machine, which clears them as it acts. */
			uint8_t nmi_pending;
			uint8_t init_pending;	/* reset the vCPU, which starts unless wait_sipi is set */
			uint8_t sipi_pending;	/* start at sipi_vector << 12 */
			/* Kept by the APIC alone. */
			uint8_t wait_sipi;	/* the vCPU must not run */
			/* A bit for each register of IRR: it has vectors, or may have if the processor works with it. */
			uint16_t requesting;
			uint16_t posted;	/* one likewise, for posted_vectors; and LAPIC_POSTED_* */
		};
		uint64_t attention;		/* any of these */
	};
	uint8_t eoi_offered;		/* the guest may end the highest interrupt in service at pv_eoi */
	uint8_t cr8;			/* class last seen in CR8 */
	uint8_t lint;			/* levels of LINT0 and LINT1, one bit each */
	uint8_t sipi_vector;
};

#define LAPIC_ATTENTION_REQUESTING (0xffffull << 32)
_Static_assert(offsetof(struct lapic_state, requesting) == offsetof(struct lapic_state, attention) + 4, "its place there");

struct lapic {
	struct lapic_bus *bus;
	uint32_t index;			/* the vCPU's number, its place in bus->cpu and its bit in bus->kick */
	uint32_t id;			/* APIC ID, below 255 */
	bool bsp;			/* at power-up; from then on it is what IA32_APIC_BASE says */
	uint8_t address_bits;		/* physical address width that CPUID reports */
	uint8_t news;			/* for lapic_tell */
	uint64_t tsc_khz;		/* of the guest's TSC */
	const struct gmem *mem;		/* for pv_eoi */
	struct lapic_page *page;
	struct io_range range;		/* where the xAPIC's page is now; no bytes: nowhere */
	struct lapic_state s;
};

struct lapic_bus {
	struct lapic *cpu[KEEL_MAX_VCPUS];
	unsigned int count;
	const struct lapic *current;	/* whose entry it is; NULL: nobody's */
	const uint64_t *now;		/* wiring: for accesses by lapic.range */
	/* A level-triggered vector reached its end of interrupt: for the IO APICs. */
	void (*eoi)(void *owner, uint8_t vector);
	void *owner;
	uint64_t kick;			/* vCPUs with something new pending; the machine takes and clears it */
	bool moved;			/* a register page is elsewhere than before; likewise */
};

/*
 * Over struct lapic_state and struct lapic_page. After a load of both, with the local APIC as bus->current, lapic_publish makes
 * the page's copies, and all of it news for the processor. What has requests follows from IRR.
 */
extern const struct state_table lapic_state_table, lapic_page_table;
void lapic_publish(struct lapic *lapic);
/* NULL, or the name of a field of a state that this local APIC cannot have at this time. Its page can be anything. */
const char *lapic_invalid(const struct lapic *lapic, const struct lapic_state *s, uint64_t now);

/* Power-on. The wiring must be complete. */
void lapic_init(struct lapic *lapic);

/*
 * An entry of this vCPU begins, and what others have posted is taken up. With by_processor the processor works with the
 * page and TPR is right there; else CR8 is brought in as lapic_set_tpr does.
 */
void lapic_begin(struct lapic *lapic, uint32_t cr8, bool by_processor);
/*
 * lapic_begin would find nothing: neither has anybody posted something, nor is anything requested that the processor does not
 * deliver by itself, and CR8 is as it was. lapic_stays_quiet: nor does what was done since leave anything to deliver or tell.
 */
static inline bool lapic_is_quiet(const struct lapic *lapic, uint32_t cr8, bool by_processor)
{
	if (by_processor)
		return !(lapic->s.attention & ~LAPIC_ATTENTION_REQUESTING);
	return !lapic->s.attention && lapic->s.cr8 == cr8;
}
bool lapic_stays_quiet(const struct lapic *lapic, uint32_t cr8, bool by_processor);
/* The same of one that the processor does not work with, but for requests, which it has: lapic_pending says of them. */
bool lapic_only_requests(const struct lapic *lapic, uint32_t cr8);
/*
 * An entry ends. True: IRR, ISR, TMR or the mode are not as the processor left them, and it must be told what the page
 * says now, by KEEL_ANSWER_APIC. One that does not work with the page is told of the mode alone.
 */
bool lapic_tell(struct lapic *lapic, bool by_processor, uint32_t *apic);
/*
 * The same where the processor does not work with the page, and goes on to the guest: if nothing follows from the end of the
 * interrupt in service, the guest may tell it by KEEL_MSR_PV_EOI's word. lapic_begin takes the offer back, or lapic_withdraw_eoi,
 * if eoi_offered is set.
 */
void lapic_offer_eoi(struct lapic *lapic);
void lapic_withdraw_eoi(struct lapic *lapic);

/*
 * Address of the xAPIC page, or all ones when there is none (disabled or x2APIC). lapic.range is there, for the vCPU's own
 * accesses: of registers smaller reads get their part, smaller writes are ignored, and of larger accesses the lower half counts.
 */
uint64_t lapic_mmio_base(const struct lapic *lapic);
extern const struct io_ops lapic_io;

/* xAPIC registers: 32 bits at offsets that are multiples of 16; other offsets read 0 and ignore writes. */
uint32_t lapic_read(struct lapic *lapic, unsigned int offset, uint64_t now);
void lapic_write(struct lapic *lapic, unsigned int offset, uint32_t value, uint64_t now);

/* IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC range. False: #GP, and nothing has changed. */
bool lapic_read_msr(struct lapic *lapic, uint32_t msr, uint64_t *value, uint64_t now);
bool lapic_write_msr(struct lapic *lapic, uint32_t msr, uint64_t value, uint64_t guest_tsc, uint64_t now);
/*
 * The end of an interrupt by x2APIC, if nothing else follows from it: it is edge-triggered, nothing is requested, CR8 is as it
 * was. False: nothing was done, and the write goes the ordinary way.
 */
bool lapic_eoi_alone(struct lapic *lapic, uint64_t value, uint32_t cr8);
/*
 * A vector that the processor sends to itself by x2APIC, taken into service at once: it is above all that is in service, nothing
 * is requested, CR8 is as it was. False likewise.
 */
bool lapic_self_ipi_alone(struct lapic *lapic, uint64_t value, uint32_t cr8);
/* The processor has ended an interrupt in the page: what follows where that was level-triggered. */
void lapic_ended(struct lapic *lapic, uint8_t vector);
/* The guest's value of a register stands in the page at this offset. Not to be called when an INIT has reset the page. */
void lapic_written(struct lapic *lapic, unsigned int offset, uint64_t now);
void lapic_write_tsc_deadline(struct lapic *lapic, uint64_t deadline_tsc, uint64_t guest_tsc, uint64_t now);
/* The guest's TSC has been moved, and with it the time of a TSC deadline. */
void lapic_tsc_moved(struct lapic *lapic, uint64_t guest_tsc, uint64_t now);
/* KEEL_MSR_PV_EOI. False: #GP, and nothing has changed. */
bool lapic_write_pv_eoi(struct lapic *lapic, uint64_t value);

uint64_t lapic_deadline(const struct lapic *lapic);
void lapic_advance(struct lapic *lapic, uint64_t now);

/* LINT0 and LINT1 (pin 0, 1); sink is a struct lapic. LINT0 as ExtINT needs no call. */
void lapic_set_lint(void *sink, unsigned int pin, bool level);

/*
 * A message on the bus: 8-bit destinations of IO APIC and MSI, 32-bit ones of x2APIC. False: nobody took it. 'level'
 * counts for INIT with trigger LAPIC_LEVEL alone: its de-assertion does nothing. bus->kick collects who must look.
 */
bool lapic_deliver(struct lapic_bus *bus, uint32_t dest, unsigned int dest_mode, enum lapic_delivery delivery_mode,
		   uint8_t vector, bool level, unsigned int trigger);
/* The same by address and data of an MSI; false also if the address is not one. */
bool lapic_deliver_msi(struct lapic_bus *bus, uint64_t address, uint32_t data);

/* Highest vector that the processor may take now, or -1. */
int lapic_pending(const struct lapic *lapic);
/* Takes it into service. */
void lapic_acknowledge(struct lapic *lapic, uint8_t vector);
/* 1 to 15: priority class of the highest request, if a write of CR8 alone can let it through; else 0. */
unsigned int lapic_tpr_threshold(const struct lapic *lapic);
/*
 * Brings CR8 in, as tpr = CR8 << 4. Acts when CR8 has changed since the last call: a
 * guest that writes the register itself leaves CR8 as it is, and the register must win.
 */
void lapic_set_tpr(struct lapic *lapic, uint8_t tpr);
uint8_t lapic_tpr(const struct lapic *lapic);
/* The 8259's INTR gets through: LINT0 is unmasked ExtINT, or the APIC is switched off by IA32_APIC_BASE. */
bool lapic_accepts_extint(const struct lapic *lapic);

#endif
