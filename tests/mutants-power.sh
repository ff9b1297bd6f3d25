#!/usr/bin/env bash
# Do real power cuts show a sync that was taken out? Applies patches of tests/mutants/install/ to a copy of the sources, one
# at a time, cuts the power of updates in virtual machines, and prints how many failures were reported. A mutant without a
# failure, one that no longer applies or one that does not compile is a failure of this script.
#
#   bash tests/mutants-power.sh [name...]      needs QEMU (apt install qemu-system-x86 e2fsprogs); CUTS for each (default 12)
set -uo pipefail
cd "$(dirname "$0")/.." || exit
for tool in qemu-system-x86_64 mkfs.ext4; do
    command -v $tool >/dev/null || { echo "skipped: $tool (apt install qemu-system-x86 e2fsprogs)"; exit 0; }
done
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/mutants CARGO_TERM_COLOR=never

copy=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$copy" "$log"' EXIT
tar -c --exclude=./target --exclude=./.git . | tar -x -C "$copy"

# 0 without failures, 1 with failures, 2 when it could not be built or run.
cut_power() {
    (cd "$copy" && cargo build -q --release --no-default-features -p updater-tests --bin power-cuts) >"$log" 2>&1 || return 2
    "$CARGO_TARGET_DIR/release/power-cuts" --only "$1" --cuts "${CUTS:-12}" --seed "${SEED:-8}" >"$log" 2>&1
    local code=$?
    tail -1 "$log" | grep -q '^power cuts: ' || return 2
    return $code
}

survived=0
# What shows after a real cut: bytes that were never written, and a change that was reported and is gone.
[ $# -gt 0 ] || set -- no-sync-of-staged no-sync-of-folder
for name in "$@"; do
    if ! patch -s -p1 -d "$copy" <"tests/mutants/install/$name.patch"; then
        echo "STALE     $name: the patch no longer applies"
        exit 1
    fi
    cut_power directory
    case $? in
    0) verdict=SURVIVED ;;
    1) verdict="noticed: $(tail -1 "$log")" ;;
    *) verdict="DOES NOT RUN"; cat "$log" ;;
    esac
    printf '%-20s %s\n' "$name" "$verdict"
    grep -m2 FAILED "$log" | cut -c1-220 | sed 's/^/    /'
    [[ $verdict == noticed* ]] || survived=$((survived + 1))
    patch -s -R -p1 -d "$copy" <"tests/mutants/install/$name.patch"
done
[ "$survived" = 0 ] || { echo "$survived mutants were not noticed" >&2; exit 1; }
