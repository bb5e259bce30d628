#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The machine is reset from outside while a guest runs, so that Keel can do nothing about it: the next control domain finds
# nothing of the guest. Where memory is not cleared at boot it does, which shows that what is looked for would be found.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
module=$(build_module "$ROOT/tests/integration/peek") || exit 1
files=(--file "$module:/keel-test/peek.ko" --file "$TESTS/blob:/keel-test/blob" --file "$TESTS/secret.bin:/keel-test/secret.bin")

# reset_twice LABEL SECRETS [tools/run option...]
reset_twice() {
	local label=$1 script=$TESTS/warm-reset-$1
	{
		printf 'SECRETS=%s\n' "$2"
		cat "$ROOT/tests/integration/peek-guest.sh" "$ROOT/tests/integration/warm-reset-guest.sh"
	} >"$script"
	shift 2
	rm -f "$logs/$label/host.log"
	monitor "$label" 'test: reset me' 0 system_reset &
	boot "$label" 130 "$script" --reboot --memory 1G "${files[@]}" "$@"
	judge "$label"
	check "$label: it was reset, and came back" test "$(grep -ac 'Keel, a microhypervisor' "$logs/$label/host.log")" -eq 2
}

reset_twice cleared 0 --keel clear --smp 2
reset_twice uncleared 1024 --keel noclear
finish
