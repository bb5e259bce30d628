# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2016,SC2086,SC2154,SC3028
# Runs in the control domain, behind console.sh: loads of all kinds at a time for $soak_seconds, then what must be as
# before. A function load_NAME does one round of a load. A heartbeat tells whoever watches from outside that the machine lives.

cd /keel-test || exit 1
work=/tmp/soak
mkdir -p $work
patience=1200			# seconds; everything runs at the same time, maybe on one CPU of which others want a part

uptime_s() {
	cut -d. -f1 /proc/uptime
}

# With what each CPU keeps for itself of free pages.
available_kib() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	awk '/MemAvailable/ { sum += $2 } $1 == "count:" { sum += $2 * 4 } END { print sum }' /proc/meminfo /proc/zoneinfo
}

running() {
	[ ! -e $work/stop ]
}

# Between 0 and so many tenths of a second.
nap() {
	usleep $((RANDOM % ($1 + 1) * 100000))
}

one_in() {
	[ $((RANDOM % $1)) = 0 ]
}

is_there() {
	keel list | grep -w "$1" >/dev/null
}

# manifest NAME MEMORY REST: the rest is what comes behind, with its comma.
manifest() {
	printf '{ "version": 1, "name": "%s", "memory": "%s", "vcpus": 1%s }\n' "$1" "$2" "$3" >"$work/$1.json"
}

disk() {
	truncate -s 1M "$work/$1.img"
	dd if=sector.bin of="$work/$1.img" conv=notrunc 2>/dev/null
	printf ', "disks": [{ "file": "%s", "mode": "rw" }]' "$work/$1.img"
}

heartbeat() {
	beat=0
	while [ ! -e $work/quiet ]; do
		beat=$((beat + 1))
		echo "soak: heartbeat $beat"
		sleep 2
	done
}

# awaits COMMAND...: until it succeeds, or all is to stop.
awaits() {
	end=$(($(uptime_s) + patience))
	until "$@"; do
		running || return 0
		[ "$(uptime_s)" -lt $end ] || { echo "waited in vain: $*"; return 1; }
		usleep 300000
	done
}

has_shown() {
	[ "$(keel console --log "$1" 2>/dev/null | tr -d '\r' | grep -aEc "$2")" -ge "${3:-1}" ]
}

differs() {
	[ "$(keel console --log "$1" | md5sum)" != "$2" ]
}

is_gone() {
	! is_there "$1"
}

# The guest's console shows something new.
goes_on() {
	awaits differs "$1" "$(keel console --log "$1" | md5sum)"
}

# GRUB polls its serial port for a key, on a CPU that another guest polls on.
load_prompt() {
	if ! is_there grub; then
		keel create $work/grub.json || return 1
		menus=0
	else
		keel reboot --force --timeout $patience grub || return 1
	fi
	menus=$((menus + 1))
	awaits has_shown grub 'Press enter to boot the selected OS' $menus || return 1
	printf c >/run/keel/grub/console
	for prompt in 1 2 3 4 5 6; do
		send grub "set answer=$prompt$menus$((RANDOM)); echo the answer is \${answer}"
		awaits has_shown grub "the answer is $prompt$menus" || return 1
		running || break
		nap 40
	done
	# What is kept of a console is not without end.
	[ $menus -lt 4 ] || keel destroy grub
}

load_sector() {
	is_there sector || keel create $work/sector.json || return 1
	goes_on sector || return 1
	nap 30
	goes_on sector || return 1
	! keel console --log sector | grep -a FAIL || return 1
	case $((RANDOM % 3)) in
	0)	keel reboot --force --timeout $patience sector ;;
	1)	keel destroy sector ;;
	esac
}

load_kill() {
	keel create $work/victim.json || return 1
	nap 30
	if one_in 3; then
		keel destroy victim || return 1
	else
		kill -9 "$(keel info victim | awk '$1 == "pid" { print $2 }')" || return 1
	fi
	awaits is_gone victim
}

load_console() {
	for name in grub sector victim; do
		timeout -k 5 1 keel console $name </dev/null >/dev/null 2>&1
		# What is typed at GRUB's prompt is part of a command.
		[ $name = grub ] || printf x | timeout -s KILL 1 keel console $name >/dev/null 2>&1
		keel list --json >/dev/null 2>&1
		nap 10
	done
	true
}

load_bare() {
	for guest in hello modes xstate debug task apic hostile-port hostile-mmio; do
		./blob --timeout $patience --expect "$guest: ok" $guest.bin || return 1
		running || return 0
	done
	./blob --vcpus 4 --timeout $patience --expect "smp: ok" smp.bin || return 1
	keel create $work/spin.json || return 1
	nap 30
	keel destroy spin
}

