#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# More of the hosts of uefi-memory.sh, and two with the firmware of Debian 13.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/integration/uefi-hosts.sh
. "$ROOT/tests/integration/uefi-hosts.sh"

build_tests
packing=()
uefi_host pc-1 1 1
uefi_host q35-1 1 1 --machine q35
uefi_host q35-3 3 1 --machine q35
uefi_host q35-6-numa 6 2 --machine q35
uefi_host pc-6-numa 6 2
uefi_host pc-12 12 1
uefi_host q35-12-numa 12 2 --machine q35
uefi_host pc-20-numa 20 2
uefi_host q35-20 20 1 --machine q35
uefi_host trixie-pc-3 3 1 --emulator-suite trixie
uefi_host trixie-q35-6-numa 6 2 --machine q35 --emulator-suite trixie
finish
