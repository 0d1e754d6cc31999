"""The operator, as a process in the pods' network namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import machine
from api import Failure
from audit import seconds

START_SECONDS = 60
STOP_SECONDS = 30
# Not 8080, where the pods answer.
METRICS = "127.0.0.1:18080"


def arguments(namespace: str) -> list[str]:
    """As the chart has them."""
    return ["run", "--leader-elect", f"--lease-namespace={namespace}", f"--metrics-bind={METRICS}", "--log-format=json"]


class Operator:
    def __init__(self, binary: Path, kubeconfig: Path, netns: str, namespace: str, log: Path) -> None:
        self.command = ["nsenter", f"--net=/run/netns/{netns}", str(binary), *arguments(namespace)]
        self.kubeconfig = kubeconfig
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> float:
        """Starts it; returns when that was."""
        self.starts += 1
        self.output = self.log.with_suffix(f".{self.starts}.log")
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        with self.output.open("wb") as out:
            began = time.time()
            self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        return began

    @property
    def pid(self) -> int:
        if self.process is None or self.process.poll() is not None:
            raise Failure(f"the operator does not run; its log is {self.output}")
        return self.process.pid

    def stop(self) -> float:
        """Ends it with SIGTERM; returns how long that took."""
        began = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return time.monotonic() - began

    def synced(self) -> float | None:
        """When its caches were filled, by its log."""
        for line in self.output.read_text().splitlines():
            if "caches are filled" in line and (found := re.search(r'"timestamp":"([^"]+)"', line)):
                return seconds(found[1])
        return None

    def cpu(self) -> float:
        return machine.cpu_seconds(self.pid)

    def memory(self) -> dict[str, float]:
        """Resident now and at most, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = dict(re.findall(r"(VmRSS|VmHWM|RssAnon):\s+(\d+) kB", status))
        return {"resident": int(found["VmRSS"]) / 1024, "peak": int(found["VmHWM"]) / 1024, "own": int(found["RssAnon"]) / 1024}
