"""Writes a repository with python-tuf: two roots with rotated keys, a delegation, one target in each role.

usage: write.py FOLDER
"""

import os
import sys
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

folder = sys.argv[1]
expires = (datetime.now(timezone.utc) + timedelta(days=30)).replace(microsecond=0)
compact = JSONSerializer(compact=True)


def write(path, data):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return data


def sign(payload, signers, serializer=None):
    metadata = Metadata(payload)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes(serializer)


def described(version, data):
    hashes = TargetFile.from_data("any", data, ["sha256", "sha512"]).hashes
    return MetaFile(version, len(data), hashes)


roots = [CryptoSigner.generate_ed25519() for _ in range(3)]
targets_key, online, channel_key = (CryptoSigner.generate_ed25519() for _ in range(3))

root = Root(expires=expires, consistent_snapshot=True)
for signer in roots[:2]:
    root.add_key(signer.public_key, Root.type)
root.roles[Root.type].threshold = 2
root.add_key(targets_key.public_key, Targets.type)
root.add_key(online.public_key, Snapshot.type)
root.add_key(online.public_key, Timestamp.type)
write("metadata/1.root.json", sign(root, roots[:2]))

root.version = 2
root.revoke_key(roots[0].public_key.keyid, Root.type)
root.add_key(roots[2].public_key, Root.type)
write("metadata/2.root.json", sign(root, roots))

files = {"readme.txt": b"by the top-level role", "hello/1.0.0/hello.bin": bytes(range(256)) * 40}
top = Targets(expires=expires)
stable = Targets(expires=expires)
role = DelegatedRole("stable", [], 1, True, ["hello/*/*"])
top.delegations = Delegations({}, {"stable": role})
top.add_key(channel_key.public_key, "stable")
for owner, name in ((top, "readme.txt"), (stable, "hello/1.0.0/hello.bin")):
    target = TargetFile.from_data(name, files[name], ["sha256"])
    target.unrecognized_fields["custom"] = {"note": "späße \"quoted\" \\ and more"}
    owner.targets[name] = target
    directory, _, base = name.rpartition("/")
    write(f"targets/{directory}/{target.hashes['sha256']}.{base}", files[name])

# Indented and compact: only the canonical form is signed.
top_bytes = write("metadata/1.targets.json", sign(top, [targets_key]))
stable_bytes = write("metadata/1.stable.json", sign(stable, [channel_key], compact))
snapshot = Snapshot(expires=expires)
snapshot.meta = {"targets.json": described(1, top_bytes), "stable.json": described(1, stable_bytes)}
snapshot_bytes = write("metadata/1.snapshot.json", sign(snapshot, [online]))
timestamp = Timestamp(expires=expires, snapshot_meta=described(1, snapshot_bytes))
write("metadata/timestamp.json", sign(timestamp, [online], compact))
