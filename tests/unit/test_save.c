/* SPDX-License-Identifier: GPL-2.0 */
/* The whole machine: saved in the middle of everything, loaded into another one, and what is refused. */
#include <keel/macros.h>

#include "busy_machine.h"
#include "busy_virtio.h"
#include "machine/save.h"
#include "suite.h"

#define STREAM_ROOM	0x20000u
#define HEADER_BYTES	(28u + 24)
#define FRAME_BYTES	(28u + 20)
#define YOUNG_TSC	5000ull		/* the host of the second machine has been started a moment ago */

#define ENTRY		100u			/* ticks of the rig's entries */

/* What stands for a machine while another one is in the rig. */
struct world {
	struct test_channel *channel;
	struct board host;
	struct pc *pc;
	struct keel_context ctx[EVENT + 1];
	struct lapic_page apics[2 * VCPUS];
	uint64_t tsc;
};

static uint8_t stream[STREAM_ROOM], again[STREAM_ROOM], changed[STREAM_ROOM];
static uint64_t memory[STREAM_ROOM / 8];
static struct machine_error error;
static uint64_t shift;

static void leave(struct world *world)
{
	world->channel = channel;
	world->host = host;
	world->pc = pc;
	world->tsc = tsc;
	memcpy(world->ctx, ctx, sizeof(ctx));
	memcpy(world->apics, apics, sizeof(apics));
}

static void come_to(const struct world *world)
{
	channel = world->channel;
	host = world->host;
	pc = world->pc;
	tsc = world->tsc;
	memcpy(ctx, world->ctx, sizeof(ctx));
	memcpy(apics, world->apics, sizeof(apics));
}

/*
 * A machine on the same guest memory that nobody has run, at a time of its own. It is built with what the rig has in
 * 'machine'.
 */
static void make_second(const struct world *first, const struct keel_machine *machine, int64_t wall)
{
	uint8_t *kept = guest;

	make();
	add_virtio();
	munmap(guest, GUEST_BYTES);
	guest = kept;
	channel->c.machine = *machine;
	channel->c.machine.wall_tsc = YOUNG_TSC + ENTRY;
	channel->c.machine.wall_ns = wall;
	tsc = YOUNG_TSC;
	ck_assert_uint_eq(event()->action, KEEL_ACTION_RESUME);
	memcpy(ctx, first->ctx, sizeof(ctx));
}

static size_t save(uint8_t *to)
{
	size_t bytes = machine_save(pc, to, STREAM_ROOM, &error);

	ck_assert_uint_ne(bytes, 0);
	return bytes;
}

static bool load(const uint8_t *from, size_t bytes)
{
	return machine_load(pc, from, bytes, tsc, (uint8_t *)memory, sizeof(memory), &shift, &error);
}

/* But for when it was saved. */
static void assert_same(size_t bytes)
{
	ck_assert_uint_eq(save(again), bytes);
	for (size_t i = HEADER_BYTES; i < bytes; i++)
		ck_assert_msg(stream[i] == again[i], "byte %zu is %#x, was %#x", i, again[i], stream[i]);
}

static struct world first, second;

static void start_with_virtio(void)
{
	make();
	add_virtio();
	ck_assert_uint_eq(event()->action, KEEL_ACTION_RESUME);
	poll(0);
	flat(0);
}

/* All devices are in the middle of something. */
static void start_busy(void)
{
	start_with_virtio();
	make_busy();
	busy_virtio();
}

/* A busy machine in 'stream', another one in the rig, as old as the moment. */
static size_t save_and_make(void)
{
	struct keel_machine machine;
	size_t bytes;

	start_busy();
	event();
	machine = channel->c.machine;
	bytes = save(stream);
	leave(&first);
	make_second(&first, &machine, pc_wall(pc, tsc));
	return bytes;
}

START_TEST(each_device_says_what_it_saves)
{
	for (unsigned int i = 0; i < pc_device_count; i++) {
		const struct device *device = &pc_devices[i];

		ck_assert_uint_lt(strlen(device->name), MACHINE_NAME_BYTES);
		ck_assert_msg(device->ops->stateless == !device->ops->part_count, "%s", device->name);
		ck_assert_uint_le(device->ops->part_count, DEVICE_PARTS_MOST);
		for (unsigned int j = 0; j < i; j++)
			ck_assert(strcmp(device->name, pc_devices[j].name) || device->instance != pc_devices[j].instance);
		for (unsigned int j = 0; j < device->ops->part_count; j++)
			for (unsigned int k = 0; k < j; k++)
				ck_assert(device->ops->parts[j].table != device->ops->parts[k].table ||
					  device->ops->parts[j].instance != device->ops->parts[k].instance);
	}
	ck_assert_uint_le(pc_device_count, MACHINE_DEVICES_MOST);
}
END_TEST

