"""The steps with mcp 2.x: one Client for every transport and both eras."""

import warnings
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client, MCPDeprecationWarning, MCPError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.subscriptions import ResourceUpdated
from mcp_types import (
    ElicitResult,
    PromptReference,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    TextContent,
)

import script
from expect import Answer
from saved import Updates

# ping and resources/subscribe are deprecated for 2026-07-28; the steps use them before that only.
warnings.filterwarnings("ignore", category=MCPDeprecationWarning)


def server(case: dict[str, Any]) -> Any:
    if case["transport"] == "stdio":
        command, *arguments = case["command"]
        return StdioServerParameters(command=command, args=arguments)
    return sse_client(case["url"]) if case["transport"] == "sse" else case["url"]


class Connection:
    error = MCPError

    def __init__(self, client: Client, updates: Updates, case: dict[str, Any]) -> None:
        self.client, self.updates = client, updates
        # For the older era it sends a notification, which a stateless server cannot match with a request; for the newer
        # one it closes the answer's stream.
        self.cancels = case["transport"] != "http" or case["version"] >= "2026"

    def version(self) -> str:
        return self.client.protocol_version

    def server_name(self) -> str | None:
        return self.client.server_info.name if self.client.server_info else None

    async def tools(self) -> list[dict[str, Any]]:
        return [tool.model_dump(by_alias=True) for tool in (await self.client.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any], progress: script.Progress | None = None) -> Answer:
        result = await self.client.call_tool(name, arguments, progress_callback=progress)
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        return Answer(result.is_error, text, result.structured_content)

    async def prompts(self) -> list[str]:
        return [prompt.name for prompt in (await self.client.list_prompts()).prompts]

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        result = await self.client.get_prompt(name, arguments)
        return "".join(message.content.text for message in result.messages)

    async def ping(self) -> None:
        await self.client.send_ping()

    async def resources(self) -> list[str]:
        return [resource.uri for resource in (await self.client.list_resources()).resources]

    async def templates(self) -> list[str]:
        return [template.uri_template for template in (await self.client.list_resource_templates()).resource_templates]

    async def read(self, uri: str) -> str:
        return (await self.client.read_resource(uri)).contents[0].text

    @asynccontextmanager
    async def subscribed(self, uri: str) -> AsyncIterator[Awaitable[None]]:
        if self.version() >= "2026":
            async with self.client.listen(resource_subscriptions=[uri]) as subscription:
                yield self.listen(subscription, uri)
            return
        await self.client.subscribe_resource(uri)
        yield self.updates.of(uri)
        await self.client.unsubscribe_resource(uri)

    @staticmethod
    async def listen(subscription: Any, uri: str) -> None:
        async for event in subscription:
            if isinstance(event, ResourceUpdated) and event.uri == uri:
                return
        raise AssertionError("the subscription ended")

    async def complete(self, of: str, argument: str, typed: str) -> list[str]:
        reference = (ResourceTemplateReference(type="ref/resource", uri=of) if "://" in of
                     else PromptReference(type="ref/prompt", name=of))
        return (await self.client.complete(reference, {"name": argument, "value": typed})).completion.values


@asynccontextmanager
async def connect(case: dict[str, Any]) -> AsyncIterator[Connection]:
    mode = "2026-07-28" if case["era"] == "pinned" else case["era"]
    updates = Updates()

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            updates.hear(message.params.uri)

    async def ask(_: Any, question: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"role": case["answer"]})

    asks = ask if "answer" in case else None
    async with Client(server(case), mode=mode, elicitation_callback=asks, message_handler=hear) as client:
        yield Connection(client, updates, case)


if __name__ == "__main__":
    script.main(connect)
