/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Interrupts of the machine under four modelled processors, at random. With virtual-interrupt delivery they work with
 * the APIC page between entries as SDM vol. 3, chapter 30 says; without, they take what is injected. After each step: a
 * processor has been told what stands in its page, who has something posted has been kicked, nobody sleeps who could go
 * on, and CR8 is TPR. Exits may wait for the cell while others go on.
 */
#include <keel/macros.h>

#include "apic_offsets.h"
#include "pc_rig.h"
#include "suite.h"

#define STEPS		100000u

#define ELSEWHERE	0xd0000000u	/* another address of the registers */
#define SVR_ON		0x1ffu
#define SVR_OFF		0xffu
#define ICR_FIXED_SELF	0xcff00u	/* these bits of ICR ... */
#define ICR_SHORTHANDS	18
#define ICR_LOGICAL_BIT	11
#define SEND_NMI	0x4400u
#define SEND_INIT	0x4500u
#define SEND_SIPI	0x4610u
#define OTHERS		0xc0000u
#define LVT_PERIODIC	17
#define ENTRY_MASKED	0x10000u
#define ENTRY_LEVEL	0x8000u
#define ENTRY_REMOTE_IRR (1u << 14)
#define ENTRY_LOWEST	8
#define PINS		24u
#define PIC_OPEN	0xf8u		/* lines of the master */
#define VECTOR_FIRST	0x30u		/* of local APICs; the 8259 pair has those below */

#define BY_PROCESSOR	(1 << 0)	/* kinds of run */
#define WITH_INITS	(1 << 1)
#define IN_X2APIC	(1 << 2)
#define RUNS		8

struct processor {
	unsigned int requested, served;		/* RVI and SVI; 0: none */
	uint32_t mode;				/* KEEL_APIC_X2, KEEL_APIC_PAGE or neither */
	uint32_t eoi_exits[8];
	uint32_t threshold;
	bool told;				/* anything at all */
	bool kicked, waits, window;
	bool late;				/* its exit has not come to the cell */
	unsigned int late_kind;
};

static struct processor cpu[VCPUS];
static bool by_processor, inits;
static uint64_t seed;
static unsigned int step;
static struct {
	unsigned int starts, injected, from_pic, delivered, ended, waits, thresholds, nmis, late;
} seen;

#define must(vcpu, condition) \
	do { \
		if (!(condition)) \
			ck_abort_msg("step %u, vCPU %u: %s", step, vcpu, #condition); \
	} while (0)

static unsigned int random_below(unsigned int limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)(seed >> 32) % limit;
}

static bool one_in(unsigned int n)
{
	return random_below(n) == 0;
}

/* Pages */

static const struct lapic_state *apic_of(unsigned int v)
{
	return &pc->vcpu[v].lapic.s;
}

static uint32_t *word(unsigned int v, unsigned int offset)
{
	return &apics[v].reg[offset / 16].value;
}

static bool has(unsigned int v, unsigned int offset, unsigned int vector)
{
	return *word(v, offset + vector / 32 * 16) >> vector % 32 & 1;
}

static void set(unsigned int v, unsigned int offset, unsigned int vector, bool on)
{
	uint32_t *at = word(v, offset + vector / 32 * 16), bit = 1u << vector % 32;

	*at = on ? *at | bit : *at & ~bit;
}

static unsigned int highest(unsigned int v, unsigned int offset)
{
	for (unsigned int i = 8; i-- > 0;) {
		uint32_t bits = *word(v, offset + 16 * i);

		if (bits)
			return i * 32 + 31 - (unsigned int)__builtin_clz(bits);
	}
	return 0;
}

static bool is_enabled(unsigned int v)
{
	return apic_of(v)->base & APIC_BASE_ENABLE;
}

static bool is_x2apic(unsigned int v)
{
	return is_enabled(v) && apic_of(v)->base & APIC_BASE_X2APIC;
}

/* What must hold */

static void check_told(unsigned int v)
{
	const struct processor *p = &cpu[v];
	uint32_t mode = 0;

	if (!by_processor || !p->told)
		return;
	if (is_x2apic(v))
		mode = KEEL_APIC_X2;
	else if (is_enabled(v) && (apic_of(v)->base & ~0xfffull) == KEEL_APIC_BASE)
		mode = KEEL_APIC_PAGE;
	must(v, p->mode == mode);
	must(v, p->requested == (is_enabled(v) ? highest(v, IRR) : 0));
	must(v, p->served == highest(v, ISR));
	for (unsigned int i = 0; i < 8; i++)
		must(v, p->eoi_exits[i] == *word(v, TMR + 16 * i));
}

