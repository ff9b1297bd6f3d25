#!/usr/bin/env python3
"""Measures updater-delta beside bsdiff, zstd, xdelta3 and HDiffPatch on pairs of released programs.

    benches/delta.py                      all pairs, all tools, the tables into docs/benchmarks/delta.md
    benches/delta.py --only ours --dry    how far we are: ours measured now, the other tools as they were measured last
    benches/delta.py --pairs just-x64,ruff-x64 --repeat 3
    benches/delta.py --alternate 5        applying alone, ours and bspatch in turns, so that other work on the machine hits both

Fetches the pairs (`cargo run -p updater-tests --bin corpus`: pip and npm, by package name), builds our program, applies every patch
and compares the result byte for byte; a tool whose result differs ends the run. Needs the Debian packages bsdiff, xdelta3, zstd and
time; HDiffPatch comes from PyPI (`hdiffpatch`) into a virtual environment below the target folder if Python does not have it.

Every measurement is kept in TARGET/benches/delta.json at once, ours under the digest of the program: a run that was interrupted goes
on where it stopped, and `--fresh` measures again what is there. Sizes are exact. CPU is user + system of the whole process, the
least of `--repeat` runs; on a machine with other work differences below 1.5 mean nothing. Memory is the largest resident set.
"""
import argparse, csv, datetime, filecmp, hashlib, json, math, os, pathlib, shutil, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
OURS = "updater-delta"
PAIRS = ["just-x64", "rustworkx-x64", "taplo-x64", "ruff-x64", "ruff-aarch64", "ruff-mac-arm64", "turbo-win", "astgrep-win", "maturin-x64"]
# So little of it stays from one release to the next that it stands in a row of its own.
APART = "maturin-x64"
# Its deltas are so small that it pulls every mean down: the means are given with and without it.
OUTLIER = "astgrep-win"
# Chromium 150's Zucchini, then `xz -9e`, in kB: it is built from Chromium's sources, so it was measured once and is cited here.
ZUCCHINI = {"just-x64": 699, "rustworkx-x64": 174, "taplo-x64": 629, "maturin-x64": 4007, "ruff-x64": 1472, "ruff-aarch64": 1425,
            "ruff-mac-arm64": 2113, "turbo-win": 2304, "astgrep-win": 252}
HDIFF_MAKE = ("import sys, hdiffpatch as h; o, n = (open(p, 'rb').read() for p in sys.argv[1:3]); "
              "open(sys.argv[3], 'wb').write(h.diff(o, n, compression=h.Lzma2Config(level=9, window=26), validate=False))")
HDIFF_APPLY = ("import sys, hdiffpatch as h; o, p = (open(x, 'rb').read() for x in sys.argv[1:3]); "
               "open(sys.argv[3], 'wb').write(h.apply(o, p))")
BEGIN, END = "<!-- written by benches/delta.py -->\n", "<!-- end of what benches/delta.py wrote -->\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, help="folder of NAME/old and NAME/new instead of fetching")
    parser.add_argument("--pairs", default="", help="names of pairs, separated by commas; all by default")
    parser.add_argument("--only", choices=["ours", "others"], help="measure only these; the rest is taken from the last run")
    parser.add_argument("--tool", type=pathlib.Path, help="our program; built in release mode when not given")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each command; the least CPU time counts")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument("--alternate", type=int, metavar="N", help="make patches with ours and bsdiff, apply each N times in turns, print the ratios")
    parser.add_argument("--dry", action="store_true", help="print the tables and write no document")
    arguments = parser.parse_args()
    names = [name for name in arguments.pairs.split(",") if name] or PAIRS
    if unknown := set(names) - set(PAIRS):
        sys.exit(f"error: no pair is called {', '.join(sorted(unknown))}\n  help: the pairs are {', '.join(PAIRS)}")
    own = (arguments.tool or build()).resolve()
    found = tools(own, needed=arguments.only != "ours")
    if arguments.alternate:
        return alternate(arguments.corpus, names, [found[OURS], found["bsdiff"]], arguments.alternate)
    kept = Kept(TARGET / "benches" / "delta.json")
    for name in names:
        old, new = pair(arguments.corpus, name)
        for tool, (version, make, apply) in found.items():
            if (arguments.only == "ours") == (tool == OURS) or arguments.only is None:
                if arguments.fresh or kept.get(name, tool, version) is None:
                    kept.put(name, tool, version, measure(name, tool, old, new, make, apply, arguments.repeat))
    versions = {tool: version for tool, (version, _, _) in found.items()}
    rows = [row for name in names for tool in versions if (row := kept.get(name, tool, versions[tool]))]
    text = tables(rows, names, versions)
    print(text)
    if not arguments.dry:
        write(rows, text)


