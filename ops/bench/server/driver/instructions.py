"""Instructions a call, counted by valgrind's callgrind: the one figure that other tenants of a machine do not change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from load import Load
from subjects import Subject

WARM_CALLS = 200
DUMP_LIMIT_SECONDS = 30


def can_count() -> bool:
    return shutil.which("valgrind") is not None


def _written(dump: Path) -> str:
    """The dump's content, once it is whole."""
    until = time.monotonic() + DUMP_LIMIT_SECONDS
    while time.monotonic() < until:
        text = dump.read_text(errors="replace") if dump.exists() else ""
        if "\ntotals:" in text:
            return text
        time.sleep(0.05)
    raise RuntimeError("callgrind wrote no dump")


def count(load: Load, subject: Subject, kind: str, calls: int, keep: Path | None = None, **environment: str) -> float:
    """Instructions that a server executes for a call of `kind`: a protocol version, or "sse". User space only."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "callgrind"
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        with subject.start(under, **environment) as server:

            def run(number: int) -> None:
                if kind == "sse":
                    load.sse(server, 1, 600, "--calls", number)
                else:
                    load.http(server, 1, 600, kind, "--calls", number)

            def control(what: str) -> None:
                # It finds valgrind by a file whose name has HOST in it, which to the server is where to listen.
                environment = {**os.environ, "HOST": server.host}
                subprocess.run(["callgrind_control", what, str(server.pid)], env=environment, check=True, capture_output=True)

            run(WARM_CALLS)
            control("-z")
            run(calls)
            control("-d")
            dump = Path(f"{out}.1")
            text = _written(dump)
        if keep:
            shutil.copyfile(dump, keep)
    found = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
    if not found:
        raise RuntimeError("callgrind counted nothing")
    return int(found[1]) / calls
