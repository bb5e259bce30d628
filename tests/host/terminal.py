#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# terminal.py PATTERN SECONDS KEYS COMMAND...: runs a command at a terminal, and so many seconds after it has shown the pattern
# types the keys (with escapes like \x03). Prints what it shows; its exit status is the command's, 128 and more for a signal, or
# 99 if the terminal's settings are not what they were, 98 if there is no end within a minute.
import fcntl
import os
import pty
import re
import select
import signal
import sys
import termios
import time


def read(fd, timeout):
    if not select.select([fd], [], [], timeout)[0]:
        return b""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def main():
    pattern, seconds = sys.argv[1].encode(), float(sys.argv[2])
    keys = sys.argv[3].encode().decode("unicode_escape").encode("latin-1")
    # Held open here, so that its settings can be looked at when the command has ended.
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if not pid:
        os.close(master)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in range(3):
            os.dup2(slave, number)
        os.execvp(sys.argv[4], sys.argv[4:])
    output, due, end = b"", 0, time.monotonic() + 60
    status = None
    while status is None:
        output += read(master, 0.1)
        if due == 0 and re.search(pattern, output):
            due = time.monotonic() + seconds
        if due and due is not None and time.monotonic() >= due:
            os.write(master, keys)
            due = None
        done, result = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(result)
        elif time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            status = 98
    output += read(master, 0.1)
    print(output.decode("utf-8", "replace"))
    if status != 98 and termios.tcgetattr(slave) != before:
        status = 99
    print(f"status {status}")
    return 128 - status if status < 0 else status


sys.exit(main())
