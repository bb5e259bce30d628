/* SPDX-License-Identifier: GPL-2.0 */
/* Local APIC. Section numbers are those of the Intel SDM, volume 3. */
#include "vcpu/lapic_internal.h"

#include <keel/cell.h>
#include <keel/macros.h>
#include <x86/msr.h>

#include "core/string.h"
#include "core/time.h"

#define BASE_PAGE_SHIFT		12
#define ADDRESS_BITS_MAX	52

#define VERSION			0x14u
#define VERSION_LVTS_SHIFT	16

#define SVR_FOCUS		(1u << 9)
#define SVR_RESET		0xffu

#define LVT_STATUS		(1u << 12)
#define LVT_POLARITY		(1u << 13)

#define ICR_LOW			(VECTOR_MASK | ICR_MODE_MASK << ICR_MODE_SHIFT | ICR_LOGICAL | ICR_ASSERT | ICR_LEVEL | \
				 ICR_SHORTHAND)

#define DFR_RESERVED		0x0fffffffu	/* ones */
#define CLASS_MASK		0xf0u
#define REGISTER_ALIGN		0xfu
#define REGISTER_BITS		32
#define POSTED_ALL		(LAPIC_POSTED_VECTORS | LAPIC_POSTED_COPY | LAPIC_POSTED_RESET)
#define LINTS			3u
#define REQUESTING_UNKNOWN	((1u << LAPIC_VECTOR_WORDS) - 1)

#define XAPIC			(1u << 0)	/* exists in the page */
#define X2_READ			(1u << 1)	/* RDMSR works */
#define X2_WRITE		(1u << 2)	/* WRMSR works */
#define X2_BOTH			(X2_READ | X2_WRITE)
#define PUBLISHED		(1u << 3)	/* held by the state; the page has a copy to be read by the guest */
#define XAPIC_COPY		(XAPIC | PUBLISHED)

struct apic_register {
	uint8_t access;
	uint32_t writable;
	uint32_t ignored;	/* read-only bits that software may write back; all others are reserved */
};

static const struct apic_register registers[REG_COUNT] = {
	[REG_ID] = { XAPIC_COPY | X2_READ, 0, 0 },
	[REG_VERSION] = { XAPIC_COPY | X2_READ, 0, 0 },
	[REG_TPR] = { XAPIC | X2_BOTH, VECTOR_MASK, 0 },
	[REG_APR] = { XAPIC, 0, 0 },
	[REG_PPR] = { XAPIC | X2_READ, 0, 0 },
	[REG_EOI] = { XAPIC | X2_WRITE, 0, 0 },
	[REG_RRD] = { XAPIC, 0, 0 },
	[REG_LDR] = { XAPIC_COPY | X2_READ, XAPIC_DEST << XAPIC_DEST_SHIFT, 0 },
	[REG_DFR] = { XAPIC_COPY, ~DFR_RESERVED, DFR_RESERVED },
	[REG_SVR] = { XAPIC_COPY | X2_BOTH, VECTOR_MASK | SVR_ENABLE | SVR_FOCUS, 0 },
	[REG_ISR ... REG_ESR - 1] = { XAPIC | X2_READ, 0, 0 },
	[REG_ESR] = { XAPIC_COPY | X2_BOTH, 0, 0 },
	[REG_LVT_CMCI] = { XAPIC_COPY | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_MASKED, LVT_STATUS },
	[REG_ICR] = { XAPIC | X2_BOTH, ICR_LOW, ICR_STATUS },
	[REG_ICR_HIGH] = { XAPIC, XAPIC_DEST << XAPIC_DEST_SHIFT, 0 },
	[REG_LVT_TIMER] = { XAPIC_COPY | X2_BOTH, VECTOR_MASK | LVT_MASKED | LVT_TIMER_MODE, LVT_STATUS },
	[REG_LVT_THERMAL] = { XAPIC_COPY | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_MASKED, LVT_STATUS },
	[REG_LVT_PERF] = { XAPIC_COPY | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_MASKED, LVT_STATUS },
	[REG_LVT_LINT0 ... REG_LVT_LINT1] = {
		XAPIC_COPY | X2_BOTH, VECTOR_MASK | LVT_MODE_MASK | LVT_POLARITY | LVT_LEVEL | LVT_MASKED,
		LVT_STATUS | LVT_REMOTE_IRR
	},
	[REG_LVT_ERROR] = { XAPIC_COPY | X2_BOTH, VECTOR_MASK | LVT_MASKED, LVT_STATUS },
	[REG_INITIAL_COUNT] = { XAPIC_COPY | X2_BOTH, UINT32_MAX, 0 },
	[REG_CURRENT_COUNT] = { XAPIC | X2_READ, 0, 0 },
	[REG_DIVIDE] = { XAPIC_COPY | X2_BOTH, DIVIDE_LOW | DIVIDE_HIGH, 0 },
	[REG_SELF_IPI] = { X2_WRITE, VECTOR_MASK, 0 },
};

