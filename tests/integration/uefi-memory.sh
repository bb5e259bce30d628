#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A UEFI host of a size at which firmware keeps for the kernel what would be in Keel's way; uefi-sizes.sh has more.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/integration/uefi-hosts.sh
. "$ROOT/tests/integration/uefi-hosts.sh"

build_tests
uefi_host pc-3 3 1
finish
