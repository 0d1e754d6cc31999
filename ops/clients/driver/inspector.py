"""The Inspector's command line: a process for each question."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from typing import Any

from cases import LEGACY, MODERN
from server import Http, Stdio

NAME = "Inspector CLI 2.12.0"
SECONDS = 120
LAUNCHER = "inspector/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
# Its exit status when the tool says that the call was wrong.
TOOL_ERROR = 5
# And when the answer is an error of the protocol.
ERROR = 1

SEARCH = ["--method", "tools/call", "--tool-name", "search_jobs", "--tool-args-json"]
TOOL = ["--method", "tools/call", "--tool-args-json"]
# Of a job that it saves, each connection another.
JOB = "inspector-{where}"
URI = f"jobs://saved/{JOB}"
POSTING = {"job_id": JOB, "title": "ferryman", "company": "Example Company", "location": "Oslo, Norway", "description": "",
           "apply_link": "", "remote": False}
PROMPT = ["--method", "prompts/get", "--prompt-name", "analyze_job_market", "--prompt-args"]
# Name, arguments, exit status, text that the answer has.
QUESTIONS: list[tuple[str, list[str], int, str]] = [
    # Status 6 is a finding about our schemas.
    ("strict", ["--method", "tools/list", "--strict"], 0, '"search_jobs"'),
    ("call", [*SEARCH, '{"role":"rust engineer","city":"Berlin","country":"Germany"}'], 0, "rust engineer 0"),
    ("call_query", [*SEARCH, '{"query":"Python developer","location":"San Francisco, CA","num_pages":1}'], 0, "Python developer 0"),
    ("tool_error", [*SEARCH, '{"role":"cook","num_jobs":99}'], TOOL_ERROR, "num_jobs"),
    ("prompts", ["--method", "prompts/list"], 0, '"analyze_job_market"'),
    ("prompt", [*PROMPT, "role=nurse", "city=Oslo", "country=Norway"], 0, "Oslo"),
    ("get_job", [*TOOL, '{"job_id":"rust engineer in Berlin-0"}', "--tool-name", "get_job"], 0, "Work as rust engineer."),
    ("save_jobs", [*TOOL, json.dumps({"jobs": [POSTING]}), "--tool-name", "save_jobs"], 0, f'"{JOB}"'),
    ("list_saved_jobs", [*TOOL, "{}", "--tool-name", "list_saved_jobs"], 0, f'"{JOB}"'),
    ("resources", ["--method", "resources/list"], 0, f'"{URI}"'),
    ("templates", ["--method", "resources/templates/list"], 0, '"jobs://saved/{job_id}"'),
    ("read", ["--method", "resources/read", "--uri", URI], 0, "ferryman"),
    ("remove", [*TOOL, json.dumps({"job_ids": [JOB]}), "--tool-name", "remove_saved_jobs"], 0, f'"{JOB}"'),
    ("read_removed", ["--method", "resources/read", "--uri", URI], ERROR, URI),
]


def ask(command: list[str], question: tuple[str, list[str], int, str], where: str, environment: dict[str, str]) -> str | None:
    """What is wrong with the answer."""
    name, words, status, text = question
    words, text = [word.replace("{where}", where) for word in words], text.replace("{where}", where)
    try:
        done = subprocess.run([*command, *words, "--format", "json"], env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"{name}: no end to it"
    if done.returncode != status:
        return f"{name}: ended with {done.returncode}, not {status}: {done.stderr[-600:]}"
    if text not in done.stdout + (done.stderr if status else ""):
        return f"{name}: not answered as expected: {done.stdout[:600]}"
    if not status and done.stderr.strip():
        return f"{name}: noise: {done.stderr[:600]}"
    return None


def run(options: argparse.Namespace, http: Http, stdio: Stdio) -> list[dict[str, Any]]:
    # Its own files, so that neither what is on this machine nor what it writes there counts.
    environment = os.environ | {"HOME": str(stdio.run)}
    rows = []
    targets = {"stdio": [*stdio.command, NAME], "sse": [f"{http.url}/sse"], "http": [f"{http.url}/mcp"]}
    for transport, target in targets.items():
        for era in ("legacy", "auto", "modern"):
            case = {"client": NAME, "name": f"{transport} {era}", "transport": transport, "era": era, "script": "full"}
            case["version"] = LEGACY if era == "legacy" or transport == "sse" else MODERN
            # The era that SSE does not carry is tested with the libraries.
            if transport == "sse" and era == "modern":
                continue
            command = [options.node, str(options.installed / LAUNCHER), "--cli", *target, "--transport", transport, "--protocol-era", era]
            misses = [problem for question in QUESTIONS if (problem := ask(command, question, f"{transport}-{era}", environment))]
            rows.append({**case, "checks": len(QUESTIONS), "ok": len(QUESTIONS) - len(misses), "misses": misses})
    wrong = stdio.problems()
    rows.append({"client": NAME, "name": "servers' ends", "checks": 1, "ok": int(not wrong), "misses": wrong})
    return rows
