"""What the demo needs of Gradio that Gradio does not offer: each function uses an internal name, and says why.

Checked with Gradio 6.31. tests/demo/test_gradio_workarounds.py fails if one no longer works or, where a test can tell,
is no longer needed.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

FETCH_SECONDS = 15  # for a photo of which a request gives the URL: nobody else is served in the meantime


def upload_folder() -> Path:
    """The folder in which Gradio stores uploads: GRADIO_TEMP_DIR, else its own. No public function returns it."""
    return Path(get_upload_folder())


def fetched(photo: gr.Image) -> gr.Image:
    """The input `photo`, which accepts URLs: one that cannot be fetched within FETCH_SECONDS becomes a message.

    Gradio waits for it without a limit and fails with a traceback. The method is replaced on the object: for a subclass
    of a component, Gradio would write a .pyi file next to this module.
    """
    fetch = photo.async_move_resource_to_block_cache

    async def fetch_or_say(address: str | Path | None) -> str | None:
        try:
            return await asyncio.wait_for(fetch(address), FETCH_SECONDS)
        except Exception as error:  # many kinds: unknown or private host, no answer, HTTP status
            reason = " ".join(str(error).split()) or type(error).__name__
            raise gr.Error(f"no photo at {address}: {reason}", print_exception=False) from error

    photo.async_move_resource_to_block_cache = fetch_or_say
    return photo


def not_a_tool(handler: Callable) -> Callable:
    """`handler`, which the MCP server does not offer to assistants although it is part of the API.

    `api_visibility` is the same for both. The server takes functions whose `_mcp_type` is "tool" or missing.
    """
    handler._mcp_type = "endpoint"
    return handler