static const struct state_field fields[] = {
	STATE_FIELD(struct lapic_state, base),
	STATE_FIELD(struct lapic_state, tsc_deadline),
	STATE_FIELD(struct lapic_state, deadline),
	STATE_FIELD(struct lapic_state, pv_eoi),
	STATE_FIELD(struct lapic_state, ldr),
	STATE_FIELD(struct lapic_state, dfr),
	STATE_FIELD(struct lapic_state, svr),
	STATE_FIELD(struct lapic_state, esr),
	STATE_FIELD(struct lapic_state, errors),
	STATE_FIELD(struct lapic_state, initial_count),
	STATE_FIELD_MOST(struct lapic_state, divide, DIVIDE_LOW | DIVIDE_HIGH),
	STATE_ARRAY(struct lapic_state, lvt),
	STATE_ARRAY(struct lapic_state, posted_vectors),
	STATE_ARRAY(struct lapic_state, posted_level),
	STATE_FLAG(struct lapic_state, nmi_pending),
	STATE_FLAG(struct lapic_state, init_pending),
	STATE_FLAG(struct lapic_state, sipi_pending),
	STATE_FLAG(struct lapic_state, wait_sipi),
	STATE_FIELD_MOST(struct lapic_state, posted, POSTED_ALL),
	STATE_FLAG(struct lapic_state, eoi_offered),
	STATE_FIELD_MOST(struct lapic_state, cr8, CLASS_MASK >> CLASS_SHIFT),
	STATE_FIELD_MOST(struct lapic_state, lint, LINTS),
	STATE_FIELD(struct lapic_state, sipi_vector),
};

const struct state_table lapic_state_table = {
	.name = "lapic",
	.version = 4,
	.fields = fields,
	.count = ARRAY_SIZE(fields),
};

#define PAGE_FIELD(number)	STATE_FIELD(struct lapic_page, reg[number].value)
#define PAGE_VECTORS(first) \
	PAGE_FIELD(first), PAGE_FIELD((first) + 1), PAGE_FIELD((first) + 2), PAGE_FIELD((first) + 3), \
	PAGE_FIELD((first) + 4), PAGE_FIELD((first) + 5), PAGE_FIELD((first) + 6), PAGE_FIELD((first) + 7)

static const struct state_field page_fields[] = {
	PAGE_FIELD(REG_TPR),
	PAGE_FIELD(REG_ICR),
	STATE_FIELD(struct lapic_page, reg[REG_ICR].high),
	PAGE_FIELD(REG_ICR_HIGH),
	PAGE_VECTORS(REG_ISR),
	PAGE_VECTORS(REG_TMR),
	PAGE_VECTORS(REG_IRR),
};

const struct state_table lapic_page_table = {
	.name = "lapic-page",
	.version = 1,
	.fields = page_fields,
	.count = ARRAY_SIZE(page_fields),
};

uint8_t lapic_tpr(const struct lapic *lapic)
{
	return lapic_page_read(lapic, REG_TPR) & VECTOR_MASK;
}

static void set_tpr(struct lapic *lapic, uint8_t tpr)
{
	lapic->page->reg[REG_TPR].value = tpr;
}

/* 11.8.3.1 */
uint8_t lapic_processor_priority(const struct lapic *lapic)
{
	int in_service = lapic_highest(lapic, REG_ISR);
	uint8_t tpr = lapic_tpr(lapic);

	if (lapic_class_of(tpr) >= lapic_class_of(in_service))
		return tpr;
	return (unsigned int)in_service & CLASS_MASK;
}

