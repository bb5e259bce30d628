#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the owner asked for lasts as long as the command that asked: shutdown, reboot, signals, and the power button between.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

off='end 1' reset='end 2'

presses() {
	grep -acx 'power button' "$WORK/guests/$1/notes"
}

# start NAME [MEMBER...]
start() {
	manifest "$@"
	check "$1 starts" keel create "$WORK/$1.json"
}

gone() {
	soon never test -e "$KEEL_RUN_DIR/$1"
}

restarted() {
	noted "$1" start "$2"
}

start late
check "a reboot that times out" exits 6 keel reboot --timeout 1 late
order late "$off"
check "does not turn a power-off of days later into a restart" gone late
check "and the log says so" grep -q 'ended: the guest switched its machine off' "$KEEL_LOG_DIR/late.log"

start kept '"on_poweroff": "preserve"'
check "a shutdown that times out" exits 6 keel shutdown --timeout 1 kept
order kept "$off"
check "leaves on_poweroff alone" soon says preserved keel list
keel destroy kept >/dev/null

start broken
keel reboot broken >/dev/null 2>&1 &
check "a reboot begins" noted broken 'power button'
kill -KILL $!
wait $! 2>/dev/null
# What the killed command was connected to is closed by now or soon.
sleep 0.5
order broken "$off"
check "a reboot whose command is killed is forgotten" gone broken

start shared
keel reboot --timeout 20 shared >"$WORK/reboot" 2>&1 &
reboot=$!
check "two wishes: reboot" noted shared 'power button'
check "and shutdown, which is given up" exits 6 keel shutdown --timeout 1 shared
order shared "$off"
check "the one who still waits has the wish" wait "$reboot"
check "and is told of it" grep -q restarted "$WORK/reboot"
keel destroy shared >/dev/null

start again '"on_poweroff": "restart"'
keel shutdown --timeout 20 again >/dev/null 2>&1 &
shutdown=$!
check "shutdown of a guest with on_poweroff restart" noted again 'power button'
order again "$off"
check "leaves it off" wait "$shutdown"
check "and gone" gone again

start museum '"on_poweroff": "preserve"'
keel shutdown --timeout 20 museum >/dev/null 2>&1 &
shutdown=$!
check "shutdown of a guest with on_poweroff preserve" noted museum 'power button'
order museum "$off"
check "is done" wait "$shutdown"
check "and preserves it" says '^museum +preserved' keel list
keel destroy museum >/dev/null

start stubborn
keel shutdown --timeout 20 stubborn >"$WORK/shutdown" 2>&1 &
shutdown=$!
check "shutdown of a guest that resets" noted stubborn 'power button'
order stubborn "$reset"
check "fails" exits 1 wait "$shutdown"
check "and says why" grep -q 'did not switch itself off: restarted (the guest reset its machine)' "$WORK/shutdown"
keel destroy stubborn >/dev/null

start early
keel shutdown --timeout 30 early >/dev/null 2>&1 &
shutdown=$!
check "a press that firmware ignores" noted early 'power button'
check "by another command, too, is one within two seconds" exits 6 keel shutdown --timeout 1 early
check "which is one" test "$(presses early)" = 1
check "is repeated" noted early 'power button' 2
order early take
sleep 6
check "until the guest takes it" test "$(presses early)" = 2
order early "$off"
check "and then it goes off" wait "$shutdown"

start term '"on_poweroff": "restart"'
pid=$(cat "$KEEL_RUN_DIR/term/pid")
kill -TERM "$pid"
check "SIGTERM presses the power button" noted term 'power button'
check "and says what will happen" soon grep -q 'signal 15 from process .*: pressing the power button' "$KEEL_LOG_DIR/term.log"
check "the guest runs meanwhile" says '^term +running' keel list
check "a reboot is refused then" exits 1 keel reboot --timeout 1 term
order term "$off"
check "and is off for good" gone term
check "by its own doing" grep -q 'ended: the guest switched its machine off' "$KEEL_LOG_DIR/term.log"

start twice
pid=$(cat "$KEEL_RUN_DIR/twice/pid")
keeper=$(ps -o ppid= -p "$pid" | tr -d ' ')
# One behind the other: what comes within a second is one.
kill -INT "$pid"
kill -TERM "$keeper"
check "SIGINT presses the power button" noted twice 'power button'
check "what its keeper hands on at once is the same signal" says '^twice +running' keel list
sleep 1.5
kill -TERM "$keeper"
check "a second signal, by the keeper, destroys" gone twice
check "and the log says so" grep -q 'ended: destroyed by its owner' "$KEEL_LOG_DIR/twice.log"
finish
