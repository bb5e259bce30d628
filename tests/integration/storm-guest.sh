# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Interrupts of several devices of the control domain's while cells run on its only processor: none of them is lost. One that
# is stays in service in the local APIC for ever, and no device of its priority is heard again.

cd /keel-test || exit 1
./timer 150 &
(while :; do dd if=/dev/vda of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null; done) &
reader=$!
round=1
while [ $round -le 10 ]; do
	./blob --timeout 30 --expect "hostile-port: ok" hostile-port.bin && ./blob --timeout 30 --expect "modes: ok" modes.bin ||
		echo "not ok - storm: the guests' round $round"
	round=$((round + 1))
done >/tmp/storm.log 2>&1
grep "^not ok" /tmp/storm.log || echo "ok - storm: guests run"
kill $reader %1
wait $reader
if timeout $((10 * ${KEEL_PATIENCE:-1})) dd if=/dev/vda of=/dev/null bs=4k count=16 iflag=direct 2>/dev/null; then
	echo "ok - storm: the disk answers"
else
	echo "not ok - storm: the disk answers"
fi
echo "tests: end"
