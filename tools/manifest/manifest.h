/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest's manifest, version 1: the JSON file that manifest.schema.json describes, read and checked.
 * Nothing is started before a manifest is without errors; all errors of a file are found in one go, and the first of them told.
 */
#ifndef KEEL_MANIFEST_H
#define KEEL_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_VERSION	1
#define MANIFEST_IDE_DRIVES	4u	/* primary master, primary slave, secondary master, secondary slave */
#define MANIFEST_VIRTIO_DISKS	16u
#define MANIFEST_DRIVES		(MANIFEST_IDE_DRIVES + MANIFEST_VIRTIO_DISKS)
#define MANIFEST_CPUS		1024u
#define MANIFEST_NAME_MAX	63u
#define MANIFEST_SERIAL_MAX	20u
#define MANIFEST_NETWORKS	16u
#define MANIFEST_VIRTIO_MOST	24u	/* virtio disks and networks together: each has a slot of the PCI bus */
#define MANIFEST_FORWARDS	32u	/* of a network */
#define MANIFEST_INTERFACE_MAX	15u
#define MANIFEST_SSH_KEYS	64u
#define MANIFEST_TEXT_MOST	(1u << 20)	/* bytes of a file for cloud-init */
#define MANIFEST_SEED_IDE	3u	/* where the seed disk of cloud-init is among the drives, by its bus: behind all others */
#define MANIFEST_SEED_VIRTIO	(MANIFEST_DRIVES - 1u)
#define MANIFEST_ERRORS_MOST	20u	/* that are told */

enum manifest_drive_kind { MANIFEST_DRIVE_NONE = 0, MANIFEST_DRIVE_DISK, MANIFEST_DRIVE_CDROM };
enum manifest_machine { MANIFEST_MACHINE_PC_1 = 0, MANIFEST_MACHINES };
enum manifest_bus { MANIFEST_BUS_IDE = 0, MANIFEST_BUS_VIRTIO, MANIFEST_BUSES };
enum manifest_mode { MANIFEST_RW = 0, MANIFEST_RO, MANIFEST_SNAPSHOT, MANIFEST_MODES };
enum manifest_boot { MANIFEST_BOOT_DISK = 0, MANIFEST_BOOT_CDROM, MANIFEST_BOOTS };
enum manifest_serial { MANIFEST_SERIAL_PTY = 0, MANIFEST_SERIAL_SOCKET, MANIFEST_SERIAL_FILE };
enum manifest_action { MANIFEST_DESTROY = 0, MANIFEST_RESTART, MANIFEST_PRESERVE };

enum manifest_cache { MANIFEST_CACHE_WRITEBACK = 0, MANIFEST_CACHE_NONE, MANIFEST_CACHES };

/* Most of a drive in a second; 0: there is no limit. A burst is what may come at once after a time of rest. */
struct manifest_disk_rate {
	uint64_t bytes, bytes_burst;
	unsigned int operations, operations_burst;
};

struct manifest_drive {
	enum manifest_drive_kind kind;
	enum manifest_bus bus;
	enum manifest_mode mode;
	char *file;		/* NULL: a CD-ROM drive without medium */
	uint64_t bytes;
	uint64_t snapshot_limit;	/* bytes that are kept of what the guest writes; 0: as many as the disk has */
	char serial[MANIFEST_SERIAL_MAX + 1];
	enum manifest_cache cache;	/* of the host */
	struct manifest_disk_rate rate;
	bool no_discard;	/* what the guest discards stays allocated, and zeroes are */
	bool stop_on_error;	/* requests that fail are held; else the guest gets the error */
	bool seed;		/* cloud-init's: made of struct manifest_cloud_init at the guest's start, without a file */
};

/* A file's contents, byte for byte; NULL: not given. */
struct manifest_text {
	char *bytes;
	size_t count;
};

