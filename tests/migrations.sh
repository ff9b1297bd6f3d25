#!/usr/bin/env bash
# Follows the pages of docs/migrate/ with small real projects: an app that another updater has installed takes its last
# update by that updater, is one that updates itself by this project from then on, and takes the next release so.
#
#     bash tests/migrations.sh [self_update] [self_update_folder] [tauri] [tufup]      # all when none is named
#
# Needs a package registry for crates (self_update), npm (tauri: only its key, see docs/migrate/tauri.md) and pip (tufup).
# Everything listens on 127.0.0.1 and lies in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD
export CARGO_TERM_COLOR=never CARGO_PROFILE_DEV_DEBUG=0 NO_COLOR=1
target=${CARGO_TARGET_DIR:-$repository/target}
[ -n "${CARGO_UPDATER:-}" ] || cargo build --quiet --workspace --bin cargo-updater --locked
program=${CARGO_UPDATER:-$target/debug/cargo-updater}
# What the workspace has built is used as it is.
export CARGO_BUILD_BUILD_DIR=$target
work=$(mktemp -d)
servers=()
finish() {
    for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
export CARGO_HOME=${CARGO_HOME:-$HOME/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup}

updater() { HOME=$work/home "$program" updater "$@"; }
say() { printf '%s\n' "-- $*"; }
# expect TEXT FILE : fails unless the file has the text.
expect() { grep -qF -- "$1" "$2" || { printf 'wanted %s, found:\n' "$1" >&2; cat "$2" >&2; exit 1; }; }
# serve FOLDER : serves a folder with Python's own server; its port is in $port then.
serve() {
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    python3 -m http.server "$port" --bind 127.0.0.1 --directory "$1" >/dev/null 2>&1 &
    servers+=($!)
    for _ in $(seq 50); do
        python3 -c "import socket; socket.create_connection(('127.0.0.1', $port))" 2>/dev/null && return
        sleep 0.1
    done
    echo "the server does not start" >&2
    exit 1
}

# package FOLDER NAME : a package as `cargo new` makes it, with the profiles of the workspace so that nothing is built twice.
package() {
    mkdir -p "$1/src"
    {
        printf '[package]\nname = "%s"\nversion = "1.0.0"\nedition = "2024"\n\n[dependencies]\n\n[workspace]\n\n' "$2"
        printf '[profile.dev.package.%s]\nstrip = true\n\n' "$2"
        sed -n '/^\[profile.dev\]/,$p' "$repository/Cargo.toml"
    } >"$1/Cargo.toml"
    cp "$repository/Cargo.lock" "$1/Cargo.lock"
}
version() { sed -i "s/^version = .*/version = \"$2\"/" "$1/Cargo.toml"; }

# The program after the migration, as docs/tutorial.md has it.
new_main() {
    cat >"$1/src/main.rs" <<'RUST'
use updater_runtime::{Error, Status, Updater};

fn main() {
    let updater = updater_runtime::updater!();
    if let Err(error) = update(&updater) {
        eprintln!("no update: {}", error.full_message());
    }
    println!("hello {}", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<(), Error> {
    if let Status::Available(update) = updater.check()? {
        update.download(|_progress| {})?.install()?.restart()?.hand_over();
    }
    Ok(())
}
RUST
}

# migrate APP : `init`, the new main, and a repository that is served.
migrate() {
    mkdir -p "$work/repository"
    new_main "$1"
    serve "$work/repository"
    (cd "$1" && updater init "${@:2}" --url "http://127.0.0.1:$port" --storage "fs:$work/repository" --path-deps "$repository" --quiet)
    sed -i 's/^\[package.metadata.updater\]$/&\nprofile = "dev"/' "$1/Cargo.toml"
}
publish() { (cd "$1" && CARGO_TARGET_DIR=$target/migrations updater publish --yes --level 1 --quiet); }

# old_program APP MORE : a program that updates itself by self_update; MORE is a line of its configuration.
old_program() {
    sed -i 's/^\[dependencies\]$/&\nself_update = { version = "=1.3.3", default-features = false, features = ["manifest", "ureq", "rustls", "checksums", "archive-tar", "compression-tar-gz"] }/' "$1/Cargo.toml"
    cat >"$1/src/main.rs" <<RUST
fn main() {
    if let Err(error) = update() {
        eprintln!("no update: {error}");
    }
    println!("hello {}", env!("CARGO_PKG_VERSION"));
}

fn update() -> Result<(), Box<dyn std::error::Error>> {
    let mut update = self_update::backends::manifest::Update::configure();
    let url = std::env::var("HELLO_MANIFEST")?;
    update.manifest_url(url).bin_name("hello").current_version(env!("CARGO_PKG_VERSION"));
    $2
    update.show_output(false).no_confirm(true).build()?.update()?;
    Ok(())
}
RUST
    (cd "$1" && CARGO_TARGET_DIR=$target/migrations cargo build --quiet)
}

self_update() {
    say "self_update: 1.0.0 is installed"
    local app=$work/self_update
    package "$app" hello
    old_program "$app" ""
    mkdir -p "$work/installed"
    cp "$target/migrations/debug/hello" "$work/installed/hello"

    say "self_update: the code is changed, 1.1.0 is published here and, once more, there"
    sed -i '/^self_update = /d' "$app/Cargo.toml"
    migrate "$app" --dev
    version "$app" 1.1.0
    publish "$app"
    local old=$work/old name
    name=hello-1.1.0-$(rustc -vV | sed -n 's/host: //p').tar.gz
    mkdir "$old"
    tar -czf "$old/$name" -C "$target/migrations/debug" hello
    printf '{"schema":1,"releases":[{"version":"1.1.0","assets":[{"name":"%s","url":"%s","digest":"sha256:%s"}]}]}' \
        "$name" "$name" "$(sha256sum "$old/$name" | cut -d ' ' -f 1)" >"$old/manifest.json"
    serve "$old"
    HELLO_MANIFEST=http://127.0.0.1:$port/manifest.json
    export HELLO_MANIFEST
    HOME=$work/home "$work/installed/hello" >"$work/log" 2>&1
    expect "hello 1.0.0" "$work/log"
    HOME=$work/home "$work/installed/hello" >"$work/log" 2>&1
    expect "hello 1.1.0" "$work/log"

    say "self_update: 1.2.0 is published here alone"
    version "$app" 1.2.0
    publish "$app"
    HOME=$work/home "$work/installed/hello" >"$work/log" 2>&1
    expect "hello 1.2.0" "$work/log"
    say "self_update: 1.0.0 became 1.1.0 by self_update, and 1.2.0 by its own updater"
}

# The same for an app with files beside its program: the old way brings the unpacked bundle, in its bundle mode.
self_update_folder() {
    say "self_update, bundle mode: 1.0.0 is installed with a file beside it"
    local app=$work/folder
    package "$app" hello
    old_program "$app" 'update.bundle_path_in_archive("hello").bundle_install_path(std::env::current_exe()?.parent().ok_or("no folder")?);'
    local installed=$work/folder-installed/hello
    mkdir -p "$installed/share" "$app/share"
    cp "$target/migrations/debug/hello" "$installed/hello"
    echo 1.0.0 | tee "$app/share/words" >"$installed/share/words"

    say "self_update, bundle mode: 1.1.0 is published here, and its bundle there"
    sed -i '/^self_update = /d' "$app/Cargo.toml"
    rm -rf "$work/repository"
    migrate "$app" --dev
    sed -i 's|^\[package.metadata.updater\]$|&\ninclude = ["share/**"]|' "$app/Cargo.toml"
    version "$app" 1.1.0
    echo 1.1.0 >"$app/share/words"
    publish "$app"
    local old=$work/folder-old triple name
    triple=$(rustc -vV | sed -n 's/host: //p')
    name=hello-1.1.0-$triple.tar.gz
    mkdir -p "$old/hello"
    tar -xJf "$target/migrations/updater/bundles/hello-1.1.0-$triple.tar.xz" -C "$old/hello"
    tar -czf "$old/$name" -C "$old" hello
    printf '{"schema":1,"releases":[{"version":"1.1.0","assets":[{"name":"%s","url":"%s","digest":"sha256:%s"}]}]}' \
        "$name" "$name" "$(sha256sum "$old/$name" | cut -d ' ' -f 1)" >"$old/manifest.json"
    serve "$old"
    HELLO_MANIFEST=http://127.0.0.1:$port/manifest.json
    export HELLO_MANIFEST
    HOME=$work/home-folder "$installed/hello" >"$work/log" 2>&1
    expect "hello 1.0.0" "$work/log"
    HOME=$work/home-folder "$installed/hello" >"$work/log" 2>&1
    expect "hello 1.1.0" "$work/log"
    expect "1.1.0" "$installed/share/words"

    say "self_update, bundle mode: 1.2.0 is published here alone"
    version "$app" 1.2.0
    echo 1.2.0 >"$app/share/words"
    echo mine >"$installed/mine"
    publish "$app"
    HOME=$work/home-folder "$installed/hello" >"$work/log" 2>&1
    expect "hello 1.2.0" "$work/log"
    expect "1.2.0" "$installed/share/words"
    expect "mine" "$installed/mine"
    say "self_update, bundle mode: 1.0.0 became 1.1.0 by self_update, and 1.2.0 by its own updater, with its files"
}

tauri() {
    say "tauri: a key that Tauri's own tool has made"
    npm install --silent --no-audit --no-fund --prefix "$work/npm" @tauri-apps/cli@2 >/dev/null
    local app=$work/tauri key=$work/tauri.key
    CI=true "$work/npm/node_modules/.bin/tauri" signer generate --ci --password secret -w "$key" >/dev/null
    rm -rf "$work/repository" "$work/home/.config"
    package "$app" hello
    migrate "$app" --no-password
    # As the page has it: the key becomes that of the channel before anything is published.
    (
        cd "$app"
        export UPDATER_KEY_PASSWORD=secret
        updater keys import "$key" --channel stable
        updater keys rotate stable --with "$work/home/.config/cargo-updater/keys/hello/stable-2.pub" --wait 0
        rm "$work/home/.config/cargo-updater/keys/hello/stable.key"
    ) >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    UPDATER_KEY_PASSWORD=secret publish "$app"
    mkdir -p "$work/installed"
    cp "$target/migrations/debug/hello" "$work/installed/hello-tauri"
    version "$app" 1.1.0
    UPDATER_KEY_PASSWORD=secret publish "$app"
    HOME=$work/home "$work/installed/hello-tauri" >"$work/log" 2>&1
    expect "hello 1.1.0" "$work/log"
    # The signature beside each file is one that Tauri's public key verifies, with minisign itself.
    base64 -d "$key.pub" >"$work/tauri.pub"
    for bundle in "$work"/repository/targets/*.tar.xz; do minisign -V -q -p "$work/tauri.pub" -m "$bundle"; done
    say "tauri: 1.0.0 became 1.1.0, both signed by Tauri's key, which minisign confirms"
}

tufup() {
    say "tufup: 1.0.0 is installed"
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet tufup==0.10.0 || "$work/venv/bin/pip" install --quiet tufup
    local app=$work/tufup
    rm -rf "$work/repository"
    package "$app" hello
    migrate "$app" --dev
    version "$app" 1.1.0
    publish "$app"
    mkdir -p "$work/tufup-repository"
    serve "$work/tufup-repository"
    cat >"$work/release.py" <<'PYTHON'
import pathlib, shutil, sys
from tufup.repo import Repository

work, port, program = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
old, new = work / "dist-1.0.0", work / "dist-1.1.0"
old.mkdir(), new.mkdir()
# 1.0.0 is the app with tufup's client; 1.1.0 brings the program that updates itself by another way, and hands over to it.
(old / "hello.py").write_text(f'''
import pathlib, shutil
from tufup.client import Client

# tufup installs on Windows and macOS; elsewhere the app says how.
def install(src_dir, dst_dir, **_):
    shutil.copytree(src_dir, dst_dir, dirs_exist_ok=True)

here = pathlib.Path(__file__).parent
state = here.parent / "tufup-state"
client = Client(app_name="hello", app_install_dir=here, current_version="1.0.0", metadata_dir=state / "metadata",
                metadata_base_url="http://127.0.0.1:{port}/metadata/", target_dir=state / "targets",
                target_base_url="http://127.0.0.1:{port}/targets/", refresh_required=False)
print("hello 1.0.0", flush=True)
if client.check_for_updates():
    client.download_and_apply_update(skip_confirmation=True, install=install)
''')
(new / "hello.py").write_text('''
import os, pathlib

program = pathlib.Path(__file__).parent / "hello"
os.execv(program, [program])
''')
shutil.copy(program, new / "hello")
repository = Repository(app_name="hello", repo_dir=work / "tufup-repository", keys_dir=work / "tufup-keys")
repository.save_config()
repository.initialize()
for folder, version in ((old, "1.0.0"), (new, "1.1.0")):
    repository.add_bundle(new_bundle_dir=folder, new_version=version, skip_patch=True)
    repository.publish_changes(private_key_dirs=[work / "tufup-keys"])
state = work / "tufup-installed" / "tufup-state"
(state / "metadata").mkdir(parents=True)
(state / "targets").mkdir()
shutil.copy(work / "tufup-repository" / "metadata" / "root.json", state / "metadata" / "root.json")
shutil.copytree(old, work / "tufup-installed" / "app")
PYTHON
    (cd "$work" && HOME=$work/home "$work/venv/bin/python" release.py "$work" "$port" "$target/migrations/debug/hello") >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; exit 1; }
    local start=("$work/venv/bin/python" "$work/tufup-installed/app/hello.py")
    (cd "$work" && HOME=$work/home "${start[@]}") >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
    expect "hello 1.0.0" "$work/log"
    HOME=$work/home "${start[@]}" >"$work/log" 2>&1
    expect "hello 1.1.0" "$work/log"
    say "tufup: 1.2.0 is published here alone"
    version "$app" 1.2.0
    publish "$app"
    HOME=$work/home "${start[@]}" >"$work/log" 2>&1
    expect "hello 1.2.0" "$work/log"
    say "tufup: 1.0.0 became 1.1.0 by tufup, and 1.2.0 by its own updater"
}

mkdir -p "$work/home"
[ $# -gt 0 ] || set -- self_update self_update_folder tauri tufup
for name in "$@"; do "$name"; done
