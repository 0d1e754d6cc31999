"""The table."""

from __future__ import annotations

from typing import Any

COLUMNS = (
    "phase", "server", "sessions open at its end", "on removed pods", "sessions lost (distinct)", "of them went on", "resumed", "cut",
    "SSE calls failed", "HTTP calls failed", "SSE p50 / p99 / max ms", "HTTP p50 / p99 / max ms", "failed opens",
    "outages: p50 / max ms", "reconnects: p50 / max ms", "why",
)  # fmt: skip


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:g}"


def quantiles(of: dict[str, float], *names: str) -> str:
    return " / ".join(number(of[name]) for name in names)


def why(row: dict[str, Any]) -> str:
    causes = {**row["lost_why"], **{f"HTTP {cause}": n for cause, n in row["http_failed_why"].items()}}
    causes |= {f"open: {cause}": n for cause, n in row["open_failed_why"].items()}
    return ", ".join(f"{n} {cause}" for cause, n in sorted(causes.items(), key=lambda item: -item[1])[:5])


def line(row: dict[str, Any]) -> str:
    distinct = f" ({row['lost_distinct']})" if row["lost"] else ""
    cells = (
        row["phase"],
        row["subject"],
        row["open"],
        "" if row.get("removed") is None else row["removed"],
        f"{row['lost']}{distinct}",
        row["went_on"],
        row["resumed"],
        row["cut"],
        f"{row['sse_failed']} of {row['sse_failed'] + row['sse_ok']}",
        f"{row['http_failed']} of {row['http_failed'] + row['http_ok']}",
        quantiles(row["sse_ms"], "p50", "p99", "max"),
        quantiles(row["http_ms"], "p50", "p99", "max"),
        row["open_failed"],
        f"{row['outages']}: {quantiles(row['outage_ms'], 'p50', 'max')}" if row["outages"] else "",
        quantiles(row["reconnect_ms"], "p50", "max") if row["resumed"] else "",
        why(row),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def total(rows: list[dict[str, Any]], phase: str) -> dict[str, Any]:
    """One row of several: between the phases."""
    causes = ("lost_why", "http_failed_why", "open_failed_why")
    result = {**rows[0], "phase": phase, "open": ""}
    for row in rows[1:]:
        for key in ("lost", "lost_distinct", "went_on", "resumed", "cut", "sse_failed", "sse_ok", "http_failed", "http_ok", "open_failed", "outages"):
            result[key] += row[key]
        for key in causes:
            result[key] = {cause: result[key].get(cause, 0) + row[key].get(cause, 0) for cause in {**result[key], **row[key]}}
        for key in ("sse_ms", "http_ms", "outage_ms", "reconnect_ms"):
            # Of parts only the most can be told; for the quantiles it is the worst part's.
            result[key] = {name: max(value, row[key][name]) for name, value in result[key].items()}
    return result


def table(rows: list[dict[str, Any]], phases: list[str]) -> str:
    """Phase by phase, so that what is compared stands side by side."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    for phase in [*phases, "between", "last calls"]:
        for subject in subjects:
            found = [row for row in rows if row["phase"] == phase and row["subject"] == subject]
            if found:
                lines.append(line(found[0] if len(found) == 1 else total(found, phase)))
    return "\n".join(lines)


def spreads(rows: list[dict[str, Any]]) -> str:
    """Sessions on each pod before and after what made new pods."""
    lines = ["| phase | server | sessions on each pod before | after | on each new pod |", "|---|---|---|---|---|"]
    for row in rows:
        if row["phase"] in ("rollout", "2to6", "drain", "hpa-up"):
            cells = (row["phase"], row["subject"], *(counts(row[key]) for key in ("before", "after", "new_pods")))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def counts(spread: dict[str, int]) -> str:
    return "/".join(str(n) for n in sorted(spread.values(), reverse=True))
