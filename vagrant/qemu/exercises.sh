#!/usr/bin/env bash
# The exercises of vagrant/README.md, done over ssh in the machines of up.sh, or of Vagrant. Of each it says
# what was done, what was seen and how long it took; the first that does not come out ends it, with exit code 1.
#
#   vagrant/qemu/exercises.sh [--vagrant] [--replicas N] [--patience SECONDS] [EXERCISE…]
#
#   --vagrant    the machines of `vagrant up`
#   --replicas   of customers while they are upgraded (default 10; fewer under emulation)
#   --patience   how long anything may take (default 120; more under emulation)
#   EXERCISE     look scale kill unplug return upgrade rollback drain (default: all, in this order)
set -euo pipefail
cd "$(dirname "$0")/../.."

all=(look scale kill unplug return upgrade rollback drain)
replicas=10 patience=120 wanted=() machines=vagrant/qemu/up.sh
while [ $# -gt 0 ]; do
  case "$1" in
    --vagrant) machines=vagrant; shift ;;
    --replicas) replicas=${2:?}; shift 2 ;;
    --patience) patience=${2:?}; shift 2 ;;
    -*) echo "usage: $0 [--vagrant] [--replicas N] [--patience SECONDS] [${all[*]}]" >&2; exit 2 ;;
    *)
      [[ " ${all[*]} " == *" $1 "* ]] || { echo "exercises: there is no exercise $1: ${all[*]}" >&2; exit 2; }
      wanted+=("$1")
      shift
      ;;
  esac
done
[ "${#wanted[@]}" -gt 0 ] || wanted=("${all[@]}")

gateways=(192.168.56.11 192.168.56.101 192.168.56.102)
docker="docker -H unix:///run/swarmctl/docker.sock"

# What differs by where the machines are: `on MACHINE COMMAND` as root, the plug, the power.
if [ "$machines" = vagrant ]; then
  export VAGRANT_CWD=$PWD/vagrant
  off=(vagrant halt --force) power=(vagrant up)
  # What Vagrant knows of its connections, asked once: asking takes seconds. One connection for all commands.
  connections=$(mktemp -d)
  disconnect() { ssh -F "$connections/config" -O exit "$1" 2>/dev/null || true; }
  trap 'for name in m1 w1 w2; do disconnect "$name"; done; rm -rf "$connections"' EXIT
  vagrant ssh-config >"$connections/config"
  printf 'Host *\n  ControlMaster auto\n  ControlPath %s/%%n\n  ControlPersist 600\n' "$connections" >>"$connections/config"
  on() { timeout "$patience" ssh -F "$connections/config" "$1" "sudo sh -c $(printf %q "$2")"; }
else
  off=("$machines" kill) power=("$machines" on)
  disconnect() { :; }
  on() { timeout "$patience" "$machines" ssh "$@"; }
fi

host() { # command...
  echo "host# $*"
  "$@"
}

# What a newcomer types on m1, with what is printed. What came of it is looked at afterwards.
typed() { # command
  echo "m1# ${1/#$docker/docker}"
  on m1 "$1" 2>&1 | sed 's/^/    /' || true
}

began=0
seen() { echo "    -> $1 ($((SECONDS - began)) s)"; }
die() { echo "    -> FAILED: $1"; exit 1; }

until_true() { # what, command...
  local what=$1 end=$((SECONDS + patience))
  shift
  began=$SECONDS
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || { typed "swarmctl node ls"; typed "swarmctl stack ps demo"; die "not within $patience s: $what"; }
    sleep 1
  done
  seen "$what"
}

# Every service of the demo has what it should have.
is_whole() { ! on m1 "$docker service ls --format '{{.Replicas}}'" | awk '{ split($1, n, "/"); if (n[1] != n[2]) print }' | grep -q .; }
state_of() { on m1 "$docker node ls --format '{{.Hostname}} {{.Status}}'" | awk -v node="$1" '$1 == node { print $2 }'; }
is_node() { [ "$(state_of "$1")" = "$2" ]; }
running() { on m1 "$docker service ps $1 --filter desired-state=running --format '{{.Node}} {{.CurrentState}} {{.Image}}'" | grep ' Running ' || true; }
tasks_on() { on m1 "$docker node ps $1 --filter desired-state=running --format '{{.Name}}'" | grep -c . || true; }
has() { [ "$(running "$1" | grep -c "${3:-}")" = "$2" ]; } # service, how many, of what
is_empty() { [ "$(tasks_on "$1")" = 0 ]; }

shop_answers() { # at every machine
  local at
  for at in "${gateways[@]}"; do on m1 "curl -fsS --max-time 30 -o /dev/null http://$at/Customers" 2>/dev/null || return 1; done
}

