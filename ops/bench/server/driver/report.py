"""The table."""

from __future__ import annotations

from collections.abc import Iterable

from measure import Row

SERVERS = ("ours", "rmcp", "rmcp lean bridge", "mcp-go", "go-sdk", "Python", "Python SSE", "upstream")


def number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def figures(rows: Iterable[Row]) -> Iterable[tuple[str, Row, str, int, float | None, bool]]:
    """What stands in a line: its title, where it comes from, how many digits, what ours shall reach, and whether that is a
    ratio to rmcp."""
    for row in rows:
        if row.row in ("call", "sse"):
            what = "`tools/call`, cached" if row.row == "call" else "SSE call"
            yield f"{what}, {row.case}: CPU µs", row, "cpu_us", 1, 1.15, True
            if any("instructions" in sample for samples in row.samples.values() for sample in samples):
                yield "… instructions a call", row, "instructions", 0, 1.15, True
            yield "… p50 ms", row, "p50_ms", 2, 1.15 if row.row == "sse" else None, True
            yield "… p99 ms", row, "p99_ms", 2, None, True
            yield "… calls a second", row, "calls_per_second", 0, None, True
        elif row.row == "catalogue":
            yield f"catalogue, {row.case}, uncached: CPU µs", row, "cpu_us", 1, None, False
            yield "… p99 ms", row, "p99_ms", 2, 5, False
            yield "… p50 ms, one at a time", row, "alone_p50_ms", 2, None, False
            yield "… p99 ms, one at a time", row, "alone_p99_ms", 2, 5, False
        elif row.row == "memory":
            yield f"resident memory for each of {row.case}, bytes", row, "bytes_each", 0, 24 * 1024, False
        elif row.row == "start":
            yield "start to first answer, ms", row, "ms", 1, 15, False
            yield "resident when idle, MB", row, "resident_mb", 1, 10, False
        elif row.row == "visits":
            yield f"p99 ms of {row.case}: those that come and go", row, "p99_ms", 2, None, False
            yield "… those that stay", row, "steady_p99_ms", 2, None, False
            yield "… times", row, "ratio", 2, 2, False


def _beside_cached(catalogue: Row, rows: list[Row], columns: int) -> Iterable[str]:
    """A search in the catalogue beside a call whose answer is known: ours, and bare rmcp's."""
    uncached = catalogue.median("ours", "cpu_us")
    cached = next((row for row in rows if row.row == "call" and row.case.startswith("2025-11-25")), None)
    blanks = " | " * (columns - 1)
    for name, whose, goal in (("ours", "the", 4), ("rmcp", "bare rmcp's", None)):
        known = cached.median(name, "cpu_us") if cached else None
        if uncached and known:
            times = uncached / known
            aim = "" if goal is None else f"≤ {goal}: " + ("yes" if times <= goal else "**no**")
            yield f"| … times {whose} cached call's CPU | {number(times, 2)}{blanks} | | {aim} |"


def table(rows: list[Row]) -> str:
    """In Markdown: medians of each server, the ratio of ours to bare rmcp's, and what was to be reached."""
    names = [name for name in SERVERS if any(name in row.samples for row in rows)]
    lines = ["| | " + " | ".join(names) + " | ours / rmcp | to reach |", "|---" * (len(names) + 3) + "|"]
    for title, row, key, digits, goal, relative in figures(rows):
        ratio = row.ratio("ours", "rmcp", key)
        reached = ratio if relative else row.median("ours", key)
        aim = "" if goal is None else f"≤ {goal:,}" + ("" if reached is None else ": yes" if reached <= goal else ": **no**")
        cells = [number(row.median(name, key), digits) for name in names]
        lines.append(f"| {title} | " + " | ".join(cells) + f" | {number(ratio, 2)} | {aim} |")
    for row in rows:
        if row.row == "catalogue":
            lines += _beside_cached(row, rows, len(names))
    notes = [f"- {row.row} {row.case}: {note}." for row in rows for note in row.notes]
    return "\n".join(lines + ([""] + notes if notes else [])) + "\n"
