#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# names.sh HEADER...: the names of C headers that include no other, for NASM: macros, and the numbers of exceptions.
# CC preprocesses.
set -eu
for header; do
	printf '#include "%s"\n' "$header"
done | "${CC:-cc}" -E -dM - | sed -n -E -e 's/\<(0x[0-9a-fA-F]+|[0-9]+)u?l?l?\>/\1/g' \
	-e 's/^#define ([A-Z][A-Za-z0-9_]*(\([a-z, ]+\))?) (.+)$/%define \1 \3/p' | LC_ALL=C sort
sed -n -E 's/^\t(EXC_[A-Z]+) = ([0-9]+),$/%define \1 \2/p' "$@"