static void check_kicked(unsigned int v)
{
	const struct lapic_state *s = apic_of(v);

	must(v, cpu[v].kicked || !(s->posted | s->nmi_pending | s->init_pending | s->sipi_pending));
	must(v, !s->wait_sipi || s->svr == SVR_OFF);
}

static bool extint_pending(unsigned int v)
{
	return v == 0 && pc_extint_pending(pc);
}

static void check_waiting(unsigned int v)
{
	if (!cpu[v].waits || cpu[v].kicked || apic_of(v)->wait_sipi || !(ctx[v].regs.rflags & IF))
		return;
	must(v, lapic_pending(&pc->vcpu[v].lapic) < 0);
	must(v, !extint_pending(v));
}

/* A level-triggered interrupt is somewhere until its end. INIT loses it, as it does in hardware. */
static void check_remote_irr(void)
{
	for (unsigned int pin = 0; pin < PINS && !inits; pin++) {
		unsigned int vector = pc->ioapic.s.entry[pin] & 0xff;
		bool found = !(pc->ioapic.s.entry[pin] & ENTRY_REMOTE_IRR);

		for (unsigned int v = 0; v < VCPUS && !found; v++)
			found = has(v, IRR, vector) || has(v, ISR, vector) ||
				apic_of(v)->posted_vectors[vector / 32] >> vector % 32 & 1 ||
				(cpu[v].late && cpu[v].late_kind == KEEL_EXIT_EOI && ctx[v].exit.apic == vector);
		must(pin, found);
	}
}

static void check_all(void)
{
	for (unsigned int v = 0; v < VCPUS; v++) {
		check_told(v);
		check_kicked(v);
		check_waiting(v);
	}
	check_remote_irr();
}

/* The processor will come back when what is requested can be taken. */
static void check_notice(unsigned int v)
{
	unsigned int requested = highest(v, IRR);

	if (cpu[v].waits)
		return;
	must(v, cpu[v].window || !extint_pending(v));
	if (by_processor || !is_enabled(v) || cpu[v].window)
		return;
	must(v, lapic_pending(&pc->vcpu[v].lapic) < 0);
	if (requested >> 4 > highest(v, ISR) >> 4) {
		must(v, cpu[v].threshold == requested >> 4);
		seen.thresholds++;
	}
}

/* Keel's part */

static void kick(uint64_t mask)
{
	for (unsigned int v = 0; v < VCPUS; v++)
		if (mask >> v & 1)
			cpu[v].kicked = true;
}

static void tell(unsigned int v, uint32_t apic)
{
	struct processor *p = &cpu[v];

	p->told = true;
	p->requested = apic & KEEL_APIC_REQUESTED;
	p->served = apic >> KEEL_APIC_IN_SERVICE_SHIFT & 0xff;
	p->mode = apic & (KEEL_APIC_X2 | KEEL_APIC_PAGE);
	for (unsigned int i = 0; i < 8 && apic & KEEL_APIC_EOI_EXITS; i++)
		p->eoi_exits[i] = *word(v, TMR + 16 * i);
}

static void inject(unsigned int v, uint32_t event)
{
	unsigned int vector = event & KEEL_INJECT_VECTOR;

	if (!(event & KEEL_INJECT_VALID) || event & KEEL_INJECT_EXCEPTION)
		return;
	must(v, ctx[v].regs.rflags & IF);
	must(v, !by_processor || vector < VECTOR_FIRST);
	ctx[v].regs.rflags &= ~(uint64_t)IF;
	seen.injected++;
	seen.from_pic += vector < VECTOR_FIRST;
}

static void take_answer(unsigned int v, const struct keel_answer *answer)
{
	struct processor *p = &cpu[v];

	must(v, answer->action != KEEL_ACTION_END);
	kick(answer->kick);
	inject(v, answer->inject);
	if (answer->flags & KEEL_ANSWER_SREGS) {
		flat(v);
		seen.starts++;
	}
	if (answer->flags & KEEL_ANSWER_TPR)
		ctx[v].exit.tpr = answer->tpr;
	if (answer->flags & KEEL_ANSWER_APIC)
		tell(v, answer->apic);
	seen.nmis += (answer->flags & KEEL_ANSWER_NMI) != 0;
	p->threshold = answer->tpr_threshold;
	p->window = answer->flags & KEEL_ANSWER_WINDOW;
	p->waits = answer->action == KEEL_ACTION_WAIT;
	seen.waits += p->waits;
}

