#!/usr/bin/env bash
# Runs what can be run here of other platforms than this one, and says what was only built.
#
#   bash tests/platforms.sh arm64     the runtime's tests and the whole story of examples/hello under qemu-user
#   bash tests/platforms.sh musl      the same with static programs, run by this machine
#   bash tests/platforms.sh macos     type check of the app's crates for both processors; a Mach-O of examples/hello is linked,
#                                     bundled, diffed, published and read by doctor; the same as Hello.app, byte for byte.
#                                     Nothing is run: that needs a Mac
#
# A Debian 12 or later: its own compiler comes with the sources of the standard library, and is installed by name with the
# other tools that are missing. `arm64` registers qemu-aarch64 with the kernel (binfmt_misc), which needs root.
# TESTS=0 leaves out the runtime's tests and the type checks; CARGO_UPDATER names a cargo-updater that is built. What is built stays in
# target/platforms.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
install_missing() { # command package...
    local missing=()
    while [ $# -gt 0 ]; do
        [ -e "$1" ] || command -v "$1" >/dev/null 2>&1 || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || { echo "skipped: ${missing[*]} (install by your system's package manager)"; exit 0; }
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}
step() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
say() { # text pattern
    grep -qF -- "$2" <<<"$1" || fail "expected \"$2\" in: $1"
}

# The compiler of Debian builds the standard library for the platform.
debian_rust() {
    install_missing /usr/bin/rustc rustc-web /usr/bin/cargo cargo-web /usr/lib/rustlib/src/rust/library rust-web-src
    built=${CARGO_TARGET_DIR:-$checkout/target}/platforms
    # cargo-updater itself is built by whatever compiler builds this project.
    updater=${CARGO_UPDATER:-}
    if [ -z "$updater" ]; then
        step "cargo updater, for this machine"
        # By the whole workspace, whose choice of features every other build here has.
        cargo build --locked --workspace --bin cargo-updater
        updater=${CARGO_TARGET_DIR:-$checkout/target}/debug/cargo-updater
        [ "${updater:0:1}" = / ] || updater=$checkout/$updater
    fi
    [ "${built:0:1}" = / ] || built=$checkout/$built
    export CARGO_TARGET_DIR=$built CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1
    export CARGO_UNSTABLE_BUILD_STD=std,panic_abort,test CARGO_TERM_COLOR=never
    work=$(mktemp -d)
    trap 'end' EXIT
}

server=
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}

# Makes a package of examples/hello, set up for development, with patches and confirmed trials.
package() { # triple
    app=$work/hello
    mkdir -p "$app/src"
    cp examples/hello/build.rs "$app/build.rs"
    cp Cargo.lock "$app/Cargo.lock"
    {
        printf '[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2024"\n\n'
        printf '[package.metadata.updater]\nprofile = "dev"\ntrial = "confirm"\ntargets = ["%s"]\n' "$1"
        printf 'storage = "fs:%s/repository"\n\n[workspace]\n\n' "$work"
        # As in the workspace, so that dependencies are built once.
        printf '[profile.dev.package.hello]\nstrip = true\n\n'
        sed -n '/^\[profile.dev\]/,$p' Cargo.toml
    } >"$app/Cargo.toml"
    program healthy
    cd "$app"
    export UPDATER_KEY_DIR=$work/keys
    (unset RUSTC RUSTDOC RUSTC_BOOTSTRAP; "$updater" updater init --dev --url "http://127.0.0.1:$port/" --path-deps "$checkout")
}

# Writes the program of a version: one that confirms, or one that breaks after its start.
program() { # healthy|broken
    local then='let _ = updater.confirm();'
    [ "$1" = healthy ] || then='if std::env::args().count() < 9 { std::process::abort(); }'
    sed "s|^\( *let updater = updater_runtime::updater!();.*\)|\1\n    $then|" "$checkout/examples/hello/src/main.rs" >"$app/src/main.rs"
    grep -qF "$then" "$app/src/main.rs" || fail "examples/hello/src/main.rs has no line that begins its updater"
}

publish() { # version program arguments...
    sed -i "s/^version = .*/version = \"$1\"/" "$app/Cargo.toml"
    program "$2"
    "$updater" updater publish --level 1 "${@:3}"
}

