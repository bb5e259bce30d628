# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain: what must be as on a machine without a hypervisor, and what must not be seen of it.
# Wants CPUS, the number of processors of the machine.

check() {
	what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $(tail -n 3 /tmp/check.log | tr '\n\r' '| ')"
	fi
}

online() {
	[ "$(grep -c '^processor' /proc/cpuinfo)" = "$1" ]
}

# Off and on again, and it works afterwards.
cycle() {
	file=/sys/devices/system/cpu/cpu$1/online
	echo 0 >"$file" && online $((CPUS - 1)) && echo 1 >"$file" && online "$CPUS" && taskset "$((1 << $1))" true
}

nmis() {
	awk '/NMI:/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i; print sum }' /proc/interrupts
}

# SysRq-l asks every other processor for a backtrace by NMI.
nmis_arrive() {
	before=$(nmis)
	echo l >/proc/sysrq-trigger
	sleep 1
	[ "$(nmis)" -ge $((before + CPUS - 1)) ] || { echo "NMIs: $before, then $(nmis)"; return 1; }
}

hidden() {
	! grep -qwE 'svm|vmx' /proc/cpuinfo
}

# While a processor is off line, the others' NMIs come to the hypervisor first.
nmis_arrive_off_line() {
	file=/sys/devices/system/cpu/cpu$((CPUS - 1))/online
	echo 0 >"$file" || return 1
	before=$(nmis)
	for round in 1 2 3 4 5; do
		echo l >/proc/sysrq-trigger
		sleep 0.3
	done
	after=$(nmis)
	echo 1 >"$file"
	[ "$after" -ge $((before + 5 * (CPUS - 2))) ] || { echo "NMIs: $before, then $after"; return 1; }
}

check "all $CPUS processors are on line" online "$CPUS"
check "SVM is hidden" hidden
check "the driver is there" [ -c /dev/keel ]
if [ "$CPUS" -gt 1 ] && [ -n "$CYCLES" ]; then
	cpu=1
	while [ "$cpu" -lt "$CPUS" ]; do
		round=1
		while [ "$round" -le "$CYCLES" ]; do
			check "processor $cpu off line and on line, round $round" cycle "$cpu"
			round=$((round + 1))
		done
		cpu=$((cpu + 1))
	done
	check "NMIs arrive on every processor" nmis_arrive
	[ "$CPUS" -eq 2 ] || check "NMIs arrive while a processor is off line" nmis_arrive_off_line
fi
if [ -x /usr/bin/keel ]; then
	check "keel dmesg shows the hypervisor's log" sh -c 'keel dmesg | grep -q "Keel: "'
fi
# Processors without counters of their own: the kernel says so at its start, with and without Keel.
hardware_counters() {
	/keel-test/perf hardware
	case $? in
	0)	true ;;
	2)	dmesg | grep 'using software events only\|no PMU driver, software events only' ;;
	*)	false ;;
	esac
}

if [ -x /keel-test/perf ]; then
	check "perf counts" /keel-test/perf count
	check "perf samples" /keel-test/perf sample
	check "perf's hardware counters count, or the processor has none" hardware_counters
fi
check "no oops" sh -c '! dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup|unexpected NMI|Dazed"'
echo "tests: end"
