// SPDX-License-Identifier: GPL-2.0
/* keel top: what guests do a second, from two looks at their counts. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <keel/macros.h>

#include "client.h"
#include "commands.h"
#include "output.h"
#include "statistics.h"

#define NS_PER_SECOND		1e9
#define PAUSE_SECONDS		2	/* from one look to the next */
#define CLEAR			"\033[H\033[2J"
#define KINDS_SHOWN		8u	/* of exits and devices, the most frequent ones */

/* Members of what is counted of a disk's operation, and of a network's direction. */
#define DONE			offsetof(struct statistics_request, done)
#define DONE_BYTES		offsetof(struct statistics_request, bytes)
#define DONE_NS			offsetof(struct statistics_request, ns)
#define FAILED			offsetof(struct statistics_request, failed)
#define FRAMES			offsetof(struct statistics_traffic, frames)
#define FRAME_BYTES		offsetof(struct statistics_traffic, bytes)
#define DROPPED			offsetof(struct statistics_traffic, dropped)

/* Where the processor time of a guest went, in seconds a second. */
struct shares {
	double vcpus;			/* the vCPUs' threads, of which: */
	double guest, cell, keel, driver;
	double device_model;		/* all else of its process */
	bool measured;			/* guest, cell, keel and driver are known */
};

/* One look at guests. */
struct look {
	char **names;
	size_t count;
	struct statistics *all;
};

/* Two of them. */
struct looks {
	struct look before, now;
};

/* Of a guest. */
struct change {
	const struct statistics *before, *now;	/* before: NULL if it was not there */
	double seconds;
	bool known;
	bool restarted;			/* meanwhile: what the cell counts has begun anew */
};

static const struct statistics *find(const struct look *look, const char *name)
{
	for (size_t i = 0; i < look->count; i++)
		if (!strcmp(look->all[i].name, name))
			return &look->all[i];
	return NULL;
}

static struct change change_of(const struct looks *looks, size_t i)
{
	struct change c = { .now = &looks->now.all[i], .before = find(&looks->before, looks->now.all[i].name), .seconds = 1 };

	c.known = c.before && c.before->known && c.now->known && c.now->at_ns > c.before->at_ns &&
		  c.before->disks == c.now->disks && c.before->networks == c.now->networks;
	if (!c.known)
		return c;
	c.restarted = c.before->restarts != c.now->restarts || !c.before->told;
	c.seconds = (double)(c.now->at_ns - c.before->at_ns) / NS_PER_SECOND;
	return c;
}

/* Of one that has just come nothing can be told yet, and that is no failure. */
static bool has_failed(const struct change *c)
{
	return !c->known && (c->before || !c->now->known);
}

static double rate(const struct change *c, uint64_t before, uint64_t now)
{
	return now > before ? (double)(now - before) / c->seconds : 0;
}

/* Of what the cell counts. */
static double cell_rate(const struct change *c, uint64_t before, uint64_t now)
{
	return rate(c, c->restarted ? 0 : before, now);
}

static uint64_t exits_before(const struct change *c, const struct statistics_exit *exit)
{
	for (unsigned int i = 0; i < c->before->exits; i++)
		if (!strcmp(c->before->exit[i].kind, exit->kind) && !strcmp(c->before->exit[i].by, exit->by))
			return c->before->exit[i].count;
	return 0;
}

static uint64_t accesses_before(const struct change *c, const struct statistics_device *device)
{
	for (unsigned int i = 0; i < c->before->devices; i++)
		if (!strcmp(c->before->device[i].device, device->device) && c->before->device[i].instance == device->instance)
			return c->before->device[i].accesses;
	return 0;
}

static double exit_rate(const struct change *c, unsigned int i)
{
	return cell_rate(c, exits_before(c, &c->now->exit[i]), c->now->exit[i].count);
}

static double device_rate(const struct change *c, unsigned int i)
{
	return cell_rate(c, accesses_before(c, &c->now->device[i]), c->now->device[i].accesses);
}

/* Disks and networks stay in their places, and so do their counts. */
static double disk_rate(const struct change *c, unsigned int disk, unsigned int operation, size_t member)
{
	uint64_t before, now;

	memcpy(&before, (const char *)&c->before->disk[disk].operation[operation] + member, sizeof(before));
	memcpy(&now, (const char *)&c->now->disk[disk].operation[operation] + member, sizeof(now));
	return rate(c, before, now);
}

static double network_rate(const struct change *c, unsigned int network, unsigned int direction, size_t member)
{
	uint64_t before, now;

	memcpy(&before, (const char *)&c->before->network[network].direction[direction] + member, sizeof(before));
	memcpy(&now, (const char *)&c->now->network[network].direction[direction] + member, sizeof(now));
	return rate(c, before, now);
}

