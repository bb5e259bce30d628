#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The driver builds without a warning for the newest kernel of Debian, too.
set -uo pipefail
kernels=sid
# shellcheck source=tests/integration/kernels.sh
. "$(dirname "$0")/kernels.sh"
