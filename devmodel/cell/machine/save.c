// SPDX-License-Identifier: GPL-2.0
/* Saves and loads the machine: its list of devices, their parts, and the tables of those. */
#include "machine/save.h"

#include "core/string.h"
#include "machine/pc.h"

#define SECTIONS_MOST	(1 + MACHINE_DEVICES_MOST + KEEL_DEVICES + KEEL_MAX_VCPUS)
#define ALIGNMENT	sizeof(uint64_t)

/* The time of a machine in nanoseconds: so far from the end that no sum of it and a deadline gets there. */
#define NOW_MOST	(1ull << 62)	/* 146 years */
/* Two calibrations of one TSC differ by as much at most (KVM takes the same, arch/x86/kvm/x86.c, tsc_tolerance_ppm). */
#define TSC_TOLERANCE_PPM 250u
#define PPM		1000000u

/* What stands in front of everything, and of each device. */
struct header {
	uint8_t revision[MACHINE_NAME_BYTES];
	uint64_t tsc;			/* of the host, when the machine's time was what it is */
};

struct frame {
	uint8_t name[MACHINE_NAME_BYTES];
	uint32_t instance;
};

/* What the machine that loads must have, too. */
struct drive_facts {
	uint64_t bytes;			/* of a CD-ROM's medium: another one is a medium that was changed */
	uint32_t kind, flags;
	uint8_t serial[sizeof(((struct ide_drive *)0)->serial)];
};

struct facts {
	uint64_t low_memory, high_memory, tsc_khz;
	uint32_t vcpus, topology, firmware_bytes;
	struct drive_facts drive[KEEL_DRIVES];
};

/* The machine's own. */
struct board {
	uint64_t now;
	uint64_t wall;			/* nanoseconds since 1970 */
	uint16_t isa_level[PC_IRQ_SOURCES];
	uint8_t halted[KEEL_MAX_VCPUS];
};

struct image {
	struct facts facts;
	struct board board;
};

static const struct state_field header_fields[] = {
	STATE_ARRAY(struct header, revision),
	STATE_FIELD(struct header, tsc),
};

static const struct state_field frame_fields[] = {
	STATE_ARRAY(struct frame, name),
	STATE_FIELD(struct frame, instance),
};

static const struct state_field drive_fields[] = {
	STATE_FIELD(struct drive_facts, bytes),
	STATE_FIELD(struct drive_facts, kind),
	STATE_FIELD(struct drive_facts, flags),
	STATE_ARRAY(struct drive_facts, serial),
};

static const struct state_field facts_fields[] = {
	STATE_FIELD(struct facts, low_memory),
	STATE_FIELD(struct facts, high_memory),
	STATE_FIELD(struct facts, tsc_khz),
	STATE_FIELD(struct facts, vcpus),
	STATE_FIELD(struct facts, topology),
	STATE_FIELD(struct facts, firmware_bytes),
	STATE_STRUCTS(struct facts, drive, drive_fields),
};

static const struct state_field board_fields[] = {
	STATE_FIELD(struct board, now),
	STATE_FIELD(struct board, wall),
	STATE_ARRAY(struct board, isa_level),
	STATE_ARRAY_MOST(struct board, halted, 1),
};

static const struct state_table header_table = { "keel-machine", 1, header_fields, ARRAY_SIZE(header_fields) };
static const struct state_table frame_table = { "device", 1, frame_fields, ARRAY_SIZE(frame_fields) };
static const struct state_table facts_table = { "facts", 1, facts_fields, ARRAY_SIZE(facts_fields) };
static const struct state_table board_table = { "board", 1, board_fields, ARRAY_SIZE(board_fields) };

struct part {
	const struct state_table *table;
	unsigned int instance;
	void *state;
};

/* A device's, the machine's own, or a vCPU's. */
struct section {
	const char *name;
	unsigned int instance, count;
	const struct device_ops *ops;	/* NULL: it is the machine's or a vCPU's */
	void *device;
	const struct lapic *lapic;	/* NULL: it is no vCPU's */
	struct part part[DEVICE_PARTS_MOST];
};

/* The list */

static unsigned int section_count(const struct pc *pc)
{
	return 1 + pc_device_count + pc->virtio_devices + pc->machine.vcpus;
}

