#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Devices with back ends: a guest has those that its manifest asks for, and they are served by a process that is confined, over
# restarts, too.
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

manifest devices '"rng": true'
check "create" keel create "$WORK/devices.json"
order devices 'random 256'
check "an entropy device gives bytes" noted devices 'random 256 1[0-9][0-9]'
order devices 'random 4096'
check "and of many some" noted devices 'random [1-9][0-9]* [12][0-9][0-9]' 2
for _ in $(seq 12); do
	order devices 'random 64'
done
check "and goes on" noted devices 'random 64 [3-6][0-9]' 12
order devices 'end 2'
check "it starts again" noted devices start 2
order devices 'random 128'
check "and has its entropy device" noted devices 'random 128 [5-9][0-9]|random 128 1[0-9][0-9]'
check "destroy" keel destroy devices

manifest plain '"rng": false'
check "create another one" keel create "$WORK/plain.json"
order plain 'random 256'
order plain 'say alive'
order plain 'end 1'
check "it ends" soon grep -q '"state":"ended"' "$KEEL_RUN_DIR/.ended/plain"
check "one that was not asked for is not there" never grep -q random "$WORK/guests/plain/notes"
finish
