#!/usr/bin/env bash
# Measures what the launcher costs a computer at rest, beside supervisord in the same run: size of the program, resident
# memory, processor time and descriptors while each keeps the same sleeping program running. Then the launcher restarts an
# app that ends at once a thousand times.
#
#     bash benches/launcher.sh > docs/benchmarks/launcher.txt
#
# Needs supervisord (apt-get install supervisor) and python3. IDLE: seconds at rest, 30 unless set. LAUNCHER: a program that
# is built already.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
target=${CARGO_TARGET_DIR:-$repository/target}
export CARGO_TERM_COLOR=never
idle=${IDLE:-30}
load() { cut -d' ' -f1 /proc/loadavg; }

[ -n "${LAUNCHER:-}" ] || cargo build --quiet --profile launcher -p updater-launcher --locked
launcher=${LAUNCHER:-$target/launcher/updater-launcher}
cargo build --quiet -p cargo-release-updater --bin cargo-updater --locked
command -v supervisord >/dev/null || { echo "supervisord is missing (apt-get install supervisor)" >&2; exit 1; }

folder=$(mktemp -d)
supervisord=
cleanup() {
    "$launcher" stop -C "$folder/app" 2>/dev/null || true
    [ -z "$supervisord" ] || kill "$supervisord" 2>/dev/null || true
    rm -rf "$folder"
}
trap cleanup EXIT

# The same program for both.
mkdir -p "$folder/package/src" "$folder/dist/bin"
printf '#!/bin/sh\nexec sleep 1000000\n' >"$folder/dist/bin/sleeper"
chmod +x "$folder/dist/bin/sleeper"
echo 'fn main() {}' >"$folder/package/src/main.rs"
cat >"$folder/package/Cargo.toml" <<TOML
[package]
name = "sleeper"
version = "1.0.0"
edition = "2024"

[package.metadata.updater]
probe = false

[package.metadata.updater.launcher]
health = { stay-up = "1s", limit = "10s" }

[workspace]
TOML
cd "$folder/package"
"$target/debug/cargo-updater" updater init --dev --quiet --key-dir "$folder/keys" --url "file://$folder/repository" 2>/dev/null
"$target/debug/cargo-updater" updater publish --quiet --key-dir "$folder/keys" --from-dir "$folder/dist" --version 1.0.0 \
    --entry bin/sleeper --storage "fs:$folder/repository" 2>/dev/null
"$launcher" install "file://$folder/repository" "$folder/app" --root updater/root.json 2>/dev/null
"$launcher" start --detach -C "$folder/app" 2>/dev/null
process=$("$launcher" status -C "$folder/app" | python3 -c 'import json, sys; print(json.load(sys.stdin)["launcher"])')

cat >"$folder/supervisord.conf" <<CONF
[supervisord]
nodaemon=true
logfile=$folder/supervisord.log
pidfile=$folder/supervisord.pid
[unix_http_server]
file=$folder/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:sleeper]
command=$folder/dist/bin/sleeper
CONF
supervisord --configuration "$folder/supervisord.conf" >/dev/null 2>&1 &
supervisord=$!

kib() { awk -v key="$2:" '$1 == key { sum += $2 } END { print sum }' "/proc/$1/smaps_rollup"; }
ticks() { python3 -c 'import sys; fields = open(f"/proc/{sys.argv[1]}/stat").read().rsplit(")", 1)[1].split(); print(int(fields[11]) + int(fields[12]))' "$1"; }
row() {
    local before=$3 after
    after=$(ticks "$2")
    echo "$1: resident $(kib "$2" Rss) KiB, of it its own $(kib "$2" Pss) KiB (proportional), CPU $((after - before))0 ms in $idle s at rest, $(ls "/proc/$2/fd" | wc -l) descriptors"
}
# Both have started their program and looked for updates by then.
sleep 5
echo "Load of the machine: $(load), processors: $(nproc)"
echo "Program of the launcher: $(stat -c %s "$launcher") bytes, stripped ($("$launcher" --version))"
of_launcher=$(ticks "$process") of_supervisord=$(ticks "$supervisord")
sleep "$idle"
row "updater-launcher" "$process" "$of_launcher"
row "supervisord $(supervisord --version)" "$supervisord" "$of_supervisord"
"$launcher" stop -C "$folder/app" 2>/dev/null

# An app that ends at once, started again and again by the launcher.
printf '#!/bin/sh\necho 0123456789012345678901234567890123456789\nexit 1\n' >"$folder/dist/bin/sleeper"
"$target/debug/cargo-updater" updater publish --quiet --key-dir "$folder/keys" --from-dir "$folder/dist" --version 1.1.0 \
    --entry bin/sleeper --storage "fs:$folder/repository" 2>/dev/null
"$launcher" install "file://$folder/repository" "$folder/crashing" --root updater/root.json 2>/dev/null
cat >"$folder/crashing/launcher.toml" <<TOML
backoff = { first = "1ms", ceiling = "1ms", limit = 0, window = "1d" }
log = { bytes = 65536, files = 2 }
TOML
"$launcher" start --detach -C "$folder/crashing" 2>/dev/null
status() { "$launcher" status -C "$folder/crashing" | python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
process=$(status launcher)
restarts() {
    while [ "$(status failures)" -lt "$1" ]; do sleep 0.5; done
    echo "after $(status failures) restarts: resident $(kib "$process" Rss) KiB, $(ls "/proc/$process/fd" | wc -l) descriptors, $(cat "$folder"/crashing/var/log/* | wc -c) bytes of logs in $(ls "$folder/crashing/var/log" | wc -l) files"
}
begin=$SECONDS
restarts 100
restarts 1000
echo "in $((SECONDS - begin)) s; logs may have $((3 * 3 * 65536)) bytes by their settings"
"$launcher" stop -C "$folder/crashing" 2>/dev/null
echo "Load of the machine at the end: $(load)"
