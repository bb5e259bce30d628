// SPDX-License-Identifier: GPL-2.0
/* Starts a guest, serves its device model's requests, and acts on its end. */
#include "host/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <keel/hypercall.h>
#include <keel/macros.h>

#include "common/clock.h"
#include "common/device.h"
#include "common/text.h"
#include "host/confine/sandbox.h"
#include "host/schedule.h"
#include "host/seed/seed.h"
#include "shared/pc_map.h"

#define CHUNK			BOARD_STREAM_BYTES
#define CONSOLE_LOG_LIMIT	(8u << 20)
#define FIRMWARE_LOG_LIMIT	(1u << 20)
#define INPUT_POLL_MS		20	/* the cell does not ring when it has taken input */
#define OUTPUT_POLL_MS		200	/* a slow reader's patience is looked at */
#define DATA_OWN		(128ull << 20)
#define DATA_THREAD		(16ull << 20)	/* mostly its stack */
#define REASON_MOST		(RUNDIR_RECORD_ROOM / 3)	/* of a record: in JSON it may be twice as long */
#define TAG_DRIVE_SHIFT		16	/* in a tag: the drive above, its queue's below */

static bool load_firmware(struct machine *m, struct failure *failure)
{
	const char *file = m->manifest.firmware;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	uint8_t chunk[CHUNK];
	ssize_t n;

	if (fd < 0)
		return failure_set(failure, EXIT_FAILED, "cannot open %s: %s", file, strerror(errno));
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		blob_add(&m->firmware, chunk, (size_t)n);
	close(fd);
	if (n < 0)
		return failure_set(failure, EXIT_FAILED, "cannot read %s: %s", file, strerror(errno));
	blob_align(&m->firmware, KEEL_PAGE_SIZE);
	m->memory.firmware = (uint32_t)m->firmware.bytes;
	return true;
}

/* What it is made of is not needed any more. */
static bool open_seed(struct machine *m, unsigned int drive, struct failure *failure)
{
	int fd = seed_make(&m->manifest, failure);

	manifest_free_cloud_init(&m->manifest);
	if (fd < 0 || !disk_take(&m->disks[drive], fd, failure))
		return false;
	m->manifest.drives[drive].bytes = m->disks[drive].bytes;
	return true;
}

static bool open_disks(struct machine *m, struct failure *failure)
{
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		if (m->manifest.drives[i].seed) {
			if (!open_seed(m, i, failure))
				return false;
			continue;
		}
		if (!disk_open(&m->disks[i], &m->manifest.drives[i], failure))
			return false;
		for (unsigned int j = 0; j < m->disks[i].claim.count; j++)
			rundir_note_disk(&m->rundir, m->disks[i].claim.part[j].device, m->disks[i].claim.part[j].inode);
	}
	return true;
}

/* Images may have grown since the last run. */
static bool measure_disks(struct machine *m, struct failure *failure)
{
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		struct manifest_drive *drive = &m->manifest.drives[i];

		if (!disk_measure(&m->disks[i], drive, failure))
			return false;
		if (drive->bytes != m->disks[i].bytes)
			fprintf(stderr, "%s: %s had %llu bytes and has %llu now\n", m->manifest.name, drive->file,
				(unsigned long long)drive->bytes, (unsigned long long)m->disks[i].bytes);
		drive->bytes = m->disks[i].bytes;
	}
	return true;
}

static size_t input_room(void *machine)
{
	struct machine *m = machine;

	/* Without a running guest nobody reads: what is typed is lost, as on a machine that is off. */
	return m->state == MACHINE_RUNNING ? board_input_room(&m->board) : CHUNK;
}

static void put_input(void *machine, const uint8_t *bytes, size_t count)
{
	struct machine *m = machine;

	if (m->state != MACHINE_RUNNING)
		return;
	board_put_input(&m->board, bytes, count);
	m->event_needed = true;
}

/* By whatever name; output would chase its own tail in a log. */
static bool is_a_log(const struct machine *m, int fd)
{
	const int logs[] = { STDERR_FILENO, m->console.log.fd, m->firmware_log.fd };
	struct stat file, log;

	for (size_t i = 0; i < ARRAY_SIZE(logs); i++)
		if (!fstat(fd, &file) && !fstat(logs[i], &log) && S_ISREG(file.st_mode) && file.st_dev == log.st_dev &&
		    file.st_ino == log.st_ino)
			return true;
	return false;
}

