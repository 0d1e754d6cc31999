"""python3 -m unittest discover --start-directory ops/bench/sessions/driver"""

from __future__ import annotations

import json
import tarfile
import tempfile
import unittest
from pathlib import Path
from typing import Any

import images
import report
from cluster import Pod
from measure import node_to_drain


def row(phase: str, subject: str = "ours", **more: Any) -> dict[str, Any]:
    numbers = {"p50": 1.0, "p99": 2.0, "max": 3.0}
    counts = dict.fromkeys(
        ("lost", "lost_distinct", "went_on", "resumed", "cut", "sse_failed", "http_failed", "open_failed", "outages"), 0
    )
    causes: dict[str, dict[str, int]] = {"lost_why": {}, "http_failed_why": {}, "open_failed_why": {}}
    times = {"sse_ms": numbers, "http_ms": numbers, "outage_ms": numbers, "reconnect_ms": numbers}
    return {**counts, **causes, **times, "phase": phase, "subject": subject, "open": 10, "sse_ok": 5, "http_ok": 5, **more}


class Images(unittest.TestCase):
    def test_a_variant_has_the_same_layers_and_other_content(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            binary, first, second = (Path(directory) / name for name in ("server", "a.tar", "b.tar"))
            binary.write_bytes(b"\x7fELF")
            images.scratch(str(binary), "localhost/x:a", str(first))
            images.variant(str(first), "localhost/x:b", str(second))
            (one, one_layers), (two, two_layers) = self.read(first), self.read(second)
        self.assertEqual(one_layers, two_layers)
        self.assertNotEqual(one["Config"], two["Config"])
        self.assertEqual((one["RepoTags"], two["RepoTags"]), (["localhost/x:a"], ["localhost/x:b"]))

    def read(self, archive: Path) -> tuple[dict[str, Any], list[bytes]]:
        with tarfile.open(archive) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
            return manifest, [tar.extractfile(name).read() for name in manifest["Layers"]]  # type: ignore[union-attr]


class Drain(unittest.TestCase):
    def test_a_node_is_drained_that_has_pods(self) -> None:
        def pods(*nodes: str) -> list[Pod]:
            return [Pod(f"pod{n}", "", node, "", "", True, False, 0) for n, node in enumerate(nodes)]

        self.assertEqual(node_to_drain("node2", pods("node1", "node2")), "node2")
        self.assertEqual(node_to_drain("node2", pods("node1", "node1")), "node1")
        self.assertEqual(node_to_drain("node2", []), "node2")


class Table(unittest.TestCase):
    def test_servers_stand_side_by_side_phase_by_phase(self) -> None:
        rows = [row(phase, subject) for subject in ("ours", "theirs") for phase in ("rollout", "drain")]
        lines = report.table(rows, ["rollout", "drain"]).splitlines()[2:]
        self.assertEqual(
            [line.split(" | ")[:2] for line in lines],
            [["| rollout", "ours"], ["| rollout", "theirs"], ["| drain", "ours"], ["| drain", "theirs"]],
        )

    def test_what_is_lost_between_the_phases_is_in_one_row(self) -> None:
        slow = {"p50": 1.0, "p99": 2.0, "max": 900.0}
        rows = [row("between", lost=1, lost_why={"reset": 1}), row("between", lost=2, lost_why={"reset": 1, "ended": 1}, sse_ms=slow)]
        (line,) = report.table(rows, []).splitlines()[2:]
        for part in ("| 3 ", "900", "2 reset", "1 ended", "0 of 10"):
            self.assertIn(part, line)


if __name__ == "__main__":
    unittest.main()