/* Devices are where make_busy wants them, or what follows would prove little. */
START_TEST(busy_is_busy)
{
	start_busy();
	ck_assert_uint_ne(pc->pic_master.s.isr, 0);
	ck_assert_uint_ne(pc->pit.s.counter[0].latched, 0);
	ck_assert_uint_ne(pc->pit.s.counter[2].write_high, 0);
	ck_assert_uint_eq(pc->keyboard.s.keyboard.answer_count, 2);
	ck_assert_uint_ge(pc->keyboard.s.mouse.answer_count, 3);
	ck_assert_uint_ne(pc->keyboard.s.argument_of, 0);
	ck_assert_uint_ne(pc->serial.s.rx_count, 0);
	ck_assert_uint_ne(pc->serial.s.tx_count, 0);
	ck_assert_uint_ne(pc->hpet.s.status, 0);
	ck_assert_uint_ne(pc->rtc.s.ram[0xc], 0);
	ck_assert_uint_eq(pc->ide.channel[0].drive[0].s.flow, IDE_READ);
	ck_assert_uint_ne(pc->ide.channel[0].drive[0].s.cursor, 0);
	ck_assert_uint_ne(pc->ide.channel[1].drive[0].s.sense_code, 0);
	ck_assert_uint_eq(pc->ide.pci.bar[4].range.base, 0xc040);
	ck_assert_uint_eq(pc->acpi.block.base, 0xb000);
	ck_assert_uint_ne(pc->fw_cfg.s.cursor, 0);
	ck_assert_uint_ne(pc->ioapic.s.entry[21] & 1 << 14, 0);
	ck_assert(pc->vcpu[1].halted);
	ck_assert_uint_ne(pc->vcpu[1].lapic.s.tsc_deadline, 0);
	ck_assert_uint_ne(pc->vcpu[2].lapic.s.posted, 0);
	ck_assert_uint_ne(pc->vcpu[3].lapic.s.wait_sipi, 0);
	for (unsigned int q = 0; q < VIRTIO_QUEUES; q++)
		ck_assert_uint_eq(virtio_used(q), 1);
	ck_assert_uint_eq(guest[GUEST_STATUS], KEEL_BLOCK_OK);
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++) {
		ck_assert_uint_eq(pc->virtio[d]->s.status, 0xf);
		ck_assert_uint_ne(pc->virtio[d]->s.driver_features & VIRTIO_F_EVENT_IDX, 0);
		ck_assert_uint_eq(pc->virtio[d]->s.isr, d == VIRTIO_RNG ? 0 : VIRTIO_ISR_QUEUE);
	}
	ck_assert_uint_eq(pc->virtio[VIRTIO_RNG]->msix.s.pending[0], 1);
}
END_TEST

START_TEST(round_trip)
{
	size_t bytes = save_and_make();

	ck_assert_uint_le(bytes, machine_save_bytes(pc));
	ck_assert_msg(load(stream, bytes), "%d: %s: %s: %s", error.why, error.section, error.part, error.field);
	ck_assert_uint_eq(shift, first.tsc - YOUNG_TSC - ENTRY);
	assert_same(bytes);
	/* And once more, into one that something else has happened to since. */
	busy_pci();
	out(0x21, 0x12);
	in(0x60, 1);
	mmio_write(0, PC_HPET + 0x10, 0);
	tsc = YOUNG_TSC + ENTRY;
	ck_assert(load(stream, bytes));
	assert_same(bytes);
}
END_TEST

/* In pieces it is the same stream. */
START_TEST(in_pieces)
{
	struct machine_cursor at = { 0 };
	size_t bytes, length = 0;

	start_busy();
	bytes = save(stream);
	while (!machine_is_saved(pc, &at)) {
		size_t room = bytes - length < TRANSFER_PIECE_MOST ? bytes - length : TRANSFER_PIECE_MOST;
		size_t piece = machine_save_next(pc, &at, again + length, room, &error);

		ck_assert_uint_ne(piece, 0);
		ck_assert_uint_le(piece, room);
		length += piece;
	}
	ck_assert_uint_eq(length, bytes);
	ck_assert_mem_eq(again, stream, bytes);
	/* One that is busy has no first piece, and no piece has room in nothing. */
	at = (struct machine_cursor){ 0 };
	ck_assert_uint_eq(machine_save_next(pc, &at, again, 10, &error), 0);
	ck_assert_uint_eq(error.why, MACHINE_NO_ROOM);
	ask_virtio(VIRTIO_DISK, 4);
	at = (struct machine_cursor){ 0 };
	ck_assert_uint_eq(machine_save_next(pc, &at, again, STREAM_ROOM, &error), 0);
	ck_assert_uint_eq(error.why, MACHINE_BUSY);
}
END_TEST

/* The loaded devices go on where the saved ones were: a second request of each driver gets the second place of its used ring. */
START_TEST(virtio_goes_on)
{
	size_t bytes = save_and_make();

	ck_assert(load(stream, bytes));
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++)
		ask_virtio(d, 4);
	ck_assert(answer_virtio(0, false));
	ck_assert(answer_virtio(1, false));
	ck_assert(answer_virtio(VIRTIO_RECEIVE, true));
	ck_assert(answer_virtio(VIRTIO_TRANSMIT, false));
	event();
	for (unsigned int q = 0; q < VIRTIO_QUEUES; q++)
		ck_assert_msg(virtio_used(q) == (q == VIRTIO_CONTROL ? 1 : 2), "queue %u: %u", q, virtio_used(q));
	/* The message that was pending has its place in the table, and is let out. */
	nobody();
	bus_write(&pc->io, VIRTIO_MSIX(VIRTIO_RNG) + 12, 4, 0);
	ck_assert_uint_eq(pc->virtio[VIRTIO_RNG]->msix.s.pending[0], 0);
}
END_TEST

/* Registers that can be looked at without an end, and some that change as they are read. */
static const uint16_t looks[] = {
	0x20, 0x21, 0xa0, 0xa1, 0x40, 0x42, 0x61, 0x64, 0x60, 0x3f8, 0x3f9, 0x3fa, 0x3fd, 0x3fe, 0x4d1, 0x80, 0x92, 0xcf9,
	0x1f7, 0x1f0, 0x1f2, 0x177, 0x171, 0xc042, 0xc044, 0xb000, 0xb002, 0xb008, 0x511, 0xcf8, 0xcfc,
};

#define TURNS		60u
#define NOTES		(TURNS * (VCPUS + 1) * 4 + TURNS * 80)

/* What a machine answers in turn, as numbers. */
struct notes {
	unsigned int count, injections;
	uint64_t note[NOTES];
};

static struct notes one, other;

static void note(struct notes *notes, uint64_t value)
{
	ck_assert_uint_lt(notes->count, NOTES);
	notes->note[notes->count++] = value;
}

