#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tools/bench as a person uses it, in a small tree of its own: options, what it keeps of a measurement, comparing two, ending it.
# shellcheck disable=SC2016,SC2317
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/host/tools.sh
. "$ROOT/tests/host/tools.sh"
unset KEEL_BUILD KEEL_INVOKED

# A tree in which all is there that a measurement wants, and the hypervisor has 123 lines.
tree="$WORK/a tree"
make_tree() {
	local script
	mkdir -p "$tree/tests" "$tree/build/image" "$tree/build/bench" "$tree/build/guests"
	cp -a "$ROOT/tools" "$ROOT/include" "$ROOT/devmodel" "$tree/"
	cp -a "$ROOT/tests/guests" "$ROOT/tests/integration" "$tree/tests/"
	for script in build guests; do
		printf '#!/bin/sh\n' >"$tree/tools/lib/$script.sh"
	done
	# It prints where the image is.
	printf '#!/bin/sh\necho "${0%%/tools/*}/build/image/host.iso"\n' >"$tree/tools/lib/image.sh"
	cat >"$tree/CMakeLists.txt" <<-'TEXT'
		cmake_minimum_required(VERSION 3.18)
		project(small NONE)
		add_custom_target(tcb COMMAND ${CMAKE_COMMAND} -E echo "hypervisor   5 files   123 lines" VERBATIM)
	TEXT
	echo /build/ >"$tree/.gitignore"
	touch "$tree/build/image/host.iso" "$tree/build/guests/tiny.iso"
	touch -d '+1 hour' "$tree/build/bench/guest.iso"
	cmake -S "$tree" -B "$tree/build" -G Ninja >"$WORK/cmake.log" 2>&1 || die "no small tree: $(tail -n 3 "$WORK/cmake.log")"
	git -C "$tree" init -q
	git -C "$tree" add .
	git -C "$tree" -c user.name=x -c user.email=x@example.org commit -qm x || die "no small repository"
}

# results NAME VALUE...: of a measurement of these values.
results() {
	local name=$1 values
	shift
	values=$(IFS=,; echo "$*")
	mkdir -p "$tree/build/bench/results"
	printf '{"date": "x", "commit": "x", "emulator": "QEMU", "repetitions": %d, "not_measured": [], "results": [
		{"group": "Loops", "what": "a loop", "unit": "ratio", "value": %s, "values": [%s],
		 "target": null, "met": null, "note": ""},
		{"group": "Loops", "what": "%s", "unit": "lines", "value": 7, "values": [7],
		 "target": null, "met": null, "note": ""}
		]}\n' $# "$2" "$values" "only-$name" >"$tree/build/bench/results/2026-01-01-$name-qemu.json"
}

bench() {
	"$tree/tools/bench" "$@"
}

keeps_results() {
	local commit file
	commit=$(git -C "$tree" rev-parse --short=10 HEAD)
	bench --quick lines || return 1
	file=$(echo "$tree/build/bench/results/"????-??-??T??-??-??-"$commit"-qemu.json)
	grep -q '"value": 123' "$file" && grep -q '"min": 123' "$file" && grep -q "\"commit\": \"$commit\"" "$file" &&
		cmp "$file" "$tree/build/bench/results.json"
}

marks_changes() {
	echo "# more" >>"$tree/CMakeLists.txt"
	bench --quick lines
	git -C "$tree" checkout -q CMakeLists.txt
	compgen -G "$tree/build/bench/results/*-changed-qemu.json"
}

ended_by_signal() {
	local process
	: >"$MACHINE_PIDS"
	MACHINE='trap "" INT TERM; while :; do sleep 1; done'
	"$tree/tools/bench" --quick steady >"$WORK/bench.log" 2>&1 &
	process=$!
	machine_starts || { cat "$WORK/bench.log"; return 1; }
	bench lines >"$WORK/second.log" 2>&1 && return 1
	kill -TERM "$process"
	wait "$process"
	cat "$WORK/bench.log"
	no_machine_left && tail -n 1 "$WORK/bench.log" | grep 'ended by SIGTERM'
}

