// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of PCI functions: a guest that accesses configuration space, MSI-X tables and whatever else answers, while devices
 * raise interrupts, are reset, saved and loaded.
 */
#include "fuzz.h"

#include <keel/macros.h>

#include "pci/i440fx.h"
#include "pci/msi.h"
#include "pci/pci.h"
#include "pci/piix3.h"
#include "pci/piix4_acpi.h"

#define CARDS		3u
#define MSIX_BAR	1u
#define FEW_VECTORS	0x47u		/* so that signals and masks meet */
#define FEW_WORDS	0x8fu
#define FIXED_PARTS	5u
#define STATE_MOST	16384u
#define MOVES_MOST	4u		/* of an input */

struct card {
	struct pci_function pci;
	struct msix msix;
	unsigned int slot, number;
	uint8_t initial[PCI_CONFIG_BYTES];
};

struct machine {
	struct bus bus;
	struct pci pci;
	struct i440fx host;
	struct piix3 isa;
	struct piix4_acpi pm;
	struct card card[CARDS];
	bool line[PIIX3_ISA_LINES];
	unsigned long messages;
};

/* One at work, and one for it to move to. */
static struct machine machines[2];
static struct machine *machine;

static void set_line(void *sink, unsigned int pin, bool level)
{
	struct machine *m = sink;

	require(m->line[pin] != level, "a line is driven to where it is");
	m->line[pin] = level;
}

/* Somebody has bus mastering and messages enabled, or there are none. */
static void take_message(void *sink, uint64_t address, uint32_t data)
{
	struct machine *m = sink;
	bool may = false;

	(void)data;
	for (unsigned int i = 0; i < CARDS; i++) {
		const struct pci_function *fn = &m->card[i].pci;

		may |= pci_function_is_master(fn) && (msi_enabled(fn) || msix_enabled(fn));
	}
	require(may, "a message that nobody may send");
	require(address % 4 == 0, "a message at an odd address");
	m->messages++;
}

static uint64_t read_device(void *device, uint64_t offset, unsigned int bytes)
{
	const struct io_range *range = device;

	require(offset < range->bytes && bytes <= range->bytes - offset, "a read over the end of a BAR");
	require(bytes <= range->ops->widest, "a read that is too wide");
	return offset;
}

static void write_device(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	const struct io_range *range = device;

	require(offset < range->bytes && bytes <= range->bytes - offset, "a write over the end of a BAR");
	require(bytes == 8 || value >> (8 * bytes) == 0, "a write of more than its size");
}

static const struct io_ops device_ops = { .read = read_device, .write = write_device, .widest = 4 };

/* As virtio does it, the configuration space shows what is behind a BAR. */
static void read_window(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	uint32_t where = pci_function_get(fn, 0x44, 4);

	(void)offset;
	(void)bytes;
	pci_function_set(fn, 0x48, 4, (uint32_t)pci_bar_read(fn, where & 7, where >> 3 & 0xffff, 1u << (where >> 30)));
}

static void write_window(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	uint32_t where = pci_function_get(fn, 0x44, 4);

	if (offset < 0x4c && offset + bytes > 0x48)
		pci_bar_write(fn, where & 7, where >> 3 & 0xffff, 1u << (where >> 30), pci_function_get(fn, 0x48, 4));
}

static const struct pci_ops window_ops = { .reading = read_window, .written = write_window };

static void add_bar(struct pci_function *fn, unsigned int bar, enum pci_bar_kind kind, uint64_t bytes)
{
	pci_function_bar(fn, bar, kind, bytes, &device_ops, &fn->bar[bar].range);
}

/* Two share a wire. */
static unsigned int pin_of(const struct card *card)
{
	return card->number / 2;
}

static void init_card(struct card *card)
{
	struct pci_function *fn = &card->pci;
	unsigned int at;

	pci_function_init(fn, &(struct pci_identity){ .vendor = 0x1af4, .interrupt_pin = (uint8_t)pin_of(card) + 1u });
	fn->ops = &window_ops;
	add_bar(fn, 0, PCI_BAR_IO, 32);
	add_bar(fn, 2, PCI_BAR_64_PREFETCHABLE, 0x4000);
	add_bar(fn, 4, PCI_BAR_32, 0x100000);
	add_bar(fn, PCI_ROM, PCI_BAR_ROM, 0x10000);
	at = pci_capability_add(fn, PCI_CAPABILITY_VENDOR, 12);
	memset(&fn->writable[at + 4], 0xff, 8);
	msi_add(fn, 1u << (2 * card->number), card->number ? MSI_64 | MSI_MASKS : 0);
	msix_add(fn, &card->msix, MSIX_BAR, 1 + 8 * card->number);
	memcpy(card->initial, fn->s.config, sizeof(card->initial));
}