static bool open_serial_file(struct machine *m, struct failure *failure)
{
	const char *path = m->manifest.serial_path;

	if (!console_open_file(&m->console, path, failure) || !claim_is_apart(m->console.file, path, failure))
		return false;
	if (is_a_log(m, m->console.file))
		return failure_set(failure, EXIT_FAILED,
				   "%s is a log of this guest, and cannot be the file of its serial port", path);
	return true;
}

static bool open_console(struct machine *m, struct failure *failure)
{
	const struct manifest *manifest = &m->manifest;
	char path[PATH_MAX];

	console_init(&m->console, &m->loop);
	m->console.room = input_room;
	m->console.put = put_input;
	m->console.failed = machine_output_failed;
	m->console.owner = m;
	rundir_path(path, sizeof(path), manifest->name, "console.log");
	if (manifest->serial_log && !logfile_open(&m->console.log, path, CONSOLE_LOG_LIMIT))
		return failure_set(failure, EXIT_FAILED, "cannot create %s: %s", path, strerror(errno));
	rundir_path(path, sizeof(path), manifest->name, "firmware.log");
	if (!logfile_open(&m->firmware_log, path, FIRMWARE_LOG_LIMIT))
		return failure_set(failure, EXIT_FAILED, "cannot create %s: %s", path, strerror(errno));
	switch (manifest->serial) {
	case MANIFEST_SERIAL_SOCKET:
		return console_open_socket(&m->console, manifest->serial_path, failure) &&
		       keeper_note_socket(&m->keeper, failure);
	case MANIFEST_SERIAL_FILE:
		return open_serial_file(m, failure);
	case MANIFEST_SERIAL_PTY:
		break;
	}
	rundir_path(path, sizeof(path), manifest->name, "console");
	return console_open_pty(&m->console, path, failure);
}

static void request_done(void *machine, uint32_t tag, int status)
{
	struct machine *m = machine;

	block_queue_done(&m->queues[tag >> TAG_DRIVE_SHIFT], (uint16_t)tag, status);
	m->event_needed = true;
}

/* By its edge: there is nothing to take away, and the loop's next round sees to all that may have come. */
static void on_doorbell(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
}

static void on_ended(struct loop_source *source, uint32_t events)
{
	struct machine *m = container_of(source, struct machine, ended);
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) > 0)
		m->run_over = true;
}

static void on_signal(struct loop_source *source, uint32_t events)
{
	struct machine *m = container_of(source, struct machine, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info) || info.ssi_signo == SIGHUP)
		return;
	if (m->state == MACHINE_RUNNING)
		machine_leave(m, &info);
	else
		machine_abandon(m);
}

static bool watch_signals(struct machine *m, struct failure *failure)
{
	sigset_t all;

	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGTERM);
	sigaddset(&all, SIGINT);
	sigaddset(&all, SIGHUP);
	m->signals = (struct loop_source){
		.fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), .events = EPOLLIN, .ready = on_signal,
	};
	if (m->signals.fd < 0 || !loop_add(&m->loop, &m->signals))
		return failure_set(failure, EXIT_FAILED, "cannot watch signals: %s", strerror(errno));
	return true;
}

static void stop_watching_vm(struct machine *m)
{
	loop_remove(&m->loop, &m->doorbell);
	loop_remove(&m->loop, &m->ended);
}

static bool create_vm(struct machine *m, struct failure *failure)
{
	if (!measure_disks(m, failure))
		return false;
	devices_describe(&m->devices, &m->manifest);
	channel_plan(&m->layout, &m->manifest, &m->devices, &m->firmware, &m->items);
	return vm_create(&m->vm, m->manifest.vcpus, m->manifest.topology, m->layout.bytes, &m->memory, failure);
}

static void open_channel(struct machine *m)
{
	board_init(&m->board, m->vm.channel, m->layout.device, m->layout.devices, m->layout.queue);
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		const struct keel_queue *queue = channel_drive_queue(&m->layout, i);

		if (!queue)
			continue;
		block_queue_init(&m->queues[i], m->vm.channel, queue);
		board_watch(&m->board, &m->queues[i].vq);
	}
	devices_start(&m->devices, m->vm.channel, m->layout.queue, &m->board);
}

