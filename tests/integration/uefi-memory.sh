#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# UEFI hosts whose memory maps differ by size, board and nodes: nothing that the firmware keeps for the kernel is in Keel's way.
# timeout: 250
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/integration/uefi-hosts.sh
. "$ROOT/tests/integration/uefi-hosts.sh"

build_tests
uefi_host pc-3 3 1
uefi_host q35-6-numa 6 2 --machine q35
finish
