#!/usr/bin/env bash
# Does an app update itself on Windows? Builds for x86_64-pc-windows-gnu and runs under Wine: the tests of the runtime; the
# whole story of an app whose releases are published from here: update, restart, return to the old version, a file that
# a scanner holds, and 20 updates with the process killed at a named point in each; and the story of an app that the launcher
# installs, runs, updates and takes back. Then type-checks for MSVC.
#
#   bash tests/windows.sh [tests|story|launcher|check...]      all of them when none is named
#
# Installs what it needs on Debian as root: the distribution's own compiler with its sources (the standard library is built
# for Windows from them), mingw, Wine. KILLS is the number of updates with a kill (default 20). What Wine does in another
# way than Windows is in docs/windows.md. CARGO_UPDATER names a cargo-updater that is built; WINDOWS_TARGET_DIR and WINEPREFIX
# are where programs and Wine's own files lie (below target/windows).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
parts=${*:-tests story launcher check}

packages="rustc-web rust-web-src cargo-web gcc-mingw-w64-x86-64 wine wine64"
if ! dpkg -s $packages >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "needed: apt-get install $packages" >&2; exit 1; }
    apt-get update -q && apt-get install -y -q --no-install-recommends $packages
fi

# For the host: the publisher. Before the other compiler is chosen.
host_target=${CARGO_TARGET_DIR:-$root/target}
work=$host_target/windows
mkdir -p "$work"
updater=${CARGO_UPDATER:-$host_target/debug/cargo-updater}
# By the whole workspace, whose choice of features every other build here has.
[[ " $parts " != *" story "* && " $parts " != *" launcher "* ]] || [ -n "${CARGO_UPDATER:-}" ] ||
    cargo build -q --workspace --bin cargo-updater

export RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=${WINDOWS_TARGET_DIR:-$work}
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_TERM_COLOR=never WINEDEBUG=-all
export WINEPREFIX=${WINEPREFIX:-$work/prefix} CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=/usr/lib/wine/wine64
cargo=/usr/bin/cargo
triple=x86_64-pc-windows-gnu
std="-Zbuild-std=std,panic_unwind,test"
wine() { /usr/lib/wine/wine64 "$@"; }
# With the compiler of this system, for what runs here.
host() { env -u RUSTC -u RUSTDOC -u RUSTC_BOOTSTRAP -u CARGO_TARGET_DIR "$@"; }

# Rust's standard library takes its random numbers from a library that Wine 8 does not have.
prepare_wine() {
    local library=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
    [ -f "$library" ] && return
    wine wineboot -i >/dev/null 2>&1 || true
    cat >"$work/random.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *bytes, SIZE_T length) {
    while (length) {
        ULONG part = length > 0x7fffffff ? 0x7fffffff : (ULONG)length;
        if (!SystemFunction036(bytes, part)) return FALSE;
        bytes += part;
        length -= part;
    }
    return TRUE;
}
C
    x86_64-w64-mingw32-gcc -O2 -shared -o "$library" "$work/random.c" -ladvapi32
}

run_tests() {
    prepare_wine
    $cargo test $std --target $triple -p updater-runtime -p updater-launcher --lib --no-fail-fast -- --test-threads=4
}

run_check() {
    local crates="-p updater-runtime -p updater-build -p updater-launcher"
    # Nothing is linked, so the compiler for C of the other ABI will do, and archives without members.
    printf '%s\n' '#!/bin/sh' 'for word; do case $word in [-/][oO][uU][tT]:*) printf "!<arch>\n" >"${word#?????}" ;; esac; done' >"$work/lib"
    chmod +x "$work/lib"
    CC_x86_64_pc_windows_msvc=x86_64-w64-mingw32-gcc AR_x86_64_pc_windows_msvc=$work/lib \
        $cargo check -Zbuild-std=std,panic_abort --target x86_64-pc-windows-msvc $crates
    echo "windows: ${crates//-p /}: well typed for x86_64-pc-windows-msvc"
}

fail() { echo "windows: FAILED: $*" >&2; [ -z "${out:-}" ] || cat "$out" >&2; exit 1; }
said() { grep -qF -- "$1" "$out" || fail "nothing says \"$1\""; }

# Runs the app; what it says is in $out.
app() {
    out=$story/out
    (cd "$install" && wine "$install/$name" "$@") >"$out" 2>&1 || true
}

