#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# keel console on a terminal, which is afterwards as it was, whatever ends it, and which can be left whatever the guest, its
# process and the terminal do; and more readers than a console has room for.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# On a terminal of its own: runs the command, does what the test says, and compares the terminal's modes before and after.
# terminal HOW COMMAND...: HOW is "type TEXT", "kill SIGNAL", "order ORDER", "stop" or "hold PROCESS", which is stopped while a
# key is held down; with "unread-" before it the guest floods a terminal that shows nothing. Exit status: 0 if all is well.
cat >"$WORK/terminal.py" <<'END'
import os, pty, select, signal, sys, termios, time

unread, how = sys.argv[1].startswith("unread-"), sys.argv[1].removeprefix("unread-")
what, orders, command = sys.argv[2], sys.argv[3], sys.argv[4:]
master, slave = pty.openpty()
before = termios.tcgetattr(slave)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)  # in the session of this test, so that it can be stopped
    for fd in 0, 1, 2:
        os.dup2(slave, fd)
    os.execvp(command[0], command)
seen = b""

def read_until(word, seconds=5):
    global seen
    end = time.time() + seconds
    while word not in seen and time.time() < end:
        if select.select([master], [], [], 0.1)[0]:
            seen += os.read(master, 65536)
    if word not in seen:
        sys.exit(f"no {word} in {seen}")

read_until(b"coloured")
end = time.time() + 5
while termios.tcgetattr(slave)[3] & termios.ICANON:  # as it is for the moments in which it shows a word of the process
    # What is not read keeps it from showing the next one to its end.
    if select.select([master], [], [], 0)[0]:
        seen += os.read(master, 65536)
    if time.time() > end:
        sys.exit("the terminal is not raw")
if unread:
    with open(orders, "a") as f:
        f.write("flood\n")
    time.sleep(1)  # in which all is filled
if how == "hold":
    os.kill(int(what), signal.SIGSTOP)
    for _ in range(1000):
        os.write(master, b"k")
        time.sleep(0.002)
    os.write(master, b"\x1d")
elif how == "type":
    os.write(master, what.encode().decode("unicode_escape").encode("latin-1"))
elif how == "kill":
    os.kill(pid, getattr(signal, what))
elif how == "order":
    with open(orders, "a") as f:
        f.write(what + "\n")
elif how == "stop":
    os.kill(pid, signal.SIGTSTP)
    if not os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]):
        sys.exit("it does not stop")
    if termios.tcgetattr(slave) != before:
        sys.exit("the terminal is not as before while it is stopped")
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.3)
    if termios.tcgetattr(slave)[3] & termios.ICANON:
        sys.exit("the terminal is not raw again")
    os.write(master, b"\x1d")
end = time.time() + 10
while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
    if unread:
        time.sleep(0.1)
    elif select.select([master], [], [], 0.1)[0]:
        seen += os.read(master, 65536)
    if time.time() > end:
        os.kill(pid, signal.SIGKILL)
        sys.exit("it does not end")
if how == "hold":
    os.kill(int(what), signal.SIGCONT)
status = os.waitpid(pid, 0)[1]
while select.select([master], [], [], 0.1)[0]:
    seen += os.read(master, 65536)
if termios.tcgetattr(slave) != before:
    sys.exit("the terminal is not as before")
left = seen.split(b"coloured")[1]
for undone in () if unread else (b"[0m", b"7\033[?1049l", b"7\033[r\0338", b"(B", b"[?25h", b"[?7h", b"[4l", b"[?1l", b">",
               b"[?1000l", b"[?1002l", b"[?1003l", b"[?1006l", b"[?2004l"):
    if b"\033" + undone not in left:
        sys.exit(f"no {undone} in {left}")
if how == "kill" and not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == getattr(signal, what)):
    sys.exit(f"{what} did not end it: {status}")
if how == "type" and status:
    sys.exit(f"status {status}")
END
terminal() {
	timeout 30 python3 "$WORK/terminal.py" "$1" "$2" "$WORK/guests/term/orders" "${@:3}"
}

manifest term '"on_crash": "preserve"'
order term 'say \x1b[31mcoloured\x1b[?25l'
check "create" keel create "$WORK/term.json"
check "there is output" soon says coloured keel console --log term
check "left by Ctrl-]" terminal type '\x1d' keel console term
for signal in SIGTERM SIGHUP SIGINT SIGQUIT SIGUSR1 SIGUSR2 SIGALRM; do
	check "ended by $signal" terminal kill $signal keel console term
