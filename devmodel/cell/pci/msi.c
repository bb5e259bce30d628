// SPDX-License-Identifier: GPL-2.0
/* MSI and MSI-X of PCI functions. Section numbers are those of PCI Local Bus 3.0. */
#include "pci/msi.h"

#include <keel/macros.h>

#include "core/string.h"

/* MSI (6.8.1): the capability; what follows the address is behind its upper half, if it has one. */
#define MSI_CONTROL		2u
#define MSI_ADDRESS		4u
#define MSI_ADDRESS_HIGH	8u
#define MSI_DATA(wide)		((wide) ? 0xcu : 0x8u)
#define MSI_MASK(wide)		((wide) ? 0x10u : 0xcu)
#define MSI_PENDING(wide)	((wide) ? 0x14u : 0x10u)

#define MSI_ENABLE		0x0001u
#define MSI_CAPABLE_SHIFT	1
#define MSI_GRANTED_SHIFT	4
#define MSI_GRANTED		0x0070u
#define MSI_LOG_MASK		7u

/* MSI-X (6.8.2): the capability, and an entry of the table. */
#define MSIX_CONTROL		2u
#define MSIX_TABLE_PLACE	4u
#define MSIX_PBA_PLACE		8u
#define MSIX_CAPABILITY_BYTES	12u
#define MSIX_ENABLE		0x8000u
#define MSIX_FUNCTION_MASK	0x4000u

enum { ENTRY_ADDRESS, ENTRY_ADDRESS_HIGH, ENTRY_DATA, ENTRY_CONTROL };

#define ENTRY_MASKED		0x1u
#define ADDRESS_WRITABLE	0xfffffffcu

#define WORD_BYTES		4u
#define WORD_BITS		32u

_Static_assert(MSIX_MOST * MSIX_ENTRY_WORDS * WORD_BYTES <= MSIX_PBA, "the table ends before the pending bits");
_Static_assert(MSIX_PBA + sizeof(((struct msix_state *)0)->pending) <= MSIX_BAR_BYTES, "and those within the BAR");

static const struct state_field msix_fields[] = {
	STATE_ARRAY(struct msix_state, table),
	STATE_ARRAY(struct msix_state, pending),
};

const struct state_table msix_state_table = {
	"msix", 1, msix_fields, ARRAY_SIZE(msix_fields)
};

static void send(const struct pci_function *fn, uint64_t address, uint32_t data)
{
	if (fn->pci && fn->pci->message)
		fn->pci->message(fn->pci->sink, address, data);
}

/* MSI */

static uint32_t msi_control(const struct pci_function *fn)
{
	return pci_function_get(fn, fn->msi_capability + MSI_CONTROL, 2);
}

bool msi_enabled(const struct pci_function *fn)
{
	return fn->msi_capability && (msi_control(fn) & MSI_ENABLE);
}

/* What the guest has granted, at most what was asked for (6.8.1.3). */
static unsigned int granted_vectors(const struct pci_function *fn)
{
	uint32_t control = msi_control(fn);
	unsigned int asked = control >> MSI_CAPABLE_SHIFT & MSI_LOG_MASK, granted = control >> MSI_GRANTED_SHIFT & MSI_LOG_MASK;

	return 1u << (granted < asked ? granted : asked);
}

void msi_add(struct pci_function *fn, unsigned int vectors, unsigned int features)
{
	bool wide = features & MSI_64, masks = features & MSI_MASKS;
	uint32_t log = (uint32_t)__builtin_ctz(vectors);
	unsigned int at = pci_capability_add(fn, PCI_CAPABILITY_MSI, masks ? MSI_PENDING(wide) + 4 : MSI_DATA(wide) + 2);

	if (!at)
		return;
	fn->msi_capability = (uint8_t)at;
	pci_function_set(fn, at + MSI_CONTROL, 2, features | log << MSI_CAPABLE_SHIFT);
	fn->writable[at + MSI_CONTROL] = MSI_ENABLE | MSI_GRANTED;
	memset(&fn->writable[at + MSI_ADDRESS], 0xff, wide ? 8 : 4);
	fn->writable[at + MSI_ADDRESS] = ADDRESS_WRITABLE & 0xff;
	memset(&fn->writable[at + MSI_DATA(wide)], 0xff, 2);
	for (unsigned int i = 0; masks && i < vectors; i++)
		fn->writable[at + MSI_MASK(wide) + i / 8] |= (uint8_t)(1u << (i % 8));
	fn->writable[PCI_COMMAND] |= PCI_COMMAND_MASTER;
}

static uint32_t masked_vectors(const struct pci_function *fn)
{
	uint32_t control = msi_control(fn);

	if (!pci_function_is_master(fn))
		return UINT32_MAX;
	return control & MSI_MASKS ? pci_function_get(fn, fn->msi_capability + MSI_MASK(control & MSI_64), 4) : 0;
}

