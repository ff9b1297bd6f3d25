#!/usr/bin/env bash
# Publishes the example with a window and uses it as a person would, by keys alone: it is put off, the version is skipped,
# it is taken all the same, and the window that opens then is the new version's. Pictures go into target/window-pictures.
#
#     bash tests/window.sh
#
# Needs Xvfb, xdotool and imagemagick (Debian's packages xvfb, xdotool, imagemagick and libgl1-mesa-dri) and a package
# registry: 299 crates, which only this example has. Everything listens on 127.0.0.1 and lies in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
export CARGO_TERM_COLOR=never CARGO_PROFILE_DEV_DEBUG=0 NO_COLOR=1
for tool in Xvfb xdotool import compare; do
    command -v "$tool" >/dev/null || { echo "$tool is missing (apt-get install xvfb xdotool imagemagick libgl1-mesa-dri)" >&2; exit 1; }
done
target=${CARGO_TARGET_DIR:-$repository/target}
[ -n "${CARGO_UPDATER:-}" ] || cargo build --quiet --workspace --bin cargo-updater --locked
program=${CARGO_UPDATER:-$target/debug/cargo-updater}
pictures=$target/window-pictures
mkdir -p "$pictures"
work=$(mktemp -d)
children=()
finish() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
say() { printf '%s\n' "-- $*"; }
fail() { printf 'failed: %s; see %s\n' "$*" "$pictures" >&2; import -window root "$pictures/failed.png" || true; exit 1; }

# A copy of the example, which takes the two crates from here.
cp -r "$repository/examples/window" "$work/package"
sed -i "s|\"../../|\"$repository/|" "$work/package/Cargo.toml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# What only this example has is built in a folder of its own, once.
updater() {
    (cd "$work/package" && env HOME="$work/keys" CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" \
        CARGO_TARGET_DIR="$target/window" "$program" updater "$@")
}
version() { sed -i "0,/^version = .*/s//version = \"$1\"/" "$work/package/Cargo.toml"; }
publish() {
    version "$1"
    # The bundle, so that there is something to see while it is downloaded.
    updater publish --level 1 --no-patches --storage "fs:$work/published" 2>&1 | tail -1
}
version 1.0.0
updater init --dev --url "http://127.0.0.1:$port" >/dev/null 2>&1
sed -i 's/^\[package.metadata.updater\]$/&\nprofile = "dev"/' "$work/package/Cargo.toml"
printf '\n[profile.dev.package.example-window]\nstrip = true\n' >>"$work/package/Cargo.toml"
say "publishing 1.0.0"
publish 1.0.0
mkdir -p "$work/home" "$work/bin"
tar -xJf "$work"/published/targets/*.example-window-1.0.0-*.tar.xz -C "$work/bin"
cat >"$work/package/CHANGELOG.md" <<'NOTES'
# Changes

## 1.1.0

- The window remembers where it was.
- Long lists scroll twice as fast, and the first search no longer waits for the index.
- Fixed: the clock was an hour late in the night in which it is put forward.
NOTES
say "publishing 1.1.0"
publish 1.1.0

# A server that is slow enough for a bar.
python3 - "$port" "$work/published" 2>/dev/null <<'SERVER' &
import functools, http.server, sys, time
class Slow(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, source, out):
        while block := source.read(262144):
            out.write(block)
            time.sleep(0.1)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), functools.partial(Slow, directory=sys.argv[2])).serve_forever()
SERVER
children+=($!)
exec 3>"$work/display"
Xvfb -displayfd 3 -screen 0 800x600x24 -nolisten tcp >/dev/null 2>&1 &
children+=($!)
for _ in $(seq 100); do [ -s "$work/display" ] && break; sleep 0.1; done
display=:$(cat "$work/display")
export DISPLAY=$display

# window VERSION : waits for the window of a version and gives it the keyboard.
window() {
    for _ in $(seq 600); do
        id=$(xdotool search --onlyvisible --name "^Window $1\$" 2>/dev/null | head -1) || true
        # One that is not drawn yet does not take it.
        [ -n "$id" ] && xdotool windowmove "$id" 60 60 windowfocus "$id" 2>/dev/null && return
        sleep 0.1
    done
    fail "no window of $1 opens"
}
start() {
    (cd "$work" && exec env -i HOME="$work/home" PATH=/usr/bin:/bin DISPLAY="$display" "${@:2}" "$work/bin/window") &
    app=$!
    children+=("$app")
    window "$1"
}
end() {
    kill "$app" 2>/dev/null || true
    wait "$app" 2>/dev/null || true
}
picture() { import -window root "$pictures/$1.png"; }
# differs ONE OTHER : tells whether more of two pictures differs than a line of text: a dialog is there or not.
differs() {
    pixels=$(compare -metric AE "$pictures/$1.png" "$pictures/$2.png" null: 2>&1) || true
    [ "${pixels%.*}" -gt 6000 ]
}
# until_differs NAME OTHER, until_same NAME OTHER : takes a picture when the window looks otherwise, or the same.
until_differs() {
    for _ in $(seq 300); do
        picture "$1"
        differs "$1" "$2" && { sleep 1; picture "$1"; return; }
        sleep 0.2
    done
    fail "the window still looks as in $2.png"
}
until_same() {
    for _ in $(seq 300); do
        picture "$1"
        differs "$1" "$2" || return 0
        sleep 0.2
    done
    fail "the window does not look as in $2.png"
}
# press N : goes N things on by Tab, and presses what is there. 1 is "Look for updates", 2 to 4 are the answers.
press() {
    for _ in $(seq "$1"); do xdotool key Tab; sleep 0.2; done
    xdotool key space
}
skipped=$work/home/.config/window/skipped-version
checked=$work/home/.local/state/example-window/last-check

say "a window without an update"
mkdir -p "$(dirname "$checked")"
start 1.0.0 UPDATER_DISABLE=1
sleep 3
picture plain
end

say "later"
start 1.0.0
until_differs offered plain
press 3
until_same later plain
[ ! -e "$skipped" ] || fail "later has skipped the version"
end

say "skip this version"
rm -f "$checked"
start 1.0.0
until_differs again plain
press 4
until_same skip plain
[ "$(cat "$skipped")" = 1.1.0 ] || fail "the version that was skipped is not kept"
end

say "it is not offered again by itself"
rm -f "$checked"
start 1.0.0
for _ in $(seq 300); do [ -e "$checked" ] && break; sleep 0.2; done
[ -e "$checked" ] || fail "it has not looked"
sleep 3
picture quiet
if differs quiet plain; then fail "what was skipped is offered"; fi

say "looked for, and taken"
press 1
until_differs wanted quiet
# The keyboard is at "Look for updates" now.
press 1
sleep 2.5
picture progress
differs progress wanted || fail "no progress is shown"
window 1.1.0
sleep 2
picture updated
cmp -s "$work/bin/window" <(tar -xJOf "$work"/published/targets/*.example-window-1.1.0-*.tar.xz window) || fail "1.1.0 is not what is installed"
kill "$app" 2>/dev/null || true
say "done; the pictures are in $pictures"
