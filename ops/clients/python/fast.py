"""The steps with fastmcp, which is given an address and finds out the rest."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastmcp
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp import MCPDeprecationWarning, MCPError
from mcp_types import TextContent

import script

# ping is deprecated for 2026-07-28; the steps use it before that only.
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

    def __init__(self, client: Any, case: dict[str, Any]) -> None:
        self.client = client
        self.cancels = case["transport"] != "http" or case["version"] >= "2026"

    def version(self) -> str:
        return str(self.client.protocol_version)

    def server_name(self) -> str | None:
        return self.client.server_info.name if self.client.server_info else None

    async def tools(self) -> list[dict[str, Any]]:
        return [tool.model_dump(by_alias=True) for tool in await self.client.list_tools()]

    async def call(self, name: str, arguments: dict[str, Any]) -> script.Answer:
        result = await self.client.call_tool(name, arguments, raise_on_error=False)
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        return script.Answer(result.is_error, text, result.structured_content)

    async def prompts(self) -> list[str]:
        return [prompt.name for prompt in await self.client.list_prompts()]

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        result = await self.client.get_prompt(name, arguments)
        return "".join(message.content.text for message in result.messages)

    async def ping(self) -> None:
        script.expect(await self.client.ping(), "no pong")


@asynccontextmanager
async def connect(case: dict[str, Any]) -> AsyncIterator[Connection]:
    mode = "2026-07-28" if case["era"] == "pinned" else case["era"]
    async with fastmcp.Client(transport(case), mode=mode) as client:
        yield Connection(client, case)


script.main(connect)