serve() {
    "$updater" updater serve --bind "127.0.0.1:$port" >"$work/server.log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
        sleep 0.1
    done
    fail "the server does not listen: $(cat "$work/server.log")"
}

# Update by patch, restart, return after two failed trials; on a machine that runs the platform's programs.
story() { # triple
    local triple=$1 out installed=$work/place/hello
    step "hello 1.0.0, published for $triple"
    package "$triple"
    publish 1.0.0 healthy
    mkdir -p "$work/place"
    cp "$built/$triple/debug/hello" "$installed"
    file -b "$installed" 2>/dev/null || true
    serve
    say "$("$installed" 2>&1)" "this is 1.0.0"
    step "hello 1.1.0: a copy of 1.0.0 takes it by patch and restarts into it"
    publish 1.1.0 healthy
    out=$("$installed" 2>&1)
    echo "$out"
    say "$out" "1.0.0 -> 1.1.0"
    say "$out" "this is 1.1.0"
    local bundle patch taken
    taken=$(sed -n 's/.*1\.0\.0 -> 1\.1\.0 (\([0-9]*\) bytes).*/\1/p' <<<"$out")
    bundle=$(find "$work/repository" -name "*hello-1.1.0-$triple.tar.xz" -size +0 | head -1 | xargs stat -c %s)
    patch=$(find "$work/repository" -name "*hello-1.0.0-to-1.1.0-$triple.patch" | head -1 | xargs stat -c %s)
    [ "$taken" = "$patch" ] || fail "$taken bytes were taken, the patch has $patch, the bundle $bundle"
    echo "by patch: $patch bytes instead of $bundle"
    say "$("$installed" 2>&1)" "this is 1.1.0"
    step "hello 1.2.0, which breaks: after two failed attempts 1.1.0 is back"
    # The rehearsal starts what it installs; this version answers its probe and breaks later.
    publish 1.2.0 broken
    "$installed" >"$work/first.log" 2>&1 && fail "1.2.0 does not break: $(cat "$work/first.log")"
    say "$(cat "$work/first.log")" "1.1.0 -> 1.2.0"
    "$installed" >"$work/second.log" 2>&1 && true
    out=$("$installed" 2>&1)
    echo "$out"
    say "$out" "this is 1.1.0"
    out=$("$installed" 2>&1)
    say "$out" "this is 1.1.0"
    grep -qF "1.1.0 -> 1.2.0" <<<"$out" && fail "the release that failed is offered again: $out"
    echo "story of $triple: update by patch, restart, return: done"
    cd "$checkout"
}

# The runtime's own tests.
runtime_tests() { # triple arguments...
    [ "${TESTS:-1}" = 1 ] || return 0
    step "the runtime's tests, for $1"
    /usr/bin/cargo test --locked --target "$1" -p updater-runtime --lib -- --test-threads 2 "${@:2}"
}

arm64() {
    install_missing aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu \
        /usr/aarch64-linux-gnu/include/stdlib.h libc6-dev-arm64-cross qemu-aarch64 qemu-user file file
    debian_rust
    local entry=/proc/sys/fs/binfmt_misc
    [ -e $entry/register ] || as_root mount -t binfmt_misc none $entry
    if [ ! -e $entry/qemu-aarch64 ]; then
        # Magic and mask of 64-bit little-endian ELF programs for machine 183. F: opened now; O: by descriptor; C: as its
        # owner; P: keeps the name that it was called by.
        local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
        local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
        echo ":qemu-aarch64:M::$magic:$mask:$(command -v qemu-aarch64):POCF" | as_root tee $entry/register >/dev/null
    fi
    # A probe passes on nothing of the environment, so QEMU_LD_PREFIX would not reach the probed program: where the cross
    # libraries are is linked in.
    local libraries=/usr/aarch64-linux-gnu/lib gcc
    gcc=$(command -v aarch64-linux-gnu-gcc)
    mkdir "$work/bin"
    printf '#!/bin/sh\nexec %s "$@" -Wl,--dynamic-linker=%s/ld-linux-aarch64.so.1,-rpath,%s\n' "$gcc" $libraries $libraries \
        >"$work/bin/aarch64-linux-gnu-gcc"
    chmod +x "$work/bin/aarch64-linux-gnu-gcc"
    export PATH=$work/bin:$PATH
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
    port=18941
    story aarch64-unknown-linux-gnu
    # Left out: what reads how this emulator starts programs instead of the kernel.
    runtime_tests aarch64-unknown-linux-gnu "${ARM64_SKIPS[@]/#/--skip=}"
}
# Tests that say something about the machine below the emulator, not about the runtime.
# What the kernel refuses to start this emulator starts, and ends with an error of its own; of a program that was removed it
# tells the old name, and an exec is a start of another process of its own.
ARM64_SKIPS=(
    what_cannot_be_started_says_so
    a_process_whose_program_was_deleted_updates_nothing
    an_exec_of_the_app_itself_is_no_death
)

