"""The servers that are measured."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import machine
import messages

START_LIMIT_SECONDS = 60


@dataclass
class Subject:
    """A server: how it is started, and which transports it has."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    http: bool = True
    sse: bool = True
    arguments: dict[str, object] = field(default_factory=lambda: dict(messages.ARGUMENTS))

    def start(self, under: list[str] | None = None, **environment: str) -> Server:
        return Server(self, under or [], environment)


class Server:
    """A server that runs. It ends with the `with` block."""

    host = "127.0.0.1"

    def __init__(self, subject: Subject, under: list[str], environment: dict[str, str]) -> None:
        self.subject = subject
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        everything = {**os.environ, **subject.environment, "PORT": str(self.port), "HOST": self.host, **environment}
        command = machine.pinned(machine.SERVER_CPU, [*under, *subject.command])
        self.began = time.perf_counter()
        self.process: subprocess.Popen[str] = subprocess.Popen(
            command, env=everything, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE if under else subprocess.DEVNULL
        )
        try:
            while not self._answers():
                if self.process.poll() is not None or time.perf_counter() - self.began > START_LIMIT_SECONDS:
                    raise RuntimeError(f"{subject.name} did not start")
                time.sleep(0.0005)
        except BaseException:  # an interrupt too: nobody else would end it
            machine.end(self.process)
            raise
        self.started_seconds = time.perf_counter() - self.began

    @property
    def pid(self) -> int:
        return self.process.pid

    def _answers(self) -> bool:
        try:
            if self.subject.http:
                return self.post(messages.INITIALIZE, None)[0] == 200
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def post(self, body: str, version: str | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/mcp", body.encode(), messages.headers(version))
        answer = connection.getresponse()
        read = answer.status, answer.read()
        connection.close()
        return read

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        machine.end(self.process)


def all_subjects(built: Path, python: Path, answer: Path) -> list[Subject]:
    """Ours first. The rivals are given the answer that ours gives."""
    ours = {"ADMIN_PORT": "0", "RATE_LIMIT": "0", "MAX_SESSIONS": "20000"}
    rival = {"ANSWER": str(answer)}
    here = Path(__file__).parent.parent / "rivals" / "python"
    upstream = {"city": "Berlin", "country": "de", "role": "rust engineer", "num_jobs": 5}
    return [
        Subject("ours", [str(built / "iam-mcp-server"), "http"], ours),
        Subject("rmcp", [str(built / "rival-rmcp")], rival),
        Subject("rmcp lean bridge", [str(built / "rival-rmcp")], {**rival, "BRIDGE": "lean"}, http=False),
        Subject("mcp-go", [str(built / "mcp-go")], rival),
        Subject("go-sdk", [str(built / "go-sdk")], rival),
        Subject("Python", [str(python / "streamable-http/bin/python"), str(here / "streamable_http.py")], rival, sse=False),
        Subject("Python SSE", [str(python / "sse/bin/python"), str(here / "sse.py")], rival, http=False),
        Subject(
            "upstream",
            [str(python / "sse/bin/python"), str(here / "upstream.py")],
            {"RAPIDAPI_KEY": "none", "IAM_DATA_ROOT": str(built)},
            http=False,
            arguments=upstream,
        ),
    ]
