# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain: a guest is saved and loaded.

cd /keel-test || exit 1
while read -r vcpus guest; do
	./saved "$vcpus" "$guest" </dev/null || echo "not ok - saved, $guest with $vcpus vCPUs: it ended with status $?"
done <<-END
	1 saved.bin
	2 saved.bin
	4 saved-smp.bin
END
if dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup"; then
	echo "not ok - no oops: see above"
else
	echo "ok - no oops"
fi
echo "tests: end"
