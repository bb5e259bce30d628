/* SPDX-License-Identifier: GPL-2.0 */
/* The machine as a cell sees it. */
#include <keel/macros.h>

#include "pc_rig.h"
#include "shared/vq_device.h"
#include "suite.h"

/* Start */

START_TEST(vcpu_before_event)
{
	struct keel_answer *answer = poll(0);

	ck_assert_uint_eq(answer->action, KEEL_ACTION_END);
	ck_assert_uint_eq(answer->end, KEEL_END_CELL_REFUSED);
	ck_assert_uint_eq(answer->detail, CELL_REFUSED_CONTEXT);
	ck_assert_uint_eq(event()->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(poll(VCPUS)->detail, CELL_REFUSED_CONTEXT);
	ck_assert_uint_eq(poll(VCPUS - 1)->action, KEEL_ACTION_WAIT);
	ctx[0].exit.context = 5000;
}
END_TEST

#define BAD(field, value, why) { offsetof(struct keel_channel, field), BAD_BYTES(((struct keel_channel *)0)->field), value, why }
#define BAD_BYTES(field)	(sizeof(field) < sizeof(uint64_t) ? sizeof(field) : sizeof(uint64_t))
static const struct {
	size_t offset, bytes;
	uint64_t value;
	unsigned int why;
} bad[] = {
	BAD(magic, 1, CELL_REFUSED_CHANNEL),
	BAD(version, KEEL_CHANNEL_VERSION + 1, CELL_REFUSED_CHANNEL),
	BAD(bytes, sizeof(struct keel_channel) - 1, CELL_REFUSED_CHANNEL),
	BAD(bytes, KEEL_CELL_CHANNEL_MAX + 1, CELL_REFUSED_CHANNEL),
	BAD(bytes, UINT64_MAX, CELL_REFUSED_CHANNEL),
	BAD(machine.vcpus, 0, CELL_REFUSED_VCPUS),
	BAD(machine.vcpus, KEEL_MAX_VCPUS + 1, CELL_REFUSED_VCPUS),
	BAD(machine.topology, KEEL_TOPOLOGY(3, 1), CELL_REFUSED_VCPUS),
	BAD(machine.topology, KEEL_TOPOLOGY(4, 4), CELL_REFUSED_VCPUS),
	BAD(machine.topology, UINT32_MAX, CELL_REFUSED_VCPUS),
	BAD(machine.low_memory, 0x80000, CELL_REFUSED_MEMORY),
	BAD(machine.low_memory, 0xc0001000, CELL_REFUSED_MEMORY),
	BAD(machine.low_memory, 0x1000800, CELL_REFUSED_MEMORY),
	BAD(machine.high_memory, UINT64_MAX - 4095, CELL_REFUSED_MEMORY),
	BAD(machine.high_memory, 0x800, CELL_REFUSED_MEMORY),
	BAD(machine.tsc_khz, 0, CELL_REFUSED_CLOCK),
	BAD(machine.tsc_khz, UINT64_MAX, CELL_REFUSED_CLOCK),
	BAD(machine.firmware_bytes, 0, CELL_REFUSED_FIRMWARE),
	BAD(machine.firmware_bytes, 0x200000, CELL_REFUSED_FIRMWARE),
	BAD(machine.firmware, UINT32_MAX, CELL_REFUSED_FIRMWARE),
	BAD(machine.firmware, sizeof(struct test_channel) - FIRMWARE_BYTES + 1, CELL_REFUSED_FIRMWARE),
	BAD(machine.firmware, 0, CELL_REFUSED_FIRMWARE),
	BAD(machine.devices, KEEL_DEVICES + 1, CELL_REFUSED_DEVICE),
	BAD(machine.devices, RIG_DEVICES + 1, CELL_REFUSED_DEVICE),
	BAD(machine.devices, 1, CELL_REFUSED_DEVICE),
	BAD(machine.queues, KEEL_QUEUES + 1, CELL_REFUSED_DEVICE),
	BAD(machine.queues, 1, CELL_REFUSED_DEVICE),
	BAD(machine.queues, RIG_QUEUES + 1, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].type, 0, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].type, 3, CELL_REFUSED_DEVICE),
	BAD(machine.device[2].type, 6, CELL_REFUSED_DEVICE),
	BAD(machine.device[2].slot, 1, CELL_REFUSED_DEVICE),
	BAD(machine.device[3].type, KEEL_DEVICE_CONSOLE, CELL_REFUSED_DEVICE),
	BAD(machine.device[4].slot, UINT16_MAX, CELL_REFUSED_DEVICE),
	BAD(machine.queue[5].entries, 2 * KEEL_STREAM_ENTRIES_MOST, CELL_REFUSED_DEVICE),
	BAD(machine.queue[3].entries, 2 * KEEL_MESSAGE_ENTRIES, CELL_REFUSED_DEVICE),
	BAD(machine.queue[7].entries, 2 * KEEL_MESSAGE_ENTRIES, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].type, UINT32_MAX, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].slot, KEEL_DRIVES, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].slot, 2, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].first_queue, 1, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].first_queue, UINT16_MAX, CELL_REFUSED_DEVICE),
	BAD(machine.device[1].first_queue, 0, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].queues, 0, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].queues, 2, CELL_REFUSED_DEVICE),
	BAD(machine.device[1].queues, UINT16_MAX, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].config_bytes, 0, CELL_REFUSED_DEVICE),
	BAD(machine.device[0].config, UINT64_MAX / KEEL_SECTOR, CELL_REFUSED_DEVICE),
	BAD(machine.device[1].config, 1, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].ring, UINT32_MAX & ~15u, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].ring, 64, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].ring, offsetof(struct test_channel, queue[0].ring) + 8, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].ring, (uint32_t)sizeof(struct test_channel) - 64, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].entries, 8, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].entries, 2 * KEEL_BLOCK_ENTRIES, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].entries, 17, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].entries, 2048, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].arena, 0, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].arena, UINT32_MAX & ~4095u, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].arena, offsetof(struct test_channel, queue[0].arena) + 512, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].arena, (uint32_t)sizeof(struct test_channel) - KEEL_BLOCK_ARENA + 4096, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].arena_bytes, KEEL_BLOCK_ARENA - 4096, CELL_REFUSED_DEVICE),
	BAD(machine.queue[0].arena_bytes, 0, CELL_REFUSED_DEVICE),
	BAD(machine.aperture[0].bytes, KEEL_PAGE_SIZE, CELL_REFUSED_APERTURE),		/* the channel's header */
	BAD(machine.aperture[7].bytes, UINT32_MAX & ~4095u, CELL_REFUSED_APERTURE),
	BAD(machine.aperture[3].bytes, 1, CELL_REFUSED_APERTURE),
	BAD(machine.statistics, offsetof(struct test_channel, statistics) + 8, CELL_REFUSED_STATISTICS),
	BAD(machine.statistics, KEEL_PAGE_SIZE, CELL_REFUSED_STATISTICS),		/* the channel's header */
	BAD(machine.statistics, UINT32_MAX & ~4095u, CELL_REFUSED_STATISTICS),
	BAD(machine.statistics, sizeof(struct test_channel), CELL_REFUSED_STATISTICS),
	BAD(machine.items, KEEL_ITEMS + 1, CELL_REFUSED_ITEM),
	BAD(machine.item[0].size, sizeof(struct test_channel), CELL_REFUSED_ITEM),
	BAD(machine.item[0].offset, UINT32_MAX, CELL_REFUSED_ITEM),
	BAD(machine.item[1].key, 0x10000, CELL_REFUSED_ITEM),
	BAD(machine.item[1].key, FW_CFG_SIGNATURE, CELL_REFUSED_ITEM),
};

START_TEST(bad_channel)
{
	memcpy((uint8_t *)channel + bad[_i].offset, &bad[_i].value, bad[_i].bytes);
	ck_assert_uint_eq(event()->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[EVENT].answer.end, KEEL_END_CELL_REFUSED);
	ck_assert_uint_eq(ctx[EVENT].answer.detail, bad[_i].why);
	ck_assert_uint_eq(poll(0)->action, KEEL_ACTION_END);
}
END_TEST

START_TEST(power_on)
{
	struct keel_answer *answer;
	const struct keel_sregs *s = &ctx[0].sregs;

	event();
	ck_assert_int_eq(memcmp(guest + GUEST_BYTES - FIRMWARE_BYTES, channel->firmware, FIRMWARE_BYTES), 0);
	ck_assert_int_eq(memcmp(guest + 0xe0000, channel->firmware + FIRMWARE_BYTES - 0x20000, 0x20000), 0);
	answer = poll(0);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_SREGS);
	ck_assert_uint_eq(ctx[0].regs.rip, 0xfff0);
	ck_assert_uint_eq(ctx[0].regs.rflags, 2);
	ck_assert_uint_eq(s->seg[KEEL_SEG_CS].selector, 0xf000);
	ck_assert_uint_eq(s->seg[KEEL_SEG_CS].base, 0xffff0000);
	ck_assert_uint_eq(s->seg[KEEL_SEG_CS].limit, 0xffff);
	ck_assert_uint_eq(s->seg[KEEL_SEG_DS].attributes, 0x93);
	ck_assert_uint_eq(s->cr0, 0x60000010);
	ck_assert_uint_eq(poll(0)->flags, 0);
	for (unsigned int i = 1; i < VCPUS; i++) {
		ck_assert_uint_eq(poll(i)->action, KEEL_ACTION_WAIT);
		ck_assert_uint_eq(ctx[i].answer.deadline, NEVER);
	}
}
END_TEST

/* Two sockets of three cores: the second one's identifiers begin at 4. */
START_TEST(sockets)
{
	static const uint32_t ids[] = { 0, 1, 2, 4, 5, 6 };

	channel->c.machine.vcpus = 6;
	channel->c.machine.topology = KEEL_TOPOLOGY(3, 1);
	event();
	poll(0);
	flat(0);
	out_by(0, 0x510, 2, FW_CFG_NB_CPUS);
	ck_assert_uint_eq(in(0x511, 1), 6);
	out_by(0, 0x510, 2, FW_CFG_MAX_CPUS);
	ck_assert_uint_eq(in(0x511, 1), 7);
	for (unsigned int i = 0; i < 6; i++)
		ck_assert_uint_eq(pc->vcpu[i].lapic.id, ids[i]);
	ck_assert_uint_eq(mmio_read(0, PC_LAPIC + 0x20), 0);
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	for (unsigned int i = 1; i < 6; i++) {
		mmio_write(0, PC_LAPIC + 0x310, ids[i] << 24);
		ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x4610)->kick, 1u << i);
		ck_assert_uint_eq(poll(i)->action, KEEL_ACTION_RESUME);
		flat(i);
		ck_assert_uint_eq(mmio_read(i, PC_LAPIC + 0x20), ids[i] << 24);
	}
	/* Nobody has 3. */
	mmio_write(0, PC_LAPIC + 0x310, 3u << 24);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x4400)->kick, 0);
}
END_TEST

