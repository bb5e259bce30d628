#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# tools/run as a person uses it, without an emulator: a stand-in for it prints lines, sleeps, computes or does not want to end.
# shellcheck disable=SC2016,SC2317
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/host/tools.sh
. "$ROOT/tests/host/tools.sh"

test_options() {
	local option
	MACHINE='echo hello >>"$guest"; exec sleep 20'
	check "run: an option's argument behind =" ends_with 0 "Found 'hel..?o'" "${run[@]}" --expect=hel+o --timeout=20
	check "run: an option's argument by itself" ends_with 0 "Found 'hel..?o'" "${run[@]}" --expect hel+o --timeout 20
	check "run: an option that it does not know" \
		ends_with 2 "unknown option --expct, did you mean --expect" "${run[@]}" --expct hello
	check "run: an option without its argument" ends_with 2 "--expect needs an argument" "${run[@]}" --expect
	for option in expect timeout patience memory file logs hypervisor; do
		check "run: nothing behind --$option=" \
			ends_with 2 "--$option needs an argument that is not empty" "${run[@]}" "--$option="
	done
	check "run: an argument too many" ends_with 2 "--shell takes no argument" "${run[@]}" --shell=yes
	check "run: a number that is none" ends_with 2 "expected seconds, not 'soon'" "${run[@]}" --timeout soon
	check "run: a manifest that is not there, before anything is built" ends_with 2 "nowhere.json: no such file" \
		"$ROOT/tools/run" "$WORK/nowhere.json"
	check "run: quotes that are not closed" ends_with 2 "quotes" "${run[@]}" --qemu "-device 'x"
	check "run: an expression that is none" ends_with 2 "no extended regular expression: 'a\(b'" "${run[@]}" --expect 'a(b'
	check "run: -h" ends_with 0 . "$ROOT/tools/run" -h
}

# passes_words WORD...: the emulator gets each of them in one piece.
passes_words() {
	local word
	MACHINE='printf "%s\n" "$@" >"$host"; echo seen >>"$guest"; exec sleep 20'
	"${run[@]}" --expect seen --timeout 20 --qemu "-name 'two words' -device x" --file "$WORK/a file:/a b" || return 1
	for word in -name 'two words' -device x; do
		grep -qxF -- "$word" "$KEEL_BUILD/run/host.log" || { echo "no word $word"; return 1; }
	done
}

test_reasons() {
	touch "$WORK/a file"
	MACHINE='echo hello >>"$guest"; exec sleep 60'
	check "run: the reason: too late" ends_with 1 "run: no 'other' after 2 s; the last line was: hello" \
		"${run[@]}" --expect other --timeout 2
	MACHINE='echo hello >>"$guest"; exit 3'
	check "run: the reason: the emulator's status" ends_with 1 "the emulator ended with status 3 without 'other'" \
		"${run[@]}" --expect other
	MACHINE='kill -SEGV $$; sleep 1'
	check "run: the reason: the emulator's signal" ends_with 1 "died by the signal SEGV" "${run[@]}" --expect other
	MACHINE='echo "init: command finished, status 7" >"$host"'
	check "run: the reason: the command's status" ends_with 1 "the command ended with status 7" \
		"$ROOT/tools/run" --no-build --command false
	check "run: words with spaces come in one piece" passes_words
}

# spends_patience COMMANDS PATIENCE REASON: what ends the patience with an emulator.
spends_patience() {
	MACHINE=$1
	! "${run[@]}" --expect other --patience "$2" >"$WORK/patience.log" 2>&1 || return 1
	cat "$WORK/patience.log"
	grep -E "in which the emulator had the processor for $3 s \(" "$WORK/patience.log"
}

# By the clock there is six times as much, for a busy machine and for an emulator that is idle.
test_patience() {
	check "run: patience with an emulator that computes" spends_patience 'while :; do :; done' 2 '[12]'
	check "run: its child's time counts, too" spends_patience '(while [ $SECONDS -lt 60 ]; do :; done)' 2 '[12]'
	check "run: patience with one that is idle" spends_patience 'exec sleep 60' 1 0
}

# One that wants no end.
stubborn='trap "" INT TERM; echo up >>"$guest"; while :; do sleep 1; done'

interrupted_run() {
	local start=$SECONDS process
	MACHINE=$stubborn
	: >"$MACHINE_PIDS"
	"${run[@]}" --expect never >"$WORK/run.log" 2>&1 &
	process=$!
	machine_starts || return 1
	kill -"$1" "$process"
	wait "$process"
	echo "status $? after $((SECONDS - start)) s"
	tail -n 1 "$WORK/run.log"
	no_machine_left && tail -n 1 "$WORK/run.log" | grep "ended by SIG$1"
}

at_a_terminal() {
	local pattern=$1
	shift
	: >"$MACHINE_PIDS"
	"$ROOT/tests/host/terminal.py" "$pattern" "$@" "${run[@]}" >"$WORK/terminal.log"
	echo "status $?" >>"$WORK/terminal.log"
	cat "$WORK/terminal.log"
}

# As emulators do, they take the terminal for themselves.
quiet_guest() {
	MACHINE='stty raw -echo -isig; trap "" INT; sleep 60 & wait; wait'
	at_a_terminal 'first word' 4 '\x03'
	no_machine_left && grep -q 'ended by Ctrl-C' "$WORK/terminal.log" && grep -qx 'status 130' "$WORK/terminal.log"
}

talking_guest() {
	MACHINE='stty raw -echo -isig; sleep 1; echo hello | tee -a "$guest"; echo "key $(head -c 1 | od -An -tx1)"'
	at_a_terminal 'hello' 2 '\x03'
	no_machine_left && grep -q 'key *03' "$WORK/terminal.log" && grep -qx 'status 0' "$WORK/terminal.log"
}

test_interrupts() {
	check "run: SIGTERM leaves no emulator" interrupted_run TERM
	check "run: SIGHUP leaves no emulator" interrupted_run HUP
	check "run: Ctrl-C ends it before the guest has said anything" quiet_guest
	check "run: Ctrl-C is the guest's afterwards" talking_guest
}

test_options
test_reasons
test_patience
test_interrupts
finish