/* A first answer tells of the mode of the local APIC, which is nothing new to the guest. */
static void note_answer(struct notes *notes, const struct keel_answer *answer)
{
	note(notes, answer->action);
	note(notes, answer->flags & ~KEEL_ANSWER_APIC);
	note(notes, answer->inject);
	notes->injections += answer->inject != 0;
	note(notes, answer->kick);
}

static void note_registers(struct notes *notes)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(looks); i++)
		note(notes, in(looks[i], looks[i] == 0x1f0 ? 2 : 1));
	for (unsigned int i = 0; i < 16; i++) {
		out(0x70, (uint8_t)i);
		note(notes, in(0x71, 1));
	}
	for (unsigned int i = 0; i < 24; i++) {
		mmio_write(0, PC_IOAPIC, 0x10 + 2 * i);
		note(notes, mmio_read(0, PC_IOAPIC + 0x10));
	}
	note(notes, mmio_read(0, PC_HPET + 0xf0));
	note(notes, mmio_read(0, PC_HPET + 0x20));
	note(notes, mmio_read(0, PC_LAPIC + 0x390));
	for (unsigned int d = 0; d < VIRTIO_DEVICES; d++) {
		note(notes, virtio_get(d, 0x14, 1));
		note(notes, virtio_get(d, 0x1000, 1));
	}
}

static void end_interrupt(unsigned int vcpu)
{
	if (rdmsr(vcpu, MSR_APIC_BASE) & 0x400)
		wrmsr(vcpu, MSR_X2APIC_EOI, 0);
	else
		mmio_write(vcpu, PC_LAPIC + 0xb0, 0);
}

/* Time goes on, interrupts are taken and ended, and the guest looks at its devices. */
static void live(struct notes *notes)
{
	for (unsigned int turn = 0; turn < TURNS; turn++) {
		tsc += 700000 * (turn % 7);
		for (unsigned int i = 0; i < VCPUS; i++) {
			ctx[i].regs.rflags |= IF;
			note_answer(notes, poll(i));
			if (ctx[i].answer.action == KEEL_ACTION_RESUME)
				end_interrupt(i);
		}
		note_answer(notes, event());
		ctx[0].regs.rflags &= ~(uint64_t)IF;
		out(0x20, 0x20);
		out(0xa0, 0x20);
		mmio_write(0, PC_HPET + 0x20, 2);
		if (turn % 3 == 0)
			note_registers(notes);
	}
}

START_TEST(goes_on_as_the_first_one)
{
	size_t bytes = save_and_make();

	ck_assert(load(stream, bytes));
	for (unsigned int i = 0; i < VCPUS; i++)
		ctx[i].exit.tsc_offset += shift;
	/* The console is as full as it was. */
	while (pc_serial_transmit(pc, '.'))
		stream_flush(&pc->console.out);
	leave(&second);
	come_to(&first);
	live(&one);
	come_to(&second);
	live(&other);
	ck_assert_uint_gt(one.injections, 10);
	ck_assert_uint_eq(one.count, other.count);
	for (unsigned int i = 0; i < one.count; i++)
		ck_assert_msg(one.note[i] == other.note[i], "note %u is %#lx, should be %#lx", i, other.note[i], one.note[i]);
}
END_TEST

START_TEST(busy_with_a_request)
{
	start_with_virtio();
	start_reading();
	ck_assert_uint_eq(machine_save(pc, stream, STREAM_ROOM, &error), 0);
	ck_assert_uint_eq(error.why, MACHINE_BUSY);
	answer_disk();
	save(stream);
}
END_TEST

START_TEST(ended_or_none)
{
	make();
	ck_assert_uint_eq(machine_save(pc, stream, STREAM_ROOM, &error), 0);
	ck_assert_uint_eq(error.why, MACHINE_ENDED);
	event();
	poll(0);
	save(stream);
	out(0x64, 0xfe);
	ck_assert_uint_eq(machine_save(pc, stream, STREAM_ROOM, &error), 0);
	ck_assert_uint_eq(error.why, MACHINE_ENDED);
	ck_assert(!load(stream, STREAM_ROOM));
	ck_assert_uint_eq(error.why, MACHINE_ENDED);
}
END_TEST

START_TEST(no_room)
{
	size_t bytes = save_and_make();

	for (size_t room = 0; room < bytes; room += 97) {
		ck_assert_uint_eq(machine_save(first.pc, changed, room, &error), 0);
		ck_assert_uint_eq(error.why, MACHINE_NO_ROOM);
	}
	ck_assert(!machine_load(pc, stream, bytes, tsc, (uint8_t *)memory, machine_load_bytes(pc) - 1, &shift, &error));
	ck_assert_uint_eq(error.why, MACHINE_NO_ROOM);
}
END_TEST

/* The machine in the rig is as it was: as 'again' has it. */
static void assert_unchanged(size_t bytes)
{
	static uint8_t now[STREAM_ROOM];

	ck_assert_uint_eq(machine_save(pc, now, STREAM_ROOM, &(struct machine_error){ 0 }), bytes);
	ck_assert_mem_eq(now, again, bytes);
}

START_TEST(cut_anywhere)
{
	size_t bytes = save_and_make(), own = save(again);

	for (size_t length = 0; length < bytes; length += length < 2000 ? 1 : 61) {
		/* A piece of its own, at whose end the sanitizer watches. */
		uint8_t *piece = malloc(length + !length);

		memcpy(piece, stream, length);
		ck_assert(!load(piece, length));
		free(piece);
		ck_assert(error.why >= MACHINE_NO_STREAM);
	}
	assert_unchanged(own);
	ck_assert(load(stream, bytes));
}
END_TEST

static uint32_t field_bytes(size_t at)
{
	uint32_t bytes;

	memcpy(&bytes, &stream[at + 24], sizeof(bytes));
	return bytes;
}

