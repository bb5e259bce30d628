#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
# emulator.py: runs the emulator for tools/bench, under the emulator's own name in front of it in PATH, and writes down the
# CPU time that the whole process, and QEMU's processors in it, had used when each line appeared on a serial port, and at its end.
# QEMU has the serial ports' files on its command line, Bochs in the file that -f names.
# Environment: BENCH_EMULATOR, the program; BENCH_OPTIONS, more words for it, as JSON; BENCH_RESULT, the file to write.
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time

PERIOD = 0.002
PERIOD_COUNTED = 0.02  # where time is that of the instructions
PR_SET_PDEATHSIG = 1
CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3) in the kernel's encoding: a process's time in ns


class Serial:
    """The lines of a serial port's file as they come."""

    def __init__(self, path):
        self.path = path
        self.offset = 0
        self.rest = b""

    def lines(self):
        try:
            if os.stat(self.path).st_size <= self.offset:
                return []
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("ascii", "replace").strip() for line in lines]


def end_with_parent():
    """Should this process be killed, the emulator is not left behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def cpu_seconds(pid):
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def vcpu_seconds(pid):
    """Of the threads that execute the machine's instructions, by the names that -name debug-threads=on gives them."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii", errors="replace") as file:
                if not re.search(r"CPUs? ?.*/TCG", file.read()):
                    continue
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    except OSError:
        pass
    return total / 1e9


def log_bytes(arguments):
    """How far the emulator's own log has grown, when it writes one."""
    try:
        return os.stat(arguments[arguments.index("-D") + 1]).st_size
    except (ValueError, OSError):
        return 0


def serial_files(arguments):
    if "-f" not in arguments:
        return [word[5:] for word in arguments if word.startswith("file:")]
    with open(arguments[arguments.index("-f") + 1], encoding="utf-8") as file:
        return [path for _, path in sorted(re.findall(r"^\s*(com\d):.*\bdev=(\S+)", file.read(), re.MULTILINE))]


def main():
    arguments = sys.argv[1:] + json.loads(os.environ.get("BENCH_OPTIONS", "[]"))
    ports = [Serial(path) for path in serial_files(arguments)]
    lines = []
    process = subprocess.Popen([os.environ["BENCH_EMULATOR"]] + arguments, preexec_fn=end_with_parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.terminate())
    pid, period = 0, PERIOD_COUNTED if "-icount" in arguments else PERIOD
    while not pid:
        # Asked before it is reaped: afterwards the clock is gone.
        used, vcpus, size = cpu_seconds(process.pid), vcpu_seconds(process.pid), log_bytes(arguments)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        for index, port in enumerate(ports):
            lines += [{"cpu": used, "vcpu": vcpus, "port": index, "log": size, "text": text} for text in port.lines() if text]
        if not pid:
            time.sleep(period)
    result = {"cpu": usage.ru_utime + usage.ru_stime, "lines": lines}
    with open(os.environ["BENCH_RESULT"], "w", encoding="ascii") as file:
        json.dump(result, file)
    # It is over, and there is nothing left for subprocess to wait for.
    process.returncode = os.waitstatus_to_exitcode(status)
    return max(process.returncode, 0)


if __name__ == "__main__":
    sys.exit(main())
