// SPDX-License-Identifier: GPL-2.0
/* The wiring diagram of the machine. */
#include "machine/pc.h"

#include "core/string.h"

#define HIGH_MEMORY		0x100000000ull
#define VGA_HOLE		0xa0000ull
#define VGA_HOLE_END		0xc0000ull
#define BIOS_COPY_END		0x100000ull
#define BIOS_COPY_MOST		0x20000u	/* the last 128 KiB of firmware are below 1 MiB too */

#define IRQ_TIMER		0u
#define IRQ_KEYBOARD		1u
#define IRQ_SERIAL		4u
#define IRQ_RTC			8u
#define IRQ_SCI			9u
#define IRQ_MOUSE		12u
#define IRQ_IDE_PRIMARY		14u
#define IRQ_IDE_SECONDARY	15u
/* The lines that can be level-triggered; 0, 1, 2, 8 and 13 cannot (82371SB data sheet, 2.5.8). */
#define ELCR_MASTER		0xf8u
#define ELCR_SLAVE		0xdeu

#define GSI_TIMER		2u		/* the MADT's override says so */
#define HPET_PINS		0xff0000u	/* the IO APIC's that no ISA line has */

#define IRQ_SOURCE_SHIFT	8		/* in a line's pin: the source above, the ISA line below */
#define IRQ_PIN(source, irq)	((unsigned int)(source) << IRQ_SOURCE_SHIFT | (irq))
#define IRQ_OF_PIN(pin)		((pin) & (PC_ISA_IRQS - 1))

/* PCI slots, as QEMU's and SeaBIOS's i440FX machine has them. */
#define SLOT_HOST_BRIDGE	0u
#define SLOT_ISA_BRIDGE		1u
#define FUNCTION_ISA_BRIDGE	0u
#define FUNCTION_IDE		1u
#define FUNCTION_ACPI		3u

#define ADDRESS_BITS		40u		/* what guests are told of physical addresses */
#define TAG_DRIVE		(KEEL_DRIVES - 1)

_Static_assert((KEEL_DRIVES & TAG_DRIVE) == 0, "a tag's low bits are the drive");

void pc_end(struct pc *pc, uint32_t end, uint64_t detail)
{
	if (pc->end)
		return;
	pc->end = end;
	pc->detail = detail;
}

/* Interrupts */

static void set_irq(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;
	unsigned int irq = IRQ_OF_PIN(pin);
	uint16_t bit = (uint16_t)(1u << irq), *source = &pc->isa_level[pin >> IRQ_SOURCE_SHIFT];

	if (((*source & bit) != 0) == level)
		return;
	*source ^= bit;
	for (unsigned int i = 0; i < PC_IRQ_SOURCES; i++)
		level |= (pc->isa_level[i] & bit) != 0;
	if (irq < I8259_PINS)
		i8259_set_pin(&pc->pic_master, irq, level);
	else
		i8259_set_pin(&pc->pic_slave, irq - I8259_PINS, level);
	ioapic_set_pin(&pc->ioapic, irq == IRQ_TIMER ? GSI_TIMER : irq, level);
}

/* The 8254 and the RTC lose their lines to the HPET while it replaces them (IA-PC HPET specification 1.0a, 2.4.6). */
static void set_replaceable_irq(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	if (!hpet_legacy_active(&pc->hpet))
		set_irq(pc, pin, level);
}

static void set_hpet_legacy(void *owner, unsigned int pin, bool level)
{
	(void)pin;
	if (!level)
		return;
	set_irq(owner, IRQ_PIN(PC_IRQ_ISA, IRQ_TIMER), false);
	set_irq(owner, IRQ_PIN(PC_IRQ_ISA, IRQ_RTC), false);
}

static void set_intr(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	pc->intr = level;
	lapic_set_lint(&pc->vcpu[0].lapic, pin, level);
	if (level)
		pc->bus.kick |= 1;
}

static void lapic_eoi(void *owner, uint8_t vector)
{
	ioapic_eoi(&((struct pc *)owner)->ioapic, vector);
}

bool pc_extint_pending(const struct pc *pc)
{
	return pc->intr && lapic_accepts_extint(&pc->vcpu[0].lapic);
}

