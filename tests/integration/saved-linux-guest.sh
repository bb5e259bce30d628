# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain: Linux is saved and loaded.

cd /keel-test || exit 1
./saved-linux /usr/share/seabios/bios-256k.bin media.iso || echo "not ok - saved, Linux: it ended with status $?"
if dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup"; then
	echo "not ok - no oops: see above"
else
	echo "ok - no oops"
fi
echo "tests: end"
