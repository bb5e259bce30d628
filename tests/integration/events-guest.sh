# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain, behind peek-guest.sh: what happens to a server in its life, with a guest that has a secret. After
# each event all processors are Keel's still and nothing of the secret is to be found. EVENT says which one: one for each boot.

check() {
	what=$1
	shift
	if "$@" >/tmp/check.new 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $(tail -n 3 /tmp/check.new | tr '\n\r' '| ')"
	fi
	mv /tmp/check.new /tmp/check.log
}

# The guest stays when this script goes on.
start_secret() {
	/keel-test/blob --timeout 300 --expect-end running --expect hidden /keel-test/secret.bin >/tmp/secret.log 2>&1 &
	secret=$!
	for _ in $(seq $((20 * ${KEEL_PATIENCE:-1}))); do
		grep -q hidden /tmp/secret.log && break
		sleep 0.5
	done
	check "a guest has a secret" grep hidden /tmp/secret.log
}

secret_runs() {
	kill -0 "$secret" && ! grep -E 'FAIL|end' /tmp/secret.log
}

a_guest_runs() {
	/keel-test/blob --timeout 40 --expect "hello: ok" /keel-test/hello.bin
}

no_oops() {
	! dmesg | grep -E 'BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup|Stale IRR'
}

slots() {
	keel info | grep -E 'free VM slots +64$'
}

# Devices and processors sleep until somebody presses the power button; on Bochs the devices alone, for five seconds.
freeze() {
	test=none
	[ -z "$BOCHS" ] && insmod /keel-test/button.ko || test=platform
	echo $test >/sys/power/pm_test && echo "test: press the button" >/dev/console && echo freeze >/sys/power/state
}

# As a test of the devices, which ends before the image would be written: without it there is no place for one, and that is all
# the kernel would say.
hibernate() {
	echo platform >/sys/power/pm_test
	echo disk >/sys/power/state
	result=$?
	echo none >/sys/power/pm_test
	return $result
}

sleeping() {
	start_secret
	check "no other sleep is offered than suspend-to-idle" sh -c '[ "$(cat /sys/power/mem_sleep)" = "[s2idle]" ]'
	# PM1a control, as root writes it: every type with the enable bit, but for that of S5, which is 0 here.
	for type in 1 2 3 4 5 6 7; do
		/keel-test/port "$PM1_CONTROL" $((1 << 13 | type << 10))
	done
	check "sleeping states asked for at the port are refused" \
		sh -c 'keel dmesg | grep -c "sleeping state is refused" | grep -x 7'
	check "the status says that it has woken up" sh -c "/keel-test/port $((PM1_CONTROL - 4)) | grep '0x[89a-f]...'"
	/keel-test/port $((PM1_CONTROL - 4)) 0x8000
	check "until that is acknowledged" sh -c "/keel-test/port $((PM1_CONTROL - 4)) | grep '0x[0-7]...'"
	peek refused-sleep refused=2048
	before=$(cut -d. -f1 /proc/uptime)
	check "freeze: the machine sleeps and wakes up" freeze
	check "it slept" [ $(($(cut -d. -f1 /proc/uptime) - before)) -ge 2 ]
	check "the guest goes on" secret_runs
	hibernate && echo "not ok - hibernation is refused" || echo "ok - hibernation is refused"
	peek freeze refused=2048
	check "no oops" no_oops
	kill "$secret"
	wait
}

# What tools/run has put on a drive for the next kernel, too, must be in its initrd where there is none.
initrd() {
	if [ -n "$BOCHS" ]; then
		mkdir -p /tmp/next/keel
		# The folder that the test runs in is wanted, too.
		(cd / && { find keel keel-test | grep -v 'vmlinuz\|initrd'; echo "${OLDPWD#/}"; } | cpio -o -H newc) \
			>/tmp/next/keel/run.cpio
		(cd /tmp/next && find keel | cpio -o -H newc) >>/keel-test/initrd
	fi 2>/dev/null
	echo /keel-test/initrd
}

second_kernel() {
	check "all processors are on line" sh -c '[ "$(grep -c "^processor" /proc/cpuinfo)" = 2 ]'
	peek "$1"
	check "every slot for VMs is free" slots
	check "a guest runs" a_guest_runs
	check "no oops" no_oops
}

case $EVENT in
sleep)
	sleeping
	echo "tests: end" ;;
kexec)
	if grep -qw second /proc/cmdline; then
		# What the guests of before had is there, if it was not scrubbed.
		second_kernel second-kernel
		echo "tests: end"
	else
		start_secret
		check "the next kernel is loaded" \
			/keel-test/kexec next /keel-test/vmlinuz "$(initrd)" "$(cat /proc/cmdline) second"
		sync
		/keel-test/kexec go
	fi ;;
kdump)
	if [ -e /proc/vmcore ]; then
		check "the dump can be read to its end" /keel-test/seek /proc/vmcore
		cp /tmp/check.log /tmp/dump.log
		check "it has all memory" sh -c '[ "$(sed -n "s/ MiB.*//p" /tmp/dump.log)" -gt 500 ] || ! cat /tmp/dump.log'
		# A mark each 512 bytes of 4 MiB.
		check "what the kernel had is found in it" \
			sh -c '[ "$(sed -n "s/.* \([0-9]*\) marks.*/\1/p" /tmp/dump.log)" -ge 8192 ] || ! cat /tmp/dump.log'
		check "and nothing of a guest" sh -c 'grep ", 0 secrets" /tmp/dump.log || ! cat /tmp/dump.log'
		check "all processors are on line" sh -c '[ "$(grep -c "^processor" /proc/cpuinfo)" = 2 ]'
		peek crash-kernel
		check "every slot for VMs is free" slots
		check "a guest runs" a_guest_runs
		check "no oops" no_oops
		echo "tests: end"
	else
		start_secret
		check "marks are put into memory" /keel-test/seek --mark /tmp/marks 4
		check "the crash kernel is loaded" /keel-test/kexec crash /keel-test/vmlinuz "$(initrd)" \
			"$(sed 's/crashkernel=[^ ]*//' /proc/cmdline) irqpoll reset_devices"
		echo c >/proc/sysrq-trigger
	fi ;;
plug)
	start_secret
	check "one processor is there" sh -c '[ "$(grep -c "^processor" /proc/cpuinfo)" = 1 ]'
	echo "test: plug it in"
	for _ in $(seq $((20 * ${KEEL_PATIENCE:-1}))); do
		[ -e /sys/devices/system/cpu/cpu1/online ] && break
		sleep 0.5
	done
	check "another one is plugged in" [ -e /sys/devices/system/cpu/cpu1/online ]
	[ "$(cat /sys/devices/system/cpu/cpu1/online)" = 1 ] || echo 1 >/sys/devices/system/cpu/cpu1/online
	check "it is on line" sh -c '[ "$(grep -c "^processor" /proc/cpuinfo)" = 2 ]'
	peek plugged-in refused=2048
	check "off line and on line" sh -c 'cd /sys/devices/system/cpu/cpu1 && echo 0 >online && echo 1 >online && taskset 2 true'
	check "the guest goes on" secret_runs
	check "no oops" no_oops
	kill "$secret"
	wait
	echo "tests: end" ;;
esac