static void run_entry(unsigned int v, unsigned int kind)
{
	ctx[v].exit.flags = by_processor ? KEEL_EXIT_F_APIC : 0;
	if (kind == KEEL_EXIT_POLL)
		cpu[v].kicked = false;
	take_answer(v, enter(v, kind));
	if (!by_processor && !apic_of(v)->wait_sipi)
		must(v, *word(v, TPR) >> 4 == ctx[v].exit.tpr);
	check_notice(v);
	check_all();
}

static void exit_to_cell(unsigned int v, unsigned int kind)
{
	cpu[v].late = one_in(8);
	cpu[v].late_kind = kind;
	seen.late += cpu[v].late;
	if (!cpu[v].late)
		run_entry(v, kind);
}

static bool runs(unsigned int v)
{
	return !cpu[v].waits && !cpu[v].late;
}

/* The processor's part */

static void deliver(unsigned int v)
{
	struct processor *p = &cpu[v];
	unsigned int vector = p->requested, held = *word(v, TPR) >> 4;

	if (!by_processor || p->window || !(ctx[v].regs.rflags & IF))
		return;
	if (held < p->served >> 4)
		held = p->served >> 4;
	if (vector >> 4 <= held)
		return;
	must(v, has(v, IRR, vector));
	set(v, IRR, vector, false);
	set(v, ISR, vector, true);
	p->served = vector;
	p->requested = highest(v, IRR);
	ctx[v].regs.rflags &= ~(uint64_t)IF;
	seen.delivered++;
}

static void store(unsigned int v, uint32_t address, uint32_t value)
{
	ctx[v].regs.gpr[KEEL_RAX] = value;
	mmio_record(v, 0xa3, address);
}

/* xAPIC registers that the processor keeps in the page. */
static void write_page(unsigned int v, unsigned int offset, uint32_t value)
{
	struct processor *p = &cpu[v];

	*word(v, offset) = value;
	if (offset == TPR) {
		*word(v, TPR) = value & 0xff;
	} else if (offset == ICR_HIGH) {
		*word(v, ICR_HIGH) = value & 0xff000000;
	} else if (offset == ICR && (value & ICR_FIXED_SELF) == ICR_SELF) {
		set(v, IRR, value & 0xff, true);
		if ((value & 0xff) > p->requested)
			p->requested = value & 0xff;
	} else {
		ctx[v].exit.apic = offset;
		exit_to_cell(v, KEEL_EXIT_APIC_WRITE);
	}
}

static void write_apic(unsigned int v, unsigned int offset, uint32_t value, uint32_t dest)
{
	if (is_x2apic(v)) {
		if (offset == ICR_HIGH || offset == LDR || offset == DFR)
			return;
		if (by_processor && offset == TPR) {
			*word(v, TPR) = value;
			return;
		}
		wrmsr_record(v, MSR_X2APIC(offset), (uint64_t)dest << 32 | value);
		exit_to_cell(v, KEEL_EXIT_WRMSR);
	} else if (by_processor && cpu[v].mode & KEEL_APIC_PAGE) {
		write_page(v, offset, value);
	} else if (is_enabled(v)) {
		store(v, (uint32_t)(apic_of(v)->base & ~0xfffull) | offset, value);
		exit_to_cell(v, KEEL_EXIT_MMIO);
	}
}

/* The guest's part */

static void end_interrupt(unsigned int v)
{
	struct processor *p = &cpu[v];
	unsigned int vector = p->served;

	if (!by_processor || !p->mode) {
		write_apic(v, EOI, 0, 0);
	} else if (vector) {
		set(v, ISR, vector, false);
		p->served = highest(v, ISR);
		if (p->eoi_exits[vector / 32] >> vector % 32 & 1) {
			seen.ended++;
			ctx[v].exit.apic = vector;
			exit_to_cell(v, KEEL_EXIT_EOI);
		}
	}
}

/* Without INITs level-triggered vectors are no other's, so that their ends can be told apart. */
static uint32_t random_vector(void)
{
	uint32_t vector;

	do {
		vector = VECTOR_FIRST + random_below(256 - VECTOR_FIRST);
	} while (!inits && vector % 8 < 2);
	return vector;
}

static void send(unsigned int v, uint32_t command, uint32_t dest)
{
	if (!is_x2apic(v))
		write_apic(v, ICR_HIGH, dest << 24, 0);
	if (runs(v))
		write_apic(v, ICR, command, dest);
}

