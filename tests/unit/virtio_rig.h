/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A bus with one virtio device, memory for a guest, and the host's ends of the channel's queues; and the steps of a guest's
 * driver that all drivers take. For unit tests and fuzz targets alike: what a test looks at is its own. One at a time.
 */
#ifndef KEEL_TEST_VIRTIO_RIG_H
#define KEEL_TEST_VIRTIO_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "pci/msi.h"
#include "pci/pci.h"
#include "shared/net.h"
#include "shared/vq_device.h"
#include "virtio/virtio.h"

/* Where place_bars() puts the device's registers: of legacy drivers, of messages, and of modern drivers. */
#define PORTS		0xc000u
#define VECTORS		0xfe000000u
#define MODERN		0xfe100000u
#define PAGE		4096u

/* Legacy registers, from PORTS on (virtio 1.2, 4.1.4.8), and those of modern drivers, from MODERN on (4.1.4.3). */
#define LEGACY_FEATURES	0x04u
#define LEGACY_QUEUE	0x08u
#define LEGACY_SELECT	0x0eu
#define LEGACY_STATUS	0x12u

/* What a test brings along. The arrays are copied, as is the row's configuration; the row itself is the device's then. */
struct virtio_rig {
	const struct virtio_ops *ops;
	unsigned int slot;
	uint32_t memory_bytes;		/* of the guest */
	uint32_t readonly;		/* the address from which on it cannot be written; 0: none */
	uint32_t channel_bytes;
	const struct keel_queue *queue;
	unsigned int queues;
	const struct keel_device *row;	/* or NULL */
	const void *config;		/* or NULL: the row's, if there is one */
	uint32_t config_bytes;
	uint64_t features;		/* 0: none but what virtio_init() makes of them */
	void (*set_intx)(void *board, unsigned int slot, unsigned int pin, bool level);
	void (*message)(void *sink, uint64_t address, uint32_t data);
};

extern struct bus bus;
extern struct pci pci;
extern struct gmem mem;
extern struct virtio_device *device;
extern struct vq_device host[NET_QUEUES];
extern uint8_t *memory, *channel;	/* pieces of their own, at whose ends a sanitizer watches */
extern bool asked;

/* Ends the program if there is no memory. */
void rig_plug(const struct virtio_rig *rig);
void rig_unplug(void);

void config_write(unsigned int reg, unsigned int bytes, uint32_t value);
/* And lets the device decode, and be a bus master. */
void place_bars(void);
/* The registers of modern drivers, and of legacy ones. */
void put(unsigned int offset, unsigned int bytes, uint32_t value);
void put_legacy(unsigned int port, unsigned int bytes, uint32_t value);

/* A modern driver: reset, these and VIRTIO_F_VERSION_1 agreed upon; its queues; DRIVER_OK. */
void modern_begin(uint32_t features);
void modern_queue(unsigned int number, uint64_t desc, uint64_t avail, uint64_t used);
void modern_ready(void);
/* The same of a legacy one, whose rings are one piece from a page on. */
void legacy_begin(uint32_t features);
void legacy_queue(unsigned int number, uint64_t desc);
void legacy_ready(void);

#endif
