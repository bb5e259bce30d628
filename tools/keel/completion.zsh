#compdef keel
# SPDX-License-Identifier: GPL-2.0
# Completion of keel(1) for zsh: verbs and options as keel help has them, guests as they run.

_keel_verbs() {
	local -a verbs
	verbs=("${(@f)$(keel help --json 2>/dev/null | sed 's/},{/}\n{/g' |
		sed -nE 's/.*"name": *"([^"]*)".*"help": *"([^"]*)".*/\1:\2/p')}")
	_describe -t commands 'command' verbs
}

_keel_guests() {
	local -a guests
	guests=("${(@f)$(keel list 2>/dev/null | sed -nE '2,$s/^([^ ]+) .*/\1/p')}")
	_describe -t guests 'guest' guests
}

_keel_disks() {
	local -a disks
	disks=("${(@f)$(keel disk-list "$1" 2>/dev/null | sed -nE '2,$s/^([^ ]+) .*/\1/p')}")
	_describe -t disks 'disk' disks
}

_keel() {
	local verb=${words[2]}
	if (( CURRENT == 2 )); then
		_keel_verbs
		return
	fi
	if [[ ${words[CURRENT - 1]} == (--timeout|--unit) ]]; then
		return
	fi
	if [[ ${words[CURRENT]} == -* ]]; then
		compadd -- --help ${(f)"$(keel help "$verb" 2>/dev/null | sed -n 1p | grep -oE -- '--[a-z]+')"}
		return
	fi
	case $verb in
	check-host|dmesg|list|version)	;;
	help)		_keel_verbs ;;
	check|create)	_files ;;
	disk-resize)	if (( CURRENT == 3 )); then _keel_guests; elif (( CURRENT == 4 )); then _keel_disks "${words[3]}"; fi ;;
	cd-insert)	if (( CURRENT == 3 )); then _keel_guests; else _files; fi ;;
	network-list)	(( CURRENT == 3 )) && _keel_guests ;;
	network-link)	case $CURRENT in
			3)	_keel_guests ;;
			4)	compadd -- ${(f)"$(keel network-list "${words[3]}" 2>/dev/null | sed -nE '2,$s/^([0-9]+) .*/\1/p')"} ;;
			5)	compadd -- up down ;;
			esac ;;
	*)		_keel_guests ;;
	esac
}

_keel "$@"