uint8_t pc_extint_acknowledge(struct pc *pc)
{
	return i8259_pair_acknowledge(&pc->pic_master, &pc->pic_slave);
}

static struct line line_to(struct pc *pc, void (*set)(void *, unsigned int, bool), unsigned int pin)
{
	return (struct line){ .set = set, .sink = pc, .pin = pin };
}

static struct line irq_line(struct pc *pc, unsigned int irq)
{
	return line_to(pc, set_irq, IRQ_PIN(PC_IRQ_ISA, irq));
}

static void init_interrupts(struct pc *pc, struct lapic_page *apics)
{
	pc->pic_master.master = true;
	pc->pic_master.out = line_to(pc, set_intr, 0);
	pc->pic_master.elcr_mask = ELCR_MASTER;
	pc->pic_slave.out = (struct line){ i8259_set_pin, &pc->pic_master, I8259_CASCADE };
	pc->pic_slave.elcr_mask = ELCR_SLAVE;
	i8259_init(&pc->pic_master);
	i8259_init(&pc->pic_slave);

	pc->bus.count = pc->machine.vcpus;
	pc->bus.eoi = lapic_eoi;
	pc->bus.owner = pc;
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		struct lapic *lapic = &pc->vcpu[i].lapic;

		*lapic = (struct lapic){
			.bus = &pc->bus, .index = i, .id = keel_topology_apic_id(&pc->topology, i), .bsp = i == 0,
			.address_bits = ADDRESS_BITS, .tsc_khz = pc->machine.tsc_khz, .mem = &pc->mem, .page = &apics[i],
		};
		pc->bus.cpu[i] = lapic;
		lapic_init(lapic);
	}
	/* Power-on is an INIT to vCPU 0: its first answer is the reset state. */
	pc->vcpu[0].lapic.s.init_pending = 1;
	pc->ioapic.bus = &pc->bus;
	ioapic_init(&pc->ioapic);
}

/* Resource half */

static void debug_character(void *owner, uint8_t character)
{
	link_debug(&((struct pc *)owner)->link, character);
}

static bool serial_transmit(void *owner, uint8_t character)
{
	return link_output(&((struct pc *)owner)->link, character);
}

static bool submit(void *owner, unsigned int drive, enum keel_request_op op, uint64_t offset, uint32_t count)
{
	struct pc *pc = owner;
	struct pc_request *r = &pc->request[drive];
	struct keel_request request = { .op = op, .drive = drive, .offset = offset, .count = count };

	if (r->in_flight)
		return false;
	r->tag += KEEL_DRIVES;
	request.tag = r->tag | drive;
	r->in_flight = link_submit(&pc->link, &request);
	return r->in_flight;
}

static void door(void *owner, unsigned int drive, bool locked, bool ejected)
{
	link_door(&((struct pc *)owner)->link, drive, locked, ejected);
}

static void complete(struct pc *pc, const struct keel_completion *completion)
{
	unsigned int drive = completion->tag & TAG_DRIVE;
	struct pc_request *r = &pc->request[drive];

	if (!r->in_flight || completion->tag != (r->tag | drive))
		return;
	r->in_flight = false;
	ide_complete(&pc->ide.channel[drive / IDE_CHANNEL_DRIVES], drive % IDE_CHANNEL_DRIVES, completion->status);
}

/* The size of a CD-ROM's new medium is where the first one's was; it is the only part of the machine that is read again. */
static void media_changed(struct pc *pc)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		uint64_t bytes = __atomic_load_n(&pc->link.channel->machine.drives[i].bytes, __ATOMIC_ACQUIRE);

		if (pc->machine.drives[i].kind != KEEL_DRIVE_CDROM || bytes > INT64_MAX)
			continue;
		ide_medium_changed(&pc->ide.channel[i / IDE_CHANNEL_DRIVES], i % IDE_CHANNEL_DRIVES,
				   bytes - bytes % PC_CDROM_SECTOR);
	}
}

static void eject_buttons(struct pc *pc)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		ide_eject_request(&pc->ide.channel[i / IDE_CHANNEL_DRIVES], i % IDE_CHANNEL_DRIVES);
}

/* The NMI button is wired to LINT1 of all processors. */
static void nmi_button(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		lapic_set_lint(&pc->vcpu[i].lapic, 1, true);
		lapic_set_lint(&pc->vcpu[i].lapic, 1, false);
	}
}