static void send_interrupt(unsigned int v)
{
	uint32_t command = random_vector() | random_below(4) << ICR_SHORTHANDS;
	bool logical = one_in(2);

	if (one_in(4))
		command |= LAPIC_LOWEST << 8;
	send(v, command | (uint32_t)logical << ICR_LOGICAL_BIT, logical && !one_in(4) ? 1u << random_below(4) : random_below(5));
}

static void change_tpr(unsigned int v)
{
	write_apic(v, TPR, one_in(4) ? random_below(256) : 0, 0);
}

static void change_cr8(unsigned int v)
{
	if (by_processor)
		return;
	ctx[v].exit.tpr = one_in(4) ? random_below(16) : 0;
	if (ctx[v].exit.tpr < cpu[v].threshold)
		exit_to_cell(v, KEEL_EXIT_TPR);
}

static void halt(unsigned int v)
{
	/* Nothing wakes an APIC that is switched off. */
	if (!is_enabled(v) || !one_in(4))
		return;
	ctx[v].regs.rflags |= IF;
	exit_to_cell(v, KEEL_EXIT_HLT);
}

static void write_ioapic(unsigned int v, uint8_t reg, uint32_t value)
{
	if (runs(v)) {
		store(v, PC_IOAPIC, reg);
		run_entry(v, KEEL_EXIT_MMIO);
	}
	if (runs(v)) {
		store(v, PC_IOAPIC + 0x10, value);
		run_entry(v, KEEL_EXIT_MMIO);
	}
}

static void route_pin(unsigned int v)
{
	uint8_t pin = (uint8_t)random_below(PINS);
	bool level = !one_in(4);
	uint32_t low = inits ? random_vector() : VECTOR_FIRST + 8 * pin + !level;

	if (!inits && pc->ioapic.s.entry[pin] & ENTRY_REMOTE_IRR)
		return;
	low |= (level ? ENTRY_LEVEL : 0) | (one_in(8) ? ENTRY_MASKED : 0) | random_below(2) << ICR_LOGICAL_BIT |
	       (uint32_t)one_in(3) << ENTRY_LOWEST;
	write_ioapic(v, 0x11 + 2 * pin, random_below(5) << 24);
	write_ioapic(v, 0x10 + 2 * pin, low);
}

static void set_timer(unsigned int v)
{
	write_apic(v, TIMER, random_vector() | random_below(2) << LVT_PERIODIC, 0);
}

static void open_pin(unsigned int v)
{
	write_apic(v, LINT1, one_in(8) ? LVT_NMI : random_vector(), 0);
}

static void start_timer(unsigned int v)
{
	write_apic(v, INITIAL, random_below(100000), 0);
}

static void change_base(unsigned int v)
{
	uint32_t bits = random_below(4) * APIC_BASE_X2APIC | (one_in(8) == !v ? 0 : APIC_BASE_BSP);

	if (!inits || !one_in(8))
		return;
	wrmsr_record(v, MSR_APIC_BASE, (one_in(8) ? ELSEWHERE : PC_LAPIC) | bits);
	exit_to_cell(v, KEEL_EXIT_WRMSR);
}

static void switch_apic(unsigned int v)
{
	write_apic(v, SVR, inits && one_in(4) ? SVR_OFF : SVR_ON, 0);
}

static void send_init(unsigned int v)
{
	uint32_t target = random_below(VCPUS);

	if (!inits || !one_in(4))
		return;
	send(v, SEND_INIT, target);
	if (runs(v) && one_in(2))
		send(v, SEND_SIPI, target);
}

static void send_start(unsigned int v)
{
	if (inits)
		send(v, one_in(4) ? SEND_NMI : SEND_SIPI, random_below(VCPUS));
}

static void (*const acts[])(unsigned int v) = {
	end_interrupt, end_interrupt, end_interrupt, end_interrupt, send_interrupt, send_interrupt, change_tpr, change_cr8,
	halt, route_pin, open_pin, set_timer, start_timer, change_base, switch_apic, send_init, send_start,
};

static void run_guest(unsigned int v)
{
	if (one_in(2))
		ctx[v].regs.rflags |= IF;
	if (cpu[v].window && ctx[v].regs.rflags & IF)
		exit_to_cell(v, KEEL_EXIT_WINDOW);
	if (!runs(v))
		return;
	deliver(v);
	acts[random_below(ARRAY_SIZE(acts))](v);
}