/* 11.4.7.1: also the state after INIT (11.4.7.3), which leaves IA32_APIC_BASE as it was. */
void lapic_reset(struct lapic *lapic)
{
	struct lapic_state *s = &lapic->s;

	*s = (struct lapic_state){
		.base = s->base,
		.pv_eoi = s->pv_eoi,
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
	if (lapic == lapic->bus->current)
		lapic_reset_page(lapic);
	else
		s->posted = LAPIC_POSTED_RESET;
}

void lapic_reset_page(struct lapic *lapic)
{
	memset(lapic->page->reg, 0, REG_COUNT * sizeof(lapic->page->reg[0]));
	lapic->s.requesting = 0;
	lapic_publish_registers(lapic);
	lapic->news |= NEWS_STATE | NEWS_TMR;
}

uint64_t lapic_mmio_base(const struct lapic *lapic)
{
	if ((lapic->s.base & BASE_MODE) != BASE_ENABLE)
		return UINT64_MAX;
	return lapic->s.base >> BASE_PAGE_SHIFT << BASE_PAGE_SHIFT;
}

static void place_page(struct lapic *lapic)
{
	uint64_t base = lapic_mmio_base(lapic);

	lapic->range.base = base;
	lapic->range.bytes = base == UINT64_MAX ? 0 : LAPIC_PAGE_BYTES;
	lapic->bus->moved = true;
}

void lapic_init(struct lapic *lapic)
{
	lapic->s = (struct lapic_state){
		.base = LAPIC_BASE_DEFAULT | BASE_ENABLE | (lapic->bsp ? BASE_BSP : 0),
		.wait_sipi = !lapic->bsp,
	};
	lapic_reset(lapic);
	place_page(lapic);
}

void lapic_begin(struct lapic *lapic, uint32_t cr8, bool by_processor)
{
	lapic->bus->current = lapic;
	if (lapic->s.eoi_offered)
		lapic_withdraw_eoi(lapic);
	if (!by_processor)
		lapic_set_tpr(lapic, (uint8_t)(cr8 << CLASS_SHIFT));
	if (lapic->s.posted)
		lapic_take_up(lapic);
	if (by_processor) {
		lapic->s.cr8 = lapic_tpr(lapic) >> CLASS_SHIFT;
		lapic->s.requesting = REQUESTING_UNKNOWN;
	}
}

static void write_xapic_icr(struct lapic *lapic, uint32_t value)
{
	lapic->page->reg[REG_ICR].value = value;
	lapic_send_ipi(lapic, value, lapic_page_read(lapic, REG_ICR_HIGH) >> XAPIC_DEST_SHIFT);
}

static void write_x2apic_icr(struct lapic *lapic, uint32_t value, uint32_t dest)
{
	lapic->page->reg[REG_ICR].value = value;
	lapic->page->reg[REG_ICR].high = dest;
	/* 255 is a plain ID here, and nobody's. */
	if (dest != XAPIC_DEST || value & (ICR_LOGICAL | ICR_SHORTHAND))
		lapic_send_ipi(lapic, value, dest);
}

static void send_self_ipi(struct lapic *lapic, uint8_t vector)
{
	if (vector < VECTOR_FIRST)
		lapic_raise_error(lapic, ESR_SEND_ILLEGAL);
	else
		lapic_accept_vector(lapic, vector, LAPIC_EDGE);
}

/* ISR's register with the highest vector in service, and its bit, or NULL. TMR's is REG_TMR - REG_ISR farther on. */
static struct lapic_register *in_service(struct lapic *lapic, uint32_t *bit)
{
#pragma GCC unroll 8
	for (unsigned int word = LAPIC_VECTOR_WORDS; word-- > 0;) {
		struct lapic_register *isr = &lapic->page->reg[REG_ISR + word];

		if (isr->value) {
			*bit = 1u << (VECTORS_EACH - 1) >> __builtin_clz(isr->value);
			return isr;
		}
	}
	return NULL;
}

/* 11.8.5 */
void lapic_ended(struct lapic *lapic, uint8_t vector)
{
	uint32_t *lint0 = &lapic->s.lvt[LAPIC_LVT_LINT0];

	if (*lint0 & LVT_REMOTE_IRR && (*lint0 & VECTOR_MASK) == vector) {
		*lint0 &= ~LVT_REMOTE_IRR;
		lapic_publish_register(lapic, REG_LVT_LINT0);
		lapic_evaluate_lint(lapic, 0, false);
	}
	if (lapic->bus->eoi)
		lapic->bus->eoi(lapic->bus->owner, vector);
}

void lapic_end_of_interrupt(struct lapic *lapic)
{
	uint32_t bit;
	struct lapic_register *isr = in_service(lapic, &bit);

	if (!isr)
		return;
	isr->value ^= bit;
	lapic->news |= NEWS_STATE;
	if (isr[REG_TMR - REG_ISR].value & bit)
		lapic_ended(lapic, (uint8_t)((isr - &lapic->page->reg[REG_ISR]) * VECTORS_EACH + __builtin_ctz(bit)));
}

bool lapic_eoi_alone(struct lapic *lapic, uint64_t value, uint32_t cr8)
{
	struct lapic_register *isr;
	uint32_t bit;

	if (value || cr8 != lapic->s.cr8 || !lapic_x2apic(lapic) || lapic->s.attention || lapic->s.eoi_offered)
		return false;
	isr = in_service(lapic, &bit);
	if (!isr || isr[REG_TMR - REG_ISR].value & bit)
		return false;
	isr->value ^= bit;
	return true;
}

bool lapic_self_ipi_alone(struct lapic *lapic, uint64_t value, uint32_t cr8)
{
	unsigned int word = value / VECTORS_EACH;
	uint32_t bit = 1u << value % VECTORS_EACH;

	if (value > VECTOR_MASK || value < VECTOR_FIRST || cr8 != lapic->s.cr8 || !lapic_x2apic(lapic) || lapic->s.attention ||
	    lapic->s.eoi_offered || !(lapic->s.svr & SVR_ENABLE) || lapic->page->reg[REG_TMR + word].value & bit ||
	    lapic_class_of((int)value) <= lapic_class_of(lapic_processor_priority(lapic)))
		return false;
	lapic->page->reg[REG_ISR + word].value |= bit;
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
	lapic_publish_registers(lapic);
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
		lapic_timer_set_lvt(lapic, value);
		return;
	}
	if (which == LAPIC_LVT_LINT0 && value & LVT_LEVEL)
		value |= *lvt & LVT_REMOTE_IRR;
	*lvt = value;
	if (which == LAPIC_LVT_LINT0 || which == LAPIC_LVT_LINT1)
		lapic_evaluate_lint(lapic, which - LAPIC_LVT_LINT0, false);
}

