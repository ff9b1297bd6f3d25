#!/usr/bin/env bash
# Peak memory of publishing and taking a component of 16 MiB, 256 MiB and 2 GiB: `bash benches/memory.sh [SIZE_IN_MIB ...]`.
#
# The files are half noise and half zeros, in pieces of 1 MiB: what xz can and cannot shrink. The second release differs in
# one piece. Each command's peak is what /usr/bin/time calls the maximum resident set size; the rehearsal, with the real
# client, is part of `publish`. MORE=--no-patches leaves the patch out, which takes what `--memory` allows (MEMORY, 512 MiB) and most of the
# time. Needs a build (`cargo build --release -p cargo-release-updater`), python3 and GNU time.
set -eu
program=${PROGRAM:-target/release/cargo-updater}
program=$(readlink -f "$program")
work=$(mktemp -d "${TMPDIR:-/tmp}/memory-XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "size_mib step peak_kib seconds"
for mib in "${@:-16 256 2048}"; do
  for size in $mib; do
    app="$work/$size"
    mkdir -p "$app/src" "$app/data" "$work/home"
    printf 'fn main() {}\n' > "$app/src/main.rs"
    printf '[package]\nname = "big"\nversion = "1.0.0"\nedition = "2024"\n' > "$app/Cargo.toml"
    run() { (cd "$app" && UPDATER_KEY_DIR="$work/keys-$size" /usr/bin/time -f "%M %e" -o "$work/time" "$program" "$@" > "$work/log" 2>&1) \
      || { cat "$work/log" >&2; exit 1; }; }
    run init --dev
    python3 - "$app" "$size" 1.0.0 <<'P'
import random, sys
app, size, version = sys.argv[1], int(sys.argv[2]), sys.argv[3]
manifest = open(f"{app}/Cargo.toml").read().replace("[package.metadata.updater]\n",
    '[package.metadata.updater]\ncomponents = [{ name = "data", folder = "data", version-file = "data/VERSION" }]\n')
open(f"{app}/Cargo.toml", "w").write(manifest)
with open(f"{app}/data/weights", "wb") as out:
    for piece in range(size):
        out.write(random.Random(piece).randbytes(1 << 20) if piece % 2 == 0 else bytes(1 << 20))
open(f"{app}/data/VERSION", "w").write("1.0.0\n")
P
    run publish --component data --level 0
    echo "$size first $(cat "$work/time")"
    python3 - "$app" <<'P'
import random, sys
with open(f"{sys.argv[1]}/data/weights", "r+b") as out:
    out.seek(2 << 20)
    out.write(random.Random(-1).randbytes(1 << 20))
open(f"{sys.argv[1]}/data/VERSION", "w").write("1.1.0\n")
P
    run publish --component data --level 0 --memory "${MEMORY:-512}" ${MORE:-}
    echo "$size second-with-rehearsal $(cat "$work/time")"
    grep -E "Diffed|no patch|travels|Rehearsed" "$work/log" | sed "s/^/# $size /"
    run verify
    echo "$size verify $(cat "$work/time")"
    rm -rf "$app"
  done
done
