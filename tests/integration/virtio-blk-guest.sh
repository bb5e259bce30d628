# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# A guest that starts from a virtio disk and uses others; what it has written is looked at afterwards.

mib=1048576
system=/keel-test/virtio-blk.iso

# pattern FIRST [COUNT]: so many MiB of what the guest comes from, from this one on.
pattern() {
	dd if=$system bs=$mib skip="$1" count="${2:-4}" 2>/dev/null
}

sum() {
	md5sum | cut -c 1-32
}

same() {
	echo "$1 $2"
	[ "$1" = "$2" ]
}

pattern 1 >/tmp/b.img
pattern 5 >/tmp/c.img
cat >/tmp/disks.json <<JSON
{
	"version": 1, "name": "disks", "memory": "256M", "vcpus": 1, "boot": ["disk"],
	"disks": [
		{ "bus": "virtio", "file": "$system", "mode": "ro" },
		{ "bus": "virtio", "file": "/tmp/b.img", "serial": "DISK B" },
		{ "bus": "virtio", "file": "/tmp/c.img", "mode": "snapshot" }
	]
}
JSON
image=$(sum <$system)
check "created" keel create /tmp/disks.json
check "it starts from a virtio disk" shows disks 'GUEST-UP' 1 200
check "it waits for a larger disk" shows disks 'GUEST-GROWS' 1 300
check "which it gets" keel disk-resize disks virtio-1 8M
check "it waits for a smaller one" shows disks 'GUEST-SHRINKS' 1 120
check "which it gets as well" keel disk-resize --shrink disks virtio-1 4M
check "it comes to its end" shows disks 'GUEST-END' 1 400
keel console --log disks | tr -d '\r' | grep -aE '^(not )?ok - '
send disks done
check "it powers off" gone disks 60
check "what it has written is in the image" same "$(head -c $mib /tmp/b.img | sum)" "$(pattern 7 1 | sum)"
check "and behind what it has discarded" same "$(tail -c $mib /tmp/b.img | sum)" "$(pattern 10 1 | sum)"
check "what it has discarded takes no room" [ "$(du -k /tmp/b.img | cut -f 1)" -le 2048 ]
check "the snapshot's image is as it was" same "$(sum </tmp/c.img)" "$(pattern 5 | sum)"
check "the read-only image is as it was" same "$(sum <$system)" "$image"
echo "tests: end"