/* What is measured began at the first look at the latest: it is of less than the whole time after a restart alone. */
static struct shares shares_of(const struct change *c)
{
	struct shares s = {
		.vcpus = rate(c, statistics_vcpus_ns(c->before), statistics_vcpus_ns(c->now)) / NS_PER_SECOND,
		.device_model = rate(c, statistics_rest_ns(c->before), statistics_rest_ns(c->now)) / NS_PER_SECOND,
		.measured = c->now->told && !c->restarted,
	};
	double stays;

	if (!s.measured)
		return s;
	stays = rate(c, c->before->stays_ns, c->now->stays_ns) / NS_PER_SECOND;
	s.guest = rate(c, c->before->guest_ns, c->now->guest_ns) / NS_PER_SECOND;
	s.cell = rate(c, c->before->cell_ns, c->now->cell_ns) / NS_PER_SECOND;
	s.keel = stays > s.guest + s.cell ? stays - s.guest - s.cell : 0;
	s.driver = s.vcpus > stays ? s.vcpus - stays : 0;
	return s;
}

/* JSON */

static json_t *describe_shares(const struct change *c)
{
	struct shares s = shares_of(c);
	json_t *object = json_pack("{s:f, s:f}", "vcpus", s.vcpus, "device_model", s.device_model);

	if (s.measured) {
		json_object_set_new(object, "guest", json_real(s.guest));
		json_object_set_new(object, "cell", json_real(s.cell));
		json_object_set_new(object, "keel", json_real(s.keel));
		json_object_set_new(object, "driver", json_real(s.driver));
	}
	return object;
}

static json_t *describe_exits(const struct change *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->now->exits; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:f}", "kind", c->now->exit[i].kind, "by", c->now->exit[i].by,
						      "per_second", exit_rate(c, i)));
	return list;
}

static json_t *describe_devices(const struct change *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->now->devices; i++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:f}", "device", c->now->device[i].device, "instance",
						      (json_int_t)c->now->device[i].instance, "per_second",
						      device_rate(c, i)));
	return list;
}

static json_t *describe_disk(const struct change *c, unsigned int disk)
{
	json_t *object = json_pack("{s:s}", "slot", c->now->disk[disk].slot);

	for (unsigned int i = 0; i < STATISTICS_OPERATIONS; i++)
		json_object_set_new(object, statistics_operations[i],
				    json_pack("{s:f, s:f, s:f, s:f}", "done", disk_rate(c, disk, i, DONE),
					      "bytes", disk_rate(c, disk, i, DONE_BYTES), "failed", disk_rate(c, disk, i, FAILED),
					      "seconds", disk_rate(c, disk, i, DONE_NS) / NS_PER_SECOND));
	return object;
}

static json_t *describe_disks(const struct change *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->now->disks; i++)
		json_array_append_new(list, describe_disk(c, i));
	return list;
}

static json_t *describe_network(const struct change *c, unsigned int network)
{
	json_t *object = json_pack("{s:I}", "number", (json_int_t)c->now->network[network].number);

	for (unsigned int i = 0; i < STATISTICS_DIRECTIONS; i++)
		json_object_set_new(object, statistics_directions[i],
				    json_pack("{s:f, s:f, s:f}", "frames", network_rate(c, network, i, FRAMES),
					      "bytes", network_rate(c, network, i, FRAME_BYTES),
					      "dropped", network_rate(c, network, i, DROPPED)));
	return object;
}

static json_t *describe_networks(const struct change *c)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < c->now->networks; i++)
		json_array_append_new(list, describe_network(c, i));
	return list;
}

static const struct failure *failure_of(const struct change *c)
{
	static struct failure late;

	if (!c->now->known || !c->before->known)
		return c->now->known ? &c->before->failure : &c->now->failure;
	failure_set(&late, EXIT_FAILED, "guest \"%s\": its process has told nothing new", c->now->name);
	return &late;
}

static json_t *describe_unknown(const struct change *c)
{
	const struct failure *failure = failure_of(c);

	return json_pack("{s:o, s:s, s:i, s:s}", "name", output_string(c->now->name), "state", "unknown", "code",
			 (int)failure->code, "error", failure->text);
}

static json_t *describe(const struct change *c)
{
	const struct statistics *now = c->now;
	json_t *guest;

	if (!c->known)
		return describe_unknown(c);
	guest = json_pack("{s:o, s:s, s:f, s:I, s:I, s:I, s:o, s:o, s:o}", "name", output_string(now->name), "state", now->state,
			  "seconds", c->seconds, "vcpus", (json_int_t)now->vcpus,
			  "memory_bytes", (json_int_t)now->memory_bytes, "started", (json_int_t)now->started,
			  "cpu", describe_shares(c), "disks", describe_disks(c), "networks", describe_networks(c));
	if (guest && now->told) {
		json_object_set_new(guest, "exits", describe_exits(c));
		json_object_set_new(guest, "devices", describe_devices(c));
	}
	return guest;
}

