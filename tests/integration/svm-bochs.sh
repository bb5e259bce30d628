#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A second implementation of AMD SVM, by Bochs: it has NRIPS and many ASIDs, which QEMU's lacks.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --cpu ryzen --patience 1500"
# shellcheck source=tests/integration/bochs.sh
. "$(dirname "$0")/bochs.sh"
