#!/usr/bin/env bash
# Measures what the runtime costs an app: unique crates, stripped bytes and seconds of processor time to build it, beside
# `self_update`, `axoupdater`, `cargo-packager-updater`, `velopack` and `tough` built in the same run.
#
#     bash benches/footprint.sh > docs/benchmarks/footprint.txt
#     bash benches/footprint.sh app-empty app-tough      # only these
#
# Every app is an otherwise empty program that checks, downloads, installs and restarts, built one at a time with the
# same profile: release, opt-level 3, thin LTO, one codegen unit, stripped. The difference to an empty `main` is the
# cost. Crates are what `cargo tree` lists for this machine without build and test dependencies, the app not counted. Each
# app is built from nothing; the time is that of all processes of the build, user and system, so that other work on the
# machine counts little. Needs a package registry; CRATES_ONLY=1 counts crates and builds nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
target=${CARGO_TARGET_DIR:-$repository/target}
export CARGO_TERM_COLOR=never
SELF_UPDATE_VERSION=1.3.3
AXOUPDATER_VERSION=0.10.2
PACKAGER_VERSION=0.2.3
VELOPACK_VERSION=1.1.1
TOUGH_VERSION=0.24.0

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
[ -n "${CARGO_UPDATER:-}" ] || CARGO_TARGET_DIR=$target cargo build --quiet -p cargo-release-updater --bin cargo-updater --locked
for name in app-runtime app-runtime-without-http; do
    (cd "$apps/$name" && "${CARGO_UPDATER:-$target/debug/cargo-updater}" updater init --dev --quiet \
        --key-dir "$apps/keys" --path-deps "$repository")
done
sed -i 's|^updater-runtime = { path = "\(.*\)" }|updater-runtime = { path = "\1", default-features = false }|' \
    "$apps/app-runtime-without-http/Cargo.toml"
grep -q 'default-features = false' "$apps/app-runtime-without-http/Cargo.toml"

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

app app-axoupdater <<'RUST'
fn main() {
    let mut updater = axoupdater::AxoUpdater::new_for("hello");
    match updater.load_receipt().and_then(|updater| updater.run_sync()) {
        Ok(_) => println!("hello"),
        Err(error) => eprintln!("no update: {error}"),
    }
}
RUST

app app-cargo-packager-updater <<'RUST'
use cargo_packager_updater::{Config, check_update};

fn main() {
    if let Err(error) = update() {
        eprintln!("no update: {error}");
    }
    println!("hello");
}

fn update() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config {
        endpoints: vec!["https://example.com/hello.json".parse()?],
        pubkey: "RWRa0ip38kSaMpz1ih/xhXBDzxo9cSdI0NisdMP5QQDuTuE8ConkeOj/".to_owned(),
        ..Default::default()
    };
    if let Some(update) = check_update(env!("CARGO_PKG_VERSION").parse()?, config)? {
        update.download_and_install()?;
    }
    Ok(())
}
RUST

app app-velopack <<'RUST'
use velopack::{UpdateCheck, UpdateManager, VelopackApp, sources::HttpSource};

fn main() {
    VelopackApp::build().run();
    if let Err(error) = update() {
        eprintln!("no update: {error}");
    }
    println!("hello");
}

fn update() -> Result<(), Box<dyn std::error::Error>> {
    let manager = UpdateManager::new(HttpSource::new("https://example.com/hello"), None, None)?;
    if let UpdateCheck::UpdateAvailable(update) = manager.check_for_updates()? {
        manager.download_updates(&update, None)?;
        manager.apply_updates_and_restart(&*update)?;
    }
    Ok(())
}
RUST

# tough checks and downloads; swapping and restarting would be the app's own.
app app-tough <<'RUST'
use tough::{RepositoryLoader, TargetName};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = update().await {
        eprintln!("no update: {error}");
    }
    println!("hello");
}

async fn update() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::fs::read("root.json")?;
    let (metadata, targets) = ("https://example.com/metadata/".parse()?, "https://example.com/targets/".parse()?);
    let repository = RepositoryLoader::new(&root, metadata, targets).load().await?;
    repository.save_target(&TargetName::new("hello")?, std::env::temp_dir(), tough::Prefix::None).await?;
    Ok(())
}
RUST

# add NAME [OPTIONS OF cargo add]
add() { (cd "$apps/$1" && rm -f Cargo.lock && shift && cargo add --quiet "$@"); }
add app-self-update "self_update@=$SELF_UPDATE_VERSION"
add app-self-update-signed "self_update@=$SELF_UPDATE_VERSION" --features signatures
add app-self-update-smallest "self_update@=$SELF_UPDATE_VERSION" --no-default-features \
    --features ureq,rustls,github,archive-tar,compression-tar-gz,signatures
add app-axoupdater "axoupdater@=$AXOUPDATER_VERSION" --features blocking
add app-cargo-packager-updater "cargo-packager-updater@=$PACKAGER_VERSION"
add app-velopack "velopack@=$VELOPACK_VERSION"
add app-tough "tough@=$TOUGH_VERSION" --features http
add app-tough tokio --features macros,rt
names=("$@")
[ $# -gt 0 ] || names=(app-empty app-runtime app-runtime-without-http app-self-update-smallest app-self-update
    app-self-update-signed app-axoupdater app-cargo-packager-updater app-velopack app-tough)

echo "# $(rustc --version); $(uname -sm); $(date -u +%F)"
echo "# release, opt-level 3, thin LTO, codegen-units 1, stripped; self_update $SELF_UPDATE_VERSION"
echo "# load of the machine: $(cut -d ' ' -f 1-3 /proc/loadavg)"
printf '%-30s %8s %12s %12s %12s\n' app crates bytes added build_cpu_s

# measure NAME LABEL [OPTION...] : builds an app with the settings of the environment and prints its line.
measure() {
    (
        cd "$apps/$1"
        crates=$(cargo tree --quiet --prefix none --edges normal | sed 's/ (\*)$//' | sort -u | grep -vc "^$1 ") || true
        if [ "${CRATES_ONLY:-0}" = 1 ]; then
            printf '%-30s %8d\n' "$2" "$crates"
            return
        fi
        cargo fetch --quiet
        export CARGO_TARGET_DIR=$apps/target-$1
        TIMEFORMAT='%U %S'
        taken=$( { time cargo build --quiet --release "${@:3}" 2>"$apps/log"; } 2>&1) || { cat "$apps/log" >&2; exit 1; }
        bytes=$(stat -c %s "$CARGO_TARGET_DIR/release/$1")
        rm -rf "$CARGO_TARGET_DIR"
        [ "$1" = app-empty ] && echo "$bytes" >"$apps/baseline"
        printf '%-30s %8d %12d %12d %12.0f\n' "$2" "$crates" "$bytes" "$((bytes - $(cat "$apps/baseline")))" \
            "$(awk '{ print $1 + $2 }' <<<"$taken")"
    )
}
for name in "${names[@]}"; do
    measure "$name" "$name"
done
[ $# -gt 0 ] || [ "${CRATES_ONLY:-0}" = 1 ] || {
    # What is neither the delta engine nor a cipher, for size; docs/benchmarks.md shows the lines for a manifest.
    small=()
    for crate in updater-runtime updater-format ureq ureq-proto rustls rustls-webpki http serde_json tar; do
        small+=(--config "profile.release.package.$crate.opt-level=\"s\"")
    done
    measure app-runtime "app-runtime, some crates s" "${small[@]}"
    CARGO_PROFILE_RELEASE_OPT_LEVEL=s measure app-runtime "app-runtime, opt-level s"
}
