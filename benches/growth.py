#!/usr/bin/env python3
"""Measures how time and memory of updater-delta grow with the length of a file, and draws it.

    benches/growth.py [--mib 1,4,16,64,256,2048,4608] [--tool PATH] [--cgroup]

The files are made here: incompressible, with 100 bytes inserted and 8 changed in every MiB. Beside them stand the programs of
docs/benchmarks/delta.csv. Files of 512 MiB and more are compared with `--memory 1G`, which is the ceiling that the diagram shows; the last
pair is longer than a codec's stream may be. Writes docs/benchmarks/growth.csv, growth.svg and the table in growth.md; a length that is refused for want of memory
is written down as refused. Needs GNU time and, for the largest, 14 GiB of space in the folder for temporary files and 12 GiB of memory.

`--cgroup` instead applies the largest program's patch under a memory limit of 64 MiB (systemd-run, or a version 2 cgroup as root) and
says whether it came out equal: bytes of the page cache count there, too.
"""
import argparse, csv, filecmp, math, os, pathlib, random, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import delta  # noqa: E402  (the bench beside this one)

OUT = delta.ROOT / "docs/benchmarks"
BEGIN, END = "<!-- written by benches/growth.py -->\n", "<!-- end of what benches/growth.py wrote -->\n"
MIB = 1 << 20
CEILING = 64 * MIB
NAMES = {"make": "make", "apply": "apply", "work": "make, beside the files"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mib", default="1,4,16,64,256,2048,4608")
    parser.add_argument("--tool", type=pathlib.Path)
    parser.add_argument("--corpus", type=pathlib.Path)
    parser.add_argument("--cgroup", action="store_true", help="apply a 44 MB program's patch under 64 MiB")
    arguments = parser.parse_args()
    own = (arguments.tool or delta.build()).resolve()
    if arguments.cgroup:
        return under_a_ceiling(own, arguments.corpus)
    rows = [measure(own, int(mib)) for mib in arguments.mib.split(",")]
    with open(OUT / "growth.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    done = [row for row in rows if row["patch_bytes"]]
    programs = [row for row in csv.DictReader(open(OUT / "delta.csv")) if row["tool"] == delta.OURS]
    (OUT / "growth.svg").write_text(draw(done, programs))
    document = OUT / "growth.md"
    before, rest = document.read_text().split(BEGIN)
    document.write_text(before + BEGIN + "\n" + table(rows) + "\n" + END + rest.split(END)[1])


def measure(own, mib):
    """Makes a pair of files of this length, a patch, and applies it."""
    row = {"mib": mib, "patch_bytes": "", "make_cpu_s": "", "make_mib": "", "work_mib": "", "apply_cpu_s": "", "apply_mib": ""}
    with tempfile.TemporaryDirectory() as scratch:
        old, new, patch, made = (pathlib.Path(scratch, name) for name in ("old", "new", "patch", "made"))
        chance = random.Random(mib)
        with open(old, "wb") as ours, open(new, "wb") as theirs:
            for _ in range(mib):
                block = bytearray(chance.randbytes(MIB))
                ours.write(block)
                for _ in range(8):
                    block[chance.randrange(MIB)] ^= 0x55
                at = chance.randrange(MIB)
                theirs.write(block[:at] + chance.randbytes(100) + block[at:])
        command = [own, "diff", *(["--memory", "1G"] if mib >= 512 else []), old, new, patch]
        try:
            make_cpu, make_memory = delta.run(command)
        except subprocess.CalledProcessError:
            answer = subprocess.run(command, capture_output=True, text=True).stderr.split("\n")[0]
            print(f"{mib:5} MiB  {answer}", flush=True)
            return row
        apply_cpu, apply_memory = delta.run([own, "apply", old, patch, made])
        if not filecmp.cmp(new, made, shallow=False):
            sys.exit(f"error: {mib} MiB do not come back")
        row |= {"patch_bytes": patch.stat().st_size, "make_cpu_s": round(make_cpu, 2), "make_mib": round(make_memory),
                "work_mib": round(make_memory - 2 * mib),
                "apply_cpu_s": round(apply_cpu, 2), "apply_mib": round(apply_memory)}
    print(f"{mib:5} MiB  {row['patch_bytes']:>9} B  make {make_cpu:7.2f} s {make_memory:6.0f} MiB  apply {apply_cpu:6.2f} s {apply_memory:5.0f} MiB", flush=True)
    return row


def table(rows):
    lines = ["| file, MiB | patch, bytes | make, s | make, MiB | beside the files, MiB | apply, s | apply, MiB |", "|---:|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        cells = [f"{row[key]:,}" if row[key] != "" else "refused: memory" for key in ("patch_bytes", "make_cpu_s", "make_mib", "work_mib", "apply_cpu_s", "apply_mib")]
        lines.append(f"| {row['mib']:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(rows, programs):
    """Two diagrams with both axes logarithmic: CPU seconds, and resident MiB, over the length in MB."""
    made = [{"mb": row["mib"] * MIB / 1e6, **{key: float(row[key]) for key in ("make_cpu_s", "apply_cpu_s", "make_mib", "work_mib", "apply_mib")}} for row in rows]
    real = [{"mb": int(row["new_bytes"]) / 1e6, **{key: float(row[key]) for key in ("make_cpu_s", "apply_cpu_s", "make_mib", "apply_mib")}} for row in programs]
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="860" height="360" font-family="sans-serif" font-size="11">',
             '<rect width="860" height="360" fill="white"/>']
    for left, title, keys, low, high in ((60, "CPU, s", ("make_cpu_s", "apply_cpu_s"), 0.01, 1000),
                                         (490, "resident, MiB", ("make_mib", "apply_mib", "work_mib"), 1, 20000)):
        def x(mb):
            return left + math.log10(mb) / math.log10(6000) * 340

        def y(value):
            return 320 - math.log10(max(value, low) / low) / math.log10(high / low) * 270
        parts.append(f'<text x="{left}" y="20" font-size="13">{title}, over the length in MB</text>')
        parts += [f'<line x1="{x(mb):.0f}" y1="50" x2="{x(mb):.0f}" y2="320" stroke="#ddd"/><text x="{x(mb):.0f}" y="336" text-anchor="middle">{mb:,}</text>'
                  for mb in (1, 10, 100, 1000)]
        value = low
        while value <= high:
            parts.append(f'<line x1="{left}" y1="{y(value):.0f}" x2="{left + 340}" y2="{y(value):.0f}" stroke="#ddd"/>'
                         f'<text x="{left - 6}" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
            value *= 10
        for key, colour in zip(keys, ("#b03030", "#2050a0", "#c08000")):
            points = " ".join(f"{x(row['mb']):.1f},{y(row[key]):.1f}" for row in made)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
            parts += [f'<circle cx="{x(row["mb"]):.1f}" cy="{y(row[key]):.1f}" r="3" fill="{colour}"/>' for row in real if key in row]
            if made:
                parts.append(f'<text x="{x(made[-1]["mb"]) + 6:.0f}" y="{y(made[-1][key]) - 6:.0f}" text-anchor="end" fill="{colour}">{NAMES[key.split("_")[0]]}</text>')
    parts.append('<text x="60" y="354">Lines: files made for this. Dots: the programs of delta.csv.</text></svg>')
    return "\n".join(parts) + "\n"


def under_a_ceiling(own, corpus):
    """Applies the largest program's patch where no more than 64 MiB may be used, page cache included."""
    old, new = delta.pair(corpus, "astgrep-win")
    with tempfile.TemporaryDirectory() as scratch:
        patch, made = pathlib.Path(scratch, "patch"), pathlib.Path(scratch, "made")
        subprocess.run([own, "diff", old, new, patch], check=True, stdout=subprocess.DEVNULL)
        command = [str(word) for word in (own, "apply", old, patch, made)]
        groups = [pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/memory")]
        group = next((folder / f"updater-delta-{os.getpid()}" for folder in groups
                      if os.access(folder, os.W_OK) and ((folder / "memory.limit_in_bytes").exists() or (folder / "cgroup.controllers").exists()
                                                         and "memory" in (folder / "cgroup.subtree_control").read_text())), None)
        if group is None:
            words = ["systemd-run", "--quiet", "--user", "--scope", "-p", f"MemoryMax={CEILING}", "-p", "MemorySwapMax=0", *command]
            subprocess.run(words, check=True)
            peak = None
        else:
            group.mkdir()
            try:
                first = (group / "memory.limit_in_bytes").exists()
                (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(CEILING))

                def enter():
                    (group / "cgroup.procs").write_text(str(os.getpid()))
                subprocess.run(command, check=True, preexec_fn=enter)
                peaks = group / ("memory.max_usage_in_bytes" if first else "memory.peak")
                peak = int(peaks.read_text()) if peaks.exists() else None
            finally:
                group.rmdir()
        if not filecmp.cmp(new, made, shallow=False):
            sys.exit("error: the program does not come back")
    told = "" if peak is None else f", at most {peak / MIB:.0f} MiB used"
    print(f"{new.stat().st_size:,} bytes made under a limit of {CEILING // MIB} MiB{told}")


if __name__ == "__main__":
    main()
