// SPDX-License-Identifier: GPL-2.0
/* What is wrong with a saved machine, in words. */
#include "machine/save.h"

static const char *const texts[] = {
	[MACHINE_ENDED] = "the guest has switched off or reset its machine",
	[MACHINE_BUSY] = "a device waits for its requests",
	[MACHINE_NO_ROOM] = "the machine is too large",
	[MACHINE_NO_STREAM] = "this is no saved machine, or one of a later version",
	[MACHINE_OTHER_REVISION] = ("a saved machine of another revision, where only \"" MACHINE_REVISION "\" is known"),
	[MACHINE_UNKNOWN_SECTION] = "there is no such device here",
	[MACHINE_SECTION_TWICE] = "a device that is there twice",
	[MACHINE_SECTION_MISSING] = "a device is missing",
	[MACHINE_SECTION_BROKEN] = "cut short, too long, or of a later version",
	[MACHINE_WRONG_VALUE] = "a value that no machine has",
	[MACHINE_OTHER_RECORD] = "missing, or not in its turn",
	[MACHINE_HAS_RUN] = "this machine has run already",
	[MACHINE_OTHER_MACHINE] = "not as in the machine that was saved",
};

/* Room for one more than what it holds, which is the 0. */
struct text {
	char *at;
	size_t room;
};

static void put(struct text *t, const char *s)
{
	for (; *s && t->room > 1; s++, t->room--)
		*t->at++ = *s;
}

static void put_number(struct text *t, unsigned int number)
{
	char digits[11] = { 0 };
	unsigned int at = sizeof(digits) - 1;

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	put(t, digits + at);
}

static void put_name(struct text *t, const char *separator, const char *name, unsigned int instance)
{
	put(t, separator);
	put(t, name);
	put(t, " ");
	put_number(t, instance);
}

void machine_error_text(const struct machine_error *error, char *text, size_t room)
{
	struct text t = { text, room };

	if (error->section[0])
		put_name(&t, "", error->section, error->instance);
	if (error->part)
		put_name(&t, ", ", error->part, error->part_instance);
	if (error->field) {
		put(&t, ", ");
		put(&t, error->field);
	}
	if (t.at != text)
		put(&t, ": ");
	put(&t, texts[error->why]);
	*t.at = 0;
}