# Publishes a version: one build serves all, because versions of the same length stand in the same places.
publish() {
    mkdir -p "$story/dist"
    LC_ALL=C sed "s/0\.7731\.10/$1/g" "$story/built.exe" >"$story/dist/story.exe"
    chmod 755 "$story/dist/story.exe"
    host "$updater" updater publish --yes --manifest-path "$story/app/Cargo.toml" --from-dir "$story/dist" \
        --version "$1" --target $triple --level 0 --key-dir "$story/keys" >"$story/publish.log" 2>&1 ||
        { cat "$story/publish.log" >&2; fail "publishing $1"; }
}

leftovers() { find "$install" -mindepth 1 ! -name "$name" ! -path '*/.*.updater' ! -name state.json ! -name lock; }

run_story() {
    prepare_wine
    story=$(mktemp -d)
    # With spaces and letters that no code page has together.
    install="$story/Müller & 日本 apps"
    name="story.exe"
    mkdir -p "$install" "$story/app/src" "$story/source"
    # The sources with named points at which the process ends, which no product has.
    tar -c --exclude=./target --exclude=./.git . | tar -x -C "$story/source"
    patch -s -p1 -d "$story/source" <tests/windows/kill-points.patch
    cp tests/windows/app.rs "$story/app/src/main.rs"
    cat >"$story/app/Cargo.toml" <<TOML
[package]
name = "story"
version = "0.7731.10"
edition = "2024"

[dependencies]
updater-runtime = { path = "../source/updater-runtime", features = ["http"] }

[build-dependencies]
updater-build = { path = "../source/updater-build" }

[workspace]

[profile.dev.package."*"]
opt-level = 2
TOML
    cp Cargo.lock "$story/app/"
    local port=$((20000 + RANDOM % 20000))
    host "$updater" updater init --dev --manifest-path "$story/app/Cargo.toml" --key-dir "$story/keys" \
        --url "http://127.0.0.1:$port" --storage "fs:$story/repository" >"$story/init.log" 2>&1 ||
        { cat "$story/init.log" >&2; fail "init"; }
    cp tests/windows/app.rs "$story/app/src/main.rs"
    sed -i 's#^updater-runtime = .*#updater-runtime = { path = "../source/updater-runtime", features = ["http"] }#;
        s#^updater-build = .*#updater-build = { path = "../source/updater-build" }#;
        s#^trial = .*##; s#^\[package.metadata.updater\]#&\ntrial = "confirm"#' "$story/app/Cargo.toml"
    printf 'fn main() {\n    updater_build::embed();\n}\n' >"$story/app/build.rs"
    $cargo build $std --target $triple --manifest-path "$story/app/Cargo.toml" 2>"$story/build.log" ||
        { tail -40 "$story/build.log" >&2; fail "building the app"; }
    cp "$CARGO_TARGET_DIR/$triple/debug/story.exe" "$story/built.exe"
    x86_64-w64-mingw32-strip "$story/built.exe"
    cp "$story/built.exe" "$install/$name"
    publish 0.7731.10
    host "$updater" updater serve "$story/repository" --bind "127.0.0.1:$port" >"$story/serve.log" 2>&1 &
    server=$!
    trap 'kill $server 2>/dev/null || true; [ -n "${KEEP:-}" ] || rm -rf "$story"' EXIT
    sleep 1

    app update; said "no update"; said "done by 0.7731.10"
    publish 0.7731.11
    app update "two words" 'a "quote"\' ''
    said ".patch"; said 'arguments ["update", "two words", "a \"quote\"\\", ""]'; said "this is 0.7731.11, OnTrial"
    said "done by 0.7731.11"
    app confirm; said "confirmed: Ok(true)"
    app; said "this is 0.7731.11, Ordinary"
    [ -z "$(leftovers)" ] || fail "left over: $(leftovers)"
    echo "windows: update by patch, restart with the same arguments, trial, confirmation"

    publish 0.7731.12
    app update; said "done by 0.7731.12"
    # That start ended in order; these two do not.
    app abort; app abort
    app; said "this is 0.7731.11"
    app update; said "no update"; said "done by 0.7731.11"
    echo "windows: two failed starts brought the old version back, and the failed one is not taken again"

    publish 0.7731.13
    mkfifo "$story/hold"
    (cd "$install" && exec /usr/lib/wine/wine64 "$story/built.exe" hold "$install/$name") <"$story/hold" >"$story/held" 2>&1 &
    exec 7>"$story/hold"
    for _ in $(seq 200); do grep -q holding "$story/held" && break; sleep 0.1; done
    grep -q holding "$story/held" || fail "the scanner did not start: $(cat "$story/held")"
    app update; said "error install-deferred"; said "done by 0.7731.11"
    app; said "Unsettled"; said "this is 0.7731.11"
    exec 7>&-
    wait $! || true
    app; said "this is 0.7731.13"
    app confirm
    echo "windows: a program that a scanner held was waited for, and replaced at the next start"

    # How many points an undisturbed update has.
    publish 0.7731.14
    UPDATER_TEST_POINTS="$story/points" app update; said "done by 0.7731.14"
    app confirm
    local points kills=${KILLS:-20} gaps=0 next=15
    points=$(wc -l <"$story/points")
    [ "$points" -ge 20 ] || fail "an update has only $points points"
    # Between the two renames of the program lie two points: behind the first of them, and before the second.
    local gap
    gap=$(grep -n "renamed .*previous.*$name" "$story/points" | head -1 | cut -d: -f1)
    [ -n "$gap" ] || fail "no point between the two renames"
    for index in $(seq 1 "$kills"); do
        local at=$((1 + (points - 1) * (index - 1) / (kills > 1 ? kills - 1 : 1))) version=0.7731.$next
        [ "$index" != "$((kills / 2 + 1))" ] || at=$gap
        publish "$version"
        UPDATER_TEST_KILL=$at app update
        local what
        what=$(sed -n "${at}p" "$story/points")
        if [ ! -f "$install/$name" ]; then
            gaps=$((gaps + 1))
            [ "$at" = "$gap" ] || [ "$at" = "$((gap + 1))" ] || fail "no program after point $at: $what"
            # The documented cure: the program that was kept puts itself back.
            (cd "$install" && wine ".$name.updater/previous/tree/$name") >"$story/out" 2>&1 || true
            said "done by"
            [ -f "$install/$name" ] || fail "the kept program did not put itself back"
        fi
        app; said "done by 0.7731."
        app update; said "done by $version"
        app confirm
        app; said "this is $version, Ordinary"
        [ -z "$(leftovers)" ] || fail "left over after point $at ($what): $(leftovers)"
        next=$((next + 1))
    done
    echo "windows: $kills updates with a kill at one of $points points each, $gaps of them between the two renames; 0 failures"
}

