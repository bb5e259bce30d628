#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What tools/lib/debian-disk.sh does to Debian's tree before and after its packages: the initrd is packed once, by the program
# that the packages wanted to run, and nothing of that is left. A stand-in for chroot plays the tree's programs.
# shellcheck disable=SC2016,SC2317
set -uo pipefail
# shellcheck source=tests/host/common.sh
. "$(dirname "$0")/common.sh"

root="$WORK/a tree" packer=usr/sbin/update-initramfs
mkdir -p "$root"/{etc/dpkg/dpkg.cfg.d,usr/sbin,usr/lib/grub/i386-pc,boot,var}
cat >"$WORK/bin/chroot" <<'END'
#!/bin/sh
root=$1
shift
echo "$*" >>"$CALLS"
case $* in
*dpkg-divert*--add*)	mv "$root/usr/sbin/update-initramfs" "$root/usr/sbin/update-initramfs.distrib" ;;
*dpkg-divert*--remove*)	mv "$root/usr/sbin/update-initramfs.distrib" "$root/usr/sbin/update-initramfs" ;;
"update-initramfs -c -k "*) "$root/usr/sbin/update-initramfs" "$@" && echo packed >"$root/boot/initrd.img-$4" ;;
chpasswd)		cat >/dev/null ;;
esac
END
chmod +x "$WORK/bin/chroot"
export CALLS=$WORK/calls
printf '#!/bin/sh\necho real >>"$CALLS"\n' >"$root/$packer"
chmod +x "$root/$packer"
for part in begin setup; do
	eval "$(sed -n "/^${part}_commands()/,/^}/p" "$ROOT/tools/lib/debian-disk.sh")"
	"${part}_commands" >"$WORK/$part"
done

# As the kernel's package does, and then the trigger of initramfs-tools.
packages() {
	touch "$root/boot/vmlinuz-6.1.0-0-amd64"
	ln -s boot/initrd.img-6.1.0-0-amd64 "$root/initrd.img"
	"$root/$packer" -c -k 6.1.0-0-amd64 && "$root/$packer" -u
}

check "before the packages" exits 0 sh "$WORK/begin" "$root"
check "the packages' wishes are taken" packages
check "but nothing is packed for them" never grep real "$CALLS"
check "after the packages" exits 0 sh "$WORK/setup" "$root"
check "the initrd was packed once" test "$(grep -cx real "$CALLS")" -eq 1
check "for the kernel that is there" grep -x 'update-initramfs -c -k 6.1.0-0-amd64' "$CALLS"
check "the boot menu finds it" grep -x packed "$root/initrd.img"
check "the packages' program is back" grep -q real "$root/$packer"
check "dpkg is as it was" never test -e "$root/etc/dpkg/dpkg.cfg.d/keel"
rm "$root/initrd.img"
sh "$WORK/begin" "$root"
check "without an initrd where the menu wants it there is an error" says "no initrd where" sh "$WORK/setup" "$root"
finish