/* On failure nothing is left of the VM. */
static bool start_vm(struct machine *m, struct failure *failure)
{
	channel_fill(m->vm.channel, &m->layout, &m->manifest, &m->memory, &m->firmware, &m->items, m->info.tsc_khz);
	open_channel(m);
	m->doorbell = (struct loop_source){ .fd = m->vm.doorbell, .events = EPOLLIN | EPOLLET, .ready = on_doorbell };
	m->ended = (struct loop_source){ .fd = m->vm.ended, .events = EPOLLIN, .ready = on_ended };
	if (!loop_add(&m->loop, &m->doorbell) || !loop_add(&m->loop, &m->ended))
		failure_set(failure, EXIT_FAILED, "cannot watch the VM: %s", strerror(errno));
	else if (vm_start(&m->vm, failure)) {
		m->state = MACHINE_RUNNING;
		m->started = clock_seconds();
		m->started_at = time(NULL);
		m->measured_until_ms = 0;
		m->run_over = false;
		m->wish = ENDING_WISH_NONE;
		m->button.taken = 0;
		memset(m->ejected, 0, sizeof(m->ejected));
		return true;
	}
	stop_watching_vm(m);
	vm_destroy(&m->vm);
	return false;
}

/* Who starts a guest hears it from its first character on, and how it ends. */
static bool join_starter(struct machine *m, struct failure *failure)
{
	if (m->starter_console >= 0 && !console_attach(&m->console, m->starter_console, false))
		return failure_set(failure, EXIT_FAILED, "cannot join the console");
	if (m->starter_events >= 0 && !control_adopt(&m->control, m->starter_events))
		return failure_set(failure, EXIT_FAILED, "cannot watch whoever starts the guest");
	return true;
}

static bool has_cdrom(const struct machine *m)
{
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		if (m->disks[i].removable)
			return true;
	return false;
}

static bool start_engine(struct machine *m, struct disk_engine *engine, struct failure *failure)
{
	return disk_engine_init(engine, &m->loop, failure) && disk_engine_start(engine, m->disks, MANIFEST_DRIVES, failure);
}

static bool open_all(struct machine *m, struct failure *failure)
{
	char path[PATH_MAX];

	m->control.handle = machine_handle;
	m->control.gone = machine_waiter_gone;
	m->control.owner = m;
	m->engine.done = request_done;
	m->engine.failed = machine_request_failed;
	m->engine.owner = m;
	m->media.media = true;
	m->media.done = request_done;
	m->media.failed = machine_request_failed;
	m->media.owner = m;
	rundir_path(path, sizeof(path), m->manifest.name, "control");
	return rundir_note_pid(&m->rundir, getpid(), failure) && watch_signals(m, failure) && load_firmware(m, failure) &&
	       open_disks(m, failure) && machine_open_limits(m, failure) && start_engine(m, &m->engine, failure) &&
	       (!has_cdrom(m) || start_engine(m, &m->media, failure)) && devices_open(&m->devices, &m->manifest, failure) &&
	       devices_watch(&m->devices, &m->loop, failure) &&
	       open_console(m, failure) && control_open(&m->control, &m->loop, path, failure) && join_starter(m, failure);
}

static void close_all(struct machine *m)
{
	if (m->engine.loop)
		disk_engine_close(&m->engine);
	if (m->media.loop)
		disk_engine_close(&m->media);
	machine_drop_change(m);
	devices_close(&m->devices);
	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		disk_close(&m->disks[i]);
	if (m->console.loop)
		console_close(&m->console);
	if (m->control.loop)
		control_stop_listening(&m->control);
	logfile_close(&m->firmware_log);
}

/*
 * The disk around a partition, the file under a loop device: open for their locks alone, and more than the guest's. Of what can
 * change the image's own goes with them, so that the keeper knows all that there is to let go of.
 */
static bool hand_claim_over(struct machine *m, unsigned int drive, struct failure *failure)
{
	struct claim *claim = &m->disks[drive].claim;

	if (claim->count && m->disks[drive].removable && !keeper_hold(&m->keeper, drive, claim->part[0].fd, failure))
		return false;
	while (claim->count > 1) {
		int fd = claim->part[--claim->count].fd;
		bool held = keeper_hold(&m->keeper, drive, fd, failure);

		close(fd);
		if (!held)
			return false;
	}
	return true;
}

