#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What vmx-driver.sh has, on two processors.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --memory 512M --patience 2400"
# shellcheck source=tests/integration/driver.sh
. "$(dirname "$0")/driver.sh"