static enum exit_code code_of(const struct looks *looks)
{
	enum exit_code code = EXIT_DONE;

	for (size_t i = 0; i < looks->now.count; i++) {
		struct change c = change_of(looks, i);

		if (has_failed(&c) && failure_of(&c)->code > code)
			code = failure_of(&c)->code;
	}
	return code;
}

static enum exit_code print_json(const struct looks *looks)
{
	enum exit_code code = code_of(looks);
	json_t *list = json_array();

	for (size_t i = 0; i < looks->now.count; i++) {
		struct change c = change_of(looks, i);

		if ((c.known || has_failed(&c)) && json_array_append_new(list, describe(&c))) {
			json_decref(list);
			return output_json(NULL);
		}
	}
	if (code == EXIT_DONE)
		return output_json(json_pack("{s:b, s:o}", "ok", 1, "guests", list));
	output_json(json_pack("{s:b, s:i, s:s, s:o}", "ok", 0, "code", (int)code, "error", "some guests could not be asked",
			      "guests", list));
	return code;
}

/* Text */

/* Such as 999, 12.3K, 4.6M. */
static void print_amount(double value, int width)
{
	static const char units[] = " KMGT";
	unsigned int unit = 0;
	char text[32];

	for (; value >= 1000 && units[unit + 1]; unit++)
		value /= 1000;
	if (unit)
		snprintf(text, sizeof(text), "%.1f%c", value, units[unit]);
	else
		snprintf(text, sizeof(text), "%.0f", value);
	printf("%*s", width, text);
}

static void print_percent(bool known, double share, int width)
{
	if (known)
		printf("%*.1f", width, 100 * share);
	else
		printf("%*s", width, "-");
}

static double sum_disks(const struct change *c, unsigned int operation)
{
	double sum = 0;

	for (unsigned int i = 0; i < c->now->disks; i++)
		sum += disk_rate(c, i, operation, DONE_BYTES);
	return sum;
}

static double sum_networks(const struct change *c, unsigned int direction)
{
	double sum = 0;

	for (unsigned int i = 0; i < c->now->networks; i++)
		sum += network_rate(c, i, direction, FRAME_BYTES);
	return sum;
}

static double sum_exits(const struct change *c)
{
	double sum = 0;

	for (unsigned int i = 0; i < c->now->exits; i++)
		sum += exit_rate(c, i);
	return sum;
}

static void print_guest(const struct change *c)
{
	struct shares s = shares_of(c);

	output_text(c->now->name);
	printf("%*s", (int)strlen(c->now->name) < 20 ? 20 - (int)strlen(c->now->name) : 0, "");
	print_percent(true, s.vcpus + s.device_model, 7);
	print_percent(s.measured, s.guest, 7);
	print_percent(s.measured, s.cell, 7);
	print_percent(s.measured, s.keel, 7);
	print_percent(s.measured, s.driver + s.device_model, 9);
	if (c->now->told)
		print_amount(sum_exits(c), 9);
	else
		printf("%9s", "-");
	print_amount(sum_disks(c, STATISTICS_READ), 9);
	print_amount(sum_disks(c, STATISTICS_WRITE), 9);
	print_amount(sum_networks(c, STATISTICS_RECEIVED), 9);
	print_amount(sum_networks(c, STATISTICS_SENT), 9);
	putchar('\n');
}

/* What there was most of, by rate(i), which is then taken away: -1: nothing is left. */
static int take_most(double *rates, unsigned int count)
{
	int most = -1;

	for (unsigned int i = 0; i < count; i++)
		if (rates[i] > 0 && (most < 0 || rates[i] > rates[most]))
			most = (int)i;
	return most;
}

static void print_exits(const struct change *c)
{
	double rates[STATISTICS_EXITS];
	int i;

	for (unsigned int j = 0; j < c->now->exits; j++)
		rates[j] = exit_rate(c, j);
	for (unsigned int shown = 0; shown < KINDS_SHOWN && (i = take_most(rates, c->now->exits)) >= 0; shown++) {
		printf("%s%s%s ", shown ? ", " : "    exits/s: ", c->now->exit[i].kind,
		       strcmp(c->now->exit[i].by, "keel") ? "" : " (Keel)");
		print_amount(rates[i], 0);
		rates[i] = 0;
		if (shown + 1 == KINDS_SHOWN || take_most(rates, c->now->exits) < 0)
			putchar('\n');
	}
}

