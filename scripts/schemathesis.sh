#!/usr/bin/env bash
# Has schemathesis try the API by its OpenAPI document, against a cluster in memory.
#
#   scripts/schemathesis.sh [ARGUMENTS of `schemathesis run`]
#
# Without arguments: 30 examples an operation; twenty minutes at most. It is installed into
# target/schemathesis, from PyPI; what is left out is in orchestrator/tests/api/schemathesis.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.32.5
home=$PWD/target/schemathesis
program=$home/bin/schemathesis

if [ "$("$program" --version 2>/dev/null)" != "schemathesis, version $version" ]; then
  if ! python3 -m venv "$home" 2>/dev/null; then
    echo "schemathesis: needs Python 3.10 or newer with its module venv (Debian: apt-get install python3-venv)" >&2
    exit 75
  fi
  if ! "$home/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"; then
    echo "schemathesis: version $version could not be installed from PyPI" >&2
    exit 75
  fi
fi

export SWARMCTL_SCHEMATHESIS=$program
export SWARMCTL_SCHEMATHESIS_ARGS=${*:---max-examples 30}
exec cargo test --workspace --test api schemathesis_finds_nothing -- --nocapture
