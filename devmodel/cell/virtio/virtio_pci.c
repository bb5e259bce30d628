// SPDX-License-Identifier: GPL-2.0
/*
 * Registers of a virtio device as a transitional PCI function (VIRTIO 1.2, 4.1): those of today in one
 * memory BAR, the legacy ones in an I/O BAR. The guest notifies by a port, which is the cheaper exit, or by
 * memory.
 */
#include <keel/macros.h>

#include "virtio/virtio.h"

#include "core/string.h"
#include "virtio/virtio_queue.h"

#define VENDOR			0x1af4u
#define INTERRUPT_PIN		1u

#define BAR_LEGACY		0u
#define BAR_MSIX		1u
#define BAR_MODERN		4u

/* What is where in BAR_MODERN. */
#define MODERN_PAGE		0x1000u
#define MODERN_BYTES		0x4000u

enum modern_page { PAGE_COMMON, PAGE_ISR, PAGE_CONFIG, PAGE_NOTIFY };

/* Capabilities (4.1.4). */
enum capability_type {
	CAPABILITY_COMMON = 1,
	CAPABILITY_NOTIFY = 2,
	CAPABILITY_ISR = 3,
	CAPABILITY_CONFIG = 4,
	CAPABILITY_ACCESS = 5,
};

enum capability_field {
	FIELD_LENGTH = 2,
	FIELD_TYPE = 3,
	FIELD_BAR = 4,
	FIELD_OFFSET = 8,
	FIELD_BYTES = 12,
	FIELD_END = 16,
	FIELD_MULTIPLIER = 16,		/* of CAPABILITY_NOTIFY: 0, so that all queues have one place */
	FIELD_DATA = 16,		/* of CAPABILITY_ACCESS */
	FIELD_END_LONG = 20,
};

#define NOTIFY_BYTES		2u
#define DATA_BYTES		4u

/* 4.1.4.3; addresses have two words. */
enum common_register {
	COMMON_DEVICE_FEATURE_SELECT = 0x00,
	COMMON_DEVICE_FEATURE = 0x04,
	COMMON_DRIVER_FEATURE_SELECT = 0x08,
	COMMON_DRIVER_FEATURE = 0x0c,
	COMMON_CONFIG_VECTOR = 0x10,
	COMMON_QUEUES = 0x12,
	COMMON_STATUS = 0x14,
	COMMON_GENERATION = 0x15,
	COMMON_QUEUE_SELECT = 0x16,
	COMMON_QUEUE_SIZE = 0x18,
	COMMON_QUEUE_VECTOR = 0x1a,
	COMMON_QUEUE_ENABLE = 0x1c,
	COMMON_QUEUE_NOTIFY = 0x1e,
	COMMON_QUEUE_DESC = 0x20,
	COMMON_QUEUE_DRIVER = 0x28,
	COMMON_QUEUE_DEVICE = 0x30,
	COMMON_END = 0x38,
};

static const uint8_t common_widths[COMMON_END] = {
	[COMMON_DEVICE_FEATURE_SELECT] = 4,
	[COMMON_DEVICE_FEATURE] = 4,
	[COMMON_DRIVER_FEATURE_SELECT] = 4,
	[COMMON_DRIVER_FEATURE] = 4,
	[COMMON_CONFIG_VECTOR] = 2,
	[COMMON_QUEUES] = 2,
	[COMMON_STATUS] = 1,
	[COMMON_GENERATION] = 1,
	[COMMON_QUEUE_SELECT] = 2,
	[COMMON_QUEUE_SIZE] = 2,
	[COMMON_QUEUE_VECTOR] = 2,
	[COMMON_QUEUE_ENABLE] = 2,
	[COMMON_QUEUE_NOTIFY] = 2,
	[COMMON_QUEUE_DESC] = 4,
	[COMMON_QUEUE_DESC + 4] = 4,
	[COMMON_QUEUE_DRIVER] = 4,
	[COMMON_QUEUE_DRIVER + 4] = 4,
	[COMMON_QUEUE_DEVICE] = 4,
	[COMMON_QUEUE_DEVICE + 4] = 4,
};

/* 4.1.4.10; the vectors are there while MSI-X is enabled. */
enum legacy_register {
	LEGACY_DEVICE_FEATURES = 0x00,
	LEGACY_DRIVER_FEATURES = 0x04,
	LEGACY_QUEUE_PAGE = 0x08,
	LEGACY_QUEUE_SIZE = 0x0c,
	LEGACY_QUEUE_SELECT = 0x0e,
	LEGACY_NOTIFY = 0x10,
	LEGACY_STATUS = 0x12,
	LEGACY_ISR = 0x13,
	LEGACY_CONFIG_VECTOR = 0x14,
	LEGACY_END = 0x14,
	LEGACY_QUEUE_VECTOR = 0x16,
	LEGACY_END_MSIX = 0x18,
};

