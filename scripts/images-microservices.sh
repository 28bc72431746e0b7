#!/usr/bin/env bash
# Makes the images of specs/microservices.yml from Debian's packages, for `docker load`, without any engine.
#
#   scripts/images-microservices.sh [--out DIR]     default: target/images
#
# PostgreSQL and MariaDB are whole Debian roots, so this is no part of `make test`: about 600 MB and some
# minutes, once. Where there is a registry, the official postgres:15 and mariadb:10.11 serve as well. Needs
# root and mmdebstrap.
set -euo pipefail
cd "$(dirname "$0")/.."

out=target/images
if [ "${1:-}" = --out ]; then out=${2:?"--out needs a folder"}; fi
ours=$PWD/sample-services/microservices
suite=bookworm

[ "$(id -u)" -eq 0 ] || { echo "images: must run as root" >&2; exit 1; }
for program in mmdebstrap jq; do
  command -v "$program" >/dev/null || { echo "images: $program is missing (apt-get install $program)" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/var/tmp}/images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Packs a root as an image of one layer, in the form of `docker save`.
pack() { # root, tag, config as JSON
  local root=$1 tag=$2 config=$3 image=$work/image sum name
  rm -rf "$image"
  mkdir -p "$image"
  tar -C "$root" --numeric-owner --sort=name --exclude=./dev/* --exclude=./proc/* --exclude=./sys/* --exclude=./run/* -cf "$image/layer.tar" .
  sum=$(sha256sum "$image/layer.tar" | cut -d' ' -f1)
  jq -cn --argjson config "$config" --arg sum "sha256:$sum" --arg arch "$(dpkg --print-architecture)" \
    '{architecture: $arch, os: "linux", config: $config, rootfs: {type: "layers", diff_ids: [$sum]},
      history: [{created_by: "Debian packages"}]}' >"$image/config.json"
  mkdir "$image/$sum"
  mv "$image/layer.tar" "$image/$sum/layer.tar"
  jq -cn --arg tag "$tag" --arg layer "$sum/layer.tar" '[{Config: "config.json", RepoTags: [$tag], Layers: [$layer]}]' >"$image/manifest.json"
  mkdir -p "$out"
  name=$(echo "$tag" | tr '/:' '--')
  tar -C "$image" -cf "$out/$name.tar" manifest.json config.json "$sum/layer.tar"
  echo "$tag: $(du -h "$out/$name.tar" | cut -f1) in $out/$name.tar"
}

root_of() { # name, packages, hook…: in the variant for programs only, without what nobody reads in a container
  local root=$work/$1 packages=$2
  shift 2
  mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "$@" "$suite" "$root" >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*
  echo "$root"
}

echo "images: this takes some minutes" >&2

root=$(root_of nginx nginx-light)
pack "$root" swarm-demo/nginx:1 '{
  "Entrypoint": ["/usr/sbin/nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT",
  "Healthcheck": {"Test": ["CMD", "/usr/sbin/nginx", "-t", "-q"], "Interval": 5000000000}}'
rm -rf "$root"

root=$(root_of python python3-minimal,libpython3-stdlib,python3-psycopg2,python3-pymysql)
mkdir -p "$root/app"
install -m 644 "$ours"/*.py "$root/app/"
pack "$root" swarm-demo/microservices:1 '{
  "Entrypoint": ["python3", "-B"], "Cmd": ["/app/auth.py"], "User": "nobody", "WorkingDir": "/app",
  "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED=1"], "ExposedPorts": {"8080/tcp": {}}}'
rm -rf "$root"

root=$(root_of postgres postgresql-15)
rm -rf "$root"/var/lib/postgresql/15 "$root"/etc/postgresql/15
install -m 755 "$ours/postgres.sh" "$root/usr/local/bin/docker-entrypoint.sh"
pack "$root" postgres:15 '{
  "Entrypoint": ["docker-entrypoint.sh"], "ExposedPorts": {"5432/tcp": {}}, "StopSignal": "SIGINT",
  "Env": ["PATH=/usr/local/bin:/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
  "Volumes": {"/var/lib/postgresql/data": {}}}'
rm -rf "$root"

root=$(root_of mariadb mariadb-server)
rm -rf "$root"/var/lib/mysql/*
install -m 755 "$ours/mariadb.sh" "$root/usr/local/bin/docker-entrypoint.sh"
pack "$root" mariadb:10.11 '{
  "Entrypoint": ["docker-entrypoint.sh"], "ExposedPorts": {"3306/tcp": {}},
  "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Volumes": {"/var/lib/mysql": {}}}'
