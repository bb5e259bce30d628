#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tools/test and the build as a person uses them, in a small tree of its own, below a path with spaces: what they say meanwhile,
# what is left when they are ended, two at a time, and a tree that is copied.
# shellcheck disable=SC2016,SC2317
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/host/tools.sh
. "$ROOT/tests/host/tools.sh"
unset KEEL_BUILD KEEL_INVOKED JOBS

# make_tree FOLDER: the tools, and something that takes no time to build.
make_tree() {
	local script
	mkdir -p "$1/tests/integration" "$1/tests/host" "$1/build/image" "$1/guests"
	cp -a "$ROOT/tools" "$1/"
	for script in packages image; do
		printf '#!/bin/sh\n' >"$1/tools/lib/$script.sh"
	done
	cat >"$1/CMakeLists.txt" <<-'TEXT'
		cmake_minimum_required(VERSION 3.18)
		project(small NONE)
		add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/product DEPENDS ${CMAKE_SOURCE_DIR}/source
			COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/source ${CMAKE_BINARY_DIR}/product VERBATIM)
		add_custom_target(all_of_it ALL DEPENDS ${CMAKE_BINARY_DIR}/product)
	TEXT
	echo original >"$1/source"
	touch "$1/build/image/host.iso"
	printf '{ "version": 1, "name": "none" }\n' >"$1/guests/tiny.json"
}

# make_test NAME COMMANDS [SECONDS]
make_test() {
	printf '#!/bin/bash\n%s\n' "$2" >"$tree/tests/integration/$1.sh"
	printf '%s integration %s - always\n' "$1" "${3:-300}" >>"$tree/tests/catalogue"
}

tree="$WORK/a tree"
make_tree "$tree"
make_test good 'echo "ok - x"'
make_test bad 'echo "not ok - x"; exit 1'
make_test absent 'exit 77'
make_test nap 'sleep 4'
make_test gate "until [ -e '$WORK/go' ]; do sleep 0.2; done"
make_test long-nap 'sleep 63'
make_test busy 'while :; do :; done' 2
make_test leaves 'for _ in {1..50}; do setsid sleep 300 & echo $! >>"$MACHINE_PIDS"; done'
make_test boots '"$ROOT/tools/run" --no-build --expect never; echo "it came back"'

test_copies() {
	local copy="$WORK/a copy" moved="$WORK/moved"
	check "build: a tree" exits 0 "$tree/tools/lib/build.sh"
	cp -a "$tree" "$copy"
	echo changed >"$copy/source"
	check "build: a copy is built" says "comes from another tree" "$copy/tools/lib/build.sh"
	check "build: from its own sources" grep -x changed "$copy/build/product"
	check "build: and the other one's is as before" grep -x original "$tree/build/product"
	check "build: the next time nothing is said" never says "another tree" "$copy/tools/lib/build.sh"
	mv "$copy" "$moved"
	echo moved >"$moved/source"
	check "build: a tree that was moved" exits 0 "$moved/tools/lib/build.sh"
	check "build: from its own sources, too" grep -x moved "$moved/build/product"
}

# long_soon COMMAND...: whether it succeeds within a minute; the machine may be busy with other tests.
long_soon() {
	local _
	for _ in $(seq 300); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.2
	done
	return 1
}

# The build waits for another one, says so, and goes on.
waits_for_build() {
	local lock process told=0
	exec {lock}>>"$tree/build/build.lock"
	flock "$lock" || return 1
	echo 'pid 4711 since 13:02:11, run' >"$tree/build/build.lock"
	"$tree/tools/lib/build.sh" {lock}>&- >"$WORK/waits.log" 2>&1 &
	process=$!
	long_soon grep "Waiting for the build in .*: pid 4711 since 13:02:11, run" "$WORK/waits.log" || told=1
	exec {lock}>&-
	wait "$process" || told=1
	cat "$WORK/waits.log"
	return "$told"
}

# A second run goes away at once, and the first one is not disturbed.
refuses_second() {
	local first
	rm -f "$WORK/go"
	"$tree/tools/test" gate >"$WORK/first.log" 2>&1 &
	first=$!
	long_soon grep -q 'Tests: gate' "$WORK/first.log" || return 1
	ends_with 2 "another run has .*: pid [0-9]+ since [0-9:]+, test gate.*KEEL_BUILD=" "$tree/tools/test" good || return 1
	touch "$WORK/go"
	wait "$first"
}

