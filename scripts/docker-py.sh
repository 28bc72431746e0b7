#!/usr/bin/env bash
# Runs docker-py's own integration tests about swarms against a cluster's socket, and against a stock engine in swarm mode beside it.
#
#   scripts/docker-py.sh [ARGUMENTS of pytest]
#
# It fails when a test fails here and not there, except those named below. Two hosts of a lab: the agent of m1 is in no
# cluster yet, the tests begin and leave clusters; w1's engine is used as it is. The tests are those of docker-py 7.0.0, the
# last whose source on PyPI has them; the library is newer. Images: Debian's static busybox, under the names they ask for.
set -euo pipefail
cd "$(dirname "$0")/.."
library=7.1.0 tests=7.0.0
home=$PWD/target/docker-py
python=$home/venv/bin/python
swarmctl=$PWD/target/x86_64-unknown-linux-gnu/debug/swarmctl
lab=docker-py
about="api_swarm api_service api_secret api_config api_network api_healthcheck models_services models_swarm models_nodes
  models_networks models_resources api_client client errors"
# Subnets are /20 when nobody says otherwise, on purpose: docs/migrating-from-swarm.md.
known="test_init_swarm_custom_addr_pool_defaults"

stop() { # message
  echo "docker-py: $1" >&2
  exit 75
}

[ "$(id -u)" -eq 0 ] || stop "it starts Docker Engines in namespaces: run as root"
[ -x "$swarmctl" ] || stop "$swarmctl is missing: make docker-py builds it"
mkdir -p "$home"

if [ ! -f "$home/ready" ]; then
  python3 -m venv "$home/venv" 2>/dev/null || stop "needs Python 3 with its module venv (Debian: apt-get install python3-venv)"
  "$home/venv/bin/pip" install --quiet --disable-pip-version-check "docker==$library" pytest pytest-timeout 'paramiko<4' ||
    stop "docker $library and pytest could not be installed from PyPI"
  "$home/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest "$home" "docker==$tests" ||
    stop "the source of docker $tests could not be fetched from PyPI"
  rm -rf "$home/suite" && mkdir "$home/suite"
  tar -xf "$home/docker-$tests.tar.gz" -C "$home/suite" --strip-components 1 "docker-$tests/tests"
  # Of its own, so that no settings of this repository or of docker-py's count.
  echo '[pytest]' >"$home/suite/pytest.ini"
  touch "$home/ready"
fi

if [ ! -f "$home/busybox.tar" ]; then
  rm -rf "$home/deb" "$home/root" && mkdir -p "$home/deb" "$home/root/bin" "$home/root/etc" "$home/root/usr"
  mkdir -m 1777 "$home/root/tmp"
  (cd "$home/deb" && apt-get -qq -o APT::Sandbox::User=root download busybox-static && dpkg-deb -x busybox-static_*.deb .) ||
    stop "the package busybox-static could not be fetched"
  install "$home/deb/bin/busybox" "$home/root/bin/busybox"
  "$home/root/bin/busybox" --list | grep -vx busybox | while read -r name; do
    ln -s busybox "$home/root/bin/$name"
  done
  ln -s ../bin "$home/root/usr/bin"
  ln -s bin "$home/root/sbin"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$home/root/etc/passwd"
  echo 'root:x:0:' >"$home/root/etc/group"
  tar -C "$home/root" -cf "$home/busybox.tar" .
fi

trap '"$swarmctl" lab --name "$lab" down >/dev/null 2>&1' EXIT
"$swarmctl" lab --name "$lab" up --no-cluster --agent "$(dirname "$swarmctl")/agent" --managers 1 --workers 1 >/dev/null 2>&1
run=/run/swarmctl-lab/$lab
for host in m1 w1; do
  for image in busybox:latest alpine:latest alpine:3.10; do
    docker -H "unix://$run/$host/docker.sock" import -c 'CMD ["sh"]' -c 'ENV PATH=/bin' "$home/busybox.tar" "$image" >/dev/null
  done
done

try() { # name, socket, arguments of pytest
  local name=$1 socket=$2 files=()
  shift 2
  for part in $about; do files+=("tests/integration/${part}_test.py"); done
  (cd "$home/suite" && DOCKER_HOST=unix://$socket "$python" -m pytest -p no:cacheprovider --timeout 120 -q -rA "${files[@]}" "$@") \
    >"$home/$name.log" 2>&1 || true
  sed -nE 's/^(FAILED|ERROR) ([^ ]+).*/\2/p' "$home/$name.log" | sort -u >"$home/$name.failed"
  echo "$name: $(tail -1 "$home/$name.log")"
  grep -qE '[0-9]+ passed' "$home/$name.log"
}

try engine "$run/w1/docker.sock" "$@"
try cluster "$run/m1/swarmctl/docker.sock" "$@"

differ=$(comm -13 "$home/engine.failed" "$home/cluster.failed" | grep -vE "::($known)\$" || true)
if [ -n "$differ" ]; then
  printf 'only against the cluster (see %s):\n%s\n' "$home/cluster.log" "$differ" >&2
  exit 1
fi
echo "nothing fails against the cluster that does not fail against a stock engine, but: $known"
