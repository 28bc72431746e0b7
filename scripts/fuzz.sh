#!/usr/bin/env bash
# Fuzzes with libFuzzer on the stable compiler: scripts/fuzz.sh [TARGET|all] [SECONDS each]
#
# TARGET is one of fuzz/fuzz_targets. Without cargo-fuzz and a nightly compiler: the coverage that
# libFuzzer needs is asked of LLVM directly. Findings are left in fuzz/artifacts; with `all`, the next
# target is run also after one.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
target=${1:-compose}
seconds=${2:-600}
host=$(rustc -vV | sed -n 's/^host: //p')
coverage="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions=yes"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
wanted=()
if [ "$target" != all ]; then
    # Only with what it requires: most targets need neither of the programs.
    features=$(sed -n "/^name = \"$target\"/,/^\[/s/^required-features = \[\"\(.*\)\"\]/\1/p" Cargo.toml)
    wanted=(--bin "$target" --no-default-features --features "$features")
fi
RUSTFLAGS="$coverage" cargo build --release --target "$host" --target-dir ../target/fuzz "${wanted[@]}"
if [ "$target" = all ]; then
    mapfile -t targets < <(basename -s .rs -a fuzz_targets/*.rs)
else
    targets=("$target")
fi
status=0
for name in "${targets[@]}"; do
    # What it finds of use goes to the first folder, what it begins with is in the second.
    found="../target/fuzz/found/$name"
    mkdir -p artifacts "$found" "corpus/$name"
    echo "== $name"
    nice "../target/fuzz/$host/release/$name" -artifact_prefix="artifacts/$name-" -max_len=6000 \
        -timeout=30 -rss_limit_mb=2048 -max_total_time="$seconds" -print_final_stats=1 \
        "$found" "corpus/$name" || status=1
done
exit "$status"
