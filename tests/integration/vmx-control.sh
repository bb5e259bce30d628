#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The control domain on two processors with Intel VMX, by Bochs, and a guest to its shell and its end.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --patience 1500"
# shellcheck source=tests/integration/bochs.sh
. "$(dirname "$0")/bochs.sh"
