#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What dma.sh has, with 200 guests that come and go while a device reads.
set -uo pipefail
DMA_ROUNDS=200
# shellcheck source=tests/integration/dma.sh
. "$(dirname "$0")/dma.sh"
