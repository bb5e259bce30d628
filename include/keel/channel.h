/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The channel: memory shared between a guest's cell and its resource half. Neither trusts the other:
 * indices are masked, offsets and lengths are checked where they are used, fields are read once.
 *
 * The resource half fills header, machine and items before KEEL_VM_START; the cell reads them at
 * its first entry and never again (but for the bytes of items, which it only passes on).
 * All else goes by queues: split virtqueues (VIRTIO 1.2, 2.7) whose descriptors have offsets into the channel. The cell is
 * their driver, and disposes of the arena in which their buffers lie.
 */
#ifndef KEEL_CHANNEL_H
#define KEEL_CHANNEL_H

#include "abi.h"
#include "cell.h"

#define KEEL_CHANNEL_MAGIC	0x4e41484cu
#define KEEL_CHANNEL_VERSION	8u

#define KEEL_DEVICES		32u
#define KEEL_DEVICE_CONFIG	64u		/* bytes */
#define KEEL_QUEUES		80u
#define KEEL_DRIVES		4u		/* primary master, primary slave, secondary master, secondary slave */
#define KEEL_BOUNCE_BYTES	0x20000u	/* most data of one request of a drive: 128 KiB */
#define KEEL_ITEMS		64u

/* Offsets in the channel: of the ring, on 16 bytes, and of the arena, on a page. */
struct keel_queue {
	uint32_t ring;
	uint32_t entries;		/* a power of two, 16 to 1024 */
	uint32_t arena;
	uint32_t arena_bytes;		/* whole pages */
};

/* What the guest sees, and so what the queues are for. */
enum keel_device_type {
	KEEL_DEVICE_NONE = 0,
	KEEL_DEVICE_IDE_DISK = 1,	/* one queue of block requests: KEEL_BLOCK_ENTRIES, an arena of KEEL_BLOCK_ARENA; */
	KEEL_DEVICE_IDE_CDROM = 2,	/* and it is read-only; then two of messages, to the drive and of it */
	KEEL_DEVICE_CONSOLE = 3,	/* the serial port: two streams, to the guest and of it */
	KEEL_DEVICE_DEBUG = 4,		/* the debug port: one stream, of the guest */
	KEEL_DEVICE_PANEL = 5,		/* the machine's buttons: two queues of messages, to the machine and of it */
	/*
	 * + its device ID (VIRTIO 1.2, clause 5), which says what its queues carry; those of a block device are block requests.
	 */
	KEEL_DEVICE_VIRTIO = 0x100,
};

/* A device that the resource half serves; what every machine has is not described. */
struct keel_device {
	uint32_t type;
	uint16_t flags;			/* KEEL_DEVICE_READONLY */
	/* Of a virtio device the PCI slot, function 0; of an IDE drive its number; else 0. No two are in one place. */
	uint16_t slot;
	uint16_t first_queue;		/* of the machine's; devices have theirs one after the other, in their order */
	uint16_t queues;		/* how many it has */
	uint32_t config_bytes;
	char id[20];			/* a drive's serial number; padded with zeros */
	uint32_t features;		/* of a virtio device: bits of its kind, below 24, that its guest is offered */
	/* Of a virtio device as its guest sees it; of a drive struct keel_block_config. */
	_Alignas(8) uint8_t config[KEEL_DEVICE_CONFIG];
};
#define KEEL_DEVICE_READONLY	1u

/* An item of fw_cfg: the bytes are at offset in the channel. A name makes it a file; else it answers to key. */
struct keel_item {
	char name[56];
	uint32_t key;
	uint32_t size;
	uint32_t offset;
	uint32_t reserved;
};

/* Whole pages of the channel that an aperture (cell.h) may show; the driver was told the same. 0 bytes: there is none. */
struct keel_aperture_bound {
	uint32_t offset;		/* in the channel */
	uint32_t bytes;
};

struct keel_machine {
	uint32_t vcpus;
	uint32_t items;			/* in use, of KEEL_ITEMS */
	uint64_t low_memory;		/* bytes from 0 up to at most 3 GiB: 0-0xa0000, 0xc0000-low_memory are memory */
	uint64_t high_memory;		/* bytes from 4 GiB */
	uint64_t tsc_khz;		/* of the host's TSC */
	uint64_t wall_tsc;		/* at this host TSC ... */
	int64_t wall_ns;		/* ... it was this time, nanoseconds since 1970, in the guest's RTC time zone */
	uint32_t firmware;		/* offset in the channel */
	uint32_t firmware_bytes;	/* 64 KiB to 1 MiB; guest memory ends at 4 GiB with it, read-only */
	uint32_t topology;		/* KEEL_TOPOLOGY of topology.h, or 0; the same as the hypervisor was told */
	uint32_t devices;		/* in use, of KEEL_DEVICES; */
	uint32_t queues;		/* of KEEL_QUEUES */
	uint32_t transfer;		/* offset of a struct keel_transfer and its ring, on a page; */
	uint32_t transfer_bytes;	/* of both; 0: there is none, and the machine cannot be saved */
	uint32_t statistics;		/* offset of a struct keel_statistics, on a page; 0: there is none */
	struct keel_device device[KEEL_DEVICES];
	struct keel_queue queue[KEEL_QUEUES];
	struct keel_aperture_bound aperture[KEEL_APERTURES];
	struct keel_item item[KEEL_ITEMS];
};

