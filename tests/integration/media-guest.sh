# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2016
# Part of a script that runs in the control domain: media of the CD-ROM drive of a Linux guest, "tiny", that has a driver for it.

# medium NAME KIB: says whose it is at its start.
medium() {
	printf 'medium-%s' "$1" >"/tmp/$1.iso"
	truncate -s $(($2 * 1024)) "/tmp/$1.iso"
}

# guest_says KEY REGEX COMMAND: what the guest's shell puts out for a command; keys are there once each.
guest_says() {
	send tiny "echo \"$1\"=\"\$($3)\""
	shows tiny "^$1=$2\$" 1 60
}

# guest_reads KEY MEDIUM KIB: what has been read of the medium before is not what is found now.
guest_reads() {
	guest_says "$1" "medium-$2 $(($3 * 1024))" 'head -c 64 /dev/sr0 | tr -d "\0"; echo " $(blockdev --getsize64 /dev/sr0)"'
}

# refused COMMAND...: for the door is locked.
refused() {
	! "$@" >/tmp/refused.log 2>&1 && grep 'keeps the door of its CD-ROM drive locked' /tmp/refused.log
}

drive_has() {
	keel info --json tiny | grep -F "\"cdroms\":[{\"slot\":\"secondary-master\",\"file\":$1}]"
}

medium first 64
medium second 256
# What the kernel says of media that are missing would come between.
send tiny 'dmesg -n 1; while read -r module; do insmod "/lib/modules/$module"; done </lib/modules/order'
check "media: the guest reads what it was started from" \
	guest_says BOOTED CD001 'dd if=/dev/sr0 bs=1 skip=32769 count=5 2>/dev/null'
check "media: taken out" keel cd-eject tiny
check "media: the guest finds the drive empty" guest_says EMPTY '.*No medium found' 'head -c 1 /dev/sr0 2>&1'
check "media: another is put in" keel cd-insert tiny /tmp/first.iso
check "media: the guest reads it" guest_reads FIRST first 64
check "media: a third in its place" keel cd-insert tiny /tmp/second.iso
check "media: the guest reads that" guest_reads SECOND second 256
send tiny 'exec 3</dev/sr0'
check "media: the guest has it open" guest_says OPEN 'medium-second' 'head -c 64 <&3 | tr -d "\0"'
check "media: the door is locked for cd-eject" refused keel cd-eject tiny
check "media: and for cd-insert" refused keel cd-insert tiny /tmp/first.iso
check "media: it is where it was" drive_has '"/tmp/second.iso"'
send tiny 'exec 3<&-'
check "media: the guest has closed it" guest_reads CLOSED second 256
check "media: the door is open for cd-eject" keel cd-eject tiny
check "media: put in again" keel cd-insert tiny /tmp/first.iso
# At the end of its use the kernel ejects a medium as for CDROMEJECT: START STOP UNIT with LoEj (MMC-6, 6.42).
send tiny 'echo 1 >/proc/sys/dev/cdrom/autoeject'
check "media: the guest reads it and ejects it" guest_says LAST medium-first 'head -c 64 /dev/sr0 | tr -d "\0"'
check "media: what it has ejected is out" within 10 drive_has null
send tiny 'echo 0 >/proc/sys/dev/cdrom/autoeject'
check "media: put in once more" keel cd-insert tiny /tmp/second.iso
check "media: the guest reads on" guest_reads MORE second 256
