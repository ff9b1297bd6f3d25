#!/bin/sh
# Installs {{app}} for the user who runs it.
#
#   curl -fsSL {{url}}/install.sh | sh
#   sh install.sh --help
#
# Whoever runs this from a server trusts that server for as long as it takes. What is installed is checked against
# a list that the developers have signed, with the keys below.
set -eu

app='{{app}}'
url='{{url}}'
# Where the files lie when that is not below the address.
files='{{files}}'
channel='{{channel}}'
bin="${HOME:-}/.local/bin"
folder="${XDG_DATA_HOME:-${HOME:-}/.local/share}/$app"
unverified=no
expired=no
action=install

# The keys by which minisign knows each channel.
keys_of() {
    case "$1" in
{{keys}}
    esac
}

usage() {
    cat <<USAGE
Installs $app, checked against its developers' signature. Afterwards it updates itself.

Usage: sh install.sh [options]

  --channel NAME     the channel to install from: {{channels}} (default: $channel);
                     which one it follows afterwards is built into the program
  --bin DIR          where the command goes (default: $bin)
  --to DIR           where a program of several files goes (default: $folder)
  --url URL          another address of the same repository (default: $url)
  --unverified       install without checking the signature, when neither minisign nor OpenSSL 3 is here
  --expired          accept a list that is past its time
  --uninstall        remove what this script has installed
  --help             this text
USAGE
}

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $1"
    shift
    for hint in "$@"; do say "  help: $hint"; done
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

manifest=.updater-manifest.json
# Lies in a folder in which an uninstall has left files of the user.
left=.updater-left

# What a manifest lists, one line each: the digest of a file, or the word link, then the path. A manifest has no newline at
# its end, and no path a quote.
listed() { # manifest
    { cat "$1" && echo; } | sed 's/{"length":/\
&/g; s/{"link":"/\
&/g' | sed -n \
        -e 's/^{"length":.*"path":"\([^"]*\)","sha256":"\([0-9a-f]*\)".*/\2 \1/p' \
        -e 's/^{"link":.*"path":"\([^"]*\)".*/link \1/p'
}

# Every file of a folder, relative to it, but for our own two.
files_of() { # folder
    (cd "$1" && find . ! -type d ! -path "./$manifest" ! -path "./$left") | sed 's|^\./||' | LC_ALL=C sort
}

# Where a program keeps what it knows of its updates: the runtime's own rule.
state_folder() {
    case "${XDG_STATE_HOME:-}" in
    /*) echo "$XDG_STATE_HOME/$app" ;;
    *)
        case "$(uname -s)" in
        Darwin) echo "$HOME/Library/Application Support/cargo-updater/$app" ;;
        *) echo "$HOME/.local/state/$app" ;;
        esac
        ;;
    esac
}

# Removes that, file by file: the program itself may keep something in the same folder.
forget() { # folder
    for file in "$1/install-id" "$1/last-check" "$1/skipped-version" "$1/metadata/timestamp.etag" "$1/metadata/lock" \
        "$1/metadata"/*.json "$1/metadata/roots"/*.root.json; do
        [ -f "$file" ] || continue
        rm -f -- "$file"
        case "$forgotten" in *" $1") ;; *) forgotten="$forgotten $1" ;; esac
    done
    rmdir "$1/metadata/roots" "$1/metadata" "$1" 2>/dev/null || :
}

# Removes what was installed: the program, or of a folder the files that its manifest names, as long as they are what it
# names. The rest a user has added or changed, or it is an older file that users may edit: it stays.
uninstall() {
    found=no
    if [ -f "$folder/$manifest" ]; then
        found=yes
        has sha256sum || has shasum || has openssl ||
            fail "nothing here can tell which files of $folder were changed" "install sha256sum, shasum or openssl"
        listed "$folder/$manifest" | while IFS= read -r line; do
            digest=${line%% *} file=${line#* }
            case "/$file/" in *"/../"* | "//"*) continue ;; esac
            if [ "$digest" = link ]; then
                [ ! -L "$folder/$file" ] || rm -f -- "$folder/$file"
                continue
            fi
            # Beside a file that a user has edited an update lays its own as .new.
            for copy in "$folder/$file" "$folder/$file.new"; do
                if [ -f "$copy" ] && [ ! -L "$copy" ] && [ "$(digest_of "$copy")" = "$digest" ]; then rm -f -- "$copy"; fi
            done
        done
        rm -f -- "$folder/$manifest" "$folder/$left"
        find "$folder" -depth -type d -exec rmdir {} \; 2>/dev/null || :
    fi
    if [ -L "$bin/$app" ] || [ -f "$bin/$app" ]; then
        found=yes
        rm -f -- "$bin/$app"
    fi
    # What the program keeps for its own updates.
    rm -rf -- "$bin/.$app.updater" "$(dirname "$folder")/.$(basename "$folder").updater"
    forgotten=
    forget "$(state_folder)"
    # An administrator's may lie there instead.
    if [ "$(id -u)" = 0 ]; then
        forget "/var/lib/cargo-updater/$app"
        forget "/Library/Application Support/cargo-updater/$app"
    fi
    if [ "$found$forgotten" = no ]; then
        [ ! -f "$folder/$left" ] || fail "$app is not installed; what is in $folder may be yours" \
            "remove that folder by hand, or leave it: an install goes into it and keeps your files"
        fail "$app is not installed in $bin or $folder" "name the folders with --bin and --to"
    fi
    say "removed $app${forgotten:+, and what it kept for its updates in$forgotten}"
    if [ -d "$folder" ]; then
        : >"$folder/$left"
        say "left in $folder, because it may be yours:"
        files_of "$folder" | sed 's/^/  /; 21{s/.*/  .../;q;}' >&2
    fi
}