/* A section by its device's name and instance: where it begins, and how long it is with its parts. */
static size_t find(const char *name, unsigned int instance, size_t bytes, size_t *length)
{
	size_t at = HEADER_BYTES, found = 0;

	while (at < bytes) {
		size_t next = at + 28 + field_bytes(at);

		if (found && !strcmp((char *)stream + at, "device")) {
			*length = at - found;
			return found;
		}
		if (!strcmp((char *)stream + at, "device") && !strcmp((char *)stream + at + 28, name) &&
		    stream[at + 44] == instance)
			found = at;
		at = next;
	}
	ck_assert_msg(found, "there is no %s %u", name, instance);
	*length = bytes - found;
	return found;
}

static void assert_refused(size_t bytes, enum machine_failure why, const char *section, unsigned int instance)
{
	size_t own = save(again);

	ck_assert(!load(changed, bytes));
	ck_assert_uint_eq(error.why, why);
	ck_assert_str_eq(error.section, section);
	ck_assert_uint_eq(error.instance, instance);
	assert_unchanged(own);
}

START_TEST(other_sections)
{
	size_t bytes = save_and_make(), length, at = find("hpet", 0, bytes, &length);

	memcpy(changed, stream, bytes);
	memcpy(changed + at + 28, "hpe\x01t", 5);
	assert_refused(bytes, MACHINE_UNKNOWN_SECTION, "hpe?t", 0);
	changed[at + 44] = 9;
	assert_refused(bytes, MACHINE_UNKNOWN_SECTION, "hpe?t", 9);

	memcpy(changed, stream, bytes);
	memcpy(changed + bytes, stream + at, length);
	assert_refused(bytes + length, MACHINE_SECTION_TWICE, "hpet", 0);

	memcpy(changed, stream, at);
	memcpy(changed + at, stream + at + length, bytes - at - length);
	assert_refused(bytes - length, MACHINE_SECTION_MISSING, "hpet", 0);

	/* Another order is none that matters. */
	memcpy(changed + bytes - length, stream + at, length);
	ck_assert(load(changed, bytes));
	assert_same(bytes);

	memcpy(changed, stream, bytes);
	at = find("i8259", 1, bytes, &length);
	memcpy(changed + at + FRAME_BYTES, "i8258", 5);
	assert_refused(bytes, MACHINE_SECTION_BROKEN, "i8259", 1);
	memcpy(changed, stream, bytes);
	changed[at + FRAME_BYTES + 16] = 9;
	assert_refused(bytes, MACHINE_SECTION_BROKEN, "i8259", 1);
	memcpy(changed, stream, bytes);
	memcpy(changed + bytes, "behind it", 9);
	assert_refused(bytes + 9, MACHINE_SECTION_BROKEN, "", 0);
}
END_TEST

START_TEST(other_streams)
{
	size_t bytes = save_and_make();

	memcpy(changed, stream, bytes);
	changed[0] = 'K';
	assert_refused(bytes, MACHINE_NO_STREAM, "", 0);
	memcpy(changed, stream, bytes);
	changed[16] = 2;
	assert_refused(bytes, MACHINE_NO_STREAM, "", 0);
	memcpy(changed, stream, bytes);
	changed[28 + 3] = '2';
	assert_refused(bytes, MACHINE_OTHER_REVISION, "", 0);
}
END_TEST

static const struct {
	size_t offset, bytes;
	uint64_t value;
	const char *field;
} machines[] = {
	{ offsetof(struct keel_machine, low_memory), 8, LOW_MEMORY * 2, "low_memory" },
	{ offsetof(struct keel_machine, high_memory), 8, 0x100000, "high_memory" },
	{ offsetof(struct keel_machine, tsc_khz), 8, TSC_KHZ + TSC_KHZ / 1000, "tsc_khz" },
	{ offsetof(struct keel_machine, vcpus), 4, VCPUS + 1, "vcpus" },
	{ offsetof(struct keel_machine, vcpus), 4, VCPUS - 1, NULL },
	{ offsetof(struct keel_machine, topology), 4, KEEL_TOPOLOGY(2, 1), "topology" },
	{ offsetof(struct keel_machine, firmware_bytes), 4, FIRMWARE_BYTES / 2, "firmware_bytes" },
	{ offsetof(struct keel_machine, device[0].config), 8, DISK_BYTES / KEEL_SECTOR * 2, "bytes" },
	{ offsetof(struct keel_machine, device[0].flags), 2, KEEL_DEVICE_READONLY, "flags" },
	{ offsetof(struct keel_machine, device[0].id[1]), 1, '2', "serial" },
	{ offsetof(struct keel_machine, device[1].slot), 2, 3, "kind" },
};

START_TEST(other_machines)
{
	struct keel_machine machine;
	size_t bytes;

	start_busy();
	machine = channel->c.machine;
	bytes = save(stream);
	leave(&first);
	memcpy((uint8_t *)&machine + machines[_i].offset, &machines[_i].value, machines[_i].bytes);
	make_second(&first, &machine, 0);
	ck_assert(!load(stream, bytes));
	if (!machines[_i].field) {
		/* Of the vCPU that is not there nobody can say more. */
		ck_assert_uint_eq(error.why, MACHINE_UNKNOWN_SECTION);
		ck_assert_str_eq(error.section, "vcpu");
		ck_assert_uint_eq(error.instance, VCPUS - 1);
		return;
	}
	if (error.why == MACHINE_SECTION_MISSING)
		ck_assert_uint_eq(machines[_i].value, VCPUS + 1);
	else
		ck_assert_str_eq(error.field, machines[_i].field);
	if (error.why != MACHINE_SECTION_MISSING)
		ck_assert_uint_eq(error.why, MACHINE_OTHER_MACHINE);
}
END_TEST

