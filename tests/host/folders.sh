#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What a killed process leaves behind goes away, and nothing of one that lives does.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# kill_guest NAME: its process and that one's keeper, which would clear up.
kill_guest() {
	local pid
	pid=$(cat "$KEEL_RUN_DIR/$1/pid")
	kill -KILL "$(ps -o ppid= -p "$pid")"
	soon never kill -0 "$pid"
}

kill_one_process() {
	kill -KILL "$(cat "$KEEL_RUN_DIR/$1/pid")"
	soon is_gone "$1"
}

is_gone() {
	[ ! -e "$KEEL_RUN_DIR/$1" ]
}

keep_list() {
	keel list --json >"$WORK/list.json"
}

truncate -s 1M "$WORK/disk.img"
manifest killed '"disks": [ { "file": "disk.img" } ]' '"serial": { "type": "pty", "log": true }'
manifest lives
manifest third
check "a guest" keel create "$WORK/killed.json"
check "another" keel create "$WORK/lives.json"
check "the first is killed" kill_guest killed
check "and leaves its folder" test -e "$KEEL_RUN_DIR/killed/control"
check "list does not show it" never says killed keel list
check "and removes what is left of it" is_gone killed
check "a third" keel create "$WORK/third.json"
check "whose process is killed, leaves none" kill_one_process third
check "and says so" grep -q 'ended by signal 9' "$KEEL_LOG_DIR/third.log"
check "nothing happened to the other" says '^lives +running' keel list
check "whose socket is there" test -S "$KEEL_RUN_DIR/lives/control"

mkdir "$KEEL_RUN_DIR/empty" "$KEEL_RUN_DIR/half"
touch "$KEEL_RUN_DIR/half/console.log"
check "list with folders that have no process number" keel list
check "removes one that is empty" is_gone empty
check "and not one that something is in" test -e "$KEEL_RUN_DIR/half/console.log"
mkdir "$WORK/elsewhere"
touch "$WORK/elsewhere/pid" "$WORK/elsewhere/control"
ln -s "$WORK/elsewhere" "$KEEL_RUN_DIR/linked"
keel list >/dev/null 2>&1
check "nothing behind a link" test -e "$WORK/elsewhere/pid" -a -e "$WORK/elsewhere/control"
rm "$KEEL_RUN_DIR/linked"
mkdir "$KEEL_RUN_DIR/other"
touch "$KEEL_RUN_DIR/other/precious"
keel list >/dev/null
check "what Keel has not made stays" test -e "$KEEL_RUN_DIR/other/precious"

check "the guest starts anew" keel create "$WORK/killed.json"
check "is killed" kill_guest killed
check "and starts without a list between" keel create "$WORK/killed.json"

# Starts and lists at once: a folder that is being made is not taken for one that is left.
for i in 1 2 3 4 5 6 7 8; do
	manifest "race$i"
	keel list >/dev/null 2>&1 &
	keel create "$WORK/race$i.json" >"$WORK/race$i.log" 2>&1 || cat "$WORK/race$i.log"
	keel list >/dev/null 2>&1 &
done
wait
check "guests that start while others look" test "$(keel list | grep -c '^race[1-8] *running')" = 8

manifest deaf
check "a guest whose process is stopped" keel create "$WORK/deaf.json"
kill -STOP "$(cat "$KEEL_RUN_DIR/deaf/pid")"
check "is destroyed all the same" \
	says 'deaf: ended \(its process did not do as it was told, and was killed\)' keel destroy --timeout 1 deaf
check "and its folder is gone" is_gone deaf

# A process that has no room for one more connection is busy, and not to be killed for that.
manifest busy
check "a guest whose process is busy" keel create "$WORK/busy.json"
kill -STOP "$(cat "$KEEL_RUN_DIR/busy/pid")"
python3 - "$KEEL_RUN_DIR/busy/control" >"$WORK/filler" <<'END' &
import socket, sys, time
waiting = []
while True:
    s = socket.socket(socket.AF_UNIX)
    s.setblocking(False)
    try:
        s.connect(sys.argv[1])
    except BlockingIOError:
        break
    waiting.append(s)
print("full", flush=True)
time.sleep(60)
END
filler=$!
check "it has no room left" soon grep full "$WORK/filler"
(sleep 2; kill -CONT "$(cat "$KEEL_RUN_DIR/busy/pid")") &
check "is destroyed as soon as it is not" says '^busy: ended \(destroyed by its owner\)$' keel destroy busy
kill "$filler" 2>/dev/null