/* Ports */

START_TEST(port_map)
{
	out(0x80, 0x42);
	ck_assert_uint_eq(in(0x80, 1), 0x42);
	ck_assert_uint_eq(ctx[0].regs.gpr[KEEL_RAX], 0x5555555555555542ull);
	ck_assert_uint_eq(in(0x1234, 1), 0xff);
	ck_assert_uint_eq(in(0x1234, 2), 0xffff);
	ck_assert_uint_eq(ctx[0].regs.gpr[KEEL_RAX], 0x555555555555ffffull);
	ck_assert_uint_eq(in(0x1234, 4), 0xffffffff);
	ck_assert_uint_eq(ctx[0].regs.gpr[KEEL_RAX], 0xffffffffull);
	ck_assert_uint_eq(in(0xffff, 4), 0xffffffff);
	ck_assert_uint_eq(in(0x402, 1), 0xe9);

	out_by(0, 0x3fb, 1, 3);
	out(0x3ff, 0xa5);
	ck_assert_uint_eq(in(0x3ff, 1), 0xa5);
	/* A wide access to narrow registers, and over the end of a block. */
	ck_assert_uint_eq(in(0x3ff, 2), 0xffa5);
	out_by(0, 0x3fe, 2, 0x5a00);
	ck_assert_uint_eq(in(0x3ff, 1), 0x5a);

	ck_assert_uint_eq(pci_get(0, 0, 0), 0x12378086);
	ck_assert_uint_eq(pci_get(1, 0, 0), 0x70008086);
	ck_assert_uint_eq(pci_get(1, 1, 0), 0x70108086);
	ck_assert_uint_eq(pci_get(1, 3, 0), 0x71138086);
	ck_assert_uint_eq(pci_get(2, 0, 0), 0xffffffff);
	ck_assert_uint_eq(in(0xcf8, 4), 0x80001000);
	out_by(0, 0xcf8, 4, 0x80000000);
	ck_assert_uint_eq(in(0xcfe, 4), 0xffff1237);
	ck_assert_uint_eq(ctx[0].answer.flags, KEEL_ANSWER_REGS | KEEL_ANSWER_RIP);
}
END_TEST

static uint8_t cmos(uint8_t index)
{
	out(0x70, index);
	return (uint8_t)in(0x71, 1);
}

START_TEST(boot_data)
{
	static const uint8_t geometry[9] = { 2, 0, 16, 0xff, 0xff, 0xc8, 2, 0, 63 };

	ck_assert_uint_eq(cmos(0x15) | cmos(0x16) << 8, 640);
	ck_assert_uint_eq(cmos(0x17) | cmos(0x18) << 8, 31 * 1024);
	ck_assert_uint_eq(cmos(0x34) | cmos(0x35) << 8, 16 * 16);
	ck_assert_uint_eq(cmos(0x5b) | cmos(0x5c) | cmos(0x5d), 0);
	ck_assert_uint_eq(cmos(0x5f), VCPUS - 1);
	ck_assert_uint_eq(cmos(0x3d), 0x32);
	ck_assert_uint_eq(cmos(0x12), 0xf0);
	/* The geometry of a disk that is smaller than a cylinder, and none of the second. */
	ck_assert_uint_eq(cmos(0x19), 47);
	for (unsigned int i = 0; i < sizeof(geometry); i++)
		ck_assert_uint_eq(cmos((uint8_t)(0x1b + i)), geometry[i]);
	for (unsigned int i = 0; i < sizeof(geometry); i++)
		ck_assert_uint_eq(cmos((uint8_t)(0x24 + i)), 0);
	ck_assert_uint_eq(cmos(0x1a), 0);
	ck_assert_uint_eq(cmos(0x09), 0x71);
	ck_assert_uint_eq(cmos(0x08), 0x01);

	out_by(0, 0x510, 2, FW_CFG_NB_CPUS);
	ck_assert_uint_eq(in(0x511, 1), VCPUS);
	out_by(0, 0x510, 2, 0x8003);
	ck_assert_uint_eq(in(0x511, 1), 'a');
	ck_assert_uint_eq(in(0x511, 1), 'b');
	out_by(0, 0x510, 2, FW_CFG_FILE_FIRST);
	ck_assert_uint_eq(in(0x511, 1), 'a');
	ck_assert_uint_eq(in(0x514, 4), 0x554d4551);
}
END_TEST

START_TEST(fw_cfg_dma)
{
	uint32_t descriptor[4] = {
		__builtin_bswap32(FW_CFG_FILE_FIRST << 16 | 8 | 2), __builtin_bswap32(20), 0, __builtin_bswap32(0x2000)
	};

	memcpy(guest + 0x1000, descriptor, sizeof(descriptor));
	out_by(0, 0x518, 4, __builtin_bswap32(0x1000));
	ck_assert_int_eq(memcmp(guest + 0x2000, channel->item, 20), 0);
	ck_assert_uint_eq(*(uint32_t *)(guest + 0x1000), 0);
	/* The firmware's own page is read-only for devices too. */
	descriptor[3] = __builtin_bswap32(0xfffff000);
	memcpy(guest + 0x1000, descriptor, sizeof(descriptor));
	out_by(0, 0x518, 4, __builtin_bswap32(0x1000));
	ck_assert_uint_eq(*(uint32_t *)(guest + 0x1000), __builtin_bswap32(1));
	ck_assert_int_eq(memcmp(guest + GUEST_BYTES - FIRMWARE_BYTES, channel->firmware, FIRMWARE_BYTES), 0);
}
END_TEST

/* The channel */

/* All that the resource half finds; it may be more than there is room for. */
static size_t take(size_t (*from)(struct board *, uint8_t *, size_t), uint8_t *to)
{
	size_t count = 0, n;

	while ((n = from(&host, to + count, STREAM_BYTES)) > 0)
		count += n;
	return count;
}

/* What does not fit is dropped, and what was before it is not. */
START_TEST(debug_port)
{
	static uint8_t text[2 * STREAM_BYTES];

	ck_assert_uint_eq(out(0x402, '\n')->flags & KEEL_ANSWER_DOORBELL, 0);
	channel->c.host_asleep = 1;
	ck_assert_uint_eq(out(0x402, 'x')->flags & KEEL_ANSWER_DOORBELL, 0);
	ck_assert_uint_eq(out(0x402, '\n')->flags & KEEL_ANSWER_DOORBELL, KEEL_ANSWER_DOORBELL);
	ck_assert_uint_eq(poll(0)->flags & KEEL_ANSWER_DOORBELL, 0);
	out(0x402, 'y');
	ck_assert_uint_eq(take(board_take_debug, text), 4);
	ck_assert_int_eq(memcmp(text, "\nx\ny", 4), 0);
	for (unsigned int i = 0; i < 2 * KEEL_STREAM_ENTRIES_MOST; i++)
		out(0x402, (uint8_t)i);
	ck_assert_uint_eq(take(board_take_debug, text), KEEL_STREAM_ENTRIES_MOST);
	for (unsigned int i = 0; i < KEEL_STREAM_ENTRIES_MOST; i++)
		ck_assert_uint_eq(text[i], (uint8_t)i);
	out(0x402, 'z');
	ck_assert_uint_eq(take(board_take_debug, text), 1);
	ck_assert(!board_event_wanted(&host));
}
END_TEST

START_TEST(serial_console)
{
	static uint8_t text[2 * STREAM_BYTES];

	channel->c.host_asleep = 1;
	ck_assert_uint_eq(out(0x3f8, 'H')->flags & KEEL_ANSWER_DOORBELL, KEEL_ANSWER_DOORBELL);
	/* Whatever becomes of the guest now, this is there. */
	ck_assert_uint_eq(take(board_take_output, text), 1);
	out(0x3f8, 'i');
	ck_assert_uint_eq(take(board_take_output, text + 1), 1);
	ck_assert_int_eq(memcmp(text, "Hi", 2), 0);
	ck_assert(!board_event_wanted(&host));

	/* The other end does not read: the transmitter shows busy, nothing is lost, an event lets it go on. */
	for (unsigned int i = 0; i < KEEL_STREAM_ENTRIES_MOST; i++)
		out(0x3f8, (uint8_t)i);
	ck_assert_uint_eq(in(0x3fd, 1) & 0x60, 0x60);
	out(0x3f8, 'A');
	ck_assert_uint_eq(in(0x3fd, 1) & 0x40, 0);
	ck_assert_uint_eq(board_take_output(&host, text, 10), 10);
	ck_assert(board_event_wanted(&host));
	event();
	ck_assert_uint_eq(take(board_take_output, text + 10), KEEL_STREAM_ENTRIES_MOST - 10 + 1);
	for (unsigned int i = 0; i < KEEL_STREAM_ENTRIES_MOST; i++)
		ck_assert_uint_eq(text[i], (uint8_t)i);
	ck_assert_uint_eq(text[KEEL_STREAM_ENTRIES_MOST], 'A');
	ck_assert(!board_event_wanted(&host));
	ck_assert_uint_eq(in(0x3fd, 1) & 0x60, 0x60);
}
END_TEST

/* What a guest types ahead waits, in order, however it comes. */
START_TEST(serial_input_waits)
{
	char text[3000];

	for (unsigned int i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	ck_assert_uint_eq(board_input_room(&host), STREAM_BYTES);
	board_put_input(&host, (uint8_t *)text, 1);
	board_put_input(&host, (uint8_t *)text + 1, 2000);
	event();
	board_put_input(&host, (uint8_t *)text + 2001, sizeof(text) - 2001);
	for (unsigned int i = 0; i < sizeof(text); i++) {
		ck_assert_uint_eq(in(0x3fd, 1) & 1, 1);
		ck_assert_uint_eq(in(0x3f8, 1), (uint8_t)text[i]);
	}
	ck_assert_uint_eq(in(0x3fd, 1) & 1, 0);
	/* All of it has room again. */
	ck_assert_uint_eq(board_input_room(&host), STREAM_BYTES);
}
END_TEST

START_TEST(serial_input_interrupts)
{
	pics(1 << 4);
	out(0x3fb, 3);
	out(0x3f9, 1);
	out(0x3fc, 0x0b);
	ctx[0].regs.rflags |= IF;
	ck_assert_uint_eq(poll(0)->inject, 0);
	type_in("ls");
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x24));
	ck_assert_uint_eq(in(0x3f8, 1), 'l');
	ck_assert_uint_eq(in(0x3f8, 1), 's');
	ck_assert_uint_eq(in(0x3fd, 1) & 1, 0);
}
END_TEST

/* Interrupts */