# Publishes a version of the app that knows nothing about updates; `-DBREAKS` makes one that ends at once.
publish_plain() { # version flags...
    mkdir -p "$story/dist"
    x86_64-w64-mingw32-gcc -O1 -s "-DVERSION=\"$1\"" "${@:2}" -o "$story/dist/plain.exe" "$root/tests/windows/plain.c"
    host "$updater" updater publish --yes --manifest-path "$story/app/Cargo.toml" --from-dir "$story/dist" \
        --version "$1" --target $triple --level 0 --key-dir "$story/keys" >"$story/publish.log" 2>&1 ||
        { cat "$story/publish.log" >&2; fail "publishing $1"; }
}

# Runs a command of the launcher; what it says is in $out, how it ends in $code.
launcher() {
    out=$story/out code=0
    (cd "$story" && wine "$story/updater-launcher.exe" "$@") >"$out" 2>&1 </dev/null || code=$?
}
ended() { [ "$code" = "$1" ] || fail "exit code $code instead of $1"; }
status_says() { launcher status -C "$place"; said "$1"; }
log_says() { # file text
    for _ in $(seq 100); do grep -qF -- "$2" "$place/var/log/$1" 2>/dev/null && return; sleep 0.1; done
    out=$place/var/log/$1
    fail "$1 does not say \"$2\""
}
# Tells whether a process with this program still runs.
runs() { pgrep -f "$1" >/dev/null; }
gone() { for _ in $(seq 100); do runs "$1" || return 0; sleep 0.1; done; fail "$1 still runs"; }