test_results() {
	check "test: one that passes" ends_with 0 "^1 passed, 0 failed, 0 skipped$" "$tree/tools/test" good
	check "test: the same twice runs once" ends_with 0 "^1 passed, 0 failed, 0 skipped$" "$tree/tools/test" good good
	check "test: its line" says '^passed   good \([0-9]+ s, [0-9]+ s of the processor\)$' "$tree/tools/test" good
	check "test: one that fails, and one that is skipped" ends_with 1 "^1 passed, 1 failed, 1 skipped$" \
		"$tree/tools/test" good bad absent
	check "test: its line" says '^FAILED   bad \([0-9]+ s, [0-9]+ s of the processor\), see .*/test-bad.log$' \
		"$tree/tools/test" bad
	check "test: one that takes too long" ends_with 1 "^0 passed, 1 failed, 0 skipped$" "$tree/tools/test" busy
	check "test: why" grep -E 'not finished after [0-9]+ s of processor time' "$tree/build/logs/test-busy.log"
	: >"$MACHINE_PIDS"
	check "test: what a test leaves running is ended" exits 0 "$tree/tools/test" leaves
	check "test: it is gone" no_machine_left
	check "test: another build is waited for, by its name" waits_for_build
	check "test: a second run is refused, with the remedy" refuses_second
	check "test: jobs" ends_with 0 "^2 passed" "$tree/tools/test" --jobs=1 good nap
	check "test: a terminal shows what runs" says 'running since [0-9:]+: nap \([0-9]+ s\); 0 of 1 done' \
		"$ROOT/tests/host/terminal.py" never 1 x "$tree/tools/test" nap
}

# with_row ROW COMMAND...: with one row more in the catalogue.
with_row() {
	local status=0 catalogue=$tree/tests/catalogue
	cp "$catalogue" "$WORK/catalogue"
	printf '%s\n' "$1" >>"$catalogue"
	"${@:2}" || status=$?
	cp "$WORK/catalogue" "$catalogue"
	return "$status"
}

test_catalogue() {
	check "test: --list prints the catalogue" says '^busy +integration +2 +- +always$' "$tree/tools/test" --list
	check "test: with one row of each test" exits 0 "$ROOT/tools/test" --list
	printf '#!/bin/bash\n' >"$tree/tests/host/new.sh"
	check "test: a test without a row" \
		ends_with 2 "tests/host/new.sh is not in tests/catalogue: add a row such as 'host-new host" \
		"$tree/tools/test" good
	check "test: the same with a row" with_row 'host-new host 300 - long' ends_with 0 '^1 passed' "$tree/tools/test" host-new
	printf '# a part of others\n' >"$tree/tests/host/new.sh"
	check "test: a part of a test needs none" ends_with 0 '^1 passed' "$tree/tools/test" good
	rm "$tree/tests/host/new.sh"
	check "test: a row without a test" with_row 'gone integration 300 - always' ends_with 2 \
		'there is no tests/integration/gone.sh for gone: write it, or take the row out' "$tree/tools/test" good
	check "test: a row twice" \
		with_row 'good integration 300 - always' ends_with 2 'good is there twice' "$tree/tools/test" good
	check "test: a row that is none" with_row 'good integration soon - always' ends_with 2 \
		"catalogue, line [0-9]+: expected NAME .* found 'good integration soon - always'" "$tree/tools/test" good
	check "test: a row that is too short" with_row 'good' ends_with 2 "expected NAME .* found 'good'" "$tree/tools/test" good
}

# With one place for each kind, one of the host does not wait for one that may keep a processor busy.
test_places() {
	rm -f "$WORK/go"
	printf '#!/bin/bash\ntouch %q\n' "$WORK/go" >"$tree/tests/host/opens.sh"
	check "test: one of the host runs beside another" with_row 'host-opens host 300 - always' \
		ends_with 0 '^2 passed' "$tree/tools/test" --jobs 1 gate host-opens
	rm "$tree/tests/host/opens.sh"
}