static void add_part(struct section *section, const struct state_table *table, unsigned int instance, void *state)
{
	section->part[section->count++] = (struct part){ table, instance, state };
}

static void list_device(const char *name, unsigned int instance, const struct device_ops *ops, void *device,
			struct section *section)
{
	*section = (struct section){ .name = name, .instance = instance, .ops = ops, .device = device };
	for (unsigned int i = 0; i < ops->part_count; i++)
		add_part(section, ops->parts[i].table, ops->parts[i].instance, (char *)device + ops->parts[i].place);
}

static void list_vcpu(struct pc *pc, unsigned int vcpu, struct section *section)
{
	struct lapic *lapic = &pc->vcpu[vcpu].lapic;

	*section = (struct section){ .name = "vcpu", .instance = vcpu, .lapic = lapic };
	add_part(section, &lapic_state_table, 0, &lapic->s);
	add_part(section, &lapic_page_table, 0, lapic->page);
}

static void list_machine(struct image *image, struct section *section)
{
	*section = (struct section){ .name = "pc" };
	add_part(section, &facts_table, 0, &image->facts);
	add_part(section, &board_table, 0, &image->board);
}

/* The machine, its devices, those that the channel has rows for, vCPUs. */
static void list_section(struct pc *pc, struct image *image, unsigned int number, struct section *section)
{
	const unsigned int virtio = 1 + pc_device_count, vcpus = virtio + pc->virtio_devices;

	if (number == 0) {
		list_machine(image, section);
	} else if (number < virtio) {
		const struct device *device = &pc_devices[number - 1];

		list_device(device->name, device->instance, device->ops, pc_device(pc, device), section);
	} else if (number < vcpus) {
		struct virtio_device *device = pc->virtio[number - virtio];

		list_device(device->ops->name, device->pci.slot, &virtio_device_ops, device, section);
	} else {
		list_vcpu(pc, number - vcpus, section);
	}
}

static void put_name(uint8_t to[MACHINE_NAME_BYTES], const char *name)
{
	memset(to, 0, MACHINE_NAME_BYTES);
	for (unsigned int i = 0; i < MACHINE_NAME_BYTES - 1 && name[i]; i++)
		to[i] = (uint8_t)name[i];
}

static bool fail(struct machine_error *error, enum machine_failure why)
{
	*error = (struct machine_error){ .why = why };
	return false;
}

static bool fail_in(struct machine_error *error, enum machine_failure why, const struct section *section, const struct part *part,
		    const char *field)
{
	fail(error, why);
	put_name((uint8_t *)error->section, section->name);
	error->instance = section->instance;
	error->part = part ? part->table->name : NULL;
	error->part_instance = part ? part->instance : 0;
	error->field = field;
	return false;
}

/* Saving */

static void take_facts(const struct pc *pc, struct facts *facts)
{
	const struct keel_machine *machine = &pc->machine;

	*facts = (struct facts){
		.low_memory = machine->low_memory, .high_memory = machine->high_memory, .tsc_khz = machine->tsc_khz,
		.vcpus = machine->vcpus, .topology = machine->topology, .firmware_bytes = machine->firmware_bytes,
	};
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		const struct ide_drive *drive = &pc->ide.channel[i / IDE_CHANNEL_DRIVES].drive[i % IDE_CHANNEL_DRIVES];

		facts->drive[i].bytes = drive->bytes;
		facts->drive[i].kind = drive->kind;
		facts->drive[i].flags = drive->flags;
		memcpy(facts->drive[i].serial, drive->serial, sizeof(drive->serial));
	}
}

static void take_image(const struct pc *pc, struct image *image)
{
	*image = (struct image){ .board.now = pc->now, .board.wall = (uint64_t)pc_wall(pc, pc->tsc) };
	take_facts(pc, &image->facts);
	memcpy(image->board.isa_level, pc->isa_level, sizeof(pc->isa_level));
	for (unsigned int i = 0; i < pc->machine.vcpus; i++)
		image->board.halted[i] = pc->vcpu[i].halted;
}

/* No device waits for the resource half. */
static bool is_quiet(const struct pc *pc)
{
	for (unsigned int i = 0; i < PIIX3_IDE_CHANNELS; i++)
		if (ide_in_flight(&pc->ide.channel[i]))
			return false;
	for (unsigned int i = 0; i < pc->virtio_devices; i++)
		if (!virtio_is_quiet(pc->virtio[i]))
			return false;
	return true;
}

