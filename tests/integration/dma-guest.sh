# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain, behind peek-guest.sh: what a device of it reaches.

cd /keel-test || exit 1

check() {
	what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $(tail -n 3 /tmp/check.log | tr '\n\r' '| ')"
	fi
}

for edu in /sys/bus/pci/devices/*; do
	[ "$(cat "$edu/vendor" "$edu/device" | tr '\n' ' ')" != "0x1234 0x11e8 " ] || break
done
dma() {
	./dma "$edu" "$@"
}

# refused read|write ADDRESS WHOSE: by the log. Where the emulated unit tells of nothing (SILENT), a read must bring one byte over
# and over. What was read is in /tmp/dma.log.
refused() {
	# A unit keeps one access of a device until somebody has looked at it, and loses the others meanwhile.
	keel dmesg >/dev/null
	dma "$1" "$2" >/tmp/dma.log || return 1
	if [ -z "$SILENT" ]; then
		keel dmesg | grep "device .* was refused a $1 at $2, which is $3"
	elif [ "$1" = read ]; then
		[ "$(fold -w 2 /tmp/dma.log | grep -v '^$' | sort -u | wc -l)" = 1 ]
	fi
}

told() {
	keel dmesg | grep -c "was refused"
}

# Keel's reserve: the largest piece that is reserved above 1 MiB and below the last RAM.
reserve=$(awk -F'[-: ]+' '/System RAM/ { ram = $2 } /[Rr]eserved/ { first[++n] = $1; last[n] = $2 }
	function number(hex, i, v) {
		v = 0
		for (i = 1; i <= length(hex); i++)
			v = v * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
		return v
	}
	END { for (i = 1; i <= n; i++) { a = number(first[i]); b = number(last[i])
		if (a >= 1048576 && b < number(ram) && b - a > size) { size = b - a; at = a } }
		printf "%x", at }' /proc/iomem)

check "there is DMA protection" sh -c 'keel dmesg | grep "DMA protection by"'
check "keel check-host says so" sh -c 'keel check-host | grep "good *DMA protection"'
check "the control domain does not see the IOMMU" sh -c '
	[ ! -e /sys/firmware/acpi/tables/DMAR ] && [ ! -e /sys/firmware/acpi/tables/IVRS ] &&
	! dmesg | grep "DMAR:\|AMD-Vi:" | grep -v "IOMMUv2 functionality not available"'
check "nor does it reach the IOMMU's registers" sh -c "! devmem 0x$REGISTERS 32"
check "memory is within a device's reach" dma self

check "Keel's image is not" refused read 200000 "Keel's"
check "and nothing of it was read" sh -c '! grep d65052e8 /tmp/dma.log'
check "nor can it be written" refused write 200000 "Keel's"
check "Keel's tables are not" refused read "$reserve" "Keel's"
check "nor can they be written" refused write "$reserve" "Keel's"
check "the IOMMU's registers are not" refused read "$REGISTERS" "Keel's"

./blob --timeout 600 --expect-end running --expect "hidden" secret.bin >/tmp/secret.log 2>&1 &
secret=$!
for _ in $(seq $((10 * ${KEEL_PATIENCE:-1}))); do
	grep -q hidden /tmp/secret.log && break
	sleep 0.5
done
peek "beside a guest" refused=2048
page=$(dmesg | sed -n 's/.*the first page that it keeps is at \([0-9a-f]*\).*/\1/p' | tail -n 1)
check "a guest's page is not" refused read "$page" "of VM"
check "nor can it be written" refused write "$page" "of VM"
check "the guest is undisturbed" sh -c '! grep -E "FAIL|end" /tmp/secret.log && grep hidden /tmp/secret.log'
kill "$secret"
wait "$secret"
before=$(told)
check "a page that came back" dma read "$page"
check "is within reach again" [ "$(told)" = "$before" ]
# A device reads what guests have had, and have, while they come and go.
./dma "$edu" hammer "$page" 4096 >/tmp/hammer.log 2>&1 &
hammer=$!
comes_and_goes() {
	round=0
	while [ $round -lt "$ROUNDS" ]; do
		./blob --timeout 2 --expect-end running --expect hidden secret.bin || return 1
		round=$((round + 1))
	done
}
check "$ROUNDS guests come and go meanwhile" comes_and_goes
kill $hammer
wait $hammer
check "of which the device has read nothing" sh -c '! grep secret /tmp/hammer.log'
check "though it has read" grep pieces /tmp/hammer.log

# Memory of a guest that has ended, which is held, and then scrubbed and given back page by page while the device reads it.
check "memory of a guest that has ended is held" insmod hostile.ko held=1
page=$(dmesg | sed -n 's/.*pages of a VM that has ended are held at \([0-9a-f]*\).*/\1/p' | tail -n 1)
check "it is not within reach, $page" refused read "$page" "of VM"
check "nor can it be written" refused write "$page" "of VM"
before=$(told)
./dma "$edu" hammer "$page" 512 >/tmp/hammer.log 2>&1 &
hammer=$!
check "it is scrubbed and given back meanwhile" rmmod hostile
[ -n "$SILENT" ] || check "what was not yet is refused" [ "$(told)" -gt "$before" ]
before=$(told)
check "what came back" dma read "$page"
kill $hammer
wait $hammer
check "is within reach" [ "$(told)" = "$before" ]
check "nothing of what was held was read" sh -c '! grep secret /tmp/hammer.log'
check "though there was reading" [ "$(sed -n 's/ pieces//p' /tmp/hammer.log)" -ge 10 ]
dmesg | grep -o 'hostile: .*' | sed 's/^hostile: //' | grep -E '^(not )?ok - '

printf '{ "version": 1, "name": "wary", "memory": "64M", "vcpus": 1, "require_dma_protection": true }' >/tmp/wary.json
check "a guest that wants DMA protection is taken" keel create /tmp/wary.json
# The channel between its halves is the control domain's, too. The one process that maps it knows where it is.
channel() {
	process=$(grep -l keel-vm /proc/[0-9]*/maps | cut -d/ -f3)
	at=$(sed -n 's/-.*keel-vm.*//p' "/proc/$process/maps" | head -n 1)
	dd if="/proc/$process/pagemap" bs=8 skip=$((0x$at / 4096)) count=1 2>/dev/null | hexdump -v -e '2/4 "%u "' |
		awk '{ printf "%x", ($2 % 8388608 * 4294967296 + $1) * 4096 }'
}
shared=$(channel)
before=$(told)
check "a page of its channel, $shared, is within reach" [ $((0x${shared:-0})) -ne 0 ]
check "and is read" dma read "$shared"
check "which is not refused" [ "$(told)" = "$before" ]
check "and ends" keel destroy wary
check "keel info tells of it" sh -c 'keel info | grep -E "^DMA protection +yes"'
[ -n "$SILENT" ] || check "and of what was refused" [ "$(keel info | awk '/^DMA refused/ { print $3 }')" -ge 7 ]
check "a guest after that" ./blob --timeout 40 --expect "hello: ok" hello.bin
check "no oops" sh -c '! dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup" | grep -v ex_handler_uaccess'
echo "tests: end"
