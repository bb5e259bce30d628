/* SPDX-License-Identifier: GPL-2.0 */
/* A guest and its life: started, restarted in place, ended; with its disks, console and control socket. */
#ifndef KEEL_MACHINE_H
#define KEEL_MACHINE_H

#include <time.h>

#include "host/channel.h"
#include "host/console.h"
#include "host/control.h"
#include "host/disk.h"
#include "host/ending.h"
#include "host/logfile.h"
#include "host/loop.h"
#include "host/rings.h"
#include "host/rundir.h"
#include "host/vm.h"
#include "manifest.h"

enum machine_state { MACHINE_STOPPED, MACHINE_RUNNING, MACHINE_PRESERVED };

struct machine {
	struct manifest manifest;
	struct rundir rundir;
	struct loop loop;
	struct loop_source signals, doorbell, ended;
	struct keel_info info;
	struct blob firmware;
	struct items items;
	struct channel_layout layout;
	struct vm_memory memory;
	struct vm vm;
	struct rings rings;
	struct disk disks[KEEL_DRIVES];
	struct disk_engine engine;
	struct console console;
	struct control control;
	struct logfile firmware_log;
	enum machine_state state;
	enum ending_wish wish;
	bool run_over;		/* this run ends as soon as the event at hand is done */
	bool quit;
	bool event_needed;	/* the cell must look at the channel */
	struct keel_vm_status status;	/* of the last run */
	time_t started;			/* CLOCK_MONOTONIC */
	unsigned int restarts, short_failures;
	bool failed;			/* by the guest's own doing, or because it could not be restarted */
	json_t *last_answer;	/* for those who wait, when all is gone */
	int starter_console, starter_events;	/* sockets of who starts the guest, joined before it runs; -1: none */
};

/* The manifest is loaded. On failure nothing is left behind. */
bool machine_start(struct machine *machine, struct failure *failure);
/* The guest is to be destroyed as soon as machine_run gets to it. */
void machine_abandon(struct machine *machine);
/* Until the guest is gone. */
void machine_run(struct machine *machine);
/* EXIT_DONE, or EXIT_FAILED when it ended by a crash, was given up, or could not be restarted. */
enum exit_code machine_stop(struct machine *machine);

/* machine_control.c: answers one request. */
json_t *machine_handle(void *machine, struct control_connection *connection, const json_t *request);

#endif
