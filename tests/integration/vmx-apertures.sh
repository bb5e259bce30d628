#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Mappings that change after the start on Intel VMX, by Bochs.
set -uo pipefail
# Each place twice; QEMU takes each ten times.
ROUNDS=12
KEEL_RUN_OPTIONS="--emulator bochs --accel tcg --smp 1 --patience 450"
# shellcheck source=tests/integration/apertures.sh
. "$(dirname "$0")/apertures.sh"
