// SPDX-License-Identifier: GPL-2.0
/* The serial console's readers and writers, and the control socket against clients that do not keep to its rules. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <keel/macros.h>

#include "host/backend/console.h"
#include "host/control.h"
#include "suite.h"

#define PURPOSE			3u
#define FLOOD			(3 * CONSOLE_SCROLLBACK)

static char folder[] = "/tmp/keel-console-XXXXXX";
static char path[128];
static struct loop loop;
static struct console console;
static struct control control;
static uint8_t typed[16384];
static size_t typed_count, room;
static unsigned int gone_waiters;

static size_t input_room(void *owner)
{
	(void)owner;
	return room;
}

static void put_input(void *owner, const uint8_t *bytes, size_t count)
{
	(void)owner;
	ck_assert_uint_le(count, room);
	memcpy(typed + typed_count, bytes, count);
	typed_count += count;
	room -= count;
}

static void waiter_gone(void *owner)
{
	(void)owner;
	gone_waiters++;
}

static int taken = -1;

static json_t *handle(void *owner, struct control_connection *connection, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));

	(void)owner;
	if (command && !strcmp(command, "wait")) {
		control_defer(connection, PURPOSE);
		return NULL;
	}
	if (command && !strcmp(command, "take")) {
		ck_assert_int_lt(taken, 0);
		taken = control_take_descriptor(connection);
		return json_pack("{s:b}", "ok", 1);
	}
	if (command && !strcmp(command, "console")) {
		int fd = control_take(connection, json_pack("{s:b}", "ok", 1));

		console_attach(&console, fd, false);
		return NULL;
	}
	return json_pack("{s:b, s:s}", "ok", 1, "echo", command ? command : "");
}

static void set_up(void)
{
	struct failure failure;

	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/control", folder);
	ck_assert(loop_init(&loop));
	console_init(&console, &loop);
	console.room = input_room;
	console.put = put_input;
	control.handle = handle;
	ck_assert_msg(control_open(&control, &loop, path, &failure), "%s", failure.text);
	typed_count = 0;
	room = sizeof(typed);
}

static void tear_down(void)
{
	console_close(&console);
	control_close(&control);
	close(loop.epoll);
	unlink(path);
	rmdir(folder);
}

static void settle(void)
{
	for (int i = 0; i < 20; i++)
		loop_step(&loop, 0);
}

static int connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	settle();
	return fd;
}

static int attach(bool replay)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert(console_attach(&console, pair[0], replay));
	return pair[1];
}

static uint8_t letter(size_t i)
{
	return (uint8_t)(i % 251);
}

static void produce(size_t from, size_t count)
{
	uint8_t bytes[1024];

	for (size_t i = 0; i < count; i += sizeof(bytes)) {
		for (size_t j = 0; j < sizeof(bytes); j++)
			bytes[j] = letter(from + i + j);
		console_write(&console, bytes, sizeof(bytes));
	}
}

/* Reads what there is, which has to be what was produced from a position on; returns where it ends. */
static size_t consume(int fd, size_t position)
{
	uint8_t bytes[4096];
	bool same = true;
	ssize_t n;

	for (settle(); (n = read(fd, bytes, sizeof(bytes))) > 0; settle())
		for (ssize_t i = 0; i < n; i++)
			same &= bytes[i] == letter(position++);
	ck_assert(same);
	return position;
}

START_TEST(late_reader)
{
	int fd, replay;

	produce(0, FLOOD);
	fd = attach(false);
	replay = attach(true);
	ck_assert_uint_eq(consume(fd, FLOOD - CONSOLE_SCROLLBACK), FLOOD);
	ck_assert_uint_eq(consume(replay, FLOOD - CONSOLE_SCROLLBACK), FLOOD);
	/* The one goes on, the other has come to its end. */
	ck_assert_int_eq(write(fd, "x", 1), 1);
	settle();
	ck_assert_uint_eq(typed_count, 1);
	ck_assert_int_eq(read(replay, typed, 1), 0);
	close(fd);
	close(replay);
	settle();
	ck_assert_ptr_null(console.clients);
}
END_TEST

START_TEST(slow_reader_holds_output_back)
{
	int fd = attach(false);
	size_t made = 0, got = 0;

	/* All of it arrives, because the guest's output waits whenever the console says so. */
	while (made < 20 * CONSOLE_SCROLLBACK) {
		while (console_wants(&console) && made < 20 * CONSOLE_SCROLLBACK) {
			produce(made, 1024);
			made += 1024;
		}
		got = consume(fd, got);
	}
	ck_assert_uint_eq(consume(fd, got), made);
	close(fd);
}
END_TEST

