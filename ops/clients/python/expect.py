"""What the steps look at answers with."""

from dataclasses import dataclass
from typing import Any

# A machine under load may need it; a healthy server never does.
DEADLINE = 60.0


@dataclass(frozen=True)
class Answer:
    """A tool's answer."""

    failed: bool
    text: str
    structured: dict[str, Any] | None


def expect(condition: object, why: object) -> None:
    if not condition:
        raise AssertionError(f"{why}"[:600])


def fields(answer: Answer) -> dict[str, Any]:
    """The structured content of an answer that is no error."""
    expect(not answer.failed and answer.structured, answer)
    return answer.structured or {}


def of_role(answer: Answer, role: str) -> None:
    jobs = fields(answer)["jobs"]
    expect(role in answer.text, answer.text)
    expect(jobs and all(role in job["title"] for job in jobs), jobs)