/* Two calibrations of the same TSC. */
START_TEST(nearly_the_same_rate)
{
	struct keel_machine machine;
	size_t bytes;
	uint64_t now;

	start_busy();
	machine = channel->c.machine;
	machine.tsc_khz += machine.tsc_khz / 10000;
	bytes = save(stream);
	leave(&first);
	make_second(&first, &machine, 0);
	ck_assert(load(stream, bytes));
	ck_assert_uint_eq(pc->now, first.pc->now);
	now = pc->now;
	tsc += machine.tsc_khz;
	event();
	ck_assert_uint_ge(pc->now, now + 1000000);
	ck_assert_uint_le(pc->now, now + 1001000);
}
END_TEST

/* Bytes that a field of a table takes on the wire. */
static size_t wire_bytes(const struct state_field *field)
{
	size_t bytes = 0;

	ck_assert(field->kind != STATE_KIND_BLOB);
	if (field->kind == STATE_KIND_VALUES)
		return (size_t)field->width * field->count;
	for (unsigned int i = 0; i < field->members; i++)
		bytes += wire_bytes(&field->nested[i]);
	return bytes * field->count;
}

/* Where a field of a table is behind the header of its section; a name of an element's field finds the first element's. */
static bool wire_offset(const struct state_field *fields, unsigned int count, const char *name, size_t *offset,
			unsigned int *width)
{
	for (unsigned int i = 0; i < count; i++) {
		size_t begin = *offset;

		*width = fields[i].width;
		if (!strcmp(fields[i].name, name))
			return true;
		if (fields[i].kind == STATE_KIND_STRUCTS && wire_offset(fields[i].nested, fields[i].members, name, offset, width))
			return true;
		*offset = begin + wire_bytes(&fields[i]);
	}
	return false;
}

/* Behind the header of the part: its place in the stream. */
static size_t find_part(const char *device, unsigned int instance, const struct state_table *table, unsigned int number,
			size_t bytes)
{
	size_t length, at = find(device, instance, bytes, &length), end = at + length;

	for (at += FRAME_BYTES; at < end; at += 28 + field_bytes(at))
		if (!strcmp((char *)stream + at, table->name) && stream[at + 20] == number)
			return at + 28;
	ck_abort_msg("%s has no part %s %u", device, table->name, number);
}

#define PIT	"i8254", 0, &i8254_state_table, 0
#define PIC	"i8259", 0, &i8259_state_table, 0
#define RTC	"mc146818", 0, &mc146818_state_table, 0
#define HPETS	"hpet", 0, &hpet_state_table, 0
#define IOAPICS	"ioapic", 0, &ioapic_state_table, 0
#define PM	"piix4_pm", 0, &piix4_pm_state_table, 0
#define UART	"ns16550", 0, &ns16550_state_table, 0
#define KBC	"i8042", 0, &i8042_state_table, 0
#define DISK	"piix3_ide", 0, &ide_drive_state_table, 0
#define CDROM	"piix3_ide", 0, &ide_drive_state_table, 2
#define CHANNEL	"piix3_ide", 0, &ide_channel_state_table, 0
#define ENGINE	"piix3_ide", 0, &bmide_state_table, 0
#define LAPIC0	"vcpu", 0, &lapic_state_table, 0
#define LAPIC3	"vcpu", 3, &lapic_state_table, 0
#define CLOCK	"kvmclock", 0, &kvmclock_state_table, 0
#define RESET	"reset_control", 0, &reset_control_state_table, 0
#define PCI	"pci", 0, &pci_state_table, 0
#define HOST	"i440fx", 0, &pci_function_state_table, 0
#define ISA	"piix3", 0, &pci_function_state_table, 0
#define IDE	"piix3_ide", 0, &pci_function_state_table, 0
#define ACPI	"piix4_acpi", 0, &pci_function_state_table, 0
#define VIRTIO	"virtio-blk", PC_SLOT_DISK, &virtio_state_table, 0
#define MSIX	"virtio-rng", PC_SLOT_RNG, &msix_state_table, 0

#define BLAMED(part, what, number, other)	{ part, #what, number, #other }
#define WRONG(part, what, number)		{ part, #what, number, #what }

