#!/bin/sh
# Installs Docker Engine and what our package needs, from Debian; quick when it is there.
set -eu

# apparmor: with a kernel that has it, and Debian's has, the engine starts no container without its parser.
needed="docker.io apparmor iproute2 nftables iptables conntrack ca-certificates curl jq"
missing=
for package in $needed; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # several words on purpose
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
systemctl enable --quiet --now docker.service
echo "$(hostname): Docker Engine $(docker version --format '{{.Server.Version}}')"
