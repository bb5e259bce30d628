#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# build.sh: installs what is missing, builds everything and packs the host image.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

hold "$BUILD/build.lock" "the build in $BUILD"
"$ROOT/tools/lib/packages.sh"
if ! is_configured "$BUILD" "$ROOT"; then
	say "Configuring"
	logged "$BUILD/logs/cmake.log" cmake -S "$ROOT" -B "$BUILD" -G Ninja
fi
say "Building"
logged "$BUILD/logs/build.log" cmake --build "$BUILD"
"$ROOT/tools/lib/image.sh"