/* Nothing is opened from here on. */
static bool confine(struct machine *m, struct failure *failure)
{
	struct sandbox sandbox = {
		.folder = m->rundir.path, .user = m->user, .keeper = m->keeper.pid, .threads = m->manifest.vcpus,
		.data = DATA_OWN + m->manifest.vcpus * DATA_THREAD,
		.logs = { m->console.log.fd, m->console.log.old, m->firmware_log.fd, m->firmware_log.old },
		.link = m->keeper.link, .media = m->media.loop ? m->media.ring.ring_fd : -1,
	};

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		if (m->disks[i].fd >= 0 && !m->disks[i].readonly)
			sandbox.image[sandbox.images++] = m->disks[i].fd;
		if (m->disks[i].overlay >= 0)
			sandbox.data += m->disks[i].bytes / (8 * DISK_BLOCK);
		if (!hand_claim_over(m, i, failure))
			return false;
	}
	if (!keeper_note_opened(&m->keeper, failure))
		return false;
	rundir_leave(&m->rundir);
	sandbox.space = sandbox_space();
	return sandbox_enter(&sandbox, failure);
}

/* What keel list --all tells. */
static void note_state(const struct machine *m, const char *state, const char *reason)
{
	char stamp[32] = "", fit[REASON_MOST];
	time_t now = time(NULL);
	struct tm tm;
	json_t *record;

	text_fit(fit, sizeof(fit), reason);
	if (gmtime_r(&now, &tm))
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	record = json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", m->manifest.name, "state", state, "since", stamp,
			   "reason", fit, "crashed", m->failed ? 1 : 0);
	if (!rundir_note_state(&m->rundir, record))
		fprintf(stderr, "%s: cannot note that it is %s\n", m->manifest.name, state);
	json_decref(record);
}

bool machine_start(struct machine *m, struct failure *failure)
{
	uint64_t memory = m->manifest.memory;

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		m->disks[i].fd = m->disks[i].overlay = -1;
	m->change.fd = -1;
	m->firmware_log.fd = -1;
	m->memory.low = memory < PC_LOW_MEMORY_MOST ? memory : PC_LOW_MEMORY_MOST;
	m->memory.high = memory - m->memory.low;
	m->firmware_log.old = -1;
	m->vm.meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (!device_open(&m->vm.device, &m->info, failure))
		return false;
	if (m->manifest.require_dma_protection && !(m->info.dma & KEEL_DMA_PROTECTED))
		return failure_set(failure, EXIT_FAILED,
				   "this host has no DMA protection, which the manifest requires: "
				   "switch on VT-d or AMD-Vi in the firmware setup, or take \"require_dma_protection\" out; "
				   "keel dmesg says what is missing");
	if (!loop_init(&m->loop))
		return failure_set(failure, EXIT_FAILED, "cannot make an epoll: %s", strerror(errno));
	if (open_all(m, failure)) {
		items_build(&m->items, &m->manifest, &m->devices, m->memory.low, m->memory.high);
		if (create_vm(m, failure) && schedule_set(&m->manifest, failure)) {
			if (confine(m, failure) && start_vm(m, failure))
				return true;
			m->failed = true;
			note_state(m, "ended", failure->text);
		}
		vm_destroy(&m->vm);
	}
	close_all(m);
	if (m->control.loop)
		control_close(&m->control);
	return false;
}

static void take_requests_of(struct machine *m, unsigned int drive, uint64_t now_ns, uint64_t *wait_ns)
{
	struct block_queue *queue = &m->queues[drive];
	uint16_t answered = queue->vq.used_index;
	struct disk_request request;

	for (unsigned int i = 0; i < queue->vq.entries &&
			     block_queue_next_within(queue, &m->throttles[drive], now_ns, &request, wait_ns); i++) {
		request.tag |= drive << TAG_DRIVE_SHIFT;
		disk_submit(m->disks[drive].removable ? &m->media : &m->engine, &m->disks[drive], &request);
	}
	m->event_needed |= queue->vq.used_index != answered;
}

