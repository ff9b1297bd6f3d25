#!/usr/bin/env bash
# Does the harness of crash points notice a weaker install? Applies each patch of tests/mutants/install/ to a copy of the
# sources, one at a time, disturbs an update in the way that should tell, and prints how many failures were reported. A
# mutant without a failure, one that no longer applies or one that does not compile is a failure of this script.
#
#   bash tests/mutants-install.sh [name...]      needs strace and cc; SECONDS_EACH at most for each (default 150)
set -uo pipefail
cd "$(dirname "$0")/.."
command -v strace >/dev/null || { echo "strace is needed (apt install strace)" >&2; exit 1; }
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/mutants CARGO_TERM_COLOR=never

copy=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$copy" "$log"' EXIT
tar -c --exclude=./target --exclude=./.git . | tar -x -C "$copy"

# Runs disturbances on one kind of install; 0 without failures, 1 with failures, 2 when it could not be
# built or run.
disturb() {
    (cd "$copy" && cargo build -q --no-default-features -p updater-tests --bin crash-points) >"$log" 2>&1 || return 2
    "$CARGO_TARGET_DIR/debug/crash-points" --only "$@" --seconds "${SECONDS_EACH:-150}" >"$log" 2>&1
    local code=$?
    tail -1 "$log" | grep -q '^crash points: ' || return 2
    return $code
}

if ! disturb directory/bundle --faults cut; then
    cat "$log"
    echo "there are failures without any mutant" >&2
    exit 1
fi
echo "without a mutant: $(tail -1 "$log")"

survived=0
for patch in tests/mutants/install/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    if ! patch -s -p1 -d "$copy" <"$patch"; then
        echo "STALE     $name: the patch no longer applies"
        exit 1
    fi
    case $name in
    no-second-look) disturb directory/bundle --faults lie ;;
    no-journal) disturb directory/repair --all ;;
    no-sync-of-folder | no-sync-of-journal) disturb executable/ --faults cut ;;
    *version*) disturb versions/bundle --faults cut ;;
    *) disturb directory/bundle --faults cut ;;
    esac
    case $? in
    0) verdict=SURVIVED ;;
    1) verdict="noticed: $(tail -1 "$log" | grep -o '[0-9]* failures'), first $(grep -m1 -o '^FAILED [^:=]*' "$log")" ;;
    *) verdict="DOES NOT RUN"; cat "$log" ;;
    esac
    printf '%-20s %s\n' "$name" "$verdict"
    [[ $verdict == noticed* ]] || survived=$((survived + 1))
    patch -s -R -p1 -d "$copy" <"$patch"
done
[ "$survived" = 0 ] || { echo "$survived mutants were not noticed" >&2; exit 1; }
