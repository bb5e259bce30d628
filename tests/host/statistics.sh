#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# keel top and keel metrics: what is told of guests is what was counted, in the form that readers take, whatever a cell tells.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# By the parser of Prometheus' own library, which takes more than the format allows: that is looked at here.
cat >"$WORK/metrics.py" <<'END'
import re, sys
from prometheus_client.parser import text_string_to_metric_families

text = sys.stdin.read()
values, names = {}, set()
assert text.endswith("\n")
for family in text_string_to_metric_families(text):
    assert family.name not in names, f"{family.name} is there twice"
    names.add(family.name)
    assert family.documentation and family.type in ("counter", "gauge"), family
    assert family.name.startswith("keel_guest_"), family.name
    for sample in family.samples:
        key = sample.name + "{" + ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items())) + "}"
        assert key not in values, f"{key} is there twice"
        assert sample.value >= 0 and sample.labels["guest"], sample
        assert (family.type == "counter") == sample.name.endswith("_total"), sample
        values[key] = sample.value
# All samples of a name are together behind its HELP and TYPE.
at = None
for line in text.splitlines():
    found = re.fullmatch(r"# (HELP|TYPE) (\w+) (.+)", line)
    if found:
        at = found[2]
    else:
        assert re.fullmatch(re.escape(at) + r'\{(\w+="([^"\\\n]|\\["\\n])*",?)+\} [0-9.]+', line), line
for wanted in sys.argv[1:]:
    key, _, value = wanted.rpartition(" ")
    least = value.startswith(">")
    got = values.get(key)
    if got is None or (got < float(value[1:]) if least else got != float(value)):
        sys.exit(f"{key} is {got}, not {value}:\n{text}")
END

# metrics SAMPLE...: what keel metrics prints is the format, and has these, such as 'NAME{LABEL=TEXT} 1', or '>1' for at least.
metrics() {
	keel metrics >"$WORK/metrics" 2>"$WORK/errors" || { cat "$WORK/errors"; return 1; }
	/usr/bin/python3 "$WORK/metrics.py" "$@" <"$WORK/metrics"
}

# top EXPRESSION: what keel top --json prints, of which g is the first guest, makes it true.
top() {
	keel top --json >"$WORK/top" || return 1
	python3 -c 'import json, sys
top = json.load(open(sys.argv[1]))
g = top["guests"][0]
exits = {e["kind"]: e["per_second"] for e in g.get("exits", []) if e["by"] == "cell"}
devices = {(d["device"], d["instance"]): d["per_second"] for d in g.get("devices", [])}
disks = {d["slot"]: d for d in g["disks"]}
sys.exit(0 if eval("(" + sys.argv[2] + ")") else f"{top}")' "$WORK/top" "$1"
}

check "nobody has no metrics but their names" metrics
check "nor is there anything to look at" says '^NAME +CPU%' keel top --once
head -c 1M /dev/zero >"$WORK/a.img"
head -c 2M /dev/zero >"$WORK/v.img"
manifest one '"vcpus": 2' '"disks": [ { "file": "a.img" }, { "bus": "virtio", "file": "v.img" } ]' '"cdrom": {}'
check "a guest" keel create "$WORK/one.json"
check "it is there" metrics 'keel_guest_up{guest=one} 1' 'keel_guest_vcpus{guest=one} 2' \
	'keel_guest_memory_bytes{guest=one} 16777216' 'keel_guest_restarts_total{guest=one} 0' \
	'keel_guest_start_time_seconds{guest=one} >1700000000' 'keel_guest_io_errors_total{guest=one} 0'
check "its threads have times" metrics 'keel_guest_vcpu_cpu_seconds_total{guest=one,vcpu=0} >0.000001' \
	'keel_guest_vcpu_cpu_seconds_total{guest=one,vcpu=1} >0.000001' \
	'keel_guest_device_model_cpu_seconds_total{guest=one} >0.000001'
order one 'write 0 0 4096 1'
order one 'read 0 0 1024'
order one 'read 0 4096 512'
order one 'flush 0'
order one 'read 4 0 8192'
order one 'discard 4 4096 4096'
order one 'zeroes 4 8192 1024 0'
order one 'read 4 4194304 512'
for i in $(seq 0 7); do
	check "request $i" noted one "done $i .*"
done
disk='keel_guest_disk_operations_total{disk=primary-master,guest=one,operation'
bytes='keel_guest_disk_bytes_total{disk=primary-master,guest=one,operation'
check "requests of a disk are counted" metrics "$disk=read} 2" "$disk=write} 1" "$disk=flush} 1" "$disk=discard} 0" \
	"$bytes=read} 1536" "$bytes=write} 4096" "$bytes=flush} 0"
