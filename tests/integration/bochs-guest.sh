# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain: what only the processors of Bochs have.

cd /keel-test || exit 1

check "exits of PAUSE loops are in use" sh -c 'keel dmesg | grep "options.*PAUSE"'
check "guest pause with 2 vCPUs on one processor" taskset 1 ./blob --vcpus 2 --timeout 20 --expect "pause: ok" pause.bin
check "guest debug with INT1" ./blob --timeout 20 --expect "debug: ok" debug-int1.bin
check "the largest pages are of 1 GiB" sh -c 'keel dmesg | grep "largest pages 1 GiB"'
./dirty --gibibyte dirty-gib.bin || echo "not ok - dirty: it ended with status $?"
insmod hostile.ko registers=1
dmesg | grep -o 'hostile: .*' | sed 's/^hostile: //' | grep -E '^(not )?ok - '
check "the hostile module comes to its end" sh -c 'dmesg | grep "hostile: ok - .*it comes to its end"'
check "the hypervisor survives wrong values of registers" keel dmesg
echo "tests: end"
