#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lint.sh BUILD [analyze]: looks whether lines are within the tree's width and whether each header compiles alone, compiles
# everything with clang, warnings being errors, looks whether files of vmm/ need each other and whether a part of the tree
# includes what is not for it, whether vmm/ has words that are not for it, and runs clang-tidy over what BUILD compiled, with its
# static analyzer only if that is asked for. Exceptions that nothing needs any more are complaints. Files that passed are looked
# at again when they, a header or the checks have changed.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"
root=$ROOT
build=$(cd "$1" && pwd)
stamps=$build/lint${2:+-$2}
export checks='-clang-analyzer-*'
[ "${2:-}" != analyze ] || checks=

# Lines, with tabs of 8, in all that is read as text by people; tools/lib/lint-exceptions names files that have yet to be mended.
columns() {
	python3 - "$root" <<-'PROGRAM'
		import os, re, sys
		most = 130
		root = sys.argv[1]
		lines = open(os.path.join(root, "tools/lib/lint-exceptions"), encoding="utf-8").read().split("\n")
		excepted = {words[1] for words in map(str.split, lines) if len(words) == 2 and words[0] == "columns"}
		kind = re.compile(r"\.(c|h|asm|inc|ld|asl|sh|py|cmake)$|/CMakeLists\.txt$|/Makefile$|/Kbuild$|^tools/[a-z]+$")
		bad = 0
		stale = set(excepted)
		for folder, folders, names in os.walk(root):
		    folders[:] = [name for name in folders if name not in (".git", "build")]
		    for name in names:
		        path = os.path.relpath(os.path.join(folder, name), root)
		        if not kind.search(path) or os.path.islink(os.path.join(root, path)):
		            continue
		        for number, line in enumerate(open(os.path.join(root, path), encoding="utf-8"), 1):
		            width = len(line.rstrip("\n").expandtabs(8))
		            if width > most and path in excepted:
		                stale.discard(path)
		            elif width > most:
		                print(f"{path}:{number}: {width} columns, of {most}", file=sys.stderr)
		                bad += 1
		for path in sorted(stale):
		    print(f"tools/lib/lint-exceptions: {path} is gone, or within {most} columns now", file=sys.stderr)
		sys.exit(bad != 0 or bool(stale))
	PROGRAM
}

