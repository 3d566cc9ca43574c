"""Between Gradio's events and the library: values both ways, and errors as messages on the page."""

from pathlib import Path

import gradio as gr
import pytest

from chromagan.demo.events import as_handler, by_network, errors_as_messages, from_gradio, to_gradio
from chromagan.demo.service import Options, RequestError
from chromagan.demo.tabs import Colored
from chromagan.hub.checkpoints import CheckpointError

BAD, ESCAPED = "no 'a' & <img src=x>", "no 'a' &amp; &lt;img src=x&gt;"


@pytest.fixture
def uploads(tmp_path, monkeypatch) -> Path:
    """The folder of uploads: here a link to it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "uploads").symlink_to(tmp_path / "real")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    return tmp_path / "uploads"


def refuse(error: Exception):
    raise error


@pytest.mark.parametrize("kind", [RequestError, CheckpointError])
def test_what_cannot_be_done_is_a_message_without_markup_and_without_a_traceback(kind):
    with pytest.raises(gr.Error) as caught:
        as_handler(refuse)(kind(BAD))
    assert caught.value.message == ESCAPED and not caught.value.print_exception
    with pytest.raises(gr.Error) as caught:
        as_handler(refuse, escape=str)(kind(BAD))  # for a program, which shows no HTML
    assert caught.value.message == BAD


def test_a_mistake_of_ours_is_no_message():
    with pytest.raises(ZeroDivisionError), errors_as_messages():
        refuse(ZeroDivisionError())


def test_a_handler_that_yields_says_what_it_had_and_then_the_error(uploads):
    def steps(photo, count):
        yield photo, None
        yield photo / str(count)
        raise RequestError(BAD)

    handler = as_handler(steps)
    cat = uploads / "cat.png"
    going = handler({"path": str(cat)}, 3)
    assert next(going) == (cat, gr.skip()) and next(going) == f"{cat}/3"
    with pytest.raises(gr.Error) as caught:
        next(going)
    assert caught.value.message == ESCAPED and not caught.value.print_exception
    assert handler.__name__ == "on_steps"  # "steps" stays free for the API


def test_values_come_as_the_library_knows_them_and_go_as_gradio_does(uploads):
    assert from_gradio({"path": str(uploads / "cat.png"), "url": "x"}) == uploads / "cat.png"
    assert from_gradio({"path": None}) is None and from_gradio(None) is None and from_gradio("cat") == "cat"
    state = Colored(Path("cat.png"), Options(), None)
    assert to_gradio(state) is state  # a tuple, too, but one value
    assert to_gradio((state, None)) == (state, gr.skip()) and to_gradio(None) is None
    assert to_gradio(Path("cat.png")) == "cat.png"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/dev/zero", "{}/../secret.png", "{}/out.png", "{}2/cat.png", "{}/\0", "cat.png", 7, ["x"]]
)
def test_no_other_file_of_the_server_is_opened(uploads, path):
    (uploads.parent / "secret.png").write_bytes(b"secret")
    (uploads / "out.png").symlink_to(uploads.parent / "secret.png")
    with pytest.raises(RequestError, match="was not uploaded to this server"):
        from_gradio({"path": path.format(uploads) if isinstance(path, str) else path})


def test_options_come_behind_the_network_that_is_chosen():
    def given(*args):
        return args

    assert by_network(given)("photo", "compact", "general", "", "bilinear", 1) == (
        "photo", "compact", "general", "bilinear", 1,
    )  # fmt: skip
    assert by_network(given)("photo", "general", " owner/name ", "bilinear", 1) == (
        "photo", "owner/name", "bilinear", 1,
    )  # fmt: skip
