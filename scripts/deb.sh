#!/usr/bin/env bash
# Makes the Debian package of given programs, with nothing but dpkg-deb.
#
#   scripts/deb.sh --bins DIR [--out DIR] [--version V] [--fast]
#
#   --bins     where `agent`, `orchestrator` and `swarmctl` lie
#   --out      where the package is put (default: dist)
#   --version  default: the workspace's
#   --fast     compress little: for trying it
#
# The same programs give the same bytes: times are those of the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  echo "usage: $0 --bins DIR [--out DIR] [--version V] [--fast]" >&2
  exit 2
}

bins= out=dist
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
compression=(-Zxz -z6)
while [ $# -gt 0 ]; do
  if [ "$1" = --fast ]; then
    compression=(-Zgzip -z1)
    shift
    continue
  fi
  [ $# -ge 2 ] || usage
  case "$1" in
    --bins) bins=$2 ;;
    --out) out=$2 ;;
    --version) version=$2 ;;
    *) usage ;;
  esac
  shift 2
done
[ -n "$bins" ] || usage
command -v dpkg-deb >/dev/null || { echo "deb: there is no dpkg-deb here; the package is made on Debian and its relatives" >&2; exit 1; }
for program in agent orchestrator swarmctl; do
  [ -x "$bins/$program" ] || { echo "deb: $bins/$program is missing; build it first (make build)" >&2; exit 1; }
done

arch=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)
export SOURCE_DATE_EPOCH

put() { # mode, file, place
  install -D -m "$1" "$2" "$tree/$3"
}

# Beside each other: the agent looks for `orchestrator` where it lies itself.
for program in agent orchestrator; do
  put 755 "$bins/$program" "usr/lib/swarmctl/$program"
done
put 755 "$bins/swarmctl" usr/bin/swarmctl
if command -v strip >/dev/null; then
  strip --strip-unneeded "$tree/usr/bin/swarmctl" "$tree"/usr/lib/swarmctl/*
fi
mkdir -p "$tree/usr/sbin"
for program in agent orchestrator; do
  ln -s "../lib/swarmctl/$program" "$tree/usr/sbin/swarmctl-$program"
done

put 644 packaging/agent.toml etc/swarmctl/agent.toml
put 644 packaging/systemd/swarmctl-agent.service usr/lib/systemd/system/swarmctl-agent.service
[ ! -d packaging/prometheus ] || for file in packaging/prometheus/*.*; do
  put 644 "$file" "usr/share/swarmctl/prometheus/$(basename "$file")"
done
# Not below /usr/share/doc, which small systems leave out.
for file in specs/*.yml; do
  put 644 "$file" "usr/share/swarmctl/specs/$(basename "$file")"
done
mkdir -p "$tree/usr/share/doc/swarmctl"
ln -s ../../swarmctl/specs "$tree/usr/share/doc/swarmctl/examples"

# From the programs themselves, so that they say what these programs do.
"$bins/swarmctl" man "$tree/usr/share/man/man1"
mkdir -p "$tree/usr/share/man/man8"
for program in agent orchestrator; do
  "$bins/$program" man >"$tree/usr/share/man/man8/swarmctl-$program.8"
done
find "$tree/usr/share/man" -type f -exec gzip -9n {} +
complete() { # shell, place
  mkdir -p "$(dirname "$tree/$2")"
  "$bins/swarmctl" completion "$1" >"$tree/$2"
}
complete bash usr/share/bash-completion/completions/swarmctl
complete zsh usr/share/zsh/vendor-completions/_swarmctl
complete fish usr/share/fish/vendor_completions.d/swarmctl.fish

doc=$tree/usr/share/doc/swarmctl
put 644 packaging/deb/copyright usr/share/doc/swarmctl/copyright
{
  echo "swarmctl ($version) unstable; urgency=medium"
  echo
  echo "  * See docs/state.md of the sources for what is there and what is not."
  echo
  echo " -- The swarmctl developers <swarmctl@example.invalid>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$doc/changelog.gz"

put 755 packaging/deb/postinst DEBIAN/postinst
put 755 packaging/deb/prerm DEBIAN/prerm
put 755 packaging/deb/postrm DEBIAN/postrm
put 644 packaging/deb/conffiles DEBIAN/conffiles
size=$(du -k -s --exclude DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$size/" packaging/deb/control.in >"$tree/DEBIAN/control"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
chmod 644 "$tree/DEBIAN/control" "$tree/DEBIAN/md5sums"
find "$tree" -type d -exec chmod 755 {} +
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

mkdir -p "$out"
file=$out/swarmctl_${version}_$arch.deb
dpkg-deb --root-owner-group "${compression[@]}" --build "$tree" "$file" >/dev/null
echo "$file"
