#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A processor without SVM, one with SVM but no nested paging, one of Intel's without VMX, and one of another maker: one clear line
# each, and the plain entry of the menu still boots.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

# start LABEL CPU ENTRY PATTERN: boots until the serial console shows the pattern.
start() {
	machine_shows "$1" "$4" -cpu "$2" -cdrom "$KEEL_BUILD/image/host.iso" \
		-smbios "type=1,product=keel-run,version=$3,family=console=ttyS0"
}

[ -e "$KEEL_BUILD/image/host.iso" ] || die "no host image: run tools/lib/build.sh"
check "no SVM: the line names it" start nosvm max,-svm keel '[Kk]eel.*SVM'
check "no SVM: and the remedy" grep -aq 'firmware setup' "$logs/nosvm.log"
check "no nested paging: the line names it" start nonpt max,+svm,-npt keel '[Kk]eel.*([Nn]ested|NPT)'
check "no VMX: the line names it" start novmx max,-svm,vendor=GenuineIntel keel '[Kk]eel.*VMX'
check "no VMX: and the remedy" grep -aEiq 'firmware' "$logs/novmx.log"
check "another maker: the line says so" start nobody max,-svm,vendor=CentaurHauls keel '[Kk]eel.*neither'
check "the plain entry boots without SVM" start plain max,-svm plain 'Linux version'
finish
