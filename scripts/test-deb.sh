#!/usr/bin/env bash
# Tries the Debian package on three clean Debian roots: install, start, form a cluster, deploy, upgrade,
# remove, purge. Each root is a host of its own: namespaces, an engine, an address on a shared switch.
#
#   scripts/test-deb.sh [--bins DIR]    default: the development build
#
# There is no systemd in a namespace: the unit is checked by systemd-analyze, and what it would do is done
# by hand. The roots are made by mmdebstrap once and kept in target/test-deb. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."

bins=target/x86_64-unknown-linux-gnu/debug
if [ "${1:-}" = --bins ]; then bins=${2:?"--bins needs a folder"}; fi
store=$PWD/target/test-deb
name=sdeb$$
hosts=(m1 w1 w2)
declare -A address=([m1]=10.251.7.11 [w1]=10.251.7.101 [w2]=10.251.7.102)
declare -A pid=()
passed=0

say() { echo "test-deb: $*"; }
skip() { say "skipped: $*"; exit 75; }
die() { say "FAILED: $*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || skip "must run as root"
for program in mmdebstrap dpkg-deb unshare nsenter ip jq; do
  command -v "$program" >/dev/null || skip "$program is missing"
done

root_of_debian() {
  local list=docker.io,nftables,iproute2,iptables,curl,ca-certificates,procps
  if [ "$(cat "$store/root.list" 2>/dev/null)" = "$list" ]; then return; fi
  say "making a Debian root"
  rm -rf "$store/root" "$store/root.list"
  mkdir -p "$store"
  mmdebstrap --mode=root --variant=minbase --include="$list" bookworm "$store/root" >"$store/mmdebstrap.log" 2>&1 ||
    skip "mmdebstrap could not make a root: $(tail -n 1 "$store/mmdebstrap.log")"
  echo "$list" >"$store/root.list"
}

work=$(mktemp -d "${TMPDIR:-/var/tmp}/test-deb.XXXXXX")
groups=()

cleanup() {
  local status=$? host group
  if [ "$status" -ne 0 ]; then
    for host in "${hosts[@]}"; do
      [ ! -e "$work/$host/root/var/log/agent.log" ] || { echo "--- agent of $host"; tail -n 20 "$work/$host/upper/var/log/agent.log"; }
    done
  fi
  for host in "${hosts[@]}"; do
    # The first process of a pid namespace takes all others with it.
    [ -z "${pid[$host]:-}" ] || kill -KILL "${pid[$host]}" 2>/dev/null || true
  done
  ip netns del "$name" 2>/dev/null || true
  for group in "${groups[@]}"; do
    for _ in $(seq 50); do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ -d "$group" ] || break
      sleep 0.1
    done
  done
  rm -rf "$work" 2>/dev/null || { sleep 1; rm -rf "$work"; }
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# What the first process of a host does: its root, its mounts, its control groups; then it waits.
cat >"$work/init" <<'INIT'
set -e
w=$1 lower=$2 hostname=$3
mount --make-rprivate /
mkdir -p "$w/upper" "$w/work" "$w/root" "$w/docker"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$w/upper,workdir=$w/work" "$w/root"
cd "$w/root"
mkdir -p var/lib/docker .old
mount --bind "$w/docker" var/lib/docker
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8; mknod -m 666 dev/urandom c 1 9; mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    while IFS=: read -r _ controllers _; do
        [ -n "$controllers" ] || continue
        at=sys/fs/cgroup/${controllers#name=}
        mkdir -p "$at"
        mount -t cgroup -o "$controllers" cgroup "$at"
    done </proc/self/cgroup
fi
hostname "$hostname"
echo "$hostname" >etc/hostname
printf '127.0.0.1 localhost\n10.251.7.11 m1\n10.251.7.101 w1\n10.251.7.102 w2\n' >etc/hosts
pivot_root . .old
umount -l .old
rmdir .old 2>/dev/null || true
touch /run/up
# bash takes in and forgets the ends of whatever is left to it.
exec chroot . /bin/bash -c 'while :; do sleep 3600 & wait $!; done'
INIT

# Runs a command in a group of its own in every hierarchy, so that it is the root of what the host sees.
in_groups() { # host, command...
  local host=$1 base path controllers
  shift
  while IFS=: read -r _ controllers path; do
    if [ -n "$controllers" ]; then base=/sys/fs/cgroup/${controllers#name=}$path
    elif [ -e /sys/fs/cgroup/cgroup.controllers ]; then base=/sys/fs/cgroup
    else continue; fi
    base=${base%/}/$name
    mkdir -p "$base/$host"
    [ ! -e "$base/cpuset.cpus" ] || for file in cpuset.cpus cpuset.mems; do
      cat "$base/../$file" >"$base/$file"
      cat "$base/$file" >"$base/$host/$file"
    done
    echo "$base" >>"$work/groups"
    echo "$BASHPID" >"$base/$host/cgroup.procs"
  done </proc/self/cgroup
  exec "$@"
}

start_host() { # host
  local host=$1 shell
  mkdir -p "$work/$host"
  (in_groups "$host" unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child \
    bash "$work/init" "$work/$host" "$store/root" "$host") >"$work/$host/init.log" 2>&1 &
  shell=$!
  for _ in $(seq 100); do
    pid[$host]=$(cat "/proc/$shell/task/$shell/children" 2>/dev/null | tr -d ' ')
    if [ -n "${pid[$host]}" ] && [ -e "/proc/${pid[$host]}/root/run/up" ]; then break; fi
    [ -d "/proc/$shell" ] || break
    sleep 0.1
  done
  mapfile -t groups < <(sort -u "$work/groups")
  [ -n "${pid[$host]}" ] && [ -e "/proc/${pid[$host]}/root/run/up" ] || die "$host did not start: $(cat "$work/$host/init.log")"
  ip -n "$name" link add "p-$host" type veth peer name eth0 netns "${pid[$host]}"
  ip -n "$name" link set "p-$host" master br0 up
  on "$host" sh -c "ip link set lo up; ip address add ${address[$host]}/24 dev eth0; ip link set eth0 up; ip route add default via 10.251.7.1"
}

on() { # host, command...
  local host=$1
  shift
  nsenter --target "${pid[$host]}" --all --root --wd=/proc/"${pid[$host]}"/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "$@"
}

background() { # host, log, command...
  local host=$1 log=$2
  shift 2
  on "$host" sh -c 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null &' sh "$log" "$@"
}

until_true() { # seconds, what, command...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$what: $("$@" 2>&1 | tail -n 3)"
    sleep 0.2
  done
}

ok() { # what
  say "ok: $1"
  passed=$((passed + 1))
}

listing() { # host
  on "$1" sh -c 'find /etc /usr /var /run /opt /srv /root -xdev \( -path /var/lib/dpkg -o -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/log -o -path /var/cache -o -path "/run/docker*" -o -path "/run/containerd*" -o -path /var/lib/systemd -o -path /etc/docker -o -path "/opt/containerd*" -o -name "group-" -o -name "gshadow-" -o -name "*.lock" \) -prune -o -print | sort'
}

agent_on() { # host: as the unit does it
  background "$1" /var/log/agent.log /usr/lib/swarmctl/agent
  until_true 20 "the agent of $1 does not serve" on "$1" swarmctl version
}

stop_agent_on() { # host
  on "$1" pkill -TERM -x -f /usr/lib/swarmctl/agent
  until_true 30 "the agent of $1 does not end" on "$1" sh -c '! pgrep -x -f /usr/lib/swarmctl/agent'
}

root_of_debian
say "packages"
old=$(scripts/deb.sh --fast --bins "$bins" --out "$work/debs" --version 0.0.1)
new=$(scripts/deb.sh --fast --bins "$bins" --out "$work/debs" --version 0.0.2)
if command -v lintian >/dev/null; then
  lintian --allow-root --fail-on error --display-level ">=warning" --suppress-tags-from-file packaging/deb/lintian-suppress "$old" || die "lintian"
  ok "lintian finds no error"
fi

ip netns add "$name"
ip -n "$name" link add br0 type bridge
ip -n "$name" address add 10.251.7.1/24 dev br0
ip -n "$name" link set br0 up
for host in "${hosts[@]}"; do
  start_host "$host"
  background "$host" /var/log/dockerd.log dockerd --log-level=warn
  listing "$host" >"$work/$host/before"
done

for host in "${hosts[@]}"; do
  cp "$old" "$new" "$work/$host/upper/root/" 2>/dev/null || { mkdir -p "/proc/${pid[$host]}/root/root" && cp "$old" "$new" "/proc/${pid[$host]}/root/root/"; }
  on "$host" dpkg -i "/root/$(basename "$old")" >"$work/$host/dpkg.log" 2>&1 || die "dpkg -i: $(cat "$work/$host/dpkg.log")"
  [ "$(on "$host" getent group swarmctl | cut -d: -f1)" = swarmctl ] || die "no group"
done
ok "installed on three clean roots"
if systemd-analyze --version >/dev/null 2>&1 && [ -e /usr/lib/systemd/system/sysinit.target ]; then
  # On this machine, where systemd's own units are; the program is in the roots.
  on m1 cat /usr/lib/systemd/system/swarmctl-agent.service | sed 's#^ExecStart=.*#ExecStart=/bin/true#' >"$work/swarmctl-agent.service"
  said=$(systemd-analyze verify --man=no "$work/swarmctl-agent.service" 2>&1 | grep -i swarmctl || true)
  [ -z "$said" ] || die "systemd-analyze: $said"
  ok "systemd-analyze has nothing to say of the unit"
fi
on m1 sh -c 'test -s /usr/share/man/man1/swarmctl.1.gz && test -s /usr/share/man/man8/swarmctl-agent.8.gz && test -s /usr/share/bash-completion/completions/swarmctl && test -s /usr/share/man/man1/swarmctl-service-create.1.gz' || die "manual pages or completions are missing"

for host in "${hosts[@]}"; do
  until_true 60 "the engine of $host" on "$host" docker info
  agent_on "$host"
done
[ "$(on m1 stat -c '%U:%G %a' /run/swarmctl/docker.sock)" = "root:swarmctl 660" ] || die "the socket is $(on m1 stat -c '%U:%G %a' /run/swarmctl/docker.sock)"
ok "started; the socket belongs to the group swarmctl"

on m1 swarmctl init --advertise-addr "${address[m1]}" >/dev/null
token=$(on m1 swarmctl token worker -q)
for host in w1 w2; do on "$host" swarmctl join --token "$token" "${address[m1]}:2377" >/dev/null; done
ready() { [ "$(on m1 swarmctl node ls --format '{{.Status}}' | grep -c '^Ready')" = 3 ]; }
until_true 30 "three ready nodes" ready
ok "three hosts form a cluster"

"$bins/sample-services" images --out "$work/images" --only probe >/dev/null
for host in "${hosts[@]}"; do on "$host" docker load --quiet <"$work/images/probe.tar" >/dev/null; done
on m1 swarmctl deploy healing -c /usr/share/swarmctl/specs/self-healing.yml >/dev/null
answers() { ip netns exec "$name" curl --silent --fail --max-time 5 "http://${address[$1]}:8090/"; }
for host in "${hosts[@]}"; do until_true 20 "the service at $host" answers "$host"; done
ok "a stack of the package's examples runs and answers on every host"

containers() { on "$1" docker ps --quiet --filter label=swarmctl.task | sort; }
for host in "${hosts[@]}"; do
  was=$(containers "$host")
  [ -n "$was" ] || die "no container on $host"
  on "$host" sh -c 'echo "log-format = \"json\"" >>/etc/swarmctl/agent.toml'
  on "$host" dpkg -i "/root/$(basename "$new")" >"$work/$host/dpkg.log" 2>&1 || die "dpkg -i: $(cat "$work/$host/dpkg.log")"
  on "$host" grep -q '^log-format' /etc/swarmctl/agent.toml || die "the settings were lost in the upgrade"
  stop_agent_on "$host"
  answers "$host" >/dev/null || die "$host does not answer while its agent is away"
  agent_on "$host"
  until_true 30 "three ready nodes" ready
  answers "$host" >/dev/null || die "$host does not answer after the upgrade"
  [ "$(containers "$host")" = "$was" ] || die "containers of $host were restarted by the upgrade"
done
ok "upgraded host by host: settings kept, no container restarted, every port answered"

on w2 swarmctl leave >/dev/null
on w2 dpkg --remove swarmctl >"$work/w2/dpkg.log" 2>&1 || die "remove: $(cat "$work/w2/dpkg.log")"
on w2 sh -c '! pgrep -f "^/usr/lib/swarmctl/"' || die "processes outlive the package"
on w2 test -e /etc/swarmctl/agent.toml || die "remove took the settings"
on w2 dpkg --purge swarmctl >"$work/w2/dpkg.log" 2>&1 || die "purge: $(cat "$work/w2/dpkg.log")"
# A host that has not left: purging takes its state all the same, with a warning.
on w1 dpkg --purge swarmctl >"$work/w1/dpkg.log" 2>&1 || die "purge: $(cat "$work/w1/dpkg.log")"
grep -q 'still a node' "$work/w1/dpkg.log" || die "nothing was said of w1 being a node"
for host in w1 w2; do
  on "$host" sh -c '! pgrep -f "^/usr/lib/swarmctl/"' || die "processes outlive the package on $host"
  on "$host" sh -c '! getent group swarmctl' >/dev/null || die "the group outlives the package on $host"
  on "$host" rm -f "/root/$(basename "$old")" "/root/$(basename "$new")"
  listing "$host" | diff "$work/$host/before" - >"$work/$host/left" || die "left on $host: $(cat "$work/$host/left")"
done
ok "removed and purged: nothing is left"
say "$passed passed, 0 failed in $SECONDS s"
