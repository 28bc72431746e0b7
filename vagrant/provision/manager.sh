#!/bin/sh
# Makes this machine the first manager; does nothing when it is one.
set -eu
for _ in $(seq 60); do
    docker -H unix:///run/swarmctl/docker.sock info >/dev/null 2>&1 && break
    sleep 1
done
if [ "$(docker -H unix:///run/swarmctl/docker.sock info --format '{{.Swarm.LocalNodeState}}')" != active ]; then
    swarmctl init >/dev/null
fi
echo "$(hostname): manager of a cluster"
