#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# manual.py SCHEMA: writes keel(5), the manual page of the manifest, from its schema: what a key means stands there alone.
import json
import sys

HEAD = r"""'\" t
.\" SPDX-License-Identifier: GPL-2.0
.TH KEEL 5 "" "Keel" "Keel"
.SH NAME
keel \- manifest of a guest
.SH DESCRIPTION
A guest of the Keel hypervisor is declared in one JSON file (RFC 8259), which
.BR keel (1)
checks whole before it starts anything: keys that are not known, or stand twice, are errors, told with file, line and column.
"""

TAIL = r"""
.SH EXAMPLE
.nf
{
	"version": 1,
	"name": "web",
	"memory": "2G",
	"vcpus": 2,
	"disks": [{ "file": "web.img" }]
}
.fi
.SH FILES
.TP
.I /etc/keel/guests/NAME.json
The manifest of
.IR keel@NAME.service .
.TP
.I /usr/share/keel/manifest.schema.json
The same as a JSON Schema, for editors that check and complete.
.SH SEE ALSO
.BR keel (1)
"""


def text(words):
    """Plain text as troff has it: no escapes, no line that begins with a request."""
    words = words.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + words if words[:1] in (".", "'") else words


def resolve(schema, node):
    """A reference, with what stands beside it."""
    if "$ref" not in node:
        return node
    target = schema
    for part in node["$ref"].split("/")[1:]:
        target = target[part]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def kind(node):
    """What a value may be, in a few words."""
    if "const" in node:
        return json.dumps(node["const"])
    if "enum" in node:
        return ", ".join(json.dumps(value) for value in node["enum"])
    if node.get("type") == "integer":
        return f"a number from {node['minimum']} to {node['maximum']}"
    words = {"string": "a string", "boolean": "true or false", "object": "an object", "array": "a list"}
    # Of some values more than one kind is taken.
    if "type" not in node:
        return " or ".join(kind(choice) for choice in node.get("oneOf", node.get("anyOf", []))) or "any value"
    return words[node["type"]]


def member(schema, name, node, required, out):
    node = resolve(schema, node)
    facts = [kind(node)]
    if required:
        facts.append("needed")
    if "default" in node:
        facts.append("default " + json.dumps(node["default"]))
    out.append(".TP")
    out.append(f".BR \"{text(name)} \" \"({text('; '.join(facts)).replace(chr(34), chr(34) * 2)})\"")
    if "description" in node:
        out.append(text(node["description"]))
    inner = node
    if node.get("type") == "array":
        inner = resolve(schema, node["items"])
        if "properties" not in inner:
            out.append(f"Each is {text(kind(inner))}.")
    if "properties" in inner:
        if inner is not node:
            out.append("Each is an object with these members:")
        out.append(".RS")
        members(schema, inner, out)
        out.append(".RE")


def members(schema, node, out):
    for name, value in node["properties"].items():
        if not name.startswith("$"):
            member(schema, name, value, name in node.get("required", ()), out)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    out = [text(schema["description"]), ".SH KEYS"]
    members(schema, schema, out)
    sys.stdout.write(HEAD + "\n".join(out) + TAIL)


main()
