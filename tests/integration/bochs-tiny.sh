# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# bochs-tiny.sh: the guest tiny. To be sourced behind common.sh, with KEEL_RUN_OPTIONS set.

boot tiny 250 "$(script_for tiny tiny)" --expect 'reboot: Power down' "$ROOT/guests/tiny.json"
judge tiny
check "power-off" grep -aq 'reboot: Power down' "$logs/tiny/host.log"
finish
