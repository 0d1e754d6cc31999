"""The API server's audit log: who wrote what, and when. It has writes only."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

# What an operator writes that is not about a server's children or status.
ASIDE = ("events", "leases")


def seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@dataclass(frozen=True)
class Write:
    user: str
    verb: str
    resource: str  # with the subresource: "mcpservers/status"
    namespace: str
    name: str
    code: int
    began: float
    ended: float

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Write:
        about = entry.get("objectRef", {})
        subresource = about.get("subresource")
        return cls(
            user=entry["user"]["username"],
            verb=entry["verb"],
            resource=about.get("resource", "") + (f"/{subresource}" if subresource else ""),
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            code=entry.get("responseStatus", {}).get("code", 0),
            began=seconds(entry["requestReceivedTimestamp"]),
            ended=seconds(entry["stageTimestamp"]),
        )

    @property
    def counts(self) -> bool:
        return self.resource.split("/")[0] not in ASIDE


class Audit:
    """The writes of some users, read on as the log grows, also where it is begun anew."""

    def __init__(self, log: Path, users: tuple[str, ...]) -> None:
        self.log = log
        self.marks = [f'"username":"{user}"'.encode() for user in users]
        self.file = log.open("rb")
        self.rest = b""
        self.writes: list[Write] = []
        self.lock = threading.Lock()

    def read(self) -> list[Write]:
        """All writes until now."""
        with self.lock:
            self._read()
            while self.log.stat().st_ino != self._inode():
                self._read()
                self.file.close()
                self.file = self.log.open("rb")
                self.rest = b""
                self._read()
            return list(self.writes)

    def _inode(self) -> int:
        return os.fstat(self.file.fileno()).st_ino

    def _read(self) -> None:
        text = self.rest + self.file.read()
        *lines, self.rest = text.split(b"\n")
        for line in lines:
            if any(mark in line for mark in self.marks):
                self.writes.append(Write.of(json.loads(line)))


def counted(writes: list[Write]) -> dict[str, int]:
    """How many of each kind, the most first."""
    return dict(Counter(f"{write.verb} {write.resource}" for write in writes).most_common())


def failed(writes: list[Write]) -> dict[str, int]:
    return dict(Counter(f"{write.verb} {write.resource} {write.code}" for write in writes if write.code >= 400))
