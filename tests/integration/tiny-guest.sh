# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# The small guest by hand.

timer_interrupts() {
	awk '/^ *LOC:/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) sum += $i; print sum }' /proc/interrupts
}

before=$(timer_interrupts)
check "tiny: created" keel create "$manifest"
check "tiny: it comes up" shows tiny 'GUEST-UP' 1 200
# The guest's timers and the control domain's own tick; a timer that interrupts the cell over and over makes hundreds of
# thousands.
check "tiny: no storm of timer interrupts" [ $(($(timer_interrupts) - before)) -lt 30000 ]
send tiny 'echo $((6 * 7))-works'
check "tiny: its shell works" shows tiny '^42-works' 1 30
send tiny 'poweroff -f'
check "tiny: powers off" gone tiny 60
check "tiny: nothing is left" sh -c 'keel info | grep "guest memory *0 pages"'
echo "LOC: $(($(timer_interrupts) - before))"
echo "tests: end"