/* What no machine could have; of arrays the first element. */
static const struct {
	const char *device;
	unsigned int instance;
	const struct state_table *table;
	unsigned int number;
	const char *field;
	uint64_t value;
	const char *blamed;
} wrong[] = {
	WRONG(PIT, count, 65537),
	WRONG(PIT, base, 65537),
	WRONG(PIT, base, 0),
	WRONG(PIT, latched, 3),
	WRONG(PIT, mode, 6),
	WRONG(PIT, bcd, 2),
	WRONG(PIT, access, 0),
	WRONG(PIT, access, 4),
	WRONG(PIT, gate, 0),
	WRONG(PIT, gate, 2),
	WRONG(PIT, running, 2),
	WRONG(PIT, done, 2),
	WRONG(PIT, start, 1ull << 60),
	WRONG(PIT, tick, 1ull << 60),
	WRONG(PIT, ready, 1ull << 60),
	WRONG(PIT, owed, 9),
	WRONG(PIT, out0, 2),
	WRONG(PIT, port61, 0x10),
	WRONG(PIC, lowest, 8),
	WRONG(PIC, init_step, 1),
	WRONG(PIC, init_step, 5),
	WRONG(PIC, elcr, 1),
	WRONG(PIC, vector_base, 1),
	WRONG(PIC, read_isr, 2),
	WRONG(PIC, poll, 2),
	WRONG(PIC, special_mask, 2),
	WRONG(PIC, rotate_on_aeoi, 2),
	BLAMED(PIC, lines, 0x55, isa_level),
	WRONG(RTC, next_update, UINT64_MAX),
	WRONG(RTC, divider_start, 1ull << 62),
	WRONG(RTC, divider_seen, 1ull << 62),
	WRONG(RTC, latest, 1ull << 62),
	WRONG(RTC, ready, UINT64_MAX),
	WRONG(RTC, owed, 9),
	WRONG(RTC, index, 128),
	WRONG(HPETS, general, 4),
	WRONG(HPETS, base, UINT64_MAX),
	WRONG(HPETS, asserted, 1),
	WRONG(HPETS, config, 1),
	WRONG(HPETS, config, 1ull << 40),
	WRONG(HPETS, deadline, UINT64_MAX - 1),
	WRONG(HPETS, high_follows, 2),
	WRONG(HPETS, status, 8),
	WRONG(IOAPICS, entry, 1 << 14),
	WRONG(IOAPICS, entry, 1 << 12),
	WRONG(IOAPICS, entry, 1ull << 40),
	WRONG(IOAPICS, pins, 1 << 24),
	WRONG(IOAPICS, id, 1),
	WRONG(IOAPICS, id, 1 << 28),
	WRONG(PM, toggles, UINT64_MAX),
	WRONG(PM, toggles, 1ull << 41),
	WRONG(PM, status, 2),
	WRONG(PM, enable, 0x8000),
	WRONG(PM, control, 0x2000),
	WRONG(UART, rx_first, 16),
	WRONG(UART, rx_count, 17),
	WRONG(UART, tx_first, 16),
	WRONG(UART, tx_count, 255),
	WRONG(UART, ier, 16),
	WRONG(UART, mcr, 0x20),
	WRONG(UART, fcr, 0x02),
	WRONG(UART, fcr, 0x40),
	WRONG(UART, lsr_errors, 4),
	WRONG(UART, msr, 0),
	WRONG(UART, thre_pending, 2),
	WRONG(KBC, answer_count, 5),
	WRONG(KBC, enabled, 2),
	WRONG(KBC, keys_first, 16),
	WRONG(KBC, keys_count, 17),
	WRONG(KBC, scan_set, 0),
	WRONG(KBC, scan_set, 3),
	WRONG(KBC, mouse_wrap, 2),
	WRONG(KBC, mouse_mode, 1),
	WRONG(KBC, status, 0x40),
	WRONG(KBC, status, 0),
	WRONG(KBC, output_port, 0xfe),
	WRONG(KBC, output_port, 0xce),
	WRONG(DISK, flow, 12),
	WRONG(DISK, flow, IDE_FLUSH),
	WRONG(DISK, flow, IDE_VERIFY),
	WRONG(DISK, flow, IDE_IDLE),
	WRONG(DISK, flow, IDE_PACKET),
	WRONG(DISK, flow, IDE_READ_DMA),
	WRONG(DISK, flow, IDE_WRITE),
	WRONG(DISK, status, 0x80),
	WRONG(DISK, interrupt, 2),
	WRONG(DISK, through, 2),
	WRONG(DISK, cursor, IDE_BUFFER_BYTES + 1),
	WRONG(DISK, cursor, 512),
	WRONG(DISK, cursor, 3),
	WRONG(DISK, readable, IDE_BUFFER_BYTES + 2),
	WRONG(DISK, readable, 511),
	BLAMED(DISK, readable, 0, flow),
	BLAMED(DISK, writable, 512, flow),
	WRONG(DISK, block, IDE_BUFFER_BYTES + 2),
	WRONG(DISK, block, 0),
	WRONG(DISK, block, 511),
	WRONG(DISK, position, UINT64_MAX),
	WRONG(DISK, position, DISK_BYTES + 512),
	BLAMED(DISK, left, UINT64_MAX, position),
	BLAMED(DISK, left, 511, position),
	WRONG(DISK, multiple, 17),
	WRONG(DISK, heads, 0),
	WRONG(DISK, sectors, 0),
	WRONG(DISK, write_cache, 2),
	WRONG(DISK, packet, 2),
	WRONG(CDROM, tray_open, 2),
	WRONG(CDROM, locked, 2),
	WRONG(CDROM, attention, 2),
	WRONG(CDROM, flow, IDE_READ),
	WRONG(CDROM, status, 0x88),
	WRONG(CDROM, status, 0x80),
	WRONG(CHANNEL, selected, 2),
	WRONG(CHANNEL, control, 1),
	WRONG(CHANNEL, line, 2),
	WRONG(ENGINE, table, 1),
	WRONG(ENGINE, next, 2),
	WRONG(ENGINE, left, 0x10001),
	WRONG(ENGINE, last, 2),
	WRONG(ENGINE, command, 2),
	WRONG(ENGINE, status, 0x80),
	WRONG(ENGINE, status, 1),
	WRONG(RESET, value, 8),
	WRONG(PCI, address, 1),
	WRONG(HOST, config, 0x1234),
	WRONG(ISA, config, 1),
	WRONG(IDE, config, 1),
	WRONG(ACPI, config, 1),
	WRONG(ACPI, msi_pending, 1),
	WRONG(LAPIC0, base, KEEL_APIC_BASE | 0x901),
	WRONG(LAPIC0, base, KEEL_APIC_BASE | 0x500),
	WRONG(LAPIC0, base, 1ull << 45),
	WRONG(LAPIC0, deadline, UINT64_MAX - 1),
	WRONG(LAPIC0, pv_eoi, 2),
	WRONG(LAPIC0, pv_eoi, 0xa0001),
	WRONG(LAPIC0, ldr, 1),
	WRONG(LAPIC0, dfr, 0),
	WRONG(LAPIC0, svr, 0x1000),
	WRONG(LAPIC0, esr, 1),
	WRONG(LAPIC0, divide, 4),
	WRONG(LAPIC0, divide, 16),
	WRONG(LAPIC0, lvt, 1 << 12),
	BLAMED(LAPIC0, posted_vectors, 1, posted),
	BLAMED(LAPIC0, posted_level, 1, posted),
	WRONG(LAPIC0, posted, 1),
	WRONG(LAPIC0, posted, 1 << 10),
	WRONG(LAPIC0, nmi_pending, 2),
	WRONG(LAPIC0, cr8, 16),
	WRONG(LAPIC0, lint, 4),
	BLAMED(LAPIC0, svr, 0xff, lvt),
	WRONG(LAPIC3, base, KEEL_APIC_BASE | 0xa00),
	BLAMED(LAPIC3, sipi_pending, 1, wait_sipi),
	BLAMED(LAPIC3, eoi_offered, 1, pv_eoi),
	WRONG(CLOCK, wall_clock, 1),
	WRONG(CLOCK, system_time, 0xa0001),
	WRONG(CLOCK, system_time, 0x7002),
	WRONG(CLOCK, version, 1),
	WRONG(VIRTIO, size, 24),
	WRONG(VIRTIO, size, 2 * VIRTIO_BLK_ENTRIES),
	WRONG(VIRTIO, vector, 7),
	WRONG(VIRTIO, config_vector, 7),
	WRONG(VIRTIO, enabled, 2),
	WRONG(VIRTIO, isr, 4),
	WRONG(VIRTIO, driver_features, 1ull << 63),
	WRONG(VIRTIO, desc, GUEST_RING(1) + 8),
	BLAMED(VIRTIO, device, LOW_MEMORY, desc),
	WRONG(MSIX, pending, 4),
};