musl() {
    install_missing musl-gcc musl-tools file file
    debian_rust
    # Debian's compiler brings no start files and no unwinder for musl: those of the system and of GCC are taken. GCC's asks glibc
    # where the tables of an address lie; here the same is asked of musl.
    mkdir -p "$built/lib"
    cat >"$work/find.c" <<'C'
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stddef.h>
/* The unwinder names these weakly, which takes nothing out of an archive. */
__attribute__((used)) static void *const needed[] = {
    (void *)pthread_once, (void *)pthread_key_create, (void *)pthread_getspecific, (void *)pthread_setspecific,
    (void *)pthread_mutex_lock, (void *)pthread_mutex_unlock,
};
struct found { unsigned long long flags; void *start, *end, *link_map, *eh_frame; unsigned long long reserved[7]; };
struct search { char *address; struct found *found; };
static int look(struct dl_phdr_info *info, size_t size, void *data) {
    struct search *search = data;
    char *start = NULL, *end = NULL, *eh_frame = NULL;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        char *at = (char *)info->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && search->address >= at && search->address < at + header->p_memsz) {
            start = at;
            end = at + header->p_memsz;
        }
        if (header->p_type == PT_GNU_EH_FRAME) eh_frame = at;
    }
    if (start == NULL || eh_frame == NULL) return 0;
    *search->found = (struct found){ .start = start, .end = end, .eh_frame = eh_frame };
    return 1;
}
int _dl_find_object(void *address, struct found *found) {
    struct search search = { address, found };
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}
C
    musl-gcc -O2 -c -o "$work/find.o" "$work/find.c"
    rm -f "$built/lib/libfind.a"
    ar rcs "$built/lib/libfind.a" "$work/find.o"
    echo 'GROUP(-lgcc_eh -lfind)' >"$built/lib/libunwind.a"
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=musl-gcc
    export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="-C link-self-contained=no -C relocation-model=static -L $built/lib"
    export CC_x86_64_unknown_linux_musl=musl-gcc
    port=18942
    story x86_64-unknown-linux-musl
    runtime_tests x86_64-unknown-linux-musl
}

# Packs hello as a packager would, and publishes that: programs that were compiled to be updated in an app bundle.
app_bundle() { # triple program
    local triple=$1 program=$2 contents=$work/dist/Hello.app/Contents version out
    step "hello as Hello.app: published twice, patched, rehearsed up to the verified files"
    sed -i 's/^\[package.metadata.updater\]$/&\nkind = "app-bundle"/; s|repository"$|app-bundles"|' "$app/Cargo.toml"
    mkdir -p "$contents"/{MacOS,Resources,Frameworks/Hi.framework/Versions/A}
    ln -s A "$contents/Frameworks/Hi.framework/Versions/Current"
    ln -s Versions/Current/Hi "$contents/Frameworks/Hi.framework/Hi"
    seq 1000 >"$contents/Resources/data"
    for version in 3.0.0 3.1.0; do
        sed -i "s/^version = .*/version = \"$version\"/" "$app/Cargo.toml"
        "$CARGO" build --profile dev --target "$triple"
        cp "$program" "$contents/MacOS/hello"
        echo "library of $version" >"$contents/Frameworks/Hi.framework/Versions/A/Hi"
        printf '<?xml version="1.0"?><plist version="1.0"><dict><key>CFBundleExecutable</key><string>hello</string>
<key>CFBundleShortVersionString</key><string>%s</string></dict></plist>' "$version" >"$contents/Info.plist"
        out=$("$updater" updater publish --level 1 --from-dir "$work/dist" --version "$version" --target "$triple" 2>&1)
        echo "$out"
    done
    # Nobody has signed it here.
    say "$out" "no signature over its resources"
    say "$out" "3.0.0 -> 3.1.0 ($triple): by patch"
    find "$work/app-bundles" -name '*hello-3.0.0-to-3.1.0-*.patch' -printf '%f: %s bytes\n' | grep patch || fail "no patch of the app bundle"
    step "what is published is Hello.app, byte for byte"
    local bundle
    bundle=$(find "$work/app-bundles" -name "*hello-3.1.0-$triple.tar.xz" | head -1)
    mkdir "$work/unpacked"
    tar -xJf "$bundle" -C "$work/unpacked" --exclude .updater-manifest.json
    diff -r --no-dereference "$work/dist/Hello.app" "$work/unpacked" || fail "something was added or lost"
    step "doctor, inside of Hello.app"
    out=$("$updater" updater doctor "$contents/MacOS/hello" 2>&1) || true
    echo "$out"
    say "$out" "hello"
}

