#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# manifest.py MANIFEST: prints a line for every file that the manifest names: "rw", "ro" (drives, and what may be done to
# them) or "file" (anything else), and the absolute path. Whether the manifest is right is the keel command's business.
import json
import os
import sys


def files(value, kind="file"):
    """Every string that looks like a file's name, with its kind."""
    if isinstance(value, str):
        yield kind, value
    elif isinstance(value, list):
        for item in value:
            yield from files(item, kind)
    elif isinstance(value, dict):
        if kind == "rw" and value.get("mode", "rw") != "rw":
            kind = "ro"
        for key, item in value.items():
            if key not in ("$schema", "description", "name"):
                yield from files(item, {"disks": "rw", "cdrom": "ro"}.get(key, kind))


def main():
    path = os.path.abspath(sys.argv[1])
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    for kind, text in files(manifest):
        name = os.path.normpath(os.path.join(os.path.dirname(path), text))
        if "/" in text or os.path.isfile(name):
            print(kind, name)


main()
