"""The phases, each with its figures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import servers
from api import Api, Failure, path, wait
from audit import Audit, Write, counted, failed
from bare import Bare
from figures import Figure
from process import Operator

ADMIN = "admin"
OPERATOR = "system:serviceaccount:iam-mcp-system:iam-mcp-operator"
SYSTEM = "iam-mcp-system"
QUIET_SECONDS = 6
# What counts as working, of one CPU.
WORKING = 0.05


class Run:
    """One cluster, one number of servers."""

    def __init__(self, api: Api, audit: Audit, operator: Operator, bare: Bare, binary: Path, count: int, say: Callable[[str], None]) -> None:
        self.api, self.audit, self.operator, self.bare, self.binary = api, audit, operator, bare, binary
        self.count = count
        self.say = say
        self.figures: list[Figure] = []
        self.spec = servers.smallest(api)

    def tell(self, *figures: Figure) -> None:
        for figure in figures:
            verdict = {None: "", True: " (reached)", False: " (NOT reached)"}[figure.reached]
            self.say(f"{figure.title}: {'-' if figure.value is None else round(figure.value, 3)} {figure.unit}{verdict} {figure.note}")
        self.figures += figures

    def make_namespaces(self) -> None:
        for i in range(servers.NAMESPACES):
            self.api.make_namespace(f"bench-{i:02d}")

    def writes(self, since: int, user: str = OPERATOR) -> list[Write]:
        """What a user wrote since a mark, Events and Leases apart."""
        return [write for write in self.audit.read()[since:] if write.user == user and write.counts]

    def mark(self) -> int:
        return len(self.audit.read())

    def until_quiet(self, limit: float, seconds: float = QUIET_SECONDS) -> bool:
        """Waits until the operator has written nothing for a while; says whether it came to that."""
        end = time.monotonic() + limit
        seen, since = len(self.writes(0)), time.monotonic()
        while time.monotonic() - since < seconds:
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
            if (now := len(self.writes(0))) != seen:
                seen, since = now, time.monotonic()
        return True

    def unready(self) -> int:
        """How many servers are not ready."""
        rest, missing = "limit=500", 0
        while rest:
            page = self.api.get(f"{path(servers.RESOURCE)}?{rest}")
            for item in page["items"]:
                conditions = item.get("status", {}).get("conditions", [])
                missing += not any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
            more = page["metadata"].get("continue")
            rest = f"limit=500&continue={more}" if more else ""
        return missing

    # --- the bare client's run

    def bare_create(self) -> float:
        """Seconds from the first create to the last child, when a bare client makes the same writes."""
        self.make_namespaces()
        steps = servers.writes(servers.rendered(self.binary, self.spec), self.spec)
        since = self.mark()
        self.bare.write(servers.items(self.count), steps)
        took, made = creation(self.audit.read()[since:], ADMIN)
        self.say(f"bare client, {self.count} servers: {took:.1f} s, {made} children")
        return took

    # --- ours

    def idle(self) -> None:
        self.operator.start()
        wait(60, "the operator's caches", self.operator.synced)
        time.sleep(5)
        memory = self.operator.memory()
        note = f"{memory['own']:.1f} of them its own"
        self.tell(Figure("resident memory, idle", memory["resident"], "MiB", most=12, note=note))

    def create(self, bare_seconds: float | None, most_memory: float | None) -> None:
        self.make_namespaces()
        since, cpu = self.mark(), self.operator.cpu()
        self.bare.write(servers.items(self.count), [servers.creation(self.spec)])
        self.say(f"{self.count} servers are created")
        limit = 60 + self.count * 0.5
        deployments = lambda: sum(w.resource == "deployments" and w.code == 201 for w in self.writes(since))  # noqa: E731
        wait(limit, "the last Deployment", lambda: deployments() >= self.count, 0.5)
        self.until_quiet(limit)
        wait(limit, "all servers to be ready", lambda: self.unready() == 0, 2)
        self.until_quiet(60)
        used = self.operator.cpu() - cpu
        took, children = creation(self.audit.read()[since:], OPERATOR)
        ours = self.writes(since)
        each = children / self.count
        ratio = f"{took / bare_seconds:.2f} × the bare client" if bare_seconds else ""
        most = 1.3 * bare_seconds if bare_seconds else None
        memory = self.operator.memory()
        self.tell(
            Figure(f"{self.count:,} servers: first create to last child", took, "s", bare=bare_seconds, most=most, note=ratio),
            Figure(f"{self.count:,} servers: operator CPU for each", used / self.count * 1e3, "ms", 2, most=2),
            Figure(f"{self.count:,} servers: writes for each", len(ours) / self.count, "", 2, most=each + 2, note=f"{each:.1f} children; {counted(ours)}"),
            Figure(f"{self.count:,} servers: writes that failed", sum(failed(ours).values()), "", 0, most=0, note=str(failed(ours) or "")),
            Figure(f"resident memory, {self.count:,} servers", memory["resident"], "MiB", most=most_memory, note=f"{memory['peak']:.1f} at most"),
        )

    def restart(self, seconds: float, cpu: float | None) -> None:
        """Starts it anew, with nothing to do."""
        self.operator.stop()
        since = self.mark()
        began = self.operator.start()
        quiet, history = began, [(began, 0.0)]
        while time.time() - max(quiet, began + 3) < 4 and time.time() - began < 120:
            time.sleep(0.1)
            now, used = time.time(), self.operator.cpu()
            before = next((sample for sample in history if now - sample[0] <= 0.55), history[-1])
            if used - before[1] > WORKING * (now - before[0]):
                quiet = now
            history = [*history[-30:], (now, used)]
        ours = self.writes(since)
        synced = self.operator.synced()
        memory = self.operator.memory()
        name = f"{self.count:,} servers: start with nothing to do"
        note = "caches never filled" if synced is None else f"caches filled after {synced - began:.2f} s"
        self.tell(
            Figure(f"{name}: writes", len(ours), "", 0, most=0, note=str(counted(ours) or "")),
            Figure(f"{name}: quiet after", quiet - began, "s", 2, most=seconds, note=note),
            Figure(f"{name}: CPU", self.operator.cpu(), "s", 2, most=cpu),
            Figure(f"{name}: resident memory", memory["resident"], "MiB", note=f"{memory['peak']:.1f} at most"),
        )

    def steady(self, seconds: float) -> None:
        since, cpu, began = self.mark(), self.operator.cpu(), time.time()
        time.sleep(seconds)
        used, took = self.operator.cpu() - cpu, time.time() - began
        ours = self.writes(since)
        name = f"{self.count:,} servers, {took:.0f} s with nothing to do"
        self.tell(
            Figure(f"{name}: writes", len(ours), "", 0, most=0, note=str(counted(ours) or "")),
            Figure(f"{name}: CPU", used / took * 100, "% of a core", 2, most=0.5),
        )


def creation(writes: list[Write], user: str) -> tuple[float, int]:
    """Seconds from the first McpServer that anybody created to the last child that `user` made, and how many it made."""
    began = min((w.began for w in writes if w.resource == "mcpservers" and w.verb == "create"), default=None)
    made = [w for w in writes if w.user == user and w.resource in servers.CHILDREN and w.code == 201]
    if began is None or not made:
        raise Failure("the audit log knows of no creation")
    return max(w.ended for w in made) - began, len(made)