static uint32_t read_register(const struct lapic *lapic, unsigned int reg, uint64_t now)
{
	const struct lapic_state *s = &lapic->s;

	switch (reg) {
	case REG_ID:
		return lapic_x2apic(lapic) ? lapic->id : lapic->id << XAPIC_DEST_SHIFT;
	case REG_VERSION:
		return VERSION | (LAPIC_LVTS - 1) << VERSION_LVTS_SHIFT;
	case REG_TPR:
		return lapic_tpr(lapic);
	case REG_APR:
	case REG_PPR:
		return lapic_processor_priority(lapic);
	case REG_LDR:
		return lapic_logical_id(lapic);
	case REG_DFR:
		return s->dfr;
	case REG_SVR:
		return s->svr;
	case REG_ISR ... REG_ESR - 1:
		return lapic_page_read(lapic, reg);
	case REG_ICR ... REG_ICR_HIGH:
		return lapic_page_read(lapic, reg) & registers[reg].writable;
	case REG_ESR:
		return s->esr;
	case REG_LVT_CMCI:
	case REG_LVT_TIMER ... REG_LVT_ERROR:
		return s->lvt[lvt_of(reg)];
	case REG_INITIAL_COUNT:
		return s->initial_count;
	case REG_CURRENT_COUNT:
		return lapic_timer_count(lapic, now);
	case REG_DIVIDE:
		return s->divide;
	default:
		return 0;	/* EOI and remote read */
	}
}

void lapic_publish_register(struct lapic *lapic, unsigned int reg)
{
	/* Another vCPU's: it finds that something is posted, and does this for all of them. */
	if (lapic != lapic->bus->current)
		lapic->s.posted |= LAPIC_POSTED_COPY;
	else
		lapic->page->reg[reg].value = read_register(lapic, reg, 0);
}

void lapic_publish_registers(struct lapic *lapic)
{
	for (unsigned int reg = 0; reg < REG_COUNT; reg++)
		if (registers[reg].access & PUBLISHED)
			lapic_publish_register(lapic, reg);
}

