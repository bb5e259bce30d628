# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh

source_of=/sys/devices/system/clocksource/clocksource0/current_clocksource

# right_time GUEST: what its clock says, seconds since 1970, lies between the control domain's before and after.
right_time() {
	before=$(($(date +%s) - 1))
	send "$1" 'echo date-$(date +%s)'
	shows "$1" '^date-[0-9]+' 1 30 || return 1
	told=$(keel console --log "$1" | tr -d '\r' | sed -n 's/^date-\([0-9]*\).*/\1/p' | tail -n 1)
	[ "$told" -ge "$before" ] && [ "$told" -le "$(($(date +%s) + 1))" ]
}

# clocks_of GUEST
clocks_of() {
	printf '{ "version": 1, "name": "%s", "memory": "256M", "vcpus": 1,
		"boot": ["cdrom"], "cdrom": { "file": "/keel-test/%s.iso" } }\n' "$1" "$1" >"/tmp/$1.json"
	check "$1: created" keel create "/tmp/$1.json"
	check "$1: it comes up" shows "$1" 'GUEST-UP' 1 250
	send "$1" "echo source-\$(cat $source_of)"
	check "$1: its clock is kvm-clock or the TSC" shows "$1" '^source-(kvm-clock|tsc)' 1 30
	send "$1" 'dmesg | grep -E "tsc: .*calibrat|Refined TSC|TSC unstable"; echo searched-$((1 + 1))'
	check "$1: its kernel log was searched" shows "$1" '^searched-2' 1 30
	check "$1: it has calibrated nothing" \
		sh -c "! keel console --log $1 | grep -aE '\] tsc: .*calibrat|Refined TSC c|TSC unstable d'"
	check "$1: it has the right time" right_time "$1"
	check "$1: ends" keel destroy "$1"
}

clocks_of tiny
clocks_of noacpi
echo "tests: end"
