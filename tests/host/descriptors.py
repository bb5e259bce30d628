#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Says something to a guest's control socket, with descriptors, and prints the answer:
descriptors.py SOCKET TEXT [KIND...], where KIND is r:FILE, w:FILE, path:FILE, pipe, socket or event. Without a line's end the
text gets no answer. They are sent with the first byte, or with each of the first N where the last argument is +N."""
import os
import socket
import sys

FLAGS = {"r": os.O_RDONLY, "w": os.O_RDWR, "path": os.O_PATH}


def opened(kind):
    word, _, name = kind.partition(":")
    if word in FLAGS:
        return os.open(name, FLAGS[word])
    if word == "pipe":
        return os.pipe()[0]
    if word == "socket":
        return socket.socketpair()[0].detach()
    return os.eventfd(0)


def main():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(sys.argv[1])
    text = sys.argv[2].encode().decode("unicode_escape").encode()
    kinds = sys.argv[3:]
    times = int(kinds.pop()[1:]) if kinds and kinds[-1].startswith("+") else 1
    descriptors = [opened(kind) for kind in kinds]
    for _ in range(times):
        if descriptors:
            socket.send_fds(client, [text[:1]], descriptors)
        else:
            client.sendall(text[:1])
        text = text[1:]
    client.sendall(text)
    if text.endswith(b"\n"):
        print(client.makefile().readline(), end="")


main()
