"""The rows of the table, and how each is measured."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import catalogue
import instructions
import machine
import messages
from jsearch import JSearch
from load import Load
from subjects import Server, Subject

ROWS = ("call", "catalogue", "sse", "memory", "start", "visits")
WARM_SECONDS = 0.5
POSTINGS = 100_000
VISIT_RATE = 1000.0
RIVAL_ROUNDS = 3
Sample = dict[str, Any]


@dataclass
class Plan:
    rows: tuple[str, ...] = ROWS
    rounds: int = 9
    seconds: float = 1.5
    connections: tuple[int, ...] = (16, 64)
    sessions: tuple[int, ...] = (1, 16, 64)
    idle: tuple[int, ...] = (1000, 5000)
    most_idle: int = 10_000
    starts: int = 10
    counted_calls: int = 1000


@dataclass
class Row:
    """What was measured of each server, by what was asked of it."""

    row: str
    case: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, sample: Sample) -> None:
        self.samples.setdefault(name, []).append(sample)

    def median(self, name: str, key: str) -> float | None:
        values = [sample[key] for sample in self.samples.get(name, []) if key in sample]
        return statistics.median(values) if values else None

    def ratio(self, name: str, other: str, key: str) -> float | None:
        """The median of the ratios of samples that were taken one after the other."""
        pairs = zip(self.samples.get(name, []), self.samples.get(other, []))
        ratios = [one[key] / two[key] for one, two in pairs if one.get(key) and two.get(key)]
        return statistics.median(ratios) if ratios else None


class Bench:
    """Goes through the rows."""

    def __init__(self, plan: Plan, subjects: list[Subject], load: Load, jsearch: JSearch, work: Path, say: Callable[[str], None]) -> None:
        self.plan, self.subjects, self.load, self.jsearch, self.work, self.say = plan, subjects, load, jsearch, work, say
        self.rows: list[Row] = []
        self.environments = {subject.name: jsearch.environment(subject.name) for subject in subjects}
        self.cached = True

    @property
    def names(self) -> list[str]:
        return [subject.name for subject in self.subjects]

    def of(self, name: str) -> Subject | None:
        return next((subject for subject in self.subjects if subject.name == name), None)

    def start(self, subject: Subject, **more: str) -> Server:
        return subject.start(**{**self.environments[subject.name], **more})

    def learn_answer(self, answer: Path) -> None:
        """Asks ours for the answer that the rivals are given, and sees whether ours answers from its cache."""
        ours = self.of("ours")
        if not ours:
            if not answer.exists():
                raise RuntimeError("the rivals need the answer of ours: measure ours too")
            return
        body = messages.call(messages.LEGACY, ours.arguments)
        with self.start(ours) as server:
            answers = {server.post(body, messages.LEGACY) for _ in range(20)}
        if len(answers) != 1 or self.jsearch.asked != 1:
            self.cached = False
            self.environments["ours"] = {"JOB_PROVIDER": "Catalogue"}
            with self.start(ours) as server:
                answers = {server.post(body, messages.LEGACY)}
        status, text = answers.pop()
        if status != 200 or messages.EXPECT.encode() not in text:
            raise RuntimeError(f"ours answered {status} {text[:300]!r}")
        answer.write_text(json.dumps(json.loads(text)["result"]))
        self.say(f"every server answers {len(text)} bytes, as ours does" + ("" if self.cached else "; ours has no cache, and searches its samples each time"))

    def run(self) -> list[Row]:
        for name in self.plan.rows:
            {"call": self.calls, "catalogue": self.catalogue, "sse": self.sessions, "memory": self.memory, "start": self.starts, "visits": self.visits}[name]()
        return self.rows

    def _interleaved(self, row: Row, subjects: list[Subject], sample: Callable[[Server], Sample]) -> None:
        """Ours and bare rmcp in each round, the other rivals in the first ones; all run all the time."""
        with ExitStack() as stack:
            servers = [stack.enter_context(self.start(subject)) for subject in subjects]
            for number in range(self.plan.rounds):
                for server in servers:
                    name = server.subject.name
                    if name in ("ours", "rmcp") or number < RIVAL_ROUNDS:
                        if number == 0:
                            sample(server)  # which warms it
                        row.add(name, sample(server))
        self._tell(row, "cpu_us", "µs")
        self.rows.append(row)

    def _tell(self, row: Row, key: str, unit: str) -> None:
        figures = [f"{name} {value:.1f}" for name in row.samples if (value := row.median(name, key)) is not None]
        self.say(f"{row.row} {row.case}: " + ", ".join(figures) + f" {unit}")

    def _count(self, row: Row, kind: str) -> None:
        """Adds instructions a call of the native servers; Go's and Python's runtimes are no fair case for valgrind."""
        if not instructions.can_count():
            row.notes.append("instructions are not counted: valgrind is missing")
            return
        for name in ("ours", "rmcp", "rmcp lean bridge"):
            subject = self.of(name)
            if subject and (subject.sse if kind == "sse" else subject.http):
                counted = instructions.count(self.load, subject, kind, self.plan.counted_calls, **self.environments[name])
                for sample in row.samples[name]:
                    sample["instructions"] = counted
        self._tell(row, "instructions", "instructions")

    def calls(self) -> None:
        subjects = [subject for subject in self.subjects if subject.http]
        for version in (messages.LEGACY, messages.MODERN):
            for connections in self.plan.connections:
                row = Row("call", f"{version}, {connections} connections")
                self._interleaved(row, subjects, lambda server: self.load.http(server, connections, self.plan.seconds, version))
                if connections == self.plan.connections[0]:
                    self._count(row, version)

    def sessions(self) -> None:
        subjects = [subject for subject in self.subjects if subject.sse]
        for sessions in self.plan.sessions:
            row = Row("sse", f"{sessions} sessions" if sessions > 1 else "1 session")
            self._interleaved(row, subjects, lambda server: self.load.sse(server, sessions, self.plan.seconds))
            if sessions == self.plan.sessions[0]:
                self._count(row, "sse")

    def catalogue(self) -> None:
        ours = self.of("ours")
        if not ours:
            return
        row = Row("catalogue", f"{POSTINGS:,} postings, 16 connections")
        self.rows.append(row)
        data = self.work / "data"
        self.say(f"catalogue: writing {POSTINGS:,} postings")
        catalogue.write(data, POSTINGS)
        searches = catalogue.searches(4000)
        # Without a cache, so that each is a search.
        settings = {"IAM_DATA_ROOT": str(data), "JOB_PROVIDER": "Catalogue", "JOB_PROVIDERS": "catalogue", "JOB_CACHE_SECONDS": "0"}
        with self.start(ours, **settings) as server:
            began = time.perf_counter()
            _, text = server.post(messages.call(messages.LEGACY, searches[0]), messages.LEGACY)
            row.notes.append(f"first search after {time.perf_counter() - began:.1f} s")
            if b'"bench-' not in text:
                row.notes.append("NOT MEASURED: the server found none of the postings in IAM_DATA_ROOT/catalogue")
                self.say(f"catalogue: {row.notes[-1]}: {text[:200]!r}")
                return
            for _ in range(self.plan.rounds):
                row.add("ours", self.load.http(server, 16, self.plan.seconds, messages.LEGACY, calls=searches, expect="jobs"))
            row.notes.append(f"resident {machine.resident_bytes(server.pid) / 1e6:.0f} MB")
            # One in flight: what a search takes, where 16 on one CPU wait for each other.
            alone = self.load.http(server, 1, self.plan.seconds * 2, messages.LEGACY, calls=searches, expect="jobs")
            for sample in row.samples["ours"]:
                sample["alone_p50_ms"], sample["alone_p99_ms"] = alone["p50_ms"], alone["p99_ms"]
        self._tell(row, "cpu_us", "µs")

    def memory(self) -> None:
        for sessions in self.plan.idle:
            row = Row("memory", f"{sessions:,} sessions")
            for subject in self.subjects:
                if subject.sse:
                    with self.start(subject) as server:
                        row.add(subject.name, {"bytes_each": self.load.idle(server, sessions)})
            self._tell(row, "bytes_each", "bytes")
            self.rows.append(row)
        ours = self.of("ours")
        if ours and self.plan.most_idle:
            row = Row("memory", f"{self.plan.most_idle:,} sessions")
            with self.start(ours) as server:
                row.add("ours", {"bytes_each": self.load.idle(server, self.plan.most_idle)})
            self._tell(row, "bytes_each", "bytes")
            self.rows.append(row)

    def starts(self) -> None:
        row = Row("start", "to the first answer")
        for number in range(self.plan.starts):
            for subject in self.subjects:
                slow = subject.command[0].endswith("python")
                if subject.name == "rmcp lean bridge" or (slow and number >= RIVAL_ROUNDS):
                    continue
                with self.start(subject) as server:
                    time.sleep(0.3)
                    row.add(subject.name, {"ms": server.started_seconds * 1e3, "resident_mb": machine.resident_bytes(server.pid) / 1e6})
        self._tell(row, "ms", "ms")
        self._tell(row, "resident_mb", "MB")
        self.rows.append(row)

    def visits(self) -> None:
        """Both at one rate, far below what a CPU can do: else a client only waits for the others."""
        row = Row("visits", f"500 that come and go, and 64 that stay, at {VISIT_RATE:.0f} calls a second")
        subjects = [subject for subject in self.subjects if subject.http and not subject.command[0].endswith("python")]
        seconds = max(self.plan.seconds * 2, 2)
        with ExitStack() as stack:
            servers = [stack.enter_context(self.start(subject)) for subject in subjects]
            for _ in range(self.plan.rounds):
                for server in servers:
                    steady = self.load.http(server, 64, seconds, messages.LEGACY, "--rate", VISIT_RATE)
                    visit = self.load.visits(server, 500, seconds, VISIT_RATE)
                    ratio = visit["p99_ms"] / steady["p99_ms"]
                    row.add(server.subject.name, {"p99_ms": visit["p99_ms"], "steady_p99_ms": steady["p99_ms"], "ratio": ratio})
        self._tell(row, "p99_ms", "ms")
        self._tell(row, "ratio", "times that of steady ones")
        self.rows.append(row)