static const uint8_t legacy_widths[LEGACY_END_MSIX] = {
	[LEGACY_DEVICE_FEATURES] = 4,
	[LEGACY_DRIVER_FEATURES] = 4,
	[LEGACY_QUEUE_PAGE] = 4,
	[LEGACY_QUEUE_SIZE] = 2,
	[LEGACY_QUEUE_SELECT] = 2,
	[LEGACY_NOTIFY] = 2,
	[LEGACY_STATUS] = 1,
	[LEGACY_ISR] = 1,
	[LEGACY_CONFIG_VECTOR] = 2,
	[LEGACY_QUEUE_VECTOR] = 2,
};

#define LEGACY_PAGE_SHIFT	12

_Static_assert(VIRTIO_QUEUES_MOST + 1 <= MSIX_MOST, "a vector for each queue and one");

/* A block of registers: each is written whole, and read in whatever parts. */
struct block {
	const uint8_t *widths;
	uint32_t (*read)(struct virtio_device *device, unsigned int reg);
};

static uint32_t block_read(const struct block *block, struct virtio_device *device, unsigned int offset, unsigned int bytes)
{
	uint32_t value = 0;
	unsigned int done = 0;

	while (done < bytes) {
		unsigned int reg = offset + done, skipped = 0;

		for (; !block->widths[reg]; reg--)
			skipped++;
		value |= block->read(device, reg) >> (8 * skipped) << (8 * done);
		done += block->widths[reg] - skipped;
	}
	return value;
}

/* The queue that is selected, or NULL. */
static struct virtio_queue_state *selected(struct virtio_device *device)
{
	return device->s.queue_select < device->queues ? &device->s.queue[device->s.queue_select] : NULL;
}

