// SPDX-License-Identifier: GPL-2.0
/* Media of CD-ROM drives that change while the guest is there. Its process opens none: they come over the control socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/text.h"
#include "host/machine.h"

static json_t *refuse(const struct failure *failure)
{
	return json_pack("{s:b, s:i, s:s}", "ok", 0, "code", (int)failure->code, "error", failure->text);
}

/* The guest's CD-ROM drive; a manifest declares one at most. */
static bool find_drive(const struct machine *m, unsigned int *drive, struct failure *failure)
{
	for (*drive = 0; *drive < KEEL_DRIVES; ++*drive)
		if (m->manifest.drives[*drive].kind == MANIFEST_DRIVE_CDROM)
			return true;
	return failure_set(failure, EXIT_FAILED,
			   "the guest has no CD-ROM drive; "
			   "\"cdrom\": {} in its manifest declares an empty one, from its next start on");
}

/* The cell reads the size again, and its guest finds another medium, or none. */
static void show_medium(struct machine *m, unsigned int drive)
{
	if (m->state != MACHINE_RUNNING)
		return;
	board_set_medium(&m->board, drive, m->disks[drive].bytes);
	vm_event(&m->vm);
}

static void set_medium(struct machine *m, unsigned int drive, int fd, uint64_t bytes, char *file)
{
	struct manifest_drive *d = &m->manifest.drives[drive];

	disk_change(&m->disks[drive], fd, bytes);
	free(d->file);
	d->file = file;
	d->bytes = bytes;
	show_medium(m, drive);
}

/* What the guest has ejected until now is the former medium. */
static void settle_ejections(struct machine *m, unsigned int drive)
{
	if (m->state == MACHINE_RUNNING)
		m->ejected[drive] = board_door(&m->board, drive).ejected;
}

/* The former medium is out at once; the drive is empty until the last read of it has ended. */
static void begin(struct machine *m, const struct media_change *change)
{
	settle_ejections(m, change->drive);
	m->change = *change;
	m->change.pending = true;
	set_medium(m, change->drive, -1, 0, NULL);
}

static bool find_idle_drive(const struct machine *m, unsigned int *drive, struct failure *failure)
{
	if (!find_drive(m, drive, failure))
		return false;
	return !m->change.pending ||
	       failure_set(failure, EXIT_IN_USE,
			   "a read of the former medium has not ended yet, "
			   "and the change that was asked for before waits for it; try again later");
}

/* As of a real drive, the button of one that is locked asks the guest. */
static bool door_opens(struct machine *m, unsigned int drive, const json_t *request, struct failure *failure)
{
	if (m->state != MACHINE_RUNNING || m->disks[drive].fd < 0 || json_is_true(json_object_get(request, "force")) ||
	    !board_door(&m->board, drive).locked)
		return true;
	board_press_eject(&m->board);
	vm_event(&m->vm);
	return failure_set(failure, EXIT_FAILED,
			   "the guest keeps the door of its CD-ROM drive locked, as systems do while a disc is mounted; "
			   "it has been asked to eject it: try again, unmount it there, or use --force");
}

/* The claim is the keeper's: what the guest needs of it is a descriptor. */
static bool take_medium(struct machine *m, int fd, const char *file, struct media_change *change, struct failure *failure)
{
	change->fd = keeper_claim(&m->keeper, change->drive, fd, file, failure);
	if (change->fd < 0)
		return false;
	change->file = strdup(file);
	if (change->file && disk_examine_medium(change->fd, file, &change->bytes, failure))
		return true;
	if (!change->file)
		failure_set(failure, EXIT_FAILED, "its process is out of memory");
	keeper_forget(&m->keeper, change->drive);
	close(change->fd);
	free(change->file);
	return false;
}

