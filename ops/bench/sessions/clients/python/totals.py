"""What is counted, and the lines that tell it."""

import json
import time
from collections import Counter

import httpx
from mcp import McpError

COUNTS = (
    "calls_ok calls_failed calls_skipped ended resumed lost gave_up opens_failed last_event_id_sent".split()
)
# Durations of which all are kept; of more only the counts go on.
MOST_KEPT = 1_000_000


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def quantiles(values: list[float]) -> dict:
    """Of durations in milliseconds."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    at = {name: ordered[min(len(ordered) - 1, int(len(ordered) * part))] for name, part in (("p50", 0.5), ("p99", 0.99))}
    return {"count": len(ordered), **{name: round(value) for name, value in at.items()}, "max": round(ordered[-1])}


class Totals:
    """Counts since the start, and of the running second."""

    def __init__(self, client: str, transport: str) -> None:
        self.names = {"client": client, "transport": transport}
        self.all, self.second = Counter(), Counter()
        self.reasons, self.second_reasons = Counter(), Counter()
        self.seconds = 0
        self.call_ms: list[float] = []

    def add(self, name: str) -> None:
        self.all[name] += 1
        self.second[name] += 1

    def failed(self, reason: str) -> None:
        self.add("calls_failed")
        self.reasons[reason] += 1
        self.second_reasons[reason] += 1

    def took(self, name: str, ms: float) -> None:
        values = getattr(self, name)
        if len(values) < MOST_KEPT:
            values.append(ms)

    def report(self, open_sessions: int) -> None:
        """The line of a second: what happened in it, and how many sessions are open."""
        self.seconds += 1
        counts = {name: self.second[name] for name in COUNTS}
        line = {"second": self.seconds, "at": now(), **self.names, "open": open_sessions, **counts}
        print(json.dumps({**line, "reasons": self.second_reasons}))
        self.second, self.second_reasons = Counter(), Counter()

    def summary(self, open_sessions: int, sessions: int) -> None:
        counts = {name: self.all[name] for name in COUNTS}
        line = {"summary": True, "at": now(), **self.names, "sessions": sessions, "open": open_sessions, **counts}
        print(json.dumps({**line, "reasons": self.reasons, "call_ms": quantiles(self.call_ms)}))


class Events:
    """Appends a line for all that happens to a session."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "a", buffering=1) if path else None  # noqa: SIM115: closed with the process

    def note(self, session: int, event: str, **more) -> None:
        if self.file:
            self.file.write(json.dumps({"at": now(), "session": session, "event": event, **more}) + "\n")


def reason_of(error: BaseException) -> str:
    """Few different reasons, so that they can be counted."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case httpx.HTTPStatusError():
            return f"HTTP {error.response.status_code}"
        case McpError() if error.error.code == httpx.codes.REQUEST_TIMEOUT:
            return "timeout"
        case McpError() if error.error.code == -32000:
            return "connection closed"
        case McpError():
            return f"JSON-RPC {error.error.code}"
        case _:
            return type(error).__name__
