# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# Two guests at once on two CPUs: one spins with interrupts off, one works; neither disturbs the other or the control domain.

# metric NAME: a sample of keel metrics, by its name behind keel_guest_ and its labels.
metric() {
	keel metrics | awk -v name="keel_guest_$1" '$1 == name { print $2 }'
}

# grown BEFORE NAME: it was there, and has grown since.
grown() {
	awk -v before="$1" -v now="$(metric "$2")" 'BEGIN { exit !(before != "" && now + 0 > before + 0) }'
}

cat >/tmp/spin.json <<'JSON'
{ "version": 1, "name": "spin", "memory": "16M", "vcpus": 1, "firmware": "/keel-test/spin.bin" }
JSON
check "pair: one that spins" keel create /tmp/spin.json
check "pair: one that works" keel create "$manifest"
check "pair: it comes up" shows tiny 'GUEST-UP' 1 150
send tiny 'echo $((6 * 7))-works'
check "pair: it works" shows tiny '^42-works' 1 30
check "pair: both run" sh -c '[ "$(keel list | grep -c running)" = 2 ]'
io='exits_total{guest="tiny",kind="io",by="cell"}'
uart='device_accesses_total{guest="tiny",device="ns16550",instance="0"}'
cpuid='exits_total{guest="tiny",kind="cpuid",by="keel"}'
spent='measured_seconds_total{guest="spin",in="guest"}'
of_cell='measured_seconds_total{guest="tiny",in="cell"}'
thread='vcpu_cpu_seconds_total{guest="spin",vcpu="0"}'
before_io=$(metric "$io") before_uart=$(metric "$uart") before_cpuid=$(metric "$cpuid")
before_spent=$(metric "$spent") before_cell=$(metric "$of_cell") before_thread=$(metric "$thread")
send tiny 'echo $((6 * 9))-works; cat /proc/cpuinfo >/dev/null'
check "pair: it works on" shows tiny '^54-works' 1 30
check "pair: its exits are counted" grown "$before_io" "$io"
check "pair: and what they were for" grown "$before_uart" "$uart"
check "pair: so were those that Keel answers" [ "${before_cpuid:-0}" -gt 0 ]
check "pair: the other one's time is its own" grown "$before_spent" "$spent"
check "pair: and its thread's" grown "$before_thread" "$thread"
check "pair: this one's cell has its part" grown "$before_cell" "$of_cell"
check "pair: keel top tells of both" sh -c 'keel top | tee /dev/stderr | grep -cE "^(spin|tiny) +[0-9.]+ +[0-9.]+ " | grep -x 2'
check "pair: a name in use is refused" sh -c '! keel create "$1"' sh "$manifest"
check "pair: the spinning one ends" keel destroy spin
send tiny 'echo $((6 * 8))-works'
check "pair: the other goes on" shows tiny '^48-works' 1 30
# shellcheck source=tests/integration/media-guest.sh
. /keel-test/media
check "pair: it ends" keel destroy tiny
check "pair: nothing is left" sh -c 'keel info | grep "guest memory *0 pages"'
echo "tests: end"
