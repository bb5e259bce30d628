#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fuzz.sh build TARGET...: builds fuzz targets (tests/fuzz) with clang, libFuzzer and the sanitizers.
# fuzz.sh run TARGET SECONDS: has one look for inputs. What it learns is kept in the build's corpus/TARGET, what it finds in
# findings/.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"
findings=$BUILD/findings
# An input that takes so long never ends.
input_seconds=60
# What is shown of a finding: lines of the report, bytes of the input as it is shown.
report_lines=60
shown_bytes=65536

build() {
	hold "$BUILD/build.lock" "the build in $BUILD"
	"$ROOT/tools/lib/packages.sh"
	if ! is_configured "$BUILD/fuzz" "$ROOT/tests/fuzz"; then
		say "Configuring the fuzz targets"
		CC=clang logged "$BUILD/logs/fuzz-cmake.log" cmake -S "$ROOT/tests/fuzz" -B "$BUILD/fuzz" -G Ninja
	fi
	say "Building the fuzz targets"
	logged "$BUILD/logs/fuzz-build.log" cmake --build "$BUILD/fuzz" --target "${@/#/fuzz-}"
}

# try ARGUMENT...: libFuzzer's own exit status for what it finds is the one of a test that is skipped.
try() {
	"$program" -error_exitcode=1 -timeout_exitcode=1 -timeout="$input_seconds" "$@" 2>&1 | tee "$output"
}

# The program's own words from where it says what is wrong, else the last ones.
show_report() {
	local from
	from=$(grep -anE -m 1 'ERROR: |runtime error: |^fuzz[:,]' "$output" | cut -d: -f1) || true
	tail -n "${from:+"+"}${from:-$report_lines}" "$output" | sed -n "1,${report_lines}p" | LC_ALL=C tr -cd '\11\12\40-\176'
}

# show_input FILE: as commands that make the file again in another tree, where the machine at hand may be gone.
show_input() {
	local text name=${1##*/}
	text=$(gzip -9nc "$1" | base64)
	if [ "${#text}" -gt "$shown_bytes" ]; then
		printf 'The input of %d bytes is too long to be shown.\n' "$(stat -c %s "$1")"
		return
	fi
	printf 'To have this input elsewhere, and to see it fail:\n'
	printf "mkdir -p build/findings && base64 -d <<'END' | gunzip >%q\n%s\nEND\n" "build/findings/$name" "$text"
	printf 'tools/test fuzz --seconds 1 %q\n' "$target"
}

# tell FILE: what tools/test shows of a failure is all from the first line on.
tell() {
	printf 'not ok - %s: an input that fails is in %s; again: %q %q\n' "$target" "$1" "$program" "$1"
	show_report
	show_input "$1"
}

# What was found before comes first. What does not fail any more is an input among others.
try_findings() {
	local file failed=0
	for file in "$findings/$target"-*; do
		[ -e "$file" ] || continue
		if try "$file"; then
			mv "$file" "$corpus/"
		else
			tell "$file"
			failed=1
		fi
	done
	return "$failed"
}

# run SECONDS
run() {
	local before status=0 new
	try_findings || return 1
	before=$(find "$findings" -name "$target-*" | sort)
	try -max_total_time="$1" -print_final_stats=1 -artifact_prefix="$findings/$target-" "$corpus" || status=$?
	[ "$status" -ne 77 ] || return 77
	if [ "$status" -eq 0 ]; then
		printf 'ok - %s: nothing found in %d s; %d inputs are kept in %s\n' \
			"$target" "$1" "$(find "$corpus" -type f | wc -l)" "$corpus"
		return 0
	fi
	new=$(find "$findings" -name "$target-*" | sort | grep -vxF -e "$before" | head -n 1) || true
	if [ -n "$new" ]; then
		tell "$new"
	else
		printf 'not ok - %s: ended with status %d and left no input\n' "$target" "$status"
		show_report
	fi
	return 1
}

case ${1:-} in
build)	build "${@:2}" ;;
run)	target=$2 program=$BUILD/fuzz/fuzz-$2 corpus=$BUILD/corpus/$2 output=$BUILD/logs/fuzz-$2-output.log
	mkdir -p "$findings" "$corpus" "$BUILD/logs"
	run "$3" ;;
*)	die "usage: tools/lib/fuzz.sh build TARGET... | run TARGET SECONDS" ;;
esac
