"""The steps with mcp 2.x: one Client for every transport and both eras."""

import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client, MCPDeprecationWarning, MCPError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp_types import TextContent

import script

# ping is deprecated for 2026-07-28; the steps use it before that only.
warnings.filterwarnings("ignore", category=MCPDeprecationWarning)


def server(case: dict[str, Any]) -> Any:
    if case["transport"] == "stdio":
        command, *arguments = case["command"]
        return StdioServerParameters(command=command, args=arguments)
    return sse_client(case["url"]) if case["transport"] == "sse" else case["url"]


class Connection:
    error = MCPError

    def __init__(self, client: Client, case: dict[str, Any]) -> None:
        self.client = client
        # For the older era it sends a notification, which a stateless server cannot match with a request; for the newer
        # one it closes the answer's stream.
        self.cancels = case["transport"] != "http" or case["version"] >= "2026"

    def version(self) -> str:
        return self.client.protocol_version

    def server_name(self) -> str | None:
        return self.client.server_info.name if self.client.server_info else None

    async def tools(self) -> list[dict[str, Any]]:
        return [tool.model_dump(by_alias=True) for tool in (await self.client.list_tools()).tools]

    async def call(self, name: str, arguments: dict[str, Any]) -> script.Answer:
        result = await self.client.call_tool(name, arguments)
        text = "".join(block.text for block in result.content if isinstance(block, TextContent))
        return script.Answer(result.is_error, text, result.structured_content)

    async def prompts(self) -> list[str]:
        return [prompt.name for prompt in (await self.client.list_prompts()).prompts]

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        result = await self.client.get_prompt(name, arguments)
        return "".join(message.content.text for message in result.messages)

    async def ping(self) -> None:
        await self.client.send_ping()


@asynccontextmanager
async def connect(case: dict[str, Any]) -> AsyncIterator[Connection]:
    mode = "2026-07-28" if case["era"] == "pinned" else case["era"]
    async with Client(server(case), mode=mode) as client:
        yield Connection(client, case)


if __name__ == "__main__":
    script.main(connect)
