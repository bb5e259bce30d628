#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# tcb.sh [LIMIT]: prints the hypervisor's lines of code by folder (neither blank nor comment alone) and fails above LIMIT.
# Everything that runs in ring 0 of the host mode is in vmm/ and arch/. The cell's program is not: it runs in ring 3.
set -eu
cd "$(dirname "$0")/../.."
limit=${1:-7000}

find vmm arch \( -name '*.c' -o -name '*.h' -o -name '*.asm' -o -name '*.inc' -o -name '*.ld' \) -print | LC_ALL=C sort |
	awk -v limit="$limit" '
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
		while ((getline line < file) > 0)
			lines[folder] += code(line)
		close(file)
		files[folder]++
	}
	END {
		for (i = 1; i <= folders; i++) {
			printf "%-16s %3d files %6d lines\n", order[i], files[order[i]], lines[order[i]]
			count += files[order[i]]
			total += lines[order[i]]
		}
		printf "%-16s %3d files %6d lines, at most %d\n", "hypervisor", count, total, limit
		exit total > limit || !count
	}'
