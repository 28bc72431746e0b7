#!/usr/bin/env bash
# Makes the disk, kernel and initrd of a plain Debian machine from Debian's packages, for vagrant/qemu/up.sh.
#
#   vagrant/qemu/box.sh [--out DIR]     default: target/box; made once, again with --anew
#   vagrant/qemu/box.sh --vagrant       also DIR/debian.box, a box for Vagrant with libvirt, for machines that can
#                                       download none or have no virtualisation in hardware
#
# Nothing of the cluster is in it: a Debian as one finds it, with the packages that our provisioning asks
# for, so that it also works on a machine without a network. Needs root, mmdebstrap and mke2fs.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=target/box
anew= box=
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=$2; shift 2 ;;
    --anew) anew=yes; shift ;;
    --vagrant) box=yes; shift ;;
    *) echo "usage: $0 [--out DIR] [--anew] [--vagrant]" >&2; exit 2 ;;
  esac
done

[ "$(id -u)" -eq 0 ] || { echo "box: must run as root" >&2; exit 1; }
needs="mmdebstrap e2fsprogs openssh-client${box:+ vagrant vagrant-libvirt qemu-utils}"
for program in mmdebstrap mke2fs ssh-keygen ${box:+vagrant qemu-img}; do
  command -v "$program" >/dev/null || { echo "box: $program is missing (apt-get install $needs)" >&2; exit 1; }
done
made=$out/disk.ext4
[ -z "$box" ] || made=$out/debian.box
if [ -z "$anew" ] && [ -e "$made" ] && [ "$made" -nt "$0" ]; then
  echo "box: $made is there already (--anew makes it again)"
  exit 0
fi

suite=bookworm
size=4G
packages=(
  systemd-sysv udev dbus kmod linux-image-cloud-amd64 initramfs-tools
  iproute2 nftables iptables conntrack ca-certificates curl jq openssh-server sudo procps lz4 rsync
  docker.io apparmor
)

mkdir -p "$out"
root=$out/root
rm -rf "$root"
parts=$out/parts
trap 'rm -rf "$root" "$parts"' EXIT
[ -e "$out/key" ] || ssh-keygen -q -t ed25519 -N '' -C box -f "$out/key"

list=$(IFS=,; echo "${packages[*]}")
mmdebstrap --mode=root --variant=minbase --include="$list" --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$root"

echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
echo box >"$root/etc/hostname"
# Known to each other, as Vagrant's machines are.
cat >"$root/etc/hosts" <<'HOSTS'
127.0.0.1 localhost
192.168.56.11 m1
192.168.56.101 w1
192.168.56.102 w2
HOSTS
install -d -m 700 "$root/root/.ssh"
install -m 600 "$out/key.pub" "$root/root/.ssh/authorized_keys"
# eth0: the emulator's own network, for ssh. eth1: the machines' network, its address from the command line
# of the kernel.
mkdir -p "$root/etc/systemd/network"
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/10-eth0.network"
cat >"$root/etc/systemd/system/box-address.service" <<'UNIT'
[Unit]
Description=The address of this machine among the others
Before=network-online.target docker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until ip link set eth1 up; do sleep 0.5; done; ip address replace "$(sed -n "s/.*box.address=\\([^ ]*\\).*/\\1/p" /proc/cmdline)" dev eth1'
[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl enable --quiet systemd-networkd ssh box-address
# Nobody logs in there, and nothing of it is needed: each takes seconds to minutes under emulation.
chroot "$root" systemctl mask --quiet serial-getty@ttyS0.service getty@tty1.service e2scrub_reap.service e2scrub_all.timer \
  apt-daily.timer apt-daily-upgrade.timer fstrim.timer dpkg-db-backup.timer systemd-update-utmp.service systemd-pstore.service \
  modprobe@dm_mod.service modprobe@loop.service modprobe@efi_pstore.service modprobe@drm.service systemd-binfmt.service
# The first disk and its file system are all that the kernel has to find by itself.
printf 'MODULES=list\nCOMPRESS=lz4\n' >"$root/etc/initramfs-tools/conf.d/box"
printf 'virtio_pci\nvirtio_blk\next4\n' >>"$root/etc/initramfs-tools/modules"
chroot "$root" update-initramfs -u -k all >/dev/null 2>&1
# Made at first use, and slow under emulation.
chroot "$root" ssh-keygen -A >/dev/null
rm -f "$root"/var/cache/apt/archives/*.deb

cp "$root"/boot/vmlinuz-* "$out/vmlinuz"
cp "$root"/boot/initrd.img-* "$out/initrd"
rm -f "$out/disk.ext4"
mke2fs -q -t ext4 -L box -d "$root" "$out/disk.ext4" "$size"
echo "box: $(du -sh "$root" | cut -f1) of Debian $suite in $out/disk.ext4, kernel $(basename "$root"/boot/vmlinuz-*)"

[ -n "$box" ] || exit 0
# What Vagrant expects of a box: its user with its well-known key, which it replaces at the first start. Names
# and addresses of the machines are Vagrant's.
chroot "$root" systemctl disable --quiet box-address
sed -i '/192\.168\.56\./d' "$root/etc/hosts"
chroot "$root" useradd --create-home --shell /bin/bash vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
chmod 440 "$root/etc/sudoers.d/vagrant"
mkdir -m 700 "$root/home/vagrant/.ssh"
vagrant global-status >/dev/null # makes its folder, with the key, where there is none
ssh-keygen -y -f "${VAGRANT_HOME:-$HOME/.vagrant.d}/insecure_private_key" >"$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
rm -rf "$parts"
mkdir "$parts"
mke2fs -q -t ext4 -L box -d "$root" "$parts/disk.ext4" "$size"
qemu-img convert -O qcow2 "$parts/disk.ext4" "$parts/box.img"
cp "$out/vmlinuz" "$out/initrd" "$parts/"
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": '"${size%G}"'}' >"$parts/metadata.json"
# Its disk has no boot loader: the kernel lies beside it.
cat >"$parts/Vagrantfile" <<'RUBY'
Vagrant.configure("2") do |config|
  config.vm.boot_timeout = 1800
  config.vm.provider "libvirt" do |machine|
    machine.kernel = File.expand_path("vmlinuz", __dir__)
    machine.initrd = File.expand_path("initrd", __dir__)
    machine.cmd_line = "root=/dev/vda rw console=ttyS0 quiet no_timer_check tsc=reliable panic=1 net.ifnames=0"
    if ENV["ACCEL"] == "tcg" || !File.exist?("/dev/kvm")
      machine.driver = "qemu"
      machine.cpu_mode = "custom"
      machine.cpu_model = "Westmere"
    end
  end
end
RUBY
tar -C "$parts" -czf "$made" metadata.json Vagrantfile box.img vmlinuz initrd
echo "box: $made ($(du -sh "$made" | cut -f1)); vagrant box add --name debian/bookworm64 $made"
