// SPDX-License-Identifier: GPL-2.0
/* Features, status and interrupts of virtio devices. Section numbers are those of VIRTIO 1.2. */
#include "virtio/virtio.h"

#include "core/string.h"
#include "shared/vq.h"
#include "virtio/virtio_queue.h"

#define STATUS_DRIVERS	((uint8_t)~VIRTIO_STATUS_NEEDS_RESET)	/* bits that are the driver's */

static const struct state_field queue_fields[] = {
	STATE_FIELD(struct virtio_queue_state, desc),
	STATE_FIELD(struct virtio_queue_state, driver),
	STATE_FIELD(struct virtio_queue_state, device),
	STATE_FIELD(struct virtio_queue_state, size),
	STATE_FLAG(struct virtio_queue_state, enabled),
	STATE_FIELD(struct virtio_queue_state, vector),
	STATE_FIELD(struct virtio_queue_state, avail_index),
	STATE_FIELD(struct virtio_queue_state, used_index),
	STATE_FIELD(struct virtio_queue_state, told_index),
};

static const struct state_field fields[] = {
	STATE_FIELD(struct virtio_state, driver_features),
	STATE_FIELD(struct virtio_state, device_feature_select),
	STATE_FIELD(struct virtio_state, driver_feature_select),
	STATE_FIELD(struct virtio_state, queue_select),
	STATE_FIELD(struct virtio_state, config_vector),
	STATE_FIELD(struct virtio_state, status),
	STATE_FIELD_MOST(struct virtio_state, isr, VIRTIO_ISR_QUEUE | VIRTIO_ISR_CONFIG),
	STATE_STRUCTS(struct virtio_state, queue, queue_fields),
	STATE_FIELD_SINCE(2, struct virtio_state, generation),
};

const struct state_table virtio_state_table = { "virtio", 2, fields, ARRAY_SIZE(fields) };

uint64_t virtio_offered(const struct virtio_device *device)
{
	return device->features | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1;
}

/*
 * A legacy driver may use the device before it has said that it is ready, and knows no FEATURES_OK (3.1.2).
 */
bool virtio_runs(const struct virtio_device *device)
{
	const unsigned int ready = VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_FEATURES_OK;
	unsigned int status = device->s.status;

	if (status & (VIRTIO_STATUS_NEEDS_RESET | VIRTIO_STATUS_FAILED) || !pci_function_is_master(&device->pci))
		return false;
	return virtio_has(device, VIRTIO_F_VERSION_1) ? (status & ready) == ready : status != 0;
}

void virtio_work(struct virtio_device *device)
{
	if (virtio_runs(device))
		device->ops->work(device);
}

void virtio_event(struct virtio_device *device)
{
	if (device->ops->event)
		device->ops->event(device);
	virtio_work(device);
}

void virtio_interrupt(struct virtio_device *device, unsigned int isr, uint16_t vector)
{
	if (msix_enabled(&device->pci)) {
		if (vector != VIRTIO_NO_VECTOR)
			pci_signal(&device->pci, vector);
		return;
	}
	device->s.isr |= (uint8_t)isr;
	pci_signal(&device->pci, 0);
}

void virtio_break(struct virtio_device *device)
{
	bool tell = device->s.status & VIRTIO_STATUS_DRIVER_OK && !(device->s.status & VIRTIO_STATUS_NEEDS_RESET);

	device->s.status |= VIRTIO_STATUS_NEEDS_RESET;
	if (tell)
		virtio_interrupt(device, VIRTIO_ISR_CONFIG, device->s.config_vector);
}

void virtio_configure(struct virtio_device *device, unsigned int at, const void *from, unsigned int bytes)
{
	if (!memcmp(&device->config[at], from, bytes))
		return;
	memcpy(&device->config[at], from, bytes);
	device->s.generation++;
	if (device->s.status & VIRTIO_STATUS_DRIVER_OK)
		virtio_interrupt(device, VIRTIO_ISR_CONFIG, device->s.config_vector);
}

static void clear_state(struct virtio_device *device)
{
	device->s = (struct virtio_state){ .config_vector = VIRTIO_NO_VECTOR };
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MOST; i++) {
		device->s.queue[i].size = device->ops->entries;
		device->s.queue[i].vector = VIRTIO_NO_VECTOR;
	}
}

static void reset(struct virtio_device *device)
{
	device->ops->reset(device);
	clear_state(device);
	pci_retract(&device->pci);
}

