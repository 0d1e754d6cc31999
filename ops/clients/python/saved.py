"""The steps about single postings, saved ones, and resources. typescript/saved.mjs has the same ones."""

import asyncio
import json
import urllib.parse
import uuid
from typing import Any

from expect import Answer, expect, fields, of_role

CARDS = "ui://iam-mcp-server/job-cards.html"
TEMPLATE = "jobs://saved/{job_id}"


class Updates:
    """The resources whose updates a library has told of."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(self, uri: object) -> None:
        self.heard.put_nowait(str(uri))

    async def of(self, uri: str) -> None:
        while await self.heard.get() != uri:
            pass


def posting(title: str) -> dict[str, Any]:
    """One that nobody else saves; the URI of its resource has to be encoded."""
    return {"job_id": f"clients/{uuid.uuid4().hex}", "title": title, "company": "Example Company", "location": "Berlin, Germany",
            "description": f"Work as {title}.", "apply_link": "https://example.com/apply", "remote": False}


def uri_of(job: dict[str, Any]) -> str:
    return "jobs://saved/" + urllib.parse.quote(job["job_id"], safe="")


class SavedSteps:
    """Each saves its own jobs, and removes them: others save at the same time."""

    on: Any
    case: dict[str, Any]

    async def save(self, job: dict[str, Any]) -> dict[str, Any]:
        saved = fields(await self.on.call("save_jobs", {"jobs": [job]}))["saved"]
        expect([one["job_id"] for one in saved] == [job["job_id"]], saved)
        return saved[0]

    async def remove(self, *job_ids: str) -> None:
        removed = fields(await self.on.call("remove_saved_jobs", {"job_ids": list(job_ids)}))["removed"]
        expect(removed == list(job_ids), removed)

    async def saved(self) -> dict[str, dict[str, Any]]:
        jobs = fields(await self.on.call("list_saved_jobs", {}))["jobs"]
        return {job["job_id"]: job for job in jobs}

    async def get_job(self) -> None:
        found = await self.on.call("search_jobs", {"role": "rust engineer", "slice_job_description": 4})
        of_role(found, "rust engineer")
        first = fields(found)["jobs"][0]
        job = fields(await self.on.call("get_job", {"job_id": first["job_id"]}))["job"]
        expect((job["job_id"], job["title"]) == (first["job_id"], first["title"]), job)
        expect(job["description"] == "Work as rust engineer.", job)
        unknown: Answer = await self.on.call("get_job", {"job_id": "no-such-job"})
        expect(unknown.failed and "job_id" in unknown.text, unknown)

    async def saved_jobs(self) -> None:
        """By id and given whole, changed, shown, and removed."""
        role = f"keeper {uuid.uuid4().hex}"
        found = await self.on.call("search_jobs", {"role": role, "num_jobs": 1})
        of_role(found, role)
        by_id, given = fields(found)["jobs"][0]["job_id"], posting("night watchman")
        answer = fields(await self.on.call("save_jobs", {"job_ids": [by_id], "jobs": [given]}))
        expect({one["job_id"]: one["outcome"] for one in answer["saved"]} == {by_id: "added", given["job_id"]: "added"}, answer)
        expect((await self.save(given | {"title": "day watchman"}))["outcome"] == "updated", "saved again")
        listed = await self.saved()
        expect(role in listed[by_id]["title"] and listed[given["job_id"]]["title"] == "day watchman", listed)
        whole = fields(await self.on.call("get_job", {"job_id": given["job_id"]}))["job"]
        expect(whole["description"] == given["description"], whole)
        await self.remove(by_id, given["job_id"])
        expect(not {by_id, given["job_id"]} & set(await self.saved()), "removed, and still there")

    async def resources(self) -> None:
        job = posting("lighthouse keeper")
        uri = (await self.save(job))["uri"]
        expect(uri == uri_of(job), uri)
        listed = await self.on.resources()
        expect({uri, CARDS} <= set(listed), listed)
        expect(await self.on.templates() == [TEMPLATE], "templates")
        read = json.loads(await self.on.read(uri))
        expect(read["saved_at"] and {name: read["job"][name] for name in job} == job, read)
        expect("<html" in await self.on.read(CARDS), "no page of cards")
        await self.remove(job["job_id"])
        try:
            content = await self.on.read(uri)
        except self.on.error as error:
            expect(uri in str(error), error)
        else:
            raise AssertionError(f"removed, and read: {content}")

    async def subscription(self) -> None:
        """Word comes of a job that changes. In the newer era it need not be saved yet."""
        job = posting("pastry cook")
        uri = uri_of(job)
        if self.case["version"] < "2026":
            await self.save(job)
        async with self.on.subscribed(uri) as update:
            await self.save(job | {"title": "head pastry cook"})
            await update
        expect("head pastry cook" in await self.on.read(uri), "an old text")
        await self.remove(job["job_id"])

    async def completion(self) -> None:
        expect(await self.on.complete("analyze_job_market", "country", "germ") == ["Germany"], "country")
        job = posting("glazier")
        await self.save(job)
        found = await self.on.complete(TEMPLATE, "job_id", job["job_id"][:-4])
        expect(found == [job["job_id"]], found)
        await self.remove(job["job_id"])
