#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tcb.sh: prints the hypervisor's lines of code by folder: neither blank nor comment alone, after one fixed formatting, so that
# the figure says how much there is and not how it is laid out: lines of at most 100 columns, names of an enum one a line. It is
# a figure to look at, no limit.
# Everything that runs in ring 0 of the host mode is in vmm/ and arch/. The cell's program is not: it runs in ring 3.
set -euo pipefail
cd "$(dirname "$0")/../.."

style=$(mktemp -d)
trap 'rm -rf "$style"' EXIT
sed -E 's/^(ColumnLimit:).*/\1 100/; s/^(AllowShortEnumsOnASingleLine:).*/\1 false/; s/^(ReflowComments:).*/\1 false/' \
	.clang-format >"$style/style"

find vmm arch \( -name '*.c' -o -name '*.h' -o -name '*.asm' -o -name '*.inc' -o -name '*.ld' \) -print | LC_ALL=C sort |
	awk -v format="clang-format --style=file:$style/style" '
	function code(line,  start, end) {
		gsub(/"([^"\\]|\\.)*"/, "s", line)
		if (assembler) {
			sub(/;.*/, "", line)
			return line ~ /[^ \t]/
		}
		if (comment) {
			end = index(line, "*/")
			if (!end)
				return 0
			comment = 0
			line = substr(line, end + 2)
		}
		while ((start = match(line, /\/[*\/]/))) {
			end = substr(line, start, 2) == "//" ? 0 : index(substr(line, start + 2), "*/")
			if (!end) {
				comment = substr(line, start, 2) == "/*"
				line = substr(line, 1, start - 1)
				break
			}
			line = substr(line, 1, start - 1) " " substr(line, start + end + 3)
		}
		return line ~ /[^ \t]/
	}
	{
		file = folder = $0
		sub(/\/[^\/]*$/, "", folder)
		assembler = file ~ /\.(asm|inc)$/
		comment = 0
		if (!(folder in lines))
			order[++folders] = folder
		command = file ~ /\.[ch]$/ ? format " " file : "cat " file
		while ((command | getline line) > 0)
			lines[folder] += code(line)
		if (close(command))
			failed = 1
		files[folder]++
	}
	END {
		for (i = 1; i <= folders; i++) {
			printf "%-16s %3d files %6d lines\n", order[i], files[order[i]], lines[order[i]]
			count += files[order[i]]
			total += lines[order[i]]
		}
		printf "%-16s %3d files %6d lines\n", "hypervisor", count, total
		exit failed || !count
	}'
