#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The same events on Intel VMX, by Bochs, but for what it cannot do: plugging in a processor.
set -uo pipefail
ROOT=${ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
KEEL_RUN_OPTIONS="--emulator bochs --patience 1800 --memory 1G"
EVENTS=${EVENTS:-sleep kexec kdump}
EVENTS_KERNEL=$("$ROOT/tools/lib/lz4-kernel.sh")
EVENTS_PM1=0xb004
EVENTS_BOCHS=yes
# shellcheck source=tests/integration/events.sh
. "$(dirname "$0")/events.sh"
