"""What was measured, and what was to be reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Figure:
    """A line of the table. `value` is ours, `bare` what the bare client took, `most` what ours shall not exceed."""

    title: str
    value: float | None
    unit: str = ""
    digits: int = 1
    bare: float | None = None
    most: float | None = None
    note: str = ""
    # Whether this decides; a figure without it is there to be read.
    trap: bool | None = None

    @property
    def reached(self) -> bool | None:
        if self.trap is not None:
            return self.trap
        if self.most is None:
            return None
        return self.value is not None and round(self.value, 6) <= self.most


def quantile(values: list[float], share: float) -> float:
    """The value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def table(figures: list[Figure]) -> str:
    """In Markdown."""
    lines = ["| | ours | bare client | to reach | |", "|---|---|---|---|---|"]
    for figure in figures:
        if figure.trap is not None:
            continue
        unit = f", {figure.unit}" if figure.unit else ""
        verdict = {None: "", True: ": yes", False: ": **no**"}[figure.reached]
        aim = "" if figure.most is None else f"≤ {figure.most:,.4g}{verdict}"
        cells = (f"{figure.title}{unit}", number(figure.value, figure.digits), number(figure.bare, figure.digits), aim, figure.note)
        lines.append("| " + " | ".join(cells) + " |")
    traps = [figure for figure in figures if figure.trap is not None]
    if traps:
        lines += ["", "| trap | ours | |", "|---|---|---|"]
        lines += [f"| {trap.title} | {'passes' if trap.trap else '**FAILS**'} | {trap.note} |" for trap in traps]
    return "\n".join(lines) + "\n"