START_TEST(pit_through_8259)
{
	struct keel_answer *answer;
	uint64_t deadline;

	pics(1);
	pit_rate(1193);
	answer = enter(0, KEEL_EXIT_HLT);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_WAIT);
	deadline = answer->deadline;
	ck_assert_uint_gt(deadline, tsc + 1900000);
	ck_assert_uint_lt(deadline, tsc + 2100000);

	/* HLT with IF = 0 sleeps on. */
	tsc = deadline;
	ck_assert_uint_eq(poll(0)->action, KEEL_ACTION_WAIT);
	ctx[0].regs.rflags |= IF;
	answer = poll(0);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(answer->inject, INJECTED(0x20));
	ck_assert_uint_eq(poll(0)->inject, 0);

	/* The next one is not taken while IF = 0; a window is asked for. */
	out(0x20, 0x20);
	ctx[0].regs.rflags &= ~(uint64_t)IF;
	tsc += 2100000;
	answer = poll(0);
	ck_assert_uint_eq(answer->inject, 0);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_WINDOW);
	ctx[0].regs.rflags |= IF;
	answer = enter(0, KEEL_EXIT_WINDOW);
	ck_assert_uint_eq(answer->inject, INJECTED(0x20));
	ck_assert_uint_eq(answer->flags, 0);
}
END_TEST

START_TEST(pit_through_ioapic)
{
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	pit_rate(1193);		/* the control word may raise OUT already: to a masked pin */
	redirect(2, 0x30, 0);
	ctx[0].regs.rflags |= IF;
	ck_assert_uint_eq(poll(0)->inject, 0);
	tsc = ctx[0].answer.deadline;
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x30));
	/* In service until its EOI. */
	tsc += 2100000;
	ck_assert_uint_eq(poll(0)->inject, 0);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0xb0, 0)->inject, INJECTED(0x30));
}
END_TEST

/* An exit of a vCPU that makes the shared deadline earlier has vCPU 0 look at it. */
START_TEST(deadline_of_another)
{
	poll(0);
	out_by(1, 0x43, 1, 0x34);
	out_by(1, 0x40, 1, 0xa9);
	out_by(1, 0x40, 1, 0x04);
	ck_assert_uint_eq(ctx[1].answer.kick & 1, 1);
	ck_assert_uint_eq(ctx[1].answer.deadline, NEVER);
	ck_assert_uint_eq(poll(1)->kick, 0);
	ck_assert_uint_lt(poll(0)->deadline, tsc + 2100000);
}
END_TEST

START_TEST(tpr_holds_back)
{
	struct keel_answer *answer;

	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	ctx[0].regs.rflags |= IF;
	ctx[0].exit.tpr = 5;
	mmio_write(0, PC_LAPIC + 0x300, 0x00040051);	/* to itself */
	answer = poll(0);
	ck_assert_uint_eq(answer->inject, 0);
	ck_assert_uint_eq(answer->flags, 0);
	ck_assert_uint_eq(answer->tpr_threshold, 5);
	ctx[0].exit.tpr = 4;
	answer = enter(0, KEEL_EXIT_TPR);
	ck_assert_uint_eq(answer->inject, INJECTED(0x51));
	ck_assert_uint_eq(answer->tpr_threshold, 0);
}
END_TEST

/* What Keel does with an answer's CR8. */
static void take_tpr(const struct keel_answer *answer)
{
	if (answer->flags & KEEL_ANSWER_TPR)
		ctx[0].exit.tpr = answer->tpr;
}

START_TEST(tpr_moves_cr8)
{
	struct keel_answer *answer;

	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	ctx[0].regs.rflags |= IF;
	answer = mmio_write(0, PC_LAPIC + 0x80, 0x53);
	ck_assert(answer->flags & KEEL_ANSWER_TPR);
	ck_assert_uint_eq(answer->tpr, 5);
	take_tpr(answer);
	/* Not taken for a write of CR8, which would clear the lower half. */
	ck_assert_uint_eq(mmio_read(0, PC_LAPIC + 0x80), 0x53);
	ck_assert(!(answer->flags & KEEL_ANSWER_TPR));
	ck_assert(!(mmio_write(0, PC_LAPIC + 0x80, 0x5f)->flags & KEEL_ANSWER_TPR));
	/* A fall by CR8 is noticed though it was the register that held the interrupt back. */
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x00040051)->tpr_threshold, 5);
	ctx[0].exit.tpr = 0;
	answer = enter(0, KEEL_EXIT_TPR);
	ck_assert_uint_eq(answer->inject, INJECTED(0x51));
	ck_assert_uint_eq(answer->flags, 0);
	ck_assert_uint_eq(mmio_read(0, PC_LAPIC + 0x80), 0);

	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	answer = wrmsr(0, MSR_X2APIC(APIC_REG_TPR), 0xf0);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_RIP | KEEL_ANSWER_TPR);
	ck_assert_uint_eq(answer->tpr, 15);
	take_tpr(answer);
	ck_assert_uint_eq(poll(0)->flags, 0);
	ck_assert_uint_eq(rdmsr(0, MSR_X2APIC(APIC_REG_TPR)), 0xf0);
}
END_TEST

/* vCPU 0's interprocessor interrupts go to vCPU 1 then. */
static void start_second(void)
{
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x310, 1u << 24);
	mmio_write(0, PC_LAPIC + 0x300, 0x4610);
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_SREGS);
	flat(1);
}

/* INIT clears the register, and CR8 with it. */
START_TEST(init_clears_cr8)
{
	start_second();
	ctx[1].exit.tpr = 7;
	poll(1);
	mmio_write(0, PC_LAPIC + 0x300, 0x4500);
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_TPR);
	ck_assert_uint_eq(ctx[1].answer.tpr, 0);
	ck_assert_uint_eq(ctx[1].answer.action, KEEL_ACTION_WAIT);
}
END_TEST

/* The same where the processor starts at once. */
START_TEST(start_clears_cr8)
{
	start_second();
	ctx[1].exit.tpr = 7;
	poll(1);
	mmio_write(0, PC_LAPIC + 0x300, 0x4500);
	mmio_write(0, PC_LAPIC + 0x300, 0x4610);
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_TPR);
	ck_assert_uint_eq(ctx[1].answer.tpr, 0);

	ctx[0].exit.tpr = 5;
	poll(0);
	mmio_write(0, PC_LAPIC + 0x310, 0);
	ctx[0].regs.gpr[KEEL_RAX] = 0x4500;
	ck_assert_uint_eq(mmio(0, 0xa3, PC_LAPIC + 0x300)->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_TPR);
	ck_assert_uint_eq(ctx[0].answer.tpr, 0);
}
END_TEST

/* MOV to CR8 that Keel has left to the cell: LOCK MOV CR0, EAX. */
static struct keel_answer *move_to_cr8(uint64_t value)
{
	static const uint8_t move[] = { 0xf0, 0x0f, 0x22, 0xc0 };

	memcpy(guest + 0x100000, move, sizeof(move));
	ctx[0].regs.rip = 0x100000;
	ctx[0].regs.gpr[KEEL_RAX] = value;
	ctx[0].exit.flags |= KEEL_EXIT_F_CR8;
	enter(0, KEEL_EXIT_TPR);
	ctx[0].exit.flags &= ~KEEL_EXIT_F_CR8;
	return &ctx[0].answer;
}

START_TEST(cr8_written_by_the_cell)
{
	struct keel_answer *answer;

	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	ctx[0].regs.rflags |= IF;
	answer = move_to_cr8(6);
	ck_assert(answer->flags & KEEL_ANSWER_TPR && answer->flags & KEEL_ANSWER_RIP);
	ck_assert_uint_eq(answer->tpr, 6);
	ck_assert_uint_eq(ctx[0].regs.rip, 0x100004);
	take_tpr(answer);
	ck_assert_uint_eq(mmio_read(0, PC_LAPIC + 0x80), 0x60);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x00040051)->inject, 0);

	/* Still held back: the notice is asked for again. */
	answer = move_to_cr8(5);
	ck_assert_uint_eq(answer->inject, 0);
	ck_assert_uint_eq(answer->tpr, 5);
	ck_assert_uint_eq(answer->tpr_threshold, 5);
	take_tpr(answer);
	/* The same value again is an instruction like any other. */
	answer = move_to_cr8(5);
	ck_assert(!(answer->flags & KEEL_ANSWER_TPR) && answer->flags & KEEL_ANSWER_RIP);
	ck_assert_uint_eq(answer->tpr_threshold, 5);
	/* A bad value changes nothing. */
	answer = move_to_cr8(16);
	ck_assert_uint_eq(answer->inject, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 13);
	ck_assert_uint_eq(answer->error_code, 0);
	ck_assert(!(answer->flags & (KEEL_ANSWER_TPR | KEEL_ANSWER_RIP)));
	ck_assert_uint_eq(ctx[0].regs.rip, 0x100000);
	ck_assert(answer->tpr_threshold == 5);

	answer = move_to_cr8(0);
	ck_assert_uint_eq(answer->inject, INJECTED(0x51));
	ck_assert(answer->flags & KEEL_ANSWER_TPR);
	ck_assert_uint_eq(answer->tpr, 0);
	ck_assert_uint_eq(answer->tpr_threshold, 0);
}
END_TEST

/* The state is answered whole, or an exception; an interrupt waits until the new task can say whether it takes it. */
START_TEST(task_switch_of_the_cell)
{
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b2000000067, 0x0000893000000067 };
	struct keel_sregs *s = &ctx[0].sregs;
	struct keel_answer *answer;

	memcpy(guest + 0x1000, gdt, sizeof(gdt));
	memset(guest + 0x300000, 0, 0x68);
	guest[0x300020] = 0x55;		/* EIP */
	guest[0x300025] = IF >> 8;	/* EFLAGS */
	guest[0x30004c] = 8;		/* CS */
	guest[0x300050] = 0x10;		/* SS */
	s->gdt_base = 0x1000;
	s->gdt_limit = sizeof(gdt) - 1;
	s->seg[KEEL_SEG_TR] = (struct keel_segment_register){ 0x18, 0x8b, 0x67, 0x200000 };
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x300, 0x00040051);	/* to itself */
	ctx[0].regs.rflags |= IF;
	ctx[0].exit.task_source = KEEL_TASK_JMP;
	ctx[0].exit.tss = 0x18;
	answer = enter(0, KEEL_EXIT_TASK_SWITCH);
	ck_assert_uint_eq(answer->inject, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 13);
	ck_assert_uint_eq(answer->error_code, 0x18);
	ck_assert(!(answer->flags & KEEL_ANSWER_SREGS) && answer->flags & KEEL_ANSWER_WINDOW);

	ctx[0].exit.tss = 0x20;
	answer = enter(0, KEEL_EXIT_TASK_SWITCH);
	ck_assert_uint_eq(answer->inject, 0);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_WINDOW);
	ck_assert_uint_eq(s->seg[KEEL_SEG_TR].selector, 0x20);
	ck_assert_uint_eq(ctx[0].regs.rip, 0x55);

	guest[0x20004c] = 0x10;		/* CS */
	ctx[0].exit.tss = 0x18;
	answer = enter(0, KEEL_EXIT_TASK_SWITCH);
	ck_assert_uint_eq(answer->inject, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 10);
	ck_assert_uint_eq(answer->error_code, 0x10);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_WINDOW);
}
END_TEST

