"""Which client connects where, and what must come of it."""

from dataclasses import dataclass
from typing import Any

LEGACY, MODERN = "2025-11-25", "2026-07-28"
TRANSPORTS = ("stdio", "sse", "http")
# The deployment guide's addresses, and those that clients make of them.
STREAMS = ("/sse", "/sse/", "/messages", "/messages/", "/jobs/sse", "/jobs/messages/")
MESSAGES = ("/mcp", "/mcp/", "/", "/messages", "/messages/", "/jobs/mcp", "/jobs/messages")


@dataclass(frozen=True)
class Library:
    """A client library: its program, where it is installed, and the eras it can be asked for."""

    name: str
    installed: str
    program: str
    eras: tuple[str, ...]
    # Whether giving up a call over Streamable HTTP reaches the server, by era; over the other transports it always does.
    cancels: tuple[str, ...] = ()
    # The eras in which it first starts the command to ask what it speaks, and ends it by a signal.
    probes: tuple[str, ...] = ()


LIBRARIES = (
    Library("Python mcp 1.30.0", "python", "mcp1.py", ("legacy",)),
    Library("Python mcp 2.3.0", "python-2", "mcp2.py", ("legacy", "auto", "pinned"), ("auto", "pinned")),
    Library("fastmcp 4.2.3", "fastmcp", "fast.py", ("legacy", "auto", "pinned"), ("auto", "pinned")),
    Library("TypeScript SDK 1.32.2", "typescript", "sdk1.mjs", ("legacy",)),
    Library("TypeScript client 2.4.0", "typescript-client", "client2.mjs", ("legacy", "auto", "pinned"), ("auto", "pinned"),
            probes=("auto", "pinned")),
)

FULL = ("connect", "tools", "call", "call_query", "tool_error", "protocol_error", "prompts", "prompt", "concurrent",
        "get_job", "saved_jobs", "resources", "completion", "progress", "elicitation")


def checks(case: dict[str, Any], library: Library) -> tuple[str, ...]:
    """What the program must report for a connection, so that a check that is left out is a miss."""
    if case["script"] == "refused":
        return ("refused",)
    if case["script"] == "short":
        return ("connect", "tools", "call", "close")
    more = ("ping",) if case["version"] < "2026" else ()
    # Before 2026-07-28 there is no stream on /mcp.
    more += () if case["transport"] == "http" and case["version"] < "2026" else ("subscription",)
    if case["transport"] != "http" or case["era"] in library.cancels:
        more += ("cancel",)
    return (*FULL, *more, "close", "unasked", "leave")


def cases(library: Library, url: str, command: list[str], provider: str) -> list[dict[str, Any]]:
    """The connections of one library."""
    found: list[dict[str, Any]] = []

    def add(script: str, transport: str, era: str, path: str = "") -> None:
        # Over SSE there is the older era only: who can choose goes back to it, who insists on the newer one is refused.
        version = LEGACY if era == "legacy" or transport == "sse" else MODERN
        name = f"{transport} {era}" + (f" {path}" if script == "short" else "")
        case: dict[str, Any] = {"name": name, "script": script, "transport": transport, "era": era, "version": version}
        case["provider"] = provider
        case |= {"command": [*command, name]} if transport == "stdio" else {"url": url + path}
        found.append(case)

    for transport in TRANSPORTS:
        for era in library.eras:
            refused = transport == "sse" and era == "pinned"
            add("refused" if refused else "full", transport, era, {"sse": "/sse", "http": "/mcp"}.get(transport, ""))
    era = library.eras[-1 if len(library.eras) == 1 else 1]  # the one that people get who want the newest
    for path in STREAMS:
        add("short", "sse", era, path)
    for path in MESSAGES:
        add("short", "http", era, path)
    return found
