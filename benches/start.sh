#!/usr/bin/env bash
# Measures what `updater!()` adds to the start of a program while nothing is pending, beside the bare start of a process.
#
#     bash benches/start.sh > docs/benchmarks/start.txt
#
# Two programs from the same profile, one with an empty `main`, one whose `main` makes the updater and ends. They are
# started in turn, so that both see the same machine; the figures are the medians of all starts of each: the time until
# the process has ended, and the time of a processor that it took, which other work on the machine changes little.
# ROUNDS (default 1000) sets how many.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
export CARGO_TERM_COLOR=never
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$repository/target}
app=$(mktemp -d)
trap 'rm -rf "$app"' EXIT

mkdir -p "$app/src/bin"
cat >"$app/Cargo.toml" <<TOML
[package]
name = "hello"
version = "1.0.0"
edition = "2024"
publish = false

[workspace]

[profile.release]
strip = true

[dependencies]
updater-runtime = { path = "$repository/updater-runtime" }
TOML
cp "$repository/Cargo.lock" "$app/Cargo.lock"
echo 'fn main() {}' >"$app/src/bin/start-bare.rs"
cat >"$app/src/bin/start-updater.rs" <<'RUST'
use updater_runtime::{Embedded, SCHEMA, Start, Updater};

static EMBEDDED: Embedded = Embedded {
    schema: SCHEMA,
    app: "hello",
    version: "1.0.0",
    triple: "x86_64-unknown-linux-gnu",
    channel: "stable",
    fallback: &[],
    urls: &["https://example.org/hello/"],
    root: b"{}",
    install: "executable",
    entry: "hello",
    trial: "start",
    missing_status: &[404],
    build_time: 0,
    disabled: None,
};

fn main() {
    let updater = Updater::start(&EMBEDDED);
    assert!(updater.disabled_reason().is_none() && *updater.start_report() == Start::Ordinary);
}
RUST
cargo build --release --quiet --manifest-path "$app/Cargo.toml" 1>&2

python3 - "$CARGO_TARGET_DIR/release" "${ROUNDS:-1000}" <<'PYTHON'
import os, statistics, sys, time

folder, rounds = sys.argv[1], int(sys.argv[2])


def start(program):
    begin = time.perf_counter()
    process = os.posix_spawn(program, [program], {"HOME": "/nonexistent"})
    _, status, usage = os.wait4(process, 0)
    assert status == 0, f"{program}: {status}"
    return 1e6 * (time.perf_counter() - begin), 1e6 * (usage.ru_utime + usage.ru_stime)


times = {"start-bare": [], "start-updater": []}
for _ in range(rounds):
    for name, taken in times.items():
        taken.append(start(f"{folder}/{name}"))
print(f"{rounds} starts of each, in turn; {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; medians in us")
print(f"{'':24}{'until the end':>16}{'processor':>12}")
medians = []
for label, taken in zip(("an empty main", "updater!() and the end"), times.values()):
    medians.append([statistics.median(column) for column in zip(*taken)])
    print(f"{label:24}{medians[-1][0]:16.0f}{medians[-1][1]:12.0f}")
print(f"{'difference':24}{medians[1][0] - medians[0][0]:16.0f}{medians[1][1] - medians[0][1]:12.0f}")
PYTHON
