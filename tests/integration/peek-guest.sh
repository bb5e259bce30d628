# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain, to be put before a test's own script: a look at all processors and all memory.

# peek LABEL [PARAMETER=VALUE...]: prints the verdicts of the module, which is at /keel-test/peek.ko; see its parameters there. A
# parameter of a module cannot have spaces.
peek() {
	peek_label=$(echo "$1" | tr ' ' '-')
	shift
	insmod /keel-test/peek.ko label="$peek_label" "$@" || echo "not ok - $peek_label: the module peek does not load"
	dmesg | sed -n 's/^.*peek: //p' | grep -F -- "- $peek_label: " || echo "not ok - $peek_label: no verdict"
	rmmod peek
}
