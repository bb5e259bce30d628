// SPDX-License-Identifier: GPL-2.0
/* Reads and writes ports at random, in all widths and by string instructions, but those that end or reconfigure the machine. */
#include "guest.h"

#define ROUNDS		6000
/* What is done in a round, by bits of a random number. */
#define WRITES		(1u << 11)
#define NARROW		(1u << 9)
#define STRING		(1u << 8)
#define STRING_MOST	0x1fu

/* First and last port that is not written (a write of 4 bytes may begin 3 ports before). */
static const struct {
	uint16_t first, last;
} spared[] = {
	{ 0x5d, 0x64 },			/* reset line of the keyboard controller */
	{ 0x8f, 0x92 },			/* fast reset */
	{ 0xaf, 0xb3 },			/* APM */
	{ 0x3f5, 0x3ff },		/* this guest's console */
	{ 0x3ff, 0x402 },
	{ 0x50d, 0x51b },		/* fw_cfg writes memory */
	{ 0x5fd, 0x63f },		/* power management */
	{ 0xcf5, 0xcff },		/* PCI configuration and reset */
};

/* Ports where something is, and anywhere. */
static const struct {
	uint16_t first, mask;
} known[] = {
	{ 0, 0x1f }, { 0x20, 1 }, { 0x40, 3 }, { 0x60, 7 }, { 0x70, 7 }, { 0x80, 0xf }, { 0xa0, 1 }, { 0xc0, 0x1f },
	{ 0xe8, 0xf }, { 0x170, 7 }, { 0x1f0, 7 }, { 0x370, 7 }, { 0x3f0, 7 }, { 0x3f8, 7 }, { 0x4d0, 1 }, { 0x510, 0xf },
	{ 0x600, 0x3f }, { 0xcf8, 7 }, { 0, 0xffff }, { 0xfff8, 7 },
};

static uint64_t state = 0x6b65656c706f7274u;

static uint16_t choose(void)
{
	uint64_t place = random_next(&state) % ARRAY_SIZE(known);

	return (uint16_t)((random_next(&state) & known[place].mask) + known[place].first);
}

static bool is_spared(uint16_t port)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(spared); i++)
		if (port >= spared[i].first && port <= spared[i].last)
			return true;
	return false;
}

static void read_port(uint16_t port, uint32_t way)
{
	uint8_t *to = scratch;
	uint64_t count = way & STRING_MOST;

	switch (way & (STRING | NARROW)) {
	case 0:
		inl(port);
		break;
	case NARROW:
		inw(port);
		inb(port);
		break;
	case STRING:
		asm volatile("rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
		break;
	default:
		asm volatile("rep insb\n\tinsw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
	}
}

static void write_port(uint16_t port, uint32_t way, uint32_t value)
{
	const uint8_t *from = scratch;
	uint64_t count = way & STRING_MOST;

	switch (way & (STRING | NARROW)) {
	case 0:
		outl(port, value);
		break;
	case NARROW:
		outw(port, (uint16_t)value);
		outb(port, (uint8_t)value);
		break;
	case STRING:
		asm volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "memory");
		break;
	default:
		asm volatile("rep outsb\n\toutsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
	}
}

GUEST("hostile-port")
{
	unsigned int round;
	uint64_t random;
	uint16_t port;

	for (round = 0; round < ROUNDS; round++) {
		port = choose();
		random = random_next(&state);
		if (random & WRITES && !is_spared(port))
			write_port(port, (uint32_t)random, (uint32_t)(random >> 16));
		else
			read_port(port, (uint32_t)random);
	}
}