disk='keel_guest_disk_operations_total{disk=virtio-0,guest=one,operation'
check "and of a virtio disk" metrics "$disk=read} 1" "$disk=discard} 1" "$disk=write-zeroes} 1" \
	'keel_guest_disk_bytes_total{disk=virtio-0,guest=one,operation=write-zeroes} 1024' \
	'keel_guest_disk_errors_total{disk=virtio-0,guest=one,operation=read} 1' \
	'keel_guest_disk_errors_total{disk=virtio-0,guest=one,operation=write} 0' \
	'keel_guest_disk_seconds_total{disk=virtio-0,guest=one,operation=read} >0.000000001'
order one 'exits 1 ns16550 0 1000'
order one 'exits 2 virtio-blk 7 30'
exits=keel_guest_exits_total
check "what the cell counts is told" soon metrics "$exits{by=cell,guest=one,kind=io} 1000" \
	"$exits{by=cell,guest=one,kind=mmio} 30" "$exits{by=keel,guest=one,kind=cpuid} 0" \
	'keel_guest_device_accesses_total{device=ns16550,guest=one,instance=0} 1000' \
	'keel_guest_device_accesses_total{device=virtio-blk,guest=one,instance=7} 30'
check "time is measured while somebody asks" noted one measure
check "and is told" metrics 'keel_guest_measured_seconds_total{guest=one,in=guest} >0.002' \
	'keel_guest_measured_seconds_total{guest=one,in=cell} >0.001' \
	'keel_guest_measured_seconds_total{guest=one,in=keel} >0.001'
check "and not any more then" noted one cease
# works COUNT: what it does as soon as somebody has begun to look for the COUNTth time.
works() {
	noted one measure "$1" && order one 'exits 1 ns16550 0 400' && order one 'read 0 0 2048'
}

works 2 &
check "top has the rates" sh -c 'keel top >"$1/first"' - "$WORK"
check "for people" says '^one +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[1-9][0-9]{1,2} +[0-9]' cat "$WORK/first"
check "by kind" says '^ +exits/s: io [1-9][0-9]{1,2}$' cat "$WORK/first"
check "by device" says '^ +accesses/s: ns16550 [1-9][0-9]{1,2}$' cat "$WORK/first"
check "and of disks" says '^ +primary-master/s: read [01]' cat "$WORK/first"
check "nobody looks for a while" noted one cease 2
works 3 &
check "for programs" top 'abs(exits["io"] * g["seconds"] - 400) < 0.1 and
	abs(devices["ns16550", 0] * g["seconds"] - 400) < 0.1 and exits["mmio"] == 0 and
	abs(disks["primary-master"]["read"]["bytes"] * g["seconds"] - 2048) < 0.1 and
	disks["virtio-0"]["read"]["done"] == 0 and {"guest", "cell", "keel", "driver"} < set(g["cpu"]) and
	g["cpu"]["guest"] > g["cpu"]["cell"] > 0'
check "a guest that is not there" exits 4 keel top --once none
check "which is said" says 'no guest "none" is running' keel metrics none
check "with what there is of others" says '^keel_guest_up\{guest="none"\} 0' keel metrics one none
check "and of each once" [ "$(keel metrics one one | grep -c '^keel_guest_up')" -eq 1 ]
check "at a terminal it goes on until it is told not to" says 'GUEST%.*GUEST%.*status -2' sh -c '"$@" | tr -d "\r\n"' - \
	"$ROOT/tests/host/terminal.py" CONTROL% 3 '\x03' keel top

order one 'end 2'
check "it starts again" noted one start 2
check "disks count on" metrics 'keel_guest_disk_operations_total{disk=primary-master,guest=one,operation=write} 1' \
	'keel_guest_restarts_total{guest=one} 1' 'keel_guest_vcpu_cpu_seconds_total{guest=one,vcpu=0} >0.000001'

order one lie
check "a cell that tells rubbish does not get it into the format" soon metrics 'keel_guest_up{guest=one} 1' \
	'keel_guest_device_accesses_total{device=twice,guest=one,instance=0} >1'
for _ in 1 2 3; do
	keel metrics >/dev/null
done
check "nor more names than there may be" [ "$(keel metrics | grep -c '^keel_guest_device_accesses_total{')" -eq 64 ]
check "nor into the picture" says '^one ' keel top --once
keel destroy one >/dev/null

manifest kept '"on_crash": "preserve"'
check "a guest that will be kept" keel create "$WORK/kept.json"
order kept 'end 7 1'
check "it crashes" soon sh -c 'keel list | grep "^kept *preserved"'
check "its cell tells nothing" metrics 'keel_guest_up{guest=kept} 1'
check "nothing is made up for it" never grep -q '^keel_guest_exits_total{' "$WORK/metrics"
check "top says so" top '"exits" not in g and "guest" not in g["cpu"] and g["state"] == "preserved"'
finish
