"""What the demo needs of Gradio's internals: that it works, and that Gradio itself still does not do it."""

import asyncio
import inspect
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.context import LocalContext

from chromagan.demo import gradio_workarounds
from chromagan.demo.gradio_workarounds import fetched, for_any_client, upload_folder
from chromagan.demo.remote_photo import FetchError

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


def test_what_a_url_gives_or_why_it_does_not(tmp_path, monkeypatch):
    async def fetch(url, folder):
        if url.endswith("none.png"):
            raise FetchError("HTTP status 404")
        return folder / "cat.png"

    async def move(path):
        return path

    monkeypatch.setattr(gradio_workarounds, "fetch_photo", fetch)
    photo = fetched(SimpleNamespace(async_move_resource_to_block_cache=move, GRADIO_CACHE=tmp_path, temp_files=set()))
    move_or_fetch = photo.async_move_resource_to_block_cache
    with pytest.raises(gr.Error) as caught:
        asyncio.run(move_or_fetch("http://host/none.png"))
    assert caught.value.message == "no photo at http://host/none.png: HTTP status 404"
    assert not caught.value.print_exception
    assert asyncio.run(move_or_fetch("/uploads/cat.png")) == "/uploads/cat.png"
    assert asyncio.run(move_or_fetch("http://host/cat.png")) == str(tmp_path / "cat.png")
    assert photo.temp_files == {str(tmp_path / "cat.png")}  # so that Gradio serves it


def test_gradio_itself_takes_no_fewer_arguments_than_there_are():
    with gr.Blocks() as demo:
        gr.Button().click(print, [gr.Image(), gr.Number(3), gr.Textbox("all")], api_visibility="public")
        gr.Button().click(print, [gr.Number(3)], api_visibility="private")
    function, of_the_page = demo.fns.values()
    with pytest.raises(ValueError, match="enough input values"):
        demo.validate_inputs(function, [])
    inputs = ["http://host/cat.png", 5]
    for_any_client(demo).validate_inputs(function, inputs)
    assert inputs == [{"path": "http://host/cat.png", "meta": {"_type": "gradio.FileData"}}, 5, "all"]
    with pytest.raises(ValueError, match="enough input values"):  # a fault of the page's is none of a request's
        demo.validate_inputs(of_the_page, [])


def test_gradio_itself_has_no_words_for_a_photo_of_a_server_that_was_restarted(tmp_path):
    photo = {"path": str(tmp_path / "cat.jpg"), "meta": {"_type": "gradio.FileData"}}
    with gr.Blocks() as demo:
        gr.Button().click(print, [gr.Image(), gr.JSON()], preprocess=False, api_visibility="private")
    demo.has_launched = True  # until then, Gradio takes any file
    (function,) = demo.fns.values()

    async def received() -> list:
        LocalContext.blocks.set(demo)
        return await demo.preprocess_data(function, [dict(photo), {"meta": 1}], None)

    with pytest.raises(gr.exceptions.InvalidPathError):
        asyncio.run(received())
    for_any_client(demo)
    given, other = asyncio.run(received())
    assert given["path"] == photo["path"] and other == {"meta": 1}


def test_gradio_has_no_option_for_what_is_a_tool():
    """That it heeds `_mcp_type` is seen in test_assistant.py, and that the process ends in test_startup.py."""
    parameters = inspect.signature(gr.Button().click).parameters
    assert "api_visibility" in parameters and not [name for name in parameters if "mcp" in name]
