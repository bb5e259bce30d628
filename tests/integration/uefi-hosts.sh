# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# uefi-hosts.sh: hosts booted by UEFI, for the tests of what lies where in their memory. To be sourced, behind common.sh.

# uefi_host LABEL GIB NODES [tools/run option...]: nodes of one CPU each. The larger ones are not cleared: where the emulator's
# machine gives it memory for what is only read, that would have to be there.
uefi_host() {
	local label=$1 gib=$2 nodes=$3 script=$TESTS/uefi-$1 node options=() clear=clear
	shift 3
	[ "$gib" -le 6 ] || clear=noclear
	{
		printf 'MIB=%d NODES=%d CLEAR=%s\n' $((gib * 1024)) "$nodes" "$clear"
		cat "$ROOT/tests/integration/uefi-memory-guest.sh"
	} >"$script"
	if [ "$nodes" -gt 1 ]; then
		# A processor in another node than its sibling would be a fault of the firmware, at which Linux wonders.
		options+=(--qemu "-smp $nodes,sockets=$nodes")
		for ((node = 0; node < nodes; node++)); do
			options+=(--qemu "-object memory-backend-ram,id=node$node,size=$((gib * 1024 / nodes))M")
			options+=(--qemu "-numa node,memdev=node$node,cpus=$node")
		done
	fi
	boot "$label" 240 "$script" --uefi --keel "$clear" --smp "$nodes" --memory "${gib}G" \
		--file "$TESTS/blob:/keel-test/blob" --file "$TESTS/hello.bin:/keel-test/hello.bin" "${options[@]}" "$@"
	judge "$label"
}
