// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzz target of a guest's control socket: clients that connect, send any bytes in any pieces, with any descriptors, read or not,
 * and leave, over a machine that is a stand-in.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <keel/macros.h>

#include "fuzz.h"
#include "host/backend/net.h"
#include "host/machine.h"

#define DISK			1u
#define DISK_SLOT		16u
#define DISK_BYTES		(1u << 20)
#define CDROM			2u
#define SENT_MOST		6u	/* descriptors at once */
#define CLIENTS			80u	/* more than are let in */
#define CONNECTIONS_MOST	65u	/* with the reserved one */
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
static struct claim held, staged;	/* the keeper's */
static bool restart_fails, resize_fails;
static uint64_t disk_bytes;		/* of the disk's image */
static uint64_t told;			/* by the cell, again and again */
static char image[] = "/tmp/keel-fuzz-medium-XXXXXX";
const char *const manifest_slots[MANIFEST_DRIVES] = { "first", "second", "third", "fourth" };
const char *const manifest_machines[MANIFEST_MACHINES] = { "machine" };
const char *const manifest_buses[MANIFEST_BUSES] = { "ide", "virtio" };
const char *const manifest_caches[MANIFEST_CACHES] = { "writeback", "none" };
const char *const manifest_modes[MANIFEST_MODES] = { "rw", "ro", "snapshot" };

