// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of a guest's control socket: clients that connect, send any bytes in any pieces, read or not, and leave, over a
 * machine that is a stand-in.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz.h"
#include "host/machine.h"

#define CLIENTS			80u	/* more than are let in */
#define CONNECTIONS_MOST	64u
#define STEPS_MOST		100000u
#define HEAR_STEPS		32u
#define ANSWER_MOST		8192u
#define FLOOD_LINES		1500u
#define INPUT_BYTES		600u

struct client {
	int fd;			/* -1: there is none */
	const struct control_connection *other;	/* its other end; NULL: it was not let in, or has become the console's */
	bool console;
	bool deaf;		/* does not read */
	bool may_close;		/* it did what its connection may be closed for */
	unsigned int lines, answers;
	size_t unended;		/* bytes sent behind its last line */
	char answer[ANSWER_MOST];
	size_t used;
};

static char folder[] = "/tmp/keel-fuzz-control-XXXXXX";
static char path[128];
static struct machine *m;
static struct client clients[CLIENTS];

/* machine.c, disk.c and machine_errors.c, as far as commands go. */
void machine_press_button(struct machine *machine)
{
	rings_command(&machine->rings, KEEL_COMMAND_POWER_BUTTON);
}

void machine_abandon(struct machine *machine)
{
	machine->wish = ENDING_WISH_DESTROY;
	machine->run_over = true;
}

void disk_retry(struct disk_engine *engine)
{
	engine->retried += engine->held;
	engine->held = 0;
}

const char *machine_part_name(enum machine_part part)
{
	return part < KEEL_DRIVES ? "a drive" : "a log";
}

uint64_t machine_count_errors(const struct machine *machine)
{
	return machine->errors[0].count;
}

static size_t input_room(void *owner)
{
	(void)owner;
	return 16;
}

static void put_input(void *owner, const uint8_t *bytes, size_t count)
{
	(void)owner;
	(void)bytes;
	require(count <= 16, "more input than there is room for");
}

static void output_failed(void *owner, enum console_file file, int error)
{
	(void)owner;
	(void)file;
	(void)error;
}

static bool is_connected(const struct control_connection *connection)
{
	const struct control_connection *c = m->control.connections;

	while (c && c != connection)
		c = c->next;
	return c != NULL;
}

static struct client *client_of(const struct control_connection *connection)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (clients[i].other == connection)
			return &clients[i];
	return NULL;
}

static json_t *handle(void *owner, struct control_connection *connection, const json_t *request)
{
	struct client *client = client_of(connection);
	json_t *answer;

	require(json_is_object(request), "a request that is no object");
	require(!connection->waiting, "a request of somebody who waits");
	answer = machine_handle(owner, connection, request);
	/* Who has left is a client no more, but what it said is done. */
	if (client && !is_connected(connection)) {
		client->console = true;
		client->other = NULL;
	}
	return answer;
}

static void check_answer(struct client *client, const char *text, size_t length)
{
	json_t *answer = json_loadb(text, length, 0, NULL), *ok = json_object_get(answer, "ok");

	require(json_is_boolean(ok), "an answer that is none");
	require(json_is_true(ok) || json_string_length(json_object_get(answer, "error")), "a refusal without a reason");
	json_decref(answer);
	require(++client->answers <= client->lines, "more answers than lines");
}

static void leave(struct client *client)
{
	close(client->fd);
	*client = (struct client){ .fd = -1 };
}

/* Takes what has come; true: something has. */
static bool hear(struct client *client)
{
	ssize_t n;
	char *end;

	if (client->fd < 0 || client->deaf)
		return false;
	n = recv(client->fd, client->answer + client->used, sizeof(client->answer) - client->used, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		require(client->may_close || !client->other || client->console, "a connection was closed without need");
		leave(client);
		return true;
	}
	client->used += (size_t)n;
	/* Output of the guest, from somewhere on. */
	if (client->console)
		client->used = 0;
	while ((end = memchr(client->answer, '\n', client->used))) {
		check_answer(client, client->answer, (size_t)(end - client->answer));
		client->used -= (size_t)(end + 1 - client->answer);
		memmove(client->answer, end + 1, client->used);
	}
	require(client->used < sizeof(client->answer), "an answer without an end");
	return true;
}

/* A wish has somebody who waits for it, and so has what was tried again. */
static void check_machine(void)
{
	unsigned int count = 0;

	for (const struct control_connection *c = m->control.connections; c; c = c->next)
		count++;
	require(count <= CONNECTIONS_MOST, "more connections than are let in");
	require(m->run_over || m->wish == ENDING_WISH_NONE || control_is_awaited(&m->control, m->wish), "a wish of nobody");
}