START_TEST(tsc_deadline)
{
	uint64_t offset = 1ull << 40;

	ctx[0].regs.rflags |= IF;
	ctx[0].exit.tsc_offset = offset;
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x320, 0x40061);
	wrmsr(0, MSR_TSC_DEADLINE, tsc + offset + 500000);
	ck_assert_uint_ge(ctx[0].answer.deadline, tsc + 499000);
	ck_assert_uint_le(ctx[0].answer.deadline, tsc + 500100);
	ck_assert_uint_eq(ctx[0].answer.inject, 0);
	ck_assert_uint_ne(rdmsr(0, MSR_TSC_DEADLINE), 0);
	tsc += 500000;
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x61));
	ck_assert_uint_eq(rdmsr(0, MSR_TSC_DEADLINE), 0);
}
END_TEST

START_TEST(tsc_moved_under_deadline)
{
	ctx[0].regs.rflags |= IF;
	ctx[0].exit.tsc_offset = 5000;
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x320, 0x40061);
	wrmsr(0, MSR_TSC_DEADLINE, tsc + 5000 + 500000);
	ctx[0].exit.tsc_offset = 5000 + 400000;
	ck_assert_uint_le(poll(0)->deadline, tsc + 100100);
	ck_assert_uint_ge(ctx[0].answer.deadline, tsc + 99000);
	ctx[0].exit.tsc_offset = 5000 + 600000;
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x61));
}
END_TEST

#define CLOCK_PLACE	0x3000u
#define WALL_PLACE	0x3040u
#define EOI_PLACE	0x3080u
#define REFUSED		(KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 13)

static uint64_t guest_u64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, guest + gpa, sizeof(value));
	return value;
}

START_TEST(guest_clock)
{
	uint64_t offset = 1ull << 40;

	ctx[0].exit.tsc_offset = offset;
	poll(0);
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_SYSTEM_TIME, CLOCK_PLACE | 1)->flags, KEEL_ANSWER_RIP);
	ck_assert_uint_eq(rdmsr(0, KEEL_MSR_SYSTEM_TIME), CLOCK_PLACE | 1);
	/* Half a nanosecond a tick since the machine began. */
	ck_assert_uint_eq(guest_u64(CLOCK_PLACE + 8), pc->clock.start + offset);
	ck_assert_uint_eq(guest_u64(CLOCK_PLACE + 16), 0);
	ck_assert_uint_eq(guest_u64(CLOCK_PLACE + 24), 0x100ull << 32 | 1ull << 40 | 1u << 31 | 0);
	/* What the RTC shows, less the time since. */
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_WALL_CLOCK, WALL_PLACE)->flags, KEEL_ANSWER_RIP);
	ck_assert_uint_eq((uint32_t)guest_u64(WALL_PLACE + 4), 86400 * 365);
	/* A TSC that was moved, seen at the poll that follows. */
	ctx[0].exit.tsc_offset = offset + 7;
	poll(0);
	ck_assert_uint_eq(guest_u64(CLOCK_PLACE + 8), pc->clock.start + offset + 7);
	/* INIT takes the place away. */
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	ck_assert_uint_eq(wrmsr(1, KEEL_MSR_SYSTEM_TIME, (CLOCK_PLACE + 0x200) | 1)->inject, 0);
	mmio_write(0, PC_LAPIC + 0x310, 1u << 24);
	mmio_write(0, PC_LAPIC + 0x300, 0xc500);
	poll(1);
	ck_assert_uint_eq(rdmsr(1, KEEL_MSR_SYSTEM_TIME), 0);
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_SYSTEM_TIME, LOW_MEMORY | 1)->inject, REFUSED);
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_SYSTEM_TIME, CLOCK_PLACE | 3)->inject, REFUSED);
}
END_TEST

/* The guest ends interrupts in its memory; no exit comes of it. */
START_TEST(end_of_interrupt_by_memory)
{
	ctx[0].regs.rflags |= IF;
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_PV_EOI, EOI_PLACE | 1)->inject, 0);
	ck_assert_uint_eq(rdmsr(0, KEEL_MSR_PV_EOI), EOI_PLACE | 1);
	for (unsigned int round = 0; round < 3; round++) {
		ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x00040051)->inject, INJECTED(0x51));
		ck_assert_uint_eq(guest[EOI_PLACE], 1);
		guest[EOI_PLACE] = 0;
	}
	/* Two at a time: the first one's end is the register's to take. */
	ctx[0].regs.rflags &= ~(uint64_t)IF;
	mmio_write(0, PC_LAPIC + 0x300, 0x00040051);
	ctx[0].regs.rflags |= IF;
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x00040061)->inject, INJECTED(0x61));
	ck_assert_uint_eq(guest[EOI_PLACE], 0);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0xb0, 0)->inject, INJECTED(0x51));
	ck_assert_uint_eq(guest[EOI_PLACE], 1);
	/* A vCPU that goes to sleep is offered nothing, and has ended what it was offered. */
	guest[EOI_PLACE] = 0;
	ck_assert_uint_eq(enter(0, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(guest[EOI_PLACE], 0);
	ck_assert_uint_eq(mmio_read(0, PC_LAPIC + 0x120), 0);
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_PV_EOI, EOI_PLACE | 3)->inject, REFUSED);
	/* Where the processor ends interrupts there is no such thing. */
	ctx[0].exit.flags = KEEL_EXIT_F_APIC;
	ck_assert_uint_eq(wrmsr(0, KEEL_MSR_PV_EOI, EOI_PLACE | 1)->inject, REFUSED);
	rdmsr(0, KEEL_MSR_PV_EOI);
	ck_assert_uint_eq(ctx[0].answer.inject, REFUSED);
}
END_TEST

START_TEST(msr_refused)
{
	struct keel_answer *answer = wrmsr(0, MSR_X2APIC(APIC_REG_TPR), 0);

	ck_assert_uint_eq(answer->inject, KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 13);
	ck_assert_uint_eq(answer->error_code, 0);
	ck_assert_uint_eq(answer->flags, 0);
	rdmsr(0, MSR_X2APIC_LAST);
	ck_assert_uint_ne(answer->inject, 0);
	ck_assert_uint_eq(rdmsr(0, MSR_APIC_BASE), PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_REGS | KEEL_ANSWER_RIP);
}
END_TEST

#define INTERRUPT(vector) (KEEL_INJECT_VALID | KEEL_INJECT_INTERRUPT | (vector))

/* What a vCPU sends to itself goes in with the same answer, where it can be taken; else it waits. */
START_TEST(self_ipi)
{
	struct keel_answer *answer = &ctx[0].answer;

	flat(0);
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	ctx[0].regs.rflags = 2 | IF;
	out(0x80, 0);
	ck_assert(pc->vcpu[0].quiet);
	mmio_write(0, PC_LAPIC + 0x300, 0x40051);
	ck_assert_uint_eq(answer->inject, INTERRUPT(0x51));
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_REGS | KEEL_ANSWER_RFLAGS | KEEL_ANSWER_RIP);
	ck_assert(pc->vcpu[0].quiet);
	mmio_write(0, PC_LAPIC + 0x300, 0x40052);			/* of the class in service */
	ck_assert_uint_eq(answer->inject, 0);
	mmio_write(0, PC_LAPIC + 0xb0, 0);
	ck_assert_uint_eq(answer->inject, INTERRUPT(0x52));
	mmio_write(0, PC_LAPIC + 0xb0, 0);
	ck_assert_uint_eq(answer->inject, 0);

	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_SELF_IPI, 0x51)->inject, INTERRUPT(0x51));
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_RIP);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_SELF_IPI, 0x62)->inject, INTERRUPT(0x62));
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_EOI, 0)->inject, 0);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_EOI, 0)->inject, 0);
	ctx[0].regs.rflags = 2;
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_SELF_IPI, 0x51)->inject, 0);
	ck_assert_uint_ne(answer->flags & KEEL_ANSWER_WINDOW, 0);
	ctx[0].regs.rflags = 2 | IF;
	/* The higher one first, and the other is not forgotten. */
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_SELF_IPI, 0x62)->inject, INTERRUPT(0x62));
	ck_assert_uint_eq(answer->flags & KEEL_ANSWER_WINDOW, 0);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_EOI, 0)->inject, INTERRUPT(0x51));
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_EOI, 0)->inject, 0);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_SELF_IPI, 0x151)->inject,
			  KEEL_INJECT_VALID | KEEL_INJECT_EXCEPTION | KEEL_INJECT_ERROR_CODE | 13);
}
END_TEST

