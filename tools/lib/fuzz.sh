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
	"$program" -error_exitcode=1 -timeout_exitcode=1 -timeout="$input_seconds" "$@"
}

# tell FILE
tell() {
	printf 'not ok - %s: an input that fails is in %s; again: %q %q\n' "$target" "$1" "$program" "$1"
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
	new=$(find "$findings" -name "$target-*" | sort | grep -vxF -e "$before" | head -n 1)
	if [ -n "$new" ]; then
		tell "$new"
	else
		printf 'not ok - %s: ended with status %d and left no input\n' "$target" "$status"
	fi
	return 1
}

case ${1:-} in
build)	build "${@:2}" ;;
run)	target=$2 program=$BUILD/fuzz/fuzz-$2 corpus=$BUILD/corpus/$2
	mkdir -p "$findings" "$corpus"
	run "$3" ;;
*)	die "usage: tools/lib/fuzz.sh build TARGET... | run TARGET SECONDS" ;;
esac
