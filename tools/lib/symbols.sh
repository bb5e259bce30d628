#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# symbols.sh IMAGE: prints the assembler source of the symbol table for vmm/symbols.c. Without IMAGE, an empty one of the same
# shape.
set -eu
{ [ $# -eq 0 ] || nm -n "$1"; } | awk '
	function hex(s,  i, v) {
		v = 0
		for (i = 1; i <= length(s); i++)
			v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
		return v
	}
	BEGIN {
		print "section .symbols progbits alloc noexec nowrite align=8"
		print "global symbol_table, symbol_count, symbol_names"
		print "symbol_table:"
	}
	($2 == "t" || $2 == "T") && substr($1, 1, 8) == "ffffffff" && $3 !~ /\./ {
		low = hex(substr($1, 9)) - 2147483648
		printf "\tdd %d, %d\n", low, bytes
		names = names sprintf("\tdb \"%s\", 0\n", $3)
		bytes += length($3) + 1
		count++
	}
	END { printf "\tdd 0x7fffffff, %d\nsymbol_count: dd %d\nsymbol_names:\n%s\tdb 0\n", bytes, count + 1, names }'
