# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain: bare guests, the driver's ABI, and a kernel module that misuses the hypervisor.

cd /keel-test || exit 1

check() {
	what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $(grep -v '^blob: end poweroff' /tmp/check.log | tail -n 3 | tr '\n\r' '| ')"
	fi
}

# The hypervisor's memory: the largest piece that is reserved above 1 MiB and below the last RAM, as module parameters.
reserved() {
	awk -F'[-: ]+' '/System RAM/ { ram = $2 } /[Rr]eserved/ { first[++n] = $1; last[n] = $2 }
		function number(hex, i, v) {
			v = 0
			for (i = 1; i <= length(hex); i++)
				v = v * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
			return v
		}
		END { for (i = 1; i <= n; i++) { a = number(first[i]); b = number(last[i])
			if (a >= 1048576 && b < number(ram) && b - a > size) { size = b - a; at = a } }
			printf "first=%d bytes=%d", at, size + 1 }' /proc/iomem
}

for guest in hello modes string segment xstate vector clock task debug step nmi paging delivery breakpoint ioapic lint0 nest \
	hostile-msr hostile-port hostile-mmio hostile-cpu; do
	check "guest $guest" ./blob --timeout 25 --expect "$guest: ok" $guest.bin
done
check "guest smp with 4 vCPUs" ./blob --vcpus 4 --timeout 25 --expect "smp: ok" smp.bin
check "guest ipi with 4 vCPUs" ./blob --vcpus 4 --timeout 40 --expect "ipi: ok" ipi.bin
check "guest share with 4 vCPUs on one processor" taskset 1 ./blob --vcpus 4 --timeout 40 --expect "share: ok" share.bin
# An interpreter needs longer for each of the interrupts that are to hit the guest between STI and HLT, and for a look at all
# memory.
period=70 kills=200 sample=
[ "$(awk '/^cpu MHz/ { print int($4); exit }' /proc/cpuinfo)" -gt 500 ] || period=2000 kills=40 sample=sample
taskset 1 ./timer $period &
check "guest halt among interrupts" taskset 1 ./blob --timeout 40 --expect "halt: ok" halt.bin
kill $!
wait $!
check "guest triple" ./blob --timeout 5 --expect-end triple-fault triple.bin
check "guest task-triple" ./blob --timeout 10 --expect "task: interrupt" --expect-end triple-fault task-triple.bin
check "guest spin cannot be stopped but by its owner" ./blob --timeout 1 --expect-end running --expect "here I go" spin.bin
check "guest hostile-walk" ./blob --timeout 5 --expect-end cell-refused,poweroff hostile-walk.bin
check "guest hostile-fetch" ./blob --timeout 5 --expect-end cell-refused,poweroff hostile-fetch.bin
check "guest hostile-table" ./blob --timeout 5 --expect-end cell-refused,triple-fault hostile-table.bin
check "guest hostile-stack" ./blob --timeout 5 --expect-end cell-refused,triple-fault hostile-stack.bin
check "guest hostile-cr3" ./blob --timeout 5 --expect-end cell-refused,triple-fault hostile-cr3.bin
check "guest hostile-real" ./blob --timeout 5 --expect-end triple-fault,cell-refused hostile-real.bin
# Where the emulated processor lets a guest set what VMRUN then refuses, only this guest ends.
check "guest hostile-state" ./blob --timeout 5 --expect-end poweroff,entry-failed,triple-fault,running hostile-state.bin

./abi spin.bin hello.bin secret.bin $kills $sample || echo "not ok - abi: it ended with status $?"
./dirty dirty.bin || echo "not ok - dirty: it ended with status $?"

for round in 1 2 3 4 5; do
	check "driver: unload and load, round $round" sh -c 'rmmod keel && [ ! -e /dev/keel ] && insmod /lib/modules/keel.ko'
done
check "a guest after that" ./blob --expect "hello: ok" hello.bin

if [ -e hostile.ko ]; then
	./blob --timeout 240 --expect-end running --expect "hidden" secret.bin >/tmp/secret.log 2>&1 &
	secret=$!
	for _ in $(seq $((20 * ${KEEL_PATIENCE:-1}))); do
		grep -q hidden /tmp/secret.log && break
		sleep 0.5
	done
	insmod hostile.ko $(reserved)
	dmesg | grep -o 'hostile: .*' | sed 's/^hostile: //' | grep -E '^(not )?ok - '
	check "the hostile module comes to its end" sh -c 'dmesg | grep "hostile: ok - .*it comes to its end"'
	[ ! -d /sys/devices/system/cpu/cpu1 ] || check "a processor goes off line and on line beside the guest" \
		sh -c 'cd /sys/devices/system/cpu/cpu1 && echo 0 >online && echo 1 >online && taskset 2 true'
	peek beside-a-guest refused=2048
	check "the guest beside it is undisturbed" sh -c '! grep -E "FAIL|end" /tmp/secret.log && grep hidden /tmp/secret.log'
	kill "$secret"
	wait "$secret"
	rmmod hostile
	check "a guest after the hostile module" ./blob --expect "hello: ok" hello.bin
fi
check "guest tpr" ./blob --timeout 10 --expect "tpr: ok" tpr.bin
check "guest apic" ./blob --timeout 25 --expect "apic: ok" apic.bin
# A read of donated memory is a general protection fault, at which the kernel's copy from /proc/kcore wonders once.
check "no oops" sh -c '! dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup" | grep -v ex_handler_uaccess'
echo "tests: end"
