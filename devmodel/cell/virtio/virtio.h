/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Virtio devices (VIRTIO 1.2) as transitional PCI functions: what a kind of device is, and what all of them
 * have in common.
 *
 * A kind is one file here, with a struct that begins with a struct virtio_device, and a struct virtio_ops,
 * which is a row in the list of machine/pc_virtio.c. What a device has of the host is asked for by queues
 * of the channel; the guest's own queues are read and written here and nowhere else (virtio_queue.h),
 * registers are virtio_pci.c's, features and status virtio.c's.
 *
 * The guest is not trusted with anything. What makes no sense in a queue ends the device's work until it is
 * reset (DEVICE_NEEDS_RESET, 2.1.1). Nothing happens to a queue unless the guest lets the function reach
 * memory (COMMAND.MASTER).
 */
#ifndef KEEL_VIRTIO_H
#define KEEL_VIRTIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <keel/channel.h>

#include "core/device.h"
#include "core/gmem.h"
#include "core/state.h"
#include "pci/msi.h"
#include "pci/pci.h"

#define VIRTIO_QUEUES_MOST	16u

/* 2.1 */
#define VIRTIO_STATUS_DRIVER_OK		0x04u
#define VIRTIO_STATUS_FEATURES_OK	0x08u
#define VIRTIO_STATUS_NEEDS_RESET	0x40u
#define VIRTIO_STATUS_FAILED		0x80u

/* Feature bits of all devices (6); those of a kind are below 24. */
#define VIRTIO_F_INDIRECT_DESC	(1ull << 28)
#define VIRTIO_F_EVENT_IDX	(1ull << 29)
#define VIRTIO_F_VERSION_1	(1ull << 32)

/* Bits of ISR status (4.1.4.5). */
#define VIRTIO_ISR_QUEUE	0x1u
#define VIRTIO_ISR_CONFIG	0x2u

#define VIRTIO_NO_VECTOR	0xffffu

struct virtio_device;

struct virtio_ops {
	const char *name;		/* of its saved state; at most 15 characters */
	uint16_t id;			/* enum virtio_id; */
	uint16_t pci_device;		/* and as a transitional PCI device (4.1.2.1) */
	uint8_t class, subclass;
	uint16_t queues;		/* at most; a device has as many as its row in the channel */
	uint16_t entries;		/* of each, at most: a power of two */
	uint64_t features;		/* of its kind, which all devices have; more are in a row of the channel */
	size_t bytes;			/* of its struct */
	/* Whether the row and its queues, which are good ones, are what it can work with. */
	bool (*accepts)(const struct keel_device *row, const struct keel_queue *queues);
	/* Its wiring is complete. queues: of the channel, as many as the row says. */
	void (*start)(struct virtio_device *device, const struct keel_queue *queues);
	/*
	 * The guest has reset it, or has taken a queue away: nothing of its memory may be touched for what was
	 * asked of the host before.
	 */
	void (*reset)(struct virtio_device *device);
	/*
	 * The guest may have filled its queues, the host may have answered. Called only when virtio_runs.
	 */
	void (*work)(struct virtio_device *device);
	/*
	 * The host has nothing of it that can still change a disk, or that is waited for while virtio_runs. What it
	 * is done with meanwhile may be there, and is looked at when the device runs.
	 */
	bool (*quiet)(const struct virtio_device *device);
	/* The guest waits for something that was asked of the host. May be NULL: it never does. */
	bool (*awaited)(const struct virtio_device *device);
	/* A message of the host's for it, which may be anything. May be NULL: there are none. */
	void (*message)(struct virtio_device *device, const struct keel_message *message);
	/* The host may have something for it that does not wait until it runs. May be NULL: there is no such thing. */
	void (*event)(struct virtio_device *device);
	/*
	 * Whether a machine that is loaded may have this configuration, of KEEL_DEVICE_CONFIG bytes, in place of its own. NULL:
	 * it must be the same.
	 */
	bool (*takes_config)(const struct virtio_device *device, const uint8_t *config);
	/* Its states have been loaded, and it was reset: what follows for the guest comes with the next event. May be NULL. */
	void (*loaded)(struct virtio_device *device);
};

