#!/usr/bin/env bash
# Plants the bugs of bugs.txt into a copy of the project, one build for all, and says which of them
# the simulator finds within so many seeds: tests/planted/run.sh [SEEDS, 2000 unless said] [PATTERN].
# With a pattern only those whose description it fits are tried.
set -euo pipefail
cd "$(dirname "$0")/../.."

seeds=${1:-2000}
pattern=${2:-.}
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"

perl - tests/planted/bugs.txt "$copy" <<'PERL'
use strict;
my ($list, $copy) = @ARGV;
open(my $in, '<', $list) or die "$list: $!";
my $text = join('', <$in>);
my ($number, @names) = (0);
while ($text =~ /^@ (\S+): (.*)\n((?:.*\n)*?)=>\n((?:.*\n)*?)\.\n/mg) {
    my ($file, $what, $old, $new) = ($1, $2, $3, $4);
    $number++;
    chomp($old, $new);
    $new =~ s/PLANTED/model::planted::on($number)/g;
    my $path = "$copy/$file";
    open(my $source, '<', $path) or die "$path: $!";
    my $code = join('', <$source>);
    close($source);
    my $at = index($code, $old);
    die "bug $number ($what): its text is not in $file\n" if $at < 0;
    die "bug $number ($what): its text is in $file twice\n" if index($code, $old, $at + 1) >= 0;
    substr($code, $at, length($old)) = $new;
    open(my $out, '>', $path) or die "$path: $!";
    print $out $code;
    close($out);
    push @names, $what;
}
open(my $lib, '>>', "$copy/model/src/lib.rs") or die "$!";
print $lib <<'RUST';

/// Which bug is planted in this run.
pub mod planted {
    use std::sync::OnceLock;

    static NUMBER: OnceLock<u32> = OnceLock::new();

    /// Whether it is this one.
    pub fn on(bug: u32) -> bool {
        let read = || std::env::var("PLANTED").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
        *NUMBER.get_or_init(read) == bug
    }
}
RUST
open(my $named, '>', "$copy/names") or die "$!";
print $named "$_\n" for @names;
PERL

# In the project's own folder of builds, where the dependencies are; the program itself goes to the copy.
target=${CARGO_TARGET_DIR:-$PWD/target}
(cd "$copy" && CARGO_TARGET_DIR="$target" cargo build --release -p cluster-tests --bin sim --quiet)
sim="$copy/sim"
mv "$(find "$target" -path '*release/sim' -type f | head -1)" "$sim"

number=0
tried=0
missed=0
while read -r name; do
  number=$((number + 1))
  grep -qE -- "$pattern" <<<"$name" || continue
  tried=$((tried + 1))
  found=''
  for ((from = 1; from <= seeds; from += 100)); do
    # A bug may also end a run by a panic: that is found, too.
    said=$(PLANTED=$number "$sim" --from "$from" --seeds 100 --seconds 25 --no-shrink --jobs "$(nproc)" 2>&1 || true)
    panicked=$(grep -m1 -o 'panicked at [^:]*' <<<"$said" || true)
    [ -z "$panicked" ] || said="seed $from.. at 0 ms: panic: $panicked"
    found=$(grep -m1 '^seed ' <<<"$said" || true)
    [ -z "$found" ] || break
  done
  if [ -n "$found" ]; then
    printf '%-70s seed %s\n' "$name" "$(sed -E 's/^seed ([0-9.]+) at [0-9]+ ms: ([a-z-]+):.*/\1: \2/' <<<"$found")"
  else
    missed=$((missed + 1))
    printf '%-70s NOT FOUND in %s seeds\n' "$name" "$seeds"
  fi
done <"$copy/names"
echo "$tried planted, $((tried - missed)) found"
[ "$missed" -eq 0 ]
