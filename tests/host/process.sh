#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest's process gets nothing of its caller: descriptors, folder, environment, signals, limits, priority, terminal.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

manifest first
# shellcheck disable=SC2016
(flock -n 9 && keel create "$WORK/first.json") 9>"$WORK/lock" >"$WORK/out"
check "a lock of the caller is free when the command has returned" flock -n "$WORK/lock" true
manifest second
# shellcheck disable=SC2016
check "a command substitution returns" timeout 10 \
	bash -c 'x=$(keel create "$1" 3>&1 4>&1 17>&1 255>&1 >/dev/null)' - "$WORK/second.json"
manifest third
check "a pipe of the caller is closed" timeout 10 sh -c 'keel create "$1" 2>&1 5>&1 | cat' - "$WORK/third.json"

manifest odd
mkdir "$WORK/gone"
cat >"$WORK/caller" <<'END'
import ctypes, os, resource, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
os.umask(0o777)
os.chdir(sys.argv[2])
os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])
os.nice(7)
open("/proc/self/oom_score_adj", "w").write("123")
resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
resource.setrlimit(resource.RLIMIT_STACK, (1 << 30, resource.getrlimit(resource.RLIMIT_STACK)[1]))
RLIMIT_SIGPENDING = 11
resource.setrlimit(RLIMIT_SIGPENDING, (17, resource.getrlimit(RLIMIT_SIGPENDING)[1]))
ctypes.CDLL(None).personality(0x0040000)  # ADDR_NO_RANDOMIZE
ctypes.CDLL(None).syscall(251, 1, 0, 3 << 13)  # ioprio_set: idle
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
os.environ["FOREIGN"] = "1"
os.environ["LD_LIBRARY_PATH"] = sys.argv[2]
os.environ["TZ"] = "Antarctica/Troll"
os.execvp("keel", ["keel", "create", sys.argv[1]])
END
check "create from a strange caller" python3 "$WORK/caller" "$WORK/odd.json" "$WORK/gone"
pid=$(cat "$KEEL_RUN_DIR/odd/pid")
keeper=$(ps -o ppid= -p "$pid" | tr -d ' ')
status=/proc/$pid/status

# has FILE PATTERN
has() {
	tr '\0' '\n' <"$1" | grep -E -- "$2"
}

read -r group session < <(ps -o pgid=,sid= -p "$pid")
check "its group and session are its own" [ "$group $session" = "$keeper $keeper" ]
check "it has no terminal" [ "$(ps -o tty= -p "$pid")" = '?' ]
check "the caller's umask is not its own" has "$status" '^Umask:.*00[0-7]2$'
check "the run folder is as ever" [ "$(stat -c %a "$KEEL_RUN_DIR/odd")" = 700 ]
check "SIGHUP and SIGCHLD are not ignored" has "$status" '^SigIgn:.*0{12}1000$'
check "limits are not the caller's" sh -c "! grep -E 'Max (open files +200 |file size +1048576 )' /proc/$pid/limits"
check "nor those of stack and signals" never has "/proc/$pid/limits" 'Max (stack size +1073741824|pending signals +17) '
check "memory and address space are limited" [ "$(grep -cE '^Max (data size|address space) +[0-9]+ ' "/proc/$pid/limits")" -eq 2 ]
check "a stack of 8 MiB" has "/proc/$pid/limits" 'Max stack size +8388608 '
check "the I/O priority is the ordinary one" \
	[ "$(python3 -c "import ctypes; print(ctypes.CDLL(None).syscall(252, 1, $keeper) >> 13)")" != 3 ]
check "addresses are at random" has "/proc/$keeper/personality" '^0+$'
if [ "$(id -u)" -eq 0 ]; then
	check "its working folder is the root" [ "$(readlink "/proc/$pid/cwd")" = / ]
	check "the environment is clean" never has "/proc/$pid/environ" '^(FOREIGN|LD_LIBRARY_PATH|TZ|HOME|KEEL_DM|TMPDIR)='
	check "the environment has what matters" has "/proc/$pid/environ" "^KEEL_RUN_DIR=$KEEL_RUN_DIR\$"
	check "the OOM score is the ordinary one" has "/proc/$pid/oom_score_adj" '^0$'
	check "the priority is the ordinary one" [ "$(ps -o ni= -p "$pid" | tr -d ' ')" = 0 ]
fi
check "it may run on all CPUs" [ "$(taskset -cp "$pid" | sed 's/.*: //')" = \
	"$(taskset -cp 1 2>/dev/null | sed 's/.*: //' || nproc)" ]

# A relative folder is the same one for both.
manifest relative
check "KEEL_RUN_DIR may be relative" sh -c 'cd "$1" && KEEL_RUN_DIR=run KEEL_LOG_DIR=log keel create relative.json' - "$WORK"
check "and is the caller's" says '^relative +running' keel list
check "KEEL_DM as well" sh -c 'cd "$1" && keel destroy relative && KEEL_DM=bin/keel-dm keel create relative.json' - "$WORK"

check "a folder for logs is made with those it is in" sh -c 'cd "$1" && keel destroy relative &&
	KEEL_LOG_DIR=$1/a/b/c keel create relative.json && [ -e "$1/a/b/c/relative.log" ]' - "$WORK"

# A library that the caller preloads is none of a guest's; that of a test comes with a word for it.
cat >"$WORK/bin/telling" <<END
#!/bin/sh
env >"$WORK/environment"
exec "$WORK/bin/keel-dm" "\$@"
END
chmod +x "$WORK/bin/telling"
manifest telling
check "create" env "KEEL_DM=$WORK/bin/telling" keel create "$WORK/telling.json"
check "LD_PRELOAD is not handed on" never grep LD_PRELOAD "$WORK/environment"
check "destroy" keel destroy telling
check "create for a test" env FAKE_X=1 "KEEL_DM=$WORK/bin/telling" keel create "$WORK/telling.json"
check "it is handed on" [ "$(grep -cE '^(LD_PRELOAD|FAKE_X)=' "$WORK/environment")" -eq 2 ]

# A start that is given up leaves nobody behind.
cat >"$WORK/bin/slow" <<END
#!/bin/sh
echo \$\$ >"$WORK/slow"
sleep 30
END
chmod +x "$WORK/bin/slow"
manifest slow
# In the background of a script interrupts are ignored.
cat >"$WORK/interruptible" <<'END'
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp("keel", ["keel", "create", sys.argv[1]])
END
for signal in TERM INT HUP; do
	rm -f "$WORK/slow"
	KEEL_DM=$WORK/bin/slow python3 "$WORK/interruptible" "$WORK/slow.json" 2>"$WORK/errors" &
	starting=$!
	check "a start takes its time" soon [ -s "$WORK/slow" ]
	kill -$signal "$starting"
	wait "$starting" 2>/dev/null
	check "SIG$signal ends keel" [ $? -gt 128 ]
	check "and the guest's process" soon never kill -0 "$(cat "$WORK/slow")"
done

# What is started is what was checked.
cat >"$WORK/bin/swapping" <<END
#!/bin/sh
echo '{ "version": 1, "name": "other", "memory": "16M" }' >"$WORK/swapped.json"
exec "$WORK/bin/keel-dm" "\$@"
END
chmod +x "$WORK/bin/swapping"
manifest swapped
check "a manifest that becomes another one meanwhile" env "KEEL_DM=$WORK/bin/swapping" keel create "$WORK/swapped.json"
check "the one that was checked is started" says '^swapped +running' keel list
finish
