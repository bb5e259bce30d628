#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# driver-source.sh FOLDER: puts together the driver's sources with the headers that it shares with the hypervisor, as kbuild and
# DKMS want them. What is there and up to date stays as it is.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

[ $# -eq 1 ] || die "usage: tools/lib/driver-source.sh FOLDER"
mkdir -p "$1/include/keel"
cp -u "$ROOT"/linux/{Kbuild,Makefile,dkms.conf,*.c,*.h} "$1/"
cp -u "$ROOT"/include/keel/*.h "$1/include/keel/"
