#!/usr/bin/env python3
"""Measures a check and an update over a shaped line: bytes, seconds and peak memory, beside the crate `self_update`.

usage: benches/update.py OUT.csv [RUNS]                  (as root: it makes a network namespace; needs ip, tc and GNU time)

A small app is published as 1.0.0 and 1.1.0 by `cargo updater publish` (release build; UPDATER_BENCH_PROFILE=dev takes the
profile of this workspace's tests instead, stripped), and once more with the same program and `self_update` in it, as a
`.tar.gz` beside a manifest. Everything talks over the loopback interface of a namespace of its
own, shaped by tbf to the rates below. Every run starts from a fresh copy of 1.0.0 with an empty home.

  check     an installed 1.1.0 that has checked before: no news
  first     the same without anything kept from before
  patch     1.0.0 becomes 1.1.0 by the patch
  bundle    1.0.0 becomes 1.1.0 by the bundle: the patch is not there
  self_update, check and update: the same program by that crate

Seconds are wall time from the start of the process to its end, the median of the runs; bytes are what the server sent as
bodies; memory is the largest resident set of the process (`ru_maxrss`).
"""

import csv
import hashlib
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

from loopback import Server

RATES = [("1 Mbit/s", "1mbit"), ("10 Mbit/s", "10mbit"), ("100 Mbit/s", "100mbit")]
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PORT = 8700
KIND = os.environ.get("UPDATER_BENCH_PROFILE", "release")
BUILT = "debug" if KIND == "dev" else KIND
PROFILE = '\n[workspace]\n\n[profile.release]\nlto = "thin"\ncodegen-units = 1\nstrip = true\n'
if KIND == "dev":
    manifest = (REPOSITORY / "Cargo.toml").read_text()
    PROFILE = '\n[workspace]\n\n[profile.dev.package.hello]\nstrip = true\n\n' + manifest[manifest.index("[profile.dev]"):]
OURS = """use updater_runtime::{Error, Status, Updater};

fn main() {
    let updater = updater_runtime::updater!();
    if let Err(error) = update(&updater) {
        eprintln!("no update: {}", error.full_message());
    }
    println!("hello {}", env!("CARGO_PKG_VERSION"));
}

fn update(updater: &Updater) -> Result<(), Error> {
    if let Status::Available(update) = updater.check()? {
        update.download(|_progress| {})?.install()?.restart()?.hand_over();
    }
    Ok(())
}
"""
THEIRS = """fn main() {
    if let Err(error) = update() {
        eprintln!("no update: {error}");
    }
    println!("hello {}", env!("CARGO_PKG_VERSION"));
}

fn update() -> Result<(), Box<dyn std::error::Error>> {
    let mut update = self_update::backends::manifest::Update::configure();
    update.manifest_url("http://127.0.0.1:8700/manifest.json").bin_name("hello");
    update.current_version(env!("CARGO_PKG_VERSION")).show_output(false).no_confirm(true);
    update.build()?.update()?;
    Ok(())
}
"""
SELF_UPDATE = ('self_update = { version = "=1.3.3", default-features = false, features = ["manifest", "ureq", "rustls", '
               '"checksums", "archive-tar", "compression-tar-gz"] }\n')


