"""Measures servers beside each other on loopback. Called by ../run, which see."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import signal
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import machine
import report
from jsearch import JSearch
from load import Load
from measure import ROWS, Bench, Plan
from subjects import all_subjects


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--built", type=Path, required=True, help="where the programs are")
    add("--python", type=Path, required=True, help="where the Python environments are")
    add("--servers", default="all")
    add("--rows", default=",".join(ROWS))
    add("--rounds", type=int)
    add("--seconds", type=float)
    add("--quick", action="store_true")
    add("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    os.sched_setaffinity(0, {int(machine.LOAD_CPU)})
    plan = Plan(rows=tuple(name.strip() for name in given.rows.split(",")))
    if unknown := set(plan.rows) - set(ROWS):
        print(f"not a row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}", file=sys.stderr)
        return 2
    if given.quick:
        plan = dataclasses.replace(plan, rounds=3, seconds=0.7, idle=(1000,), most_idle=0, starts=3, counted_calls=300)
    plan = dataclasses.replace(plan, **{key: value for key in ("rounds", "seconds") if (value := getattr(given, key)) is not None})
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f}s] {text}", file=sys.stderr, flush=True)

    about = f"{date.today()}, {machine.described()}"
    say(about)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        answer = given.out / "answer.json"
        subjects = all_subjects(given.built, given.python, answer)
        wanted = [name.strip() for name in given.servers.split(",")]
        if wanted != ["all"]:
            unknown = set(wanted) - {subject.name for subject in subjects}
            if unknown:
                print(f"not something to measure: {', '.join(sorted(unknown))}", file=sys.stderr)
                return 2
            subjects = [subject for subject in subjects if subject.name in wanted]
        bench = Bench(plan, subjects, Load(given.built / "load"), JSearch(work), work, say)
        bench.learn_answer(answer)
        rows = bench.run()
    (given.out / "rows.json").write_text(json.dumps({"about": about, "rows": [dataclasses.asdict(row) for row in rows]}, indent=1))
    table = f"{about}\n\n{report.table(rows)}"
    (given.out / "table.md").write_text(table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
