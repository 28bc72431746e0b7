#!/usr/bin/env bash
# Runs every test there is and ends with one line, `N passed, N failed`.
#
# Tests on real engines need root: they make network namespaces, each with its own Docker Engine.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0
failed=0

step() { # name, command...
  local name=$1
  shift
  echo "== $name"
  if "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $name"
  fi
}

suite() { # name, command...: a run of cargo test, whose own counts are added up
  local name=$1
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]}
  local p f
  p=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed.*/\1/p' "$log" | awk '{n+=$1} END {print n+0}')
  f=$(sed -n 's/^test result: .* \([0-9]*\) passed; \([0-9]*\) failed.*/\2/p' "$log" | awk '{n+=$1} END {print n+0}')
  passed=$((passed + p))
  failed=$((failed + f))
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    failed=$((failed + 1))
    echo "FAILED: $name did not run to its end"
  fi
}

if [ "$(id -u)" -ne 0 ]; then
  echo "make test: tests on real hosts make network namespaces: run as root" >&2
  exit 1
fi

# First, so that the programs tested below have their pages. A machine without Node or network goes on.
web() {
  scripts/web.sh test
  local status=$?
  [ "$status" -ne 75 ] || echo "skipped: this machine lacks what the web pages are built with"
  [ "$status" -eq 0 ] || [ "$status" -eq 75 ]
}

step "web pages" web
step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --quiet -- -D warnings
# With the tests, so that both are built of the same dependencies, once.
step "programs" cargo build --workspace --bins --tests --quiet
step "simulator: build" cargo build --release -p cluster-tests --bin sim --quiet
sim=target/x86_64-unknown-linux-gnu/release/sim
step "simulator: past failures" "$sim" --file tests/seeds.txt
step "simulator: 2,000 seeds" "$sim" --from 1 --seeds 2000 --seconds 25 --jobs "$(nproc)"
step "simulator: replay" "$sim" --from 1 --seeds 20 --seconds 25 --twice --jobs "$(nproc)"
suite "everything but real hosts" cargo test --workspace --no-fail-fast -- --skip on_real_hosts
suite "real hosts" cargo test --workspace --no-fail-fast -- --test-threads=1 on_real_hosts

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
