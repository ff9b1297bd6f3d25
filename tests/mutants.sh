#!/usr/bin/env bash
# Do the tests notice a weaker client? Applies each patch of tests/mutants/ to a copy of the sources, one at a time, runs
# the tests of trust, and prints which of them failed. A mutant that survives, no longer applies or does not compile is a
# failure of this script.
#
#   bash tests/mutants.sh [name...]
set -uo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/mutants RUST_BACKTRACE=0 CARGO_TERM_COLOR=never

copy=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$copy" "$log"' EXIT
tar -c --exclude=./target --exclude=./.git . | tar -x -C "$copy"

unit=(-p updater-format --features interop --lib)
choice=(-p updater-runtime --lib -- check:: route::)
suite=(-p updater-tests --test trust --test trust_keys --test trust_faults --test trust_state --test steering --test refresh
    --test transport)

# Runs tests; 0 when all passed, 1 when some failed, 2 when they could not be built.
run() {
    (cd "$copy" && cargo test -q --no-run "$@") >"$log" 2>&1 || return 2
    (cd "$copy" && cargo test --no-fail-fast "$@") >"$log" 2>&1 || return 1
}
killers() { sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log"; }

for tests in unit choice suite; do
    declare -n arguments=$tests
    if ! run "${arguments[@]}"; then
        cat "$log"
        echo "the tests fail without any mutant" >&2
        exit 1
    fi
done

survived=0
for patch in tests/mutants/*.patch; do
    name=$(basename "$patch" .patch)
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    if ! patch -s -p1 -d "$copy" <"$patch"; then
        echo "STALE     $name: the patch no longer applies"
        exit 1
    fi
    verdict=SURVIVED
    for tests in unit choice suite; do
        declare -n arguments=$tests
        run "${arguments[@]}"
        case $? in
        1) verdict="killed by $(killers | wc -l) tests, such as $(killers | head -1)"; break ;;
        2) verdict="DOES NOT COMPILE"; cat "$log"; break ;;
        esac
    done
    printf '%-30s %s\n' "$name" "$verdict"
    [[ $verdict == killed* ]] || survived=$((survived + 1))
    patch -s -R -p1 -d "$copy" <"$patch"
done
[ "$survived" = 0 ] || { echo "$survived mutants were not killed" >&2; exit 1; }