/* The same board again, nothing on it written yet. */
static struct machine *make_machine(void)
{
	static const unsigned int slots[CARDS] = { 4, 4, 9 };
	struct machine *m = machine == &machines[0] ? &machines[1] : &machines[0];

	memset(m, 0, sizeof(*m));
	bus_init(&m->bus);
	m->pci = (struct pci){ .bus = &m->bus, .set_intx = piix3_set_intx, .board = &m->isa, .message = take_message, .sink = m };
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		m->isa.irq[i] = (struct line){ set_line, m, i };
	m->pm.block = (struct io_range){ .ops = &device_ops, .device = &m->pm.block };
	pci_add(&m->pci, 0, 0, &m->host.pci);
	pci_add(&m->pci, 1, 0, &m->isa.pci);
	pci_add(&m->pci, 1, 3, &m->pm.pci);
	pci_init(&m->pci);
	i440fx_init(&m->host);
	piix3_init(&m->isa);
	piix4_acpi_init(&m->pm);
	for (unsigned int i = 0; i < CARDS; i++) {
		m->card[i].slot = slots[i];
		m->card[i].number = i;
		pci_add(&m->pci, slots[i], i, &m->card[i].pci);
		init_card(&m->card[i]);
	}
	return m;
}

struct part {
	const struct state_table *table;
	void *state;
};

/* What can be saved of a machine, in order. */
static size_t transfer(struct machine *m, uint8_t *buffer, bool load)
{
	struct part parts[FIXED_PARTS + 2 * CARDS] = {
		{ &pci_state_table, &m->pci.s },
		{ &pci_function_state_table, &m->host.pci.s },
		{ &pci_function_state_table, &m->isa.pci.s },
		{ &piix3_state_table, &m->isa.s },
		{ &pci_function_state_table, &m->pm.pci.s },
	};
	size_t used = 0;

	for (unsigned int i = 0; i < CARDS; i++) {
		parts[FIXED_PARTS + 2 * i] = (struct part){ &pci_function_state_table, &m->card[i].pci.s };
		parts[FIXED_PARTS + 2 * i + 1] = (struct part){ &msix_state_table, &m->card[i].msix.s };
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *p = &parts[i];
		size_t n = load ? state_load(p->table, i, p->state, buffer + used, STATE_MOST - used) :
				  state_save(p->table, i, p->state, buffer + used, STATE_MOST - used);

		require(n != 0, "a part is not saved or loaded");
		used += n;
	}
	return used;
}

/* Everything is where it was. */
FUZZ_UNOBSERVED
static void compare_places(const struct machine *old)
{
	for (unsigned int port = 0; port < BUS_PORTS; port += 16) {
		const struct io_range *was = old->bus.port[old->bus.port_range[port]];
		const struct io_range *is = machine->bus.port[machine->bus.port_range[port]];

		require(was->base == is->base && was->rank == is->rank, "another range answers at a port");
	}
	for (unsigned int i = 0; i < CARDS; i++) {
		for (unsigned int bar = 0; bar <= PCI_ROM; bar++) {
			uint64_t was, is;
			bool mapped = pci_function_decodes(&old->card[i].pci, bar, &was);

			require(pci_function_decodes(&machine->card[i].pci, bar, &is) == mapped, "another BAR answers");
			require(!mapped || was == is, "a BAR answers elsewhere");
		}
	}
}

static void move_machine(void)
{
	static uint8_t one[STATE_MOST], two[STATE_MOST];
	struct machine *old = machine;
	size_t used = transfer(old, one, false);

	machine = make_machine();
	require(transfer(machine, one, true) == used, "not all is loaded");
	memcpy(machine->line, old->line, sizeof(old->line));
	piix3_restored(&machine->isa);
	piix4_acpi_restored(&machine->pm);
	for (unsigned int i = 0; i < CARDS; i++)
		pci_function_restored(&machine->card[i].pci);
	require(machine->messages == 0, "a load has sent a message");
	require(transfer(machine, two, false) == used && memcmp(one, two, used) == 0, "a load is not what was saved");
	compare_places(old);
}

