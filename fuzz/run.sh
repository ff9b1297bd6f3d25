#!/usr/bin/env bash
# Fuzzes every parser for a while, from the seeds that are kept here: bash fuzz/run.sh [seconds] [target...]
# Needs a nightly toolchain and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list)
for target in "${targets[@]}"; do
    mkdir -p "corpus-work/$target" "seeds/$target"
    echo "== $target, $seconds s"
    # New inputs go into the first folder, which is not kept; the seeds are only read.
    log=corpus-work/$target.log
    if ! cargo +nightly fuzz run "$target" "corpus-work/$target" "seeds/$target" -- -max_total_time="$seconds" \
        -print_final_stats=1 >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        echo "$target failed; what made it fail is in fuzz/artifacts/$target" >&2
        exit 1
    fi
    grep -E "stat::number_of_executed_units|stat::peak_rss|DONE|Done" "$log" || true
done