# So many wait for it that there is no room for one who would wait, too.
manifest crowd
check "a guest" keel create "$WORK/crowd.json"
python3 - "$KEEL_RUN_DIR/crowd/control" >"$WORK/crowd" <<'END' &
import select, socket, sys
waiting = []
while True:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall(b'{"command":"wait"}\n')
    if select.select([s], [], [], 0.02)[0]:
        break
    waiting.append(s)
print(len(waiting), s.recv(4096), flush=True)
for s in waiting:
    while s.recv(4096):
        pass
END
crowd=$!
check "for which many wait" soon grep -E '^64 .*too many wait' "$WORK/crowd"
check "is running nevertheless" says '^crowd +running' keel list
check "shutdown would have to wait" says 'too many wait for an answer' keel shutdown --timeout 1 crowd
check "destroy need not" says '^crowd: ended \(destroyed by its owner\)$' timeout 20 keel destroy crowd
check "and all are told" soon never kill -0 $crowd

# One that has a time of it to end.
mkdir "$KEEL_RUN_DIR/ends"
python3 -c 'import fcntl, os, sys, time
lock = os.open(sys.argv[1] + "/pid", os.O_RDWR | os.O_CREAT)
fcntl.lockf(lock, fcntl.LOCK_EX)
os.write(lock, b"%d\n" % os.getpid())
time.sleep(2)' "$KEEL_RUN_DIR/ends" &
check "a process that is about to end" soon [ -s "$KEEL_RUN_DIR/ends/pid" ]
check "has the time for it" says '^ends: ended \(its process ended by itself' keel destroy ends

# Processes that do not answer, in their folders: NAME HOW, which is "deaf", "refuses" or "closes"; what their records say.
cat >"$WORK/process.py" <<'END'
import fcntl, os, socket, sys, threading

kept = []

def close_all(server):
    while True:
        server.accept()[0].close()

for name, how in zip(sys.argv[1::2], sys.argv[2::2]):
    os.mkdir(name)
    kept.append(os.open(name + "/pid", os.O_RDWR | os.O_CREAT))
    fcntl.lockf(kept[-1], fcntl.LOCK_EX)
    os.write(kept[-1], b"%d\n" % os.getpid())
    server = socket.socket(socket.AF_UNIX)
    kept.append(server)
    server.bind(name + "/control")
    if how != "refuses":
        server.listen()
    if how == "closes":
        threading.Thread(target=close_all, args=(server,), daemon=True).start()
open("ready", "w").close()
threading.Event().wait()
END
silent() {
	# shellcheck disable=SC2016
	sh -c 'cd "$KEEL_RUN_DIR" && exec python3 "$@"' - "$WORK/process.py" "$@" &
	process=$!
	check "processes that do not answer" soon test -e "$KEEL_RUN_DIR/ready"
	rm -f "$KEEL_RUN_DIR/ready"
}
record() {
	printf '{"state":"%s","since":"now","reason":"","crashed":false}\n' "$2" >"$KEEL_RUN_DIR/.ended/$1"
}
still() {
	kill -KILL $process
	wait $process 2>/dev/null
	keel list >/dev/null 2>&1
}
record anew ended	# of the run before
silent early deaf anew deaf again deaf last refuses late closes
record again restarting
record last ended
record late ended
check "list: a large guest is no failure as it starts or ends" keel list
keel list >"$WORK/list"
for state in early=starting anew=starting again=restarting last=ending late=ending; do
	check "list: $state" grep -E "^${state%=*} +${state#*=} " "$WORK/list"
	check "info: $state" says "^state +${state#*=}\$" keel info "${state%=*}"
	check "which is no failure" keel info "${state%=*}"
done
check "others are told so" says '"last" is about to start or to end' keel nmi last
still
silent shut refuses shuts closes
record shut running
record shuts running
check "list: a process that should answer" exits 1 keel list
check "is unknown" says '^shut +unknown' keel list
check "if it closes what it is asked by, too" says '^shuts +unknown' keel list
check "what to do" says '"shut": its process takes no requests any more; .*keel destroy' keel info shut
touch -d '1 hour ago' "$KEEL_RUN_DIR"/{shut,shuts}/pid
record shut ended
touch -d '20 minutes ago' "$KEEL_RUN_DIR/.ended/shut"
check "nor does an end last for ever" says '^shut +unknown' keel list
still
rm -f "$KEEL_RUN_DIR"/.ended/{early,anew,again,last,late,shut,shuts}

pid=$(cat "$KEEL_RUN_DIR/lives/pid")
kill -STOP "$pid"
check "a list without a guest's answer is not good" exits 6 keep_list
check "and has that guest" grep -Eq '"ok": ?false.*"name": ?"lives", ?"state": ?"unknown"' "$WORK/list.json"
kill -CONT "$pid"
check "until it does" keel list
finish