def build():
    """Builds our program as its users would, and returns where it is."""
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", OURS, "--features", "encode", "--bin", OURS], check=True, cwd=ROOT)
    return TARGET / "release" / OURS


def pair(corpus, name):
    """Returns the two files of a pair, fetched if they are not there."""
    folder = (corpus or ROOT / "target/corpus") / name
    if not (folder / "new").exists() and corpus is None:
        subprocess.run(["cargo", "run", "-q", "--locked", "-p", "updater-tests", "--bin", "corpus", name], check=True, cwd=ROOT)
    for file in (folder / "old", folder / "new"):
        if not file.exists():
            sys.exit(f"error: {file} is not there\n  help: fetching it needs pip and npm with a network")
    return folder / "old", folder / "new"


def tools(own, needed):
    """Returns {name: (version, make, apply)}; make and apply give argument lists for old, new or result, and patch."""
    if needed:
        for program in ("bsdiff", "bspatch", "zstd", "xdelta3"):
            shutil.which(program) or sys.exit(f"error: {program} is not there\n  help: apt-get install bsdiff zstd xdelta3 time")
    python = python_with_hdiffpatch(needed)
    digest = hashlib.sha256(own.read_bytes()).hexdigest()[:16]
    return {
        OURS: (digest, lambda o, n, p: [own, "diff", o, n, p], lambda o, r, p: [own, "apply", o, p, r]),
        "bsdiff": ("4.3", lambda o, n, p: ["bsdiff", o, n, p], lambda o, r, p: ["bspatch", o, r, p]),
        "zstd -19": ("1", lambda o, n, p: ["zstd", "-q", "-f", "-19", "--long=31", f"--patch-from={o}", n, "-o", p],
                     lambda o, r, p: ["zstd", "-q", "-f", "-d", "--long=31", f"--patch-from={o}", p, "-o", r]),
        "xdelta3 -9": ("3", lambda o, n, p: ["xdelta3", "-e", "-f", "-9", "-S", "lzma", "-B", "536870912", "-s", o, n, p],
                       lambda o, r, p: ["xdelta3", "-d", "-f", "-B", "536870912", "-s", o, p, r]),
        "HDiffPatch": ("4", lambda o, n, p: [python, "-c", HDIFF_MAKE, o, n, p], lambda o, r, p: [python, "-c", HDIFF_APPLY, o, p, r]),
    }


def python_with_hdiffpatch(needed):
    """Returns a Python that has the package, in an environment made for it if need be."""
    def has(python):
        return subprocess.run([python, "-c", "import hdiffpatch"], capture_output=True).returncode == 0
    own = TARGET / "benches" / "venv"
    if not needed or has(sys.executable):
        return sys.executable
    if not has(own / "bin/python") if (own / "bin/python").exists() else True:
        subprocess.run([sys.executable, "-m", "venv", own], check=True)
        subprocess.run([own / "bin/pip", "install", "-q", "hdiffpatch"], check=True)
    return own / "bin/python"