/* The vector is in the low bits of the data, as many as were granted. */
static void send_msi(const struct pci_function *fn, unsigned int vector)
{
	bool wide = msi_control(fn) & MSI_64;
	unsigned int at = fn->msi_capability;
	uint64_t address = pci_function_get(fn, at + MSI_ADDRESS, 4);
	uint32_t data = pci_function_get(fn, at + MSI_DATA(wide), 2);

	if (wide)
		address |= (uint64_t)pci_function_get(fn, at + MSI_ADDRESS_HIGH, 4) << 32;
	send(fn, address, (data & ~(granted_vectors(fn) - 1)) | vector);
}

uint8_t msi_own_bits(const struct pci_function *fn, unsigned int offset)
{
	unsigned int pending = fn->msi_capability + MSI_PENDING(msi_control(fn) & MSI_64);

	if (!fn->msi_capability || !(msi_control(fn) & MSI_MASKS) || offset - pending >= WORD_BYTES)
		return 0;
	return UINT8_MAX;
}

bool msi_valid(const struct pci_function *fn, const struct pci_function_state *s)
{
	uint32_t control = msi_control(fn), shown = 0;
	unsigned int log = control >> MSI_CAPABLE_SHIFT & MSI_LOG_MASK;
	const uint8_t *at = &s->config[fn->msi_capability + MSI_PENDING(control & MSI_64)];

	if (!fn->msi_capability)
		return !s->msi_pending;
	if (s->msi_pending & ~(UINT32_MAX >> (WORD_BITS - (1u << log))))
		return false;
	if (!(control & MSI_MASKS))
		return true;
	for (unsigned int i = 0; i < WORD_BYTES; i++)
		shown |= (uint32_t)at[i] << (8 * i);
	return shown == s->msi_pending;
}

static void set_msi_pending(struct pci_function *fn, uint32_t pending)
{
	uint32_t control = msi_control(fn);

	fn->s.msi_pending = pending;
	if (control & MSI_MASKS)
		pci_function_set(fn, fn->msi_capability + MSI_PENDING(control & MSI_64), 4, pending);
}

/* Those that were not granted are the granted ones, in turn. */
void msi_signal(struct pci_function *fn, unsigned int vector)
{
	uint32_t bit;

	vector %= granted_vectors(fn);
	bit = 1u << vector;
	if (masked_vectors(fn) & bit)
		set_msi_pending(fn, fn->s.msi_pending | bit);
	else
		send_msi(fn, vector);
}

static void flush_msi(struct pci_function *fn)
{
	uint32_t pending = fn->s.msi_pending;

	set_msi_pending(fn, 0);
	for (; pending; pending &= pending - 1)
		msi_signal(fn, (unsigned int)__builtin_ctz(pending));
}

/* MSI-X */

static uint32_t msix_control(const struct pci_function *fn)
{
	return pci_function_get(fn, fn->msix_capability + MSIX_CONTROL, 2);
}

bool msix_enabled(const struct pci_function *fn)
{
	return fn->msix_capability && (msix_control(fn) & MSIX_ENABLE);
}

/* While it is not enabled, nothing new gets pending, and what is waits. */
static bool may_send(const struct pci_function *fn)
{
	return msix_enabled(fn) && !(msix_control(fn) & MSIX_FUNCTION_MASK) && pci_function_is_master(fn);
}

static void send_msix(const struct pci_function *fn, unsigned int vector)
{
	const uint32_t *entry = &fn->msix->s.table[vector * MSIX_ENTRY_WORDS];
	uint64_t high = entry[ENTRY_ADDRESS_HIGH];

	send(fn, high << 32 | entry[ENTRY_ADDRESS], entry[ENTRY_DATA]);
}

static bool is_masked(const struct msix *msix, unsigned int vector)
{
	return msix->s.table[vector * MSIX_ENTRY_WORDS + ENTRY_CONTROL] & ENTRY_MASKED;
}

void msix_signal(struct pci_function *fn, unsigned int vector)
{
	struct msix *msix = fn->msix;

	if (vector >= msix->vectors)
		return;
	if (may_send(fn) && !is_masked(msix, vector))
		send_msix(fn, vector);
	else
		msix->s.pending[vector / WORD_BITS] |= 1u << (vector % WORD_BITS);
}

/* One that still may not go out is pending again. */
static void flush_vectors(struct pci_function *fn, unsigned int word)
{
	uint32_t pending = fn->msix->s.pending[word];

	fn->msix->s.pending[word] = 0;
	for (; pending; pending &= pending - 1)
		msix_signal(fn, word * WORD_BITS + (unsigned int)__builtin_ctz(pending));
}

void msi_flush(struct pci_function *fn)
{
	if (msi_enabled(fn) && fn->s.msi_pending)
		flush_msi(fn);
	if (!fn->msix || !may_send(fn))
		return;
	for (unsigned int i = 0; i < MSIX_PENDING_WORDS; i++)
		flush_vectors(fn, i);
}