struct virtio_queue_state {
	uint64_t desc, driver, device;	/* guest-physical, of its areas */
	uint16_t size;			/* a power of two, at most ops->entries */
	uint16_t enabled;
	uint16_t vector;
	uint16_t avail_index;		/* the next one to take */
	uint16_t used_index;		/* the next one to give */
	uint16_t told_index;		/* used_index when it was last seen whether the guest wants to be told */
};

struct virtio_state {
	uint64_t driver_features;
	uint32_t device_feature_select, driver_feature_select;
	uint16_t queue_select;
	uint16_t config_vector;
	uint8_t status;
	uint8_t isr;
	uint8_t generation;		/* of the configuration */
	struct virtio_queue_state queue[VIRTIO_QUEUES_MOST];
};

struct virtio_device {
	struct pci_function pci;	/* saved by pci_function_state_table, */
	struct msix msix;		/* and by msix_state_table */
	/* Wiring */
	const struct virtio_ops *ops;
	const struct gmem *mem;
	uint8_t *channel;
	bool *asked;			/* set: the host should look at the channel soon */
	const struct keel_device *row;	/* of the channel: a copy that does not change */
	uint64_t features;		/* of its kind, that the guest is offered: its kind's, its row's and what start adds */
	unsigned int queues;
	uint32_t config_bytes;
	uint8_t config[KEEL_DEVICE_CONFIG];	/* as the guest reads it */
	uint8_t access_capability;	/* where VIRTIO_PCI_CAP_PCI_CFG is */
	struct virtio_state s;
};

/* Power-on. pci_add has been done, and the wiring above. */
void virtio_init(struct virtio_device *device, const struct keel_queue *queues);
/* Does what is to be done. The other one: the host may have something for it, whether it runs or not. */
void virtio_work(struct virtio_device *device);
void virtio_event(struct virtio_device *device);
/* Whether it may touch its queues. */
bool virtio_runs(const struct virtio_device *device);
static inline bool virtio_has(const struct virtio_device *device, uint64_t feature)
{
	return device->s.driver_features & feature;
}
/*
 * The guest's driver has broken the rules, or the host cannot do its part: stands still until the guest
 * resets it.
 */
void virtio_break(struct virtio_device *device);
/* A used buffer, or VIRTIO_ISR_CONFIG; vector may be VIRTIO_NO_VECTOR. */
void virtio_interrupt(struct virtio_device *device, unsigned int isr, uint16_t vector);
/* These bytes of its configuration are others now: the driver is told, if there is one (4.1.4.3, 4.1.4.5.1). */
void virtio_configure(struct virtio_device *device, unsigned int at, const void *from, unsigned int bytes);
/*
 * The host has nothing more to do for it, as far as that matters. This comes about by the host's part alone: a device that does
 * not run, because its guest does not let it reach memory, say, does not wait until it may give what the host is done with.
 */
bool virtio_is_quiet(const struct virtio_device *device);
/* The guest waits for something that was asked of the host, and was not told that it never comes. virtio_give_up tells it. */
bool virtio_is_awaited(const struct virtio_device *device);
void virtio_give_up(struct virtio_device *device);
/* After a load of the three states; what was asked of the host before is forgotten. False: there can be no such state. */
bool virtio_restored(struct virtio_device *device);
/*
 * As of a device of the machine's list (core/device.h), of a kind's whole struct; power-on is virtio_init. The
 * configuration is among the parts to be compared.
 */
extern const struct device_ops virtio_device_ops;

/* For virtio_pci.c. */
uint64_t virtio_offered(const struct virtio_device *device);
void virtio_set_status(struct virtio_device *device, uint8_t status);
/* virtio_pci.c: configuration space, BARs and capabilities. */
void virtio_pci_init(struct virtio_device *device);

extern const struct state_table virtio_state_table;

/* The kinds. */
extern const struct virtio_ops virtio_blk;
extern const struct virtio_ops virtio_net;
extern const struct virtio_ops virtio_rng;

#endif
