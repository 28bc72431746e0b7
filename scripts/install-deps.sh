#!/usr/bin/env bash
# Installs what the demo and the tests need and this machine lacks, on Debian and its relatives.
#
# No service is started or left enabled: every lab host runs its own engine, and Redis is only
# taken apart for its image. Quick and silent when everything is there.
set -euo pipefail

say() {
  echo "install-deps: $*" >&2
}

die() {
  say "$*"
  exit 1
}

# A program, and the Debian package that brings it.
needed=(
  dockerd:docker.io
  docker:docker.io
  ip:iproute2
  nft:nftables
  iptables:iptables
  conntrack:conntrack
  curl:curl
  jq:jq
  redis-server:redis-server
)

# What something is better with: tried, and gone without where it cannot be had.
wished=(
  nginx:nginx # the demo's gateway; without it, our own proxy
)

[ "$(uname -s)" = Linux ] || die "the demo runs lab hosts in Linux namespaces; this is $(uname -s), use a Linux machine"

# Not every user's PATH leads to where daemons lie.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
wanted=()
for pair in "${needed[@]}"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
command -v cc >/dev/null || missing+=(build-essential)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
mapfile -t missing < <(printf '%s\n' ${missing[@]+"${missing[@]}"} | sort -u | sed '/^$/d')

for pair in "${wished[@]}"; do
  command -v "${pair%%:*}" >/dev/null || wanted+=("${pair#*:}")
done

if [ "${#missing[@]}" -gt 0 ] || { [ "${#wanted[@]}" -gt 0 ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; }; then
  command -v apt-get >/dev/null || die "there is no apt-get here; install by hand: ${missing[*]}"
  [ "$(id -u)" -eq 0 ] || die "must run as root to install: ${missing[*]}"
  log=$(mktemp)
  policy=/usr/sbin/policy-rc.d
  made_policy=
  cleanup() {
    rm -f "$log"
    if [ -n "$made_policy" ]; then rm -f "$policy"; fi
  }
  trap cleanup EXIT
  # Debian's way to say "install, but start nothing".
  if [ ! -e "$policy" ]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  say "installing" ${missing[@]+"${missing[@]}"} ${wanted[@]+"${wanted[@]}"}
  export DEBIAN_FRONTEND=noninteractive
  install() {
    [ "${#missing[@]}" -gt 0 ] || return 0
    apt-get install --yes --quiet --no-install-recommends "${missing[@]}" >"$log" 2>&1 || return
    # Newer releases keep the client in a package of its own.
    command -v docker >/dev/null || apt-get install --yes --quiet docker-cli >>"$log" 2>&1
  }
  # The package lists may be absent or old: fetch them only when it does not work without.
  if ! install; then
    apt-get update --quiet >>"$log" 2>&1 || true
    if ! install; then
      grep -E '^E:' "$log" | tail -n 3 >&2 || tail -n 3 "$log" >&2
      die "apt-get could not install ${missing[*]}; is there a network, or a mirror?"
    fi
  fi
  for package in ${wanted[@]+"${wanted[@]}"}; do
    apt-get install --yes --quiet --no-install-recommends "$package" >>"$log" 2>&1 ||
      { apt-get update --quiet >>"$log" 2>&1 && apt-get install --yes --quiet --no-install-recommends "$package" >>"$log" 2>&1; } ||
      say "going on without $package, which apt-get could not install"
  done
  # A machine with systemd would start them at its next boot.
  if [ -d /run/systemd/system ]; then
    for package in ${missing[@]+"${missing[@]}"} ${wanted[@]+"${wanted[@]}"}; do
      case $package in
        docker.io) systemctl disable --quiet docker.service docker.socket containerd.service || true ;;
        redis-server) systemctl disable --quiet redis-server.service || true ;;
        nginx) systemctl disable --quiet nginx.service || true ;;
      esac
    done
  fi
  for pair in "${needed[@]}"; do
    command -v "${pair%%:*}" >/dev/null || die "${pair%%:*} is still missing after installing ${pair#*:}"
  done
fi

toolchain=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")
command -v cargo >/dev/null || die "there is no Rust toolchain; install $toolchain from https://rustup.rs"
# Asked from inside the repository, so that a rustup installation answers for the pinned version.
found=$(cd "$(dirname "$0")/.." && rustc --version 2>/dev/null) ||
  die "the Rust toolchain $toolchain is not installed; try: rustup toolchain install $toolchain"
oldest=$(printf '%s\n%s\n' "$toolchain" "$(echo "$found" | cut -d' ' -f2)" | sort -V | head -n 1)
[ "$oldest" = "$toolchain" ] || die "$found is too old; $toolchain or newer is needed (https://rustup.rs)"
