# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain: a guest is saved and loaded.

cd /keel-test || exit 1
for vcpus in 1 2; do
	./saved "$vcpus" saved.bin || echo "not ok - saved: it ended with status $?"
done
if dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup"; then
	echo "not ok - no oops: see above"
else
	echo "ok - no oops"
fi
echo "tests: end"