fetch() { # what, file
    fetch_from "$url/$1" "$2"
}

fetch_from() { # address, file
    if has curl; then
        curl --fail --silent --show-error --location --max-redirs 3 --proto '=https,http,file' --proto-redir '=https' \
            --retry 3 --output "$2" "$1"
    elif has wget; then
        wget --quiet --tries=3 --max-redirect=3 --output-document="$2" "$1"
    else
        fail "neither curl nor wget is here" "install one of them"
    fi || fail "cannot fetch $1" "look whether the address is right, and whether there is a network"
}

# The list ends with a line that is the signature over all lines before it.
fetch_list() {
    list=VERSION
    [ "$channel" = stable ] || list=VERSION.$channel
    fetch "$list" "$work/VERSION"
    [ "$(wc -c <"$work/VERSION")" -le 65536 ] || fail "$url/$list is no list of releases" "look at it in a browser"
    sed '$d' "$work/VERSION" >"$work/list"
    sed -n '$s/^SIGNATURE //p' "$work/VERSION" >"$work/signature64"
    [ -s "$work/signature64" ] || fail "$url/$list is no signed list" "look at it in a browser"
}

decode64() {
    if has base64; then base64 -d 2>/dev/null || base64 -D; else openssl base64 -d -A; fi
}

can_openssl() {
    has openssl && openssl dgst -blake2b512 /dev/null >/dev/null 2>&1 &&
        openssl pkeyutl -help 2>&1 | grep -q -e '-rawin'
}

# Checks the list with the bare signature in the second line of the .minisig: Ed25519 over the BLAKE2b-512 of the file.
# The trusted comment in its third and fourth line says what the list itself says.
check_with_openssl() { # key
    printf '%s' "$1" | decode64 | tail -c 32 >"$work/raw"
    { printf '\060\052\060\005\006\003\053\145\160\003\041\000' && cat "$work/raw"; } >"$work/key.der"
    sed -n 2p "$work/list.minisig" | decode64 >"$work/signed"
    [ "$(head -c 2 "$work/signed")" = ED ] || return 1
    tail -c 64 "$work/signed" >"$work/signature"
    openssl dgst -blake2b512 -binary "$work/list" >"$work/digest"
    openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey "$work/key.der" \
        -in "$work/digest" -sigfile "$work/signature" >/dev/null 2>&1
}

check_signature() {
    decode64 <"$work/signature64" >"$work/list.minisig"
    if ! has minisign && ! can_openssl; then
        [ "$unverified" = yes ] || fail "neither minisign nor OpenSSL 3 is here, so the signature cannot be checked" \
            "install minisign" "or accept what the server says, with --unverified"
        say "warning: the signature of $app is NOT checked"
        return 0
    fi
    for key in $keys; do
        if has minisign; then
            minisign -V -q -P "$key" -m "$work/list" -x "$work/list.minisig" >/dev/null 2>&1 && return 0
        else
            check_with_openssl "$key" && return 0
        fi
    done
    fail "the signature of $url/$list is wrong" "do not install this; tell the developers of $app"
}

