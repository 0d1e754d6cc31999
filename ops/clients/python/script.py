"""The steps that every Python library goes through. typescript/script.mjs has the same ones under the same names.

A program reads its connections from standard input, one JSON object a line, and prints a line of JSON for each check:
{"connection": NAME, "check": NAME, "ok": true}, or with "ok": false and "why".
"""

import asyncio
import json
import sys
import time
import traceback
import urllib.request
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from expect import DEADLINE, Answer, expect, of_role
from saved import SavedSteps

CONCURRENT = 10
# What a person answers who is asked for a role.
ANSWER = "glass blower"
TOOLS = ["search_jobs", "get_job", "save_jobs", "list_saved_jobs", "remove_saved_jobs"]

Progress = Callable[[float, float | None, str | None], Awaitable[None]]


class Connection(Protocol):
    """What the steps need of a library. Errors of the protocol are raised as `Connection.error`. It asks a person where the
    case has an "answer", and gives that."""

    error: type[Exception]
    # Whether the library tells the server that nobody waits for a call any more, when its caller gives up.
    cancels: bool

    def version(self) -> str: ...
    def server_name(self) -> str | None: ...
    async def tools(self) -> list[dict[str, Any]]: ...
    async def call(self, name: str, arguments: dict[str, Any], progress: Progress | None = None) -> Answer: ...
    async def prompts(self) -> list[str]: ...
    async def prompt(self, name: str, arguments: dict[str, str]) -> str: ...
    async def ping(self) -> None: ...
    async def resources(self) -> list[str]: ...
    async def templates(self) -> list[str]: ...
    async def read(self, uri: str) -> str: ...
    def subscribed(self, uri: str) -> AbstractAsyncContextManager[Awaitable[None]]: ...
    async def complete(self, of: str, argument: str, typed: str) -> list[str]: ...


Connect = Callable[[dict[str, Any]], AbstractAsyncContextManager[Any]]


async def asked(url: str) -> dict[str, Any]:
    """What the job board (driver/provider.py) knows of a search."""

    def get() -> dict[str, Any]:
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


async def until(state: str, url: str) -> None:
    end = time.monotonic() + DEADLINE
    while (now := (await asked(url))["state"]) != state:
        expect(time.monotonic() < end, f"the search is {now}, not {state}")
        await asyncio.sleep(0.05)


class Script(SavedSteps):
    """The steps, on one connection."""

    def __init__(self, connection: Any, case: dict[str, Any]) -> None:
        self.on, self.case = connection, case

    async def connect(self) -> None:
        expect(self.on.version() == self.case["version"], f"negotiated {self.on.version()}, not {self.case['version']}")
        # Whoever insists on a version is not told before the first answer.
        expect(self.on.server_name() in ("iam-mcp-server", None if self.case["era"] == "pinned" else ""), self.on.server_name())

    async def tools(self) -> None:
        found = {tool["name"]: tool for tool in await self.on.tools()}
        expect(list(found) == TOOLS, list(found))
        expect(all(tool["outputSchema"] and tool["annotations"] for tool in found.values()), found)
        takes, gives = found["search_jobs"]["inputSchema"], found["search_jobs"]["outputSchema"]
        for name in ("role", "city", "country", "platform", "num_jobs", "query", "location", "num_pages"):
            expect(name in takes["properties"], takes)
        expect(takes["type"] == "object" and gives["type"] == "object", takes)
        expect({"jobs", "source"} <= set(gives["required"]), gives)

    async def call(self) -> None:
        answer = await self.on.call("search_jobs", {"role": "rust engineer", "city": "Berlin", "country": "Germany"})
        of_role(answer, "rust engineer")
        expect("Berlin" in answer.text, answer.text)

    async def call_query(self) -> None:
        answer = await self.on.call(
            "search_jobs", {"query": "Python developer", "location": "San Francisco, CA", "num_pages": 1})
        of_role(answer, "Python developer")

    async def tool_error(self) -> None:
        answer = await self.on.call("search_jobs", {"role": "cook", "num_jobs": 99})
        expect(answer.failed and "num_jobs" in answer.text, answer.text)

    async def protocol_error(self) -> None:
        try:
            answer = await self.on.call("no_such_tool", {})
        except self.on.error as error:
            expect("no_such_tool" in str(error), error)
        else:
            raise AssertionError(f"answered: {answer}")

    async def prompts(self) -> None:
        names = await self.on.prompts()
        expect({"analyze_job_market", "save_jobs", "mesh_resumes"} <= set(names), names)

    async def prompt(self) -> None:
        text = await self.on.prompt("analyze_job_market", {"role": "nurse", "city": "Oslo", "country": "Norway"})
        expect("nurse" in text and "Oslo" in text, text)

    async def ping(self) -> None:
        await self.on.ping()

    async def concurrent(self) -> None:
        roles = [f"role number {number} of {CONCURRENT}" for number in range(CONCURRENT)]
        answers = await asyncio.gather(*(self.on.call("search_jobs", {"role": role}) for role in roles))
        for role, answer in zip(roles, answers, strict=True):
            of_role(answer, role)

    async def progress(self) -> None:
        """Of a search through two pages: the second comes only when word of the first has. Of the last page some libraries
        do not tell, where the answer comes with it."""
        told: list[tuple[float, float | None]] = []
        token = uuid.uuid4().hex

        async def tell(done: float, total: float | None, _: str | None) -> None:
            told.append((done, total))
            await asked(f"{self.case['provider']}/go/{token}")

        role = f"paged {token}"
        of_role(await self.on.call("search_jobs", {"role": role, "num_pages": 2, "num_jobs": 20}, tell), role)
        expect(told in ([(1, 2)], [(1, 2), (2, 2)]), told)

    async def elicitation(self) -> None:
        """A person is asked for the role that a search lacks, where there is a way back."""
        answer = await self.on.call("search_jobs", {"num_jobs": 1})
        if self.case["transport"] == "http" and self.case["version"] < "2026":
            expect(answer.failed and "role is missing" in answer.text, answer)
        else:
            of_role(answer, ANSWER)

    async def unasked(self) -> None:
        """Of a client that cannot ask."""
        answer = await self.on.call("search_jobs", {"num_jobs": 1})
        expect(answer.failed and "role is missing" in answer.text, answer)

    async def cancel(self) -> None:
        """Whoever gives a call up ends the work for it, and the conversation goes on."""
        role, state = self.slow()
        call = asyncio.create_task(self.on.call("search_jobs", {"role": role}))
        await until("waiting", state)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await until("given up", state)
        of_role(await self.on.call("search_jobs", {"role": "afterwards"}), "afterwards")

    def slow(self) -> tuple[str, str]:
        """A role that the job board does not answer, and where it tells what became of it."""
        role = f"slow {uuid.uuid4().hex}"
        return role, f"{self.case['provider']}/state/{role.split()[1]}"