# Asks the shop through two machines, again and again, until told to stop.
ask_on() { on m1 "rm -f /run/asked /run/stop; nohup sh -c 'until [ -e /run/stop ]; do for at in $*; do curl -s --max-time 30 -o /dev/null -w \"%{http_code}\\n\" http://\$at/Customers >>/run/asked; sleep 0.5; done; done' >/dev/null 2>&1 &"; }
asked() {
  on m1 'touch /run/stop'
  echo "    -> asked meanwhile: $(on m1 'sort /run/asked | uniq -c | tr "\n" ","')"
}

do_look() {
  until_true "three nodes are ready" eval 'is_node m1 Ready && is_node w1 Ready && is_node w2 Ready'
  until_true "every service is whole" is_whole
  typed "swarmctl node ls"
  typed "$docker node ls"
  typed "swarmctl stack services demo"
  typed "$docker stack services demo"
  typed "swarmctl stack ps demo"
  until_true "the shop answers at every machine" shop_answers
  typed "curl -s -X PUT -H 'content-type: application/json' -d '{\"name\":\"Ada\",\"address\":\"1 Loop Lane\"}' http://192.168.56.102/Customers; echo; curl -s http://192.168.56.101/Customers; echo"
}

do_scale() {
  typed "swarmctl service scale demo_customers=3"
  until_true "three customers run" has demo_customers 3
  typed "$docker service ps demo_customers"
  local instances
  instances=$(on m1 "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do curl -si --max-time 30 http://192.168.56.101/Customers | grep -i '^x-instance'; done" | sort | uniq -c)
  sed 's/^/    /' <<<"$instances"
  [ "$(grep -c . <<<"$instances")" = 3 ] || die "not three instances answered"
  began=$SECONDS
  seen "three instances shared twelve requests"
}

do_kill() {
  local node container
  node=$(running demo_customers | awk 'NR == 1 { print $1 }')
  container=$(on "$node" "docker ps -q --filter name=demo_customers | head -n 1")
  [ -n "$container" ] || die "no container of customers on $node"
  echo "$node# docker kill $container"
  on "$node" "docker kill $container" >/dev/null
  until_true "the killed one is not counted" eval 'on "$node" "! docker ps -q --no-trunc | grep -q ^$container"'
  until_true "three customers run again" has demo_customers 3
  typed "swarmctl service ps demo_customers"
  typed "swarmctl explain service demo_customers"
}

do_unplug() {
  ask_on 192.168.56.11 192.168.56.101
  host "${off[@]}" w2
  disconnect w2
  until_true "w2 is down" is_node w2 Down
  until_true "every service is whole without it" eval 'is_whole && is_node w2 Down'
  typed "$docker node ls"
  typed "swarmctl stack ps demo"
  typed "swarmctl explain node w2"
  asked
}

do_return() {
  patience=$((patience * 2)) until_true "w2 is on" host "${power[@]}" w2
  until_true "w2 is ready" is_node w2 Ready
  until_true "nothing runs on w2 that should not" eval '[ "$(on w2 "docker ps -q --filter label=swarmctl.task" | grep -c .)" = "$(tasks_on w2)" ]'
  typed "swarmctl rebalance --plan demo_customers"
  typed "swarmctl rebalance demo_customers"
  until_true "three customers run" has demo_customers 3
  until_true "w2 has work again" eval '! is_empty w2'
  typed "swarmctl service ps demo_customers"
  until_true "the shop answers at every machine" shop_answers
}

do_upgrade() {
  ask_on 192.168.56.11 192.168.56.101
  typed "swarmctl service scale demo_customers=$replicas"
  until_true "$replicas customers run" has demo_customers "$replicas"
  typed "swarmctl service update --image swarm-demo/customers:2 --update-parallelism 2 --update-delay 5s demo_customers"
  until_true "$replicas customers of version 2 run" has demo_customers "$replicas" customers:2
  typed "$docker service ps demo_customers"
  asked
}

do_rollback() {
  ask_on 192.168.56.11 192.168.56.101
  typed "$docker service rollback --detach demo_customers"
  until_true "all customers of version 1 run" eval 'has demo_customers 0 customers:2 && is_whole'
  typed "swarmctl service ps demo_customers"
  asked
}

do_drain() {
  typed "swarmctl node drain w1"
  until_true "nothing runs on w1" is_empty w1
  until_true "every service is whole without it" is_whole
  typed "$docker node ls"
  typed "$docker node update --availability active w1"
  until_true "w1 is ready" is_node w1 Ready
}

for exercise in "${wanted[@]}"; do
  echo "== $exercise, $(date +%T)"
  "do_$exercise"
done
echo "exercises: ${#wanted[@]} done in $SECONDS s"
