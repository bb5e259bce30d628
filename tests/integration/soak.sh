#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# All kinds of load at once, on one CPU and on two, and whether the host stands it. A minute; "tools/test soak MINUTES" takes
# longer, half of it each. From outside a watchdog looks at the host's heartbeat. When that stops it writes down what the
# processors do.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

# The emulator's processor time, and the time that has passed, after which a host without a heartbeat has stopped: others may need
# this machine too.
stopped_cpu=30 stopped=240
samples=12
control_rip=0xffffffffc000c578		# the control domain's VMCB, in the memory of the first CPU: arch/x86/percpu.h, svm.h
seconds=$((${SOAK_MINUTES:-1} * 60))

# The emulator among the descendants of a process.
emulator_of() {
	local child children=
	read -r children 2>/dev/null <"/proc/$1/task/$1/children" || true
	for child in $children; do
		case $(cat "/proc/$child/comm" 2>/dev/null) in
		qemu*|bochs*)	printf '%s\n' "$child" ;;
		*)		emulator_of "$child" ;;
		esac
	done
}

# Processor time of a process, in seconds: user and system time are the 14th and 15th field, behind a name in parentheses.
cpu_seconds() {
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%d\n", ($12 + $13) / hz }' "/proc/$1/stat" 2>/dev/null ||
		echo 0
}

monitor() {
	{ printf '%s\n' "$@"; sleep 1; } | timeout 20 socat - "UNIX-CONNECT:$logs/$label/monitor" | tr -d '\r'
}

# RIP and privilege level of each CPU, by name where it is Keel or a cell. Addresses have the same number of digits, so that their
# order is that of text.
name_addresses() {
	{
		nm -n "$KEEL_BUILD/keel.elf" | sed -n 's/ [tT] / Keel: /p'
		nm -n "$KEEL_BUILD/devmodel/cell/cell.elf" | sed -n 's/ [tT] / cell: /p'
		cat
	} | awk '
		$2 == "Keel:" || $2 == "cell:" {
			at[++n] = $1
			side[n] = $2
			name[n] = $3
			next
		}
		/^CPU#/ { cpu = $1 }
		/^RIP=/ {
			rip = substr($1, 5)
			match($0, /CPL=[0-9]/)
			level = substr($0, RSTART, 5)
			wanted = ""
			if (level == "CPL=0" && rip ~ /^ffffffff80[0-3]/)
				wanted = "Keel:"
			if (level == "CPL=3" && rip ~ /^0000000000[45]/)
				wanted = "cell:"
			found = ""
			for (i = 1; i <= n; i++)
				if (side[i] == wanted && at[i] "" <= rip "")
					found = name[i]
			print cpu, rip, level, wanted, found
		}
		/^[0-9a-f]+: 0x/ { print "the control domain is at", $2 }'
}

# What both sides do: the emulator tells registers, Keel keeps the control domain's while a guest or a cell runs.
dump() {
	local file=$logs/$label/stopped.log i
	[ -S "$logs/$label/monitor" ] || { echo "the emulator has no monitor to ask"; return; }
	for ((i = 0; i < samples; i++)); do
		monitor stop "info registers -a" "x /1gx $control_rip" cont
	done >"$file.registers"
	{
		name_addresses <"$file.registers"
		monitor "info cpus" "info lapic 0" "info lapic 1" "info pic" "info irq"
		cat "$file.registers"
	} >"$file"
	rm "$file.registers"
	grep -aE '^CPU#[0-9]+ [0-9a-f]{16}|^the control' "$file"
	grep -aE 'IRR|ISR|TPR' "$file"
	echo "see $file"
}

# watch PID: of a process with the emulator below it, until it ends. False: the host has stopped.
watch() {
	local log=$logs/$label/host.log beats='' last='' cpu=0 cpu_then=0 then=$SECONDS emulator
	while kill -0 "$1" 2>/dev/null; do
		sleep 3
		beats=$(grep -ac 'soak: heartbeat' "$log")
		emulator=$(emulator_of "$1")
		cpu=$(cpu_seconds "${emulator:-0}")
		if [ "$beats" != "$last" ]; then
			last=$beats cpu_then=$cpu then=$SECONDS
		elif [ -n "$emulator" ] && [ $((cpu - cpu_then)) -ge $((beats ? stopped_cpu : 10 * stopped_cpu)) ] ||
			[ $((SECONDS - then)) -ge $((beats ? stopped : 3 * stopped)) ]; then
			printf 'not ok - soak: no heartbeat for %d s, %d s of the processor, after %d\n' \
				$((SECONDS - then)) $((cpu - cpu_then)) "$beats"
			failed=$((failed + 1))
			dump
			[ -z "$emulator" ] || kill "$emulator"
			return 1
		fi
	done
}

# soak LABEL SECONDS [tools/run option...]
soak() {
	local label=$1 length=$2 script=$TESTS/soak-$1 log=$logs/$1/host.log
	shift 2
	{
		printf 'soak_seconds=%d\n' "$length"
		cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/soak-guest.sh"
	} >"$script"
	rm -f "$log"
	boot "$label" $((length * 2 + 1500)) "$script" "${files[@]}" "$@" &
	if watch $!; then
		judge "$label"
		tr -d '\r' <"$log" | grep -ao 'soak: end after.*'
	fi
	wait
}

build_tests
"$ROOT/tools/lib/guests.sh" "$KEEL_BUILD/guests/grub.iso" "$KEEL_BUILD/guests/tiny.iso"
files=(--file "$KEEL_BUILD/guests/grub.iso:/keel-test/grub.iso")
# A guest that takes longer to start than a short soak lasts has no place there.
[ "$seconds" -lt 300 ] || files+=(--file "$KEEL_BUILD/guests/tiny.iso:/keel-test/tiny.iso")
for file in "$TESTS"/*.bin "$TESTS/blob"; do
	files+=(--file "$file:/keel-test/$(basename "$file")")
done
soak one $((seconds / 2)) --smp 1
[ "$failed" -gt 0 ] || soak two $((seconds / 2)) --smp 2
finish
