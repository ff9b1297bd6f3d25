#!/usr/bin/env python3
"""Measures updater-delta on pairs that nothing was tuned for, beside bsdiff, zstd and xdelta3: every format, and files that are no programs.

    benches/other-pairs.py                        all pairs, the table into docs/benchmarks/other-pairs.md
    benches/other-pairs.py --pairs sqlite,jar     some of them, printed only

Fetches consecutive releases from PyPI and npm by package name (kept below the target folder), takes the largest file of the package
or the one that is named, applies every patch and compares the result byte for byte; a tool whose result differs ends the run.
Needs what benches/delta.py needs.
"""
import argparse, os, pathlib, random, shutil, sqlite3, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import delta  # noqa: E402  (the bench beside this one)

BEGIN, END = "<!-- written by benches/other-pairs.py -->\n", "<!-- end of what benches/other-pairs.py wrote -->\n"
KEPT = delta.TARGET / "corpus" / "other"


def pip(package, old, new, platform, what, member=None, python="3.11"):
    return lambda: fetch(package, (old, new), what, member, ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                         "--python-version", python, "--platform", platform, "--dest"], "==", f"{platform}")


def npm(package, old, new, what, member=None):
    return lambda: fetch(package, (old, new), what, member, ["npm", "pack", "--silent", "--pack-destination"], "@", "npm")