static bool hear_all(void)
{
	bool heard = false;

	for (unsigned int i = 0; i < CLIENTS; i++)
		heard |= hear(&clients[i]);
	return heard;
}

/* Until nothing happens any more. Who listens does so before a socket is full of answers. */
static void settle(void)
{
	struct pollfd ready = { .fd = m->loop.epoll, .events = POLLIN };
	unsigned int steps = 0;

	do {
		for (; poll(&ready, 1, 0) > 0; steps++) {
			require(steps < STEPS_MOST, "it does not come to rest");
			loop_step(&m->loop, 0);
			check_machine();
			if (steps % HEAR_STEPS == 0)
				hear_all();
		}
	} while (hear_all());
}

static void enter(struct client *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct control_connection *newest;

	if (client->fd >= 0)
		return;
	settle();
	newest = m->control.connections;
	*client = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	strcpy(address.sun_path, path);
	require(client->fd >= 0 && !connect(client->fd, (const struct sockaddr *)&address, sizeof(address)), "no connection");
	while (poll(&(struct pollfd){ .fd = m->control.listener.fd, .events = POLLIN }, 1, 0) > 0)
		loop_step(&m->loop, 0);
	client->other = m->control.connections != newest ? m->control.connections : NULL;
	/* Who is not let in may be told so. */
	client->lines = client->other ? 0 : 1;
	settle();
}

static void count_lines(struct client *client, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size && !client->console; i++) {
		client->unended = data[i] == '\n' ? 0 : client->unended + 1;
		client->lines += data[i] == '\n';
		client->may_close |= client->unended >= CONTROL_LINE;
	}
}

