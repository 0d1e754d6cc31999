"""The real server: one over HTTP for everybody, and a command that starts one on stdin and stdout for each."""

import json
import os
import signal
import socket
import stat
import subprocess
import time
import urllib.request
from pathlib import Path

DEADLINE = 60.0
BASE_PATH = "/jobs"

# A client sees the server's end through this: how it ended is written down, and whether it had to be told. Its arguments
# say who started it.
WRAPPER = """#!/bin/sh
told=no
trap 'told=yes; kill -TERM "$server" 2>/dev/null' TERM
echo "$*" >"{run}/$$.started"
exec 3<&0
env -i {environment} "{binary}" stdio <&3 3<&- 2>>"{run}/stderr" &
server=$!
exec <&- 3<&-
wait "$server"; status=$?
while kill -0 "$server" 2>/dev/null; do wait "$server"; status=$?; done
echo "$status $told" >"{run}/$$.ended"
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(provider: str, work: Path) -> dict[str, str]:
    """A key, so that calls go to the job board of the tests, a place for saved jobs, and a log of what is wrong only."""
    return {"RAPIDAPI_BASE_URL": provider, "RAPIDAPI_KEY": "key-of-the-tests", "LOG_LEVEL": "WARNING", "IAM_DATA_ROOT": str(work / "data")}


def complaints(log: Path) -> list[str]:
    """What the server logged as a warning or worse; a panic is no JSON and counts too."""
    found = []
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            if json.loads(line)["level"] in ("ERROR", "WARN"):
                found.append(line)
        except (ValueError, KeyError, TypeError):
            found.append(line)
    return found


class Http:
    """A server over HTTP, on free ports of loopback."""

    def __init__(self, binary: Path, provider: str, work: Path) -> None:
        self.log = work / "server.log"
        self.admin = f"http://127.0.0.1:{free_port()}"
        settings = environment(provider, work) | {
            "PORT": "0", "ADMIN_PORT": self.admin.rpartition(":")[2], "BASE_PATH": BASE_PATH,
            # All clients have one address here.
            "RATE_LIMIT": "0",
            "LOG_LEVEL": "INFO",
        }
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([binary, "http"], env=settings, stdin=subprocess.DEVNULL, stderr=log)
        self.url = self.address()

    def address(self) -> str:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            for line in self.log.read_text().splitlines():
                if line.startswith("{") and line.endswith("}") and "address" in (said := json.loads(line)):
                    return f"http://{said['address']}"
            time.sleep(0.02)
        raise RuntimeError(f"the server did not start: {self.log.read_text()}")

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=DEADLINE) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition(" ")[0].partition("{")[0] == name)

    def nothing_open(self) -> list[str]:
        """What is still open in the server although all clients have left."""
        end = time.monotonic() + DEADLINE
        while True:
            left = [name for name in ("iam_mcp_sse_streams_open", "iam_mcp_sse_calls") if self.metric(name)]
            if not left or time.monotonic() > end:
                return [f"{name} is {self.metric(name):g}" for name in left]
            time.sleep(0.05)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Stdio:
    """The command for clients that start the server themselves, in a folder of its own for each client."""

    def __init__(self, binary: Path, provider: str, work: Path) -> None:
        self.run = work
        self.run.mkdir()
        self.command = [str(self.run / "iam-mcp-server")]
        words = " ".join(f"{name}={value}" for name, value in environment(provider, work).items())
        wrapper = Path(self.command[0])
        wrapper.write_text(WRAPPER.format(run=self.run, environment=words, binary=binary))
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)

    def problems(self, probed: tuple[str, ...] = ()) -> list[str]:
        """Of the servers that this client started: each must have ended by itself, and well, when its stdin closed. Where a
        call was in flight it may have waited for that until it was told to end, but not until it was killed. One that was
        started to be `probed` may have been told before it could listen (143)."""
        found = complaints(self.run / "stderr")
        for started in self.run.glob("*.started"):
            ended = started.with_suffix(".ended")
            end = time.monotonic() + DEADLINE
            while not ended.exists() and time.monotonic() < end and Path(f"/proc/{started.stem}").exists():
                time.sleep(0.02)
            said = ended.read_text().strip() if ended.exists() else "killed by its client"
            who = started.read_text().strip()
            may = ["0 no"]
            if who.endswith("leave") or who in probed:
                may.append("0 yes")
            if who.removesuffix(" leave") in probed:
                may.append("143 yes")
            if said not in may:
                found.append(f"{who}: a server on stdin ended otherwise than with 0 and by itself: {said!r} (status, told to)")
        return found


def binary_of(given: str) -> Path:
    path = Path(given).resolve()
    if not os.access(path, os.X_OK):
        raise SystemExit(f"error: {given} is no program")
    return path
