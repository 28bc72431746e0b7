#!/bin/sh
# Makes the demo's images with `docker build`, on the engine that DOCKER_HOST names. Needs no network.
#
#   sample-services/images/build.sh [demo,probe,redis]
#
# The same images come without any engine, as files for `docker load`, from
#   cargo run -p sample-services -- images --out DIR
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cargo run --quiet -p sample-services -- images --out "$folder" --only "${1:-demo,probe}" --build-context >/dev/null
for context in "$folder"/*/; do
    while IFS="$(printf '\t')" read -r stage tag; do
        DOCKER_BUILDKIT=0 docker build --quiet --target "$stage" --tag "$tag" "$context" >/dev/null
        echo "$tag"
    done <"$context/targets"
done
