# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# Debian on its own disk, from GRUB in the MBR to a login on the serial port, and again after a reboot.

# What is typed while login looks at the password is thrown away: ask until the shell answers.
answers() {
	for _ in 1 2 3 4 5 6 7 8; do
		send debian "echo \$((6 * 7))-logged-in-$1 CPUS=\$(nproc)"
		! shows debian "42-logged-in-$1 CPUS=2" 1 10 || return 0
	done
	return 1
}

log_in() {
	send debian root
	check "debian: asks for the password ($1)" shows debian 'Password:' "$1" 200
	send debian keel
	check "debian: logs in with both CPUs ($1)" answers "$1"
}

check "debian: created" keel create "$manifest"
check "debian: login prompt" shows debian 'keel-debian login:' 1 400
log_in 1
send debian 'echo kept >/root/kept; sync; reboot'
check "debian: login prompt after a reboot" shows debian 'keel-debian login:' 2 400
log_in 2
send debian 'echo $((3 * 3))$(cat /root/kept)'
check "debian: what was written is there" shows debian 9kept 1 30
check "debian: the power button shuts it down" keel shutdown --timeout 120 debian
check "debian: it is gone" gone debian 5
check "debian: nothing is left" sh -c 'keel info | grep "guest memory *0 pages"'
echo "tests: end"
