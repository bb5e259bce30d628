// SPDX-License-Identifier: GPL-2.0
/* What a guest's control socket understands. */
#include "host/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <keel/macros.h>

#include "common/text.h"

#define MIB_SHIFT		20

static const char *const state_names[] = {
	[MACHINE_STOPPED] = "stopped", [MACHINE_RUNNING] = "running", [MACHINE_PRESERVED] = "preserved",
};

static const char stands_still[] =
	"a disk of the guest stands still after an error, so its system could not shut down; "
	"keel info tells of it, keel unpause tries it once more, and keel destroy ends the guest";

const char *machine_state_name(const struct machine *m)
{
	return m->engine.held ? "io-error" : state_names[m->state];
}

struct command {
	const char *name;
	bool waits;		/* and takes up a connection meanwhile, for something else than the end of the guest */
	json_t *(*handle)(struct machine *m, struct control_connection *connection, const json_t *request);
};

static json_t *refuse(const char *text)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static json_t *last_error(const struct machine *m)
{
	const struct notice *last = &m->errors[m->last_error];

	return json_pack("{s:I, s:s, s:s}", "time", (json_int_t)last->when, "device", machine_part_name(m->last_error), "text",
			 last->text);
}

/* Why the guest does not run as it should. */
static void describe(const struct machine *m, const struct keel_vm_status *now, char *text, size_t room)
{
	if (m->engine.held)
		snprintf(text, room, "%s; keel unpause tries it once more", m->errors[m->last_error].text);
	else if (m->state == MACHINE_RUNNING)
		text[0] = '\0';
	else
		ending_describe(now, text, room);
}

static json_t *handle_status(struct machine *m, struct control_connection *connection, const json_t *request)
{
	struct keel_vm_status now = m->status;
	char *path = text_utf8(m->manifest.path, strlen(m->manifest.path));
	char reason[512];
	struct timespec t;
	json_t *answer;

	(void)connection;
	(void)request;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (m->state == MACHINE_RUNNING)
		ioctl(m->vm.fd, KEEL_VM_STATUS, &now);
	describe(m, &now, reason, sizeof(reason));
	answer = json_pack("{s:b, s:s, s:i, s:s, s:s, s:s, s:I, s:i, s:I, s:i, s:s, s:b, s:I, s:{s:I, s:I, s:I}}", "ok", 1,
			 "name", m->manifest.name, "pid", (int)getpid(), "state", machine_state_name(m),
			 "manifest", path, "machine", manifest_machines[m->manifest.machine],
			 "memory_mib", (json_int_t)(m->manifest.memory >> MIB_SHIFT),
			 "vcpus", (int)m->manifest.vcpus, "uptime_s", (json_int_t)(t.tv_sec - m->started),
			 "restarts", (int)m->restarts, "reason", reason, "crashed", m->state != MACHINE_RUNNING && m->failed,
			 "io_errors", (json_int_t)machine_count_errors(m), "blocks",
			 "4k", (json_int_t)now.pages_4k, "2m", (json_int_t)now.pages_2m,
			 "1g", (json_int_t)now.pages_1g);
	free(path);
	if (answer)
		json_object_set_new(answer, "cdroms", machine_describe_media(m));
	if (answer && machine_count_errors(m))
		json_object_set_new(answer, "last_io_error", last_error(m));
	return answer ? answer : refuse("its process is out of memory");
}

static json_t *handle_shutdown(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)request;
	if (m->state != MACHINE_RUNNING)
		return refuse("the guest is not running; keel destroy ends it");
	if (m->engine.held)
		return refuse(stands_still);
	if (!m->leave_by_ms)
		m->wish = ENDING_WISH_SHUTDOWN;
	machine_press_button(m);
	control_defer(connection, ENDING_WISH_SHUTDOWN);
	return NULL;
}

/* {"force": true} pulls the reset line; else the guest shuts down first. */
static json_t *handle_reboot(struct machine *m, struct control_connection *connection, const json_t *request)
{
	bool force = json_is_true(json_object_get(request, "force"));

	if (m->leave_by_ms)
		return refuse("the guest's process was told to end by a signal, and the guest is shutting down");
	if (m->engine.held && !force)
		return refuse(stands_still);
	m->wish = ENDING_WISH_REBOOT;
	if (m->state != MACHINE_RUNNING || force)
		m->run_over = true;
	else
		machine_press_button(m);
	control_defer(connection, ENDING_WISH_REBOOT);
	return NULL;
}

