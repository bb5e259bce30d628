#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""In place of passt: what comes is sent back. In the folder of PASST_FOLDER the first one that starts has files called
passt-0-..., the next one passt-1-... and so on: pid; send, with lines of a length and a byte, a frame each, which the test makes;
and frames, which gets a line for each frame that came: the time, its length and its first byte."""
import os
import select
import socket
import struct
import sys
import time


def begin(folder):
    """The part of all names that is this one's."""
    number = 0
    while os.path.exists(os.path.join(folder, f"passt-{number}-frames")):
        number += 1
    return os.path.join(folder, f"passt-{number}-")


def say(link, path):
    """Sends what the test says, once."""
    if not os.path.exists(path):
        return
    with open(path, encoding="ascii") as file:
        lines = file.read().split("\n")
    os.unlink(path)
    for line in filter(None, lines):
        length, byte = map(int, line.split())
        link.sendall(struct.pack(">I", length) + bytes([byte]) * length)


def serve(link, name, frames):
    """Until the other end is gone."""
    got = b""
    while True:
        say(link, name + "send")
        if not select.select([link], [], [], 0.02)[0]:
            continue
        piece = link.recv(1 << 16)
        if not piece:
            return
        got += piece
        while len(got) >= 4 and len(got) - 4 >= struct.unpack(">I", got[:4])[0]:
            length = struct.unpack(">I", got[:4])[0]
            frames.write(f"{time.monotonic():.3f} {length} {got[4]}\n")
            frames.flush()
            link.sendall(got[:4 + length])
            got = got[4 + length:]


def main():
    """The first process ends when all that the other end has to know is there."""
    name = begin(os.environ["PASST_FOLDER"])
    with open(name + "frames", "a", encoding="ascii") as frames:
        child = os.fork()
        if child:
            with open(name + "pid", "w", encoding="ascii") as file:
                file.write(f"{child}\n")
            return
        serve(socket.socket(fileno=3), name, frames)


main()
sys.exit(0)
