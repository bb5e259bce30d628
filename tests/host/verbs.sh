#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Habits of the command line: help, versions, options, several names, nmi, wait, reset, log, completion.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# helps COMMAND...: whether it prints a usage on standard output and nothing on standard error, with status 0.
helps() {
	"$@" >"$WORK/help" 2>"$WORK/errors" && grep -q '^usage: keel' "$WORK/help" && [ ! -s "$WORK/errors" ]
}

verbs=$(keel help | sed -nE 's/^  ([a-z-]+) .*/\1/p')
check "keel help lists the verbs" [ "$(wc -w <<<"$verbs")" -ge 14 ]
check "keel -h" helps keel -h
check "keel --help" helps keel --help
for verb in $verbs; do
	check "keel $verb --help" helps keel "$verb" --help
	check "keel $verb -h" helps keel "$verb" -h
	check "keel help $verb tells of it" sh -c "keel help $verb | grep -q '^$verb: '"
	check "keel(1) has $verb" grep -qE "^\.(BR?|TP) .*\b$verb\b" "$ROOT/tools/keel/keel.1"
done
check "keel help help" sh -c "keel help help | grep -q '^help: '"
check "keel help --help" helps keel help --help
check "keel help of two" exits 2 keel help list create
check "a word of other programs" says 'did you mean "create"' keel start
check "help of it as well" says 'did you mean "create"' keel help start
check "no command is wrong usage" exits 2 keel
check "a command that there is not is wrong usage" exits 2 keel lits
check "and the near one is named" says 'did you mean "list"' keel lits
check "help of it as well" says 'did you mean "list"' keel help lits
check "an option that there is not is wrong usage" exits 2 keel list --jsn
check "and the near one is named" says '"--jsn" here; did you mean "--json"' keel list --jsn
check "an option of other verbs" says 'list: there is no option "--force" here' keel list --force
check "an option before the verb that the verb has not" exits 2 keel --json console x
check "an operand too few" says 'an operand is missing' keel shutdown
check "an operand too many" says '"b" is an operand too many' keel console a b
check "a time that is none" says 'expected 1 to 86400 seconds, found "0"' keel wait --timeout 0 x
check "a time that is missing" says 'needs a number' keel wait --timeout
check "wrong usage in JSON" sh -c "keel --json lits | grep -q '\"code\":2'"
version=$(sed -nE 's/^project\(keel VERSION ([0-9.]+).*/\1/p' "$ROOT/CMakeLists.txt")
check "keel --version" sh -c "keel --version | grep -x 'keel $version (ABI revision [0-9]*)'"
check "keel version" sh -c "keel version | grep -x 'keel $version (ABI revision [0-9]*)'"
check "keel version --json" sh -c "keel version --json | grep -F '\"version\":\"$version\"'"
check "keel --version --json" [ "$(keel --version --json)" = "$(keel version --json)" ]
check "keel --json --version" [ "$(keel --json --version)" = "$(keel version --json)" ]
check "keel --help --json" [ "$(keel --help --json)" = "$(keel help --json)" ]
check "keel help --json" [ "$(keel help --json | python3 -c 'import json, sys
print(" ".join(command["name"] for command in json.load(sys.stdin)["commands"]))')" = \
	"$(tr '\n' ' ' <<<"$verbs" | sed 's/ $//')" ]
check "keel --json list" sh -c "keel --json list | grep -x '{\"ok\":true,\"guests\":\[\]}'"

manifest one
manifest two
check "create from a pipe" sh -c 'cat "$1" | keel create -' - "$WORK/one.json"
check "its name" says '^one +running' keel list
# A guest's folder is called as the manifest is, and this one is "-".
mv "$WORK/guests/-" "$WORK/guests/one.pipe"
ln -s one.pipe "$WORK/guests/piped"
check "check from a pipe" says '^/dev/stdin: good$' sh -c 'cat "$1" | keel check /dev/stdin' - "$WORK/one.json"
check "check of a process substitution" says 'good$' bash -c 'keel check <(cat "$1")' - "$WORK/one.json"
truncate -s 1M "$WORK/disk.img"
check "files of a manifest from a pipe are in the working folder" sh -c 'cd "$1" &&
	echo "{ \"version\": 1, \"name\": \"a\", \"memory\": \"16M\", \"disks\": [ { \"file\": \"disk.img\" } ] }" |
		keel check -' - "$WORK"
check "a folder is no manifest" says 'Is a directory' keel check "$WORK"
check "nor is an endless file" says 'larger than 1 MiB' keel check /dev/zero
# To open some files is to do something: what is neither a file nor a block device is not opened.
mkfifo "$WORK/fifo"
manifest opens '"disks": [ { "file": "fifo", "mode": "ro" } ]'
(: >"$WORK/fifo"; touch "$WORK/opened") &
opener=$!
check "what is no file is none" says 'fifo is neither a regular file nor a block device' keel check "$WORK/opens.json"
sleep 0.5
check "and is not opened" never test -e "$WORK/opened"
kill $opener 2>/dev/null
check "create a second guest" keel create "$WORK/two.json"

check "nmi" says '^two: has got an NMI$' keel nmi two
check "it comes" noted two nmi
check "nmi of several" sh -c 'keel nmi one two | grep -c "has got" | grep -x 2'
check "both have it" noted two nmi 2
check "the other one, too" noted piped nmi
check "several, one of which there is not" exits 4 keel nmi one three two
check "others have it nevertheless" noted two nmi 3
check "one that is named twice" [ "$(keel nmi two one two | grep -c NMI)" -eq 2 ]
check "has it once" [ "$(grep -cx nmi "$WORK/guests/two/notes")" -eq 4 ]
check "alone as well" says '^\{"ok":true,"name":"two"\}$' keel nmi --json two two
check "several in JSON" sh -c 'keel nmi --json one three two | grep -E "\"ok\":false.*\"code\":4.*\"guests\":\[.*three.*\]"'
check "reset" says '^two: restarted' keel reset two
check "it starts again" noted two start 2
check "reset of several" sh -c 'keel reset one two | grep -c restarted | grep -x 2'
check "log" says 'two: restarted: ' keel log two
check "lines of the log have a time" says '^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z two: restarted' keel log two
check "log of a guest that was never there" exits 4 keel log never
check "log of no name" exits 4 keel log ../log/two
check "which is said" says '"../log/two" is not the name of a guest' keel log ../log/two
check "nor is an empty one" says '"" is not the name of a guest' keel log ''
python3 -c 'import sys; sys.stdout.write("first\n" + "x" * 65529 + "\u00e4\U0001f600\n" * 200000)' >"$KEEL_LOG_DIR/long.log"
printf 'last\303' >>"$KEEL_LOG_DIR/long.log"
# shellcheck disable=SC2016
check "a long log is what it is" sh -c '{ head -c -1 "$KEEL_LOG_DIR/long.log"; printf "%s" "\\xc3"; } >"$1" &&
	keel log long | cmp "$1"' - "$WORK/long"
truncate -s 1G "$KEEL_LOG_DIR/huge.log"
check "in pieces" [ "$(ulimit -v 100000; timeout 5 keel log huge 2>/dev/null | head -c 6)" = '\u0000' ]
check "in JSON the last of it" [ "$(keel log --json long | python3 -c 'import json, sys
log = json.load(sys.stdin)
text = log["log"]
print(len(text.encode()) <= 1 << 20, text.startswith("\u00e4"), text.endswith("last\\xc3"), log["truncated"])')" = \
	"True True True True" ]
printf 'a\0b\n' >"$KEEL_LOG_DIR/zero.log"
check "a zero in JSON is an escape, and no end" [ "$(keel log --json zero | python3 -c 'import json, sys
print(json.load(sys.stdin)["log"])')" = 'a\u0000b' ]
{ printf 'first\n'; head -c 1048570 /dev/zero; printf '\nlast\n'; } >"$KEEL_LOG_DIR/zeros.log"
check "nor of a long log" [ "$(keel log --json zeros | python3 -c 'import json, sys
print(json.load(sys.stdin)["log"])')" = last ]
check "else all of it" says '"truncated":false' keel log --json two

check "wait: not for ever" exits 6 keel wait --timeout 1 one
at_terminal() {
	"$ROOT/tests/host/terminal.py" never 1 x keel "$@"
}
check "what takes its time says at a terminal what it waits for" \
	says '^keel: wait one: waiting, 2 s of at most 3 s' sh -c '"$@" | tr "\r" "\n" | sed "s/^.\[K//"' - \
	"$ROOT/tests/host/terminal.py" never 1 x keel wait --timeout 3 one
check "which is no part of what follows" says "$(printf '\r\033')\\[Kkeel: guest \"two\" did not do it within 2 s" \
	at_terminal reboot --timeout 2 two
check "several as well" says 'keel: shutdown of 2 guests: waiting, 1 s of at most 2 s' at_terminal shutdown --timeout 2 one two
check "in JSON nothing" never says waiting at_terminal wait --json --timeout 2 one
check "nor where there is no terminal" never says waiting keel wait --timeout 2 one
keel wait one two >"$WORK/waited" 2>&1 &
asks_both() {
	[ "$(find "/proc/$1/fd" -lname 'socket:*' | wc -l)" -ge 2 ]
}
check "wait: asks both" soon asks_both $!
order piped 'end 2'
check "a reset is not the end" noted piped start 3
check "the guest is still waited for" kill -0 $!
order piped 'end 1'
order two 'end 1'
check "wait: ends with the guests" wait $!
check "wait: says why" [ "$(grep -c ': ended (the guest switched' "$WORK/waited")" -eq 2 ]
check "wait: no guest any more" exits 4 keel wait one

# A process that tells of restarts without end, and one that asks for nothing.
cat >"$WORK/process.py" <<'END'
import fcntl, os, socket, sys, threading

os.mkdir(sys.argv[1])
lock = os.open(sys.argv[1] + "/pid", os.O_RDWR | os.O_CREAT)
fcntl.lockf(lock, fcntl.LOCK_EX)
os.write(lock, b"%d\n" % os.getpid())
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1] + "/control")
server.listen()

def serve(connection):
    reads = connection.recv(4096)
    connection.sendall(b'{"ok":true,"state":"running"}\n')
    try:
        while True:
            connection.sendall(b'{"ok":true,"event":"restarted","reason":"a whim"}\n')
            if sys.argv[2] == "reads":
                connection.recv(4096)
    except OSError:
        pass

while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
END
for how in reads deaf; do
	python3 "$WORK/process.py" "$KEEL_RUN_DIR/$how" $how &
	process=$!
	check "a strange process is there" soon test -S "$KEEL_RUN_DIR/$how/control"
	check "wait --timeout: restarts without end are no time without end" exits 6 timeout -k 1 20 keel wait --timeout 2 $how
	check "wait: says of whom" says "guest \"$how\"" timeout -k 1 20 keel wait --timeout 2 $how
	kill -KILL $process
	wait $process 2>/dev/null
	rm -r "${KEEL_RUN_DIR:?}/$how"
done
for guest in stays dies; do
	manifest $guest
	check "create one that $guest" keel create "$WORK/$guest.json"
done
keel wait --timeout 60 stays dies >"$WORK/waited" 2>&1 &
waiting=$!
check "wait: asks both" soon asks_both $waiting
kill -KILL "$(cat "$KEEL_RUN_DIR/dies/pid")"
check "the killed one is gone" soon never test -e "$KEEL_RUN_DIR/dies"
order stays 'end 1'
wait $waiting
check "wait: one that was killed is a failure" [ $? -eq 1 ]
check "wait: says which" grep -q 'guest "dies": its process is gone' "$WORK/waited"
check "wait: and of the other" grep -q '^stays: ended' "$WORK/waited"

manifest kept '"on_crash": "preserve"'
check "create a guest that is kept" keel create "$WORK/kept.json"
keel wait kept >"$WORK/waited" 2>&1 &
sleep 0.2
order kept 'end 7 1'
wait $!
check "wait: a crash is a failure" [ $? -eq 1 ]
check "wait: says that it is kept" grep 'kept: preserved' "$WORK/waited"
check "wait: it was kept before" says 'kept: preserved' keel wait kept
check "wait: that is a failure as well" exits 1 keel wait kept
check "wait: in JSON as well" says '"event":"preserved".*"crashed":true' keel wait --json kept
check "shutdown of a guest that does not run" exits 1 keel shutdown kept
manifest more
check "create one more" keel create "$WORK/more.json"
check "destroy several" sh -c 'keel destroy kept more | grep -c "ended" | grep -x 2'

complete() {
	bash -c '. "$1/tools/keel/completion.bash"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); _keel
		printf "%s\n" "${COMPREPLY[@]}"' \
		- "$ROOT" "$@"
}
manifest shown
check "create one to be shown" keel create "$WORK/shown.json"
check "completion of verbs" [ "$(complete keel sh)" = shutdown ]
check "completion of all verbs" [ "$(complete keel '' | sort)" = "$( (echo "$verbs"; echo help) | sort)" ]
check "completion of options" [ "$(complete keel shutdown --ti)" = --timeout ]
check "completion of names" [ "$(complete keel shutdown sh)" = shown ]
check "completion of a time" [ -z "$(complete keel shutdown --timeout '')" ]
check "behind an = as well" [ -z "$(complete keel shutdown --timeout = '')" ]
check "completion of names behind it" [ "$(complete keel shutdown --timeout 5 sh)" = shown ]
check "completion of a second name" [ "$(complete keel wait other sh)" = shown ]
for verb in console info log; do
	check "completion of the name of $verb" [ "$(complete keel $verb '')" = shown ]
	check "but no second one" [ -z "$(complete keel $verb other '')" ]
done
for verb in top metrics; do
	check "completion of the names of $verb" [ "$(complete keel $verb other sh)" = shown ]
done
check "completion of top's options" [ "$(complete keel top --o)" = --once ]
check "completion of the operands of list, which has none" [ -z "$(complete keel list '')" ]
check "verbs are no folders" [ "$(bash -c '. "$1/tools/keel/completion.bash"; complete -p keel' - "$ROOT")" = \
	"complete -F _keel keel" ]
check "completion of the guest of cd-insert" [ "$(complete keel cd-insert sh)" = shown ]
check "and of its medium" [ "$(complete keel cd-insert shown "$WORK/sho")" = "$WORK/shown.json" ]
check "but no second one" [ -z "$(complete keel cd-insert shown a "$WORK/sho")" ]
check "completion of files" [ "$(complete keel create "$WORK/sho")" = "$WORK/shown.json" ]
finish