void pc_serial_input(struct pc *pc)
{
	int character;

	while (ns16550_receive_room(&pc->serial) && (character = link_input(&pc->link)) >= 0)
		ns16550_receive(&pc->serial, (uint8_t)character);
}

void pc_event(struct pc *pc)
{
	uint32_t commands = link_commands(&pc->link);
	struct keel_completion completion;

	if (commands & KEEL_COMMAND_POWER_BUTTON)
		piix4_pm_power_button(&pc->pm);
	if (commands & KEEL_COMMAND_NMI)
		nmi_button(pc);
	if (commands & KEEL_COMMAND_MEDIUM_CHANGED)
		media_changed(pc);
	if (commands & KEEL_COMMAND_EJECT_REQUEST)
		eject_buttons(pc);
	/* One ring at most: a producer that never stops cannot keep this from ending. */
	for (unsigned int i = 0; i < KEEL_RING_REQUESTS && link_next_completion(&pc->link, &completion); i++)
		complete(pc, &completion);
	ns16550_drain(&pc->serial);
	pc_serial_input(pc);
	pc->deadline_stale = true;
}

/* Shared chips */

static void power_off(void *owner, unsigned int pin, bool level)
{
	(void)pin;
	if (level)
		pc_end(owner, KEEL_END_POWEROFF, 0);
}

static void button_taken(void *owner, unsigned int pin, bool level)
{
	struct pc *pc = owner;

	(void)pin;
	if (level)
		link_button_taken(&pc->link);
}

static void reset(void *owner, unsigned int pin, bool level)
{
	(void)pin;
	if (level)
		pc_end(owner, KEEL_END_RESET, 0);
}

/* At time 0. */
static int64_t wall_clock(const struct pc *pc)
{
	struct clock clock = pc->clock;

	clock.start = pc->machine.wall_tsc;
	if (pc->clock.start < clock.start)
		return pc->machine.wall_ns;
	return (int64_t)((uint64_t)pc->machine.wall_ns + clock_ns(&clock, pc->clock.start));
}

static void init_timers(struct pc *pc)
{
	pc->kvmclock.mem = &pc->mem;
	pc->kvmclock.count = pc->machine.vcpus;
	pc->kvmclock.start_tsc = pc->clock.start;
	pc->kvmclock.start_ns = wall_clock(pc);
	kvmclock_init(&pc->kvmclock, pc->machine.tsc_khz);
	pc->pit.out0 = line_to(pc, set_replaceable_irq, IRQ_PIN(PC_IRQ_ISA, IRQ_TIMER));
	i8254_init(&pc->pit);
	pc->rtc.irq = line_to(pc, set_replaceable_irq, IRQ_PIN(PC_IRQ_ISA, IRQ_RTC));
	mc146818_init(&pc->rtc);
	mc146818_set_wall(&pc->rtc, wall_clock(pc));
	pc->hpet.pins = (struct line){ ioapic_set_pin, &pc->ioapic, 0 };
	pc->hpet.route_cap = HPET_PINS;
	pc->hpet.legacy_irq0 = line_to(pc, set_irq, IRQ_PIN(PC_IRQ_HPET, IRQ_TIMER));
	pc->hpet.legacy_irq8 = line_to(pc, set_irq, IRQ_PIN(PC_IRQ_HPET, IRQ_RTC));
	pc->hpet.legacy_active = line_to(pc, set_hpet_legacy, 0);
	hpet_init(&pc->hpet);
	pc->pm.sci = line_to(pc, set_irq, IRQ_PIN(PC_IRQ_SCI, IRQ_SCI));
	pc->pm.poweroff = line_to(pc, power_off, 0);
	pc->pm.button_taken = line_to(pc, button_taken, 0);
	piix4_pm_init(&pc->pm);
	pc->reset_control.reset = line_to(pc, reset, 0);
	reset_control_init(&pc->reset_control);
}

