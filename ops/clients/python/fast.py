"""The steps with fastmcp, which is given an address and finds out the rest."""

import warnings
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import fastmcp
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp import MCPDeprecationWarning, MCPError
from mcp.client.subscriptions import ResourceUpdated, listen
from mcp_types import PromptReference, ResourceTemplateReference, ResourceUpdatedNotification, TextContent

import script
from expect import Answer, expect
from saved import Updates

# ping and resources/subscribe are deprecated for 2026-07-28; the steps use them before that only.
warnings.filterwarnings("ignore", category=MCPDeprecationWarning)


def transport(case: dict[str, Any]) -> Any:
    if case["transport"] == "stdio":
        command, *arguments = case["command"]
        # Else it leaves the program running for the next client.
        return StdioTransport(command, arguments, keep_alive=False)
    if case["script"] == "full":
        return case["url"]
    return (SSETransport if case["transport"] == "sse" else StreamableHttpTransport)(case["url"])


class Connection:
    error = MCPError

    def __init__(self, client: Any, updates: Updates, case: dict[str, Any]) -> None:
        self.client, self.updates = client, updates
        self.cancels = case["transport"] != "http" or case["version"] >= "2026"

    def version(self) -> str:
        return str(self.client.protocol_version)

    def server_name(self) -> str | None:
        return self.client.server_info.name if self.client.server_info else None

    async def tools(self) -> list[dict[str, Any]]:
        return [tool.model_dump(by_alias=True) for tool in await self.client.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any], progress: script.Progress | None = None) -> Answer:
        result = await self.client.call_tool(name, arguments, raise_on_error=False, progress_handler=progress)
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        return Answer(result.is_error, text, result.structured_content)

    async def prompts(self) -> list[str]:
        return [prompt.name for prompt in await self.client.list_prompts()]

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        result = await self.client.get_prompt(name, arguments)
        return "".join(message.content.text for message in result.messages)

    async def ping(self) -> None:
        expect(await self.client.ping(), "no pong")

    async def resources(self) -> list[str]:
        return [resource.uri for resource in await self.client.list_resources()]

    async def templates(self) -> list[str]:
        return [template.uri_template for template in await self.client.list_resource_templates()]

    async def read(self, uri: str) -> str:
        return (await self.client.read_resource(uri))[0].text

    # Its client has nothing for this; the session below it, which it shows, does.
    @asynccontextmanager
    async def subscribed(self, uri: str) -> AsyncIterator[Awaitable[None]]:
        if self.version() >= "2026":
            async with listen(self.client.session, resource_subscriptions=[uri]) as subscription:
                yield self.listen(subscription, uri)
            return
        await self.client.session.subscribe_resource(uri)
        yield self.updates.of(uri)
        await self.client.session.unsubscribe_resource(uri)

    @staticmethod
    async def listen(subscription: Any, uri: str) -> None:
        async for event in subscription:
            if isinstance(event, ResourceUpdated) and event.uri == uri:
                return
        raise AssertionError("the subscription ended")

    async def complete(self, of: str, argument: str, typed: str) -> list[str]:
        reference = (ResourceTemplateReference(type="ref/resource", uri=of) if "://" in of
                     else PromptReference(type="ref/prompt", name=of))
        return (await self.client.complete(reference, {"name": argument, "value": typed})).values


@asynccontextmanager
async def connect(case: dict[str, Any]) -> AsyncIterator[Connection]:
    mode = "2026-07-28" if case["era"] == "pinned" else case["era"]
    updates = Updates()

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            updates.hear(message.params.uri)

    async def ask(*_: Any) -> dict[str, str]:
        return {"role": case["answer"]}

    asks = ask if "answer" in case else None
    async with fastmcp.Client(transport(case), mode=mode, elicitation_handler=asks, message_handler=hear) as client:
        yield Connection(client, updates, case)


script.main(connect)