json_t *machine_insert_medium(struct machine *m, struct control_connection *connection, const json_t *request)
{
	const char *file = json_string_value(json_object_get(request, "file"));
	int fd = control_take_descriptor(connection);
	struct media_change change = { .fd = -1 };
	struct failure failure;
	bool taken;

	if (fd < 0 || !file || !file[0]) {
		failure_set(&failure, EXIT_FAILED, "expected the name of a medium, and one descriptor of it");
		taken = false;
	} else {
		taken = find_idle_drive(m, &change.drive, &failure) &&
			door_opens(m, change.drive, request, &failure) && take_medium(m, fd, file, &change, &failure);
	}
	if (fd >= 0)
		close(fd);
	if (!taken)
		return refuse(&failure);
	begin(m, &change);
	control_defer(connection, MACHINE_AWAITS_MEDIUM);
	return NULL;
}

json_t *machine_eject_medium(struct machine *m, struct control_connection *connection, const json_t *request)
{
	struct media_change change = { .fd = -1 };
	struct failure failure;

	if (!find_idle_drive(m, &change.drive, &failure))
		return refuse(&failure);
	if (m->disks[change.drive].fd < 0) {
		failure_set(&failure, EXIT_FAILED, "its CD-ROM drive is empty; keel cd-insert puts a medium into it");
		return refuse(&failure);
	}
	if (!door_opens(m, change.drive, request, &failure))
		return refuse(&failure);
	begin(m, &change);
	control_defer(connection, MACHINE_AWAITS_MEDIUM);
	return NULL;
}

/* Its own systems eject a medium when they have no use for it any more, such as one that they were installed from. */
static void take_ejections(struct machine *m)
{
	for (unsigned int i = 0; i < KEEL_DRIVES && m->state == MACHINE_RUNNING && !m->change.pending; i++) {
		uint64_t ejected = board_door(&m->board, i).ejected;

		if (m->disks[i].fd >= 0 && m->disks[i].removable && ejected != m->ejected[i])
			begin(m, &(struct media_change){ .drive = i, .fd = -1 });
	}
}

static json_t *answer(struct machine *m, const struct media_change *change)
{
	char *file = change->file ? text_utf8(change->file, strlen(change->file)) : NULL;
	json_t *answer = json_pack("{s:b, s:s?}", "ok", 1, "file", file);

	fprintf(stderr, "%s: %s: the medium is %s%s\n", m->manifest.name, manifest_slots[change->drive], file ? "now " : "out",
		file ? file : "");
	free(file);
	return answer;
}

void machine_keep_media(struct machine *m)
{
	struct media_change change;
	struct failure failure;
	json_t *told;

	take_ejections(m);
	change = m->change;
	if (!change.pending || m->media.busy)
		return;
	m->change = (struct media_change){ .fd = -1 };
	told = answer(m, &change);
	settle_ejections(m, change.drive);
	if (change.fd >= 0)
		set_medium(m, change.drive, change.fd, change.bytes, change.file);
	if (!disk_engine_restart(&m->media, m->disks, MANIFEST_DRIVES, &failure)) {
		fprintf(stderr, "%s: %s\n", m->manifest.name, failure.text);
		keeper_forget(&m->keeper, change.drive);
		set_medium(m, change.drive, -1, 0, NULL);
		json_decref(told);
		told = refuse(&failure);
	}
	keeper_change(&m->keeper, change.drive);
	control_answer_waiting(&m->control, 1u << MACHINE_AWAITS_MEDIUM, told);
}

void machine_drop_change(struct machine *m)
{
	if (m->change.fd >= 0)
		close(m->change.fd);
	free(m->change.file);
	m->change = (struct media_change){ .fd = -1 };
}

json_t *machine_describe_media(const struct machine *m)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < KEEL_DRIVES; i++) {
		const struct manifest_drive *d = &m->manifest.drives[i];
		char *file = d->file ? text_utf8(d->file, strlen(d->file)) : NULL;

		if (d->kind == MANIFEST_DRIVE_CDROM)
			json_array_append_new(list, json_pack("{s:s, s:s?}", "slot", manifest_slots[i], "file", file));
		free(file);
	}
	return list;
}
