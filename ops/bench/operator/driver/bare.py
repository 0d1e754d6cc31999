"""The bare client: a program that makes writes and does nothing else. See ../writes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from api import Api, Failure


class Bare:
    def __init__(self, program: Path, api: Api, connections: int) -> None:
        self.program = program
        self.api = api
        self.connections = connections

    def write(self, items: list[dict[str, str]], steps: list[dict[str, str]]) -> dict[str, Any]:
        """Goes through the steps for each item. Raises when a write failed."""
        pki = self.api.pki
        plan = {
            "Server": self.api.server,
            "CA": str(pki / "ca.crt"),
            "Cert": str(pki / "admin.crt"),
            "Key": str(pki / "admin.key"),
            "Connections": self.connections,
            "Items": items,
            "Steps": steps,
        }
        done = subprocess.run([self.program], input=json.dumps(plan), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"the bare client: {done.stderr.strip()}")
        outcome: dict[str, Any] = json.loads(done.stdout)
        if outcome["failed"]:
            raise Failure(f"{outcome['failed']} writes of the bare client failed, first: {outcome['first_error']}")
        return outcome
