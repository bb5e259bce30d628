/* SPDX-License-Identifier: GPL-2.0 */
/* A guest and its life: started, restarted in place, ended; with its disks, console and control socket. */
#ifndef KEEL_MACHINE_H
#define KEEL_MACHINE_H

#include <time.h>

#include "host/button.h"
#include "host/channel.h"
#include "host/backend/console.h"
#include "host/control.h"
#include "host/devices.h"
#include "host/backend/block_queue.h"
#include "host/backend/disk.h"
#include "host/ending.h"
#include "host/confine/keeper.h"
#include "host/backend/logfile.h"
#include "host/loop.h"
#include "host/backend/notice.h"
#include "host/board.h"
#include "common/rundir.h"
#include "host/vm.h"
#include "manifest/manifest.h"

struct signalfd_siginfo;

/* What of the host can fail a guest: a drive, by its number, or a file. */
enum machine_part {
	MACHINE_PART_SERIAL = MANIFEST_DRIVES,
	MACHINE_PART_CONSOLE_LOG,
	MACHINE_PART_FIRMWARE_LOG,
	MACHINE_PARTS,
};

enum machine_state {
	MACHINE_STOPPED,
	MACHINE_RUNNING,
	MACHINE_PRESERVED,	/* it has ended, and its memory is kept */
};

/* Of a drive's medium, which waits for the end of what the former one is read for. */
struct media_change {
	bool pending;
	unsigned int drive;
	int fd;			/* of the next one; -1: none, */
	char *file;		/* and what it is called */
	uint64_t bytes;
};

/* Of a disk's size, which waits for the end of what reaches behind the new one. */
struct disk_resize {
	bool pending;
	bool cut;		/* the image is to be made so long; else it is already */
	unsigned int drive;
	uint64_t bytes, former;
};

struct machine {
	struct manifest manifest;
	struct rundir rundir;
	struct keeper keeper;
	uid_t user;		/* whom this process is to run as */
	struct loop loop;
	struct loop_source signals;
	struct loop_source doorbell;	/* the VM's, */
	struct loop_source ended;	/* and that it has ended */
	struct keel_info info;
	struct blob firmware;
	struct items items;
	struct channel_layout layout;
	struct vm_memory memory;
	struct vm vm;
	struct board board;
	struct disk disks[MANIFEST_DRIVES];
	struct block_queue queues[MANIFEST_DRIVES];	/* of drives that there are */
	struct throttle throttles[MANIFEST_DRIVES];
	struct loop_source pace;	/* a timer for what a limit holds up; -1: nothing has one */
	uint64_t pace_due_ns;		/* when it fires: CLOCK_MONOTONIC; 0: it does not */
	struct disk_engine engine;
	struct disk_engine media;	/* the CD-ROM drives' */
	struct media_change change;
	struct disk_resize resize;
	struct devices devices;		/* all others */
	uint64_t ejected[KEEL_DRIVES];	/* by the guest in this run, as far as it was acted on */
	struct console console;
	struct control control;
	struct logfile firmware_log;
	struct notice errors[MACHINE_PARTS];
	enum machine_part last_error;	/* where the last one was */
	struct notice restart_notice;
	enum machine_state state;
	enum ending_wish wish;		/* as long as somebody waits for it */
	struct button button;
	uint64_t leave_by_ms;		/* a signal asked it to end: CLOCK_MONOTONIC; 0: none did */
	bool run_over;		/* this run ends as soon as the event at hand is done */
	bool quit;
	bool event_needed;	/* the cell must look at the channel */
	bool unpausing;		/* what was held is under way once more, and somebody waits for it */
	struct keel_vm_status status;	/* of the last run */
	time_t started;			/* CLOCK_MONOTONIC, */
	time_t started_at;		/* and CLOCK_REALTIME */
	/* Devices that cells have told accesses of: a cell that makes names up does so no more than this often. */
	struct keel_device_statistics counted[KEEL_STATISTICS_DEVICES];
	unsigned int counted_devices;
	uint64_t measured_until_ms;	/* the cell has its time measured until then: CLOCK_MONOTONIC; 0: it has not */
	unsigned int restarts;
	unsigned int short_failures;	/* runs, one after the other, that failed at their start (ending.h) */
	bool failed;			/* by the guest's own doing, or because it could not be restarted */
	json_t *last_answer;	/* for those who wait, when all is gone; */
	json_t *last_refusal;	/* for those who waited for something else, or NULL */
	/* Sockets of who starts the guest, joined before it runs; -1: none. */
	int starter_console;
	int starter_events;
};

