#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# kernel-make.sh amd64|SUITE FOLDER: makes the modules of the folder in the build tree of that kernel of kernel.sh's, by the
# compiler of its suite.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

folder=$("$ROOT/tools/lib/kernel.sh" "$1")
runner=()
[ "$1" = amd64 ] || runner=("$ROOT/tools/lib/suite.sh" exec "$folder/tools")

make_modules() {
	"${runner[@]}" make -C "/lib/modules/$(cat "$folder/version")/build" M="$1" modules
}

# The kernel's makefiles take a space in a path for its end.
make_elsewhere() {
	work=$(temporary_folder)
	trap 'rm -rf "$work"' EXIT
	cp -a "$1/." "$work/"
	make_modules "$work"
	cp -a "$work/." "$1/"
}

case $2 in
*[[:space:]:]*)	make_elsewhere "$2" ;;
*)		make_modules "$2" ;;
esac