field() { sed -n "s/^$1 //p" "$work/list" | head -n 1; }

check_list() {
    [ "$(field APP)" = "$app" ] || fail "$url/$list is of another program" "look whether the address is right"
    [ "$(field CHANNEL)" = "$channel" ] || fail "$url/$list is of another channel" "look whether the address is right"
    # Times of this form sort as text.
    until=$(field EXPIRES)
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    first=$(printf '%s\n%s\n' "$now" "$until" | LC_ALL=C sort | head -n 1)
    if [ "$first" != "$now" ] || [ "$until" = "$now" ]; then
        [ "$expired" = yes ] || fail "$url/$list ended on $until: it may be an old one that somebody put back" \
            "look at the clock of this computer, try later, or accept it with --expired"
    fi
}

# Two versions in ascending order?
not_above() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t . -k 1,1n -k 2,2n | head -n 1)" = "$1" ]; }

# A system of the GNU C library may have musl's loader besides.
is_musl() {
    if getconf GNU_LIBC_VERSION >/dev/null 2>&1; then return 1; fi
    for loader in /lib/ld-musl-*; do [ -e "$loader" ] && return 0; done
    (ldd --version 2>&1 || :) | grep -qi musl
}

# The triples that run here, the best first.
triples() {
    machine=$(uname -m)
    case "$(uname -s)" in
    Linux)
        case "$machine" in
        x86_64 | amd64) arch=x86_64 abi= ;;
        aarch64 | arm64) arch=aarch64 abi= ;;
        armv7* | armv8l) arch=armv7 abi=eabihf ;;
        armv6*) arch=arm abi=eabihf ;;
        i?86) arch=i686 abi= ;;
        riscv64) arch=riscv64gc abi= ;;
        ppc64le) arch=powerpc64le abi= ;;
        s390x) arch=s390x abi= ;;
        *) fail "there is no name for the processor $machine here" "look at $url/ for a download" ;;
        esac
        # A 64-bit kernel may run nothing but 32-bit programs.
        if [ "$arch" = x86_64 ] && [ "$(getconf LONG_BIT 2>/dev/null || echo 64)" = 32 ]; then arch=i686; fi
        is_musl || echo "$arch-unknown-linux-gnu$abi"
        echo "$arch-unknown-linux-musl$abi"
        ;;
    Darwin)
        # A shell under Rosetta says x86_64 on Apple silicon.
        if [ "$machine" = arm64 ] || [ "$(sysctl -n sysctl.proc_translated 2>/dev/null || echo 0)" = 1 ]; then
            echo aarch64-apple-darwin
        fi
        echo x86_64-apple-darwin
        ;;
    FreeBSD)
        case "$machine" in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac
        echo "$machine-unknown-freebsd"
        ;;
    MINGW* | MSYS* | CYGWIN*) fail "this is Windows" "run in PowerShell: irm $url/install.ps1 | iex" ;;
    *) fail "there is no download for $(uname -s)" "look at $url/" ;;
    esac
}

choose() {
    too_old=
    candidates=$(triples)
    for candidate in $candidates; do
        line=$(grep "^CURRENT .* $candidate\$" "$work/list" || :)
        [ -n "$line" ] || continue
        needed=$(sed -n "s/^LIBC \([0-9.]*\) $candidate\$/\1/p" "$work/list")
        case "$candidate" in
        *-gnu*)
            here=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //' || :)
            if [ -n "$needed" ] && [ -n "$here" ] && ! not_above "$needed" "$here"; then
                too_old="it needs glibc $needed, this system has $here"
                continue
            fi
            ;;
        esac
        triple=$candidate
        # The fields of a line have no spaces.
        # shellcheck disable=SC2086
        set -- $line
        version=$2 file=$3 digest=$4
        kind=$(sed -n "s/^KIND \([a-z-]*\) $candidate\$/\1/p" "$work/list")
        return 0
    done
    [ -z "$too_old" ] || fail "the newest $app does not run here: $too_old" "update the system, or look at $url/"
    fail "there is no $app for this system, $(echo "$candidates" | head -n 1)" "look at $url/ for what there is"
}

