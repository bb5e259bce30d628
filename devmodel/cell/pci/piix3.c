// SPDX-License-Identifier: GPL-2.0
/* Intel 82371SB ISA bridge: PCI interrupt routing. */
#include "pci/piix3.h"

#include <keel/macros.h>

#include "core/string.h"
#include "shared/pc_map.h"

#define PIRQRC_WRITABLE		(PC_PIRQRC_DISABLED | PC_PIRQRC_IRQ)
/* ISA lines that PIRQRC can name; the others are reserved and route nowhere (290550, 2.2.6). */
#define PIRQRC_LINES		0xdef8u

/* Power-on values of registers that are kept and drive nothing here (290550, 2.2). */
static const struct {
	uint8_t offset, value, writable;
} kept[] = {
	{ 0x4c, 0x4d, 0xff },	/* I/O recovery timer */
	{ 0x4e, 0x03, 0xff },	/* X-bus chip select */
	{ 0x4f, 0x00, 0x01 },
	{ 0x69, 0x02, 0xfe },	/* top of memory */
	{ 0x70, 0x80, 0xef },	/* motherboard device interrupt routing */
	{ 0x71, 0x80, 0xef },
	{ 0x76, 0x0c, 0x8f },	/* motherboard device DMA control */
	{ 0x77, 0x0c, 0x8f },
	{ 0x78, 0x02, 0xff },	/* programmable chip select */
	{ 0xa0, 0x08, 0xff },	/* SMI control */
	{ 0xa8, 0x0f, 0xff },	/* fast-off timer */
};

static const struct state_field piix3_fields[] = {
	STATE_ARRAY(struct piix3_state, sources),
};

const struct state_table piix3_state_table = {
	"piix3", 1, piix3_fields, ARRAY_SIZE(piix3_fields)
};

_Static_assert(PC_PIRQRCS == PIIX3_PIRQS, "a register for each PIRQ");
_Static_assert((PIRQRC_LINES & 1u << PC_IRQ_PCI_1) != 0 && (PIRQRC_LINES & 1u << PC_IRQ_PCI_2) != 0 &&
	       (PIRQRC_LINES & 1u << PC_IRQ_PCI_3) != 0,
	       "the interrupts that ACPI offers for PCI");

static uint16_t routed_lines(const struct piix3 *piix)
{
	uint16_t lines = 0;

	for (unsigned int i = 0; i < PIIX3_PIRQS; i++) {
		uint8_t route = piix->pci.s.config[PC_PIRQRC + i];

		if (piix->s.sources[i] && !(route & PC_PIRQRC_DISABLED))
			lines |= (uint16_t)(1u << (route & PC_PIRQRC_IRQ));
	}
	return lines & PIRQRC_LINES;
}

static void drive_lines(struct piix3 *piix)
{
	uint16_t lines = routed_lines(piix), changed = lines ^ piix->driven;

	piix->driven = lines;
	for (unsigned int i = 0; i < PIIX3_ISA_LINES; i++)
		if (changed & 1u << i)
			line_set(&piix->irq[i], lines & 1u << i);
}

static void config_written(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	struct piix3 *piix = container_of(fn, struct piix3, pci);

	if (offset < PC_PIRQRC + PIIX3_PIRQS && offset + bytes > PC_PIRQRC)
		drive_lines(piix);
}

static const struct pci_ops piix3_ops = { .written = config_written };

void piix3_init(void *device)
{
	struct piix3 *piix = device;
	static const struct pci_identity identity = {
		.vendor = PCI_VENDOR_INTEL, .device = 0x7000, .class = 0x06, .subclass = 0x01, .multifunction = true,
	};
	struct pci_function *fn = &piix->pci;

	pci_function_init(fn, &identity);
	fn->ops = &piix3_ops;
	pci_function_set(fn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	pci_function_set(fn, PCI_STATUS, 2, PCI_STATUS_DEVSEL_MEDIUM);
	for (unsigned int i = 0; i < ARRAY_SIZE(kept); i++) {
		fn->s.config[kept[i].offset] = kept[i].value;
		fn->writable[kept[i].offset] = kept[i].writable;
	}
	for (unsigned int i = 0; i < PIIX3_PIRQS; i++) {
		fn->s.config[PC_PIRQRC + i] = PC_PIRQRC_DISABLED;
		fn->writable[PC_PIRQRC + i] = PIRQRC_WRITABLE;
	}
	memset(&piix->s, 0, sizeof(piix->s));
	drive_lines(piix);
}

unsigned int piix3_pirq(unsigned int slot, unsigned int pin)
{
	return (slot + PIIX3_PIRQS - 1 + pin) % PIIX3_PIRQS;
}

void piix3_set_intx(void *board, unsigned int slot, unsigned int pin, bool level)
{
	struct piix3 *piix = board;
	uint32_t *sources = &piix->s.sources[piix3_pirq(slot, pin)];
	uint32_t source = 1u << (slot % PCI_SLOTS);

	if (level)
		*sources |= source;
	else
		*sources &= ~source;
	drive_lines(piix);
}

void piix3_restored(struct piix3 *piix)
{
	piix->driven = routed_lines(piix);
}

static const char *valid(const void *device, const void *const *states, uint64_t now)
{
	const struct piix3 *piix = device;

	(void)now;
	return pci_function_invalid(&piix->pci, states[0]);
}

static void restored(void *device)
{
	piix3_restored(device);
}

static const struct device_part parts[] = {
	DEVICE_PART(pci_function_state_table, 0, struct piix3, pci.s),
	DEVICE_PART(piix3_state_table, 0, struct piix3, s),
};

const struct device_ops piix3_device = {
	.init = piix3_init, DEVICE_PARTS(parts), .valid = valid, .restored = restored,
};
