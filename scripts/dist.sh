#!/usr/bin/env bash
# Builds what is shipped into dist/: static programs, the Debian package, unit, settings, manual pages,
# completions, alert rules, and the images of our own programs.
#
#   scripts/dist.sh [--bins DIR]    --bins: of these programs instead of building them anew
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
  "")
    cargo build --profile dist -p orchestrator -p agent -p swarmctl -p sample-services
    bins=target/x86_64-unknown-linux-gnu/dist
    ;;
  --bins) bins=${2:?"--bins needs a folder"} ;;
  *)
    echo "usage: $0 [--bins DIR]" >&2
    exit 2
    ;;
esac

rm -rf dist
mkdir -p dist/man dist/completions dist/systemd dist/images dist/prometheus
for program in orchestrator agent swarmctl; do
  file "$bins/$program" 2>/dev/null | grep -q 'dynamically linked' && { echo "dist: $bins/$program is not static" >&2; exit 1; }
  install -m 0755 "$bins/$program" "dist/$program"
done
"$bins/swarmctl" man dist/man
for program in agent orchestrator; do
  "$bins/$program" man >"dist/man/swarmctl-$program.8"
done
for shell in bash zsh fish; do
  "$bins/swarmctl" completion "$shell" >"dist/completions/swarmctl.$shell"
done
cp packaging/agent.toml dist/
cp packaging/systemd/*.service dist/systemd/
[ ! -d packaging/prometheus ] || cp packaging/prometheus/*.* dist/prometheus/
if command -v dpkg-deb >/dev/null; then
  scripts/deb.sh --bins "$bins" --out dist
else
  echo "dist: no dpkg-deb here, so no package" >&2
fi
"$bins/sample-services" images --out dist/images --only demo,probe,swarmctl
(cd dist && find . -type f ! -name SHA256SUMS -printf '%P\0' | sort -z | xargs -0 sha256sum >SHA256SUMS)
ls -l dist