/*
 * In the guest's process, with its folder, keeper and user. Confines the process. On failure the keeper clears away what is left.
 */
bool machine_start(struct machine *machine, struct failure *failure);
/* The guest is to be destroyed as soon as machine_run gets to it. */
void machine_abandon(struct machine *machine);
/* Until the guest is gone. */
void machine_run(struct machine *machine);
/* EXIT_DONE, or EXIT_FAILED when it ended by a crash, was given up, or could not be restarted. */
enum exit_code machine_stop(struct machine *machine);

/* The purpose of those who wait, beside the numbers of enum ending_wish. */
#define MACHINE_AWAITS_DISKS	8u
#define MACHINE_AWAITS_MEDIUM	9u
#define MACHINE_AWAITS_RESIZE	10u

/* machine_power.c: presses the power button, unless that was done just now; it is pressed again as long as somebody waits. */
void machine_press_button(struct machine *machine);
/* The host shuts down, most likely: the guest gets the time to do so too, and ends. Another signal destroys it at once. */
void machine_leave(struct machine *machine, const struct signalfd_siginfo *signal);
/* Does what is due by the clock; the other: in how many milliseconds something will be, or -1. */
void machine_keep_power(struct machine *machine);
int machine_power_due(struct machine *machine);

/* machine_errors.c: what the host could not do. file may be NULL. */
const char *machine_part_name(enum machine_part part);
void machine_note_error(struct machine *machine, enum machine_part part, const char *file, const char *text);
/* Of disk_engine and console. */
bool machine_request_failed(void *machine, const struct disk_job *job);
void machine_output_failed(void *machine, enum console_file file, int error);
/* Tells in the log what has not been told, if it is time for that; the other: in any case. */
void machine_tell_errors(struct machine *machine);
void machine_end_errors(struct machine *machine);
uint64_t machine_count_errors(const struct machine *machine);

/* machine_media.c: requests for another medium of a CD-ROM drive, or for none, and what there is. */
json_t *machine_insert_medium(struct machine *machine, struct control_connection *connection, const json_t *request);
json_t *machine_eject_medium(struct machine *machine, struct control_connection *connection, const json_t *request);
json_t *machine_describe_media(const struct machine *machine);
/*
 * Takes out what the guest has ejected, and carries out the change that is pending once nothing is under way. The other one
 * forgets that change.
 */
void machine_keep_media(struct machine *machine);
void machine_drop_change(struct machine *machine);

/* machine_networks.c: what networks there are, and requests for the link of one. */
json_t *machine_list_networks(const struct machine *machine);
json_t *machine_set_link(struct machine *machine, const json_t *request);

/* machine_disks.c: requests for what the disks are, and for another size of one. */
json_t *machine_list_disks(const struct machine *machine);
json_t *machine_resize_disk(struct machine *machine, struct control_connection *connection, const json_t *request);
/* Limits of rates, which last over resets; and the time that the first request is to wait until, or 0. */
bool machine_open_limits(struct machine *machine, struct failure *failure);
void machine_set_pace(struct machine *machine, uint64_t due_ns);
/* Makes an image shorter once nothing behind its new end is under way. */
void machine_keep_disks(struct machine *machine);

/* machine_statistics.c: what the guest, its devices and its process have done. */
json_t *machine_describe_statistics(struct machine *machine, struct control_connection *connection, const json_t *request);
/* Does what is due by the clock; the other: in how many milliseconds something will be, or -1. */
void machine_keep_statistics(struct machine *machine);
int machine_statistics_due(const struct machine *machine);

/* machine_control.c: what the guest is about; answers one request. */
const char *machine_state_name(const struct machine *machine);
json_t *machine_handle(void *machine, struct control_connection *connection, const json_t *request);
/* A command that waited was given up; its wish goes with it. */
void machine_waiter_gone(void *machine);

#endif
