#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The disk that cloud-init in a guest finds what it is told on: what the guest reads of it, where it is, and that it stays so.
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

PIECE=131072

# see NAME DRIVE: all that the guest reads of this drive, as $WORK/seen.iso, and its files in $WORK/seen.
see() {
	local guest=$1 drive=$2 bytes offset=0 count
	rm -rf "$WORK/seen.iso" "$WORK/seen"
	bytes=$(sed -n "s/^drive $drive //p" "$WORK/guests/$guest/notes" | tail -n 1)
	[ -n "$bytes" ] || { echo "no drive $drive"; return 1; }
	: >"$WORK/guests/$guest/kept"
	while [ "$offset" -lt "$bytes" ]; do
		count=$((bytes - offset < PIECE ? bytes - offset : PIECE))
		order "$guest" "keep $drive $offset $count"
		noted "$guest" 'done [0-9]+ 0 .*' "$((++requests))" || return 1
		offset=$((offset + count))
	done
	cp "$WORK/guests/$guest/kept" "$WORK/seen.iso"
	[ "$(stat -c %s "$WORK/seen.iso")" -eq "$bytes" ] &&
		xorriso -osirrox on -indev "$WORK/seen.iso" -extract / "$WORK/seen" >"$WORK/xorriso.log" 2>&1 ||
		{ cat "$WORK/xorriso.log"; return 1; }
}

# starts NAME: anew, with nothing of before.
starts() {
	forget "$1"
	requests=0
	keel create "$WORK/$1.json"
}

ends() {
	keel destroy "$1" >/dev/null
}

has_files() {
	[ "$(cd "$WORK/seen" && echo *)" = "$1" ]
}

# meta EXPRESSION: whether it is true of the meta-data, m.
meta() {
	python3 -c "import json, sys
m = json.load(open(sys.argv[1], encoding='utf-8'))
sys.exit(not ($1))" "$WORK/seen/meta-data"
}

# The label as the kernel's tools find it, and in the volume's descriptor.
is_labelled() {
	[ "$(blkid -p -o value -s LABEL "$1")" = cidata ] && [ "$(blkid -p -o value -s TYPE "$1")" = iso9660 ] &&
		[ "$(tail -c +32809 "$1" | head -c 32)" = "$(printf '%-32s' cidata)" ]
}

instance() {
	python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["instance-id"])' "$WORK/seen/meta-data"
}

# sealed NAME: nothing that its process has open of the disk can be written to.
sealed() {
	python3 - "/proc/$(cat "$KEEL_RUN_DIR/$1/pid")/fd" <<-'PROGRAM'
		import os, sys
		found = 0
		for name in os.listdir(sys.argv[1]):
		    path = os.path.join(sys.argv[1], name)
		    if not os.readlink(path).startswith("/memfd:cloud-init"):
		        continue
		    found += 1
		    file = os.open(path, os.O_RDWR)
		    for change in lambda: os.write(file, b"x"), lambda: os.ftruncate(file, 0):
		        try:
		            change()
		            sys.exit(f"{name} can be changed")
		        except PermissionError:
		            pass
		sys.exit(found != 1)
	PROGRAM
}

key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggcGdwt"
second="ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQC3K5qfxZwC3bxQOCFwH8wIZb6tpnFzgR1tcHlfrXiiCokL1SVr\
j+7ZB7nJOEHLNj3mZU1HZzb1ICsggsifmFiR"
odd="it's \"a\": {b}, [c] # &d *e !f \\ %g é"
printf '# of two\n\n%s %s\r\n  %s\n' "$second" "$odd" "$key" >"$WORK/keys.pub"
printf '#!/bin/sh\r\n\0\377\033[31m: "{' >"$WORK/user-data"
head -c 200000 /dev/urandom >>"$WORK/user-data"
printf 'version: 2\nethernets: {}\n' >"$WORK/network"
truncate -s 1M "$WORK/a.img" "$WORK/b.img"

manifest web '"disks": [ { "bus": "virtio", "file": "a.img" }, { "file": "b.img" } ]' "\"cloud_init\": {
	\"hostname\": \"web.example.org\", \"user\": \"anna\", \"ssh_keys\": [ \"$key anna\", \"keys.pub\" ],
	\"user_data\": \"user-data\", \"network_config\": \"network\" }"
