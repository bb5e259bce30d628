// SPDX-License-Identifier: GPL-2.0
/* keel network-list and network-link. */
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "commands.h"
#include "common/member.h"
#include "output.h"
#include "status.h"

#define QUICK_SECONDS	10

static void print_column(const char *text, int width)
{
	int length = (int)strlen(text);

	output_text(text);
	printf("%*s ", width > length ? width - length : 0, "");
}

/* What it is connected to. */
static const char *other_end(const json_t *network)
{
	const char *bridge = member_text(network, "bridge"), *interface = member_text(network, "interface");

	return bridge[0] ? bridge : interface[0] ? interface : "passt";
}

static void print_network(const json_t *network)
{
	const json_t *sent = json_object_get(network, "sent"), *received = json_object_get(network, "received");

	printf("%-3lld ", member_number(network, "id"));
	print_column(member_text(network, "mac"), 17);
	print_column(member_text(network, "kind"), 7);
	print_column(other_end(network), 15);
	print_column(member_text(network, "interface"), 15);
	printf("%-9s%15lld%15lld\n", member_text(network, "link"), member_number(received, "bytes"),
	       member_number(sent, "bytes"));
}

static void print_networks(const json_t *networks)
{
	const json_t *network;
	size_t i;

	printf("%-3s %-17s %-7s %-15s %-15s %-9s%15s%15s\n", "ID", "MAC", "KIND", "NETWORK", "INTERFACE", "LINK", "RECEIVED(B)",
	       "SENT(B)");
	json_array_foreach(networks, i, network)
		print_network(network);
}

enum exit_code command_network_list(const struct options *options, int count, char **operands)
{
	struct failure failure = { 0 };
	json_t *answer = client_ask(operands[0], json_pack("{s:s}", "command", "network-list"), QUICK_SECONDS, &failure);

	(void)count;
	if (answer)
		answer = status_take(status_of_networks, operands[0], answer, &failure);
	if (!answer)
		return output_fail(options->json, &failure);
	if (options->json)
		return output_json(answer);
	print_networks(json_object_get(answer, "networks"));
	json_decref(answer);
	return EXIT_DONE;
}

enum exit_code command_network_link(const struct options *options, int count, char **operands)
{
	const char *name = operands[0], *network = operands[1], *word = operands[2];
	bool up = !strcmp(word, "up");
	struct failure failure = { 0 };
	json_t *answer;

	(void)count;
	if (!up && strcmp(word, "down")) {
		failure_set(&failure, EXIT_USAGE, "network-link: expected up or down, found \"%s\"", word);
		return output_fail(options->json, &failure);
	}
	answer = client_ask(name, json_pack("{s:s, s:o, s:b}", "command", "network-link", "network", output_string(network), "up",
					    (int)up), QUICK_SECONDS, &failure);
	if (!answer)
		return output_fail(options->json, &failure);
	json_decref(answer);
	if (options->json)
		return output_json(json_pack("{s:b, s:o, s:o, s:s}", "ok", 1, "name", output_string(name), "network",
					     output_string(network), "link", word));
	output_text(name);
	fputs(": the link of network ", stdout);
	output_text(network);
	printf(" is %s\n", word);
	return EXIT_DONE;
}
