#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# keel create as a service of systemd: it tells when the guest is up and which process is the main one, and starts no other
# guest than the service's.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# The service manager's end of the socket: what it is told, a line each.
socat -u "UNIX-RECV:$WORK/notify" "OPEN:$WORK/told,creat,append" 2>/dev/null &
manager=$!
soon test -S "$WORK/notify"
export NOTIFY_SOCKET=$WORK/notify

told() {
	grep -qx "$1" "$WORK/told"
}

# The keeper, whose child serves the guest.
main_process() {
	ps -o ppid= -p "$(cat "$KEEL_RUN_DIR/$1/pid")" | tr -d ' '
}

manifest web
check "a guest starts as a service" keel create --unit web "$WORK/web.json"
check "the manager is told" soon told READY=1
check "and which process is the main one" soon told "MAINPID=$(main_process web)"
: >"$WORK/told"
check "another guest's manifest is refused, with both names" \
	says 'starts the guest "other", but this manifest.s name is "web"' keel create --unit other "$WORK/web.json"
check "as an error of the manifest" exits 3 keel create --unit other "$WORK/web.json"
check "and nothing is told" test ! -s "$WORK/told"
check "a service's name is an argument" exits 2 keel create --unit
keel destroy web >/dev/null
manifest quiet
check "without --unit" keel create "$WORK/quiet.json"
check "nothing is told" test ! -s "$WORK/told"
keel destroy quiet >/dev/null
unset NOTIFY_SOCKET
manifest alone
check "without a manager it starts all the same" keel create --unit alone "$WORK/alone.json"
keel destroy alone >/dev/null
kill $manager
finish