done
check "stopped, and continued" terminal stop - keel console term
check "typed characters reach the guest, then it is left" terminal type 'abc\x1d' keel console term
check "they do" noted term 'input abc'
check "the guest crashes meanwhile" terminal order 'end 7 1' keel console term

keel destroy term >/dev/null
forget term
manifest term
order term 'say coloured'
for how in type kill; do
	check "create" keel create "$WORK/term.json"
	check "there is output" soon says coloured keel console --log term
	[ $how = type ] && what='\x1d' || what=SIGTERM
	check "left by $what while the guest says more than the terminal shows" terminal unread-$how "$what" keel console term
	keel destroy term >/dev/null
	forget term
	order term 'say coloured'
done
check "create" keel create "$WORK/term.json"
check "there is output" soon says coloured keel console --log term
check "left while its process hangs and a key is held" terminal hold "$(cat "$KEEL_RUN_DIR/term/pid")" keel console term

# In the place of a guest's process: FOLDER WORD, which closes the console and does not come to an end with the words that follow.
cat >"$WORK/process.py" <<'END'
import fcntl, os, socket, sys, threading

folder, word = sys.argv[1:]
os.mkdir(folder)
lock = os.open(folder + "/pid", os.O_RDWR | os.O_CREAT)
fcntl.lockf(lock, fcntl.LOCK_EX)
os.write(lock, b"%d\n" % os.getpid())
server = socket.socket(socket.AF_UNIX)
server.bind(folder + "/control")
server.listen()
kept = []

def serve(connection):
    kept.append(connection)
    try:
        if b"console" in connection.recv(4096):
            connection.sendall(b'{"ok":true}\ncoloured')
            connection.close()
        while word and connection.fileno() >= 0:
            connection.sendall(word.encode() + b"\n")
    except OSError:
        pass

while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
END
for word in '' '{"ok":true,"event":"restarted","reason":"a whim"}'; do
	python3 "$WORK/process.py" "$KEEL_RUN_DIR/strange" "$word" &
	process=$!
	check "a strange process is there" soon test -S "$KEEL_RUN_DIR/strange/control"
	check "it is left by Ctrl-], where it says \"$word\"" terminal type '\x1d' keel console strange
	check "and by a signal" terminal kill SIGTERM keel console strange
	kill -KILL $process
	wait $process 2>/dev/null
	rm -r "$KEEL_RUN_DIR/strange"
done

manifest full
order full 'say coloured'
check "create" keel create "$WORK/full.json"
# One that comes before they are all there would take the place of one of them.
readers=()
for i in $(seq 31); do
	keel console full </dev/null >"$WORK/reader$i" 2>&1 &
	readers+=($!)
done
all_read() {
	[ "$(grep -l coloured "$WORK"/reader* | wc -l)" -eq 31 ]
}
check "a console has room for 31" soon all_read
check "the next one is refused" says 'as many readers as it can have' timeout 5 keel console full </dev/null
check "by its status, too" exits 1 timeout 5 keel console full </dev/null
check "for a replay as well" exits 1 timeout 5 keel console --log full
kill "${readers[@]}" 2>/dev/null
check "until one has left" soon keel console --log full
check "the guest runs on" says '^full +running' keel list

# A path of two guests' serial ports.
manifest first "\"serial\": { \"type\": \"socket\", \"path\": \"$WORK/serial\" }"
manifest second "\"serial\": { \"type\": \"socket\", \"path\": \"$WORK/serial\" }"
check "create with a serial socket" keel create "$WORK/first.json"
check "it is called by its name alone" [ "$(find "$WORK" -name '.keel-*' | wc -l)" -eq 0 ]
kill -STOP "$(cat "$KEEL_RUN_DIR/first/pid")"
python3 - "$WORK/serial" "$WORK/waiting" <<'END' &
import socket, sys, time
held = []
for _ in range(6):
    held.append(socket.socket(socket.AF_UNIX))
    held[-1].setblocking(False)
    held[-1].connect_ex(sys.argv[1])
open(sys.argv[2], "w").close()
time.sleep(60)
END
waiting=$!
check "its queue is full" soon [ -e "$WORK/waiting" ]
check "another guest with this socket is refused at once" exits 7 timeout 10 keel create "$WORK/second.json"
kill "$waiting"
kill -CONT "$(cat "$KEEL_RUN_DIR/first/pid")"
check "the first one's is still there" [ -S "$WORK/serial" ]
kill -KILL "$(ps -o ppid= -p "$(cat "$KEEL_RUN_DIR/first/pid")" | tr -d ' ')"
check "a socket that is left behind is in nobody's way" soon keel create "$WORK/second.json"
finish
