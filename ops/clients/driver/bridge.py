"""mcp-remote: a client that knows only stdio, through the bridge, to the server over HTTP."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from cases import LEGACY
from server import Http

NAME = "mcp-remote 0.15.1"
SECONDS = 120
PROXY = "mcp-remote/node_modules/mcp-remote/dist/proxy.js"
MESSAGES: list[dict[str, Any]] = [
    {"id": 1, "method": "initialize", "params": {
        "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "iam-mcp-clients", "version": "1.0.0"}}},
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/list"},
    {"id": 3, "method": "tools/call", "params": {"name": "search_jobs", "arguments": {"role": "rust engineer"}}},
    {"id": 4, "method": "ping"},
    {"id": 5, "method": "resources/list"},
    {"id": 6, "method": "completion/complete", "params": {
        "ref": {"type": "ref/prompt", "name": "analyze_job_market"}, "argument": {"name": "country", "value": "germ"}}},
]
ANSWERS = {"connect": (1, '"iam-mcp-server"'), "tools": (2, '"search_jobs"'), "call": (3, "rust engineer 0"), "ping": (4, '"result"'),
           "resources": (5, '"ui://iam-mcp-server/job-cards.html"'), "completion": (6, '"Germany"')}


def converse(command: list[str], home: Path) -> list[str]:
    """What is missing of the answers: one question after another, as a desktop client asks."""
    missing = list(ANSWERS)
    with open(home / "log", "w") as log:
        bridge = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                  env={"MCP_REMOTE_CONFIG_DIR": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin"})
        assert bridge.stdin and bridge.stdout
        try:
            for message in MESSAGES:
                bridge.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                bridge.stdin.flush()
                while "id" in message and (line := bridge.stdout.readline()):
                    answer = json.loads(line)
                    if answer.get("id") == message["id"]:
                        missing = [name for name in missing if ANSWERS[name][0] != answer["id"] or ANSWERS[name][1] not in line]
                        break
        finally:
            # It does not end when its stdin closes; desktop clients end it.
            bridge.stdin.close()
            bridge.terminate()
            try:
                bridge.wait(SECONDS)
            except subprocess.TimeoutExpired:
                bridge.kill()
                bridge.wait()
    return [f"{name}: not answered as expected; {(home / 'log').read_text()[-600:]}" for name in missing]


def run(options: argparse.Namespace, http: Http, work: Path) -> list[dict[str, Any]]:
    rows = []
    for transport, path in (("sse", "/sse"), ("http", "/mcp")):
        home = work / transport
        home.mkdir(parents=True)
        command = [options.node, str(options.installed / PROXY), http.url + path, "--transport", f"{transport}-only"]
        misses = converse(command, home)
        rows.append({"client": NAME, "name": f"{transport} legacy", "transport": transport, "era": "legacy", "script": "full",
                     "version": LEGACY, "checks": len(ANSWERS), "ok": len(ANSWERS) - len(misses), "misses": misses})
    return rows
