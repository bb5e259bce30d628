#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# names.sh INCLUDE: the names of C headers, for NASM: numbers that are macros, and the numbers of exceptions.
set -eu
here=$(dirname "$0")
cat <<TEXT | cc -E -dM -I "$1" -I "$1/../devmodel" -I "$here" - | sed -n -E \
	-e 's/\<(0x[0-9a-fA-F]+|[0-9]+)u?l?l?\>/\1/g' -e 's/^#define ([A-Z][A-Za-z0-9_]*) (.+)$/%define \1 \2/p' | LC_ALL=C sort
#include "map.h"
#include <shared/pc_map.h>
#include <x86/apic.h>
#include <x86/cpuid.h>
#include <x86/msr.h>
#include <x86/registers.h>
TEXT
sed -n -E 's/^\t(EXC_[A-Z]+) = ([0-9]+),$/%define \1 \2/p' "$1/x86/registers.h"
