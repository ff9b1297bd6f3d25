#!/usr/bin/env python3
"""Kills an app that updates itself by the crate `self_update` before each call that can change the disk (of a row of
writes, the first and the last), and tells what each kill leaves: what `crash-points` asks of this project's client. Then
the power is cut at the same moments, and after the end: what was written and not synced is lost, names are kept (the
loss `bytes` of docs/install.md; a run that syncs anything is refused, because this model of a disk has no syncs).

    cargo build --release --manifest-path benches/self-update-crash/Cargo.toml
    python3 benches/self-update-crash.py PROGRAM > docs/benchmarks/crash-points-self-update.txt

Needs strace. The release lies on a server on 127.0.0.1 with a `manifest.json` that has the digest, as the crate's
documentation shows it. `executable` replaces one program, `directory` a folder with 27 files.
"""
import functools
import hashlib
import http.server
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading

CHANGING = (
    "chmod copy_file_range execve fchmod fchmodat fdatasync fsync ftruncate link linkat mkdir mkdirat pwrite64 rename "
    "renameat renameat2 rmdir sendfile symlink symlinkat truncate unlink unlinkat write"
).split()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Case:
    def __init__(self, folder, program, is_folder):
        self.is_folder, self.slot = is_folder, folder / "slot"
        self.before, self.served = folder / "before", folder / "served"
        self.root = self.slot / "place" / "hello"
        self.entry = self.root / "bin" / "hello" if is_folder else self.root
        self.releases = {version: self.files(program, version) for version in ("1.0.0", "1.1.0")}
        (self.before / "place").mkdir(parents=True)
        (self.before / "tmp").mkdir()
        self.write(self.releases["1.0.0"], self.before / "place" / "hello")
        stage = folder / "stage"
        stage.mkdir()
        self.write(self.releases["1.1.0"], stage / "hello")
        self.served.mkdir()
        name = f"hello-1.1.0-{platform.machine()}-unknown-linux-gnu.tar.gz"
        with tarfile.open(self.served / name, "w:gz", compresslevel=1) as archive:
            archive.add(stage / "hello", "hello")
        digest = hashlib.sha256((self.served / name).read_bytes()).hexdigest()
        asset = {"name": name, "url": name, "digest": f"sha256:{digest}"}
        manifest = {"schema": 1, "releases": [{"version": "1.1.0", "assets": [asset]}]}
        (self.served / "manifest.json").write_text(json.dumps(manifest))
        handler = functools.partial(Quiet, directory=str(self.served))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.environment = dict(
            os.environ,
            TMPDIR=str(self.slot / "tmp"),
            SELF_UPDATE_MANIFEST=f"http://127.0.0.1:{server.server_port}/manifest.json",
        )
        if is_folder:
            self.environment["SELF_UPDATE_BUNDLE"] = "1"

    def files(self, program, version):
        app = program + f"\n{version}\n".encode()
        if not self.is_folder:
            return {"": app}
        data = {f"share/{number:02}.txt": f"{number} of {version}\n".encode() * 40 for number in range(26)}
        return {"bin/hello": app, **data}

    def write(self, files, root):
        for path, content in files.items():
            at = root / path if path else root
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
            at.chmod(0o755 if path in ("", "bin/hello") else 0o644)

    def reset(self):
        shutil.rmtree(self.slot, ignore_errors=True)
        subprocess.run(["cp", "-a", "--", self.before, self.slot], check=True)

    def run(self, *arguments, under=()):
        command = [*under, str(self.entry), *arguments]
        return subprocess.run(command, env=self.environment, cwd=self.slot, capture_output=True, timeout=60)

    def calls(self):
        """The changing calls of the main thread in an undisturbed run, and those of other threads."""
        self.reset()
        log = self.slot.parent / "trace"
        under = ["strace", "-f", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", "trace=%file,%desc", "-o", str(log)]
        result = self.run("update", under=under)
        if b"updated 1.1.0" not in result.stdout or self.installed() != "1.1.0":
            raise SystemExit(f"an undisturbed update fails: {result}")
        found, strays, syncs, counters, main = [], [], 0, {}, None
        for line in log.read_text(errors="replace").splitlines():
            match = re.match(r"(\d+) +(\w+)\((.*)", line)
            if not match:
                continue
            thread, name, rest = match.groups()
            main = main or thread
            counters[thread, name] = counters.get((thread, name), 0 if name != "execve" else -1) + 1
            changes = name in CHANGING or (name.startswith("open") and ("O_CREAT" in rest or "O_TRUNC" in rest))
            if not changes or str(self.slot) not in rest or counters[thread, name] == 0:
                continue
            syncs += name in ("fsync", "fdatasync")
            (found if thread == main else strays).append((name, counters[thread, name], rest))
        return found, strays, syncs

    def installed(self):
        """The version that is whole, byte for byte; "mixed" or "none"."""
        def read(path):
            at = self.root / path if path else self.root
            return at.read_bytes() if at.is_file() else None
        for version, files in self.releases.items():
            if all(read(path) == content for path, content in files.items()):
                return version
        return "mixed"

    def identities(self):
        found = (path.lstat() for path in self.slot.rglob("*") if path.is_file() and not path.is_symlink())
        return {(stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found}

    def lose_bytes(self, durable):
        """Empties each file that is not as it was before: nothing was ever synced."""
        for path in self.slot.rglob("*"):
            if path.is_file() and not path.is_symlink():
                stat = path.lstat()
                if (stat.st_ino, stat.st_mtime_ns, stat.st_size) not in durable:
                    os.truncate(path, 0)

    def starts(self):
        try:
            result = self.run("report")
        except OSError:
            return False
        return result.returncode == 0 and b"version " in result.stdout

    def leftovers(self):
        expected = {self.slot / "place", self.slot / "tmp"}
        for path in self.releases["1.1.0"]:
            at = self.root / path if path else self.root
            expected.update([at, *at.parents])
        return [path for path in self.slot.rglob("*") if path not in expected]


def main():
    program = pathlib.Path(sys.argv[1]).read_bytes()
    for is_folder in (False, True):
        with tempfile.TemporaryDirectory(prefix="self-update-crash-") as folder:
            case = Case(pathlib.Path(folder).resolve(), program, is_folder)
            kind = "directory" if is_folder else "executable"
            calls, strays, syncs = case.calls()
            # Within a row of writes to a file that nobody runs yet, the first and the last stand for all.
            inner = {at for at in range(1, len(calls) - 1) if all(calls[at + d][0] == "write" for d in (-1, 0, 1))}
            killed = [call for at, call in enumerate(calls) if at not in inner]
            gone, mixed, stuck, litter, missed = [], 0, 0, 0, 0

            def update_until(name, number):
                inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}"]
                return case.run("update", under=["strace", "-qq", "-o", "/dev/null", *inject])

            for name, number, rest in killed:
                case.reset()
                result = update_until(name, number)
                if result.returncode not in (-9, 137):
                    missed += 1
                if not case.starts():
                    gone.append(f"{name}:{number} {rest[:160]}")
                    continue
                mixed += case.installed() == "mixed"
                case.run("update")
                stuck += case.installed() != "1.1.0"
                litter += bool(case.leftovers())
            print(f"{kind}: {len(calls)} changing calls, {len(killed)} killed, {missed} not reached, {len(gone)} without an app that starts, "
                  f"{mixed} with files of two versions, {stuck} not updated by the next update, "
                  f"{litter} with files left over after it; {len(strays)} changing calls in other threads; "
                  f"{syncs} calls of fsync or fdatasync", flush=True)
            for line in gone:
                print(f"    no app: killed before {line.replace(str(case.slot), '')}")
            if syncs:
                raise SystemExit("it syncs: what a power cut leaves has to be asked of a model that knows syncs")
            dark = []
            for call in [*killed, None]:
                case.reset()
                durable = case.identities()
                if call is None:
                    case.run("update")
                else:
                    update_until(*call[:2])
                case.lose_bytes(durable)
                if not case.starts():
                    dark.append("after the end" if call is None else f"before {call[0]}:{call[1]} {call[2][:160]}")
            print(f"{kind}: {len(killed) + 1} power cuts, {len(dark)} without an app that starts", flush=True)
            for line in dark:
                print(f"    no app: power cut {line.replace(str(case.slot), '')}")


if __name__ == "__main__":
    main()
