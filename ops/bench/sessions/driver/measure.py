"""The phases of one subject, one after another, under load."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import Client
from cluster import Failure, Pod, connections, kubectl, poll, say
import sdk
from subjects import REPLICAS, Ours, Subject

# Pods there are to be after the phases that change their number.
PODS_AFTER = {"4to2": 2, "2to6": 6, "hpa-up": 10, "hpa-down": 6}
REMOVES = ("rollout", "4to2", "drain", "hpa-down")
# Only an operator has these. The pods must stay the same in them.
OPERATED = ("rapidapi-key", "session-key", "operator-restart")
ALL = ("calm", "rollout", "4to2", "2to6", "drain", *OPERATED, "hpa-up", "hpa-down")

# Beyond it a top-up means that something else is wrong.
MOST_SESSIONS = 5
OPENING_SECONDS = 90
# A kubelet looks at a pod's volumes once in a minute or a little more.
KUBELET_SECONDS = 75


def node_to_drain(wanted: str, pods: list[Pod]) -> str:
    """The one that was asked for, unless no pod is there: a scale-down may leave all of them on another."""
    nodes = sorted({pod.node for pod in pods})
    return nodes[0] if nodes and wanted not in nodes else wanted


@dataclass
class Plan:
    """How a run goes."""

    phases: list[str]
    sessions: int
    rate: float
    at_least: int  # sessions on the pods that a phase removes
    settle: float  # seconds that a phase goes on after its pods are ready
    calm: float
    drain_node: str
    proxy: str  # network namespace of the node that the load comes through
    load: list[str]  # command of the load client
    sdk: int  # sessions of each program with a client library, for ours
    long_drain: float  # seconds; a drain no longer than this is waited for in the phase `drain`


@dataclass
class Run:
    subject: Subject
    plan: Plan
    out: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sdk: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.replicas = REPLICAS
        self.sessions = self.plan.sessions
        self.client: Client

    def go(self) -> None:
        say.subject = self.subject.title
        self.out.mkdir(parents=True, exist_ok=True)
        say("deploying")
        try:
            self.subject.deploy()
            self.address = self.subject.address()
            self.under_load()
        except Failure as failure:
            say(f"FAILED: {failure}")
            self.problems.append(str(failure))
        finally:
            say("removing")
            self.subject.remove()

    def under_load(self) -> None:
        flags = {
            "addr": f"{self.address}:80",
            "host": self.subject.host(),
            "sse": self.subject.sse,
            "mcp": self.subject.mcp,
            "sessions": self.plan.sessions,
            "rate": self.plan.rate,
            "events": self.out / "events.jsonl",
        }
        words = self.plan.load + [f"-{name}={value}" for name, value in flags.items()]
        with open(self.out / "load.log", "w") as errors:
            self.client = Client(words, errors)
            try:
                self.all_opened()
                say((self.out / "load.log").read_text().strip())
                self.phases()
                self.record(self.client.phase("last calls"), "between")
                self.record(self.client.end(), "last calls")
            finally:
                self.client.stop()

    def phases(self) -> None:
        """With the sessions of client libraries beside it, if there are to be any."""
        if not (self.plan.sdk and isinstance(self.subject, Ours)):
            for name in self.plan.phases:
                self.phase(name)
            return
        # The load client's command begins with how to enter its network.
        programs = sdk.Sdk(self.plan.load[:2], self.subject.host(), self.address, self.plan.sdk, self.out)
        try:
            for name in self.plan.phases:
                self.phase(name)
        finally:
            self.sdk = [{"server": self.subject.title, **counted} for counted in programs.end()]
        deadlines = self.subject.drain_seconds <= self.plan.long_drain
        self.problems += sdk.problems(self.sdk, deadlines)

    def all_opened(self) -> None:
        """Waits for all but the short sessions that are being opened anew at the moment."""
        enough = self.sessions * 0.97
        poll(OPENING_SECONDS, f"{self.sessions} open sessions", lambda: self.client.open_sessions() >= enough)
        say(f"{self.client.open_sessions()} sessions are open")

    def record(self, counted: dict[str, Any], phase: str, **more: Any) -> None:
        row = {**counted, "phase": phase, "subject": self.subject.title, **more}
        self.rows.append(row)
        with open(self.out / "phases.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        if phase != "between":
            say(
                f"{phase}: {row['lost']} sessions lost, {row['resumed']} resumed, {row['cut']} cut; calls failed: "
                f"SSE {row['sse_failed']} of {row['sse_failed'] + row['sse_ok']}, "
                f"HTTP {row['http_failed']} of {row['http_failed'] + row['http_ok']}"
            )

    def spread(self) -> dict[str, int]:
        """Open sessions on each pod, also on those that end."""
        names = {pod.ip: pod.name for pod in self.subject.pods() if pod.ip}
        counts = Counter(dict.fromkeys(names.values(), 0))
        streams = self.client.streams()
        for local, pod_address in connections(self.plan.proxy, self.address).items():
            if local in streams:
                counts[names.get(pod_address, pod_address)] += 1
        return dict(counts)

    def staying(self) -> list[Pod]:
        return [pod for pod in self.subject.pods() if not pod.ends]

    def phase(self, name: str) -> None:
        if name in OPERATED and not self.subject.operated:
            return
        if name in REMOVES and self.subject.operated:
            self.top_up(name)
        pods, spread = self.staying(), self.spread()
        self.record(self.client.phase(name), "between")
        say(f"{name}: sessions on each pod: {'/'.join(str(n) for n in sorted(spread.values(), reverse=True))}")
        start = time.monotonic()
        self.act(name)
        settled = time.monotonic() - start
        time.sleep(max(self.plan.settle, self.subject.notice() + 5))
        removed = self.removed(name, pods, spread)
        after = self.spread()
        self.record(self.client.phase("between"), name, before=spread, after=after, settled=round(settled, 1), removed=removed,
                    pods=len(self.staying()), new_pods=self.new(pods, after))  # fmt: skip

    def new(self, before: list[Pod], spread: dict[str, int]) -> dict[str, int]:
        """Sessions on the pods that were not there before."""
        old = {pod.name for pod in before}
        return {pod.name: spread.get(pod.name, 0) for pod in self.staying() if pod.name not in old}

    def removed(self, phase: str, before: list[Pod], spread: dict[str, int]) -> int | None:
        """Live sessions on the pods that the phase removed, as it began."""
        stayed = {pod.uid for pod in self.staying()}
        gone = [pod.name for pod in before if pod.uid not in stayed]
        if phase in REMOVES:
            count = sum(spread.get(name, 0) for name in gone)
            say(f"{phase}: {len(gone)} pods with {count} live sessions were removed")
            if self.subject.operated and count < self.plan.at_least:
                self.problems.append(f"{phase} began with {count} sessions on the pods it removed, not with {self.plan.at_least}")
            return count
        if gone:
            self.problems.append(f"{phase} replaced pods: {', '.join(gone)}")
        return None

    def top_up(self, phase: str) -> None:
        """Opens sessions until there are enough on the pods that the phase will remove, whichever they are.

        Sessions that drain elsewhere do not count; with a long drain they are most of the first ones. Not for rivals: their
        affinity leaves new pods empty whatever is opened.
        """

        def on_removed() -> tuple[int, float]:
            pods, spread = self.staying(), self.spread()
            counts = sorted(spread[pod.name] for pod in pods)
            if phase == "drain":
                counts = [spread[pod.name] for pod in pods if pod.node == node_to_drain(self.plan.drain_node, pods)]
            elif phase in PODS_AFTER:
                counts = counts[: len(pods) - PODS_AFTER[phase]]
            return sum(counts), len(counts) / len(pods)

        def enough() -> bool:
            have, share = on_removed()
            missing = 1.2 * self.plan.at_least - have
            if missing <= 0:
                return True
            if share == 0 or self.sessions > MOST_SESSIONS * self.plan.sessions:
                raise Failure(f"{phase}: {have} sessions on the pods it would remove, and more cannot be had there")
            self.sessions += int(missing / share) + 1
            say(f"{phase}: {have} sessions on the pods it will remove; growing to {self.sessions} sessions")
            self.client.ask(f"sessions {self.sessions}")
            self.all_opened()
            return False

        poll(2 * OPENING_SECONDS, f"{self.plan.at_least} sessions on the pods that {phase} removes", enough)

    def act(self, phase: str) -> None:
        subject, image = self.subject, None
        match phase:
            case "calm":
                time.sleep(self.plan.calm)
                return
            case "rollout":
                image = subject.other_image
                subject.change_image()
            case "4to2" | "2to6":
                subject.scale(PODS_AFTER[phase])
            case "hpa-up" | "hpa-down":
                subject.autoscale(PODS_AFTER[phase], max(PODS_AFTER.values()))
            case "drain":
                self.drain()
            case "rapidapi-key":
                assert isinstance(subject, Ours)
                subject.set_rapidapi_key("second")
                time.sleep(min(KUBELET_SECONDS, 4 * self.plan.settle))
            case "session-key":
                assert isinstance(subject, Ours)
                subject.rotate_session_key()
            case "operator-restart":
                assert isinstance(subject, Ours)
                subject.restart_operator()
            case _:
                raise Failure(f"unknown phase: {phase}")
        self.replicas = PODS_AFTER.get(phase, self.replicas)
        subject.settled(self.replicas, image)

    def drain(self) -> None:
        """Drains the node. A long drain is left alone once all pods are asked to go and their successors are ready."""
        node = node_to_drain(self.plan.drain_node, self.staying())
        drain_seconds = self.subject.drain_seconds if isinstance(self.subject, Ours) else 30
        words = ["kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force"]
        with open(self.out / "drain.log", "w") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
            try:
                self.subject.settled(self.replicas, not_on=node)
                if drain_seconds <= self.plan.long_drain:
                    poll(drain_seconds + 90, f"the end of the drain of {node}", lambda: process.poll() is not None)
                    if process.returncode:
                        raise Failure(f"kubectl drain failed; see {log.name}")
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
                kubectl("uncordon", node)
