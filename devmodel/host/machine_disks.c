// SPDX-License-Identifier: GPL-2.0
/* The disks of a guest that is there: what they are, and other sizes for them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/text.h"
#include "host/machine.h"
#include "manifest/image_format.h"

#define NS_PER_SECOND	1000000000
#define SERIAL_ROOM	(sizeof(((struct keel_device *)0)->id) + 1)

static json_t *refuse(const struct failure *failure)
{
	return json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure->code, "error", failure->text);
}

/* What it is for is looked at in the loop's next round. */
static void on_pace(struct loop_source *source, uint32_t events)
{
	struct machine *m = container_of(source, struct machine, pace);
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) > 0)
		m->pace_due_ns = 0;
}

bool machine_open_limits(struct machine *m, struct failure *failure)
{
	bool any = false;

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		const struct manifest_disk_rate *rate = &m->manifest.drives[i].rate;

		throttle_init(&m->throttles[i], rate);
		any |= rate->bytes || rate->operations;
	}
	m->pace = (struct loop_source){ .fd = -1, .events = EPOLLIN, .ready = on_pace };
	if (!any)
		return true;
	m->pace.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return (m->pace.fd >= 0 && loop_add(&m->loop, &m->pace)) ||
	       failure_set(failure, EXIT_FAILED, "cannot make a timer: %s", strerror(errno));
}

void machine_set_pace(struct machine *m, uint64_t due_ns)
{
	struct itimerspec due = {
		.it_value = { .tv_sec = (time_t)(due_ns / NS_PER_SECOND), .tv_nsec = (long)(due_ns % NS_PER_SECOND) },
	};

	if (due_ns == m->pace_due_ns || m->pace.fd < 0)
		return;
	timerfd_settime(m->pace.fd, TFD_TIMER_ABSTIME, &due, NULL);
	m->pace_due_ns = due_ns;
}

static bool is_held(const struct machine *m, const struct disk *disk)
{
	for (unsigned int i = 0; i < DISK_JOBS && m->engine.held; i++)
		if (m->engine.jobs[i].held && m->engine.jobs[i].disk == disk)
			return true;
	return false;
}

/* As its guest has it. */
static const char *serial_of(const struct machine *m, unsigned int drive, char *text)
{
	memcpy(text, m->layout.device[m->layout.drive[drive]].id, SERIAL_ROOM - 1);
	text[SERIAL_ROOM - 1] = '\0';
	return text;
}

/* Without the limits that there are not. */
static json_t *describe_rate(const struct manifest_disk_rate *rate)
{
	json_t *object = json_object();

	if (rate->bytes) {
		json_object_set_new(object, "bytes", json_integer((json_int_t)rate->bytes));
		json_object_set_new(object, "bytes_burst", json_integer((json_int_t)rate->bytes_burst));
	}
	if (rate->operations) {
		json_object_set_new(object, "operations", json_integer(rate->operations));
		json_object_set_new(object, "operations_burst", json_integer(rate->operations_burst));
	}
	return object;
}

/* Of an image that cannot be examined any more the size is what the guest knows of it. cloud-init's is no file. */
static json_t *describe(const struct machine *m, unsigned int drive)
{
	const struct manifest_drive *d = &m->manifest.drives[drive];
	char *file = d->file ? text_utf8(d->file, strlen(d->file)) : NULL, serial[SERIAL_ROOM];
	uint64_t bytes = m->disks[drive].bytes, image = bytes;
	struct failure failure;
	json_t *disk;

	if (!disk_image_bytes(&m->disks[drive], d, &image, &failure))
		image = bytes;
	disk = json_pack("{s:s, s:s?, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s}", "id", manifest_slots[drive], "file", file,
			 "format", "raw", "bus", manifest_buses[d->bus], "bytes", (json_int_t)bytes,
			 "image_bytes", (json_int_t)image, "mode", manifest_modes[d->mode], "cache", manifest_caches[d->cache],
			 "serial", serial_of(m, drive, serial), "state", is_held(m, &m->disks[drive]) ? "io-error" : "good");
	free(file);
	if (disk && (d->rate.bytes || d->rate.operations))
		json_object_set_new(disk, "rate", describe_rate(&d->rate));
	return disk;
}