static void say(struct client *client, const void *data, size_t size)
{
	ssize_t n;

	if (client->fd < 0)
		return;
	n = send(client->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		count_lines(client, data, (size_t)n);
}

static void flood(struct client *client, const char *text, size_t length)
{
	client->deaf = client->may_close = true;
	for (unsigned int i = 0; i < FLOOD_LINES; i++)
		say(client, text, length);
}

/* What the end of a run does to those who wait: machine.c's end_run. */
static void end_run(bool preserved)
{
	m->run_over = m->unpausing = false;
	m->engine.held = m->engine.retried = 0;
	m->leave_by_ms = 0;
	m->wish = ENDING_WISH_NONE;
	m->state = preserved ? MACHINE_PRESERVED : MACHINE_RUNNING;
	m->status.end = KEEL_END_RESET;
	control_answer_waiting(&m->control, 1u << ENDING_WISH_SHUTDOWN, json_pack("{s:b, s:s}", "ok", 0, "error", "it goes on"));
	control_answer_waiting(&m->control, UINT32_MAX, json_pack("{s:b, s:s}", "ok", 1, "event", "restarted"));
}

static void fail_disk(void)
{
	m->engine.held++;
	m->errors[0].count++;
	snprintf(m->errors[0].text, sizeof(m->errors[0].text), "No space left on device");
}

static void end_retry(bool failed)
{
	if (!m->unpausing)
		return;
	m->engine.held = failed ? m->engine.retried : 0;
	m->engine.retried = 0;
	m->unpausing = false;
	control_answer_waiting(&m->control, 1u << MACHINE_AWAITS_DISKS, json_pack("{s:b, s:s}", "ok", !failed, "error", "again"));
}

static const char *const commands[] = {
	"{\"command\":\"status\"}\n", "{\"command\":\"wait\"}\n", "{\"command\":\"shutdown\"}\n",
	"{\"command\":\"reboot\"}\n",
	"{\"command\":\"reboot\",\"force\":true}\n", "{\"command\":\"unpause\"}\n", "{\"command\":\"nmi\"}\n",
	"{\"command\":\"destroy\"}\n",
	"{\"command\":\"console\"}\n", "{\"command\":\"console\",\"replay\":true}\n", "{}\n", "[]\n", "\n",
	"{\"command\":17}\n",
	"{\"command\":\"status\"\n", "{\"command\":\"sta\\u0074us\", \"command\":null}\n", "\xff\n",
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void say_command(struct client *client, struct bytes *b)
{
	const char *text = commands[take8(b) % COMMANDS];
	size_t length = strlen(text), cut = take8(b);

	/* Whole mostly, else its begin or its end. */
	if (cut < length)
		say(client, text, cut);
	else if (cut - length < length)
		say(client, text + cut - length, 2 * length - cut);
	else
		say(client, text, length);
}

static void say_bytes(struct client *client, struct bytes *b)
{
	size_t count = take8(b) % 32;
	uint8_t text[32];

	for (size_t i = 0; i < count; i++)
		text[i] = take8(b);
	say(client, text, count);
}

static void say_much(struct client *client, struct bytes *b)
{
	static char text[3 * CONTROL_LINE];
	uint32_t count = take32(b) % sizeof(text);

	memset(text, take8(b), sizeof(text));
	if (take8(b) % 2)
		text[count] = '\n';
	say(client, text, count + 1);
}

static void act_client(struct client *client, struct bytes *b)
{
	switch (take8(b) % 16) {
	case 0:
	case 1:
		enter(client);
		break;
	case 2:
		if (client->fd >= 0)
			leave(client);
		break;
	case 3:
		say_bytes(client, b);
		break;
	case 4:
		say_much(client, b);
		break;
	case 5:
		if (take8(b) % 16 == 0 && client->fd >= 0)
			flood(client, commands[0], strlen(commands[0]));
		break;
	case 6:
		client->deaf = take8(b) % 2;
		break;
	case 7:
		client->may_close = true;
		if (client->fd >= 0)
			shutdown(client->fd, take8(b) % 3);
		break;
	case 8:
		for (unsigned int i = take8(b) % 8; i; i--)
			say_command(client, b);
		break;
	default:
		say_command(client, b);
		break;
	}
}

static void act_machine(struct bytes *b)
{
	static uint8_t output[64] = "output\n{\"ok\":1}\n";

	switch (take8(b) % 8) {
	case 0:
		end_run(take8(b) % 2);
		break;
	case 1:
		fail_disk();
		break;
	case 2:
		end_retry(take8(b) % 2);
		break;
	case 3:
		m->leave_by_ms = take8(b) % 2;
		m->wish = m->leave_by_ms ? ENDING_WISH_DESTROY : m->wish;
		m->run_over |= m->leave_by_ms != 0;
		break;
	case 4:
		for (unsigned int i = take8(b) * 16u; i; i--)
			console_write(&m->console, output, sizeof(output));
		break;
	case 5:
		for (unsigned int i = 0; i < CLIENTS; i++)
			enter(&clients[i]);
		break;
	default:
		break;
	}
}

static void act(struct bytes *b)
{
	uint8_t who = take8(b);

	if (who >= 240)
		act_machine(b);
	else
		act_client(&clients[who % (who < 200 ? 4 : CLIENTS)], b);
	/* Else what follows is there at the same time. */
	if (take8(b) % 4)
		settle();
	check_machine();
}

static void remove_folder(void)
{
	rmdir(folder);
}

static void set_up(void)
{
	static char name[] = "fuzz", manifest[] = "/\xff.json";
	static struct keel_channel channel;
	struct failure failure;

	if (!path[0]) {
		/* As keel-dm. */
		signal(SIGPIPE, SIG_IGN);
		require(mkdtemp(folder) != NULL, "no temporary folder");
		atexit(remove_folder);
		snprintf(path, sizeof(path), "%s/control", folder);
	}
	m = calloc(1, sizeof(*m));
	require(m && loop_init(&m->loop), "no loop");
	m->manifest.name = name;
	m->manifest.path = manifest;
	m->state = MACHINE_RUNNING;
	m->vm.fd = -1;
	rings_init(&m->rings, &channel);
	console_init(&m->console, &m->loop);
	m->console.room = input_room;
	m->console.put = put_input;
	m->console.failed = output_failed;
	m->control.handle = handle;
	m->control.gone = machine_waiter_gone;
	m->control.owner = m;
	require(control_open(&m->control, &m->loop, path, &failure), "no control socket");
	for (unsigned int i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){ .fd = -1 };
}

static bool somebody_waits(void)
{
	for (const struct control_connection *c = m->control.connections; c; c = c->next)
		if (c->waiting)
			return true;
	return false;
}

/* All who are still there get what they wait for: each line has been answered then. */
static void finish(void)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		clients[i].deaf = false;
	for (settle(); somebody_waits(); settle())
		end_run(false);
	for (unsigned int i = 0; i < CLIENTS; i++)
		require(clients[i].fd < 0 || clients[i].console || clients[i].answers == clients[i].lines,
			"a line without an answer");
}

static void tear_down(void)
{
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (clients[i].fd >= 0)
			leave(&clients[i]);
	settle();
	require(!m->control.connections && !m->console.clients, "a connection that outlives its client");
	console_close(&m->console);
	control_close(&m->control);
	close(m->loop.epoll);
	unlink(path);
	free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	set_up();
	while (b.left)
		act(&b);
	finish();
	tear_down();
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { 300, INPUT_BYTES, make_input };