/*
 * The way of a saved machine out of the cell and into another one: a ring of bytes, which begins on the page behind this. The
 * cell is its producer when it saves, the resource half when the cell loads. All of the guest's memory goes this way, in the
 * clear: where the channel has no room for it when the guest starts, nobody can ask for it later.
 */
#define KEEL_TRANSFER_RING_LEAST	0x1000u		/* bytes, a power of two */
#define KEEL_TRANSFER_RING_MOST		0x1000000u
#define KEEL_TRANSFER_ERROR_BYTES	128u

/* Only the cell writes it. */
enum keel_transfer_state {
	KEEL_TRANSFER_RUNNING = 0,
	KEEL_TRANSFER_STOPPING,	/* vCPUs come to a stop, requests under way are waited for */
	KEEL_TRANSFER_SAVING,	/* the ring gets the machine */
	KEEL_TRANSFER_LOADING,	/* the ring is to be filled with one */
	KEEL_TRANSFER_HELD,	/* saved, or loaded: the machine stands still */
	KEEL_TRANSFER_FAILED,	/* error says why. A machine that was to be loaded never runs; another one is held, or goes on */
	KEEL_TRANSFER_GOING_ON,	/* vCPUs get their time back and run again */
};

/*
 * From the command on the resource half brings events to the cell until the state is the one that it waits for, as each moves
 * some of the machine; it may sleep between them as always.
 */
#define KEEL_TRANSFER_SAVE	(1u << 0)	/* RUNNING or HELD: stop, and give the machine away; then HELD */
#define KEEL_TRANSFER_LOAD	(1u << 1)	/* before the first vCPU runs: take one; then HELD */
#define KEEL_TRANSFER_GO_ON	(1u << 2)	/* ends what SAVE has begun, or a load that is through; then RUNNING */

struct keel_transfer {
	uint32_t head;		/* bytes that the producer has put into the ring, and */
	uint32_t tail;		/* that the consumer has taken out of it; both from 0 at the step's begin, modulo 2^32 */
	uint32_t state;		/* enum keel_transfer_state */
	uint32_t commands;	/* KEEL_TRANSFER_*, set by the resource half, taken (exchanged with 0) by the cell at an event */
	char error[KEEL_TRANSFER_ERROR_BYTES];	/* ends with a 0 */
};

/*
 * What has happened in a machine, as its cell tells it: the word of a program that its guest may have taken over. All counts
 * begin with the VM and wrap at 2^64. At an event the cell takes what it is told to do; what is to be told is there when the
 * event ends.
 */
#define KEEL_STATISTICS_TELL		(1u << 0)	/* fill in what follows */
#define KEEL_STATISTICS_MEASURE		(1u << 1)	/* have time measured from now on, which costs the guest some: */
#define KEEL_STATISTICS_CEASE		(1u << 2)	/* have it measured no more */

#define KEEL_STATISTICS_DEVICES		64u
#define KEEL_STATISTICS_NAME		16u

struct keel_device_statistics {
	char name[KEEL_STATISTICS_NAME];	/* ends with a 0 */
	uint32_t instance;			/* devices of one name differ in it */
	uint32_t reserved;
	uint64_t accesses;			/* to its registers; what a string instruction does at once is one */
};

struct keel_statistics {
	uint32_t commands;		/* KEEL_STATISTICS_*, set by the resource half, taken (exchanged with 0) by the cell */
	uint32_t devices;		/* in use, of KEEL_STATISTICS_DEVICES */
	/* Sums over all contexts; as struct keel_counters (cell.h) has them. */
	uint64_t count[KEEL_COUNTS];
	uint64_t exits[KEEL_EXIT_KINDS];
	uint64_t stays, guest, cell;
	struct keel_device_statistics device[KEEL_STATISTICS_DEVICES];
};

/* What VIRTIO 1.2, 5.2.4, begins with: 0 is no medium; whole sectors of 2048 bytes for a CD-ROM. */
struct keel_block_config {
	uint64_t sectors;	/* of KEEL_SECTOR bytes */
};

