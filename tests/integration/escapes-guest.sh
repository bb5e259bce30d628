# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain, behind console.sh: the process of a guest as others see it, and what it gets at.

cd /keel-test || exit 1
echo 'root:*:1::::::' >/etc/shadow
mkdir -p /var/log
echo "-- as root"
./escapes
echo "-- as a user"
./escapes user

printf '{ "version": 1, "name": "one", "memory": "16M" }' >/tmp/one.json
printf '{ "version": 1, "name": "two", "memory": "16M", "weight": 300 }' >/tmp/two.json
check "two guests start" sh -c 'keel create /tmp/one.json && keel create /tmp/two.json'
one=$(cat /run/keel/one/pid) two=$(cat /run/keel/two/pid)

# status FIELD PID
status() {
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$2/status"
}

apart() {
	for space in mnt net ipc uts; do
		[ "$(readlink "/proc/$1/ns/$space")" != "$(readlink "/proc/self/ns/$space")" ] || return 1
	done
}

# A limit's soft and hard value.
limited() {
	grep "^$2 *$3 *$3 " "/proc/$1/limits"
}

for pid in $one $two; do
	check "$pid: its user is not root" sh -c '[ "$1" -gt 1000 ]' sh "$(status Uid "$pid" | cut -f 1)"
	check "$pid: no capability" [ "$(status CapPrm "$pid")$(status CapEff "$pid")$(status CapInh "$pid")" = \
		000000000000000000000000000000000000000000000000 ]
	check "$pid: no new privileges, and a filter" [ "$(status NoNewPrivs "$pid") $(status Seccomp "$pid")" = "1 2" ]
	check "$pid: its root folder is empty" [ -z "$(ls -A "/proc/$pid/root/")" ]
	check "$pid: namespaces of its own" apart "$pid"
	check "$pid: no groups" [ -z "$(status Groups "$pid" | tr -d ' ')" ]
	check "$pid: no core file" limited "$pid" "Max core file size" 0
	check "$pid: limited files" limited "$pid" "Max open files" 512
	check "$pid: limited threads" sh -c 'grep "^Max processes *[1-9][0-9]\? *[1-9][0-9]\? " /proc/$1/limits' sh "$pid"
	check "$pid: limited address space" sh -c 'grep "^Max address space *[1-9][0-9]* *[1-9][0-9]* " /proc/$1/limits' sh "$pid"
	check "$pid: limited memory" sh -c 'grep "^Max data size *[1-9][0-9]* *[1-9][0-9]* " /proc/$1/limits' sh "$pid"
done
check "each has a user of its own" [ "$(status Uid "$one")" != "$(status Uid "$two")" ]
# Behind the name, which may have spaces, it is the 17th field.
nice_threads() {
	sed 's/.*) //' "/proc/$1"/task/*/stat | cut -d ' ' -f 17 | grep -x -e "$2"
}
check "a weight is honoured without a capability" nice_threads "$two" -4
check "it is restarted in the sandbox" sh -c 'keel reboot --force one && keel list | grep "one *running"'
kill -KILL "$one"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -e /run/keel/one ] || break
	sleep 0.3
done
check "a killed guest leaves no folder" [ ! -e /run/keel/one ]
check "and its log says by what it went" grep 'ended by signal 9' /var/log/keel/one.log
check "its name is free" keel create /tmp/one.json
check "and it ends" keel destroy one
check "its folder is gone by then" [ ! -e /run/keel/one ]
check "the other ends" keel destroy two
echo "tests: end"
