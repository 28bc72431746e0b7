#!/usr/bin/env bash
# Measures the replicated log: writes with 1 and 256 clients, reads, failover. Peers beside it are not wired in yet.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p orchestrator --bins
exec target/x86_64-unknown-linux-gnu/release/log-bench