# What the firmware image says of itself is told, and not that a line is missing.
image_failed() {
	MACHINE='echo "exits: FAIL interrupts were lost" >>"$guest"; echo "init: command finished, status 0" >>"$host"'
	ends_with 1 "1 of the parts could not be measured" "$tree/tools/bench" --quick exits &&
		grep 'the firmware image says: interrupts were lost' "$WORK/output"
}

make_tree
check "bench: -h" ends_with 0 . "$tree/tools/bench" -h
check "bench: an option that it does not know" \
	ends_with 2 "unknown option --qick, did you mean --quick" "$tree/tools/bench" --qick
check "bench: a part that is not there" ends_with 2 "unknown part exit, did you mean exits" "$tree/tools/bench" exit
check "bench: a number that is none" ends_with 2 "repetitions.*'x'" "$tree/tools/bench" --repetitions=x
check "bench: no rounds at all" ends_with 2 "rounds.*at least 1, not 0" "$tree/tools/bench" --rounds 0
check "bench: results are kept with date and commit" keeps_results
check "bench: what is not committed is told" marks_changes
results old 1.0 1.1 1.2
results near 1.15 1.25 1.3
results far 2.0 2.2 2.3
results single 2.2 2.2
sed -i 's/"values": \[2.2,2.2\]/"values": [2.2]/' "$tree/build/bench/results/"*single*
check "compare: the ratio, and a mark where the spread covers it" \
	says 'a loop .*1\.100 \[1\.000 to 1\.200\] .*1\.250 .*1\.136 ~$' bench --compare old near
check "compare: none where it does not" says 'a loop .* 2\.000$' bench --compare old far
check "compare: a time without a spread" says 'a loop .* \?$' bench --compare old single
check "compare: what is in one alone" says 'only in B: Loops: only-near' bench --compare=old near
check "compare: files" exits 0 bench --compare "$tree/build/bench/results/2026-01-01-old-qemu.json" near
check "compare: a name of several" ends_with 1 "Name a file, or a part" "$tree/tools/bench" --compare 2026-01-01 near
echo '{"results": [{}]}' >"$WORK/broken.json"
check "compare: a file of another kind" ends_with 1 "no results of tools/bench" \
	"$tree/tools/bench" --compare "$WORK/broken.json" near
# broken TEXT FROM TO: whether a file of results in which FROM is TO is refused with this text.
broken() {
	sed "s/$2/$3/g" "$tree/build/bench/results/2026-01-01-near-qemu.json" >"$WORK/broken.json"
	ends_with 1 "no results of tools/bench: $1" "$tree/tools/bench" --compare near "$WORK/broken.json"
}
for member in emulator repetitions results group what unit value values; do
	check "compare: without $member" broken "'$member' is missing" "\"$member\"" '"x"'
done
check "compare: values that are none" broken "a value is no number" '"value": [0-9.]*' '"value": "x"'
echo '{"emulator": "QEMU", "repetitions": 1, "results": []}' >"$WORK/broken.json"
check "compare: results of nothing" ends_with 1 "there is none in it" "$tree/tools/bench" --compare "$WORK/broken.json" near
unread_table() {
	rm -rf "$tree/build/bench/results.json"
	bench --quick lines >/dev/full
	[ -s "$tree/build/bench/results.json" ]
}
check "bench: a table that cannot be written costs no results" unread_table
check "bench: and is told" says 'cannot write the table.*No space left' \
	sh -c '"$1" --quick lines >/dev/full' - "$tree/tools/bench"
check "bench: SIGTERM leaves no emulator" ended_by_signal
check "bench: meanwhile a second run was refused" \
	grep -E 'another run has .*pid [0-9]+ since [0-9:]+, bench --quick steady' "$WORK/second.log"
check "bench: a failure of the firmware image" image_failed
finish