/* 2.2.2 and 6.2: a driver of today accepts VERSION_1, and what was not offered nobody can. */
static bool features_are_good(const struct virtio_device *device, uint64_t features)
{
	return features & VIRTIO_F_VERSION_1 && !(features & ~virtio_offered(device));
}

void virtio_set_status(struct virtio_device *device, uint8_t status)
{
	bool agreed = device->s.status & VIRTIO_STATUS_FEATURES_OK;

	if (!status) {
		reset(device);
		return;
	}
	if (!agreed && !features_are_good(device, device->s.driver_features))
		status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
	device->s.status = (status & STATUS_DRIVERS) | (device->s.status & VIRTIO_STATUS_NEEDS_RESET);
	virtio_work(device);
}

void virtio_init(struct virtio_device *device, const struct keel_queue *queues)
{
	virtio_pci_init(device);
	clear_state(device);
	device->features |= device->ops->features;
	device->ops->start(device, queues);
}

bool virtio_is_quiet(const struct virtio_device *device)
{
	return device->ops->quiet(device);
}

bool virtio_is_awaited(const struct virtio_device *device)
{
	return !(device->s.status & VIRTIO_STATUS_NEEDS_RESET) && device->ops->awaited && device->ops->awaited(device);
}

/*
 * A device that may not reach memory (PCI 3.0, 6.2.2, of which virtio says nothing) cannot give its guest what the host is done
 * with. This machine keeps it until it can; a saved one has no place for it, and a driver is told so by NEEDS_RESET (2.1.2).
 */
void virtio_give_up(struct virtio_device *device)
{
	if (virtio_is_awaited(device))
		virtio_break(device);
}

static bool vector_is_valid(const struct virtio_device *device, uint16_t vector)
{
	return vector == VIRTIO_NO_VECTOR || vector < device->msix.vectors;
}

/* One that is not where a queue can be has broken the device when it was enabled. */
static const char *invalid_queue(const struct virtio_device *device, const struct virtio_queue_state *queue, uint8_t status)
{
	if (!virtio_queue_has_size(device, queue->size))
		return "size";
	if (!vector_is_valid(device, queue->vector))
		return "vector";
	if (queue->enabled && !(status & VIRTIO_STATUS_NEEDS_RESET) && !virtio_queue_is_placed(device, queue))
		return "desc";
	return NULL;
}

static const char *invalid_state(const struct virtio_device *device, const struct virtio_state *s)
{
	const char *field = NULL;

	if (s->status & VIRTIO_STATUS_FEATURES_OK && !features_are_good(device, s->driver_features))
		return "driver_features";
	if (!vector_is_valid(device, s->config_vector))
		return "config_vector";
	for (unsigned int i = 0; !field && i < VIRTIO_QUEUES_MOST; i++)
		field = i >= device->queues && s->queue[i].enabled ? "enabled" : invalid_queue(device, &s->queue[i], s->status);
	return field;
}

bool virtio_restored(struct virtio_device *device)
{
	if (invalid_state(device, &device->s))
		return false;
	device->ops->reset(device);
	pci_function_restored(&device->pci);
	if (device->ops->loaded)
		device->ops->loaded(device);
	return true;
}

struct virtio_config {
	uint8_t byte[KEEL_DEVICE_CONFIG];
};

static const struct state_field config_fields[] = {
	STATE_ARRAY(struct virtio_config, byte),
};

static const struct state_table config_table = { "virtio-config", 1, config_fields, ARRAY_SIZE(config_fields) };

static const struct device_part parts[] = {
	DEVICE_PART(pci_function_state_table, 0, struct virtio_device, pci.s),
	DEVICE_PART(msix_state_table, 0, struct virtio_device, msix.s),
	DEVICE_PART(virtio_state_table, 0, struct virtio_device, s),
	DEVICE_PART(config_table, 0, struct virtio_device, config),
};

static bool takes_config(const struct virtio_device *device, const uint8_t *config)
{
	return device->ops->takes_config ? device->ops->takes_config(device, config) :
					   !memcmp(config, device->config, sizeof(device->config));
}

static const char *valid(const void *owner, const void *const *states, uint64_t now)
{
	const struct virtio_device *device = owner;
	const char *field = pci_function_invalid(&device->pci, states[0]);

	(void)now;
	if (!field)
		field = msix_invalid(&device->msix, states[1]);
	if (!field)
		field = invalid_state(device, states[2]);
	return !field && !takes_config(device, states[3]) ? "config" : field;
}

static void restored(void *device)
{
	virtio_restored(device);
}

const struct device_ops virtio_device_ops = { DEVICE_PARTS(parts), .valid = valid, .restored = restored };
