"""What is sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

LEGACY = "2025-11-25"
MODERN = "2026-07-28"

# What the answers of all servers hold.
EXPECT = "Rust Engineer"
ARGUMENTS: dict[str, object] = {"query": "rust engineer", "location": "Berlin", "num_pages": 1}

_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}


def _message(identity: object, method: str, parameters: object) -> str:
    whole = {"jsonrpc": "2.0", "id": identity, "method": method, "params": parameters}
    return json.dumps(whole, separators=(",", ":"), ensure_ascii=False)


INITIALIZE = _message(
    1, "initialize", {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
)


def call(version: str, arguments: Mapping[str, object]) -> str:
    parameters: dict[str, object] = {"name": "search_jobs", "arguments": arguments}
    if version == MODERN:
        parameters["_meta"] = _META
    return _message(1, "tools/call", parameters)


def session_call(arguments: Mapping[str, object]) -> str:
    """A call whose id the load client fills in."""
    return call(LEGACY, arguments).replace('"id":1', '"id":@ID@', 1)


def headers(version: str | None) -> dict[str, str]:
    found = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    if version:
        found["MCP-Protocol-Version"] = version
    if version == MODERN:
        found |= {"Mcp-Method": "tools/call", "Mcp-Name": "search_jobs"}
    return found


def request(port: int, version: str | None, body: str) -> bytes:
    """A whole HTTP request."""
    content = body.encode()
    lines = ["POST /mcp HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in headers(version).items()]
    lines += [f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode() + content


def requests(port: int, version: str, calls: Iterable[Mapping[str, object]]) -> bytes:
    """Several, as the load client takes them."""
    return b"\0".join(request(port, version, call(version, arguments)) for arguments in calls)