run_launcher() {
    prepare_wine
    story=$(mktemp -d)
    place="$story/Müller & 日本 apps"
    local port=$((20000 + RANDOM % 20000)) supervisor
    $cargo build $std --target $triple -p updater-launcher 2>"$story/build.log" ||
        { tail -40 "$story/build.log" >&2; fail "building the launcher"; }
    cp "$CARGO_TARGET_DIR/$triple/debug/updater-launcher.exe" "$story/"
    mkdir -p "$story/app/src"
    echo 'fn main() {}' >"$story/app/src/main.rs"
    printf '[package]\nname = "plain"\nversion = "1.0.0"\nedition = "2024"\n\n[workspace]\n' >"$story/app/Cargo.toml"
    host "$updater" updater init --dev --manifest-path "$story/app/Cargo.toml" --key-dir "$story/keys" \
        --url "http://127.0.0.1:$port" --storage "fs:$story/repository" >"$story/init.log" 2>&1 ||
        { cat "$story/init.log" >&2; fail "init"; }
    cat >>"$story/app/Cargo.toml" <<'TOML'

[package.metadata.updater.launcher]
args = ["{{version}}"]
restart = "always"
interval = "never"
update-at-start = false
stop = { grace = "1s" }
backoff = { first = "100ms", ceiling = "1s", limit = 3 }
health = { stay-up = "1s", limit = "20s" }
keep = 3
TOML
    publish_plain 1.0.0
    host "$updater" updater serve "$story/repository" --bind "127.0.0.1:$port" >"$story/serve.log" 2>&1 &
    server=$!
    trap 'launcher stop -C "$place" || true; kill $server 2>/dev/null || true; [ -n "${KEEP:-}" ] || rm -rf "$story"' EXIT
    sleep 1

    launcher install "http://127.0.0.1:$port" "$place" --root "$story/app/updater/root.json" --target $triple
    ended 0; said "Installed"
    [ "$(cat "$place/current")" = 'versions\plain-1.0.0' ] || fail "current is $(cat "$place/current")"
    launcher install "http://127.0.0.1:$port" "$place" --root "$story/app/updater/root.json" --target $triple
    ended 70; said "is not empty"
    status_says '"running":false'
    launcher start -C "$place" --detach
    ended 0; said "Started process"
    status_says '"running":true'; said '"version":"1.0.0"'
    log_says plain.out.log "this is 1.0.0, started with 1.0.0"; log_says plain.out.log "child "
    launcher start -C "$place"; ended 75; said "another launcher (process "
    launcher restart -C "$place"; ended 0
    # Wine delivers no Ctrl-Break (docs/windows.md): the grace period runs out, and the job is ended.
    log_says launcher.log "did not end within 1s"
    echo "windows: the launcher installs, starts in the background, answers on its pipe, refuses a second one, restarts"

    publish_plain 1.1.0
    launcher check -C "$place"; ended 0; said "1.1.0"
    launcher update -C "$place"; ended 0; said "1.1.0"
    status_says '"version":"1.1.0"'; log_says plain.out.log "this is 1.1.0, started with 1.1.0"
    [ "$(cat "$place/current")" = 'versions\plain-1.1.0' ] || fail "current is $(cat "$place/current")"
    publish_plain 1.2.0 -DBREAKS
    launcher update -C "$place"; ended 80; said "version 1.2.0 failed"; said "1.1.0 runs again"
    status_says '"version":"1.1.0"'; said '"running":true'
    launcher update -C "$place"; ended 50; said "1.2.0 failed its trial here"
    log_says plain.err.log "1.2.0 breaks"; log_says launcher.log "rolling-back"
    launcher list -C "$place"; said "1.0.0"; said "1.1.0"
    launcher rollback -C "$place" 1.0.0; ended 0; said "1.0.0"
    status_says '"version":"1.0.0"'
    echo "windows: an update, a version that breaks taken back and not taken again, a return to a kept one"

    # A launcher that is ended at once takes its app, and what that has started, along.
    supervisor=$(pgrep -f 'updater-launcher.exe start -C' | head -1)
    [ -n "$supervisor" ] || fail "the supervisor is not found"
    kill -9 "$supervisor"
    gone 'versions.plain-1.0.0.plain.exe'
    status_says '"running":false'
    launcher start -C "$place" --detach; ended 0
    status_says '"version":"1.0.0"'; said '"running":true'
    launcher stop -C "$place"; ended 0
    gone 'versions.plain-1.0.0.plain.exe'
    log_says launcher.log "stopped: 1.0.0: it ended with exit code 137"
    status_says '"running":false'
    launcher stop -C "$place"; ended 75; said "no launcher runs"
    echo "windows: the app of a killed launcher ends with it; stop waits for the grace period and ends the whole job"

    echo 'listen = "127.0.0.1:1"' >"$place/launcher.toml"
    launcher start -C "$place"; ended 2; said "not on windows"; said "help: let the app listen by itself"
    rm "$place/launcher.toml"
    launcher start -C "$place" --detach; ended 0
    launcher restart --launcher -C "$place"; said "not on windows"
    status_says '"running":true'
    launcher stop -C "$place"; ended 0
    # A version that never stays up: three failures within the window, then the launcher gives up with the app's exit code.
    x86_64-w64-mingw32-gcc -O1 -s '-DVERSION="1.0.0"' -DBREAKS -o "$place/versions/plain-1.0.0/plain.exe" tests/windows/plain.c
    launcher start -C "$place"; ended 3; said "given-up"
    echo "windows: what cannot be done is refused with the next step; an app that keeps crashing is given up"
}

for part in $parts; do
    case $part in
    tests) run_tests ;;
    story) run_story ;;
    launcher) run_launcher ;;
    check) run_check ;;
    *) echo "what is $part? (tests, story, launcher, check)" >&2; exit 2 ;;
    esac
done
