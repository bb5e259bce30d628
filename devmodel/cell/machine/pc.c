// SPDX-License-Identifier: GPL-2.0
/* The wiring diagram of the machine: its devices, where they answer, and what their lines lead to. */
#include "machine/pc.h"

#include <keel/macros.h>

#include "core/string.h"
#include "shared/pc_map.h"

_Static_assert(PC_LAPIC == KEEL_APIC_BASE, "the local APIC's page is where the hypervisor has it");
_Static_assert(PC_LAPIC_BYTES == LAPIC_PAGE_BYTES, "the size of the local APIC's page");
_Static_assert(PC_PORT_FW_CFG + PC_FW_CFG_PORTS == PC_PORT_FW_CFG_DMA + FW_CFG_DMA_PORTS, "what ACPI tells of fw_cfg");
_Static_assert(PC_PIC_PORTS == I8259_PORTS, "what ACPI tells of ports");
_Static_assert(PC_PIT_PORTS == I8254_PORTS, "what ACPI tells of ports");
_Static_assert(PC_RTC_PORTS == MC146818_PORTS, "what ACPI tells of ports");
_Static_assert(PC_SERIAL_PORTS == NS16550_PORTS, "what ACPI tells of ports");
_Static_assert(PC_PCI_PORTS == PCI_PORTS, "what ACPI tells of ports");
_Static_assert(PC_PCI_IO_LOW_LAST + 1 == PC_PORT_PCI && PC_PCI_IO_LOW_PORTS == PC_PORT_PCI &&
	       PC_PCI_IO_HIGH == PC_PORT_PCI + PC_PCI_PORTS && PC_PCI_IO_HIGH + PC_PCI_IO_HIGH_PORTS == BUS_PORTS &&
	       PC_PORT_LAST == BUS_PORTS - 1, "BARs of ports are around PCI's own");
_Static_assert(PC_SLOT_LAST == PCI_SLOTS - 1, "the last slot");
_Static_assert(PC_PCI_MEMORY + PC_PCI_MEMORY_BYTES == PC_IOAPIC, "BARs are in front of all fixed registers");
_Static_assert(PC_PCI_MEMORY_LAST + 1u == PC_IOAPIC, "BARs are in front of all fixed registers");
_Static_assert(PC_VGA_HOLE + PC_VGA_HOLE_BYTES == PC_VGA_HOLE_END, "the end of the hole");
_Static_assert(PC_VGA_HOLE_LAST + 1 == PC_VGA_HOLE_END, "the end of the hole");

/* A name says which section of a saved machine is whose, and stays. */
#define DEVICE(type, number, member)	{ &type##_device, #type, number, offsetof(struct pc, member) }

const struct device pc_devices[] = {
	DEVICE(i8259, 0, pic_master),
	DEVICE(i8259, 1, pic_slave),
	DEVICE(ioapic, 0, ioapic),
	DEVICE(i8254, 0, pit),
	DEVICE(mc146818, 0, rtc),
	DEVICE(hpet, 0, hpet),
	DEVICE(piix4_pm, 0, pm),
	DEVICE(reset_control, 0, reset_control),
	DEVICE(system_ports, 0, system_ports),
	DEVICE(ns16550, 0, serial),
	DEVICE(i8042, 0, keyboard),
	DEVICE(debugport, 0, debug),
	DEVICE(fw_cfg, 0, fw_cfg),
	DEVICE(kvmclock, 0, kvmclock),
	DEVICE(pci, 0, pci),
	DEVICE(i440fx, 0, host_bridge),
	DEVICE(piix3, 0, isa_bridge),
	DEVICE(piix3_ide, 0, ide),
	DEVICE(piix4_acpi, 0, acpi),
};

const unsigned int pc_device_count = ARRAY_SIZE(pc_devices);

_Static_assert(ARRAY_SIZE(pc_devices) <= PC_DEVICES_MOST, "statistics have room for each");

/* Where they answer, if the guest cannot move them. What comes later covers what is before. */
#define PORTS(base, bytes, ops, member)		{ BUS_PORT_SPACE, base, bytes, &(ops), offsetof(struct pc, member) }
#define MEMORY(base, bytes, ops, member)	{ BUS_MEMORY_SPACE, base, bytes, &(ops), offsetof(struct pc, member) }

