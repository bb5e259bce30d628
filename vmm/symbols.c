// SPDX-License-Identifier: GPL-2.0
// Looks names up in the table that the build appends (tools/lib/symbols.sh): sorted offsets and names.

#include "symbols.h"

#define IMAGE_BASE 0xffffffff80000000ull

struct symbol {
	uint32_t offset;	/* from IMAGE_BASE */
	uint32_t name;		/* in symbol_names */
};

extern const struct symbol symbol_table[];
extern const uint32_t symbol_count;
extern const char symbol_names[];

const char *symbols_find(uint64_t address, uint64_t *offset)
{
	uint32_t low = 0, high = symbol_count, middle;

	*offset = address - IMAGE_BASE;
	if (address < IMAGE_BASE || !symbol_count || *offset < symbol_table[0].offset ||
	    *offset > symbol_table[symbol_count - 1].offset)
		return "?";
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (symbol_table[middle].offset <= *offset)
			low = middle;
		else
			high = middle;
	}
	*offset -= symbol_table[low].offset;
	return symbol_names + symbol_table[low].name;
}