def build(work):
    """Makes both apps in both versions and what is served of them."""
    program = os.environ.get("CARGO_UPDATER", str(REPOSITORY / "target/release/cargo-updater"))
    target = REPOSITORY / "target/bench-update"
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target), CARGO_TERM_COLOR="never", NO_COLOR="1")
    if KIND == "dev":
        # What the tests have built is used as it is.
        environment["CARGO_BUILD_BUILD_DIR"] = str(REPOSITORY / "target")

    def run(folder, *command):
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit("%s: %s" % (command, done.stderr))

    def package(name, code, dependencies):
        folder = work / name
        (folder / "src").mkdir(parents=True)
        (folder / "src/main.rs").write_text(code)
        (folder / "Cargo.toml").write_text('[package]\nname = "hello"\nversion = "1.0.0"\nedition = "2024"\n\n[dependencies]\n'
                                           + dependencies + PROFILE)
        return folder

    def next_version(folder):
        text = (folder / "Cargo.toml").read_text()
        (folder / "Cargo.toml").write_text(text.replace('version = "1.0.0"\nedition', 'version = "1.1.0"\nedition'))

    ours = package("ours", OURS, "")
    shutil.copy(REPOSITORY / "Cargo.lock", ours / "Cargo.lock")
    served, programs = work / "served", work / "programs"
    programs.mkdir()
    run(ours, program, "updater", "init", "--dev", "--url", "http://127.0.0.1:%d" % PORT, "--key-dir", str(work / "keys"),
        "--storage", "fs:%s" % served, "--path-deps", str(REPOSITORY))
    text = (ours / "Cargo.toml").read_text()
    (ours / "Cargo.toml").write_text(text.replace("[package.metadata.updater]\n", '[package.metadata.updater]\nprofile = "%s"\n' % KIND))
    for version in ("1.0.0", "1.1.0"):
        if version == "1.1.0":
            next_version(ours)
        run(ours, program, "updater", "publish", "--yes", "--key-dir", str(work / "keys"))
        shutil.copy(target / BUILT / "hello", programs / ("ours-" + version))

    theirs = package("theirs", THEIRS, SELF_UPDATE)
    for version in ("1.0.0", "1.1.0"):
        if version == "1.1.0":
            next_version(theirs)
        run(theirs, "cargo", "build", "--profile", KIND, "--quiet")
        shutil.copy(target / BUILT / "hello", programs / ("theirs-" + version))
    name = "hello-1.1.0-%s-unknown-linux-gnu.tar.gz" % platform.machine()
    with tarfile.open(served / name, "w:gz") as archive:
        archive.add(programs / "theirs-1.1.0", "hello")
    digest = hashlib.sha256((served / name).read_bytes()).hexdigest()
    asset = {"name": name, "url": name, "digest": "sha256:" + digest}
    (served / "manifest.json").write_text(json.dumps({"schema": 1, "releases": [{"version": "1.1.0", "assets": [asset]}]}))
    return served, programs


def run_app(server, program, home, wanted):
    """Starts the app and returns seconds, bytes and KiB of memory."""
    del server.log[:]
    log = home / "log"
    begin = time.monotonic()
    memory = home / "memory"
    with open(log, "w") as out:
        # Started by something small: a process begins with the peak of the one that it was forked from.
        command = ["/usr/bin/time", "-f", "%M", "-o", str(memory), str(program)]
        status = subprocess.run(command, stdout=out, stderr=out, env={"HOME": str(home), "TMPDIR": str(home)}).returncode
    seconds = time.monotonic() - begin
    text = log.read_text()
    if status != 0 or wanted not in text or "no update" in text:
        sys.exit("wanted %s: %s" % (wanted, text))
    return seconds, sum(size for _, size in server.log), int(memory.read_text())


def measure(server, work, programs, case):
    home = pathlib.Path(tempfile.mkdtemp(dir=work))
    program = home / "bin" / "hello"
    program.parent.mkdir()
    which, old = ("theirs", case in ("self_update: update",)) if case.startswith("self_update") else ("ours", case in ("patch", "bundle"))
    server.without = ".patch" if case == "bundle" else ""
    shutil.copy(programs / ("%s-%s" % (which, "1.0.0" if old else "1.1.0")), program)
    if case == "check":
        run_app(server, program, home, "hello 1.1.0")
    # self_update returns to the old program; ours restarts as the new one.
    wanted = "hello 1.0.0" if which == "theirs" and old else "hello 1.1.0"
    found = run_app(server, program, home, wanted)
    shutil.rmtree(home)
    return found


CASES = ["first", "check", "patch", "bundle", "self_update: check", "self_update: update"]


def in_namespace(out, runs, work, served, programs):
    subprocess.run(["ip", "link", "set", "lo", "mtu", "1500", "up"], check=True)
    server = Server(served, PORT)
    with open(out, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["rate", "case", "bytes", "seconds", "peak_kib"])
        for label, rate in RATES:
            subprocess.run(["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", rate, "burst", "16kb", "latency", "200ms"], check=True)
            for case in CASES:
                found = [measure(server, work, programs, case) for _ in range(runs)]
                row = [label, case, max(f[1] for f in found), "%.3f" % statistics.median(f[0] for f in found),
                       round(statistics.median(f[2] for f in found))]
                table.writerow(row)
                file.flush()
                print(*row, sep="  ", flush=True)


def main():
    if sys.argv[1] == "--inside":
        out, runs, work, served, programs = sys.argv[2:]
        return in_namespace(out, int(runs), pathlib.Path(work), pathlib.Path(served), pathlib.Path(programs))
    out, runs = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "5"
    work = pathlib.Path(tempfile.mkdtemp())
    namespace = "updater-%d" % os.getpid()
    try:
        served, programs = build(work)
        subprocess.run(["ip", "netns", "add", namespace], check=True)
        inside = ["ip", "netns", "exec", namespace, sys.executable, os.path.abspath(__file__), "--inside", out, runs,
                  str(work), str(served), str(programs)]
        return subprocess.run(inside).returncode
    finally:
        subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)


sys.exit(main())
