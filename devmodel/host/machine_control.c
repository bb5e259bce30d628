// SPDX-License-Identifier: GPL-2.0
/* What a guest's control socket understands. */
#include "host/machine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define MIB_SHIFT		20

static const char *const state_names[] = {
	[MACHINE_STOPPED] = "stopped", [MACHINE_RUNNING] = "running", [MACHINE_PRESERVED] = "preserved",
};

struct command {
	const char *name;
	json_t *(*handle)(struct machine *m, struct control_connection *connection, const json_t *request);
};

static json_t *refuse(const char *text)
{
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static json_t *handle_status(struct machine *m, struct control_connection *connection, const json_t *request)
{
	struct keel_vm_status now = m->status;
	char *path = text_utf8(m->manifest.path, strlen(m->manifest.path));
	char reason[256];
	struct timespec t;
	json_t *answer;

	(void)connection;
	(void)request;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (m->state == MACHINE_RUNNING)
		ioctl(m->vm.fd, KEEL_VM_STATUS, &now);
	ending_describe(&now, reason, sizeof(reason));
	answer = json_pack("{s:b, s:s, s:i, s:s, s:s, s:I, s:i, s:I, s:i, s:s, s:{s:I, s:I, s:I}}", "ok", 1,
			 "name", m->manifest.name, "pid", (int)getpid(), "state", state_names[m->state],
			 "manifest", path, "memory_mib", (json_int_t)(m->manifest.memory >> MIB_SHIFT),
			 "vcpus", (int)m->manifest.vcpus, "uptime_s", (json_int_t)(t.tv_sec - m->started),
			 "restarts", (int)m->restarts, "reason", m->state == MACHINE_RUNNING ? "" : reason,
			 "blocks", "4k", (json_int_t)now.pages_4k, "2m", (json_int_t)now.pages_2m,
			 "1g", (json_int_t)now.pages_1g);
	free(path);
	return answer ? answer : refuse("its process is out of memory");
}

static void press_power_button(struct machine *m)
{
	rings_command(&m->rings, KEEL_COMMAND_POWER_BUTTON);
	m->event_needed = true;
}

static json_t *handle_shutdown(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)request;
	if (m->state != MACHINE_RUNNING)
		return refuse("the guest is not running; keel destroy ends it");
	m->wish = ENDING_WISH_SHUTDOWN;
	press_power_button(m);
	control_defer(connection);
	return NULL;
}

/* {"force": true} pulls the reset line; else the guest shuts down first. */
static json_t *handle_reboot(struct machine *m, struct control_connection *connection, const json_t *request)
{
	m->wish = ENDING_WISH_REBOOT;
	if (m->state != MACHINE_RUNNING || json_is_true(json_object_get(request, "force")))
		m->run_over = true;
	else
		press_power_button(m);
	control_defer(connection);
	return NULL;
}

static json_t *handle_destroy(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)request;
	machine_abandon(m);
	control_defer(connection);
	return NULL;
}

static json_t *handle_wait(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)m;
	(void)request;
	control_defer(connection);
	return NULL;
}

static json_t *handle_nmi(struct machine *m, struct control_connection *connection, const json_t *request)
{
	(void)connection;
	(void)request;
	if (m->state != MACHINE_RUNNING)
		return refuse("the guest is not running");
	rings_command(&m->rings, KEEL_COMMAND_NMI);
	m->event_needed = true;
	return json_pack("{s:b}", "ok", 1);
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
	{ "status", handle_status },
	{ "shutdown", handle_shutdown },
	{ "reboot", handle_reboot },
	{ "destroy", handle_destroy },
	{ "wait", handle_wait },
	{ "nmi", handle_nmi },
	{ "console", handle_console },
};

json_t *machine_handle(void *machine, struct control_connection *connection, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));

	for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return commands[i].handle(machine, connection, request);
	return refuse("unknown command");
}