/* Text is fit to be shown (common/text.h). */
struct manifest_cloud_init {
	bool wanted;
	enum manifest_bus bus;	/* of the seed disk */
	char *hostname;		/* given, or the guest's name, if that can be a host's; else NULL */
	char *user;		/* NULL: the image's own */
	char *ssh_key[MANIFEST_SSH_KEYS];	/* lines of authorized_keys (sshd(8)), without their ends */
	unsigned int ssh_keys;
	struct manifest_text user_data, network_config;
};

enum manifest_network_kind { MANIFEST_NETWORK_TAP = 0, MANIFEST_NETWORK_BRIDGE, MANIFEST_NETWORK_USER };

/* A port of the host's that is one of the guest's. */
struct manifest_forward {
	bool udp;
	uint16_t host, guest;
	char address[46];	/* of the host's */
};

/* Bytes a second; 0: as many as can be. */
struct manifest_rate {
	uint64_t receive, transmit;	/* by the guest */
	uint64_t burst;		/* bytes at once after a rest; 0: not said */
};

struct manifest_network {
	enum manifest_network_kind kind;
	char name[MANIFEST_INTERFACE_MAX + 1];	/* of the tap interface or the bridge */
	uint8_t mac[6];		/* given, or made of the guest's name and the network's number */
	bool mac_given;
	unsigned int mtu;	/* 0: not said */
	struct manifest_rate rate;
	unsigned int vlan;	/* of the bridge's; 0: what its ports have if nobody says otherwise */
	struct manifest_forward forward[MANIFEST_FORWARDS];
	unsigned int forwards;
};

struct manifest {
	char *path;		/* absolute; of a text without a file: FOLDER/- */
	char *text;		/* what was read */
	size_t text_bytes;
	char *name;
	enum manifest_machine machine;	/* what the guest sees: slots, ports, interrupts, ACPI tables */
	uint64_t memory;	/* bytes, whole MiB */
	unsigned int vcpus;
	uint32_t topology;	/* of keel/topology.h; 0: one socket, a core for each vCPU */
	uint8_t cpu_affinity[MANIFEST_CPUS / 8];	/* bit n: host CPU n; none set: all */
	bool pinned;
	unsigned int weight;	/* 1 to 10000; 100 is an ordinary process */
	char *firmware;
	bool boot_menu;
	bool require_dma_protection;
	bool rng;		/* a virtio entropy device */
	struct manifest_network network[MANIFEST_NETWORKS];
	unsigned int networks;
	enum manifest_boot boot[MANIFEST_BOOTS];
	unsigned int boots;
	struct manifest_cloud_init cloud_init;
	struct manifest_drive drives[MANIFEST_DRIVES];	/* IDE's in their places, then virtio's in their order, the seed last */
	enum manifest_serial serial;
	char *serial_path;
	bool serial_log;
	enum manifest_action on_poweroff, on_reboot, on_crash;
};

struct manifest_error {
	unsigned int line, column;	/* 0: of the file as a whole */
	char *text;		/* one line, fit to be shown */
};

struct manifest_report {
	struct manifest_error errors[MANIFEST_ERRORS_MOST + 1];	/* in the order of the text; the last one may tell of more */
	size_t count;
	size_t more;		/* errors that are not told */
};

/* What each of them is called. */
extern const char *const manifest_slots[MANIFEST_DRIVES];
extern const char *const manifest_buses[MANIFEST_BUSES];
extern const char *const manifest_machines[MANIFEST_MACHINES];
extern const char *const manifest_modes[MANIFEST_MODES];
extern const char *const manifest_caches[MANIFEST_CACHES];

/*
 * True: *m is filled. False: *report has at least one error. Both are freed by the functions below in either case.
 * A path of "-" is standard input; file names in what comes from no file are relative to the working folder.
 */
bool manifest_load(const char *path, struct manifest *m, struct manifest_report *report);
/* The same from an open file, to be called path, which is absolute. */
bool manifest_load_from(int fd, const char *path, struct manifest *m, struct manifest_report *report);
void manifest_free(struct manifest *m);
/* Of what cloud_init has, once it is not needed any more: the texts, which may be long. */
void manifest_free_cloud_init(struct manifest *m);
void manifest_report_free(struct manifest_report *report);

#endif
