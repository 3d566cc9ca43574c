"""What the demo needs of Gradio that Gradio does not offer: each function uses an internal name, and says why.

Checked with Gradio 6.31. tests/demo/test_gradio_workarounds.py fails if one no longer works or, where a test can tell,
is no longer needed.
"""

import io
from collections.abc import Callable
from pathlib import Path

import gradio as gr
from fastapi import HTTPException
from fastapi.responses import Response
from gradio.utils import get_upload_folder
from gradio_client.utils import is_http_url_like
from PIL import Image

from chromagan.demo.remote_photo import FetchError, fetch_photo

ICON_SIZES = (192, 512)  # those of Gradio's manifest


def upload_folder() -> Path:
    """The folder in which Gradio stores uploads: GRADIO_TEMP_DIR, else its own. No public function returns it."""
    return Path(get_upload_folder())


def fetched(photo: gr.Image) -> gr.Image:
    """The input `photo`, which accepts URLs by `fetch_photo`: one that gives no photo becomes a message.

    Gradio would wait for it without a limit and fail with a traceback. The method is replaced on the object: for a
    subclass of a component, Gradio would write a .pyi file next to this module.
    """
    move = photo.async_move_resource_to_block_cache

    async def fetch_or_say(address: str | Path | None) -> str | None:
        if not is_http_url_like(str(address)):
            return await move(address)
        try:
            path = str(await fetch_photo(str(address), Path(photo.GRADIO_CACHE)))
        except FetchError as error:
            raise gr.Error(f"no photo at {address}: {error}", print_exception=False) from error
        photo.temp_files.add(path)  # as the replaced method does
        return path

    photo.async_move_resource_to_block_cache = fetch_or_say
    return photo


def for_any_client(demo: gr.Blocks) -> gr.Blocks:
    """`demo`, whose API takes what is written by hand: an image as `file_data` has it, and as many arguments as there
    are, the rest being defaults. Gradio's own clients complete both; from others, Gradio fails with a traceback.

    From a page that is older than this server comes a photo that is no upload. As a marked file, Gradio would fail with
    a traceback; `from_gradio` says what to do.
    """
    check = demo.validate_inputs

    def complete(function, inputs: list) -> None:
        public = function.api_visibility == "public"
        if public:
            inputs += [component.value for component in function.inputs[len(inputs) :]]
        for index, (component, value) in enumerate(zip(function.inputs, inputs, strict=False)):
            if isinstance(component, gr.Image):
                inputs[index] = file_data(value) if public else not_marked(value)
        check(function, inputs)

    demo.validate_inputs = complete
    return demo


def file_data(image) -> dict | None:
    """An image of a request, {"path": ...}, {"url": ...} or the text alone, as Gradio has it; gr.Error for others."""
    if image is None:
        return None
    file = (image.get("path") or image.get("url")) if isinstance(image, dict) else image
    if not isinstance(file, str):
        words = f'an image is {{"path": ...}}: its URL, or what /gradio_api/upload has answered; got {image!r:.80}'
        raise gr.Error(words, print_exception=False)
    # What is marked as a file, Gradio fetches; or fails with a traceback, if it is on this machine and no upload.
    return {"path": file, "meta": {"_type": "gradio.FileData"}} if is_http_url_like(file) else {"path": file}


def not_marked(value):
    """A photo of the page, without the mark by which Gradio knows a file."""
    return {key: each for key, each in value.items() if key != "meta"} if isinstance(value, dict) else value


def icon(file: Path, size: int) -> Response:
    """Answer GET /pwa_icon/<size> with the icon in `file`, in ICON_SIZES. Gradio's own route would enlarge it to any
    size, which takes gigabytes, and serve nobody else meanwhile."""
    if size not in ICON_SIZES:
        raise HTTPException(404)
    png = io.BytesIO()
    with Image.open(file) as image:
        image.resize((size, size)).save(png, "PNG")
    return Response(png.getvalue(), media_type="image/png")


def not_a_tool(handler: Callable) -> Callable:
    """`handler`, which the MCP server does not offer to assistants although it is part of the API.

    `api_visibility` is the same for both. The server takes functions whose `_mcp_type` is "tool" or missing.
    """
    handler._mcp_type = "endpoint"
    return handler
