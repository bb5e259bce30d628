#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What every verb prints with --json is what tools/keel/output.schema.json says.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# Of each argument: the object in the file VERB.STATUS.NUMBER.
cat >"$WORK/valid.py" <<'END'
import json, os, sys
import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
jsonschema.Draft202012Validator.check_schema(schema)
whole = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    verb, status, _ = os.path.basename(name).split(".")
    one = jsonschema.Draft202012Validator({"$ref": "#/$defs/" + verb, "$defs": schema["$defs"]})
    with open(name, encoding="utf-8") as file:
        value = json.load(file)
    if not one.is_valid(value) or not whole.is_valid(value):
        sys.exit(f"{verb}: {value}")
    # A crash is a failure of the guest alone.
    failed = value.get("code", 1 if verb == "wait" and value.get("crashed") else 0)
    if failed != int(status) or (value["ok"] and "code" in value) or value["ok"] != (status == "0" or "crashed" in value):
        sys.exit(f"{verb}: status {status}, but {value}")
END
seen="" number=0
mkdir "$WORK/objects"

valid() {
	python3 "$WORK/valid.py" "$ROOT/tools/keel/output.schema.json" "$@"
}

# prints STATUS VERB [OPERAND...]: whether it ends with the status and nothing on standard error. Its object is kept.
prints() {
	local expected=$1 status=0
	shift
	seen="$seen $1"
	number=$((number + 1))
	keel "$1" --json "${@:2}" >"$WORK/objects/$1.$expected.$number" 2>"$WORK/errors" || status=$?
	[ "$status" -eq "$expected" ] || { echo "status $status"; cat "$WORK/errors"; return 1; }
	[ ! -s "$WORK/errors" ] || { cat "$WORK/errors"; return 1; }
}

check "the schema is one" valid
echo '{ "ok": true }' >"$WORK/list.0.0"
check "it refuses what is wrong" never valid "$WORK/list.0.0"
printf 'Keel: AMD SVM, 2 CPUs, 100 KiB reserved\nKeel: largest pages 2 MiB, options of the processor in use: IBPB\n' \
	>"$WORK/host/log"
manifest one '"cdrom": {}'
manifest two
manifest crash '"on_crash": "preserve"'
manifest dead
truncate -s 1M "$WORK/held.img"
manifest held '"disks": [ { "file": "held.img", "on_error": "stop" } ]'
manifest seeded '"cloud_init": {}'
manifest off
echo '{ "version": 2, "nam": 1 }' >"$WORK/bad.json"
order dead 'say last words\n'
order dead 'end 6 11'
order off 'end 1'