def whole(package, old, new, what, platform="any"):
    return lambda: fetch(package, (old, new), what, "", ["python3", "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                         "--platform", platform, "--dest"], "==", "the wheel itself")


PAIRS = {
    "pe-arm64": pip("ruff", "0.11.0", "0.11.1", "win_arm64", "PE aarch64"),
    "macho-x64": pip("ruff", "0.11.0", "0.11.1", "macosx_10_12_x86_64", "Mach-O x86-64"),
    "macho-fat": pip("ruff", "0.0.291", "0.0.292", "macosx_10_9_universal2", "Mach-O fat"),
    "uv-win": pip("uv", "0.6.0", "0.6.1", "win_amd64", "PE x86-64"),
    "uv-mac-arm64": pip("uv", "0.6.0", "0.6.1", "macosx_11_0_arm64", "Mach-O arm64"),
    "go-elf": npm("@esbuild/linux-x64", "0.25.1", "0.25.2", "ELF x86-64, Go"),
    "go-pe-arm64": npm("@esbuild/win32-arm64", "0.25.1", "0.25.2", "PE aarch64, Go"),
    "go-macho": npm("@esbuild/darwin-x64", "0.25.1", "0.25.2", "Mach-O x86-64, Go"),
    "cpp-elf": pip("cmake", "3.31.4", "3.31.6", "manylinux_2_17_x86_64", "ELF x86-64, C++"),
    "cpp-pe": pip("cmake", "3.31.4", "3.31.6", "win_amd64", "PE x86-64, C++"),
    "cpp-pe-arm64": pip("cmake", "3.31.4", "3.31.6", "win_arm64", "PE aarch64, C++"),
    "cpp-fat": pip("cmake", "3.31.4", "3.31.6", "macosx_10_10_universal2", "Mach-O fat, C++"),
    "clang-elf": pip("clang-format", "19.1.6", "19.1.7", "manylinux_2_17_x86_64", "ELF x86-64, C++"),
    "clang-macho": pip("clang-format", "19.1.6", "19.1.7", "macosx_10_9_x86_64", "Mach-O x86-64, C++"),
    "biome-mac": npm("@biomejs/cli-darwin-x64", "1.9.3", "1.9.4", "Mach-O x86-64"),
    "library-mac": pip("pydantic-core", "2.27.1", "2.27.2", "macosx_11_0_arm64", "Mach-O arm64, library"),
    "musl": pip("ruff", "0.11.0", "0.11.1", "musllinux_1_2_x86_64", "ELF x86-64, musl"),
    "elf-32": pip("ruff", "0.11.0", "0.11.1", "manylinux_2_17_i686", "ELF i686 (plain data)"),
    "pe-32": pip("ruff", "0.11.0", "0.11.1", "win32", "PE i386 (plain data)"),
    "elf-armv7": pip("ruff", "0.11.0", "0.11.1", "manylinux_2_17_armv7l", "ELF armv7 (plain data)"),
    "elf-s390x": pip("ruff", "0.11.0", "0.11.1", "manylinux_2_17_s390x", "ELF s390x, big-endian (plain data)"),
    "go-library": npm("esbuild-wasm", "0.25.1", "0.25.2", "WebAssembly, Go"),
    "wasm": npm("@swc/wasm-web", "1.11.13", "1.11.16", "WebAssembly, Rust", "wasm_bg.wasm"),
    "jar": npm("google-closure-compiler-java", "20261011.0.0", "20261015.0.0", "Java archive"),
    "javascript": npm("typescript", "5.8.2", "5.8.3", "JavaScript, text"),
    "wheel": whole("sympy", "1.13.2", "1.13.3", "zip of Python sources"),
    "sqlite": lambda: database(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", default="", help=f"names, separated by commas: {', '.join(PAIRS)}")
    parser.add_argument("--tool", type=pathlib.Path, help="our program; built in release mode when not given")
    arguments = parser.parse_args()
    names = [name for name in arguments.pairs.split(",") if name] or list(PAIRS)
    if unknown := set(names) - set(PAIRS):
        sys.exit(f"error: no pair is called {', '.join(sorted(unknown))}\n  help: the pairs are {', '.join(PAIRS)}")
    found = delta.tools((arguments.tool or delta.build()).resolve(), needed=True)
    del found["HDiffPatch"]
    measured = []
    for name in names:
        label, platform, what, old, new = PAIRS[name]()
        rows = {tool: delta.measure(name, tool, old, new, make, apply, 1) for tool, (_, make, apply) in found.items()}
        measured.append((label, platform, what, rows))
    text = table(measured)
    print(text)
    if not arguments.pairs:
        document = delta.ROOT / "docs/benchmarks/other-pairs.md"
        before, rest = document.read_text().split(BEGIN)
        document.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1])


def fetch(package, versions, what, member, client, joint, platform):
    """Fetches two versions; returns how the table calls them, and their files. `member` "" is the archive itself."""
    files = []
    for version in versions:
        path = KEPT / f"{package.replace('/', '+')}-{version}-{platform.replace(' ', '-')}"
        if not path.exists():
            KEPT.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=KEPT) as scratch:
                archive, unpacked = pathlib.Path(scratch, "archive"), pathlib.Path(scratch, "unpacked")
                archive.mkdir(), unpacked.mkdir()
                subprocess.run([*client, archive, f"{package}{joint}{version}"], check=True, stdout=subprocess.DEVNULL)
                [got] = archive.iterdir()
                if member == "":
                    got.rename(path)
                else:
                    unpack = ["tar", "-xzf", got, "-C", unpacked] if got.suffix == ".tgz" else ["python3", "-m", "zipfile", "-e", got, unpacked]
                    subprocess.run(unpack, check=True)
                    inside = [file for file in unpacked.rglob(member or "*") if file.is_file() and not file.is_symlink()]
                    max(inside, key=lambda file: file.stat().st_size).rename(path)
        files.append(path)
    return f"{package} {versions[0]} to {versions[1]}", platform, what, *files


def database():
    """Two states of a database of 20,000 rows with an index: 400 rows were changed, 200 added, 200 removed."""
    KEPT.mkdir(parents=True, exist_ok=True)
    old, new, chance = KEPT / "database-old", KEPT / "database-new", random.Random(7)
    words = [bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz", k=chance.randrange(3, 10))).decode() for _ in range(3000)]
    row = lambda: (" ".join(chance.choices(words, k=4)), " ".join(chance.choices(words, k=80)))
    for path in (old, new):
        path.unlink(missing_ok=True)
    with sqlite3.connect(old) as base:
        base.execute("create table entry (id integer primary key, title text, body text)")
        base.execute("create index titles on entry (title)")
        base.executemany("insert into entry (title, body) values (?, ?)", (row() for _ in range(20000)))
    shutil.copy(old, new)
    with sqlite3.connect(new) as base:
        for number in chance.sample(range(1, 20001), 400):
            base.execute("update entry set title = ?, body = ? where id = ?", (*row(), number))
        base.executemany("delete from entry where id = ?", ((number,) for number in chance.sample(range(1, 20001), 200)))
        base.executemany("insert into entry (title, body) values (?, ?)", (row() for _ in range(200)))
    return "SQLite, 600 of 20,000 rows touched", "made here", "database", old, new


def table(measured):
    lines = ["| pair | from | what | new MB | updater-delta | bsdiff | zstd -19 | xdelta3 -9 | / bsdiff | / zstd |",
             "|---|---|---|---:|---:|---:|---:|---:|---:|---:|"]
    kilo = lambda size: f"{size / 1000:,.0f}" if size >= 10000 else f"{size / 1000:.2f}"
    for label, platform, what, rows in measured:
        sizes = {tool: row["patch_bytes"] for tool, row in rows.items()}
        ours = sizes[delta.OURS]
        cells = " | ".join(kilo(sizes[tool]) for tool in (delta.OURS, "bsdiff", "zstd -19", "xdelta3 -9"))
        lines.append(f"| {label} | {platform} | {what} | {rows[delta.OURS]['new_bytes'] / 1e6:.1f} | {cells} "
                     f"| {ours / sizes['bsdiff']:.2f} | {ours / sizes['zstd -19']:.2f} |")
    dates = [row["measured"] for *_, rows in measured for row in rows.values()]
    lines += ["", f"Sizes in kB. Measured from {min(dates)} to {max(dates)}; the load of the machine was {os.getloadavg()[0]:.1f} at the end."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
