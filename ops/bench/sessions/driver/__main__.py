"""Measures how many MCP sessions and calls servers lose while they are changed. Called by ../run, which see."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

import sdk
from measure import ALL, Plan, Run
from report import spreads, table
from subjects import Ours, Rival, Subject


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--subjects", required=True, help="a JSON list: title, kind (ours or rival), images, and what the kind asks for")
    add("--phases", default=",".join(ALL))
    add("--sessions", type=int, default=1000)
    add("--rate", type=float, default=200)
    add("--at-least", type=int, default=200)
    add("--settle", type=float, default=20)
    add("--calm", type=float, default=30)
    add("--sdk", type=int, default=0)
    add("--long-drain", type=float, default=600)
    add("--drain-node", default="node2")
    add("--proxy", required=True, help="network namespace of the node that the load comes through")
    add("--out", type=Path, required=True)
    add("load", nargs="+", help="the load client's command")
    return parser.parse_args()


def subject_of(given: dict[str, Any]) -> Subject:
    kind = {"ours": Ours, "rival": Rival}[given.pop("kind")]
    return kind(**given)


def verdict(runs: list[Run]) -> bool:
    """Says what ours lost, and whether that is nothing."""
    rows = [row for run in runs for row in run.rows]

    def count(key: str) -> int:
        return sum(row[key] for row in rows)

    problems = [f"{run.subject.title}: {problem}" for run in runs for problem in run.problems]
    failed = count("sse_failed") + count("http_failed")
    calls = failed + count("sse_ok") + count("http_ok")
    for problem in problems:
        print(f"problem: {problem}")
    passed = bool(rows) and not (problems or count("lost") or failed or count("open_failed"))
    print(
        f"sessions: {'passed' if passed else 'FAILED'}: {count('lost')} of {count('opened')} sessions lost, "
        f"{count('resumed')} resumed, {count('cut')} cut; {failed} of {calls} calls failed, {count('open_failed')} opens failed"
    )
    return passed


def main() -> None:
    # So that `finally` has its turn, and the pods go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    a = arguments()
    plan = Plan(
        phases=a.phases.split(","), sessions=a.sessions, rate=a.rate, at_least=a.at_least, settle=a.settle, calm=a.calm,
        drain_node=a.drain_node, proxy=a.proxy, load=a.load, sdk=a.sdk, long_drain=a.long_drain,
    )  # fmt: skip
    runs = [Run(subject_of(given), plan, a.out / given["title"].replace(" ", "-")) for given in json.loads(a.subjects)]
    for run in runs:
        run.go()
    rows = [row for run in runs for row in run.rows]
    text = f"{table(rows, plan.phases)}\n\n{spreads(rows)}\n"
    if libraries := [counted for run in runs for counted in run.sdk]:
        text += f"\n{sdk.table(libraries)}\n"
    (a.out / "table.md").write_text(text)
    print(f"\n{text}")
    ours = [run for run in runs if isinstance(run.subject, Ours)]
    if ours and not verdict(ours):
        sys.exit(1)


if __name__ == "__main__":
    main()
