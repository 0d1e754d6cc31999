"""Measures the operator on a cluster that is up. Called by ../run, which see; `--report` prints the table of all that was
measured."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import machine
from api import Api, Failure
from audit import Audit
from bare import Bare
from changes import image_change, repairs
from figures import Figure, table
from measure import ADMIN, OPERATOR, SYSTEM, Run
from process import Operator
from traps import all_traps

PHASES = ("idle", "create", "image", "repair", "restart", "steady", "traps")
HERE = Path(__file__).parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="where figures.json and the logs go")
    add("--report", action="store_true")
    add("--bare", action="store_true", help="only the bare client's creation of all servers")
    add("--phases", default=",".join(PHASES))
    add("--count", type=int, default=300)
    add("--state", type=Path, help="the cluster's state directory")
    add("--server", help="the API server's URL")
    add("--netns", help="network namespace in which pod addresses are local")
    add("--pods", help="first two numbers of the pods' addresses")
    add("--binary", type=Path)
    add("--writes", type=Path)
    add("--kubeconfig", type=Path, help="the operator's")
    add("--connections", type=int, default=16)
    add("--rounds", type=int, default=60)
    add("--idle-seconds", type=float, default=600)
    add("--memory", type=float, help="most MiB with so many servers")
    add("--restart-seconds", type=float)
    add("--restart-cpu", type=float)
    return parser.parse_args()


@contextmanager
def helper(*command: str) -> Iterator[None]:
    """A process that says when it is ready, and ends with the block."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != "ready":
                raise Failure(f"{command[-1]} did not start")
            yield
        finally:
            process.terminate()


class Kept:
    """What earlier calls measured, in a file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.all: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {"about": "", "bare": {}, "figures": []}

    def save(self) -> None:
        self.file.write_text(json.dumps(self.all, indent=1))

    def figures(self) -> list[Figure]:
        return [Figure(**figure) for figure in self.all["figures"]]


def measure(given: argparse.Namespace, kept: Kept) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f}s] {text}", file=sys.stderr, flush=True)

    api = Api(given.server, given.state / "pki")
    audit = Audit(given.state / "log" / "audit.log", (ADMIN, OPERATOR))
    operator = Operator(given.binary, given.kubeconfig, given.netns, SYSTEM, given.out / f"operator-{given.count}.log")
    run = Run(api, audit, operator, Bare(given.writes, api, given.connections), given.binary, given.count, say)
    nodes = str(given.count * 2 // 1000 + 2)
    with (
        helper(sys.executable, str(HERE / "nodes.py"), given.server, str(given.state / "pki"), given.pods, nodes),
        helper("nsenter", f"--net=/run/netns/{given.netns}", sys.executable, str(HERE / "answers.py")),
    ):
        if given.bare:
            kept.all["bare"][str(given.count)] = run.bare_create()
            return
        phases = given.phases.split(",")
        try:
            for phase in PHASES:
                if phase in phases:
                    say(f"phase {phase}")
                    go(phase, given, run, kept)
        except Failure as failure:
            say(f"FAILED: {failure}")
            run.figures.append(Figure(f"not measured: {failure}", None, most=0))
        finally:
            operator.stop()
            kept.all["figures"] += [dataclasses.asdict(figure) for figure in run.figures]


def go(phase: str, given: argparse.Namespace, run: Run, kept: Kept) -> None:
    if phase != "idle" and run.operator.process is None:
        run.operator.start()
    if phase == "idle":
        run.idle()
    elif phase == "create":
        run.create(kept.all["bare"].get(str(given.count)), given.memory)
    elif phase == "image":
        image_change(run, given.rounds)
    elif phase == "repair":
        repairs(run, max(3, given.rounds // 6))
    elif phase == "restart":
        run.restart(given.restart_seconds, given.restart_cpu)
    elif phase == "steady":
        run.steady(given.idle_seconds)
    elif phase == "traps":
        all_traps(run)


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    kept = Kept(given.out / "figures.json")
    if given.report:
        figures = kept.figures()
        text = f"{kept.all['about']}\n\n{table(figures)}"
        (given.out / "table.md").write_text(text)
        print(text)
        return 1 if any(figure.reached is False for figure in figures) else 0
    kept.all["about"] = kept.all["about"] or f"{date.today()}, {machine.described()}"
    try:
        measure(given, kept)
    finally:
        kept.save()
    return 0


if __name__ == "__main__":
    sys.exit(main())
