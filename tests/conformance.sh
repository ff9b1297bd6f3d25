#!/usr/bin/env bash
# Runs the official TUF client conformance suite against `tuf-conformance-client`.
#
#   TUF_CONFORMANCE=../tuf-conformance bash tests/conformance.sh [pytest arguments]
#
# TUF_CONFORMANCE is a checkout of https://github.com/theupdateframework/tuf-conformance. The suite and its Python
# packages are installed into an environment of their own below the target folder; `faketime` must be on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${TUF_CONFORMANCE:?set TUF_CONFORMANCE to a checkout of github.com/theupdateframework/tuf-conformance}
suite=$(cd "$suite" && pwd)
command -v faketime >/dev/null || { echo "faketime is missing: apt-get install faketime" >&2; exit 1; }

target=${CARGO_TARGET_DIR:-$PWD/target}
environment=$target/tuf-conformance-python
if ! "$environment/bin/python" -c 'import tuf_conformance' 2>/dev/null; then
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -e "$suite"
fi

cargo build --release --locked -p updater-tests --bin tuf-conformance-client
echo "suite: $(git -C "$suite" rev-parse HEAD 2>/dev/null || echo "not a git checkout: $suite")"
"$environment/bin/pytest" -p no:cacheprovider "$suite/tuf_conformance" \
    --entrypoint "$target/release/tuf-conformance-client" "$@"
