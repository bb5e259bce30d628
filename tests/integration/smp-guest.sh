# SPDX-License-Identifier: GPL-2.0
# Runs in the control domain, behind control-guest.sh: guests on its two processors.

cd /keel-test || exit 1

for guest in smp ipi share; do
	# In the interpreter's SVM, VMRUN does not load CR2.
	[ "$guest" != share ] || ! grep -q AuthenticAMD /proc/cpuinfo || continue
	check "guest $guest with 4 vCPUs" ./blob --vcpus 4 --timeout 40 --expect "$guest: ok" $guest.bin
done
./blob --timeout 240 --expect-end running --expect "hidden" secret.bin >/tmp/secret.log 2>&1 &
secret=$!
for _ in $(seq $((20 * ${KEEL_PATIENCE:-1}))); do
	grep -q hidden /tmp/secret.log && break
	sleep 0.5
done
check "a processor goes off line and on line beside a guest" cycle 1
check "the guest beside it is undisturbed" sh -c '! grep -E "FAIL|end" /tmp/secret.log && grep hidden /tmp/secret.log'
kill "$secret"
wait "$secret"
echo "tests: end"
