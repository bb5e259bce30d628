# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The administrator of a server, from one start to the next: runs as a service of it.
here=/root/keel
part=$(cat $here/part 2>/dev/null || echo 1)
echo $((part + 1)) >$here/part
exec 2>/tmp/errors.log
export DEBIAN_FRONTEND=noninteractive

# check NAME COMMAND...
check() {
	local what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $* $(tail -n 3 /tmp/check.log | tr '\n\r' '| ')"
	fi
}

not() {
	! "$@"
}

# gone PATH...: what a pattern does not match stays a pattern.
gone() {
	local path
	for path in "$@"; do
		[ ! -e "$path" ] || { echo "$path"; return 1; }
	done
}

# soon SECONDS COMMAND...: what counts is the time slept, for the clock of an emulated machine may jump.
soon() {
	local left=$(($1 * KEEL_PATIENCE))
	shift
	until "$@"; do
		[ $((left -= 1)) -ge 0 ] || return 1
		sleep 1
	done
}

shows() {
	keel console --log web | grep -aq "$1"
}

settled() {
	soon 120 eval '! systemctl is-system-running | grep -q starting'
}

# What this script is part of still starts, so that the machine is never quite up.
nothing_failed() {
	systemctl --failed --no-legend
	[ -z "$(systemctl --failed --no-legend)" ]
}

install() {
	apt-get -q -y -o Dpkg::Options::=--force-confold install "$1"/*.deb
}

# next: starts the machine anew, as an administrator does.
next() {
	sync
	systemctl reboot
	exit 0
}

with_keel() {
	test -c /dev/keel && keel-host status | grep -qx 'now:        with Keel'
}

next_start() {
	keel-host status | tee /dev/stderr | grep -qE "^next start: $1"
}

entries() {
	grep -cE "menuentry .*with Keel $1 and Linux" /boot/grub/grub.cfg
}

case $part in
1)
	check "Debian alone" not test -e /dev/keel
	check "the packages are installed" install $here/first
	check "the driver is built" sh -c 'ls /lib/modules/*/updates/dkms/keel.ko*'
	check "nothing fails for want of Keel" nothing_failed
	check "the menu has Keel, and Debian alone" sh -c 'grep -q "id .keel." /boot/grub/grub.cfg &&
		grep -q "^menuentry .Debian GNU/Linux. " /boot/grub/grub.cfg'
	check "the next start is with Keel" next_start 'with Keel'
	check "keel tells that it does not run yet" sh -c 'keel check-host; test $? -eq 1'
	check "man pages" sh -c 'dpkg -L keel-tools keel-hypervisor | grep -c "/man/man[158]/.*gz" | grep -qx 3'
	mkdir -p /srv
	cp $here/button.iso /srv/
	cat >/etc/keel/guests/web.json <<-'MANIFEST'
		{
			"version": 1, "name": "web", "memory": "256M", "vcpus": 1,
			"boot": ["cdrom"], "cdrom": { "file": "/srv/button.iso" }
		}
	MANIFEST
	sed 's/"web"/"other"/' /etc/keel/guests/web.json >/etc/keel/guests/wrong.json
	check "a guest is enabled" systemctl enable keel@web.service
	next ;;
2)
	check "the server has started with Keel" with_keel
	check "its driver is the group's" test "$(stat -c '%G %a' /dev/keel)" = "keel 660"
	check "keel check-host is content" keel check-host
	check "the guest's service runs" soon 120 systemctl --quiet is-active keel@web.service
	check "the guest comes up" soon 200 shows GUEST-UP
	check "its main process is its own" sh -c 'test "$(systemctl show -P MainPID keel@web.service)" -gt 1 &&
		keel list | grep -q "^web .*running"'
	check "a manifest of another name is refused, with the reason" sh -c \
		'systemctl start keel@wrong.service; test $? -ne 0 &&
			journalctl -b -u keel@wrong.service | grep -q "this manifest.s name is \"other\""'
	systemctl reset-failed keel@wrong.service
	pid=$(systemctl show -P MainPID keel@web.service)
	check "an upgrade" install $here/upgrade
	check "leaves the guest alone" test "$(systemctl show -P MainPID keel@web.service)" = "$pid"
	check "whose new tools see it" sh -c 'keel list | grep -q "^web .*running"'
	check "the former hypervisor can still be started" test "$(ls /boot/keel-*.elf | wc -l)-$(entries '[0-9.]*')" = 2-1
	check "and the new one" test "$(entries '[0-9.]*[+]later')" = 1
	check "stopped, the guest is off by its button" systemctl stop keel@web.service
	check "and has said so" grep -q "switched its machine off" /var/log/keel/web.log
	check "it is no failure" nothing_failed
	check "started again" systemctl start keel@web.service
	check "it is there" soon 200 shows GUEST-UP
	check "Keel is not what is started any more" keel-host disable
	next ;;
3)
	check "the server has started without Keel" not test -e /dev/keel
	check "the guest was off in time" sh -c 'grep -c "switched its machine off" /var/log/keel/web.log | grep -qx 2'
	settled
	check "nothing has failed" nothing_failed
	check "one trial" keel-host try
	next ;;
4)
	check "the trial is with Keel" with_keel
	check "keel reaches it" keel info
	check "the guest runs" soon 200 shows GUEST-UP
	next ;;
5)
	check "after it the server starts without Keel again" not test -e /dev/keel
	check "the packages go" apt-get -q -y purge keel keel-hypervisor keel-dkms keel-tools
	check "no hypervisor is left" gone /boot/keel-*.elf
	check "nor an entry" not grep -qi keel-advanced /boot/grub/grub.cfg
	check "nor a driver" gone /lib/modules/*/updates/dkms/keel.ko*
	check "nor sources, logs, choice" gone /usr/src/keel-* /var/log/keel /etc/default/grub.d/keel* \
		/etc/grub.d/20_linux_keel /usr/lib/keel
	check "nor a group" not getent group keel
	check "the guests' manifests stay" test -e /etc/keel/guests/web.json
	check "Debian alone is what is started" grep -q "^menuentry .Debian GNU/Linux. " /boot/grub/grub.cfg
	echo "tests: end"
	sync
	systemctl poweroff ;;
esac