/* 4.1.5.1.2.1: a vector that is not there is none. */
static uint16_t vector_of(const struct virtio_device *device, uint32_t value)
{
	return value < device->msix.vectors ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static uint32_t half_of(uint64_t value, uint32_t half)
{
	return half < 2 ? (uint32_t)(value >> (32 * half)) : 0;
}

static void set_half(uint64_t *value, uint32_t half, uint32_t word)
{
	if (half < 2)
		*value = (*value & ~(UINT64_C(0xffffffff) << (32 * half))) | (uint64_t)word << (32 * half);
}

static void notify(struct virtio_device *device, uint32_t queue)
{
	if (queue < device->queues)
		virtio_work(device);
}

static uint8_t take_isr(struct virtio_device *device)
{
	uint8_t isr = device->s.isr;

	device->s.isr = 0;
	pci_set_intx(&device->pci, false);
	return isr;
}

/* Common configuration */

static uint32_t read_queue(const struct virtio_queue_state *queue, unsigned int reg)
{
	switch (reg) {
	case COMMON_QUEUE_SIZE:
		return queue->size;
	case COMMON_QUEUE_VECTOR:
		return queue->vector;
	case COMMON_QUEUE_ENABLE:
		return queue->enabled;
	case COMMON_QUEUE_DESC:
	case COMMON_QUEUE_DESC + 4:
		return half_of(queue->desc, (reg - COMMON_QUEUE_DESC) / 4);
	case COMMON_QUEUE_DRIVER:
	case COMMON_QUEUE_DRIVER + 4:
		return half_of(queue->driver, (reg - COMMON_QUEUE_DRIVER) / 4);
	case COMMON_QUEUE_DEVICE:
	case COMMON_QUEUE_DEVICE + 4:
		return half_of(queue->device, (reg - COMMON_QUEUE_DEVICE) / 4);
	}
	return 0;		/* COMMON_QUEUE_NOTIFY */
}

static uint32_t common_register(struct virtio_device *device, unsigned int reg)
{
	const struct virtio_queue_state *queue = selected(device);

	switch (reg) {
	case COMMON_DEVICE_FEATURE_SELECT:
		return device->s.device_feature_select;
	case COMMON_DEVICE_FEATURE:
		return half_of(virtio_offered(device), device->s.device_feature_select);
	case COMMON_DRIVER_FEATURE_SELECT:
		return device->s.driver_feature_select;
	case COMMON_DRIVER_FEATURE:
		return half_of(device->s.driver_features, device->s.driver_feature_select);
	case COMMON_CONFIG_VECTOR:
		return device->s.config_vector;
	case COMMON_QUEUES:
		return device->queues;
	case COMMON_STATUS:
		return device->s.status;
	case COMMON_GENERATION:
		return device->s.generation;
	case COMMON_QUEUE_SELECT:
		return device->s.queue_select;
	}
	return queue ? read_queue(queue, reg) : 0;
}

static const struct block common_block = { common_widths, common_register };

/* Once: afterwards it is the device's until a reset. */
static void enable_queue(struct virtio_device *device, struct virtio_queue_state *queue)
{
	if (queue->enabled)
		return;
	queue->enabled = true;
	if (!virtio_queue_is_placed(device, queue))
		virtio_break(device);
	virtio_work(device);
}

static void write_queue(struct virtio_device *device, struct virtio_queue_state *queue, unsigned int reg, uint32_t value)
{
	if (reg == COMMON_QUEUE_VECTOR)
		queue->vector = vector_of(device, value);
	if (queue->enabled)
		return;
	switch (reg) {
	case COMMON_QUEUE_SIZE:
		if (virtio_queue_has_size(device, value))
			queue->size = (uint16_t)value;
		break;
	case COMMON_QUEUE_ENABLE:
		if (value == 1)
			enable_queue(device, queue);
		break;
	case COMMON_QUEUE_DESC:
	case COMMON_QUEUE_DESC + 4:
		set_half(&queue->desc, (reg - COMMON_QUEUE_DESC) / 4, value);
		break;
	case COMMON_QUEUE_DRIVER:
	case COMMON_QUEUE_DRIVER + 4:
		set_half(&queue->driver, (reg - COMMON_QUEUE_DRIVER) / 4, value);
		break;
	case COMMON_QUEUE_DEVICE:
	case COMMON_QUEUE_DEVICE + 4:
		set_half(&queue->device, (reg - COMMON_QUEUE_DEVICE) / 4, value);
		break;
	}
}

static void write_common(struct virtio_device *device, unsigned int reg, uint32_t value)
{
	struct virtio_queue_state *queue = selected(device);

	switch (reg) {
	case COMMON_DEVICE_FEATURE_SELECT:
		device->s.device_feature_select = value;
		return;
	case COMMON_DRIVER_FEATURE_SELECT:
		device->s.driver_feature_select = value;
		return;
	case COMMON_DRIVER_FEATURE:
		if (!(device->s.status & VIRTIO_STATUS_FEATURES_OK))
			set_half(&device->s.driver_features, device->s.driver_feature_select, value);
		return;
	case COMMON_CONFIG_VECTOR:
		device->s.config_vector = vector_of(device, value);
		return;
	case COMMON_STATUS:
		virtio_set_status(device, (uint8_t)value);
		return;
	case COMMON_QUEUE_SELECT:
		device->s.queue_select = (uint16_t)value;
		return;
	}
	if (queue)
		write_queue(device, queue, reg, value);
}

/* The device's own configuration, which the guest cannot write. */
static uint32_t read_config(const struct virtio_device *device, unsigned int offset, unsigned int bytes)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < bytes && offset + i < device->config_bytes; i++)
		value |= (uint32_t)device->config[offset + i] << (8 * i);
	return value;
}

/*
 * BAR_MODERN. An access is aligned and of 4 bytes at most, so that it is in one page; what is behind the
 * registers reads 0.
 */
static uint64_t modern_read(void *owner, uint64_t offset, unsigned int bytes)
{
	struct virtio_device *device = owner;
	unsigned int at = (unsigned int)offset % MODERN_PAGE;

	switch (offset / MODERN_PAGE) {
	case PAGE_COMMON:
		return at < COMMON_END ? block_read(&common_block, device, at, bytes) : 0;
	case PAGE_ISR:
		return at == 0 ? take_isr(device) : 0;
	case PAGE_CONFIG:
		return read_config(device, at, bytes);
	}
	return 0;
}

static void modern_write(void *owner, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct virtio_device *device = owner;
	unsigned int at = (unsigned int)offset % MODERN_PAGE;

	switch (offset / MODERN_PAGE) {
	case PAGE_COMMON:
		if (at < COMMON_END && common_widths[at] == bytes)
			write_common(device, at, (uint32_t)value);
		break;
	case PAGE_NOTIFY:
		if (at == 0)
			notify(device, (uint16_t)value);
		break;
	}
}

static const struct io_ops modern_ops = { .read = modern_read, .write = modern_write, .widest = 4 };

/* Legacy registers */