START_TEST(start_of_second_cpu)
{
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x310, 2u << 24);
	mmio_write(0, PC_LAPIC + 0x300, 0xc500);
	mmio_write(0, PC_LAPIC + 0x300, 0x8500);
	ck_assert_uint_eq(poll(2)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x469a)->kick, 1 << 2);
	ck_assert_uint_eq(poll(2)->flags, KEEL_ANSWER_SREGS);
	ck_assert_uint_eq(ctx[2].answer.action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(ctx[2].sregs.seg[KEEL_SEG_CS].selector, 0x9a00);
	ck_assert_uint_eq(ctx[2].sregs.seg[KEEL_SEG_CS].base, 0x9a000);
	ck_assert_uint_eq(ctx[2].regs.rip, 0);
	/* The second SIPI finds it running; the others still wait. */
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x469a)->kick, 0);
	ck_assert_uint_eq(poll(2)->flags, 0);
	ck_assert_uint_eq(poll(1)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(poll(3)->action, KEEL_ACTION_WAIT);

	/* Interprocessor interrupts, woken from HLT. */
	flat(2);
	mmio_write(2, PC_LAPIC + 0xf0, 0x1ff);
	ctx[2].regs.rflags |= IF;
	ck_assert_uint_eq(enter(2, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x40fd)->kick, 1 << 2);
	ck_assert_uint_eq(poll(2)->inject, INJECTED(0xfd));
	ck_assert_uint_eq(ctx[2].answer.action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(mmio_read(2, PC_LAPIC + 0x20), 2u << 24);

	/* INIT stops it; x2APIC starts it again. */
	mmio_write(0, PC_LAPIC + 0x300, 0xc500);
	ck_assert_uint_eq(poll(2)->action, KEEL_ACTION_WAIT);
	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	ck_assert_uint_eq(wrmsr(0, MSR_X2APIC_ICR, 2ull << 32 | 0x4610)->kick, 1 << 2);
	ck_assert_uint_eq(poll(2)->flags, KEEL_ANSWER_SREGS);
	ck_assert_uint_eq(ctx[2].sregs.seg[KEEL_SEG_CS].base, 0x10000);
}
END_TEST

/* What comes between a start and the entry that it makes is not left behind: there is no other kick. */
START_TEST(start_with_interrupts)
{
	start_second();
	mmio_write(0, PC_LAPIC + 0x300, 0x4500);
	mmio_write(0, PC_LAPIC + 0x300, 0x4610);
	mmio_write(0, PC_LAPIC + 0x300, 0x4400);
	ctx[1].regs.rflags |= IF;
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_NMI);
	ck_assert_uint_eq(ctx[1].answer.action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(poll(1)->flags, 0);
	/* An NMI for one that waits is no NMI. */
	mmio_write(0, PC_LAPIC + 0x300, 0x4500);
	mmio_write(0, PC_LAPIC + 0x300, 0x4400);
	mmio_write(0, PC_LAPIC + 0x300, 0x4610);
	ck_assert_uint_eq(poll(1)->flags, KEEL_ANSWER_SREGS);

	/* The old state could have taken this one. */
	pics(1);
	pit_rate(1193);
	tsc += 2100000;
	ctx[0].regs.rflags |= IF;
	pc->vcpu[0].lapic.s.init_pending = 1;
	ck_assert_uint_eq(poll(0)->flags, KEEL_ANSWER_SREGS | KEEL_ANSWER_WINDOW);
	ck_assert_uint_eq(ctx[0].answer.inject, 0);
	flat(0);
	ctx[0].regs.rflags |= IF;
	ck_assert_uint_eq(enter(0, KEEL_EXIT_WINDOW)->inject, INJECTED(0x20));
}
END_TEST

/* What a vCPU was at when INIT came is not for the local APIC that has been reset. */
START_TEST(init_on_the_way)
{
	start_second();
	mmio_write(0, PC_LAPIC + 0x300, 0x4500);
	ctx[1].regs.gpr[KEEL_RAX] = 0x1ff;
	ck_assert_uint_eq(mmio(1, 0xa3, PC_LAPIC + 0xf0)->flags, 0);
	ck_assert_uint_eq(ctx[1].answer.action, KEEL_ACTION_WAIT);
	ck_assert_uint_eq(apics[1].reg[0xf].value, 0xff);
	ck_assert_uint_eq(mmio_write(0, PC_LAPIC + 0x300, 0x4041)->kick, 0);
	ck_assert_uint_eq(pc->vcpu[1].lapic.s.posted, 0);

	/* With the SIPI there as well it is not done in the new state either. */
	mmio_write(0, PC_LAPIC + 0x300, 0x4610);
	poll(1);
	mmio_write(0, PC_LAPIC + 0x300, 0x4500);
	mmio_write(0, PC_LAPIC + 0x300, 0x4610);
	ck_assert_uint_eq(out_by(1, 0x80, 1, 0x77)->flags, KEEL_ANSWER_SREGS);
	ck_assert_uint_ne(in(0x80, 1), 0x77);
}
END_TEST

START_TEST(nmi_button)
{
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	mmio_write(0, PC_LAPIC + 0x360, 0x400);
	ck_assert_uint_eq(enter(0, KEEL_EXIT_HLT)->action, KEEL_ACTION_WAIT);
	board_press(&host, KEEL_MESSAGE_NMI);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->flags, KEEL_ANSWER_NMI);
	ck_assert_uint_eq(ctx[0].answer.action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(poll(0)->flags, 0);
}
END_TEST

START_TEST(hpet_replaces_pit)
{
	mmio_write(0, PC_LAPIC + 0xf0, 0x1ff);
	pit_rate(1193);		/* the control word may raise OUT already: to a masked pin */
	redirect(2, 0x30, 0);
	/* Timer 0 periodic, 32 bits, 5 ms in ticks of 10 ns. */
	ck_assert_uint_eq(mmio_read(0, PC_HPET + 4), 10000000);
	mmio_write(0, PC_HPET + 0x100, 0x14c);
	mmio_write(0, PC_HPET + 0x108, 500000);
	mmio_write(0, PC_HPET + 0x10, 3);
	ctx[0].regs.rflags |= IF;
	poll(0);
	tsc += 4 * 2000000;
	ck_assert_uint_eq(poll(0)->inject, 0);
	tsc += 2 * 2000000;
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x30));
	/* The PIT's turn again. */
	ctx[0].regs.rflags &= ~(uint64_t)IF;
	mmio_write(0, PC_HPET + 0x10, 0);
	mmio_write(0, PC_LAPIC + 0xb0, 0);
	ctx[0].regs.rflags |= IF;
	tsc += 2 * 2000000;
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x30));
}
END_TEST

/* Memory-mapped accesses */

START_TEST(nothing_there)
{
	ck_assert_uint_eq(mmio_read(0, 0xd0000000), UINT32_MAX);
	mmio_write(0, 0xd0000000, 1);
	mmio_write(0, 0xffff0000, 0);
	ck_assert_int_eq(memcmp(guest + GUEST_BYTES - FIRMWARE_BYTES, channel->firmware, FIRMWARE_BYTES), 0);
	ck_assert_uint_eq(mmio_read(0, 0xa0000), UINT32_MAX);
}
END_TEST

START_TEST(unknown_instruction)
{
	static const uint8_t fld[] = { 0xd9, 0x00 };
	static uint8_t text[STREAM_BYTES];
	struct keel_answer *answer;

	memcpy(guest + ctx[0].regs.rip, fld, sizeof(fld));
	answer = mmio(0, 0xd9, 0xd0000000);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_END);
	ck_assert_uint_eq(answer->end, KEEL_END_CELL_REFUSED);
	ck_assert_uint_eq(answer->detail, CELL_REFUSED_INSTRUCTION);
	ck_assert_ptr_nonnull(memmem(text, take(board_take_debug, text), ": d9 00 00 00 d0 ", 17));
}
END_TEST

/* The first entry only asks for the registers; the same exit comes again with them. */
START_TEST(vector_registers_are_asked_for)
{
	static const uint8_t movq[] = { 0x66, 0x0f, 0xd6, 0x48, 0x10 };	/* movq [eax + 0x10], xmm1 */
	static const uint8_t movups[] = { 0x0f, 0x10, 0x50, 0x10 };	/* movups xmm2, [eax + 0x10] */
	struct keel_answer *answer;
	struct keel_context before;

	ctx[0].sregs.cr4 |= CR4_OSFXSR;
	ctx[0].regs.gpr[KEEL_RAX] = PC_HPET;
	memcpy(ctx[0].exit.insn, movq, sizeof(movq));
	ctx[0].exit.insn_length = sizeof(movq);
	before = ctx[0];
	answer = enter(0, KEEL_EXIT_MMIO);
	ck_assert_uint_eq(answer->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_WANT_VECTORS);
	ck_assert_uint_eq(answer->inject | answer->kick, 0);
	ck_assert_mem_eq(&ctx[0].regs, &before.regs, sizeof(before.regs));
	ctx[0].exit.flags |= KEEL_EXIT_F_VECTORS;
	ctx[0].vectors.reg[1][0] = 1;
	answer = enter(0, KEEL_EXIT_MMIO);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_REGS | KEEL_ANSWER_RIP | KEEL_ANSWER_RFLAGS);
	ck_assert_uint_eq(ctx[0].regs.rip, before.regs.rip + sizeof(movq));
	memcpy(ctx[0].exit.insn, movups, sizeof(movups));
	ctx[0].exit.insn_length = sizeof(movups);
	answer = enter(0, KEEL_EXIT_MMIO);
	ck_assert_uint_eq(answer->flags, KEEL_ANSWER_REGS | KEEL_ANSWER_RIP | KEEL_ANSWER_RFLAGS | KEEL_ANSWER_VECTORS);
	ck_assert_uint_eq(ctx[0].vectors.written, 1 << 2);
	ck_assert_uint_eq(ctx[0].vectors.reg[2][0], 1);
	ctx[0].exit.flags &= ~KEEL_EXIT_F_VECTORS;
	ck_assert_uint_eq(mmio_read(0, PC_HPET + 0x10), 1);
}
END_TEST

START_TEST(fetch_from_nowhere)
{
	ctx[0].exit.access = KEEL_ACCESS_FETCH;
	ck_assert_uint_eq(enter(0, KEEL_EXIT_MMIO)->detail, CELL_REFUSED_NO_MEMORY);
}
END_TEST

/* The ends */

static const struct {
	uint16_t port;
	uint8_t before, value;
} resets[] = {
	{ 0xcf9, 0x02, 0x06 },
	{ 0x64, 0xae, 0xfe },
	{ 0x92, 0x00, 0x01 },
};

START_TEST(reset_lines)
{
	ck_assert_uint_eq(out(resets[_i].port, resets[_i].before)->action, KEEL_ACTION_RESUME);
	ck_assert_uint_eq(out(resets[_i].port, resets[_i].value)->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[0].answer.end, KEEL_END_RESET);
	ck_assert_uint_eq(poll(1)->action, KEEL_ACTION_END);
}
END_TEST

/* As SeaBIOS does it. */
static void enable_pm(void)
{
	pci_put(1, 3, 0x40, 4, 0x601);
	pci_put(1, 3, 0x80, 1, 1);
	ck_assert_uint_ne(in(0x608, 4), UINT32_MAX);
	ck_assert_uint_eq(in(0x640, 1), 0xff);
}

START_TEST(power_off)
{
	ck_assert_uint_eq(in(0x604, 2), 0xffff);
	enable_pm();
	ck_assert_uint_eq(out_by(0, 0x604, 2, 0x2000)->action, KEEL_ACTION_END);
	ck_assert_uint_eq(ctx[0].answer.end, KEEL_END_POWEROFF);
}
END_TEST

START_TEST(power_button)
{
	pics(1 << 9 | 1 << 2);
	enable_pm();
	out(0x4d1, 0x02);
	out_by(0, 0xb2, 1, 0xf1);
	out_by(0, 0x602, 2, 0x100);
	ck_assert_uint_eq(in(0x604, 2) & 1, 1);
	ctx[0].regs.rflags |= IF;
	board_press(&host, KEEL_MESSAGE_POWER_BUTTON);
	ck_assert_uint_eq(event()->kick, 1);
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x29));
	ck_assert_uint_eq(in(0x600, 2) & 0x100, 0x100);
	ck_assert_uint_eq(board_buttons_taken(&host), 0);
	out_by(0, 0x600, 2, 0x100);
	ck_assert_uint_eq(board_buttons_taken(&host), 1);
}
END_TEST

/* A packet without data for the CD-ROM drive: whether it succeeds. */
static bool cd_packet(uint8_t code, uint8_t parameter)
{
	const uint16_t words[6] = { code, 0, parameter };

	out(0x176, 0);
	out(0x177, 0xa0);
	for (unsigned int i = 0; i < 6; i++)
		out_by(0, 0x170, 2, words[i]);
	return !(in(0x177, 1) & 1);
}

static unsigned int cd_error(void)
{
	return in(0x171, 1) >> 4;
}

static void change_cd(uint64_t bytes)
{
	board_set_medium(&host, 2, bytes);
	event();
}

