"""What the demo needs of Gradio's internals: that it works, and that Gradio itself still does not do it."""

import asyncio
import inspect
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from chromagan.demo import gradio_workarounds
from chromagan.demo.gradio_workarounds import fetched, upload_folder

NOWHERE = "http://127.0.0.1:9/x.png"  # which Gradio refuses to ask, as a host of this network


def test_uploads_are_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    assert upload_folder() == tmp_path
    assert Path(gr.Image().GRADIO_CACHE) == tmp_path  # where Gradio puts what it fetches


def test_gradio_asks_for_a_photo_through_the_method_that_is_replaced():
    """Without `fetched` the error of the address is one of Gradio's own, with a traceback; with it, a message."""

    def error_of(photo: gr.Image) -> Exception:
        with pytest.raises(Exception) as caught:
            asyncio.run(gr.processing_utils.async_move_files_to_cache(value, photo, postprocess=False))
        return caught.value

    value = {"path": NOWHERE, "meta": {"_type": "gradio.FileData"}}
    assert not isinstance(error_of(gr.Image()), gr.Error)
    error = error_of(fetched(gr.Image()))
    assert isinstance(error, gr.Error) and error.message.startswith(f"no photo at {NOWHERE}: ")


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError("no such\n  host"), "no such host"), (TimeoutError(), "TimeoutError")]
)
def test_an_address_without_a_photo_is_one_line(error, reason):
    async def fetch(address):
        if address.startswith("http://nowhere/x.png"):
            raise error
        return address

    photo = fetched(SimpleNamespace(async_move_resource_to_block_cache=fetch))
    with pytest.raises(gr.Error) as caught:
        asyncio.run(photo.async_move_resource_to_block_cache("http://nowhere/x.png"))
    assert caught.value.message == f"no photo at http://nowhere/x.png: {reason}" and not caught.value.print_exception
    assert asyncio.run(photo.async_move_resource_to_block_cache("/uploads/cat.png")) == "/uploads/cat.png"


def test_an_address_is_asked_each_time_it_is_named():
    """Gradio would return the file that it once got from there: a camera's address gives another photo each time."""
    asked = []

    async def fetch(address):
        asked.append(address)
        return address

    photo = fetched(SimpleNamespace(async_move_resource_to_block_cache=fetch))
    for address in ("http://camera/now.jpg", "http://camera/now.jpg", "http://camera/now.jpg#top"):
        asyncio.run(photo.async_move_resource_to_block_cache(address))
    assert len(set(asked)) == 3 and {address.split("#")[0] for address in asked} == {"http://camera/now.jpg"}


def test_an_address_that_answers_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(gradio_workarounds, "FETCH_SECONDS", 0.05)

    async def fetch(address):
        await asyncio.sleep(60)

    photo = fetched(SimpleNamespace(async_move_resource_to_block_cache=fetch))
    with pytest.raises(gr.Error, match="no photo at http://slow/x.png"):
        asyncio.run(photo.async_move_resource_to_block_cache("http://slow/x.png"))


def test_gradio_has_no_option_for_what_is_a_tool():
    """That it heeds `_mcp_type` is seen in test_assistant.py, and that the process ends in test_startup.py."""
    parameters = inspect.signature(gr.Button().click).parameters
    assert "api_visibility" in parameters and not [name for name in parameters if "mcp" in name]
