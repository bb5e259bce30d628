#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A result that cannot be told is a failure, and what is told is fit to be shown.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# lost COMMAND...: whether it fails, with a complaint, when its output goes nowhere.
lost() {
	local status=0
	"$@" >/dev/full 2>"$WORK/lost" || status=$?
	[ "$status" -ne 0 ] || { echo "a full standard output: status 0"; return 1; }
	grep -q 'cannot write' "$WORK/lost" || { cat "$WORK/lost"; return 1; }
	status=0
	"$@" >&- 2>"$WORK/lost" || status=$?
	[ "$status" -ne 0 ] || { echo "a closed standard output: status 0"; return 1; }
	grep -q 'cannot write' "$WORK/lost"
}

# plain FILE: whether there is nothing in it that acts on a terminal.
plain() {
	! LC_ALL=C grep -aqP '[\x00-\x08\x0b-\x1f\x7f-\x9f]' "$1" || { cat -v "$1"; return 1; }
}

# json FILE [PYTHON]: whether it is one JSON object of which the expression over "j" holds.
json() {
	python3 -c 'import json, sys
j = json.load(open(sys.argv[1], encoding="utf-8"))
sys.exit(not eval(sys.argv[2]))' "$1" "${2:-True}"
}

# says_json FILE PYTHON COMMAND...: runs it for json FILE.
says_json() {
	local file=$1 expression=$2
	shift 2
	"$@" >"$file" 2>"$file.errors" || true
	json "$file" "$expression" || { cat "$file" "$file.errors"; return 1; }
}

{
	printf 'Keel: AMD SVM, 2 CPUs, 100 KiB reserved\n'
	printf 'Keel: largest pages 2 MiB, options of the processor in use: IBPB VERW\n\033[31m\377\na zero\0 and more\n'
} >"$WORK/host/log"
manifest told
check "create" keel create "$WORK/told.json"
for verb in "check $WORK/told.json" "list" "list --all" "info" "info told" "dmesg" "version" "reset told" "log told" "nmi told" \
	"help" "help list"; do
	# shellcheck disable=SC2086
	check "$verb: lost output is told" lost keel $verb
	[[ $verb == help* ]] && continue
	# shellcheck disable=SC2086
	check "$verb --json: lost output is told" lost keel $verb --json
done
order told 'say some output\n'
check "there is output" soon says 'some output' keel console --log told
check "console --log: lost output is told" lost keel console --log told
console_lost() {
	! timeout 5 keel console told </dev/null >/dev/full 2>"$WORK/lost" && grep -q 'cannot write' "$WORK/lost"
}
check "console: lost output is told" console_lost
manifest unheard
# shellcheck disable=SC2016
check "create: lost output is told" says 'cannot write' sh -c 'keel create "$1" >/dev/full' - "$WORK/unheard.json"
check "a closed standard input is no other file" says 'Bad file descriptor' sh -c "keel check - <&-"
manifest silent
check "a closed standard error is no other file" sh -c 'keel create "$1" 2>&-; keel list | grep "^silent *running"' - \
	"$WORK/silent.json"
check "all closed at once" exits 1 sh -c "keel list <&- >&- 2>&-"

check "info: version, vendor, features, memory" says_json "$WORK/out" \
	'j["vendor"] == "AMD SVM" and j["features"] == "IBPB VERW" and j["version"] and j["memory_mib"] > j["free_mib"] > 0' \
	keel info --json
check "dmesg: control characters and wrong bytes are shown as escapes" says '\\u001b\[31m\\xff' keel dmesg
check "dmesg: nothing else" plain "$WORK/says.log"
check "dmesg --json" says_json "$WORK/out" '"\\xff" in j["log"] and "a zero\\u0000 and more" in j["log"]' keel dmesg --json

# What others wrote.
bad=$WORK/$(printf 'caf\351\033[31m\nx')
mkdir "$bad"
printf '{ "version": 1, "memory": "1\\u001b[2J", "\\u001b]0;title\\u0007": 1, "a\\nb:1:1: good": 2, "name": "%s" }' \
	"$(printf 'k%.0s' $(seq 78))é" >"$bad/a.json"