/*
 * Of each queue what there may be at once, and no more: a cell that has always something new must not keep this process from
 * its other events.
 */
static void take_requests(struct machine *m)
{
	uint64_t now_ns = clock_ns(), wait_ns = UINT64_MAX;

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++)
		if (channel_drive_queue(&m->layout, i))
			take_requests_of(m, i, now_ns, &wait_ns);
	disk_start(&m->engine);
	disk_start(&m->media);
	machine_set_pace(m, wait_ns == UINT64_MAX ? 0 : now_ns + wait_ns);
}

static void keep_debug(struct machine *m, const uint8_t *bytes, size_t count)
{
	int error = logfile_write(&m->firmware_log, bytes, count);

	if (error)
		machine_note_error(m, MACHINE_PART_FIRMWARE_LOG, NULL, strerror(error));
}

/* wants: how much of the serial port's output, CHUNK at most. */
static void take_characters(struct machine *m, size_t wants)
{
	uint8_t bytes[CHUNK];
	size_t n = board_take_output(&m->board, bytes, wants);

	if (n)
		console_write(&m->console, bytes, n);
	n = board_take_debug(&m->board, bytes, sizeof(bytes));
	if (n)
		keep_debug(m, bytes, n);
	console_resume(&m->console);
}

static void serve(struct machine *m)
{
	take_requests(m);
	m->event_needed |= devices_serve(&m->devices);
	take_characters(m, console_wants(&m->console));
	board_serve(&m->board);
	m->event_needed |= board_event_wanted(&m->board);
	if (m->event_needed)
		vm_event(&m->vm);
	m->event_needed = false;
}

static enum manifest_action next_action(struct machine *m)
{
	bool given_up;
	enum manifest_action action = ending_next(&m->status, m->wish, &m->manifest, (uint64_t)(clock_seconds() - m->started),
						  &m->short_failures, &given_up);

	if (given_up)
		fprintf(stderr, "%s: it failed %u times right after its start and is not restarted\n", m->manifest.name,
			m->short_failures);
	m->failed = given_up || ending_is_crash(&m->status);
	return action;
}

static json_t *end_answer(struct machine *m, const char *event)
{
	char reason[256];

	ending_describe(&m->status, reason, sizeof(reason));
	if (!strcmp(event, "restarted")) {
		notice_add(&m->restart_notice, clock_seconds(), "%s: %s: %s", m->manifest.name, event, reason);
	} else {
		notice_end(&m->restart_notice);
		fprintf(stderr, "%s: %s: %s\n", m->manifest.name, event, reason);
	}
	return json_pack("{s:b, s:s, s:s, s:s, s:b}", "ok", 1, "name", m->manifest.name, "event", event,
			 "reason", reason, "crashed", ending_is_crash(&m->status) ? 1 : 0);
}

static json_t *refusal(const struct machine *m, const char *what, const char *event)
{
	char reason[256];

	ending_describe(&m->status, reason, sizeof(reason));
	return json_pack("{s:b, s:o}", "ok", 0, "error", json_sprintf("the guest did not %s: %s (%s)", what, event, reason));
}

/* Those who waited for an end of this kind get the refusal, which may be NULL, the rest the answer. */
static void answer_waiting(struct machine *m, enum ending_wish refused, json_t *no, json_t *answer)
{
	if (no)
		control_answer_waiting(&m->control, 1u << refused, no);
	control_answer_waiting(&m->control, UINT32_MAX, answer);
}

static void restart(struct machine *m)
{
	struct failure failure;
	json_t *answer = end_answer(m, "restarted");

	/* Nobody is answered while memory is scrubbed and taken. */
	note_state(m, "restarting", json_string_value(json_object_get(answer, "reason")));
	vm_destroy(&m->vm);
	m->restarts++;
	if (create_vm(m, &failure) && start_vm(m, &failure)) {
		note_state(m, "running", "");
		answer_waiting(m, ENDING_WISH_SHUTDOWN, refusal(m, "switch itself off", "restarted"), answer);
		return;
	}
	fprintf(stderr, "%s: cannot restart: %s\n", m->manifest.name, failure.text);
	json_decref(answer);
	m->last_answer = json_pack("{s:b, s:s}", "ok", 0, "error", failure.text);
	m->failed = true;
	m->quit = true;
	note_state(m, "ended", failure.text);
}

