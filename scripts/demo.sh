#!/usr/bin/env bash
# Brings up, or takes down, the demo: three hosts on this machine, the sample stack on them.
#
#   scripts/demo.sh up     again: brings it up to date
#   scripts/demo.sh down   removes every trace
set -euo pipefail
cd "$(dirname "$0")/.."

programs=target/x86_64-unknown-linux-gnu/release
swarmctl=$programs/swarmctl
lab=demo

if [ "$(id -u)" -ne 0 ]; then
  echo "make demo: it makes network namespaces and starts Docker Engines: run as root" >&2
  exit 1
fi

socket_of() { # host
  "$swarmctl" lab --name "$lab" ls --format json | jq -r --arg host "$1" '.[] | select(.name == $host) | .cluster_socket'
}

address_of() { # host
  "$swarmctl" lab --name "$lab" ls --format json | jq -r --arg host "$1" '.[] | select(.name == $host) | .address'
}

up() {
  echo "==> three hosts: m1 (manager), w1, w2 (workers)"
  "$swarmctl" lab --name "$lab" up --managers 1 --workers 2

  echo "==> the images of the sample stack, made here, loaded into every engine"
  mkdir -p target/images
  "$programs/sample-services" images --out target/images >/dev/null
  "$swarmctl" lab --name "$lab" load target/images/demo.tar
  "$swarmctl" lab --name "$lab" load target/images/probe.tar

  echo "==> deploying specs/demo.yml as stack 'demo'"
  local socket m1 w1 w2
  socket=$(socket_of m1)
  "$swarmctl" --host "unix://$socket" deploy demo -c specs/demo.yml

  m1=$(address_of m1) w1=$(address_of w1) w2=$(address_of w2)
  cat <<EOT

The demo runs. Every host answers for every published port:

  the shop      http://$m1/        http://$w1/        http://$w2/
  the cluster   http://$m1:8080/   http://$w1:8080/   http://$w2:8080/

Talk to the cluster with the docker command you know, or with swarmctl:

  export DOCKER_HOST=unix://$socket SWARMCTL_HOST=unix://$socket
  export PATH=$PWD/$programs:\$PATH

Things to try:

  docker node ls                                      the hosts
  swarmctl dashboard                                  the cluster in a browser: logs, scale, update, drain
  docker stack services demo                          the services
  docker service scale demo_customers=3               three replicas, on different hosts
  curl -s http://$w1/Customers -i | grep -i instance  who answered? ask again
  swarmctl lab --name $lab kill w2                    power w2 off, and watch its tasks move:
  watch -n1 docker stack ps demo
  swarmctl lab --name $lab start w2                   power it on again
  swarmctl rebalance demo_customers                   and bring work back to it
  docker service update --image swarm-demo/customers:2 --update-delay 5s demo_customers
  docker service rollback demo_customers

  make demo-down                                      removes every trace
EOT
}

down() {
  if [ -x "$swarmctl" ]; then
    "$swarmctl" lab --name "$lab" down
  else
    echo "nothing was built here, so there is no demo to take down"
  fi
}

case "${1:-}" in
  up) up ;;
  down) down ;;
  *)
    echo "usage: $0 up|down" >&2
    exit 2
    ;;
esac
