#!/usr/bin/env bash
# An installed app whose runtime is older than almost everything meets a repository that has everything: patches of codecs that
# it does not know, components, rules, notes, what the online key withholds. It must take what it understands.
#
#     bash tests/old-runtime.sh [COMMIT]
#
# COMMIT is of this project's history; d59a9da when none is named, the first one that could publish at all. Its runtime is
# built into version 1.0.0 of an app, today's into 1.1.0 and 1.2.0. Needs the history (no shallow clone), network or a filled
# cargo cache for what that commit depends on, and gzip. A minute or two.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
commit=${1:-d59a9da}
export CARGO_TERM_COLOR=never CARGO_PROFILE_DEV_DEBUG=0 NO_COLOR=1
target=${CARGO_TARGET_DIR:-$checkout/target}
unset CARGO_TARGET_DIR
[ -n "${CARGO_UPDATER:-}" ] || cargo build --quiet --workspace --bin cargo-updater --locked --target-dir "$target"
program=$(readlink -f "${CARGO_UPDATER:-$target/debug/cargo-updater}")
work=$(mktemp -d)
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT
mkdir -p "$work/home" "$work/old" "$work/app/src" "$work/app/share/pages" "$work/app/model"
git archive "$commit" | tar -x -C "$work/old"
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} XDG_STATE_HOME=$work/state
unset XDG_CONFIG_HOME || true
cd "$work/app"

step() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
expect() { grep -qF -- "$1" "$2" || { echo "wanted: $1; found:" >&2; cat "$2" >&2; exit 1; }; }
updater() { HOME=$work/home "$program" updater "$@" > "$work/log" 2>&1 || { cat "$work/log" >&2; fail "cargo updater $1"; }; }

# A version with this project's runtime at a path: a program, pages that are alike, and a file that is compressed inside.
version() { # VERSION RUNTIME TAIL
    sed "s/\.restart()?.*;/.restart()?$3;/" "$checkout/examples/hello/src/main.rs" > src/main.rs
    sed -i "s/^version = .*/version = \"$1\"/; s#path = \"[^\"]*/updater-#path = \"$2/updater-#" Cargo.toml
    for page in $(seq -w 1 60); do
        printf '<html><title>page %s</title><p>made by generator %s</p>%s</html>\n' "$page" "$1" "$(seq -s ' ' "$page" 300)" > "share/pages/$page.html"
    done
    { seq 1 40000; echo "of $1"; } | gzip -9n > share/numbers.gz
}
model() { echo "$1" > model/VERSION; { seq 1 20000; echo "model $1"; } > model/weights; }
# Starts the installed copy twice: once to update, once to tell its version.
run() { "$1/hello" > "$work/out" 2>&1 || true; cat "$work/out"; "$1/hello" >> "$work/out" 2>&1 || true; }

step "an app with the runtime of $commit ($(git -C "$checkout" log -1 --format=%cs "$commit"))"
printf '[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2024"\n\n[workspace]\n' > Cargo.toml
echo 'fn main() {}' > src/main.rs
updater init --dev --url "file://$work/www" --storage "fs:$work/www"
# Files are enough, so the runtimes do without HTTP and TLS: half of what would be built.
sed -i 's#^updater-runtime = { #&default-features = false, #' Cargo.toml
printf '\n[profile.dev.package."*"]\nopt-level = 1\n' >> Cargo.toml
sed -i 's#^\[package.metadata.updater\]$#&\nprofile = "dev"\ninclude = ["share/**"]\nbins = ["hello"]#' Cargo.toml
version 1.0.0 "$work/old" ""
printf '# Changelog\n\n## 1.0.0\n\nThe first one.\n' > CHANGELOG.md
updater publish --level 1
cat "$work/log"
mkdir -p "$work/copies/old" "$work/copies/new"
bundle() { echo "target/updater/bundles/hello-$1-"*-linux-*.tar.xz; }
tar -xJf $(bundle 1.0.0) -C "$work/copies/old"

step "1.1.0 with the runtime of today, and everything else that there is"
# A build script of long ago refuses settings that it does not know, so these come with the new one.
sed -i 's#^\[package.metadata.updater\]$#&\ncomponents = [{ name = "model", folder = "model", version-file = "model/VERSION" }]#' Cargo.toml
version 1.1.0 "$checkout" ".hand_over()"
model 1.1.0
printf '# Changelog\n\n## 1.1.0\n\nNews.\n' > CHANGELOG.md
updater publish --level 1 --metadata colour=green
cat "$work/log"
tar -xJf $(bundle 1.1.0) -C "$work/copies/new"
version 1.2.0 "$checkout" ".hand_over()"
model 1.2.0
updater publish --level 1
cat "$work/log"
updater release floor 1.0.0 --yes
updater release require 1.1.0 --yes
updater release rollout 1.1.0 50 --yes
updater release rollout 1.2.0 50 --component model --yes
updater release hold 1.1.0 40 --yes
updater release yank 1.1.0 --component model --yes
updater verify --deep
role=$(ls -v "$work"/www/metadata/*.stable.json | tail -1)
for word in '"joint-1"' '"opened-1"' '"kind":"component"' '"kind":"component-patch"' '"required"' '"rollout"' '"floor"' '"yank"' '"kind":"notes"' '"colour"'; do
    grep -qF -- "$word" "$role" || fail "$word is not in the role: it has not everything"
done

step "the copy of today takes a patch"
run "$work/copies/new"
expect "this is 1.2.0" "$work/out"

step "the old copy takes what it understands"
# A runtime from before codecs were announced is taken for one of today's, and passes over a patch that it does not understand.
run "$work/copies/old"
expect "1.0.0 -> 1.2.0 ($(stat -c %s "$work"/www/targets/*.hello-1.2.0-*-linux-*.tar.xz) bytes)" "$work/out"
expect "this is 1.2.0" "$work/out"
expect "page 60" "$work/copies/old/share/pages/60.html"
expect "generator 1.2.0" "$work/copies/old/share/pages/60.html"

step "a broken role is refused in words by it, and it runs on"
rm -rf "$work/copies/again" "$work/state" && mkdir -p "$work/copies/again"
tar -xJf $(bundle 1.0.0) -C "$work/copies/again"
sed -i 's/"kind":"bundle"/"kind":"bundel"/' "$role"
run "$work/copies/again"
expect "hello: no update: " "$work/out"
expect "this is 1.0.0" "$work/out"
echo
echo "the runtime of $commit: everything passed"