START_TEST(input_waits_for_room)
{
	static uint8_t bytes[10000];
	int fd = attach(false);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = letter(i);
	room = 100;
	ck_assert_int_eq(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	settle();
	ck_assert_uint_eq(typed_count, 100);
	ck_assert(console.input_blocked);
	console_resume(&console);
	ck_assert(console.input_blocked);
	room = sizeof(typed) - typed_count;
	console_resume(&console);
	settle();
	ck_assert_uint_eq(typed_count, sizeof(bytes));
	ck_assert_int_eq(memcmp(typed, bytes, sizeof(bytes)), 0);
	close(fd);
}
END_TEST

START_TEST(pty)
{
	struct failure failure;
	char link[256], text[8];
	int fd;

	snprintf(link, sizeof(link), "%s/console", folder);
	ck_assert_msg(console_open_pty(&console, link, &failure), "%s", failure.text);
	/* Nobody reads: the guest is not held back, and the output does not come back as input. */
	produce(0, FLOOD);
	settle();
	ck_assert_uint_gt(console_wants(&console), 0);
	ck_assert_uint_eq(typed_count, 0);
	fd = open(link, O_RDWR | O_NOCTTY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, text, 4), 4);
	ck_assert_int_eq(write(fd, "\r\003q", 3), 3);
	/* The kernel passes it on when it gets round to it. */
	for (int i = 0; i < 100 && typed_count < 3; i++)
		loop_step(&loop, 10);
	ck_assert_int_eq(memcmp(typed, "\r\003q", 3), 0);
	close(fd);
	unlink(link);
}
END_TEST

START_TEST(serial_socket)
{
	struct failure failure;
	char name[256];
	int fd;

	snprintf(name, sizeof(name), "%s/serial", folder);
	ck_assert_msg(console_open_socket(&console, name, &failure), "%s", failure.text);
	produce(0, 1024);
	fd = connect_to(name);
	ck_assert_uint_eq(consume(fd, 0), 1024);
	close(fd);
	console_close(&console);
	ck_assert_int_ne(access(name, F_OK), 0);
}
END_TEST

static void expect(int fd, const char *answer)
{
	char text[512] = "";

	settle();
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	ck_assert_msg(strstr(text, answer) != NULL, "%s has no %s", text, answer);
}

static void tell(int fd, const char *text)
{
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	settle();
}

START_TEST(control_lines)
{
	int fd = connect_to(path);

	tell(fd, "{\"command\": \"a\"}\n{\"command\":");
	expect(fd, "\"echo\":\"a\"");
	tell(fd, "\"b\"}\n");
	expect(fd, "\"echo\":\"b\"");
	tell(fd, "nonsense\n");
	expect(fd, "\"ok\":false");
	tell(fd, "[1]\n");
	expect(fd, "\"ok\":false");
	tell(fd, "{\"command\": \"wait\"}\n");
	control_answer_waiting(&control, 1u << PURPOSE, json_pack("{s:s}", "event", "ended"));
	expect(fd, "\"event\":\"ended\"");
	close(fd);
	settle();
	ck_assert_ptr_null(control.connections);
}
END_TEST

/* One answer for each line, in their order, for one that sends no more, too; what waits behind one that waits is not lost. */
START_TEST(control_order)
{
	int fd = connect_to(path);
	char text[256] = "";

	tell(fd, "{\"command\": \"wait\"}\n{\"command\": \"wait\"}\n{\"command\": \"a\"}\n");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	settle();
	ck_assert_int_lt(read(fd, text, sizeof(text)), 0);
	control_answer_waiting(&control, 1u << PURPOSE, json_pack("{s:s}", "event", "first"));
	expect(fd, "{\"event\":\"first\"}\n");
	ck_assert_int_lt(read(fd, text, sizeof(text)), 0);
	control_answer_waiting(&control, 1u << PURPOSE, json_pack("{s:s}", "event", "second"));
	settle();
	ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
	ck_assert_str_eq(text, "{\"event\":\"second\"}\n{\"ok\":true,\"echo\":\"a\"}\n");
	ck_assert_ptr_null(control.connections);
	close(fd);
}
END_TEST

/* A wish lasts as long as those who wait for it; an answered one has nobody that could go. */
START_TEST(control_waiters)
{
	int first = connect_to(path), second = connect_to(path);

	gone_waiters = 0;
	control.gone = waiter_gone;
	ck_assert(!control_is_awaited(&control, PURPOSE));
	tell(first, "{\"command\": \"wait\"}\n");
	tell(second, "{\"command\": \"wait\"}\n");
	ck_assert(control_is_awaited(&control, PURPOSE));
	ck_assert(!control_is_awaited(&control, PURPOSE + 1));
	close(first);
	settle();
	ck_assert_uint_eq(gone_waiters, 1);
	ck_assert(control_is_awaited(&control, PURPOSE));
	control_answer_waiting(&control, ~(1u << PURPOSE), json_pack("{s:s}", "event", "another's"));
	control_answer_waiting(&control, 1u << PURPOSE, json_pack("{s:s}", "event", "its own"));
	expect(second, "its own");
	ck_assert(!control_is_awaited(&control, PURPOSE));
	close(second);
	settle();
	ck_assert_uint_eq(gone_waiters, 1);
	control.gone = NULL;
}
END_TEST