/* By the channel: what the resource half puts in or takes out, and what the guest does to the door. */
START_TEST(media)
{
	ck_assert(!cd_packet(0x00, 0));
	ck_assert_uint_eq(cd_error(), 2);
	change_cd(4096);
	ck_assert(!cd_packet(0x00, 0));
	ck_assert_uint_eq(cd_error(), 6);
	ck_assert(cd_packet(0x00, 0));
	ck_assert(cd_packet(0x1e, 1));
	ck_assert(board_door(&host, 2).locked);
	board_press_eject(&host);
	event();
	ck_assert(cd_packet(0x00, 0));
	ck_assert(!cd_packet(0x1b, 2));
	ck_assert(cd_packet(0x1e, 0));
	ck_assert(!board_door(&host, 2).locked);
	channel->c.host_asleep = 1;
	for (uint32_t i = 1; i < 300; i++) {
		ck_assert(cd_packet(0x1b, 2));
		/* Told or not, the last one says all. */
		if (i % 40 == 0) {
			ck_assert_uint_lt(board_door(&host, 2).ejected, i);
			ck_assert(board_event_wanted(&host));
			event();
			ck_assert_uint_eq(board_door(&host, 2).ejected, i);
		}
		ck_assert(cd_packet(0x1b, 3));
		ck_assert(!cd_packet(0x00, 0));
	}
	change_cd(0);
	ck_assert(!cd_packet(0x00, 0));
	ck_assert_uint_eq(cd_error(), 2);
}
END_TEST

START_TEST(blocks_move)
{
	enable_pm();
	pci_put(1, 3, 0x40, 4, 0xb001);
	ck_assert_uint_eq(in(0x604, 2), 0xffff);
	ck_assert_uint_ne(in(0xb008, 4), UINT32_MAX);
	/* Over fixed ports: those go on to answer, and what is moved away again leaves no trace. */
	pci_put(1, 3, 0x40, 4, 0x3c1);
	out(0x3ff, 0x77);
	ck_assert_uint_eq(in(0x3ff, 1), 0x77);
	ck_assert_uint_ne(in(0x3c8, 4), UINT32_MAX);
	pci_put(1, 3, 0x80, 1, 0);
	ck_assert_uint_eq(in(0x3c8, 4), UINT32_MAX);
	ck_assert_uint_eq(in(0x3ff, 1), 0x77);

	pci_put(1, 1, 0x20, 4, 0xc001);
	pci_put(1, 1, 0x04, 2, 5);
	out_by(0, 0xc004, 4, 0x123450);
	ck_assert_uint_eq(in(0xc004, 4), 0x123450);
}
END_TEST

/* Disk */

static void command_read(uint8_t command, uint8_t lba, uint8_t count)
{
	out(0x1f6, 0xe0);
	out(0x1f2, count);
	out(0x1f3, lba);
	out(0x1f4, 0);
	out(0x1f5, 0);
	out(0x1f7, command);
}

static uint8_t *ring_of(unsigned int queue)
{
	return channel->queue[queue].ring;
}

static unsigned int requests_made(unsigned int queue)
{
	return vq_avail_head(ring_of(queue), KEEL_BLOCK_ENTRIES)->index;
}

static void use(unsigned int queue, uint32_t head)
{
	struct vq_head *used = vq_used_head(ring_of(queue), KEEL_BLOCK_ENTRIES);

	vq_used_entries(ring_of(queue), KEEL_BLOCK_ENTRIES)[used->index % KEEL_BLOCK_ENTRIES] = (struct vq_used){ head, 1 };
	used->index++;
}

/* The chain that a queue was given last. */
static void last_request(unsigned int queue, struct vq_chain *chain)
{
	struct vq_device device;

	vq_device_init(&device, channel, offsetof(struct test_channel, queue[0].ring) + queue * (uint32_t)sizeof(channel->queue[0]),
		       KEEL_BLOCK_ENTRIES, offsetof(struct test_channel, queue[0].arena) + queue * (uint32_t)sizeof(channel->queue[0]),
		       KEEL_BLOCK_ARENA);
	device.avail_index = (uint16_t)(requests_made(queue) - 1);
	ck_assert(vq_device_take(&device, chain) && chain->good);
}

static const struct keel_block_header *header_of(const struct vq_chain *chain)
{
	ck_assert_uint_eq(chain->piece[0].bytes, sizeof(struct keel_block_header));
	return (const struct keel_block_header *)((const uint8_t *)channel + chain->piece[0].offset);
}

static void serve(const struct vq_chain *chain, enum keel_block_status status)
{
	const struct vq_piece *last = &chain->piece[chain->out + chain->in - 1];

	ck_assert(chain->in && last->bytes == 1);
	((uint8_t *)channel)[last->offset] = (uint8_t)status;
	use(0, chain->head);
	event();
}

START_TEST(disk_read_pio)
{
	struct vq_chain r;

	pics(1 << 14 | 1 << 2);
	channel->c.host_asleep = 1;
	command_read(0x20, 3, 2);
	ck_assert_uint_eq(ctx[0].answer.flags & KEEL_ANSWER_DOORBELL, KEEL_ANSWER_DOORBELL);
	ck_assert_uint_eq(in(0x1f7, 1) & 0x80, 0x80);
	ck_assert_uint_eq(requests_made(0), 1);
	ck_assert_uint_eq(requests_made(1), 0);
	last_request(0, &r);
	ck_assert_uint_eq(header_of(&r)->op, KEEL_BLOCK_READ);
	ck_assert_uint_eq(header_of(&r)->sector, 3);
	ck_assert(r.out == 1 && r.in == 2);
	ck_assert_uint_eq(r.piece[1].offset, offsetof(struct test_channel, queue[0].arena));
	ck_assert_uint_ge(r.piece[1].bytes, 1024);
	ck_assert_uint_le(r.piece[1].bytes, KEEL_BOUNCE_BYTES);
	for (unsigned int i = 0; i < 1024; i++)
		channel->queue[0].arena[i] = (uint8_t)(i * 3 + i / 256);

	/* A completion of something else is nothing. */
	use(0, r.head + 1u);
	use(0, UINT32_MAX);
	use(1, r.head);
	event();
	ck_assert_uint_eq(in(0x3f6, 1) & 0x80, 0x80);
	serve(&r, KEEL_BLOCK_OK);
	ck_assert_uint_eq(ctx[EVENT].answer.kick, 1);
	serve(&r, KEEL_BLOCK_OK);
	ctx[0].regs.rflags |= IF;
	ck_assert_uint_eq(poll(0)->inject, INJECTED(0x2e));
	ctx[0].regs.rflags &= ~(uint64_t)IF;
	ck_assert_uint_eq(in(0x1f7, 1) & 0x88, 0x08);

	/* One sector by words, the other by REP INSW. */
	for (unsigned int i = 0; i < 512; i += 2)
		ck_assert_uint_eq(in(0x1f0, 2), channel->queue[0].arena[i] | channel->queue[0].arena[i + 1] << 8);
	ctx[0].exit = (struct keel_exit){
		.port = 0x1f0, .size = 2, .io = KEEL_IO_IN | KEEL_IO_STRING | KEEL_IO_REP, .segment = KEEL_SEG_ES,
		.address_size = 4,
	};
	ctx[0].regs.gpr[KEEL_RCX] = 256;
	ctx[0].regs.gpr[KEEL_RDI] = 0x3000;
	while (ctx[0].regs.gpr[KEEL_RCX])
		ck_assert_uint_eq(enter(0, KEEL_EXIT_IO)->action, KEEL_ACTION_RESUME);
	ck_assert_int_eq(memcmp(guest + 0x3000, channel->queue[0].arena + 512, 512), 0);
	ck_assert_uint_eq(in(0x1f7, 1) & 0x89, 0);
}
END_TEST

/* A string instruction is cut: its first elements end the shadow of an STI before it as its last one does. */
START_TEST(string_in_pieces)
{
	unsigned int entries = 0;

	ctx[0].exit = (struct keel_exit){
		.port = 0x80, .size = 1, .io = KEEL_IO_STRING | KEEL_IO_REP, .segment = KEEL_SEG_DS, .address_size = 4,
		.next_rip = 0x1002,
	};
	ctx[0].regs.rip = 0x1000;
	ctx[0].regs.gpr[KEEL_RCX] = 3000;
	ctx[0].regs.gpr[KEEL_RSI] = 0x3000;
	while (ctx[0].regs.rip == 0x1000) {
		ck_assert_uint_eq(enter(0, KEEL_EXIT_IO)->action, KEEL_ACTION_RESUME);
		ck_assert_uint_ne(ctx[0].answer.flags & KEEL_ANSWER_RIP, 0);
		ck_assert_uint_lt(entries++, 3000);
	}
	ck_assert_uint_gt(entries, 1);
	ck_assert_uint_eq(ctx[0].regs.rip, 0x1002);
	ck_assert_uint_eq(ctx[0].regs.gpr[KEEL_RCX], 0);
}
END_TEST