/*
 * A block request is one of virtio's block device (VIRTIO 1.2, 5.2.6): a header that the device reads, the data, of one
 * piece, which a flush does not have, and a byte for the status that the device writes. The data of discard and write zeroes
 * is one range, which the device reads. IDE drives have neither.
 */
#define KEEL_SECTOR		512u
#define KEEL_BLOCK_ENTRIES_MOST	128u		/* of a queue of block requests */
#define KEEL_BLOCK_RANGE_MOST	0x80000u	/* sectors of a range: 256 MiB */
#define KEEL_BLOCK_CHUNKS	8u		/* requests of a drive that may be under way at once */
#define KEEL_BLOCK_ENTRIES	32u
#define KEEL_BLOCK_ARENA	(KEEL_BLOCK_CHUNKS * KEEL_BOUNCE_BYTES + 0x1000u)

enum keel_block_op {
	KEEL_BLOCK_READ = 0,
	KEEL_BLOCK_WRITE = 1,
	KEEL_BLOCK_FLUSH = 4,	/* all completed writes are on stable storage when this completes */
	KEEL_BLOCK_DISCARD = 11,	/* what is in the range need not be kept */
	KEEL_BLOCK_WRITE_ZEROES = 13,
};

struct keel_block_range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;		/* KEEL_BLOCK_UNMAP, of zeroes that need no room */
};
#define KEEL_BLOCK_UNMAP	1u

struct keel_block_header {
	uint32_t op;
	uint32_t reserved;
	uint64_t sector;	/* of KEEL_SECTOR bytes */
};

enum keel_block_status {
	KEEL_BLOCK_OK = 0,
	KEEL_BLOCK_FAILED = 1,
	KEEL_BLOCK_UNSUPPORTED = 2,
};

/* Why a cell gave up: the detail of KEEL_END_CELL_REFUSED. */
enum cell_refusal {
	CELL_REFUSED_CHANNEL = 1,	/* magic, version or size of the channel */
	CELL_REFUSED_VCPUS,
	CELL_REFUSED_MEMORY,
	CELL_REFUSED_CLOCK,
	CELL_REFUSED_FIRMWARE,
	CELL_REFUSED_DEVICE,
	CELL_REFUSED_ITEM,
	CELL_REFUSED_CONTEXT,		/* entered for a vCPU before the first event, or for one that is not there */
	CELL_REFUSED_EXIT,		/* an exit record that makes no sense */
	CELL_REFUSED_NO_MEMORY,		/* the guest has instructions or page tables where there is no memory */
	/* The guest used an instruction on device memory that is not known; its bytes are told by the debug port. */
	CELL_REFUSED_INSTRUCTION,
	CELL_REFUSED_APERTURE,
	CELL_REFUSED_TRANSFER,
	CELL_REFUSED_STATISTICS,
};

/*
 * A stream is bytes in buffers, one to a chain, as of a port of virtio's console (VIRTIO 1.2, 5.3.6). What the guest has put
 * out is in the queue before it goes on.
 */
#define KEEL_STREAM_ENTRIES_MOST	1024u

/*
 * A message is one buffer of its own. What one says holds until the next of its kind (and disk), so that its sender may leave
 * out what is out of date when the queue is full.
 */
#define KEEL_MESSAGE_ENTRIES		16u

enum keel_message_kind {
	/* To the panel: a button is pressed. */
	KEEL_MESSAGE_POWER_BUTTON = 0,
	KEEL_MESSAGE_NMI = 1,
	/* Of the panel. number: presses of the power button that the guest's ACPI handler has taken until now. */
	KEEL_MESSAGE_TAKEN = 2,
	/* To a CD-ROM drive. number: the sectors, as in its configuration, of what is in it from now on. */
	KEEL_MESSAGE_MEDIUM = 3,
	KEEL_MESSAGE_EJECT_BUTTON = 4,	/* the drive asks its guest to eject */
	/* Of a CD-ROM drive. number: how often the guest has opened its door with a medium in it. */
	KEEL_MESSAGE_DOOR = 5,
	/* To the panel. flags: the PCI slot of a virtio disk; number: its sectors, as in its configuration, from now on. */
	KEEL_MESSAGE_CAPACITY = 6,
};

struct keel_message {
	uint32_t kind;
	uint32_t flags;			/* KEEL_MESSAGE_LOCKED, of a door: the guest keeps it shut; of CAPACITY: which disk */
	uint64_t number;
};
#define KEEL_MESSAGE_LOCKED		1u

struct keel_channel {
	uint32_t magic;			/* KEEL_CHANNEL_MAGIC */
	uint32_t version;		/* KEEL_CHANNEL_VERSION */
	uint64_t bytes;			/* of the whole channel */
	uint32_t host_asleep;		/* the resource half sets it before it sleeps; the cell rings only when it is set */
	uint32_t reserved;
	struct keel_machine machine;
};

#endif
