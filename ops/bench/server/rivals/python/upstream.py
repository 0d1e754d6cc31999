"""The upstream server (iam-mcp-server 2.4.3), unchanged, but for where the name of JSearch leads: 127.0.0.1:JSEARCH_PORT."""

import os
import runpy
from typing import Any

from urllib3.util import connection

connect = connection.create_connection


def here(address: tuple[str, int], *arguments: Any, **more: Any) -> Any:
    if address[0] == "jsearch.p.rapidapi.com":
        address = ("127.0.0.1", int(os.environ["JSEARCH_PORT"]))
    return connect(address, *arguments, **more)


connection.create_connection = here
runpy.run_module("mcp_server_iam.server_http", run_name="__main__")
