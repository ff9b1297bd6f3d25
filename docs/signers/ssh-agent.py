#!/usr/bin/env python3
"""Signs with an Ed25519 key that an ssh-agent holds: a key file, a hardware token behind it, or a forwarded agent.

ssh-agent.py public KEY.pub     writes the key as a minisign public key to stdout
ssh-agent.py sign KEY.pub       signs the bytes of stdin, and writes the 64 bytes of the signature to stdout

KEY.pub is the public key as `ssh-keygen -t ed25519` writes it. Agents take at most 256 KiB in one request.
"""

import base64
import hashlib
import os
import socket
import struct
import sys

SIGN_REQUEST, SIGN_RESPONSE = 13, 14


def string(value):
    return struct.pack(">I", len(value)) + value


def take(data):
    (length,) = struct.unpack(">I", data[:4])
    return data[4 : 4 + length], data[4 + length :]


def exactly(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            sys.exit("the ssh-agent hung up")
        data += part
    return data


def key_blob(path):
    with open(path, encoding="ascii") as file:
        kind, text = file.read().split()[:2]
    if kind != "ssh-ed25519":
        sys.exit(f"{path} is a key of type {kind}, not ssh-ed25519")
    return base64.b64decode(text)


def public(blob):
    _, rest = take(blob)
    key, _ = take(rest)
    # minisign's id is any eight bytes: these are always the same for the key.
    name = hashlib.sha256(key).digest()[:8]
    print(f"untrusted comment: minisign public key {int.from_bytes(name, 'little'):016X}")
    print(base64.b64encode(b"Ed" + name + key).decode())


def sign(blob, message):
    request = bytes([SIGN_REQUEST]) + string(blob) + string(message) + struct.pack(">I", 0)
    with socket.socket(socket.AF_UNIX) as agent:
        agent.connect(os.environ["SSH_AUTH_SOCK"])
        agent.sendall(string(request))
        (length,) = struct.unpack(">I", exactly(agent, 4))
        answer = exactly(agent, length)
    if answer[0] != SIGN_RESPONSE:
        sys.exit("the ssh-agent refused to sign: is the key loaded (ssh-add -l)?")
    _, rest = take(take(answer[1:])[0])
    signature, _ = take(rest)
    sys.stdout.buffer.write(signature)


if len(sys.argv) != 3 or sys.argv[1] not in ("public", "sign"):
    sys.exit(__doc__)
if sys.argv[1] == "public":
    public(key_blob(sys.argv[2]))
else:
    sign(key_blob(sys.argv[2]), sys.stdin.buffer.read())
