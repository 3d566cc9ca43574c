"""What an assistant does with the demo: the real client of the Model Context Protocol, over HTTP."""

import asyncio
import base64
from pathlib import Path

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client


def as_data(path: Path) -> str:
    """A file as a client sends it that has no address of it."""
    return f"data:image/{path.suffix[1:]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def ask(url: str, *calls: tuple[str, dict]) -> tuple[dict, list]:
    """The tools of the demo at `url`, by name, and the results of calls of them, each (name, arguments)."""

    async def session() -> tuple[dict, list]:
        async with (
            streamable_http_client(f"{url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as it,
        ):
            await it.initialize()
            tools = {tool.name: tool for tool in (await it.list_tools()).tools}
            return tools, [await it.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(session())
