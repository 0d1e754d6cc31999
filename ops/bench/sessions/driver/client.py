"""The load client of ../load, told what to do over its standard input."""

from __future__ import annotations

import json
import select
import subprocess
from typing import Any, TextIO

from cluster import Failure

# Longer than a phase's numbers take to sum up on a busy machine.
ANSWER_SECONDS = 30
LAST_CALLS_SECONDS = 120


class Client:
    def __init__(self, words: list[str], errors: TextIO) -> None:
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
        )

    def ask(self, what: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(what + "\n")
        except BrokenPipeError:
            raise Failure("the load client ended; see load.log") from None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise Failure(f"the load client does not answer to '{what}'")
        line = self.process.stdout.readline()
        if not line:
            raise Failure("the load client ended; see load.log")
        return json.loads(line)

    def phase(self, name: str) -> dict[str, Any]:
        """Begins a phase and returns what was counted in the one before."""
        return self.ask(f"phase {name}")

    def open_sessions(self) -> int:
        return self.ask("state")["open"]

    def streams(self) -> dict[str, str]:
        """The kind of each open session by the local address of its stream."""
        return self.ask("state")["streams"]

    def end(self) -> dict[str, Any]:
        last = self.ask("end", LAST_CALLS_SECONDS)
        self.process.wait(ANSWER_SECONDS)
        return last

    def stop(self) -> None:
        """Without last calls; nothing happens when it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
