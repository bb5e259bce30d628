#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# supervise.py [--owner PID] [--patience SECONDS] COMMAND...: runs a command in a session of its own, and when that ends, its
# patience does, its owner does, or a signal comes (SIGINT, SIGTERM, SIGHUP), ends all that the command has started: by SIGTERM,
# and what is left a while later by SIGKILL. Patience is spent by processor time, of all of them together but not more than
# passes meanwhile, or by six times as much on the clock. Exit status: the command's, 124 without patience, 128 and the signal's
# number.
import ctypes
import os
import signal
import subprocess
import sys
import time

FACTOR = 6		# as in common.sh
GRACE_S = 10
PERIOD_S = 0.5
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TICKS = os.sysconf("SC_CLK_TCK")


def adopt_orphans():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        sys.exit(f"supervise: prctl: {os.strerror(ctypes.get_errno())}")


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except OSError:
        pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def cpu_seconds(pids):
    """Of processes, and of what they have waited for."""
    total = sum(os.times()[2:4]) * TICKS
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                total += sum(int(word) for word in file.read().rpartition(")")[2].split()[11:15])
        except OSError:
            pass
    return total / TICKS


def reap(status):
    """Takes what has ended and is ours, now that parents are gone: the status of the command, if it was among it."""
    for pid in children(os.getpid()):
        if pid != status.pid:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
    return status.poll()


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def living():
    found = []
    # Twice: one whose parent ends in the midst of a walk is below neither of the two that it goes from and to.
    for pid in set(descendants(os.getpid()) + descendants(os.getpid())):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if file.read().rpartition(")")[2].split()[0] != "Z":
                    found.append(pid)
        except OSError:
            pass
    return found


def end_all(process):
    end = time.monotonic() + GRACE_S
    send(living(), signal.SIGTERM)
    while living() and time.monotonic() < end:
        time.sleep(0.05)
        reap(process)
    # More than once: what is being made while the list is read is not on it.
    while living():
        send(living(), signal.SIGKILL)
        time.sleep(0.05)
        reap(process)
    # What has ended would be there for others until somebody else takes it.
    reap(process)


def prepare_child():
    # A shell that starts something in the background has it ignore SIGINT, and a script cannot take that back.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def is_there(pid):
    return os.path.exists(f"/proc/{pid}")


def watch(process, owner, patience, caught):
    """Until there is a reason to end: the status, and what there is to say."""
    start = last = time.monotonic()
    used, spent = cpu_seconds(descendants(os.getpid())), 0.0
    while True:
        if caught or not is_there(owner):
            return 128 + (caught or [signal.SIGTERM])[0], ""
        status = reap(process)
        if status is not None:
            return (128 - status if status < 0 else status), ""
        now, total = time.monotonic(), cpu_seconds(descendants(os.getpid()))
        spent += max(0.0, min(now - last, total - used))
        last, used = now, total
        if patience and (spent >= patience or now - start >= patience * FACTOR):
            return 124, (f"not finished after {spent:.0f} s of processor time, {now - start:.0f} s by the clock, of "
                         f"{patience} s (by the clock {patience * FACTOR} s)")
        time.sleep(PERIOD_S if now - start > 2 else 0.02)


def main():
    words, owner, patience = sys.argv[1:], os.getppid(), 0
    if words[:1] == ["--owner"]:
        owner, words = int(words[1]), words[2:]
    if words[:1] == ["--patience"]:
        patience, words = int(words[1]), words[2:]
    caught = []
    for number in SIGNALS:
        signal.signal(number, lambda number, _: caught.append(number))
    adopt_orphans()
    try:
        process = subprocess.Popen(words, start_new_session=True, preexec_fn=prepare_child)
    except OSError as error:
        sys.exit(f"{words[0]}: {error.strerror}")
    status, reason = watch(process, owner, patience, caught)
    end_all(process)
    if reason:
        print(f"{os.path.basename(words[0])}: {reason}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
