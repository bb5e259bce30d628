# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completion of keel(1) for bash: verbs and options as keel help has them, guests as they run.

_keel() {
	local word=${COMP_WORDS[COMP_CWORD]} verb='' operands=0 i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--timeout | --unit)	i=$((i + 1)) ;;
		-*)	;;
		*)	if [ -z "$verb" ]; then
				verb=${COMP_WORDS[i]}
			else
				operands=$((operands + 1))
			fi ;;
		esac
	done
	COMPREPLY=()
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--timeout | --unit | =)	return ;;	# a number, a name
	esac
	case $verb:$word in
	:-*)
		mapfile -t COMPREPLY < <(compgen -W "--json --help --version" -- "$word") ;;
	help:*)
		[ "$operands" -gt 0 ] || mapfile -t COMPREPLY < <(compgen -W "$(_keel_verbs)" -- "$word") ;;
	:*)
		mapfile -t COMPREPLY < <(compgen -W "$(_keel_verbs)" -- "$word") ;;
	*:-*)
		mapfile -t COMPREPLY < <(compgen -W "--help $(keel help "$verb" 2>/dev/null | sed -n 1p | grep -oE -- '--[a-z]+')" -- "$word") ;;
	disk-resize:*)
		case $operands in
		0)	_keel_guests "$verb" "$operands" "$word" ;;
		1)	mapfile -t COMPREPLY < <(compgen -W "$(keel disk-list "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null |
				sed -nE '2,$s/^([^ ]+) .*/\1/p')" -- "$word") ;;
		esac ;;
	check-host:* | dmesg:* | list:* | version:*)	;;
	check:* | create:* | cd-insert:*)
		if [ "$verb:$operands" = cd-insert:0 ]; then
			_keel_guests "$verb" "$operands" "$word"
			return
		fi
		[ "$verb" != cd-insert ] || [ "$operands" -eq 1 ] || return
		# Quoted as file names, which outside of a completion cannot be asked for.
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	*)
		_keel_guests "$verb" "$operands" "$word" ;;
	esac
}

_keel_verbs() {
	printf 'help '
	keel help 2>/dev/null | sed -nE 's/^  ([a-z-]+) .*/\1/p'
}

_keel_guests() {
	case $1:$2 in
	console:0 | disk-list:0 | info:0 | log:0 | network-list:0 | network-link:0)	;;
	network-link:1)
		mapfile -t COMPREPLY < <(compgen -W "$(keel network-list "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null |
			sed -nE '2,$s/^([0-9]+) .*/\1/p')" -- "$3")
		return ;;
	network-link:2)
		mapfile -t COMPREPLY < <(compgen -W "up down" -- "$3")
		return ;;
	console:* | disk-list:* | info:* | log:* | network-list:* | network-link:*)	return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$(keel list 2>/dev/null | sed -nE '2,$s/^([^ ]+) .*/\1/p')" -- "$3")
}

complete -F _keel keel