static void end_run(struct machine *m)
{
	if (m->state == MACHINE_RUNNING) {
		stop_watching_vm(m);
		vm_stop(&m->vm, &m->status);
		disk_drain(&m->engine);
		if (m->media.loop)
			disk_drain(&m->media);
		/* All that the guest has put out; a reader who does not read has had his time. */
		take_characters(m, CHUNK);
		machine_keep_media(m);
		machine_keep_disks(m);
		m->state = MACHINE_STOPPED;
	}
	m->run_over = m->unpausing = false;
	switch (next_action(m)) {
	case MANIFEST_RESTART:
		restart(m);
		return;
	case MANIFEST_PRESERVE:
		m->state = MACHINE_PRESERVED;
		m->wish = ENDING_WISH_NONE;
		answer_waiting(m, ENDING_WISH_REBOOT, refusal(m, "start again", "preserved"), end_answer(m, "preserved"));
		return;
	case MANIFEST_DESTROY:
		m->quit = true;
		m->last_answer = end_answer(m, "ended");
		note_state(m, "ended", json_string_value(json_object_get(m->last_answer, "reason")));
		m->last_refusal = refusal(m, "start again", "ended");
		return;
	}
}

void machine_abandon(struct machine *m)
{
	m->wish = ENDING_WISH_DESTROY;
	m->run_over = true;
}

/* Those who asked for it are told how the requests that were held went. */
static void answer_unpause(struct machine *m)
{
	if (!m->unpausing || m->engine.retried)
		return;
	m->unpausing = false;
	control_answer_waiting(&m->control, 1u << MACHINE_AWAITS_DISKS, m->engine.held ?
			       json_pack("{s:b, s:o}", "ok", 0, "error", json_sprintf("it failed again: %s",
										      m->errors[m->last_error].text)) :
			       json_pack("{s:b}", "ok", 1));
}

/* What is due by the clock. */
static void keep_time(struct machine *m)
{
	machine_tell_errors(m);
	notice_flush(&m->restart_notice, clock_seconds());
	machine_keep_power(m);
	machine_keep_statistics(m);
}

/* Of two times, -1 being never. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* How long nothing is due by the clock; -1: for ever. */
static int patience(struct machine *m, bool output_wanted)
{
	int poll = -1;

	if (m->console.input_blocked)
		poll = INPUT_POLL_MS;
	else if (m->state == MACHINE_RUNNING && !output_wanted)
		poll = OUTPUT_POLL_MS;
	return sooner(sooner(poll, machine_power_due(m)), machine_statistics_due(m));
}

void machine_run(struct machine *m)
{
	note_state(m, "running", "");
	while (!m->quit) {
		bool running = m->state == MACHINE_RUNNING;
		bool output_wanted = running && console_wants(&m->console);
		bool busy;

		keep_time(m);
		machine_keep_media(m);
		machine_keep_disks(m);
		if (running)
			serve(m);
		answer_unpause(m);
		if (m->run_over) {
			end_run(m);
			continue;
		}
		/* The cell's answer to an event may be more requests, of which it does not ring while this end is awake. */
		busy = running && !board_sleep(&m->board, output_wanted);
		loop_step(&m->loop, busy ? 0 : patience(m, output_wanted));
		if (running)
			board_awake(&m->board);
	}
}

enum exit_code machine_stop(struct machine *m)
{
	/*
	 * Memory takes its time to be scrubbed: who asks meanwhile finds a guest that is about to end,
	 * not one that does not answer.
	 */
	if (m->control.loop)
		control_stop_listening(&m->control);
	vm_destroy(&m->vm);
	close_all(m);
	/* Who is told of the end may unload the driver at once, or start a guest of this name. */
	close(m->vm.device);
	keeper_release(&m->keeper);
	if (m->last_answer)
		answer_waiting(m, ENDING_WISH_REBOOT, m->last_refusal, m->last_answer);
	control_close(&m->control);
	machine_end_errors(m);
	items_free(&m->items);
	blob_free(&m->firmware);
	close(m->signals.fd);
	close(m->loop.epoll);
	return m->failed ? EXIT_FAILED : EXIT_DONE;
}
