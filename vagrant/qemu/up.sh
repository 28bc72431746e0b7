#!/usr/bin/env bash
# The machines of vagrant/Vagrantfile without Vagrant: qemu on any Linux, with or without virtualisation in
# hardware, provisioned by the same scripts. The disk is made by box.sh.
#
#   vagrant/qemu/up.sh [--machines m1,w1,w2] [--dist DIR] [--memory MIB]
#   vagrant/qemu/up.sh ssh MACHINE [COMMAND…]
#   vagrant/qemu/up.sh kill MACHINE      the plug is pulled; `up` powers it on again
#   vagrant/qemu/up.sh down              all off, their disks removed
#
# The machines see each other over a multicast socket on the loopback device; ssh comes in through forwarded
# ports of 127.0.0.1. ACCEL=tcg is emulation in software; ACCEL=kvm needs /dev/kvm.
set -euo pipefail
cd "$(dirname "$0")/../.."

box=target/box
run=target/box/run
accel=${ACCEL:-tcg}
port=${PORT:-22910} # of the first machine's ssh; the others follow
group=${GROUP:-230.0.0.56:22456}
declare -A address=([m1]=192.168.56.11 [w1]=192.168.56.101 [w2]=192.168.56.102)
declare -A number=([m1]=0 [w1]=1 [w2]=2)

say() { echo "qemu: $*" >&2; }

is_on() { # machine
  [ -e "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null
}

inside() { # machine, command...
  local machine=$1
  shift
  ssh -i "$box/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 \
    -o ServerAliveInterval=30 -p $((port + number[$machine])) root@127.0.0.1 "$@"
}

power_on() { # machine
  local machine=$1 n=${number[$1]} cpu=max
  is_on "$machine" && return
  [ "$accel" != kvm ] || cpu=host
  [ -e "$run/$machine.qcow2" ] || qemu-img create -q -f qcow2 -F raw -b "$PWD/$box/disk.ext4" "$run/$machine.qcow2"
  qemu-system-x86_64 -accel "$accel" -cpu "$cpu" -m "$memory" -smp 1 -display none -monitor none \
    -kernel "$box/vmlinuz" -initrd "$box/initrd" -no-reboot -serial "file:$run/$machine.console" \
    -append "root=/dev/vda rw console=ttyS0 no_timer_check panic=1 net.ifnames=0 systemd.hostname=$machine box.address=${address[$machine]}/24" \
    -drive "file=$run/$machine.qcow2,format=qcow2,if=virtio,cache=unsafe" \
    -nic "user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$((port + n))-:22" \
    -nic "socket,model=virtio-net-pci,mcast=$group,localaddr=127.0.0.1,mac=52:54:00:56:00:0$((n + 1))" \
    -pidfile "$run/$machine.pid" -daemonize
  say "$machine is on"
}

up() {
  [ -e "$box/disk.ext4" ] || vagrant/qemu/box.sh
  local package machine
  package=$(ls "$dist"/swarmctl_*.deb 2>/dev/null | tail -n 1) || true
  [ -n "$package" ] || { say "there is no package in $dist: make dist"; exit 1; }
  mkdir -p "$run"
  for machine in ${machines//,/ }; do power_on "$machine"; done
  for machine in ${machines//,/ }; do
    until inside "$machine" systemctl is-active --quiet docker.service 2>/dev/null; do
      is_on "$machine" || { say "$machine is off: see $run/$machine.console"; exit 1; }
      sleep 2
    done
    say "$machine: $(inside "$machine" systemd-analyze | head -n 1)"
    inside "$machine" 'mkdir -p /vagrant/dist/images'
    tar -C "$dist" -c "$(basename "$package")" images | inside "$machine" tar -C /vagrant/dist -x
    inside "$machine" sh -s <vagrant/provision/docker.sh
    inside "$machine" sh -s -- "${address[$machine]}" <vagrant/provision/swarmctl.sh
    if [ "$machine" = m1 ]; then
      inside m1 sh -s <vagrant/provision/manager.sh
    else
      inside "$machine" sh -s -- "$(inside m1 swarmctl token worker -q)" "${address[m1]}" <vagrant/provision/worker.sh
    fi
  done
  inside m1 sh -s <vagrant/provision/demo.sh
}

case "${1:-}" in
  ssh) shift; inside "$@" ;;
  kill) kill -KILL "$(cat "$run/$2.pid")"; rm -f "$run/$2.pid" ;;
  down)
    for machine in m1 w1 w2; do
      ! is_on "$machine" || kill -KILL "$(cat "$run/$machine.pid")"
    done
    rm -rf "$run"
    ;;
  "" | --*)
    machines=m1,w1,w2 dist=dist memory=1536
    while [ $# -gt 0 ]; do
      case "$1" in
        --machines) machines=$2 ;;
        --dist) dist=$2 ;;
        --memory) memory=$2 ;;
        *) echo "usage: $0 [--machines m1,w1,w2] [--dist DIR] [--memory MIB] | ssh MACHINE … | kill MACHINE | down" >&2; exit 2 ;;
      esac
      shift 2
    done
    up
    ;;
  *) echo "usage: $0 [--machines m1,w1,w2] [--dist DIR] [--memory MIB] | ssh MACHINE … | kill MACHINE | down" >&2; exit 2 ;;
esac