# alone HEADER: compiles it by itself, with the folders of the program that it belongs to; by GCC, which begins in a third of the
# time that clang needs, and clang has all headers where they are included.
alone() {
	local flags=(-I"$root/include" -I"$root")
	case $1 in
	vmm/* | arch/*)
		flags+=(-I"$root/vmm" -I"$root/arch/x86" -I"$root/arch/x86/svm" -I"$root/arch/x86/vmx")
		flags+=(-ffreestanding -mgeneral-regs-only)
		;;
	devmodel/cell/*)
		flags+=(-I"$root/devmodel/cell" -I"$root/devmodel" -ffreestanding)
		;;
	*)
		flags+=(-I"$root/devmodel" -I"$root/tools" -I"$root/tools/keel" -I"$root/vmm" -I"$root/arch/x86")
		flags+=(-I"$root/devmodel/cell" -I"$root/tests/unit" -D_GNU_SOURCE -DKEEL_HOST_TEST -Wno-unused-function)
		;;
	esac
	printf '#include "%s"\n' "$1" | gcc -x c -std=gnu11 -fsyntax-only -Wall -Wextra -Werror "${flags[@]}" - || {
		echo "$1: does not compile alone" >&2
		return 1
	}
}
export root
export -f alone

headers() {
	local header stale=
	while read -r header; do
		if [ ! -e "$root/$header" ] || alone "$header" >/dev/null 2>&1; then
			echo "tools/lib/lint-exceptions: $header is gone, or compiles alone now" >&2
			stale=1
		fi
	done < <(sed -n 's/^header //p' "$root/tools/lib/lint-exceptions")
	[ -z "$stale" ] || return 1
	(cd "$root" && find arch devmodel include linux tests tools vmm -name '*.h') | LC_ALL=C sort |
		grep -vxFf <(sed -n 's/^header //p' "$root/tools/lib/lint-exceptions") |
		xargs -d '\n' -n 1 -P "$(nproc)" bash -c 'alone "$@"' alone
}

compile() {
	local log=$build/lint/clang.log
	is_configured "$build/clang" "$root" || CC=clang cmake -S "$root" -B "$build/clang" -G Ninja >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
	cmake --build "$build/clang" >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
}

# Files of vmm/ that need each other, by whatever way, as their objects' symbols tell. What boot.asm needs is not counted: that
# is where processors come in, and goes on in main.c.
circles() {
	python3 - "$build/clang/vmm/CMakeFiles/keel_objects.dir" <<-'PROGRAM'
		import os, subprocess, sys
		owner, wants = {}, {}
		for folder, folders, names in os.walk(sys.argv[1]):
		    for name in filter(lambda name: name.endswith(".o"), names):
		        path = os.path.join(folder, name)
		        wants[path] = set()
		        for line in subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout.splitlines():
		            kind, symbol = line.split()[-2:]
		            if kind in "Uvw":
		                wants[path].add(symbol)
		            elif kind.isupper():
		                owner[symbol] = path
		needs = {path: {owner[symbol] for symbol in wants[path] if symbol in owner} - {path} for path in wants
		         if not path.endswith("/boot.asm.o")}
		def reached(path):
		    seen, left = set(), [path]
		    while left:
		        new = needs.get(left.pop(), set()) - seen
		        seen |= new
		        left += new
		    return seen
		circle = [path for path in sorted(needs) if os.path.dirname(path) == sys.argv[1] and path in reached(path)]
		for path in circle:
		    others = sorted(os.path.basename(o)[:-2] for o in needs[path] if path in reached(o))
		    print(f"vmm/{os.path.basename(path)[:-2]} needs itself, by {', '.join(others)}", file=sys.stderr)
		if not owner:
		    print(f"lint: no objects in {sys.argv[1]}", file=sys.stderr)
		sys.exit(bool(circle) or not owner)
	PROGRAM
}

# What each folder's files may include, by whatever way, as the compiler has read it: see docs/architecture.md.
includes() {
	python3 - "$root" "$build/clang" <<-'PROGRAM'
		import os, subprocess, sys
		root, build = sys.argv[1:]
		contracts = ["include/keel", "include/x86"]
		hypervisor = ["vmm", "arch/x86"] + contracts
		allowed = {
		    "vmm": hypervisor,
		    "arch/x86": hypervisor,
		    "arch/x86/svm": hypervisor,
		    "arch/x86/vmx": hypervisor,
		    "devmodel/cell": ["devmodel/shared"] + contracts,
		    "devmodel/host": ["devmodel/shared", "tools/common", "tools/manifest"] + contracts,
		    "devmodel/shared": contracts,
		    "tools/common": contracts,
		    "tools/manifest": ["tools/common", "devmodel/shared"] + contracts,
		    "tools/keel": ["tools/common", "tools/manifest"] + contracts,
		}
		rooms = sorted(set(allowed) | set(contracts), key=len, reverse=True)
		def place(path):
		    path = os.path.relpath(path, root)
		    return path, next((room for room in rooms if path.startswith(room + "/")), path.split("/")[0])
		deps = subprocess.run(["ninja", "-C", build, "-t", "deps"], check=True, capture_output=True, text=True).stdout
		made = os.path.relpath(build, root).split(os.sep)[0]
		seen, bad = set(), set()
		for entry in deps.split("\n\n"):
		    read = [place(os.path.join(build, line.strip())) for line in entry.split("\n")[1:]]
		    source, home = read[0] if read else ("", "")
		    seen.add(home)
		    for path, room in read:
		        # Neither the system's headers nor what the build makes.
		        if home in allowed and room != home and room not in allowed[home] + ["..", made]:
		            bad.add(f"{source}: reads {path}, which is not for {home}")
		for line in sorted(bad):
		    print(line, file=sys.stderr)
		missing = sorted(set(allowed) - {"devmodel/shared"} - seen)
		if missing:
		    print(f"lint: nothing of {', '.join(missing)} was compiled", file=sys.stderr)
		sys.exit(bool(bad or missing))
	PROGRAM
}

# What vmm/ may not know, by its words; and that svm/ and vmx/ have what struct hv_ops names in its order, in their instances and
# in their files: see docs/architecture.md and docs/processors.md.
seam() {
	python3 - "$root" <<-'PROGRAM'
		import glob, os, re, sys
		os.chdir(sys.argv[1])
		refused = {
		    "a vendor's word": r"(?<![a-z])(svm|vmx|vmcb|vmcs|npt|ept|gif|vt-?d|amd|intel|qemu|bochs)(?![a-z])",
		    "what arch/x86 is to know": r"(?-i:\b(MSR|CPUID|E[ABCD]X[0-9]E?|PTE|EPT)_\w+)|\b(rd|wr)msr(_safe)?\(|"
		                                r"\bcpuid\(|\b(in|out)[bwl]\(",
		}
		complaints = []
		def text(path):
		    return open(path, encoding="utf-8").read()
		files = sorted(glob.glob("vmm/*.[ch]"))
		for path in files:
		    for number, line in enumerate(text(path).split("\n"), 1):
		        complaints += [f"{path}:{number}: {what}: {word[0]}"
		                       for what, pattern in refused.items() for word in re.finditer(pattern, line, re.I)]
		contract = text("arch/x86/hv.h")
		compared = 0
		for vendor in "svm", "vmx":
		    instance = text(f"arch/x86/{vendor}/{vendor}.c")
		    for part in "cpu", "control", "vcpu":
		        struct = re.search(rf"struct hv_{part}_ops {{(.*?)\n}};", contract, re.S)[1]
		        members = re.findall(r"\*(\w+)(?:\)\(|;)", struct)
		        table = re.search(rf"\.{part} = {{(.*?)\n\t}},", instance, re.S)[1]
		        given = re.findall(r"^\t\t\.(\w+) = ([^,]+),", table, re.M)
		        names = dict(given)
		        compared += len(given)
		        if list(names) != [name for name in members if name in names]:
		            complaints.append(f"arch/x86/{vendor}/{vendor}.c: .{part} is not in the order of hv.h")
		        for path in f"arch/x86/{vendor}/{vendor}.c", f"arch/x86/{vendor}/{vendor}_{part}.c":
		            if os.path.exists(path):
		                has = re.findall(r"^(?:static )?\w[\w *]*?\b(\w+)\([^;]*?\)\n{", text(path), re.M)
		                called = [name for name in names.values() if name in has]
		                if called != [name for name in has if name in called]:
		                    complaints.append(f"{path}: what hv.h calls is not in the order of hv.h")
		for complaint in complaints:
		    print(complaint, file=sys.stderr)
		if not files or not compared:
		    print("lint: no files of vmm/, or nothing of struct hv_ops", file=sys.stderr)
		sys.exit(bool(complaints) or not files or not compared)
	PROGRAM
}

# The tests themselves, by their own flags; what they test has been compiled above, so nothing is generated.
compile_tests() {
	local log=$build/lint/clang-tests.log
	is_configured "$build/clang/unit-tests" "$root/tests/unit" || true
	CC=clang cmake -S "$root/tests/unit" -B "$build/clang/unit-tests" -G Ninja \
		-DKEEL_CELL_BIN="$build/devmodel/cell/cell.bin" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >"$log" 2>&1 || {
		cat "$log" >&2
		return 1
	}
	commands_of_tests "$build/clang/unit-tests/compile_commands.json" | xargs -0 -n 1 -P "$(nproc)" sh -c
}

# commands_of_tests FILE: of CMake's list of commands; with a null byte behind each. Nothing is written but complaints.
commands_of_tests() {
	python3 - "$1" "$root/tests/" <<-'PROGRAM'
		import json, shlex, sys
		commands = set()
		for entry in json.load(open(sys.argv[1], encoding="utf-8")):
		    if entry["file"].startswith(sys.argv[2]):
		        words = shlex.split(entry["command"])
		        output = words.index("-o")
		        commands.add(shlex.join(words[:output] + ["-fsyntax-only"] + words[output + 2:]))
		sys.stdout.write("".join(command + "\0" for command in sorted(commands)))
	PROGRAM
}

sources() {
	sed -nE 's/^ *"file": "(.*\.c)",?$/\1/p' "$build/compile_commands.json" | sort -u
}

newest_header() {
	find "$root" \( -path "$root/build" -o -name .git \) -prune -o \( -name '*.h' -o -name .clang-tidy \) -printf '%T@ %p\n' |
		sort -n | tail -n 1 | cut -d' ' -f2-
}

# tidy STAMPS BUILD FILE...
tidy() {
	local output file files=("${@:3}")
	output=$(clang-tidy --quiet ${checks:+--checks="$checks"} -p "$2" "${files[@]}" 2>/dev/null) || {
		printf '%s\n' "$output" >&2
		return 1
	}
	for file in "${files[@]}"; do
		touch "$1/${file//\//_}"
	done
}
export -f tidy

# A few files at a time: it takes as long to begin as with two of them.
tidy_pending() {
	printf '%s\0' "${pending[@]}" | xargs -0 -n 5 -P "$(nproc)" bash -c 'tidy "$@"' tidy "$stamps" "$build"
}

# patiently TEXT COMMAND...: tells how long it takes.
patiently() {
	local status=0
	say "$1"
	start_ticker "$1"
	"${@:2}" || status=$?
	stop_ticker
	return "$status"
}

mkdir -p "$build/lint" "$stamps"
columns
patiently "Compiling each header alone" headers
patiently "Compiling by clang" compile
circles
includes
seam
patiently "Compiling the tests by clang" compile_tests
header=$(newest_header)
pending=()
count=0
while read -r source; do
	stamp=$stamps/${source//\//_}
	count=$((count + 1))
	if [ ! -e "$stamp" ] || [ "$source" -nt "$stamp" ] || [ "$header" -nt "$stamp" ]; then
		pending+=("$source")
	fi
done < <(sources)
[ "$count" -gt 0 ] || { echo "lint: $build has no compile_commands.json with C files" >&2; exit 1; }
if [ ${#pending[@]} -gt 0 ]; then
	patiently "Looking at ${#pending[@]} files by clang-tidy" tidy_pending
fi
echo "lint: $count files, ${#pending[@]} looked at anew, no complaint"