/* Nobody's part */

static void send_message(unsigned int v)
{
	static const enum lapic_delivery modes[] = { LAPIC_FIXED, LAPIC_FIXED, LAPIC_NMI, LAPIC_SIPI };
	unsigned int mode = random_below(inits ? 4 : 3);

	lapic_deliver(&pc->bus, v, LAPIC_PHYSICAL, modes[mode], (uint8_t)(random_vector() | 6), true, LAPIC_EDGE);
}

static void run_devices(unsigned int v)
{
	nobody();
	if (one_in(4))
		i8259_set_pin(&pc->pic_master, 3 + random_below(5), one_in(2));
	if (one_in(2))
		ioapic_set_pin(&pc->ioapic, random_below(PINS), one_in(2));
	if (cpu[v].waits && one_in(2))
		send_message(v);
	kick(pc->bus.kick);
	pc->bus.kick = 0;
	check_all();
}

/* The button pulls LINT1 of all. */
static void run_event(void)
{
	board_press(&host, KEEL_MESSAGE_NMI);
	kick(event()->kick);
	check_all();
}

static void pass_time(void)
{
	tsc += random_below(one_in(8) ? 200000 : 100);
	for (unsigned int v = 0; v < VCPUS; v++)
		if (ctx[v].answer.deadline <= tsc)
			cpu[v].kicked = true;
}

/* The 8259's end of interrupt. */
static void end_extint(void)
{
	ctx[0].exit.port = 0x20;
	ctx[0].exit.size = 1;
	ctx[0].exit.io = 0;
	ctx[0].regs.gpr[KEEL_RAX] = 0x20;
	run_entry(0, KEEL_EXIT_IO);
}

static void run_step(void)
{
	unsigned int v = random_below(VCPUS);

	if (cpu[v].late && one_in(2)) {
		cpu[v].late = false;
		run_entry(v, cpu[v].late_kind);
	}
	if (!cpu[v].late && cpu[v].kicked && !one_in(3))
		run_entry(v, KEEL_EXIT_POLL);
	if (runs(v))
		run_guest(v);
	if (runs(0) && one_in(16))
		end_extint();
	if (one_in(2))
		run_devices(v);
	if (one_in(16))
		run_event();
	pass_time();
}

static void start_machine(bool x2apic)
{
	make();
	event();
	kick((1u << VCPUS) - 1);	/* the first entry */
	for (unsigned int v = 0; v < VCPUS; v++)
		run_entry(v, KEEL_EXIT_POLL);
	pics(PIC_OPEN);
	pit_rate(1193);
	mmio_write(0, PC_LAPIC + ICR, OTHERS | SEND_SIPI);
	kick(ctx[0].answer.kick);
	for (unsigned int v = 0; v < VCPUS; v++) {
		run_entry(v, KEEL_EXIT_POLL);
		mmio_write(v, PC_LAPIC + SVR, SVR_ON);
		mmio_write(v, PC_LAPIC + LDR, 1u << (24 + v));
		wrmsr_record(v, MSR_APIC_BASE,
			     PC_LAPIC | APIC_BASE_ENABLE | (x2apic ? APIC_BASE_X2APIC : 0) | (v ? 0 : APIC_BASE_BSP));
		run_entry(v, KEEL_EXIT_WRMSR);
	}
	write_apic(0, LINT0, LVT_EXTINT, 0);
}

START_TEST(model)
{
	by_processor = _i & BY_PROCESSOR;
	inits = _i & WITH_INITS;
	seed = 0x9e3779b97f4a7c15ull * ((uint64_t)_i + 1);
	start_machine(_i & IN_X2APIC);
	for (step = 0; step < STEPS; step++)
		run_step();
	ck_assert_uint_ge(seen.starts, inits ? 100 : VCPUS);
	ck_assert_uint_gt(seen.from_pic, 100);
	ck_assert_uint_gt(seen.waits, 100);
	ck_assert_uint_gt(seen.nmis, 100);
	ck_assert_uint_gt(seen.late, 1000);
	if (by_processor) {
		ck_assert_uint_gt(seen.delivered, 1000);
		ck_assert_uint_gt(seen.ended, 100);
	} else {
		ck_assert_uint_gt(seen.injected, 1000);
		ck_assert_uint_gt(seen.thresholds, 100);
	}
	destroy();
}
END_TEST

SUITE("pc_model", tcase)
{
	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, model, 0, RUNS);
}
