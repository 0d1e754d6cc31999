"""The steps with mcp 1.x: a session on top of a transport."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import mcp.types as types
from pydantic import AnyUrl
from mcp import ClientSession, McpError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import script
from expect import Answer
from saved import Updates


@asynccontextmanager
async def transport(case: dict[str, Any]) -> AsyncIterator[tuple[Any, Any]]:
    if case["transport"] == "stdio":
        command, *arguments = case["command"]
        async with stdio_client(StdioServerParameters(command=command, args=arguments)) as streams:
            yield streams
    elif case["transport"] == "sse":
        async with sse_client(case["url"]) as streams:
            yield streams
    else:
        async with streamable_http_client(case["url"]) as (read, write, _):
            yield read, write


class Connection:
    error = McpError

    def __init__(self, session: ClientSession, opened: types.InitializeResult, updates: Updates, case: dict[str, Any]) -> None:
        self.session, self.opened, self.updates = session, opened, updates
        # It sends no notification by itself, and over Streamable HTTP there would be no request to name: the stateless
        # server knows of a request only while its POST is open, and the library keeps that open.
        self.cancels = case["transport"] != "http"

    def version(self) -> str:
        return str(self.opened.protocolVersion)

    def server_name(self) -> str:
        return self.opened.serverInfo.name

    async def tools(self) -> list[dict[str, Any]]:
        return [tool.model_dump(by_alias=True) for tool in (await self.session.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any], progress: script.Progress | None = None) -> Answer:
        number = self.session._request_id  # noqa: SLF001: the id that the call gets; the library shows it to nobody
        try:
            result = await self.session.call_tool(name, arguments, progress_callback=progress)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True), suppress(anyio.ClosedResourceError):  # closed when the program leaves
                params = types.CancelledNotificationParams(requestId=number)
                await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
            raise
        text = "".join(block.text for block in result.content if isinstance(block, types.TextContent))
        return Answer(result.isError, text, result.structuredContent)

    async def prompts(self) -> list[str]:
        return [prompt.name for prompt in (await self.session.list_prompts()).prompts]

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        result = await self.session.get_prompt(name, arguments)
        return "".join(message.content.text for message in result.messages)

    async def ping(self) -> None:
        await self.session.send_ping()

    async def resources(self) -> list[str]:
        return [str(resource.uri) for resource in (await self.session.list_resources()).resources]

    async def templates(self) -> list[str]:
        return [template.uriTemplate for template in (await self.session.list_resource_templates()).resourceTemplates]

    async def read(self, uri: str) -> str:
        return (await self.session.read_resource(AnyUrl(uri))).contents[0].text

    @asynccontextmanager
    async def subscribed(self, uri: str) -> AsyncIterator[Awaitable[None]]:
        await self.session.subscribe_resource(AnyUrl(uri))
        yield self.updates.of(uri)
        await self.session.unsubscribe_resource(AnyUrl(uri))

    async def complete(self, of: str, argument: str, typed: str) -> list[str]:
        reference = (types.ResourceTemplateReference(type="ref/resource", uri=of) if "://" in of
                     else types.PromptReference(type="ref/prompt", name=of))
        return (await self.session.complete(reference, {"name": argument, "value": typed})).completion.values


@asynccontextmanager
async def connect(case: dict[str, Any]) -> AsyncIterator[Connection]:
    updates = Updates()

    async def hear(message: Any) -> None:
        if isinstance(message, types.ServerNotification) and isinstance(message.root, types.ResourceUpdatedNotification):
            updates.hear(message.root.params.uri)

    async def ask(_: Any, question: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"role": case["answer"]})

    asks = ask if "answer" in case else None
    async with (transport(case) as (read, write),
                ClientSession(read, write, elicitation_callback=asks, message_handler=hear) as session):
        yield Connection(session, await session.initialize(), updates, case)


script.main(connect)