digest_of() {
    if has sha256sum; then
        sha256sum "$1"
    elif has shasum; then
        shasum -a 256 "$1"
    else
        openssl dgst -r -sha256 "$1"
    fi | cut -d ' ' -f 1
}

download() {
    say "downloading $app $version ($triple)"
    if [ -n "$files" ]; then
        name=${file#*.}
        fetch_from "$(printf '%s' "$files" | sed "s|{version}|$version|;s|{sha256}|$digest|;s|{name}|$name|")" "$work/bundle.tar.xz"
    else
        fetch "targets/$file" "$work/bundle.tar.xz"
    fi
    [ "$(digest_of "$work/bundle.tar.xz")" = "$digest" ] ||
        fail "$file is not what the developers have signed" "try again; if it stays so, tell the developers of $app"
    mkdir "$work/tree"
    tar -xJf "$work/bundle.tar.xz" -C "$work/tree" || fail "cannot unpack $file" "install xz and a tar that can use it"
}

# Refuses a place that cannot be installed into, before anything is downloaded for it.
check_place() {
    case "$kind" in
    executable) [ ! -d "$bin/$app" ] || fail "$bin/$app is a folder" "name another folder with --bin" ;;
    directory)
        [ ! -f "$folder/$manifest" ] || fail "$app is in $folder already" \
            "start it: it updates itself; or remove it with --uninstall, or name another folder with --to"
        if { [ -e "$folder" ] || [ -L "$folder" ]; } && [ ! -f "$folder/$left" ]; then
            fail "$folder is there already, and holds no $app that this script has installed" \
                "move it away, or name another folder with --to"
        fi
        if [ -e "$bin/$app" ] && [ ! -L "$bin/$app" ]; then
            fail "$bin/$app is there and is not from this script" "name another folder with --bin"
        fi
        ;;
    *) fail "this script cannot install a program of the kind ${kind:-that the list leaves out}" "look at $url/ for the download" ;;
    esac
}

place_program() {
    mkdir -p "$bin" || fail "cannot make $bin" "name another folder with --bin"
    program=$(find "$work/tree" -type f ! -name "$manifest" | head -n 1)
    [ -n "$program" ] || fail "$file has no program in it" "tell the developers of $app"
    # Written beside it and renamed: the old one runs until the new one is whole.
    if ! { cp "$program" "$bin/.$app.$$" && chmod 755 "$bin/.$app.$$" && mv -f "$bin/.$app.$$" "$bin/$app"; }; then
        rm -f "$bin/.$app.$$"
        fail "cannot write $bin/$app" "name another folder with --bin"
    fi
}

place_folder() {
    entry=$(sed -n 's/.*"entry":"\([^"]*\)".*/\1/p' "$work/tree/$manifest" | head -n 1)
    if [ -z "$entry" ] || [ ! -f "$work/tree/$entry" ]; then fail "$file has no program in it" "tell the developers of $app"; fi
    mkdir -p "$(dirname "$folder")" "$bin" || fail "cannot make the folders" "name others with --to and --bin"
    if [ -f "$folder/$left" ]; then
        place_beside
    elif ! { cp -R "$work/tree" "$folder.$$" && mv "$folder.$$" "$folder"; }; then
        rm -rf "$folder.$$"
        fail "cannot write $folder" "name another folder with --to"
    fi
    program=$folder/$entry
    ln -sf "$program" "$bin/$app"
}

# Installs beside what an uninstall has left to the user. A file that users may edit stays theirs, and the new one lies beside
# it as .new, as after an update; another one in the way is the user's to move.
place_beside() {
    files_of "$work/tree" >"$work/files"
    { cat "$work/tree/$manifest" && echo; } | sed -n 's/.*"keep_local":\["\(.*\)"\],"triple":.*/\1/p' | sed 's/","/\
/g; s|\*\*/|*|g' >"$work/patterns"
    in_the_way=
    while IFS= read -r new; do
        is_free "$new" || is_for_users "$new" || in_the_way="$in_the_way '$new'"
    done <"$work/files"
    [ -z "$in_the_way" ] || fail "files of yours in $folder are in the way:$in_the_way" "move them away, or name another folder with --to"
    while IFS= read -r new; do
        to=$folder/$new
        is_free "$new" || to=$to.new
        if ! { mkdir -p "$(dirname "$to")" && rm -f -- "$to" && cp -RP "$work/tree/$new" "$to"; }; then
            fail "cannot write $to" "move away what is there, and try again"
        fi
        [ "$to" = "$folder/$new" ] || say "note: $folder/$new stays as you have it; the new one is beside it as .new"
    done <"$work/files"
    # From now on it is an install.
    cp "$work/tree/$manifest" "$folder/$manifest" || fail "cannot write $folder/$manifest" "try again"
    rm -f -- "$folder/$left"
}

