# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Completion of keel(1) for bash: verbs and options as keel help has them, guests as they run.

_keel() {
	local word=${COMP_WORDS[COMP_CWORD]} verb='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-*)	;;
		*)	verb=${COMP_WORDS[i]}
			break ;;
		esac
	done
	COMPREPLY=()
	case $verb:$word in
	:-*)
		mapfile -t COMPREPLY < <(compgen -W "--json --help --version" -- "$word") ;;
	:* | help:*)
		mapfile -t COMPREPLY < <(compgen -W "help $(keel help 2>/dev/null | sed -nE 's/^  ([a-z-]+) .*/\1/p')" -- "$word") ;;
	*:-*)
		mapfile -t COMPREPLY < <(compgen -W "--help $(keel help "$verb" 2>/dev/null | sed -n 1p | grep -oE -- '--[a-z]+')" -- "$word") ;;
	check-host:* | dmesg:* | version:*)	;;
	check:* | create:*)
		mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$(keel list 2>/dev/null | sed -nE '2,$s/^([^ ]+) .*/\1/p')" -- "$word") ;;
	esac
}

complete -o filenames -F _keel keel