static void set_wrong(unsigned int i, size_t bytes)
{
	size_t offset = 0;
	unsigned int width;
	uint8_t *at;

	ck_assert(wire_offset(wrong[i].table->fields, wrong[i].table->count, wrong[i].field, &offset, &width));
	memcpy(changed, stream, bytes);
	at = changed + find_part(wrong[i].device, wrong[i].instance, wrong[i].table, wrong[i].number, bytes) + offset;
	ck_assert_msg(memcmp(at, &wrong[i].value, width), "%s of %s is so already", wrong[i].field, wrong[i].device);
	memcpy(at, &wrong[i].value, width);
}

START_TEST(wrong_values)
{
	size_t bytes = save_and_make(), own = save(again);

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		const char *blamed = wrong[i].blamed;

		set_wrong(i, bytes);
		ck_assert_msg(!load(changed, bytes), "%s %s %#lx", wrong[i].device, wrong[i].field, wrong[i].value);
		ck_assert_uint_eq(error.why, MACHINE_WRONG_VALUE);
		ck_assert_str_eq(error.section, strcmp(blamed, "isa_level") ? wrong[i].device : "pc");
		ck_assert_uint_eq(error.instance, wrong[i].instance);
		ck_assert_msg(error.field && !strcmp(error.field, blamed), "%s %s %#lx: %s", wrong[i].device, wrong[i].field,
			      wrong[i].value, error.field);
	}
	assert_unchanged(own);
	ck_assert(load(stream, bytes));
	assert_same(bytes);
}
END_TEST

/* The machine's own, whose table is not to be seen: time, time of day, levels, sleepers. */
START_TEST(wrong_boards)
{
	static const struct {
		unsigned int offset;
		const char *field;
	} boards[] = { { 7, "now" }, { 16, "isa_level" }, { 24, "halted" }, { 24 + VCPUS, "halted" } };
	size_t bytes = save_and_make(), length, at = find("pc", 0, bytes, &length) + FRAME_BYTES;

	at += 28 + field_bytes(at) + 28;
	for (unsigned int i = 0; i < ARRAY_SIZE(boards); i++) {
		memcpy(changed, stream, bytes);
		changed[at + boards[i].offset] ^= boards[i].offset == 24 + VCPUS ? 1 : 0x82;
		assert_refused(bytes, MACHINE_WRONG_VALUE, "pc", 0);
		ck_assert_str_eq(error.field, boards[i].field);
	}
}
END_TEST

/* Whatever is accepted can be saved and loaded again, and runs. */
START_TEST(changed_anywhere)
{
	size_t bytes = save_and_make();
	uint64_t seed = 88172645463325252ull;
	unsigned int accepted = 0;

	for (unsigned int round = 0; round < 2000; round++) {
		size_t own = save(again);

		memcpy(changed, stream, bytes);
		for (unsigned int i = 0; i <= round % 3; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			changed[HEADER_BYTES + seed % (bytes - HEADER_BYTES)] ^= (uint8_t)(1u << (seed >> 40) % 8);
		}
		if (!load(changed, bytes)) {
			assert_unchanged(own);
			continue;
		}
		accepted++;
		own = save(changed);
		ck_assert(load(changed, own));
		event();
		ck_assert(answer_all_virtio());
		ck_assert(machine_settle(pc));
	}
	ck_assert_uint_gt(accepted, 100);
	ck_assert_uint_lt(accepted, 1990);
}
END_TEST

/* The real-time clock is the battery's, and goes on. */
START_TEST(wall_clock_goes_on)
{
	struct keel_machine machine;
	int64_t wall;
	size_t bytes;

	start_with_virtio();
	machine = channel->c.machine;
	bytes = save(stream);
	wall = pc_wall(pc, tsc);
	leave(&first);
	make_second(&first, &machine, wall + 3 * 3600 * 1000000000ll);
	ck_assert(load(stream, bytes));
	ck_assert_uint_eq(pc->rtc.s.ram[4], first.pc->rtc.s.ram[4] + 3);
	ck_assert_uint_eq(pc->now, first.pc->now);
	/* Guests that know KVM's clock are told of another start of the machine. */
	wrmsr(0, KEEL_MSR_WALL_CLOCK, 0x9000);
	ck_assert_uint_eq(*(uint32_t *)&guest[0x9004], 86400u * 365 + 3 * 3600);
}
END_TEST

START_TEST(medium_was_changed)
{
	struct keel_machine machine;
	size_t bytes;

	start_busy();
	machine = channel->c.machine;
	memcpy(machine.device[1].config, &(uint64_t){ 4 * 30 }, sizeof(uint64_t));
	bytes = save(stream);
	leave(&first);
	make_second(&first, &machine, 0);
	ck_assert(load(stream, bytes));
	ck_assert_uint_eq(pc->ide.channel[1].drive[0].s.attention, 1);
	ck_assert_uint_eq(pc->ide.channel[1].drive[0].bytes, 2048 * 30);
	ck_assert(!board_door(&host, 2).locked);
	ck_assert_uint_eq(board_door(&host, 2).ejected, 0);
}
END_TEST