# Is there nothing in the place of a new file, or the same?
is_free() { # file
    if [ ! -e "$folder/$1" ] && [ ! -L "$folder/$1" ]; then return 0; fi
    [ -f "$folder/$1" ] && cmp -s "$work/tree/$1" "$folder/$1"
}

# May users edit this file? A star takes a slash here, too: that keeps more, and loses nothing.
is_for_users() { # file
    [ -f "$folder/$1" ] || return 1
    while IFS= read -r pattern; do
        # shellcheck disable=SC2254 # A pattern is what it is.
        case "$1" in $pattern) return 0 ;; esac
    done <"$work/patterns"
    return 1
}

# The channels that a program was built to follow, as a text in it says; nothing when there is none.
followed_by() { # program
    LC_ALL=C tr -cs '[:print:]' '\n' <"$1" | sed -n 's/.*cargo-updater-channels=\([a-z0-9,_-]*\);.*/\1/p' | head -n 1
}

tell_installed() {
    follows=$(followed_by "$program")
    case "$follows" in
    '') from="the channel that it was built for" ;;
    *,*) from="the channel ${follows%%,*}, and from $(echo "${follows#*,}" | sed 's/,/, /g') when that is newer" ;;
    *) from="the channel $follows" ;;
    esac
    say "installed $app $version as $bin/$app; it updates itself from now on, from $from"
    case "${follows:-$channel}" in
    "$channel" | "$channel,"*) ;;
    *) say "note: this version is from the channel $channel, and the next one comes from ${follows%%,*}: that is built into it" ;;
    esac
}

# Everything happens from here, so that half a download of this script does nothing.
main() {
    while [ $# -gt 0 ]; do
        case "$1" in
        --channel | --bin | --to | --url)
            [ $# -ge 2 ] || fail "$1 needs a value" "sh install.sh --help"
            case "$1" in
            --channel) channel=$2 ;;
            --bin) bin=$2 ;;
            --to) folder=$2 ;;
            --url) url=${2%/} ;;
            esac
            shift 2
            ;;
        --unverified) unverified=yes && shift ;;
        --expired) expired=yes && shift ;;
        --uninstall) action=uninstall && shift ;;
        --help | -h) usage && exit 0 ;;
        *) fail "there is no option $1" "sh install.sh --help" ;;
        esac
    done

    [ -n "${HOME:-}" ] || fail "HOME is not set" "say where to install with --bin and --to, and set HOME"

    if [ "$action" = uninstall ]; then
        uninstall
        return 0
    fi

    [ -n "$url" ] || fail "this script does not know where $app is published" "name the address with --url"
    keys=$(keys_of "$channel")
    [ -n "$keys" ] || fail "there is no channel $channel" "the channels are: {{channels}}"
    case "$url" in
    https://* | file://* | http://127.0.0.1[:/]* | http://localhost[:/]*) ;;
    *) fail "$url is neither https:// nor on this computer" "name an address that begins with https://" ;;
    esac

    work=$(mktemp -d "${TMPDIR:-/tmp}/$app-install.XXXXXXXX") || fail "cannot make a folder for temporary files"
    trap 'rm -rf -- "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    fetch_list
    check_signature
    check_list
    choose
    check_place
    download
    case "$kind" in
    executable) place_program ;;
    directory) place_folder ;;
    esac
    tell_installed
    case ":${PATH:-}:" in
    *":$bin:"*) ;;
    *) say "note: $bin is not in PATH; add it, for example: echo 'export PATH=\"$bin:\$PATH\"' >>~/.profile" ;;
    esac
}

main "$@"