static uint32_t legacy_register(struct virtio_device *device, unsigned int reg)
{
	const struct virtio_queue_state *queue = selected(device);

	switch (reg) {
	case LEGACY_DEVICE_FEATURES:
		return (uint32_t)virtio_offered(device);
	case LEGACY_DRIVER_FEATURES:
		return (uint32_t)device->s.driver_features;
	case LEGACY_QUEUE_PAGE:
		return queue && queue->enabled ? (uint32_t)(queue->desc >> LEGACY_PAGE_SHIFT) : 0;
	case LEGACY_QUEUE_SIZE:
		return queue ? queue->size : 0;
	case LEGACY_QUEUE_SELECT:
		return device->s.queue_select;
	case LEGACY_STATUS:
		return device->s.status;
	case LEGACY_ISR:
		return take_isr(device);
	case LEGACY_CONFIG_VECTOR:
		return device->s.config_vector;
	case LEGACY_QUEUE_VECTOR:
		return queue ? queue->vector : VIRTIO_NO_VECTOR;
	}
	return 0;		/* LEGACY_NOTIFY */
}

static const struct block legacy_block = { legacy_widths, legacy_register };

/* Page 0 takes the queue away (4.1.5.1.3.1), its indices and what was taken of it. */
static void place_queue(struct virtio_device *device, struct virtio_queue_state *queue, uint32_t page)
{
	uint16_t vector = queue->vector;

	if (page && queue->enabled)
		return;
	if (queue->enabled)
		device->ops->reset(device);
	*queue = (struct virtio_queue_state){
		.size = queue->size, .vector = vector, .desc = (uint64_t)page << LEGACY_PAGE_SHIFT,
	};
	if (!page)
		return;
	virtio_queue_place_legacy(queue);
	enable_queue(device, queue);
}

static void write_legacy(struct virtio_device *device, unsigned int reg, uint32_t value)
{
	struct virtio_queue_state *queue = selected(device);

	switch (reg) {
	case LEGACY_DRIVER_FEATURES:
		if (!(device->s.status & VIRTIO_STATUS_FEATURES_OK))
			device->s.driver_features = value & virtio_offered(device);
		return;
	case LEGACY_QUEUE_SELECT:
		device->s.queue_select = (uint16_t)value;
		return;
	case LEGACY_NOTIFY:
		notify(device, value);
		return;
	case LEGACY_STATUS:
		virtio_set_status(device, (uint8_t)value);
		return;
	case LEGACY_CONFIG_VECTOR:
		device->s.config_vector = vector_of(device, value);
		return;
	}
	if (queue && reg == LEGACY_QUEUE_PAGE)
		place_queue(device, queue, value);
	if (queue && reg == LEGACY_QUEUE_VECTOR)
		queue->vector = vector_of(device, value);
}

static unsigned int legacy_end(const struct virtio_device *device)
{
	return msix_enabled(&device->pci) ? LEGACY_END_MSIX : LEGACY_END;
}

/* BAR_LEGACY; the device's configuration is behind the registers. */
static uint64_t legacy_read(void *owner, uint64_t offset, unsigned int bytes)
{
	struct virtio_device *device = owner;
	unsigned int at = (unsigned int)offset, end = legacy_end(device);

	if (at < end)
		return block_read(&legacy_block, device, at, bytes < end - at ? bytes : end - at);
	return read_config(device, at - end, bytes);
}

static void legacy_write(void *owner, uint64_t offset, unsigned int bytes, uint64_t value)
{
	struct virtio_device *device = owner;
	unsigned int at = (unsigned int)offset;

	if (at < legacy_end(device) && legacy_widths[at] == bytes)
		write_legacy(device, at, (uint32_t)value);
}

static const struct io_ops legacy_ops = { .read = legacy_read, .write = legacy_write, .widest = 4 };

/* Configuration space */

static struct virtio_device *device_of(struct pci_function *fn)
{
	return container_of(fn, struct virtio_device, pci);
}

static bool overlaps(unsigned int offset, unsigned int bytes, unsigned int at, unsigned int length)
{
	return offset < at + length && at < offset + bytes;
}

/* What the guest has described there (4.1.4.9). */
struct access {
	unsigned int bar, bytes;
	uint32_t offset;
};

/* False: nobody has touched the data, or it is no access. */
static bool find_access(const struct virtio_device *device, unsigned int offset, unsigned int bytes, struct access *access)
{
	unsigned int at = device->access_capability;

	if (!overlaps(offset, bytes, at + FIELD_DATA, DATA_BYTES))
		return false;
	access->bar = pci_function_get(&device->pci, at + FIELD_BAR, 1);
	access->offset = pci_function_get(&device->pci, at + FIELD_OFFSET, 4);
	access->bytes = pci_function_get(&device->pci, at + FIELD_BYTES, 4);
	return access->bytes == 1 || access->bytes == 2 || access->bytes == 4;
}

