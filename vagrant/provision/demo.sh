#!/bin/sh
# Deploys the demo, on the manager; leaves it as it is when it is there.
#
#   demo.sh [-c FILE]      more to lay over it
set -eu
if docker -H unix:///run/swarmctl/docker.sock stack ls --format '{{.Name}}' | grep -qx demo; then
    echo "$(hostname): the demo is deployed"
    exit 0
fi
swarmctl deploy demo -c /usr/share/swarmctl/specs/demo.yml "$@"
swarmctl node ls
echo
echo "The shop: http://192.168.56.11/ (or .101, .102). The cluster: http://192.168.56.11:8080/"