static void print_devices(const struct change *c)
{
	double rates[STATISTICS_DEVICES];
	int i;

	for (unsigned int j = 0; j < c->now->devices; j++)
		rates[j] = device_rate(c, j);
	for (unsigned int shown = 0; shown < KINDS_SHOWN && (i = take_most(rates, c->now->devices)) >= 0; shown++) {
		printf("%s%s", shown ? ", " : "    accesses/s: ", c->now->device[i].device);
		if (c->now->device[i].instance)
			printf(".%llu", (unsigned long long)c->now->device[i].instance);
		putchar(' ');
		print_amount(rates[i], 0);
		rates[i] = 0;
		if (shown + 1 == KINDS_SHOWN || take_most(rates, c->now->devices) < 0)
			putchar('\n');
	}
}

static void print_disks(const struct change *c)
{
	for (unsigned int i = 0; i < c->now->disks; i++) {
		bool first = true;

		for (unsigned int j = 0; j < STATISTICS_OPERATIONS; j++) {
			double done = disk_rate(c, i, j, DONE);

			if (done <= 0)
				continue;
			if (first)
				printf("    %s/s:", c->now->disk[i].slot);
			printf("%s%s ", first ? " " : ", ", statistics_operations[j]);
			print_amount(done, 0);
			first = false;
		}
		if (!first)
			putchar('\n');
	}
}

static void print_text(const struct looks *looks)
{
	printf("%-20s%7s%7s%7s%7s%9s%9s%9s%9s%9s%9s\n", "NAME", "CPU%", "GUEST%", "CELL%", "KEEL%", "CONTROL%", "EXITS/s",
	       "READ/s", "WRITE/s", "RX/s", "TX/s");
	for (size_t i = 0; i < looks->now.count; i++) {
		struct change c = change_of(looks, i);

		if (!c.known)
			continue;
		print_guest(&c);
		print_exits(&c);
		print_devices(&c);
		print_disks(&c);
	}
}

static void tell_failures(const struct looks *looks)
{
	for (size_t i = 0; i < looks->now.count; i++) {
		struct change c = change_of(looks, i);

		if (has_failed(&c))
			output_fail(false, failure_of(&c));
	}
}

/* Looking */

static void drop(struct look *look, bool named)
{
	free(look->all);
	if (!named)
		client_free_names(look->names, look->count);
	*look = (struct look){ .names = NULL };
}

/* named: those that the user has named. */
static bool take_look(struct look *look, char **named, size_t count, struct failure *failure)
{
	*look = (struct look){ .names = named, .count = count };
	if (!named && !client_guests(&look->names, &look->count, failure))
		return false;
	look->all = statistics_ask(look->names, look->count, true);
	if (look->all)
		return true;
	drop(look, named);
	return failure_set(failure, EXIT_FAILED, "out of memory");
}

static bool look_again(struct looks *looks, char **named, size_t count, struct failure *failure)
{
	const struct timespec pause = { .tv_sec = PAUSE_SECONDS };

	drop(&looks->before, named);
	looks->before = looks->now;
	looks->now = (struct look){ .names = NULL };
	nanosleep(&pause, NULL);
	return take_look(&looks->now, named, count, failure);
}

/* On a terminal: until somebody interrupts it. */
static enum exit_code watch(struct looks *looks, char **named, size_t count, struct failure *failure)
{
	while (look_again(looks, named, count, failure)) {
		fputs(CLEAR, stdout);
		print_text(looks);
		fflush(stdout);
		tell_failures(looks);
		if (ferror(stdout))
			return EXIT_FAILED;
	}
	return output_fail(false, failure);
}

static enum exit_code show_once(const struct options *options, struct looks *looks)
{
	if (options->json)
		return print_json(looks);
	print_text(looks);
	fflush(stdout);
	tell_failures(looks);
	return code_of(looks);
}

enum exit_code command_top(const struct options *options, int count, char **operands)
{
	bool once = options->json || options->once || !isatty(STDOUT_FILENO);
	char **named = count ? operands : NULL;
	size_t n = statistics_names(operands, (size_t)count);
	struct looks looks = { .before.names = NULL };
	struct failure failure;
	enum exit_code code;

	if (!take_look(&looks.now, named, n, &failure))
		return output_fail(options->json, &failure);
	if (!once)
		code = watch(&looks, named, n, &failure);
	else
		code = look_again(&looks, named, n, &failure) ? show_once(options, &looks) :
								output_fail(options->json, &failure);
	drop(&looks.before, named);
	drop(&looks.now, named);
	return code;
}
