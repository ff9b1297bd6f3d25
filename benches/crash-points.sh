#!/usr/bin/env bash
# Stops updates at their file-system calls and cuts the power, of this project's client and of the crate `self_update`, one
# after the other on the same machine, and writes docs/benchmarks/crash-points.txt and crash-points-self-update.txt.
#
#     bash benches/crash-points.sh [options of crash-points]      --all if there are none; needs strace, cc, python3
#
# Half an hour on two processors. TMPDIR=/dev/shm saves the waiting for a disk.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
target=${CARGO_TARGET_DIR:-$PWD/target}
[ $# -gt 0 ] || set -- --all

cargo build --release --quiet -p updater-tests --bin crash-points
cargo build --release --quiet --target-dir "$target/self-update" --manifest-path benches/self-update-crash/Cargo.toml
# Copies, so that a build that goes on meanwhile changes nothing.
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
cp "$target/release/crash-points" "$target/self-update/release/self-update-crash" "$programs"

status=0
"$programs/crash-points" "$@" >"$programs/ours" || status=$?
tail -1 "$programs/ours"
{
    echo "\$ crash-points $*"
    echo "commit $(git rev-parse --short HEAD), $(date -u +%Y-%m-%d), $(uname -sm)"
    cat "$programs/ours"
} >docs/benchmarks/crash-points.txt
{
    echo '$ python3 benches/self-update-crash.py PROGRAM'
    python3 benches/self-update-crash.py "$programs/self-update-crash"
} | tee docs/benchmarks/crash-points-self-update.txt
exit "$status"
