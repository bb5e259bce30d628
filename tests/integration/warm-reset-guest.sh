# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain behind peek-guest.sh, twice: a guest with a secret is running when the machine is reset, and the next
# control domain looks for it. Wants SECRETS, how many of the guest's pages are to be found then at least; 0: none may.

# A byte of the clock's memory, which outlives a reset: 1 behind the first boot.
select_byte() {
	printf '\140' | dd of=/dev/port bs=1 count=1 seek=112 conv=notrunc 2>/dev/null
}
select_byte
boot=$(dd if=/dev/port bs=1 count=1 skip=113 2>/dev/null | od -An -tu1 | tr -d ' ')

keel dmesg | grep clearing
if [ "$boot" -ne 1 ]; then
	select_byte
	printf '\001' | dd of=/dev/port bs=1 count=1 seek=113 conv=notrunc 2>/dev/null
	/keel-test/blob --timeout 600 --expect-end running --expect NEVER /keel-test/secret.bin >/tmp/secret.log 2>&1 &
	for _ in $(seq $((20 * ${KEEL_PATIENCE:-1}))); do
		sleep 1
		grep hidden /tmp/secret.log && break
	done
	grep -q hidden /tmp/secret.log && echo "ok - the guest has hidden its secret" ||
		echo "not ok - the guest has hidden its secret"
	peek "while the guest runs" refused=2048
	echo "test: reset me"
	sleep 120
fi
peek "after the reset" secrets="$SECRETS"
echo "tests: end"