static const struct {
	enum bus_space space;
	uint32_t base, bytes;
	const struct io_ops *ops;
	size_t place;			/* of the device */
} ranges[] = {
	PORTS(PC_PORT_PIC_MASTER, I8259_PORTS, i8259_io, pic_master),
	PORTS(PC_PORT_PIT, I8254_PORTS, i8254_io, pit),
	PORTS(PC_PORT_KEYBOARD_DATA, 1, i8042_data_io, keyboard),
	PORTS(PC_PORT_CONTROL_B, 1, i8254_port61_io, pit),
	PORTS(PC_PORT_KEYBOARD_COMMAND, 1, i8042_command_io, keyboard),
	PORTS(PC_PORT_RTC, MC146818_PORTS, mc146818_io, rtc),
	PORTS(PC_PORT_POST, 1, system_ports_post_io, system_ports),
	PORTS(PC_PORT_CONTROL_A, 1, system_ports_control_io, system_ports),
	PORTS(PC_PORT_PIC_SLAVE, I8259_PORTS, i8259_io, pic_slave),
	PORTS(PC_PORT_APM, PIIX4_APM_PORTS, piix4_apm_io, pm),
	PORTS(PC_PORT_IDE_SECONDARY, IDE_COMMAND_PORTS, ide_command_io, ide.channel[1]),
	PORTS(PC_PORT_IDE_PRIMARY, IDE_COMMAND_PORTS, ide_command_io, ide.channel[0]),
	PORTS(PC_PORT_IDE_SECONDARY_CONTROL, IDE_CONTROL_PORTS, ide_control_io, ide.channel[1]),
	PORTS(PC_PORT_IDE_PRIMARY_CONTROL, IDE_CONTROL_PORTS, ide_control_io, ide.channel[0]),
	PORTS(PC_PORT_SERIAL, NS16550_PORTS, ns16550_io, serial),
	PORTS(PC_PORT_DEBUG, 1, debugport_io, debug),
	PORTS(PC_PORT_ELCR_MASTER, 1, i8259_elcr_io, pic_master),
	PORTS(PC_PORT_ELCR_SLAVE, 1, i8259_elcr_io, pic_slave),
	PORTS(PC_PORT_FW_CFG, FW_CFG_PORTS, fw_cfg_io, fw_cfg),
	PORTS(PC_PORT_FW_CFG_DMA, FW_CFG_DMA_PORTS, fw_cfg_dma_io, fw_cfg),
	PORTS(PC_PORT_PCI, PCI_PORTS, pci_io, pci),
	PORTS(PC_PORT_RESET, 1, reset_control_io, reset_control),
	MEMORY(PC_IOAPIC, PC_IOAPIC_BYTES, ioapic_io, ioapic),
	MEMORY(PC_HPET, PC_HPET_BYTES, hpet_io, hpet),
};

_Static_assert(ARRAY_SIZE(ranges) == PC_RANGES, "struct pc has one for each");

static void *at(struct pc *pc, size_t place)
{
	return (char *)pc + place;
}

void *pc_device(struct pc *pc, const struct device *device)
{
	return at(pc, device->place);
}

/* Lines */

void pc_end(struct pc *pc, uint32_t end, uint64_t detail)
{
	if (pc->end)
		return;
	pc->end = end;
	pc->detail = detail;
}

static void power_off(void *owner, unsigned int pin, bool level)
{
	(void)pin;
	if (level)
		pc_end(owner, KEEL_END_POWEROFF, 0);
}

static void reset(void *owner, unsigned int pin, bool level)
{
	(void)pin;
	if (level)
		pc_end(owner, KEEL_END_RESET, 0);
}

static struct line line_to(struct pc *pc, void (*set)(void *, unsigned int, bool), unsigned int pin)
{
	return (struct line){ .set = set, .sink = pc, .pin = pin };
}

