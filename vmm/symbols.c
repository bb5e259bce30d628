// SPDX-License-Identifier: GPL-2.0
// Looks names up in the table that the build appends (tools/lib/symbols.sh): sorted offsets and names.

#include "symbols.h"

#include "image.h"

struct symbol {
	uint32_t offset;	/* from IMAGE_VIRTUAL */
	uint32_t name;		/* in symbol_names */
};

extern const struct symbol symbol_table[];
extern const uint32_t symbol_count;
extern const char symbol_names[];

const char *symbols_find(uint64_t address, uint64_t *offset)
{
	uint32_t next = 0;

	*offset = address - IMAGE_VIRTUAL;
	while (next < symbol_count && symbol_table[next].offset <= *offset)
		next++;
	if (next == 0 || next == symbol_count)
		return "?";
	*offset -= symbol_table[next - 1].offset;
	return symbol_names + symbol_table[next - 1].name;
}
