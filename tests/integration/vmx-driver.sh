#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The driver, bare and hostile guests and the hostile module on Intel VMX, by Bochs. On one processor, for two cost
# an interpreter more than twice the time; vmx-driver-smp.sh has two.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --memory 512M --smp 1 --patience 1500"
# shellcheck source=tests/integration/driver.sh
. "$(dirname "$0")/driver.sh"