/* machine.c, disk.c and machine_errors.c, as far as commands go. */
void machine_press_button(struct machine *machine)
{
	board_press(&machine->board, KEEL_MESSAGE_POWER_BUTTON);
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

void disk_change(struct disk *disk, int fd, uint64_t bytes)
{
	claim_release(&disk->claim);
	disk->fd = fd;
	disk->bytes = bytes;
	require(fd < 0 || claim_add(&disk->claim, fd), "a medium that is no file");
}

bool disk_examine_medium(int fd, const char *file, uint64_t *bytes, struct failure *failure)
{
	struct stat st;

	require(fcntl(fd, F_GETFL) >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY, "a medium that can be written to");
	require(!fstat(fd, &st) && S_ISREG(st.st_mode), "a medium that is no file");
	*bytes = (uint64_t)st.st_size;
	return *bytes || failure_set(failure, EXIT_FAILED, "%s is empty", file);
}

bool disk_image_bytes(const struct disk *disk, const struct manifest_drive *drive, uint64_t *bytes, struct failure *failure)
{
	require(disk == &m->disks[DISK] && drive == &m->manifest.drives[DISK], "the size of what is no disk");
	*bytes = disk_bytes;
	return !resize_fails || failure_set(failure, EXIT_FAILED, "it is gone");
}

bool disk_set_image_bytes(const struct disk *disk, const struct manifest_drive *drive, uint64_t bytes, struct failure *failure)
{
	require(disk == &m->disks[DISK] && drive->mode == MANIFEST_RW, "a size for what is not written to");
	require(bytes && bytes % KEEL_SECTOR == 0, "a size that no disk has");
	require(!m->engine.busy || bytes >= disk_bytes, "a disk becomes shorter under a request");
	if (resize_fails)
		return failure_set(failure, EXIT_FAILED, "no room");
	disk_bytes = bytes;
	return true;
}

bool disk_measure(struct disk *disk, const struct manifest_drive *drive, struct failure *failure)
{
	if (!disk_image_bytes(disk, drive, &disk->bytes, failure))
		return false;
	disk->bytes -= disk->bytes % KEEL_SECTOR;
	return true;
}

bool disk_is_used_behind(const struct disk_engine *engine, const struct disk *disk, uint64_t bytes)
{
	require(disk == &m->disks[DISK] && bytes, "what is no disk is used");
	return engine->busy;
}

bool disk_engine_restart(struct disk_engine *engine, const struct disk *disks, unsigned int count, struct failure *failure)
{
	(void)disks;
	(void)count;
	require(!engine->busy, "a medium goes while it is read");
	return !restart_fails || failure_set(failure, EXIT_FAILED, "no memory");
}

int keeper_claim(const struct keeper *keeper, unsigned int drive, int fd, const char *file, struct failure *failure)
{
	(void)keeper;
	require(drive == CDROM, "a medium for a disk");
	claim_release(&staged);
	return claim_medium(&staged, fd, file, failure) ? fcntl(staged.part[0].fd, F_DUPFD_CLOEXEC, 0) : -1;
}

void keeper_forget(const struct keeper *keeper, unsigned int drive)
{
	(void)keeper;
	(void)drive;
	claim_release(&staged);
}

void keeper_change(const struct keeper *keeper, unsigned int drive)
{
	(void)keeper;
	(void)drive;
	claim_release(&held);
	held = staged;
	staged.count = 0;
}

/* Its cell tells anything. */
void vm_event(struct vm *vm)
{
	struct keel_statistics *area = (void *)((uint8_t *)vm->channel + m->layout.statistics);

	for (size_t i = 0; i < sizeof(*area); i += sizeof(told))
		memcpy((uint8_t *)area + i, &told, sizeof(told));
	told = told * 6364136223846793005u + 1442695040888963407u;
}

uint64_t vm_cpu_ns(const struct vm *vm, unsigned int vcpu)
{
	(void)vm;
	return vcpu;
}

const char *machine_part_name(enum machine_part part)
{
	return part < KEEL_DRIVES ? "a drive" : "a log";
}

uint64_t machine_count_errors(const struct machine *machine)
{
	return machine->errors[0].count;
}

/* Two networks, of which one is gone. */
static struct net networks[] = { { .up = true }, { .up = true, .gone = true } };
const struct backend_ops backend_net;

void *devices_state(const struct devices *devices, const struct backend_ops *ops, unsigned int number)
{
	(void)devices;
	require(ops == &backend_net && number < ARRAY_SIZE(networks), "a network that there is not");
	return &networks[number];
}

void net_set_link(struct net *net, bool up)
{
	require(!net->gone, "a link to nowhere");
	net->up = up;
}

void net_tap_name(char name[NET_NAME_ROOM], const char *guest, unsigned int number)
{
	snprintf(name, NET_NAME_ROOM, "t%u-%.4s", number, guest);
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
	require((m->disks[CDROM].fd >= 0) == (m->manifest.drives[CDROM].file != NULL),
		"a medium without a name, or a name alone");
	require(m->change.pending || (held.count > 0) == (m->disks[CDROM].fd >= 0),
		"a medium that is not claimed, or a claim alone");
	require(m->change.pending || !staged.count, "a claim for nothing");
	require(m->disks[DISK].bytes == m->manifest.drives[DISK].bytes, "a size that its guest does not see");
	require(m->disks[DISK].bytes && m->disks[DISK].bytes % KEEL_SECTOR == 0, "a size that no disk has");
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
			machine_keep_media(m);
			machine_keep_disks(m);
			machine_keep_statistics(m);
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

/* Anything that is open, a good medium mostly. */
static int open_any(uint8_t kind)
{
	int pair[2];

	switch (kind % 16) {
	case 0:
		return open(image, O_RDWR | O_CLOEXEC);
	case 1:
		return open(image, O_PATH | O_CLOEXEC);
	case 2:
		return open("/", O_RDONLY | O_CLOEXEC);
	case 3:
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	case 4:
		require(!pipe2(pair, O_CLOEXEC), "no pipe");
		break;
	case 5:
		require(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "no sockets");
		break;
	default:
		return open(image, O_RDONLY | O_CLOEXEC | (kind & 0x80 ? O_NONBLOCK : 0));
	}
	close(pair[1]);
	return pair[0];
}

static ssize_t send_with(int to, const void *data, size_t size, const int *fds, unsigned int count)
{
	char control[CMSG_SPACE(SENT_MOST * sizeof(int))] = { 0 };
	struct iovec part = { (void *)data, size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *header;

	if (count) {
		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		*header = (struct cmsghdr){
			.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(header), fds, count * sizeof(int));
	}
	return sendmsg(to, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int to_send[SENT_MOST];
static unsigned int sent_count;		/* of them, with what is said next */

static void put_away_sent(void)
{
	while (sent_count)
		close(to_send[--sent_count]);
}

static void say(struct client *client, const void *data, size_t size)
{
	ssize_t n;

	if (client->fd < 0)
		return;
	n = send_with(client->fd, data, size, to_send, sent_count);
	put_away_sent();
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
	m->media.busy = m->engine.busy = 0;
	machine_keep_media(m);
	machine_keep_disks(m);
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
	"{\"command\":17}\n", "{\"command\":\"cd-insert\",\"file\":\"a\"}\n", "{\"command\":\"cd-insert\",\"file\":\"b\"}\n",
	"{\"command\":\"cd-eject\"}\n", "{\"command\":\"cd-insert\"}\n",
	"{\"command\":\"disk-list\"}\n", "{\"command\":\"disk-resize\",\"disk\":\"second\"}\n",
	"{\"command\":\"disk-resize\",\"disk\":\"second\",\"bytes\":2097152}\n",
	"{\"command\":\"disk-resize\",\"disk\":\"second\",\"bytes\":4096,\"shrink\":true}\n",
	"{\"command\":\"disk-resize\",\"disk\":\"second\",\"bytes\":-512}\n",
	"{\"command\":\"disk-resize\",\"disk\":\"third\",\"bytes\":512}\n",
	"{\"command\":\"statistics\"}\n", "{\"command\":\"statistics\",\"measure\":true}\n",
	"{\"command\":\"status\"\n", "{\"command\":\"sta\\u0074us\", \"command\":null}\n", "\xff\n",
	"{\"command\":\"network-list\"}\n", "{\"command\":\"network-link\",\"network\":\"0\",\"up\":false}\n",
	"{\"command\":\"network-link\",\"network\":\"02:00:00:00:00:01\",\"up\":true}\n",
	"{\"command\":\"network-link\",\"network\":\"t1-f\",\"up\":true}\n", "{\"command\":\"network-link\",\"network\":7}\n",
};
#define COMMANDS ARRAY_SIZE(commands)
#define COMMANDS_INSERT		14u

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

/* One mostly. */
static void take_to_send(struct bytes *b)
{
	uint8_t count = take8(b);

	put_away_sent();
	for (count = count % 4 ? 1 : count / 4 % (SENT_MOST + 1); count; count--) {
		to_send[sent_count] = open_any(take8(b));
		require(to_send[sent_count++] >= 0, "nothing to send");
	}
}

static void act_client(struct client *client, struct bytes *b)
{
	switch (take8(b) % 20) {
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
	case 9:
	case 10:
		take_to_send(b);
		say_command(client, b);
		break;
	case 11:
		take_to_send(b);
		say(client, commands[COMMANDS_INSERT], strlen(commands[COMMANDS_INSERT]));
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
	case 6:
		m->media.busy = take8(b) % 2;
		restart_fails = take8(b) % 8 == 0;
		m->engine.busy = m->media.busy;
		resize_fails = restart_fails;
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
	unlink(image);
	rmdir(folder);
}

static void set_up(void)
{
	static char name[] = "fuzz", manifest[] = "/\xff.json";
	static struct { struct keel_channel c; struct keel_statistics s; } channel;
	struct failure failure;

	if (!path[0]) {
		/* As keel-dm. */
		signal(SIGPIPE, SIG_IGN);
		require(mkdtemp(folder) != NULL, "no temporary folder");
		atexit(remove_folder);
		snprintf(path, sizeof(path), "%s/control", folder);
		close(mkstemp(image));
		require(!truncate(image, 2048), "no medium");
		setenv("KEEL_RUN_DIR", folder, 1);
	}
	m = calloc(1, sizeof(*m));
	require(m && loop_init(&m->loop), "no loop");
	m->manifest.name = name;
	m->manifest.networks = ARRAY_SIZE(networks);
	for (unsigned int i = 0; i < ARRAY_SIZE(networks); i++)
		m->manifest.network[i] = (struct manifest_network){ .kind = i ? MANIFEST_NETWORK_BRIDGE : MANIFEST_NETWORK_USER,
								     .name = "br", .mac = { 2, 0, 0, 0, 0, (uint8_t)(i + 1) } };
	m->manifest.path = manifest;
	m->state = MACHINE_RUNNING;
	m->vm.fd = -1;
	m->change.fd = -1;
	m->manifest.drives[CDROM].kind = MANIFEST_DRIVE_CDROM;
	m->disks[CDROM] = (struct disk){ .fd = -1, .overlay = -1, .readonly = true, .removable = true };
	m->manifest.drives[DISK] = (struct manifest_drive){
		.kind = MANIFEST_DRIVE_DISK, .bus = MANIFEST_BUS_VIRTIO, .file = image, .bytes = DISK_BYTES,
	};
	m->disks[DISK] = (struct disk){ .fd = -1, .overlay = -1, .bytes = DISK_BYTES };
	m->layout.device[0].slot = DISK_SLOT;
	disk_bytes = DISK_BYTES;
	restart_fails = resize_fails = false;
	m->manifest.vcpus = 2;
	m->info.tsc_khz = 1000000;
	m->vm.channel = &channel.c;
	m->layout.statistics = (uint32_t)((uint8_t *)&channel.s - (uint8_t *)&channel);
	told = 0x0000006164636262u;	/* as many rows as there are, of one name */
	board_init(&m->board, &channel.c, NULL, 0, NULL);
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
	machine_drop_change(m);
	claim_release(&m->disks[CDROM].claim);
	claim_release(&held);
	claim_release(&staged);
	put_away_sent();
	free(m->manifest.drives[CDROM].file);
	free(m);
}

static unsigned int count_descriptors(void)
{
	DIR *open_files = opendir("/proc/self/fd");
	unsigned int count = 0;

	require(open_files != NULL, "no /proc");
	while (readdir(open_files))
		count++;
	closedir(open_files);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int before = count_descriptors();
	struct bytes b = { data, size };

	set_up();
	while (b.left)
		act(&b);
	finish();
	tear_down();
	require(count_descriptors() == before, "a descriptor that stays open");
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { 300, INPUT_BYTES, make_input };
