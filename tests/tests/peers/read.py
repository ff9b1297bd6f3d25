"""Reads a repository with python-tuf: refresh, then every target named.

usage: read.py ROOT METADATA_URL TARGETS_URL STATE_DIR TARGET_DIR [TARGET...]
Prints the SHA-256 of each target that was downloaded and verified, one per line.
"""

import hashlib
import os
import sys

from tuf.ngclient import Updater

root, metadata_url, targets_url, state_dir, target_dir, *names = sys.argv[1:]
os.makedirs(state_dir, exist_ok=True)
os.makedirs(target_dir, exist_ok=True)
with open(root, "rb") as file:
    bootstrap = file.read()
updater = Updater(state_dir, metadata_url, target_dir, targets_url, bootstrap=bootstrap)
updater.refresh()
for name in names:
    target = updater.get_targetinfo(name)
    if target is None:
        sys.exit(f"no role lists {name}")
    with open(updater.download_target(target), "rb") as file:
        print(hashlib.sha256(file.read()).hexdigest())
