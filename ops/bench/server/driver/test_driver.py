"""python3 -m unittest discover --start-directory ops/bench/server/driver"""

from __future__ import annotations

import json
import os
import tempfile
import unittest
from pathlib import Path

import catalogue
import machine
import messages
import report
from measure import Row


def row(kind: str, **samples: list[float]) -> Row:
    made = Row(kind, "a case")
    for name, values in samples.items():
        for value in values:
            made.add(name, {"cpu_us": value, "p50_ms": 1.0})
    return made


class Ratios(unittest.TestCase):
    def test_a_ratio_is_the_median_of_neighbours(self) -> None:
        # A slow moment of the machine makes both slow, and decides nothing.
        self.assertEqual(row("call", ours=[10, 100, 12], rmcp=[20, 200, 20]).ratio("ours", "rmcp", "cpu_us"), 0.5)

    def test_what_was_not_measured_has_none(self) -> None:
        self.assertIsNone(row("call", ours=[10]).ratio("ours", "rmcp", "cpu_us"))
        self.assertIsNone(row("call", ours=[10]).median("mcp-go", "cpu_us"))


class Table(unittest.TestCase):
    def line(self, rows: list[Row], title: str) -> str:
        return next(line for line in report.table(rows).splitlines() if title in line)

    def test_what_is_not_reached_is_said(self) -> None:
        self.assertIn("≤ 1.15: yes", self.line([row("call", ours=[11], rmcp=[10])], "CPU µs"))
        self.assertIn("≤ 1.15: **no**", self.line([row("call", ours=[12], rmcp=[10])], "CPU µs"))

    def test_an_uncached_search_is_compared_with_a_cached_call(self) -> None:
        cached = row("call", ours=[10.0])
        cached.case = "2025-11-25, 16 connections"
        self.assertIn("≤ 4: **no**", self.line([cached, row("catalogue", ours=[41.0])], "times the cached"))
        self.assertIn("≤ 4: yes", self.line([cached, row("catalogue", ours=[40.0])], "times the cached"))
        cached.add("rmcp", {"cpu_us": 20.0})
        of_rmcp = self.line([cached, row("catalogue", ours=[40.0])], "times bare rmcp's cached")
        self.assertIn("| 2.00 |", of_rmcp)
        self.assertEqual(of_rmcp.count("|"), self.line([cached], "CPU µs").count("|"))


class Messages(unittest.TestCase):
    def test_a_request_is_as_long_as_it_says(self) -> None:
        head, _, body = messages.request(1, messages.MODERN, messages.call(messages.MODERN, {"query": "Köln"})).partition(b"\r\n\r\n")
        self.assertIn(f"Content-Length: {len(body)}".encode(), head)
        self.assertIn(b"Mcp-Name: search_jobs", head)
        self.assertEqual(json.loads(body)["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], messages.MODERN)

    def test_the_load_client_numbers_the_calls_of_a_session(self) -> None:
        self.assertEqual(messages.session_call({}).count("@ID@"), 1)


class Catalogue(unittest.TestCase):
    def test_postings_are_lines_and_searches_are_of_many_kinds(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            catalogue.write(Path(directory), 50)
            lines = (Path(directory) / "catalogue" / "bench.jsonl").read_text().splitlines()
        self.assertEqual(len({json.loads(line)["job_id"] for line in lines}), 50)
        searches = [json.dumps(search) for search in catalogue.searches(1000)]
        self.assertGreater(len(set(searches)), 500)
        self.assertTrue(any("location" not in search for search in searches))


class Machine(unittest.TestCase):
    def test_a_process_that_works_uses_time_and_memory(self) -> None:
        before = machine.cpu_seconds(os.getpid())
        while machine.cpu_seconds(os.getpid()) - before < 0.01:
            pass
        self.assertGreater(machine.resident_bytes(os.getpid()), 1_000_000)


if __name__ == "__main__":
    unittest.main()
