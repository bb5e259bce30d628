/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine "pc": i440FX, PIIX3 and what a PC of their time had around them, with local APICs, an IO APIC and an HPET.
 * pc.c wires, pc_irq.c routes interrupts, pc_time.c has the time, pc_memory.c memory and firmware, pc_host.c the kinds of devices
 * that the resource half serves, each of which is in a file beside it, pc_boot.c what firmware is told, pc_statistics.c what has
 * happened. What is where is in shared/pc_map.h.
 *
 * One struct holds all of it; nothing here locks: one entry at a time (keel/cell.h). An entry starts with pc_set_time, which sets
 * the time and the vCPU that accesses are made by. What gets to the bus is no memory, or a write to read-only memory.
 */
#ifndef KEEL_PC_H
#define KEEL_PC_H

#include <stdbool.h>
#include <stdint.h>

#include <keel/cell.h>
#include <keel/channel.h>
#include <keel/topology.h>

#include "chip/debugport.h"
#include "chip/fw_cfg.h"
#include "chip/hpet.h"
#include "chip/i8042.h"
#include "chip/i8254.h"
#include "chip/i8259.h"
#include "chip/ioapic.h"
#include "chip/kvmclock.h"
#include "vcpu/lapic.h"
#include "chip/mc146818.h"
#include "chip/ns16550.h"
#include "chip/piix4_pm.h"
#include "chip/reset_control.h"
#include "chip/system_ports.h"
#include "core/aperture.h"
#include "core/bus.h"
#include "core/clock.h"
#include "core/device.h"
#include "disk/block.h"
#include "core/gmem.h"
#include "machine/link.h"
#include "machine/transfer.h"
#include "pci/i440fx.h"
#include "pci/pci.h"
#include "pci/piix3.h"
#include "pci/piix3_ide.h"
#include "pci/piix4_acpi.h"
#include "vcpu/emulate.h"
#include "virtio/virtio.h"

#define PC_ISA_IRQS	16u
#define PC_RANGES	24u		/* that the guest cannot move */
#define PC_CDROM_SECTOR	2048u
#define PC_DEVICES_MOST	24u		/* in pc_devices */
#define PC_VIRTIO_BYTES	0x2e000u	/* for all virtio devices: 16 network cards with 8 disks take most */

/* Who pulls an ISA interrupt line; its level is the OR. */
enum pc_irq_source { PC_IRQ_ISA, PC_IRQ_PIRQ, PC_IRQ_SCI, PC_IRQ_HPET, PC_IRQ_SOURCES };

/* The pin of a line to pc_set_irq. */
#define PC_IRQ_PIN(source, irq)	((unsigned int)(source) * PC_ISA_IRQS + (irq))

struct pc_vcpu {
	struct lapic lapic;
	bool halted;			/* executed HLT and nothing has woken it */
	bool quiet;			/* the last answer let it run, and asked for no notice */
	uint64_t deadline;		/* of its local APIC's timer, as that answer took it */
};

struct pc_console {
	struct stream_in in;
	struct stream_out out;
	struct vq_shadow in_shadow[KEEL_STREAM_ENTRIES_MOST], out_shadow[KEEL_STREAM_ENTRIES_MOST];
};

struct pc_log {
	struct stream_out out;
	struct vq_shadow shadow[KEEL_STREAM_ENTRIES_MOST];
};

/* The pages of all contexts, by their numbers. */
struct pc_contexts {
	uint8_t *first;			/* NULL: there is no way to them, and no statistics */
	size_t bytes;			/* from one to the next */
};

/* Of a row: struct link_kind. */
struct pc_event {
	void (*take)(struct pc *pc, const struct keel_device *row);
	const struct keel_device *row;
};

struct pc {
	bool ready;			/* pc_init has succeeded */
	/* vCPUs below this one run: all of them, unless the machine is being saved or loaded (machine/transfer.h). */
	unsigned int running;
	uint32_t end;			/* enum keel_end, once the guest has switched off or reset its machine */
	uint64_t detail;
	unsigned int current;		/* context of the entry at hand */
	uint64_t tsc;			/* of the host, at the entry at hand */
	uint64_t now;			/* time of the entry at hand; never runs backwards */
	uint64_t deadline;		/* the earliest of the shared chips, unless io.timed says to ask again */
	uint64_t deadline_told;		/* what vCPU 0, which looks after them, knows */

	struct clock clock;
	struct gmem mem;
	struct link link;
	struct transfer transfer;
	struct keel_machine machine;
	struct keel_topology topology;

	struct lapic_bus bus;
	struct pc_vcpu vcpu[KEEL_MAX_VCPUS];
	struct emulate_known known;
	struct kvmclock kvmclock;
	struct ioapic ioapic;
	struct i8259 pic_master, pic_slave;
	bool intr;			/* level of the 8259 pair's INTR */
	uint16_t isa_level[PC_IRQ_SOURCES];

