// SPDX-License-Identifier: GPL-2.0
/* What the host could not do for a guest: disk full, image cut off, log not written. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "host/machine.h"

const char *machine_part_name(enum machine_part part)
{
	static const char *const names[] = {
		[MACHINE_PART_SERIAL] = "serial", [MACHINE_PART_CONSOLE_LOG] = "console.log",
		[MACHINE_PART_FIRMWARE_LOG] = "firmware.log",
	};

	return part < MANIFEST_DRIVES ? manifest_slots[part] : names[part];
}

void machine_note_error(struct machine *m, enum machine_part part, const char *file, const char *text)
{
	m->last_error = part;
	notice_add(&m->errors[part], clock_seconds(), "%s: %s%s%s%s: %s", m->manifest.name, machine_part_name(part),
		   file ? " (" : "", file ? file : "", file ? ")" : "", text);
}

/* A flush that failed is not tried again: what it was for may be gone, and the next one succeed. */
bool machine_request_failed(void *machine, const struct disk_job *job)
{
	struct machine *m = machine;
	unsigned int drive = (unsigned int)(job->disk - m->disks);
	char text[256];

	disk_describe(job, text, sizeof(text));
	machine_note_error(m, drive, m->manifest.drives[drive].file, text);
	return m->manifest.drives[drive].stop_on_error && job->op != KEEL_BLOCK_FLUSH;
}

void machine_output_failed(void *machine, enum console_file file, int error)
{
	struct machine *m = machine;

	if (file == CONSOLE_FILE_LOG)
		machine_note_error(m, MACHINE_PART_CONSOLE_LOG, NULL, strerror(error));
	else
		machine_note_error(m, MACHINE_PART_SERIAL, m->manifest.serial_path,
				   error != EFBIG ? strerror(error) :
				   "it has 1 GiB, the most that is kept; output is lost until it is made shorter");
}

void machine_tell_errors(struct machine *m)
{
	for (unsigned int i = 0; i < MACHINE_PARTS; i++)
		notice_flush(&m->errors[i], clock_seconds());
}

void machine_end_errors(struct machine *m)
{
	for (unsigned int i = 0; i < MACHINE_PARTS; i++)
		notice_end(&m->errors[i]);
}

uint64_t machine_count_errors(const struct machine *m)
{
	uint64_t count = 0;

	for (unsigned int i = 0; i < MACHINE_PARTS; i++)
		count += m->errors[i].count;
	return count;
}
