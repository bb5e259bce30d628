#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest is saved and loaded on Intel VMX, by Bochs.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --smp 1 --patience 450"
# shellcheck source=tests/integration/saved.sh
. "$(dirname "$0")/saved.sh"
