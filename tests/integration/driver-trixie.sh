#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The driver, bare and hostile guests and the hostile module with the kernel of Debian 13 in the control domain.
set -uo pipefail
KEEL_RUN_OPTIONS="--suite trixie"
# shellcheck source=tests/integration/driver.sh
. "$(dirname "$0")/driver.sh"