# make_target CONDITION: a fuzz target that fails where this holds.
make_target() {
	cat >"$tree/tests/fuzz/fuzz_small.c" <<-SOURCE
		#include <unistd.h>

		#include "fuzz.h"

		int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
		{
			require(!($1), "found");
			return 0;
		}

		static size_t make_input(uint8_t *input, uint64_t *state)
		{
			return fuzz_make_bytes(input, 8, state);
		}

		const struct fuzz_target fuzz_target = { 1, 8, make_input };
	SOURCE
}

# The command that a failed run gives.
again() {
	local command
	command=$(sed -n 's/^not ok - small: .*; again: //p' "$tree/build/logs/test-fuzz-small.log")
	[ -n "$command" ] && ! eval "$command"
}

# What a failed run shows makes the same input in another tree, where it fails, too.
elsewhere() {
	local other="$WORK/elsewhere"
	mkdir -p "$other"
	sed -n '/^mkdir -p build/,/^END/p' "$WORK/output" >"$WORK/paste"
	(cd "$other" && bash "$WORK/paste") || return 1
	for file in "$other"/build/findings/small-crash-*; do
		cmp "$file" "$tree/build/findings/${file##*/}" || return 1
	done
	! "$tree/build/fuzz/fuzz-small" "$file"
}

test_fuzz() {
	local fuzz=("$tree/tools/test" fuzz --seconds 3)
	mkdir -p "$tree/tests/fuzz" "$tree/tests/unit"
	cp "$ROOT"/tests/fuzz/{CMakeLists.txt,fuzz.h,fuzz_main.c} "$tree/tests/fuzz/"
	cp "$ROOT/tests/unit/flags.cmake" "$tree/tests/unit/"
	echo 'keel_fuzz_target(small)' >"$tree/tests/fuzz/targets.cmake"
	echo 'fuzz-small fuzz 60 - named' >>"$tree/tests/catalogue"
	make_target "size > 2 && data[0] == 'b' && data[1] == 'a' && data[2] == 'd'"
	check "fuzz: what a target finds fails the test" ends_with 1 '^0 passed, 1 failed' "${fuzz[@]}"
	check "fuzz: the report of the target is shown" grep -E '^fuzz: found$' "$WORK/output"
	check "fuzz: the input is shown, to be had elsewhere" elsewhere
	check "fuzz: the input is told" says 'not ok - small: an input that fails is in .*/findings/small-crash-.*; again: ' \
		cat "$tree/build/logs/test-fuzz-small.log"
	check "fuzz: it fails again by the command that is told" again
	check "fuzz: the next run begins with it" ends_with 1 '^0 passed, 1 failed' "${fuzz[@]}" small
	make_target 'size > 8 && data[0]'
	check "fuzz: where it is mended it passes" ends_with 0 '^1 passed, 0 failed' "${fuzz[@]}" small
	check "fuzz: the input is an input among others then" compgen -G "$tree/build/corpus/small/small-crash-*"
	make_target '(_exit(3), !data && size)'
	check "fuzz: one that ends, and leaves no input" ends_with 1 '^0 passed, 1 failed' "${fuzz[@]}" small
	check "fuzz: it is told" grep -E '^not ok - small: ended with status 3 and left no input' "$WORK/output"
	check "fuzz: a target that is not there" ends_with 2 'fuzz-smal: no such test, did you mean fuzz-small' "${fuzz[@]}" smal
	check "fuzz: seconds that are none" ends_with 2 '--seconds: expected a number' "$tree/tools/test" fuzz --seconds=0
}

# SIGTERM while the tests run.
ci_ends() {
	local process
	rm -f "$WORK/pid"
	FAILING='wait' PID_FILE="$WORK/pid" "$WORK/ci/.ci/run" &
	process=$!
	soon test -s "$WORK/pid" && kill "$process"
	wait "$process"
	[ $? -eq 143 ] && ! kill -0 "$(cat "$WORK/pid")" && [ "$(wc -l <"$WORK/pid")" -eq 1 ]
}

