#!/usr/bin/env bash
# Every figure of docs/benchmarks.md that is taken beside others, in one run, and the plots: `bash benches/figures.sh`.
#
# Wants a quiet machine, root (a network namespace), a package registry, ip, tc, GNU time and python3; half an hour on two idle cores.
# The figures of deltas, of kills and of power cuts have commands of their own, which docs/benchmarks.md names.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --quiet -p cargo-release-updater --bin cargo-updater --locked
bash benches/footprint.sh | tee docs/benchmarks/footprint.txt.new
mv docs/benchmarks/footprint.txt.new docs/benchmarks/footprint.txt
python3 benches/update.py docs/benchmarks/update.csv 5
python3 benches/plots.py
