#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest on a processor with Intel VMX that does not deliver interrupts by itself, by Bochs: TPR shadow and windows.
# timeout: 400
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --cpu corei7_sandy_bridge_2600k --timeout 250"
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
build_tests
# shellcheck source=tests/integration/bochs-tiny.sh
. "$(dirname "$0")/bochs-tiny.sh"