bool machine_settle(struct pc *pc)
{
	if (!is_quiet(pc))
		return false;
	for (unsigned int i = 0; i < pc->virtio_devices; i++)
		virtio_give_up(pc->virtio[i]);
	return true;
}

static bool is_settled(const struct pc *pc)
{
	for (unsigned int i = 0; i < pc->virtio_devices; i++)
		if (virtio_is_awaited(pc->virtio[i]))
			return false;
	return is_quiet(pc);
}

static bool may_be_moved(const struct pc *pc, struct machine_error *error)
{
	if (!pc->ready || pc->end)
		return fail(error, MACHINE_ENDED);
	return is_settled(pc) || fail(error, MACHINE_BUSY);
}

struct writer {
	uint8_t *at;
	size_t room;
};

static bool write_state(struct writer *w, const struct state_table *table, unsigned int instance, const void *state)
{
	size_t bytes = state_save(table, instance, state, w->at, w->room);

	w->at += bytes;
	w->room -= bytes;
	return bytes != 0;
}

static bool write_header(struct writer *w, const struct pc *pc)
{
	struct header header = { .tsc = pc->tsc };

	put_name(header.revision, MACHINE_REVISION);
	return write_state(w, &header_table, 0, &header);
}

/* One part of a section, the first one with what stands in front of the device. */
static bool write_part(struct writer *w, const struct section *section, unsigned int number)
{
	const struct part *part = &section->part[number];
	struct frame frame = { .instance = section->instance };

	put_name(frame.name, section->name);
	if (!number && !write_state(w, &frame_table, 0, &frame))
		return false;
	return number == section->count || write_state(w, part->table, part->instance, part->state);
}

bool machine_is_saved(const struct pc *pc, const struct machine_cursor *at)
{
	return at->begun && at->section == section_count(pc);
}

static bool write_next(struct writer *w, struct pc *pc, struct machine_cursor *at, struct machine_error *error)
{
	struct section section;
	struct image image;

	if (!at->begun) {
		at->begun = write_header(w, pc);
		return at->begun || fail(error, MACHINE_NO_ROOM);
	}
	if (!at->section)
		take_image(pc, &image);
	list_section(pc, &image, at->section, &section);
	if (!write_part(w, &section, at->part))
		return fail_in(error, MACHINE_NO_ROOM, &section, NULL, NULL);
	if (++at->part >= section.count)
		*at = (struct machine_cursor){ .begun = true, .section = at->section + 1 };
	return true;
}

size_t machine_save_bytes(struct pc *pc)
{
	size_t bytes = state_size(&header_table);
	struct section section;
	struct image image;

	for (unsigned int i = 0; i < section_count(pc); i++) {
		list_section(pc, &image, i, &section);
		bytes += state_size(&frame_table);
		for (unsigned int j = 0; j < section.count; j++)
			bytes += state_size(section.part[j].table);
	}
	return bytes;
}

size_t machine_save_next(struct pc *pc, struct machine_cursor *at, uint8_t *piece, size_t room, struct machine_error *error)
{
	struct writer w = { piece, room };

	if (!at->begun && !may_be_moved(pc, error))
		return 0;
	return write_next(&w, pc, at, error) ? (size_t)(w.at - piece) : 0;
}

size_t machine_save(struct pc *pc, uint8_t *stream, size_t room, struct machine_error *error)
{
	struct writer w = { stream, room };
	struct machine_cursor at = { 0 };

	if (!may_be_moved(pc, error))
		return 0;
	while (!machine_is_saved(pc, &at))
		if (!write_next(&w, pc, &at, error))
			return 0;
	return (size_t)(w.at - stream);
}

/* Loading: everything into states of their own, which then take the place of the machine's. */

struct loading {
	struct pc *pc;
	struct image *image;
	const uint8_t *at;
	size_t left;
	uint8_t *memory;
	uint32_t place[SECTIONS_MOST];	/* in memory, of a section's new states */
	bool seen[SECTIONS_MOST];
	struct machine_error *error;
};