static void config_reading(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	struct virtio_device *device = device_of(fn);
	struct access access;
	uint64_t value;

	if (!find_access(device, offset, bytes, &access))
		return;
	value = pci_bar_read(fn, access.bar, access.offset, access.bytes);
	pci_function_set(fn, device->access_capability + FIELD_DATA, DATA_BYTES, (uint32_t)value);
}

static void config_written(struct pci_function *fn, unsigned int offset, unsigned int bytes)
{
	struct virtio_device *device = device_of(fn);
	unsigned int data = device->access_capability + FIELD_DATA;
	struct access access;

	if (find_access(device, offset, bytes, &access))
		pci_bar_write(fn, access.bar, access.offset, access.bytes, pci_function_get(fn, data, DATA_BYTES));
	/* It may reach memory now, or was told of buffers where its registers were not at the time. */
	if (overlaps(offset, bytes, PCI_COMMAND, sizeof(uint16_t)) ||
	    overlaps(offset, bytes, PCI_BAR0, PCI_BARS * sizeof(uint32_t)))
		virtio_work(device);
}

static const struct pci_ops pci_ops = { .reading = config_reading, .written = config_written };

static unsigned int add_capability(struct virtio_device *device, enum capability_type type, unsigned int bar, uint32_t offset,
				   uint32_t bytes)
{
	bool is_long = type == CAPABILITY_NOTIFY || type == CAPABILITY_ACCESS;
	unsigned int length = is_long ? FIELD_END_LONG : FIELD_END;
	unsigned int at = pci_capability_add(&device->pci, PCI_CAPABILITY_VENDOR, length);

	pci_function_set(&device->pci, at + FIELD_LENGTH, 1, length);
	pci_function_set(&device->pci, at + FIELD_TYPE, 1, type);
	pci_function_set(&device->pci, at + FIELD_BAR, 1, bar);
	pci_function_set(&device->pci, at + FIELD_OFFSET, 4, offset);
	pci_function_set(&device->pci, at + FIELD_BYTES, 4, bytes);
	return at;
}

/* The first of a type is what a driver takes if it can (4.1.4.1). */
static void add_capabilities(struct virtio_device *device)
{
	uint8_t *writable = device->pci.writable;
	unsigned int at;

	add_capability(device, CAPABILITY_COMMON, BAR_MODERN, PAGE_COMMON * MODERN_PAGE, COMMON_END);
	add_capability(device, CAPABILITY_ISR, BAR_MODERN, PAGE_ISR * MODERN_PAGE, 1);
	if (device->config_bytes)
		add_capability(device, CAPABILITY_CONFIG, BAR_MODERN, PAGE_CONFIG * MODERN_PAGE, device->config_bytes);
	add_capability(device, CAPABILITY_NOTIFY, BAR_LEGACY, LEGACY_NOTIFY, NOTIFY_BYTES);
	add_capability(device, CAPABILITY_NOTIFY, BAR_MODERN, PAGE_NOTIFY * MODERN_PAGE, NOTIFY_BYTES);
	at = add_capability(device, CAPABILITY_ACCESS, 0, 0, 0);
	device->access_capability = (uint8_t)at;
	writable[at + FIELD_BAR] = UINT8_MAX;
	memset(&writable[at + FIELD_OFFSET], UINT8_MAX, FIELD_END_LONG - FIELD_OFFSET);
}

/* A power of two. */
static uint32_t legacy_bytes(const struct virtio_device *device)
{
	uint32_t bytes = 32;

	while (bytes < LEGACY_END_MSIX + device->config_bytes)
		bytes *= 2;
	return bytes;
}

void virtio_pci_init(struct virtio_device *device)
{
	const struct virtio_ops *ops = device->ops;
	const struct pci_identity identity = {
		.vendor = VENDOR, .device = ops->pci_device, .subsystem_vendor = VENDOR, .subsystem = ops->id,
		.class = ops->class, .subclass = ops->subclass, .interrupt_pin = INTERRUPT_PIN,
	};

	pci_function_init(&device->pci, &identity);
	device->pci.ops = &pci_ops;
	pci_function_bar(&device->pci, BAR_LEGACY, PCI_BAR_IO, legacy_bytes(device), &legacy_ops, device);
	pci_function_bar(&device->pci, BAR_MODERN, PCI_BAR_32, MODERN_BYTES, &modern_ops, device);
	/* One for each queue and one for the configuration. */
	msix_add(&device->pci, &device->msix, BAR_MSIX, device->queues + 1);
	add_capabilities(device);
	device->pci.writable[PCI_COMMAND] |= PCI_COMMAND_MASTER;
}
