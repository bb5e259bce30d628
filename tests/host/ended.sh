#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest that ends, at once or later, tells why: to whoever started it, in its log, and in keel list --all.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# A crash in the first moments.
manifest crash
order crash 'say line one\nlast words\x1b[31m\n'
order crash 'end 6 11'
keel create "$WORK/crash.json" >"$WORK/created" 2>&1
check "create of a guest that dies at once is a failure" [ $? -eq 1 ]
check "it says so" grep -q 'guest "crash" ended at once: the device model gave up' "$WORK/created"
check "it shows the last output" grep -q 'line one' "$WORK/created"
check "fit to be shown" grep -qF 'last words\u001b[31m' "$WORK/created"
check "the log says so" says 'crash: ended: the device model gave up' keel log crash
check "list does not show it" never says crash keel list
check "list --all does" says '^crash +ended .*the device model gave up' keel list --all
check "list --all --json" sh -c "keel list --all --json | grep -E '\"name\":\"crash\",\"state\":\"ended\".*\"crashed\":true'"

forget crash
order crash 'say once more\n\x00behind a zero'
order crash 'end 6 11'
keel create --json "$WORK/crash.json" >"$WORK/created"
check "create --json: a failure" [ $? -eq 1 ]
check "create --json: reason and output" \
	grep -q '"ok":false.*"event":"ended".*"reason":"the device model gave up.*"output":"once more.*u0000behind a zero' \
	"$WORK/created"

forget crash
order crash 'say third time\n'
order crash 'end 6 11'
keel create --console "$WORK/crash.json" >"$WORK/output" 2>"$WORK/words" </dev/null
check "create --console: a failure" [ $? -eq 1 ]
check "create --console: all of the output" [ "$(cat "$WORK/output")" = "third time" ]
check "create --console: the reason" grep -q 'crash: ended (the device model gave up' "$WORK/words"

# More than the console keeps.
manifest loud
line=$(printf 'x%.0s' $(seq 99))
for i in $(seq 1500); do
	printf 'say %s\\n\n' "$line"
done >"$WORK/guests/loud/orders"
order loud 'end 1'
keel create --console "$WORK/loud.json" >"$WORK/output" 2>/dev/null </dev/null
check "create --console: nothing is lost" [ "$(wc -c <"$WORK/output")" -eq 150000 ]

# An end that is none of a crash.
manifest off
order off 'say done\n'
order off 'end 1'
keel create "$WORK/off.json" >"$WORK/created" 2>&1
check "create of a guest that switches itself off at once" [ $? -eq 0 ]
check "it says so" grep -q 'guest "off" ended at once: the guest switched its machine off' "$WORK/created"
manifest kept '"on_crash": "preserve"'
order kept 'end 7 1'
keel create "$WORK/kept.json" >"$WORK/created" 2>&1
check "create of a guest that is kept is a failure" [ $? -eq 1 ]
check "it says so" grep -q 'guest "kept" preserved at once' "$WORK/created"
check "it is there" says '^kept +preserved .*processor refused' keel list
manifest again
order again 'end 2'
check "create of a guest that resets itself at once" keel create "$WORK/again.json"
check "it runs" says '^again +running' keel list --all

# In JSON a quotation mark takes the room of two.
quotes=$(printf '"%.0s' $(seq 190))
quotes=$quotes/$quotes/$quotes/$quotes/$quotes
mkdir -p "$WORK/$quotes"
truncate -s 1M "$WORK/$quotes/disk.img"
manifest quoted "\"disks\": [ { \"file\": \"${quotes//\"/\\\"}/disk.img\" } ]"
check "create a guest on a disk of a long name" keel create "$WORK/quoted.json"
truncate -s 0 "$WORK/$quotes/disk.img"
check "it cannot be restarted" exits 1 keel reset quoted
check "list --all: though that takes many words" says '^quoted +ended .*shorter than a sector' keel list --all

