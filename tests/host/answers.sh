#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest's process may say anything of itself: keel list and keel info show what fits, as output.schema.json has it, and escaped.
set -u
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

# In the place of guests' processes: FOLDER ANSWER, where "starting" is none.
cat >"$WORK/process.py" <<'END_OF_PROGRAM'
import fcntl, os, socket, sys, threading

def serve(server, answer):
    while True:
        connection = server.accept()[0]
        connection.recv(4096)
        try:
            connection.sendall(2 * (answer.encode() + b"\n"))  # the second for who asks twice
        except OSError:
            pass
        connection.close()

for folder, answer in zip(sys.argv[1::2], sys.argv[2::2]):
    os.mkdir(folder)
    lock = os.open(folder + "/pid", os.O_RDWR | os.O_CREAT)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    os.write(lock, b"%d\n" % os.getpid())
    if answer != "starting":
        server = socket.socket(socket.AF_UNIX)
        server.bind(folder + "/control")
        server.listen()
        threading.Thread(target=serve, args=(server, answer)).start()
open(sys.argv[1] + "/ready", "w").close()
threading.Event().wait()
END_OF_PROGRAM
cat >"$WORK/valid.py" <<'END_OF_PROGRAM'
import json, os, sys
import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    schema = json.load(file)
bad = 0
for name in sorted(os.listdir(sys.argv[2])):
    try:
        with open(os.path.join(sys.argv[2], name), encoding="utf-8") as file:
            value = json.load(file)
        jsonschema.validate(value, {"$ref": "#/$defs/" + name.split()[1], "$defs": schema["$defs"]},
                            jsonschema.Draft202012Validator)
        for guest in value.get("guests", [value]):
            more = set(guest) - set(schema["$defs"]["guest"]["properties"]) - {"ok", "code", "error", "since", "event", "output"}
            if more or len(json.dumps(guest)) > 30000:
                raise ValueError(f"{more} in {guest}")
    except (ValueError, jsonschema.ValidationError) as error:
        print(f"{name}: {error}"[:2000])
        bad += 1
sys.exit(f"{bad} are not valid" if bad else 0)
END_OF_PROGRAM

# status MEMBER VALUE: an answer in which this member is another one.
status() {
	python3 - "$@" <<'END_OF_PROGRAM'
import json, sys
answer = {"ok": True, "name": "x", "pid": 1, "state": "running", "manifest": "/m", "memory_mib": 16, "vcpus": 1, "uptime_s": 1,
          "restarts": 0, "reason": "", "crashed": False, "io_errors": 0, "blocks": {"4k": 0, "2m": 1, "1g": 0}}
answer[sys.argv[1]] = json.loads(sys.argv[2])
print(json.dumps(answer))
END_OF_PROGRAM
}

# answers VERB WORD...: keeps what it says for the check of all of them, for a validator takes long to start.
kept=0
mkdir "$WORK/kept"
# shellcheck disable=SC2317
answers() {
	kept=$((kept + 1))
	keel "$1" --json "${@:2}" >"$WORK/kept/$kept $1"
	[ -s "$WORK/kept/$kept $1" ]
}

bad=(machine 1 machine '""'
	state '"\u001b[2J"' vcpus 65 vcpus '"1"' memory_mib -1 reason 1 manifest '""' blocks '[]' blocks '{}' crashed 1
	last_io_error 1 last_io_error '{"time":"","device":"","text":""}')
good=(machine '"pc-\u001b[2J"'
	error '"\u001b[31mred"' name '"other"' pid -5 reason "\"$(printf '\\u001b%.0s' $(seq 9000))\"" since '"now"' more '[1]')