static size_t staged_bytes(const struct part *part)
{
	return (state_extent(part->table) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

size_t machine_load_bytes(struct pc *pc)
{
	struct section section;
	struct image image;
	size_t bytes = 0;

	for (unsigned int i = 0; i < section_count(pc); i++) {
		list_section(pc, &image, i, &section);
		for (unsigned int j = 0; j < section.count; j++)
			bytes += staged_bytes(&section.part[j]);
	}
	return bytes;
}

/* A section of the machine, and where its new states are, part by part. */
static void find_staged(const struct loading *l, unsigned int number, struct section *section, void *states[DEVICE_PARTS_MOST])
{
	uint8_t *at = l->memory + l->place[number];

	list_section(l->pc, l->image, number, section);
	for (unsigned int i = 0; i < section->count; i++) {
		states[i] = at;
		at += staged_bytes(&section->part[i]);
	}
}

/* New states begin as the machine's own. */
static void stage_own(struct loading *l)
{
	struct section section;
	uint32_t at = 0;

	for (unsigned int i = 0; i < section_count(l->pc); i++) {
		list_section(l->pc, l->image, i, &section);
		l->place[i] = at;
		for (unsigned int j = 0; j < section.count; j++) {
			memcpy(l->memory + at, section.part[j].state, state_extent(section.part[j].table));
			at += (uint32_t)staged_bytes(&section.part[j]);
		}
	}
}

static bool take_state(struct loading *l, const struct state_table *table, unsigned int instance, void *state, const char **field)
{
	size_t bytes = state_read(table, instance, state, l->at, l->left, field);

	l->at += bytes;
	l->left -= bytes;
	return bytes != 0;
}

static bool read_header(struct loading *l, uint64_t *tsc)
{
	uint8_t revision[MACHINE_NAME_BYTES];
	struct header header;
	const char *field;

	if (!take_state(l, &header_table, 0, &header, &field))
		return fail(l->error, MACHINE_NO_STREAM);
	put_name(revision, MACHINE_REVISION);
	if (memcmp(header.revision, revision, sizeof(revision)))
		return fail(l->error, MACHINE_OTHER_REVISION);
	*tsc = header.tsc;
	return true;
}

static bool fail_by_name(struct loading *l, enum machine_failure why, const struct frame *frame)
{
	fail(l->error, why);
	for (unsigned int i = 0; i < MACHINE_NAME_BYTES - 1 && frame->name[i]; i++)
		l->error->section[i] = frame->name[i] > ' ' && frame->name[i] <= '~' ? (char)frame->name[i] : '?';
	l->error->instance = frame->instance;
	return false;
}

static bool find_section(struct loading *l, const struct frame *frame, unsigned int *number, struct section *section)
{
	uint8_t name[MACHINE_NAME_BYTES];

	for (*number = 0; *number < section_count(l->pc); ++*number) {
		list_section(l->pc, l->image, *number, section);
		put_name(name, section->name);
		if (section->instance == frame->instance && !memcmp(name, frame->name, sizeof(name)))
			return true;
	}
	return fail_by_name(l, MACHINE_UNKNOWN_SECTION, frame);
}

/* The steps of a load are apart from each other, so that their sections are not on the stack together. */
static __attribute__((noinline)) bool read_section(struct loading *l)
{
	struct frame frame;
	struct section section;
	unsigned int number;
	const char *field;
	void *states[DEVICE_PARTS_MOST];

	if (!take_state(l, &frame_table, 0, &frame, &field))
		return fail(l->error, MACHINE_SECTION_BROKEN);
	if (!find_section(l, &frame, &number, &section))
		return false;
	if (l->seen[number])
		return fail_by_name(l, MACHINE_SECTION_TWICE, &frame);
	l->seen[number] = true;
	find_staged(l, number, &section, states);
	for (unsigned int i = 0; i < section.count; i++) {
		const struct part *part = &section.part[i];

		if (!take_state(l, part->table, part->instance, states[i], &field))
			return fail_in(l->error, field ? MACHINE_WRONG_VALUE : MACHINE_SECTION_BROKEN, &section, part, field);
	}
	return true;
}

static bool read_sections(struct loading *l)
{
	struct section section;

	while (l->left)
		if (!read_section(l))
			return false;
	for (unsigned int i = 0; i < section_count(l->pc); i++) {
		list_section(l->pc, l->image, i, &section);
		if (!l->seen[i])
			return fail_in(l->error, MACHINE_SECTION_MISSING, &section, NULL, NULL);
	}
	return true;
}

/* Checks */

static bool same_rate(uint64_t a, uint64_t b)
{
	uint64_t apart = a > b ? a - b : b - a;

	return a <= CLOCK_KHZ_MOST && apart <= b * TSC_TOLERANCE_PPM / PPM;
}

static const char *other_drive(const struct drive_facts *saved, const struct drive_facts *own)
{
	if (saved->kind != own->kind)
		return "kind";
	if (saved->flags != own->flags)
		return "flags";
	if (memcmp(saved->serial, own->serial, sizeof(own->serial)))
		return "serial";
	return saved->kind != KEEL_DEVICE_IDE_CDROM && saved->bytes != own->bytes ? "bytes" : NULL;
}

static const char *other_machine(const struct facts *saved, const struct facts *own)
{
	const char *field = NULL;

	if (saved->low_memory != own->low_memory)
		return "low_memory";
	if (saved->high_memory != own->high_memory)
		return "high_memory";
	if (!same_rate(saved->tsc_khz, own->tsc_khz))
		return "tsc_khz";
	if (saved->vcpus != own->vcpus)
		return "vcpus";
	if (saved->topology != own->topology)
		return "topology";
	if (saved->firmware_bytes != own->firmware_bytes)
		return "firmware_bytes";
	for (unsigned int i = 0; !field && i < KEEL_DRIVES; i++)
		field = other_drive(&saved->drive[i], &own->drive[i]);
	return field;
}

/* The new one for a state of the machine that is a part on its own. */
static const void *staged(const struct loading *l, const void *state)
{
	void *states[DEVICE_PARTS_MOST];
	struct section section;

	for (unsigned int i = 0; i < section_count(l->pc); i++) {
		find_staged(l, i, &section, states);
		for (unsigned int j = 0; j < section.count; j++)
			if (section.part[j].state == state)
				return states[j];
	}
	return NULL;
}

/* Each line of the 8259 pair is the OR over what pulls it; the slave's output is one, too. */
static bool lines_agree(const struct loading *l, const struct board *board)
{
	struct i8259 slave = l->pc->pic_slave;
	const struct i8259_state *master = staged(l, &l->pc->pic_master.s);
	unsigned int lines = 0;

	slave.s = *(const struct i8259_state *)staged(l, &l->pc->pic_slave.s);
	for (unsigned int i = 0; i < PC_IRQ_SOURCES; i++)
		lines |= board->isa_level[i];
	if (i8259_pending(&slave))
		lines |= 1u << I8259_CASCADE;
	return lines == (master->lines | (unsigned int)slave.s.lines << I8259_PINS);
}

static const char *invalid_board(const struct loading *l, const struct board *board)
{
	if (board->now > NOW_MOST)
		return "now";
	for (unsigned int i = l->pc->machine.vcpus; i < KEEL_MAX_VCPUS; i++)
		if (board->halted[i])
			return "halted";
	return lines_agree(l, board) ? NULL : "isa_level";
}

static bool check_machine(const struct loading *l, const struct board **board)
{
	struct section section;
	void *states[DEVICE_PARTS_MOST];
	const char *field;

	find_staged(l, 0, &section, states);
	*board = states[1];
	field = other_machine(states[0], &l->image->facts);
	if (field)
		return fail_in(l->error, MACHINE_OTHER_MACHINE, &section, &section.part[0], field);
	field = invalid_board(l, *board);
	return !field || fail_in(l->error, MACHINE_WRONG_VALUE, &section, &section.part[1], field);
}

static const char *invalid(const struct section *section, const void *const *states, uint64_t now)
{
	if (section->lapic)
		return lapic_invalid(section->lapic, states[0], now);
	if (!section->ops || !section->ops->valid)
		return NULL;
	return section->ops->valid(section->device, states, now);
}

static __attribute__((noinline)) bool check_sections(const struct loading *l)
{
	const struct board *board;
	struct section section;
	void *states[DEVICE_PARTS_MOST];
	const char *field;

	if (!check_machine(l, &board))
		return false;
	for (unsigned int i = 1; i < section_count(l->pc); i++) {
		find_staged(l, i, &section, states);
		field = invalid(&section, (const void *const *)states, board->now);
		if (field)
			return fail_in(l->error, MACHINE_WRONG_VALUE, &section, NULL, field);
	}
	return true;
}

/* The machine changes */

static __attribute__((noinline)) void take_over(const struct loading *l)
{
	struct section section;
	void *states[DEVICE_PARTS_MOST];

	for (unsigned int i = 0; i < section_count(l->pc); i++) {
		find_staged(l, i, &section, states);
		for (unsigned int j = 0; j < section.count; j++)
			memcpy(section.part[j].state, states[j], state_extent(section.part[j].table));
	}
}

/* The clock goes on from what it was, and so does that of the guests that know KVM's. */
static void set_clocks(struct pc *pc, const struct board *board, uint64_t tsc)
{
	int64_t wall = pc_wall(pc, tsc);

	clock_init(&pc->clock, tsc, pc->machine.tsc_khz);
	pc->clock.origin = board->now;
	pc->now = board->now;
	pc->tsc = tsc;
	pc->deadline = 0;
	pc->deadline_told = TIME_NEVER;
	pc->io.timed = true;
	pc->kvmclock.start_tsc = tsc;
	pc->kvmclock.start_time = board->now;
	pc->kvmclock.start_ns = (int64_t)((uint64_t)wall - board->now);
	if (wall > (int64_t)board->wall)
		mc146818_pass(&pc->rtc, ((uint64_t)wall - board->wall) / NSEC_PER_SEC);
}

static void restore_lapics(struct pc *pc)
{
	for (unsigned int i = 0; i < pc->machine.vcpus; i++) {
		pc->bus.current = &pc->vcpu[i].lapic;
		lapic_publish(&pc->vcpu[i].lapic);
	}
	pc->bus.current = NULL;
	pc->bus.kick = 0;
	pc->io.moved = true;
}

/* The resource half hears of doors; a medium that is another one by now was changed. */
static void restore_drives(struct pc *pc, const struct facts *saved)
{
	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		struct ide_channel *channel = &pc->ide.channel[i / IDE_CHANNEL_DRIVES];
		const struct ide_drive *drive = &channel->drive[i % IDE_CHANNEL_DRIVES];

		if (drive->kind != KEEL_DEVICE_IDE_CDROM)
			continue;
		pc_door(pc, i, drive->s.locked, false);
		if (saved->drive[i].bytes != drive->bytes)
			ide_medium_changed(channel, i % IDE_CHANNEL_DRIVES, drive->bytes);
	}
}

static __attribute__((noinline)) void restore(struct pc *pc, struct image *image, uint64_t tsc)
{
	struct section section;

	memcpy(pc->isa_level, image->board.isa_level, sizeof(pc->isa_level));
	for (unsigned int i = 0; i < pc->machine.vcpus; i++)
		pc->vcpu[i].halted = image->board.halted[i];
	pc->intr = i8259_pending(&pc->pic_master);
	restore_lapics(pc);
	for (unsigned int i = 1; i < section_count(pc); i++) {
		list_section(pc, image, i, &section);
		if (section.ops && section.ops->restored)
			section.ops->restored(section.device);
	}
	set_clocks(pc, &image->board, tsc);
	restore_drives(pc, &image->facts);
}

bool machine_load(struct pc *pc, const uint8_t *stream, size_t bytes, uint64_t tsc, uint8_t *memory, size_t room,
		  uint64_t *tsc_shift, struct machine_error *error)
{
	struct image image;
	struct loading l = { .pc = pc, .image = &image, .at = stream, .left = bytes, .memory = memory, .error = error };
	uint64_t saved_tsc;

	if (!may_be_moved(pc, error))
		return false;
	if (room < machine_load_bytes(pc))
		return fail(error, MACHINE_NO_ROOM);
	take_image(pc, &image);
	stage_own(&l);
	if (!read_header(&l, &saved_tsc) || !read_sections(&l) || !check_sections(&l))
		return false;
	take_over(&l);
	restore(pc, &image, tsc);
	*tsc_shift = saved_tsc - tsc;
	return true;
}

uint64_t machine_go_on(struct pc *pc, uint64_t tsc)
{
	const struct board board = { .now = pc->now, .wall = (uint64_t)pc_wall(pc, pc->tsc) };
	uint64_t shift = pc->tsc - tsc;

	set_clocks(pc, &board, tsc);
	return shift;
}
