#!/usr/bin/env python3
"""What a repository without roles of channels costs: python-tuf, laid out as tufup does it, so that targets.json lists every
release that was ever published.

    benches/scale-rival.py RELEASES TRIPLES

Prints a line of JSON: what publishing one release more reads and writes and takes, each in a process of its own, and what a
client reads in its first check and in one without news. `cargo run --release -p updater-tests --bin scale` runs it.
"""
import json, os, resource, subprocess, sys, tempfile, time
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadLengthMismatchError
from tuf.api.metadata import Key, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

COMPACT = JSONSerializer(compact=True)
EXPIRES = (datetime.now(timezone.utc) + timedelta(days=30)).replace(microsecond=0)
ROLES = ("root", "targets", "snapshot", "timestamp")


def main():
    if sys.argv[1] == "publish":
        return publish(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    if sys.argv[1] == "check":
        return check(sys.argv[2])
    releases, triples = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        begin(folder, releases, triples)
        told = {"publish": run("publish", folder, releases, triples), "check": run("check", folder)}
    print(json.dumps(told))


def run(*words):
    done = subprocess.run([sys.executable, __file__, *map(str, words)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def begin(folder, releases, triples):
    """Writes a repository with so many releases: an archive for each triple, and a patch from the release before."""
    os.makedirs(f"{folder}/metadata")
    signers = {role: CryptoSigner.generate_ed25519() for role in ROLES}
    for role, signer in signers.items():
        with open(f"{folder}/{role}.key", "wb") as file:
            file.write(signer.private_bytes)
        with open(f"{folder}/{role}.pub", "w") as file:
            json.dump({"id": signer.public_key.keyid, "key": signer.public_key.to_dict()}, file)
    root = Root(version=1, expires=EXPIRES, consistent_snapshot=True)
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    save(folder, "1.root.json", Metadata(root), signers["root"])
    targets = Targets(version=releases, expires=EXPIRES)
    for number in range(releases):
        release(targets, number, triples)
    commit(folder, Metadata(targets), Metadata(Snapshot(version=releases - 1, expires=EXPIRES)),
           Metadata(Timestamp(version=releases - 1, expires=EXPIRES)), signers)


def release(targets, number, triples):
    for triple in range(triples):
        for name in [f"hello-1.{number}.0-triple{triple}.tar.gz"] + ([f"hello-1.{number}.0-triple{triple}.patch"] if number else []):
            digest = os.urandom(32).hex()
            targets.targets[name] = TargetFile(8 << 20, {"sha256": digest}, name, {"custom": {"tufup": {"required": False}}})


def save(folder, name, metadata, signer):
    metadata.sign(signer)
    data = metadata.to_bytes(COMPACT)
    with open(f"{folder}/metadata/{name}", "wb") as file:
        file.write(data)
    return data


def commit(folder, targets, snapshot, timestamp, signers):
    """Signs and writes targets, snapshot and timestamp; returns the bytes written."""
    data = save(folder, f"{targets.signed.version}.targets.json", targets, signers["targets"])
    written = len(data)
    snapshot.signed.meta = {"targets.json": MetaFile(targets.signed.version)}
    snapshot.signed.version += 1
    data = save(folder, f"{snapshot.signed.version}.snapshot.json", snapshot, signers["snapshot"])
    written += len(data)
    timestamp.signed.snapshot_meta = MetaFile(snapshot.signed.version)
    timestamp.signed.version += 1
    return written + len(save(folder, "timestamp.json", timestamp, signers["timestamp"]))


def publish(folder, releases, triples):
    """Adds a release to what is published, as a fresh machine does. Archives and patches themselves are not counted."""
    started = time.time()
    read = 0

    def load(name, kind):
        nonlocal read
        data = open(f"{folder}/metadata/{name}", "rb").read()
        read += len(data)
        return Metadata[kind].from_bytes(data)

    signers = {}
    for role in ROLES[1:]:
        told = json.load(open(f"{folder}/{role}.pub"))
        public = Key.from_dict(told["id"], told["key"])
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        signers[role] = CryptoSigner(load_pem_private_key(open(f"{folder}/{role}.key", "rb").read(), None), public)
    root = load("1.root.json", Root)
    timestamp = load("timestamp.json", Timestamp)
    root.verify_delegate("timestamp", timestamp)
    snapshot = load(f"{timestamp.signed.snapshot_meta.version}.snapshot.json", Snapshot)
    root.verify_delegate("snapshot", snapshot)
    targets = load(f"{snapshot.signed.meta['targets.json'].version}.targets.json", Targets)
    root.verify_delegate("targets", targets)
    release(targets.signed, releases, triples)
    targets.signed.version += 1
    written = commit(folder, targets, snapshot, timestamp, signers)
    cpu, peak = used()
    print(json.dumps({"read": read, "written": written, "cpu": cpu, "peak": peak, "elapsed": time.time() - started}))


class Counting(FetcherInterface):
    """Reads the folder in place of a server and counts."""

    def __init__(self):
        self.bytes, self.requests = 0, 0

    def _fetch(self, url):
        from tuf.api.exceptions import DownloadHTTPError
        self.requests += 1
        path = url.removeprefix("folder:")
        if not os.path.exists(path):
            raise DownloadHTTPError("absent", 404)
        with open(path, "rb") as file:
            while piece := file.read(1 << 16):
                self.bytes += len(piece)
                yield piece


def check(folder):
    told = {}
    with tempfile.TemporaryDirectory() as state:
        def look(largest=None):
            fetcher = Counting()
            config = UpdaterConfig() if largest is None else UpdaterConfig(targets_max_length=largest)
            root = open(f"{folder}/metadata/1.root.json", "rb").read()
            Updater(state, f"folder:{folder}/metadata", fetcher=fetcher, config=config, bootstrap=root).refresh()
            return fetcher
        try:
            look()
            told["refused"] = False
        except DownloadLengthMismatchError:
            told["refused"] = True
    with tempfile.TemporaryDirectory() as state:
        before, _ = used()
        first = look(1 << 30)
        told |= {"first": first.bytes, "first_requests": first.requests, "cpu": used()[0] - before}
        again = look(1 << 30)
        told |= {"again": again.bytes, "again_requests": again.requests, "peak": used()[1]}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
