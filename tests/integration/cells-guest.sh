# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain of a hypervisor with the hostile cell.

cd /keel-test || exit 1
./cells || echo "not ok - cells: it ended with status $?"
if dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup"; then
	echo "not ok - no oops: see above"
else
	echo "ok - no oops"
fi
echo "tests: end"
