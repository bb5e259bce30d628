#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kernel-make.sh amd64|SUITE ARGUMENT...: make in the build tree of that kernel of kernel.sh's, by the compiler of its suite.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

folder=$("$ROOT/tools/lib/kernel.sh" "$1")
runner=()
[ "$1" = amd64 ] || runner=("$ROOT/tools/lib/suite.sh" exec "$folder/tools")
exec "${runner[@]}" make -C "/lib/modules/$(cat "$folder/version")/build" "${@:2}"