/* INS may write to a register of the local APIC, whose deadline and priority are told as after any other write of it. */
START_TEST(string_to_local_apic)
{
	flat(0);
	wrmsr(0, MSR_APIC_BASE, PC_LAPIC | APIC_BASE_BSP | APIC_BASE_ENABLE);
	mmio_write(0, PC_LAPIC + APIC_REG_SPURIOUS, SPURIOUS_ENABLE | SPURIOUS_RESET);
	mmio_write(0, PC_LAPIC + APIC_REG_LVT_TIMER, 0x30);
	mmio_write(0, PC_LAPIC + APIC_REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
	out(0x80, 0xff);
	ck_assert(pc->vcpu[0].quiet);
	ctx[0].exit.port = 0x80;
	ctx[0].exit.size = 4;
	ctx[0].exit.io = KEEL_IO_IN | KEEL_IO_STRING;
	ctx[0].exit.segment = KEEL_SEG_ES;
	ctx[0].exit.address_size = 4;
	ctx[0].regs.gpr[KEEL_RDI] = PC_LAPIC + APIC_REG_TIMER_COUNT;
	ck_assert_uint_eq(enter(0, KEEL_EXIT_IO)->action, KEEL_ACTION_RESUME);
	ck_assert_uint_ne(lapic_deadline(&pc->vcpu[0].lapic), NEVER);
	ck_assert_uint_eq(pc->vcpu[0].deadline, lapic_deadline(&pc->vcpu[0].lapic));
	ctx[0].regs.gpr[KEEL_RDI] = PC_LAPIC + APIC_REG_TPR;
	enter(0, KEEL_EXIT_IO);
	ck_assert_uint_ne(ctx[0].answer.flags & KEEL_ANSWER_TPR, 0);
	ck_assert_uint_eq(ctx[0].answer.tpr, 15);
}
END_TEST

START_TEST(disk_read_dma)
{
	uint32_t regions[4] = { 0x5000, 0x200, 0x8000, 0x80000200 };
	struct vq_chain r;

	pci_put(1, 1, 0x20, 4, 0xc001);
	pci_put(1, 1, 0x04, 2, 5);
	memcpy(guest + 0x1000, regions, sizeof(regions));
	out_by(0, 0xc004, 4, 0x1000);
	out(0xc002, 0x66);
	command_read(0xc8, 1, 2);
	out(0xc000, 9);
	ck_assert_uint_eq(requests_made(0), 1);
	memset(channel->queue[0].arena, 0x5a, 512);
	memset(channel->queue[0].arena + 512, 0xa5, 512);
	last_request(0, &r);
	serve(&r, KEEL_BLOCK_OK);
	ck_assert_uint_eq(in(0xc002, 1) & 7, 4);
	ck_assert_uint_eq(in(0x1f7, 1) & 0x89, 0);
	ck_assert_uint_eq(guest[0x5000], 0x5a);
	ck_assert_uint_eq(guest[0x51ff], 0x5a);
	ck_assert_uint_eq(guest[0x5200], 0);
	ck_assert_uint_eq(guest[0x81ff], 0xa5);
}
END_TEST

/* Half a mebibyte: one wake-up of the resource half and one event from it, however many requests it is parted into. */
START_TEST(trips_of_a_large_read)
{
	enum { REGION = 0x10000, REGIONS = 8 };
	unsigned int doorbells = 0;
	uint32_t regions[2 * REGIONS];
	const uint8_t command[][2] = {
		{ 0xf6, 0xe0 }, { 0xf2, 4 }, { 0xf2, 0 }, { 0xf3, 0 }, { 0xf3, 0 }, { 0xf4, 0 }, { 0xf4, 0 }, { 0xf5, 0 },
		{ 0xf5, 0 }, { 0xf7, 0x25 },
	};
	struct vq_chain r;

	for (uint32_t i = 0; i < REGIONS; i++) {
		regions[2 * i] = 0x100000 + i * REGION;
		regions[2 * i + 1] = i == REGIONS - 1 ? 0x80000000 : 0;
	}
	pics(1 << 14 | 1 << 2);
	pci_put(1, 1, 0x20, 4, 0xc001);
	pci_put(1, 1, 0x04, 2, 5);
	memcpy(guest + 0x1000, regions, sizeof(regions));
	channel->c.host_asleep = 1;
	out_by(0, 0xc004, 4, 0x1000);
	for (unsigned int i = 0; i < ARRAY_SIZE(command); i++)
		doorbells += (out(0x100 + command[i][0], command[i][1])->flags & KEEL_ANSWER_DOORBELL) != 0;
	doorbells += (out(0xc000, 9)->flags & KEEL_ANSWER_DOORBELL) != 0;
	ck_assert_uint_eq(doorbells, 1);
	ck_assert_uint_eq(requests_made(0) * KEEL_BOUNCE_BYTES, REGIONS * REGION);
	memset(channel->queue[0].arena, 0x5a, REGIONS * REGION);
	last_request(0, &r);
	/* Their statuses are one behind the other. */
	memset((uint8_t *)channel + r.piece[2].offset - (requests_made(0) - 1), KEEL_BLOCK_OK, requests_made(0));
	for (unsigned int i = 0; i < requests_made(0); i++)
		use(0, vq_avail_entries(ring_of(0), KEEL_BLOCK_ENTRIES)[i]);
	event();
	ck_assert_uint_eq(ctx[EVENT].answer.kick, 1);
	ck_assert_uint_eq(in(0xc002, 1) & 7, 4);
	ck_assert_uint_eq(in(0x1f7, 1) & 0x89, 0);
	ck_assert_uint_eq(guest[0x100000 + REGIONS * REGION - 1], 0x5a);
	ck_assert_uint_eq(guest[0x100000 + REGIONS * REGION], 0);
}
END_TEST

START_TEST(disk_error)
{
	struct vq_chain r;

	command_read(0x20, 0, 1);
	last_request(0, &r);
	serve(&r, _i ? KEEL_BLOCK_UNSUPPORTED : KEEL_BLOCK_FAILED);
	ck_assert_uint_eq(in(0x1f7, 1) & 0x81, 1);
}
END_TEST

START_TEST(clock_both_ways)
{
	static const uint64_t rates[] = { CLOCK_KHZ_LEAST, 999999, 1000000, 2399998, 3700123, CLOCK_KHZ_MOST };
	struct clock clock;

	for (unsigned int i = 0; i < ARRAY_SIZE(rates); i++) {
		clock_init(&clock, 5000, rates[i]);
		ck_assert_uint_eq(clock_ns(&clock, 5000), 0);
		for (uint64_t ns = 1; ns < 1ull << 54; ns = ns * 5 + 3) {
			uint64_t back = clock_ns(&clock, clock_tsc(&clock, ns));

			ck_assert_uint_ge(back, ns);
			ck_assert_uint_le(back, ns + 2 + 3 * 1000000 / rates[i]);
		}
		/* An hour is an hour, to a microsecond. */
		ck_assert_uint_le(clock_ns(&clock, 5000 + rates[i] * 3600000) - 3600ull * NSEC_PER_SEC + 1000, 2000);
		ck_assert_uint_eq(clock_tsc(&clock, TIME_NEVER), UINT64_MAX);
	}
}
END_TEST

/* Random exits with random memory: whatever they are, the answer keeps the contract. */

static uint64_t seed;

static uint64_t random_bits(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint64_t random_address(void)
{
	static const uint64_t bases[] = {
		PC_LAPIC, PC_IOAPIC, PC_HPET, 0xfffff000, PC_VGA_HOLE, 0x1000, 0x9f000, LOW_MEMORY - 16, 0,
	};
	uint64_t base = bases[random_bits() % ARRAY_SIZE(bases)];

	return base ? base + random_bits() % 0x400 : random_bits();
}

static uint16_t random_port(void)
{
	static const uint16_t ports[] = {
		0x20, 0x40, 0x60, 0x70, 0xa0, 0x80, 0x92, 0xb2, 0x170, 0x1f0, 0x1f0, 0x3f0, 0x3f8, 0x4d0, 0x510, 0x514,
		0x518, 0x600, 0xc000, 0xcf8, 0xcfc, 0xcfc, 0xfffc,
	};

	return (uint16_t)(ports[random_bits() % ARRAY_SIZE(ports)] + random_bits() % 8);
}

static void random_insn(struct keel_exit *exit)
{
	static const uint8_t opcodes[] = { 0xa1, 0xa3, 0x89, 0x8b, 0xc7, 0xa5, 0xab, 0x87, 0x0f, 0x83, 0x66, 0xf3, 0xf0 };
	uint32_t address = (uint32_t)random_address();

	for (unsigned int i = 0; i < sizeof(exit->insn); i++)
		exit->insn[i] = (uint8_t)random_bits();
	exit->insn[0] = opcodes[random_bits() % sizeof(opcodes)];
	if (random_bits() % 2)
		memcpy(exit->insn + 1, &address, sizeof(address));
	exit->insn_length = random_bits() % 8 ? 15 : random_bits() % 16;
	exit->access = random_bits() % 32 ? random_bits() % 2 : (uint8_t)random_bits();
}

/* What the guest and the processor leave in the APIC page. */
static void scramble_page(unsigned int vcpu)
{
	for (unsigned int i = random_bits() % 4; i > 0; i--)
		apics[vcpu].reg[random_bits() % 64].value = (uint32_t)(random_bits() >> random_bits() % 32);
}

static unsigned int random_kind(bool by_processor)
{
	static const unsigned int kinds[] = { KEEL_EXIT_TASK_SWITCH, KEEL_EXIT_EOI, KEEL_EXIT_APIC_WRITE };

	if (random_bits() % 64 == 0)
		return (unsigned int)random_bits();
	return random_bits() % 3 == 0 ? kinds[by_processor ? random_bits() % 3 : 0] : random_bits() % KEEL_EXIT_EVENT;
}

/* A switch that can succeed, more or less: the old TSS and the new one are the last of the table. */
static void random_task(struct keel_context *context)
{
	static const uint64_t gdt[] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00008b0050000067, 0x0000890060000067 };
	struct keel_sregs *s = &context->sregs;

	memcpy(guest + 0x4000, gdt, sizeof(gdt));
	if (random_bits() % 2)
		guest[0x4000 + random_bits() % sizeof(gdt)] = (uint8_t)random_bits();
	for (unsigned int i = 0; i < 6; i++)
		guest[0x6048 + 4 * i] = random_bits() % 16 ? i == KEEL_SEG_CS ? 8 : 16 : (uint8_t)random_bits();
	s->gdt_base = 0x4000;
	s->gdt_limit = sizeof(gdt) - 1;
	s->seg[KEEL_SEG_TR] = (struct keel_segment_register){ 0x18, 0x8b, 0x67, 0x5000 };
	context->exit.tss = random_bits() % 16 ? 0x20 : (uint32_t)random_bits();
	context->exit.task_source = random_bits() % 4;
	context->exit.event = (uint32_t)random_bits();
	context->exit.error_code = (uint32_t)random_bits();
}

static void random_exit(unsigned int context, bool by_processor)
{
	struct keel_exit *exit = &ctx[context].exit;
	static const uint8_t sizes[] = { 1, 1, 2, 4, 4, 1, 2, 3 };
	static const uint32_t msrs[] = {
		MSR_APIC_BASE, MSR_TSC_DEADLINE, KEEL_MSR_WALL_CLOCK, KEEL_MSR_SYSTEM_TIME, KEEL_MSR_PV_EOI,
	};

	exit->tpr = random_bits() % 4 ? 0 : random_bits() % 16;
	exit->flags = random_bits() % 2 ? KEEL_EXIT_F_CR8 : 0;
	exit->flags |= by_processor ? KEEL_EXIT_F_APIC : 0;
	exit->apic = (uint32_t)(random_bits() % 8 ? random_bits() % 0x40 * 16 : random_bits());
	exit->port = random_port();
	exit->size = sizes[random_bits() % (random_bits() % 64 ? 7 : 8)];
	exit->io = random_bits() % 8;
	exit->segment = random_bits() % 7 ? random_bits() % 6 : KEEL_SEG_NONE;
	exit->address_size = random_bits() % 2 ? 4 : 0;
	exit->msr = random_bits() % 4 ? MSR_X2APIC_FIRST + random_bits() % 0x40 : msrs[random_bits() % 5];
	exit->tsc_offset = random_bits() % 8 ? exit->tsc_offset : random_bits();
	exit->gpa = random_address();
	random_insn(exit);
	random_task(&ctx[context]);
	for (unsigned int i = 0; i < 16; i++)
		if (random_bits() % 2)
			ctx[context].regs.gpr[i] = random_bits() % 2 ? random_bits() % 256 : random_address();
	ctx[context].regs.rflags = 2 | (random_bits() & (IF | 0x8d5));
}

static void check_answer(unsigned int context)
{
	const struct keel_answer *a = &ctx[context].answer;

	ck_assert_uint_le(a->action, KEEL_ACTION_END);
	ck_assert_uint_eq(a->kick >> VCPUS, 0);
	ck_assert_uint_le(a->tpr_threshold, 15);
	ck_assert_uint_le(a->tpr, 15);
	if (a->flags & KEEL_ANSWER_TPR)
		ck_assert_uint_ne(a->tpr, ctx[context].exit.tpr);
	if (ctx[context].exit.flags & KEEL_EXIT_F_APIC)
		ck_assert_uint_eq(a->tpr_threshold | (a->flags & KEEL_ANSWER_TPR), 0);
	else if (context == EVENT || ctx[context].exit.msr != MSR_APIC_BASE)
		ck_assert_uint_eq(a->flags & KEEL_ANSWER_APIC, 0);
	if (context != EVENT)
		ck_assert_uint_eq(a->kick >> context & 1, 0);
	if (a->action == KEEL_ACTION_END)
		ck_assert(a->end == KEEL_END_POWEROFF || a->end == KEEL_END_RESET || a->end == KEEL_END_CELL_REFUSED);
	if (a->inject & KEEL_INJECT_VALID && !(a->inject & KEEL_INJECT_EXCEPTION))
		ck_assert(ctx[context].exit.flags & KEEL_EXIT_F_INTERRUPTIBLE);
	if (a->inject & KEEL_INJECT_EXCEPTION)
		ck_assert_uint_lt(a->inject & KEEL_INJECT_VECTOR, 32);
	if (a->action == KEEL_ACTION_WAIT)
		ck_assert_uint_eq(a->inject, 0);
	/* An answer that wants the same exit once more says nothing else. */
	if (a->flags & KEEL_ANSWER_WANT_VECTORS)
		ck_assert_uint_eq(a->flags, KEEL_ANSWER_WANT_VECTORS);
	else if (a->action != KEEL_ACTION_END && context != EVENT)
		ck_assert_uint_gt(a->deadline, tsc);
}

static void scramble_channel(void)
{
	switch (random_bits() % 8) {
	case 0: ((uint8_t *)channel->message)[random_bits() % sizeof(channel->message)] = (uint8_t)random_bits(); break;
	case 1: ((uint8_t *)channel->stream)[random_bits() % sizeof(channel->stream)] = (uint8_t)random_bits(); break;
	case 2: use((unsigned int)(random_bits() % 2), (uint32_t)(random_bits() % (KEEL_BLOCK_ENTRIES + 2))); break;
	case 3: board_set_medium(&host, 2, random_bits()); board_press(&host, random_bits() % 2); board_serve(&host); break;
	case 4: ring_of(random_bits() % 2)[random_bits() % vq_bytes(KEEL_BLOCK_ENTRIES)] = (uint8_t)random_bits(); break;
	case 5: channel->queue[random_bits() % 2].arena[KEEL_BOUNCE_BYTES + random_bits() % 32] = (uint8_t)random_bits(); break;
	case 6: set_sectors(1, random_bits()); break;
	case 7: use(0, vq_avail_entries(ring_of(0), KEEL_BLOCK_ENTRIES)[(requests_made(0) - 1) % KEEL_BLOCK_ENTRIES]); break;
	}
}

START_TEST(random_exits)
{
	seed = 0x9e3779b97f4a7c15ull + (uint64_t)_i * 0x1234567;
	for (unsigned int i = 0; i < 1500; i++) {
		unsigned int context = random_bits() % 16 ? random_bits() % VCPUS : EVENT;

		tsc += random_bits() % 16 ? random_bits() % 10000 : random_bits() % (1 << 30);
		if (context == EVENT) {
			scramble_channel();
			event();
		} else {
			random_exit(context, _i % 2);
			if (_i % 2)
				scramble_page(context);
			enter(context, random_kind(_i % 2));
		}
		check_answer(context);
		if (ctx[context].answer.flags & KEEL_ANSWER_SREGS)
			flat(context);
		if (ctx[context].answer.action == KEEL_ACTION_END) {
			destroy();
			start();
			for (unsigned int n = 1; n < VCPUS; n++) {
				flat(n);
				pc->vcpu[n].lapic.s.wait_sipi = 0;
			}
		}
	}
}
END_TEST

/* Statistics */

static uint64_t accesses_of(const char *name, unsigned int instance)
{
	const struct keel_statistics *s = &channel->statistics;

	ck_assert_uint_le(s->devices, KEEL_STATISTICS_DEVICES);
	for (unsigned int i = 0; i < s->devices; i++)
		if (!strcmp(s->device[i].name, name) && s->device[i].instance == instance)
			return s->device[i].accesses;
	return 0;
}

static void tell(uint32_t commands)
{
	channel->statistics.commands = commands;
	event();
	ck_assert_uint_eq(channel->statistics.commands, 0);
}

/* By kind what the cell was entered for, by device what that led to; the hypervisor's counts are passed on. */
START_TEST(statistics_are_told)
{
	const struct keel_statistics *s = &channel->statistics;
	uint64_t ios, mmios, clock, pic, apics_before;

	tell(KEEL_STATISTICS_TELL);
	ios = s->exits[KEEL_EXIT_IO];
	mmios = s->exits[KEEL_EXIT_MMIO];
	clock = accesses_of("mc146818", 0);
	pic = accesses_of("i8259", 1);
	apics_before = accesses_of("lapic", 0);
	for (unsigned int i = 0; i < 5; i++)
		in(0x71, 1);
	out(0xa1, 0xff);
	in(0x1234, 1);
	mmio_read(0, PC_LAPIC + 0x20);
	mmio_read(0, PC_HPET);
	ctx[0].counters.count[KEEL_COUNT_CPUID] = 7;
	ctx[VCPUS - 1].counters.count[KEEL_COUNT_CPUID] = 5;
	ctx[EVENT].counters.cell = 11;
	ctx[1].counters.guest = 13;
	event();
	ck_assert_uint_eq(s->exits[KEEL_EXIT_IO], ios);
	tell(KEEL_STATISTICS_TELL);
	ck_assert_uint_eq(s->exits[KEEL_EXIT_IO], ios + 7);
	ck_assert_uint_eq(s->exits[KEEL_EXIT_MMIO], mmios + 2);
	ck_assert_uint_ge(s->exits[KEEL_EXIT_EVENT], 3);
	ck_assert_uint_eq(s->count[KEEL_COUNT_CPUID], 12);
	ck_assert_uint_eq(s->cell, 11);
	ck_assert_uint_eq(s->guest, 13);
	ck_assert_uint_eq(accesses_of("mc146818", 0), clock + 5);
	ck_assert_uint_eq(accesses_of("i8259", 1), pic + 1);
	ck_assert_uint_eq(accesses_of("lapic", 0), apics_before + 1);
	ck_assert_uint_eq(accesses_of("hpet", 0), 1);
	ck_assert_uint_eq(accesses_of("nobody", 0), 1);
}
END_TEST

/* What is behind a BAR is its device's, wherever that answers, or does no more. */
START_TEST(statistics_of_a_function)
{
	pci_put(1, 1, 0x20, 4, 0xc000);
	pci_put(1, 1, 0x04, 2, 0x01);
	in(0xc002, 1);
	in(0x1f7, 1);
	pci_put(1, 1, 0x04, 2, 0);
	tell(KEEL_STATISTICS_TELL);
	ck_assert_uint_eq(accesses_of("piix3_ide", 0), 2);
	ck_assert_uint_gt(accesses_of("pci", 0), 3);
}
END_TEST

START_TEST(time_is_measured_when_wanted)
{
	tell(KEEL_STATISTICS_MEASURE | KEEL_STATISTICS_TELL);
	for (unsigned int i = 0; i < VCPUS; i++)
		ck_assert_uint_eq(ctx[i].counters.measure, 1);
	ck_assert_uint_eq(ctx[EVENT].counters.measure, 1);
	tell(KEEL_STATISTICS_TELL);
	ck_assert_uint_eq(ctx[0].counters.measure, 1);
	tell(KEEL_STATISTICS_CEASE);
	ck_assert_uint_eq(ctx[0].counters.measure | ctx[EVENT].counters.measure, 0);
}
END_TEST

SUITE_OF_CASES("pc", suite)
{
	TCase *made = add_case(suite, "made"), *started = add_case(suite, "started");

	tcase_add_checked_fixture(made, make, destroy);
	tcase_add_test(made, vcpu_before_event);
	tcase_add_loop_test(made, bad_channel, 0, ARRAY_SIZE(bad));
	tcase_add_test(made, power_on);
	tcase_add_test(made, sockets);
	tcase_set_timeout(started, 30);
	tcase_add_checked_fixture(started, start, destroy);
	tcase_add_test(started, port_map);
	tcase_add_test(started, boot_data);
	tcase_add_test(started, fw_cfg_dma);
	tcase_add_test(started, debug_port);
	tcase_add_test(started, serial_console);
	tcase_add_test(started, serial_input_waits);
	tcase_add_test(started, serial_input_interrupts);
	tcase_add_test(started, pit_through_8259);
	tcase_add_test(started, pit_through_ioapic);
	tcase_add_test(started, deadline_of_another);
	tcase_add_test(started, tpr_holds_back);
	tcase_add_test(started, tpr_moves_cr8);
	tcase_add_test(started, init_clears_cr8);
	tcase_add_test(started, start_clears_cr8);
	tcase_add_test(started, task_switch_of_the_cell);
	tcase_add_test(started, cr8_written_by_the_cell);
	tcase_add_test(started, tsc_deadline);
	tcase_add_test(started, tsc_moved_under_deadline);
	tcase_add_test(started, guest_clock);
	tcase_add_test(started, end_of_interrupt_by_memory);
	tcase_add_test(started, msr_refused);
	tcase_add_test(started, self_ipi);
	tcase_add_test(started, start_of_second_cpu);
	tcase_add_test(started, start_with_interrupts);
	tcase_add_test(started, init_on_the_way);
	tcase_add_test(started, nmi_button);
	tcase_add_test(started, hpet_replaces_pit);
	tcase_add_test(started, nothing_there);
	tcase_add_test(started, unknown_instruction);
	tcase_add_test(started, vector_registers_are_asked_for);
	tcase_add_test(started, fetch_from_nowhere);
	tcase_add_loop_test(started, reset_lines, 0, ARRAY_SIZE(resets));
	tcase_add_test(started, power_off);
	tcase_add_test(started, power_button);
	tcase_add_test(started, media);
	tcase_add_test(started, blocks_move);
	tcase_add_test(started, disk_read_pio);
	tcase_add_test(started, string_in_pieces);
	tcase_add_test(started, string_to_local_apic);
	tcase_add_test(started, disk_read_dma);
	tcase_add_test(started, trips_of_a_large_read);
	tcase_add_loop_test(started, disk_error, 0, 2);
	tcase_add_test(started, clock_both_ways);
	tcase_add_loop_test(started, random_exits, 0, 4);
	tcase_add_test(started, statistics_are_told);
	tcase_add_test(started, statistics_of_a_function);
	tcase_add_test(started, time_is_measured_when_wanted);
}
