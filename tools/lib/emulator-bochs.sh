# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2153,SC2154,SC2034
# emulator-bochs.sh: Bochs for tools/run. To be sourced. Bochs has neither virtio nor SMBIOS strings: every run gets a CD-ROM
# of its own that boots what was asked for, with the files of the run behind the initrd. Drives are ATA disks, known by the
# model that they report.

bochs_drives=(ata0-master ata0-slave ata1-slave)
bochs_share=/usr/share/bochs
leave="Ctrl-\\"
bochs_resident=2048		# MiB; of more, it keeps the rest in a file

emulator_check() {
	[ "$firmware" = bios ] || die "--uefi: Bochs boots by BIOS only: take --emulator qemu"
	[ "$machine" = pc ] || die "--machine: Bochs has one board: take --emulator qemu"
	[ ${#qemu_options[@]} -eq 0 ] || die "--qemu: not for Bochs: take --emulator qemu"
	[ "$accel" = tcg ] || die "--accel: Bochs is an interpreter, it has no accelerator: take --emulator qemu"
	[ -e "$system/usr/bin/bochs" ] || [ "$build" = yes ] || die "bochs is not installed: run without --no-build"
	cpu=${cpu:-corei7_haswell_4770}
	memory=${memory:-512M}
	[[ $memory = *M ]] || memory=$((${memory%G} * 1024))M
	memory=${memory%M}
	[ "$memory" -le 3072 ] || die "--memory: Bochs takes 3G at most: take --emulator qemu"
	modules=
	: >"$work/drives"
}

# emulator_add_drive FILE TARGET MODE: a disk of the host. What may not be written gets a journal, thrown away with the run.
emulator_add_drive() {
	local path=$1 target=$2 mode=$3 model=keel-f$drives disk="mode=flat"
	[ "$drives" -lt ${#bochs_drives[@]} ] ||
		die "$target: Bochs has room for ${#bochs_drives[@]} drives: name fewer in the manifest, or take --emulator qemu"
	if [ "$target" = "$ROOT/build/guests/tiny.iso" ]; then
		"$ROOT/tools/lib/guests.sh" "$ROOT/build/guests/tiny-lz4.iso"
		path=$BUILD/guests/tiny-lz4.iso
	fi
	[ "$mode" = rw ] && [ -w "$path" ] || disk="mode=volatile, journal=$work/$model.journal"
	# Bochs puts its lock beside the file, here beside the link, and takes no path with a comma.
	ln -s "$(realpath "$path")" "$work/$model"
	printf '%s: type=disk, %s, path=%s, cylinders=0, model="%s"\n' "${bochs_drives[drives]}" "$disk" "$work/$model" "$model" \
		>>"$work/drives"
	printf '%s %s\n' "$model" "$target" >>"$work/files/keel/drives"
	drives=$((drives + 1))
	modules=/lib/modules/ata
}

# Bochs 2.7 puts the AVX state of the compacted XSAVE forms over the header of the area, and has not the counters that it
# announces for APERF and MPERF.
bochs_grub_config() {
	local cmdline="console=ttyS0,115200 quiet no_timer_check mitigations=off cryptomgr.notests"
	cmdline+=" clearcpuid=xsavec,xsaves,aperfmperf"
	cmdline+=${append:+ $append}
	printf '%s\n' 'serial --unit=0 --speed=115200' 'terminal_input serial' 'terminal_output serial' \
		'set timeout=0' 'menuentry run {'
	case $entry in
	keel)	printf 'multiboot2 /boot/keel.elf keel %s\nmodule2 /boot/vmlinuz %s\nmodule2 /boot/initrd\n' \
			"$options" "$cmdline" ;;
	plain)	printf 'linux /boot/vmlinuz %s nokeel\ninitrd /boot/initrd\n' "$cmdline" ;;
	esac
	printf '}\n'
}

bochs_pack_cdrom() {
	local root=$work/cdrom image=$BUILD/image${suite:+/$suite}
	local archives=("$image/system.cpio" "$image/keel.cpio" "$work/initrd.cpio")
	[ "$drives" -eq 0 ] || archives+=("$image/ata.cpio")
	say "Packing the CD-ROM that Bochs boots"
	mkdir -p "$root/boot/grub" "$work/initrd/keel"
	mv "$work/run.cpio" "$work/initrd/keel/"
	pack_cpio "$work/initrd" "$work/initrd.cpio"
	cp "$("$ROOT/tools/lib/lz4-kernel.sh" ${suite:+"$suite"})" "$root/boot/vmlinuz"
	cp "${hypervisor:-$BUILD/keel.elf}" "$root/boot/keel.elf"
	cat "${archives[@]}" >"$root/boot/initrd"
	bochs_grub_config >"$root/boot/grub/grub.cfg"
	logged "$logs/cdrom.log" grub-mkrescue -d /usr/lib/grub/i386-pc -o "$work/run.iso" "$root" -- -volid KEEL
	rm -r "$root" "$logs/cdrom.log"
}

# Of the displays only the VNC server needs neither a terminal nor X: it takes the first free port from 5900 and waits for
# nobody. Without VGA's extension there are no graphics modes, on which GRUB and the video BIOS would come to grief.
emulator_prepare() {
	local reset=1 panic='' commands=1
	[ "$reboot" = no ] || commands=1000
	"${runner[@]}" bochs --help cpu 2>&1 | grep -x -- "$cpu" >/dev/null ||
		die "--cpu: expected a processor model of Bochs, not '$cpu': bochs --help cpu shows them"
	bochs_pack_cdrom
	# An AMD model resets the machine even for a guest's triple fault, unless it is told to panic, and to go on after that.
	if [[ $cpu =~ ^(ryzen|zambezi|trinity_apu|phenom_.*)$ ]]; then
		reset=0 commands=1000
		panic=$(printf ', cpu%u=report' $(seq 0 $((smp - 1))))
	fi
	cat - "$work/drives" >"$work/bochsrc" <<-CONFIG
		display_library: rfb, options="timeout=0"
		speaker: enabled=0
		sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
		cpu: model=$cpu, count=$smp, quantum=32, ips=120000000
		cpu: reset_on_triple_fault=$reset, ignore_bad_msrs=1, mwait_is_nop=1
		memory: guest=$memory, host=$((memory < bochs_resident ? memory : bochs_resident))
		vga: extension=none
		pci: enabled=1, chipset=i440fx
		clock: sync=none, time0=$(date +%s)
		romimage: file=$bochs_share/BIOS-bochs-latest, options=fastboot
		vgaromimage: file=$bochs_share/VGABIOS-lgpl-latest
		boot: cdrom
		ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
		ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
		ata1-master: type=cdrom, path=$work/run.iso, status=inserted
		log: $work/emulator.log
		panic: action=fatal$panic
		error: action=report
		info: action=ignore
		debug: action=ignore
	CONFIG
	# The debugger that Debian's Bochs is built with wants to be told to start, and to go on after a panic; at a reset it
	# finds no other command and ends.
	printf 'c%.0s\n' $(seq "$commands") >"$work/debugger"
	rm -f "$logs/emulator.log"
	bochs=("${runner[@]}" bochs -q -f "$work/bochsrc" -rc "$work/debugger")
}

# A path in the configuration ends at a space and at a comma, so the logs are reached by links. Should this script be killed,
# Bochs ends too.
bochs_start() {
	ln -s "$logs/host.log" "$logs/guest.log" "$logs/emulator.log" "$work/"
	cat >>"$work/bochsrc"
	setpriv --pdeathsig TERM -- "${bochs[@]}" </dev/null >"$work/output" 2>&1 &
	pid=$!
}

# Unattended: the serial ports go to the logs.
emulator_start() {
	bochs_start <<-CONFIG
		com1: enabled=1, mode=file, dev=$work/host.log
		com2: enabled=1, mode=file, dev=$work/guest.log
	CONFIG
}

# The first serial port is the control domain's console, the second one the guest's. One of them is a pseudo-terminal here,
# which socat joins to ours; its end is that of the run.
emulator_interact() {
	local joined=com1 joined_log=$logs/host.log other=com2 other_log=$work/guest.log stdio='STDIO,ignoreeof'
	if [ "$mode" = guest ]; then
		joined=com2 joined_log=$logs/guest.log other=com1 other_log=$work/host.log
	fi
	[ ! -t 0 ] || stdio='STDIO,raw,echo=0,escape=0x1c'
	socat -R "$joined_log" "$stdio" "PTY,link=$work/terminal,raw,echo=0" <&0 &
	socat=$!
	while [ ! -e "$work/terminal" ] && kill -0 "$socat" 2>/dev/null; do
		sleep 0.1
	done
	bochs_start <<-CONFIG
		$joined: enabled=1, mode=term, dev=$work/terminal
		$other: enabled=1, mode=file, dev=$other_log
	CONFIG
	attend "$joined_log" "$socat"
}

# Its status is 1 whatever it was.
emulator_failed() {
	[ "$1" -gt 1 ]
}

# What Bochs has to say about the end of a run.
emulator_complaint() {
	if [ -s "$logs/emulator.log" ]; then
		grep -E '^[0-9]+[pe]\[' "$logs/emulator.log" | grep -vE 'MSR: Unknown register|SVM VMEXIT: I/O' | tail -n 10
	else
		grep -A 1 'following message' "$work/output" || tail -n 5 "$work/output"
	fi
}