check "errors of a strange manifest in a strange folder" exits 3 keel check "$bad/a.json"
keel check "$bad/a.json" >"$WORK/errors" 2>&1
check "nothing in them acts on a terminal" plain "$WORK/errors"
check "an error is a line" [ "$(wc -l <"$WORK/errors")" -eq 4 ]
check "they show it escaped" grep -aF 'unknown key "\u001b]0;title\u0007"' "$WORK/errors"
check "line feeds as well" grep -aF 'unknown key "a\nb:1:1: good"' "$WORK/errors"
check "and the folder" grep -aF 'caf\xe9\u001b[31m\nx/a.json:1:' "$WORK/errors"
for verb in check create; do
	check "$verb --json has them all" says_json "$WORK/out" 'not j["ok"] and len(j["errors"]) == 4 and j["code"] == 3' \
		keel $verb --json "$bad/a.json"
	check "$verb --json: nothing in it acts on a terminal" plain "$WORK/out"
done
check "the manifest's folder in keel info" says_json "$WORK/out" '"caf\\xe9" in j["manifest"]' \
	sh -c 'echo "{ \"version\": 1, \"name\": \"strange\", \"memory\": \"16M\" }" >"$1/strange.json"
		mkdir -p "$2/guests/strange" && keel create "$1/strange.json" >&2 && keel info --json strange' - "$bad" "$WORK"
check "names that no guest has" \
	says '^keel: "\\u001b\[31m" is not the name|no guest "\\u001b\[31m"' keel info "$(printf '\033[31m')"
check "commands that there are not" says 'no command "\\u001b\[31m"' keel "$(printf '\033[31m')"
long=$WORK/$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))/$(printf 'f%.0s' $(seq 200))/$(printf 'g%.0s' $(seq 200))
manifest long "\"firmware\": \"$long/none\""
check "a long file name does not push the reason out" \
	says 'none for reading: No such file or directory' keel check "$WORK/long.json"
check "nor of a folder for the log" \
	says 'No such file or directory' env "KEEL_LOG_DIR=/proc/self$long" keel create "$WORK/told.json"

# Guests that cannot be asked.
manifest stopped
check "create a second one" keel create "$WORK/stopped.json"
kill -STOP "$(cat "$KEEL_RUN_DIR/stopped/pid")" "$(cat "$KEEL_RUN_DIR/silent/pid")"
before=$SECONDS
check "list: one that hangs is a failure" exits 6 keel list
check "list: and shown" says '^stopped +unknown' keel list
check "list --json" says_json "$WORK/out" \
	'(not j["ok"] and j["error"] and len(j["guests"]) == 5
	  and {g["name"]: g["state"] for g in j["guests"]}["stopped"] == "unknown")' \
	keel list --json
check "list: others are shown" says '^told +running' keel list
check "it does not take long, with two of them" [ $((SECONDS - before)) -le 40 ]
check "several are shut down, none goes" exits 6 keel shutdown --timeout 1 stopped told
kill -CONT "$(cat "$KEEL_RUN_DIR/stopped/pid")" "$(cat "$KEEL_RUN_DIR/silent/pid")"
mkdir "$KEEL_RUN_DIR/other" && touch "$KEEL_RUN_DIR/other/control" && chmod 0 "$KEEL_RUN_DIR/other"
if [ "$(id -u)" -eq 0 ]; then
	check "list as another user" exits 1 setpriv --reuid 65534 --clear-groups keel list
	check "list as another user shows them" says '^stopped +unknown' setpriv --reuid 65534 --clear-groups keel list
else
	check "list: one of another user is a failure" exits 1 keel list
	check "list: and shown" says '^other +unknown' keel list
fi
chmod 700 "$KEEL_RUN_DIR/other"

# What is said is why it failed, not how cleaning up went.
printf '#!/bin/sh\nexit 3\n' >"$WORK/bin/dies"
chmod +x "$WORK/bin/dies"
check "no device model" says 'KEEL_DM=/nonexistent: No such file' env KEEL_DM=/nonexistent keel create "$WORK/told.json"
check "one that cannot be run" says "cannot start .*told.json: (Permission denied|Exec format error)" \
	env "KEEL_DM=$WORK/told.json" keel create "$WORK/told.json"
check "one that dies without a word" says "status 3; see $KEEL_LOG_DIR/told.log" \
	env "KEEL_DM=$WORK/bin/dies" keel create "$WORK/told.json"
check "no folder for the log" says 'cannot open the guest.s log|cannot make .* for the guest.s log' \
	env KEEL_LOG_DIR=/proc/none keel create "$WORK/told.json"
touch "$WORK/file"
check "no folder for the run" says 'Not a directory' env "KEEL_RUN_DIR=$WORK/file/run" keel create "$WORK/told.json"
check "list of no folder" says 'Not a directory' env "KEEL_RUN_DIR=$WORK/file/run" keel list
finish
