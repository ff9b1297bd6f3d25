#!/usr/bin/env bash
# Measures what the runtime costs an app: unique crates and stripped bytes, beside `self_update` built in the same run.
#
#     bash benches/footprint.sh > docs/benchmarks/footprint.txt
#
# Every app is an otherwise empty program that checks, downloads, installs and restarts, built one at a time with the
# same profile: release, opt-level 3, thin LTO, one codegen unit, stripped. The difference to an empty `main` is the
# cost. Crates are what `cargo tree` lists for this machine without build and test dependencies, the app not counted.
# Needs a package registry for `self_update`; SELF_UPDATE=0 leaves it out. The build output lies in target/footprint.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
target=${CARGO_TARGET_DIR:-$repository/target}
export CARGO_TERM_COLOR=never
SELF_UPDATE_VERSION=1.3.3

export CARGO_TARGET_DIR=$target/footprint
apps=$(mktemp -d)
trap 'rm -rf "$apps"' EXIT

# app NAME <<main.rs : makes a package with the profile of the measurement; the dependencies are added afterwards.
app() {
    mkdir -p "$apps/$1/src"
    cat >"$apps/$1/src/main.rs"
    cat >"$apps/$1/Cargo.toml" <<TOML
[package]
name = "$1"
version = "1.0.0"
edition = "2024"

[workspace]

[profile.release]
opt-level = 3
lto = "thin"
codegen-units = 1
strip = true
TOML
    cp "$repository/Cargo.lock" "$apps/$1/Cargo.lock"
}

app app-empty <<'RUST'
fn main() {
    println!("hello");
}
RUST

runtime_main='
use updater_runtime::{Error, Status, Updater};

fn main() {
    let updater = updater_runtime::updater!();
    if let Err(error) = update(&updater) {
        eprintln!("no update: {error}");
    }
    println!("hello");
}

fn update(updater: &Updater) -> Result<(), Error> {
    if let Status::Available(update) = updater.check()? {
        update.download(|_progress| {})?.install()?.restart()?;
    }
    Ok(())
}
'
app app-runtime <<<"$runtime_main"
app app-runtime-without-http <<<"$runtime_main"

# The root is a real one: without it the updater would be disabled, and the linker could leave the client out.
CARGO_TARGET_DIR=$target cargo build --quiet -p cargo-release-updater --bin cargo-updater --locked
for name in app-runtime app-runtime-without-http; do
    (cd "$apps/$name" && "$target/debug/cargo-updater" updater init --dev --quiet \
        --key-dir "$apps/keys" --path-deps "$repository")
done
sed -i 's|^updater-runtime = { path = "\(.*\)" }|updater-runtime = { path = "\1", default-features = false }|' \
    "$apps/app-runtime-without-http/Cargo.toml"
grep -q 'default-features = false' "$apps/app-runtime-without-http/Cargo.toml"

names=(app-empty app-runtime app-runtime-without-http)
if [ "${SELF_UPDATE:-1}" != 0 ]; then
    self_update_main='
fn main() {
    if let Err(error) = update() {
        eprintln!("no update: {error}");
    }
    println!("hello");
}

fn update() -> Result<(), Box<dyn std::error::Error>> {
    self_update::backends::github::Update::configure()
        .repo_owner("example")
        .repo_name("hello")
        .bin_name("hello")
        .current_version(env!("CARGO_PKG_VERSION"))
        SIGNATURES
        .build()?
        .update()?;
    Ok(())
}
'
    keys='.verifying_keys([[7_u8; 32]])'
    app app-self-update <<<"${self_update_main/SIGNATURES/}"
    app app-self-update-signed <<<"${self_update_main/SIGNATURES/$keys}"
    app app-self-update-smallest <<<"${self_update_main/SIGNATURES/$keys}"
    add() { (cd "$apps/$1" && rm Cargo.lock && shift && cargo add --quiet "self_update@=$SELF_UPDATE_VERSION" "$@"); }
    add app-self-update
    add app-self-update-signed --features signatures
    add app-self-update-smallest --no-default-features \
        --features ureq,rustls,github,archive-tar,compression-tar-gz,signatures
    names+=(app-self-update app-self-update-signed app-self-update-smallest)
fi

echo "# $(rustc --version); $(uname -sm); $(date -u +%F)"
echo "# release, opt-level 3, thin LTO, codegen-units 1, stripped; self_update $SELF_UPDATE_VERSION"
printf '%-30s %8s %12s %12s\n' app crates bytes added

# measure NAME LABEL : builds an app with the settings of the environment and prints its line.
measure() {
    (
        cd "$apps/$1"
        cargo build --quiet --release
        crates=$(cargo tree --prefix none --edges normal | sed 's/ (\*)$//' | sort -u | grep -vc "^$1 ") || true
        bytes=$(stat -c %s "$CARGO_TARGET_DIR/release/$1")
        [ "$1" = app-empty ] && echo "$bytes" >"$apps/baseline"
        printf '%-30s %8d %12d %12d\n' "$2" "$crates" "$bytes" "$((bytes - $(cat "$apps/baseline")))"
    )
}
for name in "${names[@]}"; do
    measure "$name" "$name"
done
CARGO_PROFILE_RELEASE_OPT_LEVEL=s measure app-runtime "app-runtime, opt-level s"