void lapic_publish(struct lapic *lapic)
{
	lapic->s.requesting = 0;
	for (unsigned int word = 0; word < LAPIC_VECTOR_WORDS; word++)
		if (lapic_page_read(lapic, REG_IRR + word))
			lapic->s.requesting |= 1u << word;
	lapic_publish_registers(lapic);
	place_page(lapic);
	lapic->news = NEWS_STATE | NEWS_TMR | NEWS_MODE;
}

/* ICR and the self IPI are left to the callers, since they differ between the two modes. */
static void write_register(struct lapic *lapic, unsigned int reg, uint32_t value, uint64_t now)
{
	struct lapic_state *s = &lapic->s;

	switch (reg) {
	case REG_TPR:
		set_tpr(lapic, (uint8_t)value);
		break;
	case REG_EOI:
		lapic_end_of_interrupt(lapic);
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
		lapic_timer_start(lapic, value, now);
		break;
	case REG_DIVIDE:
		lapic_timer_set_divide(lapic, value, now);
		break;
	default:
		break;		/* read-only */
	}
	if (registers[reg].access & PUBLISHED)
		lapic_publish_register(lapic, reg);
}

/* Finds the register of an access to the page. False: there is none. */
static bool decode(struct lapic *lapic, unsigned int offset, unsigned int *reg)
{
	if ((lapic->s.base & BASE_MODE) != BASE_ENABLE || offset & REGISTER_ALIGN)
		return false;
	*reg = offset >> REGISTER_SHIFT;
	if (*reg < REG_COUNT && registers[*reg].access & XAPIC)
		return true;
	lapic_raise_error(lapic, ESR_ILLEGAL_REGISTER);
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
		lapic->page->reg[REG_ICR_HIGH].value = value;
		break;
	case REG_ICR:
		write_xapic_icr(lapic, value);
		break;
	default:
		write_register(lapic, reg, value, now);
		break;
	}
}

static uint64_t io_read(void *device, uint64_t offset, unsigned int bytes)
{
	struct lapic *lapic = device;
	unsigned int within = offset % sizeof(uint32_t);

	(void)bytes;
	return lapic_read(lapic, (unsigned int)offset - within, *lapic->bus->now) >> 8 * within;
}

static void io_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct lapic *lapic = device;

	if (bytes >= sizeof(uint32_t))
		lapic_write(lapic, (unsigned int)offset, (uint32_t)value, *lapic->bus->now);
}

const struct io_ops lapic_io = { .read = io_read, .write = io_write, .widest = sizeof(uint64_t) };

