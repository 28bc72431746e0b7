#!/usr/bin/env bash
# Builds the programs as they are shipped, static and small, into dist/.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --profile dist -p orchestrator -p agent -p swarmctl
mkdir -p dist
for program in orchestrator agent swarmctl; do
  install -m 0755 "target/x86_64-unknown-linux-gnu/dist/$program" "dist/$program"
done
(cd dist && sha256sum orchestrator agent swarmctl > SHA256SUMS)
ls -l dist
