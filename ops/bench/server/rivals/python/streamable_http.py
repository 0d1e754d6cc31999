"""An MCP server made with the Python SDK (mcp 2.3.0): Streamable HTTP without state on /mcp, at 127.0.0.1:PORT.

It answers what stands in the file ANSWER.
"""

import json
import os
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult

ANSWER = CallToolResult.model_validate(json.loads(Path(os.environ["ANSWER"]).read_text()))
server = MCPServer("rival-python", log_level="ERROR")


@server.tool()
def search_jobs(query: str, location: str = "", num_pages: int = 1) -> CallToolResult:
    """Search for jobs"""
    return ANSWER


server.run(transport="streamable-http", host="127.0.0.1", port=int(os.environ["PORT"]), stateless_http=True, json_response=True)