void lapic_written(struct lapic *lapic, unsigned int offset, uint64_t now)
{
	unsigned int reg = offset >> REGISTER_SHIFT;
	uint32_t value;

	if (reg >= REG_COUNT)
		return;
	value = lapic_page_read(lapic, reg);
	if (!lapic_x2apic(lapic))
		lapic_write(lapic, reg << REGISTER_SHIFT, value, now);
	else if (reg == REG_SELF_IPI)
		send_self_ipi(lapic, value & VECTOR_MASK);
	if (registers[reg].access & PUBLISHED)
		lapic_publish_register(lapic, reg);
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

/*
 * What IA32_APIC_BASE may have. The BSP flag is the guest's to write, as it is on Intel's processors (SDM vol. 4, 2.1) and on
 * AMD's newer ones, whose references (PPR, APIC_BAR) call BSC read-write.
 */
static uint64_t base_bits(const struct lapic *lapic)
{
	unsigned int bits = lapic->address_bits < ADDRESS_BITS_MAX ? lapic->address_bits : ADDRESS_BITS_MAX;

	return ((1ull << bits) - (1ull << BASE_PAGE_SHIFT)) | BASE_BSP | BASE_MODE;
}

static bool write_base(struct lapic *lapic, uint64_t value)
{
	struct lapic_state *s = &lapic->s;

	if (value & ~base_bits(lapic) || !transition_allowed(s->base & BASE_MODE, value & BASE_MODE))
		return false;
	/* 11.4.3: an APIC that is switched off comes back in its power-up state. */
	if (s->base & BASE_ENABLE && !(value & BASE_ENABLE))
		lapic_reset(lapic);
	s->base = value;
	place_page(lapic);
	lapic->news |= NEWS_STATE | NEWS_MODE;
	lapic_publish_registers(lapic);
	return true;
}

static const struct apic_register *x2apic_register(const struct lapic *lapic, uint32_t msr, uint8_t access)
{
	uint32_t reg = msr - MSR_X2APIC_FIRST;

	if (!lapic_x2apic(lapic) || reg >= REG_COUNT || !(registers[reg].access & access))
		return NULL;
	return &registers[reg];
}

bool lapic_read_msr(struct lapic *lapic, uint32_t msr, uint64_t *value, uint64_t now)
{
	lapic_advance(lapic, now);
	if (msr == MSR_APIC_BASE) {
		*value = lapic->s.base;
		return true;
	}
	if (msr == MSR_TSC_DEADLINE) {
		*value = lapic->s.tsc_deadline;
		return true;
	}
	if (!x2apic_register(lapic, msr, X2_READ))
		return false;
	*value = read_register(lapic, msr - MSR_X2APIC_FIRST, now);
	if (msr - MSR_X2APIC_FIRST == REG_ICR)
		*value |= (uint64_t)lapic->page->reg[REG_ICR].high << REGISTER_BITS;
	return true;
}

static bool write_x2apic(struct lapic *lapic, uint32_t msr, uint64_t value, uint64_t now)
{
	const struct apic_register *reg = x2apic_register(lapic, msr, X2_WRITE);
	unsigned int number = msr - MSR_X2APIC_FIRST;

	if (!reg || (uint32_t)value & ~(reg->writable | reg->ignored))
		return false;
	if (number == REG_ICR) {
		write_x2apic_icr(lapic, (uint32_t)value & ICR_LOW, value >> REGISTER_BITS);
		return true;
	}
	if (value >> REGISTER_BITS)
		return false;
	value &= reg->writable;
	if (number == REG_SELF_IPI)
		send_self_ipi(lapic, (uint8_t)value);
	else
		write_register(lapic, number, value, now);
	return true;
}

bool lapic_write_msr(struct lapic *lapic, uint32_t msr, uint64_t value, uint64_t guest_tsc, uint64_t now)
{
	lapic_advance(lapic, now);
	switch (msr) {
	case MSR_APIC_BASE:
		return write_base(lapic, value);
	case MSR_TSC_DEADLINE:
		lapic_write_tsc_deadline(lapic, value, guest_tsc, now);
		return true;
	default:
		return write_x2apic(lapic, msr, value, now);
	}
}

int lapic_pending(const struct lapic *lapic)
{
	int vector;

	if (!lapic->s.requesting || !lapic_enabled(lapic))
		return -1;
	vector = lapic_highest(lapic, REG_IRR);
	return lapic_class_of(vector) > lapic_class_of(lapic_processor_priority(lapic)) ? vector : -1;
}

void lapic_acknowledge(struct lapic *lapic, uint8_t vector)
{
	unsigned int word = vector / VECTORS_EACH;
	struct lapic_register *irr = &lapic->page->reg[REG_IRR + word], *isr = &lapic->page->reg[REG_ISR + word];
	uint32_t bit = 1u << vector % VECTORS_EACH;

	irr->value &= ~bit;
	if (!irr->value)
		lapic->s.requesting &= ~(1u << word);
	isr->value |= bit;
	lapic->news |= NEWS_STATE;
}

/* What the register alone holds back needs no notice of CR8: VMX exits at once while CR8 is below its threshold. */
unsigned int lapic_tpr_threshold(const struct lapic *lapic)
{
	unsigned int requested, held = lapic_class_of(lapic_tpr(lapic));

	if (!lapic->s.requesting || !lapic_enabled(lapic))
		return 0;
	requested = lapic_class_of(lapic_highest(lapic, REG_IRR));
	if (held > lapic->s.cr8)
		held = lapic->s.cr8;
	return requested <= lapic_class_of(lapic_highest(lapic, REG_ISR)) || requested > held ? 0 : requested;
}

void lapic_set_tpr(struct lapic *lapic, uint8_t tpr)
{
	uint8_t class = tpr >> CLASS_SHIFT;

	if (class == lapic->s.cr8)
		return;
	lapic->s.cr8 = class;
	set_tpr(lapic, tpr);
}

bool lapic_only_requests(const struct lapic *lapic, uint32_t cr8)
{
	return lapic->s.requesting && !(lapic->s.attention & ~LAPIC_ATTENTION_REQUESTING) && !(lapic->news & NEWS_MODE) &&
	       lapic_tpr(lapic) >> CLASS_SHIFT == cr8;
}

bool lapic_stays_quiet(const struct lapic *lapic, uint32_t cr8, bool by_processor)
{
	if (by_processor)
		return !(lapic->s.attention & ~LAPIC_ATTENTION_REQUESTING) && !lapic->news;
	return !lapic->s.attention && !(lapic->news & NEWS_MODE) && lapic_tpr(lapic) >> CLASS_SHIFT == cr8;
}

bool lapic_tell(struct lapic *lapic, bool by_processor, uint32_t *apic)
{
	int requested, served;

	if (!(lapic->news & (by_processor ? UINT8_MAX : NEWS_MODE)))
		return false;
	requested = lapic_enabled(lapic) ? lapic_highest(lapic, REG_IRR) : -1;
	served = lapic_highest(lapic, REG_ISR);
	*apic = requested < 0 ? 0 : (uint32_t)requested;
	*apic |= served < 0 ? 0 : (uint32_t)served << KEEL_APIC_IN_SERVICE_SHIFT;
	if (lapic_x2apic(lapic))
		*apic |= KEEL_APIC_X2;
	else if (lapic_mmio_base(lapic) == KEEL_APIC_BASE)
		*apic |= KEEL_APIC_PAGE;
	if (lapic->news & NEWS_TMR)
		*apic |= KEEL_APIC_EOI_EXITS;
	if (!lapic_enabled(lapic))
		*apic |= KEEL_APIC_OFF;
	lapic->news = 0;
	return true;
}

bool lapic_accepts_extint(const struct lapic *lapic)
{
	uint32_t lint0 = lapic->s.lvt[LAPIC_LVT_LINT0];

	if (!lapic_enabled(lapic))
		return true;
	return !(lint0 & LVT_MASKED) && (lint0 & LVT_MODE_MASK) >> LVT_MODE_SHIFT == LAPIC_EXTINT;
}

static unsigned int register_of(enum lapic_lvt which)
{
	return which == LAPIC_LVT_CMCI ? REG_LVT_CMCI : REG_LVT_TIMER + which;
}

static bool base_is_valid(const struct lapic *lapic, uint64_t base)
{
	return !(base & ~base_bits(lapic)) && (base & BASE_MODE) != BASE_EXTD;
}

static bool lvts_are_valid(const struct lapic_state *s)
{
	for (unsigned int i = 0; i < LAPIC_LVTS; i++) {
		uint32_t may = registers[register_of((enum lapic_lvt)i)].writable;

		if (i == LAPIC_LVT_LINT0)
			may |= LVT_REMOTE_IRR;
		if (s->lvt[i] & ~may || (!(s->svr & SVR_ENABLE) && !(s->lvt[i] & LVT_MASKED)))
			return false;
	}
	return true;
}

static bool posts_are_valid(const struct lapic_state *s)
{
	for (unsigned int word = 0; word < LAPIC_VECTOR_WORDS; word++)
		if (!s->posted_vectors[word] != !(s->posted >> word & 1) || s->posted_level[word] & ~s->posted_vectors[word])
			return false;
	return true;
}

const char *lapic_invalid(const struct lapic *lapic, const struct lapic_state *s, uint64_t now)
{
	const uint32_t errors = ESR_SEND_ILLEGAL | ESR_RECEIVE_ILLEGAL | ESR_ILLEGAL_REGISTER;

	if (!base_is_valid(lapic, s->base))
		return "base";
	if (s->deadline != TIME_NEVER && s->deadline > now + INT64_MAX)
		return "deadline";
	if (!lapic_pv_eoi_valid(lapic, s))
		return "pv_eoi";
	if (s->ldr & ~registers[REG_LDR].writable)
		return "ldr";
	if (~s->dfr & DFR_RESERVED)
		return "dfr";
	if (s->svr & ~registers[REG_SVR].writable)
		return "svr";
	if ((s->esr | s->errors) & ~errors)
		return "esr";
	if (s->divide & ~(DIVIDE_LOW | DIVIDE_HIGH))
		return "divide";
	if (!lvts_are_valid(s))
		return "lvt";
	if (!posts_are_valid(s))
		return "posted";
	/* Which of them waits says nothing: the BSP flag is looked at when INIT comes, and can change before and after. */
	return s->wait_sipi && s->sipi_pending ? "wait_sipi" : NULL;
}