class Kept:
    """What was measured, on disk after every measurement."""

    def __init__(self, path):
        self.path = path
        self.rows = json.loads(path.read_text()) if path.exists() else {}

    def get(self, name, tool, version):
        return self.rows.get(f"{name}|{tool}|{version}")

    def put(self, name, tool, version, row):
        self.rows[f"{name}|{tool}|{version}"] = row
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.rows, indent=1))
        partial.replace(self.path)


def measure(name, tool, old, new, make, apply, repeat):
    """Makes a patch, applies it, compares, and returns the row."""
    with tempfile.TemporaryDirectory() as scratch:
        patch, result = pathlib.Path(scratch, "patch"), pathlib.Path(scratch, "result")
        made = [run(make(old, new, patch)) for _ in range(repeat)]
        applied = [run(apply(old, result, patch)) for _ in range(repeat)]
        if not filecmp.cmp(new, result, shallow=False):
            sys.exit(f"error: {tool} does not bring {name} back")
        row = {"pair": name, "tool": tool, "new_bytes": new.stat().st_size, "patch_bytes": patch.stat().st_size,
               "make_cpu_s": round(min(cpu for cpu, _ in made), 2), "make_mib": round(max(memory for _, memory in made), 1),
               "apply_cpu_s": round(min(cpu for cpu, _ in applied), 3), "apply_mib": round(max(memory for _, memory in applied), 1),
               "load": round(os.getloadavg()[0], 1), "measured": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")}
    print(f"{name:16} {tool:14} {row['patch_bytes']:>9} B  make {row['make_cpu_s']:7.2f} s {row['make_mib']:6.0f} MiB"
          f"  apply {row['apply_cpu_s']:6.2f} s {row['apply_mib']:5.0f} MiB", flush=True)
    return row


def alternate(corpus, names, found, repeat):
    """Applies patches of two tools in turns and prints the least CPU time of each, and the geometric mean of the ratios."""
    ratios = {}
    for name in names:
        old, new = pair(corpus, name)
        with tempfile.TemporaryDirectory() as scratch:
            patches, result = [pathlib.Path(scratch, str(index)) for index in range(len(found))], pathlib.Path(scratch, "result")
            for patch, (_, make, _) in zip(patches, found):
                run(make(old, new, patch))
            least = [math.inf] * len(found)
            for _ in range(repeat):
                for index, (patch, (_, _, apply)) in enumerate(zip(patches, found)):
                    least[index] = min(least[index], run(apply(old, result, patch))[0])
                    if not filecmp.cmp(new, result, shallow=False):
                        sys.exit(f"error: a patch does not bring {name} back")
        ratios[name] = least[0] / max(least[1], 0.01)
        print(f"| {name} | {least[0]:.2f} | {least[1]:.2f} | {ratios[name]:.2f} |", flush=True)
    eight = [ratios[name] for name in names if name != APART]
    if eight:
        print(f"geometric mean without {APART}: {mean(eight):.2f}, load {os.getloadavg()[0]:.1f}")


def run(command):
    """Runs a command; returns CPU seconds and resident MiB."""
    with tempfile.NamedTemporaryFile("r") as report:
        words = ["/usr/bin/time", "-o", report.name, "-f", "%U %S %M", *map(str, command)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        user, system, resident = report.read().split()
    return float(user) + float(system), int(resident) / 1024


def mean(values):
    """The geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def tables(rows, names, versions):
    """Returns the tables as Markdown."""
    at = {(row["pair"], row["tool"]): row for row in rows}
    kinds = [kind for kind in versions if any(row["tool"] == kind for row in rows)]
    kilo = lambda row: f"{row['patch_bytes'] / 1000:,.0f}" if row else "-"
    lines = ["## Patch size, kB", "", f"| pair | new MB | {' | '.join(kinds)} | Zucchini + xz |", f"|---|---:|{'---:|' * len(kinds)}---:|"]
    for name in names:
        present = next((row for row in rows if row["pair"] == name), None)
        if present:
            sizes = " | ".join(kilo(at.get((name, kind))) for kind in kinds)
            lines.append(f"| {name} | {present['new_bytes'] / 1e6:.1f} | {sizes} | {ZUCCHINI[name]:,} |")
    complete = [name for name in names if all((name, kind) in at for kind in versions)]
    eight = [name for name in complete if name != APART]
    seven = [name for name in eight if name != OUTLIER]
    lines += ["", "## Beside the goals", "", f"Geometric means over {len(eight)} pairs; then without {OUTLIER}; then {APART} alone.", "",
              f"| figure | must | aim | {len(eight)} pairs | must without {OUTLIER} | without {OUTLIER} | {APART} |", "|---|---:|---:|---:|---:|---:|---:|"]
    for label, must, aim, must_seven, digits, figure in FIGURES:
        cells = [f"{mean([figure(at, name) for name in group]):.{digits}f}" if group else "-"
                 for group in (eight, seven, [name for name in complete if name == APART])]
        lines.append(f"| {label} | {must} | {aim} | {cells[0]} | {must_seven} | {cells[1]} | {cells[2]} |")
    lines += ["", "## CPU and memory", "", "| pair | tool | make, s | make, MiB | apply, s | apply, MiB |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(f"| {row['pair']} | {row['tool']} | {row['make_cpu_s']:.2f} | {row['make_mib']:,.0f} | {row['apply_cpu_s']:.2f} | {row['apply_mib']:,.0f} |")
    if rows:
        loads = [row["load"] for row in rows]
        lines += ["", f"Measured from {min(row['measured'] for row in rows)} to {max(row['measured'] for row in rows)} on a machine with "
                  f"{os.cpu_count()} processors and a load of {min(loads)} to {max(loads)} (this run included); sizes are exact, ratios of CPU times are not. "
                  "HDiffPatch runs inside Python, which adds about 10 MiB and reads whole files. Zucchini's figures are cited (Chromium 150, then `xz -9e`)."]
    return "\n".join(lines) + "\n"


def ratio(field, other):
    return lambda at, name: max(at[name, OURS][field], 0.01) / max(at[name, other][field], 0.01)


def per_megabyte(field):
    return lambda at, name: at[name, OURS][field] / (at[name, OURS]["new_bytes"] / 1e6)


# Label, must, aim, must without the outlier, digits, and the figure of one pair.
FIGURES = [
    ("patch / bsdiff 4.3", 0.37, 0.31, 0.42, 3, ratio("patch_bytes", "bsdiff")),
    ("patch / HDiffPatch `-m-6 -c-lzma2-9`", 0.48, 0.40, 0.54, 3, ratio("patch_bytes", "HDiffPatch")),
    ("patch / Zucchini + xz -9e (cited)", 0.66, 0.56, 0.72, 3, lambda at, name: at[name, OURS]["patch_bytes"] / (ZUCCHINI[name] * 1000)),
    ("patch / zstd -19 --patch-from", 0.34, 0.28, 0.39, 3, ratio("patch_bytes", "zstd -19")),
    ("CPU to make / bsdiff's", 0.6, 0.25, "", 2, ratio("make_cpu_s", "bsdiff")),
    ("resident to make, MiB per MB of new file", 9, 6, "", 1, per_megabyte("make_mib")),
    ("CPU to apply / bspatch's", 0.6, 0.3, "", 2, ratio("apply_cpu_s", "bsdiff")),
    ("resident to apply, MiB per MB of new file", 1.0, 0.3, "", 2, per_megabyte("apply_mib")),
]


def write(rows, text):
    """Writes every row as CSV, and the tables between the two marks of the document."""
    base = ROOT / "docs/benchmarks/delta"
    with open(base.with_suffix(".csv"), "w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    document = base.with_suffix(".md")
    before, rest = document.read_text().split(BEGIN)
    _, after = rest.split(END)
    document.write_text(before + BEGIN + "\n" + text + "\n" + END + after)


if __name__ == "__main__":
    main()
