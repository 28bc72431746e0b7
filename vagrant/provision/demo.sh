#!/bin/sh
# Deploys the demo, on the manager.
#
#   demo.sh [-c FILE]      more to lay over it
set -eu
swarmctl deploy demo -c /usr/share/swarmctl/specs/demo.yml "$@"
swarmctl node ls
echo
echo "The shop: http://192.168.56.11/ (or .101, .102). The cluster: http://192.168.56.11:8080/"