void msi_retract(struct pci_function *fn)
{
	if (fn->msi_capability)
		set_msi_pending(fn, 0);
	if (fn->msix)
		memset(fn->msix->s.pending, 0, sizeof(fn->msix->s.pending));
}

/* What is neither table nor pending bits reads 0. */
static uint32_t read_word(const struct msix *msix, unsigned int offset)
{
	unsigned int word = offset / WORD_BYTES, pending = (offset - MSIX_PBA) / WORD_BYTES;

	if (word < msix->vectors * MSIX_ENTRY_WORDS)
		return msix->s.table[word];
	if (offset >= MSIX_PBA && pending < sizeof(msix->s.pending) / WORD_BYTES)
		return msix->s.pending[pending];
	return 0;
}

static void write_word(struct pci_function *fn, unsigned int offset, uint32_t value)
{
	static const uint32_t writable[MSIX_ENTRY_WORDS] = {
		[ENTRY_ADDRESS] = ADDRESS_WRITABLE, [ENTRY_ADDRESS_HIGH] = UINT32_MAX, [ENTRY_DATA] = UINT32_MAX,
		[ENTRY_CONTROL] = ENTRY_MASKED,
	};
	unsigned int word = offset / WORD_BYTES, kind = word % MSIX_ENTRY_WORDS;

	if (word >= fn->msix->vectors * MSIX_ENTRY_WORDS)
		return;
	fn->msix->s.table[word] = value & writable[kind];
	if (kind == ENTRY_CONTROL && may_send(fn))
		flush_vectors(fn, word / MSIX_ENTRY_WORDS / WORD_BITS);
}

/* Whole words and pairs of them (6.8.2); of a word a narrower read gets its part. */
static uint64_t table_read(void *device, uint64_t offset, unsigned int bytes)
{
	const struct pci_function *fn = device;
	unsigned int at = (unsigned int)offset & ~(WORD_BYTES - 1);
	uint64_t value = read_word(fn->msix, at);

	if (bytes > WORD_BYTES)
		value |= (uint64_t)read_word(fn->msix, at + WORD_BYTES) << 32;
	return value >> (8 * (offset - at));
}

/* A narrower write does nothing. */
static void table_write(void *device, uint64_t offset, unsigned int bytes, uint64_t value)
{
	for (unsigned int done = 0; done + WORD_BYTES <= bytes; done += WORD_BYTES)
		write_word(device, (unsigned int)offset + done, (uint32_t)(value >> (8 * done)));
}

static const struct io_ops table_ops = { .read = table_read, .write = table_write, .widest = 8 };

void msix_add(struct pci_function *fn, struct msix *msix, unsigned int bar, unsigned int vectors)
{
	unsigned int at = pci_capability_add(fn, PCI_CAPABILITY_MSIX, MSIX_CAPABILITY_BYTES);

	if (!at)
		return;
	memset(msix, 0, sizeof(*msix));
	msix->vectors = vectors;
	for (unsigned int i = 0; i < vectors; i++)
		msix->s.table[i * MSIX_ENTRY_WORDS + ENTRY_CONTROL] = ENTRY_MASKED;
	fn->msix = msix;
	fn->msix_capability = (uint8_t)at;
	pci_function_set(fn, at + MSIX_CONTROL, 2, vectors - 1);
	pci_function_set(fn, at + MSIX_TABLE_PLACE, 4, bar);
	pci_function_set(fn, at + MSIX_PBA_PLACE, 4, MSIX_PBA | bar);
	fn->writable[at + MSIX_CONTROL + 1] = (MSIX_ENABLE | MSIX_FUNCTION_MASK) >> 8;
	fn->writable[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	pci_function_bar(fn, bar, PCI_BAR_32, MSIX_BAR_BYTES, &table_ops, fn);
}

static bool entry_is_valid(const struct msix *msix, const uint32_t *entry, unsigned int vector)
{
	if (vector >= msix->vectors)
		return !(entry[ENTRY_ADDRESS] | entry[ENTRY_ADDRESS_HIGH] | entry[ENTRY_DATA] | entry[ENTRY_CONTROL]);
	return !(entry[ENTRY_ADDRESS] & ~ADDRESS_WRITABLE) && !(entry[ENTRY_CONTROL] & ~ENTRY_MASKED);
}

const char *msix_invalid(const struct msix *msix, const struct msix_state *s)
{
	for (unsigned int i = 0; i < MSIX_MOST; i++)
		if (!entry_is_valid(msix, &s->table[i * MSIX_ENTRY_WORDS], i))
			return "table";
	for (unsigned int i = 0; i < MSIX_PENDING_WORDS * WORD_BITS; i++)
		if (i >= msix->vectors && s->pending[i / WORD_BITS] >> (i % WORD_BITS) & 1)
			return "pending";
	return NULL;
}
