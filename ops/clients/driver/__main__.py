"""Runs real clients against the real server, and prints a table. Usage: ../run --help"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import bridge
import inspector
from cases import LIBRARIES, Library, cases, checks
from provider import Provider
from server import Http, Stdio, binary_of, complaints

HERE = Path(__file__).resolve().parent.parent
# The longest that one library may take for all its connections.
LIBRARY_SECONDS = 600
# Libraries at a time.
AT_ONCE = 2

Row = dict[str, Any]


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:4.0f}s] {text}", file=sys.stderr, flush=True)


STARTED = time.monotonic()


def program(library: Library, installed: Path, node: str, work: Path) -> list[str]:
    """The command that runs a library's program. Node.js finds modules beside the program only."""
    if library.program.endswith(".py"):
        return [str(installed / library.installed / "bin" / "python"), "-B", str(HERE / "python" / library.program)]
    for name in ("expect.mjs", "saved.mjs", "script.mjs", library.program):
        shutil.copy(HERE / "typescript" / name, work / name)
    (work / "node_modules").symlink_to(installed / library.installed / "node_modules")
    return [node, str(work / library.program)]


def run(library: Library, command: list[str], given: list[dict[str, Any]], stdio: Stdio) -> list[Row]:
    """A row for each connection: its checks, and what is wrong."""
    out, err = stdio.run / "checks.jsonl", stdio.run / "noise"
    lines = "".join(json.dumps(case) + "\n" for case in given)
    with open(out, "w") as stdout, open(err, "w") as stderr:
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, text=True)
        try:
            started.communicate(lines, LIBRARY_SECONDS)
            ended = f"it ended with {started.returncode}" if started.returncode else ""
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
            ended = f"it did not end within {LIBRARY_SECONDS} s"
    said: list[Row] = []
    wrong: list[str] = [ended] if ended else []
    for line in out.read_text().splitlines():
        try:
            said.append(json.loads(line))
        except ValueError:
            wrong.append(f"noise on stdout: {line}")
    # Warnings of a library about what we sent it, such as a format that it does not know.
    wrong += [f"noise: {line}" for line in err.read_text().splitlines()[:20]]
    wrong += stdio.problems(tuple(f"stdio {era}" for era in library.probes))
    rows = []
    for case in given:
        expected = checks(case, library)
        told = {row["check"]: row for row in said if row["connection"] == case["name"]}
        misses = [f"{name}: {told[name].get('why') if name in told else 'not reported'}"
                  for name in expected if not told.get(name, {}).get("ok")]
        misses += [f"{name}: not expected" for name in told if name not in expected]
        rows.append({"client": library.name, **case, "checks": len(expected), "ok": len(expected) - len(misses), "misses": misses})
    rows.append({"client": library.name, "name": "noise, servers' ends", "checks": 1, "ok": int(not wrong), "misses": wrong})
    return rows


def table(rows: list[Row]) -> str:
    """Client x transport x era with the number of checks that passed, of how many."""
    lines = ["| client | era | stdio | SSE | Streamable HTTP | other addresses | quiet, ends well |", "|---|---|---|---|---|---|---|"]

    def cell(found: list[Row]) -> str:
        if not found:
            return "–"
        if all(row.get("script") == "refused" and not row["misses"] for row in found):
            return "refused"
        return f"{sum(row['ok'] for row in found)}/{sum(row['checks'] for row in found)}"

    for client in dict.fromkeys(row["client"] for row in rows):
        own = [row for row in rows if row["client"] == client]
        for number, era in enumerate(dict.fromkeys(row["era"] for row in own if "era" in row)):
            main = [row for row in own if row.get("era") == era and row["script"] != "short"]
            cells = [cell([row for row in main if row["transport"] == transport]) for transport in ("stdio", "sse", "http")]
            cells.append(cell([row for row in own if row.get("era") == era and row["script"] == "short"]))
            cells.append(cell([row for row in own if "era" not in row]) if number == 0 else "")
            lines.append(f"| {client} | {era} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", type=binary_of, required=True)
    parser.add_argument("--installed", type=Path, required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    provider = Provider()
    with tempfile.TemporaryDirectory(prefix="iam-mcp-clients-") as folder:
        work = Path(folder)
        http = Http(options.server, provider.url, work)
        say(f"the server is at {http.url}")
        try:
            rows = everybody(options, http, provider.url, work)
            wrong = http.nothing_open()
        finally:
            status = http.stop()
            provider.close()
        wrong += complaints(http.log)
        if status:
            wrong.append(f"it ended with {status}")
    misses = [f"{row['client']}, {row['name']}: {miss}" for row in rows for miss in row["misses"]]
    misses += [f"the server: {problem}" for problem in wrong]
    passed, total = sum(row["ok"] for row in rows), sum(row["checks"] for row in rows)
    if options.json:
        print(json.dumps({"passed": passed, "checks": total, "misses": misses, "rows": rows}))
    else:
        print(table(rows))
    for miss in misses:
        print(f"MISS {miss}", file=sys.stderr)
    result = "FAILED" if misses else "passed"
    print(f"clients: {result}: {passed} of {total} checks, {len(misses)} misses", file=sys.stderr if options.json else sys.stdout)
    return 1 if misses else 0


def everybody(options: argparse.Namespace, http: Http, provider: str, work: Path) -> list[Row]:
    def library(one: Library) -> list[Row]:
        stdio = Stdio(options.server, provider, work / one.installed)
        command = program(one, options.installed, options.node, stdio.run)
        return run(one, command, cases(one, http.url, stdio.command, provider), stdio)

    jobs = {one.name: (library, one) for one in LIBRARIES}
    jobs[inspector.NAME] = (lambda _: inspector.run(options, http, Stdio(options.server, provider, work / "inspector")), None)
    jobs[bridge.NAME] = (lambda _: bridge.run(options, http, work / "mcp-remote"), None)
    chosen = {name: job for name, job in jobs.items() if options.only.lower() in name.lower()}
    rows: dict[str, list[Row]] = {}
    # The Inspector alone: it tells a server to end that has not two seconds after its stdin closed, and with nine other clients
    # on two CPUs that was once too soon.
    alone = [name for name in chosen if name == inspector.NAME]
    for names in (alone, [name for name in chosen if name not in alone]):
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            running = {pool.submit(*chosen[name]): name for name in names}
            for done in concurrent.futures.as_completed(running):
                rows[running[done]] = done.result()
                say(f"{running[done]}: {sum(row['ok'] for row in done.result())} of {sum(row['checks'] for row in done.result())} checks")
    return [row for name in chosen for row in rows[name]]


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    sys.exit(main())