check "version" prints 0 version
check "check-host" prints 0 check-host
check "list of nobody" prints 0 list
check "check" prints 0 check "$WORK/one.json" "$WORK/two.json"
check "check of a bad one" prints 3 check "$WORK/one.json" "$WORK/bad.json"
check "check of none" prints 3 check "$WORK/none.json"
check "create" prints 0 create "$WORK/one.json"
check "create of a second" prints 0 create "$WORK/two.json"
check "create of a third" prints 0 create "$WORK/crash.json"
check "create of one that is there" prints 7 create "$WORK/one.json"
check "create of a bad one" prints 3 create "$WORK/bad.json"
check "create of one that crashes" prints 1 create "$WORK/dead.json"
check "create of one that switches itself off" prints 0 create "$WORK/off.json"
check "list" prints 0 list
check "list --all" prints 0 list --all
check "info" prints 0 info
: >"$WORK/host/log"
check "info without a log" prints 0 info
check "info of a guest" prints 0 info one
check "it names the machine" says '^machine +pc-1$' keel info one
check "so do objects" says '"machine":"pc-1"' keel list --json
check "info of no guest" prints 4 info none
check "dmesg" prints 0 dmesg
check "top" prints 0 top
check "top of one" prints 0 top --once one one
check "top of some" prints 4 top one none
check "nmi" prints 0 nmi one
check "nmi of several" prints 0 nmi one two
check "nmi of some" prints 4 nmi one none
check "nmi of none" prints 4 nmi none
check "reset" prints 0 reset one
check "reset of several" prints 0 reset one two
head -c 2048 /dev/zero >"$WORK/cd.iso"
check "cd-insert" prints 0 cd-insert one "$WORK/cd.iso"
check "info of a guest with a medium" prints 0 info one
check "cd-insert of nothing" prints 1 cd-insert one "$WORK/none.iso"
check "cd-insert into no guest" prints 4 cd-insert none "$WORK/cd.iso"
check "cd-eject, of some" prints 1 cd-eject one two
check "cd-eject in vain" prints 1 cd-eject one
check "cd-insert once more" prints 0 cd-insert one "$WORK/cd.iso"
check "cd-eject" prints 0 cd-eject one
fake_passt
manifest net '"networks": [ { "user": true, "mtu": 1400 }, { "user": true } ]'
check "network-list of one without networks" prints 0 network-list one
check "network-link of one without networks" prints 1 network-link one 0 up
check "create of one with networks" prints 0 create "$WORK/net.json"
check "network-list" prints 0 network-list net
check "network-link" prints 0 network-link net 1 down
check "network-link that is wrong" prints 2 network-link net 1 sideways
check "network-list of one that is down" prints 0 network-list net
check "destroy of one with networks" prints 0 destroy net
check "disk-list of none" prints 0 disk-list one
check "disk-list of no guest" prints 4 disk-list none
check "disk-resize of none" prints 1 disk-resize one virtio-0
check "unpause of one that does not stand still" prints 1 unpause one
check "resume of several" prints 4 resume one none
check "create of one whose disk stands still at errors" prints 0 create "$WORK/held.json"
truncate -s 64K "$WORK/held.img"
order held 'read 0 524288 512'
check "the error comes" soon sh -c 'keel list | grep "^held *io-error"'
check "list of one that stands still" prints 0 list
check "info of one that stands still" prints 0 info held
check "disk-list of one that stands still" prints 0 disk-list held
check "unpause in vain" prints 1 unpause held
truncate -s 1M "$WORK/held.img"
check "unpause" prints 0 unpause held
check "disk-resize" prints 0 disk-resize held primary-master 2M
check "disk-resize to no size" prints 2 disk-resize held primary-master 2X
check "disk-list of another size" prints 0 disk-list held
check "create of one with a disk without a file" prints 0 create "$WORK/seeded.json"
check "disk-list of that one" prints 0 disk-list seeded
check "disk-resize of that disk" prints 1 disk-resize seeded virtio-15 1G
check "destroy of that one" prints 0 destroy seeded
check "destroy" prints 0 destroy held
check "reboot --force" prints 0 reboot --force one
check "reboot in vain" prints 6 reboot --timeout 1 one
check "shutdown in vain, of some" prints 6 shutdown --timeout 1 none one
check "log" prints 0 log one
check "log of none" prints 4 log none
check "wait in vain" prints 6 wait --timeout 1 one
order crash 'end 7 1'
check "the crash comes" soon sh -c 'keel list | grep "^crash *preserved"'
check "wait for one that is kept" prints 1 wait crash
check "info of one that is kept" prints 0 info crash
check "shutdown of one that is kept" prints 1 shutdown crash
(sleep 0.3; order one 'end 1') &
check "shutdown" prints 0 shutdown one
kill -STOP "$(cat "$KEEL_RUN_DIR/two/pid")"
check "list where one hangs" prints 6 list --all
kill -CONT "$(cat "$KEEL_RUN_DIR/two/pid")"
check "destroy of several" prints 0 destroy crash two
check "destroy of none" prints 4 destroy two
check "help" prints 0 help
check "help of one" prints 0 help list
check "help of help" prints 0 help help
check "help of none" prints 2 help lits
check "wrong usage" prints 2 list operand
check "all objects are as the schema has them" valid "$WORK"/objects/*
check "every verb was looked at" \
	[ "$( (keel help; echo "  help x") | sed -nE 's/^  ([a-z-]+) .*/\1/p' | grep -vxE "console|metrics" | sort)" = \
	"$(tr ' ' '\n' <<<"$seen" | grep . | sort -u)" ]
finish