test_ci() {
	local script=$WORK/ci/.ci/run
	mkdir -p "$WORK/ci/.ci" "$WORK/ci/tools"
	cp "$ROOT/.ci/run" "$WORK/ci/.ci/"
	cat >"$WORK/ci/tools/test" <<-'SCRIPT'
		#!/bin/bash
		echo "ran ${1:-all}"
		if [ "$FAILING" = wait ]; then
			echo $$ >>"$PID_FILE"
			exec sleep 60
		fi
		[[ $FAILING != *" ${1:-all} "* ]]
	SCRIPT
	chmod +x "$WORK/ci/tools/test"
	check "CI: all passes" ends_with 0 '^ran fuzz$' env FAILING= "$script"
	check "CI: the fuzz targets run although a test has failed, which counts" ends_with 1 '^ran fuzz$' \
		env FAILING=' all ' "$script"
	check "CI: a finding counts" ends_with 1 '^ran fuzz$' env FAILING=' fuzz ' "$script"
	check "CI: SIGTERM ends what runs, and nothing more" ci_ends
}

test_options() {
	check "test: -h" ends_with 0 . "$tree/tools/test" -h
	check "test: an option that it does not know" \
		ends_with 2 "unknown option --lnog, did you mean --long" "$tree/tools/test" --lnog
	check "test: a test that is not there" ends_with 2 "godo: no such test, did you mean good" "$tree/tools/test" godo
	check "test: a file instead of a name" ends_with 2 "called by its name, did you mean good" \
		"$tree/tools/test" tests/integration/good.sh
	check "test: a way out of the folder" ends_with 2 "called by its name" "$tree/tools/test" ../integration/good
	check "test: minutes that are none" ends_with 2 "expected a number of minutes" "$tree/tools/test" soak long
}

# An emulator that does not want to end.
MACHINE='trap "" INT TERM; echo up >>"$guest"; while :; do sleep 1; done'

# interrupted SIGNAL: what is left of a test that has booted, when tools/test is ended.
interrupted() {
	local process
	: >"$MACHINE_PIDS"
	"$tree/tools/test" boots >"$WORK/test.log" 2>&1 &
	process=$!
	machine_starts || { cat "$WORK/test.log"; return 1; }
	kill -"$1" "$process"
	wait "$process"
	echo "status $?"
	cat "$WORK/test.log"
	[ "$1" != KILL ] || sleep 12
	no_machine_left && ! grep "came back" "$tree/build/logs/test-boots.log"
}

# In a tree whose build does not end.
interrupted_build() {
	local busy="$WORK/busy tree" process
	: >"$MACHINE_PIDS"
	[ -e "$busy" ] || cp -a "$tree" "$busy"
	printf '#!/bin/bash\necho $$ >>"$MACHINE_PIDS"\ntrap "" TERM INT\nwhile :; do sleep 1; done\n' >"$busy/tools/lib/build.sh"
	"$busy/tools/$1" >"$WORK/build.log" 2>&1 &
	process=$!
	machine_starts || { cat "$WORK/build.log"; return 1; }
	kill -TERM "$process"
	wait "$process"
	cat "$WORK/build.log"
	no_machine_left && grep 'ended by SIGTERM' "$WORK/build.log"
}

at_terminal() {
	: >"$MACHINE_PIDS"
	says 'ended by Ctrl-C' "$ROOT/tests/host/terminal.py" 'running since.*boots \([2-9]' 3 '\x03' "$tree/tools/test" boots &&
		no_machine_left
}

test_interrupts() {
	check "test: SIGTERM leaves no emulator" interrupted TERM
	check "test: its last line says so" grep -q 'ended by SIGTERM' "$WORK/test.log"
	check "test: SIGHUP leaves no emulator" interrupted HUP
	check "test: Ctrl-C at a terminal leaves no emulator" at_terminal
	check "test: SIGTERM ends a build" interrupted_build test
	check "run: SIGTERM ends a build" interrupted_build run
	check "test: SIGKILL leaves no emulator for long" interrupted KILL
}

# In the background, for it takes a minute.
cp -a "$tree" "$WORK/slow tree"
"$WORK/slow tree/tools/test" long-nap >"$WORK/slow.log" 2>&1 &
slow=$!
test_copies
test_catalogue
test_places
test_fuzz
test_ci
test_options
test_results
test_interrupts
wait "$slow"
check "test: without a terminal there is a line each minute" \
	grep -E '^==> running since [0-9:]+: long-nap \([0-9]+ s\); 0 of 1 done$' "$WORK/slow.log"
finish
