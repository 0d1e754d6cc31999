"""Sessions of client libraries as people use them, beside the load client's: the programs of ../clients."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from cluster import say

PROGRAM = Path(__file__).resolve().parent.parent / "clients" / "sessions"
LIBRARIES = (("typescript", "sse"), ("typescript", "http"), ("python", "sse"), ("python", "http"))
# They end by themselves if nobody stops them.
LONGEST_SECONDS = 7200
# A program that is told to end closes its sessions first.
END_SECONDS = 30
# The programs know the server's name by a hosts file of their own.
WITH_HOSTS = 'mount --bind "$HOSTS_FILE" /etc/hosts; exec "$@"'


class Sdk:
    """One program for each library and transport, each with some sessions that call once a second."""

    def __init__(self, enter: list[str], host: str, address: str, sessions: int, out: Path) -> None:
        hosts = out / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{address} {host}\n")
        self.programs: list[tuple[str, str, Path, subprocess.Popen[bytes]]] = []
        for library, transport in LIBRARIES:
            said = out / f"{library}-{transport}.jsonl"
            words = [*enter, "env", f"HOSTS_FILE={hosts}", "unshare", "--mount", "sh", "-ec", WITH_HOSTS, "sh", str(PROGRAM)]
            words += [library, f"--url=http://{host}", f"--transport={transport}", f"--sessions={sessions}"]
            words += [f"--seconds={LONGEST_SECONDS}"]
            with open(said, "w") as stdout, open(out / f"{library}-{transport}.log", "w") as stderr:
                program = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
            self.programs.append((library, transport, said, program))
        say(f"{sessions} sessions of each of {len(LIBRARIES)} programs beside it")

    def end(self) -> list[dict[str, Any]]:
        """What each counted; what a program that broke off counted last."""
        for *_, program in self.programs:
            if program.poll() is None:
                program.terminate()
        until = time.monotonic() + END_SECONDS
        counted = []
        for library, transport, said, program in self.programs:
            try:
                program.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
            lines = [json.loads(line) for line in said.read_text().splitlines() if line.startswith("{")]
            counted.append({"library": library, "transport": transport, **(lines[-1] if lines else {})})
        self.programs = []
        return counted


def problems(counted: list[dict[str, Any]], deadlines: bool) -> list[str]:
    """What must not be: a lost session, a failed call. Where drains end, a session over SSE ends with them: the Python SDK
    does not reconnect, and what the TypeScript SDK sends before it has is refused."""
    found = []
    for row in counted:
        name = f"{row['library']} over {row['transport']}"
        if not row.get("calls_ok"):
            found.append(f"{name}: no call was answered")
            continue
        may_end = deadlines and row["transport"] == "sse"
        keys = ["gave_up"] if row["library"] == "typescript" else []
        if not may_end:
            keys += ["lost", "ended", "calls_failed"]
        elif row["library"] == "typescript":
            keys += ["lost"]
        found += [f"{name}: {key} {row[key]} {row.get('reasons', '')}" for key in keys if row.get(key)]
    return found


def table(counted: list[dict[str, Any]]) -> str:
    columns = ("server", "library", "transport", "sessions", "calls_ok", "calls_failed", "ended", "resumed", "lost", "gave_up")
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " | reasons |", "|" + "---|" * (len(columns) + 1)]
    for row in counted:
        reasons = ", ".join(f"{n} {reason}" for reason, n in row.get("reasons", {}).items())
        lines.append("| " + " | ".join(str(row.get(name, "")) for name in columns) + f" | {reasons} |")
    return "\n".join(lines)
