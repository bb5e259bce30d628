# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# Two guests at once on two CPUs: one spins with interrupts off, one works; neither disturbs the other or the control domain.

cat >/tmp/spin.json <<'JSON'
{ "version": 1, "name": "spin", "memory": "16M", "vcpus": 1, "firmware": "/keel-test/spin.bin" }
JSON
check "pair: one that spins" keel create /tmp/spin.json
check "pair: one that works" keel create "$manifest"
check "pair: it comes up" shows tiny 'GUEST-UP' 1 150
send tiny 'echo $((6 * 7))-works'
check "pair: it works" shows tiny '^42-works' 1 30
check "pair: both run" sh -c '[ "$(keel list | grep -c running)" = 2 ]'
check "pair: a name in use is refused" sh -c '! keel create "$1"' sh "$manifest"
check "pair: the spinning one ends" keel destroy spin
send tiny 'echo $((6 * 8))-works'
check "pair: the other goes on" shows tiny '^48-works' 1 30
# shellcheck source=tests/integration/media-guest.sh
. /keel-test/media
check "pair: it ends" keel destroy tiny
check "pair: nothing is left" sh -c 'keel info | grep "guest memory *0 pages"'
echo "tests: end"