	struct i8254 pit;
	struct mc146818 rtc;
	struct hpet hpet;
	struct piix4_pm pm;
	struct ns16550 serial;
	struct i8042 keyboard;
	struct debugport debug;
	struct fw_cfg fw_cfg;
	struct reset_control reset_control;
	struct system_ports system_ports;

	struct pci pci;
	struct i440fx host_bridge;
	struct piix3 isa_bridge;
	struct piix3_ide ide;
	struct piix4_acpi acpi;
	struct ide_host ide_host;
	struct block block[KEEL_DRIVES];
	struct link_messages door[KEEL_DRIVES];		/* of CD-ROM drives */
	const struct keel_device *drive[KEEL_DRIVES];	/* of machine; NULL: there is none */

	struct pc_console console;
	struct pc_log log;		/* of the debug port */
	struct link_messages panel;
	struct pc_event event[KEEL_DEVICES];	/* of the rows that have something to take, in their order */
	unsigned int events;

	/* As many as the channel has rows for, one behind the other in the memory. */
	struct virtio_device *virtio[KEEL_DEVICES];
	unsigned int virtio_devices;
	size_t virtio_used;
	_Alignas(16) uint8_t virtio_memory[PC_VIRTIO_BYTES];

	struct bus io;
	struct io_range range[PC_RANGES], firmware;
	struct apertures apertures;
};

/* The one list of the machine's devices, but for local APICs, which are the vCPUs'. */
extern const struct device pc_devices[];
extern const unsigned int pc_device_count;
void *pc_device(struct pc *pc, const struct device *device);

/*
 * Builds the machine that the channel describes; guest is where guest-physical address 0 is mapped, apics are the
 * vCPUs' APIC pages. 0, or an enum cell_refusal.
 */
unsigned int pc_init(struct pc *pc, void *channel, uint8_t *guest, struct lapic_page *apics, uint64_t tsc);

/* pc_memory.c, for pc_init. The first one loads the firmware: 0, or an enum cell_refusal. */
unsigned int pc_init_memory(struct pc *pc, uint8_t *guest);
void pc_map_firmware(struct pc *pc);
void pc_init_apertures(struct pc *pc);

/* pc_time.c. Nanoseconds since 1970 at a host TSC, in the guest's RTC time zone. */
int64_t pc_wall(const struct pc *pc, uint64_t tsc);

/* An entry of this context at this host TSC. */
void pc_set_time(struct pc *pc, unsigned int context, uint64_t tsc);
/* After lapic_begin: lets shared chips act that are due. */
void pc_advance(struct pc *pc);
/* The earliest time at which a shared chip wants to act; every entry ends with it. */
uint64_t pc_deadline(struct pc *pc);

/* pc_irq.c: ends of lines, whose sink is a struct pc. */
void pc_set_irq(void *pc, unsigned int pin, bool level);
void pc_set_replaceable_irq(void *pc, unsigned int pin, bool level);
void pc_set_hpet_legacy(void *pc, unsigned int pin, bool level);
void pc_set_intr(void *pc, unsigned int pin, bool level);
void pc_lapic_eoi(void *pc, uint8_t vector);
/* The 8259 pair asks vCPU 0 for an interrupt, and its local APIC lets it through. */
bool pc_extint_pending(const struct pc *pc);
uint8_t pc_extint_acknowledge(struct pc *pc);

/* pc_host.c. Power-on of what the channel has rows for: 0, or an enum cell_refusal. The other one looks at the channel. */
unsigned int pc_open_rows(struct pc *pc);
void pc_event(struct pc *pc);
typedef void pc_message_fn(struct pc *pc, const struct keel_device *row, const struct keel_message *message);
void pc_take_messages(struct pc *pc, struct link_messages *messages, const struct keel_device *row, pc_message_fn *take);
/* pc_virtio.c. A message for the virtio device in this slot, if there is one. */
void pc_virtio_message(struct pc *pc, uint32_t slot, const struct keel_message *message);
/* The kinds; and what the chips ask of the resource half, where owner is a struct pc. */
extern const struct link_kind pc_disk_kind, pc_cdrom_kind, pc_console_kind, pc_debug_kind, pc_panel_kind, pc_virtio_kind;
void pc_debug_character(void *pc, uint8_t character);
void pc_debug_bytes(struct pc *pc, const char *text, const uint8_t *bytes, unsigned int count);
bool pc_serial_transmit(void *pc, uint8_t character);
void pc_serial_receive(void *pc);
void pc_button_taken(void *pc, unsigned int pin, bool level);
bool pc_submit(void *pc, unsigned int drive, unsigned int chunk, enum keel_block_op op, uint64_t offset, uint32_t count);
void pc_door(void *pc, unsigned int drive, bool locked, bool ejected);

/* pc_statistics.c: what the resource half wants to know, at an event. */
void pc_statistics(struct pc *pc, const struct pc_contexts *contexts);

/* pc_boot.c: CMOS and fw_cfg. 0, or an enum cell_refusal. */
unsigned int pc_boot_init(struct pc *pc);

/* The guest has switched off or reset its machine. The first reason counts. */
void pc_end(struct pc *pc, uint32_t end, uint64_t detail);

#endif
