#!/usr/bin/env bash
# Fuzzes the Compose reader with libFuzzer on the stable compiler: scripts/fuzz.sh [TARGET] [SECONDS]
#
# TARGET is compose, convert or dotenv. Without cargo-fuzz and a nightly compiler: the coverage that
# libFuzzer needs is asked of LLVM directly. Findings are left in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
target=${1:-compose}
seconds=${2:-600}
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions=yes"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
RUSTFLAGS="$coverage" cargo build --release --target "$host" --target-dir ../target/fuzz
mkdir -p artifacts ../target/fuzz/found
exec nice "../target/fuzz/$host/release/$target" -artifact_prefix=artifacts/ -max_len=6000 \
    -timeout=30 -rss_limit_mb=2048 -max_total_time="$seconds" -print_final_stats=1 \
    ../target/fuzz/found "corpus/$target"
