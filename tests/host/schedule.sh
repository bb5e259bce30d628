#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Affinity and weight of a manifest are honoured, or the guest is not started.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# threads NAME FIELD: of all vCPUs, as ps has it.
threads() {
	ps -L -o comm=,"$2"= -p "$(cat "$KEEL_RUN_DIR/$1/pid")" | sed -n 's/^vcpu [0-9]* *//p' | tr -d ' ' | tr '\n' ' '
}

manifest pinned '"cpu_affinity": [ 0 ]' '"weight": 50' '"vcpus": 2'
check "create" keel create "$WORK/pinned.json"
check "its vCPUs are on their CPU" [ "$(threads pinned psr)" = '0 0 ' ]
check "and have their weight" [ "$(threads pinned ni)" = '3 3 ' ]
all_threads() {
	local task
	for task in /proc/"$1"/task/*; do
		[ "$(taskset -cp "${task##*/}" | sed 's/.*: //') $(sed 's/.*) //' "$task/stat" | cut -d ' ' -f 17)" = '0 3' ] ||
			return 1
	done
}
pid=$(cat "$KEEL_RUN_DIR/pinned/pid")
check "so are, and have, all threads of its process" all_threads "$pid"
check "and its keeper" all_threads "$(ps -o ppid= -p "$pid" | tr -d ' ')"
check "destroy" keel destroy pinned

echo 1-3,8 >"$WORK/host/online"
check "a CPU that is off line is an error of the manifest" \
	says 'pinned.json:1:[0-9]+: cpu_affinity: CPU 0 of this host is off line; those on line are 1-3,8' \
	keel check "$WORK/pinned.json"
check "nothing starts" exits 3 keel create "$WORK/pinned.json"
rm "$WORK/host/online"
manifest none '"cpu_affinity": [ 1023 ]'
check "so is one that is not there" says 'this host has no CPU 1023' keel check "$WORK/none.json"

# What is known only when it is tried.
echo 'affinity 22' >"$WORK/guests/pinned/faults"
check "a CPU that a guest cannot have" says '"cpu_affinity": some are off line, or not for this program' \
	keel create "$WORK/pinned.json"
echo 'priority 13' >"$WORK/guests/pinned/faults"
check "a weight that it cannot have" says '"weight" of its manifest: Permission denied' keel create "$WORK/pinned.json"
check "the guest was not started" [ "$(grep -c start "$WORK/guests/pinned/notes")" -eq 1 ]
check "nothing is left of it" never test -e "$KEEL_RUN_DIR/pinned"
rm "$WORK/guests/pinned/faults"
check "create" keel create "$WORK/pinned.json"
order pinned 'end 2'
check "a restart" noted pinned start 3
check "keeps them" soon sh -c "[ \"\$(ps -L -o comm=,ni= -p $(cat "$KEEL_RUN_DIR/pinned/pid") | grep -c 'vcpu.* 3\$')\" -eq 2 ]"
finish