static struct line irq_line(struct pc *pc, unsigned int irq)
{
	return line_to(pc, pc_set_irq, PC_IRQ_PIN(PC_IRQ_ISA, irq));
}

static void wire_interrupts(struct pc *pc)
{
	pc->pic_master.master = true;
	pc->pic_master.out = line_to(pc, pc_set_intr, 0);
	pc->pic_master.elcr_mask = PC_ELCR_MASTER;
	pc->pic_slave.out = (struct line){ i8259_set_pin, &pc->pic_master, I8259_CASCADE };
	pc->pic_slave.elcr_mask = PC_ELCR_SLAVE;
	pc->ioapic.bus = &pc->bus;
}

static void init_lapics(struct pc *pc, struct lapic_page *apics)
{
	pc->bus.count = pc->machine.vcpus;
	pc->bus.eoi = pc_lapic_eoi;
	pc->bus.owner = pc;
	pc->bus.now = &pc->now;
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		struct lapic *lapic = &pc->vcpu[i].lapic;

		*lapic = (struct lapic){
			.bus = &pc->bus, .index = i, .id = keel_topology_apic_id(&pc->topology, i), .bsp = i == 0,
			.address_bits = PC_ADDRESS_BITS, .tsc_khz = pc->machine.tsc_khz, .mem = &pc->mem, .page = &apics[i],
			.range = { .ops = &lapic_io, .device = lapic },
		};
		pc->bus.cpu[i] = lapic;
		lapic_init(lapic);
	}
	/* Power-on is an INIT to vCPU 0: its first answer is the reset state. */
	pc->vcpu[0].lapic.s.init_pending = 1;
}

static void init_kvmclock(struct pc *pc)
{
	pc->kvmclock.mem = &pc->mem;
	pc->kvmclock.count = pc->machine.vcpus;
	pc->kvmclock.start_tsc = pc->clock.start;
	pc->kvmclock.start_ns = pc_wall(pc, pc->clock.start);
	kvmclock_init(&pc->kvmclock, pc->machine.tsc_khz);
}

static void wire_timers(struct pc *pc)
{
	pc->pit.now = &pc->now;
	pc->pit.out0 = line_to(pc, pc_set_replaceable_irq, PC_IRQ_PIN(PC_IRQ_ISA, PC_IRQ_TIMER));
	pc->rtc.now = &pc->now;
	pc->rtc.irq = line_to(pc, pc_set_replaceable_irq, PC_IRQ_PIN(PC_IRQ_ISA, PC_IRQ_RTC));
	pc->hpet.now = &pc->now;
	pc->hpet.pins = (struct line){ ioapic_set_pin, &pc->ioapic, 0 };
	pc->hpet.route_cap = PC_HPET_PINS;
	pc->hpet.legacy_irq0 = line_to(pc, pc_set_irq, PC_IRQ_PIN(PC_IRQ_HPET, PC_IRQ_TIMER));
	pc->hpet.legacy_irq8 = line_to(pc, pc_set_irq, PC_IRQ_PIN(PC_IRQ_HPET, PC_IRQ_RTC));
	pc->hpet.legacy_active = line_to(pc, pc_set_hpet_legacy, 0);
	pc->pm.now = &pc->now;
	pc->pm.sci = line_to(pc, pc_set_irq, PC_IRQ_PIN(PC_IRQ_SCI, PC_IRQ_ACPI));
	pc->pm.poweroff = line_to(pc, power_off, 0);
	pc->pm.button_taken = line_to(pc, pc_button_taken, 0);
	pc->reset_control.reset = line_to(pc, reset, 0);
	pc->system_ports.reset = line_to(pc, reset, 0);
}

static void wire_consoles(struct pc *pc)
{
	pc->serial.irq = irq_line(pc, PC_IRQ_SERIAL);
	pc->serial.transmit = pc_serial_transmit;
	pc->serial.receive = pc_serial_receive;
	pc->serial.owner = pc;
	pc->keyboard.irq1 = irq_line(pc, PC_IRQ_KEYBOARD);
	pc->keyboard.irq12 = irq_line(pc, PC_IRQ_MOUSE);
	pc->keyboard.reset = line_to(pc, reset, 0);
	pc->debug = (struct debugport){ pc_debug_character, pc };
}

