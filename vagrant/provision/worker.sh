#!/bin/sh
# Makes this machine a worker; does nothing when it is a node.
#
#   worker.sh TOKEN MANAGER
set -eu
for _ in $(seq 60); do
    docker -H unix:///run/swarmctl/docker.sock info >/dev/null 2>&1 && break
    sleep 1
done
if [ "$(docker -H unix:///run/swarmctl/docker.sock info --format '{{.Swarm.LocalNodeState}}')" != active ]; then
    swarmctl join --token "$1" "$2:2377" >/dev/null
fi
echo "$(hostname): node of the cluster of $2"
