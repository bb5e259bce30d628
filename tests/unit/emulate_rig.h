/* SPDX-License-Identifier: GPL-2.0 */
/* A vCPU's context, memory with a ROM behind it, and a bus that notes what comes to it. */
#ifndef KEEL_TEST_EMULATE_RIG_H
#define KEEL_TEST_EMULATE_RIG_H

#include <check.h>
#include <stdint.h>
#include <string.h>

#include <x86/registers.h>

#include "shared/pc_map.h"
#include "suite.h"
#include "vcpu/emulate.h"

#define PAGE		4096u
#define ARENA		0x10000000ull	/* guest-physical, linear, and where the native twin is mapped */
#define ARENA_BYTES	(3 * PAGE)
#define ROM		0x10010000ull
#define MMIO		((uint64_t)PC_LAPIC)

#define CF	0x001u
#define PF	0x004u
#define AF	0x010u
#define ZF	0x040u
#define SF	0x080u
#define DF	0x400u
#define OF	0x800u
#define ARITHMETIC	(CF | PF | AF | ZF | SF | OF)
#define FIXED	0x002u

#define CODE64	0x29b	/* attributes: long, present, code, readable */
#define CODE32	0x49b
#define DATA	0x493	/* present, writable, D/B */

static _Alignas(4096) uint8_t backing[ROM + PAGE - ARENA];	/* the emulator's memory; the arena is its start */
static struct gmem mem;
static struct keel_context ctx;
static struct emulate_fault fault;

static struct {
	unsigned int count;
	struct {
		bool write;
		uint64_t gpa, value;
		unsigned int bytes;
	} access[64];
	uint64_t answer;
} bus_log;

static uint64_t random_state = 88172645463325252ull;

static inline uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static inline void note(bool write, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	if (bus_log.count < 64) {
		bus_log.access[bus_log.count].write = write;
		bus_log.access[bus_log.count].gpa = gpa;
		bus_log.access[bus_log.count].bytes = bytes;
		bus_log.access[bus_log.count].value = value;
	}
	bus_log.count++;
}

static inline uint64_t device_read(void *device, uint64_t gpa, unsigned int bytes)
{
	(void)device;
	note(false, gpa, bytes, 0);
	return bus_log.answer;
}

static inline void device_write(void *device, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	(void)device;
	note(true, gpa, bytes, value);
}

static inline uint64_t port_read(void *device, uint64_t port, unsigned int bytes)
{
	(void)device;
	note(false, port, bytes, 0);
	return 0x01010101u * bus_log.count;
}

static inline void port_write(void *device, uint64_t port, unsigned int bytes, uint64_t value)
{
	(void)device;
	note(true, port, bytes, value);
}

static const struct io_ops device_ops = { .read = device_read, .write = device_write, .widest = 8 };
static const struct io_ops port_ops = { .read = port_read, .write = port_write, .widest = 4 };
static struct io_range device = { .bytes = UINT64_MAX, .ops = &device_ops }, ports = { .bytes = BUS_PORTS, .ops = &port_ops };
static struct bus bus;
static struct emulate_known known;

static inline void set_up_bus(void)
{
	bus_init(&bus);
	device.number = ports.number = 0;
	ck_assert(bus_map(&bus, BUS_MEMORY_SPACE, &device) && bus_map(&bus, BUS_PORT_SPACE, &ports));
}

static inline void set_up(void)
{
	mem = (struct gmem) {
		.base = (uint8_t *)((uintptr_t)backing - ARENA),
		.count = 2,
		.range = { { ARENA, ARENA_BYTES, false }, { ROM, PAGE, true } },
	};
	memset(&ctx, 0, sizeof(ctx));
	memset(&bus_log, 0, sizeof(bus_log));
	memset(&fault, 0, sizeof(fault));
	memset(backing, 0, sizeof(backing));
	set_up_bus();
	ctx.exit.flags = KEEL_EXIT_F_SREGS;
	ctx.exit.gpa = ARENA;			/* memory: nothing that the emulator can go by */
	ctx.regs.rflags = FIXED;
	ctx.regs.rip = 0x1000;
	ctx.sregs.cr0 = CR0_PE;
	ctx.sregs.efer = EFER_LMA;
	for (unsigned int i = KEEL_SEG_ES; i <= KEEL_SEG_GS; i++)
		ctx.sregs.seg[i] = (struct keel_segment_register) { .attributes = DATA, .limit = UINT32_MAX };
	ctx.sregs.seg[KEEL_SEG_CS].attributes = CODE64;
}

static inline enum emulate_result emulate(const uint8_t *bytes, unsigned int length)
{
	memcpy(ctx.exit.insn, bytes, length);
	ctx.exit.insn_length = length;
	return emulate_mmio(&ctx, &mem, &bus, &known, 1000, &fault);
}

#define EMULATE(...) emulate((const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }))

static inline void assert_access(unsigned int i, bool write, uint64_t gpa, unsigned int bytes, uint64_t value)
{
	ck_assert_uint_gt(bus_log.count, i);
	ck_assert_int_eq(bus_log.access[i].write, write);
	ck_assert_uint_eq(bus_log.access[i].gpa, gpa);
	ck_assert_uint_eq(bus_log.access[i].bytes, bytes);
	ck_assert_uint_eq(bus_log.access[i].value, value);
}

#endif