static json_t *handle_destroy(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)request;
	machine_abandon(m);
	control_defer(connection, ENDING_WISH_DESTROY);
	return NULL;
}

static json_t *handle_unpause(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)request;
	if (!m->engine.held && !m->unpausing)
		return refuse("nothing of the guest stands still");
	if (m->engine.held)
		disk_retry(&m->engine);
	m->unpausing = true;
	control_defer(connection, MACHINE_AWAITS_DISKS);
	return NULL;
}

static json_t *handle_wait(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)m;
	(void)request;
	control_defer(connection, ENDING_WISH_NONE);
	return NULL;
}

static json_t *handle_nmi(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)connection;
	(void)request;
	if (m->state != MACHINE_RUNNING)
		return refuse("the guest is not running");
	board_press(&m->board, KEEL_MESSAGE_NMI);
	m->event_needed = true;
	return json_pack("{s:b}", "ok", 1);
}

/* {"file": NAME, "force": true}, and a descriptor of it. */
static json_t *handle_cd_insert(struct machine *m, struct control_connection *connection, const json_t *request)
{
	return machine_insert_medium(m, connection, request);
}

static json_t *handle_cd_eject(struct machine *m, struct control_connection *connection, const json_t *request)
{
	return machine_eject_medium(m, connection, request);
}

static json_t *handle_network_list(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)connection;
	(void)request;
	return machine_list_networks(m);
}

/* {"network": NAME, "up": BOOLEAN} */
static json_t *handle_network_link(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)connection;
	return machine_set_link(m, request);
}

static json_t *handle_disk_list(struct machine *m, struct control_connection *connection, const json_t *request)
{
	json_t *answer = machine_list_disks(m);

	(void)connection;
	(void)request;
	return answer ? answer : refuse("its process is out of memory");
}

/* {"disk": ID, "bytes": NUMBER, "shrink": true}; without a number as many as its image has. */
static json_t *handle_disk_resize(struct machine *m, struct control_connection *connection, const json_t *request)
{
	return machine_resize_disk(m, connection, request);
}

/* The connection becomes the console; {"replay": true}: it gets what is kept and then ends. */
static json_t *handle_console(struct machine *m, struct control_connection *connection, const json_t *request)
{
	bool replay = json_is_true(json_object_get(request, "replay"));
	int fd;

	if (!console_has_room(&m->console))
		return refuse("its console has as many readers as it can have; leave one of them");
	fd = control_take(connection, json_pack("{s:b}", "ok", 1));
	if (fd >= 0)
		console_attach(&m->console, fd, replay);
	return NULL;
}

static const struct command commands[] = {
	{ "status", false, handle_status },
	{ "statistics", false, machine_describe_statistics },
	{ "shutdown", true, handle_shutdown },
	{ "reboot", true, handle_reboot },
	{ "destroy", false, handle_destroy },
	{ "unpause", true, handle_unpause },
	{ "wait", true, handle_wait },
	{ "nmi", false, handle_nmi },
	{ "console", false, handle_console },
	{ "cd-insert", true, handle_cd_insert },
	{ "cd-eject", true, handle_cd_eject },
	{ "network-list", false, handle_network_list },
	{ "network-link", false, handle_network_link },
	{ "disk-list", false, handle_disk_list },
	{ "disk-resize", true, handle_disk_resize },
};

/* What is decided is not undone: a run that is over, or one that ends because its process has to. */
void machine_waiter_gone(void *machine)
{
	static const enum ending_wish wishes[] = { ENDING_WISH_REBOOT, ENDING_WISH_SHUTDOWN };
	struct machine *m = machine;

	if (m->run_over || m->leave_by_ms || control_is_awaited(&m->control, m->wish))
		return;
	m->wish = ENDING_WISH_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(wishes) && m->wish == ENDING_WISH_NONE; i++)
		if (control_is_awaited(&m->control, wishes[i]))
			m->wish = wishes[i];
}

json_t *machine_handle(void *machine, struct control_connection *connection, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));

	for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return connection->reserved && commands[i].waits ? control_refuse_crowd() :
			       commands[i].handle(machine, connection, request);
	return refuse("unknown command");
}
