#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# PCI and the entropy device as SeaBIOS and Debian's kernel use them in a guest: registers where the firmware puts them, and where
# the kernel moves them; the device by its registers of today and the legacy ones, by MSI-X and by its line.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
boot rng 500 "$(script_for rng rng)" "$ROOT/guests/rng.json"
judge rng
finish
