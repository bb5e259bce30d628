#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lint.sh BUILD [analyze]: compiles everything with clang, warnings being errors, and runs clang-tidy over what BUILD compiled, with
# its static analyzer only if that is asked for. Files that passed are looked at again when they, a header or the checks have changed.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"
root=$ROOT
build=$(cd "$1" && pwd)
stamps=$build/lint${2:+-$2}
export checks='-clang-analyzer-*'
[ "${2:-}" != analyze ] || checks=

compile() {
	local log=$build/lint/clang.log
	is_configured "$build/clang" "$root" || CC=clang cmake -S "$root" -B "$build/clang" -G Ninja >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
	cmake --build "$build/clang" >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
}

# The tests themselves, by their own flags; what they test has been compiled above, so nothing is generated.
compile_tests() {
	local log=$build/lint/clang-tests.log
	is_configured "$build/clang/unit-tests" "$root/tests/unit" || true
	CC=clang cmake -S "$root/tests/unit" -B "$build/clang/unit-tests" -G Ninja \
		-DCMAKE_EXPORT_COMPILE_COMMANDS=ON >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
	commands_of_tests "$build/clang/unit-tests/compile_commands.json" | xargs -0 -n 1 -P "$(nproc)" sh -c
}

# commands_of_tests FILE: of CMake's list of commands; with a null byte behind each. Nothing is written but complaints.
commands_of_tests() {
	python3 - "$1" "$root/tests/" <<-'PROGRAM'
		import json, shlex, sys
		commands = set()
		for entry in json.load(open(sys.argv[1], encoding="utf-8")):
		    if entry["file"].startswith(sys.argv[2]):
		        words = shlex.split(entry["command"])
		        output = words.index("-o")
		        commands.add(shlex.join(words[:output] + ["-fsyntax-only"] + words[output + 2:]))
		sys.stdout.write("".join(command + "\0" for command in sorted(commands)))
	PROGRAM
}

sources() {
	sed -nE 's/^ *"file": "(.*\.c)",?$/\1/p' "$build/compile_commands.json" | sort -u
}

newest_header() {
	find "$root" \( -path "$root/build" -o -name .git \) -prune -o \( -name '*.h' -o -name .clang-tidy \) -printf '%T@ %p\n' |
		sort -n | tail -n 1 | cut -d' ' -f2-
}

# tidy STAMPS BUILD FILE
tidy() {
	local stamp=$1/${3//\//_} output
	output=$(clang-tidy --quiet ${checks:+--checks="$checks"} -p "$2" "$3" 2>/dev/null) || {
		printf '%s\n' "$output" >&2
		return 1
	}
	touch "$stamp"
}
export -f tidy

tidy_pending() {
	printf '%s\0' "${pending[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'tidy "$@"' tidy "$stamps" "$build"
}

# patiently TEXT COMMAND...: tells how long it takes.
patiently() {
	local status=0
	say "$1"
	start_ticker "$1"
	"${@:2}" || status=$?
	stop_ticker
	return "$status"
}

mkdir -p "$build/lint" "$stamps"
patiently "Compiling by clang" compile
patiently "Compiling the tests by clang" compile_tests
header=$(newest_header)
pending=()
count=0
while read -r source; do
	stamp=$stamps/${source//\//_}
	count=$((count + 1))
	if [ ! -e "$stamp" ] || [ "$source" -nt "$stamp" ] || [ "$header" -nt "$stamp" ]; then
		pending+=("$source")
	fi
done < <(sources)
[ "$count" -gt 0 ] || { echo "lint: $build has no compile_commands.json with C files" >&2; exit 1; }
if [ ${#pending[@]} -gt 0 ]; then
	patiently "Looking at ${#pending[@]} files by clang-tidy" tidy_pending
fi
echo "lint: $count files, ${#pending[@]} looked at anew, no complaint"
