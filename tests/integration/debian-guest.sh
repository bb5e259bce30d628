# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# Debian on its own disk, from GRUB in the MBR to a login on the serial port, and, if REBOOTS is set, again after a reboot.

last_line() {
	keel console --log debian 2>/dev/null | tr -d '\r' | tail -n 1
}

prompts() {
	keel console --log debian | grep -ac 'keel-debian login:'
}

# logged_in TIME: else types what the last line asks for. It must have stood for a while: what is typed before login has turned
# the echo off is thrown away, and a busy machine takes seconds for that.
logged_in() {
	shows debian "42-logged-in-$1 CPUS=2" 1 2 && return
	before=$line line=$(last_line)
	[ "$line" = "$before" ] || return
	case $line in
	*login:*)	send debian root ;;
	*Password:*)	send debian keel ;;
	*'# ')		send debian "echo \$((6 * 7))-logged-in-$1 CPUS=\$(nproc)" ;;
	esac
	return 1
}

logs_in() {
	line=
	within 60 logged_in "$1"
}

check "debian: created" keel create "$manifest"
check "debian: login prompt" shows debian 'keel-debian login:' 1 400
check "debian: logs in with both CPUs" logs_in 1
if [ -n "$REBOOTS" ]; then
	asked=$(prompts)
	send debian 'echo kept >/root/kept; sync; reboot'
	check "debian: login prompt after a reboot" shows debian 'keel-debian login:' $((asked + 1)) 400
	check "debian: logs in again" logs_in 2
	send debian 'echo $((3 * 3))$(cat /root/kept)'
	check "debian: what was written is there" shows debian 9kept 1 30
fi
check "debian: the power button shuts it down" keel shutdown --timeout $((120 * KEEL_PATIENCE)) debian
check "debian: it is gone" gone debian 5
check "debian: nothing is left" sh -c 'keel info | grep "guest memory *0 pages"'
echo "tests: end"
