# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain of a hypervisor whose cell has a card with apertures, ROUNDS times.

cd /keel-test || exit 1
for vcpus in 2 4; do
	./apertures "$vcpus" aperture.bin "$ROUNDS" || echo "not ok - apertures: it ended with status $?"
done
taskset 1 ./apertures 3 aperture.bin "$ROUNDS" || echo "not ok - apertures on one processor: it ended with status $?"
if dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup"; then
	echo "not ok - no oops: see above"
else
	echo "ok - no oops"
fi
echo "tests: end"
