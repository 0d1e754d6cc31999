"""Answers for all pods, at whatever address: the admin port's sessions, and MCP as far as an operator asks. A process of
its own, in a network namespace where every pod address is local: `answers.py`. It says "ready" when it listens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

ADMIN_PORT = 9090
MCP_PORT = 8080
SESSIONS = {
    "sessions": 0,
    "calls": 0,
    "draining": False,
    "drain_until": None,
    "sealing_key": "0" * 16,
    "accepted_keys": ["0" * 16],
}
INFO = {"name": "paper", "version": "1.0.0"}
TOOL = {"name": "search_jobs", "description": "Finds nothing", "inputSchema": {"type": "object"}}
MODERN, LEGACY = "2026-07-28", "2025-11-25"


def result(method: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The result of an MCP request; `None` for a method that is not known."""
    if method == "server/discover":
        return {"supportedVersions": [MODERN, LEGACY], "capabilities": {"tools": {}}, "serverInfo": INFO}
    if method == "initialize":
        version = parameters.get("protocolVersion", LEGACY)
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": INFO}
    return {"tools/list": {"tools": [TOOL]}, "ping": {}}.get(method)


def answer(method: str, where: str, body: bytes) -> tuple[int, dict[str, Any] | None]:
    """Status and JSON body."""
    if method == "GET":
        if where == "/sessions":
            return 200, SESSIONS
        return (200, {}) if where in ("/health", "/livez", "/readyz") else (404, None)
    if where.startswith("/drain"):
        return 204, None
    try:
        asked = json.loads(body)
    except ValueError:
        return 400, None
    if "id" not in asked:
        return 202, None
    found = result(asked.get("method", ""), asked.get("params") or {})
    head = {"jsonrpc": "2.0", "id": asked["id"]}
    if found is None:
        return 200, {**head, "error": {"code": -32601, "message": "method not found"}}
    return 200, {**head, "result": found}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, where, _ = head.split("\r\n", 1)[0].split(" ", 2)
            length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
            status, found = answer(method, where, await reader.readexactly(length))
            text = b"" if found is None else json.dumps(found).encode()
            writer.write(f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    servers = [await asyncio.start_server(serve, "0.0.0.0", port) for port in (ADMIN_PORT, MCP_PORT)]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
