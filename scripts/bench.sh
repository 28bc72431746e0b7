#!/usr/bin/env bash
# Measures the replicated log: writes with 1 and 256 clients on 1 and 3 managers, and failover.
# No peer is measured beside it yet, so its figures are not the goals' ratios.
#
#   scripts/bench.sh [--quick]   --quick: shorter runs, fewer kills
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=20 kills=200
case "${1:-}" in
  "") ;;
  --quick) seconds=3 kills=10 ;;
  *)
    echo "usage: $0 [--quick]" >&2
    exit 2
    ;;
esac

bench=target/x86_64-unknown-linux-gnu/release/log-bench
for members in 1 3; do
  for clients in 1 256; do
    echo "== writes: $members managers, $clients clients"
    "$bench" writes --members "$members" --clients "$clients" --seconds "$seconds"
  done
done
echo "== failover: $kills kills of the leader of three"
"$bench" failover --kills "$kills"
echo "== compose: 5,000 services in one file of a megabyte (goal: read and checked in 100 ms)"
cargo run --quiet --release -p compose --example speed
echo "== leader: one change in clusters of 100 and 1,000 nodes with 100 tasks each"
cargo run --quiet --release -p orchestrator-core --example scale 100 1000
