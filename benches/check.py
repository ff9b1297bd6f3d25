#!/usr/bin/env python3
"""Measures a first check and a check without news: requests, body bytes, CPU and wall time of several TUF clients.

usage: benches/check.py REPOSITORY CLIENT PEERS PYTHON [RUNS]

REPOSITORY  a folder with metadata/ and targets/, as `cargo updater publish` writes it
CLIENT      tuf-conformance-client, built with --release
PEERS       updater-peers (tests/peers-rs), built with --release: tough and sigstore-tuf
PYTHON      a Python that has python-tuf
RUNS        checks per figure, 30 unless given; each is a process of its own

CPU is user and system time of the processes as the kernel counts it (getrusage). The server is Python's http.server on the
loopback interface, in this process; it answers with the entity tags that `ETag` and `If-None-Match` want.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from loopback import Server

repository, client, peers, python = (os.path.abspath(path) for path in sys.argv[1:5])
runs = int(sys.argv[5]) if len(sys.argv) > 5 else 30
here = os.path.dirname(os.path.abspath(__file__))
server = Server(repository)
log = server.log
base = "http://127.0.0.1:%d" % server.server_port
metadata, targets = base + "/metadata/", base + "/targets/"
root = os.path.join(repository, "metadata/1.root.json")


def ours(state):
    start = [client, "--metadata-dir", state, "--metadata-url", metadata]
    return [start + ["init", root], start + ["refresh"]]


def peer(name):
    return lambda state: [[], [peers, name, root, metadata, targets, state]]


def python_tuf(state):
    read = os.path.join(here, "../tests/tests/peers/read.py")
    return [[], [python, read, root, metadata, targets, state, state]]


def nothing(state):
    return [[], [python, "-c", "import tuf.ngclient"]]


def measure(command):
    del log[:]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, capture_output=True, env={**os.environ, "RUST_LOG": "off"})
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit("%s: %s" % (command, done.stderr.decode()))
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return len(log), sum(size for _, size in log), cpu, wall


def mean(figures):
    requests, size = {f[0] for f in figures}, {f[1] for f in figures}
    assert len(requests) == len(size) == 1, figures
    cpu, wall = (sorted(f[i] for f in figures) for i in (2, 3))
    middle = len(figures) // 2
    return "%d | %s | %.1f ms | %.1f ms" % (requests.pop(), format(size.pop(), ","), cpu[middle] * 1e3, wall[middle] * 1e3)


print("| client | check | requests | body bytes | CPU | wall |")
print("|---|---|---|---|---|---|")
for name, commands in [
    ("cargo updater", ours),
    ("tough", peer("tough")),
    ("sigstore-tuf", peer("sigstore-tuf")),
    ("python-tuf", python_tuf),
    ("(python-tuf imported, no check)", nothing),
]:
    first, again = [], []
    for _ in range(runs):
        state = tempfile.mkdtemp()
        prepare, check = commands(state)
        if prepare:
            subprocess.run(prepare, check=True)
        first.append(measure(check))
        again.append(measure(check))
        shutil.rmtree(state)
    print("| %s | first | %s |" % (name, mean(first)))
    print("| %s | without news | %s |" % (name, mean(again)))
