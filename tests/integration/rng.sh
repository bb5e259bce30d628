#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The entropy device, used by Debian's own drivers in a guest: by the registers of today and the legacy ones, by MSI-X and by
# its line.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests

mkdir -p "$logs/rng"
rm -f "$logs/rng/guest.log"
check "rng: comes to its end" "$ROOT/tools/run" --no-build --keel noclear "$ROOT/guests/rng.json" --expect 'RNG-END' \
	--patience 300 --logs "$logs/rng" "${packing[@]}" "${run_options[@]}"
while IFS= read -r line; do
	printf '%s\n' "$line"
	case $line in
	"ok - "*)	passed=$((passed + 1)) ;;
	*)		failed=$((failed + 1)) ;;
	esac
done < <(tr -d '\r' <"$logs/rng/guest.log" | grep -aoE '(not )?ok - .*')
check "rng: all of it was tried" [ "$passed" -gt 50 ]
finish
