"""A catalogue of postings for ours, and searches in it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path

ROLES = (
    "Rust Engineer,Python Developer,Data Scientist,Registered Nurse,Electrician,Accountant,Product Manager,DevOps Engineer,"
    "Mathematics Teacher,Frontend Developer,Backend Developer,Sales Representative,Mechanical Engineer,Graphic Designer,Lawyer,"
    "Machine Learning Engineer,Site Reliability Engineer,Security Analyst,Database Administrator,Warehouse Manager"
).split(",")
PLACES = (
    ("Berlin", "Germany"), ("Munich", "Germany"), ("Hamburg", "Germany"), ("London", "United Kingdom"), ("Leeds", "United Kingdom"),
    ("Paris", "France"), ("Lyon", "France"), ("Madrid", "Spain"), ("Barcelona", "Spain"), ("Rome", "Italy"), ("Milan", "Italy"),
    ("Amsterdam", "Netherlands"), ("Vienna", "Austria"), ("Zurich", "Switzerland"), ("Warsaw", "Poland"), ("Prague", "Czechia"),
    ("New York", "United States"), ("San Francisco", "United States"), ("Toronto", "Canada"), ("Sydney", "Australia"),
)
# As many as people have for what they work on.
WORDS = [
    first + second
    for first in "data,cloud,health,bio,agri,fin,ed,robo,geo,audio,photo,aero,auto,micro,tele,cyber,hydro,nano,eco,space".split(",")
    for second in "systems,tools,markets,networks,devices,services,storage,control,vision,design,supply,testing,safety,energy".split(",")
]
GRADES = ("", "Senior ", "Junior ")


def write(directory: Path, postings: int) -> None:
    """Writes so many postings to `directory`/catalogue, always the same."""
    chosen = random.Random(1)
    (directory / "catalogue").mkdir(parents=True, exist_ok=True)
    with (directory / "catalogue" / "bench.jsonl").open("w") as file:
        for number in range(postings):
            role, (city, country) = chosen.choice(ROLES), chosen.choice(PLACES)
            topics = chosen.sample(WORDS, 4)
            posting = {
                "job_id": f"bench-{number}",
                "title": chosen.choice(GRADES) + role,
                "company": f"{topics[0].title()} {chosen.choice(('Works', 'Labs', 'Group'))} {number % 977}",
                "location": f"{city}, {country}",
                "description": f"Work on {topics[1]} and {topics[2]} with people who know {topics[3]}; own what you build from its "
                "design to its operation, review changes, and keep it fast and cheap.",
                "apply_link": f"https://example.com/jobs/{number}",
                "posted_at": f"2026-11-{number % 24 + 1:02}",
                "employment_type": "full-time",
                "remote": False,
            }
            file.write(json.dumps(posting) + "\n")


def searches(count: int) -> list[Mapping[str, object]]:
    """What people look for: seven in ten a role at a place, two with a word more, and one a role anywhere."""
    chosen = random.Random(2)
    found: list[Mapping[str, object]] = []
    for _ in range(count):
        role, (city, country) = chosen.choice(GRADES) + chosen.choice(ROLES), chosen.choice(PLACES)
        kind = chosen.random()
        if kind < 0.2:
            role = f"{role} {chosen.choice(WORDS)}"
        search: dict[str, object] = {"query": role, "num_jobs": 5}
        if kind < 0.9:
            search["location"] = f"{city}, {country}"
        found.append(search)
    return found