/* A read waits for the bus master; in the other machine's drive there is no medium, a smaller one, a larger one. */
START_TEST(medium_was_changed_in_a_read)
{
	static const uint64_t sectors[] = { 0, 4 * 10, 4 * 60 };
	static const uint8_t read[12] = { 0x28, [5] = 20, [8] = 8 };
	const struct ide_drive_state *s;
	struct keel_machine machine;
	size_t bytes;

	make();
	add_virtio();
	set_sectors(1, 4 * 30);
	event();
	out(0x176, 0xa0);
	out(0x171, 1);
	out(0x177, 0xa0);
	for (unsigned int i = 0; i < sizeof(read); i += 2)
		out_by(0, 0x170, 2, read[i] | (uint32_t)read[i + 1] << 8);
	ck_assert_uint_eq(pc->ide.channel[1].drive[0].s.flow, IDE_READ_DMA);
	bytes = save(stream);
	set_sectors(1, sectors[_i]);
	machine = channel->c.machine;
	leave(&first);
	make_second(&first, &machine, 0);
	ck_assert(load(stream, bytes));
	s = &pc->ide.channel[1].drive[0].s;
	ck_assert_uint_eq(s->flow, IDE_IDLE);
	ck_assert_uint_eq(s->status & IDE_STATUS_ERR, IDE_STATUS_ERR);
	ck_assert_uint_eq(s->attention, sectors[_i] != 0);
	/* What was loaded can be saved and loaded again. */
	ck_assert(load(stream, save(stream)));
}
END_TEST

static uint64_t shown_capacity(void)
{
	uint64_t sectors;

	memcpy(&sectors, pc->virtio[VIRTIO_DISK]->config, sizeof(sectors));
	return sectors;
}

/* The channel's row of the virtio disk says so; returns its number. */
static unsigned int set_capacity(uint64_t sectors)
{
	unsigned int row = RIG_DEVICES + VIRTIO_DISK;

	ck_assert_uint_eq(channel->c.machine.device[row].slot, PC_SLOT_DISK);
	set_sectors(row, sectors);
	return row;
}

/* By the panel, and it is part of what is saved; a disk that is larger elsewhere grows there, a smaller one is another disk. */
START_TEST(disk_has_grown)
{
	struct keel_machine machine;
	size_t bytes;

	start_busy();
	board_set_capacity(&host, PC_SLOT_DISK + 1, 7 * KEEL_SECTOR);
	board_set_capacity(&host, PC_SLOT_DISK, 128 * KEEL_SECTOR);
	event();
	ck_assert_uint_eq(shown_capacity(), 128);
	ck_assert_uint_eq(pc->virtio[VIRTIO_DISK]->s.generation, 1);
	ck_assert_uint_eq(pc->virtio[VIRTIO_DISK]->s.isr, VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG);
	bytes = save(stream);
	set_capacity(200 + 56 * (uint64_t)_i);
	machine = channel->c.machine;
	leave(&first);
	make_second(&first, &machine, 0);
	ck_assert(load(stream, bytes));
	ck_assert_uint_eq(shown_capacity(), 128);
	event();
	ck_assert_uint_eq(shown_capacity(), 200 + 56 * (unsigned int)_i);
	ck_assert_uint_eq(pc->virtio[VIRTIO_DISK]->s.generation, 2);
	ck_assert(answer_all_virtio());
	ck_assert(load(stream, save(stream)));
}
END_TEST

START_TEST(disk_is_smaller)
{
	struct keel_machine machine;
	size_t bytes;

	start_busy();
	bytes = save(stream);
	set_capacity(63);
	machine = channel->c.machine;
	leave(&first);
	make_second(&first, &machine, 0);
	ck_assert(!load(stream, bytes));
	ck_assert_str_eq(error.field, "config");
	ck_assert_uint_eq(shown_capacity(), 63);
}
END_TEST

START_TEST(door_is_told)
{
	struct keel_machine machine;
	size_t bytes;

	start_with_virtio();
	machine = channel->c.machine;
	pc->ide.channel[1].drive[0].s.locked = 1;
	bytes = save(stream);
	leave(&first);
	make_second(&first, &machine, 0);
	ck_assert(load(stream, bytes));
	ck_assert(board_door(&host, 2).locked);
}
END_TEST

SUITE("save", tests)
{
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, each_device_says_what_it_saves);
	tcase_add_test(tests, busy_is_busy);
	tcase_add_test(tests, round_trip);
	tcase_add_test(tests, in_pieces);
	tcase_add_test(tests, virtio_goes_on);
	tcase_add_test(tests, goes_on_as_the_first_one);
	tcase_add_test(tests, busy_with_a_request);
	tcase_add_test(tests, ended_or_none);
	tcase_add_test(tests, no_room);
	tcase_add_test(tests, cut_anywhere);
	tcase_add_test(tests, other_sections);
	tcase_add_test(tests, other_streams);
	tcase_add_loop_test(tests, other_machines, 0, ARRAY_SIZE(machines));
	tcase_add_test(tests, nearly_the_same_rate);
	tcase_add_test(tests, wrong_values);
	tcase_add_test(tests, wrong_boards);
	tcase_add_test(tests, changed_anywhere);
	tcase_add_test(tests, wall_clock_goes_on);
	tcase_add_test(tests, medium_was_changed);
	tcase_add_loop_test(tests, medium_was_changed_in_a_read, 0, 3);
	tcase_add_loop_test(tests, disk_has_grown, 0, 2);
	tcase_add_test(tests, disk_is_smaller);
	tcase_add_test(tests, door_is_told);
}