processes=("$KEEL_RUN_DIR/starts" starting) number=0
for ((i = 0; i < ${#bad[@]}; i += 2)); do
	processes+=("$KEEL_RUN_DIR/bad$i" "$(status "${bad[@]:i:2}")")
done
for ((i = 0; i < ${#good[@]}; i += 2)); do
	processes+=("$KEEL_RUN_DIR/good$i" "$(status "${good[@]:i:2}")")
	number=$((number + 1))
done
python3 "$WORK/process.py" "${processes[@]}" &
process=$!
check "the processes are there" soon [ -e "$KEEL_RUN_DIR/starts/ready" ]
check "list: all of them" [ "$(keel list 2>/dev/null | grep -cE '^(starts|bad|good)')" -eq $((${#processes[@]} / 2)) ]
check "list: as good as they are" [ "$(keel list 2>/dev/null | grep -cE '^good[0-9]+ +running ')" -eq $number ]
check "list: strange answers" [ "$(keel list 2>/dev/null | grep -cE '^bad[0-9]+ +unknown ')" -eq $((${#bad[@]} / 2)) ]
check "list: what to do" says '"bad0": its process gave a strange answer; .*keel destroy' keel list
check "list: nothing for the terminal to obey" never sh -c "keel list 2>&1 | grep -q \"\$(printf '\\033')\""
check "list: a process without a socket" says "^starts +starting +$process " keel list
check "list: the pid is the run folder's" says "^good6 +running +$process " keel list
check "list --json" answers list
check "list --all --json" answers list --all
for ((i = 0; i < ${#bad[@]}; i += 2)); do
	check "info: ${bad[i]} ${bad[i + 1]}" exits 1 keel info "bad$i"
	check "info --json: ${bad[i]} ${bad[i + 1]}" answers info "bad$i"
done
for ((i = 0; i < ${#good[@]}; i += 2)); do
	check "info: another ${good[i]}" says "^name +good$i\$" keel info "good$i"
	check "info --json: another ${good[i]}" answers info "good$i"
done

# What it says of an end, and of what was done.
end='"event":"ended","reason":"why"'
ends=("" '"event":["x"],"reason":"why"' '"event":"gone","reason":"why"' '"event":"ended"' '"event":"ended","reason":""'
	"$end,\"crashed\":1" "$end,\"guests\":[1],\"name\":\"other\",\"more\":\"$(printf 'x%.0s' $(seq 9000))\"")
processes=()
for i in "${!ends[@]}"; do
	processes+=("$KEEL_RUN_DIR/end$i" "{\"ok\":true${ends[i]:+,}${ends[i]}}")
done
processes+=("$KEEL_RUN_DIR/mute" '{"ok":false,"error":""}')
python3 "$WORK/process.py" "${processes[@]}" &
others=$!
check "more processes are there" soon [ -e "$KEEL_RUN_DIR/end0/ready" ]
for verb in shutdown wait; do
	for ((i = 0; i < ${#ends[@]} - 1; i++)); do
		check "$verb: not ${ends[i]:-nothing}" exits 1 keel $verb --timeout 5 "end$i"
	done
done
last=$((${#ends[@]} - 1))
for verb in shutdown reboot reset wait; do
	check "$verb: what to do" says '"end0": its process gave a strange answer; .*keel destroy' keel $verb --timeout 5 end0
	check "$verb: an end" says "^end$last: ended \(why\)\$" keel $verb --timeout 5 end$last
	check "$verb --json: and no more than that" answers $verb --timeout 5 end$last
	check "$verb --json: of several as well" answers $verb --timeout 5 end0 end$last mute
done
for verb in nmi unpause; do
	check "$verb --json: no more than it is" answers $verb end0 end$last mute
done
check "unpause: what is no event" exits 1 keel unpause end1
kill -KILL "$others"

# What keel-dm says of its start.
cat >"$WORK/bin/says" <<'END'
#!/bin/sh
printf '%s' "$ANSWER" >&3
exec 3>&-
[ -z "$STAYS" ] || exec sleep 60 </dev/null >/dev/null 2>&1
END
chmod +x "$WORK/bin/says"
manifest said
# starts STATUS ANSWER [STAYS]: whether keel create --json ends so of a device model that says this.
starts() {
	printf '#!/bin/sh\nANSWER=%q STAYS=%q exec %q\n' "$2" "${3:-}" "$WORK/bin/says" >"$WORK/bin/device-model"
	chmod +x "$WORK/bin/device-model"
	kept=$((kept + 1))
	KEEL_DM=$WORK/bin/device-model exits "$1" keel create --json "$WORK/said.json" >"$WORK/kept/$kept create"
}
check "create: no number of a process" starts 1 '{"ok":true,"name":"said","pid":"1"}'
check "create: a number and more" starts 1 '{"ok":true,"name":"other","pid":1,"more":[1]}'
check "create: a failure that is none" starts 1 '{"ok":false,"code":0,"error":"why"}'
check "create: an exit status that there is not" starts 1 '{"ok":false,"code":300,"error":"why"}'
check "create: a reason that is none" starts 1 '{"ok":false,"code":7,"error":""}'
check "create: a failure of a process that stays" starts 7 '{"ok":false,"code":7,"error":"why"}' stays

check "what was said in JSON is as output.schema.json has it" \
	python3 "$WORK/valid.py" "$ROOT/tools/keel/output.schema.json" "$WORK/kept"
check "all of it" [ "$kept" -ge 30 ]
kill -KILL "$process"
# shellcheck disable=SC2016
check "gone with their process" soon sh -c '[ "$(keel list | wc -l)" -eq 1 ]'
finish
