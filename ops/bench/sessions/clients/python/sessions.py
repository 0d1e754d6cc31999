"""Holds N sessions with the Python SDK, calls search_jobs on each at a pace, and counts.

The SDK never reconnects: a session whose stream ends is lost, and a new one is opened in its place.
Usage: ../sessions python --help
"""

import argparse
import asyncio
import datetime
import logging
import random
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager

from mcp import ClientSession, McpError
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from totals import Events, Totals, reason_of

# Sessions that are being opened at a time, and the pause after a failed attempt.
OPENING = 20
OPEN_AGAIN = 0.3


def number(least: float, most: float, kind: Callable = float) -> Callable:
    def parse(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"a number from {least} to {most}, not {text!r}")
        return value

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--sessions", type=number(1, 2000, int), default=10)
    parser.add_argument("--every", type=number(0.05, 3600), default=1.0)
    parser.add_argument("--transport", choices=["sse", "http"], default="sse")
    parser.add_argument("--seconds", type=number(1, 86400), default=60.0)
    parser.add_argument("--timeout", type=number(0.1, 600), default=5.0)
    parser.add_argument("--events", default="")
    return parser.parse_args()


class Watched:
    """The library's stream of messages; `ended` is set when there will be no more."""

    def __init__(self, inner, ended: asyncio.Event) -> None:
        self.inner, self.ended = inner, ended

    async def __aenter__(self):
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error):
        return await self.inner.__aexit__(*error)

    def __aiter__(self):
        return self

    async def __anext__(self):
        try:
            return await self.inner.__anext__()
        except StopAsyncIteration:
            self.ended.set()
            raise


class Session:
    """One session from its opening to its end."""

    def __init__(self, holder: "Holder", number: int) -> None:
        self.holder, self.number = holder, number
        self.ended = asyncio.Event()
        self.opened = self.calling = False

    async def run(self) -> None:
        """Ends when the session does; raises what the library raised, if it did."""
        options, holder = self.holder.options, self.holder
        timeout = datetime.timedelta(seconds=options.timeout)
        async with AsyncExitStack() as stack:
            async with holder.opening:
                read, write = await stack.enter_async_context(transport(options))
                watched = Watched(read, self.ended)
                client = await stack.enter_async_context(ClientSession(watched, write, timeout))
                await client.initialize()
            self.opened = True
            holder.open += 1
            holder.events.note(self.number, "opened")
            try:
                await self.calls(client)
            finally:
                holder.open -= 1

    async def calls(self, client: ClientSession) -> None:
        every = self.holder.options.every
        clock = asyncio.get_running_loop().time
        due = clock() + random.random() * every  # not all at the same moment
        while not self.ended.is_set():
            try:
                await asyncio.wait_for(self.ended.wait(), max(0.0, due - clock()))
            except TimeoutError:
                await self.call(client)
                due = max(due + every, clock())

    async def call(self, client: ClientSession) -> None:
        started = time.monotonic()
        self.calling = True
        try:
            result = await client.call_tool("search_jobs", {"query": "engineer", "num_pages": 1})
            if result.isError:
                self.failed("tool error")
            else:
                self.holder.totals.add("calls_ok")
                self.holder.totals.took("call_ms", (time.monotonic() - started) * 1000)
        except McpError as error:
            self.failed(reason_of(error) + (", its stream ended" if self.ended.is_set() else ""))
        self.calling = False

    def failed(self, reason: str) -> None:
        self.holder.totals.failed(reason)
        self.holder.events.note(self.number, "failed", reason=reason)

    def over(self, error: BaseException | None) -> None:
        """Counts its end, which nobody asked for."""
        why = reason_of(error) if error else "the stream ended"
        if not self.opened:
            self.holder.totals.add("opens_failed")
            self.holder.events.note(self.number, "not opened", why=why)
            return
        if self.calling:  # the library took the session down instead of answering
            self.failed(why)
        for count in ("ended", "lost"):
            self.holder.totals.add(count)
            self.holder.events.note(self.number, count, why=why)


@asynccontextmanager
async def transport(options: argparse.Namespace):
    base = options.url.rstrip("/")
    if options.transport == "sse":
        async with sse_client(f"{base}/sse") as (read, write):
            yield read, write
    else:
        async with streamable_http_client(f"{base}/mcp") as (read, write, _):
            yield read, write


class Holder:
    """Holds the sessions and counts what happens to them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.totals = Totals("python", options.transport)
        self.events = Events(options.events)
        self.opening = asyncio.Semaphore(OPENING)
        self.open = 0

    async def hold(self, number: int) -> None:
        while True:
            session, why = Session(self, number), None
            try:
                await session.run()
            except Exception as error:  # noqa: BLE001: whatever the library raises is counted, and told
                why = error
            session.over(why)
            await asyncio.sleep(OPEN_AGAIN)

    async def report(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.totals.report(self.open)

    async def run(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop.set)
        loop.call_later(self.options.seconds, stop.set)
        tasks = [asyncio.create_task(self.hold(number)) for number in range(self.options.sessions)]
        tasks.append(asyncio.create_task(self.report()))
        await stop.wait()
        self.totals.summary(self.open, self.options.sessions)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=2)


class Heard(logging.Handler):
    """What the library logs and tells no caller: an error of a POST, after which it only stops sending."""

    def __init__(self, events: Events) -> None:
        super().__init__(logging.ERROR)
        self.events = events

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.events.note(-1, "logged", what=record.getMessage(), why=reason_of(error) if error else "")


holder = Holder(arguments())
logging.basicConfig(handlers=[Heard(holder.events)], level=logging.ERROR)
asyncio.run(holder.run())