START_TEST(control_hostile)
{
	static char flood[2 * CONTROL_LINE];
	int fd = connect_to(path), gone = connect_to(path);
	char byte;

	/* A line without an end closes the connection; so does a client that leaves while its answer is due. */
	memset(flood, 'x', sizeof(flood));
	ck_assert_int_gt(write(fd, flood, sizeof(flood)), 0);
	settle();
	ck_assert_int_le(read(fd, &byte, 1), 0);
	tell(gone, "{\"command\": \"wait\"}\n");
	close(gone);
	control_answer_waiting(&control, 1u << PURPOSE, json_pack("{s:s}", "event", "ended"));
	settle();
	ck_assert_ptr_null(control.connections);
	close(fd);
}
END_TEST

START_TEST(control_becomes_console)
{
	int fd = connect_to(path);

	produce(0, 1024);
	/* What comes at once with the request is typed already. */
	tell(fd, "{\"command\": \"console\"}\n>\n");
	ck_assert_ptr_null(control.connections);
	ck_assert_ptr_nonnull(console.clients);
	tell(fd, "{\"x\n");
	ck_assert_uint_eq(typed_count, 6);
	close(fd);
}
END_TEST

#define SENT_MOST	200u

static unsigned int open_descriptors(void)
{
	DIR *files = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (readdir(files))
		count++;
	closedir(files);
	return count;
}

/* So many descriptors of the same with a text. */
static void tell_with(int fd, const char *text, unsigned int count)
{
	char bytes[CMSG_SPACE(SENT_MOST * sizeof(int))] = { 0 };
	struct iovec part = { (void *)text, strlen(text) };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = bytes, .msg_controllen = CMSG_SPACE(count * sizeof(int)),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int sent = open("/dev/null", O_RDONLY);

	*header = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
	};
	for (unsigned int i = 0; i < count; i++)
		memcpy(CMSG_DATA(header) + i * sizeof(int), &sent, sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &message, 0), (ssize_t)strlen(text));
	close(sent);
	settle();
}

static bool has_taken(void)
{
	int fd = taken;

	taken = -1;
	return fd >= 0 && !close(fd);
}

#define TAKE	"{\"command\": \"take\"}\n"

START_TEST(control_descriptor)
{
	int fd = connect_to(path);

	tell(fd, TAKE);
	ck_assert(!has_taken());
	tell_with(fd, TAKE, 1);
	ck_assert(fcntl(taken, F_GETFD) & FD_CLOEXEC);
	ck_assert(has_taken());
	/* With any part of the line. */
	tell(fd, "{\"command\":");
	tell_with(fd, "\"ta", 1);
	tell(fd, "ke\"}\n");
	ck_assert(has_taken());
	/* It is of the request that its first byte is of, and of no other. */
	tell_with(fd, "{\"command\": \"a\"}\n" TAKE, 1);
	ck_assert(!has_taken());
	tell(fd, TAKE);
	ck_assert(!has_taken());
	close(fd);
}
END_TEST

START_TEST(control_stray_descriptors)
{
	static const unsigned int counts[] = { 2, 3, SENT_MOST };
	unsigned int before = open_descriptors();
	int fd = connect_to(path), gone = connect_to(path), waits = connect_to(path);
	unsigned int connected = open_descriptors();

	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		tell_with(fd, TAKE, counts[i]);
		ck_assert(!has_taken());
		ck_assert_uint_eq(open_descriptors(), connected);
		/* The next request has nothing of it. */
		tell_with(fd, TAKE, 1);
		ck_assert(has_taken());
	}
	tell_with(fd, "{\"command\":", 1);
	tell_with(fd, "\"take\"", 1);
	tell(fd, "}\n");
	ck_assert(!has_taken());
	tell_with(fd, "nonsense\n", 1);
	tell_with(fd, "{\"command\": \"a\"}\n", 1);
	tell_with(waits, "{\"command\": \"wait\"}\n", 1);
	ck_assert_uint_eq(open_descriptors(), connected);
	/* What is not read yet is the kernel's; what is read of half a request goes with its client. */
	tell_with(waits, TAKE, 1);
	tell_with(gone, "{\"comm", 1);
	ck_assert_uint_eq(open_descriptors(), connected + 1);
	close(gone);
	close(waits);
	tell_with(fd, "{\"command\": \"console\"}\n", 1);
	close(fd);
	settle();
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

SUITE("console", tests)
{
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, late_reader);
	tcase_add_test(tests, slow_reader_holds_output_back);
	tcase_add_test(tests, input_waits_for_room);
	tcase_add_test(tests, pty);
	tcase_add_test(tests, serial_socket);
	tcase_add_test(tests, control_lines);
	tcase_add_test(tests, control_order);
	tcase_add_test(tests, control_waiters);
	tcase_add_test(tests, control_hostile);
	tcase_add_test(tests, control_descriptor);
	tcase_add_test(tests, control_stray_descriptors);
	tcase_add_test(tests, control_becomes_console);
}
