# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# A guest of more than 2 GiB: where the host has a free gibibyte at the right place it comes in one block, and goes back as one.

sed 's/"256M"/"2560M"/' "$manifest" >"${manifest%.json}-big.json"
free_kib() {
	awk '/MemAvailable/ { print $2 }' /proc/meminfo
}

# While there is one for sure.
/keel-test/dirty --gibibyte /keel-test/dirty-gib.bin || echo "not ok - dirty: it ended with status $?"

# The second time the memory that the first one gave back must do.
# More than is outside of that block.
mib=1600
for round in 1 2; do
	before=$(free_kib)
	check "memory: a guest of 2560 MiB ($round)" keel create "${manifest%.json}-big.json"
	keel info tiny
	check "memory: a block of 1 GiB ($round)" sh -c 'keel info tiny | grep "blocks: [1-9][0-9]* of 1 GiB"'
	check "memory: it comes up ($round)" shows tiny 'GUEST-UP' 1 150
	send tiny 'free -m | awk "/Mem:/ { print \"MIB=\" (\$2 > 2300 && \$2 < 2560) }"'
	check "memory: it has all of it ($round)" shows tiny '^MIB=1' 1 30
	send tiny "mount -t tmpfs -o size=2200m none /root; dd if=/dev/zero of=/root/a bs=1M count=$mib; echo written=\$?"
	check "memory: it uses it ($round)" shows tiny '^written=0' 1 120
	check "memory: it ends ($round)" keel destroy tiny
	check "memory: the host has its pages back ($round)" sh -c 'keel info | grep "guest memory *0 pages"'
	check "memory: the kernel has them back ($round)" [ "$(free_kib)" -gt $((before - 65536)) ]
	mib=200
done
echo "tests: end"
