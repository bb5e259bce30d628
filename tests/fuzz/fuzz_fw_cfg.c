// SPDX-License-Identifier: GPL-2.0
/* Fuzz target of fw_cfg: a guest that selects, reads and has DMA done, beside a model of what it may see and change. */
#include "chip/fw_cfg.h"
#include "fuzz.h"

#define MEMORY		0x4000u
#define ROM		0x3000u		/* from here on the guest cannot write */
#define INPUT_BYTES	512u
#define FILES		3u
#define KEY		0x8003u
#define STATE_ROOM	256u
#define DMA_READ	0x02u

struct descriptor {
	uint32_t control, length;
	uint64_t address;
};

static const uint32_t sizes[FILES] = { 1, 40, 700 };
static const char *const names[FILES] = { "bootorder", "etc/e820", "etc/tables" };

static struct fw_cfg cfg;
static struct gmem mem;
static uint8_t *files[FILES], *before;

static void set_up(void)
{
	mem = (struct gmem){ .base = calloc(1, MEMORY), .count = 2, .range = { { 0, ROM, false }, { ROM, MEMORY - ROM, true } } };
	before = malloc(MEMORY);
	require(mem.base && before, "no memory");
	cfg = (struct fw_cfg){ .mem = &mem };
	fw_cfg_clear(&cfg);
	for (unsigned int i = 0; i < FILES; i++) {
		/* A piece of its own, at whose end the sanitizer watches. */
		files[i] = malloc(sizes[i]);
		require(files[i] != NULL, "no memory");
		memset(files[i], (int)i + 1, sizes[i]);
		require(fw_cfg_add_file(&cfg, names[i], files[i], sizes[i]), "a file is not taken");
	}
	require(fw_cfg_add(&cfg, KEY, files[1], sizes[1]), "an item is not taken");
	fw_cfg_init(&cfg);
}

static void tear_down(void)
{
	for (unsigned int i = 0; i < FILES; i++) {
		for (uint32_t j = 0; j < sizes[i]; j++)
			require(files[i][j] == i + 1, "an item was changed");
		free(files[i]);
	}
	free(before);
	free(mem.base);
}

/* What the guest finds under this key; NULL: nothing that is known here. */
static const uint8_t *find_file(uint16_t key, uint32_t *size)
{
	unsigned int file = key == KEY ? 1 : key - FW_CFG_FILE_FIRST;

	*size = file < FILES ? sizes[file] : 0;
	return file < FILES ? files[file] : NULL;
}

static void read_data(unsigned int count)
{
	uint32_t size, cursor = cfg.s.cursor;
	const uint8_t *file = find_file(cfg.s.key, &size);

	for (; count; count--, cursor++) {
		uint8_t value = (uint8_t)fw_cfg_io.read(&cfg, 1, 1);

		require(!file || value == (cursor < size ? file[cursor] : 0), "another byte");
	}
}

/* What of it is memory that the guest can write may have changed. */
static void may_change(uint64_t start, uint64_t bytes)
{
	if (start >= ROM)
		return;
	if (bytes > ROM - start)
		bytes = ROM - start;
	memcpy(before + start, mem.base + start, bytes);
}

/* Nothing but the buffer, if this was a read, and the descriptor's control word is written. */
static void check_memory(uint64_t gpa, const struct descriptor *d)
{
	may_change(gpa, sizeof(d->control));
	if (__builtin_bswap32(d->control) & DMA_READ)
		may_change(__builtin_bswap64(d->address), __builtin_bswap32(d->length));
	require(!memcmp(mem.base, before, MEMORY), "a write beside the buffer");
}

static void run_dma(struct bytes *b)
{
	uint64_t gpa = take8(b) % 8 ? take16(b) % MEMORY : take64(b);
	struct descriptor d = { 0 };

	if (take8(b) % 8)
		d.control = __builtin_bswap32((uint32_t)(FW_CFG_FILE_FIRST + take8(b) % 5) << 16 | take8(b) % 32);
	else
		d.control = take32(b);
	d.length = __builtin_bswap32(take8(b) % 8 ? take16(b) % 1024 : take32(b));
	d.address = __builtin_bswap64(take8(b) % 8 ? take16(b) % MEMORY : take64(b));
	if (gpa <= MEMORY - sizeof(d))
		memcpy(mem.base + gpa, &d, sizeof(d));
	memcpy(before, mem.base, MEMORY);
	fw_cfg_dma_io.write(&cfg, 0, 4, __builtin_bswap32((uint32_t)(gpa >> 32)));
	fw_cfg_dma_io.write(&cfg, 4, 4, __builtin_bswap32((uint32_t)gpa));
	check_memory(gpa, &d);
}

/* What comes back is what was saved, or what somebody says was. */
static void save_and_load(struct bytes *b)
{
	unsigned int changes = take8(b) % 4;
	uint8_t state[STATE_ROOM];
	size_t bytes = state_save(&fw_cfg_state_table, 0, &cfg.s, state, sizeof(state));

	require(bytes && bytes == state_size(&fw_cfg_state_table), "a state of another size");
	for (unsigned int i = 0; i < changes; i++)
		state[take8(b) % bytes] = take8(b);
	if (state_load(&fw_cfg_state_table, 0, &cfg.s, state, bytes) != bytes)
		require(changes, "a state that is not taken");
	fw_cfg_restored(&cfg);
}

static void act(struct bytes *b)
{
	switch (take8(b) % 8) {
	case 0:
		fw_cfg_io.write(&cfg, 0, 2, take8(b) % 4 ? FW_CFG_FILE_FIRST + take8(b) % 5 : take16(b));
		break;
	case 1:
	case 2:
		read_data(take8(b));
		break;
	case 3:
		fw_cfg_dma_io.write(&cfg, take8(b) % 8, 4, take32(b));
		fw_cfg_dma_io.read(&cfg, take8(b) % 8, 4);
		break;
	case 4:
		save_and_load(b);
		break;
	default:
		run_dma(b);
		break;
	}
	require(cfg.s.cursor <= cfg.size, "a cursor behind the end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	set_up();
	while (b.left)
		act(&b);
	tear_down();
	return 0;
}

static size_t make_input(uint8_t *input, uint64_t *state)
{
	return fuzz_make_bytes(input, INPUT_BYTES, state);
}

const struct fuzz_target fuzz_target = { 3000, INPUT_BYTES, make_input };
