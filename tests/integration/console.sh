# SPDX-License-Identifier: GPL-2.0
# Part of scripts that run in the control domain: a guest's console, read and written as a person would.

# Seconds here are for a machine that has its processor for itself: on another one the clock goes on while it waits for its turn.
KEEL_PATIENCE=${KEEL_PATIENCE:-1}

# send GUEST TEXT: a line, typed.
send() {
	printf '%s\r' "$2" >"/run/keel/$1/console"
}

# shows GUEST REGEX TIMES SECONDS: its console has shown so many lines that match. Looking takes processor time from
# the guest: one that takes long is looked at less often.
shows() {
	end=$(($(cut -d. -f1 /proc/uptime) + $4 * KEEL_PATIENCE)) looks=0
	while [ "$(keel console --log "$1" 2>/dev/null | tr -d '\r' | grep -aEc "$2")" -lt "$3" ]; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ] || return 1
		looks=$((looks + 1))
		sleep $((looks < 15 ? 1 : 4))
	done
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
	end=$(($(cut -d. -f1 /proc/uptime) + $2 * KEEL_PATIENCE))
	while [ -e "/run/keel/$1/control" ]; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt "$end" ] || return 1
		sleep 1
	done
}
