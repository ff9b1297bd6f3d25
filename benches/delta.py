#!/usr/bin/env python3
"""Measures updater-delta beside bsdiff, zstd, xdelta3 and HDiffPatch on pairs of released programs.

    benches/delta.py [--corpus DIR] [--out docs/benchmarks/delta] [--tool PATH] [NAME ...]

DIR/NAME/old and DIR/NAME/new are the pairs; all folders below DIR are taken unless names are given. Every patch is applied and its
result compared byte for byte; a tool whose result differs ends the run. Needs bsdiff, bspatch, zstd, xdelta3 (Debian packages of these
names), xz, GNU time, and `pip install hdiffpatch` for HDiffPatch (left out if it is not there). Build the tool first:

    cargo build --release -p updater-delta --features encode --bin updater-delta

Writes OUT.csv (one row per pair and tool) and OUT.md (the tables). Sizes are exact. CPU is user + system of the whole process; on a
machine with other work differences below 1.5 mean nothing. Memory is the largest resident set.
"""
import argparse, csv, filecmp, math, pathlib, shutil, subprocess, sys, tempfile

HDIFF_MAKE = "import sys, hdiffpatch as h; o, n = (open(p, 'rb').read() for p in sys.argv[1:3]); open(sys.argv[3], 'wb').write(h.diff(o, n, compression=h.Lzma2Config(level=9, window=26), validate=False))"
HDIFF_APPLY = "import sys, hdiffpatch as h; o, p = (open(x, 'rb').read() for x in sys.argv[1:3]); open(sys.argv[3], 'wb').write(h.apply(o, p))"


def tools(own):
    """Returns {name: (make, apply)}; each takes old, new or result, patch and gives an argument list."""
    found = {
        "updater-delta": (lambda o, n, p: [own, "diff", o, n, p], lambda o, r, p: [own, "apply", o, p, r]),
        "bsdiff 4.3": (lambda o, n, p: ["bsdiff", o, n, p], lambda o, r, p: ["bspatch", o, r, p]),
        "zstd -19": (lambda o, n, p: ["zstd", "-q", "-f", "-19", "--long=31", f"--patch-from={o}", n, "-o", p],
                     lambda o, r, p: ["zstd", "-q", "-f", "-d", "--long=31", f"--patch-from={o}", p, "-o", r]),
        "xdelta3 -9": (lambda o, n, p: ["xdelta3", "-e", "-f", "-9", "-S", "lzma", "-B", "536870912", "-s", o, n, p],
                       lambda o, r, p: ["xdelta3", "-d", "-f", "-B", "536870912", "-s", o, p, r]),
    }
    if subprocess.run([sys.executable, "-c", "import hdiffpatch"], capture_output=True).returncode == 0:
        found["HDiffPatch"] = (lambda o, n, p: [sys.executable, "-c", HDIFF_MAKE, o, n, p],
                               lambda o, r, p: [sys.executable, "-c", HDIFF_APPLY, o, p, r])
    return found


def measure(command):
    """Runs a command; returns CPU seconds and resident MiB."""
    with tempfile.NamedTemporaryFile("r") as report:
        subprocess.run(["/usr/bin/time", "-o", report.name, "-f", "%U %S %M", *map(str, command)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        user, system, resident = report.read().split()
    return float(user) + float(system), int(resident) / 1024


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--corpus", default="target/corpus", type=pathlib.Path)
    arguments.add_argument("--out", default="docs/benchmarks/delta", type=pathlib.Path)
    arguments.add_argument("--tool", default="target/release/updater-delta")
    arguments.add_argument("names", nargs="*")
    arguments = arguments.parse_args()
    own = shutil.which(arguments.tool) or sys.exit(f"error: {arguments.tool} is not there\n  help: build it as the head of this file says")
    names = arguments.names or sorted(folder.name for folder in arguments.corpus.iterdir() if (folder / "new").exists())
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        patch, result = pathlib.Path(scratch, "patch"), pathlib.Path(scratch, "result")
        for name in names:
            old, new = arguments.corpus / name / "old", arguments.corpus / name / "new"
            for tool, (make, apply) in tools(own).items():
                make_cpu, make_memory = measure(make(old, new, patch))
                apply_cpu, apply_memory = measure(apply(old, result, patch))
                if not filecmp.cmp(new, result, shallow=False):
                    sys.exit(f"error: {tool} does not bring {name} back")
                rows.append({"pair": name, "tool": tool, "new_bytes": new.stat().st_size, "patch_bytes": patch.stat().st_size,
                             "make_cpu_s": round(make_cpu, 2), "make_mib": round(make_memory, 1),
                             "apply_cpu_s": round(apply_cpu, 2), "apply_mib": round(apply_memory, 1)})
                print(f"{name:16} {tool:14} {rows[-1]['patch_bytes']:>9} B  make {make_cpu:6.2f} s {make_memory:6.0f} MiB"
                      f"  apply {apply_cpu:5.2f} s {apply_memory:5.0f} MiB", flush=True)
                patch.unlink()
                result.unlink()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with open(arguments.out.with_suffix(".csv"), "w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    arguments.out.with_suffix(".md").write_text(tables(rows))


def tables(rows):
    names = list(dict.fromkeys(row["pair"] for row in rows))
    kinds = list(dict.fromkeys(row["tool"] for row in rows))
    at = {(row["pair"], row["tool"]): row for row in rows}
    lines = ["# Deltas of released programs", "", "Made by `benches/delta.py`. Every patch was applied and the result compared byte for byte.", "",
             "## Patch size, kB", "", f"| pair | new MB | {' | '.join(kinds)} |", f"|---|---:|{'---:|' * len(kinds)}"]
    for name in names:
        sizes = " | ".join(f"{at[name, kind]['patch_bytes'] / 1000:,.0f}" for kind in kinds)
        lines.append(f"| {name} | {at[name, kinds[0]]['new_bytes'] / 1e6:.1f} | {sizes} |")
    lines += ["", f"## Geometric means over {len(names)} pairs", "",
              "| tool | size / ours | size / bsdiff's | CPU to make / bsdiff's | MiB per MB to make | CPU to apply / bspatch's | MiB per MB to apply |",
              "|---|---:|---:|---:|---:|---:|---:|"]
    for kind in kinds:
        def ratio(field, other):
            return mean([max(at[name, kind][field], 0.01) / max(at[name, other][field], 0.01) for name in names])

        def per_megabyte(field):
            return mean([at[name, kind][field] / (at[name, kind]["new_bytes"] / 1e6) for name in names])
        lines.append(f"| {kind} | {ratio('patch_bytes', kinds[0]):.3f} | {ratio('patch_bytes', 'bsdiff 4.3'):.3f} | {ratio('make_cpu_s', 'bsdiff 4.3'):.2f} "
                     f"| {per_megabyte('make_mib'):.1f} | {ratio('apply_cpu_s', 'bsdiff 4.3'):.2f} | {per_megabyte('apply_mib'):.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
