"""The load client, and what a server uses meanwhile."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import machine
import messages
from subjects import Server


class Load:
    """Runs the load client on a CPU of its own."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self._directory = tempfile.TemporaryDirectory()
        self._files = 0

    def _file(self, content: bytes) -> str:
        self._files += 1
        path = Path(self._directory.name) / str(self._files)
        path.write_bytes(content)
        return str(path)

    def _run(self, server: Server, *arguments: object) -> dict[str, Any]:
        """What the client measured, with the server's CPU time for each call, and what else was busy (in CPUs)."""
        command = machine.pinned(machine.LOAD_CPU, [str(self.program), *map(str, arguments)])
        used, busy, began = machine.cpu_seconds(server.pid), machine.busy_seconds(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{server.subject.name}: {done.stderr.strip()[:400]}")
        took = time.perf_counter() - began
        used = machine.cpu_seconds(server.pid) - used
        measured: dict[str, Any] = json.loads(done.stdout)
        measured["cpu_us"] = used / max(measured["calls"], 1) * 1e6
        measured["busy_cpus"] = (machine.busy_seconds() - busy) / took
        measured["calls_per_second"] = measured["calls"] / max(measured["seconds"], 1e-9)
        return measured

    def http(
        self, server: Server, connections: int, seconds: float, version: str, *more: object,
        calls: list[Mapping[str, object]] | None = None, expect: str = messages.EXPECT,
    ) -> dict[str, Any]:
        content = messages.requests(server.port, version, calls or [server.subject.arguments])
        return self._run(server, "http", server.port, connections, seconds, self._file(content), expect, *more)

    def sse(self, server: Server, sessions: int, seconds: float, *more: object) -> dict[str, Any]:
        message = self._file(messages.session_call(server.subject.arguments).encode())
        expect = "Upstream" if server.subject.name == "upstream" else messages.EXPECT
        return self._run(server, "sse", server.port, sessions, seconds, message, expect, *more)

    def visits(self, server: Server, clients: int, seconds: float, rate: float) -> dict[str, Any]:
        initialize = self._file(messages.request(server.port, None, messages.INITIALIZE))
        call = self._file(messages.request(server.port, messages.LEGACY, messages.call(messages.LEGACY, server.subject.arguments)))
        return self._run(server, "visit", server.port, clients, seconds, initialize, call, messages.EXPECT, "--rate", rate)

    def idle(self, server: Server, sessions: int) -> int:
        """Resident bytes for each idle session."""
        time.sleep(1)
        before = machine.resident_bytes(server.pid)
        client = subprocess.Popen(
            machine.pinned(machine.LOAD_CPU, [str(self.program), "idle", str(server.port), str(sessions)]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        try:
            assert client.stdout and client.stderr
            if client.stdout.readline().strip() != "ready":
                raise RuntimeError(f"{server.subject.name}: {client.stderr.read().strip()[:400]}")
            # What opening them needed for a moment only is given back.
            time.sleep(2)
            return round((machine.resident_bytes(server.pid) - before) / sessions)
        finally:
            machine.end(client)
            for pipe in (client.stdin, client.stdout, client.stderr):
                if pipe:
                    pipe.close()