static void wire_ide(struct pc *pc)
{
	static const unsigned int irqs[PIIX3_IDE_CHANNELS] = { PC_IRQ_IDE_PRIMARY, PC_IRQ_IDE_SECONDARY };

	pc->ide_host = (struct ide_host){ pc, pc_submit, pc_door };
	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++) {
		pc->ide.channel[i].irq = irq_line(pc, irqs[i]);
		pc->ide.channel[i].bm.mem = &pc->mem;
	}
}

/* What is not for local APICs is written where it says. */
static void send_message(void *owner, uint64_t address, uint32_t data)
{
	struct pc *pc = owner;

	if (!lapic_deliver_msi(&pc->bus, address, data))
		gmem_write(&pc->mem, address, &data, sizeof(data));
}

static void add_functions(struct pc *pc)
{
	pc->pci.bus = &pc->io;
	pc->pci.set_intx = piix3_set_intx;
	pc->pci.board = &pc->isa_bridge;
	pc->pci.message = send_message;
	pc->pci.sink = pc;
	pci_add(&pc->pci, PC_SLOT_HOST_BRIDGE, 0, &pc->host_bridge.pci);
	pci_add(&pc->pci, PC_SLOT_ISA_BRIDGE, PC_FUNCTION_ISA_BRIDGE, &pc->isa_bridge.pci);
	pci_add(&pc->pci, PC_SLOT_ISA_BRIDGE, PC_FUNCTION_IDE, &pc->ide.pci);
	pci_add(&pc->pci, PC_SLOT_ISA_BRIDGE, PC_FUNCTION_ACPI, &pc->acpi.pci);
}

static void wire_pci(struct pc *pc)
{
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		pc->isa_bridge.irq[i] = line_to(pc, pc_set_irq, PC_IRQ_PIN(PC_IRQ_PIRQ, i));
	wire_ide(pc);
	pc->acpi.block = (struct io_range){ .ops = &piix4_pm_io, .device = &pc->pm };
	add_functions(pc);
}

static void map_ranges(struct pc *pc)
{
	bus_init(&pc->io);
	for (unsigned int i = 0; i < PC_RANGES; i++) {
		pc->range[i] = (struct io_range){
			.base = ranges[i].base, .bytes = ranges[i].bytes, .ops = ranges[i].ops,
			.device = at(pc, ranges[i].place), .rank = BUS_RANK_FIXED,
		};
		bus_map(&pc->io, ranges[i].space, &pc->range[i]);
	}
	pc_map_firmware(pc);
}

static unsigned int init_devices(struct pc *pc, struct lapic_page *apics)
{
	unsigned int refusal;

	init_lapics(pc, apics);
	init_kvmclock(pc);
	wire_interrupts(pc);
	wire_timers(pc);
	wire_consoles(pc);
	wire_pci(pc);
	map_ranges(pc);
	pc_init_apertures(pc);
	refusal = pc_open_rows(pc);
	for (unsigned int i = 0; i < pc_device_count; i++)
		if (pc_devices[i].ops->init)
			pc_devices[i].ops->init(pc_device(pc, &pc_devices[i]));
	mc146818_set_wall(&pc->rtc, pc_wall(pc, pc->clock.start));
	return refusal;
}

unsigned int pc_init(struct pc *pc, void *channel, uint8_t *guest, struct lapic_page *apics, uint64_t tsc)
{
	unsigned int refusal = link_init(&pc->link, channel, &pc->machine);

	if (!refusal)
		refusal = pc_init_memory(pc, guest);
	if (refusal)
		return refusal;
	pc->topology = keel_topology(pc->machine.topology, pc->machine.vcpus);
	clock_init(&pc->clock, tsc, pc->machine.tsc_khz);
	refusal = init_devices(pc, apics);
	if (!refusal)
		refusal = pc_boot_init(pc);
	pc->io.timed = true;
	pc->deadline_told = TIME_NEVER;
	pc->ready = !refusal;
	pc->running = pc->ready ? pc->machine.vcpus : 0;
	return refusal;
}