/* The list of capabilities, and what a guest cannot write, is as it was. */
FUZZ_UNOBSERVED
static void check_card(const struct card *card)
{
	const struct pci_function *fn = &card->pci;

	for (unsigned int i = PCI_STATUS + 2; i < PCI_CONFIG_BYTES; i++) {
		uint8_t fixed = (uint8_t)~fn->writable[i];
		bool pending = fn->msi_capability && i >= fn->msi_capability + 0x14u && i < fn->msi_capability + 0x18u;

		require(pending || ((fn->s.config[i] ^ card->initial[i]) & fixed) == 0, "a read-only bit has changed");
	}
	for (unsigned int i = 0; i < MSIX_PENDING_WORDS * 32; i++)
		require(i < fn->msix->vectors || !(fn->msix->s.pending[i / 32] >> (i % 32) & 1), "a vector that is not there");
	for (unsigned int i = 0; i < MSIX_MOST; i++)
		require(fn->msix->s.table[4 * i] % 4 == 0 && fn->msix->s.table[4 * i + 3] <= 1, "reserved bits of the table");
}

/* Each line is the OR over what leads there. */
FUZZ_UNOBSERVED
static void check_lines(void)
{
	uint32_t lines = 0;

	for (unsigned int i = 0; i < CARDS; i++) {
		const struct pci_function *fn = &machine->card[i].pci;
		bool asserted = (pci_function_get(fn, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) &&
				!(pci_function_get(fn, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE) &&
				!msi_enabled(fn) && !msix_enabled(fn);
		uint8_t route = machine->isa.pci.s.config[0x60 + (machine->card[i].slot + 3 + pin_of(&machine->card[i])) % 4];

		if (asserted && !(route & 0x80))
			lines |= 1u << (route & 0xf);
	}
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		require(machine->line[i] == ((lines & 0xdef8) >> i & 1), "a line is not what leads to it");
}

static void access_config(struct bytes *b)
{
	static const struct { uint8_t slot, number; } places[8] = {
		{ 0, 0 }, { 1, 0 }, { 1, 3 }, { 4, 0 }, { 4, 1 }, { 9, 2 }, { 4, 0 }, { 7, 0 },
	};
	unsigned int what = take8(b), reg = take8(b), place = what & 7, bytes = 1u << (what >> 3 & 3) % 3;

	pci_write(&machine->pci, 0, 4,
		  0x80000000u | (uint32_t)places[place].slot << 11 | (uint32_t)places[place].number << 8 | reg);
	if (what & 0x80)
		pci_read(&machine->pci, 4 + (reg & 3), bytes);
	else
		pci_write(&machine->pci, 4 + (reg & 3), bytes, take32(b));
}

/* An offset into a BAR that answers, or anywhere. */
static void access_bar(struct bytes *b)
{
	unsigned int what = take8(b), bar = (what >> 2) % (PCI_ROM + 1), bytes = 1u << (what >> 6);
	struct pci_function *fn = &machine->card[what % CARDS].pci;
	uint32_t offset = take8(b) * 16u + take8(b);
	uint64_t base = 0;
	bool io = fn->bar[bar].kind == PCI_BAR_IO;

	pci_function_decodes(fn, bar, &base);
	base += offset;
	if (io && take8(b) & 1)
		bus_port_write(&machine->bus, (uint16_t)base, bytes % 8 ? bytes : 1, take32(b));
	else if (io)
		bus_port_read(&machine->bus, (uint16_t)base, bytes % 8 ? bytes : 1);
	else if (take8(b) & 1)
		bus_write(&machine->bus, base & ~(bytes - 1ull), bytes, (uint64_t)take32(b) << 32 | take32(b));
	else
		bus_read(&machine->bus, base & ~(bytes - 1ull), bytes);
}

/* An entry of an MSI-X table. */
static void access_table(struct bytes *b)
{
	unsigned int what = take8(b), bytes = what & 4 ? 8 : 4;
	struct pci_function *fn = &machine->card[what % CARDS].pci;
	uint64_t base;

	if (pci_function_decodes(fn, MSIX_BAR, &base))
		bus_write(&machine->bus, base + (take8(b) & FEW_WORDS) * 8u, bytes, take32(b) & (what & 8 ? 1 : UINT32_MAX));
	else
		pci_bar_write(fn, MSIX_BAR, (take8(b) & FEW_WORDS) * 8u, bytes, (uint64_t)take32(b) << 32 | take32(b));
}

static void be_device(struct bytes *b)
{
	unsigned int what = take8(b);
	struct pci_function *fn = &machine->card[what % CARDS].pci;

	switch (what >> 5) {
	case 0:
		pci_set_intx(fn, what & 0x10);
		break;
	case 1:
		pci_retract(fn);
		require(fn->s.msi_pending == 0, "something waits behind a reset");
		break;
	default:
		pci_signal(fn, take8(b) & FEW_VECTORS);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };
	unsigned int moves = 0;

	machine = make_machine();
	while (b.left) {
		switch (take8(&b) % 16) {
		case 0:
			/* Each is as long as some hundred accesses. */
			if (moves++ < MOVES_MOST)
				move_machine();
			break;
		case 1:
		case 2:
		case 3:
			be_device(&b);
			break;
		case 4:
		case 5:
			access_bar(&b);
			break;
		case 6:
		case 7:
		case 8:
			access_table(&b);
			break;
		default:
			access_config(&b);
			break;
		}
		for (unsigned int i = 0; i < CARDS; i++)
			check_card(&machine->card[i]);
		check_lines();
	}
	return 0;
}

#define INPUT_MOST	1500u

static size_t add_write(uint8_t *input, unsigned int place, uint8_t reg, const uint8_t value[4])
{
	input[0] = 9;
	input[1] = (uint8_t)(place | 0x10);
	input[2] = reg;
	memcpy(input + 3, value, 4);
	return 7;
}

/* What a driver does first. */
static size_t start_cards(uint8_t *input)
{
	static const uint8_t control[] = { 0x58, 0x64, 0x64 };
	size_t used = 0;

	for (uint8_t i = 0; i < CARDS; i++) {
		used += add_write(input + used, 3u + i, PCI_COMMAND, (const uint8_t[]){ 7, 0, 0, 0 });
		used += add_write(input + used, 3u + i, 0x14, (const uint8_t[]){ 0, (uint8_t)(i << 4), 0xbf, 0xfe });
		used += add_write(input + used, 3u + i, control[i], (const uint8_t[]){ 0, 0, 0, 0x80 });
	}
	return used;
}

/* Random bytes, among which registers and values stand out that matter. */
static size_t make_input(uint8_t *input, uint64_t *state)
{
	static const uint8_t registers[] = {
		0x04, 0x04, 0x04, 0x10, 0x14, 0x14, 0x18, 0x1c, 0x20, 0x30, 0x44, 0x48, 0x4c, 0x4c, 0x58, 0x5c, 0x60, 0x64, 0x64,
	};
	static const uint8_t values[][4] = {
		{ 0x07 }, { 0x07, 0x04 }, { 0x01, 0xc0 }, { 0, 0, 0xbf, 0xfe }, { 1, 0, 0xc0, 0xfe }, { 0, 0x80 }, { 0x11, 0xc0 },
		{ 0xff, 0xff, 0xff, 0xff }, { 0x0a, 0x0b, 0x05, 0x0a }, { 0, 0, 0, 0x80 }, { 0, 0, 0, 0xc0 }, { 0, 0, 0x71 },
		{ 0, 0, 0xe0, 0xfe }, { 0x21 },
	};
	size_t used = next(state) & 1 ? start_cards(input) : 0, most = INPUT_MOST >> next(state) % 4;

	while (used + 8 < most) {
		uint8_t reg = registers[next(state) % sizeof(registers)];

		for (unsigned int i = 0; i < 8; i++)
			input[used + i] = (uint8_t)(next(state) >> 24);
		if (next(state) % 4 == 0)
			used += add_write(input + used, next(state) & 7, reg, values[next(state) % (sizeof(values) / 4)]);
		else
			used += 1 + next(state) % 8;
	}
	return used;
}

const struct fuzz_target fuzz_target = { 300, INPUT_MOST, make_input };
