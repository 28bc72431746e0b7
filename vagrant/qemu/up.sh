#!/usr/bin/env bash
# The machines of vagrant/Vagrantfile without Vagrant: qemu on any Linux, with or without virtualisation in
# hardware, provisioned by the same scripts. The disk is made by box.sh.
#
#   vagrant/qemu/up.sh [--machines m1,w1,w2] [--dist DIR] [--memory MIB]
#   vagrant/qemu/up.sh ssh MACHINE [COMMAND…]
#   vagrant/qemu/up.sh kill MACHINE      the plug is pulled
#   vagrant/qemu/up.sh on MACHINE        powered on again; waits until its engine runs
#   vagrant/qemu/up.sh down              all off, their disks removed
#
# The machines see each other over a multicast socket on the loopback device; ssh comes in through forwarded
# ports of 127.0.0.1. ACCEL=tcg is emulation in software, some twenty times slower than the processor: give
# it all that there is (`nice -n -10`). ACCEL=kvm needs a /dev/kvm that runs any kernel.
set -euo pipefail
cd "$(dirname "$0")/../.."

box=target/box
run=target/box/run
accel=${ACCEL:-tcg}
port=${PORT:-22910} # of the first machine's ssh; the others follow
group=${GROUP:-230.0.0.56:22456}
memory=${MEMORY:-1536}
declare -A address=([m1]=192.168.56.11 [w1]=192.168.56.101 [w2]=192.168.56.102)
declare -A number=([m1]=0 [w1]=1 [w2]=2)

say() { echo "qemu: $*" >&2; }

usage() {
  echo "usage: $0 [--machines m1,w1,w2] [--dist DIR] [--memory MIB] | ssh MACHINE … | kill MACHINE | on MACHINE | down" >&2
  exit 2
}

is_on() { # machine
  [ -e "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null
}

# One connection for all commands: making one takes seconds under emulation.
inside() { # machine, command...
  local machine=$1
  shift
  ssh -i "$box/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=30 \
    -o ControlMaster=auto -o ControlPath="$run/$machine.ssh" -o ControlPersist=600 \
    -o ServerAliveInterval=30 -p $((port + number[$machine])) root@127.0.0.1 "$@"
}

power_on() { # machine
  local machine=$1 n=${number[$1]} cpu=Westmere # a plain one: less to emulate
  is_on "$machine" && return
  [ "$accel" != kvm ] || cpu=host
  [ -e "$run/$machine.qcow2" ] || qemu-img create -q -f qcow2 -F raw -b "$PWD/$box/disk.ext4" "$run/$machine.qcow2"
  qemu-system-x86_64 -accel "$accel" -cpu "$cpu" -m "$memory" -smp 1 -display none -monitor none \
    -kernel "$box/vmlinuz" -initrd "$box/initrd" -no-reboot -serial "file:$run/$machine.console" \
    -append "root=/dev/vda rw console=ttyS0 quiet no_timer_check tsc=reliable mitigations=off panic=1 net.ifnames=0 systemd.hostname=$machine box.address=${address[$machine]}/24" \
    -drive "file=$run/$machine.qcow2,format=qcow2,if=virtio,cache=unsafe" \
    -drive "file=$run/dist.ext4,format=raw,if=virtio,readonly=on" \
    -nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$((port + n))-:22" \
    -nic "socket,model=virtio-net-pci,mcast=$group,localaddr=127.0.0.1,mac=52:54:00:56:00:0$((n + 1))" \
    -pidfile "$run/$machine.pid" -daemonize
  say "$machine is on"
}

power_off() { # machine
  ! is_on "$1" || kill -KILL "$(cat "$run/$1.pid")"
  [ ! -S "$run/$1.ssh" ] || inside "$1" -O exit 2>/dev/null || true
  rm -f "$run/$1.pid" "$run/$1.ssh"
}

wait_for() { # machine
  local end=$((SECONDS + 900))
  until inside "$1" systemctl is-active --quiet docker.service 2>/dev/null; do
    is_on "$1" || { say "$1 is off: see $run/$1.console"; exit 1; }
    [ "$SECONDS" -lt "$end" ] || { say "$1 does not come up: see $run/$1.console"; exit 1; }
    sleep 2
  done
  say "$1: $(inside "$1" systemd-analyze 2>/dev/null | head -n 1)"
}

# As Vagrant's folder of the same name: the package and the images.
fill_dist() {
  local package folder
  package=$(ls "$dist"/swarmctl_*.deb 2>/dev/null | tail -n 1) || true
  [ -n "$package" ] || { say "there is no package in $dist: make dist"; exit 1; }
  folder=$(mktemp -d)
  cp -r "$package" "$dist/images" vagrant/qemu/slow.yml "$folder/"
  mke2fs -q -t ext4 -d "$folder" "$run/dist.ext4" "$(($(du -sm "$folder" | cut -f1) + 32))M"
  rm -rf "$folder"
}

install_on() { # machine
  wait_for "$1"
  inside "$1" 'mkdir -p /vagrant/dist; mountpoint -q /vagrant/dist || mount -o ro /dev/vdb /vagrant/dist'
  inside "$1" sh -s <vagrant/provision/docker.sh
  inside "$1" sh -s -- "${address[$1]}" <vagrant/provision/swarmctl.sh
}

up() {
  local machine token
  local -A job=()
  [ -e "$box/disk.ext4" ] || vagrant/qemu/box.sh
  mkdir -p "$run"
  [ -e "$run/dist.ext4" ] || fill_dist
  for machine in ${machines//,/ }; do power_on "$machine"; done
  for machine in ${machines//,/ }; do
    install_on "$machine" &
    job[$machine]=$!
  done
  for machine in ${machines//,/ }; do wait "${job[$machine]}"; done
  inside m1 sh -s <vagrant/provision/manager.sh
  token=$(inside m1 swarmctl token worker -q)
  for machine in ${machines//,/ }; do
    [ "$machine" = m1 ] || inside "$machine" sh -s -- "$token" "${address[m1]}" <vagrant/provision/worker.sh
  done
  local slow=()
  [ "$accel" = kvm ] || slow=(-c /vagrant/dist/slow.yml)
  inside m1 sh -s -- ${slow[@]+"${slow[@]}"} <vagrant/provision/demo.sh
}

case "${1:-}" in
  ssh) [ $# -ge 2 ] || usage; shift; inside "$@" ;;
  kill) [ $# -eq 2 ] || usage; power_off "$2" ;;
  on) [ $# -eq 2 ] || usage; power_on "$2"; wait_for "$2" ;;
  down)
    for machine in m1 w1 w2; do power_off "$machine"; done
    rm -rf "$run"
    ;;
  "" | --*)
    machines=m1,w1,w2 dist=dist
    while [ $# -gt 0 ]; do
      case "$1" in
        --machines) machines=${2:?} ;;
        --dist) dist=${2:?} ;;
        --memory) memory=${2:?} ;;
        *) usage ;;
      esac
      shift 2
    done
    up
    ;;
  *) usage ;;
esac