macos() {
    install_missing python3 python3 file file
    python3 -c 'import ensurepip' 2>/dev/null || as_root apt-get install -y -qq python3-venv >/dev/null
    debian_rust
    local zig=$built/zig
    [ -x "$zig/bin/cargo-zigbuild" ] || { python3 -m venv "$zig" && "$zig/bin/pip" -q install ziglang cargo-zigbuild; }
    export PATH=$zig/bin:$PATH
    local triple
    for triple in aarch64-apple-darwin x86_64-apple-darwin; do
        [ "${TESTS:-1}" = 1 ] || continue
        step "type check for $triple"
        cargo-zigbuild check --locked --target $triple -p updater-runtime -p updater-build -p updater-launcher
    done
    triple=aarch64-apple-darwin
    # `cargo updater` calls what CARGO names.
    # shellcheck disable=SC2016
    printf '#!/bin/sh\n[ "$1" = build ] || exec /usr/bin/cargo "$@"\nshift\nCARGO=/usr/bin/cargo exec "%s" zigbuild "$@"\n' \
        "$zig/bin/cargo-zigbuild" >"$work/cargo"
    chmod +x "$work/cargo"
    port=18943
    step "hello for $triple, linked by zig, published: bundles, a patch, a rehearsal up to the verified files"
    package $triple
    # Programs are linked without the frameworks of Apple, which are not here: no HTTP, whose certificates come from them.
    sed -i 's/^updater-runtime = .*/updater-runtime = { path = "'"${checkout//\//\\/}"'\/updater-runtime", default-features = false }/' "$app/Cargo.toml"
    # Debian's compiler has no rust-objcopy, which strips Mach-O files.
    sed -i '/^\[profile.dev.package.hello\]/,+1s/true/false/' "$app/Cargo.toml"
    export CARGO=$work/cargo
    publish 1.0.0 healthy
    cp "$built/$triple/debug/hello" "$work/hello-1.0.0"
    publish 1.1.0 healthy
    local program=$built/$triple/debug/hello
    say "$(file -b "$program")" "Mach-O 64-bit"
    say "$("$updater" updater status 2>&1)" "1.1.0"
    find "$work/repository" -name '*hello-1.0.0-to-1.1.0-*.patch' -printf '%f: %s bytes\n' | grep patch || fail "no patch was made"
    step "bundle --from-dir"
    mkdir "$work/folder"
    cp "$program" "$work/folder/hello"
    "$updater" updater bundle --from-dir "$work/folder" --version 2.0.0 --target $triple
    step "doctor"
    local out
    out=$("$updater" updater doctor "$program" 2>&1) || true
    echo "$out"
    say "$out" "hello"
    app_bundle "$triple" "$program"
    cd "$checkout"
    echo "macos: checked and linked; NOT RUN: that needs a Mac"
}

[ $# -gt 0 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2; }
for platform in "$@"; do
    case $platform in
    arm64 | musl | macos) ("$platform") ;;
    *) fail "$platform is not known: arm64, musl, macos" ;;
    esac
done
