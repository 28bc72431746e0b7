#!/usr/bin/env bash
# The web pages: builds them into the folders from which the programs take them, and tests them.
#
#   scripts/web.sh build   the dashboard and the demo's webapp; quick when nothing has changed
#   scripts/web.sh test    types, unit tests, and the pages in a headless Chromium
#
# Where there is no Node and none can be installed, `build` says so and succeeds: the programs then
# have a page that says how to build it. Exit code 75 of `test`: the machine has not what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."

pages=(orchestrator/dashboard sample-services/webapp)
oldest=18

say() {
  echo "web: $*" >&2
}

missing() { # why
  say "$1"
  [ "$mode" = build ] || exit 75
  say "the programs are built without web pages; everything else works"
  exit 0
}

have_node() {
  command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge "$oldest" ]
}

# Installs Debian's packages when that is possible; quiet when not.
try_install() { # packages...
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --quiet --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update --quiet >/dev/null 2>&1 && apt-get install --yes --quiet --no-install-recommends "$@" >/dev/null 2>&1; }
}

need_packages() {
  have_node || try_install nodejs npm || true
  have_node || missing "there is no Node.js $oldest or newer with npm (Debian: apt-get install nodejs npm)"
  # Installed anew only when the lock file has changed.
  if [ ! -e node_modules/.lock ] || ! cmp -s package-lock.json node_modules/.lock; then
    timeout 600 npm ci --no-audit --no-fund --loglevel=error || missing "npm could not fetch the packages; is there a network, or a mirror?"
    cp package-lock.json node_modules/.lock
  fi
}

# What a page is made of, as one number. The builds are deterministic.
sum_of() { # page
  { cat package-lock.json; find "$1" \( -path "$1/dist" -o -path "$1/tests" -o -name node_modules \) -prune -o -type f -print0 | sort -z | xargs -0 cat; } | sha256sum | cut -d' ' -f1
}

build() {
  local page sum stale=()
  for page in "${pages[@]}"; do
    sum=$(sum_of "$page")
    [ -e "$page/dist/page/index.html" ] && [ "$(cat "$page/dist/sum" 2>/dev/null)" = "$sum" ] || stale+=("$page")
  done
  [ "${#stale[@]}" -gt 0 ] || return 0
  need_packages
  for page in "${stale[@]}"; do
    npm run --silent --workspace "$page" build
    sum_of "$page" >"$page/dist/sum"
  done
}

# Whether there is a browser and it starts on this machine.
have_browser() {
  local program
  program=${CHROMIUM:-$(command -v chromium || true)}
  if [ -z "$program" ]; then
    try_install chromium || true
    program=$(command -v chromium || true)
  fi
  if [ -z "$program" ]; then
    say "there is no Chromium (Debian: apt-get install chromium): the pages are not tried in a browser"
    return 1
  fi
  if ! timeout 60 "$program" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --dump-dom about:blank >/dev/null 2>&1; then
    say "$program does not start here: the pages are not tried in a browser"
    return 1
  fi
}

mode=${1:-}
case "$mode" in
  build) build ;;
  test)
    need_packages
    build
    npm run --silent check
    npm run --silent test
    ! have_browser || npm run --silent browser
    ;;
  *)
    echo "usage: $0 build|test" >&2
    exit 2
    ;;
esac
