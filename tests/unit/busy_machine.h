/* SPDX-License-Identifier: GPL-2.0 */
/* Brings all devices of the machine of pc_rig.h into the middle of something, for those who save it. */
#ifndef KEEL_TEST_BUSY_MACHINE_H
#define KEEL_TEST_BUSY_MACHINE_H

#include "pc_rig.h"
#include "shared/vq_device.h"

/* The resource half answers what the first drive has asked for: all is well, and what was read is a pattern. */
static inline void answer_disk(void)
{
	uint8_t *ring = channel->queue[0].ring;
	struct vq_head *used = vq_used_head(ring, KEEL_BLOCK_ENTRIES);
	struct vq_device device;
	struct vq_chain chain;

	vq_device_init(&device, channel, offsetof(struct test_channel, queue[0].ring), KEEL_BLOCK_ENTRIES,
		       offsetof(struct test_channel, queue[0].arena), KEEL_BLOCK_ARENA);
	device.avail_index = used->index;
	for (unsigned int i = 0; i < 0x10000; i++)
		channel->queue[0].arena[i] = (uint8_t)(i * 5 + i / 256);
	while (vq_device_take(&device, &chain)) {
		ck_assert(chain.good);
		((uint8_t *)channel)[chain.piece[chain.out + chain.in - 1].offset] = KEEL_BLOCK_OK;
		vq_used_entries(ring, KEEL_BLOCK_ENTRIES)[used->index % KEEL_BLOCK_ENTRIES] = (struct vq_used){ chain.head, 1 };
		used->index++;
	}
	event();
}

/* Four sectors by PIO: the request is made. */
static inline void start_reading(void)
{
	out(0x1f6, 0xe0);
	out(0x1f2, 4);
	out(0x1f3, 7);
	out(0x1f4, 0);
	out(0x1f5, 0);
	out(0x1f7, 0x20);
}

/* A sector and a half has been read; the CD-ROM drive has told that it is empty, and why has not been asked. */
static inline void busy_drives(void)
{
	static const uint8_t ready[12] = { 0x00 };

	start_reading();
	answer_disk();
	for (unsigned int i = 0; i < 384; i++)
		in(0x1f0, 2);
	out(0x176, 0xa0);
	out(0x174, 0xfe);
	out(0x175, 0xff);
	out(0x177, 0xa0);
	for (unsigned int i = 0; i < sizeof(ready); i += 2)
		out_by(0, 0x170, 2, ready[i] | ready[i + 1] << 8);
}

/* Bus-master registers and power management block moved, routing and timing written, an address left behind. */
static inline void busy_pci(void)
{
	pci_put(1, 1, 0x20, 4, 0xc041);
	pci_put(1, 1, 0x04, 2, 5);
	pci_put(1, 1, 0x40, 4, 0x80c38077);
	pci_put(1, 3, 0x40, 4, 0xb001);
	pci_put(1, 3, 0x80, 1, 1);
	pci_put(1, 0, 0x60, 4, 0x0b0a800b);
	pci_put(0, 0, 0x58, 4, 0x33333000);
	out_by(0, 0xc044, 4, 0x12344);
	out(0xc042, 0x60);
	out_by(0, 0xb002, 2, 0x0121);
	out_by(0, 0xcf8, 4, 0x80000b40);
}

static inline void busy_timers(void)
{
	pit_rate(11932);
	out(0x43, 0xb6);
	out(0x42, 0x34);		/* the high byte is still to come */
	out(0x61, 3);
	out(0x43, 0xd2);		/* counter 0: latched */
	in(0x40, 1);
	out(0x70, 0x0a);
	out(0x71, 0x2a);
	out(0x70, 0x0b);
	out(0x71, 0x52);
	mmio_write(0, PC_HPET + 0x100, 0x14c | 20 << 9);	/* periodic by edges, pin 20 */
	mmio_write(0, PC_HPET + 0x108, 100000);
	mmio_write(0, PC_HPET + 0x120, 0x106 | 21 << 9);	/* once, level-triggered */
	mmio_write(0, PC_HPET + 0x128, 3000);
	mmio_write(0, PC_HPET + 0x010, 1);
	out(0xb2, 0xf1);
}

static inline void busy_consoles(void)
{
	out(0x64, 0xae);
	out(0x60, 0xf2);		/* keyboard: acknowledgement and two bytes */
	out(0x64, 0xd4);
	out(0x60, 0xe9);		/* mouse: acknowledgement and three */
	out(0x64, 0x60);		/* the command byte is to come */
	out(0x3fa, 0x81);
	out(0x3f9, 0x0f);
	type_in("three more");
	event();
	in(0x3f8, 1);
	for (unsigned int i = 0; i < KEEL_STREAM_ENTRIES_MOST + 5; i++)
		out(0x3f8, (uint8_t)('a' + i % 26));
	out(0x80, 0x77);
	out(0x92, 0x02);
	out(0xcf9, 0x02);
	out_by(0, 0x510, 2, FW_CFG_FILE_DIR);
	in(0x511, 1);
	in(0x511, 1);
	out_by(0, 0x514, 4, 0x01000000);
}

/* The second processor runs and sleeps, the third has an interrupt posted that it has not seen, the fourth was never started. */
static inline void busy_processors(void)
{
	mmio_write(0, PC_LAPIC + 0x320, 0x20045);		/* timer: periodic */
	mmio_write(0, PC_LAPIC + 0x3e0, 0x3);
	mmio_write(0, PC_LAPIC + 0x380, 50000);
	for (unsigned int i = 1; i < 3; i++) {
		mmio_write(0, PC_LAPIC + 0x310, i << 24);
		mmio_write(0, PC_LAPIC + 0x300, 0x4500);
		mmio_write(0, PC_LAPIC + 0x300, 0x4609);
		poll(i);
		flat(i);
		mmio_write(i, PC_LAPIC + 0xf0, 0x1ff);
	}
	wrmsr(1, MSR_APIC_BASE, rdmsr(1, MSR_APIC_BASE) | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	wrmsr(1, MSR_X2APIC(APIC_REG_LVT_TIMER), LVT_TIMER_DEADLINE | 0x51);
	wrmsr(1, MSR_TSC_DEADLINE, tsc + 3000000);
	mmio_write(0, PC_LAPIC + 0x310, 2u << 24);
	mmio_write(0, PC_LAPIC + 0x300, 0x4061);
	wrmsr(0, KEEL_MSR_WALL_CLOCK, 0x7000);
	wrmsr(0, KEEL_MSR_SYSTEM_TIME, 0x7041);
	wrmsr(1, KEEL_MSR_SYSTEM_TIME, 0x7081);
	wrmsr(0, KEEL_MSR_PV_EOI, 0x70c1);
	enter(1, KEEL_EXIT_HLT);
}

/* A timer's interrupt is in service at the 8259 pair, and a level-triggered one at the IO APIC. */
static inline void busy_interrupts(void)
{
	pics(0x4105);
	out(0x4d1, 0x0c);
	redirect(21, 0x8055, 0);
	redirect(1, 0x10033, 1u << 24);
	mmio_write(0, PC_IOAPIC, 0x2a);
	tsc += 70000000;
	ctx[0].regs.rflags |= IF;
	poll(0);
	poll(0);
	ctx[0].regs.rflags &= ~(uint64_t)IF;
}

static inline void make_busy(void)
{
	for (unsigned int i = 1; i < VCPUS; i++)
		poll(i);
	busy_timers();
	busy_pci();
	busy_consoles();
	busy_processors();
	busy_drives();
	busy_interrupts();
}

#endif
