#!/usr/bin/env python3
"""Runs the steps of a composite action in order, as GitHub's runner does, in this folder.

    run-action.py ACTION COMMAND [INPUT=VALUE ...]

Two programs of a runner are stood for: `gh api --method POST PATH` by curl to $GITHUB_API_URL, and `cargo install` of our own
program by a copy of $CARGO_UPDATER. Expressions are those that the action uses and no others: an unknown one is an error.
"""
import os, re, shutil, subprocess, sys, tempfile
from ruamel.yaml import YAML

GH = """#!/bin/sh
[ "$1 $2 $3" = "api --method POST" ] || { echo "gh: $*" >&2; exit 1; }
exec python3 - "$GITHUB_API_URL/$4" "$GH_TOKEN" <<'PY'
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], method="POST", data=b"", headers={"Authorization": "Bearer " + sys.argv[2]})
urllib.request.urlopen(request)
PY
"""
CARGO = """#!/bin/sh
[ "$1 $2" = "install cargo-release-updater" ] || { echo "cargo: $*" >&2; exit 1; }
cp "$CARGO_UPDATER" "$(dirname "$0")/cargo-updater"
"""


def main():
    action, command, *rest = sys.argv[1:]
    with open(action) as file:
        action = YAML(typ="safe").load(file)
    inputs = {name: str(about.get("default", "")) for name, about in action["inputs"].items()}
    inputs.update(pair.split("=", 1) for pair in rest)
    inputs["command"] = command
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bin")
        os.mkdir(path)
        for name, text in [("gh", GH), ("cargo", CARGO)]:
            with open(os.path.join(path, name), "w") as file:
                file.write(text)
            os.chmod(os.path.join(path, name), 0o755)
        env = dict(os.environ, PATH=path + ":" + os.environ["PATH"])
        # Cargo itself reads the workspace; only `cargo install` is stood for.
        real = shutil.which("cargo")
        with open(os.path.join(path, "cargo"), "w") as file:
            file.write(CARGO.replace('{ echo "cargo: $*" >&2; exit 1; }', f'exec "{real}" "$@"'))
        for step in action["runs"]["steps"]:
            if "if" in step and not condition(step["if"], inputs):
                continue
            values = {name: expand(str(value), inputs, env) for name, value in step.get("env", {}).items()}
            output = os.path.join(folder, "output")
            open(output, "w").close()
            script = os.path.join(folder, "script")
            with open(script, "w") as file:
                file.write(step["run"])
            # https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idstepsshell
            where = expand(step.get("working-directory", "."), inputs, env)
            done = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", script], cwd=where, env=dict(env, **values, GITHUB_OUTPUT=output))
            sys.stdout.write(open(output).read())
            sys.stdout.flush()
            if done.returncode != 0:
                sys.exit(done.returncode)


def expand(text, inputs, env):
    def value(match):
        expression = match.group(1).strip()
        if expression.startswith("inputs."):
            return inputs[expression[len("inputs."):]]
        if expression == "env.GITHUB_TOKEN || env.GH_TOKEN":
            return env.get("GITHUB_TOKEN") or env.get("GH_TOKEN", "")
        raise SystemExit(f"the expression {expression!r} is not known")
    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


def condition(text, inputs):
    def one(part):
        match = re.fullmatch(r"inputs\.([a-z-]+) (==|!=) '([a-z]*)'", part.strip())
        if not match:
            raise SystemExit(f"the condition {part!r} is not known")
        name, operator, wanted = match.groups()
        return (inputs[name] == wanted) == (operator == "==")
    return all(one(part) for part in text.split("&&"))


main()