FULL = ("connect", "tools", "call", "call_query", "tool_error", "protocol_error", "prompts", "prompt", "concurrent",
        "get_job", "saved_jobs", "resources", "completion", "progress", "elicitation")
SHORT = ("connect", "tools", "call")


def steps(connection: Any, case: dict[str, Any]) -> tuple[str, ...]:
    if case["script"] == "short":
        return SHORT
    more = () if case["version"] >= "2026" else ("ping",)  # 2026-07-28 has none
    # Before that there is no stream on /mcp.
    more += () if case["transport"] == "http" and case["version"] < "2026" else ("subscription",)
    return FULL + more + (("cancel",) if connection.cancels else ())


def say(case: dict[str, Any], check: str, error: BaseException | None) -> None:
    line: dict[str, Any] = {"connection": case["name"], "check": check, "ok": error is None}
    if error is not None:
        line["why"] = "".join(traceback.format_exception(error))[-1500:]
    print(json.dumps(line), flush=True)


async def check(case: dict[str, Any], name: str, step: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            await step()
    except Exception as error:  # noqa: BLE001: whatever is raised is told
        say(case, name, error)
    else:
        say(case, name, None)


async def leave(connect: Connect, case: dict[str, Any]) -> None:
    """A client that goes while a call runs leaves no work behind."""
    if "command" in case:
        case = case | {"command": [*case["command"], "leave"]}
    async with connect(case) as connection:
        script = Script(connection, case)
        await check(case, "unasked", script.unasked)
        role, state = script.slow()
        call = asyncio.create_task(connection.call("search_jobs", {"role": role}))
        await until("waiting", state)
        call.add_done_callback(lambda done: done.cancelled() or done.exception())  # however it ends
    await until("given up", state)


async def go_through(connect: Connect, case: dict[str, Any]) -> None:
    if case["script"] == "refused":
        return await check(case, "refused", lambda: refused(connect, case))
    async with connect(case | {"answer": ANSWER} if case["script"] == "full" else case) as connection:
        script = Script(connection, case)
        for name in steps(connection, case):
            await check(case, name, getattr(script, name))
    say(case, "close", None)
    if case["script"] == "full":
        await check(case, "leave", lambda: leave(connect, case))


async def refused(connect: Connect, case: dict[str, Any]) -> None:
    """A version that this transport cannot carry: an error, and no waiting for one."""
    try:
        async with connect(case) as connection:
            await connection.tools()
    except Exception:  # noqa: BLE001: each library has its own
        return
    raise AssertionError("it was served")


def main(connect: Connect) -> None:
    cases = [json.loads(line) for line in sys.stdin]
    for case in cases:
        try:
            asyncio.run(asyncio.wait_for(go_through(connect, case), 5 * DEADLINE))
        except BaseException as error:  # noqa: BLE001: whatever is raised is told
            say(case, "close", error)