static void init_consoles(struct pc *pc)
{
	pc->serial.irq = irq_line(pc, IRQ_SERIAL);
	pc->serial.transmit = serial_transmit;
	pc->serial.owner = pc;
	ns16550_init(&pc->serial);
	pc->keyboard.irq1 = irq_line(pc, IRQ_KEYBOARD);
	pc->keyboard.irq12 = irq_line(pc, IRQ_MOUSE);
	pc->keyboard.reset = line_to(pc, reset, 0);
	i8042_init(&pc->keyboard);
	pc->debug = (struct debugport){ debug_character, pc };
}

static void init_drive(struct pc *pc, unsigned int number)
{
	struct ide_drive *drive = &pc->ide.channel[number / IDE_CHANNEL_DRIVES].drive[number % IDE_CHANNEL_DRIVES];
	const struct keel_drive *config = &pc->machine.drives[number];

	drive->host = &pc->ide_host;
	drive->number = number;
	drive->kind = config->kind;
	drive->flags = config->flags;
	drive->bytes = config->bytes;
	memcpy(drive->serial, config->serial, sizeof(drive->serial));
	drive->bounce = config->kind == KEEL_DRIVE_NONE ? NULL : link_bytes(&pc->link, config->bounce);
}

static void init_ide(struct pc *pc)
{
	static const unsigned int irqs[PIIX3_IDE_CHANNELS] = { IRQ_IDE_PRIMARY, IRQ_IDE_SECONDARY };

	pc->ide_host = (struct ide_host){ pc, submit, door };
	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++) {
		pc->ide.channel[i].irq = irq_line(pc, irqs[i]);
		pc->ide.channel[i].bm.mem = &pc->mem;
	}
	for (unsigned int i = 0; i < KEEL_DRIVES; i++)
		init_drive(pc, i);
	pc->ide.pci.decode = pc_ports_bus_master;
	pc->ide.pci.decode_owner = pc;
	piix3_ide_init(&pc->ide);
}

static void init_pci(struct pc *pc)
{
	pci_init(&pc->pci);
	i440fx_init(&pc->host_bridge);
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		pc->isa_bridge.irq[i] = line_to(pc, set_irq, IRQ_PIN(PC_IRQ_PIRQ, i));
	piix3_init(&pc->isa_bridge);
	init_ide(pc);
	pc->acpi.pm_decode = pc_ports_power_management;
	pc->acpi.pm_owner = pc;
	piix4_acpi_init(&pc->acpi);

	pc->pci.function[SLOT_HOST_BRIDGE][0] = &pc->host_bridge.pci;
	pc->pci.function[SLOT_ISA_BRIDGE][FUNCTION_ISA_BRIDGE] = &pc->isa_bridge.pci;
	pc->pci.function[SLOT_ISA_BRIDGE][FUNCTION_IDE] = &pc->ide.pci;
	pc->pci.function[SLOT_ISA_BRIDGE][FUNCTION_ACPI] = &pc->acpi.pci;
}

static void add_memory(struct pc *pc, uint64_t first, uint64_t end, bool readonly)
{
	if (end > first)
		pc->mem.range[pc->mem.count++] = (struct gmem_range){ first, end - first, readonly };
}

static unsigned int init_memory(struct pc *pc, uint8_t *guest)
{
	uint32_t bytes = pc->machine.firmware_bytes, copy = bytes < BIOS_COPY_MOST ? bytes : BIOS_COPY_MOST;
	const uint8_t *firmware = link_bytes(&pc->link, pc->machine.firmware);

	pc->mem = (struct gmem){ .base = guest };
	add_memory(pc, VGA_HOLE_END, pc->machine.low_memory, false);
	add_memory(pc, HIGH_MEMORY, HIGH_MEMORY + pc->machine.high_memory, false);
	add_memory(pc, 0, VGA_HOLE, false);
	add_memory(pc, HIGH_MEMORY - bytes, HIGH_MEMORY, true);
	if (!gmem_load(&pc->mem, HIGH_MEMORY - bytes, firmware, bytes) ||
	    !gmem_load(&pc->mem, BIOS_COPY_END - copy, firmware + bytes - copy, copy))
		return CELL_REFUSED_FIRMWARE;
	return 0;
}