json_t *machine_list_disks(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < MANIFEST_DRIVES; i++) {
		if (m->manifest.drives[i].kind != MANIFEST_DRIVE_DISK || !json_array_append_new(list, describe(m, i)))
			continue;
		json_decref(list);
		return NULL;
	}
	return json_pack("{s:b, s:o}", "ok", 1, "disks", list);
}

static bool find_disk(const struct machine *m, const char *id, unsigned int *drive, struct failure *failure)
{
	for (*drive = 0; id && *drive < MANIFEST_DRIVES; ++*drive)
		if (m->manifest.drives[*drive].kind == MANIFEST_DRIVE_DISK && !strcmp(manifest_slots[*drive], id))
			return true;
	return failure_set(failure, EXIT_FAILED, "the guest has no such disk; keel disk-list tells which it has");
}

static bool is_block_device(const struct disk *disk)
{
	struct stat st;

	return !fstat(disk->fd, &st) && S_ISBLK(st.st_mode);
}

/* The size that is asked for, of an image that can be given one. */
static bool check_size(const struct machine *m, unsigned int drive, json_int_t asked, struct failure *failure)
{
	const struct manifest_drive *d = &m->manifest.drives[drive];

	if (d->mode != MANIFEST_RW)
		return failure_set(failure, EXIT_FAILED,
				   "%s is not written to in mode \"%s\"; without a size it takes the one that its image has",
				   manifest_slots[drive], manifest_modes[d->mode]);
	if (is_block_device(&m->disks[drive]))
		return failure_set(failure, EXIT_FAILED,
				   "%s is a block device, which has the size that this host gives it; "
				   "without a size here the disk takes that one", d->file);
	if (asked <= 0 || asked % IMAGE_SECTOR || (uint64_t)asked / IMAGE_SECTOR > IMAGE_SECTORS_MOST)
		return failure_set(failure, EXIT_FAILED, "expected whole sectors of %u bytes, at most 2^48 of them",
				   IMAGE_SECTOR);
	return true;
}

/* What becomes less is lost: that is not done by mistake, nor to a system that would not know. */
static bool may_shrink(const struct machine *m, unsigned int drive, uint64_t former, uint64_t bytes, bool shrink,
		       struct failure *failure)
{
	const struct manifest_drive *d = &m->manifest.drives[drive];

	if (bytes >= former)
		return true;
	if (!shrink)
		return failure_set(failure, EXIT_FAILED,
				   "%s has %llu bytes and would have %llu: what is behind these is lost; --shrink does it",
				   manifest_slots[drive], (unsigned long long)former, (unsigned long long)bytes);
	if (d->bus != MANIFEST_BUS_VIRTIO || d->mode == MANIFEST_SNAPSHOT)
		return failure_set(failure, EXIT_FAILED, "%s, %s, cannot become shorter while its guest is there",
				   manifest_slots[drive], d->mode == MANIFEST_SNAPSHOT ? "a snapshot" : "an IDE disk");
	if (is_held(m, &m->disks[drive]))
		return failure_set(failure, EXIT_FAILED, "%s stands still after an error; keel unpause comes first",
				   manifest_slots[drive]);
	return true;
}

/* Its guest sees another size now. One on IDE is what it was at the start, as is one whose guest does not run. */
static void show_size(struct machine *m, unsigned int drive)
{
	uint64_t bytes = m->disks[drive].bytes;

	m->manifest.drives[drive].bytes = bytes;
	if (m->state != MACHINE_RUNNING)
		return;
	board_set_capacity(&m->board, m->layout.device[m->layout.drive[drive]].slot, bytes);
	vm_event(&m->vm);
}

