#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# manifest.py MANIFEST: prints the guest's name, then the absolute path of every file that the manifest names.
# What a manifest may hold is the keel command's business: here every string that names a file counts.
import json
import os
import sys


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not key.startswith("$"):
                yield from strings(item)


def main():
    path = os.path.abspath(sys.argv[1])
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
    except (OSError, ValueError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    default = os.path.splitext(os.path.basename(path))[0]
    print(manifest.get("name", default) if isinstance(manifest, dict) else default)
    for text in strings(manifest):
        name = os.path.normpath(os.path.join(os.path.dirname(path), text))
        if "/" in text or os.path.isfile(name):
            print(name)


main()