# Later.
order again 'end 8 5'
check "a crash later" soon never test -e "$KEEL_RUN_DIR/again"
check "list --all has it" says '^again +ended .*no answer for' keel list --all
manifest killed
check "create" keel create "$WORK/killed.json"
kill -KILL "$(cat "$KEEL_RUN_DIR/killed/pid")"
check "list --all: a process that was killed" soon says '^killed +lost .*ended by signal 9' keel list --all
manifest stuck
echo 'run 5' >"$WORK/guests/stuck/faults"
keel create "$WORK/stuck.json" >"$WORK/created" 2>&1
check "create of a guest whose vCPU cannot run is a failure" [ $? -eq 1 ]
check "it says so" grep -q 'guest "stuck" ended at once: vCPU 0 cannot run: Input/output error' "$WORK/created"
check "list --all has it" says '^stuck +ended .*vCPU 0 cannot run' keel list --all
manifest stuck '"on_crash": "preserve"'
check "it is a crash for its manifest" says 'guest "stuck" preserved at once' keel create "$WORK/stuck.json"
check "and its owner's wish is one" keel destroy stuck
manifest taken
order taken 'babble'
keel create "$WORK/taken.json" >/dev/null 2>&1
check "a process that says what its keeper does not know is ended" soon never test -e "$KEEL_RUN_DIR/taken"
check "and the log says why" says 'says what it never says' keel log taken
manifest rubbish
check "create" keel create "$WORK/rubbish.json"
order rubbish 'scribble'
check "a process that ruins its record is gone" soon never test -e "$KEEL_RUN_DIR/rubbish"
check "list --all has it" says '^rubbish +lost .*left no record' keel list --all
check "what it wrote does not stay" [ "$(stat -c %s "$KEEL_RUN_DIR/.ended/rubbish")" -eq 2048 ]
forget crash
order crash 'say well\n'
check "a next start is not the old one" keel create "$WORK/crash.json"
check "list --all: it runs" says '^crash +running' keel list --all
check "and not twice" [ "$(keel list --all | grep -c '^crash ')" -eq 1 ]

# A record for each guest that ever ran would be too many.
for i in $(seq 300); do
	printf '{"state":"ended","since":"then","reason":"old","crashed":false}' >"$KEEL_RUN_DIR/.ended/old$i"
	touch -d "2020-01-01 00:00:$((i % 60))" "$KEEL_RUN_DIR/.ended/old$i"
done
check "create" keel create "$WORK/killed.json"
check "the number of records is bounded" [ "$(find "$KEEL_RUN_DIR/.ended" -type f | wc -l)" -le 257 ]
check "those that run and ended last are there" sh -c 'keel list --all | grep -cE "^(crash|killed|again|off) " | grep -x 4'

check "in the order of their names" sh -c 'keel list --all | sed -nE "s/^(old[0-9]*) .*/\1/p" | LC_ALL=C sort -c'
check "and since when they are gone" says '^off +ended .* 20[0-9T:-]+Z  the guest switched' keel list --all

# Records that are none.
printf '[]' >"$KEEL_RUN_DIR/.ended/array"
printf '{"name":"off","state":"ended","since":1,"reason":"x","crashed":false}' >"$KEEL_RUN_DIR/.ended/number"
printf '{"name":"off","state":"ended","since":"now","reason":"x","crashed":false,"more":1}' >"$KEEL_RUN_DIR/.ended/mine"
check "records that are none are left out" never says '^(array|number) ' keel list --all
check "a record's name is its file's" says '^mine +ended ' keel list --all
check "what there is not in a record is not told" never says '"more"' keel list --all --json
rm "$KEEL_RUN_DIR/.ended/mine"

# A run folder that is full.
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
	mkdir "$WORK/full"
	# shellcheck disable=SC2016
	check "a full run folder: the reason" \
		says 'No space left on device' unshare -m sh -c 'mount -t tmpfs -o size=8k none "$1" &&
		{ dd if=/dev/zero of="$1/x" bs=4k count=2 2>/dev/null; KEEL_RUN_DIR=$1/run keel create "$2"; }' - \
			"$WORK/full" "$WORK/off.json"
	# shellcheck disable=SC2016
	check "one with no room for a record as well" says 'cannot (make|write) .*/off: No space left' unshare -m sh -c \
		'mount -t tmpfs -o size=4k none "$1" && KEEL_RUN_DIR=$1/run keel create "$2"' - "$WORK/full" "$WORK/off.json"
	# shellcheck disable=SC2016
	check "nothing is left of it" unshare -m sh -c 'mount -t tmpfs -o nr_inodes=3 none "$1" &&
		{ ! KEEL_RUN_DIR=$1/run keel create "$2" && [ ! -e "$1/run/off" ]; }' - "$WORK/full" "$WORK/off.json"
fi
finish