unsigned int pc_init(struct pc *pc, void *channel, uint8_t *guest, struct lapic_page *apics, uint64_t tsc)
{
	unsigned int refusal = link_init(&pc->link, channel, &pc->machine);

	if (!refusal)
		refusal = init_memory(pc, guest);
	if (refusal)
		return refusal;
	pc->topology = keel_topology(pc->machine.topology, pc->machine.vcpus);
	clock_init(&pc->clock, tsc, pc->machine.tsc_khz);
	pc->emulate_bus = (struct emulate_bus){ pc, pc_mmio_read, pc_mmio_write, pc_port_read, pc_port_write };
	init_interrupts(pc, apics);
	init_timers(pc);
	init_consoles(pc);
	pc_ports_init(pc);
	init_pci(pc);
	refusal = pc_boot_init(pc);
	pc->deadline_stale = true;
	pc->deadline_told = TIME_NEVER;
	pc->ready = !refusal;
	return refusal;
}

/* Time */

static void advance(struct pc *pc)
{
	i8254_advance(&pc->pit, pc->now);
	mc146818_advance(&pc->rtc, pc->now);
	hpet_advance(&pc->hpet, pc->now);
	piix4_pm_advance(&pc->pm, pc->now);
	pc->deadline_stale = true;
}

uint64_t pc_deadline(struct pc *pc)
{
	if (pc->deadline_stale) {
		uint64_t deadlines[] = {
			i8254_deadline(&pc->pit), mc146818_deadline(&pc->rtc), hpet_deadline(&pc->hpet),
			piix4_pm_deadline(&pc->pm),
		};

		pc->deadline = TIME_NEVER;
		for (unsigned int i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++)
			if (deadlines[i] < pc->deadline)
				pc->deadline = deadlines[i];
		pc->deadline_stale = false;
	}
	return pc->deadline;
}

void pc_begin(struct pc *pc, unsigned int context, uint64_t tsc)
{
	uint64_t now = clock_ns(&pc->clock, tsc);

	pc->current = context;
	pc->tsc = tsc;
	/* TSCs of different CPUs may differ by a little. */
	if (tsc >= pc->clock.start && now > pc->now)
		pc->now = now;
	if (pc->now >= pc->deadline)
		advance(pc);
}

/* Memory-mapped registers */

static bool on_page(uint64_t gpa, uint64_t base, uint64_t bytes)
{
	return gpa - base < bytes;
}

/* Registers of 32 bits: narrower reads get their part, wider ones the register at the lower half. */
static uint64_t part_of(uint32_t value, uint64_t gpa)
{
	return value >> (8 * (gpa % sizeof(value)));
}

uint64_t pc_mmio_read(void *owner, uint64_t gpa, unsigned int bytes)
{
	struct pc *pc = owner;
	struct lapic *lapic = &pc->vcpu[pc->current].lapic;
	uint64_t page = lapic_mmio_base(lapic);

	if (on_page(gpa, page, LAPIC_PAGE_BYTES))
		return part_of(lapic_read(lapic, (unsigned int)(gpa - page) & ~3u, pc->now), gpa);
	if (on_page(gpa, IOAPIC_BASE, IOAPIC_BYTES))
		return part_of(ioapic_read(&pc->ioapic, (unsigned int)(gpa - IOAPIC_BASE) & ~3u), gpa);
	if (on_page(gpa, HPET_BASE, HPET_BYTES))
		return hpet_read(&pc->hpet, (unsigned int)(gpa - HPET_BASE), bytes, pc->now);
	return UINT64_MAX;
}

void pc_mmio_write(void *owner, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	struct pc *pc = owner;
	struct lapic *lapic = &pc->vcpu[pc->current].lapic;
	uint64_t page = lapic_mmio_base(lapic);

	if (on_page(gpa, HPET_BASE, HPET_BYTES)) {
		pc->deadline_stale = true;
		hpet_write(&pc->hpet, (unsigned int)(gpa - HPET_BASE), bytes, value, pc->now);
		return;
	}
	if (bytes < sizeof(uint32_t))
		return;
	if (on_page(gpa, page, LAPIC_PAGE_BYTES))
		lapic_write(lapic, (unsigned int)(gpa - page), (uint32_t)value, pc->now);
	else if (on_page(gpa, IOAPIC_BASE, IOAPIC_BYTES))
		ioapic_write(&pc->ioapic, (unsigned int)(gpa - IOAPIC_BASE), (uint32_t)value);
}
