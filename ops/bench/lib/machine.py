"""Processes of this machine: their CPU time, their memory, and where they run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

SERVER_CPU = "0"
LOAD_CPU = "1" if (os.cpu_count() or 1) > 1 else "0"


def pinned(cpu: str, command: list[str]) -> list[str]:
    return ["taskset", "-c", cpu, *command]


def cpu_seconds(pid: int) -> float:
    """What a process has used in all its threads, also those that ended; to the nanosecond, where /proc has ticks."""
    return time.clock_gettime((~pid << 3) | 2)


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def busy_seconds() -> float:
    """What all CPUs have worked, other tenants' work included."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(ticks[:3]) + sum(ticks[5:8])) / os.sysconf("SC_CLK_TCK")


def described() -> str:
    """The machine in a line."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    model = found[1] if found else platform.machine()
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}, load {load:.1f} at the start"


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process that we started."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
