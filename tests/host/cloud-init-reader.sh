#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Cloud-init's own code, of Debian's package, reads the disk that its guest has: it finds all that the manifest said, and takes it
# for valid. The package is unpacked, not installed: it would change this machine.
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

"$ROOT/tools/lib/packages.sh" python3-configobj python3-jinja2 python3-jsonpatch python3-jsonschema python3-netifaces \
	python3-oauthlib python3-requests python3-yaml || die "cannot install what cloud-init needs"
mkdir "$WORK/package"
(cd "$WORK/package" && apt-get -q -o APT::Sandbox::User=root download cloud-init >"$WORK/download.log" 2>&1 &&
	dpkg-deb -x cloud-init_*.deb tree) || die "cannot get cloud-init: $(tail -n 1 "$WORK/download.log")"
export PYTHONPATH=$WORK/package/tree/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1

cat >"$WORK/reader.py" <<'END'
import sys
from cloudinit import distros, helpers, util
from cloudinit.distros import ug_util
from cloudinit.sources.DataSourceNoCloud import DataSourceNoCloud

folder, run, expected = sys.argv[1:]
paths = helpers.Paths({"cloud_dir": run, "run_dir": run})
distro = distros.fetch("debian")("debian", {"default_user": {"name": "debian", "sudo": "ALL"}}, paths)
source = DataSourceNoCloud({"datasource": {"NoCloud": {"fs_label": None}}}, distro, paths)
source.seed_dirs = [folder]
if not source._get_data():
    sys.exit("no data")
user = ug_util.extract_default(ug_util.normalize_users_groups(util.load_yaml(source.vendordata_raw), distro)[0])
found = {
    "id": source.get_instance_id(),
    "host": source.get_hostname(fqdn=True).hostname,
    "keys": source.get_public_ssh_keys(),
    "user": user[0],
    "sudo": user[1]["sudo"],
    "user-data": source.userdata_raw,
    "network": source.network_config,
}
print(found)
sys.exit(not eval(expected, {"f": found}))
END

# see NAME: what its guest reads of the disk, as files.
see() {
	local bytes
	rm -rf "$WORK/seen"
	noted "$1" 'drive 19 [0-9]+' || return 1
	bytes=$(sed -n 's/^drive 19 //p' "$WORK/guests/$1/notes")
	order "$1" "keep 19 0 $bytes"
	noted "$1" 'done 0 0 .*' && xorriso -osirrox on -indev "$WORK/guests/$1/kept" -extract / "$WORK/seen"
}

reads() {
	/usr/bin/python3 "$WORK/reader.py" "$WORK/seen" "$WORK/cloud" "$1"
}

valid() {
	says '^Valid cloud-config' /usr/bin/python3 -m cloudinit.cmd.main schema --config-file "$1"
}

key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGIJORl8tWKBJLqUOh769FTDXoNV15oCUUmyyggcGdwt it's {a}: \\\"b\\\" # é"
printf '#cloud-config\nruncmd: [[ true ]]\n' >"$WORK/user-data"
printf 'version: 2\nethernets:\n  first: { match: { name: "e*" }, dhcp4: true }\n' >"$WORK/network"
manifest web "\"cloud_init\": { \"hostname\": \"web.example.org\", \"user\": \"anna\", \"ssh_keys\": [ \"$key\" ],
	\"user_data\": \"user-data\", \"network_config\": \"network\" }"
check "a guest" keel create "$WORK/web.json"
check "and its disk" see web
check "the name" reads 'f["host"] == "web.example.org"'
check "the keys" reads "f['keys'] == [\"\"\"$key\"\"\"]"
check "the user, with what the image gives the first one" reads 'f["user"] == "anna" and f["sudo"] == "ALL"'
check "the instance" reads 'f["id"].startswith("web-")'
check "user-data" reads 'f["user-data"] == b"#cloud-config\nruncmd: [[ true ]]\n"'
check "the networks" reads 'f["network"]["ethernets"]["first"]["dhcp4"] is True'
check "vendor-data is valid" valid "$WORK/seen/vendor-data"
printf '#cloud-config\n{"user": []}\n' >"$WORK/invalid"
check "which is more than anything" never valid "$WORK/invalid"
keel destroy web >/dev/null

manifest plain '"cloud_init": { "user": "on" }'
check "one that is told little" keel create "$WORK/plain.json"
check "and its disk" see plain
check "a user whose name is another word of YAML" reads 'f["user"] == "on" and f["host"] == "plain" and not f["keys"]'
check "user-data is valid" valid "$WORK/seen/user-data"
finish