static json_t *answer(const struct machine *m, const struct disk_resize *resize)
{
	bool now = m->manifest.drives[resize->drive].bus == MANIFEST_BUS_VIRTIO && m->state == MACHINE_RUNNING;

	fprintf(stderr, "%s: %s: it had %llu bytes and has %llu %s\n", m->manifest.name, manifest_slots[resize->drive],
		(unsigned long long)resize->former, (unsigned long long)resize->bytes, now ? "now" : "from the next start on");
	return json_pack("{s:b, s:s, s:I, s:I, s:b}", "ok", 1, "id", manifest_slots[resize->drive], "bytes",
			 (json_int_t)resize->bytes, "former_bytes", (json_int_t)resize->former, "seen", now);
}

static bool grow(struct machine *m, const struct disk_resize *resize, struct failure *failure)
{
	const struct manifest_drive *d = &m->manifest.drives[resize->drive];
	struct disk *disk = &m->disks[resize->drive];

	if (resize->cut && !disk_set_image_bytes(disk, d, resize->bytes, failure))
		return false;
	if (d->bus != MANIFEST_BUS_VIRTIO)
		return true;
	if (!disk_measure(disk, d, failure))
		return false;
	show_size(m, resize->drive);
	return true;
}

/* Requests behind the new end fail from now on. Those under way come before: a write among them would make the image longer. */
static json_t *begin_to_shrink(struct machine *m, struct control_connection *connection, const struct disk_resize *resize)
{
	m->resize = *resize;
	m->resize.pending = true;
	m->disks[resize->drive].bytes = resize->bytes;
	show_size(m, resize->drive);
	control_defer(connection, MACHINE_AWAITS_RESIZE);
	return NULL;
}

/* What is asked for, and may be done. */
static bool plan(const struct machine *m, const json_t *request, struct disk_resize *resize, struct failure *failure)
{
	const json_t *size = json_object_get(request, "bytes");
	uint64_t image, end;

	*resize = (struct disk_resize){ .cut = json_is_integer(size) };
	if (m->resize.pending)
		return failure_set(failure, EXIT_IN_USE,
				   "another disk of the guest's is about to become shorter; try again later");
	if (!find_disk(m, json_string_value(json_object_get(request, "disk")), &resize->drive, failure) ||
	    !disk_image_bytes(&m->disks[resize->drive], &m->manifest.drives[resize->drive], &image, failure) ||
	    (resize->cut && !check_size(m, resize->drive, json_integer_value(size), failure)))
		return false;
	resize->former = m->disks[resize->drive].bytes;
	resize->bytes = resize->cut ? (uint64_t)json_integer_value(size) : image - image % IMAGE_SECTOR;
	if (!resize->bytes)
		return failure_set(failure, EXIT_FAILED, "the image of %s has become shorter than a sector",
				   manifest_slots[resize->drive]);
	/* Of an image that somebody has made longer meanwhile, that is its end. */
	end = resize->cut && image > resize->former ? image : resize->former;
	return may_shrink(m, resize->drive, end, resize->bytes, json_is_true(json_object_get(request, "shrink")), failure);
}

json_t *machine_resize_disk(struct machine *m, struct control_connection *connection, const json_t *request)
{
	struct disk_resize resize;
	struct failure failure;

	if (!plan(m, request, &resize, &failure))
		return refuse(&failure);
	if (resize.bytes < resize.former)
		return begin_to_shrink(m, connection, &resize);
	return grow(m, &resize, &failure) ? answer(m, &resize) : refuse(&failure);
}

void machine_keep_disks(struct machine *m)
{
	const struct disk_resize resize = m->resize;
	struct failure failure;
	json_t *told;

	if (!resize.pending || disk_is_used_behind(&m->engine, &m->disks[resize.drive], resize.bytes))
		return;
	m->resize.pending = false;
	if (resize.cut && !disk_set_image_bytes(&m->disks[resize.drive], &m->manifest.drives[resize.drive], resize.bytes,
						&failure))
		told = refuse(&failure);
	else
		told = answer(m, &resize);
	control_answer_waiting(&m->control, 1u << MACHINE_AWAITS_RESIZE, told);
}
