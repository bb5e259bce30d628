# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# Part of scripts that run in the control domain: a guest's console, read and written as a person would.

# Seconds here are for a machine that has its processor for itself: on another one the clock goes on while it waits for its turn.
KEEL_PATIENCE=${KEEL_PATIENCE:-1}

# send GUEST TEXT: a line, typed.
send() {
	printf '%s\r' "$2" >"/run/keel/$1/console"
}

# within SECONDS COMMAND...: it has succeeded at last. Trying may take processor time from a guest: what takes long is tried less
# often. What counts is the time slept, not the clock's: that of an emulated machine jumps where that of the machine below does.
within() {
	local limit=$(($1 * KEEL_PATIENCE)) slept=0 pause
	shift
	until "$@"; do
		[ "$slept" -lt "$limit" ] || { echo "given up after $slept s at $(cut -d' ' -f1 /proc/uptime)"; return 1; }
		pause=$((slept < 15 ? 1 : 4))
		sleep "$pause"
		slept=$((slept + pause))
	done
}

# has_shown GUEST REGEX TIMES
has_shown() {
	[ "$(keel console --log "$1" 2>/dev/null | tr -d '\r' | grep -aEc "$2")" -ge "$3" ]
}

# shows GUEST REGEX TIMES SECONDS: its console has shown so many lines that match.
shows() {
	within "$4" has_shown "$1" "$2" "$3"
}

# check NAME COMMAND...; the commands after one that failed still run.
check() {
	what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $* $(tail -n 2 /tmp/check.log | tr '\n\r' '| ')"
	fi
}

# gone GUEST SECONDS: it has ended by itself.
gone() {
	within "$2" [ ! -e "/run/keel/$1/control" ]
}