check "a manifest with all of it" says 'web.json: good' keel check "$WORK/web.json"
check "its guest" starts web
check "has its disks where they would be without it" noted web 'drive [04] 1048576' 2
check "and another behind them" see web 19
check "which is what cloud-init looks for" is_labelled "$WORK/seen.iso"
check "with all files" has_files "meta-data network-config user-data vendor-data"
check "user-data byte for byte" cmp "$WORK/user-data" "$WORK/seen/user-data"
check "network-config, too" cmp "$WORK/network" "$WORK/seen/network-config"
check "the host's name" meta 'm["local-hostname"] == "web.example.org"'
check "the keys, in their order" cmp <(printf '%s anna\n%s %s\n%s\n' "$key" "$second" "$odd" "$key") \
	<(python3 -c 'import json, sys
print(*json.load(open(sys.argv[1], encoding="utf-8"))["public-keys"], sep="\n")' "$WORK/seen/meta-data")
check "the user's name as cloud-config" grep -qx '#cloud-config' "$WORK/seen/vendor-data"
check "of vendor-data, which user-data overrides" grep -q '"user": "anna"' "$WORK/seen/vendor-data"
check "nobody's but root's" [ "$(xorriso -indev "$WORK/seen.iso" -find / -exec lsdl 2>/dev/null |
	grep -Ec '^(dr-x------|-r--------) .* 0 +0 .*1970')" -eq 5 ]
check "YAML has the same of it as JSON" /usr/bin/python3 -c 'import json, sys, yaml
text = open(sys.argv[1], encoding="utf-8").read()
sys.exit(json.loads(text) != yaml.safe_load(text))' "$WORK/seen/meta-data"
check "it is in the list of disks, without a file" \
	says '^virtio-15 .* raw +virtio +ro .* cidata +\(cloud-init\)$' keel disk-list web
check "nor has it another size" says 'virtio-15 is not written to in mode "ro"' keel disk-resize web virtio-15 1G
order web 'write 19 0 512 1'
check "the guest cannot write to it" noted web "done $requests 1 .*"
[ "$(id -u)" -ne 0 ] || check "nor can anybody" sealed web
check "and nothing of its making is left" never pgrep -f "keel-seed .*user-data 2000"
first=$(instance)
cp "$WORK/seen.iso" "$WORK/first.iso"
order web 'end 2'
check "it starts again" noted web start 2
check "with that disk" see web 19
check "as it was" cmp "$WORK/first.iso" "$WORK/seen.iso"
ends web

sed -i 's/"16M"/"32M"/' "$WORK/web.json"
check "with more memory" starts web
check "it has the same" see web 19
check "in each byte" cmp "$WORK/first.iso" "$WORK/seen.iso"
ends web
sed -i 's/web.example/www.example/' "$WORK/web.json"
check "with another name" starts web
check "it has another" see web 19
check "and is another instance" test "$(instance)" != "$first"
check "of the guest" grep -q '"instance-id": "web-' "$WORK/seen/meta-data"
ends web
printf x >>"$WORK/user-data"
sed -i 's/www.example/web.example/' "$WORK/web.json"
check "and with other user-data" starts web
check "too" see web 19
check "another" test "$(instance)" != "$first"
ends web

manifest plain '"cdrom": {}' '"cloud_init": { "bus": "ide" }'
check "with nothing to say, on IDE" starts plain
check "it is the secondary slave" see plain 3
check "beside the CD-ROM drive" noted plain 'drive 2 0'
check "with what cloud-init needs" has_files "meta-data user-data"
check "which is a name and no more" meta 'm["local-hostname"] == "plain" and not m["public-keys"]'
check "and no words" cmp "$WORK/seen/user-data" <(printf '#cloud-config\n{}\n')
ends plain

manifest large '"cloud_init": { "user_data": "large" }'
truncate -s 1M "$WORK/large"
check "a file of 1 MiB" starts large
check "arrives" see large 19
check "whole" cmp "$WORK/large" "$WORK/seen/user-data"
ends large
truncate -s 1048577 "$WORK/large"
check "no more" says 'large.json:1:[0-9]+: .*/large is larger than 1024 KiB' keel check "$WORK/large.json"
truncate -s 40G "$WORK/large"
check "whatever its length" says 'is larger than 1024 KiB' keel check "$WORK/large.json"
rm "$WORK/large"
mkfifo "$WORK/large"
check "nor is a pipe waited for" says 'large is neither a regular file' timeout 20 keel check "$WORK/large.json"

manifest wrong "\"cloud_init\": {
	\"ssh_keys\": [ \"${key%???}\" ] }"
check "an error has its line and column" \
	says 'wrong.json:2:16: cloud_init/ssh_keys/0: this is not whole' keel check "$WORK/wrong.json"
check "nothing is started" exits 3 keel create "$WORK/wrong.json"

mkdir "$WORK/alone"
cp "$KEEL_BUILD/devmodel/host/keel-dm" "$WORK/alone/"
preload "$WORK/bin/alone-dm" "$WORK/alone/keel-dm" "$WORK/guests/alone"
manifest alone '"cloud_init": {}'
check "without the program that writes it" \
	says 'cannot start .*/alone/keel-seed, which writes the disk of cloud-init: No such file' \
	env KEEL_DM="$WORK/bin/alone-dm" keel create "$WORK/alone.json"
printf '#!/bin/sh\nexit 1\n' >"$WORK/alone/keel-seed"
chmod +x "$WORK/alone/keel-seed"
check "or with one that fails" says "keel-seed cannot write the disk of cloud-init; the guest's log has the reason" \
	env KEEL_DM="$WORK/bin/alone-dm" keel create "$WORK/alone.json"
printf '#!/bin/sh\nhead -c 1000 /dev/zero\n' >"$WORK/alone/keel-seed"
check "or writes what is none" says "the disk of cloud-init has 1000 bytes, which is no image" \
	env KEEL_DM="$WORK/bin/alone-dm" keel create "$WORK/alone.json"
check "there is no guest" [ -z "$(ls "$KEEL_RUN_DIR")" ]
finish
