"""The cluster: kubectl, pods, and which pod a connection goes to."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

POLL_SECONDS = 0.3


class Failure(Exception):
    """Something that ends the run, told to the person in one line."""


class Progress:
    """One line of progress with the seconds since the start, as the scripts of ops have it."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.subject = ""

    def __call__(self, text: str) -> None:
        print(f"[{time.monotonic() - self.start:4.0f}s] {self.subject}: {text}", flush=True)


say = Progress()


def poll(seconds: float, what: str, condition: Callable[[], Any]) -> Any:
    """Waits until `condition` gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        if found := condition():
            return found
        if time.monotonic() > end:
            raise Failure(f"after {seconds:.0f} s still waiting for {what}")
        time.sleep(POLL_SECONDS)


def command(*words: str, text: str | None = None, seconds: float = 60, check: bool = True) -> str:
    """Runs a command and returns its standard output."""
    result = subprocess.run(words, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    if check and result.returncode:
        raise Failure(f"{' '.join(words[:6])} …: {result.stderr.strip()[-400:]}")
    return result.stdout


def kubectl(*words: str, text: str | None = None, seconds: float = 60, check: bool = True) -> str:
    return command("kubectl", *words, text=text, seconds=seconds, check=check)


def get(*words: str) -> Any:
    return json.loads(kubectl("get", *words, "--output=json"))


@dataclass(frozen=True)
class Pod:
    name: str
    uid: str
    node: str
    ip: str
    image: str
    ready: bool
    ends: bool
    restarts: int

    @classmethod
    def of(cls, item: dict[str, Any]) -> Pod:
        status, spec, metadata = item.get("status", {}), item["spec"], item["metadata"]
        conditions = status.get("conditions", [])
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            node=spec.get("nodeName", ""),
            ip=status.get("podIP", ""),
            image=spec["containers"][0]["image"],
            ready=any(c["type"] == "Ready" and c["status"] == "True" for c in conditions),
            ends="deletionTimestamp" in metadata,
            restarts=sum(c["restartCount"] for c in status.get("containerStatuses", [])),
        )


def pods(namespace: str, selector: str) -> list[Pod]:
    return [Pod.of(item) for item in get("pods", "--namespace", namespace, "--selector", selector)["items"]]


def connections(proxy: str, address: str) -> dict[str, str]:
    """The pod address of each connection to `address`, by the client's "ip:port".

    From the connection table of the node that the clients' way leads through; `proxy` is its network namespace.
    """
    table = command(
        "nsenter", f"--net=/run/netns/{proxy}", "conntrack", "-L", "-p", "tcp", "--orig-dst", address, check=False
    )
    found = {}
    for line in table.splitlines():
        fields = re.findall(r"(src|dst|sport|dport)=(\S+)", line)
        if len(fields) >= 8:  # the way there, then the way back, which begins with the pod's address
            found[f"{fields[0][1]}:{fields[2][1]}"] = fields[4][1]
    return found