# The drive that brought these files.
load_drive() {
	dd if=/dev/vda of=/dev/null bs=64k iflag=direct 2>$work/dd.log || { cat $work/dd.log; return 1; }
	nap 10
}

load_cpus() {
	for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
		echo 0 >"$cpu" && nap 20 && echo 1 >"$cpu" && nap 20 || return 1
	done
}

load_linux() {
	is_there tiny || keel create $work/tiny.json || return 1
	awaits has_shown tiny 'GUEST-UP' || return 1
	copy='dd if=/dev/zero of=/dev/null bs=64k count=2000 2>/dev/null'
	send tiny "for i in 1 2 3 4 5 6 7 8; do $copy; done; echo \$((6 * 7))-works"
	awaits has_shown tiny '^42-works' || return 1
	if one_in 2; then
		send tiny 'poweroff -f'
		awaits is_gone tiny
	else
		keel destroy tiny
	fi
}

# Rounds of one load until all stop. One that fails stops all.
loads() {
	rounds=0
	while running; do
		if ! "load_$1" >"$work/$1.log" 2>&1; then
			echo "not ok - soak: $1, round $((rounds + 1)): $(tail -n 2 "$work/$1.log" | tr '\n\r' '| ')"
			touch $work/stop
			break
		fi
		rounds=$((rounds + 1))
		echo $rounds >"$work/$1.rounds"
	done
}

all_rounds() {
	for load in $names; do
		printf ' %s %s' "$load" "$(cat "$work/$load.rounds" 2>/dev/null || echo 0)"
	done
}

each_had_one() {
	for load in $names; do
		[ -e "$work/$load.rounds" ] || return 1
	done
}

# Each load comes to its end at least once, however short the time.
time_is_over() {
	passed=$(($(uptime_s) - start))
	[ $passed -ge $soak_seconds ] && { each_had_one || [ $passed -ge $((soak_seconds + patience)) ]; }
}

manifest grub 64M ', "cpu_affinity": [0], "boot": ["cdrom"], "cdrom": { "file": "/keel-test/grub.iso" }'
manifest sector 16M ", \"cpu_affinity\": [0]$(disk sector)"
manifest victim 16M "$(disk victim)"
manifest spin 16M ', "firmware": "/keel-test/spin.bin"'
names="prompt sector kill console bare"
[ ! -b /dev/vda ] || names="$names drive"
[ "$(grep -c '^processor' /proc/cpuinfo)" = 1 ] || names="$names cpus"
if [ -e tiny.iso ]; then
	manifest tiny 256M ', "boot": ["cdrom"], "cdrom": { "file": "/keel-test/tiny.iso" }'
	names="$names linux"
fi
# What is made once and stays, as caches of the kernel's, is made now.
check "soak: a first guest" keel create $work/victim.json
check "soak: it ends" keel destroy victim
memory=$(available_kib)
grep ' _text$' /proc/kallsyms | sed 's/^/soak: /'
heartbeat &
heart=$!
pids=
for load in $names; do
	loads "$load" &
	pids="$pids $!"
done
start=$(uptime_s)
next=$((start + 60))
while running && ! time_is_over; do
	sleep 1
	if [ "$(uptime_s)" -ge $next ]; then
		echo "soak: $(($(uptime_s) - start)) s, rounds:$(all_rounds)"
		next=$((next + 60))
	fi
done
touch $work/stop
wait $pids
echo "soak: end after $(($(uptime_s) - start)) s, rounds:$(all_rounds)"
for load in $names; do
	check "soak: $load had its rounds" [ -s "$work/$load.rounds" ]
done
# One that was killed is on its way already.
ends() {
	is_gone "$1" || keel destroy "$1" || { sleep 5; is_gone "$1"; }
}
for name in grub sector victim spin tiny; do
	check "soak: $name ends" ends $name
done
check "soak: no guest is left" sh -c '[ "$(keel list | tail -n +2 | wc -l)" = 0 ]'
check "soak: no page is lost" sh -c 'keel info | grep "guest memory *0 pages"'
check "soak: all VM slots are free" sh -c 'keel info | grep "free VM slots *64$"'
rm -rf $work/*.img /var/log/keel/* /run/keel/*
memory_is_back() {
	now=$(available_kib)
	echo "$memory KiB before, $now KiB now"
	[ "$now" -gt $((memory - 16384)) ]
}
check "soak: the memory is back" memory_is_back
check "soak: the driver unloads" rmmod keel
check "soak: no oops" sh -c '! dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup|Dazed"'
touch $work/quiet
wait $heart
echo "tests: end"
