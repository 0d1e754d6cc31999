"""An MCP server made with the Python SDK (mcp 1.30.0): the legacy SSE transport at 127.0.0.1:PORT.

It answers what stands in the file ANSWER.
"""

import json
import os
from pathlib import Path
from typing import Any

import uvicorn
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

ANSWER = types.CallToolResult.model_validate(json.loads(Path(os.environ["ANSWER"]).read_text()))
SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "location": {"type": "string"}, "num_pages": {"type": "integer"}},
    "required": ["query"],
}
server: Server = Server("rival-python")


@server.list_tools()
async def list_tools() -> list[types.Tool]:
    return [types.Tool(name="search_jobs", description="Search for jobs", inputSchema=SCHEMA)]


@server.call_tool()
async def call_tool(_name: str, _arguments: dict[str, Any]) -> types.CallToolResult:
    return ANSWER


sse = SseServerTransport("/messages/")


async def stream(request: Request) -> Response:
    async with sse.connect_sse(request.scope, request.receive, request._send) as (reader, writer):
        await server.run(reader, writer, server.create_initialization_options())
    return Response()


async def health(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


routes = [Route("/sse", stream), Mount("/messages/", app=sse.handle_post_message), Route("/health", health)]
uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=int(os.environ["PORT"]), log_level="error", access_log=False)
